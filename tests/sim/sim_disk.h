// SimDisk: the Disk seam from a seed. What it does to the code above it:
//   - DiskOps complete after a random delay, in any order; FileOps too, but in theirs, and what they do happens then;
//   - a kWrite is volatile until a kFlush of its file that was submitted after it completed; a kWriteDurable is durable
//     when it completes; a name is durable when its folder was synced after it was changed;
//   - crash(): of each volatile or in-flight write, every 4096-byte page is kept, lost, or torn into sectors of which
//   each
//     is kept or lost; of the lengths and names that are not durable the first so many changes are kept; of the FileOps
//     in flight the first so many were done; every file handle is dead;
//   - faults on request: DiskFaults.
// Model after storage research of page- and sector-wise loss; docs/internals/simulator.md.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <string>
#include <vector>

#include "base/prng.h"
#include "storage/api/disk.h"
#include "tests/sim/sim_clock.h"
#include "tests/sim/sim_file.h"
#include "tests/sim/sim_names.h"

namespace penstock::sim {

// May be changed at any time. "n-th ... from now": 0 is never, and a fault that struck is over.
struct DiskFaults {
  unsigned punt_percent = 5;  // writes that report having been punted
  Nanos delay_min = 20 * kMicrosecond;
  Nanos delay_max = 400 * kMicrosecond;
  unsigned slow_disk = 1;  // delays are so many times as long
  std::string slow_under;  // if it is not empty: only those of DiskOps on files whose path begins so

  uint64_t power_off_in = 0;      // power is lost when the n-th DiskOp or FileOp from now is submitted
  bool power_off_behind = false;  // that one is under way then; false: it comes too late
  uint64_t tear_unit = 512;  // of a torn page, pieces of so many bytes are kept or lost: 512, or 4096: pages never tear
  bool lose_unsynced_names = true;  // false: as if each change of a name had been followed by a sync_dir

  // Space. Each byte of a file's length takes one, also if nothing was written there.
  uint64_t capacity_bytes = 0;  // what would make the files longer than that fails: ENOSPC, kNoSpace. 0: no limit
  uint64_t enospc_in = 0;       // the n-th op from now that makes a file longer fails so once

  std::string write_faults_under;   // fail_write_in and short_write_in count only files whose path begins so
  uint64_t fail_write_in = 0;       // the n-th write from now fails with EIO
  std::string fail_writes_always;   // every write to a file whose path begins so fails with EIO; empty: none
  uint64_t short_write_in = 0;      // the n-th write from now moves less than asked
  std::string fail_opens_under;     // files whose path begins so cannot be opened: EACCES, kNoPermission; empty: none
  uint64_t misdirect_write_in = 0;  // the n-th durable write from now lands one chunk further
  uint64_t lie_in = 0;              // the n-th durable write from now says it is durable and is not
  uint64_t read_eio_in = 0;         // the n-th read from now fails with EIO
  struct BadPlace {
    std::string path;
    uint64_t at = 0;
    uint64_t bytes = 0;
  };
  std::vector<BadPlace> fail_reads;  // a read that touches one of these fails with EIO, however often it is tried
  // Every open, and every flush of a whole file system, which opens what it needs: EMFILE, kFull. What is open stays.
  bool no_descriptors = false;
  // Of kFlush and kFlushAll together.
  uint64_t flush_fails_in =
      0;  // the n-th from now fails; what it should have made durable never is, though the next works
  uint64_t flush_lies_in = 0;  // the n-th from now says it is done and did nothing; the next does it
};

class SimDisk final : public storage::Disk {
 public:
  SimDisk(SimClock& clock, uint64_t seed);
  ~SimDisk() = default;

  // Power is lost now. Until power_on() every op and every change of a name fails and touches nothing.
  void lose_power();
  // Power is back: ops that were in flight are forgotten, handles are dead, what survived is what there is.
  void power_on();
  // The process ends, the power stays: ops in flight are done, done in part or not; what was written stays readable,
  // and is as volatile as before; handles are dead.
  void kill_process();
  void crash() {
    lose_power();
    power_on();
  }
  DiskFaults& faults() { return faults_; }
  // A folder as tests start with: made, and its name durable.
  void make_durable_dir(std::string_view path);
  // Flips one bit of what is durable and visible in path at at.
  void flip_bit(const std::string& path, uint64_t at, unsigned bit);
  // Puts other bytes in the place of what is durable and visible in path at at.
  void replace(const std::string& path, uint64_t at, std::span<const std::byte> bytes);
  std::span<const std::byte> contents(const std::string& path) const;
  // Whether a lie struck since this was last asked: of what the disk had said to be durable and was not, something is
  // lost for good, when power went or a flush failed.
  bool take_broken_promise();
  bool is_off() const { return off_; }
  bool exists(const std::string& path) const { return names_.exists(path); }
  uint64_t allocated_bytes() const;  // the lengths of all files that have a name or are open
  uint64_t trace_hash() const { return trace_; }
  uint64_t ops_submitted() const { return submitted_; }  // of both kinds, ever
  size_t ops_in_flight() const { return in_flight_.size() + files_in_flight_.size(); }
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
  uint32_t block_bytes() override { return kBlock; }
  void set_durable_method(storage::DurableMethod) override {}
  void register_memory(std::span<std::byte>) override {}
  void submit(storage::DiskOp& op) override;
  size_t poll(std::span<storage::DiskOp*> done) override;
  void submit(storage::FileOp& op) override;
  size_t poll(std::span<storage::FileOp*> done) override;
  void wait(Nanos timeout) override;
  void arm_wakeup(int, bool) override {}

 private:
  static constexpr uint32_t kBlock = 4096;
  enum class FlushFate : uint8_t { kDone, kFails, kLies };
  struct InFlight {
    storage::DiskOp* op;
    SimFilePtr file;
    Nanos completes_at;
    Order submitted;
    std::vector<std::byte> bytes;  // of a write, as submitted
    uint64_t at;
    bool lies = false;
    bool fails = false;
    bool comes_short = false;
    FlushFate flush = FlushFate::kDone;
    bool dead = false;  // power went while it was in flight
  };
  struct FileInFlight {
    storage::FileOp* op;
    storage::FileOp asked;  // the op's own memory may be gone when power goes
    Nanos completes_at;
    Order submitted;
    FlushFate flush = FlushFate::kDone;
    bool dead = false;
  };
  struct Handle {
    SimFilePtr file;
    bool direct;
    bool read_only;
  };

  void note(uint64_t word) { trace_ = (trace_ ^ word) * 0x100000001b3ULL; }
  Nanos random_delay();
  Nanos delay_of(const storage::DiskOp& op);
  const SimFilePtr& file_of(storage::FileHandle file) const { return handles_.at(file.value()).file; }
  // Whether file may grow to so many bytes; uses up enospc_in.
  bool may_grow(const SimFile& file, uint64_t to);
  bool has_room(const SimFile& file, uint64_t to) const;

  void forget_ops();
  void arm_faults(InFlight& flight);
  FlushFate next_flush_fate();
  void complete(InFlight& flight);
  void complete_read(InFlight& flight);
  void complete_write(InFlight& flight);
  bool is_bad_place(const InFlight& flight) const;
  void flush(SimFile& file, Order until, FlushFate fate);
  Result<void> flush_all_until(Order until, FlushFate fate);
  void perform(storage::FileOp& op, const FileInFlight& flight);

  static bool hits(uint64_t& countdown) { return countdown > 0 && --countdown == 0; }

  SimClock& clock_;
  Prng prng_;
  bool off_ = false;
  DiskFaults faults_;
  uint64_t trace_ = 0xcbf29ce484222325ULL;
  Order order_ = 0;
  uint64_t submitted_ = 0;
  SimNames names_;
  std::map<int32_t, Handle> handles_;
  int32_t next_handle_ = 3;
  std::vector<InFlight> in_flight_;
  std::deque<FileInFlight> files_in_flight_;
};

}  // namespace penstock::sim
