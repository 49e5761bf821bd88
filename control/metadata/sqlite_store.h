// MetadataStore on SQLite, in the process: one node's metadata, <data>/metadata.sqlite. WAL mode with synchronous=FULL,
// so a commit is on stable media when it returns (https://sqlite.org/wal.html, pragma synchronous). The file is locked
// exclusively while it is open. Readable with the sqlite3 shell: select * from entries.
#pragma once

#include <cstdint>
#include <expected>
#include <memory>
#include <string>

#include "base/clock.h"
#include "base/units.h"
#include "control/metadata/store.h"

namespace penstock::control {

class SqliteStore final : public MetadataStore {
 public:
  static constexpr uint64_t kCheckedBytes = 64 * kMiB;  // in some 0.1 s
  // Makes or opens the file; its folder exists. One that is damaged is refused before anything is written to it, as far
  // as SQLite's quick_check tells and the file has no more than so many bytes. A failure is one line that says what to
  // do.
  static std::expected<std::unique_ptr<SqliteStore>, std::string> open(const std::string& path, Clock& clock,
                                                                       uint64_t checked_bytes = kCheckedBytes);
  ~SqliteStore();

  Revision revision() override;
  Result<std::optional<Entry>> get(std::string_view key) override;
  Result<Page> range(std::string_view first, std::string_view end, size_t limit) override;
  Result<Commit> commit(const Transaction& transaction) override;
  WatchId watch(std::string_view prefix, Revision after, const Doorbell* bell) override;
  Result<std::vector<Change>> take_changes(WatchId watch) override;
  void unwatch(WatchId watch) override;
  Result<LeaseId> grant_lease(Nanos ttl) override;
  Result<void> keep_alive(LeaseId lease) override;
  Result<void> revoke(LeaseId lease) override;
  Result<void> end_due_leases() override;

 private:
  class Impl;
  explicit SqliteStore(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace penstock::control
