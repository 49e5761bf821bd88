"""The messages that only administrators and their tools send, in the notation of wire_messages.py."""

TEXT = '''
request 29 DescribeAcls flexible=2
  resource_type int8 =1
  resource_name ?string
  pattern_type int8 =1
  principal ?string
  host ?string
  operation int8 =1
  permission int8 =1

response 29 DescribeAcls flexible=2
  throttle_ms int32
  error int16
  error_message ?string
  resources []
    type int8

request 32 DescribeConfigs flexible=4
  resources []
    type int8
    name string
    keys ?[]string
  include_synonyms bool
  include_documentation bool 3+

response 32 DescribeConfigs flexible=4
  throttle_ms int32
  results []
    error int16
    error_message ?string
    type int8
    name string
    configs []
      name string
      value ?string
      read_only bool
      source int8
      is_sensitive bool
      synonyms []
        name string
        value ?string
        source int8
      type int8 3+
      documentation ?string 3+

request 33 AlterConfigs flexible=2
  resources []
    type int8
    name string
    configs []
      name string
      value ?string
  validate_only bool

response 33 AlterConfigs flexible=2
  throttle_ms int32
  responses []
    error int16
    error_message ?string
    type int8
    name string

request 35 DescribeLogDirs flexible=2
  topics ?[]
    name string
    partitions []int32

response 35 DescribeLogDirs flexible=2
  throttle_ms int32
  error int16 3+
  results []
    error int16
    log_dir string
    topics []
      name string
      partitions []
        index int32
        size int64
        offset_lag int64
        is_future bool
    total_bytes int64 4+
    usable_bytes int64 4+

request 37 CreatePartitions flexible=2
  topics []
    name string
    count int32
    assignments ?[]
      brokers []int32
  timeout_ms int32 =30000
  validate_only bool

response 37 CreatePartitions flexible=2
  throttle_ms int32
  results []
    name string
    error int16
    error_message ?string

request 41 DescribeDelegationToken flexible=2
  owners ?[]
    type string
    name string

response 41 DescribeDelegationToken flexible=2
  error int16
  tokens []
    type string
  throttle_ms int32

request 43 ElectLeaders flexible=2
  election_type int8 1+
  topics ?[]
    name string
    partitions []int32
  timeout_ms int32 =30000

response 43 ElectLeaders flexible=2
  throttle_ms int32
  error int16 1+
  topics []
    name string
    partitions []
      index int32
      error int16
      error_message ?string

request 44 IncrementalAlterConfigs flexible=1
  resources []
    type int8
    name string
    configs []
      name string
      operation int8
      value ?string
  validate_only bool

response 44 IncrementalAlterConfigs flexible=1
  throttle_ms int32
  responses []
    error int16
    error_message ?string
    type int8
    name string

request 45 AlterPartitionReassignments flexible=0
  timeout_ms int32 =30000
  allow_replication_factor_change bool 1+ =1
  topics []
    name string
    partitions []
      index int32
      replicas ?[]int32

response 45 AlterPartitionReassignments flexible=0
  throttle_ms int32
  allow_replication_factor_change bool 1+
  error int16
  error_message ?string
  topics []
    name string
    partitions []
      index int32
      error int16
      error_message ?string

request 46 ListPartitionReassignments flexible=0
  timeout_ms int32 =30000
  topics ?[]
    name string
    partitions []int32

response 46 ListPartitionReassignments flexible=0
  throttle_ms int32
  error int16
  error_message ?string
  topics []
    name string
    partitions []
      index int32
      replicas []int32
      adding []int32
      removing []int32

request 48 DescribeClientQuotas flexible=1
  components []
    entity_type string
    match_type int8
    match ?string
  strict bool

response 48 DescribeClientQuotas flexible=1
  throttle_ms int32
  error int16
  error_message ?string
  entries ?[]
    entity string

request 50 DescribeUserScramCredentials flexible=0
  users ?[]
    name string

response 50 DescribeUserScramCredentials flexible=0
  throttle_ms int32
  error int16
  error_message ?string
  results []
    user string
    error int16
    error_message ?string
    credentials []
      mechanism int8
      iterations int32

request 61 DescribeProducers flexible=0
  topics []
    name string
    partitions []int32

response 61 DescribeProducers flexible=0
  throttle_ms int32
  topics []
    name string
    partitions []
      index int32
      error int16
      error_message ?string
      producers []
        producer_id int64
        producer_epoch int32
        last_sequence int32
        last_timestamp int64
        coordinator_epoch int32
        transaction_start int64

request 65 DescribeTransactions flexible=0
  ids []string

response 65 DescribeTransactions flexible=0
  throttle_ms int32
  transactions []
    error int16
    id string
    state string
    timeout_ms int32
    start_ms int64
    producer_id int64
    producer_epoch int16
    topics []
      name string
      partitions []int32

request 66 ListTransactions flexible=0
  state_filters []string
  producer_id_filters []int64
  duration_filter int64 1+ =-1
  id_pattern ?string 2+

response 66 ListTransactions flexible=0
  throttle_ms int32
  error int16
  unknown_state_filters []string
  transactions []
    id string
    producer_id int64
    state string

request 74 ListConfigResources flexible=0
  types []int8 1+

response 74 ListConfigResources flexible=0
  throttle_ms int32
  error int16
  resources []
    name string
    type int8 1+

request 75 DescribeTopicPartitions flexible=0
  topics []
    name string
  limit int32 =2000
  cursor ?struct
    topic string
    partition int32

response 75 DescribeTopicPartitions flexible=0
  throttle_ms int32
  topics []
    error int16
    name ?string
    topic_id uuid
    is_internal bool
    partitions []
      error int16
      index int32
      leader int32
      leader_epoch int32
      replicas []int32
      isr []int32
      eligible ?[]int32
      last_known ?[]int32
      offline_replicas []int32
    authorized_operations int32
  next_cursor ?struct
    topic string
    partition int32
'''
