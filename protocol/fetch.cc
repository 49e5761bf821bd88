#include "protocol/fetch.h"

#include "base/assert.h"

namespace penstock::protocol {

Result<FetchRequestView> FetchRequestView::parse(const BufferChain& chain, size_t at, size_t n, int16_t version) {
  const ChainReader reader(chain, at, n);
  FetchRequestView view(reader, version);
  TRY_VOID(view.scan(reader));
  return view;
}

Result<void> FetchRequestView::scan(ChainReader in) {
  read_first_fields(in);
  scan_list(in, topics_, [&] { read_partition(in); });
  if (version_ >= 7) {
    scan_list(in, forgotten_, [&] { in.fixed<int32_t>(); });
  }
  read_last_fields(in);
  TRY_VOID(in.result());
  rewind();
  return {};
}

void FetchRequestView::read_first_fields(ChainReader& in) {
  if (version_ <= 14) parameters_.replica_id = in.fixed<int32_t>();
  parameters_.max_wait_ms = in.fixed<int32_t>();
  parameters_.min_bytes = in.fixed<int32_t>();
  parameters_.max_bytes = in.fixed<int32_t>();
  parameters_.isolation_level = in.fixed<int8_t>();
  if (version_ >= 7) {
    parameters_.session_id = in.fixed<int32_t>();
    parameters_.session_epoch = in.fixed<int32_t>();
  }
}

template <class ReadPartition>
void FetchRequestView::scan_list(ChainReader& in, List& list, ReadPartition&& read_partition) {
  list.count = static_cast<uint32_t>(in.required(in.array_count(flexible())));
  list.start = in;
  for (uint32_t i = 0; i < list.count && in.ok(); ++i) {
    const uint32_t partitions = read_topic(in).partitions_count;
    list.partitions_count += partitions;
    for (uint32_t p = 0; p < partitions && in.ok(); ++p) read_partition();
    in.skip_tags(flexible());
  }
}

void FetchRequestView::read_last_fields(ChainReader& in) {
  if (version_ >= 11) parameters_.rack_id = in.text(in.required(in.string_length(flexible())), scratch_);
  if (!flexible()) return;
  in.tags([&](uint32_t tag, uint32_t size) {
    if (tag == 0) {
      const int64_t length = in.string_length(/*flexible=*/true);
      if (length != kNullLength) parameters_.cluster_id = in.text(in.required(length), scratch_);
    } else if (tag == 1 && version_ >= 15) {
      parameters_.replica_id = in.fixed<int32_t>();
      parameters_.replica_epoch = in.fixed<int64_t>();
      in.skip_tags(/*flexible=*/true);
    } else {
      in.skip(size);
    }
  });
}

FetchTopic FetchRequestView::read_topic(ChainReader& in) {
  FetchTopic topic;
  if (version_ >= kFetchTopicIds) {
    topic.id = in.uuid();
  } else {
    topic.name = in.text(in.required(in.string_length(flexible())), scratch_);
  }
  topic.partitions_count = static_cast<uint32_t>(in.required(in.array_count(flexible())));
  return topic;
}

FetchPartition FetchRequestView::read_partition(ChainReader& in) {
  FetchPartition partition;
  partition.index = PartitionIndex{in.fixed<int32_t>()};
  if (version_ >= 9) partition.current_leader_epoch = LeaderEpoch{in.fixed<int32_t>()};
  partition.fetch_offset = Offset{in.fixed<int64_t>()};
  if (version_ >= 12) partition.last_fetched_epoch = LeaderEpoch{in.fixed<int32_t>()};
  if (version_ >= 5) partition.log_start_offset = Offset{in.fixed<int64_t>()};
  partition.partition_max_bytes = in.fixed<int32_t>();
  if (!flexible()) return partition;
  in.tags([&](uint32_t tag, uint32_t size) {
    if (tag == 0 && version_ >= 17) {
      partition.replica_directory_id = in.uuid();
    } else if (tag == 1 && version_ >= 18) {
      partition.high_watermark = Offset{in.fixed<int64_t>()};
    } else {
      in.skip(size);
    }
  });
  return partition;
}

void FetchRequestView::rewind(List& list) {
  list.reader = list.start;
  list.topics_left = list.count;
  list.partitions_left = 0;
  list.topic_open = false;
}

void FetchRequestView::rewind() {
  rewind(topics_);
  rewind(forgotten_);
}

std::optional<FetchTopic> FetchRequestView::next_topic() {
  while (next_partition()) {
  }
  if (topics_.topic_open) topics_.reader.skip_tags(flexible());
  topics_.topic_open = topics_.topics_left > 0;
  if (!topics_.topic_open) return std::nullopt;
  --topics_.topics_left;
  const FetchTopic topic = read_topic(topics_.reader);
  topics_.partitions_left = topic.partitions_count;
  return topic;
}

std::optional<FetchPartition> FetchRequestView::next_partition() {
  if (topics_.partitions_left == 0) return std::nullopt;
  --topics_.partitions_left;
  return read_partition(topics_.reader);
}

std::optional<FetchTopic> FetchRequestView::next_forgotten_topic() {
  while (next_forgotten_partition()) {
  }
  if (forgotten_.topic_open) forgotten_.reader.skip_tags(flexible());
  forgotten_.topic_open = forgotten_.topics_left > 0;
  if (!forgotten_.topic_open) return std::nullopt;
  --forgotten_.topics_left;
  const FetchTopic topic = read_topic(forgotten_.reader);
  forgotten_.partitions_left = topic.partitions_count;
  return topic;
}

std::optional<PartitionIndex> FetchRequestView::next_forgotten_partition() {
  if (forgotten_.partitions_left == 0) return std::nullopt;
  --forgotten_.partitions_left;
  return PartitionIndex{forgotten_.reader.fixed<int32_t>()};
}

}  // namespace penstock::protocol
