"""A text through python3-confluent-kafka, one record a line, run by text_matrix.py (and by hand):
    confluent_text.py produce BROKERS TOPIC CODEC FILE
    confluent_text.py consume BROKERS TOPIC            partition 0, to stdout"""
import sys

import confluent_kafka

SILENT_S = 120
POLL_S = 0.2


def produce(brokers, topic, codec, path):
    def on_delivery(error, message):
        nonlocal acknowledged
        if error or message.offset() != acknowledged:
            sys.exit(f'not delivered at offset {acknowledged}: {error}')
        acknowledged += 1

    acknowledged = lines = 0
    producer = confluent_kafka.Producer({'bootstrap.servers': brokers, 'acks': 'all', 'compression.type': codec,
                                         'linger.ms': 100, 'queue.buffering.max.messages': 200_000})
    with open(path, 'rb') as file:
        for line in file:
            lines += 1
            while True:
                try:
                    producer.produce(topic, line.removesuffix(b'\n'), partition=0, on_delivery=on_delivery)
                    break
                except BufferError:
                    producer.poll(1)
            producer.poll(0)
    producer.flush(SILENT_S)
    if acknowledged != lines:
        sys.exit(f'{acknowledged} of {lines} lines were acknowledged')


def consume(brokers, topic):
    # librdkafka 2.0.2 rests for a second whenever queued.min.messages are waiting.
    consumer = confluent_kafka.Consumer({'bootstrap.servers': brokers, 'group.id': 'none', 'enable.auto.commit': False,
                                         'enable.partition.eof': True, 'queued.min.messages': 2_000_000})
    start = confluent_kafka.TopicPartition(topic, 0, confluent_kafka.OFFSET_BEGINNING)
    consumer.assign([start])
    expected = silent = 0
    while True:
        messages = consumer.consume(10_000, POLL_S)  # waits so long for the whole ten thousand
        silent = 0 if messages else silent + POLL_S
        if silent > SILENT_S:
            sys.exit('the broker is silent')
        for message in messages:
            if message.error():
                if message.error().code() != confluent_kafka.KafkaError._PARTITION_EOF:
                    sys.exit(str(message.error()))
                consumer.close()
                return
            if message.offset() != expected:
                sys.exit(f'offset {message.offset()} where {expected} was next')
            expected += 1
            sys.stdout.buffer.write(message.value() + b'\n')


if __name__ == '__main__':
    {'produce': produce, 'consume': consume}[sys.argv[1]](*sys.argv[2:])
