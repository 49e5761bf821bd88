#!/usr/bin/env python3
"""Turns kafka_configs.tsv into the rows that kafka_config.cc is compiled with.

Run by CMake at build time:  generate_configs.py kafka_configs.tsv OUT.def
scripts/gen_docs.py reads the list through read() too."""

import sys
from pathlib import Path
from typing import NamedTuple

SCOPES = {"topic": "kTopic", "broker": "kBroker", "group": "kGroup", "client-metrics": "kClientMetrics"}
TYPES = ("boolean", "string", "int", "short", "long", "double", "list", "class", "password")
UPDATES = {"-": "kAnyTime", "read-only": "kReadOnly", "per-broker": "kPerBroker", "cluster-wide": "kClusterWide"}


class Config(NamedTuple):
    """One line of the list; texts as they stand there, "-" as the empty text."""
    scope: str
    name: str
    type: str
    default: str
    valid: str
    update: str
    marks: str
    source: str
    bounds: str
    meaning: str


def read(path):
    for number, line in enumerate(Path(path).read_text(encoding="utf-8").splitlines(), 1):
        if line.startswith("#") or not line:
            continue
        cells = line.split("\t")
        if len(cells) != len(Config._fields):
            sys.exit(f"{path}:{number}: {len(cells)} columns, {len(Config._fields)} are due")
        config = Config(*cells)
        if config.scope not in SCOPES or config.type not in TYPES or config.update not in UPDATES:
            sys.exit(f"{path}:{number}: no such scope, type or update")
        yield config._replace(**{name: "" for name in ("valid", "marks", "source", "bounds")
                                 if getattr(config, name) == "-"})


def quoted(text):
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def row(config):
    default = {"null": "std::nullopt", '""': '""'}.get(config.default, quoted(config.default))
    valid, _, nonempty = config.valid.partition(";")
    marks = config.marks.split(",")
    flags = (bool(nonempty), "internal" in marks, "dynamic-only" in marks)
    words = [SCOPES[config.scope], quoted(config.name), "k" + config.type.capitalize(), default, quoted(valid),
             UPDATES[config.update], *(str(flag).lower() for flag in flags), quoted(config.source),
             quoted(config.bounds), quoted(config.meaning)]
    return f"KAFKA_CONFIG({', '.join(words)})\n"


def main():
    source, out = sys.argv[1:]
    configs = list(read(source))
    keys = [(list(SCOPES).index(config.scope), config.name) for config in configs]
    if keys != sorted(set(keys)):
        sys.exit(f"{source}: not in the order of scopes and names, or a name twice")
    Path(out).parent.mkdir(parents=True, exist_ok=True)
    Path(out).write_text("".join(map(row, configs)), encoding="utf-8")


if __name__ == "__main__":
    main()
