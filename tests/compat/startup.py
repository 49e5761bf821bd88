#!/usr/bin/python3
"""What a user sees when a broker cannot start: one clear line that says what to do, and exit status 1; or, where it can
go on, one line in the log. ctest compat.startup."""
import itertools
import os
import resource
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time

import batches
import check
import processes
from broker import MIB



def one_line(errors, *words):
    """The line that is meant for the user, with these words in it. What else is there are log lines."""
    said = [line for line in errors.splitlines() if line.startswith('penstock: ')]
    check.equal(len(said), 1, f'lines for the user in {errors!r}')
    check.equal(errors.splitlines()[-1], said[0], 'the last line')
    for word in words:
        check.expect(word in said[0], f'no {word!r} in: {said[0]}')
    return said[0]


def test_port_in_use(run):
    broker = run.broker(start=False)
    with socket.create_server(('127.0.0.1', 0)) as taken:
        port = taken.getsockname()[1]
        one_line(broker.fails_to_start(listen=f'127.0.0.1:{port}'), str(port), 'in use')
        one_line(broker.fails_to_start(http=f'127.0.0.1:{port}'), str(port), 'in use')
    same = '127.0.0.1:9'
    one_line(broker.fails_to_start(listen=same, http=same), 'penstock.http.listener', 'port 9', 'PLAINTEXT')
    check.expect(not broker.data.exists(), 'a data folder was made')
    broker.start()


def test_port_of_a_killed_broker(run):
    """The kernel holds a killed broker's port for a moment; who starts the next at once is served all the same."""
    broker = run.broker(start=False)
    with socket.create_server(('127.0.0.1', 0)) as held:
        broker.launch(listen=f'127.0.0.1:{held.getsockname()[1]}')
        time.sleep(0.5)
        check.expect(broker.process.poll() is None, f'it did not wait: {broker.last_words()}')
    broker.read_ready_line()


def test_an_old_kernel(run):
    """uname says 2.6 to a program under this personality; nothing has been made when it is refused."""
    broker = run.broker(start=False)
    one_line(broker.fails_to_start(prefix=('setarch', '--uname-2.6')), 'Linux 6.1', 'this is 2.6')
    check.expect(not broker.data.exists(), 'a data folder was made')


def test_data_folder_in_use(run):
    first = run.broker()
    second = run.broker(start=False)
    second.data = first.data
    one_line(second.fails_to_start(), str(first.data), 'in use')
    first.kill()
    second.start()


def test_data_folder_below_a_file(run):
    broker = run.broker(start=False)
    (broker.folder / 'file').write_text('not a folder')
    broker.data = broker.folder / 'file' / 'data'
    one_line(broker.fails_to_start(), f'{broker.folder / "file"} is not a folder')


def test_what_is_no_data_folder(run):
    broker = run.broker(start=False)
    dangling = broker.folder / 'dangling'
    dangling.symlink_to('nowhere')
    for data, words in (('/dev/null', ('/dev/null is not a folder',)),
                        (dangling, ('is a link to nowhere', 'not there')),
                        ('/proc/data', ('cannot make /proc/data', 'no folder can be made there'))):
        broker.data = data
        one_line(broker.fails_to_start(), *words)


def test_data_folders_that_are_not_apart(run):
    broker = run.broker(start=False)
    for other, words in ((f'{broker.data}/', 'are the same folder'), (broker.data / 'sub', 'lies in')):
        one_line(broker.fails_to_start('--data', other), 'log.dirs', words)
        check.expect(not broker.data.exists(), 'a data folder was made')


def test_data_folder_without_the_folder_above(run):
    broker = run.broker(start=False)
    broker.data = broker.folder / 'not' / 'there' / 'data'
    one_line(broker.fails_to_start(), str(broker.data))


def test_unwritable_data_folder(run):
    """Root may write anywhere, so this one runs as somebody else."""
    with Stranger(run) as stranger:
        stranger.broker.data.mkdir(0o555)
        one_line(stranger.broker.fails_to_start(prefix=stranger.prefix()), str(stranger.broker.data), 'permission')


def test_settings_are_checked(run):
    broker = run.broker(start=False)
    for name, value, words in (
            ('no.such.setting', '1', ['no.such.setting']),
            ('ring.bytes', '1', ['ring.bytes', 'penstock.ring.bytes']),  # what may be meant
            ('penstock.ring.bytes', 'big', ['penstock.ring.bytes', 'big']),
            ('penstock.ring.bytes', '-1', ['penstock.ring.bytes', '-1']),
            ('penstock.ring.bytes', '99999999999999999999', ['penstock.ring.bytes']),
            ('auto.create.topics.enable', 'maybe', ['auto.create.topics.enable', 'true', 'false']),
            ('penstock.idle.strategy', 'lazy', ['penstock.idle.strategy', 'adaptive', 'spin']),
            ('advertised.listeners', 'PLAINTEXT://0.0.0.0:9092', ['advertised.listeners', '0.0.0.0']),
            ('max.connections.per.ip.overrides', '10.0.0.7:5,10.0.0.7:6', ['named twice', '10.0.0.7']),
            ('log.dirs', '/elsewhere', ['--data', 'log.dirs', '/elsewhere']),
            ('penstock.receive.pool.bytes', '4194304', ['penstock.receive.pool.bytes', 'socket.request.max.bytes'])):
        one_line(broker.fails_to_start('--set', f'{name}={value}'), *words)
    one_line(broker.fails_to_start('--set', 'without-a-value'), 'without-a-value')
    for listen in ('127.0.0.1', '127.0.0.1:none', '127.0.0.1:70000', 'no.such.host.invalid:9092'):
        one_line(broker.fails_to_start(listen=listen), listen.split(':', maxsplit=1)[0])
    check.expect(not broker.data.exists() or not list(broker.data.glob('ring*')), 'a bad setting made a ring')


def test_config_file_is_checked(run):
    broker = run.broker(start=False)
    file = broker.folder / 'penstock.toml'
    for text, words in (('[penstock\n', ['penstock.toml', 'line 1']),
                        ('# comment\n"num.partitions" = 0\n', ['penstock.toml', 'line 2', 'num.partitions']),
                        ('nothing.of.this = 1\n', ['nothing.of.this'])):
        file.write_text(text)
        one_line(broker.fails_to_start('--config', file), *words)
    one_line(broker.fails_to_start('--config', broker.folder / 'absent.toml'), 'absent.toml')
    file.write_text('num.partitions = 3\n')
    broker.start('--config', file)
    with broker.connect() as connection:
        topic = connection.call('Metadata', 4, {'topics': [{'name': 'made'}], 'allow_auto_topic_creation': True})
        check.equal(len(topic['topics'][0]['partitions']), 3, 'partitions as the file says')


def test_no_room_for_the_ring(run):
    broker = run.broker(start=False, ring_bytes=1 << 42)
    one_line(broker.fails_to_start(), 'penstock.ring.bytes', 'MiB')
    broker.settings['penstock.ring.bytes'] = 16 * MIB
    broker.start()


def test_memory_that_there_is_not(run):
    """More than the machine has, and what it has and does not give: the name of the setting, and nothing is made."""
    broker = run.broker(start=False)
    names = ('penstock.read.cache.bytes', 'log.cleaner.dedupe.buffer.size', 'penstock.receive.pool.bytes')
    for name in names:
        for size in ('1TiB', '1099511627776'):
            one_line(broker.fails_to_start('--set', f'{name}={size}'), name, 'more than', 'smaller')
    check.expect(not broker.data.exists(), 'a data folder was made')
    for name in names:
        said = broker.fails_to_start('--set', f'{name}=6GiB', prefix=('prlimit', f'--as={4 << 30}', '--'))
        one_line(said, name, 'smaller')
    other = run.broker(start=False, ring_bytes=6 << 30)
    one_line(other.fails_to_start(prefix=('prlimit', f'--as={4 << 30}', '--')), 'penstock.ring.bytes', 'smaller')
    left = [file for file in other.data.glob('ring-*') if file.stat().st_size >= 1 << 30]
    check.equal(left, [], 'rings that were written first')
    broker.start()


def test_heartbeats_come_before_the_session_ends(run):
    broker = run.broker(start=False)
    said = broker.fails_to_start('--set', 'group.consumer.heartbeat.interval.ms=45000')
    one_line(said, 'group.consumer.heartbeat.interval.ms (45000)', 'group.consumer.session.timeout.ms (45000)')
    check.expect(not broker.data.exists(), 'a data folder was made')


def test_folder_of_a_newer_format(run):
    broker = run.broker()
    broker.stop()
    file = broker.data / 'folder'
    old = file.read_text()
    file.write_text(re.sub(r'format_version = \d+', 'format_version = 9', old))
    one_line(broker.fails_to_start(), 'format 9')
    file.write_text(re.sub(r'format_version = \d+', 'format_version = 0', old))
    one_line(broker.fails_to_start(), 'is not a penstock folder file')
    file.write_text(old)
    broker.start()


def test_damaged_ring_is_refused_by_name(run):
    """A bit of acked data flips on the drive while the broker is down."""
    broker = run.broker()
    marker = b'the third value, looked for in the ring'
    with broker.connect() as connection:
        connection.create('damaged')
        for number in range(6):
            value = marker if number == 2 else b'value %d' % number
            check.equal(connection.produce('damaged', batches.build([value]))['base_offset'], number, 'base offset')
    broker.kill()
    flip_byte_at(broker.data / 'ring-0', marker)
    said = one_line(broker.fails_to_start(), 'ring-0', 'damaged', 'offset 2', '--accept-loss-at')
    place = re.search(r'--accept-loss-at (\d+)', said)[1]
    one_line(broker.fails_to_start('--accept-loss-at', int(place) + 4096), 'damaged')
    broker.start('--accept-loss-at', place)
    with broker.connect() as connection:
        check.equal(connection.offset('damaged', -1)['offset'], 2, 'what is left')
        check.equal(len(batches.split(connection.fetch('damaged', 0)['records'])), 2, 'batches that are left')
        check.equal(connection.produce('damaged', batches.build())['base_offset'], 2, 'it goes on')
    broker.kill()
    broker.start()  # the damage is behind it
    with broker.connect() as connection:
        check.equal(connection.offset('damaged', -1)['offset'], 3, 'after another start')
    return said


def flip_byte_at(path, marker):
    data = path.read_bytes()
    check.equal(data.count(marker), 1, 'times that the value stands in the ring')
    with path.open('r+b') as file:
        file.seek(data.index(marker) + 5)
        byte = file.read(1)[0]
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte ^ 0x10]))


def test_missing_ring_is_refused(run):
    broker = run.broker()
    with broker.connect() as connection:
        connection.create('kept')
        connection.produce('kept', batches.build())
    broker.stop()
    (broker.data / 'ring-0').rename(broker.data / 'elsewhere')
    one_line(broker.fails_to_start(), 'ring-0')
    (broker.data / 'elsewhere').rename(broker.data / 'ring-0')
    broker.start()
    with broker.connect() as connection:
        check.equal(connection.offset('kept', -1)['offset'], 1, 'what was kept')


def test_metadata_of_another_time_is_refused(run):
    """What the metadata does not name is not taken for deleted if it was never issued by it: no metadata at all, or one
    from before the topic was made; after a clean stop and after kill -9."""
    broker = run.broker()
    broker.stop()
    before = metadata_of(broker)
    broker.start()
    with broker.connect() as connection:
        connection.create('kept')
    for count, end in enumerate((broker.stop, broker.kill), 1):
        with broker.connect() as connection:
            check.equal(connection.produce('kept', batches.build())['base_offset'], count - 1, 'base offset')
        end()
        right = metadata_of(broker)
        for other, words in (({}, ('metadata.sqlite is elsewhere', 'put that file back')),
                             (before, ('never issued', 'put back the metadata.sqlite'))):
            put_metadata(broker, other)
            said = one_line(broker.fails_to_start(), *words)
            done = subprocess.run([run.program, 'log', 'repair', '--data', broker.data, '--remove-unnamed', '--yes'],
                                  capture_output=True, timeout=600)
            check.expect(done.returncode in (0, 1), f'log repair: {done}')
        put_metadata(broker, right)
        broker.start()
        with broker.connect() as connection:
            check.equal(connection.offset('kept', -1)['offset'], count, f'what was kept after {end.__name__}')
            for offset in range(count):  # a batch each, of which an answer need not hold all
                check.expect(batches.split(connection.fetch('kept', offset)['records']), f'batch {offset} is gone')
    return said


def metadata_of(broker):
    return {file.name: file.read_bytes() for file in broker.data.glob('metadata.sqlite*')}


def put_metadata(broker, files):
    for file in broker.data.glob('metadata.sqlite*'):
        file.unlink()
    for name, content in files.items():
        (broker.data / name).write_bytes(content)


def test_little_locked_memory_costs_one_log_line(run):
    """8 MiB is what Debian gives a user; 320 KiB just holds the queues to the kernel."""
    for limit in (8 << 20, 320 << 10):
        with Stranger(run) as stranger:
            broker = stranger.broker.start(prefix=stranger.prefix(limit))
            with broker.connect() as connection:
                connection.create('works')
                check.equal(connection.produce('works', batches.build())['error'], 0, 'produce')
                check.equal(len(batches.split(connection.fetch('works', 0)['records'])), 1, 'fetch')
            broker.stop()
            lines = [line for line in broker.log.read_text().splitlines() if 'ulimit -l' in line]
            check.equal(len(lines), 1, f'lines about locked memory under a limit of {limit}: {lines}')
    return lines[0]


def test_no_locked_memory_at_all(run):
    """Kernels count the queues since 6.14, and did until 5.12: refused in one line there, served elsewhere."""
    with Stranger(run) as stranger:
        broker = stranger.broker
        try:
            broker.start(prefix=stranger.prefix(4096))
        except processes.ProcessFailed:
            one_line(broker.fails_to_start(prefix=stranger.prefix(4096)), 'ulimit -l')
            return 'refused'
        broker.stop()
        check.expect('ulimit -l' in broker.log.read_text(), 'nothing is said of locked memory')
        return 'served'


def test_few_files_cost_one_log_line(run):
    broker = run.broker(start=False)
    broker.start(prefix=('prlimit', '--nofile=300:300', '--'))
    peers = [broker.connect() for _ in range(20)]
    for peer in peers:
        check.equal(peer.call('ApiVersions', 0)['error'], 0, 'ApiVersions')
        peer.socket.close()
    lines = [line for line in broker.log.read_text().splitlines() if 'ulimit -n' in line]
    check.equal(len(lines), 1, 'lines about open files')


def test_health_is_told_though_clients_have_all_files(run):
    """A start leaves some to HTTP, so it is a limit that was lowered later."""
    broker = run.broker()
    limit = broker.open_files() + 40
    resource.prlimit(broker.process.pid, resource.RLIMIT_NOFILE, (limit, limit))
    idle = []
    while broker.open_files() < limit - 1:
        check.expect(len(idle) < 400, f'{broker.open_files()} files are open')
        idle.append(socket.create_connection(broker.address))
    idle += [socket.create_connection(broker.address) for _ in range(20)]
    for _ in range(5):
        check.expect(broker.get('/healthz'), '/healthz says nothing')
        check.expect('penstock_connections_open' in broker.get('/metrics'), '/metrics says nothing of connections')
    for peer in idle:
        peer.close()


class Stranger:
    """A user without any rights, with the program and a folder where it can reach them (the build folder may lie below
    root's home). Each has a number of its own: the kernel counts locked memory by user, and gives it back late."""
    numbers = itertools.count(1_000_000 + os.getpid() * 10)

    def __init__(self, run):
        self.run, self.place, self.number = run, None, next(self.numbers)

    def __enter__(self):
        self.place = pathlib.Path(tempfile.mkdtemp(prefix='penstock-compat-', dir='/var/tmp'))
        self.broker = self.run.broker(start=False)
        self.broker.program, self.broker.data = shutil.copy(self.run.program, self.place), self.place / 'data'
        if os.geteuid() == 0:
            os.chown(self.place, self.number, self.number)
        return self

    def __exit__(self, *_):
        self.broker.kill()
        shutil.rmtree(self.place)

    def prefix(self, locked_memory=None):
        prefix = [] if locked_memory is None else ['prlimit', f'--memlock={locked_memory}:{locked_memory}', '--']
        if os.geteuid() == 0:
            prefix += ['setpriv', f'--reuid={self.number}', f'--regid={self.number}', '--clear-groups', '--']
        return prefix


def test_help_and_version(run):
    version = processes.run([run.program, '--version'])
    check.expect(re.fullmatch(rb'penstock \d+\.\d+\.\d+\n', version), f'--version says {version}')
    check.expect(b'serve' in processes.run([run.program, '--help']), 'no serve in --help')
    done = subprocess.run([run.program, 'serve', '--nonsense'], capture_output=True, timeout=60)
    check.expect(done.returncode != 0 and b'--nonsense' in done.stderr, f'an unknown word: {done}')


def test_a_stop_ends_a_start(run):
    """While it makes a ring that takes seconds to write: exit status 0, nothing is left of the ring."""
    broker = run.broker(start=False, ring_bytes=4 << 30)
    broker.launch()
    for _ in range(12_000):
        if broker.process.poll() is not None or 'making the write-ahead ring' in broker.log.read_text():
            break
        time.sleep(0.005)
    broker.process.send_signal(signal.SIGTERM)
    check.equal(processes.wait(broker.process, 60), 0, 'exit status after SIGTERM')
    broker.forget()
    check.expect('stopped before it was ready' in broker.log.read_text(), f'its last words: {broker.last_words(300)}')
    check.equal(list(broker.data.glob('ring-*')), [], 'files of the ring')
    broker.settings['penstock.ring.bytes'] = 16 * MIB
    broker.start()
    broker.stop()


def test_second_signal_and_sigint(run):
    """SIGINT is what Ctrl-C sends; it leaves as cleanly as SIGTERM."""
    broker = run.broker()
    broker.process.send_signal(2)
    check.equal(processes.wait(broker.process, 60), 0, 'exit status after SIGINT')
    broker.forget()
    broker.start()


def test_a_terminal_that_is_closed(run):
    """Its shell sends SIGHUP and so does the kernel: it is the stop of SIGTERM; whoever asked for nohup goes on."""
    broker = run.broker(start=False)
    broker.start(prefix=('env', '--default-signal=HUP'))  # this test may itself run under nohup
    for _ in range(2):
        broker.process.send_signal(signal.SIGHUP)
    check.equal(processes.wait(broker.process, 60), 0, 'exit status after SIGHUP')
    broker.forget()
    check.expect(broker.log.read_text().rstrip().endswith('stopped'), f'its last line: {broker.last_words(200)}')
    broker.start(prefix=('nohup',))
    broker.process.send_signal(signal.SIGHUP)
    with broker.connect() as connection:
        check.equal(connection.call('ApiVersions', 0)['error'], 0, 'ApiVersions under nohup')
    broker.stop()


def main():
    run = check.Run()
    run.tests(run, *[function for name, function in globals().items() if name.startswith('test_')])
    run.finish()


if __name__ == '__main__':
    main()
