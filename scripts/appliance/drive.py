"""The guest's NVMe drive, whose write cache a power cut empties. QEMU's alone would not do: what it wrote is in the
host's memory when it is killed, and nothing is lost. So each write goes to a journal too (blklogwrites, in the format
of Linux's dm-log-writes), and a power cut leaves what the journal holds up to the last flush, and nothing behind it.
Formats: docs.kernel.org/admin-guide/device-mapper/log-writes.html, include/uapi of the same."""
import collections
import os
import struct
import subprocess

BYTES = 1 << 30
COPY_S = 120
SECTOR = 512
MAGIC = 0x6a736677736872
SUPER = struct.Struct('<QQQI')  # magic, version, entries, sector size
ENTRY = struct.Struct('<QQQQ')  # sector, sectors, flags, bytes of a mark, which QEMU does not make
FLUSH = 1 << 0
DISCARD = 1 << 2


class Drive:
    """folder holds the drive itself and, while the guest runs, its journal and what it was at power-on."""

    def __init__(self, folder, has_journal):
        self.has_journal = has_journal
        self.image = folder / 'drive'
        self.journal = folder / 'drive.journal'
        self.before = folder / 'drive.before'

    def arguments(self):
        if not self.has_journal:
            return ['-blockdev', f'driver=file,node-name=drive,filename={self.image}']
        return ['-blockdev', f'driver=blklogwrites,node-name=drive,log-sector-size={SECTOR},'
                f'file.driver=file,file.filename={self.image},log.driver=file,log.filename={self.journal}']

    def power_on(self):
        if not self.image.exists():
            with self.image.open('wb') as file:
                file.truncate(BYTES)
        if not self.has_journal:
            return
        self.journal.write_bytes(b'')
        subprocess.run(['cp', '--sparse=always', self.image, self.before], check=True, timeout=COPY_S)

    def lose_cache(self):
        """Takes the drive back to its last flush. Returns how many writes that kept and how many it lost."""
        with self.before.open('r+b') as image, self.journal.open('rb') as journal:
            flushed = max((index for index, entry in enumerate(entries(journal), 1) if entry.flags & FLUSH), default=0)
            kept = lost = 0
            for index, entry in enumerate(entries(journal), 1):
                if not entry.bytes:
                    continue
                if index > flushed:
                    lost += 1
                    continue
                kept += 1
                journal.seek(entry.at)
                image.seek(entry.sector * SECTOR)
                image.write(journal.read(entry.bytes))
        os.replace(self.before, self.image)
        return kept, lost


Entry = collections.namedtuple('Entry', 'sector flags bytes at')


def entries(journal):
    """In the order in which the guest was told of them. A discard carries no data."""
    end = journal.seek(0, os.SEEK_END)
    journal.seek(0)
    magic, version, at_least, sector_bytes = SUPER.unpack(journal.read(SUPER.size))
    if (magic, version, sector_bytes) != (MAGIC, 1, SECTOR):
        raise ValueError(f'the journal of the drive begins with {magic:#x}, {version}, {sector_bytes}')
    at, count = SECTOR, 0
    while at + SECTOR <= end:
        journal.seek(at)
        sector, sectors, flags, _ = ENTRY.unpack(journal.read(ENTRY.size))
        size = 0 if flags & DISCARD else sectors * SECTOR
        if (not sectors and not flags) or at + SECTOR + size > end:
            break  # was on its way when the power went
        yield Entry(sector, flags, size, at + SECTOR)
        at, count = at + SECTOR + size, count + 1
    if count < at_least:
        raise ValueError(f'the journal of the drive has a hole behind entry {count}, but {at_least} were flushed')
