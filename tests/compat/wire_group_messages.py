"""The messages of consumer groups, as wire_messages.py writes messages down."""

TEXT = '''
request 8 OffsetCommit flexible=8
  group string
  generation int32 =-1
  member string
  instance ?string 7+
  retention_ms int64 2-4 =-1
  topics []
    name string 2-9
    topic_id uuid 10+
    partitions []
      index int32
      offset int64
      leader_epoch int32 6+ =-1
      metadata ?string

response 8 OffsetCommit flexible=8
  throttle_ms int32 3+
  topics []
    name string 2-9
    topic_id uuid 10+
    partitions []
      index int32
      error int16

request 9 OffsetFetch flexible=6
  group string 1-7
  topics ?[] 1-7
    name string
    partitions []int32
  groups [] 8+
    group string
    member ?string 9+
    member_epoch int32 9+ =-1
    topics ?[]
      name string 8-9
      topic_id uuid 10+
      partitions []int32
  require_stable bool 7+

response 9 OffsetFetch flexible=6
  throttle_ms int32 3+
  topics [] 1-7
    name string
    partitions []
      index int32
      offset int64
      leader_epoch int32 5-7
      metadata ?string
      error int16
  error int16 2-7
  groups [] 8+
    group string
    topics []
      name string 8-9
      topic_id uuid 10+
      partitions []
        index int32
        offset int64
        leader_epoch int32
        metadata ?string
        error int16
    error int16

request 11 JoinGroup flexible=6
  group string
  session_timeout_ms int32 =10000
  rebalance_timeout_ms int32 1+ =10000
  member string
  instance ?string 5+
  protocol_type string =consumer
  protocols []
    name string
    metadata records
  reason ?string 8+

response 11 JoinGroup flexible=6
  throttle_ms int32 2+
  error int16
  generation int32
  protocol_type ?string 7+
  protocol ?string
  leader string
  skip_assignment bool 9+
  member string
  members []
    member string
    instance ?string 5+
    metadata records

request 12 Heartbeat flexible=4
  group string
  generation int32
  member string
  instance ?string 3+

response 12 Heartbeat flexible=4
  throttle_ms int32 1+
  error int16

request 13 LeaveGroup flexible=4
  group string
  member string 0-2
  members [] 3+
    member string
    instance ?string
    reason ?string 5+

response 13 LeaveGroup flexible=4
  throttle_ms int32 1+
  error int16
  members [] 3+
    member string
    instance ?string
    error int16

request 14 SyncGroup flexible=4
  group string
  generation int32
  member string
  instance ?string 3+
  protocol_type ?string 5+
  protocol ?string 5+
  assignments []
    member string
    assignment records

response 14 SyncGroup flexible=4
  throttle_ms int32 1+
  error int16
  protocol_type ?string 5+
  protocol ?string 5+
  assignment records

request 15 DescribeGroups flexible=5
  groups []string
  authorized_operations bool 3+

response 15 DescribeGroups flexible=5
  throttle_ms int32 1+
  groups []
    error int16
    error_message ?string 6+
    group string
    state string
    protocol_type string
    protocol string
    members []
      member string
      instance ?string 4+
      client_id string
      client_host string
      metadata records
      assignment records
    authorized_operations int32 3+

request 16 ListGroups flexible=3
  states []string 4+
  types []string 5+

response 16 ListGroups flexible=3
  throttle_ms int32 1+
  error int16
  groups []
    group string
    protocol_type string
    state string 4+
    type string 5+

request 42 DeleteGroups flexible=2
  groups []string

response 42 DeleteGroups flexible=2
  throttle_ms int32
  results []
    group string
    error int16

request 47 OffsetDelete flexible=99
  group string
  topics []
    name string
    partitions []
      index int32

response 47 OffsetDelete flexible=99
  error int16
  throttle_ms int32
  topics []
    name string
    partitions []
      index int32
      error int16

request 68 ConsumerGroupHeartbeat flexible=0
  group string
  member string
  epoch int32
  instance ?string
  rack ?string
  rebalance_timeout_ms int32 =-1
  topics ?[]string
  regex ?string 1+
  assignor ?string
  owned ?[]
    topic_id uuid
    partitions []int32

response 68 ConsumerGroupHeartbeat flexible=0
  throttle_ms int32
  error int16
  error_message ?string
  member ?string
  epoch int32
  interval_ms int32
  assignment ?struct
    partitions []
      topic_id uuid
      partitions []int32

request 69 ConsumerGroupDescribe flexible=0
  groups []string
  authorized_operations bool

response 69 ConsumerGroupDescribe flexible=0
  throttle_ms int32
  groups []
    error int16
    error_message ?string
    group string
    state string
    epoch int32
    assignment_epoch int32
    assignor string
    members []
      member string
      instance ?string
      rack ?string
      epoch int32
      client_id string
      client_host string
      topics []string
      regex ?string
      assignment struct
        partitions []
          topic_id uuid
          topic string
          partitions []int32
      target struct
        partitions []
          topic_id uuid
          topic string
          partitions []int32
      type int8 1+
    authorized_operations int32
'''
