// One file of the simulated disk: what reads see, what is durable, and the changes between the two.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "base/prng.h"

namespace penstock::sim {

// The moment of a change; a flush covers what is not younger than it.
using Order = uint64_t;

class SimFile {
 public:
  struct Write {
    uint64_t at = 0;
    std::vector<std::byte> bytes;
    Order order = 0;
    bool promised = false;  // the disk said that it is durable, and lied
  };

  std::span<const std::byte> visible() const { return visible_; }
  uint64_t size() const { return visible_.size(); }

  void write(Write write);                   // volatile until a flush
  void write_durable(const Write& write);    // and the file's length with it
  void resize(uint64_t bytes, Order order);  // volatile until a flush
  void flush(Order until);                   // what is not younger is durable now
  void promise(Order until);                 // a flush that lied: it only says so
  // Whether something promised was lost since this was last asked, if only in part.
  bool take_broken_promise() { return std::exchange(broke_a_promise_, false); }
  // A flush that failed: of what it should have made durable each piece is on the drive or gone, decided now; reads
  // still see it, and no later flush looks at it again (as file systems do: CuttleFS).
  void lose_flush(Order until, Prng& prng, uint64_t tear_unit);
  // Of every volatile change, and of the writes in flight, something is kept or nothing; that is all there is then.
  void lose_power(std::vector<Write> in_flight, Prng& prng, uint64_t tear_unit);
  void flip_bit(uint64_t at, unsigned bit);
  void replace(uint64_t at, std::span<const std::byte> bytes);  // what is durable and visible there

 private:
  struct Resize {
    uint64_t bytes;
    Order order;
    bool promised = false;
  };
  static void put(std::vector<std::byte>& file, uint64_t at, std::span<const std::byte> bytes);
  void spoil(uint64_t at, uint64_t n, Prng& prng);
  void apply_torn(const Write& write, Prng& prng, uint64_t tear_unit);
  bool apply_some_resizes(Order until, Prng& prng);
  void forget_volatile(uint64_t begin, uint64_t end);
  static void cut_out(std::vector<Write>& writes, uint64_t begin, uint64_t end);
  void note_broken(const Write& write);

  std::vector<std::byte> visible_;
  std::vector<std::byte> durable_;
  // In the order of their completion. A write that is younger hides an older one of the same place, so losing the
  // younger is all that their order could change.
  std::vector<Write> writes_;
  std::vector<Resize> resizes_;
  // Promised, and lost by a flush that failed: reads see it until power is lost.
  std::vector<Write> lost_promises_;
  bool lost_promised_size_ = false;
  bool broke_a_promise_ = false;
};

}  // namespace penstock::sim
