// The half of UringDisk that may block: files and folders, for start-up and helper threads.
#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>

#include "base/assert.h"
#include "storage/io/file_ops.h"
#include "storage/io/uring_disk.h"

namespace penstock::storage {
namespace {

std::unexpected<Error> from_errno(int code) {
  switch (code) {
    case ENOSPC:
    case EDQUOT: return fail(Errc::kNoSpace, code);
    case ENOENT: return fail(Errc::kNotFound, code);
    case EEXIST: return fail(Errc::kExists, code);
    case EACCES:
    case EPERM:
    case EROFS: return fail(Errc::kNoPermission, code);
    case EWOULDBLOCK: return fail(Errc::kLocked, code);
    case EINVAL:
    case EOPNOTSUPP:
    case ENOSYS: return fail(Errc::kUnsupported, code);
    default: return fail(Errc::kIo, code);
  }
}

Result<void> done_or_errno(int rc) {
  if (rc < 0) return from_errno(errno);
  return {};
}

}  // namespace

Result<FileHandle> UringDisk::open(std::string_view path, OpenMode mode) {
  const int flags =
      O_RDWR | O_CLOEXEC | (mode.create ? O_CREAT : 0) | (mode.exclusive ? O_EXCL : 0) | (mode.direct ? O_DIRECT : 0);
  const int fd = ::open(std::string(path).c_str(), flags, 0640);
  if (fd < 0) return from_errno(errno);
  if (mode.direct) {
    // statx tells the unit of direct I/O where the file system knows it; 4096 is right for the others.
    struct statx info{};
    if (::statx(fd, "", AT_EMPTY_PATH, STATX_DIOALIGN, &info) == 0 && (info.stx_mask & STATX_DIOALIGN) != 0) {
      if (info.stx_dio_offset_align == 0) {
        ::close(fd);
        return fail(Errc::kUnsupported, EINVAL);
      }
      block_bytes_ = std::max(block_bytes_, info.stx_dio_offset_align);
    }
  }
  return FileHandle{fd};
}

void UringDisk::close(FileHandle file) { ::close(file.value()); }

Result<uint64_t> UringDisk::size(FileHandle file) {
  const off_t end = ::lseek(file.value(), 0, SEEK_END);  // also right for a block device
  if (end < 0) return from_errno(errno);
  return static_cast<uint64_t>(end);
}

Result<void> UringDisk::resize(FileHandle file, uint64_t bytes) {
  return done_or_errno(::ftruncate(file.value(), static_cast<off_t>(bytes)));
}

Result<void> UringDisk::lock(FileHandle file) { return done_or_errno(::flock(file.value(), LOCK_EX | LOCK_NB)); }

Result<void> UringDisk::make_dir(std::string_view path) {
  if (::mkdir(std::string(path).c_str(), 0750) < 0 && errno != EEXIST) return from_errno(errno);
  return {};
}

Result<void> UringDisk::rename(std::string_view from, std::string_view to) {
  return done_or_errno(::rename(std::string(from).c_str(), std::string(to).c_str()));
}

Result<void> UringDisk::unlink(std::string_view path) { return done_or_errno(::unlink(std::string(path).c_str())); }

Result<void> UringDisk::sync_dir(std::string_view path) {
  const int fd = ::open(std::string(path).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return from_errno(errno);
  const int rc = ::fsync(fd);
  const int code = errno;
  ::close(fd);
  if (rc < 0) return from_errno(code);
  return {};
}

Result<std::vector<std::string>> UringDisk::list(std::string_view path) {
  struct Closer {
    void operator()(DIR* dir) const { ::closedir(dir); }
  };
  const std::unique_ptr<DIR, Closer> dir(::opendir(std::string(path).c_str()));
  if (!dir) return from_errno(errno);
  std::vector<std::string> names;
  while (const dirent* entry = ::readdir(dir.get())) {
    const std::string_view name = entry->d_name;
    if (name != "." && name != "..") names.emplace_back(name);
  }
  std::ranges::sort(names);
  return names;
}

Result<void> UringDisk::allocate(FileHandle file, uint64_t bytes) {
  if (bytes == 0) return {};
  const uint64_t before = TRY(size(file));
  if (::fallocate(file.value(), 0, 0, static_cast<off_t>(bytes)) == 0) return {};
  const int code = errno;
  // What it got before it failed goes back, also where the file system had let the file grow already.
  if (::ftruncate(file.value(), static_cast<off_t>(before)) < 0) return from_errno(errno);
  return from_errno(code);
}

Result<void> UringDisk::remove_dir(std::string_view path) { return done_or_errno(::rmdir(std::string(path).c_str())); }

Result<void> UringDisk::flush_all(std::string_view path) {
  const int fd = ::open(std::string(path).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return from_errno(errno);
  const int rc = ::syncfs(fd);
  const int code = errno;
  ::close(fd);
  if (rc < 0) return from_errno(code);
  return {};
}

Result<uint64_t> UringDisk::free_bytes(std::string_view path) {
  struct statvfs info{};
  if (::statvfs(std::string(path).c_str(), &info) < 0) return from_errno(errno);
  return uint64_t{info.f_bavail} * info.f_frsize;
}

void UringDisk::submit(FileOp& op) {
  perform(*this, op);
  files_done_.push_back(&op);
}

size_t UringDisk::poll(std::span<FileOp*> done) {
  const size_t count = std::min(done.size(), files_done_.size());
  std::copy_n(files_done_.begin(), count, done.begin());
  files_done_.erase(files_done_.begin(), files_done_.begin() + static_cast<int64_t>(count));
  return count;
}

void DiskDeleter::operator()(Disk* disk) const { delete static_cast<UringDisk*>(disk); }

std::expected<DiskPtr, OpenFailure> open_uring_disk() {
  auto disk = std::make_unique<UringDisk>();
  if (auto ready = disk->probe(); !ready) {
    const int error = ready.error().os_errno;
    std::string what = std::string("io_uring is not available (") + std::strerror(error) + "): ";
    if (ready.error().code == Errc::kNoPermission) {
      what += "allow it: sysctl kernel.io_uring_disabled=0, and a container profile that permits io_uring";
    } else if (error == ENOMEM) {
      what += "raise the locked-memory limit (ulimit -l, LimitMEMLOCK= in a systemd unit)";
    } else {
      utsname kernel{};
      ::uname(&kernel);
      what += std::string("Linux 6.1 or newer is needed, this is ") + kernel.release;
    }
    return std::unexpected(OpenFailure{ready.error(), what});
  }
  return DiskPtr(disk.release());
}

}  // namespace penstock::storage
