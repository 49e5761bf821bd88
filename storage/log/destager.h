// Destager: moves durable batches from the ring into their segments, so that ring space becomes free. Owned by one
// lcore; nothing here blocks. docs/internals/log_format.md, "Destage".
//
// A log is written when it has a MiB to write (whole blocks: the rest waits for more), or, longest waiting first, when
// it holds the ring's tail and the ring fills. Then it is written by whole blocks too, if what they leave is young, and
// otherwise to the byte, the last block padded with zeros. A block that already holds bytes may be torn when it is
// written again, so its head goes into the ring first, as a RELOG entry, and the block is written once that is durable.
// Writes of one log may overlap only in different blocks.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "storage/log/segment_files.h"
#include "storage/log/shard.h"

namespace penstock::storage {

class Destager;

// One write into a segment, from the choice of its log to its completion.
struct DestageJob : DiskOp {
  enum class State : uint8_t { kFree, kReadingHead, kRelogging, kWriting, kDone, kFailed };

  Destager* owner = nullptr;
  std::span<std::byte> buffer;  // kBufferBytes, aligned; the segment's bytes from `at` on
  PartitionLog* log = nullptr;
  State state = State::kFree;
  SegmentId segment;
  bool to_the_byte = false;
  size_t head_bytes = 0;  // of the block at `at` that were there before
  Lsn relog_end{0};       // durable() there: the head is in the ring
  // The log's progress once this and all before it are done.
  uint64_t end = 0;
  uint64_t segment_bytes = 0;  // of whole batches
  Offset next{0};
  uint32_t skip = 0;
  uint32_t interval_crc = 0;
  uint32_t head_crc = 0;
  int64_t max_timestamp = protocol::kNoTimestamp;
  DestageJob* behind = nullptr;  // the log's next
};

class Destager {
 public:
  static constexpr size_t kBuffers = 16;
  static constexpr size_t kBufferBytes = kMiB;  // as much as one frame: larger writes gain nothing

  // A segment that is full: sealed is called once all its bytes are written, before the next one begins.
  using Sealed = std::function<void(PartitionLog&, const Segment&, std::unique_ptr<OpenSegment>)>;
  Destager(Shard& shard, SegmentFiles& files, std::span<std::byte> memory, Sealed sealed);

  static size_t memory_bytes() { return kBuffers * kBufferBytes; }

  // A batch was added to the log.
  void appended(PartitionLog& log);
  // Some of what was added is durable now: only that is written, so only that counts for a MiB.
  void settled(PartitionLog& log);
  // What the log has to write has changed otherwise (recovery, truncation): looks at it anew.
  void look_again(PartitionLog& log);
  // The open segment is wanted sealed, with all that is durable now: a log that is compacted, or deleted, by time.
  void seal_soon(PartitionLog& log);
  // The log writes nothing any more.
  void forget(PartitionLog& log);

  // Once a turn: goes on with jobs, begins new ones.
  void run();
  // Everything durable is written to the byte, however little it is: a stop.
  void write_all(bool on) { write_all_ = on; }
  // Nothing is begun any more: what is left stays in the ring.
  void halt() { halted_ = true; }
  // Nothing waits to be written and no job is under way.
  bool clean() const { return dirty_.empty() && jobs_busy_ == 0; }
  bool idle() const { return jobs_busy_ == 0; }

  // Where the oldest batch lies that is not written; otherwise if there is none.
  Lsn oldest_dirty(Lsn otherwise) const { return dirty_.empty() ? otherwise : dirty_.begin()->first; }
  // Drive space that what is accepted will take, padding included.
  uint64_t bytes_owed() const { return unstaged_bytes_ + dirty_.size() * 2 * block_; }
  bool no_space() const { return no_space_; }
  // Logs that could not be written for a while, for another reason than space, and of one of them the file and why.
  uint64_t stuck_logs() const { return stuck_logs_; }
  const std::string& stuck_file() const { return stuck_file_; }
  // What is accepted and in no segment yet, and of how many logs.
  uint64_t unstaged_bytes() const { return unstaged_bytes_; }
  size_t dirty_logs() const { return dirty_.size(); }
  uint64_t bytes_written() const { return bytes_written_; }  // into segments, ever
  size_t jobs_busy() const { return jobs_busy_; }
  // When to run again though nothing completes.
  Nanos next_deadline() const { return !halted_ && failures_waiting_ ? retry_at_ : INT64_MAX; }

 private:
  // In flight at once. A drive shares its rate by what is queued: each MiB here makes the ring's next frame, for which
  // clients wait, that much later, and brings no rate (docs/BENCHMARKING.md). It bounds what a turn copies as well.
  static constexpr uint64_t kWritingBytes = kMiB;
  static constexpr uint64_t kMuch = kBufferBytes;  // worth a write of whole blocks
  static constexpr Nanos kRetryAfter = 200 * kMillisecond;
  static constexpr Nanos kStuckAfter = 2 * kSecond;  // what passes by itself is not the operator's
  static constexpr Nanos kTellEvery = 10 * kSecond;  // what fails again and again is not said each time

  static constexpr size_t kLooksATurn = 4 * kBuffers;  // at logs that may have to wait: there may be very many

  bool has_room() const;
  void enqueue(PartitionLog& log);
  static bool is_worth_it(const PartitionLog& log);
  bool under_pressure(Lsn oldest) const;
  void begin_from_queue();
  void begin_oldest();
  bool is_rest_young(const PartitionLog& log) const;
  bool begin(PartitionLog& log, bool to_the_byte);
  void go_on_sealing();
  bool go_on_sealing(PartitionLog& log);
  bool roll_if_full(PartitionLog& log);
  void roll(PartitionLog& log);
  bool ends_segment(const PartitionLog& log, const BatchRef& next, uint64_t position) const;
  void prepare_head(DestageJob& job);
  bool head_from_memory(const PartitionLog& log, std::span<std::byte> head) const;
  void relog(DestageJob& job);
  void leave_block(DestageJob& job);
  void leave_segment(PartitionLog& log);
  void not_opened(PartitionLog& log, Error error);
  bool waits(const PartitionLog& log);
  void wake_at(Nanos at);
  void note_failure(PartitionLog& log, SegmentId segment, Error error);
  void works_again(PartitionLog& log);
  void write(DestageJob& job);
  uint64_t plan_bytes(DestageJob& job) const;
  void copy_batches(DestageJob& job, uint64_t bytes);
  void take_back(DestageJob& job);
  void settle(PartitionLog& log);
  void apply(PartitionLog& log, const DestageJob& job);
  void rewind(PartitionLog& log);
  void failed(DestageJob& job);
  void set_dirty(PartitionLog& log);
  void free(DestageJob& job);
  static void done(DiskOp& op);

  Shard& shard_;
  SegmentFiles& files_;
  const Sealed sealed_;
  const uint32_t block_;
  std::vector<DestageJob> jobs_;
  size_t jobs_busy_ = 0;
  uint64_t writing_bytes_ = 0;          // of jobs in State::kWriting
  std::deque<LogId> queue_;             // logs with much to write, and those that are stuck
  std::deque<LogId> sealing_;           // logs with a roll_at
  std::map<Lsn, PartitionLog*> dirty_;  // by where their first unwritten batch lies
  uint64_t unstaged_bytes_ = 0;
  uint64_t bytes_written_ = 0;
  bool write_all_ = false;
  bool halted_ = false;
  bool no_space_ = false;
  bool failures_waiting_ = false;
  Nanos retry_at_ = 0;  // the earliest of theirs, and of all of them while there is no space
  Nanos tell_at_ = 0;
  uint64_t stuck_logs_ = 0;
  std::optional<LogId> stuck_told_;  // stuck_file_ is of this one
  std::string stuck_file_;
};

}  // namespace penstock::storage
