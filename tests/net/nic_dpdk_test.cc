// DpdkNic over devices that need neither root nor a kernel's help: net_null, which swallows and makes up frames, and a
// pair of net_ring ports, each the other's wire.
#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "base/log.h"
#include "base/prng.h"
#include "dataplane/nic/dpdk_port.h"
#include "dataplane/nic/eal.h"

namespace penstock::dataplane::nic {
namespace {

const PortOptions kOptions{.descriptors = 256, .frames_held = 512};

class Eal : public ::testing::Environment {
 public:
  static Device null(unsigned number) { return *parse_device("net_null", number); }
  void SetUp() override {
    ASSERT_TRUE(start_eal({.devices = {null(0), null(1), null(2)},
                           .memory_bytes = 5 * port_memory_bytes(kOptions),
                           .huge_pages = HugePages::kOff}));
    ASSERT_TRUE(register_thread());
  }
  void TearDown() override {
    unregister_thread();
    stop_eal();
  }
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
  EXPECT_FALSE(DpdkPort::open(Eal::null(2), too_many));
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
  auto port = DpdkPort::open(Eal::null(0), kOptions);
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

TEST(NicDpdk, HeldFramesStarveTheDeviceUntilTheyComeHome) {
  auto port = DpdkPort::open(Eal::null(1), kOptions);
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
