#!/usr/bin/python3
"""Connections and version negotiation at the bytes (docs/compatibility.md, lines 1 to 11 and 82).
ctest compat.connections."""
import socket
import struct

import batches
import check
import wire

NONE, UNKNOWN_TOPIC, COORDINATOR_NOT_AVAILABLE, UNSUPPORTED_VERSION, INVALID_REQUEST = 0, 3, 15, 35, 42
API_VERSIONS = 18
# Key: the versions that Kafka 4.2 tells clients, of what this broker serves (Produce from 0: KAFKA-18659).
SERVED = {0: (0, 13), 1: (4, 18), 2: (1, 11), 3: (0, 13), 10: (0, 6), 18: (0, 4), 19: (2, 7), 20: (1, 6), 22: (0, 5),
          60: (0, 2)}


def versions_of(answer):
    return {api['key']: (api['min'], api['max']) for api in answer['apis']}


def test_line_1_api_versions_in_every_version(broker):
    with broker.connect() as connection:
        for version in range(5):
            answer = connection.call('ApiVersions', version)
            check.equal(answer['error'], NONE, f'ApiVersions v{version}')
            check.expect(SERVED.items() <= versions_of(answer).items(), f'v{version} tells {versions_of(answer)}')


def test_line_1_api_versions_in_any_order(broker):
    with broker.connect() as connection:
        connection.call('Metadata', 1, {'topics': []})
        for version in (4, 0, 3, 1):
            check.equal(connection.call('ApiVersions', version)['error'], NONE, f'v{version} after Metadata')


def test_line_1_too_new_api_versions_get_35_in_a_v0_body(broker):
    for version in (5, 99, 32767):
        with broker.connect() as connection:
            request = struct.pack('>hhih5s', API_VERSIONS, version, 7, 5, b'tests') + b'\0what a later version may say'
            connection.send_raw(wire.frame(request))
            answer = wire.decode_response('ApiVersions', 0, connection.receive_frame(), 7)
            check.equal(answer['error'], UNSUPPORTED_VERSION, f'error for v{version}')
            check.equal(versions_of(answer), {API_VERSIONS: SERVED[API_VERSIONS]}, 'the versions that are told')
            check.equal(connection.call('ApiVersions', 3)['error'], NONE, 'the client asks again, lower')


def test_line_2_produce_is_told_from_version_0(broker):
    with broker.connect() as connection:
        check.equal(versions_of(connection.call('ApiVersions', 3))[0][0], 0, 'lowest version of Produce')


def test_line_3_client_software_names_are_checked(broker):
    with broker.connect() as connection:
        for name, version, error in (('apache-kafka-java', '3.7.0', NONE), ('a', '1', NONE), ('a.b-c9', '0', NONE),
                                     ('', '1', INVALID_REQUEST), ('-a', '1', INVALID_REQUEST),
                                     ('a', '1.', INVALID_REQUEST), ('a b', '1', INVALID_REQUEST)):
            answer = connection.call('ApiVersions', 3, {'software_name': name, 'software_version': version})
            check.equal(answer['error'], error, f'software {name!r} {version!r}')


def test_line_5_pipelined_answers_come_in_order(broker):
    """Fifty requests of the fast and the slow path sent at once; a reordered produce would give another offset."""
    with broker.connect() as connection:
        connection.create('pipelined')
        sent, produced = [], 0
        for number in range(50):
            if number % 3 == 2:
                sent.append(connection.send('Metadata', 4, {'topics': [{'name': 'pipelined'}]}))
            elif number % 3 == 1:
                partitions = [{'index': 0, 'timestamp': -1}]
                sent.append(connection.send('ListOffsets', 2, {'topics': [{'name': 'pipelined',
                                                                           'partitions': partitions}]}))
            else:
                records = batches.build([b'%d' % number])
                partitions = [{'index': 0, 'records': records}]
                sent.append(connection.send('Produce', 7, {'acks': -1, 'topics': [{'name': 'pipelined',
                                                                                   'partitions': partitions}]}))
        for request in sent:
            answer = connection.receive(request)  # checks the correlation id
            if request[0] == 'Produce':
                check.equal(answer['topics'][0]['partitions'][0]['base_offset'], produced, 'base offset')
                produced += 1
            elif request[0] == 'ListOffsets':
                check.equal(answer['topics'][0]['partitions'][0]['offset'], produced, 'latest offset')


def test_line_6_frames_of_impossible_length_close(broker):
    for length in (-1, -2**31, 2**31 - 1, 100 * 1024 * 1024 + 1):
        with broker.connect() as connection:
            connection.send_raw(struct.pack('>i', length))
            check.expect(connection.is_closed_by_peer(), f'a frame of {length} bytes')


def test_line_6_an_empty_frame_closes(broker):
    with broker.connect() as connection:
        connection.send_raw(struct.pack('>i', 0))
        connection.socket.shutdown(socket.SHUT_WR)
        check.expect(connection.is_closed_by_peer(), 'a frame of 0 bytes')


def test_line_7_unknown_apis_and_versions_close(broker):
    for key, version in ((4, 0), (95, 0), (32767, 0), (-1, 0), (3, 14), (1, 3), (1, 19), (2, 0), (22, 7), (3, -1)):
        with broker.connect() as connection:
            connection.send_raw(wire.frame(struct.pack('>hhih5s', key, version, 1, 5, b'tests') + bytes(16)))
            check.expect(connection.is_closed_by_peer(), f'API {key} version {version}')


def test_line_7_old_produce_is_told_but_refused(broker):
    """KAFKA-18659: versions 0 to 2 are told for the sake of old feature tables only."""
    for version in (0, 2):
        with broker.connect() as connection:
            connection.send_raw(wire.frame(struct.pack('>hhihhii', 0, version, 1, -1, 1, 1000, 0)))
            check.expect(connection.is_closed_by_peer(), f'Produce v{version}')


def test_line_7_client_id_may_be_null(broker):
    with broker.connect() as connection:
        for name, version in (('Metadata', 1), ('Metadata', 9), ('ApiVersions', 0), ('ApiVersions', 3)):
            connection.call(name, version, {}, client_id=None)


def test_line_7_and_8_unknown_tags_are_skipped(broker):
    tags = {10_000: b'later', 10_001: b''}
    with broker.connect() as connection:
        connection.create('tagged')
        connection.call('ApiVersions', 3, {'unknown_tags': tags}, header_tags=tags)
        answer = connection.call('Metadata', 9, {'topics': [{'name': 'tagged', 'unknown_tags': tags}],
                                                 'unknown_tags': tags}, header_tags=tags)
        check.equal(answer['topics'][0]['error'], NONE, 'Metadata with unknown tags')
        partitions = [{'index': 0, 'records': batches.build([b'1', b'2']), 'unknown_tags': tags}]
        answer = connection.call('Produce', 9, {'acks': 1, 'unknown_tags': tags, 'topics': [
            {'name': 'tagged', 'partitions': partitions, 'unknown_tags': tags}]}, header_tags=tags)
        check.equal(answer['topics'][0]['partitions'][0]['error'], NONE, 'Produce with unknown tags')
        partitions = [{'index': 0, 'offset': 0, 'unknown_tags': tags}]
        answer = connection.call('Fetch', 12, {'unknown_tags': tags, 'topics': [
            {'name': 'tagged', 'partitions': partitions, 'unknown_tags': tags}]}, header_tags=tags)
        fetched = batches.split(answer['topics'][0]['partitions'][0]['records'])
        check.equal(fetched[0].count, 2, 'records fetched with unknown tags')


def test_line_11_acks_0_is_not_answered(broker):
    with broker.connect() as connection:
        connection.create('silent')
        body = {'acks': 0, 'topics': [{'name': 'silent', 'partitions': [{'index': 0, 'records': batches.build()}]}]}
        for version in (3, 8, 9):
            connection.send('Produce', version, body)
            # The next answer is that of the next request (its correlation id is checked), and the record is there.
            check.equal(connection.call('ApiVersions', 0)['error'], NONE, 'the request after acks=0')
        check.equal(wait_for_offset(connection, 'silent', 3), 3, 'records of acks=0')


def wait_for_offset(connection, topic, wanted):
    """Kafka's high watermark moves when the data is durable, which acks=0 does not wait for; a long poll does."""
    answer = connection.fetch(topic, wanted - 1, max_wait_ms=30_000, min_bytes=1)
    check.equal(answer['error'], NONE, f'fetch of {topic}')
    return answer['high_watermark']


def test_line_11_an_error_of_acks_0_closes(broker):
    bad_crc = batches.build(crc=1)
    for topic, records in (('no-such-topic-here', batches.build()), ('silent', bad_crc)):
        with broker.connect() as connection:
            connection.send('Produce', 9, {'acks': 0, 'topics': [
                {'name': topic, 'partitions': [{'index': 0, 'records': records}]}]})
            check.expect(connection.is_closed_by_peer(), f'acks=0 to {topic}')


def test_line_82_find_coordinator_is_served(broker):
    """librdkafka 2.0.2 wants it told for lz4. Groups: wire_groups.py; transactions get a retriable error."""
    with broker.connect() as connection:
        for version in range(1, 7):
            body = {'key_type': 1} | ({'keys': ['a', 'b']} if version >= 4 else {'key': 'a'})
            answer = connection.call('FindCoordinator', version, body)
            for found in answer['coordinators'] if version >= 4 else [answer]:
                check.equal(found['error'], COORDINATOR_NOT_AVAILABLE, f'FindCoordinator v{version}')


def main():
    run = check.Run()
    tests = [function for name, function in globals().items() if name.startswith('test_')]
    run.tests(run.broker(), *tests)
    run.finish()


if __name__ == '__main__':
    main()
