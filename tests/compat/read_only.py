#!/usr/bin/python3
"""penstock log where nothing can be written: on a file system that is mounted read-only (the kernel does that after
errors; so are snapshots and images), and as a user who may only read. A start says why it cannot. Needs root and loop
devices. ctest compat.read_only."""
import fcntl
import os
import shutil
import subprocess
import tempfile

import check
import log_tool
import loop_file_system
import processes
from broker import MIB

EXT4_MIB = 96
STRANGER = 1_000_000 + os.getpid()


def killed_folder(run, data):
    broker = run.broker({'penstock.disk.reserve.bytes': MIB}, start=False)
    broker.data = data
    broker.start()
    processes.run([run.program, 'topic', 'create', log_tool.TOPIC, '--partitions', '2', '--config',
                   'segment.bytes=1048576', '--bootstrap', broker.bootstrap])
    log_tool.produce(broker, 3000)
    broker.stop()  # the state slots name the segments
    broker.start()
    log_tool.produce(broker, 500, 3000)
    broker.kill()
    return broker


def expect_all_read(run, data):
    findings, summary = log_tool.verify(run, data)
    check.expect(summary['fine'] and summary['batches'] > 0, f'{findings} {summary}')
    check.expect(log_tool.verify(run, data, '--live-read-only')[1]['fine'], 'not fine with --live-read-only')
    kinds = {item['kind'] for item in log_tool.objects(log_tool.log(run, 'dump', data, '--json'))}
    check.expect({'ring', 'segment', 'batch'} <= kinds, f'dump shows {kinds}')


def test_mounted_read_only(run):
    with loop_file_system.LoopFileSystem(run, 'ext4', EXT4_MIB) as fs:
        broker = killed_folder(run, fs.path / 'data')
        sorted(broker.data.glob('logs/*/*.sidecar'))[0].unlink()  # what a repair would make
        fs.unmount()
        processes.run(['mount', '-t', 'ext4', '-o', 'loop,ro', fs.image, fs.path])
        expect_all_read(run, broker.data)
        said = broker.fails_to_start().splitlines()[-1]
        check.expect('the file system is mounted read-only' in said and str(broker.data) in said, said)
        text = log_tool.log(run, 'repair', broker.data, '--rebuild-sidecars', '--yes', status=1)
        check.expect('mounted read-only' in text and '0 step(s) done' in text, text)
        with open(broker.data / 'lock', encoding='utf-8') as lock:  # as a broker holds it
            fcntl.flock(lock, fcntl.LOCK_EX)
            for command in ('verify', 'dump'):
                log_tool.log(run, command, broker.data, status=2)
            check.expect(log_tool.verify(run, broker.data, '--live-read-only')[1]['fine'], 'beside a broker')
        fs.unmount()
        fs.mount()
        broker.start()
        check.equal(len(log_tool.consume(broker)), 3500, 'records when it can be written again')
        broker.stop()


class Reader:
    """Runs the program as a user who may read the folder, and write nowhere but in a temporary folder of its own."""
    def __init__(self, run, place):
        self.program = place / 'as-a-reader'
        shutil.copy(run.program, place / 'penstock')
        own = place / 'tmp'
        own.mkdir()
        os.chown(own, STRANGER, STRANGER)
        self.program.write_text(f'#!/bin/sh\nTMPDIR={own} exec setpriv --reuid={STRANGER} --regid={STRANGER} '
                                f'--clear-groups -- {place}/penstock "$@"\n', encoding='utf-8')
        self.program.chmod(0o755)


def test_a_user_who_may_only_read(run):
    broker = killed_folder(run, run.folder / 'data')
    with tempfile.TemporaryDirectory(prefix='penstock-compat-', dir='/var/tmp') as name:
        place = type(run.folder)(name)
        place.chmod(0o755)
        data = place / 'data'
        shutil.copytree(broker.data, data)
        subprocess.run(['chmod', '-R', 'a+rX,a-w', data], check=True)
        reader = Reader(run, place)
        expect_all_read(reader, data)
        with open(data / 'lock', encoding='utf-8') as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            log_tool.log(reader, 'verify', data, status=2)
        (data / 'lock').chmod(0o600)
        refused = subprocess.run([reader.program, 'log', 'verify', '--data', data], capture_output=True, timeout=600,
                                 check=False)
        check.equal(refused.returncode, 2, 'status without the right to read the lock')
        check.expect(b'the right to read' in refused.stderr, f'{refused.stderr}')


def main():
    loop_file_system.enter_private_mounts()
    run = check.Run()
    run.tests(run, test_mounted_read_only, test_a_user_who_may_only_read)
    run.finish()


if __name__ == '__main__':
    main()
