// ColdCache: blocks read from segments, for readers of what the ring's memory no longer has. One bounded pool for all
// logs of a lcore: whoever needs bytes asks for them each time (view), and if they had to go meanwhile they are read
// again. A block that is lent (pin) is not used for anything else, and no more than half of them are lent for long, so
// that clients who do not acknowledge what they were sent leave room for those who read. What fails its interval's CRC
// is never given out, and is noted in Segment::bad; the other intervals of its block are. Owned by one lcore; nothing
// here blocks.
#pragma once

#include <bitset>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <tuple>
#include <vector>

#include "storage/log/index_loader.h"
#include "storage/log/read_pace.h"
#include "storage/log/segment_files.h"
#include "storage/log/shard.h"

namespace penstock::storage {

class ColdCache {
 public:
  // A read that finds little is dear, and one that finds more than it needs costs memory: 256 KiB are eight intervals,
  // and at a hundred microseconds a read 2.5 GB/s.
  static constexpr uint64_t kBlockBytes = 256 * kKiB;

  // memory: a whole number of blocks, aligned to the disk's block; it decides how many there are.
  ColdCache(Shard& shard, SegmentFiles& files, IndexLoader& indexes, std::span<std::byte> memory);

  // The bytes of segment from position on, as far as one block has them, at most to segment.bytes. Not empty; valid
  // until the next turn, whatever else is asked for before. kWouldBlock: they are being read; the log stands in
  // shard.readable when there is news. kCorrupt: they fail their checksum. Otherwise what the drive said. An error is
  // told once: who asks again has the drive asked again.
  Result<std::span<const std::byte>> view(PartitionLog& log, const Segment& segment, uint64_t position);
  // The block that bytes of view() lie in stays as it is until as many unpins, also when it is forgotten.
  void pin(const std::byte* bytes) {
    if (block_at(bytes).pins++ == 0) ++pinned_;
  }
  void unpin(const std::byte* bytes) {
    CHECK(block_at(bytes).pins > 0);
    if (--block_at(bytes).pins == 0) --pinned_;
  }
  // Whether so much of a segment from position on can be looked at in one turn, if nothing is pinned.
  bool holds(uint64_t position, uint64_t bytes) const {
    return (position + bytes - 1) / kBlockBytes - position / kBlockBytes < blocks_.size();
  }
  // What is pinned from here on must not stay so: half of the blocks are for those who read.
  bool much_is_pinned() const { return pinned_ > blocks_.size() / 2; }
  void forget(LogId log, SegmentId segment);
  void forget(LogId log);

  // Nobody uses the bytes of earlier views any more.
  void next_turn() { ++turn_; }
  // Begins reads that had to wait: for a file, an index, or writes that go before them.
  void run();
  // When a read that waits for writes may begin. INT64_MAX: none waits, or one that is at the drive comes first.
  Nanos next_deadline() const;
  size_t blocks_busy() const { return reading_ + waiting_.size(); }
  bool idle() const { return blocks_busy() == 0; }

 private:
  using Key = std::tuple<LogId, SegmentId, uint64_t>;  // the block's number in its segment
  enum class State : uint8_t { kFree, kWaiting, kReading, kReady, kFailed };
  static constexpr uint64_t kIntervals = kBlockBytes / SegmentIndex::kIntervalBytes;
  using Sums = SegmentIndex::Sums<kIntervals>;
  struct Block : DiskOp {
    ColdCache* owner;
    Key key;
    State state = State::kFree;
    bool wanted = false;             // nobody has seen it since it was read
    bool ahead = false;              // it was read before anybody asked for it, and nobody has seen it
    bool orphan = false;             // its segment is gone
    bool again = false;              // what came failed its checksum once
    bool by_piece = false;           // the drive has refused it as a whole: interval by interval
    uint64_t piece = 0;              // then, the one that is read
    std::bitset<kIntervals> good{};  // intervals that hold
    uint32_t pins = 0;               // another thread reads it, or a device sends it
    uint64_t seen_in = 0;            // the turn whose readers hold its bytes
    Errc error = Errc::kIo;          // of those that do not
    Nanos used_at = 0;
    Nanos begun_at = 0;
    uint64_t bytes = 0;  // valid ones
    Sums sums{};         // what they are checked with, as of when their read began
    std::span<std::byte> room;
  };

  Block& block_at(const std::byte* bytes) {
    return blocks_[static_cast<size_t>(bytes - blocks_.front().room.data()) / kBlockBytes];
  }
  Block* take_block();
  void begin(Block& block);
  void put_in_line(Block& block);
  void note_writes(Nanos now);
  Result<void> try_begin(Block& block, PartitionLog& log, const Segment& segment);
  void fail_block(Block& block, Errc error);
  void settle(Block& block);
  static void check(Block& block);
  static bool try_again(Block& block);
  void note(const Block& block, PartitionLog& log, Segment& segment);
  void drop(Block& block);
  void read_ahead(const PartitionLog& log, const Segment& segment, uint64_t position);
  static void done(DiskOp& op);

  Shard& shard_;
  SegmentFiles& files_;
  IndexLoader& indexes_;
  std::vector<Block> blocks_;
  std::map<Key, Block*> by_key_;
  std::vector<Block*> waiting_;  // in the order in which they begin: those that a reader waits for, then the others
  size_t reading_ = 0;
  size_t ahead_ = 0;   // blocks
  size_t pinned_ = 0;  // the same
  uint64_t turn_ = 1;
  ReadPace pace_;
  bool held_back_ = false;  // what waits has not been tried: writes go before it
  Lsn written_{0};          // of the ring, when it was looked at last
};

}  // namespace penstock::storage
