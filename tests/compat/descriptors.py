#!/usr/bin/python3
"""A limit of descriptors costs connections, or a moment, and never the log: no number of clients, and no number of its
own segments, takes what the ring needs; what could not be opened is opened later. ctest compat.descriptors."""
import resource
import socket
import time

import batches
import check
from broker import MIB

STORAGE_ERROR = 56
BATCH = batches.build([bytes(300_000)])
PATIENCE_S = 120


def produce_patiently(connection, topic, partition):
    """As a client does: what is refused retriably is sent again. The base offset."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        answer = connection.produce(topic, BATCH, partition=partition)
        if answer['error'] == 0:
            return answer['base_offset']
        check.equal(answer['error'], STORAGE_ERROR, 'the error of a refused batch')
        time.sleep(0.1)
    raise AssertionError(f'nothing is taken for {PATIENCE_S} s')


def serves_all(broker, topic, counts):
    """Every batch of every partition, after a restart too."""
    for _ in range(2):
        with broker.connect() as connection:
            for partition, count in enumerate(counts):
                check.equal(connection.offset(topic, -1, partition=partition)['offset'], count, 'the end')
                for offset in range(0, count, 7):
                    answer = connection.fetch(topic, offset, partition=partition, partition_max_bytes=1)
                    check.equal(answer['error'], 0, f'error of a fetch at {partition}:{offset}')
                    check.expect(answer['records'], f'nothing at {partition}:{offset}')
        check.equal(broker.metrics()['ring_poisoned'], 0, 'ring_poisoned')
        broker.stop()
        broker.start()


def started(run, files):
    broker = run.broker(start=False)
    return broker.start(prefix=('prlimit', f'--nofile={files}:{files}', '--'))


def test_connections_without_number_take_none_of_the_logs(run):
    """Many more than there are descriptors, while records come in: those that are too many are closed."""
    broker = started(run, 1024)
    idle, counts = [], [0] * 4
    with broker.connect() as connection:
        connection.create('t', 4, segment_bytes=MIB, retention_ms=-1)
        for number in range(120):
            partition = number % 4
            check.equal(produce_patiently(connection, 't', partition), counts[partition], 'base offset')
            counts[partition] += 1
            if number == 20:
                for _ in range(1100):
                    idle.append(socket.create_connection(broker.address, timeout=60))
        metrics = broker.metrics()  # HTTP has its own
        check.equal(metrics['ring_poisoned'], 0, 'ring_poisoned')
        check.expect(metrics['connections_refused_total'] >= 100, f'refused: {metrics["connections_refused_total"]}')
        check.expect(metrics['connections_open'] < 900, f'open: {metrics["connections_open"]}')
        for peer in idle:
            peer.close()
        check.equal(produce_patiently(connection, 't', 0), counts[0], 'base offset when they have gone')
        counts[0] += 1
    check.expect('accept: ' not in broker.log.read_text(), 'an accept failed')
    serves_all(broker, 't', counts)


def test_one_client_and_segments_without_number(run):
    """A broker's own segments do not lock out its clients, nor itself."""
    said = []
    for files in (120, 400):
        broker = started(run, files)
        counts = [0] * 8
        with broker.connect() as connection:
            connection.create('t', 8, segment_bytes=MIB, retention_ms=-1)
            for number in range(400):
                partition = number % 8
                check.equal(produce_patiently(connection, 't', partition), counts[partition], 'base offset')
                counts[partition] += 1
        said.append(f'{broker.metrics()["segment_files_open"]:.0f} segments open of {files} files')
        serves_all(broker, 't', counts)
    return ', '.join(said)


def limit_now(broker, files=None):
    """What is open stays open. Without a number: as many as it may."""
    _, most = resource.prlimit(broker.process.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(broker.process.pid, resource.RLIMIT_NOFILE, (most if files is None else files, most))


def test_what_cannot_be_opened_now_is_no_damage(run):
    broker = run.broker()
    with broker.connect() as connection:
        connection.create('t', 1, segment_bytes=MIB, retention_ms=-1)
        for offset in range(60):
            check.equal(produce_patiently(connection, 't', 0), offset, 'base offset')
    broker.stop()
    broker.start()
    with broker.connect() as connection:
        check.equal(connection.fetch('t', 59)['error'], 0, 'error of a fetch before')
        time.sleep(2)  # threads that are just starting need one each, and cannot do without
        limit_now(broker, 3)
        for offset in (0, 10, 20, 30) * 2:
            check.equal(connection.fetch('t', offset)['error'], STORAGE_ERROR, f'error of a fetch at {offset}')
        limit_now(broker)
        time.sleep(1)
        for offset in range(0, 60, 10):
            answer = connection.fetch('t', offset, partition_max_bytes=1)
            check.equal(answer['error'], 0, f'error of a later fetch at {offset}')
            check.expect(answer['records'], f'nothing at {offset}')
    check.equal(broker.metrics()['segments_damaged_total'], 0, 'damaged segments')
    check.expect('checksum' not in broker.get('/healthz'), '/healthz calls it damage')
    check.expect('cannot be opened' in broker.log.read_text(), 'the log says nothing')


def test_a_ring_outlives_a_time_without_descriptors(run):
    """Lowered while it writes, for longer than the ring has room: refused, and taken again when they are back."""
    broker = run.broker()
    with broker.connect() as connection:
        connection.create('t', 8, segment_bytes=MIB, retention_ms=-1)
        counts = [0] * 8
        for number in range(64):
            counts[number % 8] += produce_patiently(connection, 't', number % 8) == counts[number % 8]
        limit_now(broker, 3)
        refused = 0
        for number in range(200):
            answer = connection.produce('t', BATCH, partition=number % 8)
            refused += answer['error'] == STORAGE_ERROR
            counts[number % 8] += answer['error'] == 0
        check.expect(refused > 0, 'a ring of 16 MiB took all of 60 MB')
        limit_now(broker)
        for partition in range(8):
            check.equal(produce_patiently(connection, 't', partition), counts[partition], 'base offset afterwards')
            counts[partition] += 1
    serves_all(broker, 't', counts)
    return f'{refused} of 200 refused'


def main():
    run = check.Run()
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))  # 1,100 connections of its own
    run.tests(run, *[function for name, function in globals().items() if name.startswith('test_')])
    run.finish()


if __name__ == '__main__':
    main()
