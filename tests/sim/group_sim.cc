#include "tests/sim/group_sim.h"

#include <algorithm>
#include <set>

#include "base/assert.h"

namespace penstock::sim {
namespace {

using control::groups::ConsumerGroupState;
using control::groups::count_partitions;
using control::groups::GroupRecord;
using control::groups::has_partition;
using control::groups::TopicTable;

constexpr Nanos kTurn = 100 * kMillisecond;
constexpr uint64_t kRegexWork = 20;      // of a step: a name or two, so that patterns are looked at in pieces
constexpr Nanos kQuiet = 240 * kSecond;  // more than sessions, revocations and rebalances take after the last fault

Uuid topic_id(const std::string& name, uint8_t life) {
  Uuid id;
  id.bytes[0] = static_cast<uint8_t>(name.back());
  id.bytes[1] = life;
  return id;
}

}  // namespace

GroupSim::GroupSim(uint64_t seed) : prng_(seed, 0x6071) {
  loss_ = static_cast<unsigned>(prng_.below(4) * 8);
  late_ = static_cast<unsigned>(prng_.below(3) * 3);
  mishap_ = static_cast<unsigned>(prng_.between(1, 30));
  settings_.assignment_interval_ms = prng_.one_in(2) ? 0 : 1'000;
  settings_.assignors = prng_.one_in(4) ? std::vector<std::string>{"range"} : settings_.assignors;
  for (uint64_t n = prng_.between(1, 4); n > 0; --n) {
    topics_["t" + std::to_string(n)] = static_cast<int32_t>(prng_.between(1, 16));
  }
  change_topics();
  group_ = std::make_unique<Group>("g");
  const uint64_t members = prng_.one_in(4) ? prng_.between(1, 50) : prng_.between(1, 8);
  for (uint64_t n = 0; n < members; ++n) {
    add_member(prng_.one_in(4) ? std::optional("i" + std::to_string(n)) : std::nullopt);
  }
}

control::groups::GroupContext GroupSim::context() {
  regex_work_ = kRegexWork;
  return {.now = now_ + leapt_,
          .wall_ms = (now_ + leapt_) / kMillisecond,
          .settings = settings_,
          .topics = table_,
          .regex_work = &regex_work_};
}

std::string GroupSim::run() {
  const Nanos faults_end = now_ + static_cast<Nanos>(prng_.between(30, 200)) * kSecond;
  while (now_ < faults_end && problem_.empty()) turn();
  faulty_ = false;
  const Nanos quiet = now_ + kQuiet;
  while (now_ < quiet && problem_.empty()) turn();
  if (problem_.empty()) check_rest();
  const uint64_t written = counts_.records;
  const Nanos end = now_ + 60 * kSecond;
  while (now_ < end && problem_.empty()) turn();
  if (counts_.records != written) fail("a group at rest writes");
  check_replay();
  return problem_;
}

void GroupSim::turn() {
  now_ += kTurn;
  if (faulty_ && prng_.below(1000) < mishap_) mishaps();
  deliver();
  for (auto& [id, member] : members_) {
    const size_t owned = count_partitions(member.owned());
    if (const auto request = member.turn(now_, prng_)) send(member, *request);
    changed_ = changed_ || count_partitions(member.owned()) != owned;
  }
  if (group_->next_deadline() <= now_ + leapt_) {
    const size_t before = group_->members().size();
    write(group_->on_deadline(context()), std::nullopt);
    counts_.expired += before - group_->members().size();
  }
  make_durable();
  if (changed_) check_owners();
  changed_ = false;
  if (prng_.one_in(400)) check_replay();
}

void GroupSim::mishaps() {
  switch (prng_.below(6)) {
    case 0: return crash();
    case 1:
      leapt_ += static_cast<Nanos>(prng_.below(60)) * kSecond;
      ++counts_.leaps;
      return;
    case 2: {
      const std::string name = "t" + std::to_string(prng_.between(1, 5));
      const auto at = topics_.find(name);
      if (at != topics_.end() && prng_.one_in(3)) {
        topics_.erase(at);
        ++lives_[name];
      } else {
        topics_[name] = (at == topics_.end() ? 0 : at->second) + static_cast<int32_t>(prng_.between(1, 4));
      }
      return change_topics();
    }
    default: return member_mishap();
  }
}

void GroupSim::member_mishap() {
  if (members_.size() < 50 && (members_.empty() || prng_.one_in(3))) return add_member(std::nullopt);
  if (members_.empty()) return;
  auto at = std::next(members_.begin(), static_cast<ptrdiff_t>(prng_.below(members_.size())));
  SimConsumer& member = at->second;
  if (prng_.one_in(3)) {
    std::vector<std::string> topics = some_topics();
    return member.subscribe(std::move(topics), prng_.one_in(3) ? std::optional<std::string>("t[1-3]") : std::nullopt);
  }
  if (member.instance() && prng_.one_in(8)) return member.take_place("i" + std::to_string(names_++), now_);
  if (prng_.one_in(2) && member.epoch() > 0) {  // it leaves, and may not be heard
    SimConsumer::Request request;
    request.group_id = "g";
    request.member_id = member.id();
    request.instance_id = member.instance();
    request.member_epoch = member.instance() && prng_.one_in(2) ? -2 : -1;
    send(member, request);
  }
  const std::optional<std::string> instance = member.instance();
  const bool restarts = prng_.one_in(2);
  members_.erase(at);
  if (restarts) add_member(instance);
}

void GroupSim::add_member(std::optional<std::string> instance) {
  const std::string id = "m" + std::to_string(names_++);
  members_.emplace(id, SimConsumer(id, std::move(instance), some_topics()));
}

std::vector<std::string> GroupSim::some_topics() {
  std::vector<std::string> topics;
  const bool all = prng_.one_in(2);
  for (int n = 1; n <= 5; ++n) {
    if (all || prng_.one_in(2)) topics.push_back("t" + std::to_string(n));
  }
  return topics;
}

void GroupSim::change_topics() {
  table_ = TopicTable(++topics_version_);
  for (const auto& [name, partitions] : topics_) {
    table_.add(name, {.id = topic_id(name, lives_[name]), .partitions = partitions});
  }
}

Nanos GroupSim::travel_time() {
  if (faulty_ && prng_.chance(late_)) {
    ++counts_.late;
    return static_cast<Nanos>(prng_.below(60'000)) * kMillisecond;  // overtaken by others of another connection
  }
  return static_cast<Nanos>(prng_.below(100)) * kMillisecond;
}

void GroupSim::send(SimConsumer& member, const SimConsumer::Request& request) {
  if (faulty_ && prng_.chance(loss_)) return;
  const Message message{
      .at = now_ + travel_time(), .member = member.id(), .number = member.last_request(), .request = request};
  requests_.push_back(message);
  if (faulty_ && prng_.one_in(50)) {
    requests_.push_back(message);
    requests_.back().at += travel_time();
  }
}

void GroupSim::deliver() {
  std::vector<Message> due;
  std::erase_if(requests_, [&](const Message& message) {
    if (message.at <= now_) due.push_back(message);
    return message.at <= now_;
  });
  std::ranges::stable_sort(due, {}, &Message::at);
  for (const Message& message : due) serve(message);
  std::erase_if(answers_, [&](const Answer& answer) {
    if (answer.at > now_) return false;
    const auto member = members_.find(answer.member);
    changed_ = true;
    if (member != members_.end()) member->second.answered(answer.number, answer.response, now_);
    return true;
  });
}

void GroupSim::serve(const Message& message) {
  changed_ = true;
  auto outcome =
      group_->heartbeat(message.request, {.client_id = "c", .client_host = "/h", .api_version = 1}, context());
  if (outcome.response.error_code == ErrorCode::kFencedMemberEpoch) ++counts_.fenced;
  write(outcome.records,
        Answer{.at = 0, .member = message.member, .number = message.number, .response = std::move(outcome.response)});
}

void GroupSim::write(const std::vector<GroupRecord>& records, std::optional<Answer> answer) {
  Step step{
      .durable_at = now_ + static_cast<Nanos>(prng_.below(3)) * kTurn, .records = {}, .answer = std::move(answer)};
  if (!steps_.empty()) step.durable_at = std::max(step.durable_at, steps_.back().durable_at);
  for (const GroupRecord& record : records) {
    step.records.push_back(encode(record).value());
    for (const std::byte byte : step.records.back().key) trace_ = trace_ * 31 + static_cast<uint64_t>(byte);
  }
  counts_.records += records.size();
  steps_.push_back(std::move(step));
}

void GroupSim::make_durable() {
  while (!steps_.empty() && steps_.front().durable_at <= now_) {
    Step& step = steps_.front();
    log_.insert(log_.end(), step.records.begin(), step.records.end());
    if (step.answer && !(faulty_ && prng_.chance(loss_))) {
      step.answer->at = now_ + travel_time();
      answers_.push_back(std::move(*step.answer));
    }
    steps_.pop_front();
  }
}

// What was not durable is gone, and nobody was told of it. Or a part of it is there: batches have a bound, so that a
// step may be cut in two.
void GroupSim::crash() {
  ++counts_.crashes;
  changed_ = true;
  std::vector<Record> lost;
  for (const Step& step : steps_) lost.insert(lost.end(), step.records.begin(), step.records.end());
  steps_.clear();
  if (!lost.empty() && prng_.one_in(2)) {
    log_.insert(log_.end(), lost.begin(), lost.begin() + static_cast<ptrdiff_t>(prng_.below(lost.size() + 1)));
  }
  if (prng_.one_in(2)) log_ = compacted();
  group_ = std::make_unique<Group>(read(log_));
  group_->loaded(context());
}

// As a cleaner leaves a log: the last record of each key, in their order. A tombstone goes some time later.
std::vector<GroupSim::Record> GroupSim::compacted() const {
  std::set<std::string> seen;  // of bytes GCC 12 warns, wrongly, when it optimises
  std::vector<Record> kept;
  for (size_t i = log_.size(); i-- > 0;) {
    const auto& key = log_[i].key;
    if (!seen.emplace(reinterpret_cast<const char*>(key.data()), key.size()).second) continue;
    if (log_[i].value || prng_.one_in(2)) kept.push_back(log_[i]);
  }
  std::ranges::reverse(kept);
  return kept;
}

GroupSim::Group GroupSim::read(const std::vector<Record>& log) const {
  Group group("g");
  for (const Record& bytes : log) {
    std::optional<std::span<const std::byte>> value;
    if (bytes.value) value = *bytes.value;
    group.apply(control::groups::decode_record(bytes.key, value).value());
  }
  return group;
}

void GroupSim::check_replay() {
  Group again = read(log_);
  Group cleaned = read(compacted());
  if (again.dump() != cleaned.dump()) fail("compaction changes the group:\n" + again.dump() + cleaned.dump());
  for (const Step& step : steps_) {
    for (const Record& bytes : step.records) {
      std::optional<std::span<const std::byte>> value;
      if (bytes.value) value = *bytes.value;
      again.apply(control::groups::decode_record(bytes.key, value).value());
    }
  }
  if (again.dump() != group_->dump()) fail("a replay differs:\n" + group_->dump() + again.dump());
  if (again.bytes() != group_->bytes()) fail("a replay takes other memory");
}

void GroupSim::check_owners() {
  for (const auto& [instance, id] : group_->static_members()) {
    const auto holder = group_->members().find(id);
    if (holder == group_->members().end() || holder->second.subscription.instance_id != instance) {
      fail("the place " + instance + " is held by " + id + ", which has it not");
    }
  }
  given_.clear();
  for (const auto& [id, member] : group_->members()) {
    for (const auto* holding : {&member.progress.assigned, &member.progress.revoking}) {
      for (const auto& [topic, partitions] : *holding) {
        for (const auto& [partition, epoch] : partitions) given_.add({topic, partition}, id);
      }
    }
  }
  owned_.clear();
  may_commit_.clear();
  for (const auto& [id, member] : members_) {
    for (const auto& [topic, partitions] : member.owned()) {
      for (const int32_t partition : partitions) {
        owned_.add({topic, partition, member.epoch()}, id);
        if (!group_->check_commit(id, member.instance(), member.epoch(), 9, topic, partition))
          may_commit_.add({topic, partition}, id);
      }
    }
  }
  if (const auto two = given_.sharing(); !two.empty()) fail("the coordinator gave a partition twice, to " + two);
  if (const auto two = owned_.sharing(); !two.empty()) fail("two own a partition in an epoch: " + two);
  if (const auto two = may_commit_.sharing(); !two.empty()) fail("two may commit a partition: " + two);
}

void GroupSim::check_rest() {
  if (members_.empty()) {
    if (group_->state() != ConsumerGroupState::kEmpty) fail("nobody is there, and the group is not empty");
    return;
  }
  if (group_->state() != ConsumerGroupState::kStable) return fail("not stable:\n" + group_->dump());
  if (group_->members().size() != members_.size()) return fail("other members:\n" + group_->dump());
  std::map<std::pair<Uuid, int32_t>, int> owners;
  std::set<std::string> wanted;
  for (const auto& [id, member] : members_) {
    const auto known = group_->members().find(id);
    if (known == group_->members().end()) return fail("a member is missing: " + id);
    size_t count = 0;
    for (const auto& [topic, partitions] : member.owned()) {
      for (const int32_t partition : partitions) {
        ++owners[{topic, partition}];
        if (!has_partition(known->second.progress.assigned, topic, partition)) fail("has what it was not given: " + id);
        ++count;
      }
    }
    if (count != count_partitions(known->second.progress.assigned)) fail("has not what it was given: " + id);
    wanted.insert(member.topics().begin(), member.topics().end());
    if (member.regex()) wanted.insert({"t1", "t2", "t3"});
  }
  for (const std::string& name : wanted) {
    const auto* facts = table_.find(name);
    if (facts == nullptr) continue;
    for (int32_t partition = 0; partition < facts->partitions; ++partition) {
      if (owners[{facts->id, partition}] != 1) fail("not consumed once: " + name + "-" + std::to_string(partition));
    }
  }
}

}  // namespace penstock::sim
