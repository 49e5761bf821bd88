#!/usr/bin/python3
"""Kafka's own tools and Java clients, unchanged, against the broker: ctest compat.java_tools. They come from Maven by
name and version (java/pom.xml); where the registry cannot be reached the whole test is reported as skipped, in one
line."""
import fcntl
import pathlib
import re
import shutil

import check
import processes
import registry

HERE = pathlib.Path(__file__).resolve().parent
TOOL_TIMEOUT_S = 240  # a Java machine starts in seconds, on one that does much else in more
NODE = '1'
MEMORY = ('-Xmx512m', '-XX:+UseSerialGC', '-XX:TieredStopAtLevel=1')  # short lives on a small machine


def fetch(build):
    """The folder with the jars; once for a build folder and a pom."""
    for command in ('java', 'mvn'):
        if not shutil.which(command):
            raise check.Skipped(f'{command} is not installed: scripts/setup installs it')
    place, pom = build / 'java-tools', HERE / 'java' / 'pom.xml'
    place.mkdir(exist_ok=True)
    with (place / 'lock').open('w') as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        kept = place / 'pom.xml'
        if kept.exists() and kept.read_bytes() == pom.read_bytes():
            return place / 'jars'
        shutil.rmtree(place / 'jars', ignore_errors=True)
        registry.fetch('Kafka\'s tools', ['mvn', '-B', '-q', '-f', pom, 'dependency:copy-dependencies',
                                          f'-DoutputDirectory={place / "jars"}'])
        shutil.copy(pom, kept)
    return place / 'jars'


class Tools:
    def __init__(self, jars, broker, folder):
        self.jars, self.broker, self.folder = jars, broker, folder

    def run(self, tool, *arguments, bootstrap=True, **options):
        """Standard output of a tool that has to succeed."""
        name = tool if tool.startswith('kafka.') else f'org.apache.kafka.tools.{tool}'
        where = ['--bootstrap-server', self.broker.bootstrap] if bootstrap else []
        command = ['java', *MEMORY, '-cp', f'{self.jars}/*', name, *where, *arguments]
        return processes.run(command, timeout=TOOL_TIMEOUT_S, **options).decode()

    def topic(self, *arguments):
        return self.run('TopicCommand', *arguments)

    def configs(self, *arguments):
        return self.run('kafka.admin.ConfigCommand', *arguments)

    def produce(self, topic, lines, *arguments):
        text = self.folder / 'lines'
        text.write_text(''.join(f'{line}\n' for line in lines))
        with text.open() as file:
            self.run('ConsoleProducer', '--topic', topic, *arguments, stdin=file)

    def consume(self, topic, count, partition=0):
        """By partition and offset, without a group; groups_next.py has those."""
        return self.run('consumer.ConsoleConsumer', '--topic', topic, '--partition', str(partition), '--offset',
                        'earliest', '--max-messages', str(count), '--timeout-ms', '60000').splitlines()


def has(text, pattern, what):
    check.expect(re.search(pattern, text), f'{what}: nothing like {pattern} in {check.short(text, 3000)}')


def test_kafka_broker_api_versions(tools):
    text = tools.run('BrokerApiVersionsCommand')
    has(text, r'Produce\(0\): 0 to 13', 'Produce')
    has(text, r'DescribeTopicPartitions\(75\): 0', 'DescribeTopicPartitions')
    check.expect('UNKNOWN' not in text.replace('UNKNOWN(', ''), f'an API that Kafka does not know: {text}')


def test_kafka_topics(tools):
    tools.topic('--create', '--topic', 'made', '--partitions', '3', '--replication-factor', '1', '--config',
                'retention.ms=60000')
    has(tools.topic('--list'), r'(?m)^made$', '--list')
    text = tools.topic('--describe', '--topic', 'made')
    has(text, r'PartitionCount: 3\s+ReplicationFactor: 1\s+Configs: .*retention\.ms=60000', '--describe')
    check.equal(len(re.findall(r'Partition: \d+\s+Leader: 1\s+Replicas: 1\s+Isr: 1', text)), 3, f'partitions: {text}')
    tools.topic('--alter', '--topic', 'made', '--partitions', '5')
    has(tools.topic('--describe', '--topic', 'made'), r'PartitionCount: 5', '--alter')
    tools.topic('--delete', '--topic', 'made')
    check.expect('made' not in tools.topic('--list').split(), 'the topic is still there')


def test_kafka_configs_of_a_topic(tools):
    tools.topic('--create', '--topic', 'configured', '--partitions', '1')
    where = ('--entity-type', 'topics', '--entity-name', 'configured')
    tools.configs('--alter', *where, '--add-config', 'retention.ms=1000000,cleanup.policy=[delete,compact]')
    text = tools.configs('--describe', *where)
    has(text, r'retention\.ms=1000000 sensitive=false synonyms=\{DYNAMIC_TOPIC_CONFIG:retention\.ms=1000000\}', 'own')
    has(text, r'cleanup\.policy=delete,compact', 'a list')
    tools.configs('--alter', *where, '--delete-config', 'retention.ms')
    text = tools.configs('--describe', *where, '--all')
    has(text, r'retention\.ms=604800000 sensitive=false synonyms=\{\}', 'after --delete-config')
    has(text, r'segment\.bytes=1073741824 sensitive=false synonyms=\{DEFAULT_CONFIG:log\.segment\.bytes=1073741824\}',
        'a default')
    check.equal(len(re.findall(r'synonyms=', text)), 33, 'topic configs')


def test_kafka_configs_of_brokers(tools):
    everyone = ('--entity-type', 'brokers', '--entity-default')
    tools.configs('--alter', *everyone, '--add-config', 'log.retention.ms=7200000')
    has(tools.configs('--describe', *everyone), r'log\.retention\.ms=7200000', 'of all brokers')
    text = tools.configs('--describe', '--entity-type', 'brokers', '--entity-name', NODE, '--all')
    has(text, r'log\.retention\.ms=7200000 sensitive=false synonyms=\{DYNAMIC_DEFAULT_BROKER_CONFIG', 'of this one')
    has(text, r'node\.id=1 sensitive=false synonyms=\{STATIC_BROKER_CONFIG:node\.id=1', 'node.id')
    check.expect(len(re.findall(r'synonyms=', text)) > 330, 'broker configs')
    tools.configs('--alter', *everyone, '--delete-config', 'log.retention.ms')


def test_produce_and_consume_with_the_java_clients(tools):
    """The producer is idempotent by default, the consumer fetches with topic ids; each codec has its own library."""
    for codec in ('none', 'gzip', 'snappy', 'lz4', 'zstd'):
        lines = [f'{codec} line {number}' for number in range(2000)]
        topic = f'lines-{codec}'
        tools.topic('--create', '--topic', topic, '--partitions', '1')
        tools.produce(topic, lines, '--compression-codec', codec)
        check.equal(tools.consume(topic, len(lines)), lines, f'the lines, with {codec}')


def test_line_81_kafka_get_offsets(tools):
    """Behind the one above: its topic has 2000 records."""
    for time, wanted in (('-1', 2000), ('-2', 0), ('-4', 0), ('latest', 2000), ('earliest', 0), ('earliest-local', 0),
                         ('max-timestamp', None)):
        text = tools.run('GetOffsetShell', '--topic', 'lines-none', '--time', time)
        found = re.search(r'^lines-none:0:(\d+)$', text, re.MULTILINE)
        check.expect(found, f'--time {time}: {text}')
        if wanted is not None:
            check.equal(int(found[1]), wanted, f'--time {time}')
    for time in ('-5', '-6', 'latest-tiered', 'earliest-pending-upload'):  # nothing is tiered: no offset, no error
        text = tools.run('GetOffsetShell', '--topic', 'lines-none', '--time', time)
        check.expect(re.fullmatch(r'(lines-none:0:(-1)?\n?)?', text), f'--time {time}: {text!r}')


def test_line_39_kafka_delete_records(tools):
    wish = tools.folder / 'wish.json'
    wish.write_text('{"version": 1, "partitions": [{"topic": "lines-none", "partition": 0, "offset": 1500}]}')
    has(tools.run('DeleteRecordsCommand', '--offset-json-file', str(wish)), r'low_watermark: 1500', 'low watermark')
    has(tools.run('GetOffsetShell', '--topic', 'lines-none', '--time', 'earliest'), r'lines-none:0:1500', 'beginning')
    check.equal(tools.consume('lines-none', 500)[0], 'none line 1500', 'the first line that is left')


def test_line_38_kafka_log_dirs(tools):
    text = tools.run('LogDirsCommand', '--describe', '--topic-list', 'lines-gzip')
    has(text, re.escape(f'"logDir":"{tools.broker.data}"'), 'the data folder')
    has(text, r'"partition":"lines-gzip-0","size":[1-9]\d+,"offsetLag":0,"isFuture":false', 'its partition')


def test_kafka_dump_log_reads_our_segments(tools):
    """What Kafka's own reader says of a .log that this broker wrote, batches and records."""
    tools.broker.stop()
    try:
        segments = [path for path in sorted(tools.broker.data.glob('logs/*/*.log')) if path.stat().st_size > 0]
        check.expect(len(segments) >= 5, f'segments: {segments}')
        records = 0
        for path in segments:
            text = tools.run('kafka.tools.DumpLogSegments', '--files', str(path), '--deep-iteration',
                             '--print-data-log', bootstrap=False)
            has(text, r'baseOffset: 0 lastOffset: \d+ count: \d+ .* isvalid: true', str(path))
            check.expect('isvalid: false' not in text and 'Found bytes' not in text, f'{path}: {text[:2000]}')
            records += len(re.findall(r'^\| offset: \d+ ', text, re.MULTILINE))
        check.expect(records >= 10_000, f'{records} records in all segments')
        return f'{records} records in {len(segments)} segments'
    finally:
        tools.broker.start()


def test_producer_performance(tools):
    tools.topic('--create', '--topic', 'performance', '--partitions', '4')
    text = tools.run('ProducerPerformance', '--topic', 'performance', '--num-records', '200000', '--record-size', '100',
                     '--throughput', '-1', '--command-property', f'bootstrap.servers={tools.broker.bootstrap}',
                     'acks=all', bootstrap=False)
    has(text, r'200000 records sent', 'ProducerPerformance')
    ends = tools.run('GetOffsetShell', '--topic', 'performance', '--time', 'latest')
    check.equal(sum(int(end) for end in re.findall(r':(\d+)$', ends, re.MULTILINE)), 200_000, 'records in the topic')
    return text.splitlines()[-1]


def test_consumer_performance(tools):
    """As a group of its own; behind the one above: its topic has 200,000 records of 100 bytes."""
    text = tools.run('ConsumerPerformance', '--topic', 'performance', '--num-records', '200000', '--timeout', '60000')
    heads, figures = ([word.strip() for word in line.split(',')] for line in text.splitlines()[-2:])
    row = dict(zip(heads, figures))
    check.equal(int(row['data.consumed.in.nMsg']), 200_000, f'records consumed: {text}')
    return f'{row["MB.sec"]} MB/s'


def test_kafka_leader_election_and_reassignment(tools):
    text = tools.run('LeaderElectionCommand', '--election-type', 'preferred', '--topic', 'lines-gzip', '--partition',
                     '0')
    has(text, r'Valid replica already elected for partitions lines-gzip-0', 'election')
    has(tools.run('reassign.ReassignPartitionsCommand', '--list'), r'No partition reassignments found', '--list')


def test_line_102_kafka_transactions(tools):
    has(tools.run('TransactionsCommand', 'list'), r'TransactionalId\s+Coordinator', 'list')
    text = tools.run('TransactionsCommand', 'describe-producers', '--topic', 'performance', '--partition', '0')
    has(text, r'ProducerId\s+ProducerEpoch.*\n\d+\s+\d+', 'describe-producers: the one of ProducerPerformance')


def test_kafka_cluster(tools):
    text = tools.run('ClusterTool', 'cluster-id', '--bootstrap-server', tools.broker.bootstrap, bootstrap=False)
    has(text, r'Cluster ID: [\w-]{22}', 'cluster-id')


def main():
    run = check.Run()
    try:
        jars = fetch(run.build)
    except check.Skipped as why:
        run.skipped.append(str(why))
        run.finish()
    tests = [function for name, function in globals().items() if name.startswith('test_')]
    run.tests(Tools(jars, run.broker(ring_bytes=64 << 20), run.folder), *tests)
    run.finish()


if __name__ == '__main__':
    main()
