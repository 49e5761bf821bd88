#!/usr/bin/python3
"""Runs a test of this folder with DPDK as the transport (lab.py): over_dpdk.py --kind veth|tap SCRIPT ARGUMENTS...
The network is made before and removed behind it. Exit code 77: this machine does not let us make one."""
import argparse
import os
import pathlib
import shutil
import subprocess
import sys

import check
import clients

HERE = pathlib.Path(__file__).resolve().parent
NETLAB = HERE.parent.parent / 'scripts' / 'netlab'


def netlab(*words):
    return subprocess.run([NETLAB, *words], text=True, capture_output=True, timeout=60, check=False)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--kind', choices=('veth', 'tap'), required=True)
    parser.add_argument('--build', type=pathlib.Path, required=True)
    parser.add_argument('script')
    args, rest = parser.parse_known_args()
    if os.geteuid() != 0:
        check.skip_all('needs root, to make network namespaces')
    for tool in ('ip', 'ethtool', 'nft'):
        if not shutil.which(tool):
            check.skip_all(f'{tool} is not installed')
    if args.kind == 'tap' and not os.path.exists('/dev/net/tun'):
        check.skip_all('there is no /dev/net/tun')
    try:
        clients.install_kafkajs(args.build)  # there is no way out of the clients' namespace
    except check.Skipped as why:
        check.skip_all(why)
    name = f'pc{os.getpid()}'
    up = netlab('up', '--name', name, *(['--tap'] if args.kind == 'tap' else []))
    if up.returncode:
        check.skip_all(f'scripts/netlab up: {up.stderr.strip() or up.stdout.strip()}')
    try:
        environment = os.environ | {'PENSTOCK_LAB': name, 'PENSTOCK_LAB_KIND': args.kind}
        done = subprocess.run(['ip', 'netns', 'exec', f'{name}-k', sys.executable, '-B', HERE / args.script,
                               '--build', args.build, *rest], env=environment, check=False)
    finally:
        netlab('down', '--name', name)
    sys.exit(done.returncode)


if __name__ == '__main__':
    main()
