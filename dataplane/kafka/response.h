// Response: one answer on its way out. It owns the bytes that were encoded for it; record bytes are only promised, by
// cursors into the log, and are looked up again each time some of them can be sent. At most Outgoing::kBytes of an
// answer are gathered at any time. So a client that reads slowly holds no chunk; but by a device that refers to memory
// (sharing.h) what its connection may have unacknowledged lies in chunks and is lent, until they are needed.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "base/result.h"
#include "base/units.h"
#include "dataplane/api/types.h"
#include "protocol/types.h"
#include "storage/api/store_set.h"

namespace penstock::dataplane {

class Response {
 public:
  // Begins with room for the frame's length and the response header of this API and version.
  Response() = default;
  Response(int16_t api_key, int16_t api_version, CorrelationId correlation_id);
  // A whole answer that control has encoded, header included.
  explicit Response(std::span<const std::byte> encoded);

  std::vector<std::byte>& bytes() { return bytes_; }
  // The bytes of cursor, whose log is lcore's, stand before place at of bytes(), behind those of earlier calls.
  void add_records(size_t at, const storage::ReadCursor& cursor, uint16_t lcore);
  // The last call before sending: fills in the frame's length.
  void finish();

  size_t own_bytes() const { return bytes_.capacity() + records_.capacity() * sizeof(Records); }  // of memory
  // Of a finished one: what its client is to read, records and all.
  size_t frame_bytes() const;
  // Whose records come next; of an answer that has records to send.
  storage::LogId next_log() const { return records_.at(next_records_).cursor.log; }
  uint16_t next_lcore() const { return records_.at(next_records_).lcore; }
  // Records of other lcores stand within what Outgoing lays out next.
  bool borrows(uint16_t lcore) const;
  bool sent() const { return sent_ == bytes_.size() && next_records_ == records_.size(); }

 private:
  friend class Outgoing;
  friend class Loans;

  struct Records {
    size_t at;  // in bytes_
    uint16_t lcore;
    storage::ReadCursor cursor;
    uint64_t sent = 0;  // of another lcore's: since cursor was true
    uint64_t left() const { return cursor.remaining - sent; }
  };

  std::vector<std::byte> bytes_;
  std::vector<Records> records_;
  size_t sent_ = 0;          // of bytes_
  size_t next_records_ = 0;  // the first of records_ that has bytes to send
};

class Loans;

// Where a piece that is to be sent lies.
struct PieceOrigin {
  enum class Kind : uint8_t {
    kHere,      // in the answer, or gathered: nowhere for long
    kStore,     // in this lcore's store, of log
    kBorrowed,  // in another lcore's, of the records at place of the answer
  };
  Kind kind = Kind::kHere;
  storage::LogId log{};
  size_t place = 0;
};

// One lcore's room to lay out what the next send takes. Pieces of 1 KiB and more go out from where they lie in the
// ring; runs of smaller ones, which would cost a descriptor each, are copied together.
class Outgoing {
 public:
  // For one system call, as far as the socket has room. With 64 KiB a consumer that was quicker was woken for each.
  static constexpr size_t kBytes = 256 * kKiB;

  void clear() {
    count_ = 0;
    bytes_ = 0;
    gathered_ = 0;
    small_before_ = false;
  }
  // Lays out as much of response as fits behind what is there; true if all of it did. kWouldBlock: what comes next is
  // being read from the drive, or must be borrowed from another lcore (loans: what is); what was laid out before it can
  // be sent. kNotFound, kCorrupt: promised records are gone or damaged, the answer cannot be completed.
  Result<bool> add(storage::StoreSet& store, uint16_t lcore, Loans& loans, const Response& response,
                   DataplaneCounters& counters);
  std::span<const std::span<const std::byte>> pieces() const { return std::span(pieces_).first(count_); }
  using Origin = PieceOrigin;
  const Origin& origin(size_t piece) const { return origins_[piece]; }
  size_t bytes() const { return bytes_; }

  // n bytes of response went out, at most what is left of it; returns how many of n it took.
  static size_t mark_sent(const storage::StoreSet& store, uint16_t lcore, Response& response, size_t n,
                          DataplaneCounters& counters);

 private:
  static constexpr size_t kPieces = 128;
  static constexpr size_t kGatherBelow = 1 * kKiB;

  // So little room is not filled: it would cut a batch into a piece that is only worth gathering.
  bool full() const { return count_ == kPieces || kBytes - bytes_ < kGatherBelow; }
  void add_piece(std::span<const std::byte> piece, const Origin& origin = {}) {
    bytes_ += piece.size();
    origins_[count_] = origin;
    pieces_[count_++] = piece;
  }
  void add_records_piece(std::span<const std::byte> piece, const Origin& origin, DataplaneCounters& counters);
  void gather(std::span<const std::byte> piece);
  Result<bool> add_records(storage::StoreSet& store, storage::ReadCursor cursor, DataplaneCounters& counters);
  Result<bool> add_borrowed(Loans& loans, size_t place, const Response::Records& records, DataplaneCounters& counters);

  std::array<std::span<const std::byte>, kPieces> pieces_;
  std::array<Origin, kPieces> origins_;
  size_t count_ = 0;
  size_t bytes_ = 0;
  size_t gathered_ = 0;
  bool small_before_ = false;  // the piece before was of records and below kGatherBelow
  std::array<std::byte, kBytes> gather_;
};

}  // namespace penstock::dataplane
