#!/usr/bin/python3
"""What clients cost a broker: CPU for each GB that librdkafka produces in batches and consumes once, requests of single
records from a hundred producers, memory of idle connections, connections opened and closed, one lcore against two.
Reports medians of rounds with their spread, and asserts nothing.

    scripts/measure/clients.py [--build build/release] [--only cpu,small,idle,churn,lcores] [--rounds 5]
                               [--gigabytes 1] [--idle 5000] [--json FILE]

Everything runs on this machine, beside the load. CPU seconds are the broker's own, user and kernel together; what the
kernel does for loopback in softirq it charges to whoever runs then, most often the sender."""
import resource
import socket
import subprocess
import time

from common import LOAD_TIMEOUT_S, parser_for, run

import processes
import wire

GB = 1e9
RECORD_BYTES = 1024
SMALL_BYTES, SMALL_PRODUCERS, SMALL_S = 100, 100, 5
CHURN_S, CHURN_RATE = 10, 500
LCORES_S = 4
FILES_SPARE = 500


def arguments():
    parser = parser_for(__doc__, MEASURES)
    parser.add_argument('--rounds', type=int, default=5)
    parser.add_argument('--gigabytes', type=float, default=1)
    parser.add_argument('--idle', type=int, default=5000)
    return parser.parse_args()


def measure_cpu(machine):
    """librdkafka's C client with its own batching (linger 5 ms), idempotent, acks=all; then each byte once to one."""
    lines = int(machine.args.gigabytes * GB / RECORD_BYTES)
    text = machine.folder / 'records'
    with text.open('wb') as file:
        for number in range(lines):
            file.write(b'%0*d\n' % (RECORD_BYTES, number))
    client = machine.build / 'tests' / 'compat' / 'rdkafka_text'
    produced, consumed = [], []
    for round_number in range(machine.args.rounds):
        broker = machine.broker()
        broker.start()
        broker.create_topic('text')
        gigabytes = lines * RECORD_BYTES / GB
        before = broker.cpu_seconds()
        processes.run([client, 'produce', broker.bootstrap, 'text', text, 'linger.ms=5'], timeout=LOAD_TIMEOUT_S)
        between = broker.cpu_seconds()
        with open('/dev/null', 'wb') as sink:
            subprocess.run([client, 'consume', broker.bootstrap, 'text'], stdout=sink, check=True,
                           timeout=LOAD_TIMEOUT_S)
        after = broker.cpu_seconds()
        produced.append((between - before) / gigabytes)
        consumed.append((after - between) / gigabytes)
        broker.stop()
        broker.remove()
        print(f'  round {round_number + 1}: {produced[-1]:.2f} s/GB produced, {consumed[-1]:.2f} s/GB consumed',
              flush=True)
    text.unlink()
    machine.figures.add('librdkafka, 1 KiB records batched, produced: broker CPU', produced, 's/GB')
    machine.figures.add('the same consumed once: broker CPU', consumed, 's/GB')
    machine.figures.add('together', [p + c for p, c in zip(produced, consumed)], 's/GB')


def measure_small(machine):
    """A hundred producers, one record of 100 bytes a request, five requests in flight: what does not batch."""
    rates, p50s, p99s, cpus = [], [], [], []
    broker = machine.broker()
    broker.start()
    for _ in range(machine.args.rounds):
        before = broker.cpu_seconds()
        result = machine.bench(broker, 'produce', '--topic', 'small', '--partitions', 8, '--connections',
                               SMALL_PRODUCERS, '--record-bytes', SMALL_BYTES, '--batch-records', 1, '--duration',
                               f'{SMALL_S}s')
        rates.append(result['requests'] / result['seconds'])
        p50s.append(result['latency_us']['p50'])
        p99s.append(result['latency_us']['p99'])
        cpus.append((broker.cpu_seconds() - before) / result['requests'] * 1e6)
    machine.figures.add('100 producers, one record of 100 B a request', rates, 'requests/s', 0)
    machine.figures.add('their p50', p50s, 'us', 0)
    machine.figures.add('their p99', p99s, 'us', 0)
    machine.figures.add('broker CPU a request', cpus, 'us')
    load = [broker.program, 'bench', 'produce', '--bootstrap', broker.bootstrap, '--topic', 'small', '--connections',
            SMALL_PRODUCERS, '--record-bytes', SMALL_BYTES, '--batch-records', 1, '--duration', f'{SMALL_S}s',
            '--quiet']
    machine.profile(broker.process.pid, load, SMALL_S - 2)
    broker.stop()
    broker.remove()


def measure_idle(machine):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = machine.args.idle + FILES_SPARE
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), max(hard, wanted)))
    broker = machine.broker(**{'max_connections': machine.args.idle + FILES_SPARE})
    broker.start()
    with broker.connect() as first:
        first.call('ApiVersions', 3)
    before = broker.resident_bytes()
    peers = []
    for _ in range(machine.args.idle):
        peer = wire.Connection(broker.address)
        peer.call('ApiVersions', 3)
        peers.append(peer)
    time.sleep(1)
    machine.figures.add(f'{machine.args.idle} idle connections, each has asked once: memory of the broker',
                        [(broker.resident_bytes() - before) / 1e6], 'MB', 1)
    for peer in peers:
        peer.socket.close()
    broker.stop()
    broker.remove()


def measure_churn(machine):
    """Opened, asked one thing, closed: at a fixed rate, each due at its moment."""
    broker = machine.broker()
    broker.start()
    request = wire.frame(wire.encode_request('ApiVersions', 3))
    before, began, late, times = broker.cpu_seconds(), time.monotonic(), 0, []
    total = CHURN_RATE * CHURN_S
    for number in range(total):
        due = began + number / CHURN_RATE
        wait = due - time.monotonic()
        if wait > 0:
            time.sleep(wait)
        with socket.create_connection(broker.address, timeout=10) as peer:
            peer.sendall(request)
            assert peer.recv(65536), 'no answer'
        times.append(time.monotonic() - due)
        late += time.monotonic() > due + 1 / CHURN_RATE
    seconds = time.monotonic() - began
    times.sort()
    machine.figures.add(f'connections opened, asked and closed at {CHURN_RATE}/s', [total / seconds], '/s', 0)
    machine.figures.add('from due to answered: p50', [times[len(times) // 2] * 1e6], 'us', 0)
    machine.figures.add('from due to answered: p99', [times[len(times) * 99 // 100] * 1e6], 'us', 0)
    machine.figures.add('broker CPU a connection', [(broker.cpu_seconds() - before) / total * 1e6], 'us', 0)
    broker.stop()
    broker.remove()


def measure_lcores(machine):
    """The same load on one lcore and on two, in turns: A B B A."""
    brokers = {}
    for lcores in (1, 2):
        brokers[lcores] = machine.broker(penstock_lcores=lcores)
        brokers[lcores].start()
    loads = {'64 KiB batches': ('--record-bytes', RECORD_BYTES, '--batch-bytes', '64KiB', '--connections', 4),
             'single 100-byte records': ('--record-bytes', SMALL_BYTES, '--batch-records', 1, '--connections', 16)}
    for name, words in loads.items():
        rates = {1: [], 2: []}
        for round_number in range(machine.args.rounds):
            for lcores in (1, 2) if round_number % 2 == 0 else (2, 1):
                result = machine.bench(brokers[lcores], 'produce', '--topic', 'both', '--partitions', 8, *words,
                                       '--duration', f'{LCORES_S}s')
                rates[lcores].append(result['records'] / result['seconds'])
        machine.figures.add(f'{name}: two lcores against one, records/s',
                            [two / one for one, two in zip(rates[1], rates[2])], 'times')
    for one in brokers.values():
        one.stop()
        one.remove()


MEASURES = {'cpu': measure_cpu, 'small': measure_small, 'idle': measure_idle, 'churn': measure_churn,
            'lcores': measure_lcores}


if __name__ == '__main__':
    run(arguments(), MEASURES)
