// ProduceFrame: one partition's Produce request, encoded once and then only patched: the correlation id and the batch
// header change, the bytes around them do not. The codec lays it out, so no version's layout is known here.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "control/cli/link.h"
#include "control/cli/load/batch_source.h"
#include "protocol/types.h"

namespace penstock::cli {

struct ProduceTarget {
  int16_t version = 0;
  int16_t acks = -1;
  int32_t timeout_ms = 30'000;
  std::string topic;
  Uuid topic_id;
  int32_t partition = 0;
};

class ProduceFrame {
 public:
  // source outlives the frame and what was queued from it.
  ProduceFrame(const ProduceTarget& target, const BatchSource& source);

  void queue_on(Link& link, CorrelationId correlation_id, const BatchSource::Stamp& stamp) const;

 private:
  const BatchSource* source_;
  std::vector<std::byte> head_;  // up to the batch, with its header
  std::vector<std::byte> tail_;  // behind the batch
};

}  // namespace penstock::cli
