#!/usr/bin/python3
"""Real clients as members of groups (docs/compatibility.md, lines 82 to 90): ctest compat.groups. Members come, are
killed and leave in the middle, the broker is killed with -9. Each record is processed, the committed position never
goes back."""
import collections
import contextlib
import json
import os
import signal
import sys
import threading
import time

import check
import clients
import groups_members as members
import processes

PARTITIONS = 6
RECORDS = 3000      # a phase
FLOW = 20           # at once, each fiftieth of a second
AGAIN = 50          # of each partition, when offsets are reset
NOT_NOW = (14, 15, 16)  # COORDINATOR_LOAD_IN_PROGRESS, COORDINATOR_NOT_AVAILABLE, NOT_COORDINATOR
SETTLE_S = 120      # until all of a phase has been processed
SETTINGS = {'group.initial.rebalance.delay.ms': 500, 'offsets.topic.num.partitions': 8}


class Member:
    """A client process; what it said, record by record."""

    def __init__(self, command, env, log):
        self.errors = open(log, 'ab')  # pylint: disable=consider-using-with
        self.process = processes.start(command, stdout=processes.subprocess.PIPE, stderr=self.errors,
                                       stdin=processes.subprocess.DEVNULL, env=env)
        self.records, self.events, self.log = [], [], log
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()

    def read(self):
        for line in self.process.stdout:
            words = line.decode().split(' ', 2)
            if words[0].isdigit() and len(words) == 3 and line.endswith(b'\n'):
                self.records.append((int(words[0]), int(words[1]), words[2].rstrip('\n')))
            else:
                self.events.append(line.decode().strip())

    def assignments(self):
        return [event for event in self.events if event.startswith('assigned')]

    def assigned(self):
        """How often the group has assigned."""
        return len(self.assignments())

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.end()

    def leave(self):
        self.process.send_signal(signal.SIGTERM)
        self.end()

    def end(self):
        processes.wait(self.process, 60)
        self.reader.join()
        self.errors.close()


class Scene:
    """A broker, a topic, and a group of one kind of client."""

    def __init__(self, run, kind):
        self.run, self.kind = run, kind
        self.broker = run.broker(SETTINGS | {'penstock.lcores': 2})
        self.listen = '{}:{}'.format(*self.broker.address)
        self.topic, self.group = 'work', f'group-{kind.name}'
        self.broker.create_topic(self.topic, PARTITIONS)
        self.members, self.produced, self.positions = [], 0, {}

    def join(self, instance='-'):
        command, env = self.kind.command(self.broker.bootstrap, self.topic, self.group, instance)
        log = self.run.folder / f'{self.kind.name}-{len(self.members)}.log'
        self.members.append(Member(command, os.environ | env, log))
        return self.members[-1]

    def producer(self):
        return ['kcat', '-P', '-b', self.broker.bootstrap, '-t', self.topic, '-p', '-1', '-X', 'partitioner=random',
                '-X', 'sticky.partitioning.linger.ms=0']

    def lines(self, count):
        lines = ''.join(f'r{self.produced + i}\n' for i in range(count)).encode()
        self.produced += count
        return lines

    def produce(self, count=RECORDS):
        processes.run(self.producer(), stdin=None, input=self.lines(count))

    @contextlib.contextmanager
    def flowing(self):
        """While the block runs, records come and come. Not over a kill of the broker: kcat would produce some twice."""
        kcat, ended = processes.start(self.producer(), stdin=processes.subprocess.PIPE), threading.Event()

        def flow():
            with kcat.stdin:
                while not ended.is_set():
                    kcat.stdin.write(self.lines(FLOW))
                    kcat.stdin.flush()
                    ended.wait(0.02)

        thread = threading.Thread(target=flow, daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join(60)
            check.equal(processes.wait(kcat, 60), 0, 'kcat')

    def processed(self):
        return [record for member in self.members for record in member.records]

    def wait(self, condition, what, seconds=SETTLE_S):
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline:
                said = {number: member.events[-5:] for number, member in enumerate(self.members)}
                raise AssertionError(f'{what}: not after {seconds} s; {said}; {self.state()}')
            self.look_at_positions()
            time.sleep(0.2)
        self.look_at_positions()

    def state(self):
        with self.broker.connect() as connection:
            return connection.call('DescribeGroups', 5, {'groups': [self.group]})

    def wait_processed(self, what):
        self.wait(lambda: len({value for _, _, value in self.processed()}) == self.produced, what)

    def wait_members(self, count, what):
        has_members = getattr(self.kind, 'has_members', classic_group_has)
        self.wait(lambda: has_members(self, count), what, 60)

    def wait_assigned(self, member, what):
        self.wait(member.assigned, what, 60)

    def wait_records(self, member, what):
        """The group's state alone may be that of before."""
        self.wait(lambda: member.records, f'records of {what}', 60)

    def committed(self):
        """None: the groups are not there yet, or being read from their log."""
        with self.broker.connect() as connection:
            answer = connection.call('OffsetFetch', 7, {'group': self.group, 'topics': None})
        if answer['error'] in NOT_NOW:
            return None
        check.equal(answer['error'], 0, 'OffsetFetch')
        return {(topic['name'], partition['index']): partition['offset']
                for topic in answer['topics'] for partition in topic['partitions']}

    def look_at_positions(self):
        """The committed position never goes back."""
        if self.broker.process is None:
            return
        now = self.committed()
        if now is None:
            return
        for place, before in self.positions.items():
            check.expect(now.get(place, -1) >= before, f'{place} went back from {before} to {now.get(place)}')
        self.positions = now

    def restart_broker(self):
        self.broker.kill()
        self.broker.start(listen=self.listen)
        self.wait(lambda: self.committed() is not None, 'groups after a start', 60)

    def check_offsets(self):
        """The same place always held the same record, and what was processed twice is told."""
        held = {}
        for partition, offset, value in self.processed():
            check.equal(held.setdefault((partition, offset), value), value, f'{partition}/{offset}')
        count = collections.Counter(value for _, _, value in self.processed())
        return sum(count.values()) - len(count)

    def close(self):
        for member in self.members:
            if member.process.poll() is None:
                member.kill()
        self.broker.remove()


def ours(scene, *arguments):
    """What our own command says of groups."""
    return processes.run([scene.run.program, 'group', *arguments, '--bootstrap', scene.broker.bootstrap]).decode()


def described(scene):
    return json.loads(ours(scene, 'describe', scene.group, '--json'))


def classic_group_has(scene, count):
    group = scene.state()['groups'][0]
    return group['state'] == 'Stable' and len(group['members']) == count


def play(run, kind):
    scene = Scene(run, kind)
    try:
        said = kind.play(scene) if hasattr(kind, 'play') else play_all(scene)
    finally:
        scene.close()
    return said


def play_all(scene):
    scene.produce()
    first = scene.join()
    scene.wait_processed('one member alone')
    alone = scene.check_offsets()
    check.equal(alone, 0, 'records processed twice without a reason')

    with scene.flowing():
        second = scene.join()
        scene.wait_records(second, 'the second member')
        scene.wait_members(2, 'both of them')
    scene.produce()
    scene.wait_processed('two members')

    scene.restart_broker()
    scene.produce()
    scene.wait_processed('after kill -9 of the broker')

    with scene.flowing():
        first.kill()
        third = scene.join()
        scene.wait_records(third, 'the third member')
        scene.wait_members(2, 'the third member for the first')
    scene.wait_processed('after kill -9 of a member')

    scene.produce(RECORDS // 2)
    scene.restart_broker()
    scene.produce(RECORDS // 2)
    scene.wait_processed('after kill -9 of the broker in the middle')
    with scene.flowing():
        second.leave()
        scene.wait_members(1, 'the third member alone')
    scene.wait_processed('after one has left')
    third.leave()
    ends = scene.committed()
    twice = scene.check_offsets()
    check.equal(sum(ends.values()), scene.produced, 'committed in the end')
    # At most what was polled and not committed when somebody was killed or the group rebalanced.
    check.expect(twice <= scene.produced, f'{twice} records were processed twice')
    play_reset(scene, ends)
    if scene.kind.has_static_members:
        play_static(scene)
    return f'{scene.produced} records, {twice} twice'


def play_reset(scene, ends):
    """Offsets that are reset while nobody is there: who comes next reads from there on, just that and once."""
    scene.wait(lambda: described(scene)['state'] == 'Empty', 'all have left', 60)
    ours(scene, 'reset', scene.group, '--to', f'-{AGAIN}')
    scene.positions = {}  # they go back now, as they are told to
    wanted = [(partition, offset) for (_, partition), end in sorted(ends.items()) for offset in range(end - AGAIN, end)]
    member = scene.join()
    scene.wait(lambda: len(member.records) >= len(wanted), 'what was reset', 60)
    scene.wait(lambda: scene.committed() == ends, 'all of it is committed', 60)
    member.leave()
    check.equal(sorted(record[:2] for record in member.records), wanted, 'what was read again')


def play_static(scene):
    """A static member that is restarted inside its session keeps what it has, and the others are not disturbed."""
    stays, goes = scene.join('stays'), scene.join('goes')
    scene.wait(lambda: stays.assigned() and goes.assigned(), 'two static members', 60)
    scene.wait_members(2, 'both of them')
    if hasattr(scene.kind, 'settle'):
        scene.kind.settle(scene)
    before = stays.assigned()
    goes.kill()
    back = scene.join('goes')
    scene.wait_assigned(back, 'the static member that came back')
    scene.produce()
    scene.wait_processed('static members')
    check.equal(stays.assigned(), before, 'assignments of the member that stayed')
    check.equal(back.assignments()[0], goes.assignments()[-1], 'what it got back')
    stays.kill()
    back.kill()


def main():
    run = check.Run()
    for kind in members.all_kinds(run.build):
        if run.only in kind.name:
            run.test(kind.name, play, run, kind)
    run.finish()


if __name__ == '__main__':
    sys.exit(main())
