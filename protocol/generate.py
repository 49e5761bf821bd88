#!/usr/bin/env python3
"""Turns protocol/schema/*.schema and errors.tsv into C++: structs, descriptor tables, the list of APIs, error codes.

Run by CMake at build time:  generate.py SCHEMA_DIR OUT_DIR     writes OUT_DIR/protocol/gen/*
at configure time:           generate.py SCHEMA_DIR --list      prints the names of what it would write

An API's request and response come out in <api_snake>.h; everything else in <schema file>.h. The notation is explained
at the head of each schema file; the C++ that each type becomes, in docs/internals/protocol.md.
"""

import re
import sys
from pathlib import Path

NEVER = 32767  # kNeverFlexible
CPP_TYPE = {
    "bool": "bool", "int8": "int8_t", "int16": "int16_t", "uint16": "uint16_t", "int32": "int32_t",
    "uint32": "uint32_t", "int64": "int64_t", "float64": "double", "uuid": "Uuid", "string": "std::string",
    "bytes": "std::vector<std::byte>", "records": "std::vector<std::byte>",
}
INTEGERS = {"int8", "int16", "uint16", "int32", "uint32", "int64"}
KEYWORDS = {"default", "register", "operator", "public", "private", "delete", "new", "class", "struct", "namespace",
            "int", "long", "short", "bool", "signed", "unsigned", "switch", "case", "this", "template", "export"}
API_CLASSES = {"client": "kClient", "telemetry": "kTelemetry", "forwarded": "kForwarded",
               "inter_broker": "kInterBroker"}


class SchemaError(Exception):
    pass


def snake(name):
    """ThrottleTimeMs -> throttle_time_ms."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


def parse_range(text, last):
    """'2', '2-4', '2+' as (2, 2), (2, 4), (2, last); 'none' as None."""
    if text == "none":
        return None
    match = re.fullmatch(r"(\d+)(?:(\+)|-(\d+))?", text)
    if not match:
        raise SchemaError(f"not a version range: {text}")
    low = int(match[1])
    return low, last if match[2] else int(match[3] or low)


class Field:
    def __init__(self, words, struct_range, last):
        self.name, type_text, *rest = words
        self.array = type_text.startswith("[]")
        self.type = type_text.removeprefix("[]")
        self.versions = struct_range
        if rest and rest[0][0].isdigit():
            self.versions = parse_range(rest.pop(0), last)
        self.nullable = None
        self.tag = -1
        self.default = None
        self.classic = self.ignorable = False
        for word in rest:
            key, _, value = word.partition("=")
            if key == "nullable":
                self.nullable = parse_range(value, last) if value else self.versions
            elif key == "tag":
                self.tag = int(value)
            elif key == "default":
                self.default = value
            elif word in ("classic", "ignorable"):
                setattr(self, word, True)
            else:
                raise SchemaError(f"unknown attribute: {word}")
        self.member = snake(self.name)
        self.check(struct_range)

    def check(self, struct_range):
        if not (struct_range[0] <= self.versions[0] <= self.versions[1] <= struct_range[1]):
            raise SchemaError(f"{self.name}: versions outside its struct's")
        if self.member in KEYWORDS:
            raise SchemaError(f"{self.name}: a C++ keyword")
        if self.default == "null" and not self.nullable:
            raise SchemaError(f"{self.name}: null is its default, and it is not nullable")
        if self.default not in (None, "null") and self.array:
            raise SchemaError(f"{self.name}: an array's default can only be null")
        if self.array and self.type in ("bool", "bytes", "records"):
            raise SchemaError(f"{self.name}: arrays of {self.type} are not supported")
        has_null = self.array or self.is_struct or self.type in ("string", "bytes", "records")
        if self.nullable and not has_null:
            raise SchemaError(f"{self.name}: {self.type} cannot be null")

    @property
    def is_struct(self):
        return self.type not in CPP_TYPE

    def element_type(self):
        if self.type == "int16" and not self.array and self.name.endswith("ErrorCode"):
            return "ErrorCode"
        return CPP_TYPE.get(self.type, self.type)

    def member_type(self, message):
        text = f"{message.name}_{self.type}" if self.is_struct else self.element_type()
        if self.array:
            text = f"std::vector<{text}>"
        return f"std::optional<{text}>" if self.nullable else text

    def default_number(self):
        if self.default in (None, "null"):
            return "0"
        if self.default == "true":
            return "1"
        return "INT64_MIN" if int(self.default) == -2**63 else self.default

    def initializer(self, message):
        if self.nullable:
            if self.default == "null":
                return "{}"
            inner = self.member_type(message).removeprefix("std::optional<")[:-1]
            return f" = {inner}()"
        if self.array or self.is_struct or self.type in ("string", "bytes", "records", "uuid"):
            return "{}"  # so that designated initialisers may leave it out without a warning
        if self.element_type() == "ErrorCode":
            return " = ErrorCode::kNone"
        if self.type == "bool":
            return f" = {self.default or 'false'}"
        if self.type == "float64":
            return " = 0.0"
        if self.default == "-2147483648":
            return " = INT32_MIN"
        return f" = {self.default or '0'}"


class Struct:
    def __init__(self, name, versions):
        self.name, self.versions, self.fields = name, versions, []

    def ordered(self):
        """Untagged in wire order, then tagged by rising tag."""
        tagged = sorted((f for f in self.fields if f.tag >= 0), key=lambda f: f.tag)
        return [f for f in self.fields if f.tag < 0] + tagged


class Message:
    def __init__(self, name, versions, flexible, kind, number=None):
        self.name, self.versions, self.kind, self.number = name, versions, kind, number
        self.flexible = flexible[0] if flexible else NEVER
        self.root = Struct(name, versions)
        self.structs = []  # nested, in order of declaration

    def declare(self, name, versions):
        if any(s.name == name for s in self.structs) or name == self.name:
            raise SchemaError(f"{self.name}: {name} is declared twice")
        self.structs.append(Struct(name, versions))
        return self.structs[-1]

    def sorted_structs(self):
        """Nested structs, each after those that it holds."""
        by_name = {s.name: s for s in self.structs}
        done = []

        def visit(struct, path):
            if struct.name in path:
                raise SchemaError(f"{self.name}: {struct.name} holds itself")
            for field in struct.fields:
                if field.is_struct:
                    if field.type not in by_name:
                        raise SchemaError(f"{self.name}: {field.type} is not declared")
                    visit(by_name[field.type], path + [struct.name])
            if struct not in done and struct is not self.root:
                done.append(struct)

        visit(self.root, [])
        if len(done) != len(self.structs):
            raise SchemaError(f"{self.name}: a struct that no field uses")
        return done

    def check(self):
        for struct in [self.root] + self.structs:
            tags = [f.tag for f in struct.fields if f.tag >= 0]
            if len(tags) != len(set(tags)):
                raise SchemaError(f"{self.name}: a tag used twice in {struct.name}")
            for field in struct.fields:
                if field.tag >= 0 and field.versions[0] < self.flexible:
                    raise SchemaError(f"{self.name}: {field.name} is tagged before the first flexible version")


class Api:
    def __init__(self, key, name, attributes, versions, flexible):
        self.key, self.name, self.versions = int(key), name, versions
        self.flexible = flexible[0] if flexible else NEVER
        self.api_class = API_CLASSES[attributes["class"]]
        self.advertised_min = int(attributes.get("advertise_min", versions[0]))


class SchemaFile:
    def __init__(self, path):
        self.stem = path.stem
        self.apis, self.messages = [], []
        self.header_of = {}  # message -> header stem
        self.stack = []
        for number, line in enumerate(path.read_text().splitlines(), 1):
            if line.strip() and not line.startswith("#"):
                try:
                    self.parse_line(line)
                except (SchemaError, ValueError, KeyError, IndexError) as error:
                    sys.exit(f"{path}:{number}: {error!r}")
        for message in self.messages:
            message.check()

    def parse_line(self, line):
        indent = len(line) - len(line.lstrip(" "))
        words = line.split()
        if indent == 0:
            return self.begin(words)
        depth = indent // 2
        if indent % 2 or depth > len(self.stack):
            raise SchemaError("indent")
        del self.stack[depth:]
        message = self.messages[-1]
        last = message.versions[1]
        if words[0] == "struct":
            versions = parse_range(words[2], last) if len(words) > 2 else message.versions
            self.stack.append(message.declare(words[1], versions))
            return
        owner = self.stack[-1]
        if owner is None:
            raise SchemaError("fields below a field that is no struct")
        field = Field(words, owner.versions, last)
        owner.fields.append(field)
        known = not field.is_struct
        self.stack.append(None if known else LazyStruct(message, field))

    def begin(self, words):
        attributes = dict(w.split("=") for w in words if "=" in w)
        names = [w for w in words if "=" not in w]
        if names[0] in ("request", "response"):
            api = self.apis[-1]
            message = Message(api.name + names[0].capitalize(), api.versions, None, names[0], api.key)
            message.flexible = api.flexible
            self.header_of[message] = snake(api.name)
        else:
            versions = parse_range(attributes["versions"], None)
            flexible = parse_range(attributes["flexible"], versions[1])
            if names[0] == "api":
                self.apis.append(Api(names[1], names[2], attributes, versions, flexible))
                return
            number = int(names[1]) if names[0] in ("key", "value") else None
            message = Message(names[-1], versions, flexible, names[0], number)
            self.header_of[message] = self.stem
        self.messages.append(message)
        self.stack = [message.root]

    def headers(self):
        """Header stem -> its messages."""
        out = {}
        for message in self.messages:
            out.setdefault(self.header_of[message], []).append(message)
        return out


class LazyStruct:
    """The struct of a field, declared when the first line below that field arrives."""

    def __init__(self, message, field):
        self.message, self.field, self.struct = message, field, None

    def real(self):
        if self.struct is None:
            self.struct = self.message.declare(self.field.type, self.field.versions)
        return self.struct

    @property
    def versions(self):
        return self.real().versions

    @property
    def fields(self):
        return self.real().fields


BANNER = "// Generated by protocol/generate.py from protocol/schema/{}. Do not edit.\n"


def struct_lines(struct, message):
    return [f"  {f.member_type(message)} {f.member}{f.initializer(message)};" for f in struct.fields]


def equality(name):
    return f"  friend bool operator==(const {name}&, const {name}&) = default;"


def message_lines(message):
    """Nested structs stand before their message and get their short name in it: a nested class with member initialisers
    is not default-constructible for the compiler until the class around it ends, which std::optional asks too early."""
    lines = []
    for struct in message.sorted_structs():
        name = f"{message.name}_{struct.name}"
        lines += [f"struct {name} {{"] + struct_lines(struct, message) + [equality(name), "};", ""]
    name = message.name
    lines.append(f"struct {name} {{")
    if message.kind in ("request", "response"):
        lines.append(f"  static constexpr int16_t kApiKey = {message.number};")
    elif message.kind in ("key", "value"):
        lines.append(f"  static constexpr int16_t kRecordType = {message.number};")
    low, high = message.versions
    flexible = "kNeverFlexible" if message.flexible == NEVER else message.flexible
    lines.append(f"  static constexpr int16_t kMinVersion = {low}, kMaxVersion = {high}, kFlexible = {flexible};")
    lines.append("  static const MessageInfo kInfo;")
    lines += [f"  using {s.name} = {name}_{s.name};" for s in message.sorted_structs()]
    return lines + [""] + struct_lines(message.root, message) + [equality(name), "};", ""]


def header_text(source, messages):
    lines = [BANNER.format(source) + "#pragma once", ""]
    lines += [f"#include <{h}>" for h in ("cstddef", "cstdint", "optional", "string", "vector")]
    lines += ["", '#include "protocol/descriptor.h"', '#include "protocol/error_code.h"', '#include "protocol/types.h"']
    lines += ["", "namespace penstock::protocol {", ""]
    for message in messages:
        lines += message_lines(message)
    lines += ["}  // namespace penstock::protocol", ""]
    return "\n".join(lines)


TYPE_ID = {"bool": "kBool", "uuid": "kUuid", "string": "kString", "bytes": "kBytes", "records": "kRecords",
           "float64": "kFloat64", **{t: "k" + t.capitalize() for t in INTEGERS}}


def field_row(field, owner, prefix):
    parts = [f'.name = "{field.name}"', f".type = FieldType::{TYPE_ID.get(field.type, 'kStruct')}"]
    parts += [f".{flag} = true" for flag in ("array", "classic", "ignorable") if getattr(field, flag)]
    if field.nullable:
        parts.insert(2, ".optional = true")
    order = ["name", "type", "array", "optional", "default_null", "classic", "ignorable"]
    if field.default == "null":
        parts.append(".default_null = true")
    parts.sort(key=lambda p: order.index(p[1:].split(" ")[0]))
    if field.tag >= 0:
        parts.append(f".tag = {field.tag}")
    parts.append(".versions = {%d, %d}" % field.versions)
    if field.nullable:
        parts.append(".nullable = {%d, %d}" % field.nullable)
    parts.append(f".at = offsetof({owner}, {field.member})")
    element = f"{prefix}::{field.type}" if field.is_struct else field.element_type()
    parts.append(f".element_size = sizeof({element})")
    if field.default_number() != "0":
        parts.append(f".default_number = {field.default_number()}")
    if field.array or field.nullable:
        member = f"std::vector<{element}>" if field.array else element
        parts.append(f".ops = &kMemberOps<{f'std::optional<{member}>' if field.nullable else member}>")
    if field.is_struct:
        parts.append(f".nested = &k{prefix}_{field.type}")
    return "    {" + ", ".join(parts) + "},"


def struct_table(struct, message):
    root = struct is message.root
    path = message.name if root else f"{message.name}::{struct.name}"
    ident = message.name if root else f"{message.name}_{struct.name}"
    rows = struct.ordered()
    lines = []
    if rows:
        lines.append(f"constexpr FieldInfo k{ident}Fields[] = {{")
        lines += [field_row(f, path, message.name) for f in rows]
        lines.append("};")
    fields = f"k{ident}Fields" if rows else "{}"
    untagged = sum(f.tag < 0 for f in rows)
    lines.append(f'constexpr StructInfo k{ident} = {{"{struct.name}", {fields}, {untagged}}};')
    return lines


def table_text(schema):
    lines = [BANNER.format(schema.stem + ".schema")]
    lines += [f'#include "protocol/gen/{stem}.h"' for stem in schema.headers()]
    lines += ["", "#include <cstddef>", ""]
    lines += ["namespace penstock::protocol {", ""]
    for message in schema.messages:
        lines.append("namespace {")
        for struct in message.sorted_structs() + [message.root]:
            lines += struct_table(struct, message)
        lines.append("}  // namespace")
        low, high = message.versions
        lines += [f'constinit const MessageInfo {message.name}::kInfo = {{"{message.name}", {{{low}, {high}}}, '
                  f"{message.name}::kFlexible, &k{message.name},",
                  f"    []() -> void* {{ return new {message.name}; }},",
                  f"    [](void* m) {{ delete static_cast<{message.name}*>(m); }}}};", ""]
    lines += ["}  // namespace penstock::protocol", ""]
    return "\n".join(lines)


def api_table_text(schemas):
    apis = sorted((a for s in schemas for a in s.apis), key=lambda a: a.key)
    lines = [BANNER.format("*.schema"), '#include "protocol/gen/all.h"', "", "#include <algorithm>", "",
             '#include "protocol/api.h"', "", "namespace penstock::protocol {", "namespace {", "",
             "constexpr Api kApis[] = {"]
    for a in apis:
        flexible = "kNeverFlexible" if a.flexible == NEVER else a.flexible
        lines.append(f'    {{ApiKey::k{a.name}, "{a.name}", {a.versions[0]}, {a.versions[1]}, {flexible}, '
                     f"{a.advertised_min}, ApiClass::{a.api_class}, "
                     f"&{a.name}Request::kInfo, &{a.name}Response::kInfo}},")
    lines += ["};", "", "constexpr const MessageInfo* kMessages[] = {"]
    lines += [f"    &{m.name}::kInfo," for s in schemas for m in s.messages]
    lines += ["};", "", "}  // namespace", "", "std::span<const Api> apis() { return kApis; }", "",
              "std::span<const MessageInfo* const> messages() { return kMessages; }", "",
              "const Api* find_api(int16_t key) {",
              "  const auto* api = std::ranges::lower_bound(kApis, key, {}, "
              "[](const Api& a) { return static_cast<int16_t>(a.key); });",
              "  return api != std::end(kApis) && static_cast<int16_t>(api->key) == key ? api : nullptr;", "}", "",
              "}  // namespace penstock::protocol", ""]
    return "\n".join(lines)


def error_rows(path):
    for line in path.read_text().splitlines():
        if line and not line.startswith(("#", "code\t")):
            code, name, retriable = line.split("\t")
            ident = "k" + "".join(word.capitalize() for word in name.split("_"))
            yield f'ERROR_CODE({ident}, {code}, "{name}", {"true" if retriable == "yes" else "false"})'


def outputs(schema_dir):
    """File name -> text."""
    schemas = [SchemaFile(p) for p in sorted(schema_dir.glob("*.schema"))]
    out = {}
    stems = []
    for schema in schemas:
        for stem, messages in schema.headers().items():
            if stem in stems:
                sys.exit(f"{schema.stem}.schema: {stem}.h comes from two schema files")
            stems.append(stem)
            out[f"{stem}.h"] = header_text(schema.stem + ".schema", messages)
        out[f"tables_{schema.stem}.cc"] = table_text(schema)
    apis = sorted((a for s in schemas for a in s.apis), key=lambda a: a.key)
    includes = "".join(f'#include "protocol/gen/{s}.h"\n' for s in sorted(stems))
    out["all.h"] = BANNER.format("*.schema") + "// Every message, for tests.\n#pragma once\n\n" + includes
    out["api_key.def"] = BANNER.format("*.schema") + "".join(f"API_KEY(k{a.name}, {a.key})\n" for a in apis)
    out["api_table.cc"] = api_table_text(schemas)
    out["error_code.def"] = BANNER.format("errors.tsv") + "\n".join(error_rows(schema_dir / "errors.tsv")) + "\n"
    return out


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    files = outputs(Path(sys.argv[1]))
    if sys.argv[2] == "--list":
        print(";".join(files), end="")
        return
    folder = Path(sys.argv[2]) / "protocol" / "gen"
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        path = folder / name
        # An unchanged file keeps its time, so that an edit to one schema rebuilds only who includes its messages.
        if not path.exists() or path.read_text() != text:
            path.write_text(text)


if __name__ == "__main__":
    main()
