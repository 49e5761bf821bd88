"""The tests of this folder with a DPDK listener as the transport, unchanged: where PENSTOCK_LAB names a network of
scripts/netlab, a broker listens on the device there, in its own namespace, and the test runs in the clients'.
over_dpdk.py makes the network and sets the variable."""
import os

NAME = os.environ.get('PENSTOCK_LAB', '')
KIND = os.environ.get('PENSTOCK_LAB_KIND', 'veth')
ARGUMENTS = os.environ.get('PENSTOCK_LAB_ARGUMENTS', '')  # more of the device's
ADDRESSES = ('10.77.0.2/24', 'fd77::2/64')
PORT = 9092
DEVICE = 'net_tap,iface=client0' if KIND == 'tap' else 'net_af_packet,iface=wire0'
CLIENTS = f'{NAME}-k'
BROKER = CLIENTS if KIND == 'tap' else f'{NAME}-d'


def listener(port=PORT, name='PLAINTEXT'):
    addresses = ','.join(f'address={address}' for address in ADDRESSES)
    return f'{name}://dpdk:{DEVICE}{ARGUMENTS},{addresses},port={port}'


def in_broker(*command):
    """A command in the broker's namespace."""
    return ['ip', 'netns', 'exec', BROKER, *command]
