#!/usr/bin/python3
"""penstock produce and consume beside kcat, each reading what the other wrote: ctest compat.own_cli."""
import json
import subprocess

import check
import processes
import text as real_text

CODECS = ('none', 'gzip', 'snappy', 'lz4', 'zstd')
KEYS = 50
LINES = 60_000


class Setting:
    def __init__(self, run):
        self.run = run
        self.broker = run.broker(ring_bytes=64 << 20)
        self.text = real_text.slice_of(real_text.assemble(run.folder), run.folder)
        self.program = run.program

    def penstock(self, *arguments, **options):
        return processes.run([self.program, *arguments, '--bootstrap', self.broker.bootstrap], **options)

    def kcat(self, *arguments, **options):
        return processes.run(['kcat', '-b', self.broker.bootstrap, *arguments], **options)

    def create(self, topic, partitions=1):
        self.penstock('topic', 'create', topic, '--partitions', str(partitions))


def test_kcat_reads_what_penstock_wrote(setting):
    wanted = open(setting.text.path, 'rb').read()
    for codec in CODECS:
        topic = f'ours-{codec}'
        setting.create(topic)
        said = json.loads(setting.penstock('produce', topic, '--file', setting.text.path, '-z', codec, '--idempotent',
                                           '--json'))
        check.equal(said['records'], setting.text.lines, f'{codec}: records acknowledged')
        got = setting.kcat('-C', '-q', '-e', '-t', topic, '-o', 'beginning')
        check.expect(got == wanted, f'{codec}: kcat read {len(got)} bytes that differ from {len(wanted)} written')


def test_penstock_reads_what_kcat_wrote(setting):
    wanted = open(setting.text.path, 'rb').read()
    for codec in CODECS:
        topic = f'theirs-{codec}'
        setting.create(topic)
        setting.kcat('-P', '-t', topic, '-p', '0', '-z', codec, '-X', 'linger.ms=100', '-l', setting.text.path)
        got = setting.penstock('consume', topic, '-e')
        check.expect(got == wanted, f'{codec}: penstock read {len(got)} bytes that differ from {len(wanted)} written')


def test_a_key_goes_to_the_partition_that_kafkas_clients_choose(setting):
    lines = ''.join(f'key-{i}:{i}\n' for i in range(KEYS)).encode()
    setting.create('keys-ours', 7)
    setting.create('keys-theirs', 7)
    setting.penstock('produce', 'keys-ours', '-K', ':', stdin=None, input=lines)
    setting.kcat('-P', '-t', 'keys-theirs', '-K', ':', '-X', 'topic.partitioner=murmur2', stdin=None, input=lines)
    ours = sorted(setting.penstock('consume', 'keys-ours', '-e', '-f', '%p %k %s\n').splitlines())
    theirs = sorted(setting.penstock('consume', 'keys-theirs', '-e', '-f', '%p %k %s\n').splitlines())
    check.equal(len(ours), KEYS, 'records')
    check.equal(ours, theirs, 'partitions of keys')


def test_keys_headers_and_nulls_mean_the_same(setting):
    setting.create('rich')
    setting.penstock('produce', 'rich', '-K', ':', '-Z', '-H', 'a=1', '-H', 'b=2', stdin=None, input=b'k:v\nk2:\n')
    setting.kcat('-P', '-t', 'rich', '-K', ':', '-Z', '-H', 'a=1', '-H', 'b=2', stdin=None, input=b'k:v\nk2:\n')
    form = '%t %p %o %k %K %s %S %h\\n'
    ours = setting.penstock('consume', 'rich', '-e', '-f', form)
    theirs = setting.kcat('-C', '-q', '-e', '-t', 'rich', '-f', form)
    check.equal(ours, theirs, 'what both print')
    records = [json.loads(line) for line in setting.penstock('consume', 'rich', '-e', '-J').splitlines()]
    check.equal([record['value'] for record in records], ['v', None, 'v', None], 'values')
    check.equal([record['key'] for record in records], ['k', 'k2', 'k', 'k2'], 'keys')
    check.equal(records[0]['headers'], records[2]['headers'], 'headers')


def test_places_to_begin(setting):
    setting.create('places', 2)
    for partition in (0, 1):
        for first in (0, 5):
            lines = ''.join(f'{partition}/{i}\n' for i in range(first, first + 5)).encode()
            setting.penstock('produce', 'places', '-p', str(partition), stdin=None, input=lines)
    for place in ('beginning', 'end', '7', '-3'):
        ours = setting.penstock('consume', 'places', '-p', '1', '-e', '-o', place)
        theirs = setting.kcat('-C', '-q', '-e', '-t', 'places', '-p', '1', '-o', place)
        check.equal(ours, theirs, f'from {place}')
    stamps = setting.penstock('consume', 'places', '-p', '1', '-e', '-f', '%T\n').split()
    later = next(stamp.decode() for stamp in stamps if stamp > stamps[0])
    ours = setting.penstock('consume', 'places', '-p', '1', '-e', '-o', f'@{later}')
    theirs = setting.kcat('-C', '-q', '-e', '-t', 'places', '-p', '1', '-o', f's@{later}')
    check.equal(ours, theirs, 'from a time')
    check.expect(0 < len(ours.splitlines()) < 10, 'a time in the middle')


def test_new_records_come_as_they_are_written(setting):
    setting.create('tail')
    with processes.start([setting.program, 'consume', 'tail', '-c', '2', '--bootstrap', setting.broker.bootstrap],
                         stdout=subprocess.PIPE) as consumer:
        setting.penstock('produce', 'tail', stdin=None, input=b'one\n')
        check.equal(consumer.stdout.readline(), b'one\n', 'the first')
        setting.kcat('-P', '-t', 'tail', stdin=None, input=b'two\n')
        check.equal(consumer.stdout.readline(), b'two\n', 'the second')
        check.equal(processes.wait(consumer, 30), 0, 'the end after --count')


def test_a_producer_outlives_its_broker(setting):
    """kill -9 in the middle of its lines, three times: none is lost, none comes twice, and their order holds."""
    setting.create('outlived')
    port = setting.broker.address[1]
    lines = [b'line %d\n' % number for number in range(LINES)]
    parts = [lines[at:at + LINES // 6] for at in range(0, LINES, LINES // 6)]
    with processes.start([setting.program, 'produce', 'outlived', '--batch-bytes', '2KiB', '--json', '--bootstrap',
                          setting.broker.bootstrap], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                         stderr=subprocess.PIPE) as producer:
        for number, part in enumerate(parts):
            producer.stdin.write(b''.join(part))
            producer.stdin.flush()
            if number == 0:
                setting.penstock('consume', 'outlived', '-c', '1')  # it is connected
            if number % 2 == 0:
                setting.broker.kill()  # with some of them on their way
            else:
                setting.broker.start(listen=f'127.0.0.1:{port}')
        out, errors = producer.communicate(timeout=processes.CLIENT_TIMEOUT_S)
    check.equal((producer.returncode, json.loads(out)['records']), (0, LINES), f'the producer: {errors.decode()}')
    waits = [line for line in errors.decode().splitlines() if 'waiting for the broker' in line]
    check.within(len(waits), 1, 3, 'lines that say that it waits')
    check.equal(len(errors.splitlines()), len(waits), 'lines on standard error')
    got = setting.penstock('consume', 'outlived', '-e').splitlines(keepends=True)
    check.expect(got == lines, f'{len(got)} lines that differ from the {LINES} written')


def main():
    run = check.Run()
    run.tests(Setting(run), test_kcat_reads_what_penstock_wrote, test_penstock_reads_what_kcat_wrote,
              test_a_key_goes_to_the_partition_that_kafkas_clients_choose, test_keys_headers_and_nulls_mean_the_same,
              test_places_to_begin, test_new_records_come_as_they_are_written, test_a_producer_outlives_its_broker)
    run.finish()


if __name__ == '__main__':
    main()
