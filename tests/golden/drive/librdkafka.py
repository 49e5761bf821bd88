"""librdkafka through confluent-kafka: producers, both group protocols, the admin client. argv: HOST:PORT."""
import sys

from confluent_kafka import Consumer, ConsumerGroupTopicPartitions, Producer, TopicPartition
from confluent_kafka.admin import (AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, NewPartitions, NewTopic,
                                   OffsetSpec, ResourceType)

BROKER = sys.argv[1]


def attempt(what, futures):
    """Asks, and does not mind the answer: the broker is of cardboard."""
    for future in futures.values() if isinstance(futures, dict) else [futures]:
        try:
            future.result(5)
        except Exception as error:  # what a refusal looks like differs by call
            print(what, error)


for settings in ({}, {"enable.idempotence": True}, {"compression.type": "zstd"}):
    producer = Producer({"bootstrap.servers": BROKER, "client.id": "golden", **settings})
    producer.produce("golden", b"value", b"key", headers={"name": b"text", "null": None})
    producer.flush(5)

producer = Producer({"bootstrap.servers": BROKER, "transactional.id": "golden-tx"})
producer.init_transactions(5)
producer.begin_transaction()
producer.produce("golden", b"in a transaction", partition=0)
consumer = Consumer({"bootstrap.servers": BROKER, "group.id": "golden-tx-group"})
producer.send_offsets_to_transaction([TopicPartition("golden", 0, 1)], consumer.consumer_group_metadata(), 5)
producer.commit_transaction(5)

for settings in ({"group.instance.id": "static-1"}, {"group.protocol": "consumer"},
                 {"isolation.level": "read_committed"}):
    consumer = Consumer({"bootstrap.servers": BROKER, "group.id": "golden-group", "auto.offset.reset": "earliest",
                         "client.rack": "rack-a", **settings})
    consumer.subscribe(["golden"])
    for _ in range(8):
        consumer.poll(0.5)
    consumer.commit(offsets=[TopicPartition("golden", 0, 1, "metadata")], asynchronous=False)
    consumer.close()

admin = AdminClient({"bootstrap.servers": BROKER})
attempt("create", admin.create_topics([NewTopic("made", 1, 1, config={"retention.ms": "1000"})]))
attempt("partitions", admin.create_partitions([NewPartitions("made", 2)]))
attempt("delete", admin.delete_topics(["made"]))
attempt("configs", admin.describe_configs([ConfigResource(ResourceType.TOPIC, "golden")]))
entry = ConfigEntry("retention.ms", "1000", incremental_operation=AlterConfigOpType.SET)
changed = ConfigResource(ResourceType.TOPIC, "golden", incremental_configs=[entry])
attempt("alter", admin.incremental_alter_configs([changed]))
attempt("groups", admin.list_consumer_groups())
attempt("group", admin.describe_consumer_groups(["golden-group"]))
attempt("cluster", admin.describe_cluster())
attempt("offsets", admin.list_offsets({TopicPartition("golden", 0): OffsetSpec.max_timestamp()}))
attempt("group offsets", admin.list_consumer_group_offsets([ConsumerGroupTopicPartitions("golden-group")]))
attempt("delete records", admin.delete_records([TopicPartition("golden", 0, 1)]))
attempt("delete groups", admin.delete_consumer_groups(["golden-group"]))
