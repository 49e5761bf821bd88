#include "storage/io/posix_files.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <cerrno>
#include <memory>

namespace penstock::storage {
namespace {

std::unexpected<Error> from_errno(int code) {
  switch (code) {
    case ENOSPC:
    case EDQUOT: return fail(Errc::kNoSpace, code);
    case ENOENT: return fail(Errc::kNotFound, code);
    case EEXIST:
    case ENOTEMPTY: return fail(Errc::kExists, code);
    case EACCES:
    case EPERM:
    case EROFS: return fail(Errc::kNoPermission, code);
    case EMFILE:
    case ENFILE:
    case ENOMEM: return fail(Errc::kFull, code);  // of descriptors, or of the kernel's memory: again later
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

// A flush that was made and failed, whatever the reason: never kFull, which may be tried again.
Result<void> flushed_or_errno(int rc) {
  if (rc < 0) return fail(Errc::kIo, errno);
  return {};
}

// An open file until the end of the block.
class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int fd() const { return fd_; }

 private:
  const int fd_;
};

}  // namespace

Result<FileHandle> PosixFiles::open(std::string_view path, OpenMode mode) {
  const int flags = (mode.read_only ? O_RDONLY : O_RDWR) | O_CLOEXEC | (mode.create ? O_CREAT : 0) |
                    (mode.exclusive ? O_EXCL : 0) | (mode.direct ? O_DIRECT : 0);
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
      raise_block_bytes(info.stx_dio_offset_align);
    }
  }
  return FileHandle{fd};
}

void PosixFiles::close(FileHandle file) { ::close(file.value()); }

Result<uint64_t> PosixFiles::size(FileHandle file) {
  const off_t end = ::lseek(file.value(), 0, SEEK_END);  // also right for a block device
  if (end < 0) return from_errno(errno);
  return static_cast<uint64_t>(end);
}

Result<void> PosixFiles::resize(FileHandle file, uint64_t bytes) {
  return done_or_errno(::ftruncate(file.value(), static_cast<off_t>(bytes)));
}

Result<void> PosixFiles::allocate(FileHandle file, uint64_t bytes) {
  if (bytes == 0) return {};
  const uint64_t before = TRY(size(file));
  int code = 0;
  do {
    if (::fallocate(file.value(), 0, 0, static_cast<off_t>(bytes)) == 0) return {};
    code = errno;
  } while (code == EINTR);
  // What it got before it failed goes back, also where the file system had let the file grow already.
  if (::ftruncate(file.value(), static_cast<off_t>(before)) < 0) return from_errno(errno);
  return from_errno(code);
}

Result<void> PosixFiles::lock(FileHandle file) {
  const int rc = ::flock(file.value(), LOCK_EX | LOCK_NB);
  if (rc == 0) locked_files().push_back(file.value());
  return done_or_errno(rc);
}

std::vector<int>& PosixFiles::locked_files() {
  static std::vector<int> files;  // start-up's thread alone takes locks and makes the rings that follow
  return files;
}

Result<void> PosixFiles::make_dir(std::string_view path) {
  if (::mkdir(std::string(path).c_str(), 0750) < 0 && errno != EEXIST) return from_errno(errno);
  return {};
}

Result<void> PosixFiles::remove_dir(std::string_view path) { return done_or_errno(::rmdir(std::string(path).c_str())); }

Result<void> PosixFiles::rename(std::string_view from, std::string_view to) {
  return done_or_errno(::rename(std::string(from).c_str(), std::string(to).c_str()));
}

Result<void> PosixFiles::unlink(std::string_view path) { return done_or_errno(::unlink(std::string(path).c_str())); }

Result<void> PosixFiles::sync_dir(std::string_view path) {
  const Descriptor folder(::open(std::string(path).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  TRY_VOID(done_or_errno(folder.fd()));
  return done_or_errno(::fsync(folder.fd()));
}

Result<std::vector<std::string>> PosixFiles::list(std::string_view path) {
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

Result<void> PosixFiles::flush_all(std::string_view path) {
  const Descriptor folder(::open(std::string(path).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  TRY_VOID(done_or_errno(folder.fd()));
  TRY_VOID(flushed_or_errno(::syncfs(folder.fd())));
  // Where the log of a file system (XFS) had nothing to write, syncfs left alone the drive's own cache, which direct
  // writes into space that is written already may be in. A file's fdatasync never does.
  for (const std::string& name : TRY(list(path))) {
    const Descriptor file(::openat(folder.fd(), name.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
    if (const auto opened = done_or_errno(file.fd()); !opened) {
      if (opened.error().code == Errc::kFull) return opened;
      continue;
    }
    struct stat info{};
    if (::fstat(file.fd(), &info) < 0 || !S_ISREG(info.st_mode)) continue;
    return flushed_or_errno(::fdatasync(file.fd()));
  }
  return {};
}

Result<uint64_t> PosixFiles::free_bytes(std::string_view path) {
  struct statvfs info{};
  if (::statvfs(std::string(path).c_str(), &info) < 0) return from_errno(errno);
  return uint64_t{info.f_bavail} * info.f_frsize;
}

}  // namespace penstock::storage
