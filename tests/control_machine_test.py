#!/usr/bin/env python3
"""penstock serve on machines that lack something, or are left in an odd way; tests/compat/startup.py has the rest.
Each reason not to start is one line that says what to do.
usage: control_machine_test.py PENSTOCK, as root: it mounts. Exit code 77: what cannot run here was skipped."""
import ctypes
import os
import pathlib
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import unittest

PENSTOCK = str(pathlib.Path(sys.argv.pop(1) if len(sys.argv) > 1 else 'build/release/penstock').absolute())
SKIP_STATUS = 77  # tests/CMakeLists.txt
LONGEST = 120  # seconds that a start or an end may take on a busy machine


class MachineTest(unittest.TestCase):
    def setUp(self):
        place = pathlib.Path(PENSTOCK).parent / 'compat'  # a /tmp may be a tmpfs, on which no broker starts
        place.mkdir(exist_ok=True)
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix=f'machine-{os.getpid()}-', dir=place))
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        self.data = self.folder / 'data'

    def command(self, *flags):
        return [PENSTOCK, 'serve', '--data', str(self.data), '--listen', '127.0.0.1:0', '--http', '127.0.0.1:0',
                '--set', 'penstock.ring.bytes=8MiB', *flags]

    def start(self, *flags):
        """A broker that is ready."""
        process = subprocess.Popen(self.command(*flags), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.addCleanup(lambda: process.poll() is None and process.kill())
        line = process.stdout.readline()
        self.assertTrue(line.startswith('ready '), line or process.stderr.read())
        return process, int(line.split()[1].rsplit(':', 1)[1])

    def refusal(self, *flags, wrapper=(), **how):
        """What a broker says that does not start: its one line."""
        done = subprocess.run([*wrapper, *self.command(*flags)], capture_output=True, text=True, timeout=LONGEST, **how)
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertEqual(done.stdout, '')
        reasons = [line for line in done.stderr.splitlines() if line.startswith('penstock: ')]
        self.assertEqual(len(reasons), 1, done.stderr)
        return reasons[0]

    def test_a_second_signal_ends_at_once(self):
        process, _ = self.start()
        os.kill(process.pid, signal.SIGSTOP)  # both are there before it can obey the first
        os.kill(process.pid, signal.SIGTERM)
        os.kill(process.pid, signal.SIGINT)
        os.kill(process.pid, signal.SIGCONT)
        process.communicate(timeout=LONGEST)
        self.assertEqual(process.returncode, 1)

    def test_standard_output_has_the_ready_line_and_nothing_else(self):
        process, _ = self.start()
        process.terminate()
        out, _ = process.communicate(timeout=LONGEST)
        self.assertEqual((process.returncode, out), (0, ''))

    def test_another_node_id_than_the_topics_have(self):
        process, port = self.start()
        create = [PENSTOCK, 'topic', 'create', 'mine', '--bootstrap', f'127.0.0.1:{port}']
        subprocess.run(create, check=True, timeout=LONGEST, capture_output=True)
        process.terminate()
        process.communicate(timeout=LONGEST)
        self.assertIn('node.id', self.refusal('--set', 'node.id=7'))

    def test_io_uring_that_is_forbidden(self):
        reason = self.refusal(preexec_fn=forbid_io_uring)
        self.assertIn('io_uring', reason)
        self.assertIn('container', reason)

    def test_a_machine_whose_name_nobody_knows(self):
        reason = self.refusal('--listen', '0.0.0.0:0', wrapper=in_namespace(
            '-u', 'hostname penstock-test-no-such-name.invalid'))
        self.assertIn('--set advertised.listeners=', reason)

    def test_a_file_system_without_direct_io_or_without_a_drive(self):
        self.data.mkdir()
        for kind in ('ramfs', 'tmpfs'):
            mount = f'mount -t {kind} {kind} {self.data}'
            if subprocess.run([*in_namespace('-m', mount), 'true'], capture_output=True).returncode != 0:
                self.skipTest(f'no {kind} can be mounted here')
            reason = self.refusal(wrapper=in_namespace('-m', mount))
            self.assertIn('direct I/O', reason)
            self.assertIn(str(self.data), reason)

    def test_a_full_drive_does_not_keep_it_from_starting(self):
        image = self.folder / 'image'
        with image.open('wb') as file:
            file.truncate(64 << 20)
        subprocess.run(['mkfs.ext4', '-q', str(image)], check=True, capture_output=True)
        self.data.mkdir()
        mount = f'mount -o loop {image} {self.data}'
        if subprocess.run([*in_namespace('-m', mount), 'true'], capture_output=True).returncode != 0:
            self.skipTest('no loop devices here')
        for preparation in (mount, f'{mount} && (cat /dev/zero > {self.data}/filling; sync; true)'):
            command = in_namespace('-m', preparation) + self.command()
            process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            self.addCleanup(lambda broker=process: broker.poll() is None and broker.kill())
            self.assertTrue(process.stdout.readline().startswith('ready '), process.poll())
            process.terminate()
            _, log = process.communicate(timeout=LONGEST)
            self.assertEqual(process.returncode, 0, log)
        self.assertIn('no space left', log)


def in_namespace(kind, preparation):
    """Runs a command after preparation, in a namespace that ends with it."""
    return ['unshare', kind, 'sh', '-c', f'{preparation} && exec "$0" "$@"']


def forbid_io_uring():
    """What many container profiles do: io_uring_setup fails with EPERM. seccomp(2), a filter of four instructions."""
    io_uring_setup, set_seccomp, filter_mode, no_new_privileges = 425, 22, 2, 38
    code = b''.join(struct.pack('HBBI', *instruction) for instruction in (
        (0x20, 0, 0, 0),                       # load the system call's number
        (0x15, 0, 1, io_uring_setup),          # is it io_uring_setup?
        (0x06, 0, 0, 0x00050000 | 1),          # then EPERM
        (0x06, 0, 0, 0x7fff0000)))             # else allow
    buffer = ctypes.create_string_buffer(code)
    program = struct.pack('HxxxxxxP', 4, ctypes.addressof(buffer))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(no_new_privileges, 1, 0, 0, 0) or libc.prctl(set_seccomp, filter_mode, program, 0, 0):
        os._exit(99)


if __name__ == '__main__':
    if os.geteuid() != 0:
        print('skipped: only root may mount file systems and make namespaces')
        sys.exit(SKIP_STATUS)
    result = unittest.main(verbosity=2, exit=False).result
    if result.wasSuccessful() and result.skipped:  # of one test of many, too: ctest would hide it
        print('skipped:', '; '.join(why for _, why in result.skipped))
        sys.exit(SKIP_STATUS)
    sys.exit(not result.wasSuccessful())
