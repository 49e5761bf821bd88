#!/usr/bin/python3
"""The APIs of groups at every version that is served, over the wire (docs/compatibility.md, lines 37, 82, 83, 89, 90,
93, 95 to 97): ctest compat.wire_groups. What each error is in each state stands in tests/groups; here it is the forms
of the versions, topics by name and id, what survives kill -9, and the rules of the internal topic."""
import re
import time

import batches
import check
from wire import NO_UUID

COORDINATOR_LOAD_IN_PROGRESS, COORDINATOR_NOT_AVAILABLE, NOT_COORDINATOR = 14, 15, 16
UNKNOWN_TOPIC_OR_PARTITION, INVALID_TOPIC, UNKNOWN_MEMBER_ID, INVALID_REQUEST = 3, 17, 25, 42
NON_EMPTY_GROUP, GROUP_ID_NOT_FOUND, MEMBER_ID_REQUIRED, UNKNOWN_TOPIC_ID = 68, 69, 79, 100
UNSUPPORTED_VERSION, FENCED_MEMBER_EPOCH, UNRELEASED_INSTANCE_ID, UNSUPPORTED_ASSIGNOR = 35, 110, 111, 112
STALE_MEMBER_EPOCH, INVALID_REGULAR_EXPRESSION = 113, 128
OFFSETS = '__consumer_offsets'


def until_loaded(call, error_of):
    """The first use makes the topic, and a start reads it: clients try again, so do we."""
    deadline = time.monotonic() + 60
    while True:
        answer = call()
        if error_of(answer) not in (COORDINATOR_LOAD_IN_PROGRESS, COORDINATOR_NOT_AVAILABLE, NOT_COORDINATOR):
            return answer
        check.expect(time.monotonic() < deadline, f'groups are not there after 60 s: {answer}')
        time.sleep(0.02)


def find(connection, version=3, key='g', **more):
    return connection.call('FindCoordinator', version, {'key': key} | more)


def ready(connection, group):
    find(connection)
    until_loaded(lambda: connection.call('DescribeGroups', 5, {'groups': [group]}), lambda a: a['groups'][0]['error'])


def join(connection, group, version, member='', **more):
    body = {'group': group, 'member': member, 'protocols': [{'name': 'range', 'metadata': b'm'}]}
    answer = connection.call('JoinGroup', version, body | more)
    if answer['error'] == MEMBER_ID_REQUIRED:
        check.expect(version >= 4, f'JoinGroup v{version} does not know MEMBER_ID_REQUIRED')
        return join(connection, group, version, answer['member'], **more)
    return answer


def commit(connection, group, offsets, version=7, **more):
    """offsets: {(topic, partition): offset}"""
    topics = [{'name': topic, 'partitions': [{'index': index, 'offset': offset, 'metadata': 'meta'}]}
              for (topic, index), offset in offsets.items()]
    answer = connection.call('OffsetCommit', version, {'group': group, 'topics': topics} | more)
    return [partition['error'] for topic in answer['topics'] for partition in topic['partitions']]


def fetch(connection, group, version=7, topics=None):
    answer = connection.call('OffsetFetch', version, {'group': group, 'topics': topics})
    return {(topic['name'], partition['index']): (partition['offset'], partition['metadata'], partition['error'])
            for topic in answer['topics'] for partition in topic['partitions']}


def test_find_coordinator_in_every_version(broker):
    with broker.connect() as connection:
        for version in range(7):
            if version < 4:
                found = [find(connection, version, f'g{version}')]
            else:
                found = connection.call('FindCoordinator', version, {'keys': ['a', 'b', '']})['coordinators']
                check.equal([c['key'] for c in found], ['a', 'b', ''], 'keys')
            for coordinator in found:
                check.equal((coordinator['error'], coordinator['port']), (0, broker.address[1]), f'v{version}')
        # Transactions are not served yet; a key type that nobody knows.
        check.equal(find(connection, 3, 't', key_type=1)['error'], COORDINATOR_NOT_AVAILABLE, 'transaction')
        check.equal(find(connection, 3, 't', key_type=7)['error'], INVALID_REQUEST, 'key type 7')


def test_the_offsets_topic_is_internal(broker):
    with broker.connect() as connection:
        ready(connection, 'g')
        topics = connection.call('Metadata', 9, {'topics': None})['topics']
        offsets = [topic for topic in topics if topic['name'] == OFFSETS][0]
        check.equal((offsets['is_internal'], len(offsets['partitions'])), (True, 50), 'internal, partitions')
        check.equal(connection.produce(OFFSETS, batches.build([b'x']))['error'], INVALID_TOPIC, 'a client produces')


def test_a_group_in_every_version(broker):
    with broker.connect() as connection:
        connection.create('t', 2)
        for version in range(10):
            group = f'group-{version}'
            ready(connection, group)
            joined = join(connection, group, version)
            check.equal((joined['error'], joined['generation'], joined['leader']), (0, 1, joined['member']), 'join')
            check.equal([m['metadata'] for m in joined['members']], [b'm'], 'members')
            check.equal(joined['protocol'], 'range', 'protocol')
            me = {'group': group, 'member': joined['member'], 'generation': 1}
            sync = connection.call('SyncGroup', min(version, 5),
                                   me | {'assignments': [{'member': joined['member'], 'assignment': b'mine'}]})
            check.equal((sync['error'], sync['assignment']), (0, b'mine'), f'SyncGroup v{min(version, 5)}')
            check.equal(connection.call('Heartbeat', min(version, 4), me)['error'], 0, 'heartbeat')
            for commits in range(2, 10):
                check.equal(commit(connection, group, {('t', 0): commits}, commits, member=joined['member'],
                                   generation=1), [0], f'OffsetCommit v{commits}')
            check.equal(commit(connection, group, {('t', 0): 1}), [UNKNOWN_MEMBER_ID], 'a commit from outside')
            described = connection.call('DescribeGroups', min(version, 6), {'groups': [group]})['groups'][0]
            check.equal((described['error'], described['state'], described['protocol']), (0, 'Stable', 'range'),
                        'state')
            member = described['members'][0]
            check.equal((member['client_id'], member['client_host'], member['assignment'], member['metadata']),
                        ('tests', '/127.0.0.1', b'mine', b'm'), 'member')
            deleted = connection.call('DeleteGroups', min(version, 2), {'groups': [group, 'nosuch']})['results']
            check.equal([r['error'] for r in deleted], [NON_EMPTY_GROUP, GROUP_ID_NOT_FOUND], 'delete')
            leave = {'group': group, 'member': joined['member']} if version < 3 else \
                {'group': group, 'members': [{'member': joined['member']}]}
            check.equal(connection.call('LeaveGroup', min(version, 5), leave)['error'], 0, 'leave')
            check.equal(connection.call('Heartbeat', min(version, 4), me)['error'], UNKNOWN_MEMBER_ID, 'after it')
            deleted = connection.call('DeleteGroups', min(version, 2), {'groups': [group]})['results']
            check.equal(deleted[0]['error'], 0, 'delete')
            check.equal(fetch(connection, group), {}, 'offsets of a group that is gone')


def beat(connection, version, group, member, epoch, **more):
    if epoch == 0:
        more = {'rebalance_timeout_ms': 30000, 'owned': []} | more
    return connection.call('ConsumerGroupHeartbeat', version, {'group': group, 'member': member, 'epoch': epoch} | more)


def wait_for_topic(connection, topic):
    """Groups hear of a new topic up to a moment after who made it."""
    ready(connection, 'probe')
    for _ in range(200):
        if beat(connection, 1, 'probe', 'probe', 0, topics=[topic])['assignment']['partitions']:
            check.equal(beat(connection, 1, 'probe', 'probe', -1)['error'], 0, 'leave')
            return
        time.sleep(0.05)
    raise AssertionError(f'groups do not hear of {topic}')


def test_a_next_generation_group_in_every_version(broker):
    with broker.connect() as connection:
        topic_id = connection.create('n', 2)['topic_id']
        wait_for_topic(connection, 'n')
        for version in range(2):
            group = f'next-{version}'
            ready(connection, group)
            check.equal(beat(connection, version, group, 'm', 1, owned=[])['error'], GROUP_ID_NOT_FOUND, 'not there')
            nameless = beat(connection, version, group, '', 0, topics=['n'])
            check.equal(nameless['error'], INVALID_REQUEST if version else 0, 'who makes the member id')
            joined = beat(connection, version, group, nameless['member'] or 'mine', 0, topics=['n'], instance='i')
            check.equal((joined['error'], joined['interval_ms']), (0, 5000), f'ConsumerGroupHeartbeat v{version}')
            me, wanted = joined['member'], [{'topic_id': topic_id, 'partitions': [0, 1]}]
            check.equal(joined['assignment'], {'partitions': wanted}, 'assignment')
            check.equal(beat(connection, version, group, me, joined['epoch'], owned=wanted)['assignment'], None, 'told')
            check.equal(beat(connection, version, group, me, 99)['error'], FENCED_MEMBER_EPOCH, 'an epoch to come')
            check.equal(beat(connection, version, group, me, 0, topics=['n'], assignor='?')['error'],
                        UNSUPPORTED_ASSIGNOR, 'assignor')
            check.equal(beat(connection, version, group, 'other', 0, topics=['n'], instance='i')['error'],
                        UNRELEASED_INSTANCE_ID, 'a place that is taken')
            for commits, error in ((8, UNSUPPORTED_VERSION), (9, 0)):
                check.equal(commit(connection, group, {('n', 0): 4}, commits, member=me, generation=joined['epoch']),
                            [error], f'OffsetCommit v{commits}')
            check.equal(commit(connection, group, {('n', 0): 4}, 9, member=me, generation=99), [STALE_MEMBER_EPOCH],
                        'a commit of another epoch')
            groups = [{'group': group, 'member': me, 'member_epoch': 99, 'topics': None}]
            check.equal(connection.call('OffsetFetch', 9, {'groups': groups})['groups'][0]['error'],
                        STALE_MEMBER_EPOCH, 'a fetch of another epoch')
            described = connection.call('ConsumerGroupDescribe', version,
                                        {'groups': [group, 'nosuch'], 'authorized_operations': True})['groups']
            check.equal([(g['error'], g['state'], g['assignor']) for g in described],
                        [(0, 'Stable', 'uniform'), (GROUP_ID_NOT_FOUND, '', '')], f'ConsumerGroupDescribe v{version}')
            check.equal(described[0]['authorized_operations'], 0b110101001000, 'operations')
            member = described[0]['members'][0]
            has = {'partitions': [{'topic_id': topic_id, 'topic': 'n', 'partitions': [0, 1]}]}
            check.equal((member['member'], member['instance'], member['assignment'], member['target'],
                         member.get('type')), (me, 'i', has, has, 1 if version else None), 'member')
            check.equal(connection.call('DescribeGroups', 6, {'groups': [group]})['groups'][0]['error'],
                        GROUP_ID_NOT_FOUND, 'DescribeGroups knows none of this kind')
            deleted = {'groups': [group]}
            check.equal(connection.call('DeleteGroups', 2, deleted)['results'][0]['error'], NON_EMPTY_GROUP, 'delete')
            check.equal(beat(connection, version, group, me, -2, instance='i')['epoch'], -2, 'it will be back')
            back = beat(connection, version, group, 'again', 0, topics=['n'], instance='i')
            check.equal(back['assignment'], {'partitions': wanted}, 'its place')
            check.equal(beat(connection, version, group, 'again', -1, instance='i')['epoch'], -1, 'it leaves')
            check.equal(connection.call('DeleteGroups', 2, deleted)['results'][0]['error'], 0, 'delete')
        check.equal(beat(connection, 1, 'next-regex', 'm', 0, regex='([')['error'], INVALID_REGULAR_EXPRESSION, 'regex')


def test_a_pattern_that_takes_long_holds_up_nobody(broker):
    """Of the worst kind, over names that suit it: seconds of work. It is done in pieces; others are served between."""
    names = ['a' * 230 + f'{number:06}' for number in range(300)]
    with broker.connect() as connection, broker.connect() as other:
        made = connection.call('CreateTopics', 7, {'topics': [
            {'name': name, 'partitions': 1, 'configs': []} for name in names]})
        check.equal({topic['error'] for topic in made['topics']}, {0}, 'topics')
        ready(connection, 'slow')
        joined = beat(connection, 1, 'slow', 'm', 0, regex='([a-z]{1,100}){9}.*')
        check.equal((joined['error'], joined['assignment'], joined['interval_ms']), (0, {'partitions': []}, 500),
                    'it is looked for')
        answered, epoch = 0, joined['epoch']
        deadline = time.monotonic() + 120
        while True:
            other.call('Metadata', 9, {'topics': []})
            answered += 1
            again = beat(connection, 1, 'slow', 'm', epoch, owned=[])
            epoch = again['epoch']
            if again['assignment'] and again['assignment']['partitions']:
                break
            check.expect(time.monotonic() < deadline, f'the pattern matches nothing after 120 s: {again}')
        check.equal(len(again['assignment']['partitions']), len(names), 'topics that it matches')
        check.expect(answered > 10, f'while it was looked for, {answered} others were served')
        beat(connection, 1, 'slow', 'm', -1)
        connection.call('DeleteTopics', 4, {'names': names})


def test_offset_fetch_in_every_version(broker):
    with broker.connect() as connection:
        ready(connection, 'fetches')
        topic_id = connection.create('f', 2)['topic_id']
        check.equal(commit(connection, 'fetches', {('f', 0): 5}), [0], 'commit')
        asked = [{'name': 'f', 'partitions': [0, 1]}]
        for version in range(1, 8):
            check.equal(fetch(connection, 'fetches', version, asked),
                        {('f', 0): (5, 'meta', 0), ('f', 1): (-1, '', 0)}, f'OffsetFetch v{version}')
        for version in (8, 9):
            groups = [{'group': 'fetches', 'topics': asked}, {'group': 'nosuch', 'topics': None},
                      {'group': 'fetches', 'topics': None}]
            answer = connection.call('OffsetFetch', version, {'groups': groups, 'require_stable': True})['groups']
            check.equal([(g['group'], g['error'], sum(len(t['partitions']) for t in g['topics'])) for g in answer],
                        [('fetches', 0, 2), ('nosuch', 0, 0), ('fetches', 0, 1)], f'OffsetFetch v{version}')
        unknown = bytes(range(16))
        groups = [{'group': 'fetches', 'topics': [{'topic_id': topic_id, 'partitions': [0]},
                                                  {'topic_id': unknown, 'partitions': [3]}]},
                  {'group': 'fetches', 'topics': None}]
        answer = connection.call('OffsetFetch', 10, {'groups': groups})['groups']
        told = [(t['topic_id'], p['index'], p['offset'], p['error']) for g in answer for t in g['topics']
                for p in t['partitions']]
        check.equal(told, [(topic_id, 0, 5, 0), (unknown, 3, -1, UNKNOWN_TOPIC_ID), (topic_id, 0, 5, 0)], 'v10')
        answer = connection.call('OffsetCommit', 10, {'group': 'fetches', 'topics': [
            {'topic_id': topic_id, 'partitions': [{'index': 1, 'offset': 8, 'metadata': None}]},
            {'topic_id': NO_UUID, 'partitions': [{'index': 0, 'offset': 8, 'metadata': None}]}]})
        check.equal([p['error'] for t in answer['topics'] for p in t['partitions']], [0, UNKNOWN_TOPIC_ID], 'by id')
        check.equal(fetch(connection, 'fetches', 5)[('f', 1)], (8, '', 0), 'committed by id')


def test_commits_to_what_does_not_exist(broker):
    with broker.connect() as connection:
        ready(connection, 'c')
        connection.create('c')
        check.equal(commit(connection, 'c', {('c', 0): 1, ('c', 1): 1, ('nosuch', 0): 1}),
                    [0, UNKNOWN_TOPIC_OR_PARTITION, UNKNOWN_TOPIC_OR_PARTITION], 'errors')
        check.equal(fetch(connection, 'c'), {('c', 0): (1, 'meta', 0)}, 'what was committed')
        answer = connection.call('OffsetDelete', 0, {'group': 'c', 'topics': [
            {'name': 'c', 'partitions': [{'index': 0}]}, {'name': 'nosuch', 'partitions': [{'index': 0}]}]})
        check.equal([p['error'] for t in answer['topics'] for p in t['partitions']],
                    [0, UNKNOWN_TOPIC_OR_PARTITION], 'OffsetDelete')
        check.equal(fetch(connection, 'c'), {}, 'after it')


def test_list_groups_and_its_filters(broker):
    with broker.connect() as connection:
        ready(connection, 'l')
        connection.create('l')
        commit(connection, 'list-simple', {('l', 0): 1})
        with broker.connect() as other:
            joined = join(other, 'list-member', 3)
            other.call('SyncGroup', 3, {'group': 'list-member', 'member': joined['member'], 'generation': 1,
                                        'assignments': []})

            def listed(version, **filters):
                answer = connection.call('ListGroups', version, filters)
                check.equal(answer['error'], 0, 'error')
                return sorted(g['group'] for g in answer['groups'] if g['group'].startswith('list-'))

            for version in range(6):
                check.equal(listed(version), ['list-member', 'list-simple'], f'v{version}')
            check.equal(listed(4, states=['stable']), ['list-member'], 'states')
            check.equal(listed(5, states=['Empty', 'Stable']), ['list-member', 'list-simple'], 'two states')
            check.equal(listed(5, types=['Classic'], states=['Empty']), ['list-simple'], 'types')
            check.equal(listed(5, types=['share']), [], 'another type')
            check.equal(connection.call('DescribeGroups', 6, {'groups': ['nosuch']})['groups'][0]['error'],
                        GROUP_ID_NOT_FOUND, 'v6 of an unknown group')
            old = connection.call('DescribeGroups', 5, {'groups': ['nosuch'], 'authorized_operations': True})
            check.equal((old['groups'][0]['error'], old['groups'][0]['state']), (0, 'Dead'), 'v5')
            check.equal(old['groups'][0]['authorized_operations'], 0b110101001000, 'operations')


def test_deleting_a_topic_deletes_its_offsets(broker):
    with broker.connect() as connection:
        ready(connection, 'd')
        connection.create('d1')
        connection.create('d2')
        commit(connection, 'd', {('d1', 0): 1, ('d2', 0): 2})
        connection.call('DeleteTopics', 4, {'names': ['d1']})
        check.equal(fetch(connection, 'd'), {('d2', 0): (2, 'meta', 0)}, 'offsets')


def test_groups_and_offsets_survive_kill_9(broker):
    with broker.connect() as connection:
        ready(connection, 'k')
        connection.create('k', 3)
        joined = join(connection, 'killed', 5, instance='i')
        me = {'group': 'killed', 'member': joined['member'], 'generation': 1, 'instance': 'i'}
        connection.call('SyncGroup', 3, me | {'assignments': [{'member': joined['member'], 'assignment': b'a'}]})
        for offset in range(200):
            check.equal(commit(connection, 'killed', {('k', offset % 3): offset}, member=joined['member'],
                               generation=1, instance='i'), [0], 'commit')
    broker.kill()
    broker.start()
    with broker.connect() as connection:
        until_loaded(lambda: connection.call('DescribeGroups', 5, {'groups': ['killed']}),
                     lambda a: a['groups'][0]['error'])
        check.equal(fetch(connection, 'killed'), {('k', 198 % 3): (198, 'meta', 0), ('k', 199 % 3): (199, 'meta', 0),
                                                  ('k', 197 % 3): (197, 'meta', 0)}, 'offsets')
        check.equal(connection.call('Heartbeat', 4, me)['error'], 0, 'the member goes on')
        sync = connection.call('SyncGroup', 3, me)
        check.equal((sync['error'], sync['assignment']), (0, b'a'), 'its assignment')


def test_deleting_the_offsets_topic_forgets_all_groups(broker):
    with broker.connect() as connection:
        ready(connection, 'x')
        connection.create('x')
        commit(connection, 'x', {('x', 0): 1})
        connection.call('DeleteTopics', 4, {'names': [OFFSETS]})
        ready(connection, 'x')
        check.equal(fetch(connection, 'x'), {}, 'offsets')
        check.equal(commit(connection, 'x', {('x', 0): 2}), [0], 'a commit to the new topic')


def samples_of(broker, group):
    """{(metric, other labels): value} of a group that is written as a label's value is."""
    found = {}
    for line in broker.get('/metrics').splitlines():
        match = re.fullmatch(r'penstock_consumer_group_(\w+)\{group="((?:[^"\\]|\\.)*)"(.*)\} (\d+)', line)
        if match and match[2] == group:
            found[match[1], match[3]] = int(match[4])
    return found


def until_samples(broker, group, expected, what):
    """A scrape within a second of another tells the same."""
    deadline = time.monotonic() + 60
    while (found := samples_of(broker, group)) != expected:
        check.expect(time.monotonic() < deadline, f'{what}: after 60 s {found}, not {expected}')
        time.sleep(0.1)


def test_lag_is_on_metrics(broker):
    strange = 'quote " back\\slash\nline é'
    label = 'quote \\" back\\\\slash\\nline é'
    with broker.connect() as connection:
        ready(connection, 'lag')
        connection.create('lag', 2)
        connection.create('lag-other')
        for records in (3, 4):
            answer = connection.produce('lag', batches.build([b'x'] * records))
            check.equal(answer['error'], 0, 'produce')
        joined = join(connection, 'lag-member', 3)
        check.equal(joined['error'], 0, 'join')
        for group in ('lag', strange):
            check.equal(commit(connection, group, {('lag', 0): 5, ('lag', 1): 0, ('lag-other', 0): 9}), [0, 0, 0],
                        'commit')
        of_0, of_1, other = ',topic="lag",partition="0"', ',topic="lag",partition="1"', \
            ',topic="lag-other",partition="0"'
        rest = {('info', ',type="classic",state="Empty"'): 1, ('members', ''): 0, ('lag', ''): 2,
                ('partition_committed_offset', of_0): 5, ('partition_lag', of_0): 2,
                ('partition_committed_offset', of_1): 0, ('partition_lag', of_1): 0}
        for group in ('lag', label):
            until_samples(broker, group, rest | {('partition_committed_offset', other): 9,
                                                 ('partition_lag', other): 0}, 'committed')
        until_samples(broker, 'lag-member', {('info', ',type="classic",state="CompletingRebalance"'): 1,
                                             ('members', ''): 1}, 'a member, and nothing committed')
        connection.call('DeleteTopics', 4, {'names': ['lag-other']})
        until_samples(broker, 'lag', rest, 'a topic is deleted')
        connection.call('DeleteGroups', 2, {'groups': [strange]})
        until_samples(broker, label, {}, 'the group is deleted')
        until_samples(broker, 'lag', rest, 'the other one stays')


def large_groups_survive_a_stop(run):
    """More commits than a read from the drive gives at once: a start waits for all of it, and takes none for damage."""
    broker = run.broker({'offsets.topic.num.partitions': 1}, start=True)
    topic, groups = 't' * 200, [f'{"g" * 200}{i}' for i in range(40)]
    wanted = {(topic, index): (index, 'meta', 0) for index in range(100)}
    with broker.connect() as connection:
        connection.create(topic, 100)
        ready(connection, groups[0])
        for group in groups:
            check.equal(commit(connection, group, {place: told[0] for place, told in wanted.items()}), [0] * 100,
                        'commits')
    broker.stop()
    broker.start()
    with broker.connect() as connection:
        ready(connection, groups[0])
        for group in groups:
            check.equal(fetch(connection, group), wanted, f'what {group[-2:]} has committed')
    broker.stop()


def main():
    run = check.Run()
    broker = run.broker({'group.initial.rebalance.delay.ms': 0})
    run.tests(broker, test_find_coordinator_in_every_version, test_the_offsets_topic_is_internal,
              test_a_group_in_every_version, test_a_next_generation_group_in_every_version,
              test_a_pattern_that_takes_long_holds_up_nobody, test_offset_fetch_in_every_version,
              test_commits_to_what_does_not_exist,
              test_list_groups_and_its_filters, test_deleting_a_topic_deletes_its_offsets,
              test_groups_and_offsets_survive_kill_9, test_deleting_the_offsets_topic_forgets_all_groups,
              test_lag_is_on_metrics)
    run.tests(run, large_groups_survive_a_stop)
    run.finish()


if __name__ == '__main__':
    main()
