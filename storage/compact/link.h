// CompactionLink: between one Store, on its lcore, and the Cleaner of its drive, on another thread: a ring each way.
// The store asks for one cleaning at a time, and is told of each segment that is ready to take others' places, and of
// the end. What it is told of it may use or not: a file that no state slot names is nobody's.
#pragma once

#include <cstdint>
#include <map>
#include <vector>

#include "base/doorbell.h"
#include "base/result.h"
#include "base/ring.h"
#include "protocol/types.h"
#include "storage/api/types.h"
#include "storage/segment/segment_path.h"

namespace penstock::storage {

struct CleaningSource {
  SegmentId id;
  uint64_t bytes = 0;
  Offset end{0};  // where the next one begins
};

struct CleaningJob {
  bool is_cancel = false;  // the one under way is not wanted any more; its end is told all the same
  LogId log;
  std::vector<CleaningSource> sources;  // the log's sealed segments, the oldest first; none is written to
  Offset dirty_from{0};                 // what lies below was cleaned before
  Offset below{0};                      // and what lies at or behind this is left alone: where a segment begins
  int64_t now_ms = 0;
  int64_t delete_retention_ms = 0;
  uint64_t segment_bytes = 0;  // segments are joined up to this size
  uint64_t first_revision = 0;
  std::map<ProducerId, Offset> producers;  // the last offset of each that the log remembers
};

struct CleaningNews {
  enum class Kind : uint8_t {
    kSwap,     // made is whole and durable, and can take the place of replaced
    kEnd,      // all is told
    kGivenUp,  // the same, but not all was done
  };
  Kind kind = Kind::kEnd;
  LogId log;
  // kSwap
  std::vector<SegmentId> replaced;
  SegmentId made;
  uint64_t bytes = 0;
  int64_t first_timestamp = -1;
  int64_t max_timestamp = -1;
  // kEnd and kGivenUp
  Offset cleaned_to{0};  // of kEnd: the map reached so far
  uint64_t bytes_read = 0;
  uint64_t bytes_written = 0;
  uint64_t records_gone = 0;
  bool source_is_damaged = false;  // of kGivenUp: it would end like this again
  Error error{};                   // of kGivenUp
};

class CompactionLink {
 public:
  static constexpr size_t kNewsMax = 64;  // the cleaner waits when so many were not looked at

  SpscRing<CleaningJob> asked{4};  // a job, its cancel, and one that came too late for the job before
  SpscRing<CleaningNews> told{kNewsMax};
  Doorbell bell;  // rung behind a push into asked
};

}  // namespace penstock::storage
