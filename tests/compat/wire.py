"""A Kafka client down at the bytes, for what no library would send: any version, pipelining, broken frames.
Messages: wire_messages.py. Errors of the peer come as wire.Closed."""
import socket
import struct

from wire_messages import REQUESTS, RESPONSES

NUMBERS = {'int8': '>b', 'int16': '>h', 'int32': '>i', 'int64': '>q', 'bool': '>?'}
NO_UUID = bytes(16)
TIMEOUT_S = 60  # for one answer, on a machine that does much else


class Closed(Exception):
    """The broker closed the connection."""


class Writer:
    def __init__(self, version, flexible):
        self.version, self.flexible, self.out = version, flexible, bytearray()

    def number(self, form, value):
        self.out += struct.pack(form, value)

    def uvarint(self, value):
        while value > 0x7f:
            self.out.append(value & 0x7f | 0x80)
            value >>= 7
        self.out.append(value)

    def length(self, size, form):
        """size None: null. Compact in flexible versions."""
        if self.flexible:
            self.uvarint(0 if size is None else size + 1)
        else:
            self.number(form, -1 if size is None else size)

    def value(self, kind, value, fields=()):
        if kind in NUMBERS:
            self.number(NUMBERS[kind], value)
        elif kind == 'uuid':
            self.out += value
        elif kind in ('string', 'records'):
            data = value.encode() if isinstance(value, str) else value
            self.length(None if data is None else len(data), '>h' if kind == 'string' else '>i')
            self.out += data or b''
        elif kind == '?struct':
            self.number('>b', -1 if value is None else 1)
            if value is not None:
                self.struct(fields, value)
        elif kind == 'struct':
            self.struct(fields, value)
        else:
            self.length(None if value is None else len(value), '>i')
            for item in value or ():
                self.value(kind[2:] or 'struct', item, fields)

    def struct(self, fields, values):
        """values['unknown_tags'], if there: {tag: bytes} that no schema knows."""
        known = [field for field in fields if field.is_in(self.version)]
        unexpected = values.keys() - {field.name for field in fields} - {'unknown_tags'}
        assert not unexpected, f'no such fields: {unexpected}'
        tags = dict(values.get('unknown_tags', {}))
        for field in known:
            value = values.get(field.name, default_of(field))
            if field.tag is None:
                self.value(field.kind, value, field.fields)
            elif field.name in values:
                tagged = Writer(self.version, True)
                tagged.value(field.kind, value, field.fields)
                tags[field.tag] = bytes(tagged.out)
        if self.flexible:
            self.tags(tags)

    def tags(self, tags):
        self.uvarint(len(tags))
        for tag, data in sorted(tags.items()):
            self.uvarint(tag)
            self.uvarint(len(data))
            self.out += data


def default_of(field):
    if field.default is not None or field.nullable:
        return field.default
    if field.kind.startswith('[]'):
        return []
    return {'string': '', 'records': b'', 'uuid': NO_UUID, 'bool': False}.get(field.kind, 0)


class Reader:
    def __init__(self, data, version, flexible):
        self.data, self.at, self.version, self.flexible = data, 0, version, flexible

    def take(self, size):
        assert 0 <= size <= len(self.data) - self.at, 'the answer is cut short'
        self.at += size
        return self.data[self.at - size:self.at]

    def number(self, form):
        return struct.unpack(form, self.take(struct.calcsize(form)))[0]

    def uvarint(self):
        value, shift = 0, 0
        while True:
            byte = self.take(1)[0]
            value |= (byte & 0x7f) << shift
            shift += 7
            if byte < 0x80:
                return value

    def length(self, form):
        size = self.uvarint() - 1 if self.flexible else self.number(form)
        return None if size < 0 else size

    def value(self, kind, fields=()):
        if kind in NUMBERS:
            return self.number(NUMBERS[kind])
        if kind == 'uuid':
            return self.take(16)
        if kind in ('string', 'records'):
            size = self.length('>h' if kind == 'string' else '>i')
            data = None if size is None else self.take(size)
            return data.decode() if kind == 'string' and data is not None else data
        if kind == '?struct':
            return self.struct(fields) if self.number('>b') > 0 else None
        if kind == 'struct':
            return self.struct(fields)
        size = self.length('>i')
        return None if size is None else [self.value(kind[2:] or 'struct', fields) for _ in range(size)]

    def struct(self, fields):
        values = {}
        for field in fields:
            if field.is_in(self.version):
                if field.tag is None:
                    values[field.name] = self.value(field.kind, field.fields)
                    assert values[field.name] is not None or field.nullable, f'{field.name} is null'
                else:
                    values[field.name] = None
        if self.flexible:
            self.tags(fields, values)
        return values

    def tags(self, fields=(), values=None):
        last = -1
        for _ in range(self.uvarint()):
            tag, size = self.uvarint(), self.uvarint()
            assert tag > last, 'tags are not in order'
            last = tag
            inner = Reader(self.take(size), self.version, True)
            for field in fields:
                if field.tag == tag and field.is_in(self.version):
                    values[field.name] = inner.value(field.kind, field.fields)
                    assert inner.at == size, f'{field.name}: the tagged field has another size'


def encode_request(name, version, body=None, correlation=1, client_id='tests', header_tags=None):
    """A whole request without the frame's length."""
    message = REQUESTS[name]
    flexible = version >= message.flexible
    out = Writer(version, False)
    out.out += struct.pack('>hhi', message.key, version, correlation)
    out.value('string', client_id)
    out.flexible = flexible
    if flexible:
        out.tags(header_tags or {})
    out.struct(message.fields, body or {})
    return bytes(out.out)


def frame(request):
    return struct.pack('>i', len(request)) + request


def decode_response(name, version, data, correlation=None):
    message = RESPONSES[name]
    flexible = version >= message.flexible
    reader = Reader(data, version, flexible)
    got = reader.number('>i')
    assert correlation is None or got == correlation, f'an answer to {got} where {correlation} was asked'
    if flexible and name != 'ApiVersions':  # its answer must be readable by those who know less (KIP-511)
        reader.tags()
    values = reader.struct(message.fields)
    assert reader.at == len(data), f'{name} v{version}: {len(data) - reader.at} bytes behind the answer'
    return values


class Connection:
    def __init__(self, address, timeout=TIMEOUT_S, receive_buffer=None, source=None):
        self.socket = socket.socket()
        if source:  # the address to come from
            self.socket.bind((source, 0))
        if receive_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.settimeout(timeout)
        self.socket.connect(address)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.next_correlation = 1

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def send_raw(self, data):
        try:
            self.socket.sendall(data)
        except (BrokenPipeError, ConnectionResetError) as gone:
            raise Closed from gone

    def receive_exactly(self, size):
        got = bytearray()
        while len(got) < size:
            try:
                more = self.socket.recv(min(size - len(got), 1 << 20))
            except ConnectionResetError as gone:
                raise Closed from gone
            if not more:
                raise Closed
            got += more
        return bytes(got)

    def receive_frame(self):
        return self.receive_exactly(struct.unpack('>i', self.receive_exactly(4))[0])

    def send(self, name, version, body=None, **header):
        """Sends without waiting; returns what receive() wants."""
        correlation = self.next_correlation
        self.next_correlation += 1
        self.send_raw(frame(encode_request(name, version, body, correlation, **header)))
        return name, version, correlation

    def receive(self, sent):
        name, version, correlation = sent
        return decode_response(name, version, self.receive_frame(), correlation)

    def call(self, name, version, body=None, **header):
        return self.receive(self.send(name, version, body, **header))

    def is_closed_by_peer(self):
        """Waits for the end of the connection; False if the broker says something instead."""
        try:
            return self.socket.recv(1) == b''
        except ConnectionResetError:
            return True

    # ---- the calls that most tests make, on one partition
    def create(self, topic, partitions=1, **configs):
        configs = [{'name': name.replace('_', '.'), 'value': str(value)} for name, value in configs.items()]
        topics = [{'name': topic, 'partitions': partitions, 'configs': configs}]
        result = self.call('CreateTopics', 7, {'topics': topics})['topics'][0]
        assert result['error'] == 0, f'{topic} was not created: {result}'
        return result

    def produce(self, topic, records, version=9, acks=-1, partition=0, **more):
        body = {'acks': acks, 'topics': [{'name': topic, 'partitions': [{'index': partition, 'records': records}]}]}
        return self.call('Produce', version, body | more)['topics'][0]['partitions'][0]

    def fetch_response(self, topic, offset, version=11, partition=0, partition_max_bytes=1 << 30, **more):
        partitions = [{'index': partition, 'offset': offset, 'max_bytes': partition_max_bytes}]
        return self.call('Fetch', version, {'topics': [{'name': topic, 'partitions': partitions}]} | more)

    def fetch(self, topic, offset, **more):
        return self.fetch_response(topic, offset, **more)['topics'][0]['partitions'][0]

    def offset(self, topic, timestamp, version=5, partition=0):
        body = {'topics': [{'name': topic, 'partitions': [{'index': partition, 'timestamp': timestamp}]}]}
        return self.call('ListOffsets', version, body)['topics'][0]['partitions'][0]
