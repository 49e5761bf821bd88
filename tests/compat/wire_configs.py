#!/usr/bin/python3
"""Configs at the bytes: what DescribeConfigs tells, what the two alterations do, and that it takes effect on logs at
once (docs/compatibility.md, lines 34 to 36, 45, 46, 49, 50, 105, 106): ctest compat.configs."""
import gzip
import pathlib
import time

import batches
import check

(NONE, UNKNOWN_TOPIC, TOO_LARGE, INVALID_TOPIC, INVALID_TIMESTAMP, INVALID_CONFIG, INVALID_REQUEST,
 POLICY_VIOLATION, UNSUPPORTED_VERSION, INVALID_RECORD) = 0, 3, 10, 17, 32, 40, 42, 44, 35, 87
TOPIC, BROKER, LOGGER, CLIENT_METRICS, GROUP = 2, 4, 8, 16, 32
FROM_TOPIC, FROM_BROKER, FROM_CLUSTER, FROM_SETTINGS, FROM_DEFAULT, FROM_LOGGER, FROM_METRICS, FROM_GROUP = range(1, 9)
SET, DELETE, APPEND, SUBTRACT = range(4)
TYPES = {'boolean': 1, 'string': 2, 'int': 3, 'short': 4, 'long': 5, 'double': 6, 'list': 7, 'class': 8, 'password': 9}
NODE = '1'
HOUR_MS = 3_600_000


def describe(connection, kind, name, keys=None, version=4, **more):
    body = {'resources': [{'type': kind, 'name': name, 'keys': keys}]} | more
    result = connection.call('DescribeConfigs', version, body)['results'][0]
    check.equal((result['type'], result['name']), (kind, name), 'the resource that was asked for')
    return result


def configs(connection, kind, name, keys=None, **more):
    result = describe(connection, kind, name, keys, **more)
    check.equal(result['error'], NONE, f'DescribeConfigs of {name}: {result["error_message"]}')
    return {config['name']: config for config in result['configs']}


def value(connection, topic, name):
    config = configs(connection, TOPIC, topic, [name])[name]
    return config['value'], config['source']


def alter(connection, kind, name, *changes, version=1, validate_only=False):
    """changes: (name, operation, value)."""
    asked = [{'name': config, 'operation': operation, 'value': text} for config, operation, text in changes]
    body = {'resources': [{'type': kind, 'name': name, 'configs': asked}], 'validate_only': validate_only}
    return connection.call('IncrementalAlterConfigs', version, body)['responses'][0]['error']


def set_config(connection, kind, name, config, text):
    check.equal(alter(connection, kind, name, (config, SET, text)), NONE, f'{config}={text}')


def replace(connection, topic, version=2, validate_only=False, **wanted):
    asked = [{'name': name.replace('_', '.'), 'value': text} for name, text in wanted.items()]
    body = {'resources': [{'type': TOPIC, 'name': topic, 'configs': asked}], 'validate_only': validate_only}
    return connection.call('AlterConfigs', version, body)['responses'][0]['error']


def beginning(connection, topic, wanted):
    """Waits until the log begins there."""
    deadline = time.monotonic() + 60
    while connection.offset(topic, -2)['offset'] != wanted:
        check.expect(time.monotonic() < deadline, f'{topic} begins at {connection.offset(topic, -2)["offset"]}')
        time.sleep(0.05)


def listed(scope):
    """The project's own list, read as a client's test would: by column."""
    path = pathlib.Path(__file__).parents[2] / 'control/controller/kafka_configs.tsv'
    rows = [line.split('\t') for line in path.read_text().splitlines() if not line.startswith('#')]
    return {row[1]: dict(zip(('type', 'default', 'valid', 'update', 'marks', 'source', 'bounds', 'meaning'), row[2:]))
            for row in rows if row[0] == scope}


def test_line_34_every_topic_config_in_every_version(broker):
    with broker.connect() as connection:
        connection.create('described', cleanup_policy='compact')
        for version in range(1, 5):
            told = configs(connection, TOPIC, 'described', version=version)
            wanted = {name: row for name, row in listed('topic').items() if row['marks'] == '-'}
            check.equal(len(wanted), 33, 'topic configs in the list')
            check.equal(told.keys(), wanted.keys(), f'names, v{version}')
            for name, row in wanted.items():
                config = told[name]
                default = {'""': '', 'null': None}.get(row['default'], row['default'])
                text, source = ('compact', FROM_TOPIC) if name == 'cleanup.policy' else (default, FROM_DEFAULT)
                check.equal((config['value'], config['source']), (text, source), f'{name}, v{version}')
                check.equal((config['read_only'], config['is_sensitive'], config['synonyms']), (False, False, []), name)
                if version >= 3:
                    check.equal(config['type'], TYPES[row['type']], f'type of {name}')
                    check.equal(config['documentation'], None, f'{name} has documentation that nobody asked for')
        told = configs(connection, TOPIC, 'described', include_documentation=True)
        check.expect(all(len(config['documentation']) > 20 for config in told.values()), 'documentation')


def test_line_34_what_clients_know_by_heart(broker):
    """Not from the list: values that Kafka's documentation names."""
    with broker.connect() as connection:
        connection.create('by-heart')
        told = configs(connection, TOPIC, 'by-heart', ['segment.bytes', 'retention.ms', 'cleanup.policy'])
        check.equal({name: (config['value'], config['type']) for name, config in told.items()},
                    {'segment.bytes': ('1073741824', 3), 'retention.ms': ('604800000', 5),
                     'cleanup.policy': ('delete', 7)}, 'three keys that were asked for')
        check.equal(len(configs(connection, TOPIC, 'by-heart', [])), 33, 'no keys are all keys')
        told = configs(connection, BROKER, NODE)
        for name, text in (('min.insync.replicas', '1'), ('log.message.timestamp.after.max.ms', '3600000'),
                           ('message.max.bytes', '1048588'),
                           ('group.initial.rebalance.delay.ms', '3000'), ('compression.type', 'producer')):
            check.equal((told[name]['value'], told[name]['source']), (text, FROM_DEFAULT), name)
        check.equal((told['node.id']['value'], told['node.id']['source']), (NODE, FROM_SETTINGS), 'node.id')
        replicas = told['offsets.topic.replication.factor']  # not Kafka's 3: docs/compatibility.md
        check.equal((replicas['value'], replicas['source']), ('1', FROM_SETTINGS), 'replicas of the offsets topic')


def test_line_34_synonyms_say_where_a_value_comes_from(broker):
    with broker.connect() as connection:
        connection.create('synonyms', segment_bytes=2_000_000)
        told = configs(connection, TOPIC, 'synonyms', include_synonyms=True)

        def of(config):
            return [(found['name'], found['value'], found['source']) for found in config['synonyms']]
        check.equal(of(told['segment.bytes']), [('segment.bytes', '2000000', FROM_TOPIC),
                                                ('log.segment.bytes', '1073741824', FROM_DEFAULT)], 'segment.bytes')
        check.equal(of(told['max.message.bytes']), [('message.max.bytes', '1048588', FROM_DEFAULT)], 'of the broker')
        check.equal(of(told['retention.ms']), [], 'log.retention.ms has no value, as in Kafka')
        check.equal(of(told['remote.storage.enable']), [], 'no broker config')


def test_line_34_every_broker_config(broker):
    with broker.connect() as connection:
        told = configs(connection, BROKER, NODE, include_documentation=True, include_synonyms=True)
        wanted = {name: row for name, row in listed('broker').items() if row['marks'] == '-'}
        check.expect(len(wanted) > 330, 'broker configs in the list')
        check.equal(told.keys(), wanted.keys(), 'names')
        for name, row in wanted.items():
            config = told[name]
            check.equal(config['type'], TYPES[row['type']], f'type of {name}')
            check.equal(config['is_sensitive'], row['type'] == 'password', f'is {name} sensitive')
            check.expect(config['documentation'], f'documentation of {name}')
            if row['update'] != 'cluster-wide':
                check.expect(config['read_only'], f'{name} is read-only')
            if config['source'] == FROM_DEFAULT and not config['is_sensitive']:
                check.equal(config['value'], {'""': '', 'null': None}.get(row['default'], row['default']), name)
        check.expect(not told['log.retention.ms']['read_only'], 'log.retention.ms may change')
        check.equal(told['listeners']['source'], FROM_SETTINGS, 'source of listeners')
        check.equal(told['log.dirs']['value'], str(broker.data), 'log.dirs')


def test_line_34_settings_of_the_broker_are_the_defaults_of_topics(broker):
    broker.stop()
    broker.settings |= {'log.retention.hours': 5, 'log.segment.bytes': 3 << 20, 'log.message.timestamp.type':
                        'LogAppendTime', 'log.roll.hours': 168}
    try:
        broker.start()
        with broker.connect() as connection:
            made = connection.create('settings')
            told = configs(connection, TOPIC, 'settings', include_synonyms=True)
            check.equal((told['segment.bytes']['value'], told['segment.bytes']['source']),
                        (str(3 << 20), FROM_SETTINGS), 'segment.bytes')
            check.equal([found['source'] for found in told['segment.bytes']['synonyms']],
                        [FROM_SETTINGS, FROM_DEFAULT], 'its synonyms')
            check.equal(told['message.timestamp.type']['value'], 'LogAppendTime', 'message.timestamp.type')
            check.equal((told['retention.ms']['value'], told['retention.ms']['source']),
                        (str(5 * HOUR_MS), FROM_DEFAULT), 'retention.ms, whose own broker config is not set')
            created = {config['name']: config for config in made['configs']}
            check.equal((created['retention.ms']['value'], created['retention.ms']['source']),
                        (str(5 * HOUR_MS), FROM_SETTINGS), 'the controller says what gave the value')
            check.expect(connection.produce('settings', batches.build())['log_append_time'] > 0, 'append time')
            hours = configs(connection, BROKER, NODE, ['log.roll.hours'])['log.roll.hours']
            check.equal(hours['source'], FROM_SETTINGS, 'a setting that was given, though it is the default')
    finally:
        for name in ('log.retention.hours', 'log.segment.bytes', 'log.message.timestamp.type', 'log.roll.hours'):
            del broker.settings[name]
        broker.stop()
        broker.start()


def test_line_34_errors(broker):
    with broker.connect() as connection:
        for kind, name, error in ((TOPIC, 'not-there', UNKNOWN_TOPIC), (TOPIC, 'no/name', INVALID_TOPIC),
                                  (BROKER, '7', INVALID_REQUEST), (BROKER, 'one', INVALID_REQUEST),
                                  (LOGGER, '', INVALID_REQUEST), (GROUP, '', INVALID_REQUEST),
                                  (CLIENT_METRICS, '', INVALID_REQUEST), (3, 'x', INVALID_REQUEST)):
            result = describe(connection, kind, name)
            check.equal((result['error'], result['configs']), (error, []), f'{kind} {name}')
            check.expect(result['error_message'], f'{kind} {name}: a message')
        check.equal(configs(connection, BROKER, ''), {}, 'nothing was changed for all brokers')
        root = configs(connection, LOGGER, NODE)['root']
        check.equal((root['value'], root['source']), ('INFO', FROM_LOGGER), 'the logger')


def test_line_35_set_delete_append_subtract(broker):
    with broker.connect() as connection:
        connection.create('four')
        for version in (0, 1):
            check.equal(alter(connection, TOPIC, 'four', ('retention.ms', SET, '1000'), ('segment.ms', SET, '60000'),
                              version=version), NONE, 'SET')
            check.equal(value(connection, 'four', 'retention.ms'), ('1000', FROM_TOPIC), 'after SET')
            check.equal(alter(connection, TOPIC, 'four', ('retention.ms', DELETE, None), version=version), NONE,
                        'DELETE')
            check.equal(value(connection, 'four', 'retention.ms'), ('604800000', FROM_DEFAULT), 'after DELETE')
            check.equal(value(connection, 'four', 'segment.ms'), ('60000', FROM_TOPIC), 'what was not named stays')
            check.equal(alter(connection, TOPIC, 'four', ('cleanup.policy', APPEND, 'compact'), version=version), NONE,
                        'APPEND')
            check.equal(value(connection, 'four', 'cleanup.policy'), ('delete,compact', FROM_TOPIC), 'to the default')
            check.equal(alter(connection, TOPIC, 'four', ('cleanup.policy', APPEND, 'compact')), NONE, 'APPEND twice')
            check.equal(alter(connection, TOPIC, 'four', ('cleanup.policy', SUBTRACT, 'delete'), version=version), NONE,
                        'SUBTRACT')
            check.equal(value(connection, 'four', 'cleanup.policy'), ('compact', FROM_TOPIC), 'after SUBTRACT')
            check.equal(alter(connection, TOPIC, 'four', ('cleanup.policy', DELETE, None)), NONE, 'DELETE')
        check.equal(alter(connection, TOPIC, 'four', ('flush.ms', DELETE, None)), NONE, 'deleting what is not set')


def test_line_35_what_is_refused_changes_nothing(broker):
    with broker.connect() as connection:
        connection.create('refused', segment_bytes=2_000_000)
        for change, error in ((('retention.ms', SET, 'long'), INVALID_CONFIG), (('no.such', SET, '1'), INVALID_CONFIG),
                              (('segment.bytes', SET, '10'), INVALID_CONFIG),
                              (('retention.ms', APPEND, '1'), INVALID_CONFIG),
                              (('no.such', SUBTRACT, '1'), INVALID_CONFIG),
                              (('cleanup.policy', APPEND, 'sometimes'), INVALID_CONFIG),
                              (('retention.ms', SET, None), INVALID_REQUEST),
                              (('retention.ms', 9, '1'), INVALID_REQUEST),
                              (('min.compaction.lag.ms', SET, str(2**63 - 1)), NONE),
                              (('remote.storage.enable', SET, 'true'), INVALID_CONFIG)):
            check.equal(alter(connection, TOPIC, 'refused', change), error, f'{change}')
        twice = alter(connection, TOPIC, 'refused', ('retention.ms', SET, '1'), ('retention.ms', SET, '2'))
        check.equal(twice, INVALID_REQUEST, 'a config twice')
        some = alter(connection, TOPIC, 'refused', ('retention.ms', SET, '1'), ('segment.bytes', SET, '1'))
        check.equal(some, INVALID_CONFIG, 'one good and one bad')
        check.equal(value(connection, 'refused', 'retention.ms'), ('604800000', FROM_DEFAULT), 'the good one')
        check.equal(alter(connection, TOPIC, 'not-there', ('retention.ms', SET, '1')), UNKNOWN_TOPIC, 'no topic')
        check.equal(alter(connection, TOPIC, 'no/name', ('retention.ms', SET, '1')), INVALID_TOPIC, 'no topic name')
        check.equal(alter(connection, LOGGER, NODE, ('root', SET, 'DEBUG')), INVALID_REQUEST, 'the logger')
        check.equal(alter(connection, 1, 'x', ('a', SET, 'b')), INVALID_REQUEST, 'no such kind')
        check.equal(alter(connection, TOPIC, 'refused', ('segment.bytes', SET, '5000000'), validate_only=True), NONE,
                    'validate_only')
        check.equal(value(connection, 'refused', 'segment.bytes'), ('2000000', FROM_TOPIC), 'after validate_only')
        same = [{'type': TOPIC, 'name': 'refused', 'configs': []}] * 2
        answer = connection.call('IncrementalAlterConfigs', 1, {'resources': same})['responses']
        check.equal([found['error'] for found in answer], [INVALID_REQUEST] * 2, 'a resource twice')


def test_line_36_legacy_alter_replaces_the_whole_set(broker):
    with broker.connect() as connection:
        for version in range(3):
            topic = f'replaced-{version}'
            connection.create(topic, retention_ms=5000, segment_ms=60000)
            error = replace(connection, topic, version, validate_only=True, retention_ms='1')
            check.equal(error, NONE, 'validate_only')
            check.equal(value(connection, topic, 'retention.ms'), ('5000', FROM_TOPIC), 'after validate_only')
            check.equal(replace(connection, topic, version, retention_ms='7000'), NONE, f'AlterConfigs v{version}')
            check.equal(value(connection, topic, 'retention.ms'), ('7000', FROM_TOPIC), 'what was named')
            check.equal(value(connection, topic, 'segment.ms'), ('604800000', FROM_DEFAULT), 'what was not')
            check.equal(replace(connection, topic, version, retention_ms='x'), INVALID_CONFIG, 'a bad value')
            check.equal(replace(connection, topic, version, retention_ms=None), INVALID_REQUEST, 'null')
            check.equal(replace(connection, topic, version), NONE, 'nothing')
            check.equal(value(connection, topic, 'retention.ms'), ('604800000', FROM_DEFAULT), 'nothing is left')


def test_line_35_broker_configs_are_the_defaults_of_topics_at_once(broker):
    with broker.connect() as connection:
        connection.create('inherits')
        connection.create('has-its-own', max_message_bytes=900_000)
        set_config(connection, BROKER, '', 'message.max.bytes', '500')
        check.equal(value(connection, 'inherits', 'max.message.bytes'), ('500', FROM_CLUSTER), 'of all brokers')
        check.equal(connection.produce('inherits', batches.build([bytes(600)]))['error'], TOO_LARGE, '600 bytes')
        check.equal(connection.produce('has-its-own', batches.build([bytes(600)]))['error'], NONE, 'its own')
        set_config(connection, BROKER, NODE, 'message.max.bytes', '700')
        told = configs(connection, TOPIC, 'inherits', include_synonyms=True)['max.message.bytes']
        check.equal([(found['value'], found['source']) for found in told['synonyms']],
                    [('700', FROM_BROKER), ('500', FROM_CLUSTER), ('1048588', FROM_DEFAULT)], 'synonyms')
        check.equal(connection.produce('inherits', batches.build([bytes(600)]))['error'], NONE, 'of this broker')
        told = configs(connection, BROKER, '')
        check.equal({name: (config['value'], config['source']) for name, config in told.items()},
                    {'message.max.bytes': ('500', FROM_CLUSTER)}, 'all that was changed for all brokers')
    broker.kill()
    broker.start()
    with broker.connect() as connection:
        check.equal(value(connection, 'inherits', 'max.message.bytes'), ('700', FROM_BROKER), 'after kill -9')
        check.equal(connection.produce('inherits', batches.build([bytes(700)]))['error'], TOO_LARGE, 'after kill -9')
        for name in ('', NODE):
            check.equal(alter(connection, BROKER, name, ('message.max.bytes', DELETE, None)), NONE, 'DELETE')
        check.equal(value(connection, 'inherits', 'max.message.bytes'), ('1048588', FROM_DEFAULT), 'as it was')
        check.equal(configs(connection, BROKER, ''), {}, 'nothing is left')


def test_line_35_broker_configs_that_cannot_change(broker):
    with broker.connect() as connection:
        for name, config, text in ((NODE, 'node.id', '5'), (NODE, 'listeners', 'PLAINTEXT://:1'),
                                   ('', 'log.dirs', '/x'), (NODE, 'max.connections', '5'),
                                   ('', 'max.connections.per.ip', '5'),
                                   (NODE, 'max.connections.per.ip.overrides', '127.0.0.1:5'),
                                   (NODE, 'ssl.keystore.key', 'k'),
                                   ('', 'log.retention.ms', 'x'), ('9', 'log.retention.ms', '1'),
                                   (NODE, 'listener.name.x.ssl.keystore.location', '/x')):
            check.equal(alter(connection, BROKER, name, (config, SET, text)), INVALID_REQUEST, f'{name} {config}')
        set_config(connection, BROKER, '', 'log.cleaner.threads', '2')
        set_config(connection, BROKER, '', 'somebodys.plugin.secret', 'xyz')
        told = configs(connection, BROKER, NODE)
        check.equal((told['log.cleaner.threads']['value'], told['log.cleaner.threads']['source']), ('2', FROM_CLUSTER),
                    'of no use here, but told')
        secret = told['somebodys.plugin.secret']
        check.equal((secret['value'], secret['is_sensitive'], secret['type']), (None, True, 0), 'an unknown name')
        for name in ('log.cleaner.threads', 'somebodys.plugin.secret'):
            check.equal(alter(connection, BROKER, '', (name, DELETE, None)), NONE, f'DELETE {name}')


def test_line_35_groups_and_client_metrics(broker):
    with broker.connect() as connection:
        check.equal(alter(connection, GROUP, 'workers', ('consumer.session.timeout.ms', SET, '50000')), NONE, 'a group')
        told = configs(connection, GROUP, 'workers', include_synonyms=True)
        check.equal(len(told), 17, 'group configs')
        session = told['consumer.session.timeout.ms']
        check.equal((session['value'], session['source']), ('50000', FROM_GROUP), 'session timeout')
        check.equal([found['name'] for found in session['synonyms']],
                    ['consumer.session.timeout.ms', 'group.consumer.session.timeout.ms'], 'synonyms')
        for config, text in (('consumer.session.timeout.ms', '99000000'), ('consumer.heartbeat.interval.ms', '1'),
                             ('share.auto.offset.reset', 'never'), ('no.such', '1')):
            check.equal(alter(connection, GROUP, 'workers', (config, SET, text)), INVALID_CONFIG, f'{config}={text}')
        set_config(connection, GROUP, 'workers', 'share.auto.offset.reset', 'by_duration:PT1H')
        set_config(connection, CLIENT_METRICS, 'slow', 'interval.ms', '5000')
        check.equal(alter(connection, CLIENT_METRICS, 'slow', ('match', SET, 'colour=red')), INVALID_CONFIG, 'match')
        check.equal(alter(connection, CLIENT_METRICS, 'slow', ('interval.ms', SET, '1')), INVALID_REQUEST, 'interval')
        told = configs(connection, CLIENT_METRICS, 'slow')
        check.equal((told['interval.ms']['value'], told['interval.ms']['source']), ('5000', FROM_METRICS), 'interval')
        check.equal(configs(connection, CLIENT_METRICS, 'other')['interval.ms']['source'], FROM_DEFAULT, 'not set')
        names = connection.call('ListConfigResources', 0)['resources']
        check.equal([found['name'] for found in names], ['slow'], 'ListConfigResources v0')
        names = connection.call('ListConfigResources', 1, {'types': [GROUP, BROKER]})['resources']
        check.equal({(found['type'], found['name']) for found in names}, {(GROUP, 'workers'), (BROKER, NODE)}, 'v1')
        check.equal(connection.call('ListConfigResources', 1, {'types': [99]})['error'], UNSUPPORTED_VERSION, 'type 99')
        check.equal(len(connection.call('ListConfigResources', 1)['resources']) > 4, True, 'no types are all types')


def test_line_45_max_message_bytes_takes_effect_at_once(broker):
    with broker.connect() as connection:
        connection.create('live-size')
        big = batches.build([bytes(5000)])
        check.equal(connection.produce('live-size', big)['error'], NONE, '5000 bytes before')
        set_config(connection, TOPIC, 'live-size', 'max.message.bytes', '1000')
        check.equal(connection.produce('live-size', big)['error'], TOO_LARGE, '5000 bytes after')
        check.equal(alter(connection, TOPIC, 'live-size', ('max.message.bytes', DELETE, None)), NONE, 'DELETE')
        check.equal(connection.produce('live-size', big)['error'], NONE, '5000 bytes again')


def test_line_46_compression_type_takes_effect_at_once(broker):
    values = [b'a' * 5000, b'b' * 5000]
    with broker.connect() as connection:
        connection.create('stored-as', compression_type='gzip')

        def stored(sent):
            answer = connection.produce('stored-as', batches.build(values, codec=sent))
            check.equal(answer['error'], NONE, f'a batch in {sent}')
            got = batches.split(connection.fetch('stored-as', answer['base_offset'])['records'])[0]
            check.equal(got.crc, batches.crc32c(got.bytes[batches.CRC_FROM:]), 'checksum')
            return batches.codec_of(got), got.bytes[batches.RECORDS_AT:]
        plain = batches.build(values)[batches.RECORDS_AT:]
        codec, records = stored('none')
        check.equal((codec, gzip.decompress(records)), ('gzip', plain), 'none becomes gzip')
        set_config(connection, TOPIC, 'stored-as', 'compression.type', 'uncompressed')
        check.equal(stored('gzip'), ('none', plain), 'gzip becomes none')
        for codec in ('zstd', 'lz4', 'snappy'):
            set_config(connection, TOPIC, 'stored-as', 'compression.type', codec)
            check.equal(stored('gzip')[0], codec, f'gzip becomes {codec}')
        set_config(connection, TOPIC, 'stored-as', 'compression.type', 'producer')
        check.equal(stored('none')[0], 'none', 'the choice is the producer\'s again')
        broken = batches.build(values, codec='gzip', stream=b'no gzip at all')
        check.equal(connection.produce('stored-as', broken)['error'], NONE, 'a batch that nobody looks into')
        set_config(connection, TOPIC, 'stored-as', 'compression.type', 'lz4')
        check.equal(connection.produce('stored-as', broken)['error'], INVALID_RECORD, 'records that are none')


def test_line_49_log_append_time(broker):
    with broker.connect() as connection:
        connection.create('append-time', message_timestamp_type='LogAppendTime')
        for codec in ('none', 'gzip'):
            for values in ([b'a'], [b'a', b'b' * 70_000, b'c']):
                before = int(time.time() * 1000)
                sent = batches.build(values, codec=codec, timestamp=12345)
                answer = connection.produce('append-time', sent)
                check.equal(answer['error'], NONE, 'produce')
                check.within(answer['log_append_time'], before, int(time.time() * 1000), 'append time in the answer')
                got = batches.split(connection.fetch('append-time', answer['base_offset'])['records'])[0]
                check.equal(got.attributes & 8, 8, 'attribute bit 3')
                check.equal((got.base_timestamp, got.max_timestamp), (12345, answer['log_append_time']), 'timestamps')
                check.equal(got.crc, batches.crc32c(got.bytes[batches.CRC_FROM:]), 'checksum')
                check.equal(got.bytes[batches.RECORDS_AT:], sent[batches.RECORDS_AT:], 'the records are as sent')
                found = connection.offset('append-time', answer['log_append_time'])
                check.expect(found['timestamp'] >= before, f'ListOffsets by append time: {found}')
        check.equal(connection.offset('append-time', 12345 + 1)['offset'], 0, 'all are newer than what clients said')
        set_config(connection, TOPIC, 'append-time', 'message.timestamp.type', 'CreateTime')
        answer = connection.produce('append-time', batches.build(timestamp=999))
        check.equal((answer['error'], answer['log_append_time']), (NONE, -1), 'CreateTime at once')


def test_line_50_timestamps_have_bounds(broker):
    with broker.connect() as connection:
        connection.create('bounds')
        now = int(time.time() * 1000)

        def error(timestamp, **more):
            return connection.produce('bounds', batches.build(timestamp=timestamp, **more))['error']
        check.equal(error(now + HOUR_MS // 2), NONE, 'half an hour ahead')
        check.equal(error(now + 2 * HOUR_MS), INVALID_TIMESTAMP, 'two hours ahead')
        check.equal(error(now + 2 * HOUR_MS, codec='gzip'), INVALID_TIMESTAMP, 'two hours ahead, compressed')
        late = [batches.record(0, b'a'), batches.record(1, b'b', timestamp_delta=2 * HOUR_MS)]
        check.equal(error(now, records=late), INVALID_TIMESTAMP, 'one record is two hours ahead')
        check.equal(error(0), NONE, 'the beginning of time')
        set_config(connection, TOPIC, 'bounds', 'message.timestamp.before.max.ms', '60000')
        check.equal(error(now - HOUR_MS), INVALID_TIMESTAMP, 'an hour ago')
        check.equal(error(now), NONE, 'now')
        check.equal(error(-1), NONE, 'no timestamp')
        early = [batches.record(0, b'a'), batches.record(1, b'b', timestamp_delta=-HOUR_MS)]
        check.equal(error(now, records=early), INVALID_TIMESTAMP, 'one record is an hour old')
        set_config(connection, TOPIC, 'bounds', 'message.timestamp.after.max.ms', str(3 * HOUR_MS))
        check.equal(error(now + 2 * HOUR_MS), NONE, 'two hours ahead, as the topic now allows')
        answer = connection.produce('bounds', batches.build(timestamp=0))
        check.expect('timestamp' in answer['error_message'], 'the message says why')
        set_config(connection, TOPIC, 'bounds', 'message.timestamp.type', 'LogAppendTime')
        check.equal(error(0), NONE, 'with LogAppendTime nobody looks')


def test_line_106_retention_takes_effect_at_once(broker):
    with broker.connect() as connection:
        connection.create('short-lived', retention_ms=-1)
        old = int(time.time() * 1000) - HOUR_MS
        for _ in range(3):
            check.equal(connection.produce('short-lived', batches.build(timestamp=old))['error'], NONE, 'produce')
        check.equal(connection.offset('short-lived', -2)['offset'], 0, 'the beginning')
        set_config(connection, TOPIC, 'short-lived', 'retention.ms', '60000')
        beginning(connection, 'short-lived', 3)
        answer = connection.produce('short-lived', batches.build(timestamp=old + HOUR_MS))
        check.equal((answer['base_offset'], answer['log_start_offset']), (3, 3), 'the log goes on')
    broker.kill()
    broker.start()
    with broker.connect() as connection:
        check.equal(connection.offset('short-lived', -2)['offset'], 3, 'the beginning after kill -9')


def test_line_106_size_and_segments_take_effect_at_once(broker):
    """Batches of 400 KB: one segment until segment.bytes says otherwise, then retention.bytes has what to drop."""
    with broker.connect() as connection:
        connection.create('by-size')
        batch = batches.build([bytes(400_000)], timestamp=int(time.time() * 1000))

        def produce(count):
            for _ in range(count):
                check.equal(connection.produce('by-size', batch)['error'], NONE, 'produce')
        produce(6)
        set_config(connection, TOPIC, 'by-size', 'retention.bytes', '1000000')
        time.sleep(0.3)
        check.equal(connection.offset('by-size', -2)['offset'], 0, 'one segment, which is not over')
        set_config(connection, TOPIC, 'by-size', 'segment.bytes', str(1 << 20))
        set_config(connection, TOPIC, 'by-size', 'retention.bytes', '-1')
        produce(6)  # segments of two batches, behind the first one
        set_config(connection, TOPIC, 'by-size', 'retention.bytes', str(5 * len(batch)))
        deadline = time.monotonic() + 60
        bound = 5 * len(batch)
        while connection.offset('by-size', -2)['offset'] == 0:  # what is not on the drive yet cannot be dropped
            check.expect(time.monotonic() < deadline, 'the first segment is still there')
            time.sleep(0.1)
            bound += 1  # a change has it looked at now
            set_config(connection, TOPIC, 'by-size', 'retention.bytes', str(bound))
        check.expect(connection.offset('by-size', -2)['offset'] >= 6, 'the first segment went whole')


def test_line_105_cleanup_policy_changes_live(broker):
    with broker.connect() as connection:
        connection.create('policy')
        old = int(time.time() * 1000) - HOUR_MS
        wanted = [connection.produce('policy', batches.build([b'%d' % n], timestamp=old))['error'] for n in range(3)]
        check.equal(wanted, [NONE] * 3, 'produce')

        def delete_records(offset):
            partitions = [{'index': 0, 'offset': offset}]
            answer = connection.call('DeleteRecords', 2, {'topics': [{'name': 'policy', 'partitions': partitions}]})
            return answer['topics'][0]['partitions'][0]['error']
        set_config(connection, TOPIC, 'policy', 'cleanup.policy', 'compact')
        set_config(connection, TOPIC, 'policy', 'retention.ms', '1000')
        check.equal(delete_records(1), POLICY_VIOLATION, 'records of a topic that is only compacted')
        check.equal(len(batches.split(connection.fetch('policy', 0)['records'])), 3, 'what was there can be read')
        set_config(connection, TOPIC, 'policy', 'cleanup.policy', 'compact,delete')
        beginning(connection, 'policy', 3)


def main():
    run = check.Run()
    tests = [function for name, function in globals().items() if name.startswith('test_')]
    run.tests(run.broker(), *tests)
    run.finish()


if __name__ == '__main__':
    main()
