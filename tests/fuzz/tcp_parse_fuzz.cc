// The TCP header parser on any bytes, in memory of exactly their size; what it accepts survives being written and read.
#include <cstdlib>
#include <cstring>
#include <memory>

#include "base/assert.h"
#include "dataplane/tcp/header.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace penstock::dataplane::tcp;
  const auto exact = std::make_unique<std::byte[]>(size);
  if (size > 0) std::memcpy(exact.get(), data, size);
  const auto segment = parse({exact.get(), size});
  if (!segment) return 0;
  CHECK(segment->header_bytes + segment->payload_bytes == size);
  CHECK(segment->sack_count <= kSackBlocksMax);
  TcpSegment again = *segment;
  // Not every mixture of options that a peer may send has room in a header of ours.
  if (again.timestamps && again.sack_count > 0) again.sack_count = 0;
  if (again.mss != 0 || again.window_scale || again.sack_permitted) again.sack_count = 0;
  std::array<std::byte, kHeaderBytesMax> bytes;
  const size_t n = write_header(again, bytes);
  const auto read = parse(std::span(bytes).first(n));
  CHECK(read && read->seq == segment->seq && read->ack == segment->ack && read->flags == segment->flags);
  CHECK(read->mss == segment->mss && read->window_scale == segment->window_scale);
  CHECK(read->timestamps == segment->timestamps && read->sack_count == again.sack_count);
  return 0;
}
