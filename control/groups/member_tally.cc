#include "control/groups/member_tally.h"

#include <utility>

#include "base/assert.h"

namespace penstock::control::groups {
namespace {

// Of a member's places in the maps, and of a text's.
constexpr size_t kMember = 1024;
constexpr size_t kText = 128;

// A number that is none has no place.
template <class Map, class Key>
void add_to(Map& counts, const Key& key, int by) {
  auto at = counts.find(key);
  if (at == counts.end()) at = counts.emplace(key, 0).first;
  at->second += static_cast<size_t>(by);
  DCHECK(at->second < SIZE_MAX / 2);
  if (at->second == 0) counts.erase(at);
}

size_t bytes_of(std::string_view id, const Subscription& is) {
  size_t bytes = kMember + 8 * id.size() + is.client_id.size() + is.client_host.size();
  for (const auto* text : {&is.instance_id, &is.rack_id, &is.regex, &is.server_assignor}) {
    if (*text) bytes += (*text)->size();
  }
  bytes += is.topic_names.size() * kText;
  if (is.classic) {
    for (const auto& [name, metadata] : is.classic->protocols) bytes += kText + name.size() + metadata.size();
  }
  return bytes;
}

size_t bytes_of(std::string_view pattern, const ResolvedPattern& is) {
  return pattern.size() + kText * (is.topics.size() + 1);
}

}  // namespace

size_t MemberTally::value(const Counts& counts, std::string_view name) {
  const auto at = counts.find(name);
  return at == counts.end() ? 0 : at->second;
}

size_t MemberTally::arrived(int32_t epoch) const {
  const auto at = arrived_.find(epoch);
  return at == arrived_.end() ? 0 : at->second;
}

const ResolvedPattern* MemberTally::resolved(std::string_view pattern) const {
  const auto at = patterns_.find(pattern);
  return at == patterns_.end() || !at->second.resolved ? nullptr : &*at->second.resolved;
}

void MemberTally::count(std::string_view id, const Subscription& is, int by) {
  bytes_ += static_cast<size_t>(by) * bytes_of(id, is);
  for (const std::string& topic : is.topic_names) add_to(topics_, topic, by);
  if (is.server_assignor) add_to(votes_, *is.server_assignor, by);
  if (is.regex) use(*is.regex, by);
  if (is.classic) count_classic(*is.classic, by);
}

void MemberTally::count_classic(const ClassicMetadata& is, int by) {
  classic_ += static_cast<size_t>(by);
  std::set<std::string_view> counted;  // a client may name one twice
  for (const auto& [name, metadata] : is.protocols) {
    if (counted.insert(name).second) add_to(protocols_, name, by);
  }
}

void MemberTally::count(const Progress& is, int by) {
  if (is.state == MemberState::kStable) add_to(arrived_, is.epoch, by);
}

void MemberTally::want(const ResolvedPattern& pattern, int by) {
  for (const std::string& topic : pattern.topics) add_to(topics_, topic, by);
}

void MemberTally::use(const std::string& pattern, int by) {
  const auto at = patterns_.try_emplace(pattern).first;
  const size_t before = std::exchange(at->second.users, at->second.users + static_cast<size_t>(by));
  if (before > 0 && at->second.users > 0) return;
  used_ += static_cast<size_t>(by);
  if (at->second.resolved) {
    want(*at->second.resolved, by);
  } else {
    unresolved_ += static_cast<size_t>(by);
  }
  drop_if_nothing(at);
}

void MemberTally::resolve(std::string_view pattern, std::optional<ResolvedPattern> resolved) {
  auto at = patterns_.find(pattern);
  if (at == patterns_.end()) at = patterns_.emplace(pattern, Pattern{}).first;
  auto& is = at->second;
  const bool used = is.users > 0;
  if (used && is.resolved) want(*is.resolved, -1);
  if (used && resolved) want(*resolved, 1);
  if (used) unresolved_ += size_t{!resolved} - size_t{!is.resolved};
  if (is.resolved) bytes_ -= bytes_of(pattern, *is.resolved);
  if (resolved) bytes_ += bytes_of(pattern, *resolved);
  is.resolved = std::move(resolved);
  drop_if_nothing(at);
}

void MemberTally::drop_if_nothing(Patterns::iterator at) {
  if (at->second.users == 0 && !at->second.resolved) patterns_.erase(at);
}

}  // namespace penstock::control::groups
