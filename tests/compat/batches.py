"""Record batches, version 2: made by hand, so that each field can be wrong, and looked into."""
import collections
import gzip
import struct

HEADER = struct.Struct('>qiibIhiqqqhii')
Batch = collections.namedtuple('Batch', 'base_offset length leader_epoch magic crc attributes last_offset_delta '
                               'base_timestamp max_timestamp producer_id producer_epoch base_sequence count bytes')
CODECS = ('none', 'gzip', 'snappy', 'lz4', 'zstd')
LOG_OVERHEAD = 12
CRC_FROM = 21
RECORDS_AT = 61
assert HEADER.size == RECORDS_AT

CONTROL = 0x20
TRANSACTIONAL = 0x10


def crc_table():
    table = []
    for value in range(256):
        for _ in range(8):
            value = value >> 1 ^ (0x82F63B78 if value & 1 else 0)
        table.append(value)
    return table


TABLE = crc_table()


def crc32c(data):
    value = 0xFFFFFFFF
    for byte in data:
        value = TABLE[(value ^ byte) & 0xFF] ^ value >> 8
    return value ^ 0xFFFFFFFF


assert crc32c(b'123456789') == 0xE3069283


def varint(value):
    value = value << 1 ^ value >> 63
    value &= (1 << 64) - 1
    out = bytearray()
    while value > 0x7f:
        out.append(value & 0x7f | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def sized(data):
    return varint(-1) if data is None else varint(len(data)) + data


def record(index, value, key=None, headers=(), timestamp_delta=0):
    body = b'\0' + varint(timestamp_delta) + varint(index) + sized(key) + sized(value) + varint(len(headers))
    for name, content in headers:
        body += varint(len(name)) + name + sized(content)
    return varint(len(body)) + body


def build(values=(b'x',), records=None, codec='none', stream=None, base_offset=0, leader_epoch=-1, magic=2, crc=None,
          attributes=0, last_offset_delta=None, timestamp=1_700_000_000_000, max_timestamp=None, producer_id=-1,
          producer_epoch=-1, base_sequence=-1, count=None, length=None):
    """A batch of values, or of records made by record(); stream: its bytes behind the header, already compressed."""
    if records is None:
        records = [record(index, value) for index, value in enumerate(values)]
    count = len(records) if count is None else count
    plain = b''.join(records)
    if stream is None:
        stream = gzip.compress(plain) if codec == 'gzip' else plain
    attributes |= CODECS.index(codec)
    last_offset_delta = count - 1 if last_offset_delta is None else last_offset_delta
    checked = struct.pack('>hiqqqhii', attributes, last_offset_delta, timestamp,
                          timestamp if max_timestamp is None else max_timestamp, producer_id, producer_epoch,
                          base_sequence, count) + stream
    crc = crc32c(checked) if crc is None else crc
    length = len(checked) + CRC_FROM - LOG_OVERHEAD if length is None else length
    return struct.pack('>qiibI', base_offset, length, leader_epoch, magic, crc) + checked


def split(data):
    """The batches of a fetch answer; a last one that is cut short is left out, as clients do."""
    found, at = [], 0
    while at + RECORDS_AT <= len(data):
        fields = HEADER.unpack_from(data, at)
        end = at + LOG_OVERHEAD + fields[1]
        if end > len(data):
            break
        found.append(Batch(*fields, data[at:end]))
        at = end
    return found


def codec_of(batch):
    return CODECS[batch.attributes & 7]


def last_offset(batch):
    return batch.base_offset + batch.last_offset_delta
