#include "control/slow_path/describe_logs.h"

#include <sys/statvfs.h>

#include <algorithm>
#include <map>
#include <set>
#include <utility>

#include "control/controller/topic_name.h"
#include "control/slow_path/respond.h"

namespace penstock::control {
namespace {

using Wanted = std::map<std::string, std::set<int32_t>>;  // partitions by topic, each that exists

Wanted wanted_partitions(const protocol::DescribeLogDirsRequest& request, const Controller& controller) {
  Wanted wanted;
  if (!request.topics) {
    for (const auto& [name, topic] : controller.image().topics()) {
      for (size_t i = 0; i < topic->record.partitions.size(); ++i) wanted[name].insert(static_cast<int32_t>(i));
    }
    return wanted;
  }
  for (const auto& named : *request.topics) {
    const TopicPtr topic = controller.image().find(named.topic);
    for (const int32_t index : named.partitions) {
      const bool is_there =
          topic != nullptr && index >= 0 && static_cast<size_t>(index) < topic->record.partitions.size();
      if (is_there) wanted[named.topic].insert(index);
    }
  }
  return wanted;
}

struct Asked {
  size_t dir;
  std::string topic;
  int32_t partition;
};

protocol::DescribeLogDirsResponse::Result describe(const LogDir& dir, const Controller& controller) {
  protocol::DescribeLogDirsResponse::Result result;
  result.log_dir = dir.path;
  const auto failed = [&](uint16_t ring) { return controller.failed_rings().contains(ring); };
  if (std::ranges::any_of(dir.rings, failed)) result.error_code = ErrorCode::kKafkaStorageError;
  struct statvfs space{};
  if (statvfs(dir.path.c_str(), &space) == 0) {
    result.total_bytes = static_cast<int64_t>(space.f_blocks * space.f_frsize);
    result.usable_bytes = static_cast<int64_t>(space.f_bavail * space.f_frsize);
  }
  return result;
}

template <class Response>
std::vector<std::byte> encoded(const Response& response, const LateAsker& asker, const AnswerRoom& room) {
  return respond(*protocol::find_api(Response::kApiKey), asker.version, asker.correlation, response, room);
}

// Where the answer to a question goes. A partition that is named several times is asked for once and, as Kafka does,
// told each time.
struct ProducersPlace {
  size_t topic;      // of the response
  size_t partition;  // of it
  size_t question;
};

void tell(const std::vector<storage::ProducerFacts>& producers,
          protocol::DescribeProducersResponse::PartitionResponse& partition) {
  for (const storage::ProducerFacts& facts : producers) {
    auto& producer = partition.active_producers.emplace_back();
    producer.producer_id = facts.id.value();
    producer.producer_epoch = facts.epoch;
    producer.last_sequence = facts.last_sequence;
    producer.last_timestamp = facts.last_timestamp;
    producer.coordinator_epoch = -1;  // no marker was written
  }
}

}  // namespace

std::optional<std::vector<std::byte>> begin(const protocol::DescribeLogDirsRequest& request, const LateAsker& asker,
                                            const Controller& controller, const std::vector<LogDir>& dirs,
                                            LogQuestions& questions, const AnswerRoom& room) {
  protocol::DescribeLogDirsResponse response;
  for (const LogDir& dir : dirs) response.results.push_back(describe(dir, controller));
  std::vector<LogQuestions::PlacedQuestion> ask;
  std::vector<Asked> asked;
  for (const auto& [name, partitions] : wanted_partitions(request, controller)) {
    const TopicPtr topic = controller.image().find(name);
    for (const int32_t index : partitions) {
      const LogPlace place = controller.place_of(topic->record.partitions[static_cast<size_t>(index)]);
      const auto dir = std::ranges::find_if(
          dirs, [&](const LogDir& d) { return std::ranges::find(d.rings, place.ring) != d.rings.end(); });
      if (dir == dirs.end()) continue;
      ask.push_back({.lcore = place.lcore, .question = {.log = place.log}});
      asked.push_back({.dir = static_cast<size_t>(dir - dirs.begin()), .topic = name, .partition = index});
    }
  }
  return questions.ask(std::move(ask), asker,
                       [response = std::move(response), asked = std::move(asked), asker,
                        room](std::span<const dataplane::LogTold> told) mutable {
                         for (size_t i = 0; i < told.size(); ++i) {
                           auto& topics = response.results[asked[i].dir].topics;
                           if (topics.empty() || topics.back().name != asked[i].topic)
                             topics.emplace_back().name = asked[i].topic;
                           auto& partition = topics.back().partitions.emplace_back();
                           partition.partition_index = asked[i].partition;
                           partition.partition_size = static_cast<int64_t>(told[i].bytes);
                         }
                         return encoded(response, asker, room);
                       });
}

std::optional<std::vector<std::byte>> begin(const protocol::DescribeProducersRequest& request, const LateAsker& asker,
                                            const Controller& controller, LogQuestions& questions, AnswerRoom room) {
  using Response = protocol::DescribeProducersResponse;
  Response response;
  std::vector<LogQuestions::PlacedQuestion> ask;
  std::map<storage::LogId, size_t> question_of;
  std::vector<ProducersPlace> places;
  for (const auto& named : request.topics) {
    auto& topic = response.topics.emplace_back();
    topic.name = named.name;
    if (!room.take(sizeof topic + named.name.size())) return encoded(response, asker, room);
    const TopicPtr found = controller.image().find(named.name);
    const auto absent =
        check_topic_name(named.name) ? ErrorCode::kInvalidTopicException : ErrorCode::kUnknownTopicOrPartition;
    for (const int32_t index : named.partition_indexes) {
      auto& partition = topic.partitions.emplace_back();
      partition.partition_index = index;
      if (!room.take(sizeof partition + sizeof places.front())) return encoded(response, asker, room);
      if (found == nullptr || index < 0 || static_cast<size_t>(index) >= found->record.partitions.size()) {
        partition.error_code = absent;
        continue;
      }
      const PartitionRecord& record = found->record.partitions[static_cast<size_t>(index)];
      if (controller.is_offline(record)) {
        partition.error_code = ErrorCode::kKafkaStorageError;
        continue;
      }
      const LogPlace place = controller.place_of(record);
      const auto [question, is_new] = question_of.emplace(place.log, ask.size());
      if (is_new) ask.push_back({.lcore = place.lcore, .question = {.log = place.log, .producers = true}});
      places.push_back({response.topics.size() - 1, topic.partitions.size() - 1, question->second});
    }
  }
  return questions.ask(std::move(ask), asker,
                       [response = std::move(response), places = std::move(places), asker,
                        room](std::span<const dataplane::LogTold> told) mutable {
                         for (const ProducersPlace& place : places) {
                           const auto& producers = told[place.question].producers;
                           auto& partition = response.topics[place.topic].partitions[place.partition];
                           if (!room.take(producers.size() * sizeof(Response::ProducerState))) break;
                           tell(producers, partition);
                         }
                         return encoded(response, asker, room);
                       });
}

}  // namespace penstock::control
