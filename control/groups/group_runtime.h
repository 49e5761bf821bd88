// GroupRuntime: the coordinators of all partitions of __consumer_offsets that this broker leads, between requests on
// one side and the partitions' logs, which lcores own, on the other.
//
// A partition is read from its log first (COORDINATOR_LOAD_IN_PROGRESS), then works. What the steps of a turn want
// written is appended as one batch a partition; one is under way at a time, what comes meanwhile goes with the next.
// The answer to a step leaves when all that was written up to it is durable: nobody learns of what a power cut could
// take. If a batch cannot be written, the partition forgets what it knows, answers who waits with a retriable error and
// reads its log again. If a record of a group can never be, that group alone begins anew.
//
// Bounds: GroupSettings::memory_max for what is known; a request adds at most one step a group it names; reads of logs
// that are under way at once, kLoadsAtOnce, of offsets.load.buffer.size each.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "control/controller/controller.h"
#include "control/groups/coordinator.h"
#include "dataplane/api/messages.h"

namespace penstock::control::groups {

inline constexpr std::string_view kOffsetsTopic = "__consumer_offsets";

GroupSettings group_settings(const BrokerOptions& options);
// Those of groups that have none of their own.
ConsumerGroupSettings consumer_settings(const BrokerOptions& options);
// The topic that groups are kept in, as the settings want it.
NewTopic offsets_topic(const BrokerOptions& options);
// Empty, or why group.consumer.assignors cannot be that.
std::string problem_with_assignors(const std::string& setting);

// Kafka's choice: the id's Java hash code, made positive, modulo the partitions.
int32_t partition_for(std::string_view group_id, size_t partitions);

// The end of a step that a ticket waits for. A ticket has one for each step of its request.
struct StepDone {
  Ticket ticket;
  ErrorCode error;                       // not none: nothing of it may be told
  std::optional<LateResponse> response;  // of JoinGroup and SyncGroup
};

class GroupRuntime {
 public:
  static constexpr size_t kLoadsAtOnce = 4;

  struct PlacedCommand {
    uint16_t lcore;
    dataplane::Command command;
  };

  GroupRuntime(Controller& controller, ControlCounters& counters, uint64_t seed);
  GroupRuntime(Controller& controller, ControlCounters& counters, uint64_t seed, const GroupSettings& settings)
      : GroupRuntime(controller, counters, seed) {
    settings_ = settings;
  }

  Ticket next_ticket() { return ++last_ticket_; }

  // Makes __consumer_offsets if it is not there. Why it cannot be, otherwise.
  ErrorCode make_topic();
  // Whether this broker can serve the group, now or soon.
  bool is_led(const std::string& group_id) const;

  // Does something for a group. Not none: its partition cannot now, and nothing was done. Otherwise what was done is
  // told by done(), once: with late, when the step's own answer comes; without, when all is durable.
  ErrorCode step(const std::string& group_id, Ticket ticket, bool late, Now now,
                 const std::function<void(Coordinator& coordinator, Effects& effects)>& work);
  // Looks at each partition's groups. Not none: one is not there yet, or not to be had.
  ErrorCode look(const std::function<void(const Coordinator& coordinator)>& look) const;

  size_t partition_count() const { return partitions_.size(); }
  // The groups of one. nullptr: there is no such partition, or its groups are not there (yet).
  const Coordinator* coordinator_of(size_t index) const {
    const bool works = index < partitions_.size() && partitions_[index].state == State::kActive;
    return works ? partitions_[index].coordinator.get() : nullptr;
  }

  // ---- what happens
  // The topics that there are may be others: once a turn.
  void refresh(Now now);
  void topics_deleted(std::span<const std::string> topics, Now now);
  void appended(const dataplane::RecordsAppended& over, Now now);
  void read(dataplane::LogRead what, Now now);
  void expire(Now now);
  Nanos next_deadline() const;

  // ---- what is to be done
  size_t commands_waiting() const { return commands_.size() + to_send_.size(); }
  // At the end of a turn: what its steps wrote goes as one batch a partition.
  std::vector<PlacedCommand> take_commands(Now now);
  std::vector<StepDone> take_done() { return std::exchange(done_, {}); }

 private:
  enum class State : uint8_t { kLoading, kActive, kOffline };
  struct Waiting {
    uint64_t after;  // so many records must be durable
    Ticket ticket;
    std::optional<LateResponse> response;
    ErrorCode error = ErrorCode::kNone;  // nothing of it was written
  };
  struct Partition {
    State state = State::kLoading;
    std::unique_ptr<Coordinator> coordinator;
    std::deque<EncodedRecord> queue;  // written by steps, not on their way
    uint64_t written = 0;             // records, ever
    uint64_t sent = 0;
    uint64_t durable = 0;
    uint64_t token = 0;             // of the batch or the read that is under way; 0: none
    bool sends = false;             // is among to_send_
    Offset next{0};                 // of the load
    std::set<std::string> deleted;  // topics, since it began
    int damaged_reads = 0;
    std::deque<Waiting> waiting;
  };

  void refresh_world(Now now);
  ConsumerGroupSettings settings_of(const std::string& group) const;
  void unbind(Now now);
  void begin_loads();
  void send_at_end_of_turn(size_t index);
  void send_batch(size_t index, int64_t now_ms);
  ErrorCode perform(size_t index, Now now, std::optional<Ticket> ticket,
                    const std::function<void(Coordinator& coordinator, Effects& effects)>& work);
  void take_effects(size_t index, Effects effects, Now now, std::optional<Ticket> ticket);
  std::optional<EncodedRecord> encode_for_batch(const GroupRecord& record) const;
  bool write(Partition& partition, const std::vector<GroupRecord>& records);
  void release(Partition& partition);
  void fail(size_t index, ErrorCode error, State next, Now now);
  void replay_batches(Partition& partition, std::span<const std::byte> bytes);
  void replay_batch(Partition& partition, std::span<const std::byte> batch);
  void finish_load(size_t index, Now now);
  LogPlace place(size_t index) const;
  LeaderEpoch epoch(size_t index) const;
  std::optional<size_t> index_of_token(uint64_t token);
  void count();

  Controller& controller_;
  ControlCounters& counters_;
  GroupSettings settings_;
  const ConsumerGroupSettings consumer_defaults_;
  Prng prng_;
  GroupMemory memory_;
  ConsumerWorld world_;
  Nanos world_made_at_ = 0;
  uint64_t regex_work_ = kRegexWorkATurn;  // left of this turn's
  TopicPtr topic_;
  std::vector<Partition> partitions_;
  std::deque<size_t> to_load_;
  size_t loading_ = 0;  // reads that are under way
  uint64_t last_token_ = 0;
  Ticket last_ticket_ = 0;
  std::unordered_map<uint64_t, size_t> tokens_;  // partition of what is under way
  std::vector<size_t> to_send_;                  // partitions with something written in this turn
  std::vector<PlacedCommand> commands_;
  std::vector<StepDone> done_;
};

}  // namespace penstock::control::groups
