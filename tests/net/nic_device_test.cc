// Device strings, EAL options, the table of drivers: text in, text out, no device needed.
#include <gtest/gtest.h>

#include <algorithm>

#include "base/units.h"
#include "dataplane/nic/card_addresses.h"
#include "dataplane/nic/device.h"
#include "dataplane/nic/drivers.h"

namespace penstock::dataplane::nic {
namespace {

TEST(NicDevice, Strings) {
  const auto card = parse_device("03:00.1", 0);
  ASSERT_TRUE(card);
  EXPECT_EQ(card->name, "0000:03:00.1");
  EXPECT_FALSE(card->is_virtual);
  const auto with_arguments = parse_device("0000:af:00.0,rx_vec_en=0", 0);
  ASSERT_TRUE(with_arguments);
  EXPECT_EQ(with_arguments->text(), "0000:af:00.0,rx_vec_en=0");

  const auto packet = parse_device("net_af_packet,iface=veth1", 3);
  ASSERT_TRUE(packet);
  EXPECT_EQ(packet->name, "net_af_packet3");
  EXPECT_EQ(packet->driver(), "net_af_packet");
  EXPECT_EQ(argument(*packet, "iface"), "veth1");
  EXPECT_FALSE(argument(*packet, "ifac"));
  EXPECT_EQ(parse_device("net_memif7", 0)->name, "net_memif7");
  for (const char* text :
       {"", "eth0", "net_", "net_tap;reboot", "0000:03:00", "zz:00.0", ",iface=x", "net_tap iface"}) {
    EXPECT_FALSE(parse_device(text, 0)) << text;
  }
}

TEST(NicDevice, ArgumentsThatADriverNeeds) {
  Device device = *parse_device("net_af_packet,iface=veth1", 0);
  complete_arguments(device, 4);
  EXPECT_EQ(device.text(), "net_af_packet0,iface=veth1,framecnt=4096,qpairs=4");
  Device own = *parse_device("net_af_packet,iface=veth1,framecnt=512", 0);
  complete_arguments(own, 1);
  EXPECT_EQ(argument(own, "framecnt"), "512");
  Device tap = *parse_device("net_tap,iface=tap0", 0);
  complete_arguments(tap, 2);
  EXPECT_EQ(tap.text(), "net_tap0,iface=tap0,mac=fixed");
}

bool has(const std::vector<std::string>& all, std::string_view one) { return std::ranges::count(all, one) == 1; }

TEST(NicEal, OptionsForVirtualDevicesWithoutHugePages) {
  const MachineFacts machine{.free_huge_bytes = 0, .cpus = "0-3,8"};
  const auto options =
      eal_arguments({.devices = {*parse_device("net_tap,iface=t", 0)}, .memory_bytes = 100 * kMiB + 1}, machine);
  EXPECT_TRUE(has(options, "--no-huge"));
  EXPECT_TRUE(has(options, "-m101"));
  EXPECT_TRUE(has(options, "--no-pci"));
  EXPECT_TRUE(has(options, "--iova-mode=va"));
  EXPECT_TRUE(has(options, "--vdev=net_tap0,iface=t"));
  EXPECT_TRUE(has(options, "--lcores=0@(0-3,8)"));
  EXPECT_FALSE(has(options, "--in-memory"));  // DPDK refuses both
}

TEST(NicEal, OptionsForACardWithHugePages) {
  const MachineFacts machine{.free_huge_bytes = kGiB, .cpus = "0"};
  EalOptions wanted{.devices = {*parse_device("03:00.0", 0), *parse_device("net_memif", 1)},
                    .memory_bytes = 100 * kMiB};
  const auto options = eal_arguments(wanted, machine);
  EXPECT_TRUE(has(options, "--in-memory"));
  EXPECT_TRUE(has(options, "--allow=0000:03:00.0"));
  EXPECT_TRUE(has(options, "--vdev=net_memif1"));
  EXPECT_FALSE(has(options, "--no-pci"));
  EXPECT_FALSE(has(options, "--iova-mode=va"));  // EAL knows whether there is an IOMMU
  EXPECT_FALSE(has(options, "--no-huge"));
  EXPECT_FALSE(has(options, "--single-file-segments"));
  wanted.devices.push_back(*parse_device("net_virtio_user,path=/run/vhost", 2));
  EXPECT_TRUE(has(eal_arguments(wanted, machine), "--single-file-segments"));
  wanted.memory_bytes = 2 * kGiB;
  EXPECT_FALSE(uses_huge_pages(wanted, machine));
  wanted.huge_pages = HugePages::kOn;
  EXPECT_TRUE(uses_huge_pages(wanted, machine));
  wanted = {.devices = {}, .memory_bytes = 1, .huge_pages = HugePages::kOff};
  EXPECT_FALSE(uses_huge_pages(wanted, machine));
}

TEST(NicEal, ThisMachineHasCpus) { EXPECT_FALSE(read_machine_facts().cpus.empty()); }

TEST(NicDrivers, WhatIsNotKnownIsNotBelieved) {
  const auto unknown = traits_of("net_something", "");
  EXPECT_EQ(unknown.references, References::kNone);
  EXPECT_FALSE(unknown.rx_checksum || unknown.tx_checksum);
  EXPECT_EQ(traits_of("net_af_xdp", "").references, References::kNone);
  EXPECT_EQ(traits_of("net_ring", "").references, References::kNone);
  EXPECT_FALSE(traits_of("net_ring", "").rx_checksum);
  EXPECT_EQ(traits_of("net_af_packet", "").references, References::kAny);
  EXPECT_EQ(traits_of("net_memif", "role=client").references, References::kAny);
  EXPECT_EQ(traits_of("net_memif", "role=client,zero-copy=yes").references, References::kNone);
  EXPECT_EQ(traits_of("net_virtio_user", "").references, References::kHeapOnly);
  EXPECT_FALSE(traits_of("net_ice", "").maps_itself);
  EXPECT_TRUE(traits_of("mlx5_pci", "").maps_itself);
  EXPECT_TRUE(traits_of("net_virtio", "").may_pass_iommu);
  EXPECT_FALSE(traits_of("net_e1000_em", "").may_pass_iommu);
  for (const char* card : {"net_virtio", "net_e1000_em", "net_i40e", "net_ice", "net_ena", "mlx5_pci"})
    EXPECT_EQ(traits_of(card, "").references, References::kMapped) << card;  // the IOMMU refuses the rest
}

TEST(NicCardAddresses, RoomIsAboveMemoryAndBesideDevices) {
  constexpr uint64_t kAlign = 2 * kMiB;
  EXPECT_EQ(find_room({}, kMiB, kAlign), 4 * kGiB) << "below lie the APICs and what 32-bit devices have";
  EXPECT_EQ(find_room({{0, kGiB - 1}}, kMiB, kAlign), 4 * kGiB);
  const std::vector<AddressRange> taken = {{8 * kGiB + kMiB, 8 * kGiB + 2 * kMiB}, {0, 6 * kGiB - 1}, {1, 2}};
  EXPECT_EQ(find_room(taken, kGiB, kAlign), 6 * kGiB);
  EXPECT_EQ(find_room(taken, 2 * kGiB + kMiB, kAlign), 6 * kGiB) << "just as much";
  EXPECT_EQ(find_room(taken, 2 * kGiB + kMiB + 1, kAlign), 8 * kGiB + 4 * kMiB);
  // One within another.
  EXPECT_EQ(find_room({{0, 9 * kGiB - 1}, {5 * kGiB, 6 * kGiB}}, kMiB, kAlign), 9 * kGiB);
  EXPECT_EQ(find_room({{0, UINT64_MAX}}, 1, kAlign), std::nullopt);
  EXPECT_EQ(find_room({{0, UINT64_MAX - kGiB}}, 2 * kGiB, kAlign), std::nullopt);
}

TEST(NicCardAddresses, WhatTheKernelSays) {
  const auto memory = memory_in(
      "Node 0, zone      DMA\n  pages free     3840\n        spanned  4095\n  start_pfn:           1\n"
      "Node 0, zone   Normal\n        spanned  1000\n        present  900\n  start_pfn:           1048576\n"
      "Node 0, zone  Movable\n        spanned  0\n");
  EXPECT_EQ(memory, (AddressRange{0, (1048576 + 1000) * uint64_t{4096} - 1}));
  EXPECT_EQ(memory_in(""), std::nullopt);
  EXPECT_EQ(memory_in("Permission denied"), std::nullopt);
  std::vector<AddressRange> resources;
  add_resources(
      "0x00000000febc0000 0x00000000febdffff 0x0000000000040200\n"
      "0x0000000000000000 0x0000000000000000 0x0000000000000000\n"
      "0x0000000800000000 0x00000008001fffff 0x000000000014220c\nnothing",
      resources);
  EXPECT_EQ(resources, (std::vector<AddressRange>{{0xfebc0000, 0xfebdffff}, {0x800000000, 0x8001fffff}}));
  std::vector<AddressRange> mappings;
  add_mappings(
      "100000000-100200000 ---p 00000000 00:00 0 \n100200000-100201000 rw-p 00000000 00:00 0 [heap]\n\nnone\n"
      "ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0                  [vsyscall]",
      mappings);
  EXPECT_EQ(mappings,
            (std::vector<AddressRange>{
                {0x100000000, 0x1001fffff}, {0x100200000, 0x100200fff}, {0xffffffffff600000, 0xffffffffff600fff}}));
}

TEST(NicCardAddresses, WhatThisProcessHasIsTaken) {
  const std::vector<AddressRange> taken = taken_addresses();
  ASSERT_FALSE(taken.empty()) << "Linux says where its memory ends";
  static const int kMine = 1;
  const auto here = reinterpret_cast<uint64_t>(&kMine);
  EXPECT_TRUE(std::ranges::any_of(taken, [&](const AddressRange& at) { return at.first <= here && here <= at.last; }));
  const auto room = find_room(taken, kGiB, kGiB);
  ASSERT_TRUE(room);
  for (const AddressRange& at : taken) EXPECT_TRUE(at.last < *room || at.first >= *room + kGiB);
}

// The bits are those of DPDK's rte_mbuf_core.h: two a checksum, whose four values mean unknown, bad, good and none.
TEST(NicDrivers, ReceiveFlagsOfADriverThatIsBelieved) {
  constexpr uint64_t kL4Bad = 1u << 3, kL4Good = 1u << 8, kIpBad = 1u << 4, kIpGood = 1u << 7;
  const DriverTraits virtio = traits_of("net_virtio", "");
  const auto l4 = [&](uint64_t flags) { return verified_checksums(virtio, flags).l4; };
  const auto ip = [&](uint64_t flags) { return verified_checksums(virtio, flags).ip; };
  EXPECT_FALSE(l4(0) || l4(kL4Bad) || ip(0) || ip(kIpBad));
  EXPECT_TRUE(l4(kL4Good) && ip(kIpGood));
  EXPECT_FALSE(l4(kIpGood) || ip(kL4Good));
  // Not filled in by a sender on the same host, and whole all the same: virtio's NEEDS_CSUM.
  EXPECT_TRUE(l4(kL4Bad | kL4Good) && ip(kIpBad | kIpGood));
  const auto unknown = verified_checksums(traits_of("net_ring", ""), kL4Good | kIpGood);
  EXPECT_FALSE(unknown.l4 || unknown.ip);
}

}  // namespace
}  // namespace penstock::dataplane::nic
