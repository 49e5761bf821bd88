// Space: whether the drive has room for what producers send. Each accepted byte needs as much again in its segment; it
// is taken only while the drive has that, what is owed already, and a reserve so that space can always be freed
// (penstock.disk.reserve.bytes). The drive is asked now and then; between, what was written counts. Owned by one lcore.
#pragma once

#include <cstdint>

#include "storage/log/destager.h"
#include "storage/log/shard.h"

namespace penstock::storage {

class Space {
 public:
  Space(Shard& shard, const Destager& destager) : shard_(shard), destager_(destager) {
    op_.owner = this;
    op_.kind = FileOp::Kind::kFreeBytes;
    op_.on_done = [](FileOp& op) { static_cast<Ask&>(op).owner->answered(); };
  }

  // What the drive has free, as a start found it.
  void begin(uint64_t free_bytes) { free_ = free_bytes; }
  enum class Room : uint8_t {
    kYes,
    kAsked,  // by what was known there is none, which may be long ago: the drive is being asked, after a poll it is
             // known
    kNo,
  };
  // Whether a batch of so many bytes may be taken; tells the operator when that changes.
  Room room_for(uint64_t bytes) {
    if (full_) [[unlikely]]
      return Room::kNo;  // until the drive was asked again: no refusing and taking by turns
    if (left() >= destager_.bytes_owed() + bytes + reserve()) [[likely]]
      return Room::kYes;
    // On an idle broker nobody has asked since room was made.
    if (!op_.in_flight && shard_.clock.monotonic() >= ask_at_) ask();
    if (op_.in_flight) return Room::kAsked;
    become_full(true);
    return Room::kNo;
  }
  // Once a turn.
  void run() {
    const uint64_t written = destager_.bytes_written() - written_at_;
    // Others use the drive too: it is asked while something is owed to it, also when nothing was written.
    const bool changed = full_ || written > 0 || destager_.no_space() || destager_.bytes_owed() != owed_when_asked_;
    if (op_.in_flight || !changed || shard_.clock.monotonic() < ask_at_) return;
    ask();
  }
  bool full() const { return full_ || destager_.no_space(); }
  Nanos next_deadline() const { return full_ && !op_.in_flight ? ask_at_ : INT64_MAX; }

 private:
  struct Ask : FileOp {
    Space* owner;
  };
  static constexpr Nanos kAskEvery = 100 * kMillisecond;

  void ask() {
    op_.path = shard_.folder;
    written_when_asked_ = destager_.bytes_written();
    owed_when_asked_ = destager_.bytes_owed();
    shard_.submit(static_cast<FileOp&>(op_));
  }
  uint64_t reserve() const { return static_cast<uint64_t>(shard_.options.disk_reserve_bytes); }
  uint64_t left() const {
    const uint64_t written = destager_.bytes_written() - written_at_;
    return free_ - (written < free_ ? written : free_);
  }
  void answered() {
    ask_at_ = shard_.clock.monotonic() + kAskEvery;
    if (op_.error) return;
    free_ = op_.bytes;
    written_at_ = written_when_asked_;
    // Others took what accepted records need: that is told before anybody sends more.
    if (!full_ && left() < destager_.bytes_owed()) become_full(true);
    // Some room to spare before producers are let in again.
    if (full_ && left() >= destager_.bytes_owed() + reserve() + reserve() / 4) become_full(false);
  }
  void become_full(bool full) {
    full_ = full;
    if (full) {
      LOG_WARN(
          "the drive of %s is full: records are refused until there is room, reads go on; free some space, delete "
          "topics or shorten their retention",
          shard_.folder.c_str());
    } else {
      LOG_INFO("the drive of %s has room again: records are taken", shard_.folder.c_str());
    }
  }

  Shard& shard_;
  const Destager& destager_;
  Ask op_;
  uint64_t free_ = UINT64_MAX;
  uint64_t written_at_ = 0;
  uint64_t written_when_asked_ = 0;
  uint64_t owed_when_asked_ = 0;
  Nanos ask_at_ = 0;
  bool full_ = false;
};

}  // namespace penstock::storage
