// What a group's members want, and who shall have what.
#include <algorithm>
#include <array>
#include <iterator>
#include <span>
#include <unordered_map>

#include "base/assert.h"
#include "control/groups/assignor.h"
#include "control/groups/consumer_group.h"

namespace penstock::control::groups {
namespace {

// FNV-1a, 64 bits: the record that keeps it asks for no function of its own, only for other topics to give another one.
class Hash {
 public:
  void add(std::span<const uint8_t> bytes) {
    for (const uint8_t byte : bytes) hash_ = (hash_ ^ byte) * 0x100000001b3ULL;
  }
  void add(std::string_view text) {
    add({reinterpret_cast<const uint8_t*>(text.data()), text.size()});
    add(std::array<uint8_t, 1>{});  // ab,c is not a,bc
  }
  void add(int32_t number) {
    for (int shift = 0; shift < 32; shift += 8) add(std::array{static_cast<uint8_t>(number >> shift)});
  }
  int64_t value() const { return static_cast<int64_t>(hash_); }

 private:
  uint64_t hash_ = 0xcbf29ce484222325ULL;
};

}  // namespace

bool ConsumerGroup::wants(const Subscription& subscription, const std::string& topic) const {
  if (std::ranges::binary_search(subscription.topic_names, topic)) return true;
  const ResolvedPattern* matches = subscription.regex ? tally_.resolved(*subscription.regex) : nullptr;
  return matches != nullptr && matches->topics.contains(topic);
}

int64_t ConsumerGroup::hash_topics(const TopicTable& topics) const {
  Hash hash;
  bool any = false;
  for (const auto& [name, members] : tally_.topics()) {
    const TopicFacts* facts = topics.find(name);
    if (facts == nullptr) continue;
    any = true;
    hash.add(name);
    hash.add(facts->id.bytes);
    hash.add(facts->partitions);
  }
  return any ? hash.value() : 0;
}

bool ConsumerGroup::refresh_topics(const GroupContext& context, Records& records) {
  const bool had_seen = topics_seen_ == context.topics.version();
  const bool changed = resolve_regexes(context, records);
  return changed || (!had_seen && hash_topics(context.topics) != metadata_hash_);
}

// The one that most members ask for; the group's default if none asks.
std::string ConsumerGroup::preferred_assignor(const ConsumerGroupSettings& settings) const {
  std::string best;
  size_t most = 0;
  for (const std::string& name : settings.assignors) {
    const size_t votes = tally_.votes(name);
    if (votes > most || best.empty()) {
      most = votes;
      best = name;
    }
  }
  return best.empty() ? "uniform" : best;
}

bool ConsumerGroup::target_is_due(const GroupContext& context) {
  if (epoch_ <= assignment_epoch_) return false;
  const Nanos pause = context.settings.assignment_interval_ms * kMillisecond;
  if (!assigned_at_ || context.now >= *assigned_at_ + pause) return true;
  timers_.set("t", *assigned_at_ + pause);
  return false;
}

void ConsumerGroup::make_target(const GroupContext& context, Records& records) {
  AssignorInput input;
  std::unordered_map<std::string_view, uint32_t> places;
  for (const auto& [name, count] : tally_.topics()) {
    const TopicFacts* facts = context.topics.find(name);
    if (facts == nullptr) continue;
    places.emplace(name, static_cast<uint32_t>(input.topics.size()));
    input.topics.push_back({.id = facts->id, .partitions = facts->partitions});
  }
  const auto places_of = [&](const auto& topics) {
    std::vector<uint32_t> rising;  // as names and places are
    for (const std::string& topic : topics) {
      if (const auto place = places.find(topic); place != places.end()) rising.push_back(place->second);
    }
    return rising;
  };
  std::unordered_map<std::string_view, std::vector<uint32_t>> of_patterns;  // many members have the same
  for (const auto& [regex, is] : tally_.patterns()) {
    if (is.resolved) of_patterns.emplace(regex, places_of(is.resolved->topics));
  }
  for (const auto& [id, member] : members_) {
    AssignorMember& asks = input.members.emplace_back();
    asks.id = id;
    if (member.subscription.instance_id) asks.instance_id = *member.subscription.instance_id;
    asks.topics = places_of(member.subscription.topic_names);
    const auto matched = member.subscription.regex ? of_patterns.find(*member.subscription.regex) : of_patterns.end();
    if (matched != of_patterns.end()) {
      std::vector<uint32_t> both;
      std::ranges::set_union(asks.topics, matched->second, std::back_inserter(both));
      asks.topics = std::move(both);
    }
    const auto before = targets_.find(id);
    if (before != targets_.end()) asks.before = &before->second;
  }
  const Assignor assign = find_assignor(preferred_assignor(context.settings));
  CHECK(assign != nullptr);  // settings name none that is not there
  const AssignorOutput output = assign(input);
  size_t place = 0;
  for (const auto& [id, member] : members_) {
    const Assignment& target = output[place++];
    const auto before = targets_.find(id);
    if (before == targets_.end() || before->second != target) emit_target(id, target, records);
  }
  emit_assignment_epoch(epoch_, context.wall_ms, records);
  assigned_at_ = context.now;
  timers_.cancel("t");
}

}  // namespace penstock::control::groups
