#!/usr/bin/python3
"""Hostile bytes at the real socket, 2,000 connections of them, while kcat produces and consumes: the right error or a
closed connection, a counter, everyone else served, memory bounded. ctest compat.hostile.
PENSTOCK_SEED in the environment repeats a run."""
import os
import random
import resource
import socket
import struct
import time

import batches
import check
import wire
from broker import LCORES, MIB
from traffic import Traffic

CONNECTIONS = 2000
CHECK_EACH = 100
STALLED, UNREAD = 20, 20
HALF_SENT, HALF_BYTES = 2000, 60_000  # each a buffer of the pool
HALF_POOL_BYTES = max(126, 101 + 75 // LCORES) * MIB  # at most eight in ten of them may land
HALF_SERVED_S = 5  # for a small request beside them: none of them has to be found to stall first
HALF_CLEARED_S = 60  # for one of a megabyte: they stall for ten seconds, perhaps not all of them at once
POOL_BYTES = 160 * MIB  # penstock.receive.pool.bytes: what requests being received may hold
SLACK_BYTES = 64 * MIB  # sockets, answers, allocator
NONE, CORRUPT, UNSUPPORTED_VERSION, INVALID_RECORD = 0, 2, 35, 87
TOPIC = 'target'
BIG = batches.build([bytes(1_000_000)])
BIG_BATCHES = 8


def request_of(api, version, body=b'', correlation=1):
    return struct.pack('>hhih5s', api, version, correlation, 5, b'evil!') + body


def good_requests():
    produce = {'acks': -1, 'topics': [{'name': TOPIC, 'partitions': [
        {'index': 0, 'records': batches.build([b'some bytes', b'and more'])}]}]}
    fetch = {'topics': [{'name': TOPIC, 'partitions': [{'index': 0, 'offset': 0, 'max_bytes': 1000}]}]}
    offsets = {'topics': [{'name': TOPIC, 'partitions': [{'index': 0, 'timestamp': -1}]}]}
    return [wire.encode_request(*request) for request in (
        ('Produce', 3, produce), ('Produce', 9, produce), ('Fetch', 4, fetch), ('Fetch', 12, fetch),
        ('ListOffsets', 1, offsets), ('ListOffsets', 6, offsets), ('Metadata', 1, {'topics': [{'name': TOPIC}]}),
        ('Metadata', 12, {'topics': [{'name': TOPIC}]}), ('ApiVersions', 0), ('ApiVersions', 3),
        ('CreateTopics', 5, {'topics': [{'name': 'no/name'}]}), ('FindCoordinator', 4, {'keys': ['a']}))]


class Attack:
    """One way to be hostile each; returns the counter that has to move, or None."""

    def __init__(self, broker, seed):
        self.broker, self.random, self.good = broker, random.Random(seed), good_requests()

    def truncated_frame(self, peer):
        frame = wire.frame(self.random.choice(self.good))
        peer.send_raw(frame[:self.random.randrange(len(frame))])

    def huge_length(self, peer):
        peer.send_raw(struct.pack('>i', self.random.choice((2**31 - 1, 2**30, 100 * MIB + 1))) + bytes(100))
        check.expect(peer.is_closed_by_peer(), 'a frame of impossible length was taken')
        return 'bad_frame'

    def negative_length(self, peer):
        peer.send_raw(struct.pack('>i', -self.random.randrange(1, 2**31)))
        check.expect(peer.is_closed_by_peer(), 'a frame of a length below zero was taken')
        return 'bad_frame'

    def random_bytes(self, peer):
        try:
            peer.send_raw(self.random.randbytes(self.random.randrange(1, 2000)))
        except wire.Closed:
            pass

    def random_body(self, peer):
        """A header that is served, and anything behind it: closed, or any answer."""
        api, version = self.random.choice(((0, 7), (0, 9), (1, 11), (1, 16), (2, 5), (3, 9), (18, 3), (19, 5), (20, 4),
                                           (22, 2), (60, 0), (10, 4)))
        peer.send_raw(wire.frame(request_of(api, version, self.random.randbytes(self.random.randrange(200)))))

    def mutated(self, peer):
        data = bytearray(self.random.choice(self.good))
        for _ in range(self.random.randrange(1, 6)):
            data[self.random.randrange(8, len(data))] = self.random.randrange(256)
        peer.send_raw(wire.frame(bytes(data)))

    def huge_count(self, peer):
        """An array that claims two thousand million elements in a few bytes."""
        api, version, lead = self.random.choice((
            (0, 3, b'\xff\xff\0\1\0\0\0\1'), (3, 1, b''), (19, 2, b''), (20, 1, b''),
            (2, 1, b'\xff\xff\xff\xff'), (1, 4, bytes(17))))
        peer.send_raw(wire.frame(request_of(api, version, lead + struct.pack('>i', 2**31 - 1) + bytes(8))))
        check.expect(peer.is_closed_by_peer(), f'API {api}: an array of 2**31 - 1 elements was taken')
        return 'bad_request'

    def unknown_api(self, peer):
        peer.send_raw(wire.frame(request_of(self.random.choice((4, 7, 93, 200, -5, 32767)), 0, bytes(8))))
        check.expect(peer.is_closed_by_peer(), 'an unknown API was taken')
        return 'bad_request'

    def unknown_version(self, peer):
        peer.send_raw(wire.frame(request_of(self.random.choice((0, 1, 2, 3, 19)), self.random.choice((-1, 99)))))
        check.expect(peer.is_closed_by_peer(), 'an unknown version was taken')
        return 'bad_request'

    def unknown_api_versions(self, peer):
        peer.send_raw(wire.frame(request_of(18, self.random.randrange(5, 2**15), bytes(30), 77)))
        answer = wire.decode_response('ApiVersions', 0, peer.receive_frame(), 77)
        check.equal(answer['error'], UNSUPPORTED_VERSION, 'ApiVersions of an unknown version')
        return 'api_versions'

    def wrong_crc(self, peer):
        answer = peer.produce(TOPIC, batches.build([self.random.randbytes(50)], crc=self.random.randrange(2**32)))
        check.equal(answer['error'], CORRUPT, 'a wrong CRC')
        return 'refused'

    def wrong_count(self, peer):
        answer = peer.produce(TOPIC, batches.build([b'a', b'b'], count=self.random.choice((0, 1, 3, 2**31 - 1, -1))))
        check.expect(answer['error'] in (CORRUPT, INVALID_RECORD), f'a wrong record count got {answer["error"]}')
        return 'refused'

    def never_reads(self, peer):
        for _ in range(20):
            peer.send('Fetch', 4, {'topics': [{'name': TOPIC, 'partitions': [{'index': 0, 'offset': 0}]}]})

    def resets(self, peer):
        peer.send_raw(wire.frame(self.random.choice(self.good)))
        peer.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))

    def kinds(self):
        return [self.truncated_frame, self.huge_length, self.negative_length, self.random_bytes, self.random_body,
                self.mutated, self.huge_count, self.unknown_api, self.unknown_version, self.unknown_api_versions,
                self.wrong_crc, self.wrong_count, self.never_reads, self.resets]


COUNTERS = {
    'bad_frame': ('connections_closed_bad_frame_total',),
    'bad_request': ('connections_closed_bad_request_total', 'slow_requests_bad_total'),
    'api_versions': ('api_versions_unsupported_total',),
    'refused': ('produce_refused_total',),
}


def read_counters(broker):
    metrics = broker.metrics()
    return {kind: sum(metrics[name] for name in names) for kind, names in COUNTERS.items()}


def stalled_connections(broker):
    """They announce requests as large as may be, send a little, and wait."""
    peers = []
    for _ in range(STALLED):
        peer = broker.connect()
        peer.send_raw(struct.pack('>i', 100 * MIB) + request_of(0, 9) + bytes(100_000))
        peers.append(peer)
    return peers


def unread_connections(broker):
    """They ask for far more than the sockets hold, and read nothing."""
    peers = []
    for _ in range(UNREAD):
        peer = broker.connect(receive_buffer=4096)
        for _ in range(50):
            peer.send('Fetch', 11, {'topics': [{'name': 'big', 'partitions': [{'index': 0, 'offset': 0}]}]})
        peers.append(peer)
    return peers


def check_that_one_reads_on(peer):
    """A client that did not read for long, and then does: what it asked for first is all there."""
    for correlation in range(1, 4):
        answer = peer.receive(('Fetch', 11, correlation))['topics'][0]['partitions'][0]
        found = batches.split(answer['records'])
        check.equal([batch.base_offset for batch in found[:BIG_BATCHES]], list(range(BIG_BATCHES)), 'offsets')
        check.expect(all(batch.bytes[batches.CRC_FROM:] == BIG[batches.CRC_FROM:] for batch in found), 'other bytes')


def check_memory(broker, before):
    now = broker.resident_bytes()
    check.expect(now - before <= LCORES * POOL_BYTES + SLACK_BYTES, f'memory grew from {before} to {now} bytes')
    return now


def attack(broker, traffic, seed):
    attack_of, expected, before = Attack(broker, seed), dict.fromkeys(COUNTERS, 0), read_counters(broker)
    resident, highest = broker.resident_bytes(), 0
    peers = stalled_connections(broker) + unread_connections(broker)
    kinds = attack_of.kinds()
    for number in range(CONNECTIONS):
        kind = kinds[number % len(kinds)]
        try:
            with broker.connect() as peer:
                counter = kind(peer)
        except wire.Closed:  # in the middle of what it said
            counter = None
            check.expect(kind.__name__ in ('never_reads', 'mutated', 'random_body'), f'{kind.__name__}: closed')
        if counter:
            expected[counter] += 1
        if number % CHECK_EACH == 0:
            traffic.check_served()
            with broker.connect() as peer:  # a request that does not fit what a connection may hold unasked
                check.equal(peer.produce('large', BIG)['error'], NONE, 'a large request of somebody else')
            highest = max(highest, check_memory(broker, resident))
    after = read_counters(broker)
    for kind, count in expected.items():
        check.expect(after[kind] - before[kind] >= count > 0,
                     f'{kind}: {count} times, but counted {after[kind] - before[kind]}')
    check_that_one_reads_on(peers[-1])
    for peer in peers:
        peer.socket.close()
    return f'{CONNECTIONS} connections, memory {resident // MIB} MiB before, {highest // MIB} MiB at most'


def test_hostile_connections(broker):
    seed = int(os.environ.get('PENSTOCK_SEED') or random.randrange(2**32))
    print(f'PENSTOCK_SEED={seed}', flush=True)
    with broker.connect() as connection:
        for topic in (TOPIC, 'big', 'large'):
            connection.create(topic)
        for _ in range(BIG_BATCHES):
            connection.produce('big', BIG)
    traffic = Traffic(broker, 'others')
    try:
        traffic.check_served()
        said = attack(broker, traffic, seed)
        said += f', {traffic.finish()}'
    finally:
        traffic.close()
    wait_until_home(broker)
    return said


def wait_until_home(broker):
    """Every connection of this test is closed and its descriptor gone, without any time-out having to pass."""
    for _ in range(600):
        if broker.metrics()['connections_open'] == 0:
            break
        time.sleep(0.05)
    check.equal(broker.metrics()['connections_open'], 0, 'connections that are open')
    check.expect(broker.open_files() < 100, f'{broker.open_files()} descriptors are open')


def test_requests_that_never_end(broker):
    """Clients that send almost all of the largest request there may be, and stop: one fills what requests may hold, the
    next have to wait, and whoever asks for less is served."""
    resident, peers, sent = broker.resident_bytes(), [], 0
    traffic = Traffic(broker, 'others-again')
    try:
        traffic.check_served()
        for _ in range(4):
            peer = broker.connect(timeout=1)
            peers.append(peer)
            sent += send_as_much_as_it_takes(peer, struct.pack('>i', 100 * MIB) + request_of(0, 9), 99 * MIB)
            traffic.check_served()
        check.expect(sent >= 99 * MIB, f'only {sent} bytes were taken of the first')
        check_memory(broker, resident)
        traffic.check_served(50)
        said = traffic.finish()
    finally:
        traffic.close()
        for peer in peers:
            peer.socket.close()
    with broker.connect() as peer:  # what they held is free again
        check.equal(peer.produce('large', BIG)['error'], NONE, 'a large request afterwards')
    return f'{sent // MIB} MiB were taken, {said}'


def test_half_sent_requests(broker):
    """Thousands that each begin the largest request there may be, and wait: whoever asks for little is served at once,
    on a connection that is open and on a new one, and whoever asks for more when they are found to stall."""
    resident, peers, small = broker.resident_bytes(), [], batches.build([b'of somebody else'])
    begun = struct.pack('>i', 100 * MIB) + request_of(0, 9)
    begun += bytes(HALF_BYTES - len(begun))
    with broker.connect() as connection:
        connection.create('large')
    traffic = Traffic(broker, 'others-beside')
    try:
        with broker.connect(timeout=HALF_SERVED_S) as opened:
            for number in range(HALF_SENT):
                peers.append(broker.connect())
                peers[-1].send_raw(begun)
                if number % (HALF_SENT // 4) == HALF_SENT // 4 - 1:
                    traffic.check_served()
                    check.equal(opened.produce('large', small)['error'], NONE, 'a small request')
                    with broker.connect(timeout=HALF_SERVED_S) as new:
                        check.equal(new.produce('large', small)['error'], NONE, 'a small request of one who comes')
        check_memory(broker, resident)
        with broker.connect(timeout=HALF_CLEARED_S) as peer:
            started = time.monotonic()
            check.equal(peer.produce('large', BIG)['error'], NONE, 'a large request')
            waited = time.monotonic() - started
        said = traffic.finish()
    finally:
        traffic.close()
        for peer in peers:
            peer.socket.close()
    return f'{waited:.1f} s for a large request, {said}'


def send_as_much_as_it_takes(peer, head, size):
    sent, piece = 0, bytes(MIB)
    try:
        peer.send_raw(head)
        while sent < size:
            sent += peer.socket.send(piece)
    except (TimeoutError, ConnectionError):  # the broker closes who holds memory that others wait for
        pass
    return sent


def test_it_stops_cleanly_and_starts_again(broker):
    broker.stop()
    broker.start()
    with broker.connect() as connection:
        check.equal(connection.offset('big', -1)['offset'], BIG_BATCHES, 'what was stored before')


def main():
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    run = check.Run()
    run.tests(run.broker(ring_bytes=96 * MIB), test_hostile_connections, test_requests_that_never_end,
              test_it_stops_cleanly_and_starts_again)
    run.tests(run.broker({'penstock.receive.pool.bytes': HALF_POOL_BYTES}, ring_bytes=96 * MIB),
              test_half_sent_requests)
    run.finish()


if __name__ == '__main__':
    main()
