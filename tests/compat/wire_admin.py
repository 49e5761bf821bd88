#!/usr/bin/python3
"""What administrators' tools ask, at the bytes (docs/compatibility.md, lines 33, 38, 40, 102, 111, 112): ctest
compat.admin."""
import os
import time

import batches
import check

(NONE, UNKNOWN_TOPIC, INVALID_TOPIC, INVALID_PARTITIONS, INVALID_ASSIGNMENT, INVALID_REQUEST, POLICY_VIOLATION,
 SECURITY_DISABLED, TOKENS_DISABLED, ELECTION_NOT_NEEDED, NO_REASSIGNMENT, RESOURCE_NOT_FOUND, DUPLICATE_RESOURCE,
 ID_NOT_FOUND) = 0, 3, 17, 37, 39, 42, 44, 54, 61, 84, 85, 91, 92, 105
NODE = 1
MIB = 1 << 20


def grow(connection, topic, count, version=3, assignments=None, validate_only=False):
    topics = [{'name': topic, 'count': count, 'assignments': assignments}]
    body = {'topics': topics, 'validate_only': validate_only}
    return connection.call('CreatePartitions', version, body)['results'][0]


def partitions_of(connection, topic):
    answer = connection.call('Metadata', 9, {'topics': [{'name': topic}], 'allow_auto_topic_creation': False})
    return [partition['index'] for partition in answer['topics'][0]['partitions']]


def test_line_33_create_partitions(broker):
    with broker.connect() as connection:
        connection.create('grows')
        connection.produce('grows', batches.build([b'kept']))
        for version in range(4):
            check.equal(grow(connection, 'grows', version + 2, version)['error'], NONE, f'CreatePartitions v{version}')
            check.equal(partitions_of(connection, 'grows'), list(range(version + 2)), 'partitions')
            check.equal(connection.produce('grows', batches.build(), partition=version + 1)['base_offset'], 0,
                        'the new one takes records when the answer is there')
        check.equal(connection.offset('grows', -1)['offset'], 1, 'the first one has what it had')
        check.equal(grow(connection, 'grows', 6, assignments=[{'brokers': [NODE]}])['error'], NONE, 'with assignments')
    broker.kill()
    broker.start()
    with broker.connect() as connection:
        check.equal(partitions_of(connection, 'grows'), list(range(6)), 'after kill -9')
        check.equal(connection.offset('grows', -1, partition=4)['offset'], 1, 'what was written to a new one')


def test_line_33_partitions_that_cannot_be(broker):
    with broker.connect() as connection:
        connection.create('three', partitions=3)
        for count, more, error in ((3, {}, INVALID_PARTITIONS), (2, {}, INVALID_PARTITIONS),
                                   (0, {}, INVALID_PARTITIONS), (-1, {}, INVALID_PARTITIONS),
                                   (10_001, {}, INVALID_PARTITIONS),
                                   (4, {'assignments': []}, INVALID_ASSIGNMENT),
                                   (4, {'assignments': [{'brokers': [9]}]}, INVALID_ASSIGNMENT),
                                   (4, {'assignments': [{'brokers': [NODE, NODE]}]}, INVALID_ASSIGNMENT)):
            result = grow(connection, 'three', count, **more)
            check.equal(result['error'], error, f'{count} {more}')
            check.expect(result['error_message'], 'a message')
        check.equal(grow(connection, 'not-there', 2)['error'], UNKNOWN_TOPIC, 'no such topic')
        check.equal(grow(connection, 'three', 4, validate_only=True)['error'], NONE, 'validate_only')
        check.equal(partitions_of(connection, 'three'), [0, 1, 2], 'nothing has changed')
        twice = {'topics': [{'name': 'three', 'count': 4, 'assignments': None}] * 2}
        results = connection.call('CreatePartitions', 3, twice)['results']
        check.equal([result['error'] for result in results], [INVALID_REQUEST], 'a topic twice')


def test_line_33_clients_that_know_the_topic_find_the_new_partition(broker):
    with broker.connect() as waiting, broker.connect() as connection:
        connection.create('found')
        check.equal(connection.produce('found', batches.build(), partition=1)['error'], UNKNOWN_TOPIC, 'before')
        sent = waiting.send('Fetch', 11, {'max_wait_ms': 30_000, 'min_bytes': 1, 'topics': [
            {'name': 'found', 'partitions': [{'index': 0, 'offset': 0}]}]})
        time.sleep(0.1)
        check.equal(grow(connection, 'found', 2)['error'], NONE, 'CreatePartitions')
        check.equal(connection.produce('found', batches.build(), partition=1)['error'], NONE, 'after')
        connection.produce('found', batches.build())
        answer = waiting.receive(sent)['topics'][0]['partitions'][0]
        check.equal((answer['error'], answer['high_watermark']), (NONE, 1), 'a fetch that waited meanwhile')


def describe(connection, names, limit=2000, cursor=None):
    body = {'topics': [{'name': name} for name in names], 'limit': limit, 'cursor': cursor}
    return connection.call('DescribeTopicPartitions', 0, body)


def test_describe_topic_partitions(broker):
    with broker.connect() as connection:
        ids = {name: connection.create(name, partitions=3)['topic_id'] for name in ('page-a', 'page-b', 'page-c')}
        answer = describe(connection, ['page-b', 'page-a', 'not-there', 'no/name'])
        check.equal([(topic['name'], topic['error']) for topic in answer['topics']],
                    [('no/name', INVALID_TOPIC), ('not-there', UNKNOWN_TOPIC), ('page-a', NONE), ('page-b', NONE)],
                    'topics by name')
        topic = answer['topics'][2]
        check.equal((topic['topic_id'], topic['is_internal'], answer['next_cursor']), (ids['page-a'], False, None), 'a')
        first = topic['partitions'][0]
        check.equal((first['error'], first['index'], first['leader'], first['leader_epoch'], first['replicas'],
                     first['isr'], first['offline_replicas']), (NONE, 0, NODE, 0, [NODE], [NODE], []), 'partition 0')
        check.expect(topic['authorized_operations'] > 0, 'authorized operations')
        seen, cursor = [], None
        while True:
            answer = describe(connection, ids, limit=2, cursor=cursor)
            page = [(topic['name'], partition['index']) for topic in answer['topics']
                    for partition in topic['partitions']]
            check.expect(1 <= len(page) <= 2, f'a page of {page}')
            seen += page
            cursor = answer['next_cursor']
            if cursor is None:
                break
        check.equal(seen, [(name, index) for name in ids for index in range(3)], 'all pages')
        everything = describe(connection, [])
        check.expect(set(ids) <= {topic['name'] for topic in everything['topics']}, 'no names are all topics')


def test_line_38_describe_log_dirs(broker):
    with broker.connect() as connection:
        connection.create('sized', partitions=2)
        batch = batches.build([bytes(100_000)])
        for _ in range(20):
            connection.produce('sized', batch)
        for version in range(1, 5):
            wanted = [{'name': 'sized', 'partitions': [0, 1, 7]}, {'name': 'not-there', 'partitions': [0]}]
            answer = connection.call('DescribeLogDirs', version, {'topics': wanted})
            check.equal(answer.get('error', NONE), NONE, 'error')
            check.equal(len(answer['results']), 1, 'data folders')
            result = answer['results'][0]
            check.equal((result['error'], result['log_dir']), (NONE, str(broker.data)), f'v{version}')
            check.equal([topic['name'] for topic in result['topics']], ['sized'], 'topics')
            sizes = {found['index']: found['size'] for found in result['topics'][0]['partitions']}
            check.equal(sizes, {0: 20 * len(batch), 1: 0}, 'bytes of its partitions')
            check.equal([(found['offset_lag'], found['is_future']) for found in result['topics'][0]['partitions']],
                        [(0, False)] * 2, 'lag')
            if version >= 4:
                space = os.statvfs(broker.data)
                check.equal(result['total_bytes'], space.f_blocks * space.f_frsize, 'size of the drive')
                check.within(result['usable_bytes'], 1, result['total_bytes'], 'free bytes of the drive')
        every = connection.call('DescribeLogDirs', 4, {'topics': None})['results'][0]
        check.expect('sized' in {topic['name'] for topic in every['topics']}, 'null: all topics')
        none = connection.call('DescribeLogDirs', 4, {'topics': []})['results'][0]
        check.equal((none['log_dir'], none['topics']), (str(broker.data), []), 'empty: no topics')
    broker.stop()
    broker.start()
    with broker.connect() as connection:
        result = connection.call('DescribeLogDirs', 4, {'topics': [{'name': 'sized', 'partitions': [0]}]})['results'][0]
        check.equal(result['topics'][0]['partitions'][0]['size'], 20 * len(batch), 'bytes after a restart')


def test_line_102_describe_producers(broker):
    with broker.connect() as connection:
        connection.create('written', partitions=2)
        who = connection.call('InitProducerId', 4)
        batch = batches.build([b'a', b'b', b'c'], producer_id=who['producer_id'], producer_epoch=0, base_sequence=0)
        connection.produce('written', batch)
        body = {'topics': [{'name': 'written', 'partitions': [0, 1, 5]}, {'name': 'not-there', 'partitions': [0]}]}
        answer = connection.call('DescribeProducers', 0, body)['topics']
        check.equal([[found['error'] for found in topic['partitions']] for topic in answer],
                    [[NONE, NONE, UNKNOWN_TOPIC], [UNKNOWN_TOPIC]], 'errors')
        check.equal([len(found['producers']) for found in answer[0]['partitions']], [1, 0, 0], 'producers')
        found = answer[0]['partitions'][0]['producers'][0]
        check.equal((found['producer_id'], found['producer_epoch'], found['last_sequence'], found['last_timestamp'],
                     found['coordinator_epoch'], found['transaction_start']),
                    (who['producer_id'], 0, 2, 1_700_000_000_000, -1, -1), 'the producer')


def test_line_40_elections_have_nothing_to_do(broker):
    with broker.connect() as connection:
        connection.create('led', partitions=2)
        for version in range(3):
            for kind in (0, 1) if version else (None,):
                body = {'topics': [{'name': 'led', 'partitions': [0, 1, 9]}, {'name': 'not-there', 'partitions': [0]}]}
                body |= {} if kind is None else {'election_type': kind}
                answer = connection.call('ElectLeaders', version, body)
                check.equal(answer.get('error', NONE), NONE, 'error')
                errors = [[found['error'] for found in topic['partitions']] for topic in answer['topics']]
                wanted = [[ELECTION_NOT_NEEDED] * 2 + [UNKNOWN_TOPIC], [UNKNOWN_TOPIC]]
                check.equal(errors, wanted, f'v{version} {kind}')
        check.equal(connection.call('ElectLeaders', 2, {'topics': None})['topics'], [], 'of all partitions: none')
        check.equal(connection.call('ElectLeaders', 2, {'election_type': 5, 'topics': None})['error'], INVALID_REQUEST,
                    'no such election')


def test_nothing_moves_with_one_broker(broker):
    with broker.connect() as connection:
        connection.create('stays')
        for version in range(2):
            errors = []
            for index, replicas in ((0, [NODE]), (0, None), (0, [2]), (0, []), (3, [NODE])):
                topics = [{'name': 'stays', 'partitions': [{'index': index, 'replicas': replicas}]}]
                answer = connection.call('AlterPartitionReassignments', version, {'topics': topics})
                errors.append(answer['topics'][0]['partitions'][0]['error'])
            check.equal(errors, [NONE, NO_REASSIGNMENT, INVALID_ASSIGNMENT, INVALID_ASSIGNMENT, UNKNOWN_TOPIC],
                        f'AlterPartitionReassignments v{version}')
        answer = connection.call('ListPartitionReassignments', 0, {'topics': None})
        check.equal((answer['error'], answer['topics']), (NONE, []), 'ListPartitionReassignments')


def test_line_102_no_transactions(broker):
    with broker.connect() as connection:
        for version in range(3):
            answer = connection.call('ListTransactions', version, {'state_filters': ['Ongoing', 'Sleeping']})
            check.equal((answer['error'], answer['unknown_state_filters'], answer['transactions']),
                        (NONE, ['Sleeping'], []), f'ListTransactions v{version}')
        answer = connection.call('DescribeTransactions', 0, {'ids': ['mine']})['transactions']
        check.equal([(found['id'], found['error']) for found in answer], [('mine', ID_NOT_FOUND)], 'a transaction')


def test_line_111_and_112_no_users_quotas_or_rules(broker):
    """Enough for kafka-acls, kafka-configs and user interfaces to show that there are none."""
    with broker.connect() as connection:
        for version in range(1, 4):
            answer = connection.call('DescribeAcls', version)
            check.equal((answer['error'], answer['resources']), (SECURITY_DISABLED, []), f'DescribeAcls v{version}')
            answer = connection.call('DescribeDelegationToken', version, {'owners': None})
            check.equal((answer['error'], answer['tokens']), (TOKENS_DISABLED, []), f'tokens v{version}')
        for version in range(2):
            answer = connection.call('DescribeClientQuotas', version)
            check.equal((answer['error'], answer['entries']), (NONE, []), f'DescribeClientQuotas v{version}')
        answer = connection.call('DescribeUserScramCredentials', 0, {'users': None})
        check.equal((answer['error'], answer['results']), (NONE, []), 'all users')
        answer = connection.call('DescribeUserScramCredentials', 0, {'users': [{'name': 'a'}, {'name': 'a'},
                                                                              {'name': 'b'}]})
        check.equal([(found['user'], found['error']) for found in answer['results']],
                    [('a', DUPLICATE_RESOURCE), ('b', RESOURCE_NOT_FOUND)], 'users by name')


def main():
    run = check.Run()
    tests = [function for name, function in globals().items() if name.startswith('test_')]
    run.tests(run.broker(), *tests)
    run.finish()


if __name__ == '__main__':
    main()
