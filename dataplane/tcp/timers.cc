#include "dataplane/tcp/timers.h"

#include <algorithm>
#include <bit>

#include "base/assert.h"

namespace penstock::dataplane::tcp {
namespace {

// The tick in which a deadline has passed: rounded up, so that nothing fires before its time.
uint64_t tick_of(Nanos at) { return (static_cast<uint64_t>(std::max<Nanos>(at, 0)) + Wheel::kTick - 1) / Wheel::kTick; }

}  // namespace

Wheel::Wheel(size_t nodes) : nodes_(nodes) { heads_.fill(kNone); }

void Wheel::arm(uint32_t node, Nanos at) {
  DCHECK(at != kNever);
  const uint64_t tick = std::max(tick_of(at), tick_);
  if (armed(node)) {
    if (nodes_[node].tick <= tick) return;
    unlink(node);
  }
  nodes_[node].tick = tick;
  link(node);
}

void Wheel::disarm(uint32_t node) {
  if (armed(node)) unlink(node);
}

Nanos Wheel::fires_at(uint32_t node) const {
  return armed(node) ? static_cast<Nanos>(nodes_[node].tick) * kTick : kNever;
}

// A node lies on the lowest level whose slots reach its tick from here; on the last level what is beyond lies in the
// slot furthest away.
void Wheel::link(uint32_t node) {
  const uint64_t tick = nodes_[node].tick;
  int level = 0;
  while (level < kLevels - 1 && (tick >> (kSlotBits * level)) - (tick_ >> (kSlotBits * level)) >= kSlots) ++level;
  uint64_t place = tick >> (kSlotBits * level);
  place = std::min(place, (tick_ >> (kSlotBits * level)) + kSlots - 1);
  const uint32_t slot = static_cast<uint32_t>(level) * kSlots + static_cast<uint32_t>(place % kSlots);
  nodes_[node].slot = slot;
  nodes_[node].previous = kNone;
  nodes_[node].next = heads_[slot];
  if (heads_[slot] != kNone) nodes_[heads_[slot]].previous = node;
  heads_[slot] = node;
  used_[static_cast<size_t>(level)] |= uint64_t{1} << (place % kSlots);
}

void Wheel::unlink(uint32_t node) {
  Node& n = nodes_[node];
  if (n.previous != kNone) {
    nodes_[n.previous].next = n.next;
  } else {
    heads_[n.slot] = n.next;
    if (n.next == kNone) used_[n.slot / kSlots] &= ~(uint64_t{1} << (n.slot % kSlots));
  }
  if (n.next != kNone) nodes_[n.next].previous = n.previous;
  n.slot = kNone;
}

// The current slot of a level has come: its nodes go to where they now belong.
void Wheel::cascade(int level) {
  const uint32_t slot =
      static_cast<uint32_t>(level) * kSlots + static_cast<uint32_t>((tick_ >> (kSlotBits * level)) % kSlots);
  uint32_t node = heads_[slot];
  heads_[slot] = kNone;
  used_[static_cast<size_t>(level)] &= ~(uint64_t{1} << (slot % kSlots));
  while (node != kNone) {
    const uint32_t next = nodes_[node].next;
    nodes_[node].slot = kNone;
    link(node);
    node = next;
  }
}

std::optional<uint32_t> Wheel::expire(Nanos now) {
  const uint64_t until = static_cast<uint64_t>(now) / kTick;
  while (tick_ <= until) {
    // All in a slot of the lowest level have its tick.
    if (const uint32_t node = heads_[tick_ % kSlots]; node != kNone) {
      unlink(node);
      return node;
    }
    if (tick_ == until) break;
    // Nothing in use begins between here and there, so that no slot is passed over.
    tick_ = std::min(next_tick(), until);
    for (int level = 1; level < kLevels && tick_ % (uint64_t{1} << (kSlotBits * level)) == 0; ++level) cascade(level);
  }
  return std::nullopt;
}

uint64_t Wheel::next_tick() const {
  uint64_t earliest = ~uint64_t{0};
  for (int level = 0; level < kLevels; ++level) {
    const uint64_t used = used_[static_cast<size_t>(level)];
    if (used == 0) continue;
    const uint64_t here = tick_ >> (kSlotBits * level);
    const int ahead = std::countr_zero(std::rotr(used, static_cast<int>(here % kSlots)));
    earliest = std::min(earliest, std::max((here + static_cast<uint64_t>(ahead)) << (kSlotBits * level), tick_));
  }
  return earliest;
}

Nanos Wheel::next() const {
  const uint64_t tick = next_tick();
  return tick == ~uint64_t{0} ? kNever : static_cast<Nanos>(tick) * kTick;
}

}  // namespace penstock::dataplane::tcp
