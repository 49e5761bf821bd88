// What names a connection: its 4-tuple, seen from here. And the keyed hashes of it that the stack needs.
#pragma once

#include <cstdint>

#include "base/bytes.h"
#include "base/siphash.h"
#include "dataplane/net/ip.h"

namespace penstock::dataplane::tcp {

struct Flow {
  net::IpAddress local;
  net::IpAddress remote;
  uint16_t local_port = 0;
  uint16_t remote_port = 0;
  friend bool operator==(const Flow&, const Flow&) = default;
};

// What a hash of a flow is for: different purposes must not tell anything about each other.
enum class HashFor : uint8_t { kTable, kSequence, kTimestamp, kCookie, kPort };

inline uint64_t hash_flow(SipKey key, HashFor purpose, const Flow& flow, uint32_t salt = 0) {
  SipHash hash(key);
  hash.word(load_le<uint64_t>(flow.local.bytes.data()));
  hash.word(load_le<uint64_t>(flow.local.bytes.data() + 8));
  hash.word(load_le<uint64_t>(flow.remote.bytes.data()));
  hash.word(load_le<uint64_t>(flow.remote.bytes.data() + 8));
  hash.word(static_cast<uint64_t>(flow.local_port) << 48 | static_cast<uint64_t>(flow.remote_port) << 32 | salt);
  return hash.finish(static_cast<uint64_t>(purpose), 1);
}

}  // namespace penstock::dataplane::tcp
