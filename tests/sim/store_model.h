// What a correct log must hold: the oracle that the simulator compares a Store with.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/buffer.h"
#include "protocol/record_batch.h"
#include "storage/api/store.h"

namespace penstock::sim {

// Owns heap memory for Buffers made of test bytes.
class HeapPool final : public BufferPool {
 public:
  Buffer copy_of(std::span<const std::byte> bytes);
  void release(std::span<std::byte> memory) override { delete[] memory.data(); }
  // bytes as a chain of Buffers cut at random places.
  BufferChain chain_of(std::span<const std::byte> bytes, Prng& prng);
};

// Eight bytes a draw: the simulator's time should go into the broker.
void fill_fast(std::span<std::byte> out, Prng& prng);

// An uncompressed batch of count records with random values of about value_bytes each.
std::vector<std::byte> random_batch(Prng& prng, int32_t count, size_t value_bytes,
                                    const protocol::BatchBuilder::Options& options = {});

// All durable bytes of a log, read as a fetch reads them. turn: moves time on and polls, when the drive must be waited
// for.
std::optional<std::vector<std::byte>> read_all(storage::Store& store, storage::LogId log,
                                               const std::function<void()>& turn);

// One log's expected batches, in the order in which they were taken.
struct LogModel {
  struct Batch {
    int64_t base_offset;
    std::vector<std::byte> bytes;  // as it must read back
    bool acked = false;
  };
  std::vector<Batch> batches;
  int64_t end_offset = 0;

  void take(int64_t base_offset, std::vector<std::byte> sent);
  // Compares what was read with what must be: a prefix of the batches that holds every acked one, byte for byte. After
  // a crash the batches behind it are forgotten. Returns what is wrong, or nothing.
  std::string settle_after_crash(std::span<const std::byte> read);
};

}  // namespace penstock::sim
