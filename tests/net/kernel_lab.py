"""What the tests of our TCP against the kernel's share: the network, what its cable does to frames, our end (penstock
tcp), the kernel's end, and what both count. For kernel_peer.py, kernel_wire.py and kernel_floods.py."""
import argparse
import concurrent.futures
import contextlib
import hashlib
import json
import os
import pathlib
import random
import select
import shutil
import socket
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import ping  # pylint: disable=wrong-import-position

KIB, MIB = 1 << 10, 1 << 20
OURS, OURS_V6, THEIRS, PORT = '10.77.0.2', 'fd77::2', '10.77.0.1', 7
TIMEOUT_S = 120
TOOLS = ('ip', 'ethtool', 'nft', 'tc', 'sysctl', 'setpriv')
# What the cable does to TCP's frames, on the kernel's end; a packet socket at the other end sees and sends frames past
# that end's own hooks. A condition of nftables, and what becomes of frames that meet it.
FAULTS = {
    '1%': ('numgen random mod 100 < 1', 'lost'),
    '5%': ('numgen random mod 100 < 5', 'lost'),
    'twice': ('numgen random mod 100 < 10', 'doubled'),
    'policed': ('limit rate over 3 mbytes/second burst 48 kbytes', 'lost'),
}
LINKS = ('clean', *FAULTS)
# What is dropped on its way out the kernel's TCP is told of, and does not count as sent: so those go astray. A
# duplicate of what comes in enters by a second cable, whose far end has the address of the first.
VERDICTS = {'lost': {'ingress': 'drop', 'egress': 'fwd to "lo"'},
            'doubled': {'ingress': 'dup to "again0"', 'egress': 'dup to "client0"'}}
# Of the kernel; each of them says that a segment of ours was wrong.
WRONG = ('TcpInErrs', 'TcpInCsumErrors', 'TcpExtTCPSACKReneging', 'TcpExtTCPSACKDiscard', 'TcpExtPAWSEstab',
         'TcpExtTCPAbortOnData', 'IpInHdrErrors', 'IpInAddrErrors', 'IcmpInErrors', 'IcmpInCsumErrors')
# The same of ours: of the kernel's segments, and of how we took them.
OURS_WRONG = ('broken', 'wrong', 'tcp_drops_malformed', 'tcp_drops_checksum', 'tcp_drops_bad_ack', 'tcp_reneged',
              'tcp_resets_sent', 'tcp_connections_reset', 'tcp_connections_aborted', 'tcp_connections_timed_out',
              'tcp_missing_timestamps', 'net_rx_truncated', 'net_rx_bad_header', 'net_rx_bad_checksum',
              'net_rx_fragments', 'nic_rx_errors', 'nic_tx_errors')
AT_HOME = ('connections_left', 'send_memory_left', 'receive_memory_left', 'mbufs_left')


def run(*command, check=True, timeout=60, **kwargs):
    """A command in this, the clients', namespace; what it said."""
    done = subprocess.run(list(map(str, command)), text=True, capture_output=True, timeout=timeout, check=False,
                          **kwargs)
    if check and done.returncode:
        raise AssertionError(f'{command}: {done.stderr}')
    return done.stdout


class Station:
    """penstock tcp ROLE, in the broker's namespace."""

    def __init__(self, lab, role, *words, also=''):
        device = f'net_af_packet,iface=wire0,address={OURS}/24,address={OURS_V6}/64,port={PORT}{also}'
        command = ['ip', 'netns', 'exec', f'{lab.name}-d', lab.program, 'tcp', role, '--device', device,
                   '--no-huge-pages', *map(str, words)]
        # pylint: disable=consider-using-with
        self.process = subprocess.Popen(['setpriv', '--pdeathsig', 'KILL', '--', *command], stdout=subprocess.PIPE,
                                        text=True)
        line = self.process.stdout.readline() if select.select([self.process.stdout], [], [], 60)[0] else ''
        if not line.startswith('ready '):
            self.process.kill()
            raise AssertionError(f'the station does not start (exit code {self.process.wait()})')
        assert 'sends by reference' in line, line

    def finish(self, timeout=TIMEOUT_S):
        """Waits for its end; what it counted."""
        try:
            out, _ = self.process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise AssertionError(f'the station is not done after {timeout} s') from None
        assert self.process.returncode == 0, f'exit code {self.process.returncode}: {out}'
        return json.loads(out.splitlines()[-1])

    def stop(self):
        self.process.terminate()
        return self.finish()

    def kill(self):
        """After a failure."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


def expect_home(report, but=()):
    """Whatever happened: every mbuf, region, reservation and connection of ours is home."""
    left = {name: report[name] for name in AT_HOME if report[name] and name not in but}
    assert not left, f'not home: {left} of {report["mbufs"]} mbufs'
    assert report['mbufs'] > 1000, report


def expect_nothing_wrong(report, but=()):
    expect_home(report)
    wrong = {name: report[name] for name in OURS_WRONG if report[name] and name not in but}
    assert not wrong, f'we counted {wrong}'


# ---- the cable

def add_second_cable():
    """For duplicates on their way in: again0 -> again1, which says that it is client0."""
    run('ip', 'link', 'add', 'again0', 'type', 'veth', 'peer', 'name', 'again1')
    mac = pathlib.Path('/sys/class/net/client0/address').read_text(encoding='ascii').strip()
    run('ip', 'link', 'set', 'dev', 'again1', 'address', mac)
    for device in ('again0', 'again1'):
        run('sysctl', '-q', '-w', f'net.ipv6.conf.{device}.disable_ipv6=1', f'net.ipv4.conf.{device}.rp_filter=0')
        run('ip', 'link', 'set', 'dev', device, 'up')
    run('sysctl', '-q', '-w', 'net.ipv4.conf.all.rp_filter=0')


def set_link(kind):
    """What happens to frames from now on, in both directions."""
    run('nft', 'flush', 'ruleset')
    # A segment at a time, or what is lost is many at once.
    run('ip', 'link', 'set', 'dev', 'client0', 'gso_max_segs', '65535' if kind == 'clean' else '1')
    if kind == 'clean':
        return
    condition, fate = FAULTS[kind]
    rules = ''.join(f'counter {hook} {{}}\n' for hook in VERDICTS[fate]) + ''.join(
        f'chain chain_{hook} {{\ntype filter hook {hook} device client0 priority 0\n'
        f'ip protocol tcp {condition} counter name {hook} {verdict}\n}}\n'
        for hook, verdict in VERDICTS[fate].items())
    run('nft', '-f', '-', input=f'table netdev faults {{\n{rules}}}\n')


def frames_hit():
    """How many frames the cable has lost or doubled: on their way to the kernel, and to us."""
    listed = json.loads(run('nft', '-j', 'list', 'counters'))['nftables']
    hit = {item['counter']['name']: item['counter']['packets'] for item in listed if 'counter' in item}
    return hit.get('ingress', 0), hit.get('egress', 0)


# ---- the kernel's end

def set_options(scaling, sack, timestamps):
    for name, value in (('tcp_window_scaling', scaling), ('tcp_sack', sack), ('tcp_timestamps', timestamps)):
        run('sysctl', '-q', '-w', f'net.ipv4.{name}={value}')


def controls():
    """Congestion controls of this kernel, and those that it lacks."""
    have, lack = [], []
    with socket.socket() as probe:
        for control in ('cubic', 'reno', 'bbr'):
            try:
                probe.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, control.encode())
                have.append(control)
            except OSError:
                lack.append(control)
    return have, lack


def counters():
    found = {}
    for file in ('/proc/net/snmp', '/proc/net/netstat'):
        lines = pathlib.Path(file).read_text(encoding='ascii').splitlines()
        for names, values in zip(lines[::2], lines[1::2]):
            kind = names.split(':')[0]
            found.update({kind + name: int(value) for name, value in zip(names.split()[1:], values.split()[1:])})
    return found


class Watch:
    """What the kernel counts in its block; nothing may be wrong, beyond what `excuses` name another counter for."""

    def __init__(self, excuses=None):
        self.excuses = excuses or {}
        self.before = counters()
        self.moved = {}

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        self.moved = {name: value - self.before.get(name, 0) for name, value in counters().items()}
        wrong = {name: self.moved[name] for name in WRONG
                 if self.moved[name] > (self.moved[self.excuses[name]] if name in self.excuses else 0)}
        if kind is None:
            assert not wrong, f'the kernel counted {wrong}'


class Payload:
    """Bytes of which no two pieces are the same, made again for each who asks."""

    def __init__(self, seed, size):
        self.size = size
        self.block = random.Random(seed).randbytes(min(size, 4 * MIB))

    def pieces(self):
        left, number = self.size, 0
        while left > 0:
            piece = (number.to_bytes(8, 'big') + self.block)[:left]
            yield piece
            left -= len(piece)
            number += 1

    def digest(self):
        digest = hashlib.sha256()
        for piece in self.pieces():
            digest.update(piece)
        return digest.hexdigest()


def kernel_socket(control=None, family=socket.AF_INET):
    sock = socket.socket(family)
    if control:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, control.encode())
    return sock


def send_all(sock, payload):
    for piece in payload.pieces():
        sock.sendall(piece)
    sock.shutdown(socket.SHUT_WR)


def through_our_echo(payload, control=None, address=OURS, timeout=TIMEOUT_S):
    """The kernel connects: all of the payload there and back, both ways at once. The same must come back."""
    digest, received = hashlib.sha256(), 0
    with kernel_socket(control, socket.AF_INET6 if ':' in address else socket.AF_INET) as sock, \
            concurrent.futures.ThreadPoolExecutor() as pool:
        sock.settimeout(timeout)
        sock.connect((address, PORT))
        sending = pool.submit(send_all, sock, payload)
        try:
            while piece := sock.recv(MIB):
                digest.update(piece)
                received += len(piece)
        except OSError:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)  # or who sends would wait on
            raise
        sending.result(timeout)
    assert received == payload.size, f'{received} of {payload.size} bytes came back'
    assert digest.hexdigest() == payload.digest(), 'what came back is not what was sent'


class KernelEcho:
    """An echo of the kernel's for one connection of ours."""

    def __init__(self, control=None, timeout=TIMEOUT_S):
        self.timeout = timeout
        self.listening = kernel_socket(control)
        self.listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.listening.settimeout(timeout)
        self.listening.bind((THEIRS, 0))
        self.listening.listen()
        self.address = f'{THEIRS}:{self.listening.getsockname()[1]}'
        self.pool = concurrent.futures.ThreadPoolExecutor()
        self.serving = self.pool.submit(self.serve)

    def serve(self):
        digest, total = hashlib.sha256(), 0
        sock, _ = self.listening.accept()
        with sock:
            sock.settimeout(self.timeout)
            while piece := sock.recv(256 * KIB):
                digest.update(piece)
                total += len(piece)
                sock.sendall(piece)
        return digest.hexdigest(), total

    def result(self):
        """SHA-256 and length of what came."""
        with self.listening, self.pool:
            return self.serving.result(self.timeout)


class Lab:
    """Inside of the clients' namespace."""

    def __init__(self, name, program):
        self.name = name
        self.program = program
        self.stations = []

    def station(self, role, *words, also=''):
        self.stations.append(Station(self, role, *words, also=also))
        return self.stations[-1]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for station in self.stations:
            station.kill()


def main(file, text, body, tools=()):
    """body(lab, options) in the clients' namespace of a network that is made for it."""
    parser = argparse.ArgumentParser(description=text)
    parser.add_argument('--program', required=True)
    parser.add_argument('--optimised', default='0', help='1: the program is built to be fast')
    parser.add_argument('--inside', help='the network, when run in its clients\' namespace')
    args = parser.parse_args()
    if args.inside:
        with Lab(args.inside, args.program) as lab:
            body(lab, args)
        return
    if os.geteuid() != 0:
        ping.skip('needs root, to make network namespaces')
    for tool in (*TOOLS, *tools):
        if not shutil.which(tool):
            ping.skip(f'{tool} is not installed')
    with ping.Lab('veth') as network:
        done = subprocess.run(['ip', 'netns', 'exec', network.client, sys.executable, '-B', file, *sys.argv[1:],
                               '--inside', network.name], check=False)
    sys.exit(done.returncode)
