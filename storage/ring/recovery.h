// Recovery of a ring: walk the frames from the tail on, check every byte, and decide what the first frame that does not
// fit means. The decision is a table (kRecoveryTable) with a test for each row: tests/log_recovery_test.cc.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <optional>
#include <string_view>

#include "storage/api/types.h"
#include "storage/ring/frame.h"
#include "storage/ring/ring_memory.h"

namespace penstock::storage {

// What stands where the next frame should be.
enum class Here : uint8_t {
  kNothing,      // zeros: never written
  kOlderLap,     // a whole frame of an earlier lap
  kNewerLap,     // a whole frame of a later lap than the state slot knows
  kLeftover,     // a whole frame for this place, but of an older generation than the frame before it
  kNotAFrame,    // anything else: a torn header, foreign bytes
  kTornBody,     // a frame header for this place whose entries do not match it
  kBrokenChain,  // a whole frame for this place that does not follow the frame before it
};

// Whether behind that place a frame header of the last generation (or a later one) with a higher lsn stands.
enum class Behind : uint8_t { kNone, kFrames };

enum class Verdict : uint8_t {
  kEnd,       // the log ends here
  kTornTail,  // the frame in flight at the crash: never acknowledged, cut
  kDamaged,   // acknowledged data is damaged: refuse (single node) or repair from replicas
};

struct RecoveryRow {
  Here here;
  Behind behind;
  Verdict verdict;
  std::string_view why;
};

inline constexpr std::array kRecoveryTable = std::to_array<RecoveryRow>({
    {Here::kNothing, Behind::kNone, Verdict::kEnd, "the ring was never written further"},
    {Here::kNothing, Behind::kFrames, Verdict::kDamaged,
     "a frame was lost: a later one was written after it was durable"},
    {Here::kOlderLap, Behind::kNone, Verdict::kEnd, "what the last lap left"},
    {Here::kOlderLap, Behind::kFrames, Verdict::kDamaged,
     "a write was lost or misdirected: later frames stand behind it"},
    {Here::kNewerLap, Behind::kNone, Verdict::kDamaged,
     "the newest state slot is damaged: the ring has moved on since"},
    {Here::kNewerLap, Behind::kFrames, Verdict::kDamaged,
     "the newest state slot is damaged: the ring has moved on since"},
    {Here::kLeftover, Behind::kNone, Verdict::kEnd, "a frame that an earlier recovery had cut"},
    {Here::kLeftover, Behind::kFrames, Verdict::kDamaged, "a write was lost over an older frame"},
    {Here::kNotAFrame, Behind::kNone, Verdict::kTornTail, "the frame in flight at the crash, its header torn"},
    {Here::kNotAFrame, Behind::kFrames, Verdict::kDamaged, "a durable frame's header is damaged"},
    {Here::kTornBody, Behind::kNone, Verdict::kTornTail, "the frame in flight at the crash, its entries torn"},
    {Here::kTornBody, Behind::kFrames, Verdict::kDamaged, "a durable frame's entries are damaged"},
    {Here::kBrokenChain, Behind::kNone, Verdict::kDamaged, "a frame before this one was replaced"},
    {Here::kBrokenChain, Behind::kFrames, Verdict::kDamaged, "a frame before this one was replaced"},
});

constexpr const RecoveryRow& decide(Here here, Behind behind) {
  for (const RecoveryRow& row : kRecoveryTable)
    if (row.here == here && row.behind == behind) return row;
  std::unreachable();
}

// A batch that recovery found whole: its log, where its bytes begin, how many.
struct FoundBatch {
  LogId log;
  Lsn at;
  uint32_t bytes;
};

struct ScanRequest {
  RingMemory memory;  // the whole ring as read from disk
  uint32_t block_bytes;
  RingId ring_id;
  Lsn tail;             // a frame begins here, unless nothing was written yet
  uint64_t generation;  // of the state slot: frames at the tail may be older, the newest may be newer
  std::optional<uint64_t> accept_loss_at = {};  // the operator accepts the end here although frames stand behind
};

struct ScanResult {
  Lsn head;   // the log ends here
  Here here;  // what stands there
  const RecoveryRow* row;
  bool accepted;        // the operator accepts the end here, whatever the row says
  uint64_t generation;  // highest seen
  uint32_t previous_crc;
  uint64_t frames;
  Lsn behind;                // with Behind::kFrames, the first frame there
  Lsn open_batch;            // a batch that the end cuts in two begins here; equal to head if there is none
  std::string_view foreign;  // an entry kind this version does not know; empty if none (refuse)
};

// Calls on_batch for each whole batch, in ring order. The first frame's carry_in is skipped: it belongs to a log that
// no longer needs it.
ScanResult scan_ring(const ScanRequest& request, const std::function<void(const FoundBatch&)>& on_batch);

}  // namespace penstock::storage
