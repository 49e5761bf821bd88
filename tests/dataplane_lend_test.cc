// Records of a Fetch's answer that a card takes by reference, from where they lie in the log until the client has
// acknowledged them: what arrives, what is held, and what becomes of the memory meanwhile. Whatever is lent, SimNic
// looks at once more when it is given back: it must be as it was.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "dataplane/link/config.h"
#include "dataplane/tcp/core.h"
#include "tests/kafka_requests.h"
#include "tests/sim/device_lcore.h"
#include "tests/sim/open_on_heap.h"
#include "tests/sim/sim_clock.h"
#include "tests/sim/sim_disk.h"
#include "tests/sim/sim_nic.h"

namespace penstock::dataplane {
namespace {

using sim::DeviceLcore;
using sim::DevicePeer;
using storage::LogId;

constexpr size_t kRingBytes = 8 * kMiB;
constexpr size_t kRecordBytes = 50'000;
constexpr int16_t kProduceVersion = 9;
constexpr int16_t kFetchVersion = 12;

net::MacAddress mac(unsigned last) { return {{std::byte{2}, {}, {}, {}, {}, static_cast<std::byte>(last)}}; }
net::NetworkConfig config_of(const char* v4) {
  return *network_config({.device = "sim", .addresses = {v4}, .gateways = {}});
}

// A record's value, which its number makes.
std::string value_of(int number, size_t bytes) {
  std::string value(bytes, '\0');
  Prng prng(static_cast<uint64_t>(number) + 1);
  prng.fill(std::as_writable_bytes(std::span(value)));
  return value;
}

// A broker of so many lcores, the first one with a card; partition i is lcore i's.
class LendRig {
 public:
  explicit LendRig(uint16_t count = 1, bool references = true, size_t nic_keeps = 0)
      : server_nic(wire, {.mac = mac(1), .capabilities = {.takes_references = references}, .keeps = nic_keeps}, 2),
        client_nic_(wire, {.mac = mac(2)}, 3),
        mesh_(std::make_shared<Mesh>(count)),
        server_("server", config_of("10.0.0.1/24"), {{.nic = &server_nic, .receives = true, .send_memory = {}}},
                {.tcp = {1, 2}}),
        client_("client", config_of("10.0.0.2/24"), {{.nic = &client_nic_, .receives = true, .send_memory = {}}},
                {.tcp = {3, 4}}) {
    options_.tcp_send_memory_bytes = 4 * kMiB;
    options_.tcp_send_buffer_bytes = 1 * kMiB;
    auto image = std::make_shared<RoutingImage>();
    image->revision = 1;
    auto topic = std::make_shared<TopicRoute>();
    topic->name = "t";
    topic->id.bytes[0] = 9;
    for (uint16_t i = 0; i < count; ++i) {
      lcores.emplace_back(i, options_, open_ring(i), i == 0 ? &server_ : nullptr, mesh_, wire.now());
      lcores.back().store->open_log(i, log_of(i), {.segment_bytes = kMiB});
      topic->partitions.push_back({.log = log_of(i), .lcore = i, .leader_epoch = LeaderEpoch{3}});
    }
    image->insert(std::move(topic));
    for (DeviceLcore& lcore : lcores) lcore.clients.publish(image);
    link_.emplace(client_, 0, nullptr);
    link_->start(options_, {}, 5, wire.now());
  }

  // A reset that the wire loses is not sent again (RFC 9293, 3.5.2): a connection with nothing on its way stays then.
  bool resets_are_lost = false;

  // Everything is home: what was lent, buffers, connections.
  ~LendRig() {
    for (DevicePeer& peer : peers) peer.close();
    const tcp::SendMemory& memory = lcores[0].link->stack().core().send_memory;
    for (int i = 0; i < 100'000 &&
                    ((!resets_are_lost && lcores[0].clients.count() > 0) || loans() > 0 || memory.regions_used() > 0);
         ++i)
      turn();
    EXPECT_TRUE(resets_are_lost || lcores[0].clients.count() == 0) << lcores[0].clients.count();
    expect_home();
    EXPECT_EQ(memory.regions_used(), 0u);
    EXPECT_EQ(memory.blocks_free(), memory.blocks());
    link_->stop();
    lcores[0].link->stop();
  }
  void expect_home() {
    EXPECT_EQ(loans(), 0u);
    EXPECT_FALSE(lcores[0].broker.lender.any_out());
  }
  uint64_t loans() const {
    uint64_t all = 0;
    for (size_t i = 0; i < lcores.size(); ++i) all += lcores[i].store->health(static_cast<uint16_t>(i)).loans;
    return all;
  }

  DevicePeer& connect() {
    auto* stream = link_->stack().connect({.local = client_.config().v4->address,
                                           .remote = server_.config().v4->address,
                                           .remote_port = DeviceLcore::kPort});
    return peers.emplace_back(stream);
  }
  void turn() {
    for (DeviceLcore& lcore : lcores) lcore.turn(wire.now());
    link_->receive(wire.now());
    while (const auto event = link_->next()) {
      for (DevicePeer& peer : peers) {
        const bool over = event->kind == tcp::EventKind::kBroken || event->kind == tcp::EventKind::kEnded;
        if (over && peer.is(event->stream)) peer.ended();
      }
    }
    for (DevicePeer& peer : peers) peer.turn();
    link_->finish(wire.now());
    sleep(20 * kMicrosecond);
  }
  void sleep(Nanos n) {
    clock.advance(n);
    wire.advance_to(wire.now() + n);
  }
  void turns(int n) {
    for (int i = 0; i < n; ++i) turn();
  }
  std::optional<std::vector<std::byte>> answer(DevicePeer& peer, int most = 20'000) {
    for (int i = 0; i < most; ++i) {
      if (auto found = peer.next_answer()) return found;
      turn();
      if (i > 300) sleep(kMillisecond);  // a timer is what it waits for
    }
    return std::nullopt;
  }

  // One record a batch.
  void produce(DevicePeer& peer, int partition, int first, int count, size_t bytes = kRecordBytes) {
    for (int number = first; number < first + count; ++number) {
      protocol::BatchBuilder builder(protocol::BatchBuilder::Options{});
      const std::string value = value_of(number, bytes);
      builder.add(clock.wall_ms(), std::nullopt, as_bytes(value));
      peer.sends(testing::frame_of(testing::produce_of(partition, builder.finish()), kProduceVersion, number));
      const auto frame = answer(peer);
      ASSERT_TRUE(frame.has_value()) << "record " << number;
      const auto told = testing::decode_answer<testing::ProduceResponse>(*frame, kProduceVersion);
      ASSERT_TRUE(told.has_value());
      const ErrorCode error = testing::only(told->message).error_code;
      if (error != ErrorCode::kNone) {  // the ring is full until the drive has caught up
        turns(200);
        --number;
        continue;
      }
    }
  }
  void ask(DevicePeer& peer, int partition, int64_t offset, int32_t bytes = 1 << 20) {
    auto request = testing::fetch_of(partition, offset);
    request.max_bytes = INT32_MAX;
    request.topics[0].partitions[0].partition_max_bytes = bytes;
    peer.sends(testing::frame_of(request, kFetchVersion, 1));
  }
  // How many records came, from first on, each as it was sent.
  int expect_records(DevicePeer& peer, int first, size_t bytes = kRecordBytes) {
    const auto frame = answer(peer);
    EXPECT_TRUE(frame.has_value());
    return frame ? expect_records_in(*frame, first, bytes) : 0;
  }
  int expect_records_in(std::span<const std::byte> frame, int first, size_t bytes = kRecordBytes) {
    const auto told = testing::decode_answer<testing::FetchResponse>(frame, kFetchVersion);
    EXPECT_TRUE(told.has_value());
    const auto& partition = testing::only(told->message);
    EXPECT_EQ(partition.error_code, ErrorCode::kNone);
    if (!partition.records) return 0;
    int count = 0;
    for (const auto& [offset, value] : testing::records_of(*partition.records)) {
      EXPECT_EQ(offset, first + count);
      EXPECT_TRUE(value == value_of(first + count, bytes)) << "record " << first + count;
      ++count;
    }
    return count;
  }

  uint64_t count(Metric metric) { return lcores[0].counters.get(metric); }
  uint64_t count(tcp::Metric metric) { return server_.counters(0).tcp.get(metric); }
  static LogId log_of(int partition) { return LogId{static_cast<uint64_t>(partition) + 1}; }

  sim::SimClock clock;
  sim::SimWire wire{1, {}};
  sim::SimNic server_nic;

 private:
  std::unique_ptr<storage::StoreSet> open_ring(uint16_t ring) {
    disks_.emplace_back(clock, ring + 1u).make_durable_dir("data");
    storage::StoreRequest request{.folder = "data",
                                  .ring_index = ring,
                                  .disk = &disks_.back(),
                                  .clock = &clock,
                                  .prng = &prng_,
                                  .counters = &storage_counters_,
                                  .live_logs = {},
                                  .next_log_id = LogId{1}};
    request.options.ring_bytes = kRingBytes;
    request.options.read_cache_bytes = 4 * kMiB;
    auto set = std::make_unique<storage::StoreSet>();
    set->add(ring, sim::open_on_heap(std::move(request), memory_), {});
    return set;
  }

  sim::SimNic client_nic_;
  Prng prng_{7};
  DataplaneOptions options_;
  std::deque<sim::SimDisk> disks_;
  std::deque<std::vector<std::byte>> memory_;
  storage::StorageCounters storage_counters_;
  std::shared_ptr<Mesh> mesh_;
  SharedDevice server_;
  SharedDevice client_;
  std::optional<Link> link_;

 public:
  std::deque<DeviceLcore> lcores;
  std::deque<DevicePeer> peers;
};

TEST(Lend, RecordsLeaveByReferenceAndArriveAsTheyWereSent) {
  LendRig rig;
  DevicePeer& peer = rig.connect();
  rig.produce(peer, 0, 0, 10);
  const uint64_t copied_before = rig.count(tcp::Metric::tcp_bytes_copied_out);
  rig.ask(peer, 0, 0);
  EXPECT_EQ(rig.expect_records(peer, 0), 10);
  EXPECT_GT(rig.count(Metric::bytes_fetched), 10 * kRecordBytes);
  // A piece of less than 256 bytes at the end of another is copied.
  EXPECT_LE(rig.count(Metric::bytes_fetched) - rig.count(Metric::bytes_fetched_lent), 10 * 256u);
  EXPECT_LT(rig.count(tcp::Metric::tcp_bytes_copied_out) - copied_before, 11 * 256u);
  EXPECT_EQ(rig.count(tcp::Metric::tcp_bytes_copied_back), 0u);
  rig.turns(100);
  rig.expect_home();
}

TEST(Lend, ADeviceThatTakesNoReferencesIsLentNothing) {
  LendRig rig(1, false);
  DevicePeer& peer = rig.connect();
  rig.produce(peer, 0, 0, 10);
  rig.ask(peer, 0, 0);
  peer.reads(false);
  rig.turns(500);
  EXPECT_EQ(rig.loans(), 0u);
  peer.reads(true);
  EXPECT_EQ(rig.expect_records(peer, 0), 10);
  EXPECT_EQ(rig.count(Metric::bytes_fetched_lent), 0u);
}

// What a client does not acknowledge is lent to it until the ring comes round; then it is copied, producers go on, and
// the client gets what it was promised.
TEST(Lend, AClientThatReadsNothingHoldsUpNobody) {
  LendRig rig;
  DevicePeer& writer = rig.connect();
  DevicePeer& reader = rig.connect();
  rig.produce(writer, 0, 0, 40);
  reader.reads(false);
  rig.ask(reader, 0, 20);
  rig.turns(500);
  EXPECT_GT(rig.loans(), 0u);
  const uint64_t lent = rig.count(Metric::bytes_fetched_lent);
  EXPECT_GT(lent, 500'000u);
  EXPECT_LE(lent, kMiB + 64 * kKiB);  // its send buffer, and a piece
  rig.wire.set_faults({.lose_permille = 10});
  rig.produce(writer, 0, 40, 400);  // the ring, more than twice
  EXPECT_EQ(rig.loans(), 0u);
  EXPECT_GT(rig.count(tcp::Metric::tcp_bytes_copied_back), 0u);
  reader.reads(true);
  EXPECT_GE(rig.expect_records(reader, 20), 20);
}

// Its client has everything, and the device would keep it for ever: until the ring comes round, or the broker stops.
TEST(Lend, ADeviceThatGivesBackOnlyWhatIsWantedHoldsUpNobody) {
  LendRig rig(1, true, 100);
  DevicePeer& writer = rig.connect();
  DevicePeer& reader = rig.connect();
  rig.produce(writer, 0, 0, 10);
  const auto read = [&](int64_t offset, int first) {
    rig.ask(reader, 0, offset);
    EXPECT_EQ(rig.expect_records(reader, first), 10);
    rig.turns(1000);
    EXPECT_GT(rig.loans(), 0u);
    EXPECT_GT(rig.server_nic.lent(), 0u);
  };
  read(0, 0);
  rig.produce(writer, 0, 10, 400);  // the ring, more than twice
  EXPECT_EQ(rig.loans(), 0u);
  EXPECT_EQ(rig.count(tcp::Metric::tcp_bytes_copied_back), 0u) << "all of it was acknowledged";
  read(400, 400);
  rig.lcores[0].broker.lender.recall_all();
  rig.turns(100);
  rig.expect_home();
}

// A log may end while its records are in flight: what is sent again is what was sent.
TEST(Lend, WhatIsLostAndDeletedIsSentAgainAsItWas) {
  for (const bool deleted : {true, false}) {
    LendRig rig;
    DevicePeer& writer = rig.connect();
    DevicePeer& reader = rig.connect();
    rig.produce(writer, 0, 0, 20);
    rig.ask(reader, 0, 0, 700'000);
    for (int i = 0; i < 1000 && rig.loans() == 0; ++i) rig.turn();
    ASSERT_GT(rig.loans(), 0u);
    // Nothing arrives any more.
    rig.wire.set_faults({.lose_permille = 1000});
    for (int i = 0; i < 200 && rig.count(Metric::bytes_fetched) < 600'000; ++i) rig.turn();
    ASSERT_GT(rig.count(Metric::bytes_fetched), 600'000u);
    ASSERT_GT(rig.loans(), 0u);
    if (deleted) {
      rig.lcores[0].store->drop_log(LendRig::log_of(0));
    } else {
      EXPECT_EQ(rig.lcores[0].store->trim(LendRig::log_of(0), Offset{20}).status, storage::TrimStatus::kTrimmed);
    }
    rig.turns(1000);
    rig.wire.set_faults({});
    EXPECT_EQ(rig.expect_records(reader, 0), 13);
    EXPECT_GT(rig.count(tcp::Metric::tcp_retransmissions), 0u);
  }
}

TEST(Lend, AResetGivesEverythingHome) {
  LendRig rig;
  DevicePeer& writer = rig.connect();
  DevicePeer& reader = rig.connect();
  rig.produce(writer, 0, 0, 40);
  reader.reads(false);
  rig.ask(reader, 0, 0);
  rig.turns(500);
  EXPECT_GT(rig.loans(), 0u);
  reader.reset();
  rig.turns(200);
  rig.expect_home();
}

// From the drive: blocks of the cache are lent, and never more than leave room for those who read.
TEST(Lend, RecordsOnTheDriveAreLentFromTheCache) {
  LendRig rig;
  DevicePeer& writer = rig.connect();
  rig.produce(writer, 0, 0, 400);
  DevicePeer& reader = rig.connect();
  const uint64_t lent = rig.count(Metric::bytes_fetched_lent);
  rig.ask(reader, 0, 0);
  EXPECT_GE(rig.expect_records(reader, 0), 20);
  EXPECT_GT(rig.count(Metric::bytes_fetched_lent) - lent, 900'000u);
  std::vector<DevicePeer*> slow;
  for (int i = 0; i < 8; ++i) {
    slow.push_back(&rig.connect());
    slow.back()->reads(false);
    rig.ask(*slow.back(), 0, 20 * i);
  }
  rig.turns(5000);
  EXPECT_GT(rig.loans(), 0u);
  rig.ask(reader, 0, 200);
  EXPECT_GE(rig.expect_records(reader, 200), 20);
  for (size_t i = 0; i < slow.size(); ++i) {
    slow[i]->reads(true);
    EXPECT_GE(rig.expect_records(*slow[i], 20 * static_cast<int>(i)), 20);
  }
}

// Its owner asks for them by letter when its ring comes round.
TEST(Lend, RecordsOfAnotherLcoreAreLentAndRecalled) {
  LendRig rig(2);
  DevicePeer& writer = rig.connect();
  DevicePeer& reader = rig.connect();
  rig.produce(writer, 1, 0, 40);
  rig.ask(reader, 1, 20, 500'000);
  EXPECT_GE(rig.expect_records(reader, 20), 9);
  EXPECT_GT(rig.count(Metric::bytes_fetched_lent), 400'000u);
  rig.turns(100);
  rig.expect_home();
  reader.reads(false);
  rig.ask(reader, 1, 20);
  rig.turns(1000);
  EXPECT_GT(rig.lcores[1].store->health(1).loans, 0u);
  rig.produce(writer, 1, 40, 400);
  EXPECT_EQ(rig.loans(), 0u);
  EXPECT_GT(rig.count(tcp::Metric::tcp_bytes_copied_back), 0u);
  reader.reads(true);
  EXPECT_GE(rig.expect_records(reader, 20), 20);
}

// A stop asks for everything at once and does not wait for peers.
TEST(Lend, AStopRecallsWhatIsLent) {
  LendRig rig(2);
  DevicePeer& writer = rig.connect();
  rig.produce(writer, 0, 0, 20);
  rig.produce(writer, 1, 0, 20);
  for (const int partition : {0, 1}) {
    DevicePeer& reader = rig.connect();
    reader.reads(false);
    rig.ask(reader, partition, 0);
  }
  rig.turns(1000);
  EXPECT_GT(rig.loans(), 0u);
  rig.lcores[0].broker.lender.recall_all();
  rig.turns(20);
  rig.expect_home();
  for (const int reader : {1, 2}) {
    rig.peers[static_cast<size_t>(reader)].reads(true);
    EXPECT_EQ(rig.expect_records(rig.peers[static_cast<size_t>(reader)], 0), 20);
  }
}

// What goes out again below an earlier recall, as what was read from a cursor of before, is recalled by that one.
TEST(Lender, ALoanBelowAnEarlierRecallIsRecalledAtOnce) {
  const auto lent = [](uint64_t from) {
    return storage::StoreSet::Lent{.ring = 3, .loan = {.pieces = 1, .memory_from = storage::Lsn{from}}};
  };
  dataplane::Lender lender;
  lender.recall(3, storage::Lsn{1000});
  ASSERT_FALSE(lender.begin_recall()) << "nothing is out";
  const auto above = lender.open(lent(1000));
  EXPECT_FALSE(lender.begin_recall());
  const auto below = lender.open(lent(999));
  EXPECT_TRUE(lender.begin_recall());
  EXPECT_TRUE(lender.is_recalled(below));
  EXPECT_FALSE(lender.is_recalled(above));
}

// It may leave for the device only later, which then is asked for it.
TEST(Lender, WhatWasRecalledIsAwaitedUntilItIsBack) {
  dataplane::Lender lender;
  const auto loan = lender.open({.ring = 3, .loan = {.pieces = 1, .memory_from = storage::Lsn{500}}});
  const auto later = lender.open({.ring = 3, .loan = {.pieces = 1, .memory_from = storage::Lsn{1500}}});
  EXPECT_FALSE(lender.awaits_recalled());
  lender.recall(3, storage::Lsn{1000});
  ASSERT_TRUE(lender.begin_recall());
  for (int turn = 0; turn < 3; ++turn) EXPECT_TRUE(lender.awaits_recalled());
  lender.release(loan);
  EXPECT_FALSE(lender.awaits_recalled()) << "the other may stay";
  lender.recall_all();
  EXPECT_TRUE(lender.awaits_recalled());
  lender.release(later);
  EXPECT_FALSE(lender.awaits_recalled());
}

// Readers that read, sleep, go and come back on a wire that loses, doubles and reorders, while a writer laps the rings.
TEST(Lend, SeedsHold) {
  const char* text = std::getenv("PENSTOCK_SIM_SEEDS");
  const uint64_t seeds =
      (text == nullptr ? 48 : std::strtoull(text, nullptr, 10)) / 250 + 1;  // dear: up to a minute each
  uint64_t lent = 0, copied_back = 0;
  for (uint64_t seed = 1; seed <= seeds; ++seed) {
    SCOPED_TRACE(::testing::Message() << "seed " << seed);
    Prng prng(seed, 23);
    LendRig rig(static_cast<uint16_t>(2 - seed % 2));
    rig.wire.set_faults({.lose_permille = static_cast<unsigned>(prng.below(40)),
                         .duplicate_permille = static_cast<unsigned>(prng.below(40)),
                         .reorder_permille = static_cast<unsigned>(prng.below(40)),
                         .delay_max = 200 * kMicrosecond});
    rig.resets_are_lost = true;
    const auto partitions = rig.lcores.size();
    struct Reader {
      DevicePeer* peer = nullptr;
      int partition = 0;
      int at = 0;
      bool asked = false;
    };
    std::vector<Reader> readers(4);
    DevicePeer& writer = rig.connect();
    std::vector<int> written(partitions);
    for (int round = 0; round < 120; ++round) {
      const auto partition = static_cast<int>(prng.below(partitions));
      rig.produce(writer, partition, written[static_cast<size_t>(partition)], 4);
      written[static_cast<size_t>(partition)] += 4;
      for (Reader& reader : readers) {
        if (reader.peer == nullptr || prng.one_in(60)) {
          if (reader.peer != nullptr) reader.peer->reset();
          reader = {.peer = &rig.connect(), .partition = partition};
        }
        if (prng.one_in(20)) reader.peer->reads(prng.one_in(2));
        if (reader.asked) {
          if (const auto frame = reader.peer->next_answer()) {
            reader.at += rig.expect_records_in(*frame, reader.at);
            reader.asked = false;
          }
        } else {
          const int end = written[static_cast<size_t>(reader.partition)];
          if (prng.one_in(2)) reader.at = std::max(reader.at, end - 10);
          rig.ask(*reader.peer, reader.partition, reader.at, static_cast<int32_t>(prng.between(100'000, 1 << 20)));
          reader.asked = true;
        }
      }
    }
    for (Reader& reader : readers) {
      reader.peer->reads(true);
      if (reader.asked) rig.expect_records(*reader.peer, reader.at);
    }
    rig.wire.set_faults({});
    lent += rig.count(Metric::bytes_fetched_lent);
    copied_back += rig.count(tcp::Metric::tcp_bytes_copied_back);
  }
  EXPECT_GT(lent, seeds * kMiB);
  EXPECT_GT(copied_back, 0u);
}

}  // namespace
}  // namespace penstock::dataplane
