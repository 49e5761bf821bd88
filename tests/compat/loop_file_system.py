"""A small file system of a test's own, in a file behind a loop device: to be filled to the last byte, and to be shut
down under the program's feet. Needs root and loop devices.

Everything is mounted in a mount namespace of this process alone, so that nothing stays however it ends: the last mount
of a loop device that was made by mount takes the device along."""
import contextlib
import fcntl
import os
import pathlib
import re
import shutil
import struct
import subprocess
import sys
import time

import check
import processes

FS_IOC_SHUTDOWN = 2 << 30 | 4 << 16 | ord('X') << 8 | 125  # _IOR('X', 125, __u32): ext4 and XFS have it in common
LOGFLUSH, NOLOGFLUSH = 1, 2
LOOP_MAJOR = 7
INSIDE = 'PENSTOCK_PRIVATE_MOUNTS'
UMOUNT_TIMEOUT_S = 60
BLOCK = 4096


def enter_private_mounts():
    """Begins this program anew in a mount namespace of its own; once, before anything else. Says why it cannot."""
    if os.environ.get(INSIDE):
        return
    why = missing()
    if not why:
        probe = subprocess.run(['unshare', '--mount', '--propagation', 'private', 'true'], capture_output=True,
                               check=False)
        why = probe.stderr.decode().strip() if probe.returncode else ''
    if why:
        check.skip_all(f'no file system can be mounted here: {why}')
    os.environ[INSIDE] = '1'
    os.execvp('unshare', ['unshare', '--mount', '--propagation', 'private', sys.executable, '-B', *sys.argv])


def missing():
    if os.geteuid() != 0:
        return 'only root may mount'
    if not os.path.exists('/dev/loop-control'):
        return 'there are no loop devices'
    absent = [name for name in ('mount', 'umount', 'losetup', 'unshare') if not shutil.which(name)]
    return f'{", ".join(absent)} missing' if absent else ''


class LoopFileSystem:
    """with LoopFileSystem(run, 'ext4', 96) as fs: ... fs.path is the mount point. Whoever uses it has ended before."""

    def __init__(self, run, kind, mib):
        self.kind, self.place = kind, run.folder
        self.image = run.folder / f'{kind}.image'
        self.path = run.folder / f'{kind}.mount'
        self.ballast = self.path / 'ballast'
        if not shutil.which(f'mkfs.{kind}'):
            raise check.Skipped(f'mkfs.{kind} is not here')
        with self.image.open('wb') as image:
            image.truncate(mib << 20)
        options = ['-q', '-F', '-m', '0', '-E', 'nodiscard'] if kind == 'ext4' else ['-q', '-f', '-K']
        processes.run([f'mkfs.{kind}', *options, self.image])
        self.path.mkdir()

    def __enter__(self):
        try:
            self.mount()
        except processes.ProcessFailed as failed:
            raise check.Skipped(f'this kernel does not mount {self.kind} from a file: {failed}') from failed
        return self

    def __exit__(self, *_):
        with contextlib.suppress(processes.ProcessFailed):
            self.unmount()
        self.image.unlink(missing_ok=True)

    def mount(self):
        """The first may be more than this kernel can; one that fails later is what a test is there to find."""
        processes.run(['mount', '-t', self.kind, '-o', 'loop', self.image, self.path])
        with contextlib.suppress(processes.ProcessFailed):  # where the folder's own file system can: no second cache
            processes.run(['losetup', '--direct-io=on', self.device()])

    def unmount(self):
        deadline = time.monotonic() + UMOUNT_TIMEOUT_S
        while self.mounted():
            try:
                processes.run(['umount', self.path])
            except processes.ProcessFailed:  # a process that was killed has its last write still under way
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)

    def mounted(self):
        """(file system, device) of what is mounted last on path."""
        found = None
        with open('/proc/self/mountinfo', encoding='utf-8') as lines:
            for line in lines:
                words = line.split()
                if words[4] == str(self.path):
                    rest = words[words.index('-') + 1:]
                    found = rest[0], rest[1]
        return found

    def device(self):
        """The loop device; an error unless this mount point is on one, and that on this image."""
        found = self.mounted()
        check.expect(found and found[0] == self.kind, f'{self.path} is no mount point of {self.kind}: {found}')
        number = re.fullmatch(r'/dev/loop(\d+)', found[1])
        check.expect(number, f'{self.path} is not on a loop device: {found}')
        backing = pathlib.Path(f'/sys/block/loop{number[1]}/loop/backing_file').read_text(encoding='utf-8').strip()
        check.equal(backing, str(self.image), 'the file behind the loop device')
        return found[1]

    def shut_down(self, flags):
        """FS_IOC_SHUTDOWN: from now on nothing is written or read, as if the drive had gone. Only for this mount."""
        device = os.stat(self.device())
        place = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            inside = os.fstat(place)
            check.equal(os.major(inside.st_dev), LOOP_MAJOR, 'the major number of the mounted device')
            check.equal(inside.st_dev, device.st_rdev, 'the device that is to be shut down')
            check.expect(inside.st_dev != os.stat(self.place).st_dev, f'{self.path} is not apart from its folder')
            fcntl.ioctl(place, FS_IOC_SHUTDOWN, struct.pack('I', flags))
        finally:
            os.close(place)

    def free_bytes(self):
        status = os.statvfs(self.path)
        return status.f_bavail * status.f_frsize

    def fill(self, leave=0):
        """Takes the space that is free but so much; 0: to the last block."""
        with open(self.ballast, 'ab', buffering=0) as file:
            step = 1 << 26
            while step >= BLOCK:
                try:
                    if self.free_bytes() < leave + step:
                        raise OSError('enough')
                    os.posix_fallocate(file.fileno(), os.fstat(file.fileno()).st_size, step)
                except OSError:
                    step //= 2

    def relieve(self):
        self.ballast.unlink(missing_ok=True)
