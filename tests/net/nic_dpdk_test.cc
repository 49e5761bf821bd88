// DpdkNic over devices that need neither root nor a kernel's help: net_null, which swallows and makes up frames, and a
// pair of net_ring ports, each the other's wire.
#include <gtest/gtest.h>

#include <algorithm>
#include <optional>
#include <string>
#include <vector>

#include "base/log.h"
#include "base/mapped_memory.h"
#include "base/prng.h"
#include "dataplane/nic/card_memory.h"
#include "dataplane/nic/dpdk_port.h"
#include "dataplane/nic/eal.h"
#include "tests/net/slow_device.h"

namespace penstock::dataplane::nic {
namespace {

const PortOptions kOptions{.descriptors = 256, .frames_held = 512};

class Eal : public ::testing::Environment {
 public:
  static Device null(unsigned number) { return *parse_device("net_null", number); }
  // A device can be opened once.
  static unsigned next() { return next_++; }
  void SetUp() override {
    std::vector<Device> devices;
    for (unsigned i = 0; i < 24; ++i) devices.push_back(null(i));
    ASSERT_TRUE(start_eal(
        {.devices = devices, .memory_bytes = 14 * port_memory_bytes(kOptions), .huge_pages = HugePages::kOff}));
    ASSERT_TRUE(register_thread());
  }
  void TearDown() override {
    unregister_thread();
    stop_eal();
  }

 private:
  static inline unsigned next_ = 0;
};
const auto* const kEal = ::testing::AddGlobalTestEnvironment(new Eal);

class Owner final : public net::TxOwner {
 public:
  void release(uint64_t token) override { released.push_back(token); }
  std::vector<uint64_t> released;
};

net::TxFrame frame_of(std::span<const net::TxPiece> pieces, Owner* owner = nullptr, uint64_t token = 0) {
  net::TxFrame frame;
  frame.header.fill(std::byte{0x11});
  frame.header_bytes = 54;
  std::ranges::copy(pieces, frame.pieces.begin());
  frame.piece_count = static_cast<uint8_t>(pieces.size());
  frame.owner = owner;
  frame.owner_token = token;
  return frame;
}

std::vector<std::byte> random_bytes(size_t n, uint64_t seed) {
  std::vector<std::byte> bytes(n);
  Prng(seed).fill(bytes);
  return bytes;
}

TEST(NicDpdk, ADeviceThatIsNotThereIsAnError) {
  set_log_sink([](LogLevel, std::string_view) {});
  const auto port = DpdkPort::open(*parse_device("net_tap,iface=none", 9), kOptions);
  ASSERT_FALSE(port);
  EXPECT_EQ(port.error().code, Errc::kInvalid);
  PortOptions too_many = kOptions;
  too_many.queues = 5000;
  EXPECT_FALSE(DpdkPort::open(Eal::null(Eal::next()), too_many));
}

TEST(NicDpdk, FramesCrossARingWithoutACopyOnReceive) {
  auto pair = DpdkPort::open_pair("cross", kOptions);
  ASSERT_TRUE(pair);
  auto& [left, right] = *pair;
  DpdkNic& sender = left->queue(0);
  DpdkNic& receiver = right->queue(0);
  EXPECT_FALSE(sender.capabilities().takes_references);  // they would be freed by the receiver's thread
  Owner owner;
  std::array<net::RxSlot, net::kBurstMax> slots;
  for (uint64_t round = 0; round < 500; ++round) {
    const auto data = random_bytes(1 + round * 7 % 1400, round);
    const size_t cut = data.size() / 3;
    std::vector<net::TxPiece> pieces;
    if (cut > 0) pieces.push_back({std::span(data).first(cut)});
    pieces.push_back({std::span(data).subspan(cut)});
    const net::TxFrame frame = frame_of(pieces, &owner, round);
    ASSERT_EQ(sender.tx_burst(std::span(&frame, 1)), 1u);
    ASSERT_EQ(owner.released.size(), round + 1);  // copied
    sender.flush();
    ASSERT_EQ(receiver.rx_burst(slots, static_cast<Nanos>(round)), 1u);
    const net::RxFrame received = *std::exchange(slots[0], std::nullopt);
    EXPECT_EQ(received.at, static_cast<Nanos>(round));
    EXPECT_FALSE(received.ip_checksum_good || received.l4_checksum_good);
    const auto bytes = received.bytes.bytes();
    ASSERT_EQ(bytes.size(), 54 + data.size());
    EXPECT_TRUE(std::ranges::equal(bytes.subspan(54), data));
    EXPECT_EQ(bytes[0], std::byte{0x11});
  }
  EXPECT_EQ(receiver.statistics().rx_copied_bytes, 0u);
  EXPECT_EQ(receiver.statistics().rx_frames, 500u);
  for (DpdkPort* port : {left.get(), right.get()}) {
    port->close();
    EXPECT_EQ(port->pool_use().used, 0u);
  }
}

TEST(NicDpdk, WhenTheReceiverHoldsAllTheSenderIsRefusedAndBothRecover) {
  auto pair = DpdkPort::open_pair("hold", kOptions);
  ASSERT_TRUE(pair);
  DpdkNic& sender = pair->first->queue(0);
  DpdkNic& receiver = pair->second->queue(0);
  std::array<net::RxSlot, net::kBurstMax> slots;
  std::vector<net::RxFrame> held;
  const net::TxFrame frame = frame_of({});
  for (int i = 0; i < 5000; ++i) {
    sender.tx_burst(std::span(&frame, 1));
    sender.flush();
    const size_t n = receiver.rx_burst(slots, 0);
    for (size_t k = 0; k < n; ++k) held.push_back(*std::exchange(slots[k], std::nullopt));
  }
  EXPECT_GT(sender.statistics().tx_no_buffer, 0u);
  EXPECT_LT(held.size(), 5000u);
  EXPECT_EQ(sender.tx_burst(std::span(&frame, 1)), 0u);
  held.clear();
  EXPECT_EQ(sender.tx_burst(std::span(&frame, 1)), 1u);
  sender.flush();
  EXPECT_EQ(receiver.rx_burst(slots, 0), 1u);
  slots = {};
  pair->first->close();
  pair->second->close();
  EXPECT_EQ(pair->first->pool_use().used, 0u);
}

TEST(NicDpdk, ReferencesComeBackOnceEach) {
  auto port = DpdkPort::open(Eal::null(Eal::next()), kOptions);
  ASSERT_TRUE(port);
  DpdkNic& nic = (*port)->queue(0);
  ASSERT_TRUE(nic.capabilities().takes_references) << (*port)->description();
  Owner owner;
  const auto data = random_bytes(16 * 80, 1);
  uint64_t token = 0;
  uint64_t referred = 0;
  for (const size_t count : {1u, 2u, 7u, 16u}) {
    std::vector<net::TxPiece> pieces;
    for (size_t i = 0; i < count; ++i) pieces.push_back({std::span(data).subspan(i * 80, 80)});
    for (int i = 0; i < 100; ++i) {
      const net::TxFrame frame = frame_of(pieces, &owner, ++token);
      ASSERT_EQ(nic.tx_burst(std::span(&frame, 1)), 1u);
      if (count * 80 >= 256) referred += count * 80;  // what is less is copied
    }
  }
  nic.flush();
  nic.flush();
  EXPECT_EQ(owner.released.size(), token);
  std::ranges::sort(owner.released);
  for (uint64_t i = 0; i < token; ++i) EXPECT_EQ(owner.released[i], i + 1);
  EXPECT_EQ(nic.statistics().tx_referred_bytes, referred);
  // What still waits when the port is closed comes back by that.
  const net::TxPiece piece{data};
  const net::TxFrame frame = frame_of(std::span(&piece, 1), &owner, ++token);
  ASSERT_EQ(nic.tx_burst(std::span(&frame, 1)), 1u);
  EXPECT_EQ(owner.released.size(), token - 1);
  (*port)->close();
  EXPECT_EQ(owner.released.size(), token);
  EXPECT_EQ((*port)->pool_use().used, 0u);
}

// A port whose device is slow, and an owner of what it is lent.
struct SlowPort {
  explicit SlowPort(unsigned number, size_t descriptors = 64, uint16_t queues = 1)
      : port(*DpdkPort::open(Eal::null(number), options_of(queues))),
        nic(port->queue(0)),
        slow(std::in_place, ("net_null" + std::to_string(number)).c_str(), descriptors) {}
  ~SlowPort() {
    slow.reset();
    port->close();
    EXPECT_EQ(port->pool_use().used, 0u);
  }
  static PortOptions options_of(uint16_t queues) {
    PortOptions options = kOptions;
    options.queues = queues;
    return options;
  }
  // A frame that refers to data, of the next token.
  bool send() {
    const net::TxPiece piece{data};
    const net::TxFrame frame = frame_of(std::span(&piece, 1), &owner, ++token);
    return nic.tx_burst(std::span(&frame, 1)) == 1;
  }
  void flush_while_frames_wait() {
    while (nic.frames_wait()) nic.flush();
  }
  size_t stops() const { return slow->queue_stops() + slow->port_stops(); }

  std::unique_ptr<DpdkPort> port;
  DpdkNic& nic;
  std::optional<SlowDevice> slow;
  Owner owner;
  const std::vector<std::byte> data = random_bytes(1000, 1);
  uint64_t token = 0;
};

// As a card's driver does that frees what it has sent when it needs the descriptor.
TEST(NicDpdk, WhatIsWantedBackComesFromADeviceThatGivesBackOnlyForMore) {
  constexpr size_t kDescriptors = 64;
  SlowPort port(Eal::next(), kDescriptors);
  DpdkNic& nic = port.nic;
  const auto idle_turns = [&](size_t turns) {
    for (size_t i = 0; i < turns; ++i) nic.flush();
  };
  for (int i = 0; i < 10; ++i) {
    ASSERT_TRUE(port.send());
    nic.flush();
  }
  idle_turns(1000);
  EXPECT_TRUE(port.owner.released.empty()) << "nobody has asked, so nothing is sent for it";
  EXPECT_EQ(nic.statistics().tx_pushes, 0u);
  EXPECT_FALSE(nic.frames_wait());

  nic.want_back();
  EXPECT_TRUE(nic.frames_wait()) << "who sleeps must look again";
  ASSERT_TRUE(port.send());
  nic.flush();
  port.flush_while_frames_wait();
  ASSERT_GE(port.owner.released.size(), 10u);
  for (uint64_t i = 0; i < 10; ++i) EXPECT_EQ(port.owner.released[i], i + 1);
  const uint64_t pushes = nic.statistics().tx_pushes;
  EXPECT_GE(pushes, kDescriptors - 11);
  EXPECT_LE(pushes, kDescriptors + 8);
  idle_turns(1000);
  EXPECT_EQ(nic.statistics().tx_pushes, pushes) << "no more than that needs";
  nic.want_back();
  port.flush_while_frames_wait();
  EXPECT_EQ(port.owner.released.size(), 11u);
}

// Its ring is full: it is asked again when the loop comes round, for which nobody is woken.
TEST(NicDpdk, WhoSleepsIsNotWokenForADeviceThatTakesNothing) {
  SlowPort port(Eal::next());
  DpdkNic& nic = port.nic;
  ASSERT_TRUE(port.send());
  nic.flush();
  port.slow->refuse(true);
  nic.want_back();
  EXPECT_TRUE(nic.frames_wait());
  for (int i = 0; i < 10'000; ++i) {
    nic.flush();
    nic.want_back();
    ASSERT_FALSE(nic.frames_wait());
  }
  EXPECT_EQ(nic.statistics().tx_pushes, 0u);
  EXPECT_TRUE(port.owner.released.empty());
  port.slow->refuse(false);
  nic.flush();
  EXPECT_TRUE(nic.frames_wait()) << "it takes some again, and the rest follows";
  port.flush_while_frames_wait();
  EXPECT_EQ(port.owner.released.size(), 1u);
}

// net_null has a link as long as it is started.
TEST(NicDpdk, ADeviceWithoutALinkIsLentNothing) {
  const Device device = Eal::null(Eal::next());
  const std::string& name = device.name;
  auto port = DpdkPort::open(device, kOptions);
  ASSERT_TRUE(port);
  DpdkNic& nic = (*port)->queue(0);
  const auto data = random_bytes(1000, 1);
  ASSERT_TRUE(nic.link_up());
  EXPECT_TRUE(nic.refers_to(data));
  set_started(name.c_str(), false);
  ASSERT_FALSE(nic.link_up());
  EXPECT_FALSE(nic.refers_to(data));
  set_started(name.c_str(), true);
  ASSERT_TRUE(nic.link_up());
  EXPECT_TRUE(nic.refers_to(data));
}

// Its link is lost for good, and the log needs the memory: TCP sends again what is lost so.
class NicDpdkWithoutALink : public ::testing::TestWithParam<bool> {
 protected:
  static bool stops_queues() { return GetParam(); }
  NicDpdkWithoutALink() { port.slow->stops_queues(stops_queues()); }
  void send_one_and_lose_link() {
    ASSERT_TRUE(nic.link_up());
    ASSERT_TRUE(port.send());
    nic.flush();
    port.slow->refuse(true);
    port.slow->set_link(false);
    ASSERT_FALSE(nic.link_up());
  }

  // A port that others use is not stopped.
  SlowPort port{Eal::next(), 64, stops_queues() ? uint16_t{2} : uint16_t{1}};
  DpdkNic& nic = port.nic;
};

TEST_P(NicDpdkWithoutALink, GivesBackWhatIsWanted) {
  ASSERT_TRUE(nic.link_up());
  for (int i = 0; i < 5; ++i) ASSERT_TRUE(port.send());
  nic.flush();
  port.slow->refuse(true);
  ASSERT_TRUE(port.send()) << "it waits in front of the ring";
  port.slow->set_link(false);
  for (int i = 0; i < 5; ++i) ASSERT_FALSE(nic.link_up());
  EXPECT_EQ(port.stops(), 0u) << "nobody needs it";
  nic.want_back();
  port.slow->set_link(true);
  ASSERT_TRUE(nic.link_up());
  port.slow->set_link(false);
  ASSERT_FALSE(nic.link_up());
  EXPECT_EQ(port.stops(), 0u) << "links come and go";
  EXPECT_TRUE(port.owner.released.empty());

  port.slow->fail_starts(2);
  ASSERT_FALSE(nic.link_up());
  std::ranges::sort(port.owner.released);
  EXPECT_EQ(port.owner.released, (std::vector<uint64_t>{1, 2, 3, 4, 5, 6}));
  EXPECT_EQ(port.slow->queue_stops(), stops_queues() ? 1u : 0u);
  EXPECT_EQ(port.slow->port_stops(), stops_queues() ? 0u : 1u);
  EXPECT_EQ(nic.statistics().tx_restarts, 1u);
  std::array<net::RxSlot, net::kBurstMax> slots;
  EXPECT_EQ(nic.rx_burst(slots, 0), 0u) << "it has not started again";
  ASSERT_TRUE(port.send());
  nic.flush();
  port.slow->set_link(true);
  ASSERT_FALSE(nic.link_up());
  ASSERT_FALSE(nic.link_up()) << "it has just been started";
  ASSERT_TRUE(nic.link_up());
  EXPECT_TRUE(nic.refers_to(port.data));
  EXPECT_GT(nic.rx_burst(slots, 0), 0u);
  for (net::RxSlot& slot : slots) slot.reset();
  port.slow->refuse(false);
  ASSERT_TRUE(port.send());
  nic.want_back();
  for (int i = 0; i < 5; ++i) ASSERT_TRUE(nic.link_up());
  nic.flush();
  port.flush_while_frames_wait();
  EXPECT_EQ(port.owner.released.size(), 8u);
  EXPECT_EQ(port.stops(), 1u);
}

// DPDK has taken the driver's functions away by then, and says of a start that it is one already.
TEST_P(NicDpdkWithoutALink, IsStoppedAgainIfThatFails) {
  static std::vector<std::string> lines;
  lines.clear();
  set_log_sink([](LogLevel, std::string_view line) { lines.emplace_back(line); });
  ASSERT_NO_FATAL_FAILURE(send_one_and_lose_link());
  nic.want_back();
  port.slow->fail_stops(3);
  for (int i = 0; i < 3; ++i) {
    ASSERT_FALSE(nic.link_up());
    EXPECT_TRUE(port.owner.released.empty());
  }
  EXPECT_EQ(lines.size(), 1u);
  EXPECT_EQ(port.stops(), 0u);
  EXPECT_EQ(nic.statistics().tx_restarts, 0u);
  ASSERT_FALSE(nic.link_up());
  set_log_sink([](LogLevel, std::string_view) {});
  EXPECT_EQ(lines.size(), 2u);
  EXPECT_EQ(port.owner.released.size(), 1u);
  EXPECT_EQ(port.stops(), 1u);
  EXPECT_EQ(nic.statistics().tx_restarts, 1u);
  port.slow->set_link(true);
  port.slow->refuse(false);
  ASSERT_TRUE(nic.link_up());
  std::array<net::RxSlot, net::kBurstMax> slots;
  EXPECT_GT(nic.rx_burst(slots, 0), 0u);
}

// So it is with drivers that copy what they send: all that is lent waits before a ring that is full.
TEST_P(NicDpdkWithoutALink, WhatItHasNoRoomForIsLost) {
  port.slow->stops_queues(false);
  port.slow->refuse(true);
  ASSERT_TRUE(nic.link_up());
  for (int i = 0; i < 5; ++i) ASSERT_TRUE(port.send());
  nic.flush();
  EXPECT_TRUE(nic.frames_wait());
  port.slow->set_link(false);
  for (int i = 0; i < 5; ++i) ASSERT_FALSE(nic.link_up());
  EXPECT_TRUE(port.owner.released.empty());
  nic.want_back();
  ASSERT_FALSE(nic.link_up());
  EXPECT_EQ(port.owner.released.size(), 5u);
  EXPECT_EQ(port.stops(), 0u);
  // Nobody looks for room again and again.
  for (int i = 0; i < 500; ++i) {
    ASSERT_TRUE(port.send());
    nic.flush();
    ASSERT_FALSE(nic.frames_wait());
  }
  EXPECT_EQ(nic.statistics().tx_errors, 505u);
  EXPECT_EQ(port.owner.released.size(), 505u);
}

// The kernel's word is late: a device that frames come from is alive.
TEST_P(NicDpdkWithoutALink, FramesBetweenTheLooksKeepTheRing) {
  ASSERT_NO_FATAL_FAILURE(send_one_and_lose_link());
  nic.want_back();
  std::array<net::RxSlot, net::kBurstMax> slots;
  for (int i = 0; i < 5; ++i) {
    ASSERT_GT(nic.rx_burst(slots, 0), 0u);
    ASSERT_FALSE(nic.link_up());
  }
  EXPECT_EQ(port.stops(), 0u);
  ASSERT_FALSE(nic.link_up());
  EXPECT_EQ(port.stops(), 1u);
}

INSTANTIATE_TEST_SUITE_P(Driver, NicDpdkWithoutALink, ::testing::Bool(), [](const auto& param_info) {
  return std::string(param_info.param ? "StopsItsQueues" : "StopsAsAWhole");
});

// virtio's driver does, as its device may still read.
TEST(NicDpdk, ADriverThatKeepsAllAtAStopIsStoppedOnce) {
  SlowPort port(Eal::next());
  DpdkNic& nic = port.nic;
  port.slow->keep_at_stop();
  ASSERT_TRUE(port.send());
  nic.flush();
  port.slow->refuse(true);
  port.slow->set_link(false);
  nic.want_back();
  for (int i = 0; i < 10; ++i) ASSERT_FALSE(nic.link_up());
  EXPECT_EQ(port.slow->port_stops(), 1u);
  EXPECT_TRUE(port.owner.released.empty());
  port.slow->set_link(true);
  port.slow->refuse(false);
  ASSERT_TRUE(nic.link_up());
  nic.flush();
  port.flush_while_frames_wait();
  EXPECT_EQ(port.owner.released.size(), 1u);
}

// Drivers may look at a card by one thread at a time.
TEST(NicDpdk, ThePortsFirstLcoreAsksForItsLink) {
  SlowPort port(Eal::next(), 64, 2);
  DpdkNic& second = port.port->queue(1);
  EXPECT_TRUE(second.link_up()) << "as it was opened";
  port.slow->set_link(false);
  EXPECT_TRUE(second.link_up());
  EXPECT_FALSE(port.nic.link_up());
  EXPECT_FALSE(second.link_up());
  EXPECT_FALSE(second.refers_to(port.data));
}

// The last look may be a second ago.
TEST(NicDpdk, ADeviceThatFramesComeFromHasALink) {
  const Device device = Eal::null(Eal::next());
  const std::string& name = device.name;
  auto port = DpdkPort::open(device, kOptions);
  ASSERT_TRUE(port);
  DpdkNic& nic = (*port)->queue(0);
  const auto data = random_bytes(1000, 1);
  std::array<net::RxSlot, net::kBurstMax> slots;
  set_started(name.c_str(), false);
  ASSERT_FALSE(nic.link_up());
  EXPECT_FALSE(nic.refers_to(data));
  set_started(name.c_str(), true);
  ASSERT_GT(nic.rx_burst(slots, 0), 0u);
  EXPECT_TRUE(nic.refers_to(data));
}

// A link that is down: it takes frames until its ring is full.
TEST(NicDpdk, ADeviceThatSendsNothingIsNotPushedForEver) {
  SlowPort port(Eal::next(), 2000);
  DpdkNic& nic = port.nic;
  ASSERT_TRUE(port.send());
  for (int i = 0; i < 1000; ++i) {
    nic.want_back();  // as at a stop, each turn
    nic.flush();
  }
  EXPECT_TRUE(port.owner.released.empty());
  EXPECT_FALSE(nic.frames_wait());
  EXPECT_LE(nic.statistics().tx_pushes, kOptions.descriptors + net::kBurstMax);
  nic.abandon();
  port.slow.reset();
  EXPECT_TRUE(port.owner.released.empty());
}

// What is no whole pages DPDK does not take, whatever the device.
TEST(NicDpdk, ACardThatCannotReadTheLogsMemoryCopiesAndSaysSoOnce) {
  auto port = DpdkPort::open(Eal::null(Eal::next()), kOptions);
  ASSERT_TRUE(port);
  const std::array cards{port->get()};
  static std::vector<std::string> lines;
  set_log_sink([](LogLevel, std::string_view line) { lines.emplace_back(line); });
  MappedMemory memory(2 * kMiB, 2 * kMiB);
  LogMemory log_memory;
  EXPECT_TRUE((*port)->queue(0).statistics().reads_log) << "its driver takes memory of any kind";
  log_memory.add(memory.span().first(5000), cards);
  log_memory.add(memory.span().subspan(100, 4096), cards);
  set_log_sink([](LogLevel, std::string_view) {});
  ASSERT_EQ(lines.size(), 1u);
  EXPECT_NE(lines[0].find("does not read all of the log's memory"), std::string::npos) << lines[0];
  EXPECT_FALSE((*port)->queue(0).statistics().reads_log);
  log_memory.remove_all();
}

// Two memories and what lies between and across them.
TEST(NicCardMemory, AddressesOfPieces) {
  std::vector<std::byte> arena(40'000);
  const std::span all(arena);
  const std::array known{CardMemory{.memory = all.subspan(8'000, 8'000), .address = 1'000'000},
                         CardMemory{.memory = all.subspan(16'000, 16'000), .address = 5'000'000}};
  const auto at = [&](size_t from, size_t n) { return address_in(known, all.subspan(from, n)); };
  EXPECT_EQ(at(8'000, 8'000), 1'000'000u);
  EXPECT_EQ(at(8'001, 10), 1'000'001u);
  EXPECT_EQ(at(15'999, 1), 1'007'999u);
  EXPECT_EQ(at(16'000, 16'000), 5'000'000u);
  EXPECT_EQ(at(31'999, 1), 5'015'999u);
  EXPECT_EQ(at(15'999, 2), std::nullopt) << "side by side here, and far from each other for the card";
  EXPECT_EQ(at(7'999, 2), std::nullopt);
  EXPECT_EQ(at(31'999, 2), std::nullopt);
  EXPECT_EQ(at(0, 10), std::nullopt);
  EXPECT_EQ(at(32'000, 10), std::nullopt);
  EXPECT_EQ(address_in({}, all), std::nullopt);
}

TEST(NicCardMemory, PagesThatMemoryIsMadeOf) {
  const MappedMemory memory(8 * kMiB, 4 * kMiB);
  const auto page = [&](size_t from, size_t n) { return page_of(memory.span().subspan(from, n)); };
  EXPECT_EQ(page(0, 8 * kMiB), 2 * kMiB);
  EXPECT_EQ(page(0, 3 * kMiB), kMiB);
  EXPECT_EQ(page(kMiB, 4 * kMiB), kMiB);
  EXPECT_EQ(page(0, 256 * kKiB), 256 * kKiB);
  EXPECT_EQ(page(4096, 8 * kKiB), 4 * kKiB);
  EXPECT_EQ(page(0, 5000), 0u);
  EXPECT_EQ(page(100, 4096), 0u);
  EXPECT_EQ(page(0, 0), 0u);
}

TEST(NicDpdk, HeldFramesStarveTheDeviceUntilTheyComeHome) {
  auto port = DpdkPort::open(Eal::null(Eal::next()), kOptions);
  ASSERT_TRUE(port);
  DpdkNic& nic = (*port)->queue(0);
  std::array<net::RxSlot, net::kBurstMax> slots;
  std::vector<net::RxFrame> held;
  for (;;) {
    const size_t n = nic.rx_burst(slots, 0);
    if (n == 0) break;
    for (size_t k = 0; k < n; ++k) held.push_back(*std::exchange(slots[k], std::nullopt));
    ASSERT_LE(held.size(), (*port)->pool_use().total);
  }
  EXPECT_GE(held.size(), kOptions.frames_held);
  // Room behind the frame and in front of it belongs to the Buffer.
  EXPECT_GE(held[0].bytes.room().size(), 1000u);
  std::ranges::fill(held[0].bytes.room(), std::byte{0xff});
  held.clear();
  EXPECT_EQ(nic.rx_burst(slots, 0), net::kBurstMax);
  slots = {};
  (*port)->close();
  EXPECT_EQ((*port)->pool_use().used, 0u);
}

TEST(NicDpdk, DeviceMemoryIsAlignedAndGivenBack) {
  const auto memory = allocate_device_memory(100'000);
  ASSERT_EQ(memory.size(), 100'000u);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(memory.data()) % 4096, 0u);
  std::ranges::fill(memory, std::byte{1});
  free_device_memory(memory);
  EXPECT_TRUE(allocate_device_memory(size_t{1} << 40).empty());
}

}  // namespace
}  // namespace penstock::dataplane::nic
