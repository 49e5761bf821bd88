// OffsetCommit, OffsetFetch, OffsetDelete and FindCoordinator: topics by name or id, in the form of each version.
#include <map>
#include <set>
#include <utility>

#include "control/slow_path/group_requests.h"
#include "control/slow_path/slow_path.h"

namespace penstock::control {
namespace {

using groups::Coordinator;
using groups::Effects;

constexpr int16_t kTopicIds = 10;             // of OffsetCommit and OffsetFetch (KIP-848)
constexpr int16_t kFetchOfSeveral = 8;        // OffsetFetch names several groups
constexpr int16_t kFetchTellsGroupError = 2;  // before, each partition says it

constexpr int8_t kGroupKey = 0;  // FindCoordinator's key types
constexpr int8_t kTransactionKey = 1;
constexpr int8_t kShareKey = 2;  // from version 6 (KIP-932)

bool has(const Topic* topic, int32_t partition) {
  return topic != nullptr && partition >= 0 && static_cast<size_t>(partition) < topic->record.partitions.size();
}

protocol::OffsetFetchResponse::Topics refuse_topic(const protocol::OffsetFetchRequest::Topics& asked, ErrorCode error) {
  protocol::OffsetFetchResponse::Topics topic;
  topic.name = asked.name;
  topic.topic_id = asked.topic_id;
  for (const int32_t index : asked.partition_indexes) {
    topic.partitions.push_back({.partition_index = index, .committed_offset = -1, .metadata = "", .error_code = error});
  }
  return topic;
}

// A partition that is named several times is told once: each time would be a copy of what was committed as its
// metadata, for four bytes of the request.
void drop_repeated(std::vector<protocol::OffsetFetchRequest::Topics>& topics) {
  std::map<std::pair<std::string, Uuid>, std::set<int32_t>> seen;
  for (auto& topic : topics) {
    auto& indexes = seen[{topic.name, topic.topic_id}];
    std::erase_if(topic.partition_indexes, [&](int32_t index) { return !indexes.insert(index).second; });
  }
}

// As versions before 8 say it.
protocol::OffsetFetchResponse flatten(protocol::OffsetFetchResponse::Group group, int16_t version) {
  protocol::OffsetFetchResponse response;
  if (version >= kFetchTellsGroupError) response.error_code = group.error_code;
  for (auto& topic : group.topics) {
    auto& flat = response.topics.emplace_back();
    flat.name = std::move(topic.name);
    for (auto& partition : topic.partitions) {
      flat.partitions.push_back({.partition_index = partition.partition_index,
                                 .committed_offset = partition.committed_offset,
                                 .committed_leader_epoch = partition.committed_leader_epoch,
                                 .metadata = std::move(partition.metadata),
                                 .error_code = partition.error_code});
    }
  }
  return response;
}

protocol::OffsetFetchResponse::Group refuse_group(const protocol::OffsetFetchRequest::Group& asked, ErrorCode error,
                                                  int16_t version) {
  protocol::OffsetFetchResponse::Group group;
  group.group_id = asked.group_id;
  group.error_code = error;
  if (version >= kFetchTellsGroupError) return group;
  if (!asked.topics) return group;
  for (const auto& topic : *asked.topics) group.topics.push_back(refuse_topic(topic, error));
  return group;
}

protocol::OffsetFetchResponse response_of(std::vector<protocol::OffsetFetchResponse::Group> groups, int16_t version) {
  protocol::OffsetFetchResponse response;
  if (version < kFetchOfSeveral) return flatten(std::move(groups.front()), version);
  response.groups = std::move(groups);
  return response;
}

}  // namespace

std::optional<GroupRequests::Bytes> GroupRequests::answer(protocol::OffsetCommitRequest& request, const Asked& asked) {
  const int16_t version = asked.asker.version;
  protocol::OffsetCommitResponse response;
  bool any = false;
  for (auto& topic : request.topics) {
    const bool by_id = version >= kTopicIds;
    const TopicPtr known = by_id ? controller_.image().find(topic.topic_id) : controller_.image().find(topic.name);
    auto& told = response.topics.emplace_back();
    told.name = topic.name;
    told.topic_id = topic.topic_id;
    if (by_id && known != nullptr) topic.name = known->name;
    if (!by_id && known != nullptr) topic.topic_id = known->record.id;
    for (const auto& partition : topic.partitions) {
      auto& result = told.partitions.emplace_back();
      result.partition_index = partition.partition_index;
      if (by_id && known == nullptr) {
        result.error_code = ErrorCode::kUnknownTopicId;
      } else if (!has(known.get(), partition.partition_index)) {
        result.error_code = ErrorCode::kUnknownTopicOrPartition;
      } else {
        any = true;
      }
    }
  }
  if (!any) return encode(response, asked);
  const groups::Ticket ticket = runtime_.next_ticket();
  Open open{.asker = asked.asker};
  open.refuse = [asked, response](ErrorCode error) {
    auto refused = response;
    for (auto& topic : refused.topics) {
      for (auto& partition : topic.partitions) {
        if (partition.error_code == ErrorCode::kNone) partition.error_code = error;
      }
    }
    return encode(refused, asked);
  };
  const ErrorCode error = step(request.group_id, ticket, asked, open, [&](Coordinator& coordinator, Effects& effects) {
    coordinator.commit(request, version, asked.now, effects, response);
    counters_.add(Metric::offset_commits, effects.records.size());
  });
  open.response = error == ErrorCode::kNone ? encode(response, asked) : open.refuse(error);
  return answer_when_durable(ticket, std::move(open));
}

std::optional<GroupRequests::Bytes> GroupRequests::answer(protocol::OffsetFetchRequest& request, const Asked& asked) {
  const int16_t version = asked.asker.version;
  if (version < kFetchOfSeveral) {
    auto& group = request.groups.emplace_back();
    group.group_id = request.group_id;
    group.topics.reset();
    if (request.topics) group.topics.emplace();
    for (size_t i = 0; request.topics && i < request.topics->size(); ++i) {
      auto& topic = (*request.topics)[i];
      group.topics->push_back({.name = topic.name, .topic_id = {}, .partition_indexes = topic.partition_indexes});
    }
  }
  const groups::Ticket ticket = runtime_.next_ticket();
  Open open{.asker = asked.asker};
  open.refuse = [asked, wanted = request.groups, version](ErrorCode error) {
    std::vector<protocol::OffsetFetchResponse::Group> groups;
    for (const auto& group : wanted) groups.push_back(refuse_group(group, error, version));
    return encode(response_of(std::move(groups), version), asked);
  };
  AnswerRoom room = asked.room;
  std::vector<protocol::OffsetFetchResponse::Group> groups;
  for (auto& group : request.groups) {
    groups.push_back(fetch(group, ticket, asked, open));
    if (room.take(protocol::OffsetFetchResponse::kInfo, "Groups", &groups.back())) continue;
    return encode(protocol::OffsetFetchResponse(), asked, room);
  }
  open.response = encode(response_of(std::move(groups), version), asked);
  return answer_when_durable(ticket, std::move(open));
}

protocol::OffsetFetchResponse::Group GroupRequests::fetch(protocol::OffsetFetchRequest::Group& request,
                                                          groups::Ticket ticket, const Asked& asked, Open& open) {
  const int16_t version = asked.asker.version;
  if (request.topics) drop_repeated(*request.topics);
  std::vector<protocol::OffsetFetchResponse::Topics> unknown;
  if (version >= kTopicIds && request.topics) {
    std::erase_if(*request.topics, [&](auto& topic) {
      const TopicPtr known = controller_.image().find(topic.topic_id);
      if (known == nullptr) {
        unknown.push_back(refuse_topic(topic, ErrorCode::kUnknownTopicId));
      } else {
        topic.name = known->name;
      }
      return known == nullptr;
    });
  }
  protocol::OffsetFetchResponse::Group response;
  const ErrorCode error = step(request.group_id, ticket, asked, open,
                               [&](Coordinator& coordinator, Effects&) { response = coordinator.fetch(request); });
  if (error != ErrorCode::kNone) return refuse_group(request, error, version);
  if (version >= kTopicIds && !request.topics) {
    std::erase_if(response.topics, [&](auto& topic) {
      const TopicPtr known = controller_.image().find(topic.name);
      if (known != nullptr) topic.topic_id = known->record.id;
      return known == nullptr;
    });
  }
  for (auto& topic : unknown) response.topics.push_back(std::move(topic));
  return response;
}

std::optional<GroupRequests::Bytes> GroupRequests::answer(const protocol::OffsetDeleteRequest& request,
                                                          const Asked& asked) {
  protocol::OffsetDeleteResponse response;
  for (const auto& topic : request.topics) {
    auto& told = response.topics.emplace_back();
    told.name = topic.name;
    const TopicPtr known = controller_.image().find(topic.name);
    for (const auto& partition : topic.partitions) {
      told.partitions.push_back({.partition_index = partition.partition_index,
                                 .error_code = has(known.get(), partition.partition_index)
                                                   ? ErrorCode::kNone
                                                   : ErrorCode::kUnknownTopicOrPartition});
    }
  }
  const groups::Ticket ticket = runtime_.next_ticket();
  Open open{.asker = asked.asker};
  open.refuse = [asked](ErrorCode error) { return encode(protocol::OffsetDeleteResponse{.error_code = error}, asked); };
  const ErrorCode error = step(request.group_id, ticket, asked, open, [&](Coordinator& coordinator, Effects& effects) {
    coordinator.delete_offsets(request, asked.now, effects, response);
  });
  open.response = error == ErrorCode::kNone ? encode(response, asked) : open.refuse(error);
  return answer_when_durable(ticket, std::move(open));
}

protocol::FindCoordinatorResponse GroupRequests::find_coordinator(const protocol::FindCoordinatorRequest& request,
                                                                  int16_t version, const AdvertisedAddress& address,
                                                                  AnswerRoom& room) {
  constexpr int16_t kSeveral = 4;
  ErrorCode error = ErrorCode::kNone;
  std::string message;
  if (request.key_type == kGroupKey) {
    error = runtime_.make_topic();
    if (error != ErrorCode::kNone) message = "The topic __consumer_offsets is not there and cannot be made.";
  } else if (request.key_type == kTransactionKey || (request.key_type == kShareKey && version >= 6)) {
    error = ErrorCode::kCoordinatorNotAvailable;
    message = "This broker has no coordinators for transactions and share groups yet.";
  } else {
    error = ErrorCode::kInvalidRequest;
    message = "Unknown coordinator key type.";
  }
  const auto find = [&](const std::string& key) {
    protocol::FindCoordinatorResponse::Coordinator found{.key = key, .node_id = -1, .port = -1, .error_code = error};
    if (!message.empty()) found.error_message = message;
    if (error != ErrorCode::kNone) return found;
    if (!runtime_.is_led(key)) {
      found.error_code = ErrorCode::kCoordinatorNotAvailable;
      found.error_message = "The partition of __consumer_offsets that has this group is offline.";
      return found;
    }
    found.node_id = controller_.node().value();
    found.host = address.host;
    found.port = address.port;
    return found;
  };
  protocol::FindCoordinatorResponse response;
  if (version < kSeveral) {
    auto found = find(request.key);
    response.error_code = found.error_code;
    response.error_message = std::move(found.error_message);
    response.node_id = found.node_id;
    response.host = std::move(found.host);
    response.port = found.port;
    return response;
  }
  for (const std::string& key : request.coordinator_keys) {
    const auto& found = response.coordinators.emplace_back(find(key));
    if (!room.take(protocol::FindCoordinatorResponse::kInfo, "Coordinators", &found)) break;
  }
  return response;
}

}  // namespace penstock::control
