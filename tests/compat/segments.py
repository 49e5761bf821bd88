"""Segments as Kafka would read them: a .log is record batches of magic 2, one behind the other, offsets dense, each
with its CRC-32C. Nothing of the broker is used here."""
import os
import re

import batches
import check

BLOCK = 4096


class Walk:
    """crc_bytes: of batches of so many bytes the CRCs are computed (Python takes long), segments in random order; of
    the others only the headers are read."""

    def __init__(self, random, crc_bytes):
        self.random, self.crc_bytes = random, crc_bytes
        self.segments = self.bytes = self.batches = self.checked = 0

    def folder(self, data, stopped):
        """All logs below the data folder. stopped: cleanly, so that every segment ends where its last batch does;
        otherwise zeros may lie behind that, and the last segment of a log end anyhow."""
        for log in sorted(data.joinpath('logs').iterdir()):
            check.expect(re.fullmatch(r'\d{20}', log.name), f'{log} is no log')
            self.log(log, stopped)
        return self

    def log(self, folder, stopped):
        names = sorted(path for path in folder.iterdir() if path.suffix == '.log')
        order = list(range(len(names)))
        self.random.shuffle(order)
        ends = {}
        for index in order:
            ends[index] = self.segment(names[index], stopped, index == len(names) - 1)
        for index in range(1, len(names)):
            check.equal(base_of(names[index]), ends[index - 1], f'base offset of {names[index]}')

    def segment(self, path, stopped, last):
        """Returns the offset that follows its last batch."""
        data, at, offset = path.read_bytes(), 0, base_of(path)
        while at + batches.RECORDS_AT <= len(data) and any(data[at:at + batches.RECORDS_AT]):
            batch = batches.Batch(*batches.HEADER.unpack_from(data, at), b'')
            end = at + batches.LOG_OVERHEAD + batch.length
            whole = batch.length > 0 and end <= len(data)
            right = whole and batch.magic == 2 and batch.base_offset == offset
            if right and self.checked < self.crc_bytes:
                right = batches.crc32c(data[at + batches.CRC_FROM:end]) == batch.crc
                self.checked += end - at
            if last and not stopped and not right:
                break  # what was being written
            check.expect(right, f'{path} at {at}: {batch}, wanted offset {offset}, the file has {len(data)} bytes')
            at, offset, self.batches = end, batches.last_offset(batch) + 1, self.batches + 1
        rest = data[at:]
        check.expect((last and not stopped) or (not any(rest) and len(rest) < BLOCK),
                     f'{path}: {len(rest)} bytes behind the last batch, at {at}')
        check.expect(not stopped or not rest, f'{path} is {len(rest)} bytes too long after a stop')
        self.segments, self.bytes = self.segments + 1, self.bytes + at
        return offset

    def __str__(self):
        return (f'{self.segments} segments, {self.batches} batches, {self.bytes >> 20} MiB walked, CRCs of '
                f'{self.checked >> 20} MiB')


def base_of(path):
    check.expect(re.fullmatch(r'\d{20}', os.path.splitext(path.name)[0]), f'{path} is no segment')
    return int(path.stem)
