// OffsetMap: the last offset of each key of a stretch of a log, in memory of a fixed size: 24 bytes a key. A full one
// refuses new keys; then a cleaning covers what it holds, and the next one goes on from there. Owned by one thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "base/mapped_memory.h"
#include "protocol/types.h"
#include "storage/compact/key_hash.h"

namespace penstock::storage {

class OffsetMap {
 public:
  // Look at has_memory() before use. Memory that nobody has touched costs nothing. load: the part of it that may be
  // taken, so that lookups stay short.
  OffsetMap(size_t bytes, double load, const SipKey& secret);
  bool has_memory() const { return !memory_.empty(); }

  // The key's last offset is this one; offsets rise. False: the key is new and there is no room for it.
  [[nodiscard]] bool put(std::span<const std::byte> key, Offset offset);
  std::optional<Offset> find(std::span<const std::byte> key) const;
  void clear();

  size_t size() const { return size_; }
  size_t capacity() const { return most_; }

 private:
  struct Slot {
    KeyHash hash;
    int64_t offset_and_one;  // 0: empty
  };
  static_assert(sizeof(Slot) == 24);
  Slot& slot_of(const KeyHash& hash) const;

  const SipKey secret_;
  const size_t count_;
  const size_t most_;
  MappedMemory memory_;
  size_t size_ = 0;
};

}  // namespace penstock::storage
