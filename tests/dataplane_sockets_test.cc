// UringSockets over loopback, driven by hand on one thread: receive memory and its line, closing, refusing.
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <array>
#include <filesystem>
#include <string>
#include <thread>

#include "tests/sockets_fixture.h"

namespace penstock::testing {
namespace {

using dataplane::Metric;
using dataplane::ReceivePool;
using dataplane::UringSockets;
using dataplane::UringStream;

constexpr size_t kBuffer = ReceivePool::kBufferBytes;

// ---- the pool

TEST(ReceivePool, TheSharesAddUpToThePool) {
  ReceivePool pool(64 * kBuffer, 40 * kBuffer);
  EXPECT_TRUE(pool.fits());
  EXPECT_EQ(pool.reserve_limit(), 40u);
  EXPECT_EQ(pool.landing_limit() + pool.reserve_limit(), 64u);
  EXPECT_EQ(ReceivePool(64 * kBuffer, 1).reserve_limit(), 32u);
  EXPECT_FALSE(ReceivePool(64 * kBuffer, 60 * kBuffer).fits());
  EXPECT_FALSE(ReceivePool(64 * kBuffer, 100 * kBuffer).fits());
  std::vector<std::span<std::byte>> taken;
  for (auto memory = pool.take_landing(); !memory.empty(); memory = pool.take_landing()) taken.push_back(memory);
  EXPECT_EQ(taken.size(), pool.post_limit());
  for (auto m = pool.take_landing_for_short(); !m.empty(); m = pool.take_landing_for_short()) taken.push_back(m);
  EXPECT_EQ(taken.size(), pool.landing_limit());
  EXPECT_FALSE(pool.try_reserve(pool.reserve_limit() + 1));
  ASSERT_TRUE(pool.try_reserve(pool.reserve_limit()));
  EXPECT_FALSE(pool.try_reserve(1));
  for (size_t i = 0; i < pool.reserve_limit(); ++i) taken.push_back(pool.take_reserved());
  EXPECT_EQ(pool.reserved(), pool.reserve_limit());
  for (const auto& memory : taken) pool.release(memory);
  EXPECT_EQ(pool.reserved(), 0u);
  EXPECT_EQ(pool.landing_used(), 0u);
}

// More than a process can address.
TEST(ReceivePool, APoolThatMemoryDoesNotGiveIsRefusedByItsName) {
  EXPECT_FALSE(ReceivePool(size_t{1} << 50, 1).has_memory());
  dataplane::DataplaneCounters counters;
  const auto made = UringSockets::make({.receive_pool_bytes = size_t{1} << 50,
                                        .request_bytes_max = kMiB,
                                        .request_head_bytes = 4,
                                        .connections_max = 4,
                                        .backlog = 4},
                                       counters);
  ASSERT_FALSE(made.has_value());
  EXPECT_EQ(made.error(),
            "no memory for the 1073741824 MiB of penstock.receive.pool.bytes; free some, or choose a smaller one");
}

TEST(ReceivePool, WhoReadsForHimselfLeavesAQuarterToTheKernel) {
  ReceivePool pool(64 * kBuffer, 1);
  std::vector<std::span<std::byte>> taken;
  for (auto m = pool.take_landing_for_read(); !m.empty(); m = pool.take_landing_for_read()) taken.push_back(m);
  EXPECT_EQ(taken.size(), 24u);
  for (auto m = pool.take_landing(); !m.empty(); m = pool.take_landing()) taken.push_back(m);
  EXPECT_EQ(taken.size(), 30u);
  for (auto m = pool.take_landing_for_short(); !m.empty(); m = pool.take_landing_for_short()) taken.push_back(m);
  EXPECT_EQ(taken.size(), 32u);
  for (const auto& memory : taken) pool.release(memory);
}

TEST(ReceivePool, TheLastOneHomeIsTheFirstOneOut) {
  ReceivePool pool(64 * kBuffer, 1);
  const auto first = pool.take_landing();
  const auto second = pool.take_landing();
  pool.release(first);
  EXPECT_EQ(pool.take_landing().data(), first.data());
  pool.release(second);
  pool.release(first);
}

// ---- sockets

TEST_F(Sockets, BytesComeAndGo) {
  open();
  connect(1);
  const Bytes sent = pattern(1000, 1);
  ASSERT_TRUE(clients[0]->send(sent));
  turn_until([&] { return streams[0]->received().size() == 1000; });
  EXPECT_EQ(contents(*streams[0], 1000), sent);
  streams[0]->consume(1000);
  const std::span<const std::byte> pieces[] = {std::span(sent).first(10), std::span(sent).subspan(10)};
  EXPECT_EQ(streams[0]->send(pieces), 1000u);
  Bytes read(1000);
  ASSERT_TRUE(clients[0]->read_exactly(read));
  EXPECT_EQ(read, sent);
  clients[0]->half_close();
  turn_until([&] { return ended == 1; });
  streams[0]->close();
  streams[0]->close();
  EXPECT_TRUE(clients[0]->sees_end());
  turn_until([&] { return count(Metric::connections_closed) == 1; });
  EXPECT_EQ(count(Metric::bytes_received), 1000u);
  EXPECT_EQ(count(Metric::bytes_sent), 1000u);
  EXPECT_EQ(count(Metric::connections_open), 0u);
}

// The broker's end is of this process: the one whose peer is the client.
TEST_F(Sockets, TheKernelLooksWhetherAPeerIsStillThere) {
  open();
  connect(1);
  sockaddr_in client{};
  socklen_t length = sizeof client;
  ASSERT_EQ(getsockname(clients[0]->fd(), reinterpret_cast<sockaddr*>(&client), &length), 0);
  int found = 0;
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
    const int fd = std::stoi(entry.path().filename().string());
    sockaddr_in peer{};
    length = sizeof peer;
    if (getpeername(fd, reinterpret_cast<sockaddr*>(&peer), &length) != 0 || peer.sin_port != client.sin_port) continue;
    int on = 0;
    length = sizeof on;
    ASSERT_EQ(getsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, &length), 0);
    EXPECT_NE(on, 0);
    ++found;
  }
  EXPECT_EQ(found, 1);
}

// The kernel has told nothing: its work waits for the ring to be entered.
TEST_F(Sockets, ALookFindsWhatTheKernelDidNotTell) {
  open();
  connect(4);
  const Bytes few = pattern(100, 1);
  for (const auto& client : clients) ASSERT_TRUE(client->send(few));
  turn_until([&] { return count(Metric::bytes_received) == 400; });
  clients[0]->reset();
  clients[1]->half_close();
  ASSERT_TRUE(clients[2]->send(few));
  sockets->tick(1);  // they were heard since the tick before
  EXPECT_FALSE(sockets->next());
  sockets->tick(2);
  while (const auto event = sockets->next()) take(*event);
  EXPECT_EQ(broken, 1);
  EXPECT_EQ(ended, 1);
  EXPECT_EQ(count(Metric::connections_found_gone), 2u);
  turn_until([&] { return streams[2]->received().size() == 200; });
  turn_until([&] { return count(Metric::connections_closed) == 1; });
  EXPECT_EQ(broken, 1);
  EXPECT_EQ(ended, 1);
  ASSERT_TRUE(clients[2]->send(few));  // it was armed anew
  turn_until([&] { return streams[2]->received().size() == 300; });
  sockets->tick(3);
  sockets->tick(4);
  sockets->tick(5);
  EXPECT_EQ(count(Metric::connections_found_gone), 2u);
  for (size_t i : {1, 2, 3}) streams[i]->close();
  turn_until([&] { return count(Metric::connections_open) == 0; });
}

TEST_F(Sockets, ManyThatFallQuietTogetherAreLookedAtInTurns) {
  open();
  constexpr size_t kMany = 300;
  connect(kMany);
  for (size_t i = 0; i < kMany; ++i) {
    ASSERT_TRUE(clients[i]->send(pattern(11, 1)));
    turn_until([&] { return streams[i]->received().size() == 11; });
  }
  for (const auto& client : clients) client->reset();
  sockets->tick(1);
  sockets->tick(2);
  EXPECT_EQ(count(Metric::connections_found_gone), 256u);
  EXPECT_LE(sockets->next_deadline(), 2) << "the lcore must not sleep over them";
  while (const auto event = sockets->next()) take(*event);
  EXPECT_EQ(broken, 256);
  EXPECT_LE(sockets->next_deadline(), 2) << "nor over the others";
  sockets->enter();  // looks before the kernel can tell
  EXPECT_EQ(count(Metric::connections_found_gone), kMany);
  turn_until([&] { return count(Metric::connections_open) == 0; });
  EXPECT_EQ(broken, static_cast<int>(kMany));
  EXPECT_GT(sockets->next_deadline(), kSecond);
}

TEST_F(Sockets, WhatASendFindsBrokenIsToldBeforeTheNextSleep) {
  open();
  connect(1);
  sockets->tick(1);
  EXPECT_GT(sockets->next_deadline(), kSecond);
  clients[0]->reset();
  const Bytes few = pattern(100, 1);
  EXPECT_EQ(streams[0]->send(std::array{std::span<const std::byte>(few)}), 0u);
  EXPECT_LE(sockets->next_deadline(), 1);
  turn_until([&] { return broken == 1; });
  EXPECT_GT(sockets->next_deadline(), kSecond);
}

// A cancel that finds the receive at work fails, and the receive stays.
TEST_F(Sockets, AConnectionThatIsClosedWhileItsReceiveIsCancelledGoes) {
  open();
  for (int round = 0; round < 50; ++round) {
    connect(1);
    turn();  // arms its receive
    for (int i = 0; i < 20; ++i) ASSERT_TRUE(clients[0]->send(pattern(100, 1)));
    streams[0]->pause(true);
    sockets->enter();  // asks for the cancel; what became of it is not looked at yet
    streams[0]->close();
    turn_until([&] { return count(Metric::connections_open) == 0; });
    streams.clear();
    clients.clear();
  }
  EXPECT_EQ(count(Metric::connections_closed), 50u);
}

// About one in two thousand such resets is never told (Linux 6.18).
TEST_F(Sockets, AResetRightBehindBytesIsSeen) {
  open();
  closes_at_end = true;  // the kernel tells some of them so
  on_received = [](UringStream& stream) { stream.consume(stream.received().size()); };
  constexpr size_t kRounds = 3000, kAhead = 500;  // more at once than there may be would be refused
  std::jthread peer([this](const std::stop_token& stop) {
    for (size_t i = 0; i < kRounds; ++i) {
      while (i > count(Metric::connections_closed) + kAhead && !stop.stop_requested()) std::this_thread::yield();
      WireClient client(port);
      client.send(Bytes(11));
      client.reset();
    }
  });
  Nanos now = 0;
  turn_until([&] {
    sockets->tick(++now);
    return count(Metric::connections_closed) == kRounds;
  });
  EXPECT_EQ(broken + ended, static_cast<int>(kRounds));
}

TEST_F(Sockets, ASlowSenderDoesNotHoldABufferForEachByte) {
  open();
  connect(1);
  const Bytes sent = pattern(5000, 2);
  for (size_t i = 0; i < sent.size(); i += 10) {
    ASSERT_TRUE(clients[0]->send(std::span(sent).subspan(i, 10)));
    turn_until([&] { return streams[0]->received().size() == i + 10; });
  }
  EXPECT_LE(streams[0]->received().buffer_count(), 3u);
  EXPECT_EQ(contents(*streams[0], sent.size()), sent);
  EXPECT_GT(count(Metric::bytes_coalesced), 0u);
}

TEST_F(Sockets, TheBeginningOfARequestHoldsNoBufferOfThePool) {
  open();
  connect(7);
  turn_until([&] { return sockets->pool().landing_used() == sockets->pool().post_max(); });
  for (const auto& client : clients) ASSERT_TRUE(client->send(pattern(500, 3)));
  turn_until([&] {
    return std::ranges::all_of(streams, [](UringStream* stream) { return stream->received().size() == 500; });
  });
  turn();
  for (UringStream* stream : streams) EXPECT_EQ(stream->received().tail_room().size(), 0u);
  for (UringStream* stream : streams) EXPECT_EQ(contents(*stream, 500), pattern(500, 3));
}

TEST_F(Sockets, ALargeRequestIsReceivedIntoWhatWasReservedForIt) {
  open();
  connect(1);
  const Bytes sent = pattern(3 * kMiB, 4);
  size_t handed = 0;
  on_received = [&](UringStream& stream) { stream.want(sent.size()); };
  turn_until([&] {
    handed += clients[0]->send_some(std::span(sent).subspan(handed));
    return streams[0]->received().size() == sent.size();
  });
  EXPECT_EQ(contents(*streams[0], sent.size()), sent);
  EXPECT_LE(streams[0]->received().buffer_count(), ReceivePool::buffers_for(sent.size()) + 2);
  streams[0]->consume(sent.size());
  EXPECT_EQ(sockets->pool().reserved(), 0u);
  // And small ones again.
  on_received = nullptr;
  ASSERT_TRUE(clients[0]->send(pattern(100, 5)));
  turn_until([&] { return streams[0]->received().size() == 100; });
}

TEST_F(Sockets, RequestsWaitInLineForMemoryAndAllComplete) {
  open();
  constexpr size_t kClients = 12;
  connect(kClients);
  const size_t n = 2 * kMiB + 12'345;  // one at a time fits into the 3.5 MiB that can be reserved
  std::vector<Bytes> sent;
  for (unsigned i = 0; i < kClients; ++i) sent.push_back(pattern(n, 10 + i));
  std::vector<size_t> handed(kClients);
  size_t completed = 0;
  on_received = [&](UringStream& stream) {
    if (stream.received().size() < n) return stream.want(n);
    const size_t who = static_cast<size_t>(std::ranges::find(streams, &stream) - streams.begin());
    EXPECT_EQ(contents(stream, n), sent[who]) << who;
    stream.consume(n);
    ++completed;
  };
  turn_until([&] {
    for (size_t i = 0; i < kClients; ++i) handed[i] += clients[i]->send_some(std::span(sent[i]).subspan(handed[i]));
    EXPECT_LE(sockets->pool().reserved(), sockets->pool().reserve_limit());
    return completed == kClients;
  });
  EXPECT_EQ(sockets->pool().reserved(), 0u);
}

// What follows a request that was received into reserved memory may stand there for long, behind one that waits.
TEST_F(Sockets, WhatComesBehindARequestDoesNotHoldItsReservation) {
  open();
  connect(2);
  const Bytes sent = pattern(3 * kMiB - 1000, 4);  // room is left in its last buffer
  const Bytes behind = pattern(1500, 5);
  on_received = [&](UringStream& stream) {
    if (stream.received().size() < sent.size()) stream.want(sent.size());
  };
  send_and_receive(0, sent);
  EXPECT_GT(sockets->pool().reserved(), 0u);
  for (size_t i = 0; i < behind.size(); i += 500) {
    ASSERT_TRUE(clients[0]->send(std::span(behind).subspan(i, 500)));
    turn_until([&] { return streams[0]->received().size() == sent.size() + i + 500; });
  }
  streams[0]->consume(sent.size());
  EXPECT_EQ(sockets->pool().reserved(), 0u);
  EXPECT_EQ(contents(*streams[0], behind.size()), behind);
  EXPECT_LE(streams[0]->received().buffer_count(), 1u);
}

// A request is there, but does not begin: the answers before it wait for a client that does not read.
TEST_F(Sockets, WhoHoldsMemoryAndDoesNotReadIsClosedWhenOthersWait) {
  open();
  connect(2);
  const Bytes sent = pattern(3 * kMiB, 6);
  on_received = [&](UringStream& stream) {
    if (stream.received().size() < sent.size()) stream.want(sent.size());
  };
  send_and_receive(0, sent);
  const Bytes answers(32 * kMiB);
  const std::span<const std::byte> piece[] = {answers};
  while (streams[0]->send(piece) > 0) {
  }
  Nanos now = 1000 * kSecond;
  for (int i = 0; i < 100; ++i) {
    sockets->tick(now += kSecond);
    turn();
  }
  EXPECT_EQ(broken, 0);
  size_t handed = 0;
  turn_until([&] {
    handed += clients[1]->send_some(std::span(sent).subspan(handed));
    sockets->tick(now += kSecond);
    return streams[1]->received().size() == sent.size();
  });
  EXPECT_EQ(broken, 1);
  EXPECT_EQ(count(Metric::connections_closed_stalled), 1u);
}

TEST_F(Sockets, WhoHoldsMemoryAndStopsIsClosedWhenOthersWait) {
  open();
  connect(2);
  const Bytes sent = pattern(3 * kMiB, 6);
  on_received = [&](UringStream& stream) {
    if (stream.received().size() < sent.size()) stream.want(sent.size());
  };
  // A beginning, so that it is known how much is to come; then so much that the rest needs a reservation.
  size_t handed[2] = {10'000, 0};
  ASSERT_TRUE(clients[0]->send(std::span(sent).first(10'000)));
  turn_until([&] { return streams[0]->received().size() == 10'000; });
  turn();
  turn_until([&] {
    handed[0] += clients[0]->send_some(std::span(sent).subspan(handed[0], 2 * kMiB - handed[0]));
    return streams[0]->received().size() == 2 * kMiB;
  });
  EXPECT_GT(sockets->pool().reserved(), 0u);
  Nanos now = 1000 * kSecond;
  for (int i = 0; i < 100; ++i) {
    sockets->tick(now += kSecond);
    turn();
  }
  EXPECT_EQ(broken, 0);  // nobody waits: it may be as slow as it likes
  turn_until([&] {
    handed[1] += clients[1]->send_some(std::span(sent).subspan(handed[1]));
    sockets->tick(now += kSecond);
    return streams[1]->received().size() == sent.size();
  });
  EXPECT_EQ(broken, 1);
  EXPECT_EQ(count(Metric::connections_closed_stalled), 1u);
  EXPECT_TRUE(clients[0]->sees_end());
}

TEST_F(Sockets, ToAnnounceALongRequestTakesNothing) {
  open();
  connect(20);
  const Bytes sent = pattern(3 * kMiB, 6);
  on_received = [&](UringStream& stream) {
    if (stream.received().size() < sent.size()) stream.want(sent.size());
  };
  for (size_t i = 1; i < clients.size(); ++i) ASSERT_TRUE(clients[i]->send(std::span(sent).first(800)));
  turn_until([&] { return std::ranges::count_if(streams, [](auto* s) { return s->received().size() > 0; }) == 19; });
  turn();
  EXPECT_EQ(sockets->pool().reserved(), 0u);
  size_t handed = 0;
  turn_until([&] {
    handed += clients[0]->send_some(std::span(sent).subspan(handed));
    return streams[0]->received().size() == sent.size();
  });
  EXPECT_EQ(contents(*streams[0], sent.size()), sent);
}

TEST_F(Sockets, WhenNothingMayLandRequestsStillGetThrough) {
  open();
  const size_t limit = sockets->pool().post_limit();
  connect(limit + 2);
  // Each keeps a buffer as a connection does that is parked with bytes behind its request.
  for (size_t i = 0; i < limit; ++i) {
    ASSERT_TRUE(clients[i]->send(pattern(20'000, 7)));
    turn_until([&] { return streams[i]->received().size() >= 2'000; });
  }
  const Bytes sent = pattern(500'000, 8);
  size_t completed = 0;
  on_received = [&](UringStream& stream) {
    if (stream.received().size() < 4) return;
    if (stream.received().size() < sent.size()) return stream.want(sent.size());
    EXPECT_EQ(contents(stream, sent.size()), sent);
    stream.consume(sent.size());
    ++completed;
  };
  size_t handed[2] = {0, 0};
  turn_until([&] {
    for (size_t i = 0; i < 2; ++i) handed[i] += clients[limit + i]->send_some(std::span(sent).subspan(handed[i]));
    return completed == 2;
  });
  EXPECT_GT(count(Metric::receive_buffers_empty), 0u);
  EXPECT_LE(sockets->pool().landing_used(), sockets->pool().landing_limit());
}

TEST_F(Sockets, APausedConnectionHoldsItsPeerBack) {
  open();
  connect(1);
  streams[0]->pause(true);
  turn();
  const Bytes sent = pattern(16 * kMiB, 9);
  size_t handed = 0;
  for (size_t step = 1; step > 0; handed += step) step = clients[0]->send_some(std::span(sent).subspan(handed));
  turn();
  EXPECT_LT(handed, sent.size());
  EXPECT_EQ(streams[0]->received().size(), 0u);
  size_t read = 0;
  on_received = [&](UringStream& stream) {
    const size_t n = stream.received().size();
    EXPECT_EQ(contents(stream, n),
              Bytes(sent.begin() + static_cast<int64_t>(read), sent.begin() + static_cast<int64_t>(read + n)));
    read += n;
    stream.consume(n);
  };
  streams[0]->pause(false);
  turn_until([&] {
    handed += clients[0]->send_some(std::span(sent).subspan(handed));
    return read == sent.size();
  });
}

TEST_F(Sockets, AShortSendIsFollowedByAWritableEvent) {
  open();
  connect(1);
  const Bytes bytes = pattern(32 * kMiB, 10);
  size_t sent = 0;
  for (bool full = false; !full;) {
    const std::span<const std::byte> piece[] = {std::span(bytes).subspan(sent, kMiB)};
    const size_t n = streams[0]->send(piece);
    full = n < kMiB;
    sent += n;
  }
  EXPECT_EQ(streams[0]->send(std::array{std::span<const std::byte>(bytes)}), 0u);
  Bytes read(sent);
  ASSERT_TRUE(clients[0]->read_exactly(read));
  EXPECT_EQ(read, Bytes(bytes.begin(), bytes.begin() + static_cast<int64_t>(sent)));
  turn_until([&] { return writable == 1; });
}

TEST_F(Sockets, ResetsAndReuseOfSlots) {
  open();
  for (int round = 0; round < 20; ++round) {
    connect(10);
    on_received = [](UringStream& stream) { stream.want(100'000); };
    for (const auto& client : clients) ASSERT_TRUE(client->send(pattern(70'000, 11)));
    turn_until([&] { return streams[9]->received().size() > 0; });
    for (size_t i = 0; i < 5; ++i) clients[i]->reset();
    for (size_t i = 5; i < 10; ++i) streams[i]->close();
    turn_until([&] { return count(Metric::connections_open) == 0; });
    EXPECT_LE(streams[9]->slot(), 9u);
    streams.clear();
    clients.clear();
  }
  EXPECT_EQ(sockets->pool().reserved(), 0u);
  EXPECT_EQ(broken + ended, 20 * 5);
  EXPECT_EQ(count(Metric::connections_closed), 200u);
}

TEST_F(Sockets, ConnectionsBeyondTheMaximumAreRefused) {
  open(4 * kMiB, 3);
  connect(3);
  WireClient fourth(port);
  turn_until([&] { return count(Metric::connections_refused) == 1; });
  EXPECT_TRUE(fourth.sees_end());
  streams[0]->close();
  turn_until([&] { return count(Metric::connections_open) == 2; });
  streams.clear();
  clients.clear();
  connect(1);
  EXPECT_EQ(count(Metric::connections_open), 3u);
  EXPECT_EQ(count(Metric::connections_refused), 1u);
}

TEST_F(Sockets, TheDoorbellEndsAWait) {
  open();
  for (int i = 0; i < 3; ++i) {
    doorbell.ring();
    sockets->wait(3600 * kSecond);
    while (sockets->next()) {
    }
  }
}

TEST_F(Sockets, FailuresAreOneLineThatSaysWhatToDo) {
  open();
  EXPECT_NE(sockets->listen("127.0.0.1", port).error().find("the port is in use"), std::string::npos);
  const auto in_use = UringSockets::try_listen("127.0.0.1", port);
  EXPECT_EQ(in_use.error().code, Errc::kLocked);
  EXPECT_NE(in_use.error().what.find("the port is in use"), std::string::npos);
  EXPECT_TRUE(UringSockets::try_listen("127.0.0.1", 0));
  EXPECT_NE(sockets->listen("localhost", 1).error().find("not a numeric"), std::string::npos);
  EXPECT_NE(sockets->listen("203.0.113.7", 0).error().find("does not have that address"), std::string::npos);
  const auto small = UringSockets::make({.receive_pool_bytes = 4 * kMiB,
                                         .request_bytes_max = 4 * kMiB,
                                         .request_head_bytes = 4,
                                         .connections_max = 1,
                                         .backlog = 1},
                                        counters);
  ASSERT_FALSE(small);
  EXPECT_NE(small.error().find("penstock.receive.pool.bytes"), std::string::npos);
}

}  // namespace
}  // namespace penstock::testing
