// The parts that keep data and time, against simple models: wheel, reassembly, scoreboard, send queue, CUBIC, RTO,
// window.
#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <set>
#include <vector>

#include "base/prng.h"
#include "dataplane/tcp/core.h"
#include "dataplane/tcp/cubic.h"
#include "dataplane/tcp/output.h"
#include "dataplane/tcp/reassembly.h"
#include "dataplane/tcp/receive_memory.h"
#include "dataplane/tcp/rtt.h"
#include "dataplane/tcp/scoreboard.h"
#include "dataplane/tcp/send_queue.h"
#include "dataplane/tcp/timers.h"

namespace penstock::dataplane::tcp {
namespace {

TEST(Wheel, FiresEachNodeOnceInItsTick) {
  Prng prng(1);
  constexpr uint32_t kNodes = 50;
  Wheel wheel(kNodes);
  std::map<uint32_t, Nanos> armed;  // the earliest deadline asked for
  Nanos now = 0;
  for (int i = 0; i < 20'000; ++i) {
    const auto node = static_cast<uint32_t>(prng.below(kNodes));
    const Nanos wait = static_cast<Nanos>(prng.below(uint64_t{1} << prng.between(10, 43)));
    if (prng.one_in(8)) {
      wheel.disarm(node);
      armed.erase(node);
    } else {
      wheel.arm(node, now + wait);
      armed[node] = armed.contains(node) ? std::min(armed[node], now + wait) : now + wait;
    }
    if (!armed.empty()) {
      Nanos earliest = kNever;
      for (const auto& [n, at] : armed) earliest = std::min(earliest, at);
      ASSERT_LT(wheel.next(), std::max(earliest, now) + 2 * Wheel::kTick);  // never late
    }
    now += static_cast<Nanos>(prng.below(uint64_t{1} << prng.between(5, 40)));
    std::set<uint32_t> fired;
    while (const auto out = wheel.expire(now)) ASSERT_TRUE(fired.insert(*out).second);
    for (const uint32_t f : fired) {
      ASSERT_TRUE(armed.contains(f));
      // What lies beyond the wheel's end fires early, and is put in again.
      ASSERT_TRUE(armed[f] <= now || armed[f] > Wheel::kTick << 24);
      armed.erase(f);
    }
    for (const auto& [n, at] : armed) ASSERT_GT(at + Wheel::kTick, now) << "node " << n << " was left";
  }
}

std::byte at_place(size_t place) { return static_cast<std::byte>(place * 37 + place / 256); }

TEST(Reassembly, AgreesWithAMapOfBytes) {
  for (uint64_t seed = 1; seed <= 200; ++seed) {
    Prng prng(seed);
    HeapBuffers heap;
    const SeqNumber base{static_cast<uint32_t>(prng.next())};
    constexpr size_t kBytes = 600;
    std::vector<bool> have(kBytes, false);
    size_t next = 0;
    {
      Reassembly reassembly;
      BufferChain chain;
      while (next < kBytes) {
        const size_t begin = prng.between(next, kBytes - 1);
        const size_t n = std::min<size_t>(kBytes - begin, prng.between(1, 60));
        std::vector<std::byte> bytes(n);
        for (size_t i = 0; i < n; ++i) bytes[i] = at_place(begin + i);
        if (begin > next) {
          size_t fresh = 0;
          for (size_t i = begin; i < begin + n; ++i) fresh += have[i] ? 0 : 1;
          const auto inserted = reassembly.insert(base + static_cast<uint32_t>(begin), heap.copy_of(bytes), heap);
          ASSERT_EQ(inserted.bytes, fresh);
          ASSERT_EQ(inserted.duplicate, fresh < n);
          ASSERT_EQ(inserted.evicted, 0u);
          for (size_t i = begin; i < begin + n; ++i) have[i] = true;
        } else {
          for (size_t i = begin; i < begin + n; ++i) have[i] = true;
          chain.append(heap.copy_of(bytes));
          next += n;
          next = static_cast<size_t>(reassembly.take(base + static_cast<uint32_t>(next), chain) - base);
          size_t expected = begin;
          while (expected < kBytes && have[expected]) ++expected;
          ASSERT_EQ(next, expected);
        }
        size_t held = 0;
        for (size_t i = next; i < kBytes; ++i) held += have[i] ? 1 : 0;
        ASSERT_EQ(reassembly.bytes(), held);
        for (size_t r = 0; r < reassembly.range_count(); ++r) {
          for (SeqNumber s = reassembly.range(r).begin; s < reassembly.range(r).end; s += 1) {
            ASSERT_TRUE(have[static_cast<size_t>(s - base)]);
          }
        }
      }
      ASSERT_EQ(chain.size(), kBytes);
      std::vector<std::byte> all(kBytes);
      chain.copy_out(0, all);
      for (size_t i = 0; i < kBytes; ++i) ASSERT_EQ(all[i], at_place(i)) << "seed " << seed;
    }
    ASSERT_EQ(heap.bytes(), 0u);
  }
}

TEST(Reassembly, AtTheBoundTheHighestRangeGoes) {
  HeapBuffers heap;
  Reassembly reassembly;
  const std::vector<std::byte> two(2);
  const auto insert = [&](uint32_t at) { return reassembly.insert(SeqNumber{at}, heap.copy_of(two), heap); };
  for (uint32_t i = 0; i < Reassembly::kRangesMax; ++i) insert(1000 - 10 * i);
  const auto inserted = insert(100);
  EXPECT_EQ(inserted.evicted, 2u);
  EXPECT_EQ(reassembly.range_count(), Reassembly::kRangesMax);
  EXPECT_EQ(reassembly.range(0).begin, SeqNumber{100});
  EXPECT_EQ(reassembly.range(Reassembly::kRangesMax - 1).begin, SeqNumber{990});
}

// Single bytes ahead of a hole, from the front, from the end, and as ranges that grow together: few buffers, few moves.
TEST(Reassembly, SingleBytesShareBuffers) {
  constexpr uint32_t kBytes = 20'000;
  enum Order { kUp, kDown, kPairs, kDownInPairs };
  for (const Order order : {kUp, kDown, kPairs, kDownInPairs}) {
    HeapBuffers heap;
    Reassembly reassembly;
    size_t most = 0;
    for (uint32_t i = 0; i < kBytes; ++i) {
      const uint32_t swapped = i ^ 1;
      const uint32_t place = order == kUp      ? i
                             : order == kDown  ? kBytes - 1 - i
                             : order == kPairs ? swapped
                                               : kBytes - 1 - swapped;
      const std::byte byte = at_place(place);
      const auto inserted = reassembly.insert(SeqNumber{100 + place}, heap.copy_of({&byte, 1}), heap);
      ASSERT_EQ(inserted.evicted, 0u);
      most = std::max(most, heap.buffers());
      ASSERT_EQ(reassembly.buffers(), heap.buffers());
    }
    EXPECT_LE(most, kBytes / kCompactBelow + 2) << "order " << order;
    EXPECT_LE(reassembly.moved(), kBytes) << "order " << order;
    BufferChain chain;
    EXPECT_EQ(reassembly.take(SeqNumber{100}, chain), SeqNumber{100 + kBytes});
    std::vector<std::byte> all(kBytes);
    chain.copy_out(0, all);
    for (size_t i = 0; i < kBytes; ++i) ASSERT_EQ(all[i], at_place(i)) << "order " << order;
    EXPECT_EQ(reassembly.buffers(), 0u);
  }
}

class ExactBuffers final : public BufferPool {
 public:
  Buffer make(size_t n) { return Buffer(*this, {new std::byte[n], n}, n); }
  void release(std::span<std::byte> memory) override { delete[] memory.data(); }
};

// Whole segments from the end on are put before the others, not the others behind them.
TEST(Reassembly, SegmentsFromTheEndMoveNothing) {
  ExactBuffers exact;
  HeapBuffers heap;
  Reassembly reassembly;
  for (uint32_t i = 1000; i > 0; --i) reassembly.insert(SeqNumber{100 + 1000 * i}, exact.make(1000), heap);
  EXPECT_EQ(reassembly.bytes(), 1'000'000u);
  EXPECT_EQ(reassembly.moved(), 0u);
  // A range that is short beside them moves, whichever is the lower.
  reassembly.insert(SeqNumber{100 + 1002 * 1000}, exact.make(1000), heap);
  reassembly.insert(SeqNumber{100 + 1001 * 1000}, exact.make(1000), heap);
  EXPECT_EQ(reassembly.range_count(), 1u);
  EXPECT_EQ(reassembly.moved(), 1u);
}

// What has no room behind it cannot be shared: then there is a bound on how many buffers the bytes may lie in.
TEST(Reassembly, BuffersAreBoundedByBytes) {
  ExactBuffers exact;
  HeapBuffers heap;
  Reassembly reassembly;
  size_t evicted = 0;
  for (uint32_t i = 0; i < 1000; ++i) {
    evicted += reassembly.insert(SeqNumber{10'000 - 10 * i}, exact.make(10), heap).evicted;
    ASSERT_LE(reassembly.buffers(), Reassembly::kRangesMax + reassembly.bytes() / Reassembly::kBytesPerBuffer);
  }
  EXPECT_GT(evicted, 0u);
}

TEST(Scoreboard, SumsAgreeWithARecount) {
  for (uint64_t seed = 1; seed <= 50; ++seed) {
    Prng prng(seed);
    Scoreboard board;
    SeqNumber una{static_cast<uint32_t>(prng.next())};
    SeqNumber nxt = una;
    for (int i = 0; i < 2000; ++i) {
      const size_t at = board.empty() ? 0 : prng.below(board.size());
      switch (prng.below(8)) {
        case 0:
        case 1: {
          if (board.full()) break;
          const auto n = static_cast<uint32_t>(prng.between(1, 1500));
          board.sent(nxt, n, i);
          nxt += n;
          break;
        }
        case 2:
          if (!board.empty() && !board[at].sacked) board.mark_lost(at);
          break;
        case 3:
          if (!board.empty()) board.mark_sacked(at);
          break;
        case 4:
          if (const size_t lost = board.first_to_resend(); lost < board.size()) {
            for (size_t k = 0; k < lost; ++k) ASSERT_FALSE(board[k].lost && !board[k].resent);
            board.resent(lost, i);
          }
          break;
        case 5:
          if (!board.empty() && board[at].bytes > 1) board.split(at, board[at].bytes / 2);
          break;
        case 6: {
          una += static_cast<uint32_t>(prng.below(seq_bytes(una, nxt) + 1));
          SentSegment gone;
          while (board.drop_acked(una, gone)) ASSERT_LE(gone.end(), una);
          break;
        }
        default:
          if (prng.one_in(20)) board.mark_all_lost();
          if (prng.one_in(40)) board.clear_sacked();
          if (prng.one_in(40)) board.clear_lost();
          break;
      }
      ASSERT_EQ(board.pipe(), board.recount());
      ASSERT_EQ(board.outstanding(), seq_bytes(una, nxt));
      if (!board.empty()) {
        ASSERT_EQ(board.front().seq, una);
        ASSERT_EQ(board.back().end(), nxt);
      }
    }
  }
}

// Memory that is overwritten when it is back.
struct Lent final : net::TxOwner {
  void release(uint64_t token) override { EXPECT_EQ(out.erase(token), 1u); }
  std::vector<uint64_t> tokens() const {
    std::vector<uint64_t> all;
    for (const auto& [token, bytes] : out) all.push_back(token);
    return all;
  }
  std::map<uint64_t, std::vector<std::byte>> out;
};

TEST(SendQueue, GathersWhatWasAppended) {
  Prng prng(9);
  Lent lent;
  SendMemory memory({.blocks = 32, .shared = 8, .frames_flying = 4}, {});
  SendQueue queue;
  std::vector<std::byte> model;
  size_t place = 0;
  for (int i = 0; i < 20'000; ++i) {
    if (prng.one_in(6)) {
      std::vector<std::byte> bytes(prng.between(1, 20'000));
      for (size_t k = 0; k < bytes.size(); ++k) bytes[k] = at_place(place + k);
      const auto region = memory.take_shared(lent, static_cast<uint64_t>(i), bytes.size());
      if (!region) continue;
      place += bytes.size();
      model.insert(model.end(), bytes.begin(), bytes.end());
      const auto& kept = lent.out[static_cast<uint64_t>(i)] = std::move(bytes);
      queue.append_shared(*region, kept);
    } else if (prng.one_in(12)) {
      // Whatever is asked back comes back at once, and there is room for all of it.
      const auto is_asked = [&](uint64_t token) { return token % 3 != 0; };
      std::vector<uint64_t> stay = lent.tokens();
      std::erase_if(stay, is_asked);
      queue.copy_out(memory, lent, is_asked);
      ASSERT_EQ(lent.tokens(), stay);
    } else if (prng.one_in(2)) {
      std::vector<std::byte> bytes(prng.between(1, 3000));
      for (std::byte& b : bytes) b = at_place(place++);
      const size_t taken = queue.append_copy(memory, bytes);
      model.insert(model.end(), bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(taken));
      place -= bytes.size() - taken;
    } else if (!model.empty() && prng.one_in(3)) {
      const size_t n = prng.between(1, model.size());
      queue.drop_front(memory, n);
      model.erase(model.begin(), model.begin() + static_cast<std::ptrdiff_t>(n));
    } else if (!model.empty()) {
      const size_t at = prng.below(model.size());
      const auto gathered = queue.gather(at, prng.between(1, model.size() - at));
      size_t k = at;
      for (size_t p = 0; p < gathered.count; ++p) {
        for (const std::byte b : gathered.pieces[p].bytes) ASSERT_EQ(b, model[k++]);
      }
      ASSERT_EQ(k - at, gathered.bytes);
    }
    ASSERT_EQ(queue.bytes(), model.size());
  }
  queue.clear(memory);
  EXPECT_EQ(memory.blocks_free(), 32u);
  EXPECT_EQ(memory.regions_used(), 0u);
  EXPECT_TRUE(lent.out.empty());
}

// However many peers do not read, as long as each takes what it may: the next one gets something.
TEST(SendQueue, LeavesMemoryForOthers) {
  SendMemory memory({.blocks = 8192, .shared = 8, .frames_flying = 4}, {});
  const std::vector<std::byte> bytes(4 * kMiB);
  std::vector<SendQueue> queues(500);
  for (SendQueue& queue : queues) {
    const size_t share = memory.share();
    const size_t taken = queue.append_copy(memory, std::span(bytes).first(std::min(share, bytes.size())));
    ASSERT_GE(taken, 2 * SendMemory::kBlockBytes);
    ASSERT_EQ(queue.held(), taken);
  }
  EXPECT_EQ(queues[0].held(), 4 * kMiB);  // one alone is not held back
  for (SendQueue& queue : queues) {
    queue.drop_front(memory, 5000);
    ASSERT_EQ(queue.held(), queue.bytes());
    queue.clear(memory);
    ASSERT_EQ(queue.held(), 0u);
  }
  EXPECT_EQ(memory.blocks_free(), 8192u);
}

// RFC 9438 figures 1 and 2: the window is back at its maximum after K seconds, and grows as C (t - K)^3 around it.
TEST(Cubic, FollowsTheCurve) {
  constexpr uint32_t kMss = 1000;
  constexpr Nanos kRtt = 100 * kMillisecond;
  Cubic cubic;
  cubic.start(kMss);
  cubic.set_cwnd(1000 * kMss);
  cubic.on_congestion(1000 * kMss);
  EXPECT_EQ(cubic.ssthresh(), 700 * kMss);
  cubic.set_cwnd(cubic.ssthresh());
  const double k = std::cbrt(1000 * (1 - Cubic::kBeta) / Cubic::kC);
  Nanos now = kSecond;
  for (int round = 0; round * 0.1 < 2 * k; ++round) {
    for (int part = 0; part < 10; ++part) {
      cubic.on_ack(cubic.cwnd() / 10, now, kRtt, true);
      now += kRtt / 10;
    }
    const double t = static_cast<double>(now - kSecond) / kSecond;
    const double wanted = Cubic::kC * std::pow(t - k, 3) + 1000;
    EXPECT_NEAR(cubic.cwnd() / static_cast<double>(kMss), wanted, wanted * 0.03 + 2) << "at " << t;
  }
}

TEST(Cubic, DoesNotGrowWithoutNeed) {
  Cubic cubic;
  cubic.start(1000);
  cubic.on_ack(10'000, kSecond, kMillisecond, false);
  EXPECT_EQ(cubic.cwnd(), 10'000u);
  cubic.on_ack(10'000, kSecond, kMillisecond, true);
  EXPECT_EQ(cubic.cwnd(), 20'000u);
  EXPECT_EQ(Cubic::initial_window(1460), 14'600u);
  EXPECT_EQ(Cubic::initial_window(9000), 18'000u);
  EXPECT_EQ(Cubic::initial_window(536), 5'360u);
}

TEST(Rtt, FollowsRfc6298) {
  Rtt rtt;
  rtt.start(0);
  EXPECT_EQ(rtt.rto(), kSecond);
  rtt.sample(100 * kMillisecond, 0);
  EXPECT_EQ(rtt.rto(), 300 * kMillisecond);  // SRTT + 4 RTT/2
  rtt.sample(180 * kMillisecond, 0);
  EXPECT_EQ(rtt.srtt(), 110 * kMillisecond);       // 7/8 * 100 + 1/8 * 180
  EXPECT_EQ(rtt.rttvar(), 57'500 * kMicrosecond);  // 3/4 * 50 + 1/4 * 80
  EXPECT_EQ(rtt.rto(), (110 + 4 * 57) * kMillisecond + 4 * 500 * kMicrosecond);
  rtt.back_off();
  EXPECT_EQ(rtt.rto(), 2 * rtt.base());
  for (int i = 0; i < 40; ++i) rtt.back_off();
  EXPECT_EQ(rtt.rto(), kRtoMax);
  EXPECT_EQ(rtt.min_rtt(), 100 * kMillisecond);
}

class NoNetwork final : public net::IpOutput {
 public:
  bool send(const net::IpAddress&, const net::IpAddress&, std::span<const std::byte>, std::span<const net::TxPiece>,
            net::TxOwner*, uint64_t, uint32_t) override {
    return true;
  }
  size_t mtu(const net::IpAddress&) const override { return 1500; }
  bool takes_references() const override { return false; }
  bool refers_to(std::span<const std::byte>) const override { return takes_references(); }
  void confirm(const net::IpAddress&) override {}
};

// Row 21 and the rule of gVisor 1398 and 4903: whatever comes and is consumed, what was promised stands, is never more
// than the buffer and a unit, and an empty buffer is never left with a closed window and nothing to say so.
TEST(Advertise, NeverGoesBackAndNeverSticks) {
  NoNetwork network;
  TcpCounters counters;
  StackOptions options;
  options.send_memory_bytes = 4096;
  Core core(options, network, counters);
  for (uint64_t seed = 1; seed <= 200; ++seed) {
    Prng prng(seed);
    Tcb t(core);
    t.state = State::kEstablished;
    t.irs = SeqNumber{static_cast<uint32_t>(prng.next())};
    t.rcv_nxt = t.rcv_consumed = t.irs + 1;
    t.rcv_scale = static_cast<uint8_t>(prng.below(8));
    t.receive_limit = size_t{8} << (t.rcv_scale + prng.below(6));
    t.rcv_adv = t.rcv_nxt + static_cast<uint32_t>(t.receive_limit);
    t.rcv_mss = static_cast<uint16_t>(prng.between(64, 1460));
    for (int i = 0; i < 2000; ++i) {
      if (prng.one_in(2)) t.rcv_nxt += static_cast<uint32_t>(prng.below(t.rcv_wnd() + 1));
      if (prng.one_in(2)) t.rcv_consumed += static_cast<uint32_t>(prng.below(seq_bytes(t.rcv_consumed, t.rcv_nxt) + 1));
      const SeqNumber before = t.rcv_adv;
      const bool due = window_update_due(t);
      const uint32_t field = advertise(t);
      ASSERT_GE(t.rcv_adv, before);
      ASSERT_LE(t.rcv_adv, t.rcv_consumed + static_cast<uint32_t>(t.receive_limit) + (1u << t.rcv_scale));
      ASSERT_GT(t.rcv_nxt + ((field + 1) << t.rcv_scale), before);  // at most a unit is not said again
      if (due) {
        ASSERT_GT(t.rcv_adv, before);
      }
      if (t.rcv_consumed == t.rcv_nxt) {
        ASSERT_GT(field, 0u) << "closed for ever";
      }
    }
  }
}

}  // namespace
}  // namespace penstock::dataplane::tcp
