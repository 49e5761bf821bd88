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
  kForeign,  // a frame of another ring; or, with nothing of this ring before it, all of the ring is another's or new
};

// What is known to have been durable behind that place.
enum class Behind : uint8_t {
  kNone,
  kFrames,   // a frame header of the last generation (or a later one) with a higher lsn stands there
  kVouched,  // no such header, but the state slot was written when the ring was durable beyond this place
};

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
    {Here::kNothing, Behind::kVouched, Verdict::kDamaged, "a frame was lost: the state names a later end"},
    {Here::kOlderLap, Behind::kNone, Verdict::kEnd, "what the last lap left"},
    {Here::kOlderLap, Behind::kFrames, Verdict::kDamaged,
     "a write was lost or misdirected: later frames stand behind it"},
    {Here::kOlderLap, Behind::kVouched, Verdict::kDamaged,
     "a write was lost or misdirected: the state names a later end"},
    {Here::kNewerLap, Behind::kNone, Verdict::kDamaged,
     "the newest state slot is damaged: the ring has moved on since"},
    {Here::kNewerLap, Behind::kFrames, Verdict::kDamaged,
     "the newest state slot is damaged: the ring has moved on since, and further than this place"},
    {Here::kNewerLap, Behind::kVouched, Verdict::kDamaged,
     "the newest state slot is damaged: the ring has moved on since, before the end that the slot names"},
    {Here::kLeftover, Behind::kNone, Verdict::kEnd, "a frame that an earlier recovery had cut"},
    {Here::kLeftover, Behind::kFrames, Verdict::kDamaged, "a write was lost over an older frame"},
    {Here::kLeftover, Behind::kVouched, Verdict::kDamaged,
     "a write was lost over an older frame: the state names a later end"},
    {Here::kNotAFrame, Behind::kNone, Verdict::kTornTail, "the frame in flight at the crash, its header torn"},
    {Here::kNotAFrame, Behind::kFrames, Verdict::kDamaged, "a durable frame's header is damaged"},
    {Here::kNotAFrame, Behind::kVouched, Verdict::kDamaged,
     "the header of a frame that the state vouches for is damaged"},
    {Here::kTornBody, Behind::kNone, Verdict::kTornTail, "the frame in flight at the crash, its entries torn"},
    {Here::kTornBody, Behind::kFrames, Verdict::kDamaged, "a durable frame's entries are damaged"},
    {Here::kTornBody, Behind::kVouched, Verdict::kDamaged, "entries of a frame that the state vouches for are damaged"},
    {Here::kBrokenChain, Behind::kNone, Verdict::kDamaged, "a frame before this one was replaced"},
    {Here::kBrokenChain, Behind::kFrames, Verdict::kDamaged,
     "a frame before this one was replaced; later ones stand behind it"},
    {Here::kBrokenChain, Behind::kVouched, Verdict::kDamaged,
     "a frame before this one was replaced; the state names a later end"},
    {Here::kForeign, Behind::kNone, Verdict::kDamaged, "this is not the ring that the state slots name"},
    {Here::kForeign, Behind::kFrames, Verdict::kDamaged,
     "frames of another ring stand here, before some of this ring's own"},
    {Here::kForeign, Behind::kVouched, Verdict::kDamaged,
     "this is not the ring that the state slots name, and they name a later end"},
});

constexpr const RecoveryRow& decide(Here here, Behind behind) {
  for (const RecoveryRow& row : kRecoveryTable)
    if (row.here == here && row.behind == behind) return row;
  std::unreachable();
}

// An entry that recovery found whole: of which log, where its payload begins, how many bytes, what kind. A batch may go
// on behind its chunk's end; the payload of any other kind lies in one piece.
struct FoundEntry {
  LogId log;
  Lsn at;
  uint32_t bytes;
  EntryKind kind;
  uint64_t generation = 0;  // of the frame that it begins in
};

// What a state slot of version 2 knows of the ring's end when it was written (storage/ring/state_slots.h): all frames
// below head were durable, the last of them had this header CRC, and what counts from head on is of the slot's
// generation or a later one.
struct KnownEnd {
  Lsn head;
  uint32_t previous_crc = 0;
};

struct ScanRequest {
  RingMemory memory;  // the whole ring as read from disk
  uint32_t block_bytes;
  RingId ring_id;
  Lsn tail;             // a frame begins here, unless nothing was written yet; on a block of 4096
  uint64_t generation;  // of the state slot: frames at the tail may be older, the newest may be newer
  std::optional<uint64_t> accept_loss_at = {};  // the operator accepts the end here although frames stand behind
  std::optional<KnownEnd> known = {};           // of a slot of version 2; not below tail
};

struct ScanResult {
  Lsn head;   // the log ends here
  Here here;  // what stands there
  const RecoveryRow* row;
  bool accepted;        // the operator accepts the end here, whatever the row says
  uint64_t generation;  // highest seen
  uint32_t previous_crc;
  uint64_t frames;
  Lsn behind;      // with Behind::kFrames, the first frame there; with kVouched, the head that the state names
  Lsn open_batch;  // a batch that the end cuts in two begins here; equal to head if there is none
  std::string_view foreign;  // an entry kind this version does not know; empty if none (refuse)
};

// Whether a frame header of another ring stands at lsn, the beginning of a chunk. Only there can it be told: each chunk
// begins with a frame, while at any other block may stand the bytes of a record, and those are its sender's to choose.
bool is_of_another_ring(const RingMemory& memory, Lsn lsn, const RingId& ring_id);

// What speaks against a ring that has come as far as found being the one that is known, as the end of a sentence about
// it; nothing if it is.
std::optional<std::string_view> life_unlike(const RingLife& known, const RingLife& found);

// Calls on_entry for each whole entry, in ring order. The first frame's carry_in is skipped: it belongs to a log that
// no longer needs it. Any bytes may stand in the ring: nothing is read outside memory, and what is found is whole.
ScanResult scan_ring(const ScanRequest& request, const std::function<void(const FoundEntry&)>& on_entry);

}  // namespace penstock::storage
