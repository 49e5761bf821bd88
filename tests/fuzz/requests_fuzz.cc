// Any bytes as the body of any request, in any version: an error or a value, and a value round-trips.
#include "tests/fuzz/message_input.h"
#include "tests/fuzz/message_lists.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace penstock::protocol::testing;
  static const auto infos = request_messages();
  if (size < kInputPrefix) return 0;
  check_round_trip(read_input(infos, std::as_bytes(std::span(data, size))), {.allow_trailing = true});
  return 0;
}
