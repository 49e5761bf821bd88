"""Scans and floods beside real clients, against our TCP (penstock tcp) over a veth: nmap's scans, and with hping3 SYNs,
segments of no connection, wrong checksums, fragments, echo requests, our own address as the sender, resets and SYNs
into a live connection. While each goes on, clients of the kernel's TCP get their bytes back; behind all of them every
mbuf is home, and each kind was counted.

ctest net.tcp_floods. Exit code 77: this machine does not let us make such a network, or lacks nmap or hping3."""
import concurrent.futures
import pathlib
import random
import socket

import kernel_lab as lab_of
from kernel_lab import KIB, MIB, OURS, PORT

COUNT = 20_000  # segments of a flood
CLIENTS_MIN = 5  # served while it goes on, and behind it
NOBODY = '10.77.0.99'
OPEN, CLOSED = PORT, 9


def hping(*words, count=COUNT, interval='u10', target=OURS):
    return ('hping3', '-n', '-q', '-c', count, '-i', interval, *words, target)


# What is sent; which counter of ours says that it came: not all of it does, if we are the slower ones. A packet socket
# puts fragments together before we see them.
FLOODS = {
    'SYNs of one who does not answer': (hping('-S', '-p', OPEN, '-a', NOBODY), 'tcp_cookies_sent'),
    'SYNs from everywhere': (hping('-S', '-p', OPEN, '--rand-source'), 'net_tx_no_route'),
    'SYNs whose sender resets': (hping('-S', '-p', OPEN), 'net_rx_tcp'),
    'SYNs to a closed port': (hping('-S', '-p', CLOSED, '-a', NOBODY), 'tcp_resets_sent'),
    'ACKs': (hping('-A', '-p', OPEN), 'tcp_drops_no_connection'),
    'data': (hping('-A', '-P', '-p', OPEN, '-d', 1400), 'tcp_drops_no_connection'),
    'FINs': (hping('-F', '-p', OPEN), 'net_rx_tcp'),
    'resets': (hping('-R', '-p', OPEN), 'net_rx_tcp'),
    'all flags': (hping('-F', '-S', '-R', '-P', '-A', '-U', '-X', '-Y', '-p', OPEN), 'net_rx_tcp'),
    'no flags': (hping('-p', OPEN), 'net_rx_tcp'),
    'wrong checksums': (hping('-S', '-b', '-p', OPEN), 'tcp_drops_checksum'),
    'headers that are too short': (hping('-S', '-O', 4, '-p', OPEN), 'tcp_drops_malformed'),
    'our own address': (hping('-S', '-a', OURS, '-s', OPEN, '-k', '-p', OPEN), 'net_rx_bad_source'),
    'fragments': (hping('-S', '-f', '-d', 200, '-p', OPEN), 'net_rx_tcp'),
    'datagrams': (hping('--udp', '-p', OPEN, '-d', 500), 'net_rx_unknown_protocol'),
    'echo requests': (hping('--icmp', '-d', 1000), 'net_rx_icmp_echo'),
    'another protocol': (hping('--rawip', '-H', 99, '-d', 100), 'net_rx_unknown_protocol'),
}


def serve_clients(busy, at_least):
    """Real clients, one after the other, until it is over; how many."""
    served = 0
    while served < at_least or busy():
        lab_of.through_our_echo(lab_of.Payload(served, 100_000))
        served += 1
    return served


def beside_clients(*commands):
    """The commands at once, and clients as long as one of them runs; how many were served."""
    with concurrent.futures.ThreadPoolExecutor() as pool:
        running = [pool.submit(lab_of.run, *command, check=False, timeout=100) for command in commands]
        served = serve_clients(lambda: not all(one.done() for one in running), CLIENTS_MIN)
        return served, [one.result() for one in running]


def frames_sent():
    return int(pathlib.Path('/sys/class/net/client0/statistics/tx_packets').read_text(encoding='ascii'))


def floods(lab):
    for name, (command, counter) in FLOODS.items():
        station, before = lab.station('echo'), frames_sent()
        served, _ = beside_clients(command)
        assert frames_sent() - before > COUNT, f'{name}: hping3 has not sent {COUNT}'
        report = station.stop()
        lab_of.expect_home(report, but=('connections_left',))  # who does not answer our SYN-ACK is half open
        at_least = COUNT // 10 if counter != 'tcp_resets_sent' else 1000  # of which there are so many a second
        assert report[counter] >= at_least, f'{name}: {counter} is {report[counter]}: {report}'
        assert (report['connections'] >= served, report['wrong']) == (True, 0), report
        print(f'ok   {name}: {report["net_rx_tcp"]} segments came, {counter} {report[counter]}; {served} clients '
              'served', flush=True)


def into_a_connection(lab):
    """Blind resets, SYNs and data into a connection that lives (RFC 5961): it goes on, and loses nothing."""
    station = lab.station('echo')
    with lab_of.kernel_socket() as sock:
        sock.settimeout(lab_of.TIMEOUT_S)
        sock.connect((OURS, PORT))
        ours = ('-k', '-s', sock.getsockname()[1], '-p', PORT)
        attacks = [hping(flag, *ours) for flag in ('-R', '-S', '-A', '-F')]
        with concurrent.futures.ThreadPoolExecutor() as pool:
            attacking = [pool.submit(lab_of.run, *attack, check=False, timeout=100) for attack in attacks]
            draw, echoed = random.Random(1), 0
            while echoed < MIB or not all(one.done() for one in attacking):
                data = draw.randbytes(10 * KIB)
                sock.sendall(data)
                back = b''
                while len(back) < len(data):
                    piece = sock.recv(len(data))
                    assert piece, 'the connection ended'
                    back += piece
                assert back == data, 'what came back is not what was sent'
                echoed += len(data)
    report = station.stop()
    lab_of.expect_home(report)
    assert (report['broken'], report['connections_left']) == (0, 0), report
    # How many of them come is the device's queue's affair: a slow machine loses most before we see them.
    assert report['tcp_drops_out_of_window'] > COUNT * len(attacks) // 20, report
    print(f'ok   {len(attacks) * COUNT} segments into a live connection: {echoed // KIB} KiB went through, '
          f'{report["tcp_drops_out_of_window"]} refused, {report["tcp_challenge_acks"]} challenged', flush=True)


def scans(lab):
    """What scanners send, to an open and a closed port: each flag combination, and what they guess of us."""
    station = lab.station('echo')
    port = ('-n', '-Pn', '--max-retries', '1', '-p', f'{OPEN},{CLOSED}')
    nmap = [('nmap', *port, kind, OURS) for kind in ('-sS', '-sT', '-sN', '-sF', '-sX', '-sA', '-sW', '-sM')]
    nmap += [('nmap', '-6', *port, '-sS', lab_of.OURS_V6), ('nmap', *port, '-sS', '-f', OURS),
             ('nmap', *port, '-sS', '-O', OURS), ('nmap', '-n', '-Pn', '-sO', '-p', '1-20', '--max-retries', '1', OURS)]
    served, said = beside_clients(*nmap)
    for words, text in zip(nmap, said):
        assert 'done: 1 IP address (1 host up)' in text, f'{words}: {text}'
    for text in (said[0], said[1], said[len(nmap) - 4]):
        states = [line.split()[1] for line in text.splitlines() if '/tcp' in line]
        assert states == ['open', 'closed'], text
    _, found = beside_clients(('hping3', '--scan', f'1-{OPEN + 100}', '-S', OURS))
    assert 'All replies received. Done.' in found[0] or str(OPEN) in found[0], found
    report = station.stop()
    lab_of.expect_home(report, but=('connections_left',))
    print(f'ok   {len(nmap)} scans of nmap, one of hping3; {served} clients served', flush=True)


def connections_that_say_nothing(lab, count=2000):
    """Open, idle, and reset all at once: others are served, and all of it comes home."""
    station = lab.station('echo')
    idle = []
    for _ in range(count):
        sock = lab_of.kernel_socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b'\1\0\0\0\0\0\0\0')
        sock.connect((OURS, PORT))
        idle.append(sock)
    served = serve_clients(lambda: False, CLIENTS_MIN)
    for sock in idle:
        sock.close()
    served += serve_clients(lambda: False, CLIENTS_MIN)
    report = station.stop()
    lab_of.expect_home(report)
    assert report['tcp_connections_reset'] >= count, report
    print(f'ok   {count} idle connections, then {count} resets; {served} clients served', flush=True)


def all_of_them(lab, _):
    floods(lab)
    into_a_connection(lab)
    connections_that_say_nothing(lab)
    scans(lab)


if __name__ == '__main__':
    lab_of.main(__file__, __doc__, all_of_them, tools=('nmap', 'hping3'))
