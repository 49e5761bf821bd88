"""A member of a next-generation group (group.protocol=consumer) through a current confluent-kafka, run by
groups_next.py:
    next_member.py BROKERS TOPIC GROUP INSTANCE ASSIGNOR     INSTANCE "-": a dynamic member; TOPIC "^...": a pattern
Says each record as "PARTITION OFFSET VALUE", and "assigned ..." with all that it has when that has grown. Commits what
it has said. SIGTERM: leaves."""
import signal
import sys

import confluent_kafka

stopping = False


def stop(*_):
    global stopping
    stopping = True


def main(brokers, topic, group, instance, assignor):
    signal.signal(signal.SIGTERM, stop)
    settings = {'bootstrap.servers': brokers, 'group.id': group, 'group.protocol': 'consumer',
                'group.remote.assignor': assignor, 'enable.auto.commit': False, 'auto.offset.reset': 'earliest',
                'topic.metadata.refresh.interval.ms': 2000}
    if instance != '-':
        settings['group.instance.id'] = instance
    consumer = confluent_kafka.Consumer(settings)
    owned = set()

    def on_assign(asked, partitions):
        owned.update(p.partition for p in partitions)
        asked.incremental_assign(partitions)
        print('assigned', *sorted(owned), flush=True)

    def on_revoke(asked, partitions):
        owned.difference_update(p.partition for p in partitions)
        asked.incremental_unassign(partitions)
        print('revoked', *sorted(p.partition for p in partitions), flush=True)

    consumer.subscribe([topic], on_assign=on_assign, on_revoke=on_revoke, on_lost=on_revoke)
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
