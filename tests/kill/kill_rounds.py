#!/usr/bin/python3
"""kill -9 at random moments under idempotent load from librdkafka: the producer lives on, the broker is killed and
started again, also while it recovers; what was acknowledged is there after each round, and at the end every record
stands once, in order, at the offset and with the hash that the producer's own log says. Once with a ring that is not
filled, and once with a small one and small segments, so that each kill meets rolls, destage and checkpoints, while a
consumer reads from the beginning all the time. ctest compat.kill.

PENSTOCK_KILL_ROUNDS: how many (5). PENSTOCK_SEED: repeats the moments of a run."""
import os
import pathlib
import random
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / 'compat'))

import check  # noqa: E402
import processes  # noqa: E402
import segments  # noqa: E402
from broker import MIB  # noqa: E402

TOPIC = 'killed'
PARTITIONS = 6
ROUND_S = (0.2, 2.0)  # of load before a kill
RECOVERY_S = (0.0, 0.4)  # after a start that is killed before it is ready
LOAD_TIMEOUT_S = 300
VERIFY_TIMEOUT_S = 1200  # a hundred rounds are some GB
WALK_EVERY = 10  # rounds
CRC_BYTES = 8 * MIB  # whose CRCs are computed in one walk


class Rounds:
    """Use as a context: the load runs meanwhile."""

    def __init__(self, run, ring_bytes, bytes_per_second, **configs):
        self.count = int(os.environ.get('PENSTOCK_KILL_ROUNDS') or 5)
        self.seed = int(os.environ.get('PENSTOCK_SEED') or random.randrange(2**32))
        print(f'PENSTOCK_SEED={self.seed} PENSTOCK_KILL_ROUNDS={self.count}', flush=True)
        self.random = random.Random(self.seed)
        self.program = run.build / 'tests' / 'kill' / 'kill_load'
        self.broker = run.broker(ring_bytes=ring_bytes)
        self.port = self.broker.address[1]
        self.log = self.broker.folder / 'acknowledged'
        self.log_at, self.ends = 0, [0] * PARTITIONS
        self.broken, self.rolled, self.started = 0, 0, time.monotonic()
        self.bytes_per_second, self.others = bytes_per_second, []
        with self.broker.connect() as connection:
            connection.create(TOPIC, partitions=PARTITIONS, **configs)

    def __enter__(self):
        self.load = self.start('load', self.bytes_per_second, self.log)
        return self

    def __exit__(self, *_):
        for process, errors in self.others:
            process.kill()
            process.wait()
            errors.close()

    def start(self, verb, *more, **options):
        errors = (self.broker.folder / f'{verb}.log').open('w+b')
        process = processes.start(self.arguments(verb, *more), stderr=errors, **options)
        self.others.append((process, errors))
        return process

    def arguments(self, verb, *more):
        return [self.program, verb, f'127.0.0.1:{self.port}', TOPIC, PARTITIONS, *more]

    def acknowledged(self):
        """The offset behind the last acknowledged one, by partition; a line that is not whole is not there yet."""
        if self.log.exists():
            with self.log.open('rb') as file:
                file.seek(self.log_at)
                lines = file.read().rpartition(b'\n')[0]
            self.log_at += len(lines) + bool(lines)
            for line in lines.splitlines():
                partition, offset = map(int, line.split()[:2])
                self.ends[partition] = max(self.ends[partition], offset + 1)
        return list(self.ends)

    def restart(self):
        """Now and then killed again before it is ready, once or twice."""
        broken = self.random.choice((0, 0, 1, 2))
        for _ in range(broken):
            self.broker.start_and_kill(self.random.uniform(*RECOVERY_S), listen=f'127.0.0.1:{self.port}')
        self.broker.start(listen=f'127.0.0.1:{self.port}')
        self.broken += broken

    def run_one(self):
        before = self.acknowledged()
        time.sleep(self.random.uniform(*ROUND_S))
        self.rolled += self.broker.metrics()['segments_rolled_total']
        self.broker.kill()
        wanted = self.acknowledged()  # whatever the producer was told until now
        self.restart()
        with self.broker.connect() as connection:
            for partition, end in enumerate(wanted):
                have = connection.offset(TOPIC, -1, partition=partition)['offset']
                check.expect(have >= end, f'partition {partition} ends at {have}, acknowledged up to {end}')
        processes.run(self.arguments('check', self.log, ','.join(map(str, before))))
        for process, errors in self.others:
            check.equal(process.poll(), None, said(errors))

    def verify(self):
        return int(processes.run(self.arguments('verify', self.log), timeout=VERIFY_TIMEOUT_S))

    def finish(self):
        """Everything is acknowledged and reads back, also after a stop."""
        self.load.terminate()
        check.equal(processes.wait(self.load, LOAD_TIMEOUT_S), 0, f'the producer: {said(self.others[0][1])}')
        records = self.verify()
        check.equal(records, sum(self.acknowledged()), 'records')
        check.expect(records >= 100 * self.count, f'only {records} records: no load')
        self.broker.stop()
        walk = segments.Walk(self.random, CRC_BYTES).folder(self.broker.data, stopped=True)
        self.broker.start(listen=f'127.0.0.1:{self.port}')
        check.equal(self.verify(), records, 'records after SIGTERM')
        return (f'{self.count} kills and {self.broken} during recovery, {records} records, '
                f'{time.monotonic() - self.started:.0f} s; {walk}')


def said(file):
    file.seek(0)
    return file.read().decode(errors='replace')


def test_kill_rounds(run):
    with Rounds(run, 64 * MIB, 3_000_000) as rounds:
        for _ in range(rounds.count):
            rounds.run_one()
        return rounds.finish()


def test_roll_and_destage(run):
    with Rounds(run, 16 * MIB, 12_000_000, segment_bytes=MIB) as rounds:
        reader = rounds.start('read', stdout=-1)
        for number in range(rounds.count):
            rounds.run_one()
            if number % WALK_EVERY == 0:
                rounds.broker.kill()
                segments.Walk(rounds.random, CRC_BYTES).folder(rounds.broker.data, stopped=False)
                rounds.restart()
        reader.terminate()
        check.equal(processes.wait(reader, LOAD_TIMEOUT_S), 0, f'the reader: {said(rounds.others[1][1])}')
        read = int(reader.stdout.read())
        check.expect(rounds.rolled >= 5 * rounds.count, f'only {rounds.rolled} segments were rolled')
        return f'{rounds.finish()}; {rounds.rolled:.0f} rolls in view, {read} records read meanwhile'


def main():
    run = check.Run()
    run.tests(run, test_kill_rounds, test_roll_and_destage)
    run.finish()


if __name__ == '__main__':
    main()
