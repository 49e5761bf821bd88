#!/usr/bin/python3
"""Fetch and ListOffsets at the bytes (docs/compatibility.md, lines 27 and 63 to 80): ctest compat.fetch."""
import contextlib
import re
import sqlite3
import time

import batches
import check
import lab
import wire

NONE, OUT_OF_RANGE, UNKNOWN_TOPIC, FENCED_EPOCH, UNKNOWN_EPOCH = 0, 1, 3, 74, 75
SESSION_NOT_FOUND, SESSION_EPOCH, SESSION_TOPIC_ID = 70, 71, 106
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


class Session:
    """What a consumer does with a fetch session (KIP-227), on one topic by name."""

    def __init__(self, connection, topic, partitions, version=11):
        self.connection, self.topic, self.version = connection, topic, version
        self.id, self.epoch = 0, 0
        self.full = self.ask({index: 0 for index in partitions})
        self.id, self.epoch = self.full['session_id'], 1

    def ask(self, offsets=None, forget=(), **more):
        partitions = [{'index': index, 'offset': offset} for index, offset in (offsets or {}).items()]
        body = {'session_id': self.id, 'session_epoch': self.epoch, 'max_wait_ms': 0,
                'topics': [{'name': self.topic, 'partitions': partitions}] if partitions else [],
                'forgotten': [{'name': self.topic, 'partitions': list(forget)}] if forget else []} | more
        return self.connection.call('Fetch', self.version, body)

    def next(self, offsets=None, forget=(), **more):
        """The next request of the session; its answer's partitions by index, with the offsets of their batches."""
        answer = self.ask(offsets, forget, **more)
        self.epoch += 1
        check.equal((answer['error'], answer['session_id']), (NONE, self.id), 'the session goes on')
        return {found['index']: offsets_of(found) for topic in answer['topics'] for found in topic['partitions']}


def test_line_69_a_session_answers_what_is_new(broker):
    with broker.connect() as connection:
        connection.create('session', partitions=4)
        session = Session(connection, 'session', range(4))
        check.equal(session.full['error'], NONE, 'a full fetch')
        assert session.id > 0, 'no session was made'
        check.equal([found['index'] for found in session.full['topics'][0]['partitions']], [0, 1, 2, 3],
                    'the first answer has all')
        check.equal(session.next(), {}, 'nothing is new')
        connection.produce('session', batches.build([b'a']), partition=2)
        check.equal(session.next(), {2: [0]}, 'records of one partition')
        check.equal(session.next(), {2: [0]}, 'the client has not moved its offset')
        check.equal(session.next({2: 1}), {}, 'now it has')
        connection.produce('session', batches.build([b'b']), partition=1)
        connection.produce('session', batches.build([b'c']), partition=2)
        check.equal(session.next({1: 1}), {2: [1], 1: []}, 'a high watermark alone is news, once')
        check.equal(session.next({2: 2}), {}, 'and was told')


def test_line_69_errors_are_told_each_time_and_when_they_are_over(broker):
    with broker.connect() as connection:
        fill(connection, 'wrong', 2)
        session = Session(connection, 'wrong', [0])
        answer = session.ask({0: 9})
        session.epoch += 1
        for _ in range(2):
            check.equal(answer['topics'][0]['partitions'][0]['error'], OUT_OF_RANGE, 'the error')
            answer = session.ask()
            session.epoch += 1
        check.equal(session.next({0: 2}), {0: []}, 'it is over: that is news')
        check.equal(session.next(), {}, 'and was told')


def test_line_69_what_is_forgotten_is_answered_no_more(broker):
    with broker.connect() as connection:
        fill(connection, 'forget', 1, partitions=3)
        session = Session(connection, 'forget', range(3))
        check.equal(session.next(forget=[1]), {0: [0], 2: [0]}, 'without partition 1')
        check.equal(sorted(session.next({1: 0})), [0, 1, 2], 'it may come back')
        answer = session.ask(forget=[0, 1, 2])
        check.equal((answer['error'], answer['session_id']), (NONE, 0), 'without partitions it ends')
        session.epoch += 1
        check.equal(session.ask()['error'], SESSION_NOT_FOUND, 'it is gone')


def test_line_69_who_had_records_comes_last(broker):
    """So that under a limit the partitions take turns."""
    with broker.connect() as connection:
        size = fill(connection, 'turns', 3, partitions=3)
        session = Session(connection, 'turns', range(3))
        seen = [list(session.next(max_bytes=size)) for _ in range(3)]
        check.equal(sorted(index for turn in seen for index in turn), [0, 1, 2], 'each had its turn')


def test_line_69_epochs_ids_and_the_end_of_a_session(broker):
    with broker.connect() as connection:
        fill(connection, 'ends-of-sessions', 1)
        session = Session(connection, 'ends-of-sessions', [0])
        session.next()
        session.epoch += 5
        check.equal(session.ask()['error'], SESSION_EPOCH, 'an epoch that is not the next')
        session.epoch -= 5
        session.next()
        topic_id = connection.call('Metadata', 12, {'topics': [{'name': 'ends-of-sessions'}]})['topics'][0]['topic_id']
        by_id = {'session_id': session.id, 'session_epoch': session.epoch,
                 'topics': [{'topic_id': topic_id, 'partitions': [{'index': 0, 'offset': 0}]}]}
        check.equal(connection.call('Fetch', 13, by_id)['error'], SESSION_TOPIC_ID, 'names became ids')
        answer = session.ask({0: 0}, session_epoch=-1)
        check.equal((answer['error'], answer['session_id'], len(answer['topics'])), (NONE, 0, 1), 'a last full fetch')
        check.equal(session.ask()['error'], SESSION_NOT_FOUND, 'the session was closed by it')
        again = Session(connection, 'ends-of-sessions', [0])
        again.ask({0: 0}, session_epoch=0)
        check.equal(again.ask()['error'], SESSION_NOT_FOUND, 'a new session closes the one before')


def test_line_69_every_version_has_sessions(broker):
    with broker.connect() as connection:
        fill(connection, 'versions-of-sessions', 1)
        topics = connection.call('Metadata', 12, {'topics': [{'name': 'versions-of-sessions'}]})['topics']
        for version in range(7, 19):
            named = {'name': 'versions-of-sessions'} if version < 13 else {'topic_id': topics[0]['topic_id']}
            full = connection.call('Fetch', version, {'session_epoch': 0, 'topics': [
                named | {'partitions': [{'index': 0, 'offset': 0}]}]})
            assert full['session_id'] > 0, f'v{version}: no session'
            body = {'session_id': full['session_id'], 'session_epoch': 1, 'topics': [], 'max_wait_ms': 0}
            found = connection.call('Fetch', version, body)['topics'][0]
            check.equal(offsets_of(found['partitions'][0]), [0], f'v{version}')
            check.equal(found.get('topic_id', topics[0]['topic_id']), topics[0]['topic_id'], f'topic id, v{version}')


def test_line_69_a_long_poll_of_a_session(broker):
    with broker.connect() as waiting, broker.connect() as connection:
        connection.create('session-poll', partitions=4)
        session = Session(waiting, 'session-poll', range(4))
        parked = broker.metrics()['fetches_parked_total']
        sent = waiting.send('Fetch', 11, {'session_id': session.id, 'session_epoch': 1, 'min_bytes': 1,
                                          'max_wait_ms': FOR_EVER_MS, 'topics': []})
        wait_until(lambda: broker.metrics()['fetches_parked_total'] > parked, 'the fetch waits')
        connection.produce('session-poll', batches.build([b'now']), partition=3)
        answer = waiting.receive(sent)['topics']
        check.equal([(found['index'], offsets_of(found)) for found in answer[0]['partitions']], [(3, [0])], 'the news')


def test_line_70_a_session_that_never_was(broker):
    with broker.connect() as connection:
        fill(connection, 'no-session', 1)
        answer = connection.fetch_response('no-session', 0)
        check.equal((answer['error'], answer['session_id']), (NONE, 0), 'who asks for none gets none')
        answer = connection.call('Fetch', 11, {'session_id': 77, 'session_epoch': 1, 'topics': []})
        check.equal((answer['error'], answer['session_id']), (SESSION_NOT_FOUND, 0), 'a session that never was')


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


def epoch_end(connection, topic, epoch, partition=0, current=-1, version=4):
    partitions = [{'index': partition, 'current_leader_epoch': current, 'leader_epoch': epoch}]
    body = {'topics': [{'name': topic, 'partitions': partitions}]}
    found = connection.call('OffsetForLeaderEpoch', version, body)['topics'][0]['partitions'][0]
    return found['error'], found['leader_epoch'], found['end_offset']


def test_line_75_where_an_epoch_ended(broker):
    with broker.connect() as connection:
        fill(connection, 'ended', 3, partitions=4)
        now = connection.call('Metadata', 9, {'topics': [{'name': 'ended'}]})['topics'][0]['partitions'][0]
        now = now['leader_epoch']
        for version in (2, 3, 4):
            for partition in range(4):
                found = epoch_end(connection, 'ended', now, partition, version=version)
                check.equal(found, (NONE, now, 3), f'the epoch that leads ends at the end, v{version}')
        check.equal(epoch_end(connection, 'ended', now + 1), (NONE, -1, -1), 'an epoch that is to come')
        check.equal(epoch_end(connection, 'ended', now, current=now + 1)[0], UNKNOWN_EPOCH, 'the client is ahead')
        for topic, partition in (('ended', 4), ('ended', -1), ('nowhere', 0)):
            check.equal(epoch_end(connection, topic, 0, partition), (UNKNOWN_TOPIC, -1, -1), f'{topic}/{partition}')


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


def raise_epochs(broker, topic, epoch):
    """A stopped broker's metadata says that the topic's leaders were chosen anew: no second broker is needed for it."""
    with contextlib.closing(sqlite3.connect(broker.data / 'metadata.sqlite')) as database, database:
        key = f'topics/{topic}'
        (value,), = database.execute('SELECT value FROM entries WHERE key = ?', (key,)).fetchall()
        raised, partitions = re.subn(r'^(partition \d+ \d+) 0 ', rf'\1 {epoch} ', value, flags=re.MULTILINE)
        database.execute('UPDATE entries SET value = ? WHERE key = ?', (raised, key))
    return partitions


def line_27_who_is_fenced_learns_the_leader(run):
    """KIP-951, as far as one broker has it: the leader's epoch, and its address of the listener that was used."""
    broker = run.broker({'broker.rack': 'here', 'advertised.listeners': 'TWO://localhost:0'}, start=False)
    listen = 'ONE://127.0.0.1:0,TWO://127.0.0.1:0'
    broker.start(listen=listen)
    with broker.connect() as connection:
        fill(connection, 'hints', 1, partitions=4)
    broker.stop()
    check.equal(raise_epochs(broker, 'hints', 5), 4, 'partitions with another epoch')
    broker.start(listen=listen)
    one, two = broker.listening
    for address, host in ((one, '127.0.0.1'), (two, 'localhost')):
        with wire.Connection(address) as connection:
            told = connection.call('Metadata', 12, {'topics': [{'name': 'hints'}]})
            check.equal([found['leader_epoch'] for found in told['topics'][0]['partitions']], [5] * 4, 'leader epochs')
            named = {'name': 'hints'}, {'topic_id': told['topics'][0]['topic_id']}
            asked = [{'index': index, 'offset': 0, 'current_leader_epoch': 5 if index == 3 else 4}
                     for index in range(4)]  # on each lcore one that is fenced
            for version in range(9, 19):
                answer = connection.call('Fetch', version,
                                         {'topics': [named[version >= 13] | {'partitions': asked}]})
                found = answer['topics'][0]['partitions']
                check.equal([each['error'] for each in found], [FENCED_EPOCH] * 3 + [NONE], f'errors, v{version}')
                hints = [each.get('current_leader') for each in found]
                leader = {'leader_id': told['brokers'][0]['node_id'], 'leader_epoch': 5}
                check.equal(hints, [leader] * 3 + [None] if version >= 16 else [None] * 4, f'hints, v{version}')
                node = {'node_id': leader['leader_id'], 'host': host, 'port': address[1], 'rack': 'here'}
                check.equal(answer.get('node_endpoints'), [node] if version >= 16 else None, f'nodes, v{version}')
    broker.stop()


def main():
    run = check.Run()
    tests = [function for name, function in globals().items() if name.startswith('test_')]
    run.tests(run.broker(), *tests)
    if not lab.NAME:  # it names two listeners of the kernel; in the lab all are the device's
        run.tests(run, line_27_who_is_fenced_learns_the_leader)
    run.finish()


if __name__ == '__main__':
    main()
