// The table of drivers.
#include "dataplane/nic/drivers.h"

#include <rte_mbuf.h>

#include <algorithm>
#include <array>

namespace penstock::dataplane::nic {

namespace {

constexpr auto kDrivers = std::to_array<DriverTraits>({
    // Virtual devices. af_packet, tap, memif and vhost copy what they send inside tx_burst, from wherever it is.
    {.name = "net_af_packet", .references = References::kAny, .takes_segments = true},
    {.name = "net_tap", .references = References::kAny, .rx_checksum = true, .shares_kernel_mac = true},
    {.name = "net_memif", .references = References::kAny},  // not with zero-copy, see below
    {.name = "net_vhost", .references = References::kAny},
    {.name = "net_virtio_user", .references = References::kHeapOnly},
    {.name = "net_ring", .references = References::kNone},  // its mbufs are freed by another thread
    {.name = "net_af_xdp", .references = References::kNone},
    {.name = "net_pcap", .references = References::kAny},
    {.name = "net_null", .references = References::kAny, .takes_segments = true},
    // Cards. The IOMMU lets them read what EAL and we have mapped for them, and nothing else of ours.
    {.name = "net_virtio",  // without VIRTIO_F_ACCESS_PLATFORM its device knows no IOMMU, and nobody says so
     .references = References::kMapped,
     .rx_checksum = true,
     .tx_checksum = true,
     .tso = true,
     .may_pass_iommu = true},
    {.name = "net_e1000_em", .references = References::kMapped, .rx_checksum = true, .tx_checksum = true},
    {.name = "net_e1000_igb", .references = References::kMapped, .rx_checksum = true, .tx_checksum = true, .tso = true},
    {.name = "net_igc", .references = References::kMapped, .rx_checksum = true, .tx_checksum = true, .tso = true},
    {.name = "net_ixgbe", .references = References::kMapped, .rx_checksum = true, .tx_checksum = true, .tso = true},
    {.name = "net_ixgbe_vf", .references = References::kMapped, .rx_checksum = true, .tx_checksum = true, .tso = true},
    {.name = "net_i40e", .references = References::kMapped, .rx_checksum = true, .tx_checksum = true, .tso = true},
    {.name = "net_iavf", .references = References::kMapped, .rx_checksum = true, .tx_checksum = true, .tso = true},
    {.name = "net_ice", .references = References::kMapped, .rx_checksum = true, .tx_checksum = true, .tso = true},
    {.name = "net_ena", .references = References::kMapped, .rx_checksum = true, .tx_checksum = true},
    {.name = "net_vmxnet3", .references = References::kMapped, .rx_checksum = true, .tx_checksum = true},
    {.name = "mlx5_pci",
     .references = References::kMapped,
     .rx_checksum = true,
     .tx_checksum = true,
     .tso = true,
     .maps_itself = true},
});

}  // namespace

DriverTraits traits_of(std::string_view driver, std::string_view arguments) {
  const auto* found = std::ranges::find(kDrivers, driver, &DriverTraits::name);
  DriverTraits traits = found != kDrivers.end() ? *found : DriverTraits{driver, References::kNone};
  // memif's zero-copy mode computes a place in shared memory from any address, wrongly for all but its own.
  if (driver == "net_memif" && arguments.find("zero-copy=yes") != std::string_view::npos) {
    traits.references = References::kNone;
  }
  return traits;
}

VerifiedChecksums verified_checksums(const DriverTraits& traits, uint64_t rx_flags) {
  if (traits.is_memory) return {.ip = true, .l4 = true};
  if (!traits.rx_checksum) return {};
  const uint64_t ip = rx_flags & RTE_MBUF_F_RX_IP_CKSUM_MASK;
  const uint64_t l4 = rx_flags & RTE_MBUF_F_RX_L4_CKSUM_MASK;
  // NONE: the field is not filled in, and the bytes are known to be whole all the same. So says virtio of a frame that
  // never was on a cable, from its host or from another guest there.
  return {.ip = ip == RTE_MBUF_F_RX_IP_CKSUM_GOOD || ip == RTE_MBUF_F_RX_IP_CKSUM_NONE,
          .l4 = l4 == RTE_MBUF_F_RX_L4_CKSUM_GOOD || l4 == RTE_MBUF_F_RX_L4_CKSUM_NONE};
}

}  // namespace penstock::dataplane::nic
