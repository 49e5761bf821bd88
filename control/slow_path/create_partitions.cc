// CreatePartitions: Kafka's checks on the request as a whole, then the controller's on each topic.
#include <map>

#include "control/slow_path/handlers.h"

namespace penstock::control {
namespace {

using Response = protocol::CreatePartitionsResponse;

Response::TopicResult result(const std::string& name, const TopicOutcome& outcome) {
  Response::TopicResult topic;
  topic.name = name;
  topic.error_code = outcome.error;
  if (outcome.error != ErrorCode::kNone) topic.error_message = outcome.message;
  return topic;
}

}  // namespace

protocol::CreatePartitionsResponse answer(const protocol::CreatePartitionsRequest& request, Call& call) {
  std::map<std::string_view, int> times;
  for (const auto& topic : request.topics) ++times[topic.name];
  Response response;
  std::vector<PartitionGrowth> wanted;
  for (const auto& asked : request.topics) {
    int& count = times[asked.name];
    if (count == 0) continue;  // answered with the first of its name
    if (std::exchange(count, 0) > 1) {
      response.results.push_back(result(asked.name, refused(ErrorCode::kInvalidRequest, "Duplicate topic name.")));
      continue;
    }
    if (asked.name == groups::kOffsetsTopic) {  // a group's partition follows from their number
      response.results.push_back(result(
          asked.name, refused(ErrorCode::kInvalidRequest, "The number of partitions of this topic cannot change.")));
      continue;
    }
    PartitionGrowth& growth = wanted.emplace_back(PartitionGrowth{.topic = asked.name, .count = asked.count});
    if (!asked.assignments) continue;
    growth.brokers.emplace();
    for (const auto& assignment : *asked.assignments) growth.brokers->push_back(assignment.broker_ids);
  }
  const auto outcomes = call.controller.create_partitions(wanted, request.validate_only);
  for (size_t i = 0; i < wanted.size(); ++i) response.results.push_back(result(wanted[i].topic, outcomes[i]));
  return response;
}

}  // namespace penstock::control
