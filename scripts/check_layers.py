#!/usr/bin/env python3
"""Compares every #include with docs/layers.txt: a layer that reaches up or sideways, a library outside its home, a
folder or a library that the table does not know. Run by ctest ("layers"); by hand: scripts/check_layers.py [ROOT].
tests/tidy_layers_test.py seeds one violation of each kind."""
import pathlib
import re
import sys

INCLUDE = re.compile(r'\s*#\s*include\s+(?:"([^"]+)"|<([^>]+)>)')
SKIPPED = {'build', 'data', 'node_modules'}


class Table:
    """docs/layers.txt, read once."""

    def __init__(self, path):
        self.allowed = {}  # layer -> layers that it may include
        self.homes = {}  # library header or folder -> layers that may include it
        self.system = []
        self.errors = []
        for number, line in enumerate(path.read_text().splitlines(), 1):
            words = line.split('#')[0].split()
            if not words:
                continue
            if words[0] == 'only' and len(words) > 2:
                for header in words[2:]:
                    self.homes.setdefault(header, []).append(words[1])
            elif words[0] == 'system':
                self.system += words[1:]
            elif len(words) > 1 and words[1] == ':':
                self.allowed.setdefault(words[0], set()).update(words[2:])
            else:
                self.errors.append(f'{path.name}:{number}: cannot read this line')
        self.errors += self.unknown_layers() + self.cycles()

    def layer_of(self, path):
        """The layer whose path is the longest prefix of this file's, or None."""
        return max((layer for layer in self.allowed if within(path, layer)), key=len, default=None)

    def may_include(self, layer, other):
        return other == layer or other in self.allowed[layer] or '*' in self.allowed[layer]

    def unknown_layers(self):
        named = set().union(*self.allowed.values(), *self.homes.values()) - {'*'}
        return [f'layers.txt: {layer} is not a layer of the table' for layer in sorted(named - self.allowed.keys())]

    def cycles(self):
        """Layers that are left when those that stand on nothing are taken away again and again."""
        left = {layer: below - {'*'} for layer, below in self.allowed.items() if '*' not in below}
        while free := [layer for layer, below in left.items() if not below & left.keys() - {layer}]:
            for layer in free:
                del left[layer]
        return [f'layers.txt: a cycle among {" ".join(sorted(left))}'] if left else []


def within(path, place):
    return path == place or path.startswith(place.rstrip('/') + '/')


def sources(root):
    for file in sorted(root.rglob('*')):
        path = file.relative_to(root)
        hidden = any(part in SKIPPED or part.startswith('.') for part in path.parts)
        if file.suffix in ('.h', '.cc', '.def') and not hidden:
            yield path.as_posix(), file.read_text()


def check_ours(table, layer, target):
    there = table.layer_of(target)
    if there is None:
        return f'"{target}" is in no layer of docs/layers.txt'
    if not table.may_include(layer, there):
        return f'{layer} may not include "{target}" ({there})'
    return None


def check_library(table, path, target):
    if '/' not in target and '.' not in target:  # the C++ standard library
        return None
    if any(target == header or header.endswith('/') and target.startswith(header) for header in table.system):
        return None
    homes = [home for header, places in table.homes.items() for home in places
             if target == header or header.endswith('/') and target.startswith(header)]
    if not homes:
        return f'<{target}> has no home in docs/layers.txt'
    if not any(within(path, home) for home in homes):
        return f'<{target}> belongs to {" or ".join(homes)} only'
    return None


def check(root):
    table = Table(root / 'docs/layers.txt')
    yield from table.errors
    for path, text in sources(root):
        layer = table.layer_of(path)
        if layer is None:
            yield f'{path}: this folder is in no layer of docs/layers.txt'
            continue
        for number, line in enumerate(text.splitlines(), 1):
            found = INCLUDE.match(line)
            if not found:
                continue
            ours, library = found.groups()
            error = check_ours(table, layer, ours) if ours else check_library(table, path, library)
            if error:
                yield f'{path}:{number}: {error}'


def main():
    root = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else '.').resolve()
    errors = list(check(root))
    print('\n'.join(errors) or 'layers: every #include is in the table')
    sys.exit(bool(errors))


if __name__ == '__main__':
    main()
