// SeqNumber: a TCP sequence number (RFC 9293 3.4). Comparison wraps: a is before b if less than 2^31 lie between them.
// There is no other way to compare two, so that no code can forget the wrap.
#pragma once

#include <cstdint>

namespace penstock::dataplane::tcp {

class SeqNumber {
 public:
  constexpr SeqNumber() = default;
  constexpr explicit SeqNumber(uint32_t v) : v_(v) {}
  constexpr uint32_t value() const { return v_; }

  friend constexpr bool operator==(SeqNumber, SeqNumber) = default;
  friend constexpr SeqNumber operator+(SeqNumber a, uint32_t n) { return SeqNumber{a.v_ + n}; }
  friend constexpr SeqNumber operator-(SeqNumber a, uint32_t n) { return SeqNumber{a.v_ - n}; }
  // How far a is ahead of b; negative if it is behind.
  friend constexpr int32_t operator-(SeqNumber a, SeqNumber b) { return static_cast<int32_t>(a.v_ - b.v_); }
  friend constexpr bool operator<(SeqNumber a, SeqNumber b) { return a - b < 0; }
  friend constexpr bool operator>(SeqNumber a, SeqNumber b) { return a - b > 0; }
  friend constexpr bool operator<=(SeqNumber a, SeqNumber b) { return a - b <= 0; }
  friend constexpr bool operator>=(SeqNumber a, SeqNumber b) { return a - b >= 0; }
  constexpr SeqNumber& operator+=(uint32_t n) {
    v_ += n;
    return *this;
  }

 private:
  uint32_t v_ = 0;
};

constexpr SeqNumber seq_max(SeqNumber a, SeqNumber b) { return a < b ? b : a; }
constexpr SeqNumber seq_min(SeqNumber a, SeqNumber b) { return a < b ? a : b; }

// Bytes of [begin, end), none if end is before begin.
constexpr uint32_t seq_bytes(SeqNumber begin, SeqNumber end) {
  return end > begin ? static_cast<uint32_t>(end - begin) : 0;
}

// A timestamp of RFC 7323 wraps the same way.
constexpr bool ts_before(uint32_t a, uint32_t b) { return static_cast<int32_t>(a - b) < 0; }

}  // namespace penstock::dataplane::tcp
