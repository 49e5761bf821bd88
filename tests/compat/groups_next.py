#!/usr/bin/python3
"""Real clients with group.protocol=consumer (docs/compatibility.md, line 97): ctest compat.groups_next. As groups.py:
what they are asked to get through, and that each record is processed. And Kafka's own tools for groups, and ours.
franz-go: groups_franz.py."""
import json
import re
import subprocess
import sys

import check
import clients
import groups
import groups_members as members
import java_tools

PYTHON_CLIENT = 'confluent-kafka==2.12.2'
# Sessions that end soon, so that members that are killed are found soon.
groups.SETTINGS |= {'group.consumer.session.timeout.ms': 8000, 'group.consumer.heartbeat.interval.ms': 1000}


class OfNextGeneration:
    """DescribeGroups says of such a group that there is none."""

    @staticmethod
    def has_members(scene, count):
        return group_has(scene, count)


class Next(OfNextGeneration, members.FromRegistry):
    """A current librdkafka."""

    def __init__(self, build, assignor, topic=None):
        super().__init__(build, f'next-{assignor}' + ('-pattern' if topic else ''), PYTHON_CLIENT, 'next_member.py',
                         assignor, False)
        self.topic = topic

    def command(self, brokers, topic, group, instance):
        return super().command(brokers, self.topic or topic, group, instance)

    def play(self, scene):
        said = groups.play_all(scene)
        if not self.topic:
            play_static(scene)
        return said


class Java:
    """Kafka's own client; it commits by itself, so what was polled and not committed comes twice after a kill."""
    has_static_members = False

    def __init__(self, build, protocol):
        self.name, self.build, self.protocol = f'java-{protocol}', build, protocol

    def jars(self):
        return java_tools.fetch(self.build)

    def command(self, brokers, topic, group, _instance):
        return ([clients.PYTHON, members.MEMBERS / 'java_member.py', self.jars(), brokers, topic, group, self.protocol],
                {})

    def play(self, scene):
        scene.produce()
        scene.join()
        scene.wait_processed('one member alone')
        second = scene.join()
        scene.wait(lambda: group_has(scene, 2), 'two members', 120)
        scene.produce()
        scene.wait_processed('two members')
        check.expect(second.records, 'the second member got nothing')
        scene.restart_broker()
        scene.produce()
        scene.wait_processed('after kill -9 of the broker')
        second.leave()
        scene.produce()
        scene.wait_processed('after one has left')
        kafka_tools(java_tools.Tools(self.jars(), scene.broker, scene.run.folder), scene, self.protocol)
        return f'{scene.produced} records, {scene.check_offsets()} twice'


def group_has(scene, count):
    """So many members, and each partition with one of them."""
    group = groups.described(scene)
    partitions = [partition for member in group['members'] for topic in member['assignment']
                  for partition in topic['partitions']]
    return (group['state'] == 'Stable' and len(group['members']) == count and
            sorted(partitions) == list(range(groups.PARTITIONS)))


def play_static(scene):
    """A static member that stops and comes back inside its session gets the same, and nobody else hears of it."""
    stays, goes = scene.join('stays'), scene.join('goes')
    scene.wait(lambda: group_has(scene, 2), 'two static members', 60)
    before, had = len(stays.events), groups.described(scene)
    goes.leave()
    back = scene.join('goes')
    scene.wait_assigned(back, 'the static member that came back')
    scene.produce()
    scene.wait_processed('static members')
    check.equal(len(stays.events), before, f'what the member that stayed was told: {stays.events}')
    now = groups.described(scene)
    by_instance = [{member['instance']: member['assignment'] for member in group['members']} for group in (had, now)]
    check.equal(by_instance[1], by_instance[0], 'what static members have')
    stays.kill()
    back.kill()


def kafka_tools(tools, scene, protocol):
    kind = 'Consumer' if protocol == 'consumer' else 'Classic'
    listed = tools.run('GroupsCommand', '--list')
    java_tools.has(listed, rf'(?m)^{scene.group}\s+{kind}\s+consumer', 'kafka-groups --list')
    command = 'consumer.group.ConsumerGroupCommand'
    java_tools.has(tools.run(command, '--list', '--state'), rf'(?m)^{scene.group}\s+Stable', '--list --state')
    text = tools.run(command, '--describe', '--group', scene.group)
    for partition in range(groups.PARTITIONS):
        java_tools.has(text, rf'(?m)^{scene.group}\s+{scene.topic}\s+{partition}\s+\d+\s+\d+\s+\d+', '--describe')
    java_tools.has(tools.run(command, '--describe', '--group', scene.group, '--members'),
                   rf'(?m)^{scene.group}\s+\S+\s+/127\.0\.0\.1\s+\S+\s+{groups.PARTITIONS}', '--members')
    for member in scene.members:
        if member.process.poll() is None:
            member.leave()
    scene.wait(lambda: groups.described(scene)['state'] == 'Empty', 'an empty group', 60)
    scene.positions = {}  # they go back now, as they are told to
    tools.run(command, '--reset-offsets', '--group', scene.group, '--topic', scene.topic, '--to-earliest', '--execute')
    check.equal(set(scene.committed().values()), {0}, 'offsets that Kafka\'s tool has set')
    groups.ours(scene, 'reset', scene.group, '--to', 'end')
    check.equal(sum(scene.committed().values()), scene.produced, 'offsets that our command has set')
    has = [group['group'] for group in json.loads(groups.ours(scene, 'list', '--json'))]
    check.expect(scene.group in has, f'our list: {has}')
    groups.ours(scene, 'delete', scene.group)
    check.expect(not re.search(rf'(?m)^{scene.group}\s', tools.run('GroupsCommand', '--list')), 'the group is there')


class Mixed(Next):
    """A classic group that moves to the new protocol, member by member, and back, while records flow."""
    has_static_members = False

    def __init__(self, build, name, classic):
        super().__init__(build, 'uniform')
        self.name, self.classic, self.is_classic = f'moves-{name}', classic, True

    def command(self, brokers, topic, group, instance):
        if self.is_classic:
            return self.classic.command(brokers, topic, group, instance)
        return super().command(brokers, topic, group, instance)

    def join(self, scene, is_classic, what):
        self.is_classic = is_classic
        member = scene.join()
        scene.wait_records(member, what)
        return member

    def play(self, scene):
        def wait_for(kind, count):
            scene.wait(lambda: groups.described(scene)['type'] == kind and group_has(scene, count),
                       f'a {kind} group of {count}', 90)
        scene.produce()
        with scene.flowing():
            first, second = self.join(scene, True, 'a classic member'), self.join(scene, True, 'another one')
            wait_for('classic', 2)
            third = self.join(scene, False, 'one of the new protocol')
            wait_for('consumer', 3)
            first.kill()
            fourth = self.join(scene, False, 'another one of the new protocol')
            wait_for('consumer', 3)
        scene.wait_processed('members of both protocols')
        scene.restart_broker()
        scene.produce()
        scene.wait_processed('after kill -9 of the broker')
        wait_for('consumer', 3)
        with scene.flowing():
            third.kill()
            fourth.leave()
            self.join(scene, True, 'a classic member again')
            wait_for('classic', 2)
        scene.wait_processed('classic members again')
        scene.restart_broker()
        scene.produce()
        scene.wait_processed('after another kill -9')
        for member in (second, scene.members[-1]):
            member.leave()
        check.equal(sum(scene.committed().values()), scene.produced, 'committed in the end')
        return f'{scene.produced} records, {scene.check_offsets()} twice'


def movers(build):
    """librdkafka old and new, and a client of another family, as those that were there before."""
    old = [clients.PYTHON, members.MEMBERS / 'confluent_member.py']
    return [Mixed(build, 'librdkafka', members.Program('', old, 'range')),
            Mixed(build, 'cooperative', members.FromRegistry(build, '', PYTHON_CLIENT, 'confluent_member.py',
                                                             'cooperative-sticky', False)),
            Mixed(build, 'aiokafka', members.FromRegistry(build, '', 'aiokafka==0.14.0', 'aiokafka_member.py', 'range',
                                                          False))]


def refusals(run):
    """What our command says of groups that are not there, and of those with members."""
    kind = Next(run.build, 'uniform')
    scene = groups.Scene(run, kind)
    try:
        scene.produce(10)
        scene.join()
        scene.wait_processed('one member')
        scene.wait(lambda: group_has(scene, 1), 'one member', 60)
        for arguments, reason in ((('delete', scene.group), 'NON_EMPTY_GROUP'),
                                  (('reset', scene.group, '--to', 'beginning'), 'UNKNOWN_MEMBER_ID'),
                                  (('describe', 'nobody'), 'GROUP_ID_NOT_FOUND')):
            done = subprocess.run([run.build / 'penstock', 'group', *arguments, '--bootstrap',
                                   scene.broker.bootstrap], capture_output=True, text=True, timeout=60, check=False)
            check.equal(done.returncode, 1, f'{arguments}: {done.stderr}')
            check.expect(reason in done.stderr, f'{arguments}: {done.stderr}')
        java_tools.has(groups.ours(scene, 'describe', scene.group), rf'(?m)^{scene.topic}\s+\d\s+\d+\s+\d+\s+0\s',
                       'our text')
        java_tools.has(groups.ours(scene, 'list'), rf'(?m)^{scene.group}\s+consumer\s+Stable\s+consumer', 'our list')
    finally:
        scene.close()


def main():
    run = check.Run()
    kinds = [Next(run.build, 'uniform'), Next(run.build, 'range'), Next(run.build, 'uniform', '^wor[k]'),
             Java(run.build, 'consumer'), Java(run.build, 'classic'), *movers(run.build)]
    for kind in kinds:
        if run.only in kind.name:
            run.test(kind.name, groups.play, run, kind)
    if run.only in 'refusals':
        run.test('refusals', refusals, run)
    run.finish()


if __name__ == '__main__':
    sys.exit(main())
