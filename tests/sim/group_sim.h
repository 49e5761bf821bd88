// GroupSim: a next-generation group with its log and 1 to 50 members, under lost, late and doubled messages, members
// that crash, come and change their minds, a coordinator that crashes and reads its log again, and a clock that leaps.
// Everything comes from the seed. It holds throughout that
//   - the coordinator gives a partition to one member only, and takes commits for it from one member only;
//   - of members that have a partition at the same time (one may not know yet that it was thrown out), no two have it
//     in the same epoch;
//   - who holds a static member's place is a member of that instance id;
//   - a coordinator that reads the log, compacted or not, is the same to the byte;
// and once the faults stop, that the group becomes stable, every partition that is wanted is consumed by one member,
// and nothing is written any more.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "base/prng.h"
#include "control/groups/consumer_group.h"
#include "tests/sim/group_member.h"
#include "tests/sim/holders.h"

namespace penstock::sim {

class GroupSim {
 public:
  explicit GroupSim(uint64_t seed);

  // Empty, or what did not hold.
  std::string run();

  struct Counts {
    uint64_t fenced = 0, crashes = 0, expired = 0, leaps = 0, late = 0, records = 0;
  };
  const Counts& counts() const { return counts_; }
  uint64_t trace_hash() const { return trace_; }

 private:
  using Group = control::groups::ConsumerGroup;
  using Record = control::groups::EncodedRecord;

  struct Message {
    Nanos at;
    std::string member;
    uint64_t number;
    SimConsumer::Request request;
  };
  struct Answer {
    Nanos at;
    std::string member;
    uint64_t number;
    SimConsumer::Response response;
  };
  struct Step {  // written, and not durable yet
    Nanos durable_at;
    std::vector<Record> records;
    std::optional<Answer> answer;
  };

  control::groups::GroupContext context();
  void turn();
  void mishaps();
  void member_mishap();
  void change_topics();
  void add_member(std::optional<std::string> instance);
  std::vector<std::string> some_topics();
  void send(SimConsumer& member, const SimConsumer::Request& request);
  void deliver();
  void serve(const Message& message);
  void write(const std::vector<control::groups::GroupRecord>& records, std::optional<Answer> answer);
  void make_durable();
  void crash();
  Nanos travel_time();
  std::vector<Record> compacted() const;
  Group read(const std::vector<Record>& log) const;
  void check_owners();
  void check_replay();
  void check_rest();
  void fail(const std::string& what) {
    if (problem_.empty()) problem_ = what;
  }

  mutable Prng prng_;
  control::groups::ConsumerGroupSettings settings_;
  bool faulty_ = true;
  bool changed_ = true;  // owners are to be checked
  unsigned loss_;        // percent
  unsigned late_;        // percent
  unsigned mishap_;      // in 1000 turns
  Nanos now_ = kSecond;
  Nanos leapt_ = 0;  // of the coordinator's clock
  std::map<std::string, int32_t> topics_;
  std::map<std::string, uint8_t> lives_;  // of a topic: another id each
  uint64_t topics_version_ = 1;
  control::groups::TopicTable table_;
  uint64_t regex_work_ = 0;  // of a step
  std::unique_ptr<Group> group_;
  std::vector<Record> log_;  // durable
  std::deque<Step> steps_;
  std::vector<Message> requests_;
  std::vector<Answer> answers_;
  std::map<std::string, SimConsumer> members_;
  Holders<std::pair<Uuid, int32_t>> given_;            // by the coordinator
  Holders<std::tuple<Uuid, int32_t, int32_t>> owned_;  // in an epoch, as members say
  Holders<std::pair<Uuid, int32_t>> may_commit_;
  uint64_t names_ = 0;
  std::string problem_;
  Counts counts_;
  uint64_t trace_ = 0;
};

}  // namespace penstock::sim
