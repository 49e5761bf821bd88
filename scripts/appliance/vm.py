"""QEMU with the guest of scripts/appliance-vm: its network, its drive, its power, and the line by which it is told what
to do."""
import os
import pathlib
import select
import shutil
import signal
import socket
import subprocess
import time

import drive

MODELS = {
    'e1000e': 'e1000e,rombar=0',
    # As a card in hardware: no legacy ports, and its memory accesses through the IOMMU.
    'virtio': 'virtio-net-pci,rombar=0,disable-legacy=on,iommu_platform=on',
}
CABLES = 2  # that the network has; a guest has a card at one or both
MEMORY_MIB = 2560
HUGE_PAGES = 480  # of 2 MiB: a ring of 64 MiB, and what two cards with one queue take
# The page's section 3: CPU 1 is the lcore's.
KERNEL = ('root=/dev/vda ro init=/sbin/appliance-init console=ttyS0 quiet panic=-1 intel_iommu=on iommu=pt '
          f'hugepagesz=2M hugepages={HUGE_PAGES} isolcpus=managed_irq,domain,1 nohz_full=1 rcu_nocbs=1 irqaffinity=0')
BOOT_S = 180
END_S = 10


class Cable:
    """The place of a card, and both of its ends' addresses."""

    def __init__(self, number):
        self.slot = 5 + number
        self.pci = f'0000:00:{self.slot:02x}.0'
        self.tap = f'client{number}'
        self.host = (f'10.{77 + number}.0.1/24', f'fd{77 + number}::1/64')
        self.guest = (f'10.{77 + number}.0.2/24', f'fd{77 + number}::2/64')
        self.broker = f'10.{77 + number}.0.2:9092'


class GuestError(Exception):
    """The guest did not do what it was to do; says what it did instead."""


def host(*words, timeout=60):
    done = subprocess.run(words, text=True, capture_output=True, timeout=timeout, check=False)
    if done.returncode:
        raise GuestError(f'{" ".join(map(str, words))}: {done.stderr.strip() or done.stdout.strip()}')
    return done.stdout


def accelerator():
    """KVM needs the CPU's help as well as its device: a /dev/kvm alone may be another hypervisor's."""
    flags = pathlib.Path('/proc/cpuinfo').read_text().split()
    usable = os.access('/dev/kvm', os.R_OK | os.W_OK) and ('vmx' in flags or 'svm' in flags)
    return ('kvm', 'host') if usable else ('tcg,thread=multi', 'max,la57=off')


class Network:
    """A namespace with the host's ends of the cards' cables. Clients run in it, and QEMU."""

    def __init__(self, name):
        self.name = name
        self.cables = [Cable(number) for number in range(CABLES)]

    def up(self):
        self.down()
        ip = ('ip', '-n', self.name)
        host('ip', 'netns', 'add', self.name)
        host(*ip, 'link', 'set', 'lo', 'up')
        for cable in self.cables:
            host(*ip, 'tuntap', 'add', 'dev', cable.tap, 'mode', 'tap')
            # A tap is down while no QEMU holds it, and the kernel forgets its IPv6 addresses with that.
            host(*self.inside('sysctl', '-q', '-w', f'net.ipv6.conf.{cable.tap}.keep_addr_on_down=1'))
            for address in cable.host:
                host(*ip, 'addr', 'add', address, 'dev', cable.tap, *(['nodad'] if ':' in address else []))
            host(*ip, 'link', 'set', cable.tap, 'up')

    def down(self):
        if any(line.split()[0] == self.name for line in host('ip', 'netns', 'list').splitlines() if line):
            host('ip', 'netns', 'del', self.name)

    def inside(self, *words):
        return ['ip', 'netns', 'exec', self.name, *words]


class Guest:
    """made: scripts/appliance-vm build's folder; folder: this guest's own, with its drive and its console's log. cards,
    a model a cable, and address_bits, the IOMMU's, are of the next boot: our virtual addresses go through one of 48,
    not of 39, where DPDK takes physical ones. for_test: a power cut empties its drive's cache, and it ends with this
    process."""

    def __init__(self, made, folder, network, cards=('e1000e',), address_bits=48, for_test=False):
        self.made = made
        self.folder = folder
        self.network = network
        self.cards = cards
        self.address_bits = address_bits
        self.drive = drive.Drive(folder, for_test)
        self.prefix = ['setpriv', '--pdeathsig', 'KILL'] if for_test else []
        self.process = None
        self.line = None
        self.seen = b''

    @property
    def cables(self):
        """Those that have a card."""
        return self.network.cables[:len(self.cards)]

    def command(self):
        accelerate, cpu = accelerator()
        wires = [word for cable, model in zip(self.cables, self.cards) for word in (
            '-netdev', f'tap,id={cable.tap},ifname={cable.tap},script=no,downscript=no',
            '-device', f'{MODELS[model]},netdev={cable.tap},addr={cable.slot:#x}')]

        def image(name):
            return f'file={self.made / name},if=none,id={name.split(".")[0]},format=raw,snapshot=on'

        return ['qemu-system-x86_64', '-machine', 'q35,kernel-irqchip=split', '-accel', accelerate, '-cpu', cpu,
                '-smp', '2', '-m', str(MEMORY_MIB), '-nodefaults', '-no-user-config', '-display', 'none', '-no-reboot',
                '-kernel', self.made / 'vmlinuz', '-initrd', self.made / 'initrd', '-append', KERNEL,
                '-device', f'intel-iommu,intremap=on,caching-mode=on,aw-bits={self.address_bits}',
                '-drive', image('root.ext4'), '-device', 'virtio-blk-pci,drive=root',
                '-drive', image('program.ext4'), '-device', 'virtio-blk-pci,drive=program',
                *self.drive.arguments(), '-device', 'nvme,drive=drive,serial=penstock',
                *wires,
                '-serial', f'file:{self.folder / "console.log"}',
                '-serial', f'unix:{self.folder / "line"},server=on,wait=off']

    def boot(self):
        """Seconds until the guest takes commands."""
        began = time.monotonic()
        self.seen = b''
        (self.folder / 'line').unlink(missing_ok=True)
        self.drive.power_on()
        with (self.folder / 'qemu.log').open('ab') as log:
            # A session of its own: a Ctrl-C here does not cut its power.
            self.process = subprocess.Popen(self.network.inside(*self.prefix, *self.command()), stdout=log, stderr=log,
                                            stdin=subprocess.DEVNULL, start_new_session=True)
        (self.folder / 'pid').write_text(str(self.process.pid))
        self.attach(began + BOOT_S)
        self.read_until(b'guest up ', began + BOOT_S)
        self.read_until(b'\n', began + BOOT_S)
        return time.monotonic() - began

    def attach(self, deadline):
        self.line = socket.socket(socket.AF_UNIX)
        while True:
            try:
                self.line.connect(str(self.folder / 'line'))
                return
            except OSError as why:
                if (self.process and self.process.poll() is not None) or time.monotonic() > deadline:
                    raise GuestError(f'QEMU does not start: {why}\n{tail(self.folder / "qemu.log")}') from None
                time.sleep(0.05)

    def read_until(self, mark, deadline):
        """What came before mark; what came behind it stays."""
        while mark not in self.seen:
            left = deadline - time.monotonic()
            readable = left > 0 and select.select([self.line], [], [], left)[0]
            got = self.line.recv(65536) if readable else b''
            if not got:
                raise GuestError(f'no answer from the guest; its console ends:\n{tail(self.folder / "console.log")}')
            self.seen += got
        before, self.seen = self.seen.split(mark, 1)
        return before

    def run(self, command, timeout=60):
        """Exit code and output of a bash line in the guest."""
        deadline = time.monotonic() + timeout
        self.line.sendall(command.replace('\n', ' ').encode() + b'\n')
        output = self.read_until(b'\nexit code ', deadline)
        return int(self.read_until(b'\n', deadline)), output.decode(errors='replace')

    def must(self, command, timeout=60):
        code, output = self.run(command, timeout)
        if code:
            raise GuestError(f'in the guest: {command}: exit code {code}\n{output}')
        return output

    def cut_power(self):
        """Everything that its memory and its drive's cache held is gone."""
        self.kill()
        return self.drive.lose_cache()

    def kill(self):
        if self.line:
            self.line.close()
        if self.process and self.process.poll() is None:
            os.kill(self.process.pid, signal.SIGKILL)
            self.process.wait(END_S)
        self.process = None

    def remove(self):
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)


def tail(path, lines=25):
    try:
        return '\n'.join(path.read_text(errors='replace').splitlines()[-lines:])
    except OSError:
        return ''
