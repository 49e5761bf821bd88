#include "storage/compact/segment_source.h"

#include <algorithm>
#include <cstdlib>
#include <memory>

#include "base/assert.h"
#include "protocol/record_batch.h"

namespace penstock::storage {
namespace {

constexpr uint64_t kSidecarBytesMax = 64 * kMiB;

struct Freer {
  void operator()(std::byte* memory) const { std::free(memory); }
};

}  // namespace

Result<void> SegmentSource::open(const std::string& folder, LogId log, const CleaningSource& source) {
  close();
  source_ = source;
  position_ = 0;
  next_ = source.id.base;
  begun_.clear();
  read_sidecar(sidecar_path(folder, log, source.id));
  file_ = TRY(disk_.open(segment_path(folder, log, source.id), {}));
  return {};
}

void SegmentSource::close() {
  if (file_ != FileHandle{}) disk_.close(file_);
  file_ = {};
  sidecar_.reset();
}

// A cache: without it the batches' own checksums have to do.
void SegmentSource::read_sidecar(const std::string& path) {
  const auto file = disk_.open(path, {});
  if (!file) return;
  const uint64_t bytes = disk_.size(*file).value_or(0);
  const uint32_t block = disk_.block_bytes();
  if (bytes > 0 && bytes <= kSidecarBytesMax && bytes % block == 0) {
    const std::unique_ptr<std::byte, Freer> holder(static_cast<std::byte*>(std::aligned_alloc(block, bytes)));
    CHECK(holder != nullptr);
    DiskOp read{.file = *file, .memory = {holder.get(), bytes}};
    if (run_to_end(disk_, read)) {
      auto sidecar = decode_sidecar(read.memory);
      const bool fits = sidecar && sidecar->index.base() == source_.id.base && sidecar->index.known_from() == 0 &&
                        sidecar->index.bytes() == source_.bytes;
      if (fits) sidecar_ = *std::move(sidecar);
    }
  }
  disk_.close(*file);
}

// Bytes of the batch that begins here; 0 if its header is not whole.
Result<size_t> SegmentSource::size_of_next(std::span<const std::byte> bytes) const {
  if (bytes.size() < protocol::kBatchHeaderBytes) return size_t{0};
  const protocol::RecordBatchView batch = protocol::view_of(bytes);
  const int64_t total = batch.total_bytes();
  const bool good = batch.magic() == protocol::kMagic2 && total >= static_cast<int64_t>(protocol::kBatchHeaderBytes) &&
                    batch.last_offset_delta() >= 0 && batch.base_offset() >= next_ &&
                    batch.last_offset() < source_.end && total <= static_cast<int64_t>(source_.bytes);
  if (!good) return fail(Errc::kCorrupt);
  return static_cast<size_t>(total);
}

Result<bool> SegmentSource::give(std::span<const std::byte> batch,
                                 const std::function<Result<bool>(std::span<const std::byte>)>& on_batch) {
  if (!protocol::batch_crc_ok(batch)) return fail(Errc::kCorrupt);
  next_ = protocol::view_of(batch).last_offset() + 1;
  return on_batch(batch);
}

Result<void> SegmentSource::next(const std::function<Result<bool>(std::span<const std::byte>)>& on_batch) {
  CHECK(!at_end());
  const uint64_t bytes = std::min(kPieceBytes, source_.bytes - position_);
  DiskOp read{.file = file_, .at = position_, .memory = memory_.first(align_up(bytes, disk_.block_bytes()))};
  const auto done = run_to_end(disk_, read);
  if (!done && read.result < static_cast<int64_t>(bytes)) {  // a file's last block may be short
    if (read.result < 0) return done;
    return fail(Errc::kCorrupt);
  }
  std::span<const std::byte> piece = memory_.first(bytes);
  if (sidecar_ && !sidecar_->index.verify(position_, piece)) return fail(Errc::kCorrupt);
  position_ += bytes;
  while (!begun_.empty() && !piece.empty()) {
    const size_t size = TRY(size_of_next(begun_));
    const size_t wanted = size == 0 ? protocol::kBatchHeaderBytes : size;
    const auto more = piece.first(std::min(piece.size(), wanted - begun_.size()));
    begun_.insert(begun_.end(), more.begin(), more.end());
    piece = piece.subspan(more.size());
    if (size == 0 || begun_.size() < size) {
      const size_t now = TRY(size_of_next(begun_));
      if (now == 0 || begun_.size() < now) continue;
    }
    const bool goes_on = TRY(give(begun_, on_batch));
    begun_.clear();
    if (!goes_on) return {};
  }
  while (!piece.empty()) {
    const size_t size = TRY(size_of_next(piece));
    if (size == 0 || size > piece.size()) break;
    if (!TRY(give(piece.first(size), on_batch))) return {};
    piece = piece.subspan(size);
  }
  begun_.insert(begun_.end(), piece.begin(), piece.end());
  if (at_end() && !begun_.empty()) return fail(Errc::kCorrupt);
  return {};
}

}  // namespace penstock::storage
