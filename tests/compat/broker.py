"""A broker of its own for a test: started on free ports with its own data folder, stopped and killed by its pid."""
import os
import re
import select
import shutil
import signal
import subprocess
import time
import urllib.request

import lab
import processes
import wire

READY_TIMEOUT_S = 120  # a ring is written full when it is made, on a disk that others use too
STOP_TIMEOUT_S = 60
EXIT_TIMEOUT_S = 60
PAGE = os.sysconf('SC_PAGE_SIZE')
TICKS = os.sysconf('SC_CLK_TCK')
MIB = 1 << 20
LCORES = int(os.environ.get('PENSTOCK_LCORES', '1'))  # of each broker whose test does not say, and its rings


class Broker:
    """settings: {'penstock.ring.bytes': 1 << 24}; arguments: more words for `penstock serve`."""

    def __init__(self, program, folder, settings=None, ring_bytes=16 * MIB):
        self.program = program
        self.folder = folder
        self.data = folder / 'data'
        self.log = folder / 'broker.log'
        self.settings = {'penstock.ring.bytes': ring_bytes, 'penstock.lcores': LCORES} | (settings or {})
        self.process = None
        self.address = self.http = None
        self.listening = []

    def command(self, *arguments, listen=None, http='127.0.0.1:0'):
        listen = listen or (lab.listener() if lab.NAME else '127.0.0.1:0')
        settings = [word for name, value in self.settings.items() for word in ('--set', f'{name}={value}')]
        serve = [self.program, 'serve']
        return [*(lab.in_broker(*serve) if lab.NAME else serve), '--data', self.data, '--listen', listen,
                '--http', http, *settings, *arguments]

    def launch(self, *arguments, prefix=(), **addresses):
        assert self.process is None
        with self.log.open('ab') as log:
            self.process = processes.start([*prefix, *self.command(*arguments, **addresses)], stdout=subprocess.PIPE,
                                           stderr=log, stdin=subprocess.DEVNULL)

    def start(self, *arguments, **more):
        self.launch(*arguments, **more)
        line = self.read_ready_line()
        addresses = re.findall(r'([\w.]+|\[[\da-f:]+\]):(\d+)', line)
        assert len(addresses) >= 2, f'the ready line names no two addresses: {line!r}'
        # The listeners', and the one of HTTP.
        *self.listening, self.http = [(host, int(port)) for host, port in addresses]
        self.address = self.listening[0]
        return self

    def read_ready_line(self):
        """Until a line that begins with ready; there may be others before it."""
        deadline, seen = time.monotonic() + READY_TIMEOUT_S, b''
        while True:
            for line in seen.splitlines(keepends=True):
                if line.startswith(b'ready') and line.endswith(b'\n'):
                    return line.decode()
            readable, _, _ = select.select([self.process.stdout], [], [], max(0, deadline - time.monotonic()))
            more = os.read(self.process.stdout.fileno(), 65536) if readable else b''
            if not more:
                self.kill()
                raise processes.ProcessFailed(f'the broker did not become ready: {self.last_words()}')
            seen += more

    def last_words(self, size=3000):
        return processes.tail(self.log.read_bytes(), size) if self.log.exists() else ''

    def kill(self):
        """kill -9."""
        if self.process is not None:
            self.process.send_signal(signal.SIGKILL)
            processes.wait(self.process, EXIT_TIMEOUT_S)
            self.forget()

    def start_and_kill(self, after_s, **more):
        """kill -9 so soon after a start, whatever it is doing then."""
        self.launch(**more)
        time.sleep(after_s)
        self.kill()

    def stop(self):
        """SIGTERM; the broker has to leave cleanly."""
        self.process.send_signal(signal.SIGTERM)
        status = processes.wait(self.process, STOP_TIMEOUT_S)
        self.forget()
        assert status == 0, f'SIGTERM ended the broker with {status}: {self.last_words()}'

    def forget(self):
        self.process.stdout.close()
        self.process = None

    def fails_to_start(self, *arguments, prefix=(), **addresses):
        """What it says on stderr when it refuses to start; it has to end by itself with 1."""
        process = processes.start([*prefix, *self.command(*arguments, **addresses)], stdout=subprocess.PIPE,
                                  stderr=subprocess.PIPE, stdin=subprocess.DEVNULL)
        try:
            out, errors = process.communicate(timeout=READY_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            out, errors = process.communicate()
            raise processes.ProcessFailed(f'the broker started: {out} {errors}') from None
        assert process.returncode == 1, f'ended with {process.returncode}: {errors}'
        assert not out.startswith(b'ready'), f'said it was ready: {out}'
        return errors.decode()

    @property
    def bootstrap(self):
        return f'{self.address[0]}:{self.address[1]}'

    def connect(self, **options):
        return wire.Connection(self.address, **options)

    def get(self, path):
        if lab.NAME:  # HTTP is the kernel's, in the broker's namespace
            return processes.run(lab.in_broker('curl', '-sS', '--fail-with-body', '--max-time', 60,
                                               f'http://{self.http[0]}:{self.http[1]}{path}')).decode()
        with urllib.request.urlopen(f'http://{self.http[0]}:{self.http[1]}{path}', timeout=60) as answer:
            return answer.read().decode()

    def metrics(self):
        """{name without penstock_: value}; the same counter of several lcores is added up."""
        values = {}
        for line in self.get('/metrics').splitlines():
            found = re.fullmatch(r'penstock_(\w+)(\{.*\})? (\S+)', line)
            if found:
                values[found[1]] = values.get(found[1], 0) + float(found[3])
        assert values, '/metrics names no penstock_ counter'
        return values

    def create_topic(self, name, partitions=1):
        processes.run([self.program, 'topic', 'create', name, '--partitions', partitions,
                       '--bootstrap', self.bootstrap])

    def cpu_seconds(self):
        words = self.proc('stat').rpartition(')')[2].split()
        return (int(words[11]) + int(words[12])) / TICKS  # utime, stime: fields 14 and 15

    def resident_bytes(self):
        return int(re.search(r'VmRSS:\s*(\d+) kB', self.proc('status'))[1]) * 1024

    def open_files(self):
        return len(os.listdir(f'/proc/{self.process.pid}/fd'))

    def proc(self, name):
        with open(f'/proc/{self.process.pid}/{name}', encoding='ascii', errors='replace') as file:
            return file.read()

    def remove(self):
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)
