"""The schema as a codec on dictionaries, in Python and apart from the C++ one: what the capture server speaks.

Names are the schema's; an absent key is the default; unknown tagged fields are kept out."""

import struct
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "protocol"))
from generate import SchemaFile  # noqa: E402

FIXED = {"bool": "?", "int8": "b", "int16": "h", "uint16": "H", "int32": "i", "uint32": "I", "int64": "q",
         "float64": "d"}
BLOBS = ("string", "bytes", "records")


def load():
    """(key, "request" or "response") -> message, and key -> api."""
    messages, apis = {}, {}
    for path in sorted((ROOT / "protocol/schema").glob("*.schema")):
        schema = SchemaFile(path)
        apis.update({api.key: api for api in schema.apis})
        messages.update({(m.number, m.kind): m for m in schema.messages if m.kind in ("request", "response")})
    return messages, apis


def uvarint(n):
    out = bytearray()
    while n > 127:
        out.append(n & 127 | 128)
        n >>= 7
    return bytes(out + bytes([n]))


class Input:
    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, n):
        if n < 0 or self.at + n > len(self.data):
            raise ValueError("the bytes end early")
        self.at += n
        return self.data[self.at - n:self.at]

    def fixed(self, letter):
        return struct.unpack(">" + letter, self.take(struct.calcsize(">" + letter)))[0]

    def uvarint(self):
        value = shift = 0
        while True:
            byte = self.take(1)[0]
            value |= (byte & 127) << shift
            if byte < 128:
                return value
            shift += 7


class Codec:
    def __init__(self, message, version):
        self.message, self.version = message, version
        self.flexible = version >= message.flexible
        self.structs = {s.name: s for s in message.structs}

    def has(self, versions):
        return versions is not None and versions[0] <= self.version <= versions[1]

    def decode(self, data):
        source = Input(data)
        out = self.read_struct(source, self.message.root)
        if source.at != len(data):
            raise ValueError("bytes behind the body")
        return out

    def encode(self, value):
        return self.write_struct(self.message.root, value)

    def default(self, field):
        if field.default == "null":
            return None
        if field.array:
            return []
        if field.type in FIXED:
            return {"true": True, None: 0}.get(field.default) if field.default in ("true", None) else int(field.default)
        return {"uuid": bytes(16), "string": "", "bytes": b"", "records": b""}.get(field.type, {})

    def length(self, source, letter, flexible):
        return source.uvarint() - 1 if flexible else source.fixed(letter)

    def read_struct(self, source, struct_):
        out = {}
        fields = [f for f in struct_.fields if self.has(f.versions)]
        for field in fields:
            if field.tag < 0:
                out[field.name] = self.read_field(source, field, False)
        if self.flexible:
            tagged = {f.tag: f for f in fields if f.tag >= 0}
            for _ in range(source.uvarint()):
                tag, size = source.uvarint(), source.uvarint()
                payload = Input(source.take(size))
                if tag in tagged:
                    out[tagged[tag].name] = self.read_field(payload, tagged[tag], True)
        return out

    def read_field(self, source, field, tagged):
        flexible = self.flexible and not field.classic
        if field.array:
            count = self.length(source, "i", flexible)
            return None if count < 0 else [self.read_value(source, field, flexible) for _ in range(count)]
        if field.is_struct and self.has(field.nullable):
            if (source.uvarint() == 0) if tagged else (source.fixed("b") < 0):
                return None
        return self.read_value(source, field, flexible)

    def read_value(self, source, field, flexible):
        if field.type in FIXED:
            return source.fixed(FIXED[field.type])
        if field.type == "uuid":
            return source.take(16)
        if field.type in BLOBS:
            length = self.length(source, "h" if field.type == "string" else "i", flexible)
            data = None if length < 0 else source.take(length)
            return data.decode() if data is not None and field.type == "string" else data
        return self.read_struct(source, self.structs[field.type])

    def write_struct(self, struct_, value):
        out, tagged = b"", []
        for field in struct_.ordered():
            if not self.has(field.versions):
                continue
            item = value.get(field.name, self.default(field))
            if field.tag < 0:
                out += self.write_field(field, item, False)
            elif item != self.default(field):
                payload = self.write_field(field, item, True)
                tagged.append(uvarint(field.tag) + uvarint(len(payload)) + payload)
        return out + (uvarint(len(tagged)) + b"".join(tagged) if self.flexible else b"")

    def write_length(self, n, letter, flexible):
        return uvarint(n + 1) if flexible else struct.pack(">" + letter, n)

    def write_field(self, field, item, tagged):
        flexible = self.flexible and not field.classic
        if field.array:
            if item is None:
                return self.write_length(-1, "i", flexible)
            return self.write_length(len(item), "i", flexible) + b"".join(
                self.write_value(field, x, flexible) for x in item)
        if field.is_struct and self.has(field.nullable):
            mark = (b"\0" if item is None else b"\1") if tagged else (b"\xff" if item is None else b"\1")
            return mark if item is None else mark + self.write_value(field, item, flexible)
        return self.write_value(field, item, flexible)

    def write_value(self, field, item, flexible):
        if field.type in FIXED:
            return struct.pack(">" + FIXED[field.type], item)
        if field.type == "uuid":
            return item
        if field.type in BLOBS:
            letter = "h" if field.type == "string" else "i"
            if item is None:
                return self.write_length(-1, letter, flexible)
            data = item.encode() if field.type == "string" else item
            return self.write_length(len(data), letter, flexible) + data
        return self.write_struct(self.structs[field.type], item)
