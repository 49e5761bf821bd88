// Parcel: a part of a request that another lcore does, because it owns the partitions: made on the connection's lcore,
// filled in by the owner, and sent back by it. So there are never more parcels than connections have asked for, and
// none is copied. What it points to belongs to the connection's lcore and stands until the parcel is home.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <variant>
#include <vector>

#include "base/buffer.h"
#include "base/result.h"
#include "dataplane/api/mesh.h"
#include "dataplane/api/types.h"
#include "protocol/error_code.h"
#include "protocol/record_batch.h"
#include "protocol/types.h"
#include "storage/api/store_set.h"

namespace penstock::dataplane {

// What is said of records without a key in a compacted topic, and how many of them are told by number.
inline constexpr std::string_view kKeyless = "a compacted topic takes no record without a key";
inline constexpr size_t kBadRecordsMax = 100;

// What became of one batch of a Produce.
struct ProduceOutcome {
  PartitionIndex partition{};
  ErrorCode error = ErrorCode::kNone;
  int64_t base_offset = -1;
  int64_t log_start_offset = -1;
  int64_t append_time_ms = -1;         // of a log that has the broker's
  std::string_view message{};          // of a literal
  storage::DurableAt durable_at{};     // without an error
  std::vector<int32_t> bad_records{};  // places in the batch of those that are at fault, the first of them
};

struct ProducePart {
  struct Item {
    size_t place;  // of the partition in the request
    storage::LogId log;
    LeaderEpoch epoch;
    size_t at;  // in chain
    size_t bytes;
    const BufferChain* own = nullptr;             // it is there, and not in the request's chain
    std::optional<storage::RecordTimes> times{};  // of its records, if they were looked at
    ProduceOutcome outcome{};
  };
  std::shared_ptr<struct ProduceJob> job;  // home's
  const BufferChain* chain = nullptr;      // the request, as it lies in home's network buffers
  std::vector<Item> items{};
  size_t done = 0;  // of items
};

// A partition of a Fetch: what is wanted and what was found.
struct Look {
  storage::LogId log{};
  Offset from{};
  uint64_t max_bytes = 0;
  int32_t current_epoch = -1;  // the client's belief, -1 for none (KIP-320)
  LeaderEpoch leader_epoch{};
  int32_t last_fetched_epoch = -1;  // -1 for none (KIP-595)
  // ---- found
  ErrorCode error = ErrorCode::kNone;
  storage::LogOffsets offsets{Offset{-1}, Offset{-1}, Offset{-1}};
  storage::ReadCursor cursor{};
  uint64_t first_bytes = 0;  // of the cursor's first batch: less of it is of no use
  std::optional<storage::EpochEnd> diverging{};
  bool pending = false;  // the drive is being read for it
  // The drive was read for it: it is not asked again while others are waited for. What was read may have left the
  // cache by then, and so no request with more partitions than that holds would ever end.
  bool settled = false;
  bool damaged = false;  // what was read failed its checksum
};

struct LookPart {
  struct Item {
    size_t place;
    Look look;
  };
  uint64_t max_bytes = 0;
  bool watch = false;  // tell when a log of it has more
  std::vector<Item> items{};
};

struct ListPart {
  struct Item {
    size_t topic;  // places in the answer
    size_t partition;
    storage::LogId log;
    LeaderEpoch leader_epoch;
    int32_t current_epoch;  // the client's belief, -1 for none (KIP-320)
    int64_t timestamp;
    // ---- found
    ErrorCode error = ErrorCode::kNone;
    int64_t offset = -1;
    int64_t found_timestamp = -1;
    int32_t epoch = -1;
    bool pending = false;
  };
  uint16_t owner = 0;  // the lcore that is asked
  int16_t version = 0;
  bool watch = false;
  std::vector<Item> items{};
};

// OffsetForLeaderEpoch.
struct EpochPart {
  struct Item {
    size_t topic;
    size_t partition;
    storage::LogId log;
    LeaderEpoch leader_epoch;
    LeaderEpoch asked;
    // ---- found
    ErrorCode error = ErrorCode::kNone;
    storage::EpochEnd end{LeaderEpoch{-1}, Offset{-1}};
  };
  std::vector<Item> items{};
};

// The next record bytes of an answer, lent where they lie. Sent once more it gives them back, and may ask for the next;
// one whose bytes a device refers to is sent when that is over (lender.h).
struct ViewPart {
  static constexpr size_t kPieces = 128;
  static constexpr size_t kBytes = 256 * 1024;
  struct Item {
    size_t place;  // of the records in the answer
    storage::ReadCursor cursor;
    uint64_t advance = 0;  // bytes that were sent since cursor was true
    // ---- found
    size_t first_piece = 0;
    size_t pieces = 0;
    size_t bytes = 0;
  };
  uint16_t owner = 0;  // the lcore that is asked
  bool watch = false;  // tell when the log of the first item has more, if it could not be read now
  std::vector<Item> items{};
  std::vector<storage::StoreSet::Lent> lent{};
  std::vector<std::span<const std::byte>> pieces{};
  bool is_brief = false;  // some of it must be given back at once (storage::Loan)
  Errc error{};           // with failed: the first item could not be read
  bool failed = false;
};

// A batch that its topic stores in another codec than its producer chose: the recompressor's (recompressor.h).
struct RecompressPart {
  std::vector<std::byte> batch;  // as it came; then in codec
  protocol::Compression codec{};
  int level = 0;
  size_t records_max = 0;   // bytes of its records, uncompressed
  bool wants_keys = false;  // each record needs one; so one looks at records that came compressed, too
  size_t sent_bytes = 0;    // the recompressor's
  // ---- found
  ErrorCode error = ErrorCode::kNone;
  std::string_view message{};                   // of a literal
  std::optional<storage::RecordTimes> times{};  // if the records were looked at
  std::vector<int32_t> bad_records{};
};

struct Parcel {
  uint16_t home = 0;  // lcore of the connection
  ConnectionId connection;
  uint64_t number = 0;    // of the request, on that lcore
  uint64_t revision = 0;  // of the image that it was made by: the owner does it when it has that one
  std::variant<std::monostate, ProducePart, LookPart, ListPart, EpochPart, ViewPart, RecompressPart> part{};
};

template <class Part>
ParcelPtr make_parcel(uint16_t home, ConnectionId connection, uint64_t number, uint64_t revision, Part part) {
  return ParcelPtr(new Parcel{
      .home = home, .connection = connection, .number = number, .revision = revision, .part = std::move(part)});
}

}  // namespace penstock::dataplane
