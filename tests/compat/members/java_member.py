"""Kafka's own console consumer as a member of a group, run by groups_next.py:
    java_member.py JARS BROKERS TOPIC GROUP PROTOCOL     PROTOCOL: consumer or classic
Says each record as "PARTITION OFFSET VALUE". It commits by itself, each half second. SIGTERM: leaves."""
import re
import signal
import subprocess
import sys

RECORD = re.compile(r'Partition:(\d+)\tOffset:(\d+)\t(.*)')


def main(jars, brokers, topic, group, protocol):
    command = ['java', '-Xmx256m', '-XX:+UseSerialGC', '-XX:TieredStopAtLevel=1', '-cp', f'{jars}/*',
               'org.apache.kafka.tools.consumer.ConsoleConsumer', '--bootstrap-server', brokers, '--topic', topic,
               '--group', group, '--formatter-property', 'print.partition=true', '--formatter-property',
               'print.offset=true']
    for setting in (f'group.protocol={protocol}', 'auto.offset.reset=earliest', 'auto.commit.interval.ms=500'):
        command += ['--command-property', setting]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True) as java:
        signal.signal(signal.SIGTERM, lambda *_: java.terminate())
        for line in java.stdout:
            record = RECORD.fullmatch(line.rstrip('\n'))
            print(*(record.groups() if record else ('said', line.strip())), flush=True)


main(*sys.argv[1:])
