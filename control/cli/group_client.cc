#include "control/cli/group_client.h"

#include <algorithm>
#include <chrono>
#include <thread>

#include "base/bytes.h"
#include "control/cli/error.h"
#include "protocol/gen/consumer_group_describe.h"
#include "protocol/gen/delete_groups.h"
#include "protocol/gen/describe_groups.h"
#include "protocol/gen/embedded.h"
#include "protocol/gen/find_coordinator.h"
#include "protocol/gen/list_groups.h"
#include "protocol/gen/offset_commit.h"
#include "protocol/gen/offset_fetch.h"

namespace penstock::cli {
namespace {

constexpr auto kPause = std::chrono::milliseconds(50);
constexpr int16_t kByName = 9;  // the last version of OffsetCommit and OffsetFetch that names topics by name

bool is_elsewhere(ErrorCode error) {
  return error == ErrorCode::kCoordinatorNotAvailable || error == ErrorCode::kNotCoordinator ||
         error == ErrorCode::kCoordinatorLoadInProgress;
}

// A classic consumer's assignment: two bytes of version, then the message.
std::vector<std::pair<std::string, std::vector<int32_t>>> read_assignment(const std::vector<std::byte>& bytes) {
  using Assignment = protocol::ConsumerProtocolAssignment;
  std::vector<std::pair<std::string, std::vector<int32_t>>> out;
  if (bytes.size() < 2) return out;
  const int16_t version = std::min(load_be<int16_t>(bytes.data()), Assignment::kMaxVersion);
  Assignment assignment;
  if (!protocol::decode(std::span(bytes).subspan(2), version, assignment, {.allow_trailing = true})) return out;
  for (const auto& topic : assignment.assigned_partitions) out.emplace_back(topic.topic, topic.partitions);
  std::ranges::sort(out);
  return out;
}

}  // namespace

std::vector<ListedGroup> list_groups(Cluster& cluster, Clock& clock, Nanos timeout) {
  std::vector<ListedGroup> groups;
  for (const auto& broker : cluster.metadata(nullptr).brokers) {
    const auto ask = [&] {
      return cluster.broker(broker.node_id).call<protocol::ListGroupsResponse>(protocol::ListGroupsRequest{});
    };
    auto response = ask();
    for (const Nanos deadline = clock.monotonic() + timeout;
         is_elsewhere(response.error_code) && clock.monotonic() <= deadline; response = ask()) {
      std::this_thread::sleep_for(kPause);
    }
    check_error(response.error_code, "cannot list the groups of broker " + std::to_string(broker.node_id));
    for (const auto& group : response.groups) {
      groups.push_back({.id = group.group_id,
                        .type = group.group_type,
                        .state = group.group_state,
                        .protocol_type = group.protocol_type});
    }
  }
  std::ranges::sort(groups, {}, &ListedGroup::id);
  return groups;
}

bool GroupClient::find_coordinator() {
  protocol::FindCoordinatorRequest request;
  request.key = group_;
  request.coordinator_keys = {group_};
  // Versions from 4 on have a list of keys, those before have one; each carries what it can.
  const int16_t version = cluster_.bootstrap().versions().pick<protocol::FindCoordinatorRequest>();
  version >= 4 ? request.key.clear() : request.coordinator_keys.clear();
  const auto response = cluster_.bootstrap().call<protocol::FindCoordinatorResponse>(request);
  ErrorCode error = response.error_code;
  std::string host = response.host;
  int32_t port = response.port;
  if (version >= 4) {
    if (response.coordinators.size() != 1) throw CliError(kExitFailed, "the broker names no coordinator");
    error = response.coordinators[0].error_code;
    host = response.coordinators[0].host;
    port = response.coordinators[0].port;
  }
  if (is_elsewhere(error)) return false;
  check_error(error, "cannot find the coordinator of group " + group_);
  coordinator_ = std::make_unique<KafkaClient>(clock_, Endpoint{host, static_cast<uint16_t>(port)}, options_.timeout,
                                               options_.ends_at_interrupt, cluster_.transport());
  return true;
}

ErrorCode GroupClient::ask(const std::function<ErrorCode(KafkaClient&)>& once) {
  const Nanos deadline = clock_.monotonic() + options_.timeout;
  for (;;) {
    if (coordinator_ != nullptr || find_coordinator()) {
      const ErrorCode error = once(*coordinator_);
      if (!is_elsewhere(error) || clock_.monotonic() > deadline) return error;
      coordinator_.reset();
    } else if (clock_.monotonic() > deadline) {
      return ErrorCode::kCoordinatorNotAvailable;
    }
    std::this_thread::sleep_for(kPause);
  }
}

std::optional<GroupView> GroupClient::describe_consumer() {
  using Response = protocol::ConsumerGroupDescribeResponse;
  Response::DescribedGroup group;
  const ErrorCode error = ask([&](KafkaClient& client) {
    if (!client.versions().serves(Response::kApiKey)) return ErrorCode::kGroupIdNotFound;
    protocol::ConsumerGroupDescribeRequest request;
    request.group_ids = {group_};
    auto response = client.call<Response>(request);
    if (response.groups.size() != 1) throw CliError(kExitFailed, "the broker does not describe group " + group_);
    group = std::move(response.groups[0]);
    return group.error_code;
  });
  if (error == ErrorCode::kGroupIdNotFound) return std::nullopt;
  check_error(error, "group " + group_, group.error_message.value_or(""));
  GroupView view{.id = group_,
                 .type = "consumer",
                 .state = group.group_state,
                 .assignor = group.assignor_name,
                 .epoch = group.group_epoch,
                 .members = {}};
  for (const auto& member : group.members) {
    GroupMemberView& is = view.members.emplace_back();
    is = {.id = member.member_id,
          .instance = member.instance_id.value_or(""),
          .client_id = member.client_id,
          .host = member.client_host,
          .epoch = member.member_epoch,
          .partitions = {}};
    for (const auto& topic : member.assignment.topic_partitions) {
      is.partitions.emplace_back(topic.topic_name, topic.partitions);
    }
    std::ranges::sort(is.partitions);
  }
  return view;
}

GroupView GroupClient::describe_classic() {
  using Response = protocol::DescribeGroupsResponse;
  Response::DescribedGroup group;
  const ErrorCode error = ask([&](KafkaClient& client) {
    protocol::DescribeGroupsRequest request;
    request.groups = {group_};
    auto response = client.call<Response>(request);
    if (response.groups.size() != 1) throw CliError(kExitFailed, "the broker does not describe group " + group_);
    group = std::move(response.groups[0]);
    return group.error_code;
  });
  check_error(error, "group " + group_, group.error_message.value_or(""));
  // Before version 6 a group that is not there is a dead one.
  if (group.group_state == "Dead") check_error(ErrorCode::kGroupIdNotFound, "group " + group_);
  GroupView view{.id = group_,
                 .type = "classic",
                 .state = group.group_state,
                 .assignor = group.protocol_data,
                 .epoch = {},
                 .members = {}};
  for (const auto& member : group.members) {
    view.members.push_back({.id = member.member_id,
                            .instance = member.group_instance_id.value_or(""),
                            .client_id = member.client_id,
                            .host = member.client_host,
                            .epoch = {},
                            .partitions = group.protocol_type == "consumer" ? read_assignment(member.member_assignment)
                                                                            : decltype(GroupMemberView::partitions){}});
  }
  return view;
}

GroupView GroupClient::describe() {
  if (auto view = describe_consumer()) return *view;
  return describe_classic();
}

std::vector<CommittedOffset> GroupClient::committed() {
  std::vector<CommittedOffset> offsets;
  const ErrorCode error = ask([&](KafkaClient& client) {
    offsets.clear();
    protocol::OffsetFetchRequest request;
    if (client.versions().pick<protocol::OffsetFetchRequest>(kByName) >= 8) {
      request.groups.emplace_back().group_id = group_;
      request.groups[0].topics.reset();
    } else {
      request.group_id = group_;
      request.topics.reset();
    }
    const auto response = client.call<protocol::OffsetFetchResponse>(request, kByName);
    const auto take = [&](const auto& topics) {
      for (const auto& topic : topics) {
        for (const auto& partition : topic.partitions) {
          if (partition.committed_offset < 0) continue;
          offsets.push_back(
              {.topic = topic.name, .partition = partition.partition_index, .offset = partition.committed_offset});
        }
      }
    };
    take(response.topics);
    if (response.groups.empty()) return response.error_code;
    take(response.groups[0].topics);
    return response.groups[0].error_code;
  });
  check_error(error, "cannot read what group " + group_ + " has committed");
  std::ranges::sort(offsets, {}, [](const auto& at) { return std::pair(at.topic, at.partition); });
  return offsets;
}

void GroupClient::commit(const std::vector<CommittedOffset>& offsets) {
  std::string where = "group " + group_;
  const ErrorCode error = ask([&](KafkaClient& client) {
    protocol::OffsetCommitRequest request;
    request.group_id = group_;
    for (const CommittedOffset& at : offsets) {
      if (request.topics.empty() || request.topics.back().name != at.topic) {
        request.topics.emplace_back().name = at.topic;
      }
      auto& partition = request.topics.back().partitions.emplace_back();
      partition.partition_index = at.partition;
      partition.committed_offset = at.offset;
    }
    const auto response = client.call<protocol::OffsetCommitResponse>(request, kByName);
    for (const auto& topic : response.topics) {
      for (const auto& partition : topic.partitions) {
        if (partition.error_code == ErrorCode::kNone) continue;
        where = topic.name + " " + std::to_string(partition.partition_index) + " of group " + group_;
        return partition.error_code;
      }
    }
    return ErrorCode::kNone;
  });
  // The broker takes the commit for a member's that it does not know.
  const bool has_members = error == ErrorCode::kUnknownMemberId || error == ErrorCode::kIllegalGeneration ||
                           error == ErrorCode::kRebalanceInProgress;
  check_error(error, "cannot set " + where, has_members ? "the group has members; stop its consumers first" : "");
}

void GroupClient::remove() {
  const ErrorCode error = ask([&](KafkaClient& client) {
    protocol::DeleteGroupsRequest request;
    request.groups_names = {group_};
    const auto response = client.call<protocol::DeleteGroupsResponse>(request);
    if (response.results.size() != 1) throw CliError(kExitFailed, "the broker does not say whether it did");
    return response.results[0].error_code;
  });
  check_error(error, "cannot delete group " + group_,
              error == ErrorCode::kNonEmptyGroup ? "the group has members; stop its consumers first" : "");
}

}  // namespace penstock::cli
