"""Makes an appliance of the guest with the commands of docs/deploy/bare_metal.md, and starts and ends its broker."""
import time

import vm

READY_S = 240
STOP_S = 60
# QEMU's drive says that it knows FUA, and does not do it: only a flush empties its cache.
SETTINGS = {'penstock.ring.durability': 'flush',
            'penstock.lcores': 1, 'penstock.lcore.cpus': 1, 'penstock.idle.strategy': 'spin',
            'penstock.ring.bytes': 64 << 20}


def give_card_to_vfio(guest, card, model):
    """Section 1. The kernel's driver has the card first, as on a machine that has just been installed."""
    guest.must(f'modprobe {"e1000e" if model == "e1000e" else "virtio_net"}')
    find = f'ls /sys/bus/pci/devices/{card}/net /sys/bus/pci/devices/{card}/virtio*/net 2>/dev/null'
    interface = guest.run(find)[1].split()[-1]
    guest.must(f'ip link set {interface} down')
    guest.must('modprobe vfio-pci')
    guest.must(f'dpdk-devbind.py --bind=vfio-pci {card}')


def listeners(cables):
    """The flag for these cards."""
    return '--listen ' + ','.join(f'CARD{cable.slot}://dpdk:{cable.pci},'
                                  + ','.join(f'address={address}' for address in cable.guest) for cable in cables)


def prepare(guest):
    for cable, model in zip(guest.cables, guest.cards):
        give_card_to_vfio(guest, cable.pci, model)
    guest.must('blkid /dev/nvme0n1 || mkfs.ext4 -q /dev/nvme0n1', timeout=120)
    guest.must('mount /dev/nvme0n1 /data')


def serve(guest):
    """Seconds until the broker is ready."""
    began = time.monotonic()
    settings = ' '.join(f'--set {name}={value}' for name, value in SETTINGS.items())
    broker = f'penstock serve --data /data/penstock {listeners(guest.cables)} --http 127.0.0.1:9644 {settings}'
    guest.must(f': >/run/broker.exit; ({broker} >/run/broker.log 2>&1 & echo $! >/run/broker.pid; wait $!; '
               'echo $? >/run/broker.exit) >/dev/null 2>&1 & until [[ -s /run/broker.pid ]]; do sleep 0.1; done')
    while not guest.run('grep ^ready /run/broker.log')[1]:
        if guest.run('kill -0 $(cat /run/broker.pid)')[0]:
            raise vm.GuestError('the broker ended before it was ready')
        if time.monotonic() - began > READY_S:
            raise vm.GuestError(f'the broker is not ready after {READY_S} s')
        time.sleep(0.1)
    return time.monotonic() - began


def kill(guest):
    guest.must('kill -9 $(cat /run/broker.pid); while kill -0 $(cat /run/broker.pid) 2>/dev/null; do sleep 0.1; done')


def stop(guest):
    """SIGTERM; it has to leave with exit code 0."""
    guest.must('kill -TERM $(cat /run/broker.pid); until [[ -s /run/broker.exit ]]; do sleep 0.1; done', timeout=STOP_S)
    code = guest.must('cat /run/broker.exit').strip()
    if code != '0':
        raise vm.GuestError(f'the broker left with exit code {code}')


def metrics(guest):
    """Name to sum over labels."""
    page = guest.must('exec 4<>/dev/tcp/127.0.0.1/9644; printf "GET /metrics HTTP/1.0\\r\\n\\r\\n" >&4; cat <&4')
    out = {}
    for line in page.splitlines():
        name, _, value = line.rpartition(' ')
        if name.startswith('penstock_') and value:
            bare = name.split('{')[0]
            out[bare] = out.get(bare, 0) + float(value)
    return out


def broker_log(guest):
    """Its end; nothing if the guest does not answer any more."""
    try:
        return guest.run('tail -n 30 /run/broker.log', timeout=10)[1]
    except (vm.GuestError, OSError, AttributeError):
        return ''
