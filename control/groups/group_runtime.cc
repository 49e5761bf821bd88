#include "control/groups/group_runtime.h"

#include <algorithm>
#include <cstdlib>
#include <exception>
#include <iterator>
#include <set>

#include "base/log.h"
#include "protocol/record_batch.h"

namespace penstock::control::groups {
namespace {

// Of a record in a batch: lengths, timestamp, offset.
constexpr size_t kRecordOverhead = 32;
// A read that finds damage may have met a file that was being replaced; after this many it is damage.
constexpr int kDamagedReadsMax = 3;

// A log is outside bytes: a batch whose checksum is wrong is not believed.
Result<std::span<const std::byte>> next_batch(std::span<const std::byte> bytes) {
  const auto batch = TRY(protocol::first_batch(bytes));
  if (!protocol::batch_crc_ok(batch)) return fail(Errc::kCorrupt);
  return batch;
}

}  // namespace

GroupSettings group_settings(const BrokerOptions& options) {
  return {.min_session_timeout_ms = static_cast<int32_t>(options.group_min_session_timeout_ms),
          .max_session_timeout_ms = static_cast<int32_t>(options.group_max_session_timeout_ms),
          .initial_rebalance_delay_ms = static_cast<int32_t>(options.group_initial_rebalance_delay_ms),
          .group_max_size = static_cast<int32_t>(options.group_max_size),
          .offset_metadata_max_bytes = static_cast<int32_t>(options.offset_metadata_max_bytes),
          .offsets_retention_ms = options.offsets_retention_minutes * 60'000,
          .offsets_check_interval_ms = options.offsets_retention_check_interval_ms,
          .memory_max = static_cast<size_t>(options.groups_memory_max_bytes)};
}

int32_t partition_for(std::string_view group_id, size_t partitions) {
  // java.lang.String.hashCode goes over UTF-16 units; ids are UTF-8 here.
  uint32_t hash = 0;
  const auto add = [&hash](uint32_t unit) { hash = hash * 31 + unit; };
  for (size_t i = 0; i < group_id.size();) {
    const auto byte = static_cast<uint8_t>(group_id[i]);
    const size_t length = byte < 0x80 ? 1 : byte < 0xe0 ? 2 : byte < 0xf0 ? 3 : 4;
    uint32_t code = length == 1 ? byte : byte & (0x7fu >> length);
    for (size_t k = 1; k < length && i + k < group_id.size(); ++k)
      code = code << 6 | (static_cast<uint8_t>(group_id[i + k]) & 0x3f);
    i += length;
    if (code < 0x10000) {
      add(code);
    } else {
      add(0xd800 + ((code - 0x10000) >> 10));
      add(0xdc00 + ((code - 0x10000) & 0x3ff));
    }
  }
  // Kafka's Utils.abs: the one number that has no positive counts as zero.
  const uint32_t positive = hash == 0x80000000u ? 0 : hash > 0x80000000u ? 0u - hash : hash;
  return static_cast<int32_t>(positive % partitions);
}

GroupRuntime::GroupRuntime(Controller& controller, ControlCounters& counters, uint64_t seed)
    : controller_(controller),
      counters_(counters),
      settings_(group_settings(controller.options())),
      consumer_defaults_(consumer_settings(controller.options())),
      prng_(seed) {
  world_.settings_of = [this](const std::string& group) { return settings_of(group); };
  world_.regex_work = &regex_work_;
}

// ---- the topic

NewTopic offsets_topic(const BrokerOptions& options) {
  return {.name = std::string(kOffsetsTopic),
          .partitions = static_cast<int32_t>(options.offsets_topic_num_partitions),
          .replication_factor = static_cast<int16_t>(options.offsets_topic_replication_factor),
          .configs = {{"cleanup.policy", "compact"},
                      {"compression.type", "producer"},
                      {"segment.bytes", std::to_string(options.offsets_topic_segment_bytes)}}};
}

ErrorCode GroupRuntime::make_topic() {
  if (controller_.image().find(kOffsetsTopic) != nullptr) return ErrorCode::kNone;
  const NewTopic topic = offsets_topic(controller_.options());
  const TopicOutcome outcome = controller_.create_topics(std::span(&topic, 1), false).front();
  if (outcome.error == ErrorCode::kNone) return ErrorCode::kNone;
  LOG_WARN("groups have no coordinator: %s cannot be made: %s", topic.name.c_str(), outcome.message.c_str());
  return ErrorCode::kCoordinatorNotAvailable;
}

void GroupRuntime::refresh(Now now) {
  const TopicPtr found = controller_.image().find(kOffsetsTopic);
  if (found == topic_) return;
  const bool same = found != nullptr && topic_ != nullptr && found->record.id == topic_->record.id &&
                    found->record.partitions.size() == topic_->record.partitions.size();
  if (!same) unbind(now);
  topic_ = found;
  if (same || topic_ == nullptr) return;
  partitions_.resize(topic_->record.partitions.size());
  for (size_t i = 0; i < partitions_.size(); ++i) to_load_.push_back(i);
  begin_loads();
}

// The topic is gone, and all groups with it.
void GroupRuntime::unbind(Now now) {
  for (size_t i = 0; i < partitions_.size(); ++i) fail(i, ErrorCode::kNotCoordinator, State::kOffline, now);
  partitions_.clear();
  tokens_.clear();
  to_load_.clear();
  to_send_.clear();
  loading_ = 0;
  count();
}

LogPlace GroupRuntime::place(size_t index) const { return controller_.place_of(topic_->record.partitions[index]); }

LeaderEpoch GroupRuntime::epoch(size_t index) const { return topic_->record.partitions[index].leader_epoch; }

bool GroupRuntime::is_led(const std::string& group_id) const {
  if (partitions_.empty()) return topic_ == nullptr || !topic_->record.partitions.empty();
  const auto index = static_cast<size_t>(partition_for(group_id, partitions_.size()));
  return partitions_[index].state != State::kOffline && !controller_.is_offline(topic_->record.partitions[index]);
}

// ---- steps

ErrorCode GroupRuntime::step(const std::string& group_id, Ticket ticket, bool late, Now now,
                             const std::function<void(Coordinator& coordinator, Effects& effects)>& work) {
  refresh(now);
  refresh_world(now);
  if (partitions_.empty()) return ErrorCode::kCoordinatorNotAvailable;
  const auto index = static_cast<size_t>(partition_for(group_id, partitions_.size()));
  Partition& partition = partitions_[index];
  if (partition.state == State::kLoading) return ErrorCode::kCoordinatorLoadInProgress;
  if (partition.state == State::kOffline) return ErrorCode::kNotCoordinator;
  const ErrorCode error = perform(index, now, late ? std::nullopt : std::optional(ticket), work);
  if (error != ErrorCode::kNone) {
    // Who waits in the groups has been told; whether it was among them depends on how far it came.
    if (late) std::erase_if(done_, [&](const StepDone& done) { return done.ticket == ticket; });
    done_.push_back({.ticket = ticket, .error = error, .response = std::nullopt});
    return ErrorCode::kNone;
  }
  release(partition);
  return ErrorCode::kNone;
}

// Not none: it threw, for want of memory. The groups may be ahead of what they wanted written, so they are forgotten.
ErrorCode GroupRuntime::perform(size_t index, Now now, std::optional<Ticket> ticket,
                                const std::function<void(Coordinator& coordinator, Effects& effects)>& work) {
  try {
    Effects effects;
    work(*partitions_[index].coordinator, effects);
    take_effects(index, std::move(effects), now, ticket);
    return ErrorCode::kNone;
  } catch (const std::exception& problem) {
    LOG_ERROR("groups of %s-%zu are read again: %s", kOffsetsTopic.data(), index, problem.what());
  }
  fail(index, ErrorCode::kCoordinatorNotAvailable, State::kLoading, now);
  return ErrorCode::kCoordinatorNotAvailable;
}

ErrorCode GroupRuntime::look(const std::function<void(const Coordinator& coordinator)>& work) const {
  for (const Partition& partition : partitions_) {
    if (partition.state == State::kLoading) return ErrorCode::kCoordinatorLoadInProgress;
    if (partition.state == State::kActive) work(*partition.coordinator);
  }
  return ErrorCode::kNone;
}

void GroupRuntime::take_effects(size_t index, Effects effects, Now now, std::optional<Ticket> ticket) {
  Partition& partition = partitions_[index];
  ErrorCode error = ErrorCode::kNone;
  bool written = write(partition, effects.records);
  if (!written) {
    error = ErrorCode::kUnknownServerError;  // as Kafka tells it
    std::set<std::string> groups;
    for (const GroupRecord& record : effects.records) {
      if (!encode_for_batch(record)) groups.insert(group_of(record));
    }
    LOG_ERROR("%zu groups of %s-%zu begin anew: what they did does not fit a batch", groups.size(),
              kOffsetsTopic.data(), index);
    partition.coordinator->start_over(groups, now, effects);
    written = write(partition, effects.records);
  }
  for (LateAnswer& answer : effects.answers) {
    partition.waiting.push_back(
        {.after = partition.written, .ticket = answer.ticket, .response = std::move(answer.response), .error = error});
  }
  if (ticket) {
    partition.waiting.push_back(
        {.after = partition.written, .ticket = *ticket, .response = std::nullopt, .error = error});
  }
  if (!written) return fail(index, ErrorCode::kUnknownServerError, State::kLoading, now);
  send_at_end_of_turn(index);
  count();
}

// Nothing: it cannot be put into Kafka's format, or is larger than a batch.
std::optional<EncodedRecord> GroupRuntime::encode_for_batch(const GroupRecord& record) const {
  auto encoded = encode(record);
  const size_t around = kRecordOverhead + protocol::kBatchHeaderBytes;
  if (!encoded || encoded->size() + around > settings_.write_bytes_max) return std::nullopt;
  return *std::move(encoded);
}

// All or, if one cannot be written, none. What a client says is looked at before; what a group's members come to have
// is not.
bool GroupRuntime::write(Partition& partition, const std::vector<GroupRecord>& records) {
  std::vector<EncodedRecord> encoded;
  for (const GroupRecord& record : records) {
    auto one = encode_for_batch(record);
    if (!one) return false;
    encoded.push_back(*std::move(one));
  }
  partition.written += encoded.size();
  std::ranges::move(encoded, std::back_inserter(partition.queue));
  return true;
}

void GroupRuntime::send_at_end_of_turn(size_t index) {
  Partition& partition = partitions_[index];
  if (partition.queue.empty() || partition.token != 0 || partition.sends) return;
  partition.sends = true;
  to_send_.push_back(index);
}

std::vector<GroupRuntime::PlacedCommand> GroupRuntime::take_commands(Now now) {
  for (const size_t index : std::exchange(to_send_, {})) {
    partitions_[index].sends = false;
    send_batch(index, now.wall_ms);
  }
  regex_work_ = kRegexWorkATurn;
  return std::exchange(commands_, {});
}

void GroupRuntime::send_batch(size_t index, int64_t now_ms) {
  Partition& partition = partitions_[index];
  if (partition.queue.empty() || partition.token != 0) return;
  protocol::BatchBuilder builder;
  while (!partition.queue.empty()) {
    const EncodedRecord& record = partition.queue.front();
    const size_t bytes = record.size() + kRecordOverhead;
    if (builder.count() > 0 && builder.size() + bytes > settings_.write_bytes_max) break;
    builder.add(now_ms, record.key,
                record.value ? protocol::BatchBuilder::Bytes(*record.value) : protocol::BatchBuilder::Bytes());
    partition.queue.pop_front();
    ++partition.sent;
  }
  partition.token = ++last_token_;
  tokens_[partition.token] = index;
  const LogPlace where = place(index);
  commands_.push_back(
      {.lcore = where.lcore,
       .command = dataplane::AppendRecords{.log = where.log,
                                           .leader_epoch = epoch(index),
                                           .batch = builder.finish(),
                                           .patience = controller_.options().offsets_commit_timeout_ms * kMillisecond,
                                           .token = partition.token}});
}

std::optional<size_t> GroupRuntime::index_of_token(uint64_t token) {
  const auto found = tokens_.find(token);
  if (found == tokens_.end()) return std::nullopt;
  const size_t index = found->second;
  tokens_.erase(found);
  partitions_[index].token = 0;
  return index;
}

void GroupRuntime::appended(const dataplane::RecordsAppended& over, Now now) {
  const auto index = index_of_token(over.token);
  if (!index) return;  // the topic is gone
  Partition& partition = partitions_[*index];
  if (partition.state == State::kLoading) {  // it was given up meanwhile; now its log has all that it will have
    to_load_.push_back(*index);
    return begin_loads();
  }
  if (over.status != storage::AppendStatus::kAppended) {
    const bool offline =
        over.status == storage::AppendStatus::kPoisoned || over.status == storage::AppendStatus::kUnknownLog;
    LOG_WARN("groups of %s-%zu: what they did cannot be written down (%s)", kOffsetsTopic.data(), *index,
             offline ? "its drive failed" : "the drive is behind or full");
    return fail(*index, offline ? ErrorCode::kNotCoordinator : ErrorCode::kCoordinatorNotAvailable,
                offline ? State::kOffline : State::kLoading, now);
  }
  partition.durable = partition.sent;
  release(partition);
  send_at_end_of_turn(*index);
}

void GroupRuntime::release(Partition& partition) {
  while (!partition.waiting.empty() && partition.waiting.front().after <= partition.durable) {
    Waiting& waiting = partition.waiting.front();
    done_.push_back({.ticket = waiting.ticket, .error = waiting.error, .response = std::move(waiting.response)});
    partition.waiting.pop_front();
  }
}

void GroupRuntime::fail(size_t index, ErrorCode error, State next, Now now) {
  Partition& partition = partitions_[index];
  Effects effects;
  if (partition.coordinator != nullptr) partition.coordinator->fail_waiting(error, now, effects);
  for (const Waiting& waiting : partition.waiting)
    done_.push_back({.ticket = waiting.ticket, .error = error, .response = std::nullopt});
  for (LateAnswer& answer : effects.answers)
    done_.push_back({.ticket = answer.ticket, .error = error, .response = std::nullopt});
  // A batch that is under way may still come to be in the log: it is not read before that is known.
  const bool drains = partition.state == State::kActive && next == State::kLoading && partition.token != 0;
  const uint64_t token = partition.token;
  if (!drains) tokens_.erase(token);
  partition = Partition{};
  partition.state = next;
  if (drains) partition.token = token;
  if (next == State::kLoading && !drains) to_load_.push_back(index);
  counters_.add(Metric::group_partitions_failed);
  begin_loads();
}

// ---- loading

void GroupRuntime::begin_loads() {
  while (!to_load_.empty() && loading_ < kLoadsAtOnce && topic_ != nullptr) {
    const size_t index = to_load_.front();
    to_load_.pop_front();
    Partition& partition = partitions_[index];
    if (partition.coordinator == nullptr)
      partition.coordinator = std::make_unique<Coordinator>(settings_, prng_, memory_, world_);
    partition.token = ++last_token_;
    tokens_[partition.token] = index;
    ++loading_;
    const LogPlace where = place(index);
    commands_.push_back({.lcore = where.lcore,
                         .command = dataplane::ReadLog{
                             .log = where.log,
                             .from = partition.next,
                             .max_bytes = static_cast<uint64_t>(controller_.options().offsets_load_buffer_size),
                             .token = partition.token}});
  }
}

void GroupRuntime::read(dataplane::LogRead what, Now now) {
  const auto index = index_of_token(what.token);
  if (!index) return;
  --loading_;
  Partition& partition = partitions_[*index];
  const auto again = [&] {
    to_load_.push_front(*index);  // the one that has begun is finished first
    begin_loads();
  };
  if (what.status == storage::ReadStatus::kGone && partition.next < what.offsets.log_start_offset) {
    partition.next = what.offsets.log_start_offset;
    return again();
  }
  const Offset before = partition.next;
  if (what.status == storage::ReadStatus::kReady) replay_batches(partition, what.bytes);
  if (partition.next >= what.offsets.durable && what.status == storage::ReadStatus::kReady)
    return finish_load(*index, now);
  if (partition.next > before) return again();
  if (++partition.damaged_reads < kDamagedReadsMax) return again();
  LOG_ERROR("groups of %s-%zu are offline: its log cannot be read from offset %lld on (docs/operations.md)",
            kOffsetsTopic.data(), *index, static_cast<long long>(partition.next.value()));
  fail(*index, ErrorCode::kNotCoordinator, State::kOffline, now);
}

void GroupRuntime::replay_batches(Partition& partition, std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const auto batch = next_batch(bytes);
    if (!batch) return;  // the beginning of one, or damage: asked for again
    bytes = bytes.subspan(batch->size());
    const auto view = protocol::view_of(*batch);
    const Offset end = view.base_offset() + (int64_t{view.last_offset_delta()} + 1);
    if (end <= partition.next) continue;
    replay_batch(partition, *batch);
    partition.next = end;
    partition.damaged_reads = 0;
  }
}

// A record that cannot be understood is passed over, as Kafka does: it may be a newer broker's.
void GroupRuntime::replay_batch(Partition& partition, std::span<const std::byte> batch) {
  const auto view = protocol::view_of(batch);
  if (view.control()) return;
  if (view.compression() != protocol::Compression::kNone) {
    counters_.add(Metric::group_records_skipped);
    return;
  }
  protocol::RecordReader reader(batch.subspan(protocol::kBatchHeaderBytes));
  for (int32_t i = 0; i < view.records_count(); ++i) {
    const auto record = reader.next();
    if (!record) return counters_.add(Metric::group_records_skipped);
    const auto decoded = decode_record(record->key.value_or(std::span<const std::byte>()), record->value);
    if (decoded) {
      partition.coordinator->replay(*decoded);
    } else {
      counters_.add(Metric::group_records_skipped);
    }
  }
}

void GroupRuntime::finish_load(size_t index, Now now) {
  refresh_world(now);
  Partition& partition = partitions_[index];
  partition.state = State::kActive;
  // A topic may have been deleted while nobody could write down what that means for its offsets; and, while its groups
  // were read, also made again: what they have committed is of the old one.
  std::vector<std::string> gone(partition.deleted.begin(), partition.deleted.end());
  partition.deleted.clear();
  for (const auto& [id, group] : partition.coordinator->groups()) {
    for (const auto& [topic, partitions] : group.offsets.topics()) {
      if (controller_.image().find(topic) == nullptr) gone.push_back(topic);
    }
  }
  std::ranges::sort(gone);
  const auto repeats = std::ranges::unique(gone);
  gone.erase(repeats.begin(), repeats.end());
  perform(index, now, std::nullopt, [&](Coordinator& coordinator, Effects& effects) {
    coordinator.loaded(now, effects);
    if (!gone.empty()) coordinator.topics_deleted(gone, now, effects);
  });
  begin_loads();
}

// ---- what happens

void GroupRuntime::topics_deleted(std::span<const std::string> topics, Now now) {
  for (size_t i = 0; i < partitions_.size(); ++i) {
    if (partitions_[i].state == State::kLoading) partitions_[i].deleted.insert(topics.begin(), topics.end());
    if (partitions_[i].state != State::kActive) continue;
    perform(i, now, std::nullopt,
            [&](Coordinator& coordinator, Effects& effects) { coordinator.topics_deleted(topics, now, effects); });
  }
}

void GroupRuntime::expire(Now now) {
  refresh_world(now);
  for (size_t i = 0; i < partitions_.size(); ++i) {
    if (partitions_[i].state != State::kActive || partitions_[i].coordinator->next_deadline() > now.monotonic) continue;
    perform(i, now, std::nullopt,
            [&](Coordinator& coordinator, Effects& effects) { coordinator.expire(now, effects); });
    release(partitions_[i]);
  }
}

Nanos GroupRuntime::next_deadline() const {
  Nanos next = kNever;
  for (const Partition& partition : partitions_) {
    if (partition.state == State::kActive) next = std::min(next, partition.coordinator->next_deadline());
  }
  return next;
}

void GroupRuntime::count() {
  counters_.set(Metric::groups, memory_.groups);
  counters_.set(Metric::group_members, memory_.members);
  counters_.set(Metric::group_rebalances, memory_.generations);
  counters_.set(Metric::group_memory_bytes, memory_.bytes);
}

}  // namespace penstock::control::groups
