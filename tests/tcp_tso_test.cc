// Several segments in one frame, for a device that cuts them: what goes so, and what never does.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <vector>

#include "base/assert.h"
#include "dataplane/tcp/core.h"
#include "dataplane/tcp/stack.h"

namespace penstock::dataplane::tcp {
namespace {

constexpr auto kServer = net::IpAddress::v4(0x0a000001);
constexpr auto kClient = net::IpAddress::v4(0x0a000002);
constexpr uint16_t kMss = 1460;

struct Frame {
  TcpSegment header;
  size_t payload = 0;
  uint32_t segment_bytes = 0;
};

class Device final : public net::IpOutput {
 public:
  bool send(const net::IpAddress&, const net::IpAddress&, std::span<const std::byte> header,
            std::span<const net::TxPiece> pieces, net::TxOwner* owner, uint64_t token,
            uint32_t segment_bytes) override {
    Frame frame{.header = *parse(header), .segment_bytes = segment_bytes};
    for (const net::TxPiece& piece : pieces) frame.payload += piece.bytes.size();
    CHECK(segment_bytes == 0 || (owner != nullptr && frame.payload <= most));
    if (owner != nullptr) owner->release(token);
    if (segment_bytes > 0 && refuses) return false;
    frames.push_back(frame);
    return true;
  }
  size_t mtu(const net::IpAddress&) const override { return kMss + 40; }
  size_t tso_bytes() const override { return most; }
  bool takes_references() const override { return true; }
  bool refers_to(std::span<const std::byte>) const override { return true; }
  void confirm(const net::IpAddress&) override {}

  size_t most = 64'000;
  bool refuses = false;
  std::vector<Frame> frames;
};

class Tso : public ::testing::Test {
 protected:
  Tso() {
    stack_.poll(now_);
    CHECK(stack_.listen({}, 9092));
    open(kMss);
  }
  void open(uint16_t mss) {
    ++port_;
    peer_says({.seq = SeqNumber{0}, .flags = kSyn, .mss = mss, .window_scale = 7, .sack_permitted = true});
    next_ = device_.frames.back().header.end();
    ack(next_);
    stream_ = stack_.next()->stream;
    device_.frames.clear();
  }
  void peer_says(TcpSegment s) {
    s.source_port = port_;
    s.destination_port = 9092;
    s.window = 60'000;
    std::array<std::byte, kHeaderBytesMax> header;
    const size_t n = write_header(s, header);
    stack_.on_packet({.source = kClient,
                      .destination = kServer,
                      .segment = heap_.copy_of(std::span(header).first(n)),
                      .at = now_,
                      .checksum_good = true});
    stack_.poll(now_);
  }
  void ack(SeqNumber to) { peer_says({.seq = SeqNumber{1}, .ack = to, .flags = kAck}); }
  void send(size_t bytes) {
    const std::vector<std::byte> data(bytes, std::byte{7});
    const std::array pieces{std::span<const std::byte>(data)};
    ASSERT_EQ(stream_->send(pieces), bytes);
    stack_.poll(now_);
  }

  TcpCounters counters_;
  HeapBuffers heap_;
  Device device_;
  Stack stack_{StackOptions{.nagle = false}, device_, counters_};
  TcpStream* stream_ = nullptr;
  Nanos now_ = kSecond;
  uint16_t port_ = 40000;
  SeqNumber next_;
};

TEST_F(Tso, WhatTheWindowAllowsGoesInOneFrameOfWholeSegments) {
  send(100'000);
  ASSERT_EQ(device_.frames.size(), 1u);
  const Frame first = device_.frames[0];
  EXPECT_EQ(first.payload, 10u * kMss);  // the initial window, RFC 6928
  EXPECT_EQ(first.segment_bytes, kMss);
  EXPECT_FALSE(first.header.has(kPsh));
  EXPECT_EQ(counters_.get(Metric::tcp_segments_sent), 11u) << "the answer to the SYN, and ten";
  // Slow start: twice as much.
  device_.frames.clear();
  ack(next_ + 10 * kMss);
  ASSERT_EQ(device_.frames.size(), 1u);
  EXPECT_EQ(device_.frames[0].payload, 20u * kMss);
}

TEST_F(Tso, TheRestBehindWholeSegmentsGoesByItself) {
  send(3 * kMss + 100);
  ASSERT_EQ(device_.frames.size(), 2u);
  EXPECT_EQ(device_.frames[0].payload, 3u * kMss);
  EXPECT_EQ(device_.frames[1].payload, 100u);
  EXPECT_EQ(device_.frames[1].segment_bytes, 0u);
  EXPECT_FALSE(device_.frames[0].header.has(kPsh));
  EXPECT_TRUE(device_.frames[1].header.has(kPsh));
}

TEST_F(Tso, AFinGoesByItself) {
  send(2 * kMss);
  stream_->close();
  stack_.poll(now_);
  ASSERT_EQ(device_.frames.size(), 2u);
  EXPECT_FALSE(device_.frames[0].header.has(kFin));
  EXPECT_TRUE(device_.frames[1].header.has(kFin));
  EXPECT_EQ(device_.frames[1].header.seq, next_ + 2 * kMss);
}

TEST_F(Tso, OneThatIsLostIsSentAgainAlone) {
  send(10 * kMss);
  device_.frames.clear();
  // The third of ten is missing.
  TcpSegment s{.seq = SeqNumber{1}, .ack = next_ + 2 * kMss, .flags = kAck};
  s.sacks[0] = {next_ + 3 * kMss, next_ + 10 * kMss};
  s.sack_count = 1;
  now_ += kMillisecond;
  stack_.poll(now_);
  peer_says(s);
  now_ += 100 * kMillisecond;
  stack_.poll(now_);
  const auto again =
      std::ranges::find_if(device_.frames, [&](const Frame& frame) { return frame.header.seq == next_ + 2 * kMss; });
  ASSERT_NE(again, device_.frames.end());
  EXPECT_EQ(again->payload, kMss);
  for (const Frame& frame : device_.frames) EXPECT_EQ(frame.segment_bytes, 0u);
}

TEST_F(Tso, WhatTheDeviceDoesNotTakeGoesOneByOne) {
  device_.refuses = true;
  send(5 * kMss);
  ASSERT_EQ(device_.frames.size(), 5u);
  for (const Frame& frame : device_.frames) EXPECT_EQ(frame.segment_bytes, 0u);
}

// 128 and less twice are below what is sent by reference.
TEST_F(Tso, SmallSegmentsGoOneByOne) {
  for (const uint16_t mss : {64, 100, 128, 300, 511}) {
    open(mss);
    for (size_t bytes = mss; bytes < 1100; bytes += 97) send(bytes);
    EXPECT_GT(device_.frames.size(), 1u);
    for (const Frame& frame : device_.frames) ASSERT_EQ(frame.segment_bytes, 0u) << mss;
  }
}

TEST_F(Tso, NoMoreThanTheDeviceTakes) {
  device_.most = 4 * kMss + 700;
  send(10 * kMss);
  ASSERT_EQ(device_.frames.size(), 3u);
  EXPECT_EQ(device_.frames[0].payload, 4u * kMss);
  EXPECT_EQ(device_.frames[1].payload, 4u * kMss);
  EXPECT_EQ(device_.frames[2].payload, 2u * kMss);
}

}  // namespace
}  // namespace penstock::dataplane::tcp
