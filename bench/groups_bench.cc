// What a group costs control's one thread: a heartbeat among n members, which must not depend on n; and what is made
// for all of them, a target assignment or a classic generation.
#include <benchmark/benchmark.h>

#include <string>
#include <utility>
#include <vector>

#include "base/assert.h"
#include "control/groups/assignor.h"
#include "control/groups/coordinator.h"

namespace penstock::control::groups {
namespace {

constexpr int32_t kPartitionsEach = 2;

// So many members are for builds without DCHECK: with it each step counts all of them anew.
template <int64_t kMembers>
void many(benchmark::internal::Benchmark* bench) {
#ifdef PENSTOCK_DCHECK
  (void)bench;
#else
  bench->Arg(kMembers);
#endif
}

std::string name_of(int64_t member) { return "consumer-group-member-" + std::to_string(member); }

class Groups {
 public:
  explicit Groups(int64_t members) : members_(members) {
    Uuid id;
    id.bytes[0] = 1;
    world_.topics = TopicTable(1);
    world_.topics.add("t", {.id = id, .partitions = static_cast<int32_t>(members) * kPartitionsEach});
    settings_.initial_rebalance_delay_ms = 1;
  }

  Coordinator& coordinator() { return coordinator_; }
  Now now() const { return now_; }
  void pass(Nanos time) {
    now_.monotonic += time;
    Effects effects;
    coordinator_.expire(now_, effects);
    take(effects);
  }

  // ---- of the next generation
  ConsumerGroup::Response beat(const ConsumerGroup::Request& request) {
    Effects effects;
    return coordinator_.consumer_heartbeat(request, {.version = 1, .client_id = "client", .client_host = "/10.0.0.1"},
                                           now_, effects);
  }
  ConsumerGroup::Request request_of(int64_t member, int32_t epoch) const {
    ConsumerGroup::Request request;
    request.group_id = "g";
    request.member_id = name_of(member);
    request.member_epoch = epoch;
    if (epoch > 0) return request;
    request.rebalance_timeout_ms = 60'000;
    request.subscribed_topic_names = std::vector<std::string>{"t"};
    request.topic_partitions.emplace();
    return request;
  }
  void join_all() {
    for (int64_t member = 0; member < members_; ++member) beat(request_of(member, 0));
  }
  // Until all have their part of one epoch.
  void settle() {
    std::vector<int32_t> epochs(static_cast<size_t>(members_), 0);
    while (coordinator_.list().front().group_state != "Stable") {
      for (int64_t member = 0; member < members_; ++member) {
        auto request = request_of(member, epochs[static_cast<size_t>(member)]);
        if (!request.topic_partitions) request.topic_partitions.emplace();  // it gives up whatever it is told to
        epochs[static_cast<size_t>(member)] = beat(request).member_epoch;
      }
      pass(kSecond);
    }
  }

  // ---- of the classic protocol
  protocol::JoinGroupRequest join_request(int64_t member) const {
    protocol::JoinGroupRequest request;
    request.group_id = "g";
    request.member_id = ids_.empty() ? "" : ids_[static_cast<size_t>(member)];
    request.session_timeout_ms = 45'000;
    request.rebalance_timeout_ms = 60'000;
    request.protocol_type = "consumer";
    request.protocols = {{.name = "range", .metadata = std::vector<std::byte>(32)}};
    return request;
  }
  // All join, and the leader gives everyone 32 bytes of assignment.
  void make_generation() {
    joined_.clear();
    Effects effects;
    for (int64_t member = 0; member < members_; ++member) {
      // Version 3 gets its id with its first answer.
      coordinator_.join(join_request(member), {.ticket = static_cast<Ticket>(member), .version = 3}, now_, effects);
    }
    take(effects);
    while (joined_.size() < static_cast<size_t>(members_)) pass(10 * kMillisecond);
    ids_.resize(joined_.size());
    for (auto& [ticket, response] : joined_) ids_[ticket] = response.member_id;
    for (auto& [ticket, response] : joined_) sync(ticket, response);
  }
  ErrorCode classic_beat(int64_t member) {
    protocol::HeartbeatRequest request;
    request.group_id = "g";
    request.member_id = ids_[static_cast<size_t>(member)];
    request.generation_id = joined_.front().second.generation_id;
    Effects effects;
    return coordinator_.heartbeat(request, now_, effects);
  }

 private:
  void sync(Ticket ticket, const protocol::JoinGroupResponse& told) {
    protocol::SyncGroupRequest request;
    request.group_id = "g";
    request.member_id = told.member_id;
    request.generation_id = told.generation_id;
    if (told.leader == told.member_id) {
      for (const std::string& id : ids_) {
        request.assignments.push_back({.member_id = id, .assignment = std::vector<std::byte>(32)});
      }
    }
    Effects effects;
    coordinator_.sync(request, {.ticket = ticket, .version = 3}, now_, effects);
  }
  void take(Effects& effects) {
    for (LateAnswer& answer : effects.answers) {
      if (auto* response = std::get_if<protocol::JoinGroupResponse>(&answer.response)) {
        CHECK(response->error_code == ErrorCode::kNone);
        joined_.emplace_back(answer.ticket, std::move(*response));
      }
    }
  }

  const int64_t members_;
  ConsumerWorld world_;
  GroupSettings settings_;
  Prng prng_{1};
  GroupMemory memory_;
  Coordinator coordinator_{settings_, prng_, memory_, world_};
  Now now_{.monotonic = kSecond, .wall_ms = 1'000'000};
  std::vector<std::string> ids_;
  std::vector<std::pair<Ticket, protocol::JoinGroupResponse>> joined_;
};

void consumer_heartbeat(benchmark::State& state) {
  Groups groups(state.range(0));
  groups.join_all();
  groups.settle();
  int64_t member = 0;
  const int32_t epoch = groups.beat(groups.request_of(0, 0)).member_epoch;
  auto request = groups.request_of(0, epoch);
  for (auto _ : state) {
    request.member_id = name_of(member);
    member = (member + 1) % state.range(0);
    benchmark::DoNotOptimize(groups.beat(request));
  }
}
BENCHMARK(consumer_heartbeat)->Arg(5)->Arg(100)->Apply(many<1000>)->Apply(many<10'000>);

void consumer_members_join(benchmark::State& state) {
  for (auto _ : state) {
    Groups groups(state.range(0));
    groups.join_all();
    groups.settle();
  }
  state.SetItemsProcessed(state.iterations() * state.range(0));
}
BENCHMARK(consumer_members_join)->Arg(100)->Apply(many<1000>)->Unit(benchmark::kMillisecond);

void target_assignment(benchmark::State& state) {
  AssignorInput input;
  Uuid id;
  input.topics.push_back({.id = id, .partitions = static_cast<int32_t>(state.range(0)) * kPartitionsEach});
  std::vector<std::string> names;
  for (int64_t member = 0; member < state.range(0); ++member) names.push_back(name_of(member));
  for (const std::string& name : names) {
    AssignorMember& member = input.members.emplace_back();
    member.id = name;
    member.topics = {0};
  }
  const AssignorOutput before = assign_uniform(input);
  for (size_t i = 0; i < before.size(); ++i) input.members[i].before = &before[i];
  input.members.pop_back();  // one has left
  for (auto _ : state) benchmark::DoNotOptimize(assign_uniform(input));
}
BENCHMARK(target_assignment)->Arg(5)->Arg(1000)->Unit(benchmark::kMicrosecond);

void classic_heartbeat(benchmark::State& state) {
  Groups groups(state.range(0));
  groups.make_generation();
  int64_t member = 0;
  for (auto _ : state) {
    CHECK(groups.classic_beat(member) == ErrorCode::kNone);
    member = (member + 1) % state.range(0);
  }
}
// No more: a classic group's record has all its members, and its bound is a batch.
BENCHMARK(classic_heartbeat)->Arg(5)->Arg(100)->Apply(many<1000>);

void classic_generation(benchmark::State& state) {
  for (auto _ : state) {
    Groups groups(state.range(0));
    groups.make_generation();
  }
  state.SetItemsProcessed(state.iterations() * state.range(0));
}
BENCHMARK(classic_generation)->Arg(100)->Apply(many<1000>)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace penstock::control::groups
