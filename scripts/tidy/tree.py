"""Rules about the tree as a whole: sizes, files that nothing uses, tests that nothing builds, pages and their links."""
import re
import subprocess

from tidy.sources import CPP

LONGEST_FILE = 600
LONGEST_LINE = 120


def check_sizes(files):
    for file in files:
        if not file.is_code():
            continue
        if len(file.lines) > LONGEST_FILE:
            yield f'{file.path}: {len(file.lines)} lines, {LONGEST_FILE} are the most'
        for number, line in enumerate(file.lines, 1):
            if len(line) > LONGEST_LINE:
                yield f'{file.path}:{number}: {len(line)} columns, {LONGEST_LINE} are the most'
            if line != line.rstrip():
                yield f'{file.path}:{number}: blanks at the end of the line'


def check_dead_files(files):
    """A .cc that no CMakeLists.txt names, a header that nothing includes, a script that nothing mentions."""
    builders = [file for file in files if file.name == 'CMakeLists.txt' or file.suffix == '.cmake']
    built = set()
    for file in builders + [file for file in files if file.path == 'scripts/fuzz']:
        folder = file.path.rpartition('/')[0] if file.name == 'CMakeLists.txt' else ''
        for word in re.findall(r'[\w./+-]+\.cc\b', file.text):
            built.add(f'{folder}/{word}' if folder else word)
    included = set(re.findall(r'#\s*include\s+"([^"]+)"', '\n'.join(file.text for file in files)))
    for file in files:
        if file.suffix == '.cc' and file.path not in built:
            builder = f'{file.path.split("/")[0]}/CMakeLists.txt'
            kind = 'a test that is not built' if file.name.endswith('_test.cc') else 'a dead file'
            yield f'{file.path}: {kind}: {builder} does not name it'
        if file.suffix in ('.h', '.def') and file.path not in included:
            yield f'{file.path}: a dead file: nothing includes it'
        if file.suffix in ('.py', '.sh') and not any(mentions(other, file) for other in files if other is not file):
            yield f'{file.path}: a dead file: nothing mentions it'


def mentions(other, file):
    stem = file.name.removesuffix('.py')
    return file.name in other.text or other.suffix == '.py' and re.search(rf'\b{stem}\b', other.text) \
        or file.name == '__init__.py'


def check_headers_of_files(files):
    """Each file says what it is: a comment at its top. A .cc beside its own header may leave that to the header."""
    paths = {file.path for file in files}
    for file in files:
        if file.suffix == '.cc' and file.path.removesuffix('.cc') + '.h' in paths:
            continue
        first = next((line for line in file.lines if line.strip() and not line.startswith('#!')), '')
        if file.suffix in CPP + ('.def',) and not first.startswith('//') \
                or file.is_python() and not first.startswith(('"""', '#')) \
                or file.is_shell() and not first.startswith('#'):
            yield f'{file.path}:1: no comment says what this file is'
        if file.suffix == '.h' and '#pragma once' not in file.lines:
            yield f'{file.path}: no #pragma once'


def check_scripts(root, files):
    for file in files:
        if file.lines and file.lines[0].startswith('#!') and not file.executable:
            yield f'{file.path}: begins with #! and cannot be executed'
        if file.is_shell():
            done = subprocess.run(['bash', '-n', root / file.path], capture_output=True, text=True)
            if done.returncode:
                yield f'{file.path}: {done.stderr.strip().splitlines()[-1]}'


def check_links(root, files):
    """Links from one page to another, and paths in `code` that look like ours, lead somewhere."""
    for file in files:
        if file.suffix != '.md':
            continue
        folder = (root / file.path).parent
        for number, line in enumerate(file.lines, 1):
            for target in re.findall(r'\]\(([^)#\s:]+)(?:#[^)]*)?\)', line):
                if not (folder / target).exists():
                    yield f'{file.path}:{number}: the link to {target} leads nowhere'


def check_adrs(files):
    seen = {}
    for file in files:
        if not file.under('docs/adr'):
            continue
        number = re.fullmatch(r'(\d{4})-[a-z0-9-]+\.md', file.name)
        if not number:
            yield f'{file.path}: a decision is named NNNN-what-it-decides.md'
        elif number.group(1) in seen:
            yield f'{file.path}: {seen[number.group(1)]} has this number already'
        elif not file.text.startswith(f'# {number.group(1)} '):
            yield f'{file.path}:1: its first line begins with "# {number.group(1)} "'
        else:
            seen[number.group(1)] = file.path


CHANGE_KINDS = ('Added', 'Changed', 'Deprecated', 'Removed', 'Fixed', 'Security')


def check_changelog(files):
    file = next((file for file in files if file.path == 'CHANGELOG.md'), None)
    if file is None:
        return
    releases, kind, released = [], None, False
    for number, line in enumerate(file.lines, 1):
        where = f'{file.path}:{number}'
        if number == 1:
            if line != '# Changelog':
                yield f'{where}: begins with "# Changelog"'
        elif line.startswith('## '):
            form = re.fullmatch(r'## (?:Unreleased|(\d+)\.(\d+)\.(\d+) - \d{4}-\d\d-\d\d)', line)
            if not form or line == '## Unreleased' and released:
                yield f'{where}: a release is "## Unreleased" (once, first) or "## 1.2.3 - 2025-01-31"'
            elif form.group(1):
                releases.append(tuple(map(int, form.groups())))
                if releases != sorted(releases, reverse=True):
                    yield f'{where}: the newest release comes first'
            released, kind = True, None
        elif line.startswith('### '):
            kind = line[4:]
            if kind not in CHANGE_KINDS:
                yield f'{where}: {kind} is none of {", ".join(CHANGE_KINDS)}'
        elif line.startswith('- ') and (not released or kind is None):
            yield f'{where}: a change stands under a release and a kind'
        elif line.strip() and released and not line.startswith(('- ', '  ')):
            yield f'{where}: a change is one entry "- what a user sees"'
