#!/usr/bin/python3
"""sarama as members of groups (docs/compatibility.md, lines 82 to 90): ctest compat.groups_sarama. As groups.py, and
apart for its Go program is built first. Its newest release for the Go that Debian 12 has."""
import functools
import sys

import check
import clients
import go_programs
import groups


class Sarama:
    has_static_members = True

    def __init__(self, build, assignor):
        self.name, self.build, self.assignor = f'sarama-{assignor}', build, assignor

    @functools.cached_property
    def program(self):
        return go_programs.build('sarama', clients.HERE / 'sarama', self.build / 'sarama_member')

    def command(self, brokers, topic, group, instance):
        return [self.program, brokers, topic, group, instance, self.assignor], {}


def main():
    run = check.Run()
    kind = Sarama(run.build, 'range')
    run.test(kind.name, groups.play, run, kind)
    run.finish()


if __name__ == '__main__':
    sys.exit(main())
