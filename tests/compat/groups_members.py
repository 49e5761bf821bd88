"""The clients that groups.py makes members of groups of: how each is started."""
import clients

MEMBERS = clients.HERE / 'members'


class Kcat:
    """kcat -G commits by itself when the group assigns anew, and else each five seconds, which cannot be set: -X sets a
    topic's interval of the same name, and groups do not look at that. So who is killed leaves much to be read again."""
    has_static_members = False

    def __init__(self):
        self.name = 'kcat'

    def command(self, brokers, topic, group, _instance):
        return (['kcat', '-b', brokers, '-G', group, '-E', '-u', '-q', '-f', '%p %o %s\\n',
                 '-X', 'auto.offset.reset=earliest', '-X', 'session.timeout.ms=10000',
                 '-X', 'heartbeat.interval.ms=500', topic], {})


class Program:
    def __init__(self, name, command, assignor, has_static_members=True, env=None):
        self.name, self.start, self.assignor, self.env = name, command, assignor, env or {}
        self.has_static_members = has_static_members

    def command(self, brokers, topic, group, instance):
        return [*self.start, brokers, topic, group, instance, self.assignor], self.env


class FromRegistry:
    """A Python library of a pinned version in a folder of its own."""

    def __init__(self, build, name, requirement, script, assignor, has_static_members):
        self.name, self.build, self.requirement, self.script = name, build, requirement, script
        self.assignor, self.has_static_members = assignor, has_static_members

    def command(self, brokers, topic, group, instance):
        place = clients.install_python(self.build, self.requirement)
        return ([clients.PYTHON, MEMBERS / self.script, brokers, topic, group, instance, self.assignor],
                {'PYTHONPATH': str(place)})


class KafkaJs(Program):
    def __init__(self, build):
        super().__init__('kafkajs', ['node', MEMBERS / 'kafkajs_member.js'], '-', False)
        self.build = build

    def command(self, brokers, topic, group, instance):
        self.env = {'PENSTOCK_KAFKAJS': str(clients.install_kafkajs(self.build))}
        return super().command(brokers, topic, group, instance)


def all_kinds(build):
    rdkafka = build / 'tests' / 'compat' / 'rdkafka_member'
    confluent = [clients.PYTHON, MEMBERS / 'confluent_member.py']
    python_kafka = [clients.PYTHON, MEMBERS / 'python_kafka_member.py']
    return [Kcat(), Program('librdkafka', [rdkafka], 'range'),
            Program('librdkafka-cooperative', [rdkafka], 'cooperative-sticky'),
            Program('confluent', confluent, 'roundrobin'), Program('python-kafka', python_kafka, 'range', False),
            KafkaJs(build),
            FromRegistry(build, 'aiokafka', 'aiokafka==0.14.0', 'aiokafka_member.py', 'range', True),
            FromRegistry(build, 'kafka-python', 'kafka-python==3.0.12', 'python_kafka_member.py', 'range', True)]
