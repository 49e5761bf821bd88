// One function an API: a decoded request in, a response out.
#pragma once

#include "control/slow_path/slow_path.h"
#include "protocol/gen/api_versions.h"
#include "protocol/gen/create_topics.h"
#include "protocol/gen/delete_topics.h"
#include "protocol/gen/describe_cluster.h"
#include "protocol/gen/find_coordinator.h"
#include "protocol/gen/init_producer_id.h"
#include "protocol/gen/metadata.h"

namespace penstock::control {

protocol::ApiVersionsResponse answer(const protocol::ApiVersionsRequest& request, Call& call);
protocol::MetadataResponse answer(const protocol::MetadataRequest& request, Call& call);
protocol::CreateTopicsResponse answer(const protocol::CreateTopicsRequest& request, Call& call);
protocol::DeleteTopicsResponse answer(const protocol::DeleteTopicsRequest& request, Call& call);
protocol::DescribeClusterResponse answer(const protocol::DescribeClusterRequest& request, Call& call);
protocol::InitProducerIdResponse answer(const protocol::InitProducerIdRequest& request, Call& call);
protocol::FindCoordinatorResponse answer(const protocol::FindCoordinatorRequest& request, Call& call);

// The answer to an ApiVersions request of a version that we do not know; encoded as version 0 (KIP-511).
protocol::ApiVersionsResponse unsupported_api_versions();

// Bits of the operations that a client may do, by Kafka's operation codes: without an authorizer, all of a resource.
inline constexpr int32_t kAllTopicOperations = 0b1101'1111'1000;
inline constexpr int32_t kAllClusterOperations = 0b1'1111'1010'0000;

}  // namespace penstock::control
