// What the protocol layer costs on the lcore: request header, Produce and Fetch views, the record walk, response
// writers; and the table codec beside them, which the slow path uses.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "base/assert.h"
#include "base/buffer.h"
#include "protocol/codec.h"
#include "protocol/fetch.h"
#include "protocol/gen/fetch.h"
#include "protocol/gen/metadata.h"
#include "protocol/gen/produce.h"
#include "protocol/header.h"
#include "protocol/produce.h"
#include "protocol/record_batch.h"

namespace penstock::protocol {
namespace {

using Bytes = std::vector<std::byte>;

constexpr int16_t kProduceVersion = 9;
constexpr int16_t kFetchVersion = 12;
constexpr size_t kPiece = 4096;  // of a receive buffer

class HeapPool final : public BufferPool {
 public:
  void release(std::span<std::byte> memory) override { delete[] memory.data(); }
};

BufferChain in_pieces(HeapPool& pool, std::span<const std::byte> bytes) {
  BufferChain chain;
  while (!bytes.empty()) {
    const size_t n = std::min(bytes.size(), kPiece);
    auto* memory = new std::byte[n];
    std::ranges::copy(bytes.first(n), memory);
    chain.append(Buffer(pool, {memory, n}, n));
    bytes = bytes.subspan(n);
  }
  return chain;
}

Bytes batch_of(int64_t records, size_t value_bytes) {
  BatchBuilder builder;
  const Bytes value(value_bytes, std::byte{'v'});
  for (int64_t i = 0; i < records; ++i) builder.add(1'700'000'000'000 + i, as_bytes("key-0001"), value);
  return builder.finish();
}

void decode_header(benchmark::State& state) {
  Bytes bytes;
  const RequestHeader header{.api_key = 0, .api_version = kProduceVersion, .client_id = "rdkafka"};
  encode_request_header(*find_api(0), header, bytes);
  for (auto _ : state) benchmark::DoNotOptimize(decode_request_header(bytes));
}
BENCHMARK(decode_header);

// Per record; the argument is the bytes of its value.
void walk_one_record(benchmark::State& state) {
  constexpr int64_t kRecords = 1000;
  const Bytes batch = batch_of(kRecords, static_cast<size_t>(state.range(0)));
  const std::span<const std::byte> records = std::span(batch).subspan(kBatchHeaderBytes);
  for (auto _ : state) {
    const RecordsSummary summary = walk_records(std::span(&records, 1), kRecords);
    CHECK(summary.error == ErrorCode::kNone);
  }
  state.SetItemsProcessed(state.iterations() * kRecords);
}
BENCHMARK(walk_one_record)->Arg(0)->Arg(100)->Arg(1000);

// One partition of 16 KiB in four buffers: parse, and reach the batch.
void produce_view(benchmark::State& state) {
  ProduceRequest request;
  request.topic_data.push_back({.name = "orders"});
  request.topic_data[0].partition_data.push_back({.records = batch_of(100, 150)});
  Bytes body;
  CHECK(encode(request, kProduceVersion, body).has_value());
  HeapPool pool;
  const BufferChain chain = in_pieces(pool, body);
  for (auto _ : state) {
    auto view = ProduceRequestView::parse(chain, 0, body.size(), kProduceVersion);
    view->next_topic();
    benchmark::DoNotOptimize(view->next_partition());
  }
}
BENCHMARK(produce_view);

void produce_response(benchmark::State& state) {
  Bytes out;
  for (auto _ : state) {
    out.clear();
    ProduceResponseWriter writer(out, kProduceVersion);
    writer.begin(1);
    writer.topic("orders", {}, 1);
    writer.partition({.base_offset = 42, .log_start_offset = 0});
    writer.end(0);
    benchmark::DoNotOptimize(out.data());
  }
}
BENCHMARK(produce_response);

// Per partition, read and answered; the argument is how many a request has.
void fetch_and_answer(benchmark::State& state) {
  FetchRequest request;
  request.topics.push_back({.topic = "orders"});
  request.topics[0].partitions.resize(static_cast<size_t>(state.range(0)));
  Bytes body;
  CHECK(encode(request, kFetchVersion, body).has_value());
  HeapPool pool;
  const BufferChain chain = in_pieces(pool, body);
  Bytes out;
  for (auto _ : state) {
    out.clear();
    auto view = FetchRequestView::parse(chain, 0, body.size(), kFetchVersion);
    FetchResponseWriter writer(out, kFetchVersion);
    writer.begin(0, ErrorCode::kNone, 0, view->topics_count());
    while (const auto topic = view->next_topic()) {
      writer.topic(topic->name, topic->id, topic->partitions_count);
      while (const auto partition = view->next_partition()) writer.partition({.partition = partition->index}, 1000);
    }
    writer.end();
    benchmark::DoNotOptimize(out.data());
  }
  state.SetItemsProcessed(state.iterations() * state.range(0));
}
BENCHMARK(fetch_and_answer)->Arg(1)->Arg(100);

// Per partition, through the tables; the argument is how many.
void table_metadata(benchmark::State& state) {
  MetadataResponse response;
  response.brokers.push_back({.node_id = 1, .host = "broker-1.example", .port = 9092});
  response.topics.push_back({.name = "orders"});
  response.topics[0].partitions.resize(static_cast<size_t>(state.range(0)));
  for (auto& partition : response.topics[0].partitions) partition.replica_nodes = partition.isr_nodes = {1, 2, 3};
  Bytes out;
  MetadataResponse back;
  for (auto _ : state) {
    out.clear();
    CHECK(encode(response, MetadataResponse::kMaxVersion, out).has_value());
    CHECK(decode(out, MetadataResponse::kMaxVersion, back).has_value());
  }
  state.SetItemsProcessed(state.iterations() * state.range(0));
}
BENCHMARK(table_metadata)->Arg(1)->Arg(100);

}  // namespace
}  // namespace penstock::protocol
