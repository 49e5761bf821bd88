// What each of DPDK's drivers can be trusted with. Drivers say what they offer, but not where that ends: net_af_xdp
// sends garbage for memory outside its own, net_ring hands mbufs to another thread, and net_ring's receive flags are
// those that the sender set. Lines of virtual devices were measured or read in DPDK 22.11; those of cards follow its
// documentation. Of these net_e1000_em and net_virtio have run, emulated (scripts/appliance-vm; docs/adr/0012-dpdk.md).
#pragma once

#include <cstdint>
#include <string_view>

namespace penstock::dataplane::nic {

// Which memory of ours a frame may refer to, instead of being copied.
enum class References : uint8_t {
  kNone,      // copy all into one mbuf
  kHeapOnly,  // DPDK's own memory: the other side maps nothing else
  kMapped,    // DPDK's own, and what was mapped for the device (card_memory.h): the IOMMU lets it read nothing else
  kAny,       // the driver copies it out itself
};

struct DriverTraits {
  std::string_view name;  // as rte_eth_dev_info has it
  References references;
  bool rx_checksum = false;        // a good mark on a received frame is a verified checksum
  bool tx_checksum = false;        // fills in checksums, if it offers to
  bool tso = false;                // cuts segments, if it offers to
  bool takes_segments = false;     // frames of several mbufs, although it does not say so
  bool shares_kernel_mac = false;  // the kernel's end of the device bears the same MAC
  bool maps_itself = false;        // keeps maps of its own; others are in vfio's container, where one map is for all
  bool is_memory = false;          // frames never are on a cable: checksums are neither filled in nor looked at
  bool may_pass_iommu = false;     // physical addresses may be just that to it, though an IOMMU stands before it
};

// Of a driver that the table does not know, nothing is believed.
DriverTraits traits_of(std::string_view driver, std::string_view arguments);

// Which checksums of a received frame need no second look, by its mbuf's ol_flags.
struct VerifiedChecksums {
  bool ip = false;
  bool l4 = false;
};
VerifiedChecksums verified_checksums(const DriverTraits& traits, uint64_t rx_flags);

}  // namespace penstock::dataplane::nic
