// The small parts of base: integers that do not mix, bytes, results, counters, randomness, log lines, the doorbell.
#include <gtest/gtest.h>
#include <poll.h>

#include <algorithm>
#include <memory>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "base/bytes.h"
#include "base/counters.h"
#include "base/doorbell.h"
#include "base/locked_memory.h"
#include "base/log.h"
#include "base/on_lcore.h"
#include "base/prng.h"
#include "base/result.h"
#include "base/strong.h"
#include "base/system_clock.h"
#include "base/units.h"

namespace penstock {
namespace {

// ---- strong integers: what must not compile, does not

template <class A, class B>
concept Addable = requires(A a, B b) { a + b; };
template <class A, class B>
concept Subtractable = requires(A a, B b) { a - b; };
template <class A, class B>
concept Comparable = requires(A a, B b) { a < b; };
template <class A, class B>
concept Equatable = requires(A a, B b) { a == b; };

using Apple = Position<struct AppleTag>;
using Pear = Position<struct PearTag>;
using Key = Id<struct KeyTag, int32_t>;
using Lock = Id<struct LockTag, int32_t>;

static_assert(Addable<Apple, int64_t> && Subtractable<Apple, Apple> && Comparable<Apple, Apple>);
static_assert(!Addable<Apple, Apple> && !Addable<Apple, Pear> && !Subtractable<Apple, Pear>);
static_assert(!Comparable<Apple, Pear> && !Equatable<Apple, Pear> && !Comparable<Apple, int64_t>);
static_assert(!std::is_convertible_v<Apple, int64_t> && !std::is_convertible_v<int64_t, Apple>);
static_assert(!std::is_convertible_v<Apple, Pear> && !std::is_constructible_v<Pear, Apple>);
static_assert(Comparable<Key, Key> && !Addable<Key, Key> && !Addable<Key, int32_t> && !Subtractable<Key, Key>);
static_assert(!Equatable<Key, Lock> && !Equatable<Key, int32_t> && !std::is_constructible_v<Lock, Key>);
static_assert(sizeof(Key) == 4 && sizeof(Apple) == 8 && std::is_trivially_copyable_v<Apple>);
static_assert(Apple{7} + 3 == Apple{10} && Apple{10} - Apple{7} == 3 && Apple{} == Apple{0} && Apple{-1} < Apple{0});

TEST(Strong, BehavesLikeItsNumberWhereItMay) {
  Prng prng(1);
  for (int i = 0; i < 1000; ++i) {
    const int64_t a = static_cast<int64_t>(prng.next() >> 2), n = static_cast<int64_t>(prng.below(1 << 20));
    Apple position{a};
    EXPECT_EQ((position + n).value(), a + n);
    EXPECT_EQ((position + n) - position, n);
    EXPECT_EQ(position < position + n, n > 0);
    position += n;
    EXPECT_EQ(position.value(), a + n);
    EXPECT_EQ(std::hash<Key>{}(Key{static_cast<int32_t>(n)}), std::hash<int32_t>{}(static_cast<int32_t>(n)));
  }
}

// ---- bytes and units

TEST(Bytes, LoadsWhatWasStoredAtAnyAlignment) {
  std::byte memory[16] = {};
  store_be<uint32_t>(memory + 1, 0x01020304);
  EXPECT_EQ(memory[1], std::byte{1});
  EXPECT_EQ(memory[4], std::byte{4});
  store_le<uint32_t>(memory + 5, 0x01020304);
  EXPECT_EQ(memory[5], std::byte{4});
  Prng prng(2);
  for (int i = 0; i < 1000; ++i) {
    const auto v = static_cast<int64_t>(prng.next());
    std::byte* at = memory + prng.below(8);
    store_be(at, v);
    EXPECT_EQ(load_be<int64_t>(at), v);
    EXPECT_EQ(load_le<int64_t>(at), std::byteswap(v));
    store_le(at, static_cast<int16_t>(v));
    EXPECT_EQ(load_le<int16_t>(at), static_cast<int16_t>(v));
  }
  EXPECT_EQ(as_text(as_bytes("abc")), "abc");
}

TEST(Units, Align) {
  Prng prng(3);
  for (int i = 0; i < 1000; ++i) {
    const uint64_t unit = prng.between(1, 5000), n = prng.below(kGiB);
    EXPECT_EQ(align_up(n, unit) % unit, 0u);
    EXPECT_LT(align_up(n, unit) - n, unit);
    EXPECT_LT(n - align_down(n, unit), unit);
    EXPECT_EQ(align_down(align_up(n, unit), unit), align_up(n, unit));
  }
}

// ---- results

Result<std::unique_ptr<int>> make(int n) {
  if (n < 0) return fail(Errc::kInvalid, EINVAL);
  return std::make_unique<int>(n);
}
Result<void> even(int n) {
  if (n % 2 != 0) return fail(Errc::kCorrupt);
  return {};
}
Result<int> twice(int n, int& reached) {
  const std::unique_ptr<int> value = TRY(make(n));
  reached = 1;
  TRY_VOID(even(*value));
  reached = 2;
  return *value * 2;
}

TEST(Result, TryReturnsTheFirstError) {
  static_assert(sizeof(Error) == 8);
  int reached = 0;
  EXPECT_EQ(twice(4, reached).value(), 8);
  EXPECT_EQ(reached, 2);
  reached = 0;
  EXPECT_EQ(twice(-1, reached).error(), (Error{Errc::kInvalid, EINVAL}));
  EXPECT_EQ(reached, 0);
  EXPECT_EQ(twice(3, reached).error(), (Error{Errc::kCorrupt, 0}));
  EXPECT_EQ(reached, 1);
  EXPECT_EQ(to_string(Errc::kNoSpace), "no space left");
}

// ---- counters

enum class Fruit { kApples, kPears, kCount };

TEST(Counters, OneWriterAnyReader) {
  constexpr uint64_t kAdds = 100'000;
  Counters<Fruit> counters;
  std::thread writer([&] {
    for (uint64_t i = 0; i < kAdds; ++i) counters.add(Fruit::kApples, i % 3);
    counters.set(Fruit::kPears, 7);
  });
  uint64_t seen = 0, backwards = 0;
  while (counters.get(Fruit::kPears) != 7) {
    const uint64_t now = counters.get(Fruit::kApples);
    backwards += now < seen ? 1 : 0;
    seen = now;
    std::this_thread::yield();
  }
  writer.join();
  EXPECT_EQ(backwards, 0u);
  EXPECT_EQ(counters.get(Fruit::kApples), kAdds / 3 * 3);
}

// ---- randomness

// Seeds are written into issues and replayed later, so the stream of a seed may never change. The values come from an
// implementation of the published algorithm in another language.
TEST(Prng, TheStreamOfASeedNeverChanges) {
  Prng a(0), b(42), c(42, 7);
  EXPECT_EQ(a.next(), 0x99ec5f36cb75f2b4u);
  EXPECT_EQ(a.next(), 0xbf6e1f784956452au);
  EXPECT_EQ(b.next(), 0x15780b2e0c2ec716u);
  EXPECT_EQ(b.next(), 0x6104d9866d113a7eu);
  EXPECT_EQ(c.next(), 0x22459fd7633d5944u);
}

TEST(Prng, StaysWithinItsBounds) {
  Prng prng(5);
  for (int i = 0; i < 20'000; ++i) {
    const uint64_t bound = (prng.next() >> prng.below(64)) | 1;
    ASSERT_LT(prng.below(bound), bound);
    ASSERT_EQ(prng.below(1), 0u);
    const uint64_t low = prng.next() >> 40, high = low + prng.below(10);
    const uint64_t n = prng.between(low, high);
    ASSERT_TRUE(low <= n && n <= high);
  }
  std::set<uint64_t> seen;
  for (int i = 0; i < 1000; ++i) seen.insert(prng.between(3, 7));
  EXPECT_EQ(seen, (std::set<uint64_t>{3, 4, 5, 6, 7}));
  int hits = 0, chances = 0;
  for (int i = 0; i < 80'000; ++i) {
    hits += prng.one_in(8) ? 1 : 0;
    chances += prng.chance(25) ? 1 : 0;
  }
  EXPECT_NEAR(hits, 10'000, 600);  // six deviations; the seed is fixed
  EXPECT_NEAR(chances, 20'000, 800);
  EXPECT_FALSE(prng.chance(0));
  EXPECT_TRUE(prng.chance(100));
}

TEST(Prng, StreamsOfOneSeedDiffer) {
  Prng a(9, 1), b(9, 2), again(9, 1);
  std::vector<std::byte> x(64), y(64), z(64);
  a.fill(x);
  b.fill(y);
  again.fill(z);
  EXPECT_NE(x, y);
  EXPECT_EQ(x, z);
}

// ---- log

std::vector<std::string> lines;
void keep(LogLevel level, std::string_view text) {
  lines.push_back(std::to_string(static_cast<int>(level)) + " " + std::string(text));
}

TEST(Log, AFullRingDropsAndCounts) {
  lines.clear();
  set_log_sink(keep);
  LogRing ring(4);
  const uint64_t dropped = log_lines_dropped();
  std::thread lcore([&] {
    set_thread_log_ring(&ring);
    for (int i = 0; i < 10; ++i) log_line(i == 3 ? LogLevel::kError : LogLevel::kInfo, "line %d", i);
    set_thread_log_ring(nullptr);
  });
  lcore.join();
  EXPECT_TRUE(lines.empty()) << "an lcore wrote to the sink itself";
  drain_log_ring(ring);
  EXPECT_EQ(lines, (std::vector<std::string>{"1 line 0", "1 line 1", "1 line 2", "3 line 3"}));
  EXPECT_EQ(log_lines_dropped() - dropped, 6u);

  log_line(LogLevel::kWarn, "%s", std::string(2000, 'x').c_str());  // no ring: straight to the sink, cut
  ASSERT_EQ(lines.size(), 5u);
  EXPECT_EQ(lines.back(), "2 " + std::string(499, 'x'));
  log_line(LogLevel::kInfo, "%s", std::string(499, 'y').c_str());
  EXPECT_EQ(lines.back(), "1 " + std::string(499, 'y'));
}

// ---- doorbell, clock, ownership

bool rings(const Doorbell& doorbell, int timeout_ms) {
  pollfd fd{.fd = doorbell.fd(), .events = POLLIN, .revents = 0};
  return poll(&fd, 1, timeout_ms) == 1;
}

TEST(Doorbell, WakesASleeperOnceForAnyNumberOfRings) {
  Doorbell doorbell;
  EXPECT_FALSE(rings(doorbell, 0));
  std::thread other([&] {
    for (int i = 0; i < 100; ++i) doorbell.ring();
  });
  EXPECT_TRUE(rings(doorbell, 30'000));
  other.join();
  doorbell.clear();
  EXPECT_FALSE(rings(doorbell, 0));
  doorbell.clear();  // of a silent one: no harm
  doorbell.ring();
  EXPECT_TRUE(rings(doorbell, 0));
}

TEST(SystemClock, MonotonicNeverGoesBack) {
  SystemClock clock;
  Nanos last = clock.monotonic();
  for (int i = 0; i < 1000; ++i) {
    const Nanos now = clock.monotonic();
    ASSERT_GE(now, last);
    last = now;
  }
  EXPECT_GT(clock.wall_ms(), 1'600'000'000'000);  // after 2020: the unit is milliseconds
}

#ifdef PENSTOCK_DCHECK
TEST(OnLcoreDeathTest, OnlyItsThreadMayEnter) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  OnLcore owner;
  owner.check();
  EXPECT_DEATH(std::thread([&] { owner.check(); }).join(), "CHECK failed");
  owner.hand_over();
  std::thread([&] { owner.check(); }).join();
}
#endif

// ---- advice

TEST(QueueMemory, ALockedMemoryLimitIsNamedOnlyIfItIsLow) {
  for (const rlim_t low : {rlim_t{0}, rlim_t{64 * kKiB}, rlim_t{8 * kMiB}})
    EXPECT_NE(hint_for_queue_memory(low).find("ulimit -l"), std::string_view::npos) << low;
  for (const rlim_t high : {rlim_t{RLIM_INFINITY}, rlim_t{64 * kMiB}, rlim_t{8 * kGiB}}) {
    EXPECT_EQ(hint_for_queue_memory(high).find("ulimit"), std::string_view::npos) << high;
    EXPECT_NE(hint_for_queue_memory(high).find("memory.max"), std::string_view::npos) << high;
  }
}

}  // namespace
}  // namespace penstock
