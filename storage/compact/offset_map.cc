#include "storage/compact/offset_map.h"

#include <algorithm>

#include "base/prng.h"

namespace penstock::storage {

OffsetMap::OffsetMap(size_t bytes, double load, const SipKey& secret)
    : secret_(secret),
      count_(std::max<size_t>(bytes / sizeof(Slot), 2)),
      most_(std::clamp<size_t>(static_cast<size_t>(static_cast<double>(count_) * load), 1, count_ - 1)),
      memory_(count_ * sizeof(Slot)) {}

void OffsetMap::clear() {
  if (size_ == 0) return;
  size_ = 0;
  memory_.clear();
}

// The hash's own slot, or the empty one where it would go: there is always one.
OffsetMap::Slot& OffsetMap::slot_of(const KeyHash& hash) const {
  auto at = static_cast<size_t>((static_cast<Wide>(hash.low) * count_) >> 64);
  auto* const slots = reinterpret_cast<Slot*>(memory_.span().data());
  for (;; at = at + 1 == count_ ? 0 : at + 1) {
    Slot& slot = slots[at];
    if (slot.offset_and_one == 0 || slot.hash == hash) return slot;
  }
}

bool OffsetMap::put(std::span<const std::byte> key, Offset offset) {
  const KeyHash hash = hash_of(secret_, key);
  Slot& slot = slot_of(hash);
  if (slot.offset_and_one == 0) {
    if (size_ == most_) return false;
    size_ += 1;
    slot.hash = hash;
  }
  slot.offset_and_one = offset.value() + 1;
  return true;
}

std::optional<Offset> OffsetMap::find(std::span<const std::byte> key) const {
  const Slot& slot = slot_of(hash_of(secret_, key));
  if (slot.offset_and_one == 0) return std::nullopt;
  return Offset{slot.offset_and_one - 1};
}

}  // namespace penstock::storage
