"""What comes from a registry of packages: where it cannot be reached, a test is skipped, and for no other reason. A
version that is not there or a checksum that differs is a failure."""
import subprocess

import check
import processes

# What Maven, pip, npm and go say then.
UNREACHABLE = ('Could not transfer', 'No plugin found for prefix', 'Unknown host', 'Connection refused', 'timed out',
               'Network is unreachable', 'No route to host', 'Temporary failure', 'connection broken by', 'ENOTFOUND',
               'EAI_AGAIN', 'ECONNREFUSED', 'ETIMEDOUT', 'ENETUNREACH', 'EHOSTUNREACH', 'ECONNRESET', 'no such host',
               'dial tcp', 'i/o timeout', 'TLS handshake timeout')


def fetch(what, command, timeout=900, **options):
    """Runs a package manager to its end."""
    try:
        done = subprocess.run(processes.dies_with_us(command), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, timeout=timeout, check=False, **options)
    except subprocess.TimeoutExpired as late:
        raise check.Skipped(f'{what}: the registry did not answer within {timeout} s') from late
    if done.returncode and any(word in done.stdout for word in UNREACHABLE):
        raise check.Skipped(f'{what}: the registry cannot be reached')
    check.expect(done.returncode == 0, f'{what} cannot be had: {done.stdout[-2000:]}')
