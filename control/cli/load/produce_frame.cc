#include "control/cli/load/produce_frame.h"

#include <algorithm>
#include <utility>

#include "base/assert.h"
#include "base/bytes.h"
#include "control/cli/client.h"
#include "control/cli/error.h"
#include "protocol/gen/produce.h"

namespace penstock::cli {
namespace {

// i32 size, i16 key, i16 version, then the correlation id, in every request header.
constexpr size_t kCorrelationIdAt = 8;

}  // namespace

ProduceFrame::ProduceFrame(const ProduceTarget& target, const BatchSource& source) : source_(&source) {
  protocol::ProduceRequest request;
  request.acks = target.acks;
  request.timeout_ms = target.timeout_ms;
  auto& topic = request.topic_data.emplace_back();
  topic.name = target.topic;
  topic.topic_id = target.topic_id;
  auto& partition = topic.partition_data.emplace_back();
  partition.index = target.partition;
  partition.records.emplace(source.whole().begin(), source.whole().end());

  auto frame = request_head(protocol::ProduceRequest::kApiKey, target.version, CorrelationId{0});
  if (const auto encoded = protocol::encode(request, target.version, frame); !encoded) {
    throw CliError(kExitFailed, "the Produce request cannot be encoded; is the batch too large?");
  }
  // The batch is the only thing in there with its checksum, so the first match is it.
  const auto batch = std::ranges::search(frame, source.whole());
  CHECK(!batch.empty());
  head_.assign(frame.begin(), batch.begin() + protocol::kBatchHeaderBytes);
  tail_.assign(batch.end(), frame.end());
}

void ProduceFrame::queue_on(Link& link, CorrelationId correlation_id, const BatchSource::Stamp& stamp) const {
  std::vector<std::byte> head = head_;
  store_be(head.data() + kCorrelationIdAt, correlation_id.value());
  const std::span header(head.end() - protocol::kBatchHeaderBytes, head.end());
  source_->write_header(header.first<protocol::kBatchHeaderBytes>(), stamp);
  link.queue(std::move(head), source_->body(), tail_);
}

}  // namespace penstock::cli
