// Produce (API key 0): check each batch by its header, have it appended by the lcore that owns its log, and answer when
// the devices have all of them. Versions 3 to 13; docs/compatibility.md, "Produce".
//
// A partition that storage holds back (AppendStatus::kBusy) suspends the whole request, which goes on there later; what
// was appended before is not appended again. The request's timeout is not looked at: an answer that came before the
// data was durable could only say that nobody knows, and the device answers in milliseconds or not at all.
//
// If a log belongs to another lcore, the request's bytes are moved out of the connection's chain into a job, so that
// the next request may begin. The owner gathers them from there into its ring: the one touch, as at home.
#pragma once

#include <cstdint>
#include <deque>
#include <expected>
#include <memory>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "dataplane/kafka/broker.h"
#include "dataplane/kafka/parcel.h"
#include "dataplane/kafka/request.h"
#include "dataplane/kafka/response.h"
#include "protocol/api.h"
#include "protocol/produce.h"

namespace penstock::dataplane {

// A Produce of which other lcores do a part. Shared by its connection and the parcels that are out.
struct ProduceJob {
  BufferChain chain;  // the whole frame
  size_t body_at = 0;
  size_t body_bytes = 0;
  int16_t api_version = 0;
  CorrelationId correlation_id;
  uint16_t listener = 0;
  std::vector<ProduceOutcome> outcomes{};  // by the partition's place in the request
  size_t away = 0;                         // parcels
  std::deque<BufferChain> recompressed{};  // batches that parcels point to
  bool complete = false;                   // each partition has its outcome, or is away

  bool done() const { return complete && away == 0; }
  Request request() const {
    return {.chain = chain,
            .body_at = body_at,
            .body_bytes = body_bytes,
            .api_key = static_cast<int16_t>(ApiKey::kProduce),
            .api_version = api_version,
            .correlation_id = correlation_id,
            .listener = listener};
  }
  void home(const ProducePart& part) {
    for (const ProducePart::Item& item : part.items) outcomes[item.place] = item.outcome;
    --away;
  }
};

// What a Produce has come to.
struct Produced {
  Response response;
  storage::DurableMark durable_mark;  // the answer may leave when this is durable
  bool wants_answer = true;
  bool any_error = false;
};

// The batch in chain[at, at + bytes), whose header was checked, to a log of this lcore. times: of its records, if they
// were looked at. Nothing: the device is behind.
std::optional<ProduceOutcome> append_batch(Broker& broker, storage::LogId log, LeaderEpoch epoch,
                                           const BufferChain& chain, size_t at, size_t bytes,
                                           const std::optional<storage::RecordTimes>& times);

class ProduceHandler {
 public:
  enum class State : uint8_t {
    kDone,       // the request's bytes are of no more use to it: job(), or take()
    kBusy,       // call again after a poll of the store that completed something, with the same request
    kLater,      // a batch is being recompressed: call home() with it, then this again with the same request
    kCrowded,    // too many are: call again next turn, with the same request
    kElsewhere,  // other lcores are needed: give it the frame (split), then call again with job()->request()
    kMalformed,  // close the connection; nothing was appended
  };
  State run(Broker& broker, const Request& request, ConnectionId who);
  void split(const Request& request, BufferChain frame);
  // A batch has come back; one that was not this request's is dropped.
  void home(ParcelPtr parcel);

  // After split(): what is shared with the other lcores. After kDone it is done when all parcels are home.
  const std::shared_ptr<ProduceJob>& job() const { return job_; }
  // After kDone without a job.
  Produced take() { return std::move(produced_); }
  static Produced finish(Broker& broker, const ProduceJob& job);

 private:
  // A batch that its topic wants in another codec, until its partition has its outcome.
  struct Recompression {
    uint64_t number = 0;  // of its parcel
    bool sent = false;
    bool done = false;
    RecompressPart part;
    BufferChain chain{};  // what came back
  };
  // Where a batch lies that may be appended.
  struct Placed {
    const BufferChain* chain;
    size_t at;
    size_t bytes;
    std::optional<storage::RecordTimes> times{};
  };
  // The partition's batch in its topic's codec. Nothing: not now; or an error, which its outcome is.
  std::optional<std::expected<Placed, ProduceOutcome>> in_stored_codec(Broker& broker, const Request& request,
                                                                       const protocol::ProducePartition& partition,
                                                                       const TopicRoute& topic, ConnectionId who);
  // Appended, refused or given to another lcore. False: not now.
  bool place(Broker& broker, const Request& request, const protocol::ProduceRequestView& view,
             const protocol::ProduceTopic& topic, const protocol::ProducePartition& partition, ConnectionId who);
  ProducePart& part_for(uint16_t lcore);
  void send_parts(Broker& broker, ConnectionId who);
  static Produced finish(Broker& broker, const Request& request, protocol::ProduceRequestView& view,
                         std::span<const ProduceOutcome> outcomes);
  std::vector<ProduceOutcome>& outcomes() { return job_ == nullptr ? outcomes_ : job_->outcomes; }

  std::vector<ProduceOutcome> outcomes_;  // of the partitions that are done, in the request's order; job_ has its own
  std::shared_ptr<ProduceJob> job_;
  std::vector<std::pair<uint16_t, ProducePart>> parts_;  // to be sent, by lcore
  Produced produced_;
  std::optional<Recompression> recompression_;  // of the next partition
  bool elsewhere_ = false;                      // the next partition is another lcore's
};

}  // namespace penstock::dataplane
