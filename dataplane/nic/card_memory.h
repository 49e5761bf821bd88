// The log's memory as cards read it (docs/adr/0016). It is not DPDK's, so a card finds nothing there unless the IOMMU,
// or the card itself, is told of it: registered with DPDK and mapped for the card, under an address that is the card's
// way to name it. Storage and control know nothing of this; they give memory, and take it back when the devices are
// gone.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace penstock::dataplane::nic {

class DpdkPort;

// Memory that a card reads, and the card's address of its first byte.
struct CardMemory {
  std::span<std::byte> memory;
  uint64_t address = 0;
};

// The card's address of bytes; nothing if they do not lie in one of its memories as a whole.
std::optional<uint64_t> address_in(std::span<const CardMemory> known, std::span<const std::byte> bytes);

// Largest size of pages that memory may be said to be made of: a power of two, 2 MiB at most; 0 if it is not of whole
// pages at all.
size_t page_of(std::span<const std::byte> memory);

// All of it, for all cards of this process. Used by the thread that opens and closes them, while no lcore runs.
class LogMemory {
 public:
  LogMemory() = default;
  LogMemory(const LogMemory&) = delete;
  LogMemory& operator=(const LogMemory&) = delete;
  ~LogMemory();

  // Whatever fails, a card copies what lies there, as it does without this; each says so once in the log.
  void add(std::span<std::byte> memory, std::span<DpdkPort* const> cards);
  // The cards are stopped, so they read no more, and not closed yet. Then the memory may go.
  void remove_all();

 private:
  struct Known {
    CardMemory at;
    std::vector<DpdkPort*> mapped_by = {};  // who undoes it: of the cards in vfio's container one, which is for all
  };
  std::optional<uint64_t> address_for(std::span<std::byte> memory) const;

  std::vector<Known> all_;
};

}  // namespace penstock::dataplane::nic
