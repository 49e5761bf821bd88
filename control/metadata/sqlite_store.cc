#include "control/metadata/sqlite_store.h"

#include <fcntl.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <utility>

#include "base/assert.h"
#include "base/log.h"
#include "control/metadata/change_feed.h"
#include "control/metadata/leases.h"
#include "control/metadata/sqlite_reserve.h"

namespace penstock::control {
namespace {

constexpr Nanos kReserveInterval = 10 * kSecond;  // between attempts to make it
constexpr int kSchemaVersion = 1;                 // PRAGMA user_version
constexpr int kApplicationId = 0x504e5354;        // "PNST": file(1) and the sqlite3 shell show whose file it is
constexpr const char* kSchema =
    "CREATE TABLE entries(key TEXT PRIMARY KEY, value TEXT NOT NULL, changed INTEGER NOT NULL, lease INTEGER NOT NULL)"
    " WITHOUT ROWID;"
    "CREATE TABLE revision(only_row INTEGER PRIMARY KEY CHECK (only_row = 1), value INTEGER NOT NULL);"
    "INSERT INTO revision VALUES (1, 0);";

struct CloseDatabase {
  void operator()(sqlite3* db) const { sqlite3_close_v2(db); }
};
using DatabasePtr = std::unique_ptr<sqlite3, CloseDatabase>;

// A prepared statement, reset after each use.
class Statement {
 public:
  Statement(sqlite3* db, const char* sql) : db_(db) {
    CHECK(sqlite3_prepare_v3(db, sql, -1, SQLITE_PREPARE_PERSISTENT, &statement_, nullptr) == SQLITE_OK);
  }
  ~Statement() { sqlite3_finalize(statement_); }
  Statement(const Statement&) = delete;
  Statement& operator=(const Statement&) = delete;

  // Text stays the caller's until reset().
  Statement& text(int at, std::string_view value) {
    CHECK(sqlite3_bind_text64(statement_, at, value.data() == nullptr ? "" : value.data(), value.size(), SQLITE_STATIC,
                              SQLITE_UTF8) == SQLITE_OK);
    return *this;
  }
  Statement& number(int at, int64_t value) {
    CHECK(sqlite3_bind_int64(statement_, at, value) == SQLITE_OK);
    return *this;
  }
  // True: a row is there to read. False: done.
  Result<bool> step() {
    const int code = sqlite3_step(statement_);
    if (code == SQLITE_ROW) return true;
    if (code == SQLITE_DONE) return false;
    LOG_ERROR("metadata store: %s", sqlite3_errmsg(db_));
    return std::unexpected(sqlite_error(code));
  }
  Result<void> run() {
    const auto row = step();
    reset();
    if (!row) return std::unexpected(row.error());
    return {};
  }
  std::string column_text(int at) const {
    const auto* text = reinterpret_cast<const char*>(sqlite3_column_text(statement_, at));
    return text == nullptr ? std::string{}
                           : std::string(text, static_cast<size_t>(sqlite3_column_bytes(statement_, at)));
  }
  int64_t column_number(int at) const { return sqlite3_column_int64(statement_, at); }
  Entry entry() const {
    return Entry{.key = column_text(0),
                 .value = column_text(1),
                 .changed = Revision{static_cast<uint64_t>(column_number(2))},
                 .lease = LeaseId{column_number(3)}};
  }
  void reset() {
    sqlite3_reset(statement_);
    sqlite3_clear_bindings(statement_);
  }

 private:
  sqlite3* db_;
  sqlite3_stmt* statement_ = nullptr;
};

// Resets a statement when its rows have been read.
struct Resetting {
  Statement& statement;
  ~Resetting() { statement.reset(); }
};

Result<void> run_sql(sqlite3* db, const char* sql, bool quiet = false) {
  const int code = sqlite3_exec(db, sql, nullptr, nullptr, nullptr);
  if (code == SQLITE_OK) return {};
  if (!quiet) LOG_ERROR("metadata store: %s", sqlite3_errmsg(db));
  return std::unexpected(sqlite_error(code));
}

Result<int64_t> pragma(sqlite3* db, const char* sql) {
  sqlite3_stmt* statement = nullptr;
  const int prepared = sqlite3_prepare_v2(db, sql, -1, &statement, nullptr);
  if (prepared != SQLITE_OK) return std::unexpected(sqlite_error(prepared));
  const int code = sqlite3_step(statement);
  const int64_t value = code == SQLITE_ROW ? sqlite3_column_int64(statement, 0) : 0;
  sqlite3_finalize(statement);
  if (code != SQLITE_ROW) return std::unexpected(sqlite_error(code));
  return value;
}

// The mode of whatever stands in a data folder. SQLite gives its journals the database's.
constexpr mode_t kFileMode = 0640;

// Makes the database if it is not there: SQLite would let everybody read it. Nothing else is opened here, for closing a
// file ends its process's locks on it. What fails here, fails for SQLite too, which says it better.
void keep_private(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, kFileMode);
  if (fd >= 0) close(fd);
  for (const char* suffix : {"", "-wal"}) {  // made by an older version
    const std::string file = path + suffix;
    struct stat found;
    if (stat(file.c_str(), &found) == 0 && (found.st_mode & 0777 & ~kFileMode) != 0)
      (void)chmod(file.c_str(), found.st_mode & kFileMode);
  }
}

// SQLite makes its journals' names durable, but not the database's own.
Result<void> sync_folder_of(const std::string& path) {
  const std::string folder = std::filesystem::path(path).parent_path().string();
  const int fd = ::open(folder.empty() ? "." : folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return fail(Errc::kIo, errno);
  const int code = fsync(fd);
  const int saved = errno;
  close(fd);
  if (code != 0) return fail(Errc::kIo, saved);
  return {};
}

}  // namespace

class SqliteStore::Impl {
 public:
  Impl(DatabasePtr db, uint64_t page_bytes, Clock& clock)
      : leases_(clock),
        clock_(clock),
        db_(std::move(db)),
        reserve_(db_.get(), page_bytes),
        get_(db_.get(), "SELECT key, value, changed, lease FROM entries WHERE key = ?1"),
        range_(db_.get(),
               "SELECT key, value, changed, lease FROM entries WHERE key >= ?1 AND key < ?2 ORDER BY key LIMIT ?3"),
        put_(db_.get(), "INSERT OR REPLACE INTO entries(key, value, changed, lease) VALUES (?1, ?2, ?3, ?4)"),
        erase_(db_.get(), "DELETE FROM entries WHERE key = ?1"),
        leased_(db_.get(), "SELECT key FROM entries WHERE lease = ?1"),
        set_revision_(db_.get(), "UPDATE revision SET value = ?1") {}

  Result<void> load() {
    revision_ = Revision{static_cast<uint64_t>(TRY(pragma(db_.get(), "SELECT value FROM revision")))};
    feed_.start_after(revision_);
    // Whoever held a lease died with the process that had this file open.
    std::vector<Write> deletes;
    Statement all(db_.get(), "SELECT key FROM entries WHERE lease <> 0");
    while (TRY(all.step())) deletes.push_back(Write{.key = all.column_text(0), .value = std::nullopt});
    all.reset();
    if (!deletes.empty()) TRY_VOID(apply_all(deletes));
    make_reserve();
    return {};
  }

  // Also a folder that had none, or a drive that had no room for it, gets it in time.
  void make_reserve() {
    if (clock_.monotonic() < make_reserve_at_) return;
    const auto made = reserve_.make();
    make_reserve_at_ = clock_.monotonic() + kReserveInterval;
    if (!made) LOG_WARN("metadata store: no space kept for a full drive: %s", to_string(made.error().code).data());
  }

  Revision revision() const { return revision_; }
  ChangeFeed& feed() { return feed_; }
  Leases& leases() { return leases_; }

  Result<std::optional<Entry>> get(std::string_view key) {
    const Resetting guard{get_};
    if (!TRY(get_.text(1, key).step())) return std::optional<Entry>{};
    return std::optional<Entry>(get_.entry());
  }

  Result<Page> range(std::string_view first, std::string_view end, size_t limit) {
    const Resetting guard{range_};
    Page page{.revision = revision_};
    range_.text(1, first).text(2, end).number(3, static_cast<int64_t>(limit) + 1);
    while (TRY(range_.step())) {
      if (page.entries.size() == limit) {
        page.more = true;
        break;
      }
      page.entries.push_back(range_.entry());
    }
    return page;
  }

  Result<Commit> commit(const Transaction& transaction) {
    TRY_VOID(check_transaction(transaction));
    for (const Write& write : transaction.writes) {
      if (write.lease != kNoLease && !leases_.alive(write.lease)) return fail(Errc::kNotFound);
    }
    // This connection is the file's only writer, so what it reads now holds when it writes.
    for (const Condition& condition : transaction.conditions) {
      const auto entry = TRY(get(condition.key));
      if ((entry ? entry->changed : Revision{}) != condition.changed) {
        return Commit{.applied = false, .revision = revision_};
      }
    }
    if (!transaction.from_reserve) TRY_VOID(reserve_.before_growth(transaction));
    TRY_VOID(apply_all(transaction.writes));
    return Commit{.applied = true, .revision = revision_};
  }

  Result<void> end_lease(LeaseId lease) {
    if (!leases_.alive(lease)) return fail(Errc::kNotFound);
    std::vector<Write> deletes;
    {
      const Resetting guard{leased_};
      leased_.number(1, lease.value());
      while (TRY(leased_.step())) deletes.push_back(Write{.key = leased_.column_text(0), .value = std::nullopt});
    }
    if (!deletes.empty()) TRY_VOID(apply_all(deletes));
    leases_.end(lease);
    return {};
  }

 private:
  // All writes in one transaction, and their changes to the feed.
  Result<void> apply_all(const std::vector<Write>& writes) {
    const Revision next{revision_.value() + 1};
    TRY_VOID(run_sql(db_.get(), "BEGIN IMMEDIATE"));
    auto changes = write_all(writes, next);
    if (changes) {
      if (const auto done = run_sql(db_.get(), "COMMIT"); !done) changes = std::unexpected(done.error());
    }
    if (!changes) {
      // A failed COMMIT may have ended the transaction by itself.
      if (sqlite3_get_autocommit(db_.get()) == 0) (void)run_sql(db_.get(), "ROLLBACK");
      return std::unexpected(changes.error());
    }
    reserve_.after_commit();
    revision_ = next;
    feed_.add(std::move(*changes));
    return {};
  }

  Result<std::vector<Change>> write_all(const std::vector<Write>& writes, Revision next) {
    std::vector<Change> changes;
    const auto number = static_cast<int64_t>(next.value());
    for (const Write& write : writes) {
      if (write.value) {
        TRY_VOID(put_.text(1, write.key).text(2, *write.value).number(3, number).number(4, write.lease.value()).run());
      } else {
        TRY_VOID(erase_.text(1, write.key).run());
        if (sqlite3_changes(db_.get()) == 0) continue;
      }
      changes.push_back(Change{.revision = next, .key = write.key, .value = write.value});
    }
    TRY_VOID(set_revision_.number(1, number).run());
    return changes;
  }

  ChangeFeed feed_;
  Leases leases_;
  Clock& clock_;
  Nanos make_reserve_at_ = 0;
  DatabasePtr db_;
  SqliteReserve reserve_;
  Revision revision_;
  Statement get_;
  Statement range_;
  Statement put_;
  Statement erase_;
  Statement leased_;
  Statement set_revision_;
};

namespace {

// That its pages make the trees that they should. What it finds first is logged.
Result<void> quick_check(sqlite3* db) {
  sqlite3_stmt* statement = nullptr;
  int code = sqlite3_prepare_v2(db, "PRAGMA quick_check(1)", -1, &statement, nullptr);
  if (code == SQLITE_OK) code = sqlite3_step(statement);
  const auto* text = code == SQLITE_ROW ? reinterpret_cast<const char*>(sqlite3_column_text(statement, 0)) : nullptr;
  std::string found = text == nullptr ? sqlite3_errmsg(db) : text;
  sqlite3_finalize(statement);
  if (found == "ok") return {};
  std::ranges::replace(found, '\n', ' ');  // a heading and what it found
  LOG_ERROR("metadata store: %s", found.c_str());
  return std::unexpected(code == SQLITE_ROW ? Error{Errc::kCorrupt} : sqlite_error(code));
}

Result<void> check_if_small(sqlite3* db, uint64_t checked_bytes) {
  const auto pages = static_cast<uint64_t>(TRY(pragma(db, "PRAGMA page_count")));
  const auto page_bytes = static_cast<uint64_t>(TRY(pragma(db, "PRAGMA page_size")));
  if (pages > checked_bytes / page_bytes) return {};
  return quick_check(db);
}

Result<void> set_up(sqlite3* db, const std::string& path, uint64_t checked_bytes, int64_t& found_version) {
  TRY_VOID(run_sql(db, "PRAGMA locking_mode = EXCLUSIVE", true));
  TRY_VOID(run_sql(db, "PRAGMA journal_mode = WAL", true));
  TRY_VOID(run_sql(db, "PRAGMA synchronous = FULL", true));
  found_version = TRY(pragma(db, "PRAGMA user_version"));
  // Another program's database under our name: neither used nor added to.
  const auto tables = TRY(pragma(db, "SELECT count(*) FROM sqlite_schema"));
  const auto application = TRY(pragma(db, "PRAGMA application_id"));
  if (found_version == 0 ? tables != 0 : application != kApplicationId) return fail(Errc::kCorrupt);
  if (found_version > kSchemaVersion) return fail(Errc::kUnsupported);
  TRY_VOID(check_if_small(db, checked_bytes));
  // BEGIN IMMEDIATE takes the lock now: a second opener fails here, not at its first commit.
  TRY_VOID(run_sql(db, "BEGIN IMMEDIATE", true));
  if (found_version == 0) {
    TRY_VOID(run_sql(db, kSchema, true));
    TRY_VOID(run_sql(db, ("PRAGMA application_id = " + std::to_string(kApplicationId)).c_str(), true));
    TRY_VOID(run_sql(db, ("PRAGMA user_version = " + std::to_string(kSchemaVersion)).c_str(), true));
  }
  TRY_VOID(run_sql(db, "COMMIT", true));
  if (found_version == 0) TRY_VOID(sync_folder_of(path));
  return {};
}

// SQLite says the same when a file cannot be made for want of space as when it may not be made.
bool is_full(const std::string& path) {
  constexpr uint64_t kLittle = 256 * 1024;  // XFS keeps some blocks to itself, and counts them
  struct statvfs room = {};
  const std::string folder = std::filesystem::path(path).parent_path().string();
  return statvfs(folder.empty() ? "." : folder.c_str(), &room) == 0 && room.f_bavail * room.f_frsize < kLittle;
}

bool is_read_only(const std::string& path) {
  struct statvfs found = {};
  const std::string folder = std::filesystem::path(path).parent_path().string();
  return statvfs(folder.empty() ? "." : folder.c_str(), &found) == 0 && (found.f_flag & ST_RDONLY) != 0;
}

std::string explain(const std::string& path, Error error, int64_t version) {
  if (error.code == Errc::kNoPermission && is_full(path)) error.code = Errc::kNoSpace;
  switch (error.code) {
    case Errc::kUnsupported:
      return path + ": written by a newer penstock (metadata schema " + std::to_string(version) +
             ", this one knows up to " + std::to_string(kSchemaVersion) + "). Run that version or a newer one.";
    case Errc::kLocked: return path + ": another process has it open. Stop that process first.";
    case Errc::kCorrupt:
      return path +
             ": not a readable metadata database (damaged, or not penstock's). Restore it, with its -wal, from a copy.";
    case Errc::kNoSpace: return path + ": no space left on its file system. Free some and start again.";
    case Errc::kNoPermission:
      if (is_read_only(path)) return path + ": its file system is mounted read-only. Mount it for writing.";
      return path + ": cannot be opened for writing. Check the folder's owner and mode.";
    default: return path + ": cannot be opened (" + std::string(to_string(error.code)) + ").";
  }
}

}  // namespace

std::expected<std::unique_ptr<SqliteStore>, std::string> SqliteStore::open(const std::string& path, Clock& clock,
                                                                           uint64_t checked_bytes) {
  keep_private(path);
  sqlite3* raw = nullptr;
  const int code =
      sqlite3_open_v2(path.c_str(), &raw, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, nullptr);
  DatabasePtr db(raw);
  if (code != SQLITE_OK) return std::unexpected(explain(path, sqlite_error(code), 0));
  int64_t version = 0;
  if (const auto ready = set_up(db.get(), path, checked_bytes, version); !ready) {
    // Closing would carry the -wal over into a file that is damaged, and end it.
    sqlite3_db_config(db.get(), SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, nullptr);
    return std::unexpected(explain(path, ready.error(), version));
  }
  const auto page_bytes = pragma(db.get(), "PRAGMA page_size");
  if (!page_bytes) return std::unexpected(explain(path, page_bytes.error(), version));
  auto impl = std::make_unique<Impl>(std::move(db), static_cast<uint64_t>(*page_bytes), clock);
  if (const auto loaded = impl->load(); !loaded) return std::unexpected(explain(path, loaded.error(), version));
  return std::unique_ptr<SqliteStore>(new SqliteStore(std::move(impl)));
}

SqliteStore::SqliteStore(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
SqliteStore::~SqliteStore() = default;

Revision SqliteStore::revision() { return impl_->revision(); }
Result<std::optional<Entry>> SqliteStore::get(std::string_view key) { return impl_->get(key); }
Result<Page> SqliteStore::range(std::string_view first, std::string_view end, size_t limit) {
  return impl_->range(first, end, limit);
}
Result<Commit> SqliteStore::commit(const Transaction& transaction) { return impl_->commit(transaction); }
WatchId SqliteStore::watch(std::string_view prefix, Revision after, const Doorbell* bell) {
  return impl_->feed().watch(prefix, after, bell);
}
Result<std::vector<Change>> SqliteStore::take_changes(WatchId watch) { return impl_->feed().take(watch); }
void SqliteStore::unwatch(WatchId watch) { impl_->feed().unwatch(watch); }
Result<LeaseId> SqliteStore::grant_lease(Nanos ttl) { return impl_->leases().grant(ttl); }
Result<void> SqliteStore::keep_alive(LeaseId lease) { return impl_->leases().keep_alive(lease); }
Result<void> SqliteStore::revoke(LeaseId lease) { return impl_->end_lease(lease); }
Result<void> SqliteStore::end_due_leases() {
  for (const LeaseId lease : impl_->leases().due()) TRY_VOID(impl_->end_lease(lease));
  impl_->make_reserve();
  return {};
}

}  // namespace penstock::control
