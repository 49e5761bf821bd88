#include "control/controller/ring_lives.h"

#include <algorithm>
#include <limits>
#include <string>

#include "control/controller/keys.h"
#include "control/controller/records.h"

namespace penstock::control {

Result<RingLives> read_ring_lives(MetadataStore& store, std::string_view prefix) {
  const Page page = TRY(read_prefix(store, prefix));
  RingLives lives;
  for (const Entry& entry : page.entries) {
    const uint64_t ring = TRY(parse_counter(std::string_view(entry.key).substr(entry.key.rfind('/') + 1)));
    if (ring > std::numeric_limits<uint16_t>::max()) return fail(Errc::kCorrupt);
    lives[static_cast<uint32_t>(ring)] = TRY(parse_ring_life(entry.value));
  }
  return lives;
}

Result<void> remember_ring_lives(MetadataStore& store, BrokerId node, const RingLives& lives) {
  for (auto life = lives.begin(); life != lives.end();) {
    Transaction some{.from_reserve = true};  // a start comes before anything can be freed
    for (; life != lives.end() && some.writes.size() < kTransactionWritesMax; ++life)
      some.writes.push_back({.key = keys::rings_of(node) + std::to_string(life->first), .value = encode(life->second)});
    TRY_VOID(store.commit(some));
  }
  return {};
}

}  // namespace penstock::control
