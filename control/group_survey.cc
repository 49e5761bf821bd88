#include "control/group_survey.h"

#include <algorithm>
#include <variant>

#include "control/label_value.h"

namespace penstock::control {
namespace {

constexpr size_t kIdBytesAStep = 256;

// As ListGroups tells it.
GroupSamples::Group told_of(const std::string& id, const groups::Group& group) {
  GroupSamples::Group told{.label = label_value(id), .type = "classic", .state = {}, .members = group.members};
  if (const groups::ConsumerGroup* consumer = groups::consumer_of(&group)) {
    told.type = "consumer";
    told.state = to_string(consumer->state());
  } else {
    told.state = to_string(std::get<groups::ClassicGroup>(group.body).state());
  }
  return told;
}

}  // namespace

bool GroupSurvey::go_on() {
  give_up_if_held_up();
  if (state_ == State::kIdle && board_.is_wanted()) begin();
  if (state_ != State::kLooking) return false;
  // __consumer_offsets is another: groups that were met may come once more.
  if (partitions_ != runtime_.partition_count()) begin();
  size_t steps = kStepsATurn;
  while (at_.index < partitions_) {
    const groups::Coordinator* coordinator = runtime_.coordinator_of(at_.index);
    if (steps == 0 || (coordinator != nullptr && !look(*coordinator, steps))) return true;
    if (at_.in_group) drop_group();  // the groups of this partition are gone, or must be read again
    at_ = {.index = at_.index + 1};
    steps -= steps > 0 ? 1 : 0;
  }
  state_ = State::kAsking;
  heard_at_ = clock_.monotonic();
  topics_.clear();
  unclear_.clear();
  for (uint16_t lcore = 0; lcore < asked_.size(); ++lcore) ask(lcore);
  publish_if_told();
  return true;
}

void GroupSurvey::begin() {
  state_ = State::kLooking;
  samples_ = std::make_shared<GroupSamples>();
  partitions_ = runtime_.partition_count();
  at_ = {};
  topics_.clear();
  unclear_.clear();
  group_bytes_ = detailed_ = detailed_bytes_ = 0;
  for (Asked& asked : asked_) {
    asked.logs.clear();
    asked.told = 0;
  }
}

// False: there is more, for the next turn.
bool GroupSurvey::look(const groups::Coordinator& coordinator, size_t& steps) {
  const auto& all = coordinator.groups();
  auto next = all.lower_bound(at_.group);
  // The group in which it stopped may be gone.
  if (at_.in_group && (next == all.end() || next->first != at_.group)) drop_group();
  for (; next != all.end(); ++next) {
    if (!at_.in_group) {
      at_.group = next->first;
      if (steps == 0) return false;
      // A long id takes its time.
      steps -= std::min(steps, 1 + next->first.size() / kIdBytesAStep);
      if (!enter(next->first, next->second)) continue;
    }
    if (!look_at_commits(next->second, steps)) return false;
    leave_group();
  }
  return true;
}

// False: it is left out.
bool GroupSurvey::enter(const std::string& id, const groups::Group& group) {
  const auto fits = [&](size_t label_bytes) {
    const size_t bytes = group_bytes_ + 3 * (kLineOverhead + label_bytes);
    return samples_->groups.size() < most_ && bytes <= most_ * kTextBytesEach;
  };
  const auto leave_out = [&] {
    ++samples_->groups_left_out;
    samples_->partitions_left_out += group.offsets.count();
    return false;
  };
  if (!fits(id.size())) return leave_out();
  GroupSamples::Group told = told_of(id, group);
  // Two ids that look the same would be two values of one thing.
  const bool unclear = told.label.find(kReplacement) != std::string::npos;
  if (!fits(told.label.size()) || (unclear && !unclear_.insert(told.label).second)) return leave_out();
  group_bytes_ += 3 * (kLineOverhead + told.label.size());
  samples_->groups.push_back(std::move(told));
  at_.in_group = true;
  at_.topic.clear();
  at_.partition = -1;
  of_group_ = of_group_bytes_ = 0;
  return true;
}

// False: there is more, for the next turn.
bool GroupSurvey::look_at_commits(const groups::Group& group, size_t& steps) {
  const auto& topics = group.offsets.topics();
  for (auto topic = topics.lower_bound(at_.topic); topic != topics.end(); ++topic) {
    const int32_t from = topic->first == at_.topic ? at_.partition : -1;
    at_.topic = topic->first;
    at_.partition = from;
    if (steps == 0) return false;
    --steps;
    KnownTopic& known = topic_of(topic->first);
    for (auto commit = topic->second.upper_bound(from); commit != topic->second.end(); ++commit) {
      if (steps == 0) return false;
      --steps;
      at_.partition = commit->first;
      take_commit(known, commit->first, commit->second.offset);
    }
  }
  return true;
}

void GroupSurvey::take_commit(KnownTopic& topic, int32_t partition, int64_t offset) {
  if (topic.topic == nullptr || offset < 0) return;  // it says that nothing is committed
  if (partition < 0 || static_cast<size_t>(partition) >= topic.log.size()) return;
  uint32_t& log = topic.log[static_cast<size_t>(partition)];
  if (log == kNone) {
    const LogPlace place = controller_.place_of(topic.topic->record.partitions[static_cast<size_t>(partition)]);
    log = static_cast<uint32_t>(samples_->ends.size());
    samples_->ends.push_back(GroupSamples::kGone);
    asked_[place.lcore].logs.emplace_back(place.log, log);
  }
  const auto number = static_cast<uint32_t>(samples_->groups.size() - 1);
  samples_->commits.push_back(
      {.group = number, .topic = topic.label, .partition = partition, .log = log, .offset = offset});
  GroupSamples::Group& group = samples_->groups.back();
  const size_t bytes = 2 * (kLineOverhead + group.label.size() + samples_->topics[topic.label].size());
  ++of_group_;
  of_group_bytes_ += bytes;
  if (!group.detailed) return;
  // All of a group's partitions or none: whoever adds them up must not get a part.
  group.detailed = detailed_ + of_group_ <= most_ && detailed_bytes_ + of_group_bytes_ <= most_ * kTextBytesEach;
}

void GroupSurvey::leave_group() {
  if (samples_->groups.back().detailed) {
    detailed_ += of_group_;
    detailed_bytes_ += of_group_bytes_;
  } else {
    samples_->partitions_left_out += of_group_;
  }
  at_.in_group = false;
}

// It went while it was looked at: what was seen is a part, and a part is not its sum.
void GroupSurvey::drop_group() {
  samples_->commits.resize(samples_->commits.size() - of_group_);
  samples_->groups.pop_back();
  at_.in_group = false;
}

GroupSurvey::KnownTopic& GroupSurvey::topic_of(const std::string& name) {
  const auto [place, is_new] = topics_.try_emplace(name);
  KnownTopic& known = place->second;
  if (!is_new) return known;
  known.topic = controller_.image().find(name);
  if (known.topic == nullptr) return known;
  known.label = static_cast<uint32_t>(samples_->topics.size());
  samples_->topics.push_back(label_value(name));
  known.log.assign(known.topic->record.partitions.size(), kNone);
  return known;
}

// ---- the ends

void GroupSurvey::ask(uint16_t lcore) {
  Asked& asked = asked_[lcore];
  const size_t count = std::min(kLogsAtOnce, asked.logs.size() - asked.told);
  if (count == 0 || asked.token != 0) return;
  asked.token = ++last_token_;
  dataplane::AskEnds question{.logs = {}, .token = asked.token};
  question.logs.reserve(count);
  for (size_t i = 0; i < count; ++i) question.logs.push_back({.log = asked.logs[asked.told + i].first});
  questions_.push_back({.lcore = lcore, .question = std::move(question)});
}

void GroupSurvey::told(dataplane::EndsTold&& told) {
  give_up_if_held_up();
  const auto asked = std::ranges::find(asked_, told.token, &Asked::token);
  if (told.token == 0 || asked == asked_.end()) return;
  asked->token = 0;
  if (!std::exchange(asked->is_old, false)) {
    for (const auto& log : told.logs) samples_->ends[asked->logs[asked->told++].second] = log.durable.value();
  }
  if (state_ != State::kAsking) return;
  heard_at_ = clock_.monotonic();
  ask(static_cast<uint16_t>(asked - asked_.begin()));
  publish_if_told();
}

void GroupSurvey::publish_if_told() {
  if (std::ranges::any_of(asked_, [](const Asked& asked) { return asked.told < asked.logs.size(); })) return;
  state_ = State::kIdle;
  board_.publish(std::exchange(samples_, nullptr), clock_.monotonic());
}

// Its commits would be shown as if they were new.
void GroupSurvey::give_up_if_held_up() {
  if (state_ != State::kAsking || clock_.monotonic() - heard_at_ < kPatience) return;
  state_ = State::kIdle;
  for (Asked& asked : asked_) asked.is_old = asked.token != 0;
}

}  // namespace penstock::control
