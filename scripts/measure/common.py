"""What the measuring scripts here share: a folder that goes away, brokers in it, figures as medians with spread."""
import argparse
import json
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / 'tests' / 'compat'))

import broker as broker_module  # noqa: E402
import processes  # noqa: E402

MIB = 1 << 20
LOAD_TIMEOUT_S = 900
PROFILE_HZ, PROFILE_LINES = 499, 20
LOAD_STARTS_S = 1


def parser_for(about, measures):
    """measures: by name; --only names some of them."""
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--build', type=pathlib.Path, default=ROOT / 'build' / 'release')
    parser.add_argument('--json', type=pathlib.Path)
    parser.add_argument('--only', default=','.join(measures), help='parted by commas')
    return parser


class Figures:
    """Rows as they come: name, values of the rounds, unit."""

    def __init__(self):
        self.rows = []

    def add(self, name, values, unit, digits=2):
        row = {'name': name, 'median': statistics.median(values), 'least': min(values), 'most': max(values),
               'rounds': len(values), 'unit': unit}
        self.rows.append(row)
        spread = f' ({row["least"]:.{digits}f} to {row["most"]:.{digits}f}, {len(values)} rounds)'
        print(f'{name}: {row["median"]:.{digits}f} {unit}{spread if len(values) > 1 else ""}', flush=True)


class Machine:
    def __init__(self, args, folder):
        self.args, self.folder, self.count = args, folder, 0
        self.build = args.build.resolve()
        self.figures = Figures()

    def broker(self, ring_mib=512, **settings):
        """Not started. settings: their dots are underscores."""
        self.count += 1
        folder = self.folder / f'broker-{self.count}'
        folder.mkdir()
        wanted = {name.replace('_', '.'): value for name, value in settings.items()}
        return broker_module.Broker(self.build / 'penstock', folder, wanted, ring_bytes=ring_mib * MIB)

    def bench(self, broker, *words):
        """The JSON of `penstock bench`; what was refused and sent anew is in it."""
        result = broker.folder / 'bench.json'
        command = [broker.program, 'bench', *words, '--bootstrap', broker.bootstrap, '--quiet', '--json', result]
        subprocess.run([str(word) for word in command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                       timeout=LOAD_TIMEOUT_S, check=False)
        return json.loads(result.read_text())['result']

    def profile(self, pid, load, seconds):
        """Where the CPU of a process goes while a load runs, if perf is here: user functions and the kernel's."""
        if subprocess.run(['sh', '-c', 'command -v perf'], stdout=subprocess.DEVNULL, check=False).returncode:
            print('  no profile: perf is not installed', flush=True)
            return
        running = processes.start(load, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        data = self.folder / 'perf.data'
        time.sleep(LOAD_STARTS_S)
        subprocess.run(['perf', 'record', '-q', '-F', str(PROFILE_HZ), '-o', data, '-p', str(pid), '--', 'sleep',
                        str(seconds)], check=False, stderr=subprocess.DEVNULL)
        processes.wait(running, LOAD_TIMEOUT_S)
        for words in (('--sort', 'dso'), ('--percent-limit', '1.5')):
            said = subprocess.run(['perf', 'report', '-i', data, '--stdio', '-q', '--no-children', *words],
                                  capture_output=True, text=True, check=False).stdout
            lines = [line for line in said.splitlines() if line.strip()]
            print(''.join(f'  {line}\n' for line in lines[:PROFILE_LINES]), flush=True)


def run(args, measures):
    """Those of measures (name: function of a Machine) that --only names, in its order."""
    with tempfile.TemporaryDirectory(dir=args.build, prefix='measure.') as folder:
        machine = Machine(args, pathlib.Path(folder))
        for name in args.only.split(','):
            if name not in measures:
                sys.exit(f'--only {name}: there are {", ".join(measures)}')
            measures[name](machine)
        if args.json:
            args.json.write_text(json.dumps(machine.figures.rows, indent=2) + '\n')
