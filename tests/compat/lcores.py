#!/usr/bin/python3
"""Another number of lcores at each start: what was written with one is there with all, and every ring that is found is
served, also one that has no lcore of its own number any more. ctest compat.lcores."""
import re

import batches
import check

PARTITIONS = 8
TOPIC = 'moves'


def rings(broker):
    """{ring: its lcore}"""
    return {int(ring): int(lcore) for lcore, ring in
            re.findall(r'^penstock_logs_open\{lcore="(\d+)",ring="(\d+)"\} \d+$', broker.get('/metrics'), re.MULTILINE)}


def all_offsets(connection, partition, end):
    """One fetch may bring what is on the drive, the next what is in memory."""
    offsets = []
    while len(offsets) < end:
        found = connection.fetch(TOPIC, len(offsets), partition=partition, min_bytes=1, max_wait_ms=1000)
        check.equal(found['error'], 0, f'fetch of partition {partition}')
        batch_offsets = [batch.base_offset for batch in batches.split(found['records'] or b'')]
        check.expect(batch_offsets, f'partition {partition} ends at {len(offsets)} where {end} were written')
        offsets += batch_offsets
    return offsets


def test_another_number_at_each_start(run):
    broker = run.broker(start=False)
    written = 0
    most = 0
    for life, lcores in enumerate([2, 4, 1, 3, 4, 2]):
        broker.settings['penstock.lcores'] = lcores
        broker.start()
        most = max(most, lcores)
        check.equal(rings(broker), {ring: ring % lcores for ring in range(most)}, f'rings with {lcores} lcores')
        # Several connections, so that each partition is asked for from its own lcore and from others.
        for _ in range(3):
            with broker.connect() as connection:
                if written == 0:
                    connection.create(TOPIC, partitions=PARTITIONS)
                for partition in range(PARTITIONS):
                    check.equal(all_offsets(connection, partition, written), list(range(written)), f'{partition}')
                    value = batches.build([f'{life}'.encode()])
                    produced = connection.produce(TOPIC, value, partition=partition)
                    check.equal((produced['error'], produced['base_offset']), (0, written), f'partition {partition}')
                written += 1
        if life == 1:  # made with four lcores, and so in rings that later starts have no lcore for
            with broker.connect() as connection:
                connection.create('later', partitions=PARTITIONS)
        broker.kill() if life % 2 else broker.stop()


def test_connections_are_shared_out(run):
    broker = run.broker(start=False)
    broker.settings['penstock.lcores'] = 4
    broker.start()
    connections = [broker.connect() for _ in range(20)]
    for connection in connections:
        connection.call('ApiVersions', 3)
    open_ = re.findall(r'^penstock_connections_open\{lcore="\d+"\} (\d+)$', broker.get('/metrics'), re.MULTILINE)
    check.equal(open_, ['5'] * 4, 'connections by lcore')
    for connection in connections:
        connection.__exit__()


def main():
    run = check.Run()
    run.tests(run, test_another_number_at_each_start, test_connections_are_shared_out)
    run.finish()


if __name__ == '__main__':
    main()
