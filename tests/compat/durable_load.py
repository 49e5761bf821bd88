"""Load that remembers what it was told, and the check of what came of it: producers down at the bytes and through
librdkafka, and a reader that never rests. Each is a thread of its own; one producer a partition."""
import collections
import hashlib
import threading
import time

import batches
import check
import wire

KAFKA_STORAGE_ERROR, REQUEST_TIMED_OUT, OUT_OF_RANGE = 56, 7, 1
RETRIABLE = {KAFKA_STORAGE_ERROR, REQUEST_TIMED_OUT}
EARLIEST, LATEST = -2, -1
FETCH_BYTES = 1 << 20
WAIT_S = 60
REST_S = 0.01  # after an error
PATIENCE_S = 120


def wait_until(condition, what, timeout=WAIT_S):
    deadline = time.monotonic() + timeout
    while not condition():
        check.expect(time.monotonic() < deadline, f'within {timeout} s: {what}')
        time.sleep(0.02)


class Pool:
    """Batches made beforehand (a CRC takes Python long), each known by its CRC: what the broker sets in a batch, base
    offset and leader epoch, lies before it."""

    def __init__(self, random, count=24, most=60_000, timestamp=None):
        timestamp = int(time.time() * 1000) if timestamp is None else timestamp
        self.all = []
        for _ in range(count):
            values = [random.randbytes(random.choice((10, 200, 1000, most // 4))) for _ in range(random.randint(1, 4))]
            self.all.append(batches.build(values, timestamp=timestamp))
        self.by_crc = {crc_of(batch): batch for batch in self.all}


def crc_of(batch):
    return int.from_bytes(batch[17:21], 'big')


def count_of(batch):
    return int.from_bytes(batch[57:61], 'big')


class Worker(threading.Thread):
    """work() is called again and again until finish(), which raises what went wrong."""

    def __init__(self):
        super().__init__(daemon=True)
        self.stopping, self.failure = threading.Event(), None

    def run(self):
        try:
            while not self.stopping.is_set():
                self.work()
            self.close()
        except Exception as failure:  # pylint: disable=broad-except
            self.failure = failure

    def work(self):
        raise NotImplementedError

    def close(self):
        pass

    def check(self):
        if self.failure:
            raise AssertionError(f'{self}: {self.failure!r}') from self.failure

    def finish(self):
        self.stopping.set()
        self.join(2 * PATIENCE_S)
        self.check()
        check.expect(not self.is_alive(), f'{self} does not end')


class Connected(Worker):
    """Connects anew when the broker went away."""

    def __init__(self, broker):
        super().__init__()
        self.broker, self.connection = broker, None

    def call(self, name, version, body):
        """None: the connection broke, nobody knows what came of it."""
        try:
            if self.connection is None:
                self.connection = self.broker.connect()
            return self.connection.call(name, version, body)
        except (wire.Closed, ConnectionError):
            self.close()
            time.sleep(REST_S)
            return None

    def close(self):
        if self.connection is not None:
            self.connection.socket.close()
            self.connection = None


class WireProducer(Connected):
    """pause_s: between two batches."""

    def __init__(self, broker, topic, partition, pool, random, pause_s=0.0):
        super().__init__(broker)
        self.topic, self.partition, self.pool, self.pause_s = topic, partition, pool, pause_s
        self.random = random.__class__(random.random())
        self.acked = []  # (base offset, CRC)
        self.unknown = collections.Counter()  # CRCs of batches that got no answer
        self.errors = collections.Counter()
        self.refused_since = None
        self.start()

    def __str__(self):
        return f'the raw producer of {self.topic}-{self.partition}'

    def work(self):
        batch = self.random.choice(self.pool.all)
        partition = {'index': self.partition, 'records': batch}
        answer = self.call('Produce', 9, {'acks': -1, 'topics': [{'name': self.topic, 'partitions': [partition]}]})
        if answer is None:
            self.unknown[crc_of(batch)] += 1
            return
        answer = answer['topics'][0]['partitions'][0]
        if answer['error'] == 0:
            self.acked.append((answer['base_offset'], crc_of(batch)))
            self.refused_since = None
            time.sleep(self.pause_s)
            return
        self.errors[answer['error']] += 1
        self.refused_since = self.refused_since or time.monotonic()
        time.sleep(REST_S)

    def is_refused(self, seconds=0):
        """For so long, without an acknowledgement between."""
        self.check()
        return self.refused_since is not None and time.monotonic() - self.refused_since >= seconds

    def goes_on(self, records=5):
        """A condition: so many more acknowledgements."""
        before = len(self.acked)

        def condition():
            self.check()
            return len(self.acked) >= before + records
        return condition


class RdkafkaProducer(Worker):
    """Idempotent; what is refused librdkafka sends again by itself, as long as it takes."""

    def __init__(self, broker, topic, partition, random, pause_s=0.0):
        import confluent_kafka  # pylint: disable=import-outside-toplevel
        super().__init__()
        self.topic, self.partition, self.pause_s = topic, partition, pause_s
        self.random = random.__class__(random.random())
        self.acked = {}  # offset: hash of the value
        self.sent = 0
        self.producer = confluent_kafka.Producer({
            'bootstrap.servers': broker.bootstrap, 'enable.idempotence': True, 'linger.ms': 2, 'log_level': 0,
            'message.timeout.ms': PATIENCE_S * 1000, 'retry.backoff.ms': 20, 'reconnect.backoff.ms': 10,
            'reconnect.backoff.max.ms': 100, 'queue.buffering.max.messages': 2000})
        self.start()

    def __str__(self):
        return f'the librdkafka producer of {self.topic}-{self.partition}'

    def work(self):
        value = b'%d ' % self.sent + self.random.randbytes(self.random.randint(1, 6000))
        try:
            self.producer.produce(self.topic, value, partition=self.partition, on_delivery=self.delivered)
            self.sent += 1
        except BufferError:
            time.sleep(REST_S)
        self.producer.poll(0)
        time.sleep(self.pause_s)

    def delivered(self, error, message):
        check.expect(not error, f'not delivered: {error}')
        check.expect(message.offset() not in self.acked, f'offset {message.offset()} is acknowledged twice')
        self.acked[message.offset()] = hashlib.sha256(message.value()).digest()

    def close(self):
        check.equal(self.producer.flush(PATIENCE_S), 0, 'records that librdkafka could not deliver')

    goes_on = WireProducer.goes_on

    def read_back(self, broker):
        """All is there, once, in the order in which it was sent, and nothing else."""
        import confluent_kafka  # pylint: disable=import-outside-toplevel
        consumer = confluent_kafka.Consumer({
            'bootstrap.servers': broker.bootstrap, 'group.id': 'none', 'enable.auto.commit': False,
            'enable.partition.eof': True, 'log_level': 0})
        consumer.assign([confluent_kafka.TopicPartition(self.topic, self.partition, 0)])
        expected, silent = 0, time.monotonic() + PATIENCE_S
        while time.monotonic() < silent:
            message = consumer.poll(1)
            if message is None:
                continue
            if message.error():
                check.equal(message.error().code(), confluent_kafka.KafkaError._PARTITION_EOF, 'what the consumer says')
                break
            check.equal(message.offset(), expected, f'offset in {self.topic}-{self.partition}')
            check.equal(hashlib.sha256(message.value()).digest(), self.acked.get(expected), f'value at {expected}')
            check.expect(message.value().startswith(b'%d ' % expected), f'record {expected} is out of order')
            expected, silent = expected + 1, time.monotonic() + PATIENCE_S
        consumer.close()
        check.equal(expected, self.sent, f'records of {self.topic}-{self.partition}')
        return expected


class Reader(Connected):
    """From the beginning to the end, and again; every batch has to be one of the pool's, the offsets dense."""

    def __init__(self, broker, topic, partition, pool):
        super().__init__(broker)
        self.topic, self.partition, self.pool = topic, partition, pool
        self.offset, self.answered_at, self.slowest = 0, time.monotonic(), 0
        self.batches, self.laps, self.errors, self.disconnects = 0, 0, collections.Counter(), 0
        self.start()

    def __str__(self):
        return f'the reader of {self.topic}-{self.partition}'

    def work(self):
        asked = time.monotonic()
        partition = {'index': self.partition, 'offset': self.offset, 'max_bytes': FETCH_BYTES}
        body = {'max_wait_ms': 0, 'min_bytes': 1, 'topics': [{'name': self.topic, 'partitions': [partition]}]}
        answer = self.call('Fetch', 11, body)
        if answer is None:
            self.disconnects += 1
            return
        self.slowest = max(self.slowest, time.monotonic() - asked)
        answer = answer['topics'][0]['partitions'][0]
        self.errors[answer['error']] += bool(answer['error'])
        if answer['error'] == OUT_OF_RANGE:  # what it read was deleted
            self.offset = max(answer['log_start_offset'], 0)
        if answer['error']:
            time.sleep(REST_S)
            return
        before = self.batches
        self.take(batches.split(answer['records'] or b''))
        if self.batches == before:
            self.laps, self.offset = self.laps + 1, max(answer['log_start_offset'], 0)
            time.sleep(REST_S)

    def take(self, found):
        for batch in found:
            check.expect(is_of(batch, self.pool), f'other bytes at offset {batch.base_offset}')
            check.within(self.offset, batch.base_offset, batches.last_offset(batch), 'the next offset')
            self.offset = batches.last_offset(batch) + 1
            self.batches += 1

    def has_read(self, more):
        """A condition: so many more batches."""
        before = self.batches

        def condition():
            self.check()
            return self.batches >= before + more
        return condition


def is_of(batch, pool):
    made = pool.by_crc.get(batch.crc)
    return made is not None and batch.bytes[17:] == made[17:] and batch.bytes[8:12] == made[8:12]


def read_back(broker, producer, start=0):
    """Everything that producer was told is there, at its offset, with its bytes; and nothing that it never sent."""
    name = f'{producer.topic}-{producer.partition}'
    found, offset, extra = {}, start, collections.Counter()
    with broker.connect() as connection:
        end = connection.offset(producer.topic, LATEST, partition=producer.partition)['offset']
        while offset < end:
            answer = connection.fetch(producer.topic, offset, partition=producer.partition, max_wait_ms=1000,
                                      partition_max_bytes=8 * FETCH_BYTES)
            check.equal(answer['error'], 0, f'reading {name} at {offset}')
            got = batches.split(answer['records'])
            check.expect(got, f'nothing at {offset} of {name}, which ends at {end}')
            for batch in got:
                check.expect(is_of(batch, producer.pool), f'other bytes at offset {batch.base_offset} of {name}')
                check.equal(batch.base_offset, offset, f'base offset in {name}')
                found[offset] = batch.crc
                offset = batches.last_offset(batch) + 1
    for base, crc in producer.acked:
        check.expect(base < start or found.pop(base, None) == crc, f'what was acknowledged at {base} of {name} is gone')
    extra.update(found.values())
    check.equal(extra - producer.unknown, collections.Counter(), f'batches of {name} that were refused, or never sent')
    return len(producer.acked)
