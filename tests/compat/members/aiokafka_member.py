"""A member of a group through aiokafka, run by groups.py as confluent_member.py, and says the same."""
import asyncio
import signal
import sys

import aiokafka
import aiokafka.errors
from aiokafka.coordinator.assignors.range import RangePartitionAssignor
from aiokafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor

ASSIGNORS = {'range': RangePartitionAssignor, 'roundrobin': RoundRobinPartitionAssignor}


class Listener(aiokafka.ConsumerRebalanceListener):
    async def on_partitions_assigned(self, assigned):
        print('assigned', *sorted(p.partition for p in assigned), flush=True)

    async def on_partitions_revoked(self, revoked):
        print('revoked', *sorted(p.partition for p in revoked), flush=True)


async def main(brokers, topic, group, instance, assignor):
    stopping = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopping.set)
    consumer = aiokafka.AIOKafkaConsumer(
        bootstrap_servers=brokers, group_id=group, enable_auto_commit=False, auto_offset_reset='earliest',
        session_timeout_ms=10000, heartbeat_interval_ms=500, metadata_max_age_ms=2000,
        group_instance_id=None if instance == '-' else instance,
        partition_assignment_strategy=[ASSIGNORS[assignor]])
    consumer.subscribe([topic], listener=Listener())
    await consumer.start()
    while not stopping.is_set():
        try:
            polled = await consumer.getmany(timeout_ms=200)
            for records in polled.values():
                for record in records:
                    print(record.partition, record.offset, record.value.decode())
            sys.stdout.flush()
            if polled:
                await consumer.commit()
        except aiokafka.errors.KafkaError as problem:
            print('error', type(problem).__name__, flush=True)
    await consumer.stop()


asyncio.run(main(*sys.argv[1:]))
