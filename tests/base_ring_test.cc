// SpscRing against a queue with random operations, and between two threads: order kept, nothing lost, nothing torn.
#include <gtest/gtest.h>

#include <deque>
#include <memory>
#include <optional>
#include <thread>

#include "base/prng.h"
#include "base/ring.h"

namespace penstock {
namespace {

TEST(SpscRing, BehavesLikeABoundedQueue) {
  for (uint64_t seed = 0; seed < 50; ++seed) {
    Prng prng(seed);
    SpscRing<uint64_t> ring(size_t{1} << prng.below(7));
    std::deque<uint64_t> model;
    const uint64_t push_percent = prng.between(20, 80);
    for (int step = 0; step < 2000; ++step) {
      ASSERT_EQ(ring.empty(), model.empty());
      if (prng.chance(static_cast<unsigned>(push_percent))) {
        uint64_t item = prng.next();
        const bool fits = model.size() < ring.capacity();
        ASSERT_EQ(ring.try_push(item), fits) << "seed " << seed << " step " << step;
        if (fits) model.push_back(item);
      } else {
        const std::optional<uint64_t> item = ring.try_pop();
        ASSERT_EQ(item.has_value(), !model.empty()) << "seed " << seed << " step " << step;
        if (!item) continue;
        ASSERT_EQ(*item, model.front()) << "seed " << seed << " step " << step;
        model.pop_front();
      }
    }
  }
}

TEST(SpscRing, AFullRingLeavesTheItemWithItsOwner) {
  SpscRing<std::unique_ptr<int>> ring(2);
  ASSERT_TRUE(ring.try_push(std::make_unique<int>(1)));
  ASSERT_TRUE(ring.try_push(std::make_unique<int>(2)));
  auto third = std::make_unique<int>(3);
  EXPECT_FALSE(ring.try_push(third));
  ASSERT_NE(third, nullptr);
  EXPECT_EQ(*third, 3);
  EXPECT_EQ(**ring.try_pop(), 1);
  EXPECT_TRUE(ring.try_push(third));
  EXPECT_EQ(third, nullptr);
  EXPECT_EQ(**ring.try_pop(), 2);
  EXPECT_EQ(**ring.try_pop(), 3);
  EXPECT_FALSE(ring.try_pop().has_value());
}

TEST(SpscRing, APoppedItemIsNotHeldByItsSlot) {
  SpscRing<std::shared_ptr<int>> ring(4);
  auto item = std::make_shared<int>(1);
  ASSERT_TRUE(ring.try_push(std::shared_ptr<int>(item)));
  EXPECT_EQ(item.use_count(), 2);
  EXPECT_TRUE(ring.try_pop().has_value());
  EXPECT_EQ(item.use_count(), 1);
  {
    SpscRing<std::shared_ptr<int>> dying(4);
    ASSERT_TRUE(dying.try_push(std::shared_ptr<int>(item)));
  }
  EXPECT_EQ(item.use_count(), 1);
}

TEST(SpscRingDeathTest, CapacityIsAPowerOfTwo) { EXPECT_DEATH(SpscRing<int>(3), "CHECK failed"); }

// Several words, so that an item seen before it is whole would show.
struct Wide {
  uint64_t number = 0;
  uint64_t mixed = 0;
  std::unique_ptr<uint64_t> far;
};

uint64_t mix(uint64_t n) { return n * 0x9e3779b97f4a7c15ULL ^ (n >> 7); }

void push_all(SpscRing<Wide>& ring, uint64_t count, uint64_t seed) {
  Prng prng(seed, 1);
  for (uint64_t n = 0; n < count; ++n) {
    Wide item{n, mix(n), std::make_unique<uint64_t>(n)};
    while (!ring.try_push(item)) std::this_thread::yield();
    if (prng.one_in(500)) std::this_thread::yield();
  }
}

TEST(SpscRing, TwoThreadsKeepOrderAndLoseNothing) {
  for (const size_t capacity : {1u, 2u, 16u, 1024u}) {
    // In a small ring each item may cost both threads a turn of a CPU that others want too.
    const uint64_t count = capacity < 16 ? 5'000 : 50'000;
    SpscRing<Wide> ring(capacity);
    std::thread producer(push_all, std::ref(ring), count, capacity);
    Prng prng(capacity, 2);
    uint64_t wrong = 0;
    for (uint64_t expected = 0; expected < count;) {
      const std::optional<Wide> item = ring.try_pop();
      if (!item) {
        std::this_thread::yield();
        continue;
      }
      if (item->number != expected || item->mixed != mix(expected) || *item->far != expected) ++wrong;
      ++expected;
      if (prng.one_in(500)) std::this_thread::yield();
    }
    producer.join();
    EXPECT_EQ(wrong, 0u) << "capacity " << capacity;
    EXPECT_TRUE(ring.empty());
  }
}

}  // namespace
}  // namespace penstock
