// Registering and mapping.
#include "dataplane/nic/card_memory.h"

#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_memory.h>
#include <rte_vfio.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string>
#include <utility>

#include "base/assert.h"
#include "base/log.h"
#include "base/units.h"
#include "dataplane/nic/card_addresses.h"
#include "dataplane/nic/dpdk_port.h"

namespace penstock::dataplane::nic {

namespace {

// What DPDK finds wrong with it, or nothing.
const char* register_memory(const CardMemory& at) {
  const size_t page = page_of(at.memory);
  if (page == 0) return "it has no whole pages";
  std::vector<rte_iova_t> addresses(at.memory.size() / page);
  for (size_t i = 0; i < addresses.size(); ++i) addresses[i] = at.address + i * page;
  if (rte_extmem_register(at.memory.data(), at.memory.size(), addresses.data(), static_cast<unsigned>(addresses.size()),
                          page) == 0)
    return nullptr;
  // A list for each piece: RTE_MAX_MEMSEG_LISTS, of which some are EAL's own.
  if (rte_errno == ENOSPC) return "DPDK keeps at most 128 pieces of memory, and each ring takes two: use fewer lcores";
  return std::strerror(rte_errno);
}

}  // namespace

std::optional<uint64_t> address_in(std::span<const CardMemory> known, std::span<const std::byte> bytes) {
  for (const CardMemory& at : known) {
    if (bytes.data() < at.memory.data()) continue;
    const auto offset = static_cast<size_t>(bytes.data() - at.memory.data());
    if (offset <= at.memory.size() && bytes.size() <= at.memory.size() - offset) return at.address + offset;
  }
  return std::nullopt;
}

size_t page_of(std::span<const std::byte> memory) {
  constexpr size_t kSmallest = 4096;
  constexpr size_t kLargest = 2 * kMiB;
  const size_t bits = reinterpret_cast<uintptr_t>(memory.data()) | memory.size();
  if (memory.empty() || bits % kSmallest != 0) return 0;
  return std::min(bits & -bits, kLargest);
}

// DPDK takes for done what is mapped already, whatever it is: so the address is one where nothing can be. Without an
// IOMMU a map does nothing, and any address but the physical one is another's memory.
std::optional<uint64_t> LogMemory::address_for(std::span<std::byte> memory) const {
  if (rte_vfio_noiommu_is_enabled() != 0) return std::nullopt;
  std::vector<AddressRange> taken = taken_addresses();
  if (taken.empty()) return std::nullopt;
  for (const Known& known : all_)
    taken.push_back({.first = known.at.address, .last = known.at.address + known.at.memory.size() - 1});
  // So that it may be of the IOMMU's large pages, too.
  return find_room(std::move(taken), memory.size(), memory.size() >= kGiB ? kGiB : 2 * kMiB);
}

LogMemory::~LogMemory() { CHECK(all_.empty()); }

void LogMemory::add(std::span<std::byte> memory, std::span<DpdkPort* const> cards) {
  if (cards.empty()) return;
  const auto address = address_for(memory);
  const char* wrong = address ? register_memory({.memory = memory, .address = *address})
                              : "there is no IOMMU, or no room among its addresses";
  if (wrong != nullptr) {
    for (DpdkPort* card : cards) card->copies_log(wrong);
    return;
  }
  Known known{.at = {.memory = memory, .address = *address}};
  for (DpdkPort* card : cards) {
    if (rte_eal_iova_mode() != RTE_IOVA_VA && card->may_pass_iommu()) {
      card->copies_log("by physical addresses, perhaps past the IOMMU");
      continue;
    }
    // A map that is there already DPDK takes for done; a card that is not in the container, on a uio driver, it
    // refuses.
    if (!card->map(known.at)) {
      card->copies_log(std::string("it cannot be mapped: ") + std::strerror(rte_errno) +
                       (rte_errno == ENOTSUP ? " (the card is not bound to vfio-pci)" : ""));
      continue;
    }
    card->reads(known.at);
    if (card->maps_itself() || std::ranges::all_of(known.mapped_by, &DpdkPort::maps_itself))
      known.mapped_by.push_back(card);
  }
  all_.push_back(std::move(known));
}

void LogMemory::remove_all() {
  for (const Known& known : all_) {
    for (DpdkPort* card : known.mapped_by) card->unmap(known.at);
    rte_extmem_unregister(known.at.memory.data(), known.at.memory.size());
  }
  all_.clear();
}

}  // namespace penstock::dataplane::nic
