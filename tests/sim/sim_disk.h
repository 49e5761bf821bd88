// SimDisk: the Disk seam from a seed. What it does to the code above it:
//   - ops complete after a random delay, in any order;
//   - a kWrite is volatile until a kFlush of its file that was submitted after it completed; a kWriteDurable is durable
//     when it completes;
//   - crash(): of each volatile or in-flight write, every 4096-byte page is kept, lost, or torn into 512-byte sectors
//   of
//     which each is kept or lost, and the order among overlapping writes is random; of the names changed since the last
//     sync_dir a random prefix is kept; every file handle is dead;
//   - faults on request: EIO or ENOSPC on a write, a write that lands elsewhere, a durable write that is none, flipped
//   bits at rest.
// Model after storage research of page- and sector-wise loss; docs/internals/simulator.md.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/prng.h"
#include "storage/api/disk.h"
#include "tests/sim/sim_clock.h"

namespace penstock::sim {

struct DiskFaults {
  unsigned punt_percent = 5;  // writes that report having been punted
  Nanos delay_min = 20 * kMicrosecond;
  Nanos delay_max = 400 * kMicrosecond;
  uint64_t fail_write_in = 0;       // the n-th write from now fails with EIO; 0: none
  uint64_t short_write_in = 0;      // the n-th write from now moves less than asked
  uint64_t misdirect_write_in = 0;  // the n-th durable write from now lands one chunk further
  uint64_t power_off_in = 0;        // power is lost when the n-th op from now is submitted
  uint64_t lie_in = 0;              // the n-th durable write from now says it is durable and is not
  bool full = false;                // a write behind the end of its file fails with ENOSPC
};

class SimDisk final : public storage::Disk {
 public:
  SimDisk(SimClock& clock, uint64_t seed);
  ~SimDisk() = default;

  // Power is lost now. Until power_on() every op and every change of a name fails and touches nothing.
  void lose_power();
  // Power is back: ops that were in flight are forgotten, handles are dead, what survived is what there is.
  void power_on();
  void crash() {
    lose_power();
    power_on();
  }
  DiskFaults& faults() { return faults_; }
  // Flips one bit of what is durable and visible in path at at.
  void flip_bit(const std::string& path, uint64_t at, unsigned bit);
  std::span<const std::byte> contents(const std::string& path) const;
  bool is_off() const { return off_; }
  bool exists(const std::string& path) const { return names_.contains(path); }
  uint64_t trace_hash() const { return trace_; }
  size_t ops_in_flight() const { return in_flight_.size(); }
  Nanos next_completion() const;

  Result<storage::FileHandle> open(std::string_view path, storage::OpenMode mode) override;
  void close(storage::FileHandle file) override;
  Result<uint64_t> size(storage::FileHandle file) override;
  Result<void> resize(storage::FileHandle file, uint64_t bytes) override;
  Result<void> allocate(storage::FileHandle file, uint64_t bytes) override;
  Result<void> lock(storage::FileHandle file) override;
  Result<void> make_dir(std::string_view path) override;
  Result<void> remove_dir(std::string_view path) override;
  Result<void> rename(std::string_view from, std::string_view to) override;
  Result<void> unlink(std::string_view path) override;
  Result<void> sync_dir(std::string_view path) override;
  Result<std::vector<std::string>> list(std::string_view path) override;
  Result<void> flush_all(std::string_view path) override;
  Result<uint64_t> free_bytes(std::string_view path) override;
  uint32_t block_bytes() override { return 4096; }
  void set_durable_method(storage::DurableMethod) override {}
  void register_memory(std::span<std::byte>) override {}
  void submit(storage::DiskOp& op) override;
  size_t poll(std::span<storage::DiskOp*> done) override;
  void submit(storage::FileOp& op) override;
  size_t poll(std::span<storage::FileOp*> done) override;
  void wait(Nanos timeout) override;
  void arm_wakeup(int, bool) override {}

 private:
  struct Write {
    uint64_t at;
    std::vector<std::byte> bytes;
    uint64_t completed_order = 0;
  };
  struct Inode {
    std::vector<std::byte> visible;  // what reads see
    std::vector<std::byte> durable;  // what a crash leaves at least
    std::vector<Write> unsynced;     // completed, not durable
  };
  using InodePtr = std::shared_ptr<Inode>;
  using Names = std::map<std::string, InodePtr>;
  struct InFlight {
    storage::DiskOp* op;
    InodePtr inode;
    Nanos completes_at;
    uint64_t submitted_order;
    std::vector<std::byte> bytes;  // of a write, as submitted
    uint64_t at;
    bool lies = false;
    bool fails = false;
    bool comes_short = false;
    bool dead = false;  // power went while it was in flight
  };

  void note(uint64_t word) { trace_ = (trace_ ^ word) * 0x100000001b3ULL; }
  static void put(std::vector<std::byte>& file, uint64_t at, std::span<const std::byte> bytes);
  void apply_torn(Inode& inode, const Write& write);
  void complete(InFlight& flight);
  void arm_faults(InFlight& flight);

  static bool hits(uint64_t& countdown) { return countdown > 0 && --countdown == 0; }

  SimClock& clock_;
  Prng prng_;
  bool off_ = false;
  DiskFaults faults_;
  uint64_t trace_ = 0xcbf29ce484222325ULL;
  uint64_t order_ = 0;
  Names names_;
  std::vector<Names> unsynced_names_;  // each state of the names before a change that is not durable yet
  std::map<int32_t, InodePtr> handles_;
  int32_t next_handle_ = 3;
  std::vector<InFlight> in_flight_;
  std::vector<storage::FileOp*> files_done_;
};

}  // namespace penstock::sim
