// Controller: what it reads from the store, at start and whenever a failed commit left it unsure.
#include <algorithm>
#include <utility>

#include "base/log.h"
#include "control/controller/controller.h"
#include "control/controller/keys.h"

namespace penstock::control {
namespace {

std::string explain(std::string_view what, Error error) {
  std::string text = "The metadata store's " + std::string(what) + " cannot be read: ";
  text += to_string(error.code);
  if (error.code == Errc::kUnsupported) return text + ". A newer penstock wrote it: run that version or a newer one.";
  return text + ". Restore metadata.sqlite from a copy.";
}

}  // namespace

std::expected<std::unique_ptr<Controller>, std::string> Controller::load(MetadataStore& store, Prng& prng,
                                                                         ControllerSettings settings,
                                                                         ControlCounters& counters) {
  std::unique_ptr<Controller> controller(new Controller(store, prng, settings, counters));
  if (auto loaded = controller->load_cluster(); !loaded) return std::unexpected(std::move(loaded.error()));
  if (const auto read = controller->read_configs(); !read) return std::unexpected(explain("configs", read.error()));
  if (const auto read = controller->read_topics(); !read) return std::unexpected(explain("topics", read.error()));
  controller->change_ = {};  // storage opens what logs_of() names by itself
  for (const auto& [name, topic] : controller->image_.topics()) {
    for (const PartitionRecord& partition : topic->record.partitions) {
      if (partition.leader != controller->node()) {
        return std::unexpected("Topic " + name + " belongs to broker " + std::to_string(partition.leader.value()) +
                               ", but node.id is " + std::to_string(controller->node().value()) +
                               ". Set node.id to what it was when this data folder was made.");
      }
      if (!controller->ring_logs_.contains(partition.ring)) {
        return std::unexpected("Topic " + name + " has a partition in ring-" + std::to_string(partition.ring) +
                               ", which is in none of the data folders. Name the folder that has it in log.dirs.");
      }
    }
  }
  return controller;
}

std::expected<void, std::string> Controller::load_cluster() {
  const auto entry = store_.get(keys::kClusterId);
  if (!entry) return std::unexpected(explain("cluster id", entry.error()));
  if (*entry) {
    const auto id = parse_uuid((*entry)->value);
    if (!id) return std::unexpected(explain("cluster id", {Errc::kCorrupt}));
    cluster_id_ = *id;
    return {};
  }
  cluster_id_ = random_uuid(prng_);
  const Transaction first{.conditions = {{.key = std::string(keys::kClusterId), .changed = {}}},
                          .writes = {{.key = std::string(keys::kClusterId), .value = to_text(cluster_id_)}}};
  const auto done = store_.commit(first);
  if (!done) return std::unexpected("The metadata store failed: " + std::string(to_string(done.error().code)) + ".");
  LOG_INFO("new cluster %s", to_text(cluster_id_).c_str());
  return {};
}

Result<Controller::Counter> Controller::read_counter(std::string_view key) {
  const auto entry = TRY(store_.get(key));
  if (!entry) return Counter{};
  return Counter{.value = TRY(parse_counter(entry->value)), .changed = entry->changed};
}

Result<void> Controller::read_topics() {
  const Page page = TRY(read_prefix(store_, keys::kTopics));
  const Counter next = TRY(read_counter(keys::kNextLogId));
  MetadataImage::Topics there = image_.topics();  // what is left of it at the end is gone
  std::vector<TopicPtr> added;
  for (const Entry& entry : page.entries) {
    const std::string name = entry.key.substr(keys::kTopics.size());
    const auto known = there.find(name);
    if (known != there.end() && known->second->changed == entry.changed) {
      there.erase(known);
      continue;
    }
    TopicRecord record = TRY(parse_topic_record(entry.value));
    for (const PartitionRecord& partition : record.partitions) {
      if (partition.log.value() >= next.value) return fail(Errc::kCorrupt);
    }
    added.push_back(make_topic(name, std::move(record), entry.changed, defaults_));
  }
  for (const auto& [name, topic] : there) remove(topic);
  for (TopicPtr& topic : added) {
    const auto before = there.find(topic->name);
    const bool only_changed = before != there.end() && before->second->record.id == topic->record.id;
    if (only_changed) std::erase(change_.deleted, topic->name);
    add(std::move(topic));
  }
  // A topic that was changed, not made anew, kept its logs.
  std::erase_if(change_.dropped, [&](const LogPlace& dropped) {
    const auto kept =
        std::ranges::find(change_.opened, dropped.log, [](const auto& opened) { return opened.place.log; });
    if (kept == change_.opened.end()) return false;
    change_.configured.push_back(*kept);
    change_.opened.erase(kept);
    return true;
  });
  next_log_id_ = next.value;
  next_log_id_changed_ = next.changed;
  return {};
}

Result<void> Controller::read_again_if_unsure() {
  if (!unsure_) return {};
  TRY_VOID(read_configs());
  TRY_VOID(read_topics());
  unsure_ = false;
  return {};
}

}  // namespace penstock::control
