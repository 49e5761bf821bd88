#!/usr/bin/python3
"""A drive that runs full to the last byte under load, and has room again: producers get retriable errors meanwhile,
reads never stop, and writes go on without a restart, whether the space comes from a deleted topic, from retention, or
from what others had taken. On a small ext4 and a small XFS of its own. ctest compat.disk_full.

PENSTOCK_SEED: repeats the sizes of a run."""
import os
import random
import time

import check
import durable_load
import loop_file_system
from broker import MIB
from durable_load import wait_until

EXT4_MIB, XFS_MIB = 128, 320  # XFS wants 300
RESERVE = 4 * MIB
ROOM = 64 * MIB  # what is left to fill, so that it does not take long
FULL_S = 2.0  # how long it stays full
READ_SLOWEST_S = 20  # on a machine that does much else
RETENTION_MS = 10**9
ENOSPC_TRIES = 150
PAUSE_S = 0.02  # of those whose records stay: they may not fill the drive in this test's time
SETTINGS = {'penstock.disk.reserve.bytes': RESERVE, 'log.retention.check.interval.ms': 500,
            'penstock.read.cache.bytes': MIB, 'penstock.scrub.bytes.per.second': MIB}


class FullDrive:
    def __init__(self, broker, fs, seed):
        self.broker, self.fs, self.random = broker, fs, random.Random(seed)
        self.pool = durable_load.Pool(self.random, most=8000)
        self.workers, self.said = [], []
        with broker.connect() as connection:
            connection.create('kept', partitions=2, segment_bytes=MIB)
            connection.create('idempotent', segment_bytes=MIB)
        self.kept = [self.producer('kept', index, self.pool, PAUSE_S) for index in range(2)]
        self.idempotent = self.add(durable_load.RdkafkaProducer(broker, 'idempotent', 0, self.random, PAUSE_S))
        self.readers = [self.add(durable_load.Reader(broker, 'kept', index, self.pool)) for index in range(2)]

    def add(self, worker):
        self.workers.append(worker)
        return worker

    def producer(self, topic, partition, pool, pause_s=0.0):
        return self.add(durable_load.WireProducer(self.broker, topic, partition, pool, self.random, pause_s))

    def fillers(self, topic, timestamp=None, **configs):
        """As fast as it goes, into a topic of its own."""
        with self.broker.connect() as connection:
            connection.create(topic, partitions=3, segment_bytes=MIB, **configs)
        pool = durable_load.Pool(self.random, timestamp=timestamp)
        return [self.producer(topic, index, pool) for index in range(3)]

    def finish_fillers(self, fillers):
        for filler in fillers:
            filler.finish()
            self.workers.remove(filler)
        self.check_errors(*fillers)

    def delete(self, topic):
        with self.broker.connect() as connection:
            answer = connection.call('DeleteTopics', 5, {'names': [topic]})
            check.equal(answer['topics'][0]['error'], 0, f'deleting {topic}')

    def until_refused(self, what):
        wait_until(lambda: all(producer.is_refused(0.5) for producer in self.kept), f'refused, {what}', 180)

    def stays_full(self):
        """Reads go on, nothing is taken, and the operator can see it."""
        acked = [len(producer.acked) for producer in self.kept]
        read = [reader.has_read(20) for reader in self.readers]
        time.sleep(FULL_S)
        for condition in read:
            wait_until(condition, 'reads go on while the drive is full')
        check.equal([len(producer.acked) for producer in self.kept], acked, 'acknowledged while full')
        check.equal(self.broker.metrics()['disk_full'], 1, 'disk_full')

    def goes_on(self, what):
        """For those that were refused, on the connections that they had."""
        conditions = [producer.goes_on() for producer in [*self.kept, self.idempotent]]
        for condition in conditions:
            wait_until(condition, f'writes go on, {what}')
        self.said.append(what)

    def by_the_reserve(self):
        """Nobody else writes: producers are refused while the reserve is still free."""
        self.fs.fill(ROOM)
        fillers = self.fillers('filler')
        self.until_refused('the reserve is reached')
        self.stays_full()
        check.within(self.fs.free_bytes(), RESERVE // 2, 2 * RESERVE, 'free bytes beside the reserve')
        check.equal(self.broker.metrics()['destage_failures_total'], 0, 'failures to write segments')
        check.expect('is full' in self.broker.last_words(), 'the log says nothing of a full drive')
        self.finish_fillers(fillers)
        self.delete('filler')
        self.goes_on('a deleted topic')
        self.fs.relieve()

    def by_others(self):
        """Others take the last block while segments grow: writes to them fail with ENOSPC, and come through later. A
        topic can be deleted all the same."""
        with self.broker.connect() as connection:
            connection.create('spare', segment_bytes=MIB)
        for number in range(ENOSPC_TRIES):
            fillers = self.fillers(f'burst-{number}')
            failures = self.hit(fillers)
            self.finish_fillers(fillers)
            self.delete(f'burst-{number}')
            if failures > 0:
                break
        check.expect(failures > 0, f'no segment was hit in {ENOSPC_TRIES} tries')
        self.goes_on(f'others gave their space back, {failures:.0f} writes failed')

    def hit(self, fillers):
        before = self.broker.metrics()['destage_failures_total']
        for condition in [filler.goes_on(20) for filler in fillers]:
            wait_until(condition, 'a burst begins')
        self.fs.fill()
        time.sleep(0.3)
        failures = self.broker.metrics()['destage_failures_total'] - before
        if failures > 0:
            self.fs.fill()
            self.until_refused('no block is free')
            self.stays_full()
            check.within(self.fs.free_bytes(), 0, RESERVE, 'free bytes')
            self.fs.fill()
            self.delete('spare')
        self.fs.relieve()
        return failures

    def by_retention(self):
        """A topic whose records grow old makes room by itself."""
        old_in = 30_000
        self.fs.fill(ROOM // 2)
        aging = self.fillers('aging', int(time.time() * 1000) - RETENTION_MS + old_in, retention_ms=RETENTION_MS)
        self.until_refused('by records that grow old')
        self.finish_fillers(aging)
        self.goes_on('retention')
        check.expect(self.broker.metrics()['retention_trims_total'] > 0, 'retention trimmed nothing')
        self.delete('aging')
        self.fs.relieve()

    def start_when_full(self):
        """Killed without a free block, it starts all the same, serves reads at once, and takes records when there is
        room."""
        self.fs.fill()
        self.until_refused('before the kill')
        port = self.broker.address[1]
        self.broker.kill()
        self.fs.fill()
        self.broker.start(listen=f'127.0.0.1:{port}')
        wait_until(self.readers[0].has_read(20), 'reads after a start on a full drive')
        self.until_refused('after a start on a full drive')
        self.fs.relieve()
        self.goes_on('a start on a full drive')

    def check_errors(self, *producers):
        for producer in producers:
            producer.check()
            check.equal(set(producer.errors) - durable_load.RETRIABLE, set(), f'errors of {producer}')

    def finish(self):
        for worker in self.workers:
            worker.finish()
        self.check_errors(*self.kept)
        for reader in self.readers:
            check.equal(+reader.errors, {}, f'errors of {reader}')
            check.within(reader.slowest, 0, READ_SLOWEST_S, 'seconds of the slowest read')

    def read_back(self):
        batches = sum(durable_load.read_back(self.broker, producer) for producer in self.kept)
        return batches, self.idempotent.read_back(self.broker)

    def stop_workers(self):
        for worker in self.workers:
            worker.stopping.set()


def fill_and_free(run, kind, mib):
    seed = int(os.environ.get('PENSTOCK_SEED') or random.randrange(2**32))
    print(f'PENSTOCK_SEED={seed}', flush=True)
    with loop_file_system.LoopFileSystem(run, kind, mib) as fs:
        broker = run.broker(SETTINGS, start=False)
        broker.data = fs.path / 'data'
        drive = None
        try:
            drive = FullDrive(broker.start(), fs, seed)
            for step in (drive.by_the_reserve, drive.by_others, drive.by_retention, drive.by_others,
                         drive.start_when_full):
                step()
            drive.finish()
            counts = drive.read_back()
            broker.stop()
            broker.start()
            check.equal(drive.read_back(), counts, 'batches and records after a stop')
            slowest = max(reader.slowest for reader in drive.readers)
            laps = sum(reader.laps for reader in drive.readers)
            return (f'{counts[0]} batches, {counts[1]} records; room by {"; ".join(drive.said)}; {laps} laps of the '
                    f'readers, slowest answer {slowest * 1000:.0f} ms')
        finally:
            if drive is not None:
                drive.stop_workers()
            broker.kill()


def test_ext4(run):
    return fill_and_free(run, 'ext4', EXT4_MIB)


def test_xfs(run):
    return fill_and_free(run, 'xfs', XFS_MIB)


def main():
    loop_file_system.enter_private_mounts()
    run = check.Run()
    run.tests(run, test_ext4, test_xfs)
    run.finish()


if __name__ == '__main__':
    main()
