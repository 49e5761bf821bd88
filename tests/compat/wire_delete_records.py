#!/usr/bin/python3
"""DeleteRecords at the bytes (docs/compatibility.md, line 39): ctest compat.delete_records."""
import time

import batches
import check

NONE, OUT_OF_RANGE, UNKNOWN_TOPIC, TIMED_OUT, POLICY_VIOLATION = 0, 1, 3, 7, 44
HIGH_WATERMARK = LATEST = -1
EARLIEST = -2
EVERY_VERSION = range(3)


def ask(connection, wanted, version=2, timeout_ms=30000):
    """wanted: {topic: {partition: offset}}; {(topic, partition): (low watermark, error)}."""
    topics = [{'name': name, 'partitions': [{'index': index, 'offset': offset} for index, offset in offsets.items()]}
              for name, offsets in wanted.items()]
    answer = connection.call('DeleteRecords', version, {'topics': topics, 'timeout_ms': timeout_ms})
    return {(topic['name'], partition['index']): (partition['low_watermark'], partition['error'])
            for topic in answer['topics'] for partition in topic['partitions']}


def delete(connection, topic, offset, **more):
    return ask(connection, {topic: {0: offset}}, **more)[topic, 0]


def batch_of(topic, i):
    return batches.build([f'{topic}-{i}'.encode()])


def make(connection, topic, records=10, **configs):
    connection.create(topic, **configs)
    for i in range(records):
        check.equal(connection.produce(topic, batch_of(topic, i))['error'], NONE, 'produce')


def expect_beginning(connection, topic, offset, end=10):
    check.equal(connection.offset(topic, EARLIEST)['offset'], offset, 'the earliest offset')
    check.equal(connection.offset(topic, LATEST)['offset'], end, 'the latest offset')
    if offset > 0:
        below = connection.fetch(topic, offset - 1)
        check.equal((below['error'], below['log_start_offset']), (OUT_OF_RANGE, offset), 'a fetch below the beginning')
    there = connection.fetch(topic, offset, max_wait_ms=0)
    check.equal((there['error'], there['log_start_offset']), (NONE, offset), 'a fetch at the beginning')


def test_line_39_the_beginning_moves_in_every_version(broker):
    with broker.connect() as connection:
        for version in EVERY_VERSION:
            topic = f'moves-{version}'
            make(connection, topic)
            check.equal(delete(connection, topic, 4, version=version), (4, NONE), f'v{version}')
            expect_beginning(connection, topic, 4)
            check.equal(delete(connection, topic, 2, version=version), (4, NONE), 'below the beginning: as it was')
            expect_beginning(connection, topic, 4)


def test_line_39_minus_one_is_the_high_watermark(broker):
    with broker.connect() as connection:
        make(connection, 'all')
        check.equal(delete(connection, 'all', HIGH_WATERMARK), (10, NONE), 'all records')
        expect_beginning(connection, 'all', 10)
        produced = connection.produce('all', batches.build([b'more']))
        check.equal((produced['error'], produced['base_offset'], produced['log_start_offset']), (NONE, 10, 10),
                    'a produce behind it')
        expect_beginning(connection, 'all', 10, end=11)


def test_line_39_the_range_and_what_is_not_there(broker):
    with broker.connect() as connection:
        make(connection, 'ranges', records=3)
        connection.create('compacted', cleanup_policy='compact')
        connection.create('both', cleanup_policy='compact,delete')
        for version in EVERY_VERSION:
            for offset in (4, -2, 2**63 - 1, -2**63):
                check.equal(delete(connection, 'ranges', offset, version=version), (-1, OUT_OF_RANGE), f'to {offset}')
            answer = ask(connection, {'absent': {0: 0}, 'compacted': {0: 0}, 'both': {0: 0, 7: 0, -1: 0}}, version)
            check.equal(answer, {('absent', 0): (-1, UNKNOWN_TOPIC), ('compacted', 0): (-1, POLICY_VIOLATION),
                                 ('both', 0): (0, NONE), ('both', 7): (-1, UNKNOWN_TOPIC),
                                 ('both', -1): (-1, UNKNOWN_TOPIC)}, f'v{version}')
            check.equal(ask(connection, {}, version), {}, 'nothing asked')
        expect_beginning(connection, 'ranges', 0, end=3)


def test_line_39_the_timeout_ends_the_wait_and_not_the_deletion(broker):
    with broker.connect() as connection:
        make(connection, 'late')
        check.equal(delete(connection, 'late', 6, timeout_ms=0), (-1, TIMED_OUT), 'no time at all')
        deadline = time.monotonic() + 30
        while connection.offset('late', EARLIEST)['offset'] != 6 and time.monotonic() < deadline:
            time.sleep(0.01)
        expect_beginning(connection, 'late', 6)


def test_line_39_it_survives_kill_and_stop(broker):
    with broker.connect() as connection:
        make(connection, 'durable')
        check.equal(delete(connection, 'durable', 3), (3, NONE), 'before the kill')
    broker.kill()
    broker.start()
    with broker.connect() as connection:
        expect_beginning(connection, 'durable', 3)
        check.equal(delete(connection, 'durable', 7), (7, NONE), 'before the stop')
    broker.stop()
    broker.start()
    with broker.connect() as connection:
        expect_beginning(connection, 'durable', 7)
        left = [batch.bytes[batches.CRC_FROM:] for batch in batches.split(connection.fetch('durable', 7)['records'])]
        check.equal(left, [batch_of('durable', i)[batches.CRC_FROM:] for i in range(7, 10)], 'what is left')


def test_answers_leave_in_order(broker):
    """Others of the same connection wait for it."""
    with broker.connect() as connection:
        make(connection, 'ordered')
        sent = [connection.send('DeleteRecords', 2, {'topics': [{'name': 'ordered', 'partitions': [
            {'index': 0, 'offset': i}]}]}) for i in range(1, 6)]
        sent.append(connection.send('Metadata', 9, {'topics': [{'name': 'ordered'}]}))
        for one in sent:
            connection.receive(one)
        expect_beginning(connection, 'ordered', 5)


def main():
    run = check.Run()
    tests = [function for name, function in globals().items() if name.startswith('test_')]
    run.tests(run.broker(), *tests)
    run.finish()


if __name__ == '__main__':
    main()
