#include "control/cli/load/fetch_answer.h"

#include <algorithm>

#include "protocol/gen/fetch.h"
#include "protocol/wire.h"

namespace penstock::cli {
namespace {

using protocol::Reader;

void skip_aborted_transactions(Reader& in, bool flexible) {
  const int64_t count = in.array_count(flexible);
  for (int64_t i = 0; i < count && in.ok(); ++i) {
    in.skip(16);  // producer_id, first_offset
    in.skip_tags(flexible);
  }
}

FetchedPartition read_partition(Reader& in, int16_t version, bool flexible) {
  FetchedPartition out;
  out.index = in.fixed<int32_t>();
  out.error = static_cast<ErrorCode>(in.fixed<int16_t>());
  out.high_watermark = in.fixed<int64_t>();
  in.skip(8);                    // last_stable_offset
  if (version >= 5) in.skip(8);  // log_start_offset
  skip_aborted_transactions(in, flexible);
  if (version >= 11) in.skip(4);  // preferred_read_replica
  out.records = in.bytes(static_cast<size_t>(std::max<int64_t>(in.bytes_length(flexible), 0)));
  in.skip_tags(flexible);
  return out;
}

}  // namespace

Result<FetchAnswer> read_fetch_answer(std::span<const std::byte> body, int16_t version) {
  const bool flexible = version >= protocol::FetchResponse::kFlexible;
  Reader in(body);
  FetchAnswer out;
  in.skip(4);  // throttle_time_ms
  if (version >= 7) {
    out.error = static_cast<ErrorCode>(in.fixed<int16_t>());
    in.skip(4);  // session_id
  }
  const int64_t topics = in.array_count(flexible);
  for (int64_t i = 0; i < topics && in.ok(); ++i) {
    if (version >= 13) {
      in.skip(sizeof(Uuid));
    } else {
      in.string(flexible);
    }
    const int64_t partitions = in.array_count(flexible);
    for (int64_t j = 0; j < partitions && in.ok(); ++j) {
      out.partitions.push_back(read_partition(in, version, flexible));
    }
    in.skip_tags(flexible);
  }
  in.skip_tags(flexible);
  TRY_VOID(in.result());
  return out;
}

}  // namespace penstock::cli
