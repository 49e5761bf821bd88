// DeleteTopics: by name, and from version 6 by id (KIP-516).
#include <map>

#include "control/slow_path/handlers.h"

namespace penstock::control {
namespace {

using Request = protocol::DeleteTopicsRequest;
using Response = protocol::DeleteTopicsResponse;

Response::DeletableTopicResult result(std::optional<std::string> name, const Uuid& id, ErrorCode error,
                                      std::string message = {}) {
  Response::DeletableTopicResult topic;
  topic.name = std::move(name);
  topic.topic_id = id;
  topic.error_code = error;
  if (!message.empty()) topic.error_message = std::move(message);
  return topic;
}

// Both forms of the request as the newer one.
std::vector<Request::DeleteTopicState> asked_topics(const Request& request, int16_t version) {
  if (version >= 6) return request.topics;
  std::vector<Request::DeleteTopicState> topics;
  for (const std::string& name : request.topic_names) topics.push_back({.name = name, .topic_id = {}});
  return topics;
}

// The topic's name, or why it cannot be told; then the answer has it.
std::optional<std::string> resolve(const Request::DeleteTopicState& asked, const Call& call, Response& response) {
  if (asked.name && !asked.topic_id.is_zero()) {
    response.responses.push_back(result(asked.name, asked.topic_id, ErrorCode::kInvalidRequest,
                                        "You may not specify both topic name and topic id."));
    return std::nullopt;
  }
  if (asked.name) return asked.name;
  if (asked.topic_id.is_zero()) {
    response.responses.push_back(
        result(std::nullopt, {}, ErrorCode::kInvalidRequest, "Neither topic name nor id were specified."));
    return std::nullopt;
  }
  const TopicPtr topic = call.controller.image().find(asked.topic_id);
  if (topic != nullptr) return topic->name;
  response.responses.push_back(
      result(std::nullopt, asked.topic_id, ErrorCode::kUnknownTopicId, "This server does not host this topic ID."));
  return std::nullopt;
}

void refuse_all(const std::vector<Request::DeleteTopicState>& topics, ErrorCode error, Response& response) {
  for (const auto& topic : topics) {
    response.responses.push_back(result(topic.name, topic.topic_id, error, "Topic deletion is disabled."));
  }
}

}  // namespace

protocol::DeleteTopicsResponse answer(const protocol::DeleteTopicsRequest& request, Call& call) {
  protocol::DeleteTopicsResponse response;
  const auto topics = asked_topics(request, call.version);
  if (!call.controller.options().delete_topics) {
    refuse_all(topics, call.version < 3 ? ErrorCode::kInvalidRequest : ErrorCode::kTopicDeletionDisabled, response);
    return response;
  }
  std::map<std::string, int> times;
  for (const auto& asked : topics) {
    if (auto name = resolve(asked, call, response)) ++times[*std::move(name)];
  }
  std::vector<std::string> names;
  for (const auto& [name, count] : times) {
    if (count == 1)
      names.push_back(name);
    else
      response.responses.push_back(result(name, {}, ErrorCode::kInvalidRequest, "Duplicate topic name."));
  }
  const auto outcomes = call.controller.delete_topics(names);
  for (size_t i = 0; i < names.size(); ++i) {
    const Uuid id = outcomes[i].topic == nullptr ? Uuid{} : outcomes[i].topic->record.id;
    response.responses.push_back(result(names[i], id, outcomes[i].error, outcomes[i].message));
  }
  return response;
}

}  // namespace penstock::control
