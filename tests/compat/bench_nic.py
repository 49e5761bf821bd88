#!/usr/bin/python3
"""`penstock bench --nic`: our own TCP on both ends of a cable, the broker's in its namespace, the load generator's
here; over net_af_packet, and over net_memif, where there is no kernel in between at all. What is acknowledged is what
is there, and each failure is one line. Run by over_dpdk.py, in the clients' namespace. ctest compat.dpdk.bench_nic."""
import contextlib
import json
import signal
import subprocess
import time

import check
import lab
import processes
from broker import MIB
from startup import one_line

OURS = lab.ADDRESSES[0].split('/', maxsplit=1)[0]
LOAD = 'net_af_packet,iface=client0,address=10.77.0.3/24'  # the load generator's end; 10.77.0.1 is the kernel's
PARTITIONS, RECORDS, BATCH_RECORDS = 3, 30_000, 15
RATE, RATE_S = 300, 3
ROUNDS, BLOCK_S, LATENCY_RATE = 2, 1, 100
EXIT_UNREACHABLE = 2
WAIT_S = 60


@contextlib.contextmanager
def without_the_kernel():
    """The kernel of this namespace has no address on the cable meanwhile: nothing that works came by it."""
    processes.run(['ip', 'addr', 'flush', 'dev', 'client0'])
    try:
        yield
    finally:
        processes.run(['ip', 'addr', 'add', '10.77.0.1/24', 'dev', 'client0'])


def words_for(run, what, *words, nic, address):
    quiet = [] if what == 'groups' else ['--quiet']
    return [run.program, 'bench', what, *quiet, '--json', '-', '--bootstrap', address, '--nic', nic, *words]


def bench(run, what, *words, nic=LOAD, address=f'{OURS}:{lab.PORT}'):
    return json.loads(processes.run(words_for(run, what, *words, nic=nic, address=address)))['result']


def fails(run, *words, nic=LOAD, address=f'{OURS}:{lab.PORT}', status=EXIT_UNREACHABLE):
    """The line for the user."""
    command = words_for(run, 'produce', '--timeout', '2s', *words, nic=nic, address=address)
    done = subprocess.run(processes.dies_with_us(command), capture_output=True, timeout=processes.CLIENT_TIMEOUT_S,
                          check=False)
    check.equal(done.returncode, status, f'exit code, and said {done.stderr}')
    return one_line(done.stderr.decode())


def produce_and_consume(run, broker, **over):
    """All that is acknowledged is appended, and all that is appended is read, whole."""
    before = broker.metrics()
    produced = bench(run, 'produce', '--topic', 'all', '--partitions', PARTITIONS, '--connections', 4, '--count',
                     RECORDS, '--batch-records', BATCH_RECORDS, '--idempotent', **over)
    check.equal((produced['records'], produced['requests'], produced['errors']),
                (RECORDS, RECORDS // BATCH_RECORDS, {}), 'produced')
    appended = broker.metrics()['batches_appended_total'] - before['batches_appended_total']
    check.equal(appended, RECORDS // BATCH_RECORDS, 'batches appended')
    consumed = bench(run, 'consume', '--topic', 'all', '--connections', 2, '--verify', **over)
    check.equal(consumed['records'], RECORDS, 'consumed')


def ends_with_everything_home(broker):
    broker.stop()
    check.expect('are not back' not in broker.last_words(20_000), f'mbufs are out: {broker.last_words()}')


def test_produce_and_consume(run):
    broker = run.broker(ring_bytes=64 * MIB)
    with without_the_kernel():
        produce_and_consume(run, broker)
        counts = broker.metrics()
    check.expect(counts['tcp_connections_accepted_total'] >= 8, 'connections came by our TCP')
    for name in ('tcp_drops_checksum_total', 'tcp_drops_malformed_total', 'net_rx_bad_checksum_total',
                 'produce_refused_total'):
        check.equal(counts[name], 0, name)
    # The kernel's clients see the same records.
    told = processes.run([run.program, 'bench', 'consume', '--quiet', '--json', '-', '--bootstrap', broker.bootstrap,
                          '--topic', 'all', '--verify'])
    check.equal(json.loads(told)['result']['records'], RECORDS, 'consumed by the kernel\'s TCP')
    ends_with_everything_home(broker)


def test_open_loop(run):
    """So many requests as the schedule has, whatever the answers do."""
    broker = run.broker()
    with without_the_kernel():
        result = bench(run, 'produce', '--topic', 'open', '--rate', RATE, '--batch-records', 1, '--duration',
                       f'{RATE_S}s')
        check.equal((result['requests'], result['unfinished'], result['errors']), (RATE * RATE_S, 0, {}), 'requests')
        latency = bench(run, 'latency', '--topic', 'late', '--rate', LATENCY_RATE, '--rounds', ROUNDS, '--block',
                        f'{BLOCK_S}s')
    for kind in ('produce_to_ack_us', 'produce_to_consume_us', 'send_lag_us'):
        check.expect(latency[kind]['p50'] > 0, f'{kind}: {latency[kind]}')
    check.equal(len(latency['blocks']), 2 * ROUNDS, 'blocks')
    with without_the_kernel():
        groups = bench(run, 'groups', '--groups', 3, '--members', 2, '--connections', 2, '--duration', '1s')
    check.expect(groups['stable'] and groups['errors'] == 0, f'groups: {groups}')
    ends_with_everything_home(broker)


def test_memif(run):
    """Shared memory of two processes as the cable: the broker's side is there first, and outlives the other."""
    broker = run.broker(start=False, ring_bytes=64 * MIB)
    socket = run.folder / 'memif.sock'
    cable = f'net_memif,socket={socket},socket-abstract=no'
    broker.start(listen=f'dpdk:{cable},role=server,address=10.78.0.1/24')
    over = {'nic': f'{cable},role=client,address=10.78.0.2/24', 'address': '10.78.0.1:9092'}
    produce_and_consume(run, broker, **over)
    nobody = f'net_memif,socket={socket}.none,socket-abstract=no,role=client,address=10.78.0.2/24'
    said = fails(run, nic=nobody, status=1)
    check.expect('there is no socket' in said, said)
    again = bench(run, 'consume', '--topic', 'all', **over)
    check.equal(again['records'], RECORDS, 'consumed by one more process')
    ends_with_everything_home(broker)


def test_clear_errors(run):
    broker = run.broker()
    address = 'address=10.77.0.3/24'
    with without_the_kernel():
        for said, words in (
                (fails(run, address='10.77.0.99:9092'), ('10.77.0.99:9092', 'nobody answers')),
                (fails(run, address=f'{OURS}:1'), (f'{OURS}:1', 'refused', 'is the broker running?')),
                (fails(run, address='broker.invalid:9092'), ('broker.invalid', 'knows no names')),
                (fails(run, address='[fd77::2]:9092'), ('fd77::2', 'family')),
                (fails(run, nic=f'net_af_packet,iface=none0,{address}', status=1), ('none0', 'ip -br link')),
                (fails(run, nic=f'eth0,{address}', status=1), ('eth0', 'PCI address')),
                (fails(run, nic='net_af_packet,iface=client0', status=1), ('address=',)),
                (fails(run, nic=f'{LOAD},port=70000', status=1), ('--nic', 'port=70000'))):
            for word in words:
                check.expect(word in said, f'no {word!r} in: {said}')
    ends_with_everything_home(broker)


class Load:
    """A run of produce without an end, in the background."""

    def __init__(self, run, broker, topic):
        before = broker.metrics()['batches_appended_total']
        command = words_for(run, 'produce', '--topic', topic, '--count', 100_000_000, nic=LOAD,
                            address=f'{OURS}:{lab.PORT}')
        self.process = processes.start(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        deadline = time.monotonic() + WAIT_S
        while broker.metrics()['batches_appended_total'] < before + 10:
            check.equal(self.process.poll(), None, 'it runs')
            check.expect(time.monotonic() < deadline, f'within {WAIT_S} s something is appended')
            time.sleep(0.05)

    def end(self):
        out, errors = self.process.communicate(timeout=WAIT_S)
        return self.process.returncode, out.decode(), errors.decode()


def test_runs_that_end_early(run):
    """Ctrl-C: what was measured is still told. The broker stops: one line."""
    broker = run.broker(ring_bytes=64 * MIB)
    with without_the_kernel():
        load = Load(run, broker, 'interrupted')
        sockets = processes.run(['ss', '-Htan']).decode()
        check.expect('ESTAB' not in sockets, f'the kernel has connections: {sockets}')
        load.process.send_signal(signal.SIGINT)
        status, out, errors = load.end()
        check.equal(status, 0, f'exit code, and said {errors}')
        check.expect(json.loads(out)['result']['requests'] >= 10, 'what was measured')
        load = Load(run, broker, 'closed')
        ends_with_everything_home(broker)
        status, _, errors = load.end()
        check.equal(status, EXIT_UNREACHABLE, f'exit code, and said {errors}')
        one_line(errors, OURS, 'the broker', 'its log')


def main():
    check.expect(lab.NAME and lab.KIND == 'veth', 'over_dpdk.py --kind veth runs this')
    run = check.Run()
    run.tests(run, test_produce_and_consume, test_open_loop, test_memif, test_clear_errors,
              test_runs_that_end_early)
    run.finish()


if __name__ == '__main__':
    main()
