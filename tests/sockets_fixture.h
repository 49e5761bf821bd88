// UringSockets over loopback with clients, driven by hand on one thread.
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "base/prng.h"
#include "dataplane/sockets/uring_sockets.h"
#include "tests/socket_client.h"

namespace penstock::testing {

class Sockets : public ::testing::Test {
 protected:
  void open(size_t pool_bytes = 4 * kMiB, size_t connections_max = 1000) {
    auto made = dataplane::UringSockets::make({.receive_pool_bytes = pool_bytes,
                                               .request_bytes_max = 3 * kMiB,
                                               .request_head_bytes = 4,
                                               .connections_max = connections_max,
                                               .backlog = 512},
                                              counters);
    ASSERT_TRUE(made) << made.error();
    sockets = *std::move(made);
    const auto bound = sockets->listen("127.0.0.1", 0);
    ASSERT_TRUE(bound) << bound.error();
    port = *bound;
    sockets->start(doorbell);
  }
  // Turns, once at least, until done() holds.
  void turn_until(const std::function<bool()>& done) {
    do {
      sockets->wait(kMillisecond);
      sockets->enter();
      while (const auto event = sockets->next()) take(*event);
    } while (!done());
  }
  void turn() {
    turn_until([] { return true; });
  }
  void take(const dataplane::SocketEvent& event) {
    switch (event.kind) {
      case dataplane::SocketEvent::Kind::kArrived:
        if (dataplane::UringStream* stream = sockets->adopt(event.fd, event.listener)) streams.push_back(stream);
        break;
      case dataplane::SocketEvent::Kind::kEnded:
        ++ended;
        if (closes_at_end) event.stream->close();
        break;
      case dataplane::SocketEvent::Kind::kBroken:
        ++broken;
        event.stream->close();
        break;
      case dataplane::SocketEvent::Kind::kWritable: ++writable; break;
      case dataplane::SocketEvent::Kind::kReceived:
        if (on_received) on_received(*event.stream);
        break;
    }
  }
  // So many turns at most: what others hold cannot be in the way for ever.
  bool turns_until(int turns_max, const std::function<bool()>& done) {
    for (int i = 0; i < turns_max && !done(); ++i) turn();
    return done();
  }
  // Connects clients, and waits until the i-th one's stream is streams[i].
  void connect(size_t n) {
    for (size_t i = 0; i < n; ++i) {
      clients.push_back(std::make_unique<WireClient>(port));
      turn_until([&] { return streams.size() == clients.size(); });
    }
  }
  // A beginning, so that it is known how much is to come; then all of it, most into what is reserved for it.
  void send_and_receive(size_t who, const Bytes& request) {
    size_t handed = 10'000;
    ASSERT_TRUE(clients[who]->send(std::span(request).first(handed)));
    turn_until([&] { return streams[who]->received().size() == handed; });
    turn();
    turn_until([&] {
      handed += clients[who]->send_some(std::span(request).subspan(handed));
      return streams[who]->received().size() == request.size();
    });
  }
  uint64_t count(dataplane::Metric metric) const { return counters.get(metric); }

  static Bytes pattern(size_t n, unsigned seed) {
    Bytes bytes(n);
    Prng(seed).fill(bytes);
    return bytes;
  }
  static Bytes contents(dataplane::UringStream& stream, size_t n) {
    Bytes bytes(n);
    stream.received().copy_out(0, bytes);
    return bytes;
  }

  dataplane::DataplaneCounters counters;
  Doorbell doorbell;
  std::unique_ptr<dataplane::UringSockets> sockets;
  uint16_t port = 0;
  std::vector<dataplane::UringStream*> streams;
  std::vector<std::unique_ptr<WireClient>> clients;
  std::function<void(dataplane::UringStream&)> on_received;
  bool closes_at_end = false;
  int ended = 0;
  int broken = 0;
  int writable = 0;
};

}  // namespace penstock::testing
