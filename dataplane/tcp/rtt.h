// The retransmission timeout (RFC 6298), and the smallest round trip of the last minutes (RFC 8985 6.2, RACK.min_RTT).
#pragma once

#include <algorithm>
#include <cstdint>

#include "base/units.h"
#include "dataplane/tcp/timers.h"

namespace penstock::dataplane::tcp {

// RFC 6298 (2.4) asks for a second; every stack in use has less, because a broker's peer is milliseconds away, and TLP
// finds most losses before. Below 200 ms a peer's delayed ACK (40 ms and more) would look like loss.
inline constexpr Nanos kRtoMinDefault = 200 * kMillisecond;
inline constexpr Nanos kRtoInitial = kSecond;           // (2.1)
inline constexpr Nanos kRtoAfterLostSyn = 3 * kSecond;  // (5.7)
inline constexpr Nanos kRtoMax = 60 * kSecond;          // (2.5)
inline constexpr Nanos kMinRttWindow = 300 * kSecond;

class Rtt {
 public:
  void start(Nanos rto_min) {
    *this = Rtt{};
    rto_min_ = rto_min;
  }

  // The SYN was lost: three seconds until something is measured (RFC 6298 5.7).
  void start_slow() { initial_ = kRtoAfterLostSyn; }

  bool measured() const { return srtt_ != 0; }
  Nanos srtt() const { return srtt_; }
  Nanos rttvar() const { return rttvar_; }
  Nanos min_rtt() const { return min_rtt_; }

  // Karn: never of a segment that was sent twice, unless timestamps tell which copy was answered.
  void sample(Nanos rtt, Nanos now) {
    rtt = std::max(rtt, kMicrosecond);
    if (!measured()) {  // (2.2)
      srtt_ = rtt;
      rttvar_ = rtt / 2;
    } else {  // (2.3), alpha 1/8, beta 1/4
      const Nanos difference = srtt_ > rtt ? srtt_ - rtt : rtt - srtt_;
      rttvar_ += (difference - rttvar_) / 4;
      srtt_ += (rtt - srtt_) / 8;
    }
    srtt_ = std::max<Nanos>(srtt_, 1);
    if (min_rtt_ == 0 || rtt <= min_rtt_ || now - min_rtt_at_ > kMinRttWindow) {
      min_rtt_ = rtt;
      min_rtt_at_ = now;
    }
  }

  // The base timeout, without backoff: SRTT + 4 RTTVAR, the variance part at least the floor.
  Nanos base() const {
    if (!measured()) return std::max(initial_, rto_min_);
    return std::min(srtt_ + std::max(4 * rttvar_, rto_min_), kRtoMax);
  }
  Nanos rto() const { return std::min(base() << std::min(backoff_, 16u), kRtoMax); }
  void back_off() { ++backoff_; }         // (5.5)
  void reset_backoff() { backoff_ = 0; }  // (5.7): forward progress
  uint32_t backoff() const { return backoff_; }

 private:
  Nanos initial_ = kRtoInitial;
  Nanos rto_min_ = kRtoMinDefault;
  Nanos srtt_ = 0;
  Nanos rttvar_ = 0;
  Nanos min_rtt_ = 0;
  Nanos min_rtt_at_ = 0;
  uint32_t backoff_ = 0;
};

}  // namespace penstock::dataplane::tcp
