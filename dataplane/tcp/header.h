// The TCP header and its options (RFC 9293 3.1, 3.2; RFC 7323; RFC 2018) as a plain struct, and back. parse() is total:
// any bytes, no byte read behind them, time bounded by their number; after it nobody looks at the header again.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "dataplane/tcp/seq.h"

namespace penstock::dataplane::tcp {

inline constexpr uint8_t kFin = 0x01;
inline constexpr uint8_t kSyn = 0x02;
inline constexpr uint8_t kRst = 0x04;
inline constexpr uint8_t kPsh = 0x08;
inline constexpr uint8_t kAck = 0x10;
inline constexpr uint8_t kUrg = 0x20;

inline constexpr size_t kHeaderBytesMin = 20;
inline constexpr size_t kHeaderBytesMax = 60;
inline constexpr size_t kChecksumAt = 16;
inline constexpr size_t kTimestampsBytes = 12;  // the option with the two NOPs that align it (RFC 7323 appendix A)
inline constexpr uint8_t kWindowScaleMax = 14;  // RFC 7323 2.3
inline constexpr size_t kSackBlocksMax = 4;     // what 40 bytes of options have room for

struct SackBlock {
  SeqNumber begin;
  SeqNumber end;  // one behind the last byte
  friend constexpr bool operator==(SackBlock, SackBlock) = default;
};

struct Timestamps {
  uint32_t value;  // TSval
  uint32_t echo;   // TSecr
  friend constexpr bool operator==(Timestamps, Timestamps) = default;
};

struct TcpSegment {
  uint16_t source_port = 0;
  uint16_t destination_port = 0;
  SeqNumber seq;
  SeqNumber ack;
  uint8_t flags = 0;
  uint16_t window = 0;  // as on the wire: not scaled
  uint32_t header_bytes = 0;
  uint32_t payload_bytes = 0;

  uint16_t mss = 0;  // 0: no such option
  std::optional<uint8_t> window_scale;
  bool sack_permitted = false;
  std::optional<Timestamps> timestamps;
  uint8_t sack_count = 0;
  std::array<SackBlock, kSackBlocksMax> sacks;

  bool has(uint8_t flag) const { return (flags & flag) != 0; }
  // SEG.LEN: SYN and FIN count.
  uint32_t length() const { return payload_bytes + (has(kSyn) ? 1 : 0) + (has(kFin) ? 1 : 0); }
  SeqNumber end() const { return seq + length(); }
};

// bytes: header and payload. Nothing: shorter than a header, or than it says it is.
std::optional<TcpSegment> parse(std::span<const std::byte> bytes);

// Writes the header with a checksum field of 0; returns its length, a multiple of 4. The options must fit: blocks
// beyond the room are left out.
size_t write_header(const TcpSegment& segment, std::span<std::byte, kHeaderBytesMax> out);

}  // namespace penstock::dataplane::tcp
