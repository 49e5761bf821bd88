#!/usr/bin/python3
"""Several data folders, one a drive: what is spread over them, what comes back, and what is refused by name
(docs/internals/metadata.md). ctest compat.folders."""
import re
import shutil

import batches
import check

PARTITIONS = 6


def rings(broker):
    """{ring: logs in it}"""
    return {int(ring): int(logs) for ring, logs in
            re.findall(r'^penstock_logs_open\{lcore="0",ring="(\d+)"\} (\d+)$', broker.get('/metrics'), re.MULTILINE)}


def more(*folders):
    return [word for folder in folders for word in ('--data', folder)]


def make(run, count=3):
    """A broker that is not started, and its folders; the first is its own."""
    broker = run.broker(start=False)
    return broker, [broker.data, *(broker.folder / f'data-{i}' for i in range(1, count))]


def fill(broker, topic='spread'):
    with broker.connect() as connection:
        connection.create(topic, partitions=PARTITIONS)
        for partition in range(PARTITIONS):
            produced = connection.produce(topic, batch_of(topic, partition), partition=partition)
            check.equal(produced['error'], 0, 'produce')


def expect_all(broker, topic='spread'):
    with broker.connect() as connection:
        for partition in range(PARTITIONS):
            got = connection.fetch(topic, 0, partition=partition)
            check.equal(got['error'], 0, f'fetch of partition {partition}')
            check.equal(contents(got['records']), contents(batch_of(topic, partition)), f'partition {partition}')


def batch_of(topic, partition):
    return batches.build([f'{topic}-{partition}'.encode()])


def contents(records):
    """What the broker may not change."""
    return [batch.bytes[batches.CRC_FROM:] for batch in batches.split(records)]


def one_line(errors, *words):
    said = [line for line in errors.splitlines() if line.startswith('penstock: ')]
    check.equal(len(said), 1, f'lines for the user in {errors!r}')
    for word in words:
        check.expect(str(word) in said[0], f'no {word!r} in: {said[0]}')


def test_partitions_are_spread_and_come_back(run):
    broker, folders = make(run)
    broker.start(*more(*folders[1:]))
    fill(broker)
    check.equal(rings(broker), {0: 2, 1: 2, 2: 2}, 'logs by ring')
    for i, folder in enumerate(folders):
        check.expect((folder / f'ring-{i}').exists(), f'no ring-{i} in {folder}')
    broker.kill()
    broker.start(*more(*reversed(folders[1:])))  # the order of the others does not matter
    expect_all(broker)
    broker.stop()
    folders[2].rename(broker.folder / 'moved')
    broker.start('--data', f'{folders[1]},{broker.folder / "moved"}')
    expect_all(broker)
    check.equal(rings(broker), {0: 2, 1: 2, 2: 2}, 'logs by ring')
    broker.stop()


def test_a_folder_is_added(run):
    broker, folders = make(run, 2)
    broker.start()
    fill(broker)
    broker.stop()
    broker.start(*more(folders[1]))
    expect_all(broker)
    fill(broker, 'newer')
    check.equal(rings(broker), {0: 6, 1: 6}, 'new logs go where few are')
    expect_all(broker, 'newer')
    broker.kill()
    broker.start(*more(folders[1]))
    expect_all(broker)
    expect_all(broker, 'newer')
    broker.stop()


def test_a_missing_folder_is_refused_by_name(run):
    broker, folders = make(run)
    broker.start(*more(*folders[1:]))
    fill(broker)
    broker.stop()
    one_line(broker.fails_to_start(), folders[1], folders[2], 'missing', 'log.dirs')
    away = broker.folder / 'away'
    folders[2].rename(away)
    folders[2].mkdir()  # the mount point of a drive that is not mounted
    one_line(broker.fails_to_start(*more(*folders[1:])), folders[2], 'mount')
    check.equal(list(folders[2].iterdir()), [], 'what was made in the empty mount point')
    folders[2].rmdir()
    away.rename(folders[2])
    broker.start(*more(*folders[1:]))
    expect_all(broker)
    broker.stop()


def test_a_start_without_the_folder_of_the_metadata_changes_nothing(run):
    """Its drive is not mounted, or it was forgotten; also while the other one's ring holds nothing yet."""
    broker, folders = make(run, 2)
    broker.start(*more(folders[1]))
    for filled in (False, True):
        if filled:
            fill(broker)
        broker.stop()
        before = state_of(folders[1])
        broker.data = folders[1]
        one_line(broker.fails_to_start(), folders[1], 'metadata.sqlite is elsewhere', 'first')
        broker.data = broker.folder / 'fresh'
        one_line(broker.fails_to_start(*more(folders[1])), folders[1], 'metadata.sqlite is elsewhere')
        check.expect(not broker.data.exists(), 'a folder was made')
        check.equal(state_of(folders[1]), before, 'the folder afterwards')
        broker.data = folders[0]
        broker.start(*more(folders[1]))
    expect_all(broker)
    broker.stop()


def state_of(folder):
    """{name: (bytes, when they were written)} of all that is in it."""
    return {path.relative_to(folder): (path.stat().st_size, path.stat().st_mtime_ns) for path in folder.rglob('*')}


def test_folders_that_do_not_belong_together_are_refused(run):
    broker, folders = make(run, 2)
    broker.start(*more(folders[1]))
    broker.stop()
    other, (stranger, *_) = make(run, 1)
    other.start()
    other.stop()
    one_line(broker.fails_to_start(*more(folders[1], stranger)), stranger, 'two brokers')
    one_line(broker.fails_to_start(*more(folders[1], folders[1])), 'same folder')
    broker.data = folders[1]
    one_line(broker.fails_to_start(*more(folders[0])), folders[0], 'first')
    broker.data = folders[0]
    one_line(other.fails_to_start(*more(folders[1])), folders[1], 'does not know')
    other.data = shutil.copytree(folders[0], other.folder / 'copy')
    broker.start(*more(folders[1]))
    one_line(other.fails_to_start(*more(folders[1])), folders[1], 'in use')
    broker.stop()


def main():
    run = check.Run()
    run.tests(run, test_partitions_are_spread_and_come_back, test_a_folder_is_added,
              test_a_missing_folder_is_refused_by_name, test_a_start_without_the_folder_of_the_metadata_changes_nothing,
              test_folders_that_do_not_belong_together_are_refused)
    run.finish()


if __name__ == '__main__':
    main()
