#!/usr/bin/python3
"""franz-go with the next generation of groups (docs/compatibility.md, line 97): ctest compat.groups_franz. As
groups_next.py; where Go is missing or older than franz/go.mod asks for, it is skipped."""
import os
import pathlib
import re
import shutil
import sys

import check
import clients
import groups
import groups_next
import processes
import registry

FRANZ = clients.HERE / 'franz'
ENVIRONMENT = os.environ | {'GOTOOLCHAIN': 'local'}  # the toolchain that is here, no other is fetched


class Franz(groups_next.OfNextGeneration):
    has_static_members = False

    def __init__(self, build, assignor):
        self.name, self.build, self.assignor = f'franz-go-{assignor}', build, assignor

    def program(self):
        if why := missing_go():
            raise check.Skipped(why)
        program = self.build / 'franz_member'
        registry.fetch('franz-go', ['go', 'build', '-o', program, '.'], cwd=FRANZ, env=ENVIRONMENT)
        return program

    def command(self, brokers, topic, group, instance):
        return [self.program(), brokers, topic, group, instance, self.assignor], {}


def missing_go():
    """Why franz-go cannot be built with the Go that is here."""
    wanted = version(pathlib.Path(FRANZ, 'go.mod').read_text(), r'(?m)^go (\d+)\.(\d+)')
    if not shutil.which('go'):
        return f'Go {wanted[0]}.{wanted[1]} is needed for franz-go, and there is none'
    said = processes.run(['go', 'version'], env=ENVIRONMENT).decode()
    here = version(said, r'\bgo(\d+)\.(\d+)')
    return f'Go {wanted[0]}.{wanted[1]} is needed for franz-go, this is {said.strip()}' if here < wanted else ''


def version(text, pattern):
    found = re.search(pattern, text)
    check.expect(found, f'no version of Go in {text!r}')
    return int(found[1]), int(found[2])


def main():
    run = check.Run()
    for kind in (Franz(run.build, 'uniform'), Franz(run.build, 'range')):
        if run.only in kind.name:
            run.test(kind.name, groups.play, run, kind)
    run.finish()


if __name__ == '__main__':
    sys.exit(main())
