// Checkpointer: makes what segments hold count. Describes every log in a state slot, a few logs a turn; flushes the
// segments; writes the slot; then the ring's tail moves and files that the slot no longer names may go. Owned by one
// lcore; nothing here blocks. docs/internals/log_format.md, "State slots".
//
// A log is described at its own moment: its record and its replay_from fit together, and the tail is below the least
// replay_from of all. What happens to a log after that is in the ring behind its replay_from.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

#include "storage/log/destager.h"
#include "storage/log/segment_files.h"
#include "storage/log/shard.h"
#include "storage/ring/state_slots.h"

namespace penstock::storage {

class Checkpointer {
 public:
  // durable: told the number (slots_begun at its beginning) of each slot that is durable, after the tail has moved.
  using Durable = std::function<void(uint64_t number)>;
  struct Files {
    StateWriter::File even;
    StateWriter::File odd;
  };
  Checkpointer(Shard& shard, Destager& destager, SegmentFiles& files, Files slots, const RingState& last,
               Durable durable);
  ~Checkpointer();  // closes the slot files
  Checkpointer(const Checkpointer&) = delete;
  Checkpointer& operator=(const Checkpointer&) = delete;

  // Once a turn.
  void run();
  // A completed op of the slot writer; false if it is not its own.
  bool complete(DiskOp& op);
  // A slot is wanted though no ring space waits for it: files to delete.
  void want() { wanted_ = true; }
  // The last slot of a clean life: all is in segments, and the ring is sealed. clean() when it is durable.
  void want_clean() { clean_wanted_ = true; }
  bool clean() const { return clean_; }

  uint64_t slots_begun() const { return begun_; }
  bool is_writing() const { return writer_.busy(); }
  bool idle() const { return step_ == Step::kIdle; }
  bool wants() const { return wanted_ || (clean_wanted_ && !clean_); }
  // When to run again though nothing completes.
  Nanos next_deadline() const {
    if (step_ == Step::kDescribing) return 0;
    return step_ == Step::kIdle && wants() ? retry_at_ : INT64_MAX;
  }
  // A stop waits no longer: if one was put off, none is wanted any more.
  void give_up() {
    if (step_ == Step::kIdle && retry_at_ > 0) wanted_ = clean_wanted_ = false;
  }
  // Start-up only: writes a slot that describes every log, and waits until it is durable.
  Result<void> write_first();

 private:
  static constexpr Nanos kRetryAfter = 200 * kMillisecond;
  static constexpr Nanos kTellEvery = 10 * kSecond;  // what fails again and again is not said each time

  enum class Step : uint8_t { kIdle, kDescribing, kFlushing, kGrowing, kWriting };
  struct Flush : DiskOp {
    Checkpointer* owner;
    std::pair<LogId, SegmentId> file;
    bool held = false;
  };
  struct FileStep : FileOp {
    Checkpointer* owner;
  };

  bool is_due() const;
  void begin();
  void describe_some();
  LogState describe(const PartitionLog& log) const;
  void begin_flush();
  void flush_all();
  void flush_files();
  void flush_done(int64_t result);
  void cannot_flush(Error error);
  void put_off(Error why);
  void begin_slot();
  void write_slot();
  void finish();

  Shard& shard_;
  Destager& destager_;
  SegmentFiles& files_;
  const Files slot_files_;
  const Durable durable_;
  StateWriter writer_;
  SlotEncoder encoder_;
  RingState last_;
  RingState next_;
  Step step_ = Step::kIdle;
  std::vector<LogId> to_describe_;
  size_t described_ = 0;
  Lsn least_{0};  // of the replay_froms
  std::span<std::byte> slot_;
  std::vector<std::unique_ptr<Flush>> flushes_;
  size_t flushes_due_ = 0;
  FileStep file_op_;
  uint64_t begun_ = 0;
  uint64_t last_slot_bytes_ = 0;
  std::optional<Error> cannot_flush_;  // a file to flush, or what it takes to flush all, could not be opened
  Error put_off_for_{Errc::kNoSpace};
  Nanos retry_at_ = 0;  // it was put off: not before this
  Nanos tell_at_ = 0;
  bool wanted_ = false;
  bool clean_wanted_ = false;
  bool clean_ = false;
};

}  // namespace penstock::storage
