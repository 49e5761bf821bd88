// SYN cookies (RFC 4987 3.6): when too many connections are half-open, what a SYN said is kept in the answer's sequence
// number and timestamp instead of in memory.
//
//   sequence number:  5 bits of the time | 3 bits: which segment size | 24 bits of a keyed hash
//   timestamp:        its low 5 bits: SACK, and the window scale (15: none)
#pragma once

#include <cstdint>
#include <optional>

#include "base/units.h"
#include "dataplane/tcp/flow.h"
#include "dataplane/tcp/header.h"
#include "dataplane/tcp/seq.h"

namespace penstock::dataplane::tcp {

// A cookie is good for one to two of these.
inline constexpr Nanos kCookieSlot = 64 * kSecond;

struct CookieOptions {
  uint16_t mss;
  std::optional<uint8_t> window_scale;
  bool sack = false;
};

SeqNumber make_cookie(SipKey secret, const Flow& flow, SeqNumber irs, uint16_t mss, Nanos now);
// The segment size that the cookie stands for, if it is one of ours and not too old.
std::optional<uint16_t> check_cookie(SipKey secret, const Flow& flow, SeqNumber irs, SeqNumber cookie, Nanos now);

// The latest timestamp not after ts_now that carries what the SYN offered.
uint32_t cookie_timestamp(uint32_t ts_now, const TcpSegment& syn);
CookieOptions options_of(uint16_t mss, std::optional<Timestamps> timestamps);

}  // namespace penstock::dataplane::tcp
