// Produce on the fast path: the request read where it lies in network buffers, and the response written straight into
// bytes. Equal to the table codec (gen/produce.h) in every version; tests/protocol_produce_test.cc and the fuzzer hold
// them together. Runs on the lcore.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/buffer.h"
#include "base/result.h"
#include "protocol/chain_reader.h"
#include "protocol/error_code.h"
#include "protocol/leader_hint.h"
#include "protocol/types.h"
#include "protocol/wire.h"

namespace penstock::protocol {

inline constexpr int16_t kProduceFlexible = 9;
inline constexpr int16_t kProduceTopicIds = 13;  // topics by id from here on, by name before

struct ProduceTopic {
  std::string_view name;  // below v13; good until the next call of next_topic(), and while the view is not moved
  Uuid id;                // v13
  uint32_t partitions_count = 0;
};

struct ProducePartition {
  PartitionIndex index;
  bool null_records = false;
  size_t records_at = 0;  // place in the chain
  size_t records_bytes = 0;
};

class ProduceRequestView {
 public:
  // Reads the body, n bytes of chain from place at on, from end to end, so that nothing is appended of a request that
  // breaks off; then topics and partitions come from the calls below. The chain must outlive the view and stay as it
  // is. Errors as decode_request().
  static Result<ProduceRequestView> parse(const BufferChain& chain, size_t at, size_t n, int16_t version);

  const std::optional<std::string>& transactional_id() const { return transactional_id_; }
  int16_t acks() const { return acks_; }
  int32_t timeout_ms() const { return timeout_ms_; }
  uint32_t topics_count() const { return topics_count_; }
  uint32_t partitions_count() const { return partitions_count_; }

  // The next topic in the request's order; nullopt after the last. Passes over partitions that were not asked for.
  std::optional<ProduceTopic> next_topic();
  // The next partition of that topic; nullopt after its last.
  std::optional<ProducePartition> next_partition();
  // Back to before the first topic.
  void rewind();

 private:
  ProduceRequestView(ChainReader reader, int16_t version) : reader_(reader), topics_(reader), version_(version) {}
  Result<void> scan();
  bool flexible() const { return version_ >= kProduceFlexible; }
  ProduceTopic read_topic();
  ProducePartition read_partition();

  ChainReader reader_;
  ChainReader topics_;  // at the first topic
  int16_t version_;
  std::optional<std::string> transactional_id_;
  int16_t acks_ = 0;
  int32_t timeout_ms_ = 0;
  uint32_t topics_count_ = 0;
  uint32_t partitions_count_ = 0;
  uint32_t topics_left_ = 0;
  uint32_t partitions_left_ = 0;  // of the open topic
  bool topic_open_ = false;
  std::string scratch_;  // a name that straddles two buffers
};

struct RecordError {
  int32_t batch_index = 0;
  std::optional<std::string_view> message;
};

struct ProduceResult {
  PartitionIndex partition;
  ErrorCode error = ErrorCode::kNone;
  int64_t base_offset = -1;
  int64_t log_append_time_ms = -1;
  int64_t log_start_offset = -1;                  // v5+
  std::span<const RecordError> record_errors;     // v8+
  std::optional<std::string_view> error_message;  // v8+
  LeaderIdAndEpoch current_leader;                // v10+; the new leader, with kNotLeaderOrFollower
};

// Appends a response body, in order: begin, then each topic with its partitions, then end. What a version lacks is left
// out. Between calls the caller may take what is in out.
class ProduceResponseWriter {
 public:
  ProduceResponseWriter(std::vector<std::byte>& out, int16_t version);

  void begin(uint32_t topics_count);
  void topic(std::string_view name, const Uuid& id, uint32_t partitions_count);
  void partition(const ProduceResult& result);
  void end(int32_t throttle_time_ms, std::span<const NodeEndpoint> node_endpoints = {});

 private:
  void close_topic();
  Writer out_;
  int16_t version_;
  bool flexible_;
  bool topic_open_ = false;
};

}  // namespace penstock::protocol
