// Any records as a partition of __consumer_offsets has them: decoded, encoded again to the same record, replayed into a
// coordinator, which must then say the same of its groups as one that was made of what it would write.
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "base/assert.h"
#include "control/groups/coordinator.h"

namespace {

using namespace penstock;
using namespace penstock::control::groups;

std::span<const std::byte> take(std::span<const std::byte>& input, size_t n) {
  const auto taken = input.first(std::min(n, input.size()));
  input = input.subspan(taken.size());
  return taken;
}

void check_round_trip(const GroupRecord& record) {
  const auto encoded = encode(record);
  if (!encoded) return;  // a text of an older version is too long for the one that is written
  const auto value = encoded->value ? std::optional<std::span<const std::byte>>(*encoded->value) : std::nullopt;
  const auto again = decode_record(encoded->key, value);
  CHECK(again.has_value());
  CHECK(again->key == record.key && again->value.has_value() == record.value.has_value());
}

}  // namespace

// Records one behind the other: a byte for the key's length, one for the value's in eights, 255: none.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::span<const std::byte> input = std::as_bytes(std::span(data, size));
  const GroupSettings settings;
  Prng prng(1);
  GroupMemory memory;
  {
    Coordinator coordinator(settings, prng, memory);
    while (input.size() > 2) {
      const auto lengths = take(input, 2);
      const auto key = take(input, std::to_integer<size_t>(lengths[0]));
      std::optional<std::span<const std::byte>> value;
      if (lengths[1] != std::byte{255}) value = take(input, 8 * std::to_integer<size_t>(lengths[1]));
      const auto record = decode_record(key, value);
      if (!record) continue;
      check_round_trip(*record);
      coordinator.replay(*record);
    }
    Effects effects;
    Now now{.monotonic = kSecond, .wall_ms = 1};
    coordinator.loaded(now, effects);
    for (const auto& group : coordinator.list()) {  // is of one kind
      const bool classic = coordinator.describe(group.group_id).has_value();
      CHECK(classic != coordinator.describe_consumer(group.group_id, now).has_value());
    }
    for (int i = 0; i < 4; ++i) {  // until nobody is left and everything is old
      now.monotonic += 1'000'000 * kSecond;
      now.wall_ms += 1'000'000'000;
      coordinator.expire(now, effects);
    }
  }
  CHECK(memory.bytes == 0 && memory.groups == 0 && memory.members == 0);
  return 0;
}
