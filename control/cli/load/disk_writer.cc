#include "control/cli/load/disk_writer.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <system_error>

#include "base/prng.h"
#include "base/units.h"
#include "control/cli/error.h"
#include "storage/api/folder.h"

namespace penstock::cli {
namespace {

using storage::DiskOp;
using storage::DurableMethod;

constexpr uint64_t kMemoryBytes = kMiB;  // a frame of the ring has no more

[[noreturn]] void fail(const std::string& what, Error error) {
  const std::string reason = error.os_errno != 0 ? std::strerror(error.os_errno) : std::string(to_string(error.code));
  throw CliError(kExitFailed, fmt::format("{}: {}", what, reason));
}

}  // namespace

DiskWriter::DiskWriter(Clock& clock, const Spec& spec) : folder_(spec.folder + "/penstock-bench"), spin_(spec.spin) {
  auto disk = storage::open_uring_disk();
  if (!disk) throw CliError(kExitFailed, disk.error().what);
  disk_ = std::move(*disk);
  if (!std::filesystem::is_directory(spec.folder)) throw CliError(kExitFailed, spec.folder + ": no such folder");
  if (const auto made = disk_->make_dir(folder_); !made) fail("cannot make " + folder_, made.error());
  const auto file = disk_->open(folder_ + "/file", {.create = true});
  if (!file && file.error().code == Errc::kUnsupported) {
    throw CliError(kExitFailed, spec.folder + ": this file system has no direct I/O; name a folder on ext4 or XFS");
  }
  if (!file) fail("cannot make a file in " + folder_, file.error());
  file_ = *file;

  const uint32_t block = disk_->block_bytes();
  const uint64_t bytes = align_up(std::clamp<uint64_t>(spec.bytes, 1, kMemoryBytes), block);
  file_bytes_ = std::max(align_down(spec.file_bytes, kMemoryBytes), kMemoryBytes);
  memory_.reset(static_cast<std::byte*>(std::aligned_alloc(block, kMemoryBytes)));
  Prng prng(bytes);
  prng.fill({memory_.get(), kMemoryBytes});  // drives may compress, or skip zeros
  disk_->register_memory({memory_.get(), kMemoryBytes});
  prewrite();
  choose_method(clock, spec.method);
  op_ = DiskOp{.kind = DiskOp::Kind::kWriteDurable, .file = file_, .memory = {memory_.get(), bytes}};
}

DiskWriter::~DiskWriter() {
  disk_->close(file_);
  std::error_code ignored;  // the folder may be gone already, and nothing is lost with it
  std::filesystem::remove_all(folder_, ignored);
}

void DiskWriter::choose_method(Clock& clock, const std::string& wanted) {
  if (wanted == "auto") {
    const auto measured = storage::measure_durable_method(*disk_, clock, folder_, spin_ ? storage::kSpinForever : 0);
    if (!measured) fail("cannot measure in " + folder_, measured.error());
    method_ = *measured;
  } else {
    method_ = wanted == "dsync" ? DurableMethod::kDsync : DurableMethod::kLinkedFlush;
  }
  disk_->set_durable_method(method_);
}

// Space that was only allocated is three times slower than space that was written.
void DiskWriter::prewrite() {
  for (uint64_t at = 0; at < file_bytes_; at += kMemoryBytes) {
    DiskOp op{.kind = DiskOp::Kind::kWrite, .file = file_, .at = at, .memory = {memory_.get(), kMemoryBytes}};
    if (const auto done = storage::run_to_end(*disk_, op); !done) fail("cannot write in " + folder_, done.error());
  }
  DiskOp op{.kind = DiskOp::Kind::kFlush, .file = file_};
  if (const auto done = storage::run_to_end(*disk_, op); !done) fail("cannot flush in " + folder_, done.error());
}

void DiskWriter::write() {
  disk_->submit(op_);
  for (DiskOp* done = nullptr; disk_->poll({&done, 1}) == 0;) storage::pause_between_polls(*disk_, spin_, kSecond);
  const auto bytes = static_cast<int64_t>(op_.memory.size());
  if (op_.result != bytes) {
    fail("a write in " + folder_, {Errc::kIo, op_.result < 0 ? static_cast<int32_t>(-op_.result) : 0});
  }
  if (op_.punted) ++punts_;
  op_.at = op_.at + 2 * op_.memory.size() <= file_bytes_ ? op_.at + op_.memory.size() : 0;
}

const char* DiskWriter::method() const { return method_ == DurableMethod::kDsync ? "dsync" : "flush"; }

}  // namespace penstock::cli
