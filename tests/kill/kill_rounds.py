#!/usr/bin/python3
"""kill -9 at random moments under idempotent load from librdkafka: the producer lives on, the broker is killed and
started again, also while it recovers; what was acknowledged is there after each round, and at the end every record
stands once, in order, at the offset and with the hash that the producer's own log says. ctest compat.kill.

PENSTOCK_KILL_ROUNDS: how many (5). PENSTOCK_SEED: repeats the moments of a run."""
import os
import pathlib
import random
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / 'compat'))

import check  # noqa: E402
import processes  # noqa: E402
from broker import MIB  # noqa: E402

TOPIC = 'killed'
PARTITIONS = 6
BYTES_PER_SECOND = 3_000_000
ROUND_S = (0.2, 2.0)  # of load before a kill
RECOVERY_S = (0.0, 0.4)  # after a start that is killed before it is ready
RING_BYTES_A_ROUND = 8 * MIB
LOAD_TIMEOUT_S = 300


class Rounds:
    def __init__(self, run):
        self.count = int(os.environ.get('PENSTOCK_KILL_ROUNDS') or 5)
        self.seed = int(os.environ.get('PENSTOCK_SEED') or random.randrange(2**32))
        self.random = random.Random(self.seed)
        self.program = run.build / 'tests' / 'kill' / 'kill_load'
        self.broker = run.broker(ring_bytes=64 * MIB + self.count * RING_BYTES_A_ROUND)
        self.port = self.broker.address[1]
        self.log = run.folder / 'acknowledged'
        with self.broker.connect() as connection:
            connection.create(TOPIC, partitions=PARTITIONS)

    def arguments(self, verb, *more):
        return [self.program, verb, f'127.0.0.1:{self.port}', TOPIC, PARTITIONS, *more]

    def acknowledged(self):
        """The offset behind the last acknowledged one, by partition; a line that is not whole is not there."""
        ends = [0] * PARTITIONS
        if self.log.exists():
            for line in self.log.read_text().rpartition('\n')[0].splitlines():
                partition, offset = map(int, line.split()[:2])
                ends[partition] = max(ends[partition], offset + 1)
        return ends

    def restart(self):
        """Now and then killed again before it is ready, once or twice."""
        broken = self.random.choice((0, 0, 1, 2))
        for _ in range(broken):
            self.broker.start_and_kill(self.random.uniform(*RECOVERY_S), listen=f'127.0.0.1:{self.port}')
        self.broker.start(listen=f'127.0.0.1:{self.port}')
        return broken

    def run_one(self):
        time.sleep(self.random.uniform(*ROUND_S))
        self.broker.kill()
        wanted = self.acknowledged()  # whatever the producer was told until now
        broken = self.restart()
        with self.broker.connect() as connection:
            for partition, end in enumerate(wanted):
                have = connection.offset(TOPIC, -1, partition=partition)['offset']
                check.expect(have >= end, f'partition {partition} ends at {have}, acknowledged up to {end}')
        return broken


def test_kill_rounds(run):
    rounds = Rounds(run)
    print(f'PENSTOCK_SEED={rounds.seed} PENSTOCK_KILL_ROUNDS={rounds.count}', flush=True)
    errors = (run.folder / 'load.log').open('w+b')
    load = processes.start(rounds.arguments('load', BYTES_PER_SECOND, rounds.log), stderr=errors)
    broken, started = 0, time.monotonic()
    try:
        for number in range(rounds.count):
            broken += rounds.run_one()
            check.equal(load.poll(), None, f'the producer in round {number}: {said(errors)}')
        load.terminate()
        check.equal(processes.wait(load, LOAD_TIMEOUT_S), 0, f'the producer: {said(errors)}')
    finally:
        load.kill()
        load.wait()
        errors.close()
    records = int(processes.run(rounds.arguments('verify', rounds.log)))
    check.equal(records, sum(rounds.acknowledged()), 'records')
    check.expect(records >= 100 * rounds.count, f'only {records} records: no load')
    rounds.broker.stop()
    rounds.broker.start(listen=f'127.0.0.1:{rounds.port}')
    check.equal(int(processes.run(rounds.arguments('verify', rounds.log))), records, 'records after SIGTERM')
    return f'{rounds.count} kills and {broken} during recovery, {records} records, {time.monotonic() - started:.0f} s'


def said(file):
    file.seek(0)
    return file.read().decode(errors='replace')


def main():
    run = check.Run()
    run.tests(run, test_kill_rounds)
    run.finish()


if __name__ == '__main__':
    main()
