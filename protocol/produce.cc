#include "protocol/produce.h"

#include "base/assert.h"

namespace penstock::protocol {

Result<ProduceRequestView> ProduceRequestView::parse(const BufferChain& chain, size_t at, size_t n, int16_t version) {
  ProduceRequestView view(ChainReader(chain, at, n), version);
  TRY_VOID(view.scan());
  return view;
}

Result<void> ProduceRequestView::scan() {
  ChainReader& in = reader_;
  const int64_t id_length = in.string_length(flexible());
  if (id_length != kNullLength) transactional_id_ = in.text(in.required(id_length), scratch_);
  acks_ = in.fixed<int16_t>();
  timeout_ms_ = in.fixed<int32_t>();
  topics_count_ = static_cast<uint32_t>(in.required(in.array_count(flexible())));
  topics_ = in;
  topics_left_ = topics_count_;
  while (topics_left_ > 0 && in.ok()) {
    partitions_count_ += read_topic().partitions_count;
    while (partitions_left_ > 0 && in.ok()) read_partition();
    in.skip_tags(flexible());
  }
  in.skip_tags(flexible());
  TRY_VOID(in.result());
  rewind();
  return {};
}

void ProduceRequestView::rewind() {
  reader_ = topics_;
  topics_left_ = topics_count_;
  partitions_left_ = 0;
  topic_open_ = false;
}

ProduceTopic ProduceRequestView::read_topic() {
  --topics_left_;
  ProduceTopic topic;
  if (version_ >= kProduceTopicIds) {
    topic.id = reader_.uuid();
  } else {
    topic.name = reader_.text(reader_.required(reader_.string_length(flexible())), scratch_);
  }
  topic.partitions_count = static_cast<uint32_t>(reader_.required(reader_.array_count(flexible())));
  partitions_left_ = topic.partitions_count;
  return topic;
}

ProducePartition ProduceRequestView::read_partition() {
  --partitions_left_;
  ProducePartition partition;
  partition.index = PartitionIndex{reader_.fixed<int32_t>()};
  const int64_t length = reader_.bytes_length(flexible());
  partition.null_records = length == kNullLength;
  partition.records_bytes = partition.null_records ? 0 : static_cast<size_t>(length);
  partition.records_at = reader_.chain_position();
  reader_.skip(partition.records_bytes);
  reader_.skip_tags(flexible());
  return partition;
}

std::optional<ProduceTopic> ProduceRequestView::next_topic() {
  while (next_partition()) {
  }
  if (topic_open_) reader_.skip_tags(flexible());
  topic_open_ = topics_left_ > 0;
  if (!topic_open_) return std::nullopt;
  return read_topic();
}

std::optional<ProducePartition> ProduceRequestView::next_partition() {
  if (partitions_left_ == 0) return std::nullopt;
  return read_partition();
}

ProduceResponseWriter::ProduceResponseWriter(std::vector<std::byte>& out, int16_t version)
    : out_(out), version_(version), flexible_(version >= kProduceFlexible) {}

void ProduceResponseWriter::begin(uint32_t topics_count) { out_.array_count(topics_count, flexible_); }

void ProduceResponseWriter::topic(std::string_view name, const Uuid& id, uint32_t partitions_count) {
  close_topic();
  topic_open_ = true;
  if (version_ >= kProduceTopicIds) {
    out_.uuid(id);
  } else {
    out_.string(name, flexible_);
  }
  out_.array_count(partitions_count, flexible_);
}

void ProduceResponseWriter::close_topic() {
  if (topic_open_) out_.no_tags(flexible_);
  topic_open_ = false;
}

void ProduceResponseWriter::partition(const ProduceResult& result) {
  DCHECK(topic_open_);
  out_.fixed(result.partition.value());
  out_.fixed(static_cast<int16_t>(result.error));
  out_.fixed(result.base_offset);
  out_.fixed(result.log_append_time_ms);
  if (version_ >= 5) out_.fixed(result.log_start_offset);
  if (version_ >= 8) {
    out_.array_count(result.record_errors.size(), flexible_);
    for (const RecordError& error : result.record_errors) {
      out_.fixed(error.batch_index);
      out_.nullable_string(error.message, flexible_);
      out_.no_tags(flexible_);
    }
    out_.nullable_string(result.error_message, flexible_);
  }
  if (!flexible_) return;
  if (version_ >= 10 && result.current_leader != LeaderIdAndEpoch{}) {
    out_.uvarint(1);
    write_leader_tag(out_, /*tag=*/0, result.current_leader);
  } else {
    out_.uvarint(0);
  }
}

void ProduceResponseWriter::end(int32_t throttle_time_ms, std::span<const NodeEndpoint> node_endpoints) {
  close_topic();
  out_.fixed(throttle_time_ms);
  if (!flexible_) return;
  write_node_endpoints(out_, version_ >= 10 ? node_endpoints : std::span<const NodeEndpoint>{});
}

}  // namespace penstock::protocol
