#include "control/slow_path/delete_records.h"

#include <algorithm>
#include <limits>

#include "control/slow_path/respond.h"

namespace penstock::control {
namespace {

constexpr int64_t kNoLowWatermark = -1;  // Kafka's, beside an error

ErrorCode error_of(storage::TrimStatus status) {
  switch (status) {
    case storage::TrimStatus::kTrimmed: return ErrorCode::kNone;
    case storage::TrimStatus::kOffsetOutOfRange: return ErrorCode::kOffsetOutOfRange;
    case storage::TrimStatus::kUnknownLog: return ErrorCode::kUnknownTopicOrPartition;
    case storage::TrimStatus::kPoisoned: return ErrorCode::kKafkaStorageError;
    case storage::TrimStatus::kBusy: return ErrorCode::kRequestTimedOut;  // never leaves the lcore
  }
  std::unreachable();
}

std::vector<std::byte> encode(const protocol::DeleteRecordsResponse& response, const DeleteRecords::Asked& asked,
                              ControlCounters& counters) {
  const protocol::Api& api = *protocol::find_api(protocol::DeleteRecordsResponse::kApiKey);
  return respond(api, asked.version, asked.correlation, response, AnswerRoom(counters));
}

}  // namespace

std::optional<std::vector<std::byte>> DeleteRecords::begin(const protocol::DeleteRecordsRequest& request,
                                                           const Asked& asked) {
  // As Kafka: a partition that is named twice counts once, with what was said last.
  std::map<std::string, std::map<int32_t, int64_t>> wanted;
  for (const auto& topic : request.topics) {
    auto& offsets = wanted[topic.name];
    for (const auto& partition : topic.partitions) offsets[partition.partition_index] = partition.offset;
  }
  const uint64_t id = next_request_++;
  Open open{.asked = asked, .response = {}};
  open.deadline = asked.now + std::max(request.timeout_ms, 0) * kMillisecond;
  for (const auto& [name, offsets] : wanted) begin_topic(name, offsets, id, open);
  if (open.partitions_left == 0) return encode(open.response, asked, counters_);
  open_.emplace(id, std::move(open));
  return std::nullopt;
}

void DeleteRecords::begin_topic(const std::string& name, const std::map<int32_t, int64_t>& offsets, uint64_t id,
                                Open& open) {
  const TopicPtr topic = controller_.image().find(name);
  auto& answer = open.response.topics.emplace_back();
  answer.name = name;
  for (const auto& [index, offset] : offsets) {
    Result& result = answer.partitions.emplace_back();
    result.partition_index = index;
    result.low_watermark = kNoLowWatermark;
    result.error_code = begin_partition(topic.get(), index, offset);
    if (result.error_code != ErrorCode::kNone) continue;
    by_token_.emplace(
        trims_.back().trim.token,
        Place{.request = id, .topic = open.response.topics.size() - 1, .partition = answer.partitions.size() - 1});
    result.error_code = ErrorCode::kRequestTimedOut;  // until the lcore says more
    ++open.partitions_left;
  }
}

// Kafka's checks, in the order of KafkaApis.handleDeleteRecordsRequest and ReplicaManager.deleteRecordsOnLocalLog; the
// range of the offset is the lcore's to know.
ErrorCode DeleteRecords::begin_partition(const Topic* topic, int32_t index, int64_t offset) {
  if (topic == nullptr || index < 0 || static_cast<size_t>(index) >= topic->record.partitions.size())
    return ErrorCode::kUnknownTopicOrPartition;
  if (topic->route->is_internal) return ErrorCode::kInvalidTopicException;
  if (!topic->log_config.delete_old) return ErrorCode::kPolicyViolation;
  const LogPlace place = controller_.place_of(topic->record.partitions[static_cast<size_t>(index)]);
  trims_.push_back({.lcore = place.lcore, .trim = {.log = place.log, .to = Offset{offset}, .token = next_token_++}});
  return ErrorCode::kNone;
}

void DeleteRecords::trimmed(const dataplane::LogTrimmed& over) {
  const auto place = by_token_.find(over.token);
  if (place == by_token_.end()) return;
  const auto [id, topic, partition] = place->second;
  by_token_.erase(place);
  if (over.status == storage::TrimStatus::kTrimmed) counters_.add(Metric::partitions_trimmed);
  const auto found = open_.find(id);
  if (found == open_.end()) return;  // its time was up
  Result& result = found->second.response.topics[topic].partitions[partition];
  result.error_code = error_of(over.status);
  if (over.status == storage::TrimStatus::kTrimmed) result.low_watermark = over.log_start_offset.value();
  if (--found->second.partitions_left > 0) return;
  finish(id, found->second);
}

void DeleteRecords::expire(Nanos now) {
  for (auto next = open_.begin(); next != open_.end();) {
    auto& [id, open] = *next++;
    if (open.deadline <= now) finish(id, open);
  }
}

Nanos DeleteRecords::next_deadline() const {
  Nanos next = std::numeric_limits<Nanos>::max();
  for (const auto& [id, open] : open_) next = std::min(next, open.deadline);
  return next;
}

void DeleteRecords::finish(uint64_t id, Open& open) {
  answers_.push_back(
      {.lcore = open.asked.lcore,
       .answer = {.connection = open.asked.connection, .response = encode(open.response, open.asked, counters_)}});
  open_.erase(id);
}

}  // namespace penstock::control
