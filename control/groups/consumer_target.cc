// What a group's members want, and who shall have what.
#include <algorithm>
#include <array>
#include <span>
#include <unordered_map>

#include "base/assert.h"
#include "control/groups/assignor.h"
#include "control/groups/consumer_group.h"
#include "control/groups/regex.h"

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

std::set<std::string> ConsumerGroup::topics_of(const Subscription& subscription) const {
  std::set<std::string> topics(subscription.topic_names.begin(), subscription.topic_names.end());
  if (subscription.regex) {
    const auto resolved = regexes_.find(*subscription.regex);
    if (resolved != regexes_.end()) topics.insert(resolved->second.topics.begin(), resolved->second.topics.end());
  }
  return topics;
}

std::set<Uuid> ConsumerGroup::topic_ids_of(const Subscription& subscription, const TopicTable& topics) const {
  std::set<Uuid> ids;
  for (const std::string& name : topics_of(subscription)) {
    if (const TopicFacts* facts = topics.find(name)) ids.insert(facts->id);
  }
  return ids;
}

int64_t ConsumerGroup::hash_topics(const TopicTable& topics) const {
  Hash hash;
  bool any = false;
  for (const auto& [name, members] : topic_counts_) {
    const TopicFacts* facts = topics.find(name);
    if (facts == nullptr) continue;
    any = true;
    hash.add(name);
    hash.add(facts->id.bytes);
    hash.add(facts->partitions);
  }
  return any ? hash.value() : 0;
}

// Looks at new patterns at once, and at all of them when there are other topics. True if one matches others now.
bool ConsumerGroup::resolve_regexes(const GroupContext& context, Records& records) {
  std::set<std::string> used;
  for (const auto& [id, member] : members_) {
    if (member.subscription.regex) used.insert(*member.subscription.regex);
  }
  const bool all = topics_seen_ != context.topics.version() && context.now >= regexes_next_;
  if (all && !used.empty()) regexes_next_ = context.now + kRegexPause;
  bool changed = false;
  for (const std::string& regex : used) {
    const auto known = regexes_.find(regex);
    if (known != regexes_.end() && !all) continue;
    auto matched = match_topics(regex, context.topics);
    if (!matched) matched.emplace();  // a log's pattern that this library does not take matches nothing
    if (known != regexes_.end() && known->second.topics == *matched) continue;
    changed = true;
    emit(make_record(
             protocol::ConsumerGroupRegularExpressionKey{.group_id = id_, .regular_expression = regex},
             protocol::ConsumerGroupRegularExpressionValue{.topics = {matched->begin(), matched->end()},
                                                           .version = static_cast<int64_t>(context.topics.version()),
                                                           .timestamp = context.wall_ms}),
         records);
  }
  if (all || used.empty()) topics_seen_ = context.topics.version();
  return changed;
}

bool ConsumerGroup::refresh_topics(const GroupContext& context, Records& records) {
  const bool had_seen = topics_seen_ == context.topics.version();
  const bool changed = resolve_regexes(context, records);
  return changed || (!had_seen && hash_topics(context.topics) != metadata_hash_);
}

// The one that most members ask for; the group's default if none asks.
std::string ConsumerGroup::preferred_assignor(const ConsumerGroupSettings& settings) const {
  std::map<std::string_view, int> votes;
  for (const auto& [id, member] : members_) {
    if (member.subscription.server_assignor) ++votes[*member.subscription.server_assignor];
  }
  std::string best;
  int most = 0;
  for (const std::string& name : settings.assignors) {
    if (votes[name] > most || best.empty()) {
      most = votes[name];
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
  for (const auto& [name, members] : topic_counts_) {
    const TopicFacts* facts = context.topics.find(name);
    if (facts == nullptr) continue;
    places.emplace(name, static_cast<uint32_t>(input.topics.size()));
    input.topics.push_back({.id = facts->id, .partitions = facts->partitions});
  }
  for (const auto& [id, member] : members_) {
    AssignorMember& asks = input.members.emplace_back();
    asks.id = id;
    if (member.subscription.instance_id) asks.instance_id = *member.subscription.instance_id;
    for (const std::string& topic : topics_of(member.subscription)) {
      if (const auto place = places.find(topic); place != places.end()) asks.topics.push_back(place->second);
    }
    const auto before = targets_.find(id);
    if (before != targets_.end()) asks.before = &before->second;
  }
  const Assignor assign = find_assignor(preferred_assignor(context.settings));
  CHECK(assign != nullptr);  // settings name none that is not there
  const AssignorOutput output = assign(input);
  std::vector<std::string> ids;
  for (const AssignorMember& member : input.members) ids.emplace_back(member.id);
  for (size_t i = 0; i < ids.size(); ++i) {
    const auto before = targets_.find(ids[i]);
    if (before == targets_.end() || before->second != output[i]) emit_target(ids[i], output[i], records);
  }
  emit_assignment_epoch(epoch_, context.wall_ms, records);
  assigned_at_ = context.now;
  timers_.cancel("t");
}

}  // namespace penstock::control::groups
