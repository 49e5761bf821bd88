"""A member of a group through python3-confluent-kafka, run by groups.py:
    confluent_member.py BROKERS TOPIC GROUP INSTANCE ASSIGNOR     INSTANCE "-": a dynamic member
Says each record as "PARTITION OFFSET VALUE", and "assigned ..." when the group has assigned. Commits what it has said.
SIGTERM: leaves."""
import signal
import sys

import confluent_kafka

stopping = False


def stop(*_):
    global stopping
    stopping = True


def main(brokers, topic, group, instance, assignor):
    signal.signal(signal.SIGTERM, stop)
    settings = {'bootstrap.servers': brokers, 'group.id': group, 'enable.auto.commit': False,
                'auto.offset.reset': 'earliest', 'session.timeout.ms': 10000, 'heartbeat.interval.ms': 500,
                'partition.assignment.strategy': assignor, 'topic.metadata.refresh.interval.ms': 2000}
    if instance != '-':
        settings['group.instance.id'] = instance
    consumer = confluent_kafka.Consumer(settings)
    cooperative = 'cooperative' in assignor

    def on_assign(asked, partitions):
        print('assigned', *sorted(p.partition for p in partitions), flush=True)
        if cooperative:
            asked.incremental_assign(partitions)

    def on_revoke(asked, partitions):
        print('revoked', *sorted(p.partition for p in partitions), flush=True)
        if cooperative:
            asked.incremental_unassign(partitions)

    consumer.subscribe([topic], on_assign=on_assign, on_revoke=on_revoke)
    while not stopping:
        messages = consumer.consume(500, 0.2)
        said = False
        for message in messages:
            if message.error():
                print('error', message.error().name(), flush=True)
                continue
            print(message.partition(), message.offset(), message.value().decode())
            said = True
        sys.stdout.flush()
        if said:
            try:
                consumer.commit(asynchronous=False)
            except confluent_kafka.KafkaException as problem:
                print('error', problem.args[0].name(), flush=True)
    consumer.close()


main(*sys.argv[1:])
