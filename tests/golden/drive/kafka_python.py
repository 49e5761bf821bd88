"""kafka-python: producer, group consumer, admin. argv: HOST:PORT."""
import sys

from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer
from kafka.admin import NewTopic

BROKER = sys.argv[1]

producer = KafkaProducer(bootstrap_servers=BROKER, acks="all", compression_type="gzip")
producer.send("golden", b"value", b"key", headers=[("name", b"text")]).get(5)
producer.close(5)
consumer = KafkaConsumer("golden", bootstrap_servers=BROKER, group_id="golden-group", auto_offset_reset="earliest",
                         consumer_timeout_ms=3000)
print(sum(1 for _ in consumer), "records")
consumer.commit()
consumer.close()
admin = KafkaAdminClient(bootstrap_servers=BROKER)
admin.create_topics([NewTopic("made", 1, 1)])
admin.delete_topics(["made"])
# Version 3 renamed these two.
(getattr(admin, "list_consumer_groups", None) or admin.list_groups)()
(getattr(admin, "describe_consumer_groups", None) or admin.describe_groups)(["golden-group"])
admin.close()
