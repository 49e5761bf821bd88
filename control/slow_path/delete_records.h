// DeleteRecords (API key 21, KIP-107): the lcores that own the partitions move their log start offsets; the answer
// leaves when each of them is durable, refused, or out of time.
//
// Bounds: a connection asks one thing at a time, and the bytes of what is with control are bounded (dataplane/kafka/
// broker.h, kSlowBytesMax); a request names a partition that exists at most once. A partition whose request is out of
// time stands here until its lcore answers, which it does.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/units.h"
#include "control/controller/controller.h"
#include "control/slow_path/late_answer.h"
#include "dataplane/api/messages.h"
#include "protocol/gen/delete_records.h"
#include "protocol/header.h"

namespace penstock::control {

class DeleteRecords {
 public:
  struct Asked {
    uint16_t lcore;  // that has the connection
    dataplane::ConnectionId connection;
    int16_t version;
    CorrelationId correlation;
    Nanos now;
  };
  struct PlacedTrim {
    uint16_t lcore;  // that has the log
    dataplane::TrimLog trim;
  };

  DeleteRecords(const Controller& controller, ControlCounters& counters)
      : controller_(controller), counters_(counters) {}

  // The whole answer if no lcore is needed for it; else it is one of take_answers().
  std::optional<std::vector<std::byte>> begin(const protocol::DeleteRecordsRequest& request, const Asked& asked);
  void trimmed(const dataplane::LogTrimmed& over);
  // Requests whose timeout has passed are answered with what there is.
  void expire(Nanos now);
  // When the next one's has; a far future if none is open.
  Nanos next_deadline() const;

  // Those that the next take_trims() gives.
  size_t trims_waiting() const { return trims_.size(); }
  std::vector<PlacedTrim> take_trims() { return std::exchange(trims_, {}); }
  std::vector<LateAnswer> take_answers() { return std::exchange(answers_, {}); }

 private:
  using Result = protocol::DeleteRecordsResponse::PartitionResult;
  struct Open {
    Asked asked;
    protocol::DeleteRecordsResponse response;
    size_t partitions_left = 0;
    Nanos deadline = 0;
  };
  struct Place {
    uint64_t request;
    size_t topic;  // in its response
    size_t partition;
  };

  void begin_topic(const std::string& name, const std::map<int32_t, int64_t>& offsets, uint64_t id, Open& open);
  ErrorCode begin_partition(const Topic* topic, int32_t index, int64_t offset);
  void finish(uint64_t id, Open& open);

  const Controller& controller_;
  ControlCounters& counters_;
  uint64_t next_request_ = 1;
  uint64_t next_token_ = 1;
  std::map<uint64_t, Open> open_;                 // by the request's number
  std::unordered_map<uint64_t, Place> by_token_;  // what lcores have not answered yet
  std::vector<PlacedTrim> trims_;
  std::vector<LateAnswer> answers_;
};

}  // namespace penstock::control
