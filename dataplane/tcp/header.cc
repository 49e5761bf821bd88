#include "dataplane/tcp/header.h"

#include <algorithm>

#include "base/assert.h"
#include "base/bytes.h"

namespace penstock::dataplane::tcp {
namespace {

// Option kinds (RFC 9293 3.2, RFC 7323, RFC 2018).
constexpr uint8_t kEnd = 0;
constexpr uint8_t kNop = 1;
constexpr uint8_t kMss = 2;
constexpr uint8_t kWindowScale = 3;
constexpr uint8_t kSackPermitted = 4;
constexpr uint8_t kSack = 5;
constexpr uint8_t kTimestamp = 8;

// Places in the header.
constexpr size_t kSourceAt = 0;
constexpr size_t kDestinationAt = 2;
constexpr size_t kSeqAt = 4;
constexpr size_t kAckAt = 8;
constexpr size_t kDataOffsetAt = 12;
constexpr size_t kFlagsAt = 13;
constexpr size_t kWindowAt = 14;
static_assert(kWindowAt + 2 == kChecksumAt && kChecksumAt + 4 == kHeaderBytesMin);

uint8_t byte_at(std::span<const std::byte> bytes, size_t at) { return std::to_integer<uint8_t>(bytes[at]); }

// One option's value. An option of a wrong length is passed over: its kind does not say what its bytes mean then.
void take_option(TcpSegment& segment, uint8_t kind, std::span<const std::byte> value) {
  switch (kind) {
    case kMss:
      if (value.size() == 2) segment.mss = load_be<uint16_t>(value.data());
      break;
    case kWindowScale:
      // A larger shift counts as 14 (RFC 7323 2.3).
      if (value.size() == 1) segment.window_scale = std::min(byte_at(value, 0), kWindowScaleMax);
      break;
    case kSackPermitted:
      if (value.empty()) segment.sack_permitted = true;
      break;
    case kTimestamp:
      if (value.size() == 8) {
        segment.timestamps = Timestamps{load_be<uint32_t>(value.data()), load_be<uint32_t>(value.data() + 4)};
      }
      break;
    case kSack:
      if (value.size() % 8 != 0) break;
      segment.sack_count = 0;
      for (size_t at = 0; at < value.size() && segment.sack_count < kSackBlocksMax; at += 8) {
        segment.sacks[segment.sack_count++] = {SeqNumber{load_be<uint32_t>(value.data() + at)},
                                               SeqNumber{load_be<uint32_t>(value.data() + at + 4)}};
      }
      break;
    default: break;
  }
}

// Stops at the first option whose length cannot be (RFC 9293 3.2, MUST-7: no crash, no loop); what came before counts.
void parse_options(TcpSegment& segment, std::span<const std::byte> options) {
  while (!options.empty()) {
    const uint8_t kind = byte_at(options, 0);
    if (kind == kEnd) return;
    if (kind == kNop) {
      options = options.subspan(1);
      continue;
    }
    if (options.size() < 2) return;
    const uint8_t length = byte_at(options, 1);
    if (length < 2 || length > options.size()) return;
    take_option(segment, kind, options.subspan(2, length - 2));
    options = options.subspan(length);
  }
}

class OptionWriter {
 public:
  explicit OptionWriter(std::byte* at) : at_(at) {}

  void put8(uint8_t v) { *at_++ = static_cast<std::byte>(v); }
  void put16(uint16_t v) {
    store_be(at_, v);
    at_ += 2;
  }
  void put32(uint32_t v) {
    store_be(at_, v);
    at_ += 4;
  }
  std::byte* at() const { return at_; }

 private:
  std::byte* at_;
};

void write_options(const TcpSegment& segment, OptionWriter& out, const std::byte* end) {
  if (segment.mss != 0) {
    out.put8(kMss);
    out.put8(4);
    out.put16(segment.mss);
  }
  if (segment.window_scale) {
    out.put8(kNop);
    out.put8(kWindowScale);
    out.put8(3);
    out.put8(*segment.window_scale);
  }
  if (segment.sack_permitted) {
    out.put8(kNop);
    out.put8(kNop);
    out.put8(kSackPermitted);
    out.put8(2);
  }
  if (segment.timestamps) {
    out.put8(kNop);
    out.put8(kNop);
    out.put8(kTimestamp);
    out.put8(10);
    out.put32(segment.timestamps->value);
    out.put32(segment.timestamps->echo);
  }
  const size_t room = static_cast<size_t>(end - out.at());
  const size_t blocks = room < 12 ? 0 : std::min<size_t>(segment.sack_count, (room - 4) / 8);
  if (blocks == 0) return;
  out.put8(kNop);
  out.put8(kNop);
  out.put8(kSack);
  out.put8(static_cast<uint8_t>(2 + 8 * blocks));
  for (size_t i = 0; i < blocks; ++i) {
    out.put32(segment.sacks[i].begin.value());
    out.put32(segment.sacks[i].end.value());
  }
}

}  // namespace

std::optional<TcpSegment> parse(std::span<const std::byte> bytes) {
  if (bytes.size() < kHeaderBytesMin) return std::nullopt;
  const size_t header_bytes = static_cast<size_t>(byte_at(bytes, kDataOffsetAt) >> 4) * 4;
  if (header_bytes < kHeaderBytesMin || header_bytes > bytes.size()) return std::nullopt;
  TcpSegment segment;
  segment.source_port = load_be<uint16_t>(bytes.data() + kSourceAt);
  segment.destination_port = load_be<uint16_t>(bytes.data() + kDestinationAt);
  segment.seq = SeqNumber{load_be<uint32_t>(bytes.data() + kSeqAt)};
  segment.ack = SeqNumber{load_be<uint32_t>(bytes.data() + kAckAt)};
  // Reserved bits and those of ECN mean nothing here (RFC 9293 3.1: ignored when received).
  segment.flags = byte_at(bytes, kFlagsAt) & 0x3f;
  segment.window = load_be<uint16_t>(bytes.data() + kWindowAt);
  segment.header_bytes = static_cast<uint32_t>(header_bytes);
  segment.payload_bytes = static_cast<uint32_t>(bytes.size() - header_bytes);
  if (header_bytes > kHeaderBytesMin) {
    parse_options(segment, bytes.subspan(kHeaderBytesMin, header_bytes - kHeaderBytesMin));
  }
  return segment;
}

size_t write_header(const TcpSegment& segment, std::span<std::byte, kHeaderBytesMax> out) {
  std::fill_n(out.begin(), kHeaderBytesMin, std::byte{0});
  store_be(out.data() + kSourceAt, segment.source_port);
  store_be(out.data() + kDestinationAt, segment.destination_port);
  store_be(out.data() + kSeqAt, segment.seq.value());
  store_be(out.data() + kAckAt, segment.ack.value());
  out[kFlagsAt] = static_cast<std::byte>(segment.flags);
  store_be(out.data() + kWindowAt, segment.window);
  OptionWriter options(out.data() + kHeaderBytesMin);
  write_options(segment, options, out.data() + kHeaderBytesMax);
  const size_t header_bytes = static_cast<size_t>(options.at() - out.data());
  DCHECK(header_bytes % 4 == 0 && header_bytes <= kHeaderBytesMax);
  out[kDataOffsetAt] = static_cast<std::byte>(header_bytes / 4 << 4);
  return header_bytes;
}

}  // namespace penstock::dataplane::tcp
