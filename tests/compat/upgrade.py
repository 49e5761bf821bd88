#!/usr/bin/python3
"""Data folders that earlier format versions left (tests/golden/folder-v*.tar.xz): this program starts on each, every
record reads back as the list beside it says, new ones go behind them, and all of it survives a stop and a kill -9.
ctest compat.upgrade."""
import hashlib
import pathlib
import re
import tarfile

import check
import processes

ROOT = pathlib.Path(__file__).parents[2]
GOLDEN = ROOT / 'tests' / 'golden'
# Records and segments of any age stay.
SETTINGS = {'log.retention.ms': -1, 'log.roll.ms': 2**62}


def current_version():
    header = (ROOT / 'storage' / 'api' / 'folder.h').read_text()
    return int(re.search(r'kFormatVersion = (\d+);', header)[1])


def kcat(broker, *words, **options):
    return processes.run(['kcat', '-b', broker.bootstrap, *words], **options).decode()


def read_all(broker, partitions):
    """As tests/golden/make_folder.py lists records."""
    lines = []
    for topic, partition in partitions:
        text = kcat(broker, '-C', '-t', topic, '-p', partition, '-o', 'beginning', '-e', '-q', '-f', '%o %k %s\n')
        for line in text.splitlines():
            offset, key, value = line.split(' ', 2)
            digest = hashlib.sha256(value.encode()).hexdigest()
            lines.append(f'{topic} {partition} {offset} {key} {len(value)} {digest}')
    return lines


def is_one_more(broker, partitions, before, key):
    """Everything from before, and behind it one new record a partition."""
    now = read_all(broker, partitions)
    check.equal(sorted(set(before) - set(now)), [], f'records that are gone ({key})')
    new = [line.split()[:4] for line in now if line not in set(before)]
    ends = {}
    for topic, partition, offset, *_ in map(str.split, before):
        ends[topic, partition] = 1 + max(int(offset), ends.get((topic, partition), 0) - 1)
    check.equal(new, [[topic, partition, str(ends[topic, partition]), key] for topic, partition in partitions],
                f'new records ({key})')
    return now


def upgrade(run, archive):
    broker = run.broker(SETTINGS, start=False)
    with tarfile.open(archive) as tar:
        tar.extractall(broker.folder)
    expected = archive.with_name(archive.name.removesuffix('.tar.xz') + '.txt').read_text().splitlines()
    partitions = sorted({tuple(line.split()[:2]) for line in expected})
    broker.start()
    check.equal(read_all(broker, partitions), expected, 'records after the first start')
    for end in (broker.stop, broker.kill, broker.stop):
        for topic, partition in partitions:
            kcat(broker, '-P', '-t', topic, '-p', partition, '-K', ':', '-X', 'acks=all', stdin=None,
                 input=f'{end.__name__}:new\n'.encode())
        expected = is_one_more(broker, partitions, expected, end.__name__)
        end()
        broker.start()
        check.equal(read_all(broker, partitions), expected, f'records after {end.__name__}')
    check.equal(broker.data.joinpath('folder').read_text().split('\n')[1], f'format_version = {current_version()}',
                'what the folder says')


def main():
    run = check.Run()
    archives = sorted(GOLDEN.glob('folder-v*.tar.xz'))
    wanted = {f'folder-v{version}{end}.tar.xz' for version in range(1, current_version() + 1)
              for end in ('', '-killed')}
    check.equal({archive.name for archive in archives}, wanted, 'folders of each format version')

    def named(archive):
        def test(given):
            upgrade(given, archive)
        test.__name__ = f'test_{archive.name}'
        return test
    run.tests(run, *map(named, archives))
    run.finish()


if __name__ == '__main__':
    main()
