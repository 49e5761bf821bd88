"""A member of a group through kafka-python, Debian's or a current one, run by groups.py:
    python_kafka_member.py BROKERS TOPIC GROUP INSTANCE ASSIGNOR     INSTANCE "-": a dynamic member
Says what confluent_member.py says."""
import signal
import sys

import kafka
from kafka.coordinator.assignors.range import RangePartitionAssignor
from kafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor

ASSIGNORS = {'range': RangePartitionAssignor, 'roundrobin': RoundRobinPartitionAssignor}
stopping = False


def stop(*_):
    global stopping
    stopping = True


class Listener(kafka.ConsumerRebalanceListener):
    def on_partitions_assigned(self, assigned):
        print('assigned', *sorted(p.partition for p in assigned), flush=True)

    def on_partitions_revoked(self, revoked):
        print('revoked', *sorted(p.partition for p in revoked), flush=True)


def main(brokers, topic, group, instance, assignor):
    signal.signal(signal.SIGTERM, stop)
    settings = {'bootstrap_servers': brokers, 'group_id': group, 'enable_auto_commit': False,
                'auto_offset_reset': 'earliest', 'session_timeout_ms': 10000, 'heartbeat_interval_ms': 500,
                'partition_assignment_strategy': [ASSIGNORS[assignor]], 'metadata_max_age_ms': 2000,
                'request_timeout_ms': 11000, 'retry_backoff_ms': 100}
    if instance != '-':
        settings['group_instance_id'] = instance
    consumer = kafka.KafkaConsumer(**settings)
    consumer.subscribe([topic], listener=Listener())
    while not stopping:
        try:
            polled = consumer.poll(timeout_ms=200)
            for records in polled.values():
                for record in records:
                    print(record.partition, record.offset, record.value.decode())
            sys.stdout.flush()
            if polled:
                consumer.commit()
        except kafka.errors.KafkaError as problem:
            print('error', type(problem).__name__, flush=True)
    consumer.close()


main(*sys.argv[1:])
