// Produce (API key 0) on the lcore that owns the partitions: check each batch by its header, append it to the log, and
// answer when the device has all of them. Versions 3 to 13; docs/compatibility.md, "Produce".
//
// A partition that storage holds back (AppendStatus::kBusy) suspends the whole request, which goes on there later; what
// was appended before is not appended again. The request's timeout is not looked at: an answer that came before the
// data was durable could only say that nobody knows, and the device answers in milliseconds or not at all.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "dataplane/kafka/broker.h"
#include "dataplane/kafka/request.h"
#include "dataplane/kafka/response.h"
#include "protocol/error_code.h"
#include "protocol/produce.h"

namespace penstock::dataplane {

class ProduceHandler {
 public:
  enum class State : uint8_t {
    kDone,       // the request's bytes are of no more use; see the accessors
    kBusy,       // call again after a poll of the store that completed something, with the same request
    kMalformed,  // close the connection; nothing was appended
  };
  State run(Broker& broker, const Request& request);

  // ---- after kDone
  bool wants_answer() const { return acks_ != 0; }
  bool any_error() const { return any_error_; }
  // The answer may leave when this is durable.
  storage::DurableMark take_durable_mark() { return std::move(durable_mark_); }
  Response take_answer() { return std::move(answer_); }

 private:
  struct Outcome {
    PartitionIndex partition{};
    ErrorCode error = ErrorCode::kNone;
    int64_t base_offset = -1;
    int64_t log_start_offset = -1;
    std::string_view message{};  // of a literal
  };

  std::optional<Outcome> append(Broker& broker, const Request& request, const protocol::ProduceRequestView& view,
                                const protocol::ProduceTopic& topic, const protocol::ProducePartition& partition);
  void encode_answer(const Request& request, protocol::ProduceRequestView& view);

  std::vector<Outcome> outcomes_;  // of the partitions that are done, in the request's order
  int16_t acks_ = 0;
  bool any_error_ = false;
  storage::DurableMark durable_mark_;
  Response answer_;
};

}  // namespace penstock::dataplane
