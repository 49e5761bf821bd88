// The neighbour cache by itself: states, bounds, and who is told.
#include <gtest/gtest.h>

#include <set>

#include "tests/net/net_frames.h"

namespace penstock::net_test {
namespace {

using How = net::Neighbours::How;
using net::Neighbours;
using net::NetMetric;

class NetNeighbours : public ::testing::Test {
 protected:
  std::vector<Neighbours::Probe> probes() {
    std::vector<Neighbours::Probe> all;
    cache_.poll(now_, [&](const Neighbours::Probe& probe) { all.push_back(probe); });
    return all;
  }
  static net::TxFrame frame(Owner* owner = nullptr, uint64_t token = 0) {
    net::TxFrame f;
    f.header.fill({});
    f.header_bytes = 54;
    f.l2_bytes = 14;
    f.l3_bytes = 20;
    f.owner = owner;
    f.owner_token = token;
    return f;
  }
  static net::TxFrame syn(uint16_t port) {
    net::TxFrame f = frame();
    f.is_v4 = true;
    f.l4_bytes = 20;
    store_be(f.header.data() + 34, port);
    f.header[47] = std::byte{0x02};
    return f;
  }

  Owner owner_;  // outlives what waits
  net::NetCounters counters_;
  Neighbours cache_{8, 100, 1, counters_};
  Nanos now_ = kSecond;
};

TEST_F(NetNeighbours, AsksOncePerSecondThreeTimesAndGivesUp) {
  Owner owner;
  EXPECT_FALSE(cache_.resolve(kPeer, now_));
  ASSERT_TRUE(cache_.hold(kPeer, frame(&owner, 5)));
  for (int i = 0; i < 3; ++i) {
    const auto asked = probes();
    ASSERT_EQ(asked.size(), 1u);
    EXPECT_EQ(asked[0].address, kPeer);
    EXPECT_TRUE(asked[0].mac.is_zero());
    EXPECT_TRUE(probes().empty());
    now_ += kSecond - 1;
    EXPECT_FALSE(cache_.resolve(kPeer, now_));
    EXPECT_TRUE(probes().empty());
    now_ += 1;
    EXPECT_EQ(cache_.next_due(), now_);
  }
  EXPECT_TRUE(owner.released.empty());
  EXPECT_TRUE(probes().empty());
  EXPECT_EQ(owner.released, std::vector<uint64_t>{5});
  EXPECT_EQ(counters_.get(NetMetric::net_neighbours_lost), 1u);
  EXPECT_EQ(cache_.size(), 0u);
  EXPECT_EQ(cache_.next_due(), Neighbours::kNever);
}

TEST_F(NetNeighbours, AnAnswerSendsWhatWaitsInItsOrder) {
  cache_.resolve(kPeer, now_);
  for (uint64_t i = 0; i < 10; ++i) {
    net::TxFrame f = frame();
    f.owner_token = i;
    ASSERT_TRUE(cache_.hold(kPeer, f));
  }
  EXPECT_EQ(cache_.next_ready(), nullptr);
  cache_.learn(kPeer, kPeerMac, How::kAnswer, now_);
  for (uint64_t i = 0; i < 10; ++i) {
    const net::TxFrame* ready = cache_.next_ready();
    ASSERT_NE(ready, nullptr);
    EXPECT_EQ(ready->owner_token, i);
    EXPECT_EQ(net::MacAddress::at(ready->header.data()), kPeerMac);
  }
  EXPECT_EQ(cache_.next_ready(), nullptr);
  EXPECT_EQ(cache_.held(), 0u);
  EXPECT_EQ(cache_.resolve(kPeer, now_), kPeerMac);
}

TEST_F(NetNeighbours, BoundsOfWhatWaits) {
  cache_.resolve(kPeer, now_);
  for (uint64_t i = 0; i < Neighbours::kHeldPerNeighbour; ++i) ASSERT_TRUE(cache_.hold(kPeer, frame(&owner_, i)));
  EXPECT_FALSE(cache_.hold(kPeer, frame(&owner_, 99)));  // a neighbour's share
  const auto other = ip("10.0.0.3");
  cache_.resolve(other, now_);
  for (int i = 0; i < 36; ++i) ASSERT_TRUE(cache_.hold(other, frame()));
  EXPECT_FALSE(cache_.hold(other, frame()));  // the pool of 100
  EXPECT_TRUE(owner_.released.empty());       // a frame that was refused stays the caller's
  EXPECT_EQ(counters_.get(NetMetric::net_neighbour_dropped), 2u);

  net::TxFrame only_lent = frame();
  only_lent.piece_count = 1;
  const auto third = ip("10.0.0.4");
  cache_.learn(other, kPeerMac, How::kAnswer, now_);
  while (cache_.next_ready() != nullptr) {
  }
  cache_.resolve(third, now_);
  EXPECT_FALSE(cache_.hold(third, only_lent));
}

TEST_F(NetNeighbours, ARepeatedSynWaitsOnce) {
  cache_.resolve(kPeer, now_);
  EXPECT_TRUE(cache_.hold(kPeer, syn(1000)));
  EXPECT_FALSE(cache_.hold(kPeer, syn(1000)));
  EXPECT_TRUE(cache_.hold(kPeer, syn(1001)));
  EXPECT_EQ(cache_.held(), 2u);
}

TEST_F(NetNeighbours, AfterFiveMinutesItIsAskedWhileStillUsed) {
  cache_.resolve(kPeer, now_);
  cache_.learn(kPeer, kPeerMac, How::kAnswer, now_);
  now_ += Neighbours::kReachableFor - 1;
  EXPECT_EQ(cache_.resolve(kPeer, now_), kPeerMac);
  EXPECT_EQ(probes().size(), 0u);
  now_ += 1;
  EXPECT_EQ(cache_.resolve(kPeer, now_), kPeerMac);
  EXPECT_EQ(probes().size(), 0u);
  now_ += Neighbours::kDelayBeforeProbe;
  for (int i = 0; i < 3; ++i, now_ += kSecond) {  // itself, three times
    const auto asked = probes();
    ASSERT_EQ(asked.size(), 1u);
    EXPECT_EQ(asked[0].mac, kPeerMac);
    EXPECT_EQ(cache_.resolve(kPeer, now_), kPeerMac);
  }
  for (int i = 0; i < 2; ++i, now_ += kSecond) {  // then all; and frames still go where they went
    const auto asked = probes();
    ASSERT_EQ(asked.size(), 1u);
    EXPECT_TRUE(asked[0].mac.is_zero());
    EXPECT_EQ(cache_.resolve(kPeer, now_), kPeerMac);
  }
  cache_.learn(kPeer, mac("02:00:00:00:00:09"), How::kAnswer, now_);
  EXPECT_EQ(cache_.resolve(kPeer, now_), mac("02:00:00:00:00:09"));
  EXPECT_TRUE(probes().empty());
}

// A SYN or a gratuitous ARP is anybody's word.
TEST_F(NetNeighbours, UnaskedWordsDoNotMoveWhoHasAnswered) {
  const auto other = mac("02:00:00:00:00:09");
  cache_.learn(kPeer, other, How::kSeen, now_);
  cache_.learn(kPeer, kPeerMac, How::kSeen, now_);  // nobody has answered yet: the last one counts
  EXPECT_EQ(cache_.resolve(kPeer, now_), kPeerMac);
  cache_.confirm(kPeer, now_);
  for (const How how : {How::kSeen, How::kChanged}) {
    now_ += 2 * kSecond;
    cache_.learn(kPeer, other, how, now_);
    cache_.learn(kPeer, other, how, now_);
    EXPECT_EQ(cache_.resolve(kPeer, now_), kPeerMac);
    const auto asked = probes();  // at once, and of all
    ASSERT_EQ(asked.size(), 1u);
    EXPECT_TRUE(asked[0].mac.is_zero());
    cache_.learn(kPeer, kPeerMac, How::kAnswer, now_);
    cache_.learn(kPeer, other, how, now_);  // again: asked once a second at most
    EXPECT_TRUE(probes().empty());
    EXPECT_EQ(cache_.next_due(), now_ + kSecond);
    cache_.learn(kPeer, kPeerMac, How::kAnswer, now_);
  }
  now_ += 2 * kSecond;
  cache_.learn(kPeer, other, How::kChanged, now_);
  EXPECT_EQ(probes().size(), 1u);
  cache_.learn(kPeer, other, How::kAnswer, now_);  // it has moved
  EXPECT_EQ(cache_.resolve(kPeer, now_), other);
}

TEST_F(NetNeighbours, WhoAnswersNobodyIsForgotten) {
  cache_.learn(kPeer, kPeerMac, How::kSeen, now_);
  EXPECT_EQ(cache_.resolve(kPeer, now_), kPeerMac);
  now_ += Neighbours::kDelayBeforeProbe;
  for (int i = 0; i < 6; ++i, now_ += kSecond) EXPECT_EQ(probes().size(), 1u);
  EXPECT_TRUE(probes().empty());
  EXPECT_EQ(cache_.size(), 0u);
  EXPECT_EQ(counters_.get(NetMetric::net_neighbours_lost), 1u);
}

TEST_F(NetNeighbours, AnAnswerWithoutAMacConfirmsWhatIsKnownAndNothingElse) {
  cache_.learn(kPeer, {}, How::kConfirmed, now_);
  EXPECT_EQ(cache_.size(), 0u);
  cache_.resolve(kPeer, now_);
  cache_.learn(kPeer, {}, How::kConfirmed, now_);
  EXPECT_FALSE(cache_.resolve(kPeer, now_));
  cache_.learn(kPeer, kPeerMac, How::kSeen, now_);
  cache_.resolve(kPeer, now_);
  cache_.learn(kPeer, {}, How::kConfirmed, now_);
  now_ += Neighbours::kDelayBeforeProbe;
  EXPECT_TRUE(probes().empty());
  EXPECT_EQ(cache_.resolve(kPeer, now_), kPeerMac);
}

TEST_F(NetNeighbours, ForwardProgressSavesTheQuestion) {
  cache_.resolve(kPeer, now_);
  cache_.learn(kPeer, kPeerMac, How::kAnswer, now_);
  for (int i = 0; i < 20; ++i) {
    now_ += Neighbours::kReachableFor;
    EXPECT_EQ(cache_.resolve(kPeer, now_), kPeerMac);
    cache_.confirm(kPeer, now_);
    now_ += Neighbours::kDelayBeforeProbe;
    EXPECT_TRUE(probes().empty());
  }
}

TEST_F(NetNeighbours, WhoWasOnlySeenIsUsedAtOnceAndAskedLater) {
  cache_.learn(kPeer, kPeerMac, How::kSeen, now_);
  EXPECT_EQ(cache_.resolve(kPeer, now_), kPeerMac);
  EXPECT_TRUE(probes().empty());
  now_ += Neighbours::kDelayBeforeProbe;
  EXPECT_EQ(probes().size(), 1u);
}

TEST_F(NetNeighbours, UnaskedAnswersMakeNoEntryAndGroupsAreNoStation) {
  cache_.learn(kPeer, kPeerMac, How::kAnswer, now_);
  cache_.learn(kPeer, kPeerMac, How::kChanged, now_);
  cache_.learn(kPeer, net::MacAddress::broadcast(), How::kSeen, now_);
  cache_.learn(kPeer, {}, How::kSeen, now_);
  EXPECT_EQ(cache_.size(), 0u);
}

// Strangers push out strangers, not those that answered.
TEST_F(NetNeighbours, AFloodOfStrangersLeavesTheConfirmed) {
  cache_.resolve(kPeer, now_);
  cache_.learn(kPeer, kPeerMac, How::kAnswer, now_);
  for (uint32_t i = 0; i < 1000; ++i) {
    now_ += kMicrosecond;
    cache_.learn(net::IpAddress::v4(0x0a010000 + i), kPeerMac, How::kSeen, now_);
    ASSERT_LE(cache_.size(), 8u);
  }
  EXPECT_EQ(cache_.resolve(kPeer, now_), kPeerMac);
  EXPECT_EQ(counters_.get(NetMetric::net_neighbours_evicted), 993u);
}

// Against a map: whatever happens, owners are told once, and the counts are those of the model.
TEST_F(NetNeighbours, RandomStepsKeepTheAccounts) {
  for (uint64_t seed = 1; seed <= 50; ++seed) {
    Prng prng(seed);
    Owner owner;
    std::multiset<uint64_t> sent;
    uint64_t token = 0;
    std::multiset<uint64_t> taken;
    {
      Neighbours cache(6, 20, seed, counters_);
      Nanos now = kSecond;
      const auto drain = [&] {
        while (const net::TxFrame* f = cache.next_ready()) {
          sent.insert(f->owner_token);
          owner.release(f->owner_token);
        }
      };
      for (int step = 0; step < 2000; ++step) {
        const auto address = net::IpAddress::v4(0x0a000000 + static_cast<uint32_t>(prng.below(12)));
        const auto how = static_cast<How>(prng.below(3));
        switch (prng.below(5)) {
          case 0:
          case 1:
            if (!cache.resolve(address, now) && cache.hold(address, frame(&owner, ++token))) taken.insert(token);
            break;
          case 2: cache.learn(address, kPeerMac, how, now); break;
          case 3: cache.poll(now, [](const Neighbours::Probe&) {}); break;
          default: now += static_cast<Nanos>(prng.below(2 * kSecond)); break;
        }
        if (prng.one_in(3)) drain();
        ASSERT_LE(cache.size(), 6u);
        ASSERT_LE(cache.held(), 20u);
        ASSERT_EQ(cache.held() + owner.released.size(), taken.size());
      }
    }
    EXPECT_EQ(std::multiset<uint64_t>(owner.released.begin(), owner.released.end()), taken) << "seed " << seed;
    EXPECT_FALSE(sent.empty());
  }
}

}  // namespace
}  // namespace penstock::net_test
