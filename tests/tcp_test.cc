// The parts of the TCP stack against models of them: sequence numbers, headers, the flow table, hashes, cookies.
#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <vector>

#include "base/prng.h"
#include "base/siphash.h"
#include "dataplane/net/checksum.h"
#include "dataplane/tcp/cookie.h"
#include "dataplane/tcp/flow_table.h"
#include "dataplane/tcp/header.h"
#include "dataplane/tcp/state.h"
#include "dataplane/tcp/time_wait.h"

namespace penstock::dataplane::tcp {
namespace {

TEST(SeqNumber, ComparesAcrossTheWrap) {
  const SeqNumber high{0xffff'fff0};
  EXPECT_LT(high, high + 0x20);
  EXPECT_GT(high + 0x20, high);
  EXPECT_EQ((high + 0x20) - high, 0x20);
  EXPECT_EQ(high - (high + 0x20), -0x20);
  EXPECT_EQ(seq_bytes(high, high + 0x20), 0x20u);
  EXPECT_EQ(seq_bytes(high + 0x20, high), 0u);
  EXPECT_EQ(seq_max(high, high + 1), high + 1);
  EXPECT_EQ(seq_min(high, high + 1), high);
}

TcpSegment random_segment(Prng& prng) {
  TcpSegment s;
  s.source_port = static_cast<uint16_t>(prng.next());
  s.destination_port = static_cast<uint16_t>(prng.next());
  s.seq = SeqNumber{static_cast<uint32_t>(prng.next())};
  s.ack = SeqNumber{static_cast<uint32_t>(prng.next())};
  s.flags = static_cast<uint8_t>(prng.below(64));
  s.window = static_cast<uint16_t>(prng.next());
  if (prng.one_in(2)) s.timestamps = Timestamps{static_cast<uint32_t>(prng.next()), static_cast<uint32_t>(prng.next())};
  if (s.has(kSyn)) {
    if (prng.one_in(2)) s.mss = static_cast<uint16_t>(prng.between(1, 65535));
    if (prng.one_in(2)) s.window_scale = static_cast<uint8_t>(prng.below(15));
    s.sack_permitted = prng.one_in(2);
  } else {
    s.sack_count = static_cast<uint8_t>(prng.below(s.timestamps ? 4 : 5));
    for (size_t i = 0; i < s.sack_count; ++i) {
      s.sacks[i] = {SeqNumber{static_cast<uint32_t>(prng.next())}, SeqNumber{static_cast<uint32_t>(prng.next())}};
    }
  }
  return s;
}

TEST(TcpHeader, WhatIsWrittenIsRead) {
  Prng prng(1);
  for (int i = 0; i < 5000; ++i) {
    const TcpSegment s = random_segment(prng);
    std::array<std::byte, kHeaderBytesMax> bytes;
    const size_t n = write_header(s, bytes);
    const auto read = parse(std::span(bytes).first(n));
    ASSERT_TRUE(read);
    EXPECT_EQ(read->seq, s.seq);
    EXPECT_EQ(read->ack, s.ack);
    EXPECT_EQ(read->flags, s.flags);
    EXPECT_EQ(read->window, s.window);
    EXPECT_EQ(read->mss, s.mss);
    EXPECT_EQ(read->window_scale, s.window_scale);
    EXPECT_EQ(read->sack_permitted, s.sack_permitted);
    EXPECT_EQ(read->timestamps, s.timestamps);
    ASSERT_EQ(read->sack_count, s.sack_count);
    for (size_t b = 0; b < s.sack_count; ++b) EXPECT_EQ(read->sacks[b], s.sacks[b]);
  }
}

// In memory of exactly its size, so that the sanitizer sees a read beyond.
std::optional<TcpSegment> parse_exactly(const std::vector<uint8_t>& bytes) {
  const auto exact = std::make_unique<std::byte[]>(bytes.size());
  for (size_t i = 0; i < bytes.size(); ++i) exact[i] = std::byte{bytes[i]};
  return parse({exact.get(), bytes.size()});
}

TEST(TcpHeader, TakesAnyBytes) {
  Prng prng(2);
  size_t parsed = 0;
  for (int i = 0; i < 50'000; ++i) {
    std::vector<uint8_t> bytes(prng.below(80));
    for (uint8_t& b : bytes) b = static_cast<uint8_t>(prng.one_in(3) ? prng.below(10) : prng.next());
    if (bytes.size() > 12 && prng.one_in(2)) bytes[12] = static_cast<uint8_t>(prng.between(5, 15) << 4);
    parsed += parse_exactly(bytes).has_value() ? 1 : 0;
  }
  EXPECT_GT(parsed, 1000u);
}

// Other stacks' mistakes (research: Seastar, Caladan, lwIP): an option that ends at its kind, one of length 0 or 1, one
// that is longer than the header, an MSS of two bytes, a header longer than the segment.
TEST(TcpHeader, OptionsThatLie) {
  std::vector<uint8_t> header(24, 0);
  header[12] = 6 << 4;
  const std::vector<std::vector<uint8_t>> lies = {{1, 1, 1, 2},  {2, 0, 1, 1}, {2, 1, 1, 1}, {2, 2, 1, 1},
                                                  {1, 1, 2, 40}, {5, 3, 1, 1}, {8, 4, 1, 1}, {3, 4, 1, 1}};
  for (const auto& lie : lies) {
    std::copy(lie.begin(), lie.end(), header.begin() + 20);
    const auto s = parse_exactly(header);
    ASSERT_TRUE(s);
    EXPECT_EQ(s->mss, 0);
    EXPECT_FALSE(s->window_scale);
    EXPECT_FALSE(s->timestamps);
    EXPECT_EQ(s->sack_count, 0);
  }
  header[12] = 7 << 4;
  EXPECT_FALSE(parse_exactly(header));
  header[12] = 4 << 4;
  EXPECT_FALSE(parse_exactly(header));
  EXPECT_FALSE(parse_exactly(std::vector<uint8_t>(19, 0)));
}

TEST(TcpState, OnlyLegalMoves) {
  EXPECT_TRUE(legal(State::kFinWait1, State::kClosing));
  EXPECT_TRUE(legal(State::kEstablished, State::kClosed));
  EXPECT_FALSE(legal(State::kFinWait2, State::kClosing));
  EXPECT_FALSE(legal(State::kEstablished, State::kTimeWait));
  EXPECT_FALSE(legal(State::kCloseWait, State::kTimeWait));
  for (int s = 0; s <= static_cast<int>(State::kTimeWait); ++s) {
    EXPECT_FALSE(legal(State::kTimeWait, static_cast<State>(s)) && s != 0);
    EXPECT_FALSE(legal(State::kListen, static_cast<State>(s)));
  }
}

// The reference's own table: key 00 01 .. 0f, message 00 01 .. (length - 1).
TEST(SipHash, MatchesTheReference) {
  const SipKey key{0x0706050403020100, 0x0f0e0d0c0b0a0908};
  EXPECT_EQ(SipHash(key).finish(), 0x726fdb47dd0e0e31u);
  SipHash eight(key);
  eight.word(0x0706050403020100);
  EXPECT_EQ(eight.finish(), 0x93f5f5799a932462u);
  SipHash fifteen(key);
  fifteen.word(0x0706050403020100);
  EXPECT_EQ(fifteen.finish(0x0e0d0c0b0a0908, 7), 0xa129ca6149be45e5u);
}

TEST(FlowTable, AgreesWithAMap) {
  Prng prng(3);
  constexpr size_t kMax = 64;
  FlowTable table(kMax);
  std::vector<uint64_t> hashes(1000);
  for (uint64_t& hash : hashes) hash = prng.below(8) << 48 | prng.below(40);  // crowded: few homes, few tags
  std::map<uint32_t, bool> in;
  for (int i = 0; i < 20'000; ++i) {
    const auto value = static_cast<uint32_t>(prng.below(hashes.size()));
    const auto same = [&](uint32_t v) { return v == value; };
    ASSERT_EQ(table.find(hashes[value], same).has_value(), in.contains(value));
    if (in.contains(value)) {
      table.erase(hashes[value], value, [&](uint32_t v) { return hashes[v]; });
      in.erase(value);
    } else if (table.size() < kMax) {
      table.insert(hashes[value], value);
      in[value] = true;
    }
    ASSERT_EQ(table.size(), in.size());
  }
}

TEST(Cookie, IsGoodForTwoSlotsAndItsOwnFlow) {
  const SipKey secret{5, 6};
  Flow flow{.local = net::IpAddress::v4(1), .remote = net::IpAddress::v4(2), .local_port = 3, .remote_port = 4};
  const SeqNumber irs{77};
  const Nanos now = 1000 * kCookieSlot + 5;
  const SeqNumber cookie = make_cookie(secret, flow, irs, 1500, now);
  EXPECT_EQ(check_cookie(secret, flow, irs, cookie, now), 1460);
  EXPECT_EQ(check_cookie(secret, flow, irs, cookie, now + kCookieSlot), 1460);
  EXPECT_FALSE(check_cookie(secret, flow, irs, cookie, now + 2 * kCookieSlot));
  EXPECT_FALSE(check_cookie(secret, flow, irs + 1, cookie, now));
  EXPECT_FALSE(check_cookie(SipKey{5, 7}, flow, irs, cookie, now));
  flow.remote_port = 5;
  EXPECT_FALSE(check_cookie(secret, flow, irs, cookie, now));
}

TEST(Cookie, CarriesOptionsInTheTimestamp) {
  for (uint32_t ts : {0u, 31u, 32u, 1000u, 0xffff'ffffu}) {
    for (int scale = -1; scale <= 14; ++scale) {
      TcpSegment syn;
      if (scale >= 0) syn.window_scale = static_cast<uint8_t>(scale);
      syn.sack_permitted = scale % 2 == 0;
      const uint32_t sent = cookie_timestamp(ts, syn);
      EXPECT_FALSE(ts_before(ts, sent));
      EXPECT_LT(ts - sent, 32u);
      const CookieOptions said = options_of(536, Timestamps{0, sent});
      EXPECT_EQ(said.window_scale, syn.window_scale);
      EXPECT_EQ(said.sack, syn.sack_permitted);
    }
  }
}

// RFC 1071's worked example, and pieces of any length.
TEST(Checksum, DoesNotCareHowBytesAreCut) {
  const std::array<uint8_t, 8> example = {0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7};
  net::ChecksumSum sum;
  sum.add(std::as_bytes(std::span(example)));
  EXPECT_EQ(sum.finish(), static_cast<uint16_t>(~0xddf2));
  Prng prng(4);
  std::vector<std::byte> bytes(257);
  prng.fill(bytes);
  net::ChecksumSum whole;
  whole.add(bytes);
  for (int i = 0; i < 500; ++i) {
    net::ChecksumSum cut;
    std::span<const std::byte> rest = bytes;
    while (!rest.empty()) {
      const size_t n = std::min<size_t>(rest.size(), prng.between(1, 40));
      cut.add(rest.first(n));
      rest = rest.subspan(n);
    }
    ASSERT_EQ(cut.finish(), whole.finish());
  }
}

TEST(TimeWaits, OldestGoesFirstAndALineIsBounded) {
  TimeWaits waits(2, kSecond);
  const auto entry = [](uint16_t port) { return TimeWait{.flow = {.local_port = port}, .hash = port}; };
  EXPECT_FALSE(waits.add(entry(1), 0));
  EXPECT_FALSE(waits.add(entry(2), 1));
  for (Nanos now = 2; now < 1000; ++now) waits.restart(*waits.find(1, entry(1).flow), now);
  EXPECT_TRUE(waits.add(entry(3), 1000));  // 2 is the one that waits longest now
  EXPECT_EQ(waits.find(2, entry(2).flow), nullptr);
  EXPECT_NE(waits.find(1, entry(1).flow), nullptr);
  waits.expire(999 + kSecond);
  EXPECT_EQ(waits.find(1, entry(1).flow), nullptr);
  EXPECT_EQ(waits.size(), 1u);
}

}  // namespace
}  // namespace penstock::dataplane::tcp
