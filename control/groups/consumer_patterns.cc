// What a next-generation group's patterns of topics match. A look may take long, and a client chooses the pattern: so
// it is done in pieces, as much in a turn as the context allows, and goes on by the timer x. Until it is done a pattern
// matches what it did before.
#include <utility>

#include "control/groups/consumer_group.h"
#include "control/groups/regex.h"

namespace penstock::control::groups {
namespace {

// Others come in between.
constexpr Nanos kRegexTick = kMillisecond;

}  // namespace

// New patterns at once, and all of them when there are other topics. True if one matches others now.
bool ConsumerGroup::resolve_regexes(const GroupContext& context, Records& records) {
  timers_.cancel("x");
  if (!tally_.uses_patterns()) {
    matching_.reset();
    round_.reset();
    topics_seen_ = context.topics.version();
    return false;
  }
  begin_round(context);
  uint64_t no_bound = UINT64_MAX;
  uint64_t& work = context.regex_work == nullptr ? no_bound : *context.regex_work;
  bool changed = false;
  while (choose_pattern(context)) {
    if (work == 0) {
      timers_.set("x", context.now + kRegexTick);
      break;
    }
    changed = look_at_pattern(context, work, records) || changed;
  }
  return changed;
}

void ConsumerGroup::begin_round(const GroupContext& context) {
  const uint64_t version = context.topics.version();
  if (round_ || topics_seen_ == version || context.now < regexes_next_) return;
  regexes_next_ = context.now + kRegexPause;
  round_ = Round{.version = version};
}

// Which is next, as matching_. False: there is nothing to look at.
bool ConsumerGroup::choose_pattern(const GroupContext& context) {
  const MemberTally::Patterns& patterns = tally_.patterns();
  if (matching_) {
    const auto is = patterns.find(matching_->pattern);
    if (is != patterns.end() && is->second.users > 0) return true;
    matching_.reset();  // nobody wants it any more
  }
  const uint64_t version = context.topics.version();
  if (!tally_.all_resolved()) {
    for (const auto& [pattern, is] : patterns) {
      if (is.users == 0 || is.resolved || (round_ && pattern >= round_->from)) continue;  // the round comes to it
      matching_ = Matching{.pattern = pattern, .version = version};
      return true;
    }
  }
  if (!round_) return false;
  for (auto at = patterns.lower_bound(round_->from); at != patterns.end(); ++at) {
    if (at->second.users == 0) continue;
    matching_ = Matching{.pattern = at->first, .version = version, .in_round = true};
    return true;
  }
  topics_seen_ = std::exchange(round_, std::nullopt)->version;
  return false;
}

// True if it is done, and matches others than before.
bool ConsumerGroup::look_at_pattern(const GroupContext& context, uint64_t& work, Records& records) {
  auto next = match_topics(matching_->pattern, context.topics, matching_->from, work, matching_->topics);
  if (next && *next) {
    matching_->from = **std::move(next);
    return false;
  }
  Matching done = *std::exchange(matching_, std::nullopt);
  if (!next) done.topics.clear();  // a log's pattern that this library does not take matches nothing
  if (done.in_round) round_->from = done.pattern + '\0';
  const ResolvedPattern* known = tally_.resolved(done.pattern);
  if (known != nullptr && known->topics == done.topics) return false;
  emit(make_record(
           protocol::ConsumerGroupRegularExpressionKey{.group_id = id_, .regular_expression = std::move(done.pattern)},
           protocol::ConsumerGroupRegularExpressionValue{.topics = {done.topics.begin(), done.topics.end()},
                                                         .version = static_cast<int64_t>(done.version),
                                                         .timestamp = context.wall_ms}),
       records);
  return true;
}

size_t ConsumerGroup::matching_bytes() const {
  constexpr size_t kText = 128;
  return matching_ ? matching_->pattern.size() + matching_->topics.size() * kText : 0;
}

}  // namespace penstock::control::groups
