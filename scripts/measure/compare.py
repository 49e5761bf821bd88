#!/usr/bin/python3
"""Two builds of the same program, by turns: what clients cost and how long acks take (clients.py, log.py), in rounds
A B, B A, ... on one machine. Reports each figure's median of both sides, the median of the rounds' ratios, their
spread, and beside it the spread of one side alone, and asserts nothing.

    scripts/measure/compare.py --before BUILD --after BUILD [--rounds 10] [--json FILE]

A build is a folder as build/release, with penstock and tests/compat/rdkafka_text in it. The scripts are this tree's for
both sides; the load is each build's own."""
import argparse
import json
import pathlib
import statistics
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
TIMEOUT_S = 900
# What one side does in one round: a script's name and words.
STEPS = (('log.py', '--only', 'ack', '--blocks', '2'),
         ('clients.py', '--only', 'cpu,idle,churn', '--rounds', '1', '--gigabytes', '0.5'))
LEFT_OUT = (': raw ',)  # figures of the machine and not of a build


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--before', type=pathlib.Path, required=True)
    parser.add_argument('--after', type=pathlib.Path, required=True)
    parser.add_argument('--rounds', type=int, default=10)
    parser.add_argument('--json', type=pathlib.Path)
    return parser.parse_args()


def one_round(build, folder):
    """Figures by name: median and unit."""
    figures = {}
    for script, *words in STEPS:
        result = folder / 'figures.json'
        subprocess.run([sys.executable, HERE / script, '--build', build, '--json', result, *words], check=True,
                       stdout=subprocess.DEVNULL, timeout=TIMEOUT_S)
        for row in json.loads(result.read_text()):
            if not any(part in row['name'] for part in LEFT_OUT):
                figures[row['name']] = (row['median'], row['unit'])
    return figures


def spread(values):
    return f'{statistics.median(values):.2f} ({min(values):.2f} to {max(values):.2f})'


def summary(rounds):
    """rounds: of each, figures by side. A row a figure; repeats: each round of the first side by the round before."""
    rows = []
    for name, (_, unit) in rounds[0]['before'].items():
        before, after = ([figures[side][name][0] for figures in rounds] for side in ('before', 'after'))
        rows.append({'name': name, 'unit': unit, 'before': statistics.median(before), 'after': statistics.median(after),
                     'ratios': [a / b for a, b in zip(after, before)],
                     'repeats': [a / b for a, b in zip(before[1:], before)]})
    return rows


def main():
    args = arguments()
    sides = {'before': args.before.resolve(), 'after': args.after.resolve()}
    rounds = []
    with tempfile.TemporaryDirectory() as folder:
        for number in range(args.rounds):
            order = ('before', 'after') if number % 2 == 0 else ('after', 'before')
            rounds.append({side: one_round(sides[side], pathlib.Path(folder)) for side in order})
            print(f'round {number + 1} of {args.rounds}', file=sys.stderr, flush=True)
    rows = summary(rounds)
    for row in rows:
        alone = f'; before against before {spread(row["repeats"])}' if row['repeats'] else ''
        print(f'{row["name"]}: {row["before"]:.2f} and {row["after"]:.2f} {row["unit"]}; after / before '
              f'{spread(row["ratios"])}{alone}')
    if args.json:
        args.json.write_text(json.dumps({'rounds': rounds, 'figures': rows}, indent=2) + '\n')


if __name__ == '__main__':
    main()
