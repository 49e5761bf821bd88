// GroupRun: many next-generation groups at once. First all members join, and it takes the time until every group is
// stable: each partition with one member. Then it counts heartbeats for a while. At last one member leaves, and it
// counts how many partitions the others had to give up for it: none.
//
// Members share connections, as many as are asked for. A broker answers a connection's requests in their order, so each
// is a queue.
#pragma once

#include <deque>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/histogram.h"
#include "control/cli/cluster.h"
#include "control/cli/json.h"
#include "control/cli/link.h"
#include "control/cli/load/group_member.h"
#include "control/cli/transport.h"

namespace penstock::cli {

struct GroupRunOptions {
  BrokerOptions broker;
  std::string topic = "penstock-bench-groups";
  std::string prefix = "penstock-bench";  // of the groups' ids
  uint32_t groups = 100;
  uint32_t members = 5;     // of each group
  int32_t partitions = -1;  // of the topic; -1: two for each member
  uint32_t connections = 50;
  Nanos duration = 20 * kSecond;  // of counting heartbeats
  Nanos patience = 60 * kSecond;  // for the groups to become stable
  int32_t broker_pid = 0;         // a broker on this machine, whose CPU time is taken; 0: none
  std::string json;
  bool cleanup = false;
};

struct GroupReport {
  bool stable = false;
  double stable_seconds = 0;
  uint64_t heartbeats = 0;  // while they were counted
  double counted_seconds = 0;
  double broker_cores = -1;    // busy meanwhile; -1: not asked
  double joining_cores = -1;   // the same until all were stable
  double settled_seconds = 0;  // from a member's leaving until its group was stable again; 0: nobody to leave
  uint64_t interrupted = 0;    // partitions that its others gave up meanwhile
  uint64_t errors = 0;
  Histogram latency;  // of heartbeats, nanoseconds
};
Json group_report_json(const GroupReport& report);
std::string group_report_text(const GroupReport& report);

class GroupRun {
 public:
  GroupRun(Clock& clock, Cluster& cluster, const GroupRunOptions& options);
  GroupReport run();

 private:
  struct Asked {
    uint32_t member;
    Nanos at;
    CorrelationId correlation;
  };
  struct Connection {
    std::unique_ptr<Link> link;
    std::deque<Asked> asked;
    bool wants_write = false;
  };

  void connect(Cluster& cluster);
  bool is_stable(uint32_t group) const;
  bool all_stable();
  void turn(Nanos until);
  void send(uint32_t member, const GroupMember::Request& request);
  void flush(uint32_t index);
  void take_answers(Connection& connection);
  void join_all();
  void count_heartbeats();
  void let_one_leave();
  void leave_all();

  Clock& clock_;
  const GroupRunOptions options_;
  const size_t partitions_;
  std::unique_ptr<Watch> watch_;
  std::vector<GroupMember> members_;  // group by group
  std::vector<bool> changed_;         // groups: to be looked at
  std::vector<bool> stable_;
  std::set<std::pair<Nanos, uint32_t>> due_;  // members that wait for their next heartbeat
  std::vector<Connection> connections_;
  int16_t version_ = 0;
  int32_t next_correlation_ = 1;
  GroupReport report_;
};

}  // namespace penstock::cli
