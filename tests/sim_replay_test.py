#!/usr/bin/env python3
"""A simulator's seed is the same run in every process: addresses, and what memory held before, do not show.
usage: sim_replay_test.py PROGRAM [SEED]; PENSTOCK_SIM_SEED in the environment goes before SEED."""
import os
import re
import subprocess
import sys

# What malloc() and free() fill memory with. None: as it is, a new process's is zero.
FILLS = (None, '165')
LONGEST = 600  # seconds


def traces(program, seed, fill):
    """The lines `seed N trace HASH` of a run, in order; each is of another kind of run with that seed."""
    environment = {**os.environ, 'PENSTOCK_SIM_SEED': seed}
    environment.pop('MALLOC_PERTURB_', None)
    if fill is not None:
        environment['MALLOC_PERTURB_'] = fill
    command = [program, '--gtest_filter=*.SeedsHold*']
    run = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=LONGEST, check=False)
    if run.returncode != 0:
        sys.exit(f'{" ".join(command)} with seed {seed} ended with {run.returncode}:\n{run.stdout}{run.stderr}')
    found = re.findall(rf'^seed {seed} trace ([0-9a-f]{{16}})$', run.stdout, re.MULTILINE)
    kinds = len(re.findall(r'^\[       OK \]', run.stdout, re.MULTILINE))
    if kinds == 0 or len(found) != kinds:
        sys.exit(f'{program}: {kinds} tests passed and {len(found)} traces of seed {seed} were printed:\n{run.stdout}')
    return found


def main():
    program = sys.argv[1]
    seed = os.environ.get('PENSTOCK_SIM_SEED') or (sys.argv[2] if len(sys.argv) > 2 else '1')
    first, second = (traces(program, seed, fill) for fill in FILLS)
    if first != second:
        sys.exit(f'{program}: seed {seed} is not the same run in two processes:\n{first}\n{second}')
    print(f'seed {seed}: {" ".join(first)}, in both processes')


main()
