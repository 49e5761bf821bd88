#!/usr/bin/env python3
"""Makes docs/CONFIG.md, docs/KAFKA_CONFIGS.md and docs/METRICS.md from the lists that the program is compiled from
(options.def, metrics.def, kafka_configs.tsv). --check: changes nothing, and fails if a page is not what the lists say
(ctest: tidy.source)."""
import ast
import itertools
import operator
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / 'control/controller'))
sys.dont_write_bytecode = True
import generate_configs  # pylint: disable=wrong-import-position

CONFIGS = list(generate_configs.read(ROOT / 'control/controller/kafka_configs.tsv'))
# Topic configs that change what happens here; the others are kept and told.
IN_FORCE = {'cleanup.policy', 'compression.gzip.level', 'compression.lz4.level', 'compression.type',
            'compression.zstd.level', 'delete.retention.ms', 'file.delete.delay.ms', 'max.compaction.lag.ms',
            'max.message.bytes', 'message.timestamp.after.max.ms', 'message.timestamp.before.max.ms',
            'message.timestamp.type', 'min.cleanable.dirty.ratio', 'min.compaction.lag.ms', 'min.insync.replicas',
            'retention.bytes', 'retention.ms', 'segment.bytes', 'segment.ms'}
LAYERS = (('Broker', 'control'), ('Network and requests', 'dataplane/api'), ('Storage', 'storage/api'))
METRICS = tuple((title, (f'{folder}/metrics.def',)) for title, folder in LAYERS) + (
    ('Groups', ('control/group_metrics.def',)),
    ('Devices', ('dataplane/net/metrics.def', 'dataplane/net/nic_metrics.def', 'dataplane/tcp/metrics.def')),)
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


def allowed_values(config):
    """The alternatives of one of Kafka's configs in words."""
    valid, _, nonempty = config.valid.removeprefix('ci:').partition(';')
    if config.type == 'boolean':
        return 'true, false'
    if valid == 'replicas':
        return '*, or partition:broker pairs'
    ends = ((r'^(-?\d+)\.\.$', r'\1 or more'), (r'^\.\.(-?\d+)$', r'\1 or less'))
    words = (re.sub(*ends[1], re.sub(*ends[0], word)).replace('..', ' … ') for word in valid.split('|'))
    return ', '.join(words) or ('not empty' if nonempty else 'any')


def table(heads, rows):
    escaped = [[cell.replace('|', '\\|') for cell in row] for row in rows]
    return '\n'.join(['| ' + ' | '.join(heads) + ' |', '|' + ' --- |' * len(heads)] +
                     ['| ' + ' | '.join(row) + ' |' for row in escaped])


def config_page():
    yield """# Settings

Made by `scripts/gen_docs.py` from the options.def of each layer; do not edit.

A setting is given in a TOML file (`penstock serve --config FILE`), on the command line (`--set NAME=VALUE`, as often
as needed), or by a flag of its own (`--data`, `--listen`, `--http`). A later one in this list wins over an earlier one;
only `--data` beside another `log.dirs` is refused. In TOML a name may be written with its dots, in quotes, or as
tables. A number may be followed by its unit, a size by KiB, MiB, GiB or TiB: `"256MiB"`. Names are Kafka's where Kafka
has the setting; the others begin with `penstock.`. All take effect at start."""
    for title, folder in LAYERS:
        rows = [option_row(*entry) for entry in entries(ROOT / folder / 'options.def')]
        yield f'\n## {title}\n'
        yield table(('Setting', 'Default', 'Allowed', 'Meaning'),
                    [(f'`{name}`', default, allowed, text) for name, default, allowed, text in rows])
    yield """
## Topics

Given when a topic is created or at any time later (`kafka-configs.sh`, IncrementalAlterConfigs); a change is in force
when its answer is there. What a topic does not have comes from the broker's config of the last column, which may be
given like a setting above or changed while the broker runs. All are checked, kept and told as Kafka does; those with a
star change what happens here (`min.insync.replicas` counts the replicas there are).
[KAFKA_CONFIGS.md](KAFKA_CONFIGS.md) has the others.
"""
    yield config_table('topic', 'Broker', lambda config: f'`{config.source.split(",")[0]}`' if config.source else '')


def config_table(scope, last, last_cell):
    def row(config):
        star = '*' if scope == 'topic' and config.name in IN_FORCE else ''
        default = {'""': 'empty', 'null': 'none'}.get(config.default, config.default)
        return (f'`{config.name}`{star}', config.type, default, allowed_values(config), last_cell(config),
                config.meaning)
    return table(('Config', 'Type', 'Default', 'Allowed', last, 'Meaning'),
                 [row(config) for config in CONFIGS if config.scope == scope and 'internal' not in config.marks])


def kafka_configs_page():
    ours = {entry[1][1] for _, folder in LAYERS for entry in entries(ROOT / folder / 'options.def')}
    gives = {word.split(':')[0] for config in CONFIGS if config.scope == 'topic' for word in config.source.split(',')}

    def use(config):
        if config.name in ours:
            return 'setting' + (', topics' if config.name in gives else '')
        return 'topics' if config.name in gives else ''
    yield """# Kafka's configs

Made by `scripts/gen_docs.py` from control/controller/kafka_configs.tsv; do not edit.

What DescribeConfigs (`kafka-configs.sh --describe --all`) tells of a broker, a group and client metrics, so that tools
find what they expect. Most of a broker's say something of how Kafka works inside and change nothing here; the column
Here has what does: *setting*: it is one of this program's settings ([CONFIG.md](CONFIG.md)), read at start. *topics*:
topics that do not say have it, at once when it is changed for all brokers or for one. What is set for one group or for
client metrics is kept and told, and changes nothing: groups go by the broker's settings.
"""
    for scope, title in (('broker', 'Broker'), ('group', 'Groups'), ('client-metrics', 'Client metrics')):
        yield f'\n## {title}\n'
        yield config_table(scope, 'Here', use)


def metrics_page():
    yield """# Metrics

Made by `scripts/gen_docs.py` from the metrics.def of each layer; do not edit.

`GET /metrics` on the HTTP port (`--http`) gives them as Prometheus text. Those of an lcore carry its number as label
`lcore`, those of storage also the label `ring`, those of a network device also the label `device`. Those of a consumer
group carry its id as label `group`, those of a partition of it also the labels `topic` and `partition`; bytes of an id
that are no UTF-8 are shown as U+FFFD. Counters count from the start of the process."""
    for title, files in METRICS:
        yield f'\n## {title}\n'
        rows = []
        for _, (name, kind, text) in itertools.chain(*(entries(ROOT / file) for file in files)):
            counter = kind == 'kCounter'
            rows.append((f'`penstock_{name}{"_total" if counter else ""}`', 'counter' if counter else 'gauge', text))
        yield table(('Metric', 'Kind', 'Meaning'), rows)


def main():
    check = sys.argv[1:] == ['--check']
    if sys.argv[1:] and not check:
        sys.exit('usage: gen_docs.py [--check]')
    stale = []
    for name, page in (('docs/CONFIG.md', config_page()), ('docs/KAFKA_CONFIGS.md', kafka_configs_page()),
                       ('docs/METRICS.md', metrics_page())):
        path, text = ROOT / name, '\n'.join(page) + '\n'
        if path.exists() and path.read_text() == text:
            continue
        stale.append(f'{name}: not what the lists say; scripts/dev docs makes it')
        if not check:
            path.write_text(text)
    if check:
        print('\n'.join(stale), end='\n' if stale else '')
        sys.exit(bool(stale))


if __name__ == '__main__':
    main()
