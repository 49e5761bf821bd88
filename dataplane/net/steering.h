// Which lcore owns a connection: computed here from the addresses and ports of every segment. A card's own spreading
// (RSS) is a hint at best: drivers move flows on overflow, forget them when idle, or hash with a key of their own.
//
// The hash is Toeplitz's, as cards compute it, so that a card that does use our key delivers most segments where they
// belong. The key should be random: with a known one, peers choose the lcore that they load.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "dataplane/net/ip.h"

namespace penstock::dataplane::net {

inline constexpr size_t kToeplitzKeyBytes = 40;
using ToeplitzKey = std::array<std::byte, kToeplitzKeyBytes>;

// A connection as its received segments name it: source is the peer.
struct Flow {
  IpAddress source;
  IpAddress destination;
  uint16_t source_port = 0;
  uint16_t destination_port = 0;
};

class Steering {
 public:
  static constexpr size_t kBuckets = 128;

  // Buckets are dealt out in turn to owners 0 to owner_count - 1.
  Steering(const ToeplitzKey& key, unsigned owner_count);

  uint32_t hash(const Flow& flow) const;
  unsigned owner_of(const Flow& flow) const { return owners_[hash(flow) % kBuckets]; }
  unsigned owner_count() const { return owner_count_; }

 private:
  static constexpr size_t kInputBytes = 36;  // two IPv6 addresses and two ports
  uint32_t add(uint32_t hash, size_t at, std::span<const std::byte> bytes) const;

  // What each value of each half byte of the input adds to the hash.
  std::array<std::array<uint32_t, 16>, 2 * kInputBytes> table_;
  std::array<uint16_t, kBuckets> owners_;
  unsigned owner_count_;
};

}  // namespace penstock::dataplane::net
