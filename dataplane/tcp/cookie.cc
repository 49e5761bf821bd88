#include "dataplane/tcp/cookie.h"

#include <array>

namespace penstock::dataplane::tcp {
namespace {

// From what paths allow: IPv4's default, IPv6's, tunnels, Ethernet, FDDI, jumbo frames.
constexpr std::array<uint16_t, 8> kSizes = {64, 256, 536, 1220, 1440, 1460, 4312, 8960};
constexpr uint32_t kTimestampBits = 31;
constexpr uint32_t kNoScale = 15;
constexpr uint32_t kSackBit = 16;

uint32_t cookie_of(SipKey secret, const Flow& flow, SeqNumber irs, uint64_t slot, uint32_t size) {
  SipHash hash(secret);
  hash.word(hash_flow(secret, HashFor::kCookie, flow, irs.value()));
  hash.word(slot);
  return static_cast<uint32_t>(slot & 31) << 27 | size << 24 |
         (static_cast<uint32_t>(hash.finish(size, 1)) & 0xff'ffff);
}

}  // namespace

SeqNumber make_cookie(SipKey secret, const Flow& flow, SeqNumber irs, uint16_t mss, Nanos now) {
  uint32_t size = 0;
  while (size + 1 < kSizes.size() && kSizes[size + 1] <= mss) ++size;
  return SeqNumber{cookie_of(secret, flow, irs, static_cast<uint64_t>(now / kCookieSlot), size)};
}

std::optional<uint16_t> check_cookie(SipKey secret, const Flow& flow, SeqNumber irs, SeqNumber cookie, Nanos now) {
  const uint32_t size = cookie.value() >> 24 & 7;
  const auto slot = static_cast<uint64_t>(now / kCookieSlot);
  for (const uint64_t age : {uint64_t{0}, uint64_t{1}}) {
    if (age <= slot && cookie_of(secret, flow, irs, slot - age, size) == cookie.value()) return kSizes[size];
  }
  return std::nullopt;
}

uint32_t cookie_timestamp(uint32_t ts_now, const TcpSegment& syn) {
  const uint32_t bits = (syn.window_scale ? *syn.window_scale : kNoScale) | (syn.sack_permitted ? kSackBit : 0);
  const uint32_t ts = (ts_now & ~kTimestampBits) | bits;
  return ts_before(ts_now, ts) ? ts - (kTimestampBits + 1) : ts;
}

CookieOptions options_of(uint16_t mss, std::optional<Timestamps> timestamps) {
  CookieOptions options{.mss = mss};
  if (!timestamps) return options;
  const uint32_t bits = timestamps->echo & kTimestampBits;
  if ((bits & 15) != kNoScale) options.window_scale = static_cast<uint8_t>(bits & 15);
  options.sack = (bits & kSackBit) != 0;
  return options;
}

}  // namespace penstock::dataplane::tcp
