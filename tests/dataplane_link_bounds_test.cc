// What happens at the bounds of the real stack over a simulated device: connections, received buffers, places in the
// device's ring and in the rings between lcores. Whoever meets the bound waits or is refused and it is counted; the
// others go on; when it is over everything is as before, and everything is home.
#include <gtest/gtest.h>

#include <span>
#include <string>
#include <vector>

#include "tests/link_rig.h"

namespace penstock::dataplane {
namespace {

StationRequest streams(uint64_t bytes, size_t connections) {
  return {.role = Role::kStream, .port = 7, .peer = "10.0.0.1", .bytes = bytes, .connections = connections};
}
const StationRequest kEchoes{.role = Role::kEcho, .port = 7};

void expect_all_came(const StationReport& report, uint64_t bytes, size_t connections) {
  EXPECT_EQ(report.connections, connections);
  EXPECT_EQ(report.wrong, 0u);
  EXPECT_EQ(report.broken, 0u);
  EXPECT_EQ(report.received, bytes * connections);
}

TEST(LinkBounds, MoreConnectionsThanPlacesTakeTurns) {
  RigBounds bounds;
  bounds.server.connections_max = 8;
  LinkRig rig(1, {.delay_min = kMillisecond, .delay_max = kMillisecond}, 1, bounds);
  expect_all_came(rig.run(streams(20'000, 40), kEchoes), 20'000, 40);
  EXPECT_GT(rig.server().counters(0).tcp.get(tcp::Metric::tcp_syns_dropped), 0u);
  rig.expect_everything_home();
}

TEST(LinkBounds, AFullTransmitRingIsTriedAgain) {
  LinkRig rig(2, {}, 1, {.ring = 4});
  expect_all_came(rig.run(streams(200'000, 8), kEchoes), 200'000, 8);
  EXPECT_GT(rig.server().counters(0).tcp.get(tcp::Metric::tcp_output_refused), 0u);
  rig.expect_everything_home();
}

TEST(LinkBounds, AFullRingToAnotherLcoreLosesAndIsRepaired) {
  LinkRig rig(3, {}, 2, {.handed_over = 8});
  expect_all_came(rig.run(streams(200'000, 20), kEchoes), 200'000, 20);
  EXPECT_GT(rig.server().counters(0).net.get(net::NetMetric::net_hand_over_full), 0u);
  EXPECT_GT(rig.accepted()[1], 4u);
  rig.expect_everything_home();
}

// Sends to an echo as much as it takes, and reads nothing.
class NeverReads {
 public:
  NeverReads(sim::SimWire& wire, size_t connections)
      : wire_(wire),
        nic_(wire, {.mac = mac(3), .buffers = 4096}, 33),
        device_("offender", config_of("10.0.0.3/24", "fd00::3/64"),
                {{.nic = &nic_, .receives = true, .send_memory = {}}}, {}),
        link_(device_, 0, nullptr),
        bytes_(8 * kKiB, std::byte{1}) {
    link_.start(small_options(), {}, 9, wire.now());
    for (size_t i = 0; i < connections; ++i) {
      tcp::TcpStream* stream = link_.stack().connect(
          {.local = *net::parse_address("10.0.0.3"), .remote = *net::parse_address("10.0.0.1"), .remote_port = 7});
      EXPECT_NE(stream, nullptr);
      streams_.push_back(stream);
    }
    link_.finish(wire.now());
  }

  bool turn(Nanos now) {
    bool did = link_.receive(now) > 0;
    while (const auto event = link_.next()) {
      did = true;
      if (event->kind == tcp::EventKind::kBroken) ++broken_;
      if (event->kind == tcp::EventKind::kConnected || event->kind == tcp::EventKind::kWritable) fill(*event->stream);
    }
    link_.finish(now);
    return did;
  }
  void leave() {
    for (tcp::TcpStream* stream : streams_) stream->abort();
    link_.finish(wire_.now());
    link_.stop();
  }
  uint64_t taken() const { return taken_; }
  size_t broken() const { return broken_; }
  size_t buffers_out() const { return nic_.buffers_out(); }

 private:
  void fill(tcp::TcpStream& stream) {
    const std::span<const std::byte> piece(bytes_);
    for (size_t n = piece.size(); n == piece.size();) taken_ += n = stream.send(std::span(&piece, 1));
  }

  sim::SimWire& wire_;
  sim::SimNic nic_;
  SharedDevice device_;
  Link link_;
  const std::vector<std::byte> bytes_;
  std::vector<tcp::TcpStream*> streams_;
  uint64_t taken_ = 0;
  size_t broken_ = 0;
};

// Twenty connections would pin 3,500 buffers of 1,024 by what they have sent and do not take back.
TEST(LinkBounds, WhoDoesNotReadLeavesBuffersForOthers) {
  LinkRig rig(4, {}, 1, {.buffers = 1024});
  NeverReads offender(rig.wire(), 20);
  rig.also_turns = [&](Nanos now) { return offender.turn(now); };
  const StationReport report = rig.run({.role = Role::kAsk,
                                        .port = 7,
                                        .peer = "10.0.0.1",
                                        .message = 10'000,
                                        .connections = 8,
                                        .duration = 50 * kMillisecond},
                                       kEchoes);
  EXPECT_EQ(report.wrong + report.broken, 0u);
  EXPECT_EQ(report.received, report.sent);
  EXPECT_GT(report.round_trips.count(), 1000u);
  // Out of the device's buffers, once they were short.
  EXPECT_GT(rig.server().counters(0).tcp.get(tcp::Metric::tcp_bytes_copied_in), kMiB);
  EXPECT_GT(offender.taken(), 20u * 256u * kKiB);
  offender.leave();
  EXPECT_EQ(offender.buffers_out(), 0u);
  rig.expect_everything_home();
}

}  // namespace
}  // namespace penstock::dataplane
