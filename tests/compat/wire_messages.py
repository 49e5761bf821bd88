"""The messages that the raw client (wire.py) speaks, written down for these tests alone: the broker's own codec comes
from protocol/schema, and a mistake there must not hide by being made on both sides. Those that only administrators send
are in wire_admin_messages.py.

One line a field: NAME TYPE [VERSIONS] [tag=N] [=DEFAULT]; a struct's fields stand indented below it. TYPE: int8..int64,
bool, uuid, string, records, []T, [] (of the struct below); ? before it: may be null. VERSIONS: 3+, 0-12; none: all."""
import wire_admin_messages
import wire_group_messages

TEXT = '''
request 0 Produce flexible=9
  transactional_id ?string 3+
  acks int16
  timeout_ms int32 =30000
  topics []
    name string 0-12
    topic_id uuid 13+
    partitions []
      index int32
      records records

response 0 Produce flexible=9
  topics []
    name string 0-12
    topic_id uuid 13+
    partitions []
      index int32
      error int16
      base_offset int64
      log_append_time int64 2+
      log_start_offset int64 5+
      record_errors [] 8+
        batch_index int32
        message ?string
      error_message ?string 8+
      current_leader struct 10+ tag=0
        leader_id int32
        leader_epoch int32
  throttle_ms int32 1+
  node_endpoints [] 10+ tag=0
    node_id int32
    host string
    port int32
    rack ?string

request 1 Fetch flexible=12
  cluster_id ?string 12+ tag=0
  replica_id int32 0-14 =-1
  max_wait_ms int32
  min_bytes int32
  max_bytes int32 3+ =2147483647
  isolation_level int8 4+
  session_id int32 7+
  session_epoch int32 7+ =-1
  topics []
    name string 0-12
    topic_id uuid 13+
    partitions []
      index int32
      current_leader_epoch int32 9+ =-1
      offset int64
      last_fetched_epoch int32 12+ =-1
      log_start_offset int64 5+ =-1
      max_bytes int32 =2147483647
  forgotten [] 7+
    name string 7-12
    topic_id uuid 13+
    partitions []int32
  rack_id string 11+

response 1 Fetch flexible=12
  throttle_ms int32 1+
  error int16 7+
  session_id int32 7+
  topics []
    name string 0-12
    topic_id uuid 13+
    partitions []
      index int32
      error int16
      high_watermark int64
      last_stable_offset int64 4+
      log_start_offset int64 5+
      aborted_transactions ?[] 4+
        producer_id int64
        first_offset int64
      preferred_read_replica int32 11+
      records records
      current_leader struct 12+ tag=1
        leader_id int32
        leader_epoch int32
  node_endpoints [] 16+ tag=0
    node_id int32
    host string
    port int32
    rack ?string

request 2 ListOffsets flexible=6
  replica_id int32 =-1
  isolation_level int8 2+
  topics []
    name string
    partitions []
      index int32
      current_leader_epoch int32 4+ =-1
      timestamp int64
  timeout_ms int32 10+ =30000

response 2 ListOffsets flexible=6
  throttle_ms int32 2+
  topics []
    name string
    partitions []
      index int32
      error int16
      timestamp int64
      offset int64
      leader_epoch int32 4+

request 3 Metadata flexible=9
  topics ?[]
    topic_id uuid 10+
    name ?string 10+
    name string 0-9
  allow_auto_topic_creation bool 4+ =1
  include_cluster_authorized_operations bool 8-10
  include_topic_authorized_operations bool 8+

response 3 Metadata flexible=9
  throttle_ms int32 3+
  brokers []
    node_id int32
    host string
    port int32
    rack ?string 1+
  cluster_id ?string 2+
  controller_id int32 1+
  topics []
    error int16
    name string 0-11
    name ?string 12+
    topic_id uuid 10+
    is_internal bool 1+
    partitions []
      error int16
      index int32
      leader int32
      leader_epoch int32 7+
      replicas []int32
      isr []int32
      offline_replicas []int32 5+
    authorized_operations int32 8+
  cluster_authorized_operations int32 8-10
  error int16 13+

request 10 FindCoordinator flexible=3
  key string 0-3
  key_type int8 1+
  keys []string 4+

response 10 FindCoordinator flexible=3
  throttle_ms int32 1+
  error int16 0-3
  error_message ?string 1-3
  node_id int32 0-3
  host string 0-3
  port int32 0-3
  coordinators [] 4+
    key string
    node_id int32
    host string
    port int32
    error int16
    error_message ?string

request 18 ApiVersions flexible=3
  software_name string 3+ =penstock-tests
  software_version string 3+ =1.0

response 18 ApiVersions flexible=3
  error int16
  apis []
    key int16
    min int16
    max int16
  throttle_ms int32 1+
  supported_features [] 3+ tag=0
    name string
    min int16
    max int16
  finalized_features_epoch int64 3+ tag=1
  finalized_features [] 3+ tag=2
    name string
    max int16
    min int16

request 19 CreateTopics flexible=5
  topics []
    name string
    partitions int32 =1
    replication_factor int16 =1
    assignments []
      partition int32
      brokers []int32
    configs []
      name string
      value ?string
  timeout_ms int32 =30000
  validate_only bool 1+

response 19 CreateTopics flexible=5
  throttle_ms int32 2+
  topics []
    name string
    topic_id uuid 7+
    error int16
    error_message ?string 1+
    config_error int16 5+ tag=0
    partitions int32 5+
    replication_factor int16 5+
    configs ?[] 5+
      name string
      value ?string
      read_only bool
      source int8
      is_sensitive bool

request 20 DeleteTopics flexible=4
  topics [] 6+
    name ?string
    topic_id uuid
  names []string 0-5
  timeout_ms int32 =30000

response 20 DeleteTopics flexible=4
  throttle_ms int32 1+
  topics []
    name string 0-5
    name ?string 6+
    topic_id uuid 6+
    error int16
    error_message ?string 5+

request 21 DeleteRecords flexible=2
  topics []
    name string
    partitions []
      index int32
      offset int64
  timeout_ms int32 =30000

response 21 DeleteRecords flexible=2
  throttle_ms int32
  topics []
    name string
    partitions []
      index int32
      low_watermark int64
      error int16

request 22 InitProducerId flexible=2
  transactional_id ?string
  transaction_timeout_ms int32 =60000
  producer_id int64 3+ =-1
  producer_epoch int16 3+ =-1

response 22 InitProducerId flexible=2
  throttle_ms int32
  error int16
  producer_id int64
  producer_epoch int16

request 60 DescribeCluster flexible=0
  include_authorized_operations bool
  endpoint_type int8 1+ =1
  include_fenced_brokers bool 2+

response 60 DescribeCluster flexible=0
  throttle_ms int32
  error int16
  error_message ?string
  endpoint_type int8 1+
  cluster_id string
  controller_id int32
  brokers []
    broker_id int32
    host string
    port int32
    rack ?string
    is_fenced bool 2+
  authorized_operations int32

request 23 OffsetForLeaderEpoch flexible=4
  replica_id int32 3+ =-1
  topics []
    name string
    partitions []
      index int32
      current_leader_epoch int32 =-1
      leader_epoch int32

response 23 OffsetForLeaderEpoch flexible=4
  throttle_ms int32
  topics []
    name string
    partitions []
      error int16
      index int32
      leader_epoch int32
      end_offset int64
'''


class Field:
    """One line of TEXT: a name, a type, where it exists, and for a struct the fields below it."""

    def __init__(self, words):
        self.name, kind = words[:2]
        self.nullable = kind.startswith('?')
        self.kind = kind if kind == '?struct' else kind.removeprefix('?')
        self.first, self.last, self.tag, self.default, self.fields = 0, 99, None, None, []
        for word in words[2:]:
            if word.startswith('tag='):
                self.tag = int(word[4:])
            elif word.startswith('='):
                self.default = word[1:] if self.kind == 'string' else int(word[1:])
            elif word.endswith('+'):
                self.first = int(word[:-1])
            else:
                self.first, self.last = map(int, word.split('-'))

    def is_in(self, version):
        return self.first <= version <= self.last


class Message:
    def __init__(self, key, name, flexible):
        self.key, self.name, self.flexible, self.fields = key, name, flexible, []


def parse():
    requests, responses, stack = {}, {}, []
    for line in (TEXT + wire_admin_messages.TEXT + wire_group_messages.TEXT).splitlines():
        words = line.split()
        if not words:
            continue
        depth = (len(line) - len(line.lstrip())) // 2
        if depth == 0:
            message = Message(int(words[1]), words[2], int(words[3].removeprefix('flexible=')))
            (requests if words[0] == 'request' else responses)[words[2]] = message
            stack = [message]
        else:
            field = Field(words)
            stack[depth - 1].fields.append(field)
            stack[depth:] = [field]
    return requests, responses


REQUESTS, RESPONSES = parse()
