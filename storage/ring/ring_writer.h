// RingWriter: group commits into the write-ahead ring. One frame is in flight at most; while it is, the next one fills
// in memory. There is no linger: an idle ring submits at the end of the turn, a busy one gathers until its frame
// returns. Owned by one lcore. docs/internals/log_format.md has the bytes.
//
//   tail_          durable_            in flight     closed_ ...   filling_                        tail_ + capacity
//   | needed frames | ............... | frame       | frame frame | entries...  free ->| starts | small |
//
// The room at the end is kept: batches stop before `starts` (kStartReserveBytes: opening frames and seals, and when
// that is used up a state slot does their work) and only entries of other kinds may use `small` (small_reserve()),
// since they are what frees space.
#pragma once

#include <algorithm>
#include <cstdint>
#include <deque>
#include <set>
#include <span>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "storage/api/disk.h"
#include "storage/api/store.h"
#include "storage/ring/entries.h"
#include "storage/ring/frame.h"
#include "storage/ring/ring_memory.h"

namespace penstock::storage {

enum class WriterState : uint8_t {
  kIdle,      // nothing in flight
  kInFlight,  // one frame is at the device
  kFailed,    // a write failed: never retried, nothing more is accepted
};

constexpr bool legal(WriterState from, WriterState to) {
  switch (from) {
    case WriterState::kIdle: return to == WriterState::kInFlight || to == WriterState::kFailed;
    case WriterState::kInFlight: return to == WriterState::kIdle || to == WriterState::kFailed;
    case WriterState::kFailed: return false;
  }
  std::unreachable();
}

// Where a recovered (or new) ring goes on.
struct RingStart {
  Lsn tail;                   // oldest frame that is needed
  Lsn head;                   // where the next frame goes, on a block
  uint32_t previous_crc = 0;  // header CRC of the frame before head
  uint64_t generation = 0;    // of this start
  RingId ring_id{};
  Lsn memory_from{};  // memory holds the ring from here on, if that is above tail: head, if the ring was not read
};

// Kept free for opening frames and seals.
inline constexpr uint64_t kStartReserveBytes = 256 * kKiB;
// Kept free for entries that are no batch, unless the owner needs more.
inline constexpr uint64_t kSmallReserveBytes = 768 * kKiB;

class RingWriter {
 public:
  struct Parts {
    Disk& disk;
    FileHandle file;
    Clock& clock;
    StorageCounters& counters;
    RingMemory memory;
    Nanos seal_after;
    uint64_t unflushed_max;
  };
  RingWriter(Parts parts, const RingStart& start);

  enum class Room : uint8_t { kYes, kBusy, kFull, kNever };
  // Whether a payload of n bytes can be taken now (kYes), after the device has caught up, after the tail moved, or
  // never.
  Room room_for(uint64_t n);
  // A payload of n bytes was refused with kFull. For kWantedFor, unless it is taken before, its room is wanted: whoever
  // frees space goes by it, and where the chunk that is being filled is in its way, that ends early.
  void want_room(uint64_t n);
  // Where the tail has to come so that what is wanted fits; not above tail() if nothing is.
  Lsn tail_wanted() const;

  // ---- one entry at a time: begin, write all payload bytes, then commit or abort
  // Returns where the payload begins. The caller has asked room_for(payload_bytes).
  Lsn begin_entry(LogId log, uint32_t payload_bytes);  // a batch
  // Copies piece behind what was written: the one touch, fused with the CRC of the payload from byte 21 on.
  void write(std::span<const std::byte> piece);
  // CRC-32C of the payload bytes written so far, from byte 21 on.
  uint32_t payload_crc() const { return entry_.crc; }
  // The entry is part of its frame. Returns the lsn behind its last byte: durable() >= that means durable.
  Lsn commit_entry();
  // As if begin_entry had not been called.
  void abort_entry();

  // ---- entries of other kinds: whole at once, at most kSmallPayloadMax bytes of payload, never split over frames
  // Whether an entry of n payload bytes finds room now; it may use what is kept from batches. Never waits for the
  // device.
  bool room_for_small(uint64_t n) const;
  // Appends head and then bytes as the payload of one entry. The caller has asked room_for_small and has no entry open.
  // Returns the lsn behind it: durable() >= that means durable.
  Lsn append_small(LogId log, EntryKind kind, std::span<const std::byte> head, std::span<const std::byte> bytes = {});
  Lsn append(LogId log, const RelogEntry& entry) {
    return append_small(log, EntryKind::kRelog, encode(entry), entry.bytes);
  }
  Lsn append(LogId log, const TruncateEntry& entry) { return append_small(log, EntryKind::kTruncate, encode(entry)); }
  Lsn append(LogId log, const StartOffsetEntry& entry) {
    return append_small(log, EntryKind::kStartOffset, encode(entry));
  }
  // Ring bytes that n entries with a payload of up to bytes each, given in one turn, need at most, frames and padding
  // included. Each further turn costs up to a block more.
  static uint64_t small_bytes(uint64_t n, uint64_t bytes, uint32_t block);
  // Keeps bytes from batches for such entries; kSmallReserveBytes at the least, a quarter of the ring at the most. The
  // owner keeps room for what it must write before the tail can move: a RELOG for each log that has data in the ring, a
  // START_OFFSET and a TRUNCATE for each, of which one is on its way at a time.
  void set_small_reserve(uint64_t bytes);
  uint64_t small_reserve() const { return small_reserve_; }

  // Ends a turn: submits the oldest closed frame, or closes and submits what has gathered, or seals after idle time.
  void submit();
  // A completed op of this writer; false if op is not its own.
  bool complete(DiskOp& op);
  // Start-up only, one of the two. The first frame of a start opens its generation; whatever stood behind the head
  // before is void from then on.
  // Writes an empty frame that does so at once: nothing may be served before it is durable. Needs room_to_open().
  void open_generation();
  // A durable state slot names this generation, head and previous_crc, and so does what that frame would have done:
  // nothing is written now, and the first frame with entries in it opens the generation.
  void open_by_state();
  bool room_to_open() const { return filling_.start - tail_ + block_ <= memory_.bytes() - small_reserve_; }
  void seal_now() { last_commit_at_ = kSealAtOnce; }
  // Space below tail may be overwritten: the state that says so is durable.
  void advance_tail(Lsn tail);

  Lsn durable() const { return durable_; }
  // Header CRC of the frame that ends at durable(): with it a state slot vouches for all below.
  uint32_t durable_crc() const { return durable_crc_; }
  const RingId& ring_id() const { return ring_id_; }
  uint64_t generation() const { return generation_; }
  Lsn tail() const { return tail_; }
  Lsn head() const { return filling_.start; }
  // Every entry so far lies below it, every later one behind it.
  Lsn next_entry() const { return filling_.end; }
  uint64_t used_bytes() const { return filling_.end - tail_; }
  bool in_flight() const { return state_ == WriterState::kInFlight; }
  uint64_t bytes_in_flight() const { return in_flight() ? op_.memory.size() : 0; }
  bool failed() const { return state_ == WriterState::kFailed; }
  // Memory from lsn on is lent (Store::lend): it is not overwritten before as many unpins. What would need it has to
  // wait.
  void pin(Lsn lsn) { pins_.insert(lsn); }
  void unpin(Lsn lsn) {
    const auto found = pins_.find(lsn);
    CHECK(found != pins_.end());
    pins_.erase(found);
  }
  // What is pinned below this place is in the way of what comes next, or will be soon; Lsn{0}: nothing is. It moves on
  // in steps, so that whoever holds pins looks for them seldom.
  Lsn pins_recalled() const;
  // A pin from lsn on would be recalled before long.
  bool is_near_end(Lsn lsn) const { return lsn < reached_by(2 * recall_window()); }
  // Where the byte lies that is in memory at this place of it.
  Lsn lsn_of(const std::byte* at) const {
    const auto place = static_cast<uint64_t>(at - memory_.whole().data());
    const uint64_t head = filling_.end.value();
    return Lsn{head - 1 - (head - 1 + memory_.bytes() - place) % memory_.bytes()};
  }
  // Everything taken is durable and sealed.
  bool quiet() const { return state_ == WriterState::kIdle && closed_.empty() && !filling_has_data() && sealed_; }
  Nanos next_deadline() const;
  const RingMemory& memory() const { return memory_; }
  // Memory mirrors the ring from here on, up to head(); below, the frame that is filling has overwritten it (whole
  // chunks at a time, but nothing that the tail keeps: after a clean stop it stands inside a chunk), or it was never
  // read. Moves with begin_entry, write, append_small, submit and advance_tail.
  Lsn memory_floor() const {
    const uint64_t end = std::max(scribbled_, RingMemory::chunk_end(filling_.start)).value();
    return std::max(memory_from_, std::min(tail_, Lsn{end - std::min(end, memory_.bytes())}));
  }

 private:
  static constexpr Nanos kSealAtOnce = INT64_MIN / 2;
  static constexpr Nanos kNever = INT64_MAX;
  static constexpr Nanos kWantedFor = 5 * kSecond;  // clients that are refused come again within one or two

  struct Frame {
    Lsn start;
    Lsn end;  // behind its last entry byte; at the chunk's end for one that continues
    uint16_t flags = 0;
    uint32_t entries = 0;
    uint32_t carry_in = 0;
    uint32_t carry_crc = 0;
  };
  struct OpenEntry {
    bool open = false;
    LogId log;
    Lsn header;  // where its entry header lies
    Lsn next;    // where its next byte goes
    uint32_t payload_bytes = 0;
    uint32_t written = 0;
    uint32_t crc = 0;
    Frame saved;  // filling_ as it was, for abort
  };

  // Ring bytes that a payload of n takes at most; and all that batches may use, with what is kept now.
  uint64_t need_of(uint64_t n) const;
  uint64_t usable_bytes() const { return memory_.bytes() - kStartReserveBytes - small_reserve_; }
  uint64_t least_small_reserve() const { return std::min(kSmallReserveBytes, memory_.bytes() / 4); }
  bool should_end_chunk() const;
  bool filling_has_data() const { return filling_.end > filling_.start + kFrameHeaderBytes; }
  // With n bytes more, what lies below in memory is overwritten.
  Lsn reached_by(uint64_t n) const {
    const uint64_t end = RingMemory::chunk_end(filling_.end + n).value();
    return Lsn{end - std::min(end, memory_.bytes())};
  }
  // Whether n bytes more would reach memory that is pinned.
  bool reaches_pinned(uint64_t n) const { return !pins_.empty() && *pins_.begin() < reached_by(n); }
  // How long before it is needed memory is asked back, in bytes that may be written meanwhile.
  uint64_t recall_window() const { return std::max({kChunkBytes, memory_.bytes() / 16, pinned_need_}); }
  void become(WriterState next);
  void start_frame(Lsn at);
  void spill();  // the entry reached its chunk's end and goes on in the next frame
  void close(const Frame& frame, bool to_chunk_end = false);  // pads, writes the header, queues it
  [[gnu::noinline]] void close_spilled();                     // rare: kept out of the path of each commit
  void close_filling(bool to_chunk_end = false);
  void send(const Frame& frame);

  Disk& disk_;
  const FileHandle file_;
  Clock& clock_;
  StorageCounters& counters_;
  const RingMemory memory_;
  const uint32_t block_;
  const Nanos seal_after_;
  const uint64_t unflushed_max_;
  const uint64_t generation_;
  const RingId ring_id_;

  WriterState state_ = WriterState::kIdle;
  uint64_t small_reserve_ = 0;
  uint64_t wanted_bytes_ = 0;  // payload that was refused; 0: none
  Nanos wanted_until_ = 0;
  Lsn tail_;
  Lsn durable_;
  uint32_t durable_crc_;
  Lsn memory_from_;
  std::multiset<Lsn> pins_;
  uint64_t pinned_need_ = 0;  // what was refused because of them
  Lsn scribbled_;             // end of the last chunk that an entry reached, also one that was aborted
  Frame filling_;
  OpenEntry entry_;
  std::vector<Frame> spilled_;  // frames that the open entry has filled; closed by its commit
  std::deque<Frame> closed_;    // wait for the device, oldest first; bounded by the ring
  uint32_t previous_crc_;
  DiskOp op_;
  Frame in_flight_;
  bool sealed_ = false;  // the last frame is a seal
  Nanos last_commit_at_ = 0;
};

}  // namespace penstock::storage
