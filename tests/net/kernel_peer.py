"""The Linux kernel as the peer of our TCP (penstock tcp) over a veth: streams of random bytes to our echo and back, and
from our client to an echo of the kernel's; the same SHA-256 on both ends in every cell of a matrix of what the link
does (clean, 1 % and 5 % lost, policed), options (window scaling, SACK, timestamps) and the kernel's congestion control;
and nothing in the kernel's counters of what is wrong. Then a SYN flood and a scan beside real clients.

ctest net.tcp_kernel: pairs of values, each at least once. PENSTOCK_FULL: every cell. Exit code 77: this machine does
not let us make such a network."""
import argparse
import concurrent.futures
import contextlib
import hashlib
import itertools
import json
import os
import pathlib
import random
import select
import shutil
import socket
import subprocess
import sys
import threading

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import ping  # pylint: disable=wrong-import-position

MIB = 1 << 20
FULL = os.environ.get('PENSTOCK_FULL', '') not in ('', '0')
OURS, THEIRS, PORT = '10.77.0.2', '10.77.0.1', 7
TIMEOUT_S = 120
LINKS = {'clean': None, '1%': 1, '5%': 5, 'policed': None}
# Of the kernel; each of them says that a segment of ours was wrong.
WRONG = ('TcpInErrs', 'TcpInCsumErrors', 'TcpExtTCPSACKReneging', 'TcpExtTCPSACKDiscard', 'TcpExtPAWSEstab',
         'TcpExtTCPAbortOnData', 'IpInHdrErrors')


def in_namespace(*command, check=True, **kwargs):
    """A command in this, the clients', namespace."""
    done = subprocess.run(list(map(str, command)), text=True, capture_output=True, timeout=60, check=False, **kwargs)
    if check and done.returncode:
        raise AssertionError(f'{command}: {done.stderr}')
    return done.stdout


class Station:
    """penstock tcp ROLE, in the broker's namespace."""

    def __init__(self, program, name, role, *words):
        device = f'net_af_packet,iface=wire0,address={OURS}/24,address=fd77::2/64,port={PORT}'
        command = ['ip', 'netns', 'exec', f'{name}-d', program, 'tcp', role, '--device', device, '--no-huge-pages',
                   *map(str, words)]
        self.process = subprocess.Popen(['setpriv', '--pdeathsig', 'KILL', '--', *command], stdout=subprocess.PIPE,
                                        text=True)
        line = self.process.stdout.readline() if select.select([self.process.stdout], [], [], 60)[0] else ''
        if not line.startswith('ready '):
            self.process.kill()
            raise AssertionError(f'the station does not start (exit code {self.process.wait()})')

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


def set_link(kind):
    """What happens to frames in both directions, on the kernel's end. A packet socket at the other end sees and sends
    frames past that end's own hooks."""
    in_namespace('nft', 'flush', 'ruleset')
    in_namespace('tc', 'qdisc', 'del', 'dev', 'client0', 'root', check=False)
    # A segment at a time, or what is lost is many at once.
    in_namespace('ip', 'link', 'set', 'dev', 'client0', 'gso_max_segs', '1' if LINKS[kind] else '65535')
    if LINKS[kind]:
        # What is dropped on its way out the kernel's TCP is told of, and does not count as sent: so those go astray.
        chain = ('chain {0} {{\ntype filter hook {0} device client0 priority 0\n'
                 'ip protocol tcp numgen random mod 100 < {1} {2}\n}}\n')
        chains = ''.join(chain.format(hook, LINKS[kind], verdict)
                         for hook, verdict in (('ingress', 'drop'), ('egress', 'fwd to "lo"')))
        in_namespace('nft', '-f', '-', input=f'table netdev loss {{\n{chains}}}\n')
    if kind == 'policed':
        in_namespace('tc', 'qdisc', 'add', 'dev', 'client0', 'root', 'tbf', 'rate', '80mbit', 'burst', '32kb', 'limit',
                     '64kb')


def set_options(scaling, sack, timestamps, control):
    for name, value in (('tcp_window_scaling', scaling), ('tcp_sack', sack), ('tcp_timestamps', timestamps),
                        ('tcp_congestion_control', control)):
        in_namespace('sysctl', '-q', '-w', f'net.ipv4.{name}={value}')


def kernel_counters():
    counters = {}
    for file in ('/proc/net/snmp', '/proc/net/netstat'):
        lines = pathlib.Path(file).read_text(encoding='ascii').splitlines()
        for names, values in zip(lines[::2], lines[1::2]):
            kind = names.split(':')[0]
            counters.update({kind + name: int(value) for name, value in zip(names.split()[1:], values.split()[1:])})
    return counters


def send_all(sock, data):
    sock.sendall(data)
    sock.shutdown(socket.SHUT_WR)


def through_our_echo(data):
    """The kernel connects: all of data there and back, both ways at once. The SHA-256 of what came."""
    digest, received = hashlib.sha256(), 0
    with socket.create_connection((OURS, PORT), timeout=TIMEOUT_S) as sock:
        sender = threading.Thread(target=send_all, args=(sock, data))
        sender.start()
        while piece := sock.recv(MIB):
            digest.update(piece)
            received += len(piece)
        sender.join()
    assert received == len(data), f'{received} of {len(data)} bytes came back'
    return digest.hexdigest()


def kernel_echo(listening):
    """An echo of the kernel's for one connection; how many bytes."""
    sock, _ = listening.accept()
    total = 0
    with sock:
        sock.settimeout(TIMEOUT_S)
        while piece := sock.recv(256 * 1024):
            total += len(piece)
            sock.sendall(piece)
    return total


def run_cell(cell, size):
    link, scaling, sack, timestamps, control = cell
    set_options(scaling, sack, timestamps, control)
    set_link(link)
    before = kernel_counters()
    data = random.Random(repr(cell)).randbytes(size)
    got = through_our_echo(data)
    assert got == hashlib.sha256(data).hexdigest(), 'what came back is not what was sent'
    after = kernel_counters()
    wrong = {counter: after[counter] - before[counter] for counter in WRONG if after[counter] != before[counter]}
    assert not wrong, f'the kernel counted {wrong}'
    resent = after['TcpRetransSegs'] - before['TcpRetransSegs']
    print(f'ok   {link:8} scaling={scaling} sack={sack} timestamps={timestamps} {control:6} {size // MIB} MiB, '
          f'{resent} segments sent again by the kernel', flush=True)
    return resent


def active_open(name, program, link, size):
    """We connect: our client checks each byte that comes back."""
    set_link(link)
    with socket.create_server((THEIRS, 9007)) as listening, concurrent.futures.ThreadPoolExecutor() as pool:
        listening.settimeout(TIMEOUT_S)
        echo = pool.submit(kernel_echo, listening)
        report = Station(program, name, 'stream', '--connect', f'{THEIRS}:9007', '--bytes', size).finish()
        assert echo.result(TIMEOUT_S) == size
    assert (report['received'], report['wrong'], report['broken']) == (size, 0, 0), report
    print(f'ok   active open, {link}: {size // MIB} MiB, {report["retransmissions"]} segments sent again', flush=True)


def pairwise(values):
    """Cells in which each pair of values of two columns stands at least once: greedy, from a fixed seed."""
    columns = range(len(values))
    wanted = {((a, x), (b, y)) for a, b in itertools.combinations(columns, 2) for x in values[a] for y in values[b]}
    cells, draw = [], random.Random(1)
    everything = list(itertools.product(*values))
    while wanted:
        def gain(cell):
            return sum(((a, cell[a]), (b, cell[b])) in wanted for a, b in itertools.combinations(columns, 2))
        best = max(draw.sample(everything, min(len(everything), 200)), key=gain)
        wanted -= {((a, best[a]), (b, best[b])) for a, b in itertools.combinations(columns, 2)}
        cells.append(best)
    return cells


def controls():
    """Congestion controls that a namespace may choose here."""
    allowed = pathlib.Path('/proc/sys/net/ipv4/tcp_available_congestion_control').read_text(encoding='ascii').split()
    usable = []
    for control in ('cubic', 'reno', 'bbr'):
        if control in allowed and subprocess.run(['sysctl', '-q', '-w', f'net.ipv4.tcp_congestion_control={control}'],
                                                 capture_output=True, check=False).returncode == 0:
            usable.append(control)
    return usable


def matrix(name, program):
    values = [list(LINKS), [1, 0], [1, 0], [1, 0], controls()]
    cells = list(itertools.product(*values)) if FULL else pairwise(values)
    station = Station(program, name, 'echo')
    resent = 0
    for cell in cells:
        # Without SACK every hole costs a round trip, and with a policer the kernel waits for its timer.
        size = 8 * MIB if cell[0] == 'clean' or FULL else 2 * MIB
        resent += run_cell(cell, size)
    assert resent > 100, f'the kernel sent {resent} segments again: nothing was lost on the way to us'
    set_options(1, 1, 1, controls()[0])
    set_link('clean')
    report = station.stop()
    assert report['drops_checksum'] == 0 and report['broken'] == 0, report
    for link in ('clean', '1%'):
        active_open(name, program, link, 8 * MIB)
    set_link('clean')
    assert report['retransmissions'] > 100, f'nothing was lost on the way from us: {report}'
    print(f'matrix: {len(cells)} cells; {report["retransmissions"]} segments sent again by us', flush=True)


# Raw SYNs from random ports of one address that answers nothing, as fast as Python can; at most so many.
def flood(stop, count=20_000):
    source, target = socket.inet_aton('10.77.0.99'), socket.inet_aton(OURS)
    draw, sent = random.Random(5), 0
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW) as raw:
        while not stop.is_set() and sent < count:
            tcp = (draw.randrange(1024, 65536).to_bytes(2, 'big') + PORT.to_bytes(2, 'big') + draw.randbytes(4)
                   + bytes(4) + b'\x50\x02\xff\xff\0\0\0\0')
            pseudo = source + target + b'\0\x06' + len(tcp).to_bytes(2, 'big')
            tcp = tcp[:16] + checksum(pseudo + tcp).to_bytes(2, 'big') + tcp[18:]
            header = b'\x45\0' + (20 + len(tcp)).to_bytes(2, 'big') + bytes(4) + b'\x40\x06\0\0' + source + target
            with contextlib.suppress(OSError):
                raw.sendto(header + tcp, (OURS, 0))
            sent += 1
    return sent


def checksum(data):
    total = sum(int.from_bytes(data[at:at + 2], 'big') for at in range(0, len(data), 2))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return ~total & 0xffff


def under_flood(name, program):
    """Half-open connections fill up, cookies take over, and real clients are served as before."""
    station = Station(program, name, 'echo')
    stop = threading.Event()
    with concurrent.futures.ThreadPoolExecutor() as pool:
        flooding = pool.submit(flood, stop)
        served = 0
        while not flooding.done() or served < 20:
            data = random.Random(served).randbytes(100_000)
            assert through_our_echo(data) == hashlib.sha256(data).hexdigest()
            served += 1
            if served >= 200:
                stop.set()
        sent = flooding.result()
    scanned = scan()
    data = random.Random(0).randbytes(MIB)
    assert through_our_echo(data) == hashlib.sha256(data).hexdigest()
    report = station.stop()
    assert report['cookies_sent'] > 0, report
    print(f'flood: {sent} SYNs, {report["cookies_sent"]} cookies, {served} real clients served; {scanned}', flush=True)


def scan():
    """The segments that scanners send, to an open and a closed port: each flag combination, and no answer breaks us."""
    if shutil.which('nmap'):
        for kind in ('-sS', '-sN', '-sF', '-sX', '-sA'):
            in_namespace('nmap', '-n', '-Pn', kind, '-p', f'{PORT},9', '--max-retries', '1', OURS)
        return 'five scans of nmap'
    return 'nmap is not installed, so nothing was scanned'


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--program', required=True)
    parser.add_argument('--inside', help='the network, when run in its clients\' namespace')
    args = parser.parse_args()
    if args.inside:
        matrix(args.inside, args.program)
        under_flood(args.inside, args.program)
        return
    if os.geteuid() != 0:
        ping.skip('needs root, to make network namespaces')
    for tool in ('ip', 'ethtool', 'nft', 'tc', 'sysctl', 'setpriv'):
        if not shutil.which(tool):
            ping.skip(f'{tool} is not installed')
    with ping.Lab('veth') as lab:
        done = subprocess.run(['ip', 'netns', 'exec', lab.client, sys.executable, '-B', __file__, '--program',
                               args.program, '--inside', lab.name], check=False)
    if done.returncode == 0 and not shutil.which('nmap'):  # the rest has passed
        ping.skip('nmap is not installed, so nothing was scanned')
    sys.exit(done.returncode)


if __name__ == '__main__':
    main()
