// The Internet checksum (RFC 1071): one's complement sum of 16-bit words in network order.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

#include "base/bytes.h"
#include "dataplane/net/ip.h"

namespace penstock::dataplane::net {

// A running sum over pieces of any length; a piece that begins at an odd place is swapped in (RFC 1071 2.B).
class ChecksumSum {
 public:
  void add(std::span<const std::byte> bytes) {
    uint64_t sum = 0;
    size_t at = 0;
    for (; at + 8 <= bytes.size(); at += 8) {
      uint64_t word;
      std::memcpy(&word, bytes.data() + at, 8);
      sum += (word & 0xffff'ffff) + (word >> 32);
    }
    for (; at + 2 <= bytes.size(); at += 2) sum += load_le<uint16_t>(bytes.data() + at);
    if (at < bytes.size()) sum += std::to_integer<uint64_t>(bytes[at]);
    const uint16_t folded = fold(sum);
    sum_ += odd_ ? std::byteswap(folded) : folded;
    odd_ ^= (bytes.size() & 1) != 0;
  }
  void add_be16(uint16_t value) { sum_ += std::byteswap(value); }  // only at an even place
  // The value for the checksum field, in host order (store_be puts it in place); 0 over bytes that contain a right one.
  uint16_t finish() const { return static_cast<uint16_t>(~std::byteswap(fold(sum_))); }

 private:
  static constexpr uint16_t fold(uint64_t sum) {
    while (sum >> 16 != 0) sum = (sum & 0xffff) + (sum >> 16);
    return static_cast<uint16_t>(sum);
  }
  uint64_t sum_ = 0;  // of words as they lie in memory: byte order does not matter to the sum until the end
  bool odd_ = false;
};

// The sum's beginning for TCP: the pseudo header of RFC 9293 3.1, of IPv4 if both addresses are (RFC 8200 8.1 if not).
inline ChecksumSum pseudo_header_sum(const IpAddress& source, const IpAddress& destination, size_t segment_bytes) {
  ChecksumSum sum;
  const size_t skip = source.is_v4() && destination.is_v4() ? 12 : 0;
  sum.add(std::span(source.bytes).subspan(skip));
  sum.add(std::span(destination.bytes).subspan(skip));
  sum.add_be16(static_cast<uint16_t>(segment_bytes >> 16));
  sum.add_be16(static_cast<uint16_t>(segment_bytes));
  sum.add_be16(6);
  return sum;
}

}  // namespace penstock::dataplane::net
