#!/usr/bin/python3
"""10,000 partitions written to and read under a limit of 1,024 descriptors: no error, and no more memory than promised
beyond the ring's. ctest compat.many_partitions."""
import json
import re

import batches
import check
import processes
from broker import MIB

PARTITIONS = 10_000
RECORDS = 200_000
RING_BYTES = 512 << 20  # all that is sent at once finds room before destage has to keep up
DESCRIPTORS = 1024
MEMORY_MAX = 500 * 10**6
TOPIC = 'many'
READ_STEP = 37  # so that some of each part of the topic are read back
FETCH_PARTITIONS = 500
PATIENCE_S = 900


def memory(broker):
    """VmRSS plus HugetlbPages, less the ring's own memory."""
    status = broker.proc('status')
    sizes = [int(re.search(rf'{name}:\s*(\d+) kB', status)[1]) * 1024 for name in ('VmRSS', 'HugetlbPages')]
    return sum(sizes) - RING_BYTES


def produce(broker, *more):
    result = broker.folder / 'produced.json'
    processes.run([broker.program, 'bench', 'produce', '--bootstrap', broker.bootstrap, '--topic', TOPIC,
                   '--partitions', PARTITIONS, '--count', RECORDS, '--record-bytes', 1000, '--batch-records', 1,
                   '--connections', 4, '--timeout', '120s', '--json', result, '--quiet', *more], timeout=PATIENCE_S)
    return json.loads(result.read_text())['result']


def ends(connection):
    partitions = [{'index': index, 'timestamp': -1} for index in range(PARTITIONS)]
    answer = connection.call('ListOffsets', 5, {'topics': [{'name': TOPIC, 'partitions': partitions}]})
    found = answer['topics'][0]['partitions']
    check.equal({one['error'] for one in found}, {0}, 'errors of ListOffsets')
    return {one['index']: one['offset'] for one in found}


def read_from_the_beginning(connection, expected):
    """Many partitions in a request; what is asked for is on the drive."""
    indexes = list(range(0, PARTITIONS, READ_STEP))
    read = 0
    for at in range(0, len(indexes), FETCH_PARTITIONS):
        offsets = {index: 0 for index in indexes[at:at + FETCH_PARTITIONS]}
        while wanted := [index for index, offset in offsets.items() if offset < expected[index]]:
            partitions = [{'index': index, 'offset': offsets[index], 'max_bytes': 1 << 20} for index in wanted]
            answer = connection.call('Fetch', 11, {'max_wait_ms': 1000, 'min_bytes': 1, 'max_bytes': 8 << 20,
                                                   'topics': [{'name': TOPIC, 'partitions': partitions}]})
            for one in answer['topics'][0]['partitions']:
                check.equal(one['error'], 0, f'reading partition {one["index"]}')
                for batch in batches.split(one['records'] or b''):
                    check.equal(batch.base_offset, offsets[one['index']], f'next offset of partition {one["index"]}')
                    offsets[one['index']], read = batches.last_offset(batch) + 1, read + 1
    return read


def test_few_descriptors(run):
    broker = run.broker(start=False, ring_bytes=RING_BYTES)
    broker.start(prefix=('prlimit', f'--nofile={DESCRIPTORS}:{DESCRIPTORS}', '--'))
    said = []
    for more in ((), ('--idempotent',)):
        produced = produce(broker, *more)
        check.equal([produced['errors'], produced['records']], [{}, RECORDS], 'what the producer was answered')
        with broker.connect() as connection:
            expected = ends(connection)
            read = read_from_the_beginning(connection, expected)
        metrics = broker.metrics()
        for name in ('destage_failures_total', 'produce_refused_total', 'segments_damaged_total', 'ring_poisoned'):
            check.equal(metrics[name], 0, name)
        p99 = produced['latency_us']['p99'] / 1000
        said.append(f'{sum(expected.values())} records {" ".join(more)}, p99 {p99:.1f} ms, {read} read of '
                    f'{len(range(0, PARTITIONS, READ_STEP))} partitions, {memory(broker) / 1e6:.0f} MB, '
                    f'{broker.open_files()} descriptors')
        check.expect(broker.open_files() < DESCRIPTORS, 'descriptors')
        check.within(memory(broker), 0, MEMORY_MAX, 'bytes of memory beyond the ring')
    lines = [line for line in broker.log.read_text().splitlines() if re.search(r' (error|warning) ', line)]
    check.equal(lines, [], 'errors and warnings in the log')
    broker.kill()
    broker.start(prefix=('prlimit', f'--nofile={DESCRIPTORS}:{DESCRIPTORS}', '--'))
    with broker.connect() as connection:
        check.equal(ends(connection), expected, 'ends after kill -9')
        read_from_the_beginning(connection, expected)
    check.within(memory(broker), 0, MEMORY_MAX, 'bytes of memory beyond the ring after kill -9')
    return '; '.join(said) + f'; {memory(broker) / 1e6:.0f} MB after kill -9'


def main():
    run = check.Run()
    run.tests(run, test_few_descriptors)
    run.finish()


if __name__ == '__main__':
    main()
