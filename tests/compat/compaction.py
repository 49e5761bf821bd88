#!/usr/bin/python3
"""Log compaction through real clients: kcat writes records of few keys into topics whose configs force cleaning; a
consumer from the beginning gets the last value of each key at its offset, tombstones included, before and behind a stop
and a kill -9 in the middle of it; penstock log verify finds nothing wrong. ctest compat.compaction."""
import time

import check
import processes

SEGMENT_BYTES = 1 << 20  # the least that Kafka takes
CONFIGS = {
    'cleanup.policy': 'compact',
    'segment.bytes': SEGMENT_BYTES,
    'segment.ms': 500,
    'max.compaction.lag.ms': 500,
    'min.cleanable.dirty.ratio': 0.01,
    'delete.retention.ms': 600_000,
    'file.delete.delay.ms': 1000,
}
SETTINGS = {'log.cleaner.backoff.ms': 200}
WAIT_S = 60


def kcat(broker, *words, **options):
    return processes.run(['kcat', '-b', broker.bootstrap, *words], **options).decode()


def make_topic(run, broker, name, partitions=1, **more):
    words = []
    for config, value in (CONFIGS | more).items():
        words += ['--config', f'{config}={value}']
    processes.run([run.program, 'topic', 'create', name, '--partitions', str(partitions), '--bootstrap',
                   broker.bootstrap, *words])


def produce(broker, topic, records, *options):
    """records: (key, value), a value of None is a tombstone."""
    lines = ''.join(f'{key}:{value or ""}\n' for key, value in records)
    kcat(broker, '-P', '-t', topic, '-p', '0', '-K', ':', '-Z', '-X', 'acks=all', *options, stdin=None,
         input=lines.encode())


def consume(broker, topic):
    """(offset, key, value), from the beginning to the end."""
    text = kcat(broker, '-C', '-t', topic, '-p', '0', '-o', 'beginning', '-e', '-q', '-f', '%o %k %S %s\n')
    records = []
    for line in text.splitlines():
        offset, key, size, value = line.split(' ', 3)
        records.append((int(offset), key, None if size == '-1' else value))
    return records


def rounds(count, keys, size=300):
    for number in range(count):
        for key in range(keys):
            yield f'key-{key}', f'{number}-' + 'x' * size


def last_of(records, first_offset=0):
    last = {}
    for offset, (key, value) in enumerate(records, first_offset):
        last[key] = offset, value
    return last


def wait_until_clean(broker, topic, most):
    """Until no more than so many records are left."""
    deadline = time.monotonic() + WAIT_S
    while True:
        records = consume(broker, topic)
        if len(records) <= most:
            return records
        check.expect(time.monotonic() < deadline, f'{topic} still has {len(records)} records, not {most}')
        time.sleep(0.3)


def expect_last(records, last, what):
    """Each key's last record is there, at its offset; what else is there is older."""
    newest = {}
    for offset, key, value in records:
        check.expect(key not in newest or newest[key][0] < offset, f'{what}: offsets of {key} do not rise')
        newest[key] = offset, value
    check.equal(newest, last, what)


def test_the_last_value_of_each_key(run):
    broker = run.broker(SETTINGS)
    for codec in ('none', 'lz4', 'zstd', 'gzip', 'snappy'):
        topic = f'latest-{codec}'
        make_topic(run, broker, topic)
        records = list(rounds(60, 50)) + [('key-7', None), ('key-8', None)]
        produce(broker, topic, records, '-z', codec)
        last = last_of(records)
        expect_last(wait_until_clean(broker, topic, 2 * len(last)), last, f'{topic}, cleaned')
    before = {topic: consume(broker, topic) for topic in ('latest-none', 'latest-zstd')}
    broker.stop()
    verify(run, broker)
    broker.start()
    for topic, records in before.items():
        check.equal(consume(broker, topic), records, f'{topic} behind a stop')


def verify(run, broker):
    processes.run([run.program, 'log', 'verify', '--data', str(broker.data)])  # fails if it finds damage


def test_kill_in_the_middle(run):
    broker = run.broker(SETTINGS)
    make_topic(run, broker, 'killed')
    last, offset = {}, 0
    for number in range(8):
        records = list(rounds(40, 40, 200 + number))
        produce(broker, 'killed', records)
        last |= last_of(records, offset)
        offset += len(records)
        time.sleep(0.15 * number)  # somewhere between the seal and the end of a cleaning
        broker.kill()
        broker.start()
        expect_last(consume(broker, 'killed'), last, f'behind kill -9 number {number}')
    expect_last(wait_until_clean(broker, 'killed', 2 * len(last)), last, 'cleaned at last')
    broker.stop()
    verify(run, broker)


def test_tombstones_go_in_time(run):
    broker = run.broker(SETTINGS)
    make_topic(run, broker, 'buried', **{'delete.retention.ms': 1000})
    produce(broker, 'buried', [('gone', 'value'), ('stays', 'value'), ('gone', None)])
    deadline = time.monotonic() + WAIT_S
    number = 0
    while any(key == 'gone' for _, key, _ in consume(broker, 'buried')):
        check.expect(time.monotonic() < deadline, 'the tombstone stays for ever')
        produce(broker, 'buried', [('stays', f'value {number}')])  # something to clean
        number += 1
        time.sleep(0.4)
    records = consume(broker, 'buried')
    check.equal(records[-1][1:], ('stays', f'value {number - 1}'), 'the last record')


def test_both_policies(run):
    """compact,delete: what is old goes as a whole too."""
    broker = run.broker(SETTINGS | {'log.retention.check.interval.ms': 300})
    make_topic(run, broker, 'both', **{'cleanup.policy': 'compact,delete', 'retention.ms': 4000})
    produce(broker, 'both', list(rounds(20, 20)))
    deadline = time.monotonic() + WAIT_S
    while consume(broker, 'both'):
        check.expect(time.monotonic() < deadline, 'retention does not work on a compacted topic')
        time.sleep(0.5)


def main():
    run = check.Run()
    run.tests(run, test_the_last_value_of_each_key, test_kill_in_the_middle, test_tombstones_go_in_time,
              test_both_policies)
    run.finish()


if __name__ == '__main__':
    main()
