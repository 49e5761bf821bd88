// Reads Produce and Fetch through their views into the table codec's structs, and writes those structs through the
// response writers: what the tests and the fuzzer compare.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/buffer.h"
#include "base/result.h"
#include "protocol/gen/fetch.h"
#include "protocol/gen/produce.h"

namespace penstock::protocol::testing {

Result<ProduceRequest> read_produce(const BufferChain& chain, size_t at, size_t n, int16_t version);
Result<FetchRequest> read_fetch(const BufferChain& chain, size_t at, size_t n, int16_t version);

std::vector<std::byte> write_produce(const ProduceResponse& response, int16_t version);
// With every partition's records put into its hole.
std::vector<std::byte> write_fetch(const FetchResponse& response, int16_t version);

}  // namespace penstock::protocol::testing
