"""What is expected of a guest with cards: that the kernel has nothing of them, that records go in and come out
through each, and that those that were acknowledged survive kill -9 and a power cut that empties the drive's cache."""
import re
import subprocess
import threading
import time

import appliance
import vm

LINES = 200_000
LARGE = 200  # records of 100,000 bytes
UNDER_LOAD = 3_000  # records that are acknowledged before the broker or the power goes
KCAT_S = 240
# A producer without duplicates, which goes on by itself when the broker is back, and asks for it more often than usual.
PRODUCER = ('-E', *(word for setting in (
    'enable.idempotence=true', 'linger.ms=5', 'message.timeout.ms=600000',
    'socket.connection.setup.timeout.ms=2000', 'reconnect.backoff.max.ms=500',
    'socket.timeout.ms=10000') for word in ('-X', setting)))


class Failed(vm.GuestError):
    """Something is not as it has to be."""


def expect(condition, what):
    if not condition:
        raise Failed(what)


def kcat(guest, *words, card=0):
    return guest.network.inside('kcat', '-b', guest.cables[card].broker, *words)


def check_kernel(guest):
    """The cards are vfio's, and the kernel has no interface but loopback, hence no address."""
    for cable in guest.cables:
        driver = guest.must(f'basename $(readlink /sys/bus/pci/devices/{cable.pci}/driver)').strip()
        expect(driver == 'vfio-pci', f'the card is driven by {driver}')
    links = guest.must('ls /sys/class/net').split()
    expect(links == ['lo'], f'the guest has interfaces {links}')
    expect(int(guest.must('ls /sys/kernel/iommu_groups | wc -l')) > 0, 'there is no IOMMU')
    # /dev/vfio/noiommu-GROUP would be the way round the IOMMU.
    groups = guest.must('ls /dev/vfio').split()
    expect(len(groups) == len(guest.cards) + 1 and all(group.isdigit() for group in groups[:-1]),
           f'/dev/vfio has {groups}')
    expect(guest.must('cat /sys/devices/system/cpu/isolated').strip() == '1', 'CPU 1 is not isolated')


def check_device(guest, say):
    log = guest.must('cat /run/broker.log')
    for cable in guest.cables:
        device = re.search(rf'device ({cable.pci}.*)', log)
        expect(device, f'the log names no device:\n{log}')
        say(f'device {device[1]}')
        expect('checksums by the device' in device[1], 'checksums are not left to the device')
        expect('sends' in device[1] and 'reference' in device[1], 'it does not send by reference')
    expect('runs without huge pages' not in log, 'DPDK found no huge pages')


def check_refusal(guest):
    """Who has no right to the card is told which file it is."""
    serve = f'penstock serve --data /tmp/none {appliance.listeners(guest.cables[:1])} --http 127.0.0.1:0'
    code, output = guest.run(f'su nobody -s /bin/bash -c "timeout 60 {serve}"', timeout=90)
    expect(code == 1 and 'no permission for /dev/vfio/' in output, f'as nobody: exit code {code}\n{output}')


def produce(guest, topic, data, card=0):
    began = time.monotonic()
    done = subprocess.run(kcat(guest, '-P', '-t', topic, *PRODUCER, card=card), input=data, capture_output=True,
                          timeout=KCAT_S, check=False)
    expect(done.returncode == 0, f'kcat -P: {done.stderr.decode()}')
    return time.monotonic() - began


def consume(guest, topic, card=0):
    done = subprocess.run(kcat(guest, '-C', '-t', topic, '-o', 'beginning', '-e', '-q', '-u', card=card),
                          capture_output=True, timeout=KCAT_S, check=False)
    expect(done.returncode == 0, f'kcat -C: {done.stderr.decode()}')
    return done.stdout


def compare(guest, topic, data, card=0):
    began = time.monotonic()
    got = consume(guest, topic, card)
    expect(got == data, f'{topic}: {len(data)} bytes went in, {len(got)} came out; the first difference is at '
           f'{next((i for i, (a, b) in enumerate(zip(got, data)) if a != b), min(len(got), len(data)))}')
    return time.monotonic() - began


def end_offset(guest, topic):
    done = subprocess.run(kcat(guest, '-Q', '-t', f'{topic}:0:-1'), capture_output=True, text=True, timeout=KCAT_S,
                          check=False)
    found = re.search(r'offset (\d+)', done.stdout)
    return int(found[1]) if found else 0


class Load:
    """A producer that goes on while the broker or its machine goes away; in the end each of its lines was acknowledged.
    A broker that is killed says no goodbye (no kernel does it for it), so the producer waits for its own timeout."""

    def __init__(self, guest, topic):
        self.guest = guest
        self.topic = topic
        self.lines = []
        self.stopping = threading.Event()
        self.process = subprocess.Popen(kcat(guest, '-P', '-t', topic, *PRODUCER), stdin=subprocess.PIPE,
                                        stderr=subprocess.PIPE)
        self.thread = threading.Thread(target=self.feed, daemon=True)
        self.thread.start()

    def feed(self):
        try:
            while not self.stopping.is_set():
                line = b'%s %08d %s\n' % (self.topic.encode(), len(self.lines), b'x' * 100)
                self.process.stdin.write(line)
                self.process.stdin.flush()
                self.lines.append(line)
                if len(self.lines) % 20 == 0:
                    time.sleep(0.01)
        except BrokenPipeError:
            pass  # finish() says why

    def wait_for(self, records):
        deadline = time.monotonic() + KCAT_S
        while (end := end_offset(self.guest, self.topic)) < records:
            expect(self.process.poll() is None, f'{self.topic}: kcat -P ended at {end} records')
            expect(time.monotonic() < deadline, f'{self.topic}: only {end} records went in')
        return end

    def finish(self):
        self.stopping.set()
        self.thread.join()
        try:
            _, errors = self.process.communicate(timeout=KCAT_S)
        except subprocess.TimeoutExpired:
            self.end()
            raise Failed(f'{self.topic}: kcat does not get its records delivered') from None
        expect(self.process.returncode == 0, f'{self.topic}: kcat -P: {errors.decode()}')
        return b''.join(self.lines)

    def end(self):
        self.stopping.set()
        self.process.kill()
        self.process.wait()


def over(guest, topic, disturb, say):
    """A load, `disturb` in the middle of it, and everything that it had acknowledged is there, once and in order."""
    load = Load(guest, topic)
    try:
        before = load.wait_for(UNDER_LOAD)
        disturb()
        load.wait_for(before + UNDER_LOAD)
        data = load.finish()
    finally:
        load.end()
    compare(guest, topic, data)
    say(f'{topic}: {len(load.lines)} records, {before} of them before it, all there, once')
    return data


def faults(guest):
    """DMA that the IOMMU has refused. A card whose process was killed causes some until it is reset."""
    return int(guest.must('dmesg | grep -c "DMAR:.*fault addr" || true'))


def boot_and_serve(guest, say):
    boot = guest.boot()
    began = time.monotonic()
    appliance.prepare(guest)
    prepared = time.monotonic() - began
    check_kernel(guest)
    ready = appliance.serve(guest)
    say(f'{" and ".join(guest.cards)}, {guest.address_bits} address bits: kernel and init {boot:.1f} s, cards to '
        f'vfio-pci and drive mounted {prepared:.1f} s, broker ready {ready:.1f} s')
    check_device(guest, say)


def there_and_back(guest, topic, data, say, card=0):
    """In by the one card and out by each."""
    there = produce(guest, topic, data, card)
    back = [compare(guest, topic, data, other) for other in range(len(guest.cards))]
    say(f'{topic}: {len(data) / 1e6:.1f} MB in {there:.1f} s there, {" and ".join(f"{s:.1f}" for s in back)} s back, '
        'the same bytes')


def check_counters(guest, refused, say):
    """The card did its part itself, and touched nothing but what it was given."""
    count = appliance.metrics(guest)
    say('device: ' + ', '.join(f'{name} {count[f"penstock_{name}_total"]:.0f}' for name in (
        'nic_rx_frames', 'nic_tx_frames', 'nic_tx_tso_frames', 'nic_tx_referred_bytes', 'nic_tx_copied_bytes',
        'nic_rx_missed', 'net_rx_bad_checksum')))
    say('records: ' + ', '.join(f'{name} {count[f"penstock_{name}_total"]:.0f}' for name in (
        'bytes_fetched', 'bytes_fetched_lent', 'tcp_bytes_copied_back', 'nic_tx_pushes', 'nic_tx_restarts')))
    expect(count['penstock_nic_reads_log'] == len(guest.cards), 'a device does not read all of the log')
    fetched, lent, back = (count[f'penstock_{name}_total'] for name in (
        'bytes_fetched', 'bytes_fetched_lent', 'tcp_bytes_copied_back'))
    expect(lent > fetched / 2, f'{lent:.0f} of {fetched:.0f} bytes left by reference')
    expect(back < lent / 10, f'{back:.0f} of {lent:.0f} lent bytes were copied back')
    expect(count['penstock_nic_tx_referred_bytes_total'] > 0, 'nothing was sent by reference')
    expect('virtio' not in guest.cards or count['penstock_nic_tx_tso_frames_total'] > 0, 'the card has cut no segments')
    expect(count['penstock_nic_link_up'] == len(guest.cards), 'a device says that it has no link')
    what = guest.run('dmesg | grep DMAR: | tail')[1]
    expect(faults(guest) == refused, f'the IOMMU has refused DMA of the card:\n{what}')


def everything(guest, second, say):
    """second: cards and address bits of the second boot."""
    boot_and_serve(guest, say)
    check_refusal(guest)
    refused = faults(guest)
    print(guest.must('uname -srv; cat /proc/cmdline; free -m'), flush=True)
    code, findings = guest.run('penstock check --appliance --data /data --ring-bytes 64MiB', timeout=120)
    print(findings, flush=True)
    expect(code == 0, 'penstock check finds something that fails')

    text = b''.join(b'line %d of the text\n' % n for n in range(LINES))
    large = b''.join(b'%d %s\n' % (n, bytes([97 + n % 26]) * 100_000) for n in range(LARGE))
    kept = {'text': text, 'large': large}
    for topic, data in kept.items():
        there_and_back(guest, topic, data, say)
    check_counters(guest, refused, say)

    def kill_broker():
        appliance.kill(guest)
        say('kill -9 of the broker')
        say(f'broker ready again in {appliance.serve(guest):.1f} s')

    def cut_power():
        written, lost = guest.cut_power()
        say(f'power cut: the drive had flushed {written} writes; the {lost} behind that are lost')
        guest.cards, guest.address_bits = second
        boot_and_serve(guest, say)

    kept['kill'] = over(guest, 'kill', kill_broker, say)
    kept['power'] = over(guest, 'power', cut_power, say)
    refused = faults(guest)
    for card, model in enumerate(guest.cards):
        there_and_back(guest, f'large-by-{model}', large, say, card)
    for topic, data in kept.items():
        compare(guest, topic, data)
    say(f'{", ".join(kept)}: the same bytes again')
    check_counters(guest, refused, say)
    appliance.stop(guest)
    log = guest.must('cat /run/broker.log')
    expect('DMA' not in log, f'DPDK complains of maps:\n{log}')
    say('the broker left cleanly')
