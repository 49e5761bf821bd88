#!/usr/bin/python3
"""Figures that the log promises, read off the program's own counters and /proc: the tail is consumed without copying,
the ring is written without punts, an idle broker uses no core. ctest compat.figures."""
import time

import batches
import check
import wire
from broker import MIB

IDLE_S = 10
IDLE_CONNECTIONS = 50
IDLE_SHARE_MAX = 0.02  # of one core
BATCHES = 2000
PIECES_BATCHES, PIECES_OF = 60, (16_384, 40_000, 65_000)  # bytes of their batches, in turn
SEGMENT_BYTES, SEGMENT_PAUSE_S = 1448, 0.0002  # a frame of Ethernet brings so many
TOUCHES_MAX = 1.01


def moved(broker, before, name):
    return broker.metrics()[name] - before[name]


def test_consuming_the_tail_copies_nothing(broker):
    """Batches of 1 KiB and more go from the ring's memory to the socket as they are."""
    with broker.connect() as connection:
        connection.create('tail')
        before, offset, fetched = broker.metrics(), 0, 0
        for number in range(BATCHES):
            size = 1024 + number * 7 % 9000
            check.equal(connection.produce('tail', batches.build([bytes(size)], crc=None))['error'], 0, 'produce')
            if number % 20 == 19:
                answer = connection.fetch('tail', offset)
                found = batches.split(answer['records'])
                check.equal([found[0].base_offset, batches.last_offset(found[-1])], [offset, number], 'fetched')
                offset, fetched = number + 1, fetched + len(answer['records'])
        check.equal(moved(broker, before, 'bytes_gathered_total'), 0, 'bytes gathered')
        check.equal(moved(broker, before, 'bytes_fetched_total'), fetched, 'bytes fetched')
        check.within(moved(broker, before, 'bytes_copied_total') / moved(broker, before, 'bytes_appended_total'),
                     0.99, 1.01, 'bytes copied for each byte appended')
    return f'{fetched} bytes fetched'


def test_batches_in_pieces_are_touched_once(broker):
    """As a real network brings them, a segment at a time: each is read behind the one before it, and nothing moves."""
    with broker.connect() as connection:
        connection.create('pieces')
        requests = [frame_of_produce('pieces', batches.build([bytes(size)])) for size in PIECES_OF]
        before = broker.metrics()
        for number in range(PIECES_BATCHES):
            data = requests[number % len(requests)]
            for at in range(0, len(data), SEGMENT_BYTES):
                connection.send_raw(data[at:at + SEGMENT_BYTES])
                time.sleep(SEGMENT_PAUSE_S)
            connection.receive_frame()
        appended = moved(broker, before, 'bytes_appended_total')
        check.expect(appended >= PIECES_BATCHES // len(PIECES_OF) * sum(PIECES_OF), f'{appended} bytes appended')
        touched = moved(broker, before, 'bytes_copied_total') + moved(broker, before, 'bytes_coalesced_total')
        check.within(touched / appended, 0.99, TOUCHES_MAX, 'bytes copied or moved for each byte appended')
    return f'{touched / appended:.4f} ({appended:.0f} bytes appended)'


def frame_of_produce(topic, records):
    return wire.frame(wire.encode_request('Produce', 9, {'acks': -1, 'topics': [
        {'name': topic, 'partitions': [{'index': 0, 'records': records}]}]}))


def test_small_batches_are_gathered_and_counted(broker):
    """The exception that has its counter: without it the test above would show nothing."""
    with broker.connect() as connection:
        connection.create('small')
        before = broker.metrics()
        for _ in range(20):
            connection.produce('small', batches.build([b'small']))
        connection.fetch('small', 0)
        gathered = moved(broker, before, 'bytes_gathered_total')
        check.expect(gathered > 0, 'small batches were not counted as gathered')
        return f'{gathered:.0f} bytes gathered'


def test_ring_writes_are_not_punted(broker):
    metrics = broker.metrics()
    check.equal(metrics['ring_punts_total'], 0, 'ring punts')
    check.expect(metrics['ring_frames_total'] > 0, 'no frames were written')
    return f'0 of {metrics["ring_frames_total"]:.0f} frames'


def test_an_idle_broker_uses_no_core(broker):
    """With connections that are open and a consumer that waits, after having served."""
    peers = [broker.connect() for _ in range(IDLE_CONNECTIONS)]
    for peer in peers:
        peer.call('ApiVersions', 3)
    waiting = peers[0].send('Fetch', 11, {'max_wait_ms': (IDLE_S + 5) * 1000, 'min_bytes': 1, 'topics': [
        {'name': 'tail', 'partitions': [{'index': 0, 'offset': BATCHES}]}]})
    time.sleep(1)
    before = broker.cpu_seconds()
    time.sleep(IDLE_S)
    share = (broker.cpu_seconds() - before) / IDLE_S
    check.expect(share < IDLE_SHARE_MAX, f'an idle broker uses {share:.1%} of a core')
    peers[1].produce('tail', batches.build([b'wake up']))
    answer = peers[0].receive(waiting)['topics'][0]['partitions'][0]
    check.equal(len(batches.split(answer['records'])), 1, 'what the waiting consumer got')
    for peer in peers:
        peer.socket.close()
    return f'{share:.2%} of a core'


def main():
    run = check.Run()
    run.tests(run.broker(ring_bytes=64 * MIB), test_consuming_the_tail_copies_nothing,
              test_batches_in_pieces_are_touched_once,
              test_small_batches_are_gathered_and_counted, test_ring_writes_are_not_punted,
              test_an_idle_broker_uses_no_core)
    run.finish()


if __name__ == '__main__':
    main()
