#include "control/controller/controller.h"

#include <algorithm>
#include <set>
#include <utility>

#include "base/log.h"
#include "control/controller/keys.h"
#include "control/controller/topic_name.h"

namespace penstock::control {
namespace {

// Three keys a topic and the log id counter.
constexpr size_t kTopicsPerTransaction = (kTransactionWritesMax - 1) / 3;

}  // namespace

Controller::Controller(MetadataStore& store, Prng& prng, ControllerSettings settings, ControlCounters& counters)
    : store_(store),
      prng_(prng),
      settings_(std::move(settings)),
      broker_configs_{.settings = settings_.settings},
      defaults_{.node = BrokerId{static_cast<int32_t>(settings_.options->node_id)},
                .configs = broker_configs_.topic_defaults(),
                .lcores = settings_.lcores},
      counters_(counters) {
  for (const uint16_t ring : settings_.rings) ring_logs_[ring] = 0;
}

std::vector<storage::LogToOpen> Controller::logs_of(uint16_t ring) const {
  std::vector<storage::LogToOpen> logs;
  for (const auto& [name, topic] : image_.topics()) {
    for (const PartitionRecord& partition : topic->record.partitions) {
      if (partition.ring == ring) logs.push_back({.id = partition.log, .config = topic->log_config});
    }
  }
  return logs;
}

std::set<storage::LogId> Controller::logs_not_of(uint16_t ring) const {
  std::set<storage::LogId> logs;
  for (const auto& [name, topic] : image_.topics()) {
    for (const PartitionRecord& partition : topic->record.partitions) {
      if (partition.ring != ring) logs.insert(partition.log);
    }
  }
  return logs;
}

void Controller::add(TopicPtr topic) {
  for (const PartitionRecord& partition : topic->record.partitions) {
    change_.opened.push_back({.place = place_of(partition), .config = topic->log_config});
    if (const auto ring = ring_logs_.find(partition.ring); ring != ring_logs_.end()) ++ring->second;
  }
  claims_.emplace(keys::topic_claim(topic->name), topic->name);
  image_.insert(std::move(topic));
  image_changed_ = true;
}

void Controller::remove(const TopicPtr& topic) {
  for (const PartitionRecord& partition : topic->record.partitions) {
    change_.dropped.push_back(place_of(partition));
    if (const auto ring = ring_logs_.find(partition.ring); ring != ring_logs_.end()) --ring->second;
  }
  change_.deleted.push_back(topic->name);
  claims_.erase(keys::topic_claim(topic->name));
  image_.erase(topic->name);
  image_changed_ = true;
}

void Controller::advertise(std::vector<AdvertisedAddress> by_listener) {
  addresses_ = std::make_shared<const dataplane::NodeAddresses>(
      dataplane::NodeAddresses{.by_listener = std::move(by_listener), .rack = options().broker_rack});
  image_changed_ = true;
}

ImageChange Controller::take_changes() {
  ImageChange taken = std::exchange(change_, {});
  if (std::exchange(image_changed_, false)) taken.image = image_.routing(store_.revision(), defaults_.node, addresses_);
  counters_.set(Metric::topics, image_.topics().size());
  counters_.set(Metric::partitions, image_.partition_count());
  return taken;
}

namespace {

std::string explain_failure(Error error) {
  if (error.code == Errc::kNoSpace)
    return "The drive that holds the metadata is full: delete topics or records, lower retention, or free room on it.";
  return "The metadata store failed: " + std::string(to_string(error.code));
}

}  // namespace

Result<Revision> Controller::commit(const Transaction& transaction, std::span<TopicOutcome*> outcomes) {
  const auto done = store_.commit(transaction);
  if (done && done->applied) return done->revision;
  counters_.add(Metric::metadata_failures);
  unsure_ = true;
  const TopicOutcome failure =
      done ? refused(ErrorCode::kNotController, "The metadata was changed by another controller; try again.")
           : refused(ErrorCode::kKafkaStorageError, explain_failure(done.error()));
  LOG_ERROR("%s", failure.message.c_str());
  for (TopicOutcome* outcome : outcomes) *outcome = failure;
  return fail(done ? Errc::kWouldBlock : done.error().code);
}

std::vector<TopicOutcome> Controller::create_topics(std::span<const NewTopic> topics, bool validate_only) {
  std::vector<TopicOutcome> outcomes(topics.size());
  if (!read_again_if_unsure()) {
    std::ranges::fill(outcomes, refused(ErrorCode::kKafkaStorageError, "The metadata store cannot be read."));
    return outcomes;
  }
  std::vector<Planned> planned;
  Claims claims;  // of planned
  RingLogs ring_logs = ring_logs_;
  int64_t asked = 0;
  for (size_t i = 0; i < topics.size(); ++i) {
    TopicRecord record;
    outcomes[i] = plan(topics[i], claims, ring_logs, record);
    if (outcomes[i].error != ErrorCode::kNone) continue;
    asked += static_cast<int64_t>(record.partitions.size());
    const auto there = static_cast<int64_t>(image_.partition_count());
    if (asked > kPartitionsPerRequestMax || there + asked > settings_.options->partitions_max) {
      asked -= static_cast<int64_t>(record.partitions.size());
      outcomes[i] =
          refused(ErrorCode::kPolicyViolation, "Too many partitions: 10000 a request, and penstock.partitions.max (" +
                                                   std::to_string(settings_.options->partitions_max) + ") in all.");
      continue;
    }
    claims.emplace(keys::topic_claim(topics[i].name), topics[i].name);
    const size_t bytes = transaction_bytes(topics[i].name, record);
    planned.push_back({.index = i, .name = topics[i].name, .record = std::move(record), .bytes = bytes});
  }
  if (validate_only) {
    for (Planned& topic : planned) {
      outcomes[topic.index].topic = make_topic(topic.name, std::move(topic.record), {}, defaults_);
    }
    return outcomes;
  }
  for (std::span rest(planned); !rest.empty();) {
    size_t take = 0;
    size_t bytes = 0;
    // At least one goes, and the largest that was planned fits alone.
    do bytes += rest[take++].bytes;
    while (take < rest.size() && take < kTopicsPerTransaction && bytes + rest[take].bytes <= kTransactionBytesMax / 4);
    create_planned(rest.first(take), outcomes);
    rest = rest.subspan(take);
  }
  return outcomes;
}

void Controller::create_planned(std::span<Planned> batch, std::vector<TopicOutcome>& outcomes) {
  Transaction transaction;
  std::vector<TopicOutcome*> affected;
  uint64_t next = next_log_id_;
  for (Planned& topic : batch) {
    do topic.record.id = random_uuid(prng_);
    while (image_.find(topic.record.id) != nullptr);
    for (PartitionRecord& partition : topic.record.partitions) partition.log = storage::LogId{next++};
    transaction.conditions.push_back({.key = keys::topic(topic.name), .changed = {}});
    transaction.conditions.push_back({.key = keys::topic_claim(topic.name), .changed = {}});
    transaction.writes.push_back({.key = keys::topic(topic.name), .value = encode(topic.record)});
    transaction.writes.push_back({.key = keys::topic_claim(topic.name), .value = topic.name});
    transaction.writes.push_back({.key = keys::topic_id(topic.record.id), .value = topic.name});
    affected.push_back(&outcomes[topic.index]);
  }
  transaction.conditions.push_back({.key = std::string(keys::kNextLogId), .changed = next_log_id_changed_});
  transaction.writes.push_back({.key = std::string(keys::kNextLogId), .value = std::to_string(next)});
  const auto revision = commit(transaction, affected);
  if (!revision) return;
  next_log_id_ = next;
  next_log_id_changed_ = *revision;
  for (Planned& topic : batch) {
    TopicPtr made = make_topic(std::move(topic.name), std::move(topic.record), *revision, defaults_);
    outcomes[topic.index].topic = made;
    add(std::move(made));
    counters_.add(Metric::topics_created);
  }
}

std::vector<TopicOutcome> Controller::delete_topics(std::span<const std::string> names) {
  std::vector<TopicOutcome> outcomes(names.size());
  if (!read_again_if_unsure()) {
    std::ranges::fill(outcomes, refused(ErrorCode::kKafkaStorageError, "The metadata store cannot be read."));
    return outcomes;
  }
  std::vector<TopicPtr> found;
  std::set<std::string_view> seen;
  std::vector<TopicOutcome*> affected;
  for (size_t i = 0; i < names.size(); ++i) {
    TopicPtr topic = image_.find(names[i]);
    if (topic == nullptr || !seen.insert(names[i]).second) {
      outcomes[i] = refused(ErrorCode::kUnknownTopicOrPartition, "This server does not host this topic-partition.");
      continue;
    }
    found.push_back(std::move(topic));
    affected.push_back(&outcomes[i]);
  }
  for (size_t at = 0; at < found.size(); at += kTopicsPerTransaction) {
    const size_t count = std::min(kTopicsPerTransaction, found.size() - at);
    delete_batch(std::span(found).subspan(at, count), std::span(affected).subspan(at, count));
  }
  return outcomes;
}

void Controller::delete_batch(std::span<const TopicPtr> batch, std::span<TopicOutcome*> outcomes) {
  Transaction transaction{.from_reserve = true};
  for (const TopicPtr& topic : batch) {
    transaction.conditions.push_back({.key = keys::topic(topic->name), .changed = topic->changed});
    transaction.writes.push_back({.key = keys::topic(topic->name), .value = std::nullopt});
    transaction.writes.push_back({.key = keys::topic_claim(topic->name), .value = std::nullopt});
    transaction.writes.push_back({.key = keys::topic_id(topic->record.id), .value = std::nullopt});
  }
  if (!commit(transaction, outcomes)) return;
  for (size_t i = 0; i < batch.size(); ++i) {
    outcomes[i]->topic = batch[i];
    remove(batch[i]);
    counters_.add(Metric::topics_deleted);
  }
}

Result<ProducerId> Controller::next_producer_id() {
  if (next_producer_id_ == producer_ids_end_) {
    const Counter block = TRY(read_counter(keys::kNextProducerId));
    const Transaction transaction{.conditions = {{.key = std::string(keys::kNextProducerId), .changed = block.changed}},
                                  .writes = {{.key = std::string(keys::kNextProducerId),
                                              .value = std::to_string(block.value + kProducerIdBlock)}}};
    const Commit done = TRY(store_.commit(transaction));
    if (!done.applied) return fail(Errc::kWouldBlock);  // another broker took it
    next_producer_id_ = block.value;
    producer_ids_end_ = block.value + kProducerIdBlock;
  }
  counters_.add(Metric::producer_ids_issued);
  return ProducerId{static_cast<int64_t>(next_producer_id_++)};
}

}  // namespace penstock::control
