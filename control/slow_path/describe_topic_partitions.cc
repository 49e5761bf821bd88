// DescribeTopicPartitions (KIP-966): topics in pages, by name, each page at most as many partitions as the client and
// max.request.partition.size.limit allow; what did not fit begins at the cursor.
#include <algorithm>
#include <set>

#include "control/controller/topic_name.h"
#include "control/slow_path/handlers.h"

namespace penstock::control {
namespace {

using Response = protocol::DescribeTopicPartitionsResponse;

int64_t page_limit(const protocol::DescribeTopicPartitionsRequest& request, const Call& call) {
  const auto most = call.controller.broker_configs().value("max.request.partition.size.limit");
  return std::min<int64_t>(request.response_partition_limit, parse_long(most.value_or("")).value_or(0));
}

Response::Partition describe(const PartitionRecord& record, int32_t index, const Call& call) {
  Response::Partition partition;
  partition.partition_index = index;
  partition.leader_id = record.leader.value();
  partition.leader_epoch = record.leader_epoch.value();
  for (const BrokerId id : record.replicas) partition.replica_nodes.push_back(id.value());
  for (const BrokerId id : record.in_sync) partition.isr_nodes.push_back(id.value());
  partition.eligible_leader_replicas.emplace();
  partition.last_known_elr.emplace();
  if (call.controller.is_offline(record)) {
    partition.error_code = ErrorCode::kLeaderNotAvailable;
    partition.leader_id = -1;
    partition.offline_replicas = {call.controller.node().value()};
  }
  return partition;
}

Response::Topic absent(const std::string& name) {
  Response::Topic topic;
  topic.name = name;
  topic.error_code = check_topic_name(name) ? ErrorCode::kInvalidTopicException : ErrorCode::kUnknownTopicOrPartition;
  return topic;
}

}  // namespace

protocol::DescribeTopicPartitionsResponse answer(const protocol::DescribeTopicPartitionsRequest& request, Call& call) {
  std::set<std::string> names;
  for (const auto& topic : request.topics) names.insert(topic.name);
  if (request.topics.empty()) {
    for (const auto& [name, topic] : call.controller.image().topics()) names.insert(name);
  }
  const std::string first = request.cursor ? request.cursor->topic_name : "";
  Response response;
  int64_t left = std::max<int64_t>(page_limit(request, call), 1);
  for (auto name = names.lower_bound(first); name != names.end(); ++name) {
    const TopicPtr topic = call.controller.image().find(*name);
    if (topic == nullptr) {
      if (!request.topics.empty()) response.topics.push_back(absent(*name));
      continue;
    }
    const auto count = static_cast<int32_t>(topic->record.partitions.size());
    const int32_t from = request.cursor && *name == first ? std::max(request.cursor->partition_index, 0) : 0;
    if (left == 0) {
      response.next_cursor.emplace(Response::Cursor{.topic_name = *name, .partition_index = from});
      return response;
    }
    const int32_t end = static_cast<int32_t>(std::min<int64_t>(count, from + left));
    Response::Topic& described = response.topics.emplace_back();
    described.name = topic->name;
    described.topic_id = topic->record.id;
    described.is_internal = topic->route->is_internal;
    described.topic_authorized_operations = kAllTopicOperations;
    for (int32_t i = from; i < end; ++i) {
      described.partitions.push_back(describe(topic->record.partitions[static_cast<size_t>(i)], i, call));
    }
    left -= std::max(end - from, 0);
    if (end < count) {
      response.next_cursor.emplace(Response::Cursor{.topic_name = *name, .partition_index = end});
      return response;
    }
  }
  return response;
}

}  // namespace penstock::control
