// Opener: what Store::open does, step by step; the steps are in the order of open(). Start-up only, and it blocks.
// store_open.cc has the files, store_replay.cc what is in them.
#pragma once

#include <array>
#include <expected>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "storage/ring/recovery.h"
#include "storage/store_impl.h"

namespace penstock::storage {

class Opener {
 public:
  using Failure = std::unexpected<OpenFailure>;
  using Step = std::expected<void, OpenFailure>;

  explicit Opener(StoreRequest& request);
  ~Opener();  // closes what a failed start had opened
  std::expected<std::unique_ptr<Store::Impl>, OpenFailure> open();

 private:
  // ---- files
  Step refuse_foreign_segments();
  Step make_ring();
  Step write_new_ring(uint64_t ring_bytes);
  Step write_new_state(uint64_t ring_bytes);
  Step open_files();
  Step open_file(const std::string& path, bool create, FileHandle& file);
  Step read_state();
  Step read_old_state(std::optional<RingState>& newest);
  std::expected<std::span<std::byte>, OpenFailure> read_file(FileHandle file, const std::string& path);
  Step take_memory(uint64_t ring_bytes);
  Step register_ring();
  bool stopped_cleanly();
  Step read_ring();
  Step drop_old_state();
  bool is_stopped() const { return request_.should_stop && request_.should_stop(); }
  Failure stopped() const;

  // ---- what is in them
  void restore_logs();
  Step replay();
  bool is_elsewhere(LogId log) const { return request_.is_foreign && request_.is_foreign(log); }
  Step refuse_other_logs();
  Step refuse_other_life();
  Step judge(const ScanResult& scan);
  PartitionLog* log_of(const FoundEntry& found);
  void replay_entry(const FoundEntry& found);
  void replay_batch(PartitionLog& log, const FoundEntry& found);
  void replay_truncate(PartitionLog& log, std::span<const std::byte> payload);
  void replay_start_offset(PartitionLog& log, std::span<const std::byte> payload);
  void replay_relog(PartitionLog& log, std::span<const std::byte> payload);
  Step mend_segments();
  Step remove_stale_sidecars();
  Step mend(PartitionLog& log);
  Step begin_life();
  Step forget_other_ring();

  StoreRequest& request_;
  Disk& disk_;
  const std::string ring_path_;
  const std::string making_path_;
  const std::array<std::string, 2> state_paths_;
  const std::string old_state_path_;  // of format version 1
  std::unique_ptr<Store::Impl> impl_;
  std::array<StateWriter::File, 2> state_files_;
  std::vector<std::byte> scratch_;
  std::span<std::byte> memory_;
  RingState state_;
  std::vector<LogState> log_states_;
  std::map<LogId, Lsn> replay_from_;
  bool both_slots_whole_ = false;  // and their sequences follow each other
  bool old_state_ = false;
  bool begun_ = false;  // the checkpointer has the state files
  bool clean_ = false;  // the last life stopped cleanly: the ring holds nothing that is needed
  ScanResult scan_{};
  std::vector<PartitionLog*>
      to_mend_;  // the last block of their last segment may be torn, or its checksum is not known
  std::vector<std::pair<LogId, SegmentId>> stale_sidecars_;
  std::set<LogId> unsummed_;  // of them, those with a new end whose checksums the slot does not have
  uint64_t batches_ = 0;
  uint64_t skipped_ = 0;
  uint64_t never_issued_ = 0;       // entries in the ring of logs that the metadata never issued
  uint64_t never_issued_logs_ = 0;  // and such logs in the slot
  uint64_t elsewhere_ = 0;          // the same of logs that live in another ring
  uint64_t elsewhere_logs_ = 0;
  std::string_view contradiction_;
};

// What a completed op's result says.
Error error_of(int64_t result);
// One line for the operator.
Opener::Failure open_failure(Error error, std::string what);
Opener::Failure io_failure(Error error, std::string_view doing, std::string_view path);
// Memory that a setting asks for and the machine does not give.
Opener::Failure no_memory(std::string_view setting, uint64_t bytes);
// bytes of memory in holder, aligned to block.
std::span<std::byte> aligned(std::vector<std::byte>& holder, size_t bytes, size_t block);

}  // namespace penstock::storage
