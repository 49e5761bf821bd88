// Requests and answers of our own making, for tests that speak to a broker byte by byte.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "base/bytes.h"
#include "protocol/codec.h"
#include "protocol/header.h"
#include "protocol/record_batch.h"

namespace penstock::testing {

using Bytes = std::vector<std::byte>;

// A whole frame, length included.
template <class Message>
Bytes frame_of(const Message& message, int16_t version, int32_t correlation) {
  Bytes out(4);
  const auto& api = *protocol::find_api(Message::kApiKey);
  protocol::encode_request_header(api,
                                  {.api_key = Message::kApiKey,
                                   .api_version = version,
                                   .correlation_id = CorrelationId{correlation},
                                   .client_id = "test"},
                                  out);
  const auto encoded = protocol::encode(message, version, out);
  CHECK(encoded.has_value());
  store_be(out.data(), static_cast<int32_t>(out.size() - 4));
  return out;
}

template <class Message>
struct Decoded {
  int32_t correlation = -1;
  Message message;
};

// An answer without its length.
template <class Message>
std::optional<Decoded<Message>> decode_answer(std::span<const std::byte> frame, int16_t version) {
  const auto header = protocol::decode_response_header(*protocol::find_api(Message::kApiKey), version, frame);
  if (!header) return std::nullopt;
  Decoded<Message> decoded{.correlation = header->correlation_id.value(), .message = {}};
  if (!protocol::decode(frame.subspan(header->size), version, decoded.message)) return std::nullopt;
  return decoded;
}

// A batch of records "prefix0", "prefix1", ... without keys.
inline Bytes batch_of(int records, std::string_view prefix, size_t padding = 0,
                      const protocol::BatchBuilder::Options& options = {}) {
  protocol::BatchBuilder builder(options);
  for (int i = 0; i < records; ++i) {
    const std::string value = std::string(prefix) + std::to_string(i) + std::string(padding, '.');
    builder.add(1'700'000'000'000 + i, std::nullopt, as_bytes(value));
  }
  return builder.finish();
}

// The values of all records in a run of batches, with their offsets. The run's end may cut the last batch, as an
// answer's may.
inline std::vector<std::pair<int64_t, std::string>> records_of(std::span<const std::byte> run) {
  std::vector<std::pair<int64_t, std::string>> found;
  while (!run.empty()) {
    const auto batch = protocol::first_batch(run);
    if (!batch && batch.error().code == Errc::kTruncated) break;
    CHECK(batch.has_value());
    CHECK(protocol::batch_crc_ok(*batch));
    const auto view = protocol::view_of(*batch);
    protocol::RecordReader reader(batch->subspan(protocol::kBatchHeaderBytes));
    while (!reader.at_end()) {
      const auto record = reader.next();
      CHECK(record.has_value());
      found.emplace_back((view.base_offset() + record->offset_delta).value(), as_text(*record->value));
    }
    run = run.subspan(batch->size());
  }
  return found;
}

}  // namespace penstock::testing
