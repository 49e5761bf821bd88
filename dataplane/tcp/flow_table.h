// FlowTable: 4-tuple to the index of what stands for it. Fixed size, open addressing with 16-bit tags, so that a miss
// touches one cache line; the hash is keyed (flow.h), so that a peer cannot choose collisions. Holds no 4-tuple of its
// own: the caller compares.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "base/assert.h"

namespace penstock::dataplane::tcp {

class FlowTable {
 public:
  // Room for so many entries: at most half of the places are ever taken.
  explicit FlowTable(size_t entries_max)
      : entries_max_(entries_max), mask_(std::bit_ceil(entries_max * 2) - 1), tags_(mask_ + 1), values_(mask_ + 1) {}

  size_t size() const { return size_; }

  // The value under hash for which same(value) holds.
  template <class Same>
  std::optional<uint32_t> find(uint64_t hash, Same&& same) const {
    const uint16_t tag = tag_of(hash);
    for (size_t at = hash & mask_; tags_[at] != kEmpty; at = (at + 1) & mask_) {
      if (tags_[at] == tag && same(values_[at])) return values_[at];
    }
    return std::nullopt;
  }

  void insert(uint64_t hash, uint32_t value) {
    CHECK(size_ < entries_max_);
    size_t at = hash & mask_;
    while (tags_[at] != kEmpty) at = (at + 1) & mask_;
    tags_[at] = tag_of(hash);
    values_[at] = value;
    ++size_;
  }

  // Takes the entry out; hash_of(value) tells where another one would like to be. Those behind it move up, so that no
  // tombstones are left.
  template <class HashOf>
  void erase(uint64_t hash, uint32_t value, HashOf&& hash_of) {
    size_t at = hash & mask_;
    while (tags_[at] == kEmpty || values_[at] != value) {
      CHECK(tags_[at] != kEmpty);
      at = (at + 1) & mask_;
    }
    --size_;
    for (size_t next = (at + 1) & mask_; tags_[next] != kEmpty; next = (next + 1) & mask_) {
      const size_t home = hash_of(values_[next]) & mask_;
      // It may move into the gap if its home does not lie behind it.
      if (((next - home) & mask_) < ((next - at) & mask_)) continue;
      tags_[at] = tags_[next];
      values_[at] = values_[next];
      at = next;
    }
    tags_[at] = kEmpty;
  }

 private:
  static constexpr uint16_t kEmpty = 0;
  static uint16_t tag_of(uint64_t hash) { return static_cast<uint16_t>(hash >> 48 | 1); }

  const size_t entries_max_;
  const size_t mask_;
  std::vector<uint16_t> tags_;
  std::vector<uint32_t> values_;
  size_t size_ = 0;
};

}  // namespace penstock::dataplane::tcp
