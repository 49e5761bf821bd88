#!/usr/bin/env python3
"""Makes docs/CONFIG.md and docs/METRICS.md from the lists that the program is compiled from (options.def, metrics.def,
topic_config.def). --check: changes nothing, and fails if a page is not what the lists say (ctest: tidy.source)."""
import ast
import operator
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).parent.parent
LAYERS = (('Broker', 'control'), ('Network and requests', 'dataplane/api'), ('Storage', 'storage/api'))
OPERATORS = {ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.LShift: operator.lshift}

# One C++ token of a list: a string, a word or number, or a mark.
TOKEN = re.compile(r'"((?:[^"\\]|\\.)*)"|([\w\'.]+)|(\S)')


def entries(path):
    """The entries of a .def file, as (macro, [argument, ...]); a text argument is a str, any other a list of tokens."""
    text = '\n'.join(line for line in path.read_text().split('\n') if not line.lstrip().startswith('//'))
    tokens = list(TOKEN.finditer(text))
    at = 0
    while at < len(tokens):
        macro, at = tokens[at].group(2), at + 2
        arguments, depth = [[]], 0
        while depth > 0 or tokens[at].group(3) != ')':
            mark = tokens[at].group(3)
            depth += (mark == '(') - (mark == ')')
            if mark == ',' and depth == 0:
                arguments.append([])
            else:
                arguments[-1].append(tokens[at])
            at += 1
        at += 1
        yield macro, [argument_value(argument) for argument in arguments]


def argument_value(tokens):
    if all(token.group(1) is not None for token in tokens):
        return ''.join(token.group(1) for token in tokens).replace('\\"', '"')
    return ' '.join(token.group() for token in tokens)


def number(text):
    """The value of a C++ constant such as 4 * 1024 or 1LL << 40."""
    def value(node):
        if isinstance(node, ast.BinOp):
            return OPERATORS[type(node.op)](value(node.left), value(node.right))
        if isinstance(node, ast.UnaryOp):
            return -value(node.operand)
        return node.value
    plain = re.sub(r'(\d)(?:LL|u|ull)\b', r'\1', text.replace("'", '').replace('< <', '<<'))
    return value(ast.parse(plain, mode='eval').body)


def amount(value, unit):
    """A number as people read it: sizes in binary units where they are whole."""
    if unit == 'bytes':
        for name, size in (('TiB', 1 << 40), ('GiB', 1 << 30), ('MiB', 1 << 20), ('KiB', 1 << 10)):
            if value >= size and value % size == 0:
                return f'{value // size} {name}'
    return f'{value:,}'.replace(',', ' ') + (f' {unit}' if unit else '')


def option_row(macro, arguments):
    if macro == 'OPTION_INT':
        _, name, default, low, high, unit, text = arguments
        low, high = (amount(number(bound), unit) for bound in (low, high))
        return name, amount(number(default), unit), f'{low} … {high}', text
    if macro == 'OPTION_BOOL':
        _, name, default, text = arguments
        return name, default, 'true, false', text
    _, name, default, allowed, text = arguments
    return name, default or 'empty', ', '.join(allowed.split()) or 'text', text


def topic_values(kind, valid):
    """The alternatives of a topic setting in words."""
    if kind == 'kBoolean':
        return 'true, false'
    if valid == 'replicas':
        return '*, or partition:broker pairs'
    words = (re.sub(r'^(-?\d+)\.\.$', r'\1 or more', word).replace('..', ' … ') for word in valid.split('|'))
    return ', '.join(words) or 'any'


def table(heads, rows):
    escaped = [[cell.replace('|', '\\|') for cell in row] for row in rows]
    return '\n'.join(['| ' + ' | '.join(heads) + ' |', '|' + ' --- |' * len(heads)] +
                     ['| ' + ' | '.join(row) + ' |' for row in escaped])


def config_page():
    yield """# Settings

Made by `scripts/gen_docs.py` from the options.def of each layer; do not edit.

A setting is given in a TOML file (`penstock serve --config FILE`), on the command line (`--set NAME=VALUE`, as often as
needed), or by a flag of its own (`--data`, `--listen`, `--http`). A later one in this list wins over an earlier one. In
TOML a name may be written with its dots, in quotes, or as tables; sizes take KiB, MiB and GiB: `"256MiB"`. Names are
Kafka's where Kafka has the setting; the others begin with `penstock.`. All take effect at start."""
    for title, folder in LAYERS:
        rows = [option_row(*entry) for entry in entries(ROOT / folder / 'options.def')]
        yield f'\n## {title}\n'
        yield table(('Setting', 'Default', 'Allowed', 'Meaning'),
                    [(f'`{name}`', default, allowed, text) for name, default, allowed, text in rows])
    yield """
## Topics

Given when a topic is created; what a topic does not have comes from the broker's setting of the last column, if this
version has that. They are checked, kept and reported as Kafka does. These have an effect so far: `cleanup.policy`
(without `delete` nothing is deleted; nothing is compacted yet), `max.message.bytes`, `retention.bytes`, `retention.ms`,
`segment.bytes`, `segment.ms`.
"""
    rows = [arguments for _, arguments in entries(ROOT / 'control/controller/topic_config.def')]
    ours = {entry[1][1]
            for _, folder in LAYERS for entry in entries(ROOT / folder / 'options.def')}
    yield table(('Setting', 'Type', 'Default', 'Allowed', 'Broker'),
                [(f'`{name}`', kind.removeprefix('k').lower(), default or 'empty', topic_values(kind, valid),
                  f'`{broker}`' if broker in ours else '')
                 for name, kind, default, valid, broker in rows])


def metrics_page():
    yield """# Metrics

Made by `scripts/gen_docs.py` from the metrics.def of each layer; do not edit.

`GET /metrics` on the HTTP port (`--http`) gives them as Prometheus text. Those of an lcore carry its number as label
`lcore`, those of storage also the label `ring`. Counters count from the start of the process."""
    for title, folder in LAYERS:
        yield f'\n## {title}\n'
        rows = []
        for _, (name, kind, text) in entries(ROOT / folder / 'metrics.def'):
            counter = kind == 'kCounter'
            rows.append((f'`penstock_{name}{"_total" if counter else ""}`', 'counter' if counter else 'gauge', text))
        yield table(('Metric', 'Kind', 'Meaning'), rows)


def main():
    check = sys.argv[1:] == ['--check']
    if sys.argv[1:] and not check:
        sys.exit('usage: gen_docs.py [--check]')
    stale = []
    for name, page in (('docs/CONFIG.md', config_page()), ('docs/METRICS.md', metrics_page())):
        path, text = ROOT / name, '\n'.join(page) + '\n'
        if path.exists() and path.read_text() == text:
            continue
        stale.append(f'{name}: not what the .def lists say; scripts/dev docs makes it')
        if not check:
            path.write_text(text)
    if check:
        print('\n'.join(stale), end='\n' if stale else '')
        sys.exit(bool(stale))


if __name__ == '__main__':
    main()
