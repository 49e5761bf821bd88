"""A text through python3-kafka, one record a line, run by text_matrix.py (and by hand):
    python_kafka_text.py produce BROKERS TOPIC CODEC FILE
    python_kafka_text.py consume BROKERS TOPIC            partition 0, to stdout"""
import sys

import kafka

SILENT_S = 120


def produce(brokers, topic, codec, path):
    futures = []
    producer = kafka.KafkaProducer(bootstrap_servers=brokers, acks='all', linger_ms=100, batch_size=200_000,
                                   compression_type=None if codec == 'none' else codec,
                                   max_in_flight_requests_per_connection=1, max_block_ms=SILENT_S * 1000)
    with open(path, 'rb') as file:
        for line in file:
            futures.append(producer.send(topic, line.removesuffix(b'\n'), partition=0))
    producer.flush(SILENT_S)
    for offset, future in enumerate(futures):
        if future.get(0).offset != offset:
            sys.exit(f'line {offset} was acknowledged at offset {future.get(0).offset}')
    producer.close()


def consume(brokers, topic):
    consumer = kafka.KafkaConsumer(bootstrap_servers=brokers, group_id=None, enable_auto_commit=False,
                                   consumer_timeout_ms=SILENT_S * 1000, max_partition_fetch_bytes=8 << 20)
    partition = kafka.TopicPartition(topic, 0)
    consumer.assign([partition])
    consumer.seek_to_beginning(partition)
    end = consumer.end_offsets([partition])[partition]
    expected = 0
    while expected < end:
        message = next(consumer)
        if message.offset != expected:
            sys.exit(f'offset {message.offset} where {expected} was next')
        expected += 1
        sys.stdout.buffer.write(message.value + b'\n')
    consumer.close()


if __name__ == '__main__':
    {'produce': produce, 'consume': consume}[sys.argv[1]](*sys.argv[2:])
