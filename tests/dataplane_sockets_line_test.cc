// UringSockets when memory is short: who waits, who passes, who is closed. Many begin long requests and stall; time is
// the test's own.
#include <gtest/gtest.h>

#include <algorithm>
#include <map>

#include "base/bytes.h"
#include "tests/sockets_fixture.h"

namespace penstock::testing {
namespace {

using dataplane::Metric;
using dataplane::Progress;
using dataplane::UringStream;

constexpr size_t kLong = 3 * kMiB - 4;  // as long as one may be
constexpr size_t kBegun = 60'000;       // fits a buffer

class SocketsInLine : public Sockets {
 protected:
  // As the owner does it: four bytes of length tell what is wanted, and what is complete is consumed.
  void SetUp() override {
    open();
    on_received = [this](UringStream& stream) {
      if (stream.received().size() < 4) return;
      std::byte head[4];
      stream.received().copy_out(0, head);
      const size_t n = 4 + load_be<uint32_t>(head);
      if (stream.received().size() < n) return stream.want(n);
      ++completed[&stream];
      stream.consume(n);
    };
  }
  static Bytes request(size_t n) {
    Bytes bytes = pattern(4 + n, 1);
    store_be(bytes.data(), static_cast<uint32_t>(n));
    return bytes;
  }
  static void append(Bytes& to, const Bytes& more) { to.insert(to.end(), more.begin(), more.end()); }
  void connect_and_begin(size_t n, size_t bytes) {
    const Bytes sent = request(kLong);
    const size_t first = clients.size();
    connect(n);
    for (size_t i = first; i < clients.size(); ++i) {
      ASSERT_TRUE(clients[i]->send(std::span(sent).first(bytes)));
      for (int turns = 0; turns < 5; ++turns) turn();
    }
  }
  // A second, and what comes of it.
  void second() {
    sockets->tick(now += kSecond);
    for (int turns = 0; turns < 5; ++turns) turn();
  }
  size_t completed_of(size_t who) { return completed[streams[who]]; }
  // Until a request of n bytes is through, which its client sends as fast as it is taken; 200 are the most.
  int seconds_to_complete(size_t who, size_t n) {
    const Bytes sent = request(n);
    size_t handed = 0;
    int seconds = 0;
    for (; seconds < 200 && completed_of(who) == 0; ++seconds) {
      handed += clients[who]->send_some(std::span(sent).subspan(handed));
      second();
    }
    EXPECT_EQ(completed_of(who), 1u);
    return seconds;
  }

  std::map<UringStream*, size_t> completed;
  Nanos now = 1000 * kSecond;
};

TEST_F(SocketsInLine, AShortRequestDoesNotWaitForLongOnes) {
  connect(1);
  connect_and_begin(60, kBegun);
  EXPECT_EQ(sockets->pool().landing_used(), sockets->pool().post_limit());
  EXPECT_GT(sockets->pool().reserved(), 0u);
  connect(1);  // and one that comes later
  for (size_t round = 1; round <= 20; ++round) {
    for (const size_t who : {size_t{0}, clients.size() - 1}) {
      ASSERT_TRUE(clients[who]->send(request(round % 2 == 0 ? 150 : kBegun)));
      ASSERT_TRUE(turns_until(1000, [&] { return completed_of(who) == round; })) << who;
    }
  }
  EXPECT_LE(sockets->pool().landing_used(), sockets->pool().landing_limit());
  EXPECT_EQ(broken, 0);  // nobody had to be closed for that
}

// Those that hold what landed are closed together, and then nobody waits for the others' turn any more.
TEST_F(SocketsInLine, TheLineMovesWhenMemoryIsFree) {
  connect_and_begin(60, kBegun);
  connect(1);
  const int seconds = seconds_to_complete(60, kMiB);
  // Sixty fill the share five times over, and each time costs a stall and two looks.
  EXPECT_LE(seconds, 5 * (Progress::kTime / kSecond + 2));
}

// They hold what landed and stand in line for more, so that nothing comes home: each that is silent in his turn has to
// go for the next one's.
TEST_F(SocketsInLine, WhoIsSilentInHisTurnGoesSoon) {
  connect_and_begin(15, 2 * kBegun);
  ASSERT_EQ(sockets->pool().landing_used(), sockets->pool().post_limit());
  connect(1);
  const int seconds = seconds_to_complete(15, kLong);
  // The first of them stalls for all of his time; fourteen more times would be minutes.
  EXPECT_LE(seconds, 2 * Progress::kTime / kSecond + 4);
}

// Who goes on is given his time in full, though others stand behind him.
TEST_F(SocketsInLine, WhoGoesOnInHisTurnStays) {
  connect_and_begin(15, 2 * kBegun);
  connect(2);
  const Bytes sent = request(kLong);
  size_t handed[2] = {0, 0};
  for (int i = 0; i < 400 && completed_of(15) + completed_of(16) < 2; ++i) {
    for (size_t j = 0; j < 2; ++j) {
      handed[j] += clients[15 + j]->send_some(
          std::span(sent).subspan(handed[j], std::min<size_t>(50'000, sent.size() - handed[j])));
    }
    second();
  }
  EXPECT_EQ(completed_of(15), 1u);
  EXPECT_EQ(completed_of(16), 1u);
  EXPECT_EQ(broken, static_cast<int>(count(Metric::connections_closed_stalled)));
  EXPECT_LE(broken, 15);
}

// Short requests pass, but what is reserved goes by the line.
TEST_F(SocketsInLine, ALongRequestGetsThroughBesideShortOnes) {
  connect(20);
  connect_and_begin(20, kBegun);
  connect(1);
  const size_t last = clients.size() - 1;
  const Bytes sent = request(kLong);
  const Bytes few = request(2'000);
  size_t handed = 0;
  int seconds = 0;
  for (; seconds < 200 && completed_of(last) == 0; ++seconds) {
    handed += clients[last]->send_some(std::span(sent).subspan(handed));
    for (size_t i = 0; i < 20; ++i) ASSERT_TRUE(clients[i]->send(few));
    second();
  }
  EXPECT_EQ(completed_of(last), 1u);
  for (size_t i = 0; i < 20; ++i) {
    EXPECT_TRUE(turns_until(1000, [&] { return completed_of(i) == static_cast<size_t>(seconds); })) << i;
  }
}

// A real network brings a batch in segments. Each is read behind the one before it, also over the end of a request.
TEST_F(SocketsInLine, RequestsThatComeInPiecesAreNotMoved) {
  connect(1);
  Bytes sent;
  size_t requests = 0;
  for (; requests < 60; ++requests) append(sent, request(requests % 2 == 0 ? 16'384 : 60'000));
  for (size_t at = 0; at < sent.size(); at += 1448) {
    const size_t upto = std::min(at + 1448, sent.size());
    ASSERT_TRUE(clients[0]->send(std::span(sent).subspan(at, upto - at)));
    turn_until([&] { return count(Metric::bytes_received) == upto; });
  }
  EXPECT_EQ(completed_of(0), requests);
  EXPECT_LE(count(Metric::bytes_coalesced), sent.size() / 200);
}

// Small requests behind them are received as before: into posted buffers, without a look for each.
TEST_F(SocketsInLine, WhoseRequestsAreSmallAgainIsReceivedAsBefore) {
  connect(1);
  const Bytes large = request(60'000);
  ASSERT_TRUE(clients[0]->send(std::span(large).first(1448)));
  turn_until([&] { return streams[0]->received().size() == 1448; });
  turn();
  ASSERT_TRUE(clients[0]->send(std::span(large).subspan(1448)));
  turn_until([&] { return completed_of(0) == 1; });
  for (size_t i = 0; i < 20; ++i) {
    ASSERT_TRUE(clients[0]->send(request(100)));
    turn_until([&] { return completed_of(0) == 2 + i; });
  }
  const uint64_t moved = count(Metric::bytes_coalesced);
  // Two pieces of one that is smaller than what is read directly: the second is moved, which only posted buffers need.
  const Bytes small = request(2'000);
  ASSERT_TRUE(clients[0]->send(std::span(small).first(1448)));
  turn_until([&] { return streams[0]->received().size() == 1448; });
  ASSERT_TRUE(clients[0]->send(std::span(small).subspan(1448)));
  turn_until([&] { return completed_of(0) == 22; });
  EXPECT_EQ(count(Metric::bytes_coalesced) - moved, small.size() - 1448);
}

}  // namespace
}  // namespace penstock::testing
