#include "control/metadata/sqlite_reserve.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "base/log.h"
#include "control/metadata/store.h"

namespace penstock::control {
namespace {

// https://sqlite.org/fileformat2.html, "WAL File Format": a header, then frames of a header and a page each.
constexpr uint64_t kWalHeaderBytes = 32;
constexpr uint64_t kFrameHeaderBytes = 24;
constexpr uint64_t kCheckpointFrames = 64;  // so many are in use when a checkpoint is due
constexpr uint64_t kGrowthFrames = 64;      // for growth behind them, as it comes every day
constexpr int kChunkBytes = 256 * 1024;     // the database's file grows by it
constexpr uint64_t kReserveFrames = 384;    // what deletes a batch of topics touches some 200 pages

// An upper bound, not a tight one, of the pages that a transaction writes: overflow pages of its values, then the way
// to each key with a split now and then, the tables' roots, the revision and the list of free pages.
uint64_t pages_of(const Transaction& transaction, uint64_t page_bytes) {
  uint64_t pages = 16;
  for (const Write& write : transaction.writes)
    pages += 3 + (write.key.size() + (write.value ? write.value->size() : 0)) / (page_bytes - 64);
  return pages;
}

// The -wal file a second time, beside SQLite's descriptor: it holds no POSIX lock there that closing this would drop.
struct WalFile {
  explicit WalFile(const std::string& path) : fd(::open(path.c_str(), O_WRONLY | O_CLOEXEC)) {
    struct stat status = {};
    if (fd >= 0 && fstat(fd, &status) == 0) bytes = static_cast<uint64_t>(status.st_size);
  }
  ~WalFile() {
    if (fd >= 0) ::close(fd);
  }
  WalFile(const WalFile&) = delete;
  WalFile& operator=(const WalFile&) = delete;

  int fd;
  uint64_t bytes = 0;
};

Error from_errno() { return {errno == ENOSPC || errno == EDQUOT ? Errc::kNoSpace : Errc::kIo, errno}; }

Result<void> write_zeros(int fd, uint64_t from, uint64_t to) {
  static constexpr std::array<std::byte, 64 * 1024> kZeros{};
  while (from < to) {
    const ssize_t done =
        pwrite(fd, kZeros.data(), std::min<uint64_t>(kZeros.size(), to - from), static_cast<off_t>(from));
    if (done < 0 && errno == EINTR) continue;
    if (done <= 0) return std::unexpected(from_errno());
    from += static_cast<uint64_t>(done);
  }
  // Space that was promised but not yet given turns up missing here at the latest.
  if (fdatasync(fd) != 0) return std::unexpected(from_errno());
  return {};
}

int remember_frames(void* frames, sqlite3*, const char*, int in_wal) {
  *static_cast<int*>(frames) = in_wal;
  return SQLITE_OK;
}

}  // namespace

Error sqlite_error(int code) {
  switch (code & 0xff) {
    case SQLITE_FULL: return {Errc::kNoSpace};
    case SQLITE_BUSY:
    case SQLITE_LOCKED: return {Errc::kLocked};
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB: return {Errc::kCorrupt};
    case SQLITE_PERM:
    case SQLITE_READONLY:
    case SQLITE_CANTOPEN: return {Errc::kNoPermission};
    case SQLITE_TOOBIG: return {Errc::kTooLarge};
    default: return {Errc::kIo};
  }
}

SqliteReserve::SqliteReserve(sqlite3* db, uint64_t page_bytes)
    : db_(db), wal_(sqlite3_filename_wal(sqlite3_db_filename(db, "main"))), page_bytes_(page_bytes) {
  int keep = 1;
  sqlite3_file_control(db_, "main", SQLITE_FCNTL_PERSIST_WAL, &keep);
  sqlite3_wal_hook(db_, remember_frames, &frames_);  // in place of SQLite's own checkpoints
  int chunk = kChunkBytes;
  sqlite3_file_control(db_, "main", SQLITE_FCNTL_CHUNK_SIZE, &chunk);
  (void)checkpoint();  // what a crash left in it
}

// The file stays, for a start on a full drive, but says nothing any more: beside a database that is put back from a
// copy, frames of another one would be replayed into it. Done under the lock that closing gives up.
SqliteReserve::~SqliteReserve() {
  sqlite3_wal_hook(db_, nullptr, nullptr);
  if (!checkpoint()) return;  // then it is needed
  const WalFile file(wal_);
  if (file.bytes > 0) (void)write_zeros(file.fd, 0, kWalHeaderBytes);
}

uint64_t SqliteReserve::bytes_of(uint64_t frames) const {
  return kWalHeaderBytes + frames * (kFrameHeaderBytes + page_bytes_);
}

Result<void> SqliteReserve::hold(uint64_t frames) {
  const uint64_t wanted = bytes_of(frames);
  if (wanted <= held_) return {};
  const WalFile file(wal_);
  if (file.fd < 0) return std::unexpected(from_errno());
  // Only behind its end: what lies before may be in use.
  TRY_VOID(write_zeros(file.fd, file.bytes, wanted));
  held_ = wanted;
  return {};
}

Result<void> SqliteReserve::hold_pages(uint64_t more) {
  const uint64_t wanted = (TRY(count_pages()) + more) * page_bytes_;
  if (wanted <= held_pages_bytes_) return {};
  // Through SQLite, since closing a descriptor of ours would give up its lock. It fails where space cannot be had.
  auto hint = static_cast<sqlite3_int64>(wanted);
  if (sqlite3_file_control(db_, "main", SQLITE_FCNTL_SIZE_HINT, &hint) != SQLITE_OK) return fail(Errc::kNoSpace);
  held_pages_bytes_ = wanted;
  return {};
}

Result<uint64_t> SqliteReserve::count_pages() {
  sqlite3_stmt* statement = nullptr;
  int code = sqlite3_prepare_v2(db_, "PRAGMA page_count", -1, &statement, nullptr);
  if (code == SQLITE_OK) code = sqlite3_step(statement);
  const auto pages = code == SQLITE_ROW ? static_cast<uint64_t>(sqlite3_column_int64(statement, 0)) : 0;
  sqlite3_finalize(statement);
  if (code != SQLITE_ROW) return std::unexpected(sqlite_error(code));
  return pages;
}

Result<void> SqliteReserve::make() {
  TRY_VOID(hold(kCheckpointFrames + kGrowthFrames + kReserveFrames));
  return hold_pages(kGrowthFrames);
}

Result<void> SqliteReserve::before_growth(const Transaction& transaction) {
  if (owed_) TRY_VOID(checkpoint());
  const uint64_t pages = pages_of(transaction, page_bytes_);
  const uint64_t frames = std::max(static_cast<uint64_t>(frames_) + pages, kCheckpointFrames + kGrowthFrames);
  TRY_VOID(hold(frames + kReserveFrames));
  return hold_pages(pages);
}

void SqliteReserve::after_commit() {
  if (static_cast<uint64_t>(frames_) >= kCheckpointFrames) (void)checkpoint();
}

// All of it, since nobody else reads; then SQLite begins the file anew with the next commit, and does not cut it.
Result<void> SqliteReserve::checkpoint() {
  int frames = 0;
  int done = 0;
  const int code = sqlite3_wal_checkpoint_v2(db_, nullptr, SQLITE_CHECKPOINT_PASSIVE, &frames, &done);
  owed_ = code != SQLITE_OK || frames != done;
  if (!owed_) {
    frames_ = 0;
    held_pages_bytes_ = 0;  // it cuts the database to its pages, in whole chunks
    return {};
  }
  LOG_WARN("metadata store: no checkpoint: %s", sqlite3_errmsg(db_));
  return std::unexpected(code == SQLITE_OK ? Error{Errc::kLocked} : sqlite_error(code));
}

}  // namespace penstock::control
