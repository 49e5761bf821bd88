"""The real clients: each produces a file's lines into partition 0 of a topic, and reads the partition back."""
import fcntl
import hashlib
import os
import pathlib
import shutil

import processes
import registry

HERE = pathlib.Path(__file__).resolve().parent
LATEST = -1  # ListOffsets' name for the end
PYTHON = '/usr/bin/python3'  # Debian's: the client libraries are Debian packages


class Kcat:
    name = 'kcat'

    def produce(self, broker, topic, codec, text):
        processes.run(['kcat', '-P', '-b', broker.bootstrap, '-t', topic, '-p', '0', '-z', codec, '-X', 'linger.ms=100',
                       '-l', text.path])

    def consume(self, broker, topic):
        return processes.run(['kcat', '-C', '-q', '-e', '-b', broker.bootstrap, '-t', topic, '-p', '0',
                              '-o', 'beginning'])


class Librdkafka:
    name = 'librdkafka'

    def __init__(self, build):
        self.program = build / 'tests' / 'compat' / 'rdkafka_text'

    def produce(self, broker, topic, codec, text):
        processes.run([self.program, 'produce', broker.bootstrap, topic, text.path, f'compression.type={codec}',
                       'linger.ms=100'])

    def consume(self, broker, topic):
        return processes.run([self.program, 'consume', broker.bootstrap, topic])


class PythonClient:
    def __init__(self, name, script):
        self.name, self.script = name, HERE / script

    def produce(self, broker, topic, codec, text):
        processes.run([PYTHON, self.script, 'produce', broker.bootstrap, topic, codec, text.path])

    def consume(self, broker, topic):
        return processes.run([PYTHON, self.script, 'consume', broker.bootstrap, topic])


class KafkaJs:
    """Consumes as the only member of a group, for it has no other way; so it reads as many records as are wanted."""
    name = 'kafkajs'

    def __init__(self, build):
        self.build = build

    def run(self, script, *arguments):
        return processes.run(['node', HERE / 'kafkajs' / script, *arguments],
                             env=os.environ | {'PENSTOCK_KAFKAJS': str(install_kafkajs(self.build))})

    def produce(self, broker, topic, codec, text):
        self.run('produce.js', broker.bootstrap, topic, codec, text.path)

    def consume(self, broker, topic):
        with broker.connect() as connection:
            end = connection.offset(topic, LATEST)['offset']
        return self.run('consume.js', broker.bootstrap, topic, end)


def install_kafkajs(build):
    """Once for a build folder, by the checksum in package-lock.json."""
    place = build / 'kafkajs'
    place.mkdir(exist_ok=True)
    with (place / 'lock').open('w') as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        wanted = HERE / 'kafkajs' / 'package-lock.json'
        installed = place / 'package-lock.json'
        module = place / 'node_modules' / 'kafkajs'
        if not module.exists() or not installed.exists() or installed.read_bytes() != wanted.read_bytes():
            for name in ('package.json', 'package-lock.json'):
                shutil.copy(HERE / 'kafkajs' / name, place / name)
            registry.fetch('kafkajs', ['npm', 'ci', '--no-audit', '--no-fund', '--ignore-scripts'], cwd=place)
    return module


def install_python(build, requirement):
    """A library of the package registry with what it needs, in a folder of its own; no version but the pinned one."""
    place = build / 'python' / requirement
    place.parent.mkdir(exist_ok=True)
    with (place.parent / 'lock').open('w') as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (place / 'complete').exists():
            shutil.rmtree(place, ignore_errors=True)
            registry.fetch(requirement, [PYTHON, '-m', 'pip', 'install', '--quiet', '--target', place, requirement])
            (place / 'complete').touch()
    return place


def all_clients(build):
    clients = [Kcat(), Librdkafka(build), PythonClient('confluent', 'confluent_text.py'),
               PythonClient('python-kafka', 'python_kafka_text.py'), KafkaJs(build)]
    return {client.name: client for client in clients}


def check_text(got, text, what):
    """Byte for byte: nothing lost, nothing twice, in order."""
    if hashlib.sha256(got).hexdigest() != text.sha256:
        lines = got.count(b'\n')
        raise AssertionError(f'{what}: {lines} lines, {len(got)} bytes came back of {text}'
                             + first_difference(got, text))


def first_difference(got, text):
    wanted = text.path.read_bytes()
    for number, (ours, theirs) in enumerate(zip(got.split(b'\n'), wanted.split(b'\n'))):
        if ours != theirs:
            return f'; line {number} is {ours[:80]} instead of {theirs[:80]}'
    return ''
