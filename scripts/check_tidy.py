#!/usr/bin/env python3
"""The house rules that a program can check (docs/HACKING.md lists them). Run by ctest as tidy.source, tidy.headers and
tidy.format; by hand: scripts/check_tidy.py [--root DIR] [--build DIR] [source] [headers] [format]."""
import argparse
import pathlib
import shutil
import subprocess
import sys

from tidy import functions, headers, life, sources, tree, words

FORMATTER = 'clang-format-19'
SKIP_STATUS = 77  # tests/CMakeLists.txt: ctest reports tidy.format as skipped


def check_source(root, files):
    yield from tree.check_sizes(files)
    yield from functions.check(files)
    yield from tree.check_dead_files(files)
    yield from tree.check_headers_of_files(files)
    yield from tree.check_scripts(root, files)
    yield from tree.check_links(root, files)
    yield from tree.check_adrs(files)
    yield from tree.check_changelog(files)
    yield from words.check(files)
    yield from life.check(files)
    yield from check_generated_docs(root)


def check_generated_docs(root):
    generator = root / 'scripts/gen_docs.py'
    if generator.exists():
        done = subprocess.run([sys.executable, generator, '--check'], cwd=root, capture_output=True, text=True)
        if done.returncode:
            yield from (done.stdout + done.stderr).splitlines() or ['scripts/gen_docs.py --check failed']


def check_format(root, files):
    cpp = [file.path for file in files if file.suffix in sources.CPP]
    done = subprocess.run([FORMATTER, '--dry-run', '--Werror', *cpp], cwd=root, capture_output=True, text=True)
    wrong = [line for line in done.stderr.splitlines() if 'error:' in line]
    yield from sorted({line.split(':')[0] + ': not formatted; scripts/dev fmt does it' for line in wrong})
    if done.returncode and not wrong:
        yield done.stderr


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--root', type=pathlib.Path, default=pathlib.Path(__file__).parent.parent)
    parser.add_argument('--build', type=pathlib.Path, help='where compile_commands.json is (default: build/dev)')
    parser.add_argument('checks', nargs='*', help='source, headers, format; none means all')
    args = parser.parse_args()
    root = args.root.resolve()
    build = (args.build or root / 'build/dev').resolve()
    files = sources.load(root)
    checks = {
        'source': lambda: check_source(root, files),
        'headers': lambda: headers.check(root, build, files),
        'format': lambda: check_format(root, files),
    }
    wanted = args.checks or list(checks)
    skipped = [name for name in wanted if name == 'format' and not shutil.which(FORMATTER)]
    errors = [error for name in wanted if name not in skipped for error in checks[name]()]
    print('\n'.join(errors) or f'tidy: {len(files)} files, nothing to say')
    if skipped:
        print(f'skipped: {FORMATTER} is not installed: scripts/setup installs it')
    sys.exit(1 if errors else SKIP_STATUS if skipped else 0)


if __name__ == '__main__':
    main()
