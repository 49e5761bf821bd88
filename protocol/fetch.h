// Fetch on the fast path: the request read where it lies in network buffers, and the response written straight into
// bytes with a hole for each partition's records, which go out from where they are. Equal to the table codec
// (gen/fetch.h) in every version; tests/protocol_fetch_test.cc and the fuzzer hold them together. Runs on the lcore.
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

inline constexpr int16_t kFetchFlexible = 12;
inline constexpr int16_t kFetchTopicIds = 13;     // topics by id from here on, by name before
inline constexpr int16_t kFetchLeaderHints = 16;  // KIP-951: the endpoints of leaders that the answer names

// The fields before and behind the topics.
struct FetchParameters {
  int32_t replica_id = -1;  // -1 for a consumer; from v15 it comes in the replica state
  int64_t replica_epoch = -1;
  int32_t max_wait_ms = 0;
  int32_t min_bytes = 0;
  int32_t max_bytes = INT32_MAX;
  int8_t isolation_level = 0;
  int32_t session_id = 0;
  int32_t session_epoch = -1;
  std::string rack_id;                    // v11+
  std::optional<std::string> cluster_id;  // v12+
};

struct FetchTopic {
  std::string_view name;  // below v13; good until the next call, and while the view is not moved
  Uuid id;                // v13+
  uint32_t partitions_count = 0;
};

struct FetchPartition {
  PartitionIndex index;
  LeaderEpoch current_leader_epoch = kNoLeaderEpoch;  // v9+
  Offset fetch_offset;
  LeaderEpoch last_fetched_epoch = kNoLeaderEpoch;  // v12+
  Offset log_start_offset{-1};                      // v5+, a follower's
  int32_t partition_max_bytes = 0;
  Uuid replica_directory_id;         // v17+
  Offset high_watermark{INT64_MAX};  // v18+, a follower's
};

class FetchRequestView {
 public:
  // Reads the body, n bytes of chain from place at on, from end to end; then topics and partitions come from the calls
  // below. The chain must outlive the view and stay as it is. Errors as decode_request().
  static Result<FetchRequestView> parse(const BufferChain& chain, size_t at, size_t n, int16_t version);

  const FetchParameters& parameters() const { return parameters_; }
  uint32_t topics_count() const { return topics_.count; }
  uint32_t partitions_count() const { return topics_.partitions_count; }
  uint32_t forgotten_topics_count() const { return forgotten_.count; }
  uint32_t forgotten_partitions_count() const { return forgotten_.partitions_count; }

  // The topics to fetch: the next one in order, and then its partitions; nullopt after the last.
  std::optional<FetchTopic> next_topic();
  std::optional<FetchPartition> next_partition();
  // The topics that leave the session (v7+), in the same way.
  std::optional<FetchTopic> next_forgotten_topic();
  std::optional<PartitionIndex> next_forgotten_partition();
  // Both back to before the first topic.
  void rewind();

 private:
  // A list of topics that is being read.
  struct List {
    explicit List(const ChainReader& at) : start(at), reader(at) {}
    ChainReader start;
    ChainReader reader;
    uint32_t count = 0;
    uint32_t partitions_count = 0;
    uint32_t topics_left = 0;
    uint32_t partitions_left = 0;  // of the open topic
    bool topic_open = false;
  };

  FetchRequestView(const ChainReader& reader, int16_t version)
      : topics_(reader), forgotten_(reader), version_(version) {}
  Result<void> scan(ChainReader in);
  void read_first_fields(ChainReader& in);
  void read_last_fields(ChainReader& in);
  template <class ReadPartition>
  void scan_list(ChainReader& in, List& list, ReadPartition&& read_partition);
  bool flexible() const { return version_ >= kFetchFlexible; }
  FetchTopic read_topic(ChainReader& in);
  FetchPartition read_partition(ChainReader& in);
  static void rewind(List& list);

  List topics_;
  List forgotten_;
  int16_t version_;
  FetchParameters parameters_;
  std::string scratch_;  // a name that straddles two buffers
};

struct AbortedTransaction {
  ProducerId producer_id;
  Offset first_offset;
};

struct EpochAndOffset {
  int32_t epoch = -1;
  int64_t end_offset = -1;
  friend bool operator==(const EpochAndOffset&, const EpochAndOffset&) = default;
};

struct FetchResult {
  PartitionIndex partition;
  ErrorCode error = ErrorCode::kNone;
  int64_t high_watermark = -1;
  int64_t last_stable_offset = -1;
  int64_t log_start_offset = -1;    // v5+
  EpochAndOffset diverging_epoch;   // v12+
  LeaderIdAndEpoch current_leader;  // v12+
  EpochAndOffset snapshot_id;       // v12+
  // Null for read_uncommitted, as Kafka answers it.
  std::optional<std::span<const AbortedTransaction>> aborted_transactions;
  int32_t preferred_read_replica = -1;  // v11+
};

// Appends a response body, in order: begin, then each topic with its partitions, then end. What a version lacks is left
// out. Records are never written and never null: between calls the caller may take what is in out.
class FetchResponseWriter {
 public:
  FetchResponseWriter(std::vector<std::byte>& out, int16_t version);

  void begin(int32_t throttle_time_ms, ErrorCode error, int32_t session_id, uint32_t topics_count);
  void topic(std::string_view name, const Uuid& id, uint32_t partitions_count);
  // Returns the place in out where records_bytes bytes of records belong.
  size_t partition(const FetchResult& result, size_t records_bytes);
  void end(std::span<const NodeEndpoint> node_endpoints = {});

 private:
  void close_topic();
  void partition_tags(const FetchResult& result);
  Writer out_;
  int16_t version_;
  bool flexible_;
  bool topic_open_ = false;
};

}  // namespace penstock::protocol
