#include "tests/sim/mixed_group_sim.h"

#include <algorithm>
#include <set>

#include "base/assert.h"

namespace penstock::sim {
namespace {

using control::groups::ClassicGroup;
using control::groups::ClassicState;
using control::groups::ConsumerGroup;
using control::groups::ConsumerGroupState;
using control::groups::Coordinator;
using control::groups::Effects;
using control::groups::TopicTable;

constexpr Nanos kTurn = 100 * kMillisecond;
constexpr Nanos kQuiet = 300 * kSecond;  // more than sessions and rebalances take after the last fault
constexpr int16_t kJoinVersion = 9;
constexpr int16_t kCommitVersion = 9;

template <class... Handlers>
struct Match : Handlers... {
  using Handlers::operator()...;
};

Uuid topic_id(const std::string& name) {
  Uuid id;
  id.bytes[0] = static_cast<uint8_t>(name.back());
  return id;
}

}  // namespace

MixedGroupSim::MixedGroupSim(uint64_t seed) : prng_(seed, 0x6072), ids_(seed, 0x6073) {
  loss_ = static_cast<unsigned>(prng_.below(3) * 5);
  late_ = static_cast<unsigned>(prng_.below(3) * 2);
  mishap_ = static_cast<unsigned>(prng_.between(2, 20));
  world_.settings_of = [this](const std::string&) { return consumer_settings_; };
  for (uint64_t n = prng_.between(1, 3); n > 0; --n) {
    topics_["t" + std::to_string(n)] = static_cast<int32_t>(prng_.between(1, 8));
  }
  change_topics();
  coordinator_ = read_log();
  for (uint64_t n = prng_.between(1, 6); n > 0; --n) add_member();
}

control::groups::Now MixedGroupSim::now() const {
  return {.monotonic = now_ + leapt_, .wall_ms = (now_ + leapt_) / kMillisecond};
}

std::string MixedGroupSim::run() {
  const Nanos faults_end = now_ + static_cast<Nanos>(prng_.between(60, 240)) * kSecond;
  while (now_ < faults_end && problem_.empty()) turn();
  faulty_ = false;
  const Nanos quiet = now_ + kQuiet;
  while (now_ < quiet && problem_.empty()) turn();
  if (problem_.empty()) check_rest();
  const uint64_t written = counts_.records;
  const Nanos end = now_ + 60 * kSecond;
  while (now_ < end && problem_.empty()) turn();
  if (counts_.records != written) fail("a group at rest writes");
  return problem_;
}

void MixedGroupSim::turn() {
  now_ += kTurn;
  if (faulty_ && prng_.below(1000) < mishap_) mishap();
  deliver();
  for (auto& [name, member] : members_) {
    if (auto* consumer = std::get_if<SimConsumer>(&member)) {
      if (const auto request = consumer->turn(now_, prng_)) send(name, consumer->last_request(), *request);
    } else {
      auto& classic = std::get<SimClassic>(member);
      if (const auto request = classic.turn(now_, world_.topics)) send(name, classic.last_request(), *request);
    }
  }
  if (coordinator_->next_deadline() <= now().monotonic) {
    Effects effects;
    coordinator_->expire(now(), effects);
    take(effects);
  }
  check_owners();
  if (prng_.one_in(400)) check_replay();
}

void MixedGroupSim::mishap() {
  switch (prng_.below(8)) {
    case 0: return crash();
    case 1: leapt_ += static_cast<Nanos>(prng_.below(30)) * kSecond; return;
    case 2:
      topics_["t" + std::to_string(prng_.between(1, 4))] += static_cast<int32_t>(prng_.between(1, 3));
      return change_topics();
    default: break;
  }
  if (members_.size() < 8 && (members_.empty() || prng_.one_in(3))) return add_member();
  const auto at = std::next(members_.begin(), static_cast<ptrdiff_t>(prng_.below(members_.size())));
  const bool restarts = prng_.chance(70);
  remove_member(at);
  if (restarts) add_member();
}

void MixedGroupSim::change_topics() {
  world_.topics = TopicTable(++topics_version_);
  for (const auto& [name, partitions] : topics_) {
    world_.topics.add(name, {.id = topic_id(name), .partitions = partitions});
  }
}

void MixedGroupSim::add_member() {
  std::vector<std::string> topics;
  const bool all = prng_.one_in(2);
  for (int n = 1; n <= 4; ++n) {
    if (all || prng_.one_in(2)) topics.push_back("t" + std::to_string(n));
  }
  const std::string name = "m" + std::to_string(names_++);
  if (prng_.one_in(2)) {
    members_.emplace(name, SimConsumer(name, std::nullopt, std::move(topics)));
  } else {
    members_.emplace(name, SimClassic(std::move(topics)));
  }
}

// Half of them say so.
void MixedGroupSim::remove_member(std::map<std::string, Member>::iterator at) {
  if (prng_.one_in(2)) {
    if (const auto* consumer = std::get_if<SimConsumer>(&at->second)) {
      SimConsumer::Request request;
      request.group_id = "g";
      request.member_id = consumer->id();
      request.member_epoch = control::groups::kLeaveEpoch;
      send(at->first, 0, request);
    } else {
      protocol::LeaveGroupRequest request;
      request.group_id = "g";
      request.members = {{.member_id = std::get<SimClassic>(at->second).id()}};
      send(at->first, 0, request);
    }
  }
  members_.erase(at);
}

// ---- messages

Nanos MixedGroupSim::travel_time() {
  if (faulty_ && prng_.chance(late_)) return static_cast<Nanos>(prng_.below(60'000)) * kMillisecond;
  return static_cast<Nanos>(prng_.below(100)) * kMillisecond;
}

void MixedGroupSim::send(const std::string& name, uint64_t number, Request request) {
  if (faulty_ && prng_.chance(loss_)) return;
  const Message message{.at = now_ + travel_time(), .member = name, .number = number, .request = std::move(request)};
  requests_.push_back(message);
  if (!faulty_ || !prng_.one_in(50)) return;
  requests_.push_back(message);
  requests_.back().at += travel_time();
}

void MixedGroupSim::deliver() {
  std::vector<Message> due;
  std::erase_if(requests_, [&](const Message& message) {
    if (message.at <= now_) due.push_back(message);
    return message.at <= now_;
  });
  std::ranges::stable_sort(due, {}, &Message::at);
  for (const Message& message : due) serve(message);
  std::vector<Answer> answers;
  std::erase_if(answers_, [&](const Answer& answer) {
    if (answer.at <= now_) answers.push_back(answer);
    return answer.at <= now_;
  });
  for (const Answer& answer : answers) {
    const auto at = members_.find(answer.member);
    if (at == members_.end()) continue;
    if (auto* consumer = std::get_if<SimConsumer>(&at->second)) {
      consumer->answered(answer.number, std::get<SimConsumer::Response>(answer.response), now_);
    } else {
      std::get<SimClassic>(at->second)
          .answered(answer.number, std::get<SimClassic::Response>(answer.response), now_, world_.topics);
    }
  }
}

void MixedGroupSim::serve(const Message& message) {
  Effects effects;
  std::visit(Match{
                 [&](const SimConsumer::Request& request) {
                   auto response = coordinator_->consumer_heartbeat(
                       request, {.version = 1, .client_id = "c", .client_host = "/h"}, now(), effects);
                   answer(message.member, message.number, std::move(response));
                 },
                 [&](const SimClassic::Request& request) { serve_classic(message, request, effects); },
                 [&](const protocol::LeaveGroupRequest& request) {
                   coordinator_->leave(request, protocol::LeaveGroupRequest::kMaxVersion, now(), effects);
                 },
             },
             message.request);
  take(effects);
}

void MixedGroupSim::serve_classic(const Message& message, const SimClassic::Request& request, Effects& effects) {
  if (const auto* beat = std::get_if<protocol::HeartbeatRequest>(&request)) {
    protocol::HeartbeatResponse response;
    response.error_code = coordinator_->heartbeat(*beat, now(), effects);
    return answer(message.member, message.number, SimClassic::Response(response));
  }
  const control::groups::Caller caller{
      .ticket = ++last_ticket_, .version = kJoinVersion, .client_id = "c", .client_host = "/h"};
  tickets_[caller.ticket] = {message.member, message.number};
  if (const auto* join = std::get_if<protocol::JoinGroupRequest>(&request)) {
    coordinator_->join(*join, caller, now(), effects);
  } else {
    coordinator_->sync(std::get<protocol::SyncGroupRequest>(request), caller, now(), effects);
  }
}

void MixedGroupSim::answer(const std::string& name, uint64_t number, Response response) {
  if (faulty_ && prng_.chance(loss_)) return;
  answers_.push_back({.at = now_ + travel_time(), .member = name, .number = number, .response = std::move(response)});
}

void MixedGroupSim::take(Effects& effects) {
  for (const auto& record : effects.records) {
    log_.push_back(encode(record).value());
    for (const std::byte byte : log_.back().key) trace_ = trace_ * 31 + static_cast<uint64_t>(byte);
  }
  counts_.records += effects.records.size();
  for (auto& late : effects.answers) {
    const auto at = tickets_.find(late.ticket);
    CHECK(at != tickets_.end());  // each is answered once
    SimClassic::Response response;
    std::visit([&](auto& is) { response = std::move(is); }, late.response);
    answer(at->second.first, at->second.second, std::move(response));
    tickets_.erase(at);
  }
  count_moves();
}

// Who waits loses its connection.
void MixedGroupSim::crash() {
  ++counts_.crashes;
  coordinator_ = read_log();
  Effects effects;
  coordinator_->loaded(now(), effects);
  tickets_.clear();
  for (auto& [name, member] : members_) {
    if (auto* classic = std::get_if<SimClassic>(&member)) classic->disconnected(now_);
  }
  take(effects);
}

std::unique_ptr<Coordinator> MixedGroupSim::read_log() {
  auto again = std::make_unique<Coordinator>(settings_, ids_, memory_, world_);
  for (const Record& bytes : log_) {
    std::optional<std::span<const std::byte>> value;
    if (bytes.value) value = *bytes.value;
    again->replay(control::groups::decode_record(bytes.key, value).value());
  }
  return again;
}

// ---- what must hold

const control::groups::Group* MixedGroupSim::group() const {
  const auto at = coordinator_->groups().find("g");
  return at == coordinator_->groups().end() ? nullptr : &at->second;
}

void MixedGroupSim::count_moves() {
  if (group() == nullptr) return;
  const bool is_consumer = consumer_of(group()) != nullptr;
  const auto members = std::visit([](const auto& body) { return body.members().size(); }, group()->body);
  const std::string kind = is_consumer ? "consumer" : "classic";
  if (members > 1 && kind_ == "classic" && is_consumer) ++counts_.upgrades;
  if (members > 0 && kind_ == "consumer" && !is_consumer) ++counts_.downgrades;
  if (members > 0) kind_ = kind;
}

void MixedGroupSim::check_owners() {
  if (group() == nullptr) return;
  const ConsumerGroup* consumer = consumer_of(group());
  const auto* classic = std::get_if<ClassicGroup>(&group()->body);
  may_commit_.clear();
  for (const auto& [name, member] : members_) {
    const auto& owned = std::visit([](const auto& is) -> const auto& { return is.owned(); }, member);
    const auto& id = std::visit([](const auto& is) -> const auto& { return is.id(); }, member);
    const int32_t epoch = std::visit([](const auto& is) { return is.epoch(); }, member);
    for (const auto& [topic, partitions] : owned) {
      for (const int32_t partition : partitions) {
        const bool may = consumer != nullptr
                             ? !consumer->check_commit(id, std::nullopt, epoch, kCommitVersion, topic, partition)
                             : classic->check_commit(id, std::nullopt, epoch) == ErrorCode::kNone;
        if (may) may_commit_.add({topic, partition}, name);
      }
    }
  }
  if (const auto two = may_commit_.sharing(); !two.empty()) fail("two may commit a partition: " + two);
}

// Of a classic group its last generation alone is written down.
void MixedGroupSim::check_replay() {
  const ConsumerGroup* is = consumer_of(group());
  if (is == nullptr) return;
  const auto again = read_log();
  const auto at = again->groups().find("g");
  const ConsumerGroup* read = at == again->groups().end() ? nullptr : consumer_of(&at->second);
  if (read == nullptr) return fail("a replay gives another kind of group");
  if (read->dump() != is->dump()) fail("a replay differs:\n" + is->dump() + read->dump());
}

void MixedGroupSim::check_rest() {
  if (members_.empty()) return;
  if (group() == nullptr) return fail("there is no group");
  const bool has_new = std::ranges::any_of(
      members_, [](const auto& entry) { return std::holds_alternative<SimConsumer>(entry.second); });
  const ConsumerGroup* consumer = consumer_of(group());
  if (has_new != (consumer != nullptr)) return fail("a group of the wrong kind");
  if (consumer != nullptr) {
    if (consumer->state() != ConsumerGroupState::kStable) return fail("not stable:\n" + consumer->dump());
    if (consumer->members().size() != members_.size()) return fail("other members:\n" + consumer->dump());
  } else {
    const auto& classic = std::get<ClassicGroup>(group()->body);
    if (classic.state() != ClassicState::kStable) return fail("not stable: " + std::string(to_string(classic.state())));
    if (classic.members().size() != members_.size()) return fail("other members");
  }
  std::map<std::pair<Uuid, int32_t>, int> owners;
  std::set<std::string> wanted;
  for (const auto& [name, member] : members_) {
    const auto& owned = std::visit([](const auto& is) -> const auto& { return is.owned(); }, member);
    const auto& topics = std::visit([](const auto& is) -> const auto& { return is.topics(); }, member);
    wanted.insert(topics.begin(), topics.end());
    for (const auto& [topic, partitions] : owned) {
      for (const int32_t partition : partitions) ++owners[{topic, partition}];
    }
  }
  for (const std::string& topic : wanted) {
    const auto* facts = world_.topics.find(topic);
    for (int32_t partition = 0; facts != nullptr && partition < facts->partitions; ++partition) {
      if (owners[{facts->id, partition}] != 1) fail("not consumed once: " + topic + "-" + std::to_string(partition));
    }
  }
}

}  // namespace penstock::sim
