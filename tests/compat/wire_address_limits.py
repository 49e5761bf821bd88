#!/usr/bin/python3
"""How many connections an address may have (docs/compatibility.md, line 10): max.connections.per.ip and its overrides.
ctest compat.address_limits."""
import contextlib
import time

import check
import wire

PATIENCE_S = 60


def serves(connection):
    try:
        return connection.call('ApiVersions', 3)['error'] == 0
    except wire.Closed:
        return False


def open_from(stack, broker, source, count, address=None):
    """Connections that are served."""
    made = [stack.enter_context(wire.Connection(address or broker.address, source=source)) for _ in range(count)]
    for number, connection in enumerate(made):
        check.expect(serves(connection), f'connection {number} of {count} from {source}')
    return made


def is_refused(broker, source, count=3, address=None):
    for number in range(count):
        with wire.Connection(address or broker.address, source=source) as connection:
            check.expect(connection.is_closed_by_peer(), f'connection {number} too many from {source} is closed')


def await_metric(broker, name, value):
    deadline = time.monotonic() + PATIENCE_S
    while (found := broker.metrics()[name]) != value:
        check.expect(time.monotonic() < deadline, f'{name} stays {found}, not {value}')
        time.sleep(0.01)


def test_line_10_an_address_has_its_most(run):
    broker = run.broker({'max.connections.per.ip': 3})
    for life in (1, 2):  # once more when all have gone
        with contextlib.ExitStack() as stack:
            mine = open_from(stack, broker, '127.0.0.1', 3)
            is_refused(broker, '127.0.0.1')
            others = open_from(stack, broker, '127.0.0.2', 3)
            is_refused(broker, '127.0.0.2')
            check.equal(broker.metrics()['connections_refused_address_total'], 6 * life, 'refused')
            await_metric(broker, 'addresses_connected', 2)
            check.expect(all(serves(connection) for connection in mine + others), 'who had come is served')
        await_metric(broker, 'addresses_connected', 0)
    broker.stop()


def test_line_10_a_place_is_free_again(run):
    broker = run.broker({'max.connections.per.ip': 1})
    deadline = time.monotonic() + PATIENCE_S
    for _ in range(20):
        while True:
            with wire.Connection(broker.address, source='127.0.0.1') as connection:
                if serves(connection):
                    break
            check.expect(time.monotonic() < deadline, 'the place of one that has gone stays taken')
    broker.stop()


def test_line_10_overrides(run):
    broker = run.broker({'max.connections.per.ip': 0,
                         'max.connections.per.ip.overrides': 'localhost : 2 , ::ffff:127.0.0.2:1,127.0.0.3:0'})
    with contextlib.ExitStack() as stack:
        for source, most in (('127.0.0.1', 2), ('127.0.0.2', 1), ('127.0.0.3', 0), ('127.0.0.4', 0)):
            open_from(stack, broker, source, most)
            is_refused(broker, source)
    broker.stop()


def test_line_10_all_listeners_count(run):
    """An override without a maximum for others: they have as many as they like."""
    broker = run.broker({'max.connections.per.ip.overrides': '127.0.0.1:2'}, start=False)
    broker.start(listen='ONE://127.0.0.1:0,TWO://127.0.0.1:0')
    second = broker.listening[1]
    check.expect(second != broker.address, f'two listeners: {broker.listening}')
    with contextlib.ExitStack() as stack:
        for address in (broker.address, second):
            open_from(stack, broker, '127.0.0.1', 1, address)
        for address in (broker.address, second):
            is_refused(broker, '127.0.0.1', address=address)
            open_from(stack, broker, '127.0.0.2', 10, address)
    broker.stop()


def test_line_10_no_limit_unless_set(run):
    broker = run.broker()
    with contextlib.ExitStack() as stack:
        open_from(stack, broker, '127.0.0.1', 50)
        metrics = broker.metrics()
        check.equal((metrics['connections_refused_address_total'], metrics['addresses_connected']), (0, 0),
                    'nobody counts')
    broker.stop()


def test_line_10_settings_are_checked(run):
    broker = run.broker(start=False)
    for name, value, word in (('max.connections.per.ip', '-1', '-1'),
                              ('max.connections.per.ip', '0', 'max.connections.per.ip.overrides'),
                              ('max.connections.per.ip.overrides', '127.0.0.1', 'HOST:COUNT'),
                              ('max.connections.per.ip.overrides', '127.0.0.1:-1', '127.0.0.1:-1'),
                              ('max.connections.per.ip.overrides', 'no.such.host.invalid:5', 'no.such.host.invalid')):
        said = broker.fails_to_start('--set', f'{name}={value}')
        check.expect(name in said and word in said, f'{name}={value}: {said}')


def main():
    run = check.Run()
    run.tests(run, *[function for name, function in globals().items() if name.startswith('test_')])
    run.finish()


if __name__ == '__main__':
    main()
