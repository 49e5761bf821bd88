// Cleaner: compacts logs, one at a time, for all stores of a drive: reads what a store says is dirty into the map of
// keys, then rewrites the log's sealed segments, several small ones into one, each beside the others and durable before
// the store is told of it. Works in steps of a piece of a segment, so that whoever drives it can stop, wait, or
// simulate between two; a step blocks. Owned by one thread, which is no lcore.
//
// Memory: the map, two pieces, and one batch with what it becomes.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "storage/compact/batch_cleaner.h"
#include "storage/compact/link.h"
#include "storage/compact/segment_output.h"
#include "storage/compact/segment_source.h"

namespace penstock::storage {

class Cleaner {
 public:
  struct Options {
    std::string folder;
    uint64_t map_bytes = uint64_t{128} << 20;
    double map_load = 0.9;  // Kafka's log.cleaner.io.buffer.load.factor
    uint64_t bytes_per_second = UINT64_MAX;
    uint64_t reserve_bytes = 0;  // of the drive, that it leaves free
    SipKey secret{};
  };
  Cleaner(Disk& disk, Clock& clock, Options options);

  // Whether there is memory for the map; look before use.
  bool has_memory() const { return map_.has_memory(); }
  // Before the first step; link outlives this.
  void attach(CompactionLink& link) { links_.push_back({.link = &link, .job = {}}); }
  // Does a piece of work. False: there is nothing to do, or not before next_at().
  bool step();
  // When the rate allows the next step, while a job is under way.
  Nanos next_at() const { return next_at_; }
  bool idle() const { return stage_ == Stage::kIdle; }
  // The last call: what is begun is taken away.
  void abandon() { output_.discard(); }

 private:
  enum class Stage : uint8_t { kIdle, kMapping, kCleaning, kEnding };

  struct Queue {
    CompactionLink* link;
    std::optional<CleaningJob> job;  // taken from the ring, to see whether it is still wanted
  };

  bool take_job();
  void answer_cancelled();
  Result<void> map_some();
  void begin_cleaning();
  Result<void> clean_some();
  Result<bool> clean(std::span<const std::byte> batch);
  Result<void> end_source();
  Result<void> begin_output();
  Result<void> end_output();
  bool fits(const CleaningSource& source) const;
  void give_up(Error error);
  void tell(CleaningNews news);
  void spend(uint64_t bytes);

  Disk& disk_;
  Clock& clock_;
  const Options options_;
  std::vector<Queue> links_;
  size_t next_link_ = 0;                // asked first, so that none waits for ever
  CompactionLink* link_ = nullptr;      // whose job it is
  std::optional<CleaningNews> untold_;  // the ring was full
  Nanos next_at_ = 0;

  struct Freer {
    void operator()(std::byte* memory) const;
  };
  std::unique_ptr<std::byte, Freer> memory_;
  SegmentSource source_;
  SegmentOutput output_;
  OffsetMap map_;

  Stage stage_ = Stage::kIdle;
  CleaningJob job_;
  size_t source_at_ = 0;  // in job_.sources
  bool reading_ = false;  // source_ is open on it
  Offset covered_{0};     // the map has the records below
  uint64_t revision_ = 0;
  CleaningNews end_;                  // what is told in the end
  std::vector<SegmentId> group_;      // what the output takes the place of
  uint64_t group_bytes_ = 0;          // of them
  bool changed_ = false;              // the output is not what its source was
  std::vector<std::byte> rewritten_;  // a batch
};

}  // namespace penstock::storage
