// MixedGroupSim: one group whose members speak either protocol and change over while it runs (KIP-848, "Upgrade" and
// "Downgrade"), with its coordinator and its log, under lost, late and doubled messages, members that crash, come, go
// and are started again with the other protocol, a coordinator that crashes and reads its log again, and a clock that
// leaps. Everything comes from the seed. It holds throughout that
//   - of members that have a partition at the same time, one only may commit it;
//   - a coordinator that reads the log is the same to the byte, as long as the group is of the next generation;
// and once the faults stop, that the group is of the kind that its members need, stable, every partition that is wanted
// is consumed by one member, and nothing is written any more.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "base/prng.h"
#include "control/groups/coordinator.h"
#include "tests/sim/classic_member.h"
#include "tests/sim/group_member.h"
#include "tests/sim/holders.h"

namespace penstock::sim {

class MixedGroupSim {
 public:
  explicit MixedGroupSim(uint64_t seed);

  // Empty, or what did not hold.
  std::string run();

  struct Counts {
    uint64_t upgrades = 0, downgrades = 0, crashes = 0, records = 0;
  };
  const Counts& counts() const { return counts_; }
  uint64_t trace_hash() const { return trace_; }

 private:
  using Member = std::variant<SimConsumer, SimClassic>;
  using Record = control::groups::EncodedRecord;
  using Request = std::variant<SimConsumer::Request, SimClassic::Request, protocol::LeaveGroupRequest>;
  using Response = std::variant<SimConsumer::Response, SimClassic::Response>;

  struct Message {
    Nanos at;
    std::string member;  // by its name in the simulation
    uint64_t number;
    Request request;
  };
  struct Answer {
    Nanos at;
    std::string member;
    uint64_t number;
    Response response;
  };

  control::groups::Now now() const;
  void turn();
  void mishap();
  void change_topics();
  void add_member();
  void remove_member(std::map<std::string, Member>::iterator at);
  void send(const std::string& name, uint64_t number, Request request);
  void deliver();
  void serve(const Message& message);
  void serve_classic(const Message& message, const SimClassic::Request& request, control::groups::Effects& effects);
  void answer(const std::string& name, uint64_t number, Response response);
  void take(control::groups::Effects& effects);
  void crash();
  Nanos travel_time();
  std::unique_ptr<control::groups::Coordinator> read_log();
  const control::groups::Group* group() const;
  void count_moves();
  void check_owners();
  void check_replay();
  void check_rest();
  void fail(const std::string& what) {
    if (problem_.empty()) problem_ = what;
  }

  Prng prng_;
  Prng ids_;  // of the coordinator
  control::groups::GroupSettings settings_;
  control::groups::ConsumerGroupSettings consumer_settings_;
  control::groups::ConsumerWorld world_;
  control::groups::GroupMemory memory_;
  std::unique_ptr<control::groups::Coordinator> coordinator_;
  bool faulty_ = true;
  unsigned loss_;    // percent
  unsigned late_;    // percent
  unsigned mishap_;  // in 1000 turns
  Nanos now_ = kSecond;
  Nanos leapt_ = 0;  // of the coordinator's clock
  std::map<std::string, int32_t> topics_;
  uint64_t topics_version_ = 1;
  std::vector<Record> log_;
  std::vector<Message> requests_;
  std::vector<Answer> answers_;
  std::map<control::groups::Ticket, std::pair<std::string, uint64_t>> tickets_;
  control::groups::Ticket last_ticket_ = 0;
  std::map<std::string, Member> members_;
  Holders<std::pair<Uuid, int32_t>> may_commit_;
  uint64_t names_ = 0;
  std::string kind_;  // of the group, when it was last looked at
  std::string problem_;
  Counts counts_;
  uint64_t trace_ = 0;
};

}  // namespace penstock::sim
