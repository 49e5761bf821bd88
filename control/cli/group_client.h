// GroupClient: asks the coordinator of one group about it: who is in it, what it has committed, where to begin. It
// finds the coordinator by itself, and asks again while that is still reading its log.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "control/cli/cluster.h"

namespace penstock::cli {

struct GroupMemberView {
  std::string id;
  std::string instance;  // empty: a dynamic member
  std::string client_id;
  std::string host;
  std::optional<int32_t> epoch;                                          // of members of next-generation groups
  std::vector<std::pair<std::string, std::vector<int32_t>>> partitions;  // by topic
};

struct GroupView {
  std::string id;
  std::string type;  // classic or consumer
  std::string state;
  std::string assignor;          // of classic groups: their protocol
  std::optional<int32_t> epoch;  // of next-generation groups
  std::vector<GroupMemberView> members;
};

struct CommittedOffset {
  std::string topic;
  int32_t partition = 0;
  int64_t offset = -1;
};

struct ListedGroup {
  std::string id;
  std::string type;  // empty: an older broker does not tell
  std::string state;
  std::string protocol_type;
};
// Of all brokers, by id. Asks for that long again while one still reads its groups' log.
std::vector<ListedGroup> list_groups(Cluster& cluster, Clock& clock, Nanos timeout);

class GroupClient {
 public:
  GroupClient(Clock& clock, const BrokerOptions& options, Cluster& cluster, std::string group)
      : clock_(clock), options_(options), cluster_(cluster), group_(std::move(group)) {}

  // All throw CliError with the broker's reason.
  GroupView describe();
  std::vector<CommittedOffset> committed();  // by topic and partition
  void commit(const std::vector<CommittedOffset>& offsets);
  void remove();

 private:
  // Calls until the answer is not that the coordinator is elsewhere or busy, or time is up.
  ErrorCode ask(const std::function<ErrorCode(KafkaClient&)>& once);
  bool find_coordinator();
  std::optional<GroupView> describe_consumer();
  GroupView describe_classic();

  Clock& clock_;
  const BrokerOptions options_;
  Cluster& cluster_;
  const std::string group_;
  std::unique_ptr<KafkaClient> coordinator_;
};

}  // namespace penstock::cli
