"""Well-behaved clients that run beside what a test does: kcat produces a numbered line each few milliseconds, kcat
consumes them, and every line has to come once and in order."""
import os
import select
import subprocess
import threading
import time

import processes

PAUSE_S = 0.01
WAIT_S = 60  # for one more line to come through


class Traffic:
    def __init__(self, broker, topic):
        self.produced, self.consumed, self.rest = 0, 0, b''
        with broker.connect() as connection:  # a consumer that comes first does not make it, and would end
            connection.create(topic)
        common = ['-b', broker.bootstrap, '-t', topic, '-p', '0']
        self.producer = processes.start(['kcat', '-P', *common, '-X', 'linger.ms=5'], stdin=subprocess.PIPE,
                                        stderr=subprocess.PIPE)
        self.consumer = processes.start(['kcat', '-C', '-q', '-u', '-o', 'beginning', *common],
                                        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        self.stopping = threading.Event()
        self.thread = threading.Thread(target=self.produce, daemon=True)
        self.thread.start()

    def produce(self):
        with self.producer.stdin as pipe:
            while not self.stopping.wait(PAUSE_S):
                pipe.write(b'line %d\n' % self.produced)
                pipe.flush()
                self.produced += 1

    def check_served(self, lines=5):
        """Waits until so many more lines came through."""
        self.consume_until(self.consumed + lines)

    def consume_until(self, wanted):
        deadline = time.monotonic() + WAIT_S
        while self.consumed < wanted:
            pipe = self.consumer.stdout
            readable, _, _ = select.select([pipe], [], [], max(0, deadline - time.monotonic()))
            data = os.read(pipe.fileno(), 1 << 16) if readable else b''
            if not data:
                raise AssertionError(f'others are not served: line {self.consumed} of {self.produced} did not come')
            *lines, self.rest = (self.rest + data).split(b'\n')
            for line in lines:
                if line != b'line %d' % self.consumed:
                    raise AssertionError(f'{line} came where line {self.consumed} was next')
                self.consumed += 1

    def finish(self):
        """Every line that was produced has come back."""
        self.stopping.set()
        self.thread.join(WAIT_S)
        status = processes.wait(self.producer, WAIT_S)
        if status:
            raise AssertionError(f'kcat -P ended with {status}: {processes.tail(self.producer.stderr.read())}')
        self.consume_until(self.produced)
        self.close()
        return f'{self.produced} lines meanwhile'

    def close(self):
        self.stopping.set()
        for process in (self.producer, self.consumer):
            if process.poll() is None:
                process.kill()
                process.wait()
        self.consumer.stdout.close()
        self.producer.stderr.close()
