#include "dataplane/kafka/response.h"

#include <algorithm>
#include <utility>

#include "base/assert.h"
#include "base/bytes.h"
#include "dataplane/kafka/loans.h"
#include "protocol/header.h"

namespace penstock::dataplane {
namespace {

constexpr size_t kLengthBytes = sizeof(int32_t);

}  // namespace

Response::Response(int16_t api_key, int16_t api_version, CorrelationId correlation_id) : bytes_(kLengthBytes) {
  const protocol::Api* api = protocol::find_api(api_key);
  CHECK(api != nullptr);
  protocol::encode_response_header(*api, api_version, correlation_id, bytes_);
}

Response::Response(std::span<const std::byte> encoded) {
  bytes_.reserve(kLengthBytes + encoded.size());
  bytes_.resize(kLengthBytes);
  bytes_.insert(bytes_.end(), encoded.begin(), encoded.end());
  finish();
}

void Response::add_records(size_t at, const storage::ReadCursor& cursor, uint16_t lcore) {
  if (cursor.remaining > 0) records_.push_back({.at = at, .lcore = lcore, .cursor = cursor});
}

void Response::finish() {
  uint64_t length = bytes_.size() - kLengthBytes;
  for (const Records& records : records_) length += records.cursor.remaining;
  store_be(bytes_.data(), static_cast<int32_t>(length));
}

size_t Response::frame_bytes() const {
  if (bytes_.empty()) return 0;  // of a Produce with acks=0
  return kLengthBytes + load_be<uint32_t>(bytes_.data());
}

bool Response::borrows(uint16_t lcore) const {
  uint64_t bytes = 0;
  for (size_t i = next_records_; i < records_.size() && bytes < Outgoing::kBytes; ++i) {
    if (records_[i].lcore != lcore) return true;
    bytes += records_[i].left();
  }
  return false;
}

Result<bool> Outgoing::add(storage::StoreSet& store, uint16_t lcore, Loans& loans, const Response& response,
                           DataplaneCounters& counters) {
  const std::span<const std::byte> own = response.bytes_;
  size_t from = response.sent_;
  for (size_t i = response.next_records_; !full(); ++i) {
    const bool more = i < response.records_.size();
    const size_t to = more ? response.records_[i].at : own.size();
    const size_t n = std::min(to - from, kBytes - bytes_);
    if (n > 0) add_piece(own.subspan(from, n));
    from += n;
    if (from < to) return false;
    if (!more) return true;
    const Response::Records& records = response.records_[i];
    const bool whole = TRY(records.lcore == lcore ? add_records(store, records.cursor, counters)
                                                  : add_borrowed(loans, i, records, counters));
    if (!whole) return false;
  }
  return false;
}

Result<bool> Outgoing::add_borrowed(Loans& loans, size_t place, const Response::Records& records,
                                    DataplaneCounters& counters) {
  uint64_t left = records.left();
  uint64_t skip = records.sent;
  for (std::span<const std::byte> piece : loans.pieces_of(place)) {
    const uint64_t passed = std::min<uint64_t>(skip, piece.size());
    skip -= passed;
    piece = piece.subspan(passed);
    if (piece.empty()) continue;
    if (full()) return false;
    const size_t n = std::min(piece.size(), kBytes - bytes_);
    add_records_piece(piece.first(n), {.kind = Origin::Kind::kBorrowed, .place = place}, counters);
    left -= n;
    if (n < piece.size()) return false;
  }
  if (left > 0) return fail(Errc::kWouldBlock);
  return true;
}

// life: 17
Result<bool> Outgoing::add_records(storage::StoreSet& store, storage::ReadCursor cursor, DataplaneCounters& counters) {
  std::array<std::span<const std::byte>, kPieces> found;
  while (!full() && cursor.remaining > 0) {
    const size_t room = kBytes - bytes_;
    const size_t count = TRY(store.view(cursor, room, std::span(found).first(kPieces - count_)));
    if (count == 0) return fail(Errc::kNotFound);
    const size_t before = bytes_;
    const Origin origin{.kind = Origin::Kind::kStore, .log = cursor.log};
    for (const auto& piece : std::span(found).first(count)) add_records_piece(piece, origin, counters);
    store.advance(cursor, bytes_ - before);
  }
  return cursor.remaining == 0;
}

// Small pieces in a row are small batches: they are copied together, or each would cost the kernel a piece of its own.
// A small piece alone is the end of a larger batch and goes as it is.
void Outgoing::add_records_piece(std::span<const std::byte> piece, const Origin& origin, DataplaneCounters& counters) {
  const bool small = piece.size() < kGatherBelow;
  if (!std::exchange(small_before_, small) || !small) return add_piece(piece, origin);
  counters.add(Metric::bytes_gathered, piece.size());
  gather(piece);
}

void Outgoing::gather(std::span<const std::byte> piece) {
  std::byte* to = gather_.data() + gathered_;
  std::copy(piece.begin(), piece.end(), to);
  gathered_ += piece.size();
  auto& last = pieces_[count_ - 1];  // there is one: the small piece before
  if (last.data() + last.size() != to) return add_piece({to, piece.size()});
  last = {last.data(), last.size() + piece.size()};
  bytes_ += piece.size();
}

size_t Outgoing::mark_sent(const storage::StoreSet& store, uint16_t lcore, Response& response, size_t n,
                           DataplaneCounters& counters) {
  const size_t offered = n;
  while (n > 0 && !response.sent()) {
    const bool more = response.next_records_ < response.records_.size();
    const size_t to = more ? response.records_[response.next_records_].at : response.bytes_.size();
    const size_t own = std::min(n, to - response.sent_);
    response.sent_ += own;
    n -= own;
    if (!more || response.sent_ < to) continue;
    Response::Records& next = response.records_[response.next_records_];
    const size_t records = std::min<size_t>(n, next.left());
    if (next.lcore != lcore) {
      next.sent += records;  // its owner moves the cursor
    } else if (records > 0) {
      store.advance(next.cursor, records);
    }
    counters.add(Metric::bytes_fetched, records);
    n -= records;
    if (next.left() == 0) ++response.next_records_;
  }
  return offered - n;
}

}  // namespace penstock::dataplane
