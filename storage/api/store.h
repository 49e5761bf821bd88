// Store: all of one lcore's storage; the whole contract between the dataplane and the log. Concrete and owned by one
// lcore's thread; nothing here blocks except open(). docs/internals/log_format.md has the bytes.
//
// The loop's turn: handle requests (append, plan_read) -> submit() -> ... -> poll(). An append is durable when
// durable() >= its durable_at. Everything below a log's durable offset may be read.
#pragma once

#include <expected>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/buffer.h"
#include "base/clock.h"
#include "base/prng.h"
#include "storage/api/disk.h"
#include "storage/api/types.h"

namespace penstock::storage {

enum class AppendStatus : uint8_t {
  kAppended,              // in the ring's memory; offsets assigned
  kDuplicate,             // repeats a remembered batch: base_offset is the first one's, durable_at when that is durable
  kBusy,                  // too much waits for the device: park the request and try again after the next poll()
  kRingFull,              // no room until the drive has caught up or something is deleted; retriable for the client
  kDiskFull,              // the drive has no room for it; retriable for the client, reads go on
  kCorrupt,               // CRC-32C wrong
  kInvalidRecord,         // the records contradict the header
  kNoKey,                 // a record has no key, and the log is compacted
  kInvalidTimestamp,      // a record's time is too far from the broker's clock for its log
  kTooLarge,              // the ring can never take a batch of this size
  kOutOfOrderSequence,    // a gap before this batch
  kDuplicateSequence,     // repeats a batch older than the five remembered
  kInvalidProducerEpoch,  // an older epoch than the one known
  kUnknownLog,            // not on this lcore
  kPoisoned,              // a failed write fenced the ring
};

// Of a batch's records, in ms: the batch's base and greatest timestamps need not be that.
struct RecordTimes {
  int64_t least;
  int64_t greatest;
};

struct AppendResult {
  AppendStatus status;
  Offset base_offset;           // of the batch as stored; with kAppended and kDuplicate
  Offset log_start_offset;      // with kAppended and kDuplicate
  Lsn durable_at;               // answer when durable() has reached this
  int64_t append_time_ms = -1;  // of kAppended in a log with append_time
};

// What a log remembers of an idempotent producer.
struct ProducerFacts {
  ProducerId id;
  int16_t epoch;
  int32_t last_sequence;
  int64_t last_timestamp;
};

// Bytes that a fetch answer promises, from the beginning of a batch on. Resumable: it holds no memory, so a slow client
// pins nothing. In the ring's memory it covers whole batches; on the drive a range of one segment, whose end may cut a
// batch (as Kafka's own answers may, by size).
struct ReadCursor {
  LogId log;
  Offset batch;            // in memory: base offset of the batch that the next byte belongs to
  uint64_t skip = 0;       // in memory: bytes of that batch already sent
  uint64_t remaining = 0;  // bytes still promised
  bool cold = false;       // on the drive
  Offset segment{0};       // on the drive: the segment's base offset
  uint64_t revision = 0;   // and revision,
  uint64_t position = 0;   // and the next byte's place in it
};

enum class ReadStatus : uint8_t {
  kReady,
  kPending,  // a read from the drive has begun: ask again when readable_logs() names the log
  kDamaged,  // what stands there fails its checksum, or cannot be read: never served
  kGone,     // the log or that part of it was deleted
};

struct ReadPlan {
  ReadStatus status;
  ReadCursor cursor;  // with kReady
};

// What lend() or keep() has pinned.
struct Loan {
  size_t pieces = 0;
  bool is_brief = false;  // its memory is wanted soon, or too much is lent: it must be given back within a turn or so
  Lsn memory_from;        // of the ring's memory, or
  const std::byte* cold = nullptr;  // in the cache of cold reads
};

struct TimeAndOffset {
  Offset offset;
  int64_t timestamp;
};

struct TimeFound {
  ReadStatus status;
  std::optional<TimeAndOffset> found;  // with kReady; nothing if there is none
};

enum class TrimStatus : uint8_t { kTrimmed, kOffsetOutOfRange, kUnknownLog, kPoisoned, kBusy };

struct TrimResult {
  TrimStatus status;
  Offset log_start_offset;  // with kTrimmed
  Lsn durable_at;           // with kTrimmed: answer when durable() has reached this
};

// Kafka's answer to OffsetForLeaderEpoch (KIP-101): the greatest epoch that is not above the asked one, and the offset
// where it ends. Both -1: not known.
struct EpochEnd {
  LeaderEpoch epoch;
  Offset end;
};

struct StoreHealth {
  bool poisoned = false;      // a failed ring write or flush: its partitions are offline until a restart
  bool disk_full = false;     // produces are refused until there is room again
  uint64_t damaged_logs = 0;  // logs with segments that fail their checksums
  uint64_t buffers_held = 0;  // of destage writes and reads that are under way; 0 after a stop
  uint64_t loans = 0;         // not taken back yet
  uint64_t files_held = 0;    // segment files that an op under way needs; 0 after a stop
  uint64_t stuck_logs = 0;    // logs whose segments cannot be written for a while, not for want of space
  std::string stuck_file{};   // one of their files, and why; may be empty for a moment
  // What is under way is no news.
  friend bool operator==(const StoreHealth& a, const StoreHealth& b) {
    return a.poisoned == b.poisoned && a.disk_full == b.disk_full && a.damaged_logs == b.damaged_logs &&
           a.stuck_logs == b.stuck_logs && a.stuck_file == b.stuck_file;
  }
};

struct OpenFailure {
  Error error;
  std::string what;  // one line for the operator: what happened, what it means, what to do
};

class CompactionLink;

struct StoreRequest {
  std::string folder;  // the data folder; the ring is <folder>/ring-<index>
  uint32_t ring_index = 0;
  StorageOptions options;
  Disk* disk = nullptr;
  Clock* clock = nullptr;
  Prng* prng = nullptr;  // ring ids
  StorageCounters* counters = nullptr;
  // The logs that live here, and the first id never issued: an entry of another log below it is of a deleted one.
  std::span<const LogToOpen> live_logs;
  LogId next_log_id;
  // Whether a log that does not live here lives in another ring of this folder: its files are left alone.
  std::function<bool(LogId)> is_foreign = {};
  // What life() said at the last start of which this is known: a ring of another id, or one that has not come so far,
  // is refused if logs live here. Nothing: any ring will do.
  std::optional<RingLife> known_life = {};
  // Called once, with the ring's size: memory aligned to the disk's block that outlives the Store.
  std::function<std::span<std::byte>(size_t bytes)> allocate;
  // The same for the cache of cold reads: all record bytes that are lent lie in the ring's memory or in this. Null: the
  // Store takes memory of its own.
  std::function<std::span<std::byte>(size_t bytes)> allocate_cache = {};
  // To who cleans compacted logs (storage/api/compaction.h); it outlives the Store. Null: nothing is compacted.
  CompactionLink* compaction = nullptr;
  // The operator's override: cut the ring at this lsn although acked data behind it is damaged.
  std::optional<uint64_t> accept_loss_at = {};
  // Asked between the pieces of a ring that are written or read, which may take minutes. True: open() ends soon, with
  // kWouldBlock and as after a crash: a ring that exists is as it was, one that was being made is gone.
  std::function<bool()> should_stop = {};
};

class Store {
 public:
  class Impl;  // storage's own

  // Makes or recovers the ring. Blocks. Afterwards nothing is served that power could still take.
  static std::expected<std::unique_ptr<Store>, OpenFailure> open(StoreRequest request);
  ~Store();

  // Memory that each takes beside its ring and what settings give.
  static size_t buffer_bytes();
  // Of this start. It is durable, so whoever remembers it never knows more than the ring.
  RingLife life() const;

  void open_log(LogId log, const LogConfig& config = {});  // a new, empty log; fine if it exists
  void set_config(LogId log, const LogConfig& config);     // in force from the next turn on
  void drop_log(LogId log);  // forgets it; its ring space is reused once the state says so, its files are deleted

  // Copies the batch at chain[at, at + length) into the ring in one pass with its CRC, checks it, assigns offsets and
  // stamps the leader epoch. The caller has checked the batch's header (protocol/record_batch.h): length is the whole
  // batch. Nothing of a refused batch remains.
  AppendResult append(LogId log, LeaderEpoch epoch, const BufferChain& chain, size_t at, size_t length,
                      const std::optional<RecordTimes>& times = {});

  std::optional<LogOffsets> offsets(LogId log) const;
  uint64_t bytes_of(LogId log) const;  // its batches, wherever they are; 0 for a log that is not here
  std::vector<ProducerFacts> producers_of(LogId log) const;  // by id
  // A cursor from the batch that holds offset from on, ending at the durable offset, at most max_bytes; if
  // at_least_one, the first batch even when it is larger. kReady with remaining == 0: nothing there now. The caller has
  // checked log_start_offset <= from <= log_end_offset.
  ReadPlan plan_read(LogId log, Offset from, uint64_t max_bytes, bool at_least_one);
  // The next bytes of cursor as pieces of memory, at most max_bytes and pieces.size() of them; returns how many pieces.
  // They stay valid until the next append(), submit(), poll() or drop_log(). kWouldBlock: they are being read from the
  // drive, ask again when readable_logs() names the log. kCorrupt: they fail their checksum. kNotFound: the log or its
  // data is gone.
  Result<size_t> view(const ReadCursor& cursor, size_t max_bytes, std::span<std::span<const std::byte>> pieces);
  // As view(), but the pieces stay as they are until take_back() of the same loan, whatever becomes of the log; also
  // for another thread. Appends that need their memory are kBusy until then: who keeps a loan that is not brief must be
  // able to give it back soon when it is recalled.
  Result<Loan> lend(const ReadCursor& cursor, size_t max_bytes, std::span<std::span<const std::byte>> pieces);
  // The same for a piece that view() has given, while it is valid.
  Loan keep(std::span<const std::byte> piece);
  void take_back(const Loan& loan);
  // Loans of the ring's memory that begin below this place are wanted back, each as soon as can be; Lsn{0}: none is.
  Lsn recalled() const;
  // cursor has sent n more bytes.
  void advance(ReadCursor& cursor, size_t n) const;

  // First record whose timestamp is at least timestamp_ms. Exact for uncompressed batches; for a compressed one the
  // answer is its first offset.
  TimeFound find_by_time(LogId log, int64_t timestamp_ms);
  // The record with the greatest timestamp (ListOffsets -3).
  TimeFound find_max_time(LogId log);
  EpochEnd end_offset_for(LogId log, LeaderEpoch epoch) const;
  // Of the batch that holds offset; kNoLeaderEpoch if none is known.
  LeaderEpoch epoch_at(LogId log, Offset offset) const;

  // Moves log_start_offset up to to (DeleteRecords, KIP-107); what lies below is deleted in time.
  TrimResult trim(LogId log, Offset to);
  // Cuts the log's end off at the beginning of the batch that holds to, as a follower does whose log has parted from
  // its leader's. False: not now. Appends are kBusy while truncating().
  bool truncate(LogId log, Offset to);
  bool truncating(LogId log) const;

  // End of a turn: closes and submits a frame if the ring is idle and something waits; seals after idle time.
  void submit();
  // Takes completions. Returns how many; durable(), advanced_logs() and readable_logs() tell what they changed.
  size_t poll();
  Lsn durable() const;
  // Bytes of the group commit that is at the drive; 0: none is.
  uint64_t commit_bytes() const;
  // Logs whose durable offset moved in the last poll(); valid until the next.
  std::span<const LogId> advanced_logs() const;
  // Logs for which something that was pending may go on; valid until the next poll().
  std::span<const LogId> readable_logs() const;
  bool poisoned() const;
  StoreHealth health() const;
  // When submit() wants to be called again though nothing arrives (the seal timer); a far future if never.
  Nanos next_deadline() const;

  // Stop: no more appends are taken; what was taken is written and sealed. Call submit() and poll() until stopped().
  void begin_stop();
  bool stopped() const;

 private:
  explicit Store(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace penstock::storage
