"""The verbs of scripts/appliance-vm behind its image: test, run, sh, down."""
import argparse
import os
import pathlib
import signal
import sys
import time

import appliance
import try_it
import vm

STARTED = time.monotonic()
TEST_S = 1500
SH_S = 300
CARDS = {'e1000e': ('e1000e',), 'virtio': ('virtio',), 'both': ('virtio', 'e1000e')}


def say(text):
    print(f'== appliance: {text} ({time.monotonic() - STARTED:.0f} s)', flush=True)


def interrupted(number, _frame):
    raise SystemExit(128 + number)


def out_of_time(_number, _frame):
    raise vm.GuestError(f'not done after {TEST_S} s')


def test(args):
    """One machine that is booted twice, the second time with more cards and the other number of address bits."""
    signal.signal(signal.SIGALRM, out_of_time)
    signal.alarm(TEST_S)
    say(f'accelerator {vm.accelerator()[0]}')
    first, second = ((CARDS[args.nic] if args.nic else cards, args.address_bits or bits)
                     for cards, bits in ((CARDS['e1000e'], 39), (CARDS['both'], 48)))
    folder = args.made / f'test-{os.getpid()}'
    folder.mkdir()
    guest = vm.Guest(args.made, folder, vm.Network(f'pv{os.getpid()}'), *first, for_test=True)
    try:
        guest.network.up()
        try_it.everything(guest, second, say)
    except Exception:
        say(f'failed with {" and ".join(guest.cards)}; the console and the broker end:')
        print(vm.tail(folder / 'console.log'), appliance.broker_log(guest), sep='\n', flush=True)
        raise
    finally:
        guest.remove()
        guest.network.down()
    say('passed')


def running(args):
    """The guest of `run`: there is one at a time."""
    return vm.Guest(args.made, args.made / 'running', vm.Network('appliance'),
                    CARDS[args.nic or 'e1000e'], args.address_bits or 48)


def run(args):
    down(args)
    guest = running(args)
    guest.folder.mkdir()
    try:
        guest.network.up()
        say(f'up after {guest.boot():.1f} s')
        appliance.prepare(guest)
        say(f'ready after {appliance.serve(guest):.1f} s more')
    except BaseException:
        print(vm.tail(guest.folder / 'console.log'), appliance.broker_log(guest), sep='\n', flush=True)
        guest.remove()
        guest.network.down()
        raise
    inside = ' '.join(guest.network.inside())
    brokers = ' or '.join(cable.broker for cable in guest.cables)
    print(f'  clients:         {inside} kcat -b {brokers} -L\n'
          "  in the guest:    scripts/appliance-vm sh 'penstock check --appliance --data /data'\n"
          '  the broker log:  scripts/appliance-vm sh cat /run/broker.log\n'
          '  end:             scripts/appliance-vm down')


def running_pid(guest):
    """Of its QEMU; None if that is gone, whoever has the number now."""
    try:
        pid = int((guest.folder / 'pid').read_text())
        command = pathlib.Path(f'/proc/{pid}/cmdline').read_text()
    except (OSError, ValueError):
        return None
    return pid if str(guest.folder) in command else None


def sh(args):
    guest = running(args)
    if running_pid(guest) is None:
        sys.exit('scripts/appliance-vm: no guest runs; scripts/appliance-vm run starts one')
    guest.attach(time.monotonic())
    code, output = guest.run(args.words, timeout=SH_S)
    print(output, end='')
    sys.exit(code)


def down(args):
    guest = running(args)
    pid = running_pid(guest)
    if pid is not None:
        os.kill(pid, signal.SIGKILL)
        while running_pid(guest) is not None:
            time.sleep(0.05)
    guest.remove()
    guest.network.down()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('verb', choices=('test', 'run', 'sh', 'down'))
    parser.add_argument('--made', type=pathlib.Path, required=True)
    parser.add_argument('--nic', choices=sorted(CARDS))
    parser.add_argument('--address-bits', type=int, choices=(39, 48))
    parser.add_argument('--words', default='true', help='of sh: a bash line')
    args = parser.parse_args()
    args.made = args.made.resolve()
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, interrupted)
    {'test': test, 'run': run, 'sh': sh, 'down': down}[args.verb](args)


if __name__ == '__main__':
    main()
