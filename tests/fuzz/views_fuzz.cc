// Any bytes as a Produce or Fetch request, cut into buffers: the view and the table codec read the same or refuse
// alike. And any bytes as a request header, in one piece and in many.
#include <cstdint>
#include <string>
#include <vector>

#include "base/assert.h"
#include "protocol/codec.h"
#include "protocol/gen/fetch.h"
#include "protocol/gen/produce.h"
#include "protocol/header.h"
#include "tests/fuzz/message_input.h"
#include "tests/protocol_chain.h"
#include "tests/protocol_views.h"

namespace {

using namespace penstock;
using namespace penstock::protocol;

constexpr size_t kUnbounded = size_t{1} << 40;  // the views allocate nothing that grows with the request

template <class Message, class Read>
void compare(const testing::MessageInput& input, const BufferChain& chain, Read&& read) {
  Message table;
  const auto expected = decode_request(input.body, input.version, table, kUnbounded);
  const auto view = read(chain, 0, input.body.size(), input.version);
  CHECK(view.has_value() == expected.has_value());
  if (!view) {
    CHECK(view.error() == expected.error());
  } else {
    CHECK(*view == table);
  }
}

void compare_headers(std::span<const std::byte> bytes, const BufferChain& chain) {
  const auto whole = decode_request_header(bytes);
  std::string scratch;
  const auto split = decode_request_header(chain, 0, chain.size(), scratch);
  CHECK(whole.has_value() == split.has_value());
  if (!whole) return;
  CHECK(whole->api_key == split->api_key && whole->api_version == split->api_version);
  CHECK(whole->client_id == split->client_id && whole->size == split->size);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const MessageInfo* const kInfos[] = {&ProduceRequest::kInfo, &FetchRequest::kInfo};
  if (size < testing::kInputPrefix + 1) return 0;
  const auto bytes = std::as_bytes(std::span(data, size));
  // The last byte decides the cuts.
  const testing::MessageInput input = testing::read_input(kInfos, bytes.first(size - 1));
  testing::HeapPool pool;
  Prng prng(data[size - 1]);
  const BufferChain chain = testing::chain_of(pool, input.body, prng, 1 + data[size - 1] % 40);
  if (input.info == kInfos[0]) {
    compare<ProduceRequest>(input, chain, testing::read_produce);
  } else {
    compare<FetchRequest>(input, chain, testing::read_fetch);
  }
  compare_headers(input.body, chain);
  return 0;
}
