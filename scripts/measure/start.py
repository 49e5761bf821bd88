#!/usr/bin/python3
"""How long a start takes: from exec to the first record that is acknowledged as durable, after SIGTERM and after
kill -9, with so many bytes stored, for topics of few and of many partitions. Reports, and asserts nothing.

    scripts/measure/start.py [--build build/release] [--gigabytes 10] [--partitions 4,10000] [--repeats 3] [--json FILE]

After kill -9 there is something to recover: it comes in the middle of a load that had filled the ring."""
import argparse
import json
import pathlib
import shutil
import statistics
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / 'tests' / 'compat'))

import batches  # noqa: E402
import broker as broker_module  # noqa: E402
import processes  # noqa: E402
import wire  # noqa: E402

TOPIC, PROBE = 'stored', 'probe'
RECORD_BYTES = 10_000
LOAD_S = 3  # before each end
FILL_TIMEOUT_S = 3600
START_TIMEOUT_S = 120
RETRY_S = 0.0005


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--build', type=pathlib.Path, default=ROOT / 'build' / 'release')
    parser.add_argument('--gigabytes', type=float, default=10)
    parser.add_argument('--partitions', default='4,10000', help='parted by commas')
    parser.add_argument('--repeats', type=int, default=3)
    parser.add_argument('--ring-mib', type=int, default=256)
    parser.add_argument('--folder', type=pathlib.Path, help='where the data lies meanwhile (default: the build folder)')
    parser.add_argument('--json', type=pathlib.Path)
    return parser.parse_args()


def load(broker, partitions, *more, **options):
    """Batches of 100 KB for few partitions, of one record for many."""
    batch = 10 if partitions <= 100 else 1
    command = [broker.program, 'bench', 'produce', '--bootstrap', broker.bootstrap, '--topic', TOPIC, '--partitions',
               partitions, '--record-bytes', RECORD_BYTES, '--batch-records', batch, '--connections', 2, '--in-flight',
               20, '--timeout', '120s', '--quiet', *more]
    return processes.start(command, **options)


def fill(broker, partitions, wanted):
    """Until so many bytes are acknowledged: what a full ring refuses is sent anew."""
    result, stored = broker.folder / 'filled.json', 0
    while stored < wanted:
        rest = max(int((wanted - stored) / RECORD_BYTES), 1)
        running = load(broker, partitions, '--count', rest, '--json', result, stdout=-3, stderr=-3)
        processes.wait(running, FILL_TIMEOUT_S)
        stored += json.loads(result.read_text())['result']['bytes']


def first_ack(broker, port):
    """Seconds from exec to the acknowledgement."""
    began = time.monotonic()
    broker.launch(listen=f'127.0.0.1:{port}')
    while time.monotonic() < began + START_TIMEOUT_S:
        try:
            with wire.Connection(('127.0.0.1', port)) as connection:
                if connection.produce(PROBE, batches.build([b'here']))['error'] == 0:
                    took = time.monotonic() - began
                    broker.read_ready_line()
                    return took
        except (OSError, wire.Closed):
            pass
        time.sleep(RETRY_S)
    raise processes.ProcessFailed(f'no acknowledgement within {START_TIMEOUT_S} s: {broker.last_words()}')


def measure(broker, partitions, options):
    broker.start()
    port = broker.address[1]
    with broker.connect() as connection:
        connection.create(PROBE)
    began = time.monotonic()
    fill(broker, partitions, options.gigabytes * 1e9)
    filled = time.monotonic() - began
    times = {'SIGTERM': [], 'kill -9': []}
    for _ in range(options.repeats):
        for how, end in (('SIGTERM', broker.stop), ('kill -9', broker.kill)):
            running = load(broker, partitions, '--duration', f'{LOAD_S * 4}s', '--rate', '100MB', stderr=-3, stdout=-3)
            time.sleep(LOAD_S)
            if how == 'SIGTERM':  # a stop waits for answers that clients wait for; here nobody does
                running.kill()
                running.wait()
            end()
            running.kill()
            running.wait()
            times[how].append(first_ack(broker, port))
    broker.stop()
    return {'partitions': partitions, 'stored_bytes': sum(path.stat().st_size for path in broker.data.rglob('*.log')),
            'filled_in_s': round(filled, 1), 'first_ack_s': times}


def main():
    options = arguments()
    place = options.folder or options.build
    results = []
    for partitions in map(int, options.partitions.split(',')):
        folder = pathlib.Path(tempfile.mkdtemp(prefix='measure-start-', dir=place))
        broker = broker_module.Broker(options.build / 'penstock', folder, ring_bytes=options.ring_mib << 20)
        try:
            results.append(measure(broker, partitions, options))
        finally:
            broker.remove()
            shutil.rmtree(folder, ignore_errors=True)
        for how, seconds in results[-1]['first_ack_s'].items():
            print(f'{partitions} partitions, {results[-1]["stored_bytes"] / 1e9:.2f} GB stored (filled in '
                  f'{results[-1]["filled_in_s"]} s), after {how}: median {statistics.median(seconds) * 1000:.0f} ms of '
                  f'{", ".join(f"{one * 1000:.0f}" for one in seconds)}', flush=True)
    if options.json:
        options.json.write_text(json.dumps(results, indent=2) + '\n')


if __name__ == '__main__':
    main()
