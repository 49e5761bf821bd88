// One function an API: a decoded request in, a response out.
#pragma once

#include "control/slow_path/slow_path.h"
#include "protocol/gen/alter_configs.h"
#include "protocol/gen/alter_partition_reassignments.h"
#include "protocol/gen/api_versions.h"
#include "protocol/gen/create_partitions.h"
#include "protocol/gen/create_topics.h"
#include "protocol/gen/delete_topics.h"
#include "protocol/gen/describe_acls.h"
#include "protocol/gen/describe_client_quotas.h"
#include "protocol/gen/describe_cluster.h"
#include "protocol/gen/describe_configs.h"
#include "protocol/gen/describe_delegation_token.h"
#include "protocol/gen/describe_topic_partitions.h"
#include "protocol/gen/describe_transactions.h"
#include "protocol/gen/describe_user_scram_credentials.h"
#include "protocol/gen/elect_leaders.h"
#include "protocol/gen/incremental_alter_configs.h"
#include "protocol/gen/init_producer_id.h"
#include "protocol/gen/list_config_resources.h"
#include "protocol/gen/list_partition_reassignments.h"
#include "protocol/gen/list_transactions.h"
#include "protocol/gen/metadata.h"

namespace penstock::control {

protocol::ApiVersionsResponse answer(const protocol::ApiVersionsRequest& request, Call& call);
protocol::MetadataResponse answer(const protocol::MetadataRequest& request, Call& call);
protocol::CreateTopicsResponse answer(const protocol::CreateTopicsRequest& request, Call& call);
protocol::DeleteTopicsResponse answer(const protocol::DeleteTopicsRequest& request, Call& call);
protocol::DescribeClusterResponse answer(const protocol::DescribeClusterRequest& request, Call& call);
protocol::InitProducerIdResponse answer(const protocol::InitProducerIdRequest& request, Call& call);
protocol::DescribeConfigsResponse answer(const protocol::DescribeConfigsRequest& request, Call& call);
protocol::ListConfigResourcesResponse answer(const protocol::ListConfigResourcesRequest& request, Call& call);
protocol::IncrementalAlterConfigsResponse answer(const protocol::IncrementalAlterConfigsRequest& request, Call& call);
protocol::AlterConfigsResponse answer(const protocol::AlterConfigsRequest& request, Call& call);
protocol::CreatePartitionsResponse answer(const protocol::CreatePartitionsRequest& request, Call& call);
protocol::DescribeTopicPartitionsResponse answer(const protocol::DescribeTopicPartitionsRequest& request, Call& call);
protocol::ElectLeadersResponse answer(const protocol::ElectLeadersRequest& request, Call& call);
protocol::AlterPartitionReassignmentsResponse answer(const protocol::AlterPartitionReassignmentsRequest& request,
                                                     Call& call);
protocol::ListPartitionReassignmentsResponse answer(const protocol::ListPartitionReassignmentsRequest& request,
                                                    Call& call);
protocol::ListTransactionsResponse answer(const protocol::ListTransactionsRequest& request, Call& call);
protocol::DescribeTransactionsResponse answer(const protocol::DescribeTransactionsRequest& request, Call& call);
protocol::DescribeAclsResponse answer(const protocol::DescribeAclsRequest& request, Call& call);
protocol::DescribeClientQuotasResponse answer(const protocol::DescribeClientQuotasRequest& request, Call& call);
protocol::DescribeUserScramCredentialsResponse answer(const protocol::DescribeUserScramCredentialsRequest& request,
                                                      Call& call);
protocol::DescribeDelegationTokenResponse answer(const protocol::DescribeDelegationTokenRequest& request, Call& call);

// The answer to an ApiVersions request of a version that we do not know; encoded as version 0 (KIP-511).
protocol::ApiVersionsResponse unsupported_api_versions();

// Bits of the operations that a client may do, by Kafka's operation codes: without an authorizer, all of a resource.
inline constexpr int32_t kAllTopicOperations = 0b1101'1111'1000;
inline constexpr int32_t kAllClusterOperations = 0b1'1111'1010'0000;

}  // namespace penstock::control
