"""penstock log on the folders of brokers that were stopped, killed and are running: whole ones verify, a flipped bit is
named with its exit code, a folder in use is refused, dump shows the records, repair does what it says.
ctest compat.log_tool."""
import json
import re
import shutil
import subprocess

import check
import processes

TOPIC = 'orders'
VALUE = 'x' * 900


def log(run, command, folder, *words, status=0):
    """What it prints on stdout."""
    process = subprocess.run([run.program, 'log', command, '--data', folder, *map(str, words)], capture_output=True,
                             timeout=600, check=False)
    check.equal(process.returncode, status, f'status of log {command}: {process.stdout!r} {process.stderr!r}')
    return process.stdout.decode()


def objects(text):
    return [json.loads(line) for line in text.splitlines()]


def verify(run, folder, *words, status=0):
    """(findings, summary)"""
    *findings, summary = objects(log(run, 'verify', folder, '--json', *words, status=status))
    return findings, summary


def broker_with_records(run, count=3000):
    broker = run.broker()
    processes.run([run.program, 'topic', 'create', TOPIC, '--partitions', '2', '--config', 'segment.bytes=1048576',
                   '--bootstrap', broker.bootstrap])
    produce(broker, count)
    return broker


def produce(broker, count, first=0):
    for partition in (0, 1):
        lines = ''.join(f'key-{i}:{i}-{VALUE}\n' for i in range(first, first + count))
        processes.run(['kcat', '-b', broker.bootstrap, '-P', '-t', TOPIC, '-p', str(partition), '-K', ':',
                       '-X', 'acks=all',
                       '-X', 'batch.size=20000'], stdin=None, input=lines.encode())


def consume(broker, partition=0):
    text = processes.run(['kcat', '-b', broker.bootstrap, '-C', '-t', TOPIC, '-p', str(partition),
                          '-o', 'beginning', '-e', '-q',
                          '-f', '%o %k\n'])
    return text.decode().splitlines()


def flip(path, at):
    with path.open('r+b') as file:
        file.seek(at)
        byte = file.read(1)[0]
        file.seek(at)
        file.write(bytes([byte ^ 4]))


def segments_of(folder, partition_log):
    return sorted((folder / 'logs' / f'{partition_log:020}').glob('*.log'))


def log_of(run, folder, partition):
    logs = [item for item in objects(log(run, 'dump', folder, '--json')) if item['kind'] == 'log']
    return next(item['log'] for item in logs if item.get('partition') == f'{TOPIC}/{partition}')


def test_stopped(run):
    broker = broker_with_records(run)
    broker.stop()
    findings, summary = verify(run, broker.data)
    check.equal(findings, [], 'findings of a stopped folder')
    check.expect(summary['fine'] and summary['segments'] > 4, f'summary {summary}')
    records = [item for item in objects(log(run, 'dump', broker.data, '--topic', TOPIC, '--partition', 1,
                                            '--from', 2990,
                                            '--records', '--json')) if item['kind'] == 'record']
    check.equal([(item['offset'], item['key'], item['value']) for item in records],
                [(i, f'key-{i}', f'{i}-{VALUE}') for i in range(2990, 3000)], 'records of the dump')
    text = log(run, 'dump', broker.data, '--limit', 3)
    check.equal(text.count('\n  batch '), 3, 'batches with a limit')
    check.expect(f' {TOPIC}/0 ' in text, 'the text names no partition')
    broker.start()
    check.equal(len(consume(broker)), 3000, 'records after the tool')


def test_killed(run):
    broker = broker_with_records(run)
    broker.kill()
    findings, summary = verify(run, broker.data)
    check.expect(summary['fine'], f'a killed folder: {findings}')
    check.expect(any(item['kind'] == 'entry' for item in objects(log(run, 'dump', broker.data, '--json'))),
                 'the ring of a killed broker holds nothing')
    for _ in range(3):
        broker.start()
        produce(broker, 500)
        broker.kill()
        findings, summary = verify(run, broker.data)
        check.expect(summary['fine'], f'a killed folder: {findings}')


def test_running(run):
    broker = broker_with_records(run)
    for command in ('dump', 'verify'):
        log(run, command, broker.data, status=2)
    log(run, 'repair', broker.data, '--remove-unnamed', status=2)
    findings, summary = verify(run, broker.data, '--live-read-only')
    check.expect(summary['fine'], f'a running folder: {findings}')
    produce(broker, 100)
    check.equal(len(consume(broker)), 3100, 'records beside the tool')


def test_damaged_segment(run):
    broker = broker_with_records(run)
    broker.stop()
    number = log_of(run, broker.data, 0)
    segment = segments_of(broker.data, number)[1]
    flip(segment, segment.stat().st_size // 2)
    findings, _ = verify(run, broker.data, status=1)
    check.equal(len(findings), 1, 'findings')
    found = findings[0]
    said = (found['severity'], found['file'], found['partition'])
    check.equal(said, ('damage', str(segment), f'{TOPIC}/0'), 'finding')
    line = log(run, 'verify', broker.data, status=1).splitlines()[0]
    for word in (str(segment), f'{TOPIC}/0', f'--accept-loss {number}:{found["lost_from"]}'):
        check.expect(word in line, f'no {word!r} in {line}')
    # The operator's word for another offset is not enough; a dry run changes nothing.
    log(run, 'repair', broker.data, '--accept-loss', f'{number}:{found["lost_from"] + 1}', '--yes', status=1)
    log(run, 'repair', broker.data, '--accept-loss', f'{number}:{found["lost_from"]}')
    verify(run, broker.data, status=1)
    log(run, 'repair', broker.data, '--accept-loss', f'{number}:{found["lost_from"]}', '--yes')
    check.expect(verify(run, broker.data)[1]['fine'], 'damaged after the cut')
    broker.start()
    check.equal(len(consume(broker)), found['lost_from'], 'records before the loss')
    check.equal(len(consume(broker, 1)), 3000, 'records of the other partition')


def test_damaged_sidecar_and_slot(run):
    broker = broker_with_records(run)
    broker.stop()
    sidecar = sorted(broker.data.glob('logs/*/*.sidecar'))[0]
    good = sidecar.read_bytes()
    flip(sidecar, 100)
    flip(broker.data / 'ring-0.state-1', 60)
    findings, summary = verify(run, broker.data, status=1)
    check.equal((summary['worn'], summary['damage']), (2, 0), f'{findings}')
    check.equal({item['file'] for item in findings}, {str(sidecar), str(broker.data / 'ring-0.state-1')}, 'files')
    log(run, 'repair', broker.data, '--rebuild-sidecars', '--restore-slots', '--yes')
    check.equal(sidecar.read_bytes(), good, 'the sidecar')
    check.expect(verify(run, broker.data)[1]['fine'], 'not fine after repair')
    broker.start()
    check.equal(len(consume(broker)), 3000, 'records after repair')


def test_missing_ring(run):
    """Nothing describes its segments any more: they are damage, and no repair takes them."""
    broker = broker_with_records(run)
    broker.kill()
    away = broker.folder / 'away'
    away.mkdir()
    ring = sorted(broker.data.glob('ring-0*'))
    check.equal(len(ring), 3, 'files of the ring')
    for file in ring:
        file.rename(away / file.name)
    segments = sorted(broker.data.glob('logs/*/*'))
    findings, _ = verify(run, broker.data, status=1)
    said = [item['means'] for item in findings if item['severity'] == 'damage']
    check.equal(len(said), 3, f'damage: the ring, and both logs: {findings}')
    check.expect(all('in ring 0, whose files are missing' in means for means in said), f'{said}')
    text = log(run, 'repair', broker.data, '--remove-unnamed', '--yes', status=1)
    check.expect('0 step(s) done' in text and 'lives in ring 0, whose files are missing' in text, text)
    (broker.data / 'metadata.sqlite').rename(away / 'metadata.sqlite')  # now it is a second drive
    findings, _ = verify(run, broker.data, status=1)
    check.expect(any('no ring of this folder knows log' in item['means'] for item in findings), f'{findings}')
    log(run, 'repair', broker.data, '--remove-unnamed', '--yes', status=1)
    check.equal(sorted(broker.data.glob('logs/*/*')), segments, 'segments after the repairs')
    for file in away.iterdir():
        file.rename(broker.data / file.name)
    check.expect(verify(run, broker.data)[1]['fine'], 'not fine with the ring put back')
    broker.start()
    check.equal(len(consume(broker)), 3000, 'records after all')


def test_replaced_ring(run):
    """All three files of the ring are of another folder or an earlier stop: whole, and not those that belong here."""
    other = run.broker()
    other.stop()
    broker = broker_with_records(run)
    broker.stop()
    away = broker.folder / 'away'
    away.mkdir()

    def ring(folder):
        return sorted(folder.glob('ring-0*'))

    for file in ring(broker.data):
        shutil.copyfile(file, away / file.name)
    broker.start()
    produce(broker, 1000, first=3000)
    broker.stop()
    right = broker.folder / 'right'
    right.mkdir()
    for file in ring(broker.data):
        shutil.copyfile(file, right / file.name)
    segments = sorted(broker.data.glob('logs/*/*'))
    for source, words in ((other.data, "another ring's"), (away, 'of an earlier time')):
        for file in ring(source):
            shutil.copyfile(file, broker.data / file.name)
        findings, _ = verify(run, broker.data, status=1)
        check.expect(any(words in item['means'] for item in findings), f'{findings}')
        text = log(run, 'repair', broker.data, '--remove-unnamed', '--yes', status=1)
        check.expect('0 step(s) done' in text, text)
        said = broker.fails_to_start()
        check.expect(words in said.splitlines()[-1], said)
        check.equal(sorted(broker.data.glob('logs/*/*')), segments, 'segments after a refused start')
    for file in ring(right):
        shutil.copyfile(file, broker.data / file.name)
    check.expect(verify(run, broker.data)[1]['fine'], 'not fine with the ring put back')
    log(run, 'verify', broker.data, '--log', '99', status=2)
    broker.start()
    check.equal(len(consume(broker)), 4000, 'records after all')


def test_folder_file_of_another(run):
    """Its id is how the metadata knows the folder: what a start refuses, verify does not call fine."""
    broker = broker_with_records(run, 100)
    broker.stop()
    file = broker.data / 'folder'
    good = file.read_bytes()
    at = good.index(b'id = ') + 5
    file.write_bytes(good[:at] + (b'1' if good[at:at + 1] == b'0' else b'0') + good[at + 1:])
    findings, _ = verify(run, broker.data, status=1)
    check.equal([(item['severity'], item['file']) for item in findings], [('damage', str(file))], 'findings')
    check.expect('is missing' in broker.fails_to_start(), 'the start')
    file.write_bytes(good)
    check.expect(verify(run, broker.data)[1]['fine'], 'not fine with the file put back')
    broker.start()
    check.equal(len(consume(broker)), 100, 'records after all')


def test_loss_of_both_rings_is_accepted(run):
    """One after the other, by the number that each refusal names; what was accepted is not asked again."""
    broker = run.broker({'penstock.lcores': 2})
    processes.run([run.program, 'topic', 'create', TOPIC, '--partitions', '2', '--bootstrap', broker.bootstrap])
    produce(broker, 100)
    processes.run(['kcat', '-b', broker.bootstrap, '-P', '-t', TOPIC, '-p', '1', '-X', 'acks=all'], stdin=None,
                  input=b'one more\n' * 50_000)
    broker.stop()
    away = broker.folder / 'away'
    away.mkdir()
    earlier = sorted(broker.data.glob('ring-*'))
    check.equal(len(earlier), 6, 'files of two rings')
    for file in earlier:
        shutil.copyfile(file, away / file.name)
    broker.start()
    produce(broker, 100, first=100)
    broker.stop()
    for file in earlier:
        shutil.copyfile(away / file.name, file)

    def place(said, ring):
        last = said.splitlines()[-1]
        check.expect(f'/{ring} and its state are of an earlier time' in last, last)
        return re.search(r'--accept-loss-at (\d+)', last)[1]

    first = place(broker.fails_to_start(), 'ring-0')
    check.equal(place(broker.fails_to_start(), 'ring-0'), first, 'a refused start changes nothing')
    second = place(broker.fails_to_start('--accept-loss-at', first), 'ring-1')
    check.expect(first != second, f'both rings end at {first}: nothing was told apart')
    broker.start('--accept-loss-at', second)
    check.equal(len(consume(broker, 0)), 100, 'records of partition 0')
    check.equal(len(consume(broker, 1)), 50_100, 'records of partition 1')
    broker.stop()
    broker.start()
    check.expect(verify_stopped(run, broker), 'not fine after all')


def verify_stopped(run, broker):
    broker.stop()
    return verify(run, broker.data)[1]['fine']


def test_damaged_metadata(run):
    """verify and a start refuse it alike, with its name, and a start leaves it as it is."""
    broker = broker_with_records(run)
    broker.stop()
    metadata = broker.data / 'metadata.sqlite'
    good = metadata.read_bytes()
    for at in (8, 108, 4104, 8200):
        bad = bytearray(good)
        bad[at:at + 600] = bytes(byte ^ 0xff for byte in bad[at:at + 600])
        metadata.write_bytes(bad)
        findings, summary = verify(run, broker.data, status=1)
        check.equal([(item['severity'], item['file']) for item in findings], [('damage', str(metadata))],
                    f'findings with damage at {at}')
        check.expect('put back both' in findings[0]['todo'] and str(metadata) in findings[0]['means'], f'{findings}')
        check.expect(not summary['fine'], 'fine')
        said = broker.fails_to_start()
        last = said.splitlines()[-1]
        for word in (str(metadata), 'from a copy'):
            check.expect(word in last, f'no {word!r} in {last}')
        check.expect('new cluster' not in said, said)
        check.expect(metadata.read_bytes() == bytes(bad), f'a refused start changed the metadata damaged at {at}')
    metadata.write_bytes(good)
    check.expect(verify(run, broker.data)[1]['fine'], 'not fine with the metadata put back')
    no_place = subprocess.run([run.program, 'log', 'verify', '--data', broker.data], capture_output=True, timeout=600,
                              check=False, env={'TMPDIR': '/nowhere'})
    check.equal(no_place.returncode, 2, f'status without a place for the copy: {no_place}')
    check.expect(b'TMPDIR' in no_place.stderr, f'{no_place.stderr}')
    broker.start()
    check.equal(len(consume(broker)), 3000, 'records with the metadata put back')


def test_cannot_run(run):
    empty = run.folder / 'empty'
    empty.mkdir()
    for command in ('dump', 'verify'):
        log(run, command, empty, status=2)
        log(run, command, run.folder / 'nowhere', status=2)
    shutil.rmtree(empty)


def main():
    run = check.Run()
    run.tests(run, test_stopped, test_killed, test_running, test_damaged_segment, test_damaged_sidecar_and_slot,
              test_missing_ring, test_replaced_ring, test_folder_file_of_another,
              test_loss_of_both_rings_is_accepted, test_damaged_metadata, test_cannot_run)
    run.finish()


if __name__ == '__main__':
    main()
