#!/usr/bin/python3
"""Our own TCP past the kernel beside the kernel's, by turns in one run: (a) requests of 128 bytes and (b) bytes one way
between two processes without a broker (bench/echo_load), and with both of our sides in one (echo_ring); (c) produce
with acks=all and consume through a broker. Ours goes over net_memif, shared memory of two processes, with ordinary
memory, over vhost-user, which needs huge pages, or over net_ring; the kernel's over its loopback, through io_uring.
Reports medians of rounds with their spread and of the rounds' ratios, and asserts nothing.

    scripts/measure/nic.py [--build build/release] [--only echo,half,bulk,ring,vhost,broker,latency,profile]
                           [--rounds 5] [--seconds 2] [--connections 64] [--json FILE]

Two cores are taken, one for each side; both sides of our TCP poll all of their time, and so do both of echo_load's
kernel. CPU seconds are the processes' own, user and kernel together: what the kernel does for loopback is in them."""
import collections
import contextlib
import json
import os
import pathlib
import signal
import statistics
import subprocess
import sys

from common import parser_for, run

import processes

MESSAGE = 128
ENDS_WITHIN_S = 60
PORT = 7777
BULK_CONNECTIONS = (1, 4)
KINDS = ('kernel', 'memif')
RECORD_BYTES, BATCH_BYTES, PRODUCERS, PARTITIONS = 1024, '64KiB', 4, 4
SMALL_BYTES, SMALL_PRODUCERS = 100, 32
SMALL = 'produce, one record of 100 B a request'
RATE_PARTS = (2, 4)
FILL_RECORDS = 200_000  # of 1 KiB: the ring's memory holds them
LATENCY_RATE = 200
RING_MIB = 512
GB = 1e9
VHOST_HUGE_MIB = 1400
# Of net_ring, MTU and whether there are checksums: an Ethernet's; jumbo frames; and as the kernel's loopback, without.
WIRES = {'net_ring, MTU 1500': (1500, 1), 'net_ring, MTU 9000': (9000, 1),
         'net_ring, MTU 9000, no checksums': (9000, 0), 'net_ring, MTU 64000, no checksums': (64_000, 0)}


def arguments():
    parser = parser_for(__doc__, MEASURES)
    parser.add_argument('--rounds', type=int, default=5)
    parser.add_argument('--seconds', type=int, default=2, help='of each block')
    parser.add_argument('--connections', type=int, default=64, help='of echo and half')
    return parser.parse_args()


def in_turns(rounds):
    """A B B A: what drifts on the machine drifts through both."""
    for number in range(rounds):
        yield from KINDS if number % 2 == 0 else reversed(KINDS)


def ratios(values, one, by):
    return [a / b for a, b in zip(values[one], values[by])]


class Pair:
    """A server of echo_load and its client, each on a core of its own."""

    def __init__(self, machine, kind, role):
        self.program = machine.build / 'bench' / 'echo_load'
        self.cpus = sorted(os.sched_getaffinity(0))
        machine.count += 1
        if kind == 'kernel':
            # The port before has connections in TIME-WAIT.
            server = self.client = f'kernel:{PORT + machine.count}'
        elif kind == 'vhost':
            socket = f'{machine.folder}/vhost-{machine.count}'
            server = f'net_vhost,iface={socket},address=10.78.0.1/24'
            self.client = f'net_virtio_user,path={socket},queues=1,address=10.78.0.2/24,connect=10.78.0.1'
        else:
            cable = f'net_memif,socket={machine.folder}/wire-{machine.count},socket-abstract=no'
            server = f'{cable},role=server,address=10.78.0.1/24'
            self.client = f'{cable},role=client,address=10.78.0.2/24,connect=10.78.0.1'
        self.process = processes.start(['taskset', '-c', self.cpus[0], self.program, role, server],
                                       stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert self.process.stdout.readline() == 'ready\n', 'the server does not start'

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.process.stdout.close()
        self.process.stderr.close()

    def run(self, role, **options):
        """What the client counted, and the server's CPU and bytes."""
        words = [word for name, value in options.items() for word in (f'--{name}', value)]
        said = processes.run(['taskset', '-c', self.cpus[-1], self.program, role, self.client, *words])
        out, errors = self.process.communicate(timeout=ENDS_WITHIN_S)
        assert self.process.returncode == 0, f'the server ended with {self.process.returncode}: {errors}'
        result, server = json.loads(said.splitlines()[-1]), json.loads(out.splitlines()[-1])
        result['rate'] = result['requests'] / result['seconds']
        result['gigabytes'] = server['bytes'] / GB
        result['cpu'] = result['cpu_seconds'] + server['cpu_seconds']
        return result


def measure_echo(machine):
    """(a) One request at a time on each connection: as many as go; on all connections, and on one alone."""
    for connections in (machine.args.connections, 1):
        found = {kind: [] for kind in KINDS}
        for kind in in_turns(machine.args.rounds):
            with Pair(machine, kind, 'echo') as pair:
                found[kind].append(pair.run('ask', connections=connections, message=MESSAGE,
                                            seconds=machine.args.seconds))
        name = f'echo of {MESSAGE} B, {connections} connection(s)'
        rates = {kind: [result['rate'] / 2 for result in found[kind]] for kind in KINDS}
        for kind in KINDS:
            machine.figures.add(f'{name}, {kind}: requests a core', rates[kind], '/s', 0)
            machine.figures.add(f'{name}, {kind}: p99', [result['p99_us'] for result in found[kind]], 'us', 1)
        machine.figures.add(f'{name}: memif by kernel, requests a core', ratios(rates, 'memif', 'kernel'), 'times')
        if connections > 1:
            machine.capacity = 2 * statistics.median(rates['kernel'])


def idle(machine, rate):
    """A thread on each of the two cores that only looks at the clock."""
    cpus = sorted(os.sched_getaffinity(0))
    program = machine.build / 'bench' / 'echo_load'
    both = [processes.start(['taskset', '-c', cpu, program, 'idle', 'nothing:', '--rate', rate, '--seconds',
                             machine.args.seconds], stdout=subprocess.PIPE, text=True) for cpu in (cpus[0], cpus[-1])]
    return [json.loads(process.communicate(timeout=ENDS_WITHIN_S)[0]) for process in both]


def measure_half(machine):
    """(a) Both at half of what the kernel did (`echo` first), open loop; and how late the machine itself is by then."""
    rate = int(machine.capacity / 2)
    alone = [result for _ in range(machine.args.rounds) for result in idle(machine, rate)]
    for percentile, name in (('p99_us', 'p99'), ('p999_us', 'p99.9')):
        machine.figures.add(f'nothing at {rate}/s, open loop: {name}', [result[percentile] for result in alone], 'us',
                            1)
    found = {kind: [] for kind in KINDS}
    for kind in in_turns(machine.args.rounds):
        with Pair(machine, kind, 'echo') as pair:
            found[kind].append(pair.run('ask', connections=machine.args.connections, message=MESSAGE, rate=rate,
                                        seconds=machine.args.seconds))
    for percentile, name in (('p50_us', 'p50'), ('p99_us', 'p99'), ('p999_us', 'p99.9')):
        values = {kind: [result[percentile] for result in found[kind]] for kind in KINDS}
        for kind in KINDS:
            machine.figures.add(f'echo at {rate}/s, open loop, {kind}: {name}', values[kind], 'us', 1)
        machine.figures.add(f'echo at {rate}/s: {name}, kernel by memif', ratios(values, 'kernel', 'memif'), 'times')


def measure_bulk(machine):
    """(b) 64 KiB at a time, as many as go, to a sink."""
    for connections in BULK_CONNECTIONS:
        rates, a_second = ({kind: [] for kind in KINDS} for _ in range(2))
        for kind in in_turns(machine.args.rounds):
            with Pair(machine, kind, 'sink') as pair:
                result = pair.run('stream', connections=connections, seconds=machine.args.seconds)
                rates[kind].append(result['gigabytes'] / result['seconds'])
                a_second[kind].append(result['gigabytes'] / result['cpu'])
        name = f'one way, {connections} connection(s)'
        for kind in KINDS:
            machine.figures.add(f'{name}, {kind}', rates[kind], 'GB/s')
            machine.figures.add(f'{name}, {kind}: for a CPU second', a_second[kind], 'GB')
        machine.figures.add(f'{name}: memif by kernel, for a CPU second', ratios(a_second, 'memif', 'kernel'), 'times')


def free_huge_page_mib():
    """Of all sizes: /sys/kernel/mm/hugepages/hugepages-2048kB and its neighbours."""
    return sum(int(kind.name.split('-')[1].removesuffix('kB')) * int((kind / 'free_hugepages').read_text()) // 1024
               for kind in pathlib.Path('/sys/kernel/mm/hugepages').iterdir())


def measure_vhost(machine):
    """(a) and (b) over vhost-user: net_vhost and net_virtio_user, which needs huge pages."""
    if free_huge_page_mib() < VHOST_HUGE_MIB:
        print(f'vhost-user is left out: {VHOST_HUGE_MIB} MiB of huge pages are to be free (sysctl vm.nr_hugepages)',
              flush=True)
        return
    requests, a_second = ({kind: [] for kind in ('kernel', 'vhost')} for _ in range(2))
    for number in range(machine.args.rounds):
        for kind in ('kernel', 'vhost') if number % 2 == 0 else ('vhost', 'kernel'):
            with Pair(machine, kind, 'echo') as pair:
                result = pair.run('ask', connections=machine.args.connections, message=MESSAGE,
                                  seconds=machine.args.seconds)
                requests[kind].append(result['rate'] / 2)
            with Pair(machine, kind, 'sink') as pair:
                result = pair.run('stream', connections=1, seconds=machine.args.seconds)
                a_second[kind].append(result['gigabytes'] / result['cpu'])
    for kind, values in requests.items():
        machine.figures.add(f'echo of {MESSAGE} B, {kind}: requests a core', values, '/s', 0)
        machine.figures.add(f'one way, {kind}: for a CPU second', a_second[kind], 'GB')
    machine.figures.add('echo: vhost-user by kernel, requests a core', ratios(requests, 'vhost', 'kernel'), 'times')
    machine.figures.add('one way: vhost-user by kernel, for a CPU second', ratios(a_second, 'vhost', 'kernel'), 'times')


def ring(machine, role, connections, mtu, checksums):
    """Both sides on one core, over net_ring."""
    words = ['--connections', connections, '--mtu', mtu, '--checksums', checksums, '--seconds', machine.args.seconds]
    core = sorted(os.sched_getaffinity(0))[-1]
    out = processes.run(['taskset', '-c', core, machine.build / 'bench' / 'echo_ring', role, *words])
    said = json.loads(out.splitlines()[-1])
    return said | {'cpu': said['cpu_seconds'], 'gigabytes': said['bytes'] / GB}


def measure_ring(machine):
    """(a) and (b) once more: our TCP on one core with both of its sides, beside the kernel's on two. One way also by
    the wires of WIRES."""
    asked, sent = collections.defaultdict(list), collections.defaultdict(list)

    def kernel():
        with Pair(machine, 'kernel', 'echo') as pair:
            result = pair.run('ask', connections=machine.args.connections, message=MESSAGE,
                              seconds=machine.args.seconds)
            asked['kernel'].append(result['requests'] / result['cpu'])
        with Pair(machine, 'kernel', 'sink') as pair:
            result = pair.run('stream', connections=1, seconds=machine.args.seconds)
            sent['kernel'].append(result['gigabytes'] / result['cpu'])

    def ours():
        first, wire = next(iter(WIRES.items()))
        result = ring(machine, 'ask', machine.args.connections, *wire)
        asked[first].append(result['requests'] / result['cpu'])
        for name, wire in WIRES.items():
            result = ring(machine, 'stream', 1, *wire)
            sent[name].append(result['gigabytes'] / result['cpu'])

    for number in range(machine.args.rounds):
        for measure in (kernel, ours) if number % 2 == 0 else (ours, kernel):
            measure()
    for kind, values in asked.items():
        machine.figures.add(f'echo of {MESSAGE} B, {kind}: for a CPU second', values, 'requests', 0)
    for kind, values in sent.items():
        machine.figures.add(f'one way, {kind}: for a CPU second', values, 'GB')
    for what, figures in (('echo', asked), ('one way', sent)):
        for kind in WIRES:
            if kind in figures:
                machine.figures.add(f'{what}: {kind} by kernel, for a CPU second', ratios(figures, kind, 'kernel'),
                                    'times')


class Brokers:
    """One behind the kernel's loopback, one behind memif; who is not measured is stopped (SIGSTOP)."""

    def __init__(self, machine, **settings):
        self.machine, self.brokers, self.over = machine, {}, {'kernel': []}
        cable = f'net_memif,socket={machine.folder}/wire,socket-abstract=no'
        self.over['memif'] = ['--nic', f'{cable},role=client,address=10.78.0.2/24']
        for kind in KINDS:
            broker = self.brokers[kind] = machine.broker(ring_mib=RING_MIB, **settings)
            broker.start(listen='127.0.0.1:0' if kind == 'kernel' else
                         f'dpdk:{cable},role=server,address=10.78.0.1/24')
            broker.process.send_signal(signal.SIGSTOP)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for broker in self.brokers.values():
            broker.process.send_signal(signal.SIGCONT)
            broker.stop()
            broker.remove()

    @contextlib.contextmanager
    def awake(self, kind):
        process = self.brokers[kind].process
        process.send_signal(signal.SIGCONT)
        try:
            yield process
        finally:
            process.send_signal(signal.SIGSTOP)

    def words(self, kind, *words):
        broker = self.brokers[kind]
        return [broker.program, 'bench', *words, *self.over[kind], '--bootstrap', broker.bootstrap, '--quiet']

    def bench(self, kind, *words):
        """The result, with the broker's CPU seconds while it ran."""
        broker = self.brokers[kind]
        with self.awake(kind):
            before = broker.cpu_seconds()
            result = self.machine.bench(broker, *words, *self.over[kind])
            return result | {'broker_cpu': broker.cpu_seconds() - before}


def loads(seconds):
    produce = ('produce', '--duration', f'{seconds}s', '--partitions', PARTITIONS)
    return {
        'produce, 64 KiB batches': (*produce, '--topic', 'large', '--record-bytes', RECORD_BYTES, '--batch-bytes',
                                    BATCH_BYTES, '--connections', PRODUCERS),
        SMALL: (*produce, '--topic', 'small', '--record-bytes', SMALL_BYTES, '--batch-records', 1, '--connections',
                SMALL_PRODUCERS),
        'consume out of memory': ('consume', '--topic', 'tail', '--loop', '--duration', f'{seconds}s', '--connections',
                                  PRODUCERS, '--fetch-bytes', '1MiB'),
    }


def gigabytes(result):
    return result['megabytes_per_second'] * result['seconds'] / 1e3


def measure_broker(machine):
    """(c) As many requests as go; then small ones at parts of what the kernel's broker did, open loop."""
    with Brokers(machine) as brokers:
        for kind in KINDS:
            brokers.bench(kind, 'produce', '--topic', 'tail', '--partitions', PARTITIONS, '--count', FILL_RECORDS,
                          '--record-bytes', RECORD_BYTES, '--batch-bytes', BATCH_BYTES)
        capacity = 0
        for name, words in loads(machine.args.seconds).items():
            found = {kind: [] for kind in KINDS}
            for kind in in_turns(machine.args.rounds):
                found[kind].append(brokers.bench(kind, *words))
            rates = compare(machine, name, found)
            if name == SMALL:
                capacity = statistics.median(rates['kernel'])
        for part in RATE_PARTS:
            rate = int(capacity / part)
            found = {kind: [] for kind in KINDS}
            for kind in in_turns(machine.args.rounds):
                found[kind].append(brokers.bench(kind, *loads(machine.args.seconds)[SMALL], '--rate', rate))
            compare(machine, f'the same at {rate}/s, open loop', found)


def compare(machine, name, found):
    if not all(result['requests'] for kind in KINDS for result in found[kind]):
        sys.exit(f'{name}: in one of the rounds nothing was answered at all; is the machine, or its drive, busy?')
    rates = {kind: [result['requests'] / result['seconds'] for result in found[kind]] for kind in KINDS}
    cpu = {kind: [result['broker_cpu'] / gigabytes(result) for result in found[kind]] for kind in KINDS}
    p99 = {kind: [result['latency_us']['p99'] for result in found[kind]] for kind in KINDS}
    for kind in KINDS:
        machine.figures.add(f'{name}, {kind}: requests', rates[kind], '/s', 0)
        machine.figures.add(f'{name}, {kind}: broker CPU', cpu[kind], 's/GB')
        machine.figures.add(f'{name}, {kind}: p99', p99[kind], 'us', 0)
    machine.figures.add(f'{name}: memif by kernel, requests', ratios(rates, 'memif', 'kernel'), 'times')
    machine.figures.add(f'{name}: memif by kernel, CPU for a GB', ratios(cpu, 'memif', 'kernel'), 'times')
    machine.figures.add(f'{name}: memif by kernel, p99', ratios(p99, 'memif', 'kernel'), 'times', 3)
    return rates


def measure_latency(machine):
    """(c) From producing to the ack, and to the consumer that waits at the log's end; with lcores that sleep when there
    is nothing to do, as by default, and with lcores that spin."""
    for strategy in ('adaptive', 'spin'):
        with Brokers(machine, penstock_idle_strategy=strategy) as brokers:
            found = {kind: [] for kind in KINDS}
            for kind in in_turns(machine.args.rounds):
                found[kind].append(brokers.bench(kind, 'latency', '--topic', 'latency', '--rate', LATENCY_RATE,
                                                 '--rounds', 1, '--block', f'{machine.args.seconds}s'))
            for key, name in (('produce_to_ack_us', 'to ack'), ('produce_to_consume_us', 'to consumer')):
                for percentile in ('p50', 'p99'):
                    title = f'{strategy}, {LATENCY_RATE} records/s {name}, {percentile}'
                    values = {kind: [result[key][percentile] for result in found[kind]] for kind in KINDS}
                    for kind in KINDS:
                        machine.figures.add(f'{title}, {kind}', values[kind], 'us', 0)
                    machine.figures.add(f'{title}: memif by kernel', ratios(values, 'memif', 'kernel'), 'times')


def measure_profile(machine):
    """(c) Where the broker's CPU goes."""
    with Brokers(machine) as brokers:
        for name, words in loads(machine.args.seconds + 2).items():
            if name.startswith('consume'):
                continue
            for kind in KINDS:
                print(f'  -- {name}, {kind}', flush=True)
                with brokers.awake(kind) as process:
                    machine.profile(process.pid, brokers.words(kind, *words), machine.args.seconds)


MEASURES = {'echo': measure_echo, 'half': measure_half, 'bulk': measure_bulk, 'ring': measure_ring,
            'vhost': measure_vhost, 'broker': measure_broker, 'latency': measure_latency, 'profile': measure_profile}


if __name__ == '__main__':
    run(arguments(), MEASURES)
