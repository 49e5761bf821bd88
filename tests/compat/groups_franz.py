#!/usr/bin/python3
"""franz-go with the next generation of groups (docs/compatibility.md, line 97): ctest compat.groups_franz. As
groups_next.py; where Go is missing or older than franz/go.mod asks for, it is skipped."""
import functools
import sys

import check
import clients
import go_programs
import groups
import groups_next


class Franz(groups_next.OfNextGeneration):
    has_static_members = False

    def __init__(self, build, assignor):
        self.name, self.build, self.assignor = f'franz-go-{assignor}', build, assignor

    @functools.cached_property
    def program(self):
        return go_programs.build('franz-go', clients.HERE / 'franz', self.build / 'franz_member')

    def command(self, brokers, topic, group, instance):
        return [self.program, brokers, topic, group, instance, self.assignor], {}


def main():
    run = check.Run()
    for kind in (Franz(run.build, 'uniform'), Franz(run.build, 'range')):
        if run.only in kind.name:
            run.test(kind.name, groups.play, run, kind)
    run.finish()


if __name__ == '__main__':
    sys.exit(main())
