#!/usr/bin/python3
"""Produce at the bytes (docs/compatibility.md, lines 41 to 62): ctest compat.produce."""
import gzip
import struct

import batches
import check

(NONE, CORRUPT, UNKNOWN_TOPIC, TOO_LARGE, INVALID_ACKS, UNSUPPORTED_FORMAT, OUT_OF_ORDER, DUPLICATE, INVALID_EPOCH,
 UNSUPPORTED_COMPRESSION, INVALID_RECORD) = 0, 2, 3, 10, 21, 43, 45, 46, 47, 76, 87
EVERY_VERSION = range(3, 13)
RING_BYTES = 64 << 20


def refused(broker, topic, wanted, what, records, **more):
    """The error is one of wanted, nothing is stored, and the connection lives on."""
    with broker.connect() as connection:
        connection.create(topic)
        wanted = wanted if isinstance(wanted, tuple) else (wanted,)
        answer = connection.produce(topic, records, **more)
        check.expect(answer['error'] in wanted, f'{what}: error {answer["error"]}, wanted {wanted}')
        check.equal(answer['base_offset'], -1, f'{what}: base offset')
        check.equal(connection.produce(topic, batches.build())['base_offset'], 0, f'{what}: the next batch')


def test_line_41_old_magic_is_refused(broker):
    message = struct.pack('>bbi', 1, 0, 0) + struct.pack('>i', 1) + b'x'  # not a message set, but of its magic
    for magic in (0, 1):
        old = struct.pack('>qiIbb', 0, 22, 0, magic, 0) + bytes(12) + message
        refused(broker, f'magic-{magic}', (UNSUPPORTED_FORMAT, INVALID_RECORD, CORRUPT), f'magic {magic}', old)
        refused(broker, f'magic-b-{magic}', (UNSUPPORTED_FORMAT, INVALID_RECORD, CORRUPT), f'a batch of magic {magic}',
                batches.build(magic=magic))


def test_line_41_exactly_one_batch(broker):
    refused(broker, 'two-batches', INVALID_RECORD, 'two batches', batches.build() + batches.build())
    refused(broker, 'no-batch', (INVALID_RECORD, CORRUPT), 'no batch', b'')
    refused(broker, 'null-batch', (INVALID_RECORD, CORRUPT), 'null', None)


def test_line_42_wrong_crc_is_corrupt(broker):
    refused(broker, 'crc', CORRUPT, 'wrong CRC', batches.build(crc=12345))
    good = batches.build([b'some value'])
    for at in (batches.CRC_FROM, batches.RECORDS_AT, len(good) - 1):
        broken = bytearray(good)
        broken[at] ^= 0x80
        refused(broker, f'flip-{at}', (CORRUPT, INVALID_RECORD), f'byte {at} flipped', bytes(broken))


def test_line_42_counts_have_to_agree(broker):
    values = [b'a', b'b', b'c']
    for name, batch in (
            ('count', batches.build(values, count=2)),
            ('count-more', batches.build(values, count=4)),
            ('zero', batches.build([], records=[], count=0)),
            ('below-zero', batches.build(values, count=-3)),
            ('delta', batches.build(values, last_offset_delta=7)),
            ('delta-below-zero', batches.build(values, last_offset_delta=-1)),
            ('deltas', batches.build(records=[batches.record(0, b'a'), batches.record(2, b'b')])),
            ('trailing', batches.build(records=[batches.record(0, b'a') + b'\0\0'])),
            ('short', batches.build(records=[batches.record(0, b'abc')[:-1]])),
            ('huge-length', batches.build(records=[batches.varint(2**31 - 1) + b'\0'])),
            ('length', batches.build(values, length=20)),
            ('length-more', batches.build(values, length=10_000)),
            ('length-below-zero', batches.build(values, length=-1))):
        refused(broker, f'agree-{name}', (INVALID_RECORD, CORRUPT), name, batch)


def test_line_43_clients_write_no_control_batches(broker):
    marker = batches.record(0, struct.pack('>hi', 0, 1), key=struct.pack('>hh', 0, 1))
    refused(broker, 'control', INVALID_RECORD, 'a control batch',
            batches.build(records=[marker], attributes=batches.CONTROL))


def test_line_44_too_large(broker):
    overhead = len(batches.build([b'']))
    limit = 1_048_588
    with broker.connect() as connection:
        connection.create('limit')
        fits = batches.build([bytes(limit - overhead - 8)])
        check.expect(limit - 8 <= len(fits) <= limit, f'a batch of {len(fits)} bytes for the test')
        check.equal(connection.produce('limit', fits)['error'], NONE, f'{len(fits)} bytes')
    refused(broker, 'too-large', TOO_LARGE, 'one over the limit', batches.build([bytes(limit)]))
    with broker.connect() as connection:
        stream = gzip.compress(batches.record(0, bytes(4 * limit)))
        check.expect(len(stream) < limit, 'the batch for the test')
        small = batches.build(records=[b''], codec='gzip', stream=stream)
        check.equal(connection.produce('limit', small)['error'], NONE, 'the size that counts is the compressed one')


def test_line_44_larger_than_the_ring(broker):
    """max.message.bytes may be all that 32 bits hold; then the write-ahead ring bounds a batch."""
    too_large = batches.build([bytes(RING_BYTES)])
    with broker.connect() as connection:
        for topic, more in (('no-limit', {}), ('no-limit-gzip', {'compression_type': 'gzip'})):
            connection.create(topic, max_message_bytes=(1 << 31) - 1, **more)
            check.equal(connection.produce(topic, batches.build())['base_offset'], 0, 'a small batch')
        check.equal(connection.produce('no-limit', too_large)['error'], TOO_LARGE, 'a batch larger than the ring')
        large = batches.build([bytes(RING_BYTES // 4)])
        check.equal(connection.produce('no-limit', large)['base_offset'], 1, 'a large one')
        # Zeros become small; only what is stored has to fit.
        check.equal(connection.produce('no-limit-gzip', too_large)['base_offset'], 1, 'one that gzip makes small')
        check.equal(connection.produce('no-limit', batches.build())['base_offset'], 2, 'the next batch')


def test_line_45_max_message_bytes_of_the_topic(broker):
    with broker.connect() as connection:
        connection.create('small', max_message_bytes=1000)
        check.equal(connection.produce('small', batches.build([bytes(800)]))['error'], NONE, '800 bytes')
        check.equal(connection.produce('small', batches.build([bytes(1000)]))['error'], TOO_LARGE, '1000 bytes')
        connection.create('large', max_message_bytes=2_200_000)
        check.equal(connection.produce('large', batches.build([bytes(2_000_000)]))['error'], NONE, '2 MB')
        fetched = batches.split(connection.fetch('large', 0)['records'])
        check.equal(len(fetched[0].bytes), len(batches.build([bytes(2_000_000)])), 'the batch of 2 MB, read back')


def test_line_46_and_48_compressed_batches_stay_untouched(broker):
    """Also such as no library here writes: gzip of several members, raw snappy and snappy in xerial's frames."""
    records = b''.join(batches.record(index, b'value %d' % index) for index in range(4))
    literal = bytes([len(records), 60 << 2, len(records) - 1]) + records  # one raw snappy block, one literal
    xerial = b'\x82SNAPPY\0' + struct.pack('>iii', 1, 1, len(literal)) + literal
    lz4 = b'\x04\x22\x4d\x18\x60\x40\x82' + struct.pack('<I', len(records) | 1 << 31) + records + bytes(4)
    streams = {'gzip': gzip.compress(records[:9]) + gzip.compress(records[9:]), 'snappy': literal, 'lz4': lz4}
    cases = [*streams.items(), ('snappy', xerial)]
    with broker.connect() as connection:
        for number, (codec, stream) in enumerate(cases):
            topic = f'untouched-{number}'
            connection.create(topic)
            sent = batches.build([b''] * 4, codec=codec, stream=stream)
            check.equal(connection.produce(topic, sent, version=7)['error'], NONE, codec)
            got = connection.fetch(topic, 0)['records']
            check.equal(got[batches.CRC_FROM - 5:], sent[batches.CRC_FROM - 5:], f'{codec}: magic to end as sent')


def test_line_47_zstd_needs_version_7(broker):
    batch = batches.build(codec='zstd', stream=b'\x28\xb5\x2f\xfd' + bytes(9))
    for version in (3, 6):
        refused(broker, f'zstd-v{version}', UNSUPPORTED_COMPRESSION, f'zstd in Produce v{version}', batch,
                version=version)
    with broker.connect() as connection:
        connection.create('zstd-v7')
        check.equal(connection.produce('zstd-v7', batch, version=7)['error'], NONE, 'zstd in Produce v7')


def test_line_51_and_52_headers_and_nulls_come_back(broker):
    records = [batches.record(0, b'v', key=b'k', headers=[(b'same', b'1'), (b'same', b'2'), (b'null', None)]),
               batches.record(1, None, key=b'tombstone'),
               batches.record(2, b'', key=b'empty'),
               batches.record(3, b'keyless', key=None)]
    with broker.connect() as connection:
        connection.create('nulls')
        sent = batches.build(records=records)
        check.equal(connection.produce('nulls', sent)['error'], NONE, 'produce')
        got = batches.split(connection.fetch('nulls', 0)['records'])[0].bytes
        check.equal(got[batches.RECORDS_AT:], sent[batches.RECORDS_AT:], 'the records, byte for byte')


def test_line_53_min_insync_replicas_counts_the_replicas_there_are(broker):
    with broker.connect() as connection:
        connection.create('insync', min_insync_replicas=2)
        check.equal(connection.produce('insync', batches.build(), acks=-1)['error'], NONE, 'acks=all, one replica')


def test_line_54_other_acks_are_refused(broker):
    for acks in (2, -2, 32767):
        refused(broker, f'acks-{acks}', INVALID_ACKS, f'acks {acks}', batches.build(), acks=acks)
    with broker.connect() as connection:
        connection.create('acks')
        for number, acks in enumerate((1, -1)):
            check.equal(connection.produce('acks', batches.build(), acks=acks)['base_offset'], number, f'acks {acks}')


def test_line_55_answers_in_every_version(broker):
    with broker.connect() as connection:
        topic_id = connection.create('versions')['topic_id']
        for number, version in enumerate(EVERY_VERSION):
            answer = connection.produce('versions', batches.build(), version=version)
            check.equal((answer['error'], answer['base_offset'], answer['log_append_time']), (NONE, number, -1),
                        f'Produce v{version}')
            check.equal(answer.get('log_start_offset', 0), 0, f'log start offset, v{version}')
            check.equal((answer.get('record_errors', []), answer.get('error_message')), ([], None), f'v{version}')
        body = {'acks': -1, 'topics': [{'topic_id': topic_id,
                                        'partitions': [{'index': 0, 'records': batches.build()}]}]}
        answer = connection.call('Produce', 13, body)['topics'][0]['partitions'][0]
        check.equal((answer['error'], answer['base_offset']), (NONE, len(EVERY_VERSION)), 'Produce v13')


def test_a_compacted_topic_wants_keys(broker):
    """KIP-467: which records of a batch are at fault. Compressed ones are looked into too."""
    with broker.connect() as connection:
        connection.create('compacted', **{'cleanup.policy': 'compact'})
        good = batches.record(0, b'a', key=b'k')
        for codec in ('none', 'gzip'):
            mixed = [good, batches.record(1, b'b'), batches.record(2, None, key=b''), batches.record(3, b'c')]
            answer = connection.produce('compacted', batches.build(records=mixed, codec=codec), version=8)
            check.equal((answer['error'], answer['base_offset']), (INVALID_RECORD, -1), f'no key, {codec}')
            check.equal([bad['batch_index'] for bad in answer['record_errors']], [1, 3], f'records at fault, {codec}')
            check.expect('key' in answer['error_message'], f'a message that says why: {answer["error_message"]}')
        for offset, codec in enumerate(('none', 'gzip')):
            answer = connection.produce('compacted', batches.build(records=[good], codec=codec))
            check.equal((answer['error'], answer['base_offset']), (NONE, offset), f'with a key, {codec}')


def test_produce_to_what_is_not_there(broker):
    with broker.connect() as connection:
        connection.create('one-partition')
        for topic, partition in (('not-there', 0), ('one-partition', 1), ('one-partition', -1),
                                 ('one-partition', 2**31 - 1)):
            answer = connection.produce(topic, batches.build(), partition=partition)
            check.equal(answer['error'], UNKNOWN_TOPIC, f'{topic}/{partition}')


def test_many_partitions_in_one_request(broker):
    """Each partition has its own outcome; the good ones are stored although others are refused."""
    with broker.connect() as connection:
        connection.create('several', partitions=8)
        partitions = [{'index': index, 'records': batches.build(crc=1 if index % 2 else None)} for index in range(9)]
        answer = connection.call('Produce', 9, {'acks': -1, 'topics': [{'name': 'several', 'partitions': partitions}]})
        errors = [partition['error'] for partition in answer['topics'][0]['partitions']]
        check.equal(errors, [NONE, CORRUPT] * 4 + [UNKNOWN_TOPIC], 'errors by partition')
        ends = [connection.offset('several', -1, partition=index)['offset'] for index in range(8)]
        check.equal(ends, [1, 0] * 4, 'log end offsets')


class Producer:
    """An idempotent producer of one partition."""

    def __init__(self, connection, topic, create=True):
        self.connection, self.topic = connection, topic
        if create:
            connection.create(topic)
        answer = connection.call('InitProducerId', 4)
        check.equal(answer['error'], NONE, 'InitProducerId')
        self.id, self.epoch = answer['producer_id'], answer['producer_epoch']

    def send(self, sequence, values=(b'x',), epoch=None):
        batch = batches.build(values, producer_id=self.id, base_sequence=sequence,
                              producer_epoch=self.epoch if epoch is None else epoch)
        return self.connection.produce(self.topic, batch)

    def check(self, sequence, error, offset, what, **more):
        answer = self.send(sequence, **more)
        check.equal((answer['error'], answer['base_offset']), (error, offset), what)


def test_init_producer_id_in_every_version(broker):
    with broker.connect() as connection:
        ids = set()
        for version in range(6):
            answer = connection.call('InitProducerId', version)
            check.equal((answer['error'], answer['producer_epoch']), (NONE, 0), f'InitProducerId v{version}')
            ids.add(answer['producer_id'])
        check.equal(len(ids), 6, 'producer ids are given once')


def test_line_56_a_repeat_gets_the_first_offset_and_a_gap_45(broker):
    with broker.connect() as connection:
        producer = Producer(connection, 'repeats')
        for number in range(5):
            producer.check(number * 2, NONE, number * 2, 'in sequence', values=[b'a', b'b'])
        for number in range(5):
            producer.check(number * 2, NONE, number * 2, f'repeat of batch {number}', values=[b'a', b'b'])
        producer.check(11, OUT_OF_ORDER, -1, 'a gap', values=[b'a', b'b'])
        producer.check(10, NONE, 10, 'on after the gap was refused', values=[b'a', b'b'])
        check.equal(connection.offset('repeats', -1)['offset'], 12, 'log end offset')


def test_line_57_a_repeat_from_before_the_window_is_46(broker):
    with broker.connect() as connection:
        producer = Producer(connection, 'window')
        for number in range(6):
            producer.check(number, NONE, number, 'in sequence')
        producer.check(0, DUPLICATE, -1, 'older than the last five')
        producer.check(1, NONE, 1, 'the oldest of the last five')


def test_line_58_sequences_wrap(broker):
    with broker.connect() as connection:
        producer = Producer(connection, 'wrap')
        last = 2**31 - 1
        producer.check(last - 1, NONE, 0, 'the first batch may have any sequence: nothing is known of the producer')
        producer.check(last, NONE, 1, 'three records over the wrap', values=[b'a', b'b', b'c'])
        producer.check(2, NONE, 4, 'after the wrap')
        producer.check(last, NONE, 1, 'a repeat of the batch over the wrap', values=[b'a', b'b', b'c'])


def test_line_60_producers_are_known_after_kill_and_stop(broker):
    with broker.connect() as connection:
        producer = Producer(connection, 'restarts')
        for number in range(3):
            producer.check(number, NONE, number, 'before')
    for restart in (broker.kill, broker.stop):
        restart()
        broker.start()
        with broker.connect() as connection:
            producer.connection = connection
            check.expect(Producer(connection, 'restarts', create=False).id != producer.id, 'a producer id given twice')
            producer.check(2, NONE, 2, 'a repeat of what was before the restart')
            producer.check(4, OUT_OF_ORDER, -1, 'a gap after the restart')
            check.equal(connection.offset('restarts', -1)['offset'], 3, 'log end offset')


def test_line_61_old_epochs_are_refused(broker):
    with broker.connect() as connection:
        producer = Producer(connection, 'epochs')
        producer.check(0, NONE, 0, 'epoch 0')
        producer.check(0, NONE, 1, 'epoch 1 begins at 0', epoch=1)
        producer.check(1, INVALID_EPOCH, -1, 'epoch 0 after epoch 1')
        producer.check(5, OUT_OF_ORDER, -1, 'epoch 2 begins elsewhere', epoch=2)
        producer.check(1, NONE, 2, 'epoch 1 goes on', epoch=1)


def main():
    run = check.Run()
    tests = [function for name, function in globals().items() if name.startswith('test_')]
    run.tests(run.broker(ring_bytes=RING_BYTES), *tests)
    run.finish()


if __name__ == '__main__':
    main()
