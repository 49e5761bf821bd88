#include "storage/tool/file_reader.h"

#include <algorithm>
#include <array>
#include <cstdlib>

namespace penstock::storage {
namespace {

constexpr size_t kPieceBytes = kMiB;
constexpr size_t kPiecesAtOnce = 8;  // one at a time leaves the drive idle between two

Error error_of(int64_t result) { return {Errc::kIo, static_cast<int32_t>(-std::min<int64_t>(result, 0))}; }

}  // namespace

AlignedMemory::AlignedMemory(size_t bytes) {
  if (bytes == 0) return;
  memory_.reset(static_cast<std::byte*>(std::aligned_alloc(kAlignment, align_up(bytes, kAlignment))));
  bytes_ = memory_ == nullptr ? 0 : bytes;
}

void AlignedMemory::Freer::operator()(std::byte* memory) const { std::free(memory); }

Result<FileReader> FileReader::open(Disk& disk, const std::string& path) {
  auto file = disk.open(path, {.read_only = true});
  if (!file && file.error().code == Errc::kUnsupported) file = disk.open(path, {.direct = false, .read_only = true});
  if (!file) return std::unexpected(file.error());
  const auto size = disk.size(*file);
  if (!size) {
    disk.close(*file);
    return std::unexpected(size.error());
  }
  return FileReader(disk, *file, *size);
}

FileReader::~FileReader() {
  if (file_ != FileHandle{}) disk_->close(file_);
}

Result<size_t> FileReader::read(uint64_t at, std::span<std::byte> memory) const {
  if (at >= size_) return size_t{0};
  const uint64_t there = std::min<uint64_t>(memory.size(), size_ - at);
  size_t done = 0;
  while (done < there) {
    std::array<DiskOp, kPiecesAtOnce> reads;
    size_t count = 0;
    for (size_t from = done; from < there && count < kPiecesAtOnce; from += kPieceBytes)
      reads[count++] = {
          .file = file_, .at = at + from, .memory = memory.subspan(from, std::min(kPieceBytes, memory.size() - from))};
    // A short read is no error here: it is the file's end.
    const auto all = run_all_to_end(*disk_, std::span(reads).first(count));
    for (const DiskOp& read : std::span(reads).first(count)) {
      if (read.result < 0) return std::unexpected(error_of(read.result));
      done += static_cast<size_t>(read.result);
      if (static_cast<size_t>(read.result) < read.memory.size()) return std::min<size_t>(done, there);
    }
    if (!all) return std::unexpected(all.error());
  }
  return static_cast<size_t>(there);
}

Result<std::span<std::byte>> FileReader::read_all(AlignedMemory& holder, uint64_t most) const {
  const uint64_t wanted = std::min(size_, most);
  holder = AlignedMemory(align_up(wanted, disk_->block_bytes()));
  if (holder.span().size() < wanted) return fail(Errc::kFull);
  const size_t got = TRY(read(0, holder.span()));
  return holder.span().first(std::min<uint64_t>(got, wanted));
}

}  // namespace penstock::storage
