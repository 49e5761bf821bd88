"""Our frames under tshark's eyes: a clean run of our TCP (penstock tcp) with the kernel's over a veth is captured on
the kernel's end: streams both ways, either side opening, each option on and off, both families, questions and answers,
a window that closes, resets, refusals and pings. In what we sent tshark finds nothing malformed, no wrong checksum, no
header that breaks a rule, no hole and nothing out of order. Each time it also has to find frames that are wrong on
purpose, each for what is wrong with it: so it is known to look.

ctest net.tcp_wire. Exit code 77: this machine does not let us make such a network, or lacks tshark."""
import collections
import contextlib
import pathlib
import re
import select
import signal
import socket
import struct
import subprocess
import tempfile
import time

import kernel_lab as lab_of
import ping
from kernel_lab import KIB, MIB, OURS, OURS_V6, PORT, THEIRS

FORGER = '02:00:00:00:00:99'
ERROR = 0x800000
# What tshark may say of a frame of ours (expert infos), since it is no fault: flow control, either side's, and how a
# connection begins and ends.
ALLOWED = ('Connection establish', 'Connection finish (FIN)', 'This frame initiates the connection closing',
           'This frame undergoes the connection closing', 'Connection reset (RST)',
           'TCP window specified by the receiver is now completely full', 'TCP Zero Window Probe',
           'TCP Zero Window segment', 'TCP keep-alive segment', 'Duplicate ACK', 'D-SACK Sequence')
# And these, as often as the station says that it has sent again.
AGAIN = ('This frame is a (suspected) retransmission', 'This frame is a (suspected) fast retransmission',
         'This frame is a (suspected) spurious retransmission')
# Besides what tshark notes by itself.
RULES = ('_ws.malformed', 'ip.checksum.status == "Bad"', 'tcp.checksum.status == "Bad"',
         'icmp.checksum.status == "Bad"', 'icmpv6.checksum.status == "Bad"', 'tcp.flags.res == 1', 'ip.flags.rb == 1',
         'ip.flags.mf == 1', 'ip.frag_offset > 0', '(tcp && ip.flags.df == 0)', 'ip.ttl < 64', 'frame.len > 1514',
         '(tcp.flags.urg == 0 && tcp.urgent_pointer != 0)', '(tcp.flags.ack == 0 && tcp.ack_raw != 0)',
         '(tcp.flags.syn == 1 && tcp.flags.fin == 1)', '(tcp.options.mss && tcp.flags.syn == 0)',
         '(tcp.options.wscale && tcp.flags.syn == 0)', 'tcp.options.wscale.shift > 14',
         f'_ws.expert.severity >= {ERROR}')


class Capture:
    """All frames of client0, as long as its block goes on."""

    def __init__(self, file):
        self.file = file
        self.process = None

    def __enter__(self):
        # pylint: disable=consider-using-with
        self.process = subprocess.Popen(['setpriv', '--pdeathsig', 'KILL', '--', 'dumpcap', '-q', '-i', 'client0', '-B',
                                         '256', '-w', self.file], stderr=subprocess.PIPE, text=True)
        said = ''
        while 'File:' not in said:
            if not select.select([self.process.stderr], [], [], 60)[0]:
                break
            line = self.process.stderr.readline()
            said += line
            if not line:
                break
        if 'File:' not in said:
            self.process.kill()
            raise AssertionError(f'dumpcap does not start: {said}')
        return self

    def __exit__(self, kind, *_):
        self.process.send_signal(signal.SIGINT)
        try:
            _, said = self.process.communicate(timeout=60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise
        lost = re.search(r'received/dropped on interface .*: (\d+)/(\d+)', said)
        if kind is None:
            assert lost and int(lost[1]) > 0 and lost[2] == '0', said


def tshark(file, condition, *fields):
    """The fields of each frame that meets the condition; what TCP carries is not looked at."""
    words = ['tshark', '-n', '-r', file, '-d', 'tcp.port==1-65535,data', '-o', 'tcp.check_checksum:TRUE',
             '-o', 'ip.check_checksum:TRUE', '-Y', condition, '-T', 'fields', '-E', 'occurrence=a',
             '-E', 'aggregator=;']
    for field in ('frame.number', *fields):
        words += ['-e', field]
    return [line.split('\t') for line in lab_of.run(*words, timeout=300).splitlines()]


def findings(file, mac):
    """Of a sender: the protocols of each frame; frames that break a rule, with what is wrong; and how many are sent
    again, in tshark's eyes."""
    protocols, found, again = {}, {}, 0
    for number, stack, messages in tshark(file, f'eth.src == {mac}', 'frame.protocols', '_ws.expert.message'):
        protocols[int(number)] = stack
        said = [message for message in messages.split(';') if message]
        again += any(message.startswith(AGAIN) for message in said)
        wrong = [message for message in said if not message.startswith(ALLOWED + AGAIN)]
        if wrong:
            found[int(number)] = wrong
    if tshark(file, f'eth.src == {mac} && ({" || ".join(RULES)})'):
        for rule in RULES:
            for number, in tshark(file, f'eth.src == {mac} && {rule}'):
                found.setdefault(int(number), []).append(rule)
    return protocols, found, again


# ---- frames that are wrong on purpose

def checksum(data):
    data += b'\0' * (len(data) % 2)
    total = sum(struct.unpack(f'!{len(data) // 2}H', data))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return ~total & 0xffff


def frame(mac, port, flags=0x10, ack=1, options=b'', offset=None, urgent=0, ip_sum=0, tcp_sum=0, df=0x4000, longer=0):
    """A segment from nobody to us, in which all is right but for what is said."""
    offset = 5 + len(options) // 4 if offset is None else offset
    source, target = socket.inet_aton('10.77.0.99'), socket.inet_aton(OURS)
    tcp = struct.pack('!HHIIHHHH', port, PORT, 1, ack, offset << 12 | flags, 1000, 0, urgent) + options
    whole = checksum(source + target + struct.pack('!HH', 6, len(tcp) + longer) + tcp)
    tcp = tcp[:16] + struct.pack('!H', whole ^ tcp_sum) + tcp[18:]
    ip = struct.pack('!BBHHHBBH', 0x45, 0, 20 + len(tcp) + longer, 0, df, 64, 6, 0) + source + target
    ip = ip[:10] + struct.pack('!H', checksum(ip) ^ ip_sum) + ip[12:]
    return mac + bytes.fromhex(FORGER.replace(':', '')) + b'\x08\0' + ip + tcp


# What is wrong; which counter of ours it moves, if it is one that we refuse; what tshark has to say of it.
FORGERIES = {
    'nothing': ({}, None, None),
    'nothing of a SYN': ({'flags': 2, 'ack': 0}, None, None),
    'the checksum of TCP': ({'tcp_sum': 1}, 'tcp_drops_checksum', 'tcp.checksum.status == "Bad"'),
    'the checksum of IP': ({'ip_sum': 1}, 'net_rx_bad_checksum', 'ip.checksum.status == "Bad"'),
    'an option of no length': ({'options': b'\x08\0\0\0'}, None, 'too-short option'),
    'an option beyond the header': ({'options': b'\x08\x0a\0\0'}, None, 'goes past end of options'),
    'a header that is too short': ({'offset': 4}, 'tcp_drops_malformed', 'Bogus TCP header length'),
    'a header beyond the segment': ({'offset': 15}, 'tcp_drops_malformed', '_ws.malformed'),
    'less than its length says': ({'longer': 100}, 'net_rx_truncated', 'exceeds packet length'),
    'a number acknowledged without ACK': ({'flags': 2, 'ack': 7}, None, 'while the ACK flag is not set'),
    'an urgent pointer without URG': ({'urgent': 7}, None, 'while the URG flag is not set'),
    'MSS without SYN': ({'options': b'\x02\x04\x05\xb4'}, None, 'does contain a MSS option'),
    'a scale of 15': ({'flags': 2, 'ack': 0, 'options': b'\x03\x03\x0f\0'}, None, 'scale shift exceeds 14'),
    'reserved flags': ({'flags': 0x210}, None, 'tcp.flags.res == 1'),
    'SYN with FIN': ({'flags': 3, 'ack': 0}, None, 'tcp.flags.fin == 1'),
    'a segment that may be cut': ({'df': 0}, None, 'ip.flags.df == 0'),
}


def forge(mac):
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as raw:
        raw.bind(('client0', 0))
        for number, (fields, *_) in enumerate(FORGERIES.values()):
            raw.send(frame(mac, 4000 + number, **fields))


# ---- the run

def mac_of_ours(lab):
    return lab_of.run('ip', 'netns', 'exec', f'{lab.name}-d', 'cat', '/sys/class/net/wire0/address').strip()


def read_slowly():
    """Our source's window closes, and opens again."""
    with lab_of.kernel_socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16 * KIB)
        sock.settimeout(lab_of.TIMEOUT_S)
        sock.connect((OURS, PORT))
        time.sleep(1)  # long enough for probes
        received = 0
        while piece := sock.recv(MIB):
            received += len(piece)
    assert received == MIB, received


def reset(address):
    """The kernel gives up, with bytes of ours unread."""
    with lab_of.kernel_socket(family=socket.AF_INET6 if ':' in address else socket.AF_INET) as sock:
        sock.settimeout(lab_of.TIMEOUT_S)
        sock.connect((address, PORT))
        sock.sendall(bytes(10_000))
        sock.recv(1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))


def refused(address):
    with lab_of.kernel_socket(family=socket.AF_INET6 if ':' in address else socket.AF_INET) as sock:
        sock.settimeout(lab_of.TIMEOUT_S)
        with contextlib.suppress(ConnectionRefusedError):
            sock.connect((address, 9))
            raise AssertionError('a connection to a port that is closed')


def clean_run(lab):
    """Reports of our stations, one after the other."""
    echo = lab.station('echo')
    for options in ((1, 1, 1), (0, 0, 0), (1, 0, 1), (1, 1, 0)):
        lab_of.set_options(*options)
        lab_of.through_our_echo(lab_of.Payload(str(options), 2 * MIB))
    lab_of.set_options(1, 1, 1)
    lab_of.through_our_echo(lab_of.Payload(6, MIB), address=OURS_V6)
    for size in (1, 2, 255, 256, 1448, 1449, 5000):
        lab_of.through_our_echo(lab_of.Payload(size, size))
    for address in (OURS, OURS_V6):
        reset(address)
        refused(address)
        lab_of.run('ping', '-c', 3, '-i', '0.02', '-W', 2, '-s', 1000, address)
    yield echo.stop()
    source = lab.station('source', '--bytes', MIB, '--connections', 1)
    read_slowly()
    yield source.finish()
    for role, *words in (('stream', '--bytes', 4 * MIB), ('ask', '--message', 128, '--seconds', 1)):
        server = lab_of.KernelEcho()
        yield lab.station(role, '--connect', server.address, *words).finish()
        server.result()


def forged_run(lab, mac):
    station = lab.station('echo')
    forge(bytes.fromhex(mac.replace(':', '')))
    lab_of.run('ping', '-c', 1, '-W', 10, OURS)  # behind them: they have come
    report = station.stop()
    lab_of.expect_home(report, but=('connections_left',))
    for name, (_, counter, *_) in FORGERIES.items():
        assert counter is None or report[counter] > 0, f'{name}: {counter} is 0'


def check_wire(lab, _):
    lab_of.set_link('clean')
    mac = mac_of_ours(lab)
    with tempfile.TemporaryDirectory(prefix='penstock-wire-') as folder:
        forged, clean = (str(pathlib.Path(folder) / name) for name in ('forged.pcapng', 'clean.pcapng'))
        with Capture(forged):
            forged_run(lab, mac)
        sent, found, _ = findings(forged, FORGER)
        assert len(sent) == len(FORGERIES), f'{len(sent)} of {len(FORGERIES)} forgeries were captured'
        for (name, (_, _, wanted)), number in zip(FORGERIES.items(), sent):
            said = found.get(number, [])
            assert any(wanted in one for one in said) if wanted else not said, f'of {name} tshark says: {said}'
        print(f'ok   tshark sees what is wrong with each of {len(sent) - 2} forged frames', flush=True)

        with Capture(clean), lab_of.Watch() as watch:
            reports = list(clean_run(lab))
        for report in reports:
            lab_of.expect_nothing_wrong(report, but=('tcp_connections_reset', 'tcp_resets_sent', 'broken'))
        sent, found, again = findings(clean, mac)
        for number in sorted(found)[:20]:
            print(f'wrong: frame {number}: {found[number]}', flush=True)
        assert not found, f'tshark finds fault with {len(found)} of {len(sent)} frames of ours'
        resent = sum(report['tcp_retransmissions'] for report in reports)
        assert again <= resent, f'{again} frames sent again, and we know of {resent}'
        kinds = collections.Counter(stack.removeprefix('eth:ethertype:').removesuffix(':data')
                                    for stack in sent.values())
        assert len(sent) > 5000 and set(kinds) >= {'ip:tcp', 'ipv6:tcp', 'arp', 'ip:icmp', 'ipv6:icmpv6'}, kinds
        print(f'ok   tshark finds nothing wrong with {len(sent)} frames of ours: {dict(kinds)}; {again} of them sent '
              f'again, and {watch.moved["TcpRetransSegs"]} by the kernel', flush=True)


if __name__ == '__main__':
    lab_of.main(__file__, __doc__, check_wire, tools=('tshark', 'dumpcap', 'ping'))
