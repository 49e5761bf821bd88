#!/usr/bin/python3
"""Fetch and ListOffsets at the bytes (docs/compatibility.md, lines 63 to 80): ctest compat.fetch."""
import time

import batches
import check

NONE, OUT_OF_RANGE, UNKNOWN_TOPIC, FENCED_EPOCH, UNKNOWN_EPOCH, SESSION_NOT_FOUND = 0, 1, 3, 74, 75, 70
LATEST, EARLIEST, MAX_TIMESTAMP, EARLIEST_LOCAL, LAST_TIERED, PENDING_UPLOAD = -1, -2, -3, -4, -5, -6
FOR_EVER_MS = 2**31 - 1  # longer than the test waits


def fill(connection, topic, count=10, value=bytes(100), partitions=1):
    """count batches of one record in each partition; the size of one."""
    connection.create(topic, partitions=partitions)
    for partition in range(partitions):
        for number in range(count):
            batch = batches.build([value], timestamp=1_000_000 + number * 1000)
            check.equal(connection.produce(topic, batch, partition=partition)['base_offset'], number, 'base offset')
    return len(batches.build([value]))


def offsets_of(answer):
    return [batch.base_offset for batch in batches.split(answer['records'] or b'')]


def test_every_version(broker):
    with broker.connect() as connection:
        fill(connection, 'versions', 3)
        topic_id = connection.call('Metadata', 12, {'topics': [{'name': 'versions'}]})['topics'][0]['topic_id']
        for version in range(4, 19):
            partitions = [{'index': 0, 'offset': 1}]
            named = {'name': 'versions'} if version < 13 else {'topic_id': topic_id}
            answer = connection.call('Fetch', version, {'topics': [named | {'partitions': partitions}]})
            found = answer['topics'][0]['partitions'][0]
            check.equal((found['error'], offsets_of(found)), (NONE, [1, 2]), f'Fetch v{version}')
            check.equal(found.get('preferred_read_replica', -1), -1, f'preferred read replica, v{version}')


def test_line_63_a_long_poll_ends_with_data(broker):
    with broker.connect() as waiting, broker.connect() as connection:
        connection.create('poll')
        partitions = [{'index': 0, 'offset': 0}]
        parked = broker.metrics()['fetches_parked_total']
        sent = waiting.send('Fetch', 11, {'max_wait_ms': FOR_EVER_MS, 'min_bytes': 1,
                                          'topics': [{'name': 'poll', 'partitions': partitions}]})
        wait_until(lambda: broker.metrics()['fetches_parked_total'] > parked, 'the fetch waits')
        connection.produce('poll', batches.build([b'now']))
        answer = waiting.receive(sent)['topics'][0]['partitions'][0]
        check.equal((offsets_of(answer), answer['high_watermark']), ([0], 1), 'what the long poll brought')


def wait_until(condition, what):
    for _ in range(600):
        if condition():
            return
        time.sleep(0.05)
    raise AssertionError(f'waited in vain: {what}')


def test_line_63_a_long_poll_waits_for_min_bytes(broker):
    with broker.connect() as waiting, broker.connect() as connection:
        size = fill(connection, 'enough', 1)
        partitions = [{'index': 0, 'offset': 0}]
        parked = broker.metrics()['fetches_parked_total']
        sent = waiting.send('Fetch', 11, {'max_wait_ms': FOR_EVER_MS, 'min_bytes': 3 * size,
                                          'topics': [{'name': 'enough', 'partitions': partitions}]})
        wait_until(lambda: broker.metrics()['fetches_parked_total'] > parked, 'the fetch waits')
        for _ in range(2):
            connection.produce('enough', batches.build([bytes(100)]))
        check.equal(offsets_of(waiting.receive(sent)['topics'][0]['partitions'][0]), [0, 1, 2], 'all that it asked for')


def test_line_63_a_long_poll_ends_at_its_deadline_or_at_once(broker):
    with broker.connect() as connection:
        connection.create('quiet')
        for wait in (0, 1, 200):
            answer = connection.fetch('quiet', 0, max_wait_ms=wait, min_bytes=1)
            check.equal((answer['error'], offsets_of(answer)), (NONE, []), f'after {wait} ms')
        connection.fetch('quiet', 0, max_wait_ms=FOR_EVER_MS, min_bytes=0)
        answer = connection.fetch('quiet', 1, max_wait_ms=FOR_EVER_MS, min_bytes=1)
        check.equal(answer['error'], OUT_OF_RANGE, 'an error does not wait')


def test_line_64_one_batch_at_least(broker):
    with broker.connect() as connection:
        size = fill(connection, 'least', 10, partitions=2)
        for limits in ({'max_bytes': 1}, {'partition_max_bytes': 1}, {'max_bytes': 0}):
            check.equal(offsets_of(connection.fetch('least', 2, **limits)), [2], f'limits {limits}')
        body = {'max_bytes': 3 * size, 'topics': [{'name': 'least', 'partitions': [
            {'index': index, 'offset': 0, 'max_bytes': 2 * size} for index in range(2)]}]}
        found = connection.call('Fetch', 11, body)['topics'][0]['partitions']
        check.equal([offsets_of(partition) for partition in found], [[0, 1], [0]], 'what fits in 3 batches')
        body['max_bytes'] = 1
        found = connection.call('Fetch', 11, body)['topics'][0]['partitions']
        check.equal([offsets_of(partition) for partition in found], [[0], []], 'one batch, for the first partition')


def test_line_65_the_broker_has_a_limit_of_its_own(broker):
    broker.stop()
    broker.settings['fetch.max.bytes'] = 4096
    try:
        broker.start()
        with broker.connect() as connection:
            size = fill(connection, 'capped', 60)
            check.equal(len(offsets_of(connection.fetch('capped', 0))), 4096 // size, 'batches in one answer')
    finally:
        del broker.settings['fetch.max.bytes']
        broker.stop()
        broker.start()


def test_line_66_whole_batches_from_the_middle(broker):
    with broker.connect() as connection:
        connection.create('middle')
        connection.produce('middle', batches.build([b'a', b'b', b'c']))
        connection.produce('middle', batches.build([b'd', b'e', b'f']))
        for offset, wanted in ((0, [0, 3]), (1, [0, 3]), (2, [0, 3]), (3, [3]), (5, [3]), (6, [])):
            check.equal(offsets_of(connection.fetch('middle', offset)), wanted, f'fetch at {offset}')


def test_line_67_at_the_end_and_beyond(broker):
    with broker.connect() as connection:
        fill(connection, 'ends', 3)
        answer = connection.fetch('ends', 3)
        check.equal((answer['error'], offsets_of(answer)), (NONE, []), 'at the end')
        for offset in (4, 2**62, -1, -2):
            answer = connection.fetch('ends', offset)
            check.equal((answer['error'], answer['log_start_offset']), (OUT_OF_RANGE, 0), f'at {offset}')
        for topic, partition in (('ends', 1), ('ends', -1), ('nowhere', 0)):
            answer = connection.fetch(topic, 0, partition=partition)
            check.equal(answer['error'], UNKNOWN_TOPIC, f'{topic}/{partition}')


def test_line_68_watermarks_are_told(broker):
    with broker.connect() as connection:
        fill(connection, 'marks', 4)
        for isolation in (0, 1):
            answer = connection.fetch('marks', 0, isolation_level=isolation)
            check.equal([answer[name] for name in ('high_watermark', 'last_stable_offset', 'log_start_offset')],
                        [4, 4, 0], f'watermarks, isolation level {isolation}')


def test_line_70_sessions_are_declined(broker):
    """A broker may answer session id 0 always; one that it never gave is not found."""
    with broker.connect() as connection:
        fill(connection, 'session', 1)
        answer = connection.fetch_response('session', 0, session_id=0, session_epoch=0)
        check.equal((answer['error'], answer['session_id']), (NONE, 0), 'a session is asked for')
        answer = connection.call('Fetch', 11, {'session_id': 77, 'session_epoch': 1, 'topics': []})
        check.equal(answer['error'], SESSION_NOT_FOUND, 'a session that never was')


def test_line_74_leader_epochs_are_compared(broker):
    with broker.connect() as connection:
        fill(connection, 'epochs', 1)
        epoch = connection.call('Metadata', 9, {'topics': [{'name': 'epochs'}]})['topics'][0]['partitions'][0]
        epoch = epoch['leader_epoch']
        for asked, error in ((-1, NONE), (epoch, NONE), (epoch + 1, UNKNOWN_EPOCH),
                             *([(epoch - 1, FENCED_EPOCH)] if epoch else [])):
            partitions = [{'index': 0, 'offset': 0, 'current_leader_epoch': asked}]
            body = {'topics': [{'name': 'epochs', 'partitions': partitions}]}
            answer = connection.call('Fetch', 11, body)['topics'][0]['partitions'][0]
            check.equal(answer['error'], error, f'Fetch with epoch {asked} where {epoch} leads')
            partitions = [{'index': 0, 'timestamp': LATEST, 'current_leader_epoch': asked}]
            body = {'topics': [{'name': 'epochs', 'partitions': partitions}]}
            answer = connection.call('ListOffsets', 4, body)['topics'][0]['partitions'][0]
            check.equal(answer['error'], error, f'ListOffsets with epoch {asked} where {epoch} leads')


def test_line_76_the_leader_epoch_is_stamped(broker):
    with broker.connect() as connection:
        connection.create('stamped')
        connection.produce('stamped', batches.build(leader_epoch=99))
        epoch = connection.call('Metadata', 9, {'topics': [{'name': 'stamped'}]})['topics'][0]['partitions'][0]
        batch = batches.split(connection.fetch('stamped', 0)['records'])[0]
        check.equal((batch.base_offset, batch.leader_epoch), (0, epoch['leader_epoch']), 'what the broker writes')
        check.equal(batches.crc32c(batch.bytes[batches.CRC_FROM:]), batch.crc, 'the CRC as the client made it')


def test_line_79_list_offsets(broker):
    with broker.connect() as connection:
        fill(connection, 'listed', 5)  # timestamps 1000000, 1001000, ...
        for version in range(1, 12):
            check.equal(connection.offset('listed', LATEST, version)['offset'], 5, f'latest, v{version}')
            check.equal(connection.offset('listed', EARLIEST, version)['offset'], 0, f'earliest, v{version}')
        found = connection.offset('listed', MAX_TIMESTAMP, 7)
        check.equal((found['offset'], found['timestamp']), (4, 1_004_000), 'the record of the highest timestamp')
        check.equal(connection.offset('listed', EARLIEST_LOCAL, 8)['offset'], 0, 'earliest local')
        for timestamp, version in ((LAST_TIERED, 9), (PENDING_UPLOAD, 11)):
            found = connection.offset('listed', timestamp, version)
            check.equal((found['error'], found['offset']), (NONE, -1), f'{timestamp}: nothing is tiered')
        check.equal(connection.offset('listed', LATEST, partition=1)['error'], UNKNOWN_TOPIC, 'no such partition')


def test_line_80_offsets_by_time(broker):
    with broker.connect() as connection:
        fill(connection, 'times', 5)
        for asked, wanted in ((0, (0, 1_000_000)), (1_000_000, (0, 1_000_000)), (1_000_001, (1, 1_001_000)),
                              (1_004_000, (4, 1_004_000)), (1_004_001, (-1, -1))):
            found = connection.offset('times', asked)
            check.equal((found['error'], found['offset'], found['timestamp']), (NONE, *wanted), f'time {asked}')
        deltas = (0, 500, 200, 900)
        records = [batches.record(index, b'x', timestamp_delta=delta) for index, delta in enumerate(deltas)]
        connection.create('in-a-batch')
        connection.produce('in-a-batch', batches.build(records=records, timestamp=1000, max_timestamp=1900))
        connection.produce('in-a-batch', batches.build([b'late'], timestamp=1100))
        for asked, wanted in ((1000, 0), (1001, 1), (1501, 3), (1901, -1)):
            check.equal(connection.offset('in-a-batch', asked)['offset'], wanted, f'time {asked} out of order')


def main():
    run = check.Run()
    tests = [function for name, function in globals().items() if name.startswith('test_')]
    run.tests(run.broker(), *tests)
    run.finish()


if __name__ == '__main__':
    main()
