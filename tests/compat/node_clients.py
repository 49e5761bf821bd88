#!/usr/bin/python3
"""Node's other clients, @platformatic/kafka and @confluentinc/kafka-javascript (a current librdkafka): ctest
compat.node_clients. Real text with each codec, read back by the other one and by kcat, and again after kill -9; groups
of both protocols; topics through their admin APIs. PENSTOCK_FULL=1 sends the whole text."""
import collections
import json
import os
import sys

import check
import clients
import groups
import groups_next
import node_packages
import processes
import text as real_text
import text_matrix
from broker import MIB

NAMES = ('platformatic', 'confluent')
CODECS = ('none', 'gzip', 'snappy', 'lz4', 'zstd')
LINES = 20_000
RECORDS = 600  # of a group's phase: members commit one by one
# None that a test waits for: groups have two members, and the second is to come late.
SETTINGS = {'group.initial.rebalance.delay.ms': 0}


class NodeClient:
    has_static_members = False

    def __init__(self, build, name):
        self.build, self.name = build, name

    def words(self, *arguments):
        node, environment = node_packages.install(self.build)
        return [node, node_packages.SOURCE / f'{self.name}.mjs', *arguments], environment

    def run(self, *arguments):
        command, environment = self.words(*arguments)
        return processes.run(command, env=os.environ | environment)

    def produce(self, broker, topic, codec, text):
        self.run('produce', broker.bootstrap, topic, codec, text.path)

    def consume(self, broker, topic):
        with broker.connect() as connection:
            end = connection.offset(topic, clients.LATEST)['offset']
        return self.run('consume', broker.bootstrap, topic, end)


class Member(groups_next.OfNextGeneration, NodeClient):
    """group_has() asks our own command, which knows groups of both protocols."""

    def __init__(self, build, client, protocol):
        super().__init__(build, client)
        self.protocol = protocol

    def command(self, brokers, topic, group, instance):
        return self.words('member', brokers, topic, group, instance, self.protocol)

    def settle(self, scene):
        """The other one drops what it had fetched before an assignment."""
        if self.name == 'platformatic':
            wait_settled(scene)

    def play(self, scene):
        return play_group(scene)


class Killed(Member):
    """@platformatic/kafka through all of groups.py, where librdkafka, and so the other one, is. A static member of it
    leaves the next generation's groups for good (epoch -1): nobody comes back inside its session."""

    def __init__(self, build, protocol):
        super().__init__(build, 'platformatic', protocol)
        self.has_static_members = protocol == 'classic'

    def play(self, scene):
        return groups.play_all(scene)


class Texts:
    """A topic a client and codec. What check_codec() of the matrix asks for, too."""

    def __init__(self, run):
        self.clients = {name: NodeClient(run.build, name) for name in NAMES} | {'kcat': clients.Kcat()}
        self.whole = real_text.assemble(run.folder) if run.full else real_text.assemble(run.folder, LINES, 0)
        self.rows = [text_matrix.Row(name, codec, True, other, 'kcat')
                     for name, other in (NAMES, reversed(NAMES)) for codec in CODECS]
        self.produced = []
        size = self.whole.bytes * len(self.rows)
        self.broker = run.broker(SETTINGS, ring_bytes=(size * 5 // 4 // MIB + 64) * MIB)

    topic = text_matrix.Matrix.topic

    def text(self, _row):
        return self.whole


def produce_and_read(texts, row):
    topic = texts.topic(row)
    texts.broker.create_topic(topic)
    texts.clients[row.producer].produce(texts.broker, topic, row.codec, texts.whole)
    texts.produced.append(row)
    for reader in (row.after_kill, row.after_stop):
        read(texts, row, reader)
    return text_matrix.check_codec(texts, row)


def read(texts, row, reader):
    topic = texts.topic(row)
    clients.check_text(texts.clients[reader].consume(texts.broker, topic), texts.whole, f'{topic} by {reader}')


def administer(texts, name):
    said = json.loads(texts.clients[name].run('admin', texts.broker.bootstrap, 'made', 3))
    check.equal(said['created'], 'made', 'created')
    check.expect({'made', texts.topic(texts.produced[0])} <= set(said['listed']), f'listed: {said["listed"]}')
    check.equal((said['partitions'], len(set(said['leaders']))), (3, 1), f'described: {said}')
    check.equal(said.get('retention', '86400000'), '86400000', 'retention.ms')
    check.equal(sorted(said['left']), sorted(set(said['listed']) - {'made'}), 'listed when it is deleted')
    check.expect('made' not in processes.run([texts.broker.program, 'topic', 'list', '--bootstrap',
                                              texts.broker.bootstrap]).decode().split(), 'our list has it')


def readers(scene, first):
    """Who read the records from that number on: {partition: {member, ...}}; each was read once."""
    found, seen = collections.defaultdict(set), collections.defaultdict(list)
    for number, member in enumerate(scene.members):
        for partition, offset, value in list(member.records):
            if int(value[1:]) >= first:
                found[partition].add(number)
                seen[value].append((number, partition, offset))
    twice = {value: by for value, by in seen.items() if len(by) > 1}
    check.expect(not twice, f'read more than once, by (member, partition, offset): {twice}; {scene.state()}; '
                            f'{[member.events for member in scene.members]}')
    check.equal(len(seen), scene.produced - first, 'records read')
    return found


def wait_settled(scene):
    """The members have all partitions, each its own, and what they read from now on is as that says."""
    def settled():
        last = [member.events[-1].split() for member in scene.members if member.process.poll() is None]
        parts = [int(word) for words in last for word in words[1:] if word.isdigit()]
        return all(words[0] == 'settled' for words in last) and sorted(parts) == list(range(groups.PARTITIONS))
    scene.wait(settled, 'all have settled', 60)


def play_group(scene):
    scene.produce(RECORDS)
    first = scene.join()
    scene.wait_processed('one member alone')
    second = scene.join()
    scene.wait_members(2, 'the second member')
    scene.wait_assigned(second, 'what the second member has')
    scene.kind.settle(scene)
    scene.produce(RECORDS)
    scene.wait_processed('two members')
    shares = readers(scene, RECORDS)
    check.equal(set(map(len, shares.values())), {1}, f'members that read a partition: {dict(shares)}')
    by_member = collections.Counter(min(share) for share in shares.values())
    check.equal(by_member, {0: groups.PARTITIONS // 2, 1: groups.PARTITIONS // 2}, 'partitions of each member')
    scene.wait(lambda: sum(scene.committed().values()) == scene.produced, 'all is committed', 60)
    first.leave()
    second.leave()
    before = scene.committed()
    scene.produce(RECORDS)
    third = scene.join()
    scene.wait_processed('the third member')
    for partition, offset, value in third.records:
        check.expect(offset >= before[(scene.topic, partition)], f'{value} at {partition}/{offset} was committed')
    check.equal(len(third.records), RECORDS, 'records of the third member')
    scene.wait(lambda: sum(scene.committed().values()) == scene.produced, 'all is committed', 60)
    scene.check_offsets()
    third.leave()
    errors = [event for member in scene.members for event in member.events if event.startswith('error')]
    check.equal(errors, [], 'errors of members')
    return f'{scene.produced} records'


def installed(run):
    return processes.run([node_packages.install(run.build)[0], '--version']).decode().strip()


def main():
    run = check.Run()
    groups.SETTINGS |= SETTINGS
    run.test('they are installed', installed, run)
    if not (run.failed or run.skipped):
        play_all(run)
    run.finish()


def play_all(run):
    texts = Texts(run)
    rows = [row for row in texts.rows if run.only in texts.topic(row)]
    for row in rows:
        run.test(f'{texts.topic(row)} is produced and read by {row.after_kill} and {row.after_stop}',
                 produce_and_read, texts, row)
    texts.broker.kill()
    texts.broker.start()
    for row in texts.produced:
        run.test(f'{texts.topic(row)} after kill -9 by {row.after_kill}', read, texts, row, row.after_kill)
    for name in NAMES:
        if run.only in name:
            run.test(f'{name} makes, lists, describes and deletes a topic', administer, texts, name)
    for name in NAMES:
        for protocol in ('classic', 'consumer'):
            if run.only in f'{name}-{protocol}':
                run.test(f'{name} in a group ({protocol})', groups.play, run, Member(run.build, name, protocol))
    for protocol in ('classic', 'consumer'):
        if run.only in f'platformatic-{protocol}-killed':
            run.test(f'platformatic when members and the broker are killed ({protocol})', groups.play, run,
                     Killed(run.build, protocol))


if __name__ == '__main__':
    sys.exit(main())
