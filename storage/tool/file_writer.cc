#include "storage/tool/file_writer.h"

#include <algorithm>

#include "storage/tool/file_reader.h"

namespace penstock::storage {
namespace {

Result<void> write_open_file(Disk& disk, FileHandle file, std::span<std::byte> content, bool exact) {
  constexpr size_t kPieceBytes = kMiB;
  const uint64_t size = TRY(disk.size(file));
  if (exact) {
    TRY_VOID(disk.resize(file, 0));
  } else if (size < content.size()) {
    TRY_VOID(disk.allocate(file, content.size()));
  }
  for (size_t at = 0; at < content.size(); at += kPieceBytes) {
    DiskOp write{.kind = DiskOp::Kind::kWrite,
                 .file = file,
                 .at = at,
                 .memory = content.subspan(at, std::min(kPieceBytes, content.size() - at))};
    TRY_VOID(run_to_end(disk, write));
  }
  DiskOp flush{.kind = DiskOp::Kind::kFlush, .file = file};
  return run_to_end(disk, flush);
}

}  // namespace

Result<void> write_file(Disk& disk, const std::string& path, std::span<std::byte> content, bool exact) {
  auto file = disk.open(path, {.create = true});
  if (!file && file.error().code == Errc::kUnsupported) file = disk.open(path, {.create = true, .direct = false});
  if (!file) return std::unexpected(file.error());
  const auto done = write_open_file(disk, *file, content, exact);
  disk.close(*file);
  TRY_VOID(done);
  return disk.sync_dir(path.substr(0, path.rfind('/')));
}

Result<void> write_sidecar_file(Disk& disk, const std::string& path, const Sidecar& sidecar) {
  const AlignedMemory memory(sidecar_bytes(sidecar, disk.block_bytes()));
  if (memory.span().empty()) return fail(Errc::kFull);
  encode(sidecar, memory.span());
  return write_file(disk, path, memory.span(), true);
}

Result<void> write_slot_file(Disk& disk, const std::string& path, const Slot& slot) {
  SlotEncoder encoder(disk.block_bytes());
  encoder.begin();
  for (const LogState& log : slot.logs) encoder.add(log);
  return write_file(disk, path, encoder.finish(slot.ring), false);
}

}  // namespace penstock::storage
