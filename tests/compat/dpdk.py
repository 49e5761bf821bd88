#!/usr/bin/python3
"""A broker whose clients come by a DPDK device: what the kernel sees of them (nothing), listeners of both kinds at
once, what was acknowledged after kill -9, devices that are not there or go away. Run by over_dpdk.py, in the clients'
namespace. ctest compat.dpdk.veth, compat.dpdk.tap."""
import itertools
import json
import time

import batches
import check
import clients
import lab
import processes
import text as real_text
import wire
import wire_groups
from broker import MIB
from startup import one_line

OURS, OURS_V6 = (address.split('/')[0] for address in lab.ADDRESSES)
KERNEL_PORT = 9392  # in the broker's namespace
TEXT_LINES = 30_000
WAIT_S = 60
TOUCHED_BATCHES, TOUCHES_MAX = 500, 1.01


def wait_until(condition, what):
    deadline = time.monotonic() + WAIT_S
    while not condition():
        check.expect(time.monotonic() < deadline, f'within {WAIT_S} s: {what}')
        time.sleep(0.05)


def some_text(run):
    """The first lines of the machine's text."""
    lines = itertools.islice(filter(real_text.is_text, itertools.chain(*(found for _, found in real_text.sources()))),
                             TEXT_LINES)
    return real_text.Text(run.folder / 'some', (line if line.endswith(b'\n') else line + b'\n' for line in lines))


def test_clients(run):
    """Each client in with one codec, another one out."""
    broker = run.broker(ring_bytes=64 * MIB)
    text, all_clients = some_text(run), clients.all_clients(run.build)
    readers = itertools.cycle([all_clients[name] for name in ('confluent', 'kcat', 'librdkafka', 'python-kafka')])
    for (name, client), codec in zip(all_clients.items(), ('none', 'lz4', 'zstd', 'gzip', 'none')):
        broker.create_topic(name)
        client.produce(broker, name, codec, text)
        reader = next(readers)
        clients.check_text(reader.consume(broker, name), text, f'{name} by {reader.name}')
    counts = broker.metrics()
    for name in ('tcp_drops_checksum_total', 'tcp_drops_malformed_total', 'net_rx_bad_checksum_total',
                 'net_rx_truncated_total', 'nic_rx_errors_total', 'tcp_connections_timed_out_total'):
        check.equal(counts[name], 0, name)
    check.expect(counts['tcp_bytes_received_total'] > 5 * text.bytes / 10, 'bytes came by our TCP')
    ends_with_everything_home(broker)
    return f'{text} by {len(all_clients)} clients'


def ends_with_everything_home(broker):
    broker.stop()
    check.expect('are not back' not in broker.last_words(20_000), f'mbufs are out: {broker.last_words()}')


def test_one_touch(run):
    """From the frames into the ring each byte is moved once. On the way out it is not: the device refers to records
    where they lie in the log, but for ends of less than 256 bytes. Heads of answers are copied into send memory."""
    broker = run.broker(ring_bytes=64 * MIB)
    with broker.connect() as connection:
        connection.create('touched')
        before, offset, fetched = broker.metrics(), 0, 0

        def moved(name):
            return broker.metrics()[name] - before[name]
        for number in range(TOUCHED_BATCHES):
            records = [bytes([number % 251]) * 1000] * (10 + number % 40)
            check.equal(connection.produce('touched', batches.build(records))['error'], 0, 'produce')
            if number % 5 == 4:
                answer = connection.fetch('touched', offset)
                offset = batches.last_offset(batches.split(answer['records'])[-1]) + 1
                fetched += len(answer['records'])
        appended = moved('bytes_appended_total')
        check.equal(fetched, appended, 'bytes fetched')
        touches = sum(map(moved, ('bytes_copied_total', 'bytes_coalesced_total', 'tcp_bytes_copied_in_total',
                                  'nic_rx_copied_bytes_total'))) / appended
        check.within(touches, 0.99, TOUCHES_MAX, 'bytes copied or moved for each byte appended')
        check.equal(moved('bytes_fetched_total'), fetched, 'record bytes sent')
        lent = moved('bytes_fetched_lent_total')
        check.within(fetched - lent, 0, TOUCHED_BATCHES * 255, f'record bytes copied to be sent, of {fetched}')
        check.equal(moved('tcp_bytes_lent_total'), lent, 'bytes that TCP was lent')
        check.equal(moved('tcp_bytes_copied_back_total'), 0, 'bytes copied while they were lent')
        sent = moved('tcp_bytes_sent_total')
        check.equal(moved('tcp_bytes_copied_out_total') + lent, sent, 'bytes copied or lent to be sent')
        # What the device counts is read off it a few times a second.
        given = ('nic_tx_copied_bytes_total', 'nic_tx_referred_bytes_total')
        wait_until(lambda: sum(map(moved, given)) >= sent, 'the device counts all that was sent')
        copied = moved('nic_tx_copied_bytes_total')
        check.expect(copied < sent / 100, f'{copied} of {sent} bytes were copied into frames')
    check.expect('it has no link' not in broker.last_words(20_000), 'the link was there from the start')
    ends_with_everything_home(broker)
    return (f'{touches:.4f} on the way in; {lent / fetched:.4f} of record bytes lent on the way out; {copied:.0f} of '
            f'{sent:.0f} bytes copied into frames')


def test_ipv6(run):
    broker = run.broker()
    said = processes.run(['kcat', '-L', '-J', '-b', f'[{OURS_V6}]:{lab.PORT}'])
    check.equal(json.loads(said)['brokers'][0]['name'], f'{OURS}:{lab.PORT}', 'the advertised address')
    broker.kill()


def test_the_kernel_sees_nothing(run):
    """While clients are connected, the kernel has neither our address nor a socket that has it."""
    broker = run.broker()
    with broker.connect() as connection:
        connection.create('seen')
        check.equal(connection.produce('seen', batches.build([b'x']))['error'], 0, 'produce')
        addresses = json.loads(processes.run(lab.in_broker('ip', '-j', 'addr')))
        has = {info['local'] for link in addresses for info in link['addr_info']}
        check.expect(not has & {OURS, OURS_V6}, f'the kernel has {has}')
        if lab.KIND == 'veth':
            check.equal([info for link in addresses if link['ifname'] == 'wire0' for info in link['addr_info']], [],
                        'addresses of the broker\'s end')
        sockets = processes.run(lab.in_broker('ss', '-Htan')).decode().splitlines()
        check.equal([line for line in sockets if line.split()[3].startswith(OURS + ':')], [], 'sockets of ours')
        if lab.KIND == 'veth':
            check.equal([line for line in sockets if 'ESTAB' in line], [], 'connections in the broker\'s namespace')
        check.expect(broker.metrics()['tcp_connections_open'] >= 1, 'the connection is our stack\'s')
    broker.kill()


def test_an_address_has_its_most(run):
    """Connections of one client on several lcores: two may be; and members of groups have its address as their host."""
    broker = run.broker({'max.connections.per.ip': 2, 'penstock.lcores': 2 if lab.KIND == 'veth' else 1,
                         'group.initial.rebalance.delay.ms': 0})
    for life in (1, 2):
        connections = [broker.connect() for _ in range(10)]
        wait_until(lambda refused=8 * life: broker.metrics()['connections_refused_address_total'] == refused,
                   'all but two are refused')
        left = [connection for connection in connections if not has_ended(connection)]
        check.equal(len(left), 2, 'connections that are left')
        wire_groups.ready(left[0], 'g')
        member = wire_groups.join(left[0], 'g', 9)['member']
        told = left[1].call('DescribeGroups', 5, {'groups': ['g']})['groups'][0]['members'][0]
        check.equal((told['member'], told['client_host']), (member, f'/{left[0].socket.getsockname()[0]}'), 'the host')
        leave = {'group': 'g', 'members': [{'member': member}]}
        check.equal(left[1].call('LeaveGroup', 5, leave)['error'], 0, 'leave')
        check.equal(broker.metrics()['addresses_connected'], 1, 'addresses')
        for connection in connections:
            connection.socket.close()
        wait_until(lambda: broker.metrics()['addresses_connected'] == 0, 'nobody is remembered')
    ends_with_everything_home(broker)


def has_ended(connection):
    """Asked behind the count of those that are refused: the end may still be on its way."""
    try:
        return connection.call('ApiVersions', 3)['error'] != 0
    except wire.Closed:
        return True


def in_broker_kcat(*words, **options):
    return processes.run(lab.in_broker('kcat', *words), **options)


def test_both_kinds_of_listeners(run):
    """Clients of both see each other's records, and each is told the address that it can reach."""
    listeners = f'KERNEL://127.0.0.1:{KERNEL_PORT},{lab.listener(name="WIRE")},{lab.listener(9094, name="SECOND")}'
    broker = run.broker(start=False)
    broker.start(listen=listeners)
    device, kernel = f'{OURS}:{lab.PORT}', f'127.0.0.1:{KERNEL_PORT}'
    told = json.loads(in_broker_kcat('-L', '-J', '-b', kernel))['brokers'][0]['name']
    check.equal(told, kernel, 'the kernel\'s clients are told')
    for port in (lab.PORT, 9094):
        told = json.loads(processes.run(['kcat', '-L', '-J', '-b', f'{OURS}:{port}']))['brokers'][0]['name']
        check.equal(told, f'{OURS}:{port}', f'clients of port {port} are told')
    for number in range(3):
        processes.run(['kcat', '-P', '-b', device, '-t', 'both', '-p', '0'], input=b'wire %d\n' % number, stdin=None)
        in_broker_kcat('-P', '-b', kernel, '-t', 'both', '-p', '0', input=b'kernel %d\n' % number, stdin=None)
    wanted = b''.join(b'wire %d\nkernel %d\n' % (number, number) for number in range(3))
    read = ('-C', '-q', '-e', '-t', 'both', '-p', '0', '-o', 'beginning')
    check.equal(processes.run(['kcat', *read, '-b', device]), wanted, 'read by the device')
    check.equal(in_broker_kcat(*read, '-b', kernel), wanted, 'read by the kernel\'s socket')
    ends_with_everything_home(broker)


def test_kill_keeps_what_was_acknowledged(run):
    broker = run.broker(ring_bytes=64 * MIB)
    rounds, acked = 3, []
    for number in range(rounds):
        with broker.connect() as connection:
            if number == 0:
                connection.create('acked')
            for _ in range(40):
                value = b'%d' % len(acked)
                answer = connection.produce('acked', batches.build([value]))
                check.equal(answer['error'], 0, 'produce')
                check.equal(answer['base_offset'], len(acked), 'offset')
                acked.append(value)
        broker.kill()
        broker.start()
    got = processes.run(['kcat', '-C', '-q', '-e', '-b', broker.bootstrap, '-t', 'acked', '-p', '0', '-o', 'beginning'])
    check.equal(got.split(), acked, 'what was acknowledged')
    broker.kill()
    return f'{len(acked)} records, {rounds} kills'


def test_clear_errors(run):
    def says(listen, *words, **options):
        one_line(broker.fails_to_start(listen=listen, **options), *words)
    broker = run.broker(start=False)
    device, address = lab.DEVICE, lab.ADDRESSES[0]
    says(f'dpdk:net_af_packet,iface=none0,address={address}', 'none0', 'ip -br link')
    says(f'dpdk:eth0,address={address}', 'eth0', 'PCI address')
    says(f'dpdk:0000:ff:1f.7,address={address}', 'no such PCI device')
    says(f'dpdk:{device}', 'address=')
    says(f'dpdk:{device},address=10.77.0.2', '10.77.0.2', 'prefix')
    says(f'dpdk:{device},address={address},gateway=10.78.0.1', '10.78.0.1', 'not on the link')
    says(f'dpdk:{device},address={address},port=70000', 'port=70000')
    says(f'A://dpdk:{device},address={address},B://dpdk:{device}', 'B', '9092')
    says(f'A://dpdk:{device},address={address},B://dpdk:{device},address=10.77.0.3/24,port=1', 'B', 'say them once')
    if lab.KIND == 'veth':
        says(lab.listener(), 'CAP_NET_RAW', prefix=['setpriv', '--bounding-set=-net_raw', '--inh-caps=-net_raw'])
    broker.start()  # nothing of the failed starts is in the way
    broker.kill()


def health(broker):
    """/healthz, whatever its status is."""
    return processes.run(lab.in_broker('curl', '-sS', '--max-time', 60,
                                       f'http://{broker.http[0]}:{broker.http[1]}/healthz')).decode()


def test_a_device_that_goes_away(run):
    """Named by /healthz, and served again when it is there again; when it is gone for good, the others go on."""
    broker = run.broker(start=False)
    broker.start(listen=f'{lab.listener(name="WIRE")},KERNEL://127.0.0.1:{KERNEL_PORT}')
    with broker.connect() as connection:
        connection.create('gone')
        processes.run(['ip', 'link', 'set', 'client0', 'down'])
        wait_until(lambda: 'net_af_packet0' in health(broker), '/healthz names the device')
        processes.run(['ip', 'link', 'set', 'client0', 'up'])
        wait_until(lambda: 'net_af_packet0' not in health(broker), '/healthz is content')
        check.equal(connection.produce('gone', batches.build([b'x']))['error'], 0, 'the connection lives')
        processes.run(['ip', 'link', 'del', 'client0'])
    wait_until(lambda: 'net_af_packet0' in health(broker), '/healthz names the device')
    kernel = f'127.0.0.1:{KERNEL_PORT}'
    in_broker_kcat('-P', '-b', kernel, '-t', 'gone', '-p', '0', input=b'more\n', stdin=None)
    got = in_broker_kcat('-C', '-q', '-e', '-b', kernel, '-t', 'gone', '-p', '0', '-o', 'beginning')
    check.equal(got, b'x\nmore\n', 'read by the kernel\'s socket')
    ends_with_everything_home(broker)


def main():
    check.expect(lab.NAME, 'over_dpdk.py runs this')
    run = check.Run()
    tests = [test_clients, test_one_touch, test_ipv6, test_the_kernel_sees_nothing, test_both_kinds_of_listeners,
             test_an_address_has_its_most, test_kill_keeps_what_was_acknowledged, test_clear_errors]
    if lab.KIND == 'veth':
        tests.append(test_a_device_that_goes_away)  # the last one: the network is no more behind it
    run.tests(run, *tests)
    run.finish()


if __name__ == '__main__':
    main()
