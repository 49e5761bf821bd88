#include "tests/protocol_views.h"

#include <string>

#include "protocol/fetch.h"
#include "protocol/produce.h"

namespace penstock::protocol::testing {
namespace {

std::vector<NodeEndpoint> endpoints_of(const auto& nodes) {
  std::vector<NodeEndpoint> endpoints;
  for (const auto& node : nodes) endpoints.push_back({node.node_id, node.host, node.port, node.rack});
  return endpoints;
}

}  // namespace

Result<ProduceRequest> read_produce(const BufferChain& chain, size_t at, size_t n, int16_t version) {
  ProduceRequestView view = TRY(ProduceRequestView::parse(chain, at, n, version));
  ProduceRequest request;
  request.transactional_id = view.transactional_id();
  request.acks = view.acks();
  request.timeout_ms = view.timeout_ms();
  uint32_t partitions = 0;
  while (const auto topic = view.next_topic()) {
    auto& out = request.topic_data.emplace_back();
    out.name = topic->name;
    out.topic_id = topic->id;
    while (const auto partition = view.next_partition()) {
      auto& data = out.partition_data.emplace_back();
      data.index = partition->index.value();
      if (partition->null_records) {
        data.records.reset();
      } else {
        data.records->resize(partition->records_bytes);
        chain.copy_out(partition->records_at, *data.records);
      }
    }
    CHECK(out.partition_data.size() == topic->partitions_count);
    partitions += topic->partitions_count;
  }
  CHECK(request.topic_data.size() == view.topics_count() && partitions == view.partitions_count());
  return request;
}

Result<FetchRequest> read_fetch(const BufferChain& chain, size_t at, size_t n, int16_t version) {
  FetchRequestView view = TRY(FetchRequestView::parse(chain, at, n, version));
  const FetchParameters& parameters = view.parameters();
  FetchRequest request;
  request.cluster_id = parameters.cluster_id;
  (version <= 14 ? request.replica_id : request.replica_state.replica_id) = parameters.replica_id;
  request.replica_state.replica_epoch = parameters.replica_epoch;
  request.max_wait_ms = parameters.max_wait_ms;
  request.min_bytes = parameters.min_bytes;
  request.max_bytes = parameters.max_bytes;
  request.isolation_level = parameters.isolation_level;
  request.session_id = parameters.session_id;
  request.session_epoch = parameters.session_epoch;
  request.rack_id = parameters.rack_id;
  while (const auto topic = view.next_topic()) {
    auto& out = request.topics.emplace_back();
    out.topic = topic->name;
    out.topic_id = topic->id;
    while (const auto p = view.next_partition()) {
      out.partitions.push_back({p->index.value(), p->current_leader_epoch.value(), p->fetch_offset.value(),
                                p->last_fetched_epoch.value(), p->log_start_offset.value(), p->partition_max_bytes,
                                p->replica_directory_id, p->high_watermark.value()});
    }
  }
  while (const auto topic = view.next_forgotten_topic()) {
    auto& out = request.forgotten_topics_data.emplace_back();
    out.topic = topic->name;
    out.topic_id = topic->id;
    while (const auto index = view.next_forgotten_partition()) out.partitions.push_back(index->value());
  }
  return request;
}

std::vector<std::byte> write_produce(const ProduceResponse& response, int16_t version) {
  std::vector<std::byte> out;
  ProduceResponseWriter writer(out, version);
  writer.begin(static_cast<uint32_t>(response.responses.size()));
  for (const auto& topic : response.responses) {
    writer.topic(topic.name, topic.topic_id, static_cast<uint32_t>(topic.partition_responses.size()));
    for (const auto& p : topic.partition_responses) {
      std::vector<RecordError> errors;
      for (const auto& e : p.record_errors) errors.push_back({e.batch_index, e.batch_index_error_message});
      writer.partition({.partition = PartitionIndex{p.index},
                        .error = p.error_code,
                        .base_offset = p.base_offset,
                        .log_append_time_ms = p.log_append_time_ms,
                        .log_start_offset = p.log_start_offset,
                        .record_errors = errors,
                        .error_message = p.error_message,
                        .current_leader = {p.current_leader.leader_id, p.current_leader.leader_epoch}});
    }
  }
  writer.end(response.throttle_time_ms, endpoints_of(response.node_endpoints));
  return out;
}

std::vector<std::byte> write_fetch(const FetchResponse& response, int16_t version) {
  std::vector<std::byte> done;
  std::vector<std::byte> out;
  FetchResponseWriter writer(out, version);
  writer.begin(response.throttle_time_ms, response.error_code, response.session_id,
               static_cast<uint32_t>(response.responses.size()));
  for (const auto& topic : response.responses) {
    writer.topic(topic.topic, topic.topic_id, static_cast<uint32_t>(topic.partitions.size()));
    for (const auto& p : topic.partitions) {
      FetchResult result{.partition = PartitionIndex{p.partition_index},
                         .error = p.error_code,
                         .high_watermark = p.high_watermark,
                         .last_stable_offset = p.last_stable_offset,
                         .log_start_offset = p.log_start_offset,
                         .diverging_epoch = {p.diverging_epoch.epoch, p.diverging_epoch.end_offset},
                         .current_leader = {p.current_leader.leader_id, p.current_leader.leader_epoch},
                         .snapshot_id = {p.snapshot_id.epoch, p.snapshot_id.end_offset},
                         .aborted_transactions = std::nullopt,
                         .preferred_read_replica = p.preferred_read_replica};
      std::vector<AbortedTransaction> aborted;
      if (p.aborted_transactions) {
        for (const auto& a : *p.aborted_transactions) {
          aborted.push_back({ProducerId{a.producer_id}, Offset{a.first_offset}});
        }
        result.aborted_transactions = aborted;
      }
      const size_t hole = writer.partition(result, p.records->size());
      // As a connection would: what is there goes out, then the records, then the rest.
      done.insert(done.end(), out.begin(), out.begin() + static_cast<ptrdiff_t>(hole));
      done.insert(done.end(), p.records->begin(), p.records->end());
      out.erase(out.begin(), out.begin() + static_cast<ptrdiff_t>(hole));
    }
  }
  writer.end(endpoints_of(response.node_endpoints));
  done.insert(done.end(), out.begin(), out.end());
  return done;
}

}  // namespace penstock::protocol::testing
