#!/usr/bin/python3
"""Real text in and out through real clients: each client produces it with each codec that is asked of it, another one
reads it back after kill -9 and a third after SIGTERM; the bytes are the same, in order, once; the stored batches carry
the codec. Then the figures of the whole run: one touch, no ring punts.
ctest compat.text; PENSTOCK_FULL=1 sends the whole text through every client and codec."""
import collections

import batches
import check
import clients
import text as real_text
from broker import MIB

Row = collections.namedtuple('Row', 'producer codec whole after_kill after_stop')
# whole: the whole text also in the short form; the others send its first 10 MB there.
ROWS = [
    Row('kcat', 'none', True, 'librdkafka', 'confluent'),
    Row('kcat', 'gzip', True, 'confluent', 'librdkafka'),
    Row('kcat', 'snappy', True, 'librdkafka', 'confluent'),
    Row('kcat', 'lz4', True, 'confluent', 'librdkafka'),
    Row('kcat', 'zstd', True, 'librdkafka', 'confluent'),
    Row('librdkafka', 'none', True, 'kcat', 'confluent'),
    Row('confluent', 'lz4', True, 'librdkafka', 'kcat'),
    Row('python-kafka', 'gzip', True, 'kcat', 'librdkafka'),
    Row('kafkajs', 'none', False, 'python-kafka', 'kcat'),
    Row('kafkajs', 'gzip', True, 'confluent', 'python-kafka'),
    Row('confluent', 'gzip', False, 'kafkajs', 'python-kafka'),
]
MORE_ROWS = [
    Row('librdkafka', 'gzip', False, 'python-kafka', 'kcat'),
    Row('librdkafka', 'snappy', False, 'python-kafka', 'confluent'),
    Row('librdkafka', 'lz4', False, 'kcat', 'python-kafka'),
    Row('librdkafka', 'zstd', False, 'python-kafka', 'kcat'),
    Row('confluent', 'none', False, 'kcat', 'python-kafka'),
    Row('confluent', 'snappy', False, 'kcat', 'python-kafka'),
    Row('confluent', 'zstd', False, 'librdkafka', 'kcat'),
    Row('python-kafka', 'none', False, 'confluent', 'kafkajs'),
    Row('python-kafka', 'snappy', False, 'kcat', 'confluent'),
    Row('python-kafka', 'lz4', False, 'librdkafka', 'kcat'),
    Row('python-kafka', 'zstd', False, 'confluent', 'librdkafka'),
]
# A batch of so few bytes may be stored as it is though a codec was asked for: clients keep what does not get smaller.
SMALL_BATCH = 1024
FETCH_BYTES = 8 * MIB


class Matrix:
    def __init__(self, run):
        self.rows = ROWS + (MORE_ROWS if run.full else [])
        self.clients = clients.all_clients(run.build)
        self.whole = real_text.assemble(run.folder)
        self.slice = real_text.slice_of(self.whole, run.folder)
        self.run = run
        size = sum(self.text(row).bytes for row in self.rows)
        self.broker = run.broker(ring_bytes=(size * 5 // 4 // MIB + 64) * MIB)
        self.totals = collections.Counter()  # counters of brokers that are gone
        self.absent = []  # rows whose producer cannot be had

    def text(self, row):
        return self.whole if row.whole or self.run.full and row in ROWS else self.slice

    def topic(self, row):
        return f'{row.producer}.{row.codec}'

    def remember_counters(self):
        for name, value in self.broker.metrics().items():
            if name.endswith('_total'):
                self.totals[name] += value


def produce(matrix, row):
    topic, text = matrix.topic(row), matrix.text(row)
    if row.producer != 'kcat':  # kcat has it made by asking for it
        matrix.broker.create_topic(topic)
    try:
        matrix.clients[row.producer].produce(matrix.broker, topic, row.codec, text)
    except check.Skipped:
        matrix.absent.append(row)
        raise
    return f'{text}'


def consume(matrix, row, client):
    assert client != row.producer
    topic = matrix.topic(row)
    got = matrix.clients[client].consume(matrix.broker, topic)
    clients.check_text(got, matrix.text(row), f'{topic} by {client}')


def check_codec(matrix, row):
    """Every stored batch: its codec, and offsets that follow one another."""
    next_offset, small, seen = 0, 0, 0
    with matrix.broker.connect() as connection:
        while True:
            answer = connection.fetch(matrix.topic(row), next_offset, max_bytes=FETCH_BYTES,
                                      partition_max_bytes=FETCH_BYTES, max_wait_ms=0)
            check.equal(answer['error'], 0, 'fetch')
            found = batches.split(answer['records'] or b'')
            if not found:
                break
            for batch in found:
                check.equal(batch.base_offset, next_offset, 'base offset')
                next_offset = batches.last_offset(batch) + 1
                seen += 1
                if batches.codec_of(batch) != row.codec:
                    check.equal(batches.codec_of(batch), 'none', f'codec of the batch at {batch.base_offset}')
                    check.expect(len(batch.bytes) < SMALL_BATCH, f'the batch at {batch.base_offset} is not {row.codec}')
                    small += 1
    check.equal(next_offset, matrix.text(row).lines, 'log end offset')
    # librdkafka sends what would not shrink as it is; the last few lines of a text are such a batch now and then.
    check.expect(small <= max(1, seen // 50), f'{small} of {seen} batches are not compressed')
    return f'{seen} batches'


def restart(matrix, how):
    matrix.remember_counters()
    how()
    matrix.broker.start()


def check_one_touch(matrix):
    copied, appended = matrix.totals['bytes_copied_total'], matrix.totals['bytes_appended_total']
    check.within(copied / appended, 0.99, 1.01, 'bytes copied for each byte appended')
    return f'{copied / appended:.4f} ({appended:.0f} bytes appended)'


def check_no_punts(matrix):
    check.equal(matrix.totals['ring_punts_total'], 0, 'ring punts')
    return f'0 of {matrix.totals["ring_frames_total"]:.0f} frames'


def main():
    run = check.Run()
    matrix = Matrix(run)
    rows = [row for row in matrix.rows if run.only in matrix.topic(row)]
    for row in rows:
        run.test(f'{matrix.topic(row)} is produced', produce, matrix, row)
    rows = [row for row in rows if row not in matrix.absent]
    restart(matrix, matrix.broker.kill)
    for row in rows:
        run.test(f'{matrix.topic(row)} after kill -9 by {row.after_kill}', consume, matrix, row, row.after_kill)
        run.test(f'{matrix.topic(row)} as stored', check_codec, matrix, row)
    restart(matrix, matrix.broker.stop)
    for row in rows:
        run.test(f'{matrix.topic(row)} after SIGTERM by {row.after_stop}', consume, matrix, row, row.after_stop)
    matrix.remember_counters()
    run.tests(matrix, check_one_touch, check_no_punts)
    run.finish()


if __name__ == '__main__':
    main()
