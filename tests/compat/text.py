"""The real text that clients send: what this machine's Debian package lists say (descriptions and all), then, should
that not be enough, other text that a Debian with a compiler has. Deterministic for one state of the machine.

One record is one line. Empty lines are left out: kcat does not send them."""
import collections
import hashlib
import itertools
import pathlib
import subprocess

WANTED_LINES = 500_000
WANTED_BYTES = 50_000_000
SLICE_BYTES = 10_000_000


def sources():
    """(name, iterator of lines)"""
    yield 'apt-cache dumpavail', lines_of_command(['apt-cache', 'dumpavail'])
    yield '/var/lib/dpkg/status', lines_of_files([pathlib.Path('/var/lib/dpkg/status')])
    for folder in ('/usr/include', '/usr/share', '/usr/lib/python3', '/usr/lib/llvm-19'):
        files = sorted(path for path in pathlib.Path(folder).rglob('*')
                       if path.suffix in ('.h', '.py', '.pm', '.txt', '', '.js', '.json', '.ipp', '.tcc'))
        yield folder, lines_of_files(files)


def lines_of_command(command):
    try:
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
            yield from process.stdout
    except FileNotFoundError:
        return


def lines_of_files(files):
    for path in files:
        try:
            if path.is_file() and not path.is_symlink():
                yield from path.read_bytes().splitlines(keepends=True)
        except OSError:
            continue


def is_text(line):
    """A line that every client takes as it is: UTF-8 (kafkajs and the command lines), not empty, no NUL."""
    if len(line) > 100_000 or not line.strip() or b'\0' in line or b'\r' in line:
        return False
    try:
        line.decode()
    except UnicodeDecodeError:
        return False
    return True


class Text:
    """A file of lines, each ended by \\n, and what its readers have to come back with."""

    def __init__(self, path, lines):
        self.path, self.lines, self.bytes, digest = path, 0, 0, hashlib.sha256()
        with path.open('wb') as file:
            for line in lines:
                file.write(line)
                digest.update(line)
                self.lines += 1
                self.bytes += len(line)
        self.sha256 = digest.hexdigest()

    def __str__(self):
        return f'{self.lines} lines, {self.bytes} bytes'


def assemble(folder, wanted_lines=WANTED_LINES, wanted_bytes=WANTED_BYTES):
    """The whole text, or its beginning: lines of one source after the other, until there are enough."""
    used, lines, size = collections.Counter(), 0, 0

    def enough():
        return lines >= wanted_lines and size >= wanted_bytes

    def wanted():
        nonlocal lines, size
        for name, found in sources():
            for line in itertools.takewhile(lambda _: not enough(), filter(is_text, found)):
                line = line if line.endswith(b'\n') else line + b'\n'
                lines, size = lines + 1, size + len(line)
                used[name] += 1
                yield line

    text = Text(folder / 'text', wanted())
    origin = ', '.join(f'{count} of {name}' for name, count in used.items())
    if not enough():
        raise AssertionError(f'this machine has too little text, {text} ({origin}): run apt-get update')
    print(f'text: {text}: {origin}', flush=True)
    return text


def slice_of(text, folder):
    """Its first 10 MB, for the clients that take long."""
    def lines():
        size = 0
        with text.path.open('rb') as file:
            for line in itertools.takewhile(lambda _: size < SLICE_BYTES, file):
                size += len(line)
                yield line
    return Text(folder / 'slice', lines())
