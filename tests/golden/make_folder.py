#!/usr/bin/env python3
"""make_folder.py PROGRAM VERSION OUT: data folders as this program writes them, kept for upgrade tests.

OUT/folder-vVERSION.tar.xz         after a clean stop
OUT/folder-vVERSION-killed.tar.xz  after kill -9, right behind the last acknowledged record
OUT/folder-vVERSION.txt, OUT/folder-vVERSION-killed.txt  the records in it, a line each:
    TOPIC PARTITION OFFSET KEY BYTES SHA256-OF-THE-VALUE

Two topics of three partitions; records of all sizes up to some that span chunks of the ring, some compressed, some from
idempotent producers; a third topic that was deleted, in whose space the ring went on; one that was compacted, with new
records behind (from format version 3 on); a restart in between. Run it with a release program that writes a format
version, and never again: what is kept is what that version left.
"""
import hashlib
import pathlib
import random
import subprocess
import sys
import tarfile
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / 'compat'))
import broker  # noqa: E402  (needs the path above)

RING_BYTES = 4 << 20
TOPICS = 'orders', 'trades'
PARTITIONS = 3
COMPACTED = 'latest'  # of one partition
KEYS = 20
# To have it compacted at once; none of it is left in the folder, so that nothing more is compacted when it is used.
AT_ONCE = {'segment.ms': 500, 'max.compaction.lag.ms': 500, 'min.cleanable.dirty.ratio': 0.01,
           'file.delete.delay.ms': 1000}
CLEAN_S = 60


def kcat(*words, stdin=''):
    return subprocess.run(['kcat', *map(str, words)], input=stdin, capture_output=True, text=True, check=True,
                          timeout=120).stdout


def produce(running, topic, partition, records, *options):
    """Each record is acknowledged when this returns."""
    kcat('-b', running.bootstrap, '-P', '-t', topic, '-p', partition, '-K', ':', '-X', 'acks=all', *options,
         stdin=''.join(f'{key}:{value}\n' for key, value in records))


def records(prng, count, most):
    """Values are words, so that the folder packs well."""
    words = 'penstock', 'carries', 'water', 'past', 'the', 'river'
    for number in range(count):
        size = prng.choice((0, 10, 100, prng.randrange(1, most)))
        text = ' '.join(prng.choice(words) for _ in range(min(size, 400)))
        yield f'key-{number}', (text * (size // max(1, len(text)) + 1))[:size]


def fill(running, prng, rounds):
    for number in range(rounds):
        options = prng.choice(((), ('-z', 'lz4'), ('-z', 'gzip'), ('-X', 'enable.idempotence=true')))
        produce(running, prng.choice(TOPICS), number % PARTITIONS, records(prng, prng.randrange(1, 40), 2000), *options)


def topic_command(running, *words):
    subprocess.run([running.program, 'topic', *words, '--bootstrap', running.bootstrap], check=True, timeout=60,
                   stdout=subprocess.DEVNULL)


def fill_compacted(running, prng):
    """Returns when the last record of each key is all that is left."""
    topic_command(running, 'create', COMPACTED, '--config', 'cleanup.policy=compact',
                  *(word for name, value in AT_ONCE.items() for word in ('--config', f'{name}={value}')))
    for number in range(6):
        text = ' '.join(prng.choice(('past', 'the', 'river')) for _ in range(60))
        produce(running, COMPACTED, 0, [(f'key-{key}', f'{number} {text}') for key in range(KEYS)])
    deadline = time.monotonic() + CLEAN_S
    while len(read(running, COMPACTED, 0)) > KEYS:
        assert time.monotonic() < deadline, 'nothing was compacted'
        time.sleep(0.2)
    topic_command(running, 'config', COMPACTED, *(word for name in AT_ONCE for word in ('--unset', name)))


def read(running, topic, partition):
    text = kcat('-b', running.bootstrap, '-C', '-t', topic, '-p', partition, '-o', 'beginning', '-e', '-q', '-f',
                '%o %k %s\n')
    lines = []
    for line in text.splitlines():
        offset, key, value = line.split(' ', 2)
        digest = hashlib.sha256(value.encode()).hexdigest()
        lines.append(f'{topic} {partition} {offset} {key} {len(value)} {digest}\n')
    return lines


def read_all(running):
    lines = read(running, COMPACTED, 0)
    for topic in TOPICS:
        for partition in range(PARTITIONS):
            lines += read(running, topic, partition)
    assert len(lines) > 200, lines
    return ''.join(lines)


def plain(member):
    member.mtime = member.uid = member.gid = 0
    member.uname = member.gname = ''
    return member


def pack(data, archive):
    with tarfile.open(archive, 'w:xz', preset=9) as tar:
        for path in sorted(data.iterdir()):
            tar.add(path, f'data/{path.name}', filter=plain)


def make(program, seed, kill, archive):
    prng = random.Random(seed)
    with tempfile.TemporaryDirectory(dir='.') as folder:
        running = broker.Broker(program, pathlib.Path(folder), {'log.cleaner.backoff.ms': 200},
                                ring_bytes=RING_BYTES).start()
        try:
            for topic in (*TOPICS, 'deleted'):
                running.create_topic(topic, PARTITIONS)
            large = [('large', 'water past the river ' * 40_000)]
            for _ in range(3):  # space that the deletion gives back, so that the ring goes round
                produce(running, 'deleted', 0, large)
            fill(running, prng, 12)
            produce(running, 'deleted', 1, records(prng, 50, 500))
            topic_command(running, 'delete', 'deleted')
            produce(running, 'orders', 1, large)
            produce(running, 'trades', 0, large)
            fill_compacted(running, prng)
            running.stop()
            running.start()
            fill(running, prng, 12)
            produce(running, COMPACTED, 0, [('key-0', 'not compacted yet'), ('new', 'is the river')])
            expected = read_all(running)
            produce(running, 'trades', 2, [('last', 'acknowledged')])
            expected_last = read_all(running)
            assert expected_last != expected
            (running.kill if kill else running.stop)()
            pack(running.data, archive)
        finally:
            running.kill()
    archive.with_name(archive.name.removesuffix('.tar.xz') + '.txt').write_text(expected_last)
    print(f'{archive}: {archive.stat().st_size} bytes')


def main():
    program, version, out = sys.argv[1], sys.argv[2], pathlib.Path(sys.argv[3])
    make(program, 1, False, out / f'folder-v{version}.tar.xz')
    make(program, 2, True, out / f'folder-v{version}-killed.tar.xz')


if __name__ == '__main__':
    main()
