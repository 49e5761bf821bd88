// Space for a full drive: SQLite's write-ahead log is written full of zeros, 2 MiB, before it is needed, and stays at a
// stop. A commit that fits overwrites it and takes no block of the file system, so nobody else can have taken that
// block in between. What frees space may use all of it. What grows leaves kReserveFrames, and allocates the database's
// new pages first, so that the checkpoint, which begins the log anew, needs no space; one that fails stops all growth.
// docs/internals/metadata.md, "A full drive".
#pragma once

#include <sqlite3.h>

#include <cstdint>
#include <string>

#include "base/result.h"

namespace penstock::control {

struct Transaction;

// A result code of SQLite as one of ours.
Error sqlite_error(int code);

class SqliteReserve {
 public:
  // db is in WAL mode, locked exclusively, and the only connection of this process; it outlives this.
  SqliteReserve(sqlite3* db, uint64_t page_bytes);
  ~SqliteReserve();  // between transactions
  SqliteReserve(const SqliteReserve&) = delete;
  SqliteReserve& operator=(const SqliteReserve&) = delete;

  // Before a transaction that grows what is stored. kNoSpace: not without the reserve.
  Result<void> before_growth(const Transaction& transaction);
  // After each commit: a checkpoint when one is due.
  void after_commit();
  // Makes the reserve if there is room; cheap where it is there.
  Result<void> make();

 private:
  uint64_t bytes_of(uint64_t frames) const;
  Result<void> hold(uint64_t frames);
  Result<void> hold_pages(uint64_t more);
  Result<uint64_t> count_pages();
  Result<void> checkpoint();

  sqlite3* db_;
  std::string wal_;                // its path
  uint64_t page_bytes_;            // of the database
  uint64_t held_ = 0;              // bytes that the file is known to have
  uint64_t held_pages_bytes_ = 0;  // the database's
  int frames_ = 0;                 // in use, as of the last commit; the next begins at 0 if all was checkpointed
  bool owed_ = false;              // the last checkpoint that was due failed
};

}  // namespace penstock::control
