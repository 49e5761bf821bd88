#include "storage/compact/segment_output.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <memory>

#include "base/assert.h"
#include "protocol/record_batch.h"
#include "storage/segment/sidecar.h"

namespace penstock::storage {

Result<void> SegmentOutput::begin(const std::string& folder, LogId log, SegmentId id) {
  CHECK(!is_open());
  folder_ = folder;
  log_ = log;
  id_ = id;
  bytes_ = written_ = 0;
  first_timestamp_ = -1;
  file_ = TRY(disk_.open(segment_path(folder, log, id), {.create = true, .exclusive = true}));
  index_.emplace(id.base);
  return {};
}

Result<void> SegmentOutput::add(std::span<const std::byte> batch) {
  const protocol::RecordBatchView view = protocol::view_of(batch);
  index_->add_batch(bytes_, view.base_offset(), view.max_timestamp());
  if (bytes_ == 0) first_timestamp_ = view.max_timestamp();
  while (!batch.empty()) {
    const uint64_t used = bytes_ - written_;
    const auto part = batch.first(std::min<uint64_t>(batch.size(), kPieceBytes - used));
    index_->copy_into(memory_.subspan(used), part);
    bytes_ += part.size();
    batch = batch.subspan(part.size());
    if (bytes_ - written_ == kPieceBytes) TRY_VOID(write_piece(kPieceBytes));
  }
  return {};
}

Result<void> SegmentOutput::write_piece(uint64_t n) {
  const uint64_t whole = align_up(n, disk_.block_bytes());
  std::memset(memory_.data() + n, 0, whole - n);
  DiskOp write{
      .kind = DiskOp::Kind::kWrite, .file = file_, .at = written_, .memory = memory_.first(whole), .may_block = true};
  TRY_VOID(run_to_end(disk_, write));
  written_ += n;
  written_ever_ += whole;
  return {};
}

Result<void> SegmentOutput::finish() {
  if (bytes_ > written_) TRY_VOID(write_piece(bytes_ - written_));
  TRY_VOID(disk_.resize(file_, bytes_));
  DiskOp flush{.kind = DiskOp::Kind::kFlush, .file = file_};
  TRY_VOID(run_to_end(disk_, flush));
  disk_.close(file_);
  file_ = {};
  TRY_VOID(write_sidecar());
  TRY_VOID(disk_.sync_dir(log_path(folder_, log_)));
  index_.reset();
  return {};
}

Result<void> SegmentOutput::write_sidecar() {
  const Sidecar sidecar{.index = *index_, .sealed = true, .epochs = {}, .producers = {}, .aborted = {}};
  struct Freer {
    void operator()(std::byte* memory) const { std::free(memory); }
  };
  const uint64_t bytes = sidecar_bytes(sidecar, disk_.block_bytes());
  const std::unique_ptr<std::byte, Freer> holder(
      static_cast<std::byte*>(std::aligned_alloc(disk_.block_bytes(), bytes)));
  CHECK(holder != nullptr);
  const std::span<std::byte> content(holder.get(), bytes);
  encode(sidecar, content);
  const FileHandle file = TRY(disk_.open(sidecar_path(folder_, log_, id_), {.create = true, .exclusive = true}));
  DiskOp write{.kind = DiskOp::Kind::kWrite, .file = file, .memory = content, .may_block = true};
  auto done = run_to_end(disk_, write);
  DiskOp flush{.kind = DiskOp::Kind::kFlush, .file = file};
  if (done) done = run_to_end(disk_, flush);
  disk_.close(file);
  return done;
}

void SegmentOutput::discard() {
  if (file_ != FileHandle{}) disk_.close(file_);
  file_ = {};
  if (!is_open()) return;
  index_.reset();
  // Whether it works or not: nothing names them.
  static_cast<void>(disk_.unlink(segment_path(folder_, log_, id_)));
  static_cast<void>(disk_.unlink(sidecar_path(folder_, log_, id_)));
}

}  // namespace penstock::storage
