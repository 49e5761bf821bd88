#!/usr/bin/python3
"""What the log costs an acknowledgement: beside raw durable writes, over 10,000 partitions beside one, and while
retention, roll and a reader of cold segments work. Blocks of both sides alternate; medians of blocks with their spread.
Reports, and asserts nothing.

    scripts/measure/log.py [--build build/release] [--only ack,partitions,busy] [--blocks 20] [--json FILE]"""
import json
import statistics
import subprocess
import time

from common import LOAD_TIMEOUT_S, parser_for, run

import processes

ACK_RATE = 200  # records a second, one a batch; a block has 500
ACK_BLOCK = '2500ms'
RECORD_BYTES = 1024
MANY = 10_000
MANY_RATE, BUSY_RATE = 2_000, 2_000  # requests a second
BLOCK_S = 4
SEGMENT_BYTES = 4 << 20
COLD_BYTES = 512 << 20
FEED_RATE = '20MB'


def arguments():
    parser = parser_for(__doc__, MEASURES)
    parser.add_argument('--blocks', type=int, default=20)
    return parser.parse_args()


def ratios(figures, name, upper, lower):
    figures.add(name, [a / b for a, b in zip(upper, lower)], 'times')


def measure_ack(machine):
    """`bench latency` alternates blocks of acks and of raw durable writes on one schedule. With an lcore that sleeps
    without work, as is the default, and with one that spins, as on an appliance."""
    for strategy in ('adaptive', 'spin'):
        broker = machine.broker(penstock_idle_strategy=strategy)
        broker.start()
        result = broker.folder / 'latency.json'
        subprocess.run([str(word) for word in (
            broker.program, 'bench', 'latency', '--bootstrap', broker.bootstrap, '--rate', ACK_RATE, '--record-bytes',
            RECORD_BYTES, '--rounds', machine.args.blocks, '--block', ACK_BLOCK, '--disk', broker.folder, '--quiet',
            '--json', result)], check=True, stdout=subprocess.DEVNULL, timeout=LOAD_TIMEOUT_S)
        broker.stop()
        add_blocks(machine.figures, strategy, json.loads(result.read_text())['result']['blocks'])
        broker.remove()


def add_blocks(figures, strategy, blocks):
    of = {kind: {p: [b[f'{p}_us'] for b in blocks if b['kind'] == kind] for p in ('p50', 'p99')}
          for kind in ('ack', 'disk')}
    for p in ('p50', 'p99'):
        figures.add(f'{strategy}: ack, {p} of a block', of['ack'][p], 'us', 0)
        figures.add(f'{strategy}: raw durable write, {p} of a block', of['disk'][p], 'us', 0)
        ratios(figures, f'{strategy}: ack / raw write, {p}, block by block', of['ack'][p], of['disk'][p])
        raw = of['disk'][p]
        ratios(figures, f'{strategy}: raw / raw, {p}, each block and the next', raw[::2], raw[1::2])


def offered(machine, broker, topic, partitions, rate):
    result = machine.bench(broker, 'produce', '--topic', topic, '--partitions', partitions, '--record-bytes',
                           RECORD_BYTES, '--batch-records', 1, '--connections', 4, '--in-flight', 20, '--rate', rate,
                           '--duration', f'{BLOCK_S}s', '--warmup', '500ms')
    return result['latency_us']


def measure_partitions(machine):
    broker = machine.broker()
    broker.start()
    one, many = [], []
    offered(machine, broker, 'many', MANY, MANY_RATE)  # makes the topic
    for block in range(machine.args.blocks):
        for topic, partitions, into in (('one', 1, one), ('many', MANY, many))[::1 if block % 2 else -1]:
            into.append(offered(machine, broker, topic, partitions, MANY_RATE)['p99'])
    broker.stop()
    broker.remove()
    machine.figures.add(f'{MANY_RATE} acks/s to one partition: p99 of a block', one, 'us', 0)
    machine.figures.add(f'the same over {MANY} partitions', many, 'us', 0)
    ratios(machine.figures, 'many / one, p99, block by block', many, one)


class Busyness:
    """A topic that is written at a steady rate, rolls each few MiB and lets old segments go, and one that a consumer
    reads from the drive, again and again."""

    def __init__(self, broker):
        bench = [broker.program, 'bench']
        common = ['--bootstrap', broker.bootstrap, '--quiet']
        quiet = {'stdout': subprocess.DEVNULL, 'stderr': subprocess.DEVNULL}
        self.running = [
            processes.start([*bench, 'produce', *common, '--topic', 'rolling', '--rate', FEED_RATE, '--batch-bytes',
                             '64KiB', '--duration', f'{BLOCK_S + 3}s'], **quiet),
            processes.start([*bench, 'consume', *common, '--topic', 'cold', '--loop', '--duration', f'{BLOCK_S + 3}s'],
                            **quiet)]
        time.sleep(1)

    def end(self):
        for process in self.running:
            processes.wait(process, LOAD_TIMEOUT_S)


def measure_busy(machine):
    broker = machine.broker(ring_mib=64, log_retention_check_interval_ms=500, penstock_read_cache_bytes=8 << 20)
    broker.start()
    create = [broker.program, 'topic', 'create', '--bootstrap', broker.bootstrap]
    processes.run([*create, 'rolling', '--config', f'segment.bytes={SEGMENT_BYTES}', '--config',
                   f'retention.bytes={SEGMENT_BYTES * 4}'])
    machine.bench(broker, 'produce', '--topic', 'cold', '--batch-bytes', '64KiB', '--count',
                  COLD_BYTES // RECORD_BYTES)
    quiet, busy = [], []
    for block in range(machine.args.blocks):
        for loud in (False, True) if block % 2 else (True, False):
            others = Busyness(broker) if loud else None
            (busy if loud else quiet).append(offered(machine, broker, 'acks', 1, BUSY_RATE)['p99_9'])
            if others:
                others.end()
    moved = broker.metrics()
    broker.stop()
    broker.remove()
    machine.figures.add(f'{BUSY_RATE} acks/s and nothing else: p99.9 of a block', quiet, 'us', 0)
    machine.figures.add('the same with retention, roll and a cold reader', busy, 'us', 0)
    ratios(machine.figures, 'busy / quiet, p99.9, block by block', busy, quiet)
    machine.figures.add('ratio of the medians', [statistics.median(busy) / statistics.median(quiet)], 'times')
    print(f'  meanwhile: {moved["segments_rolled_total"]:.0f} segments rolled, {moved["retention_trims_total"]:.0f} '
          f'trimmed by retention, {moved["bytes_fetched_total"] / 1e9:.1f} GB read', flush=True)


MEASURES = {'ack': measure_ack, 'partitions': measure_partitions, 'busy': measure_busy}

if __name__ == '__main__':
    run(arguments(), MEASURES)
