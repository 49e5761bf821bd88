// The writing half of fetch.h.
#include "base/assert.h"
#include "protocol/fetch.h"

namespace penstock::protocol {

FetchResponseWriter::FetchResponseWriter(std::vector<std::byte>& out, int16_t version)
    : out_(out), version_(version), flexible_(version >= kFetchFlexible) {}

void FetchResponseWriter::begin(int32_t throttle_time_ms, ErrorCode error, int32_t session_id, uint32_t topics_count) {
  out_.fixed(throttle_time_ms);
  if (version_ >= 7) {
    out_.fixed(static_cast<int16_t>(error));
    out_.fixed(session_id);
  }
  out_.array_count(topics_count, flexible_);
}

void FetchResponseWriter::topic(std::string_view name, const Uuid& id, uint32_t partitions_count) {
  close_topic();
  topic_open_ = true;
  if (version_ >= kFetchTopicIds) {
    out_.uuid(id);
  } else {
    out_.string(name, flexible_);
  }
  out_.array_count(partitions_count, flexible_);
}

void FetchResponseWriter::close_topic() {
  if (topic_open_) out_.no_tags(flexible_);
  topic_open_ = false;
}

size_t FetchResponseWriter::partition(const FetchResult& result, size_t records_bytes) {
  DCHECK(topic_open_);
  out_.fixed(result.partition.value());
  out_.fixed(static_cast<int16_t>(result.error));
  out_.fixed(result.high_watermark);
  out_.fixed(result.last_stable_offset);
  if (version_ >= 5) out_.fixed(result.log_start_offset);
  if (result.aborted_transactions) {
    out_.array_count(result.aborted_transactions->size(), flexible_);
    for (const AbortedTransaction& aborted : *result.aborted_transactions) {
      out_.fixed(aborted.producer_id.value());
      out_.fixed(aborted.first_offset.value());
      out_.no_tags(flexible_);
    }
  } else {
    out_.null_array(flexible_);
  }
  if (version_ >= 11) out_.fixed(result.preferred_read_replica);
  out_.bytes_length(records_bytes, flexible_);
  const size_t records_at = out_.position();
  if (flexible_) partition_tags(result);
  return records_at;
}

void FetchResponseWriter::partition_tags(const FetchResult& result) {
  const bool diverging = result.diverging_epoch != EpochAndOffset{};
  const bool leader = result.current_leader != LeaderIdAndEpoch{};
  const bool snapshot = result.snapshot_id != EpochAndOffset{};
  constexpr uint32_t kSize = 4 + 8 + 1;  // epoch, offset, no tags
  out_.uvarint(static_cast<uint32_t>(diverging) + static_cast<uint32_t>(leader) + static_cast<uint32_t>(snapshot));
  if (diverging) {
    out_.uvarint(0);
    out_.uvarint(kSize);
    out_.fixed(result.diverging_epoch.epoch);
    out_.fixed(result.diverging_epoch.end_offset);
    out_.no_tags(flexible_);
  }
  if (leader) write_leader_tag(out_, /*tag=*/1, result.current_leader);
  if (snapshot) {
    out_.uvarint(2);
    out_.uvarint(kSize);
    out_.fixed(result.snapshot_id.end_offset);
    out_.fixed(result.snapshot_id.epoch);
    out_.no_tags(flexible_);
  }
}

void FetchResponseWriter::end(std::span<const NodeEndpoint> node_endpoints) {
  close_topic();
  if (!flexible_) return;
  write_node_endpoints(out_, version_ >= kFetchLeaderHints ? node_endpoints : std::span<const NodeEndpoint>{});
}

}  // namespace penstock::protocol
