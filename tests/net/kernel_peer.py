"""The Linux kernel as the peer of our TCP (penstock tcp) over a veth: streams through each other's echo, opened by
either side, in every cell of a matrix of what the cable does (nothing, 1 % and 5 % lost, 10 % twice, a policer, both
ways), options (window scaling, SACK, timestamps) and the kernel's congestion control. The same SHA-256 on both ends,
nothing in either side's counters of what is wrong, and everything of ours home behind each.

ctest net.tcp_kernel: pairs of values, each at least once, 8 MiB a stream, or 2 where each loss costs a timeout.
PENSTOCK_FULL, and a program that is built to be fast: every cell, 8 MiB, and 1 GiB in the clean ones. Exit code 77:
this machine does not let us make such a network."""
import hashlib
import itertools
import os
import random
import time

import kernel_lab as lab_of
from kernel_lab import MIB

FULL = os.environ.get('PENSTOCK_FULL', '') not in ('', '0')
TIMEOUT_S = 400  # of a stream; the slow ones are those that wait for timers
TIMERS_S = 3000  # of one in which timeouts of Linux grow to two minutes
PERIOD = 65_521  # of the bytes that a station sends: dataplane/station/station.cc


# What the cable does to the kernel's counters. A SYN-ACK of ours that comes twice, or again because the ACK of it was
# lost, is a SYN in a connection (RFC 5961 4). Of data that it did not send twice it does not believe our DSACK, and
# takes it for a SACK that is wrong. And a duplicate comes by another cable, so that its timestamp may be older than one
# that was seen (RFC 7323 5).
EXCUSES_LOST = {'TcpInErrs': 'TcpExtTCPSYNChallenge'}
EXCUSES_TWICE = EXCUSES_LOST | {'TcpExtTCPSACKDiscard': 'TcpExtTCPDSACKIgnoredDubious',
                                'TcpExtPAWSEstab': 'TcpExtPAWSEstab'}


def excuses(link):
    return EXCUSES_TWICE if link == 'twice' else EXCUSES_LOST if link != 'clean' else None


def size_of(cell, whole):
    """Without SACK a loss is found by the timer, since each ACK of an echo carries data and is no duplicate (RFC 5681
    2): that takes a fifth of a second each, so there CI sends less."""
    link, _, sack, _, _ = cell
    if whole:
        return 1024 * MIB if link == 'clean' else 8 * MIB
    return 2 * MIB if link in ('1%', '5%') and not sack else 8 * MIB


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


def station_bytes(lab):
    """What a station sends, from its own mouth; it goes round."""
    station = lab.station('source', '--bytes', 2 * PERIOD, '--connections', 1)
    got = b''
    with lab_of.kernel_socket() as sock:
        sock.settimeout(lab_of.TIMEOUT_S)
        sock.connect((lab_of.OURS, lab_of.PORT))
        while piece := sock.recv(MIB):
            got += piece
    lab_of.expect_nothing_wrong(station.finish())
    assert len(got) == 2 * PERIOD and got[:PERIOD] == got[PERIOD:] and len(set(got)) == 256, len(got)
    return got[:PERIOD]


def digest_of(period, size):
    digest = hashlib.sha256()
    for _ in range(size // PERIOD):
        digest.update(period)
    digest.update(period[:size % PERIOD])
    return digest.hexdigest()


def patience(cell, size):
    """Linux takes back a doubled timeout only when it has measured a round trip (RFC 6298 5), and without timestamps
    does not measure what was sent again (Karn). Without SACK a flight that lost segments is sent again whole, and each
    that is lost then is one more timeout; bbr's flights stay large."""
    link, _, sack, timestamps, control = cell
    many = link == '5%' and not sack and not timestamps and control == 'bbr'
    return (TIMERS_S if many else TIMEOUT_S) + size // MIB


def kernel_opens(lab, link, control, size, timeout):
    station = lab.station('echo', '--connections', 1)
    payload = lab_of.Payload(f'{link} {control}', size)
    with lab_of.Watch(excuses(link)) as watch:
        lab_of.through_our_echo(payload, control, timeout=timeout)
        report = station.finish(timeout)
    assert (report['connections'], report['closed'], report['received']) == (1, 1, size), report
    return report, watch.moved


def we_open(lab, link, control, size, timeout, period):
    echo = lab_of.KernelEcho(control, timeout)
    with lab_of.Watch(excuses(link)) as watch:
        report = lab.station('stream', '--connect', echo.address, '--bytes', size).finish(timeout)
        digest, total = echo.result()
    assert (total, report['received']) == (size, size), f'{total} bytes came, {report}'
    assert digest == digest_of(period, size), 'what came is not what we sent'
    return report, watch.moved


policed = []  # frames that the policer hit, of each stream that it was for


def check_faults(link, sack, opener, report, moved):
    """The cable did what the cell is named for, both ways; an echo sends no faster than the policer on the way to it
    lets pass. And each side sent again what was lost, not many times as much."""
    to_kernel, to_us = lab_of.frames_hit()
    if link == 'clean':
        assert (to_kernel, to_us) == (0, 0)
        return ''
    if link == 'policed':  # who is slower than it lets pass, in one cell or another, does not meet it
        policed.append(to_us if opener == 'kernel' else to_kernel)
        if policed[-1] == 0:
            return ', none was too fast'
    else:
        assert min(to_kernel, to_us) > 0, f'{to_kernel} frames to the kernel were hit, {to_us} to us'
    if link == 'twice':
        assert report['tcp_drops_out_of_window'] + report['tcp_duplicates'] > 0, report
        assert not sack or moved['TcpExtTCPDSACKOldSent'] + moved['TcpExtTCPDSACKOfoSent'] > 0, 'no duplicate came'
        return f', {to_kernel} and {to_us} frames doubled'
    assert to_kernel == 0 or report['tcp_retransmissions'] > 0, report
    first_time = report['tcp_segments_sent'] - report['tcp_retransmissions']
    assert report['tcp_retransmissions'] < 2 * first_time, f'{report["tcp_retransmissions"]} of {first_time} sent again'
    return f', {to_kernel} and {to_us} frames lost'


def check_touches(report):
    """Received bytes stay where the device put them, and go to it by reference: but for pieces below 256 bytes on their
    way out, and below 512 on their way in."""
    assert report['nic_rx_copied_bytes'] == 0, report
    assert report['nic_tx_referred_bytes'] >= report['sent'] * 0.99, report
    assert report['nic_tx_copied_bytes'] <= report['sent'] * 0.01, report
    assert report['tcp_bytes_copied_in'] <= report['received'] * 0.01, report


# Ours, where the link does something. The last ACK of a connection that comes twice, doubled by the link or because a
# FIN was sent again whose ACK had been lost, is answered with a reset (RFC 9293 3.10.7.1). A segment that was overtaken
# by more than a window is dropped and challenged (RFC 5961 5.2): the kernel's bbr behind a policer on a busy machine
# has sent such.
FAULTS_MAY = ('tcp_resets_sent', 'tcp_drops_bad_ack')


def run_cell(lab, cell, size, period):
    link, scaling, sack, timestamps, control = cell
    lab_of.set_options(scaling, sack, timestamps)
    said = ''
    for who in ('kernel', 'we'):
        began = time.monotonic()
        lab_of.set_link(link)  # and its counters begin anew
        timeout = patience(cell, size)
        report, moved = (kernel_opens(lab, link, control, size, timeout) if who == 'kernel' else
                         we_open(lab, link, control, size, timeout, period))
        lab_of.expect_nothing_wrong(report, but=() if link == 'clean' else FAULTS_MAY)
        hit = check_faults(link, sack, who, report, moved)
        if link == 'clean':
            check_touches(report)
        said += (f'; {who} opened: {moved["TcpRetransSegs"]} and {report["tcp_retransmissions"]} sent again{hit}, '
                 f'{time.monotonic() - began:.1f} s')
    print(f'ok   {link:8} scaling={scaling} sack={sack} timestamps={timestamps} {control:6} {size // MIB} MiB{said}',
          flush=True)


def matrix(lab, args):
    have, lack = lab_of.controls()
    if lack:
        print(f'this kernel has no {" and no ".join(lack)}', flush=True)
    whole = FULL and args.optimised == '1'
    values = [list(lab_of.LINKS), [1, 0], [1, 0], [1, 0], have]
    cells = list(itertools.product(*values)) if whole else pairwise(values)
    lab_of.add_second_cable()
    lab_of.set_link('clean')
    period = station_bytes(lab)
    for cell in cells:
        try:
            run_cell(lab, cell, size_of(cell, whole), period)
        except BaseException:
            print(f'WRONG {cell}', flush=True)
            raise
    # A build with sanitizers, beside other work, sends slower than it lets pass in most of them.
    needed = len(policed) // 2 + 1 if args.optimised == '1' else 1
    assert sum(map(bool, policed)) >= needed, f'the policer hit in few cells: {policed}'
    print(f'matrix: {len(cells)} cells, both sides opened in each, {"all" if whole else "pairwise"}', flush=True)


if __name__ == '__main__':
    lab_of.main(__file__, __doc__, matrix)
