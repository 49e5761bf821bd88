#!/usr/bin/python3
"""Metadata, topics and the cluster at the bytes (docs/compatibility.md, lines 21 to 32): ctest compat.topics."""
import re
import time

import batches
import check
import processes
import wire

(NONE, UNKNOWN_TOPIC, INVALID_TOPIC, TOPIC_EXISTS, INVALID_PARTITIONS, INVALID_REPLICATION, INVALID_CONFIG,
 INVALID_REQUEST, UNKNOWN_TOPIC_ID) = 0, 3, 17, 36, 37, 38, 40, 42, 100
NOT_ASKED = -2**31
EVERY_VERSION = range(14)
FROM_TOPIC, FROM_DEFAULT = 1, 5


def metadata(connection, names, version=9, **more):
    topics = None if names is None else [{'name': name} for name in names]
    return connection.call('Metadata', version, {'topics': topics} | more)


def names_of(answer):
    return {topic['name'] for topic in answer['topics']}


def create(connection, name, version=7, validate_only=None, **topic):
    body = {'topics': [{'name': name} | topic]} | ({} if validate_only is None else {'validate_only': validate_only})
    return connection.call('CreateTopics', version, body)['topics'][0]


def test_line_21_all_topics_some_or_none(broker):
    with broker.connect() as connection:
        connection.create('here')
        connection.create('there')
        for version in EVERY_VERSION:
            answer = connection.call('Metadata', version, {'topics': [] if version == 0 else None})
            check.expect({'here', 'there'} <= names_of(answer), f'v{version}: all topics')
            check.equal(names_of(metadata(connection, ['here'], version)), {'here'}, f'v{version}: one topic')
            if version > 0:
                check.equal(metadata(connection, [], version)['topics'], [], f'v{version}: no topics')


def test_line_21_all_topics_as_librdkafka_asks(broker):
    """Since version 9 it leaves four bytes of zero where one says null; Kafka looks at no byte behind those that it
    needs. github.com/confluentinc/librdkafka/issues/5049."""
    with broker.connect() as connection:
        connection.create('asked-for')
        for version in range(9, 14):
            sent = ('Metadata', version, 77)
            request = wire.encode_request('Metadata', version, {'topics': None}, 77)
            null_at = len(request) - 4 - (version < 11)  # null, what may be made, what is authorized, no tagged fields
            check.equal(request[null_at:null_at + 1], b'\0', 'null')
            connection.send_raw(wire.frame(request[:null_at] + b'\0\0\0' + request[null_at:]))
            check.expect('asked-for' in names_of(connection.receive(sent)), f'v{version}: all topics')


def test_line_22_unknown_and_invalid_names(broker):
    with broker.connect() as connection:
        for version in range(4, 14):
            answer = metadata(connection, ['not-there', 'no/name', '..'], version, allow_auto_topic_creation=False)
            errors = {topic['name']: topic['error'] for topic in answer['topics']}
            check.equal(errors, {'not-there': UNKNOWN_TOPIC, 'no/name': INVALID_TOPIC, '..': INVALID_TOPIC},
                        f'errors of Metadata v{version}')


def test_line_23_topics_are_made_when_both_sides_allow_it(broker):
    with broker.connect() as connection:
        made = wait_for_topic(connection, 'made-by-asking')
        check.equal(len(made['partitions']), 1, 'partitions of a topic made by asking')
        check.equal(connection.produce('made-by-asking', batches.build())['error'], NONE, 'produce')
        connection.call('Metadata', 4, {'topics': None, 'allow_auto_topic_creation': True})


def wait_for_topic(connection, name):
    """As clients do: ask again while the answer is 3 or 5."""
    for _ in range(100):
        topic = metadata(connection, [name], 4, allow_auto_topic_creation=True)['topics'][0]
        if topic['error'] == NONE:
            return topic
        check.expect(topic['error'] in (UNKNOWN_TOPIC, 5), f'error {topic["error"]} while {name} is made')
        time.sleep(0.1)
    raise AssertionError(f'{name} was not made')


def test_line_23_and_24_topics_are_not_made_unasked(broker):
    with broker.connect() as connection:
        metadata(connection, ['not-wanted'], 4, allow_auto_topic_creation=False)
        connection.produce('not-wanted', batches.build())
        connection.fetch('not-wanted', 0)
        check.expect('not-wanted' not in names_of(metadata(connection, None)), 'a topic was made though not wanted')


def test_line_23_auto_creation_can_be_off(broker):
    broker.stop()
    broker.settings['auto.create.topics.enable'] = 'false'
    try:
        broker.start()
        with broker.connect() as connection:
            topic = metadata(connection, ['not-made'], 4, allow_auto_topic_creation=True)['topics'][0]
            check.equal(topic['error'], UNKNOWN_TOPIC, 'asking with auto.create.topics.enable=false')
    finally:
        del broker.settings['auto.create.topics.enable']
        broker.stop()
        broker.start()


def test_line_24_a_librdkafka_consumer_makes_no_topic(broker):
    done = processes.start(['kcat', '-C', '-e', '-q', '-b', broker.bootstrap, '-t', 'just-looking', '-p', '0',
                            '-X', 'allow.auto.create.topics=false'], stdout=-3, stderr=-3)
    processes.wait(done, processes.CLIENT_TIMEOUT_S)
    with broker.connect() as connection:
        check.expect('just-looking' not in names_of(metadata(connection, None)), 'the consumer made the topic')


def test_line_25_names(broker):
    with broker.connect() as connection:
        for name in ('a' * 249, 'A.b-c_9', 'x'):
            check.equal(create(connection, name)['error'], NONE, f'{name[:20]} of {len(name)}')
        for name in ('a' * 250, '', '.', '..', 'a/b', 'a b', 'caf\u00e9', 'a\0'):
            check.equal(create(connection, name)['error'], INVALID_TOPIC, f'{name[:20]!r} of {len(name)}')
        check.equal(create(connection, 'dots.and')['error'], NONE, 'dots.and')
        check.equal(create(connection, 'dots_and')['error'], INVALID_TOPIC, 'dots_and collides with dots.and')


def test_line_26_topic_ids_change_with_the_topic(broker):
    with broker.connect() as connection:
        first = connection.create('again')['topic_id']
        records = batches.build()
        body = {'acks': -1, 'topics': [{'topic_id': first, 'partitions': [{'index': 0, 'records': records}]}]}
        check.equal(connection.call('Produce', 13, body)['topics'][0]['partitions'][0]['error'], NONE, 'produce by id')
        check.equal(metadata(connection, ['again'], 12)['topics'][0]['topic_id'], first, 'id in Metadata')
        connection.call('DeleteTopics', 5, {'names': ['again']})
        second = connection.create('again')['topic_id']
        check.expect(first != second and second != wire.NO_UUID, 'a new topic of the old name has a new id')
        for version in (13, 18):
            fetch = {'topics': [{'topic_id': first, 'partitions': [{'index': 0, 'offset': 0}]}]}
            answer = connection.call('Fetch', version, fetch)['topics'][0]['partitions'][0]
            check.equal(answer['error'], UNKNOWN_TOPIC_ID, f'Fetch v{version} with the old id')
        answer = connection.call('Produce', 13, body)['topics'][0]['partitions'][0]
        check.equal(answer['error'], UNKNOWN_TOPIC_ID, 'Produce with the old id')
        check.equal(connection.fetch('again', 0)['high_watermark'], 0, 'the new topic is empty')


def test_line_28_cluster_and_controller(broker):
    with broker.connect() as connection:
        answer = metadata(connection, [], 9)
        cluster = connection.call('DescribeCluster', 1)
        check.expect(re.fullmatch(r'[\w-]{22}', answer['cluster_id']), f'cluster id {answer["cluster_id"]}')
        check.equal(cluster['cluster_id'], answer['cluster_id'], 'cluster id of DescribeCluster')
        ids = [found['node_id'] for found in answer['brokers']]
        check.expect(answer['controller_id'] in ids, 'the controller is one of the brokers')
        check.equal([found['broker_id'] for found in cluster['brokers']], ids, 'brokers')
        check.equal((answer['brokers'][0]['host'], answer['brokers'][0]['port']), broker.address, 'address')
        for version in range(3):
            check.equal(connection.call('DescribeCluster', version)['error'], NONE, f'DescribeCluster v{version}')


def test_line_29_authorized_operations_only_when_asked(broker):
    with broker.connect() as connection:
        connection.create('operations')
        for version in (8, 9, 10):
            answer = metadata(connection, ['operations'], version)
            check.equal(answer['cluster_authorized_operations'], NOT_ASKED, f'cluster, v{version}')
            check.equal(answer['topics'][0]['authorized_operations'], NOT_ASKED, f'topic, v{version}')
            answer = metadata(connection, ['operations'], version, include_topic_authorized_operations=True,
                              include_cluster_authorized_operations=True)
            check.expect(answer['topics'][0]['authorized_operations'] > 0, f'topic, asked, v{version}')
            check.expect(answer['cluster_authorized_operations'] > 0, f'cluster, asked, v{version}')
        check.equal(connection.call('DescribeCluster', 0)['authorized_operations'], NOT_ASKED, 'DescribeCluster')


def test_line_30_create_topics(broker):
    with broker.connect() as connection:
        for version in range(2, 8):
            made = create(connection, f'created-v{version}', version, partitions=3)
            check.equal(made['error'], NONE, f'CreateTopics v{version}')
            described = metadata(connection, [f'created-v{version}'])['topics'][0]
            check.equal([found['index'] for found in described['partitions']], [0, 1, 2], 'partitions')
        for version in range(4, 8):
            made = create(connection, f'defaults-v{version}', version, partitions=-1, replication_factor=-1)
            check.equal(made['error'], NONE, f'default partitions and replicas, v{version}')
        check.equal(create(connection, 'created-v2')['error'], TOPIC_EXISTS, 'a topic that exists')
        check.equal(create(connection, 'none', partitions=0)['error'], INVALID_PARTITIONS, 'no partitions')


def test_line_30_validate_only_makes_nothing(broker):
    with broker.connect() as connection:
        check.equal(create(connection, 'only-asked', validate_only=True)['error'], NONE, 'validate_only')
        answer = metadata(connection, ['only-asked'], 9, allow_auto_topic_creation=False)
        check.equal(answer['topics'][0]['error'], UNKNOWN_TOPIC, 'a topic that was only validated')


def test_line_30_configs_are_checked_and_told(broker):
    with broker.connect() as connection:
        for name, value in (('cleanup.policy', 'sometimes'), ('retention.ms', 'long'), ('no.such.config', '1'),
                            ('retention.ms', None), ('max.message.bytes', '-1')):
            made = create(connection, 'badly-configured', configs=[{'name': name, 'value': value}])
            check.equal(made['error'], INVALID_CONFIG, f'{name}={value}')
        made = create(connection, 'configured', configs=[{'name': 'cleanup.policy', 'value': 'compact'}])
        configs = {config['name']: config for config in made['configs']}
        check.equal(configs['cleanup.policy']['value'], 'compact', 'cleanup.policy')
        check.equal(configs['cleanup.policy']['source'], FROM_TOPIC, 'its source')
        check.equal(configs['retention.ms']['value'], '604800000', 'retention.ms')
        check.equal(configs['retention.ms']['source'], FROM_DEFAULT, 'its source')


def test_line_31_replicas_and_segment_size(broker):
    with broker.connect() as connection:
        check.equal(create(connection, 'copies', replication_factor=2)['error'], INVALID_REPLICATION, 'two copies')
        made = create(connection, 'tiny', configs=[{'name': 'segment.bytes', 'value': '1048575'}])
        check.equal(made['error'], INVALID_CONFIG, 'segment.bytes below 1 MiB')


def test_line_32_delete_topics(broker):
    with broker.connect() as connection:
        for version in range(1, 7):
            name = f'deleted-v{version}'
            topic_id = connection.create(name)['topic_id']
            connection.produce(name, batches.build())
            named = {'names': [name]} if version < 6 else {'topics': [{'name': None, 'topic_id': topic_id}]}
            answer = connection.call('DeleteTopics', version, named)['topics'][0]
            check.equal((answer['error'], answer['name']), (NONE, name), f'DeleteTopics v{version}')
            check.expect(name not in names_of(metadata(connection, None)), f'{name} is still there')
            check.equal(connection.fetch(name, 0)['error'], UNKNOWN_TOPIC, 'fetch of a deleted topic')
            check.equal(connection.produce(name, batches.build())['error'], UNKNOWN_TOPIC, 'produce to it')
            answer = connection.call('DeleteTopics', version, named)['topics'][0]
            check.equal(answer['error'], UNKNOWN_TOPIC if version < 6 else UNKNOWN_TOPIC_ID, 'deleted twice')


def test_line_32_deletion_wakes_and_recreation_heals_consumers(broker):
    with broker.connect() as waiting, broker.connect() as connection:
        connection.create('healed')
        partitions = [{'index': 0, 'offset': 0}]
        sent = waiting.send('Fetch', 11, {'max_wait_ms': 40_000, 'min_bytes': 1,
                                          'topics': [{'name': 'healed', 'partitions': partitions}]})
        time.sleep(0.2)  # so that it waits
        connection.call('DeleteTopics', 5, {'names': ['healed']})
        answer = waiting.receive(sent)['topics'][0]['partitions'][0]
        check.equal(answer['error'], UNKNOWN_TOPIC, 'a fetch that waited on a topic that is deleted')
        connection.create('healed')
        connection.produce('healed', batches.build([b'new']))
        check.equal(waiting.fetch('healed', 0)['high_watermark'], 1, 'after the topic came back')


def test_line_37_internal_topics_are_flagged_and_not_for_clients_to_write(broker):
    with broker.connect() as connection:
        for name in ('__consumer_offsets', '__transaction_state'):
            connection.create(name)
            for version in (1, 9, 12):
                topic = metadata(connection, [name], version)['topics'][0]
                check.equal((topic['error'], topic['is_internal']), (NONE, True), f'{name}, Metadata v{version}')
            check.equal(connection.produce(name, batches.build())['error'], INVALID_TOPIC, f'a produce to {name}')
            check.equal(connection.fetch(name, 0)['high_watermark'], 0, 'nothing was written')
        check.equal(metadata(connection, ['again'])['topics'][0]['is_internal'], False, 'an ordinary topic')


def main():
    run = check.Run()
    tests = [function for name, function in globals().items() if name.startswith('test_')]
    run.tests(run.broker(), *tests)
    run.finish()


if __name__ == '__main__':
    main()
