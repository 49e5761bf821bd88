"""Processes that end: each with a deadline, and killed by the kernel when the test itself dies."""
import resource
import signal
import subprocess

CLIENT_TIMEOUT_S = 240  # for one client over the whole text, on a machine that does much else


class ProcessFailed(AssertionError):
    pass


def dies_with_us(command):
    return ['setpriv', '--pdeathsig', 'KILL', '--', *map(str, command)]


def start(command, **options):
    return subprocess.Popen(dies_with_us(command), **options)


def run(command, timeout=CLIENT_TIMEOUT_S, **options):
    """Runs to the end; its standard output. Raises unless it ends with 0 in time."""
    options = {'stdin': subprocess.DEVNULL, 'stdout': subprocess.PIPE, 'stderr': subprocess.PIPE} | options
    try:
        done = subprocess.run(dies_with_us(command), timeout=timeout, **options)
    except subprocess.TimeoutExpired as late:
        raise ProcessFailed(f'{command[0]}: not done after {timeout} s: {tail(late.stderr)}') from late
    if done.returncode:
        raise ProcessFailed(f'{" ".join(map(str, command))}: ended with {done.returncode}: {tail(done.stderr)}')
    return done.stdout


def tail(data, size=2000):
    return (data or b'')[-size:].decode(errors='replace')


def wait(process, timeout):
    """The exit status; a process that does not end is killed and the test fails."""
    try:
        return process.wait(timeout)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
        process.wait()
        raise ProcessFailed(f'process {process.pid} did not end within {timeout} s') from None


def child_cpu_seconds():
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime
