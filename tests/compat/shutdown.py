#!/usr/bin/python3
"""A drive that goes away under load: the file system is shut down (FS_IOC_SHUTDOWN, as if the power of the drive had
failed; with and without its journal flushed before). The broker answers errors and tells the operator in one line;
after a kill, umount, mount and start every acknowledged record reads back. On an ext4 and an XFS of its own.
ctest compat.shutdown.

PENSTOCK_SHUTDOWN_ROUNDS: how many on each (4; 20 with PENSTOCK_FULL). PENSTOCK_SEED: repeats the moments of a run."""
import os
import random
import time

import check
import durable_load
import loop_file_system
from broker import LCORES, MIB
from durable_load import wait_until

MIBS = {'ext4': 256, 'xfs': 320}
LOAD_S = (0.2, 2.5)  # before the drive goes
PAUSE_S = 0.002
SETTINGS = {'penstock.disk.reserve.bytes': MIB, 'penstock.read.cache.bytes': MIB,
            'penstock.scrub.bytes.per.second': MIB, 'log.retention.check.interval.ms': 200}
PARTITIONS = 3


class Rounds:
    def __init__(self, run, broker, fs, seed):
        self.broker, self.fs, self.random = broker, fs, random.Random(seed)
        self.count = int(os.environ.get('PENSTOCK_SHUTDOWN_ROUNDS') or (20 if run.full else 4))
        self.port, self.topics, self.wrote = broker.address[1], [], 0
        self.pool = durable_load.Pool(self.random, most=12_000)
        self.slowest_answer = 0

    def run_one(self, number):
        """A topic a round, so that each is read back as often as there are rounds behind it; then it is deleted."""
        topic = f'round-{number}'
        with self.broker.connect() as connection:
            connection.create(topic, partitions=PARTITIONS + 1, segment_bytes=MIB)
        producers = [durable_load.WireProducer(self.broker, topic, index, self.pool, self.random, PAUSE_S)
                     for index in range(PARTITIONS)]
        idempotent = durable_load.RdkafkaProducer(self.broker, topic, PARTITIONS, self.random, PAUSE_S)
        reader = durable_load.Reader(self.broker, topic, 0, self.pool)
        workers = [*producers, idempotent, reader]
        try:
            wait_until(producers[0].goes_on(5), 'the load begins')
            time.sleep(self.random.uniform(*LOAD_S))
            flags = self.random.choice((loop_file_system.LOGFLUSH, loop_file_system.NOLOGFLUSH))
            before = self.broker.log.stat().st_size
            self.fs.shut_down(flags)
            self.answers_errors(producers)
            self.tells_the_operator(before)
            self.broker.kill()
            for _ in range(self.random.choice((0, 1))):  # a drive that is gone for longer
                said = self.broker.fails_to_start()
                check.expect('errno 5' in said or 'Input/output' in said or 'I/O' in said, f'a start says {said}')
            self.fs.unmount()
            self.fs.mount()
            self.broker.start(listen=f'127.0.0.1:{self.port}')
            for producer in producers:
                wait_until(producer.goes_on(), 'writes go on')
            wait_until(idempotent.goes_on(), 'librdkafka goes on')
            for worker in workers:
                worker.finish()
        finally:
            for worker in workers:
                worker.stopping.set()
        self.topics.append((topic, producers, idempotent))
        self.read_back()
        if len(self.topics) > 2:
            self.delete(self.topics.pop(0)[0])

    def answers_errors(self, producers):
        """To everybody who asks, and only errors that are retriable; until then there may be acknowledgements."""
        began = time.monotonic()
        for producer in producers:
            wait_until(lambda producer=producer: producer.is_refused(0.2) or producer.unknown,
                       'errors while the drive is gone')
        self.slowest_answer = max(self.slowest_answer, time.monotonic() - began)
        wait_until(lambda: all(producer.is_refused(0.2) for producer in producers), 'answers while the drive is gone')
        for producer in producers:
            check.equal(set(producer.errors) - durable_load.RETRIABLE, set(), f'errors of {producer}')
        wait_until(lambda: self.broker.metrics()['ring_poisoned'] == LCORES, 'each ring is fenced')

    def tells_the_operator(self, before):
        """One line of the log says what has happened and what to do, and so does /readyz."""
        with self.broker.log.open('rb') as log:
            log.seek(before)
            lines = [line for line in log.read().decode().splitlines() if 'offline' in line]
        check.expect(lines, 'no line for the operator')
        check.expect('error' in lines[0] and 'restart' in lines[0] and str(self.broker.data) in lines[0],
                     f'what the operator is told: {lines[0]}')

    def delete(self, topic):
        with self.broker.connect() as connection:
            check.equal(connection.call('DeleteTopics', 5, {'names': [topic]})['topics'][0]['error'], 0, 'delete')

    def read_back(self):
        self.wrote = 0
        for _, producers, idempotent in self.topics:
            self.wrote += sum(durable_load.read_back(self.broker, producer) for producer in producers)
            self.wrote += idempotent.read_back(self.broker)


def shut_down_rounds(run, kind):
    seed = int(os.environ.get('PENSTOCK_SEED') or random.randrange(2**32))
    print(f'PENSTOCK_SEED={seed} {kind}', flush=True)
    with loop_file_system.LoopFileSystem(run, kind, MIBS[kind]) as fs:
        broker = run.broker(SETTINGS, start=False)
        broker.data = fs.path / 'data'
        try:
            rounds = Rounds(run, broker.start(), fs, seed)
            for number in range(rounds.count):
                rounds.run_one(number)
            broker.stop()
            broker.start()
            rounds.read_back()
            return (f'{rounds.count} rounds, {rounds.wrote} batches and records of the last ones; all refused within '
                    f'{rounds.slowest_answer:.1f} s')
        finally:
            broker.kill()


def test_ext4(run):
    return shut_down_rounds(run, 'ext4')


def test_xfs(run):
    return shut_down_rounds(run, 'xfs')


def main():
    loop_file_system.enter_private_mounts()
    run = check.Run()
    run.tests(run, test_ext4, test_xfs)
    run.finish()


if __name__ == '__main__':
    main()
