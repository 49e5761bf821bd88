"""Go programs of the tests: each a folder with its versions in go.mod and their checksums in go.sum, built with the
toolchain that is here, no other is fetched."""
import os
import pathlib
import re
import shutil

import check
import processes
import registry

ENVIRONMENT = os.environ | {'GOTOOLCHAIN': 'local'}


def build(what, source, program):
    """Builds the program of that folder; skipped without a Go that is new enough."""
    if why := missing_go(what, source):
        raise check.Skipped(why)
    registry.fetch(what, ['go', 'build', '-buildvcs=false', '-o', program, '.'], cwd=source, env=ENVIRONMENT)
    return program


def missing_go(what, source):
    """Why it cannot be built with the Go that is here."""
    wanted = version(pathlib.Path(source, 'go.mod').read_text(), r'(?m)^go (\d+)\.(\d+)')
    if not shutil.which('go'):
        return f'Go {wanted[0]}.{wanted[1]} is needed for {what}, and there is none'
    said = processes.run(['go', 'version'], env=ENVIRONMENT).decode()
    here = version(said, r'\bgo(\d+)\.(\d+)')
    return f'Go {wanted[0]}.{wanted[1]} is needed for {what}, this is {said.strip()}' if here < wanted else ''


def version(text, pattern):
    found = re.search(pattern, text)
    check.expect(found, f'no version of Go in {text!r}')
    return int(found[1]), int(found[2])
