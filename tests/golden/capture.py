#!/usr/bin/env python3
"""A broker made of cardboard: it answers well enough that a real client goes on, and writes down what was said.

    tests/golden/capture.py PORT OUT [Api=MAX ...]

Listens on 127.0.0.1:PORT until SIGTERM and then writes OUT: for each (API, version) the first request and the answer
that the client took (of Produce, one for each form of batch), as lines "request|response NAME VERSION HEX" of whole
frames without their four bytes of size.
Api=MAX lowers what is offered, so that one client gives several versions. tests/protocol_golden_test.cc reads them.
"""

import signal
import socket
import struct
import sys
import threading
import time

from schema_codec import Codec, load

MESSAGES, APIS = load()
NODE, CLUSTER, TOPIC_ID = 1, "penstock-golden-capture", bytes(range(1, 17))
HIDDEN = {71, 72}  # telemetry is offered only when somebody wants it
EMPTY_BATCH_WAIT = 0.1


def variant_of(api, request):
    """The attributes of the first batch, of a Produce."""
    if api.name != "Produce":
        return ""
    return request["TopicData"][0]["PartitionData"][0]["Records"][21:23].hex()


class Broker:
    def __init__(self, port, caps):
        self.port, self.caps = port, caps
        self.batches = {}  # (topic, partition) -> [(base offset, bytes)]
        self.ends = {}
        self.frames = {}
        self.lock = threading.Lock()
        self.assignment = b""

    def record(self, kind, name, version, frame, variant=""):
        with self.lock:
            self.frames.setdefault((name, version, kind, variant), frame)

    def offered(self, api):
        last = self.caps.get(api.name, api.versions[1])
        return {"ApiKey": api.key, "MinVersion": min(api.advertised_min, last), "MaxVersion": last}

    def answer(self, api, version, request):
        handler = getattr(self, "on_" + api.name, None)
        return handler(version, request) if handler else {}

    # ---- negotiation and metadata

    def on_ApiVersions(self, version, request):
        apis = [self.offered(a) for a in sorted(APIS.values(), key=lambda a: a.key) if a.key not in HIDDEN]
        return {"ApiKeys": apis}

    def on_Metadata(self, version, request):
        names = [t.get("Name") or "golden" for t in request.get("Topics") or []] or ["golden"]
        partition = {"LeaderId": NODE, "LeaderEpoch": 0, "ReplicaNodes": [NODE], "IsrNodes": [NODE]}
        topics = [{"Name": n, "TopicId": TOPIC_ID, "Partitions": [partition]} for n in names]
        return {"Brokers": [{"NodeId": NODE, "Host": "127.0.0.1", "Port": self.port}], "ClusterId": CLUSTER,
                "ControllerId": NODE, "Topics": topics}

    def on_DescribeCluster(self, version, request):
        return {"ClusterId": CLUSTER, "ControllerId": NODE,
                "Brokers": [{"BrokerId": NODE, "Host": "127.0.0.1", "Port": self.port}]}

    def on_FindCoordinator(self, version, request):
        place = {"NodeId": NODE, "Host": "127.0.0.1", "Port": self.port}
        return place | {"Coordinators": [{"Key": k} | place for k in request.get("CoordinatorKeys", [])]}

    # ---- records

    def on_Produce(self, version, request):
        responses = []
        for topic in request["TopicData"]:
            parts = []
            for data in topic["PartitionData"]:
                log = self.batches.setdefault(data["Index"], [])
                base = self.ends.get(data["Index"], 0)
                batch = struct.pack(">q", base) + data["Records"][8:]
                log.append((base, batch))
                self.ends[data["Index"]] = base + struct.unpack(">i", batch[23:27])[0] + 1
                parts.append({"Index": data["Index"], "BaseOffset": base, "LogStartOffset": 0})
            responses.append({k: topic[k] for k in ("Name", "TopicId") if k in topic} | {"PartitionResponses": parts})
        return {"Responses": responses}

    def on_Fetch(self, version, request):
        responses, found = [], False
        for topic in request["Topics"]:
            parts = []
            for want in topic["Partitions"]:
                index = want["Partition"]
                end = self.ends.get(index, 0)
                records = b"".join(b for base, b in self.batches.get(index, []) if base >= want["FetchOffset"])
                found = found or bool(records)
                parts.append({"PartitionIndex": index, "HighWatermark": end, "LastStableOffset": end,
                              "LogStartOffset": 0, "AbortedTransactions": None, "Records": records})
            responses.append({k: topic[k] for k in ("Topic", "TopicId") if k in topic} | {"Partitions": parts})
        if not found:
            time.sleep(EMPTY_BATCH_WAIT)
        return {"Responses": responses}

    def on_ListOffsets(self, version, request):
        def offset_of(want):
            offset = 0 if want["Timestamp"] == -2 else self.ends.get(want["PartitionIndex"], 0)
            return {"PartitionIndex": want["PartitionIndex"], "Offset": offset, "LeaderEpoch": 0}
        return {"Topics": [{"Name": t["Name"], "Partitions": [offset_of(p) for p in t["Partitions"]]}
                           for t in request["Topics"]]}

    # ---- groups

    def on_JoinGroup(self, version, request):
        if not request["MemberId"] and version >= 4:
            return {"ErrorCode": 79, "MemberId": "member-1", "ProtocolName": "" if version < 7 else None}
        member = request["MemberId"] or "member-1"
        protocol = request["Protocols"][0]
        return {"GenerationId": 1, "ProtocolType": request["ProtocolType"], "ProtocolName": protocol["Name"],
                "Leader": member, "MemberId": member,
                "Members": [{"MemberId": member, "Metadata": protocol["Metadata"]}]}

    def on_SyncGroup(self, version, request):
        given = [a["Assignment"] for a in request["Assignments"]]
        return {"Assignment": given[0] if given else b"", "ProtocolType": request.get("ProtocolType"),
                "ProtocolName": request.get("ProtocolName")}

    def on_OffsetCommit(self, version, request):
        return {"Topics": [{k: t[k] for k in ("Name", "TopicId") if k in t} |
                           {"Partitions": [{"PartitionIndex": p["PartitionIndex"]} for p in t["Partitions"]]}
                           for t in request["Topics"]]}

    on_TxnOffsetCommit = on_OffsetCommit

    def on_OffsetFetch(self, version, request):
        def topics_of(wanted):
            return [{k: t[k] for k in ("Name", "TopicId") if k in t} |
                    {"Partitions": [{"PartitionIndex": i, "CommittedOffset": -1, "CommittedLeaderEpoch": -1}
                                    for i in t["PartitionIndexes"]]} for t in wanted or []]
        return {"Topics": topics_of(request.get("Topics")),
                "Groups": [{"GroupId": g["GroupId"], "Topics": topics_of(g["Topics"])}
                           for g in request.get("Groups", [])]}

    def on_ConsumerGroupHeartbeat(self, version, request):
        leaving = request["MemberEpoch"] < 0
        assignment = {"TopicPartitions": [{"TopicId": TOPIC_ID, "Partitions": [0]}]}
        return {"MemberId": request["MemberId"] or "member-1", "MemberEpoch": -1 if leaving else 1,
                "HeartbeatIntervalMs": 1000, "Assignment": None if leaving else assignment}

    # ---- producers, transactions

    def on_InitProducerId(self, version, request):
        return {"ProducerId": 4000, "ProducerEpoch": 0}

    def on_AddPartitionsToTxn(self, version, request):
        return {"ResultsByTopicV3AndBelow": [
            {"Name": t["Name"], "ResultsByPartition": [{"PartitionIndex": p} for p in t["Partitions"]]}
            for t in request.get("V3AndBelowTopics", [])]}

    # ---- administration

    def on_CreateTopics(self, version, request):
        return {"Topics": [{"Name": t["Name"], "TopicId": TOPIC_ID, "NumPartitions": 1, "ReplicationFactor": 1}
                           for t in request["Topics"]]}

    def on_DeleteTopics(self, version, request):
        names = request.get("TopicNames") or [t["Name"] for t in request.get("Topics", [])]
        return {"Responses": [{"Name": n} for n in names]}

    def on_CreatePartitions(self, version, request):
        return {"Results": [{"Name": t["Name"]} for t in request["Topics"]]}

    def on_DescribeConfigs(self, version, request):
        config = {"Name": "cleanup.policy", "Value": "delete", "ConfigSource": 5}
        return {"Results": [{k: r[k] for k in ("ResourceType", "ResourceName")} | {"Configs": [config]}
                            for r in request["Resources"]]}

    def on_IncrementalAlterConfigs(self, version, request):
        return {"Responses": [{k: r[k] for k in ("ResourceType", "ResourceName")} for r in request["Resources"]]}

    on_AlterConfigs = on_IncrementalAlterConfigs

    def on_DeleteGroups(self, version, request):
        return {"Results": [{"GroupId": g} for g in request["GroupsNames"]]}

    def on_DescribeGroups(self, version, request):
        return {"Groups": [{"GroupId": g, "GroupState": "Empty", "ProtocolType": "consumer"}
                           for g in request["Groups"]]}

    def on_ConsumerGroupDescribe(self, version, request):
        return {"Groups": [{"GroupId": g, "GroupState": "Empty", "AssignorName": "uniform"}
                           for g in request["GroupIds"]]}

    def on_ListGroups(self, version, request):
        return {"Groups": [{"GroupId": "golden-group", "ProtocolType": "consumer", "GroupState": "Stable",
                            "GroupType": "classic"}]}

    def on_DeleteRecords(self, version, request):
        return {"Topics": [{"Name": t["Name"], "Partitions": [
            {"PartitionIndex": p["PartitionIndex"]} for p in t["Partitions"]]} for t in request["Topics"]]}

    # ---- frames

    def serve(self, connection):
        stream = connection.makefile("rb")
        while size := stream.read(4):
            frame = stream.read(struct.unpack(">i", size)[0])
            key, version = struct.unpack(">hh", frame[:4])
            api = APIS[key]
            response = self.respond(api, version, frame)
            try:
                if response is not None:
                    connection.sendall(struct.pack(">i", len(response)) + response)
            except OSError:
                return  # the client has what it wanted

    def respond(self, api, version, frame):
        correlation = frame[4:8]
        if version > self.offered(api)["MaxVersion"]:
            if api.name != "ApiVersions":
                raise ValueError(f"{api.name} v{version} was not offered")
            self.record("request", api.name, version, frame)
            body = {"ErrorCode": 35, "ApiKeys": [self.offered(api)]}
            return correlation + Codec(MESSAGES[18, "response"], 0).encode(body)
        name = struct.unpack(">h", frame[8:10])[0]
        at = 10 + max(name, 0)
        flexible = version >= api.flexible
        if flexible:
            if frame[at]:
                raise ValueError("a header with tagged fields")
            at += 1
        request = Codec(MESSAGES[api.key, "request"], version).decode(frame[at:])
        self.record("request", api.name, version, frame, variant_of(api, request))
        value = self.answer(api, version, request)
        if api.name == "Produce" and request["Acks"] == 0:
            return None
        tags = b"\0" if flexible and api.name != "ApiVersions" else b""
        response = correlation + tags + Codec(MESSAGES[api.key, "response"], version).encode(value)
        self.record("response", api.name, version, response)
        return response


def main():
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    broker = Broker(int(sys.argv[1]), {k: int(v) for k, v in (a.split("=") for a in sys.argv[3:])})
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    listener = socket.create_server(("127.0.0.1", broker.port))
    print("ready", flush=True)
    try:
        while True:
            connection, _ = listener.accept()
            threading.Thread(target=broker.serve, args=(connection,), daemon=True).start()
    finally:
        with open(sys.argv[2], "w") as out:
            for (name, version, kind, _), frame in sorted(broker.frames.items()):
                out.write(f"{kind} {name} {version} {frame.hex()}\n")


main()
