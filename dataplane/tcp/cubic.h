// Congestion window: slow start (RFC 5681), CUBIC (RFC 9438), restart after idleness (RFC 5681 4.1). Equations are
// named after the RFC's. Windows in bytes; CUBIC's own arithmetic in segments, as the RFC has it.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>

#include "base/units.h"

namespace penstock::dataplane::tcp {

class Cubic {
 public:
  static constexpr double kBeta = 0.7;  // RFC 9438 4.6
  static constexpr double kC = 0.4;     // RFC 9438 5.1
  // Reno-friendly increase: 3 (1 - beta) / (1 + beta) (RFC 9438 4.3).
  static constexpr double kAlpha = 3 * (1 - kBeta) / (1 + kBeta);
  static constexpr uint32_t kWindowMax = 1u << 30;  // what scaling can announce

  // RFC 6928: ten segments, 14600 bytes at most unless two segments are more.
  static constexpr uint32_t initial_window(uint32_t mss) { return std::min(10 * mss, std::max(2 * mss, 14600u)); }

  void start(uint32_t mss) {
    *this = Cubic{};
    mss_ = mss;
    cwnd_ = initial_window(mss);
  }
  // The path takes less (or our options grew): the window keeps its bytes.
  void set_mss(uint32_t mss) { mss_ = mss; }

  uint32_t cwnd() const { return cwnd_; }
  uint32_t ssthresh() const { return ssthresh_; }
  bool slow_start() const { return cwnd_ < ssthresh_; }
  // Proportional rate reduction decides what may be sent meanwhile (recovery.h).
  void set_cwnd(uint32_t bytes) { cwnd_ = std::clamp(bytes, mss_, kWindowMax); }

  // acked new bytes; srtt the smoothed round trip. limited: the window was what held the sender back; otherwise it does
  // not grow, and the epoch's clock stands (RFC 9438 5.8).
  void on_ack(uint32_t acked, Nanos now, Nanos srtt, bool limited) {
    if (!limited) {
      if (epoch_ != kNoEpoch) epoch_ += std::max<Nanos>(0, now - last_);
      last_ = now;
      return;
    }
    last_ = now;
    if (slow_start()) {
      const uint32_t step = std::min(acked, ssthresh_ - cwnd_);
      cwnd_ = std::min(cwnd_ + step, kWindowMax);
      acked -= step;
    }
    if (acked > 0) avoid_congestion(acked, now, srtt);
  }

  // Loss, found by acknowledgements. flight: bytes out (RFC 9438 4.6).
  void on_congestion(uint32_t flight) {
    const double cwnd = segments(cwnd_);
    // Fast convergence (4.7): a flow whose maximum shrinks gives way to new ones.
    w_max_ = cwnd < w_max_ ? cwnd * (1 + kBeta) / 2 : cwnd;
    cwnd_prior_ = cwnd;
    ssthresh_ = std::max(static_cast<uint32_t>(kBeta * flight), 2 * mss_);
    epoch_ = kNoEpoch;
  }
  // A retransmission timeout (RFC 9438 4.8): as above, and one segment (RFC 5681 3.1).
  void on_timeout(uint32_t flight) {
    on_congestion(flight);
    cwnd_ = mss_;
  }
  // The reduction since before was answered without need (RFC 9438 4.9).
  void undo(const Cubic& before) {
    const uint32_t cwnd = std::max(cwnd_, before.cwnd_);
    const uint32_t mss = mss_;
    *this = before;
    cwnd_ = cwnd;
    mss_ = mss;
  }
  // Nothing was sent for longer than a retransmission timeout (RFC 5681 4.1, restart window).
  void on_idle() {
    cwnd_ = std::min(cwnd_, std::max(initial_window(mss_), mss_));
    epoch_ = kNoEpoch;
  }

 private:
  static constexpr Nanos kNoEpoch = -1;

  double segments(uint32_t bytes) const { return static_cast<double>(bytes) / mss_; }

  void avoid_congestion(uint32_t acked, Nanos now, Nanos srtt) {
    const double cwnd = segments(cwnd_);
    if (epoch_ == kNoEpoch) {
      epoch_ = now;
      w_est_ = cwnd;
      if (cwnd < w_max_) {
        k_ = std::cbrt((w_max_ - cwnd) / kC);  // figure 2
      } else {
        k_ = 0;
        w_max_ = cwnd;
      }
    }
    const double t = static_cast<double>(now - epoch_) / kSecond;
    const double acked_segments = segments(acked);
    w_est_ += (w_est_ < cwnd_prior_ ? kAlpha : 1.0) * acked_segments / cwnd;  // figure 4
    double next;
    if (w_cubic(t) < w_est_) {
      next = std::max(cwnd, w_est_);  // 4.3, Reno-friendly region
    } else {
      const double target = std::clamp(w_cubic(t + static_cast<double>(srtt) / kSecond), cwnd, 1.5 * cwnd);
      next = cwnd + (target - cwnd) / cwnd * acked_segments;  // 4.4, 4.5
    }
    // No faster than slow start, whatever an ACK of a whole window says.
    next = std::min(next, cwnd + acked_segments);
    const double bytes = next * mss_ + fraction_;
    const double whole = std::floor(bytes);
    fraction_ = bytes - whole;
    cwnd_ = static_cast<uint32_t>(std::clamp(whole, static_cast<double>(mss_), static_cast<double>(kWindowMax)));
  }

  double w_cubic(double t) const { return kC * (t - k_) * (t - k_) * (t - k_) + w_max_; }  // figure 1

  uint32_t mss_ = 536;
  uint32_t cwnd_ = 536;
  uint32_t ssthresh_ = std::numeric_limits<uint32_t>::max();
  double w_max_ = 0;
  double cwnd_prior_ = 0;
  double k_ = 0;
  double w_est_ = 0;
  double fraction_ = 0;  // of a byte that the window has grown by
  Nanos epoch_ = kNoEpoch;
  Nanos last_ = 0;
};

}  // namespace penstock::dataplane::tcp
