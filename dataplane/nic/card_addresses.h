// Where among a card's addresses there is room. DPDK maps its own memory at its physical or its virtual addresses, as
// the IOMMU and the drivers have it. Memory of others may be put anywhere else, in one piece, however it lies: what
// decides is the IOMMU. But not where a bridge on the way would take it for a device's own memory, and as low as
// possible, since some IOMMUs have no more than 39 bits.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

namespace penstock::dataplane::nic {

struct AddressRange {
  uint64_t first;
  uint64_t last;  // inclusive
  friend bool operator==(const AddressRange&, const AddressRange&) = default;
};

// The lowest multiple of align (a power of two), 4 GiB at least, from which on bytes are free.
std::optional<uint64_t> find_room(std::vector<AddressRange> taken, uint64_t bytes, uint64_t align);

// What the kernel says of its memory (/proc/zoneinfo): from 0 to the end of the last zone. Nothing: it does not say.
std::optional<AddressRange> memory_in(std::string_view zoneinfo);
// And of a PCI device's or bridge's resources (/sys/bus/pci/devices/*/resource).
void add_resources(std::string_view resource, std::vector<AddressRange>& out);

// And of a process' virtual addresses (/proc/self/maps), which those that DPDK may use one day are among.
void add_mappings(std::string_view maps, std::vector<AddressRange>& out);

// All of these, of this machine and this process; empty if the kernel does not say.
std::vector<AddressRange> taken_addresses();

}  // namespace penstock::dataplane::nic
