#include "control/slow_path/slow_path.h"

#include <exception>

#include "base/bytes.h"
#include "base/log.h"
#include "control/slow_path/handlers.h"
#include "control/slow_path/respond.h"

namespace penstock::control {
namespace {

constexpr ApiKey kServed[] = {
    // answered by the lcores
    ApiKey::kProduce,
    ApiKey::kFetch,
    ApiKey::kListOffsets,
    ApiKey::kOffsetForLeaderEpoch,
    // answered here
    ApiKey::kMetadata,
    ApiKey::kOffsetCommit,
    ApiKey::kOffsetFetch,
    ApiKey::kFindCoordinator,
    ApiKey::kJoinGroup,
    ApiKey::kHeartbeat,
    ApiKey::kLeaveGroup,
    ApiKey::kSyncGroup,
    ApiKey::kDescribeGroups,
    ApiKey::kListGroups,
    ApiKey::kApiVersions,
    ApiKey::kCreateTopics,
    ApiKey::kDeleteTopics,
    ApiKey::kDeleteRecords,
    ApiKey::kInitProducerId,
    ApiKey::kDescribeAcls,
    ApiKey::kDescribeConfigs,
    ApiKey::kAlterConfigs,
    ApiKey::kDescribeLogDirs,
    ApiKey::kCreatePartitions,
    ApiKey::kDescribeDelegationToken,
    ApiKey::kDeleteGroups,
    ApiKey::kElectLeaders,
    ApiKey::kIncrementalAlterConfigs,
    ApiKey::kAlterPartitionReassignments,
    ApiKey::kListPartitionReassignments,
    ApiKey::kOffsetDelete,
    ApiKey::kDescribeClientQuotas,
    ApiKey::kDescribeUserScramCredentials,
    ApiKey::kDescribeCluster,
    ApiKey::kDescribeProducers,
    ApiKey::kDescribeTransactions,
    ApiKey::kListTransactions,
    ApiKey::kConsumerGroupHeartbeat,
    ApiKey::kConsumerGroupDescribe,
    ApiKey::kListConfigResources,
    ApiKey::kDescribeTopicPartitions,
};

// Decodes the body, asks for the answer, encodes it. Empty if the body is not of this version.
template <class Request>
std::vector<std::byte> serve(const protocol::Api& api, const protocol::RequestHeader& header,
                             std::span<const std::byte> frame, Call& call) {
  Request request;
  if (!protocol::decode_request(frame.subspan(header.size), header.api_version, request)) return {};
  const auto response = answer(request, call);
  return respond(api, header.api_version, header.correlation_id, response, call.room);
}

const std::vector<std::byte> kClose;

std::vector<std::byte> serve_admin(const protocol::Api& api, const protocol::RequestHeader& header,
                                   std::span<const std::byte> frame, Call& call) {
  switch (api.key) {
    case ApiKey::kAlterConfigs: return serve<protocol::AlterConfigsRequest>(api, header, frame, call);
    case ApiKey::kAlterPartitionReassignments:
      return serve<protocol::AlterPartitionReassignmentsRequest>(api, header, frame, call);
    case ApiKey::kCreatePartitions: return serve<protocol::CreatePartitionsRequest>(api, header, frame, call);
    case ApiKey::kDescribeConfigs: return serve<protocol::DescribeConfigsRequest>(api, header, frame, call);
    case ApiKey::kDescribeAcls: return serve<protocol::DescribeAclsRequest>(api, header, frame, call);
    case ApiKey::kDescribeClientQuotas: return serve<protocol::DescribeClientQuotasRequest>(api, header, frame, call);
    case ApiKey::kDescribeUserScramCredentials:
      return serve<protocol::DescribeUserScramCredentialsRequest>(api, header, frame, call);
    case ApiKey::kDescribeDelegationToken:
      return serve<protocol::DescribeDelegationTokenRequest>(api, header, frame, call);
    case ApiKey::kDescribeTopicPartitions:
      return serve<protocol::DescribeTopicPartitionsRequest>(api, header, frame, call);
    case ApiKey::kDescribeTransactions: return serve<protocol::DescribeTransactionsRequest>(api, header, frame, call);
    case ApiKey::kElectLeaders: return serve<protocol::ElectLeadersRequest>(api, header, frame, call);
    case ApiKey::kIncrementalAlterConfigs:
      return serve<protocol::IncrementalAlterConfigsRequest>(api, header, frame, call);
    case ApiKey::kListConfigResources: return serve<protocol::ListConfigResourcesRequest>(api, header, frame, call);
    case ApiKey::kListPartitionReassignments:
      return serve<protocol::ListPartitionReassignmentsRequest>(api, header, frame, call);
    case ApiKey::kListTransactions: return serve<protocol::ListTransactionsRequest>(api, header, frame, call);
    default: return kClose;  // Kafka closes too (SocketServer, "unsupported API key or version")
  }
}

}  // namespace

std::span<const ApiKey> served_apis() { return kServed; }

std::optional<std::vector<std::byte>> SlowPath::handle(const dataplane::SlowRequest& request, uint16_t lcore,
                                                       groups::Now now) {
  counters_.add(Metric::slow_requests);
  std::optional<std::vector<std::byte>> response(std::in_place);
  try {
    response = dispatch(request, lcore, now);
  } catch (const std::exception& problem) {  // memory, most likely: this client goes, the others stay
    LOG_ERROR("a request with API key %d could not be answered: %s", request.api_key, problem.what());
  }
  if (response && response->empty()) counters_.add(Metric::slow_requests_bad);
  return response;
}

std::optional<std::vector<std::byte>> SlowPath::dispatch(const dataplane::SlowRequest& request, uint16_t lcore,
                                                         groups::Now now) {
  const std::span<const std::byte> frame = request.frame;
  const protocol::Api* api = protocol::find_api(request.api_key);
  if (api == nullptr || frame.size() < protocol::kRequestHeaderFixed) return kClose;
  if (api->key == ApiKey::kApiVersions && !api->serves(request.api_version)) {
    // Its header may be of a form that we do not know either, but the correlation id has a fixed place.
    counters_.add(Metric::api_versions_unsupported);
    return respond(*api, 0, CorrelationId{load_be<int32_t>(frame.data() + 4)}, unsupported_api_versions(),
                   AnswerRoom(counters_, limits_));
  }
  const auto header = protocol::decode_request_header(frame);
  if (!header || !api->serves(header->api_version)) return kClose;
  CHECK(request.listener < advertised_.size());
  Call call{.controller = controller_,
            .counters = counters_,
            .address = advertised_[request.listener],
            .version = header->api_version,
            .room = AnswerRoom(counters_, limits_)};
  switch (api->key) {
    case ApiKey::kApiVersions: return serve<protocol::ApiVersionsRequest>(*api, *header, frame, call);
    case ApiKey::kMetadata: return serve<protocol::MetadataRequest>(*api, *header, frame, call);
    case ApiKey::kCreateTopics: return serve<protocol::CreateTopicsRequest>(*api, *header, frame, call);
    case ApiKey::kDeleteTopics: return serve<protocol::DeleteTopicsRequest>(*api, *header, frame, call);
    case ApiKey::kDeleteRecords:
    case ApiKey::kDescribeLogDirs:
    case ApiKey::kDescribeProducers: return begin_late(request, *header, lcore, now);
    case ApiKey::kDescribeCluster: return serve<protocol::DescribeClusterRequest>(*api, *header, frame, call);
    case ApiKey::kInitProducerId: return serve<protocol::InitProducerIdRequest>(*api, *header, frame, call);
    default: break;
  }
  const bool of_group = api->key == ApiKey::kFindCoordinator || GroupRequests::serves(api->key);
  return of_group ? begin_of_group(request, *header, lcore, now) : serve_admin(*api, *header, frame, call);
}

std::optional<std::vector<std::byte>> SlowPath::begin_of_group(const dataplane::SlowRequest& request,
                                                               const protocol::RequestHeader& header, uint16_t lcore,
                                                               groups::Now now) {
  const auto body = std::span<const std::byte>(request.frame).subspan(header.size);
  const protocol::Api& api = *protocol::find_api(request.api_key);
  if (api.key == ApiKey::kFindCoordinator) {
    protocol::FindCoordinatorRequest asked;
    if (!protocol::decode_request(body, header.api_version, asked)) return kClose;
    AnswerRoom room(counters_, limits_);
    const auto found = groups_.find_coordinator(asked, header.api_version, advertised_[request.listener], room);
    return respond(api, header.api_version, header.correlation_id, found, room);
  }
  return groups_.begin(body, {.api = api,
                              .asker = {.lcore = lcore,
                                        .connection = request.connection,
                                        .version = header.api_version,
                                        .correlation = header.correlation_id},
                              .client_id = std::string(header.client_id),
                              .client_host = request.client_host,
                              .now = now,
                              .room = AnswerRoom(counters_, limits_)});
}

std::optional<std::vector<std::byte>> SlowPath::begin_late(const dataplane::SlowRequest& request,
                                                           const protocol::RequestHeader& header, uint16_t lcore,
                                                           groups::Now now) {
  const auto body = std::span<const std::byte>(request.frame).subspan(header.size);
  const LateAsker asker{.lcore = lcore,
                        .connection = request.connection,
                        .version = header.api_version,
                        .correlation = header.correlation_id};
  if (request.api_key == protocol::DescribeLogDirsRequest::kApiKey) {
    protocol::DescribeLogDirsRequest asked;
    if (!protocol::decode_request(body, header.api_version, asked)) return kClose;
    return begin(asked, asker, controller_, log_dirs_, log_questions_, AnswerRoom(counters_, limits_));
  }
  if (request.api_key == protocol::DescribeProducersRequest::kApiKey) {
    protocol::DescribeProducersRequest asked;
    if (!protocol::decode_request(body, header.api_version, asked)) return kClose;
    return begin(asked, asker, controller_, log_questions_, AnswerRoom(counters_, limits_));
  }
  return begin_delete_records(request, header, lcore, now);
}

std::optional<std::vector<std::byte>> SlowPath::begin_delete_records(const dataplane::SlowRequest& request,
                                                                     const protocol::RequestHeader& header,
                                                                     uint16_t lcore, groups::Now now) {
  protocol::DeleteRecordsRequest asked;
  const std::span<const std::byte> frame = request.frame;
  if (!protocol::decode_request(frame.subspan(header.size), header.api_version, asked)) return kClose;
  return delete_records_.begin(asked, {.lcore = lcore,
                                       .connection = request.connection,
                                       .version = header.api_version,
                                       .correlation = header.correlation_id,
                                       .now = now.monotonic});
}

}  // namespace penstock::control
