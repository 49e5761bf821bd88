"""The kernel as a peer of our network layer over DPDK, in namespaces of its own: pings of all sizes, IPv4 and IPv6,
with and without a VLAN; connections that are reset with data sent by reference; what veth's defaults do, and that it is
counted; every mbuf home at the end. Over net_af_packet on a veth (--veth) or over net_tap (--tap).

Exit code 77: this machine does not let us make such a network; the reason is printed."""
import argparse
import contextlib
import json
import os
import pathlib
import select
import shutil
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
SKIP = 77
OURS = {4: '10.77.0.2', 6: 'fd77::2'}


def skip(why):
    print(f'skipped: {why}')
    sys.exit(SKIP)


def run(*command, check=True, **kwargs):
    return subprocess.run(command, check=check, text=True, capture_output=True, timeout=60, **kwargs)


class Lab:
    """Two namespaces by scripts/netlab, with names of this process."""

    def __init__(self, kind):
        self.name = f'pt{os.getpid()}'
        self.client = f'{self.name}-k'
        self.broker = self.client if kind == 'tap' else f'{self.name}-d'
        self.device = 'net_tap,iface=client0' if kind == 'tap' else 'net_af_packet,iface=wire0'
        self.kind = kind

    def __enter__(self):
        up = run(ROOT / 'scripts/netlab', 'up', '--name', self.name, *(['--tap'] if self.kind == 'tap' else []),
                 check=False)
        if up.returncode:
            skip(f'scripts/netlab up: {up.stderr.strip() or up.stdout.strip()}')
        return self

    def __exit__(self, *_):
        run(ROOT / 'scripts/netlab', 'down', '--name', self.name)

    def in_client(self, *command, **kwargs):
        return run('ip', 'netns', 'exec', self.client, *command, **kwargs)

    def kernel_counters(self):
        """Of the client's kernel: what TCP and ICMP found wrong with what we sent."""
        counters = {}
        for file in ('/proc/net/snmp', '/proc/net/snmp6'):
            lines = self.in_client('cat', file).stdout.splitlines()
            if file.endswith('6'):
                counters.update({name: int(value) for name, value in map(str.split, lines)})
                continue
            for names, values in zip(lines[::2], lines[1::2]):
                kind = names.split(':')[0]
                pairs = zip(names.split()[1:], values.split()[1:])
                counters.update({kind + name: int(value) for name, value in pairs})
        return counters


class Peer:
    """Our network layer, in the broker's namespace."""

    def __init__(self, lab, program, *options):
        self.process = subprocess.Popen(['ip', 'netns', 'exec', lab.broker, program, lab.device, *options],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        ready = ''
        deadline = time.monotonic() + 60
        while not ready.startswith('ready ') and time.monotonic() < deadline:
            if select.select([self.process.stdout], [], [], 1)[0]:
                ready = self.process.stdout.readline()
                if not ready:
                    break
        if not ready.startswith('ready '):
            self.process.kill()
            raise AssertionError(f'the station does not start (exit code {self.process.wait()})')
        print(ready.strip())

    def stop(self):
        """Ends it; what it counted."""
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
        text = self.process.stdout.read()
        assert self.process.wait(timeout=60) == 0, f'exit code {self.process.returncode}: {text}'
        return json.loads(text.splitlines()[-1])


def ping(lab, family, size, count=5, *options):
    """How many of the pings were answered."""
    done = lab.in_client('ping', f'-{family}', '-c', str(count), '-i', '0.02', '-W', '2', '-s', str(size), *options,
                         OURS[family], check=False)
    for line in done.stdout.splitlines():
        if 'received' in line:
            return int(line.split(',')[1].split()[0])
    raise AssertionError(done.stdout + done.stderr)


def wait_for_answer(lab):
    """A link that has just come up loses frames until the kernel believes in it. How many pings it took."""
    deadline = time.monotonic() + 30
    asked = 1
    while ping(lab, 4, 56, 1) != 1:
        assert time.monotonic() < deadline, 'no answer'
        asked += 1
    return asked


# In the client's namespace: connects, and says what came of it.
CONNECT = '''
import socket, sys
family = socket.AF_INET if sys.argv[1] == "4" else socket.AF_INET6
with socket.socket(family, socket.SOCK_STREAM) as s:
    s.settimeout(float(sys.argv[4]))
    try:
        s.connect((sys.argv[2], int(sys.argv[3])))
        print("connected")
    except ConnectionRefusedError:
        print("refused")
    except TimeoutError:
        print("silence")
'''


def connect(lab, family, port, seconds):
    return lab.in_client(sys.executable, '-c', CONNECT, str(family), OURS[family], str(port),
                         str(seconds)).stdout.strip()


def expect(what, got, wanted):
    assert got == wanted, f'{what}: {got}, expected {wanted}'


def clean_run(lab, program):
    """Everything is answered, nothing is wrong on either side, everything comes home."""
    before = lab.kernel_counters()
    peer = Peer(lab, program)
    asked_before = wait_for_answer(lab)
    answered = 0
    for family, most in ((4, 1472), (6, 1452)):
        for size in (0, 1, 56, 1001, most):
            expect(f'pings of {size} bytes over IPv{family}', ping(lab, family, size), 5)
            answered += 5
        for port in range(9000, 9020):
            expect(f'a connection over IPv{family}', connect(lab, family, port, 5), 'refused')
    expect('pings in fragments', ping(lab, 4, 3000, 2), 0)
    report = peer.stop()
    after = lab.kernel_counters()
    assert answered < report['net_rx_icmp_echo'] <= answered + asked_before, report['net_rx_icmp_echo']
    expect('good TCP checksums', report['tcp_checksums_good'], 40)
    for name in ('tcp_checksums_bad', 'net_rx_bad_checksum', 'net_rx_bad_header', 'nic_rx_missed', 'net_tx_refused',
                 'net_address_conflicts', 'nic_rx_copied_bytes', 'lent_out', 'mbufs_out'):
        expect(name, report[name], 0)
    expect('bytes sent by reference', report['nic_tx_referred_bytes'], 40 * 1100)
    # A packet socket puts fragments together, to more than its frames hold; a tap hands over the fragments.
    fragments, truncated = (0, 2) if lab.kind == 'veth' else (6, 0)
    expect('fragments', (report['net_rx_fragments'], report['net_rx_truncated']), (fragments, truncated))
    for name in ('TcpInErrs', 'TcpInCsumErrors', 'IcmpInCsumErrors', 'IcmpInErrors', 'Icmp6InCsumErrors'):
        expect(f"the kernel's {name}", after.get(name, 0) - before.get(name, 0), 0)
    print(f'clean run: {answered} pings, 40 connections, {report["mbufs"]} mbufs home')


# In the client's namespace: a tagged question (ARP) by hand, since not every kernel has VLAN devices; prints the
# answer's tag and address.
TAGGED_ARP = '''
import socket, struct, sys
SOL_PACKET, PACKET_AUXDATA, ETH_P_ALL = 263, 8, 3
ours, theirs = (socket.inet_aton(address) for address in sys.argv[1:3])
with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL)) as s:
    s.bind(("client0", ETH_P_ALL))
    s.setsockopt(SOL_PACKET, PACKET_AUXDATA, 1)
    s.settimeout(5)
    mac = s.getsockname()[4]
    s.send(b"\\xff" * 6 + mac + struct.pack("!HHH", 0x8100, 42, 0x0806)
           + struct.pack("!HHBBH", 1, 0x0800, 6, 4, 1) + mac + ours + bytes(6) + theirs)
    while True:
        frame, extra, _, where = s.recvmsg(2048, 256)
        if where[2] == socket.PACKET_OUTGOING or frame[12:14] != b"\\x08\\x06" or frame[20:22] != b"\\x00\\x02":
            continue
        tags = [struct.unpack("=IIIHHHH", data)[5] for level, kind, data in extra if kind == PACKET_AUXDATA]
        print(tags[0], socket.inet_ntoa(frame[28:32]))
        break
'''


def vlan_run(lab, program):
    """Frames with a tag, and none without."""
    peer = Peer(lab, program, '--vlan', '42')
    answer = lab.in_client(sys.executable, '-c', TAGGED_ARP, '10.77.0.1', OURS[4]).stdout.strip()
    expect('the answer with a tag', answer, f'42 {OURS[4]}')
    expect('pings without a tag', ping(lab, 4, 56, 2, '-W', '1'), 0)
    report = peer.stop()
    assert report['net_rx_not_ours'] >= 1, report
    expect('mbufs_out', report['mbufs_out'], 0)
    print('VLAN run: a tagged question has a tagged answer')


def veth_defaults_run(lab, program):
    """With the sender's checksums left to a card that is none, segments are refused: counted, and nothing breaks."""
    lab.in_client('ethtool', '-K', 'client0', 'tx', 'on')
    peer = Peer(lab, program)
    expect('a connection', connect(lab, 4, 9000, 0.5), 'silence')
    expect('pings', ping(lab, 4, 56), 5)  # the kernel sums those itself
    lab.in_client('ethtool', '-K', 'client0', 'tx', 'off')
    expect('a connection', connect(lab, 4, 9000, 5), 'refused')
    report = peer.stop()
    assert report['tcp_checksums_bad'] >= 1, report
    expect('mbufs_out', report['mbufs_out'], 0)
    print(f'veth defaults: {report["tcp_checksums_bad"]} segments refused')


def link_loss_run(lab, program):
    """The other end goes away and comes back."""
    peer = Peer(lab, program)
    wait_for_answer(lab)
    lab.in_client('ip', 'link', 'set', 'client0', 'down')
    time.sleep(0.2)
    lab.in_client('ip', 'link', 'set', 'client0', 'up')
    wait_for_answer(lab)
    expect('mbufs_out', peer.stop()['mbufs_out'], 0)
    print('link down and up')


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--peer', required=True, help='the program net_peer')
    kinds = parser.add_mutually_exclusive_group(required=True)
    kinds.add_argument('--veth', action='store_const', const='veth', dest='kind')
    kinds.add_argument('--tap', action='store_const', const='tap', dest='kind')
    args = parser.parse_args()
    if os.geteuid() != 0:
        skip('needs root, to make network namespaces')
    for tool in ('ip', 'ethtool', 'nft', 'ping'):
        if not shutil.which(tool):
            skip(f'{tool} is not installed')
    if args.kind == 'tap' and not os.path.exists('/dev/net/tun'):
        skip('there is no /dev/net/tun')
    with Lab(args.kind) as lab:
        clean_run(lab, args.peer)
        if args.kind == 'veth':
            vlan_run(lab, args.peer)
            veth_defaults_run(lab, args.peer)
            link_loss_run(lab, args.peer)


if __name__ == '__main__':
    main()
