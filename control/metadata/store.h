// The MetadataStore seam: the small ordered key-value model that all of control's truth lives in (docs/adr/0007).
// Two stores stand behind it: SQLite in the process for one node (sqlite_store.h) and memory for simulation
// (memory_store.h). The model is the part of etcd v3 that both can keep: revisions, transactions that compare the
// revision of keys, ranges, watches, leases. One test (tests/metadata_store_test.cc) runs over every store.
//
// Called by one thread, control's event loop. Calls may block for a device flush; lcores never wait for them.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/doorbell.h"
#include "base/result.h"
#include "base/strong.h"
#include "base/units.h"

namespace penstock::control {

// Counts applied transactions; never goes back, survives a restart. Zero: before the first.
using Revision = Id<struct RevisionTag, uint64_t>;
using LeaseId = Id<struct LeaseIdTag, int64_t>;
using WatchId = Id<struct WatchIdTag, uint64_t>;
inline constexpr LeaseId kNoLease{0};

// Bounds of one transaction and its parts. etcd takes 128 operations and 1.5 MiB unless told otherwise.
inline constexpr size_t kTransactionWritesMax = 128;
inline constexpr size_t kTransactionBytesMax = 1 * kMiB;
inline constexpr size_t kKeyBytesMax = 512;
// Changes that a store remembers for watches that lag.
inline constexpr size_t kChangesKept = 16 * 1024;

struct Entry {
  std::string key;
  std::string value;
  Revision changed;  // of the transaction that last wrote it
  LeaseId lease;
};

struct Page {
  Revision revision;             // of the whole store when this was read
  bool more = false;             // the limit cut it short
  std::vector<Entry> entries{};  // by key, compared as bytes
};

struct Condition {
  std::string key;
  Revision changed;  // the key's last change; zero: there is no such key
};

struct Write {
  std::string key;
  std::optional<std::string> value;  // nothing: delete the key, fine if there is none
  LeaseId lease = kNoLease;          // the key goes when this lease ends
};

struct Transaction {
  std::vector<Condition> conditions{};
  std::vector<Write> writes{};  // no key twice
  // It makes room, or a broker needs it to be up: it may take what the store keeps free on a full drive.
  bool from_reserve = false;
};

struct Commit {
  bool applied;       // false: a condition did not hold, nothing was written
  Revision revision;  // of the store after it
};

struct Change {
  Revision revision;
  std::string key;
  std::optional<std::string> value;  // nothing: deleted
};

class MetadataStore {
 public:
  virtual Revision revision() = 0;
  virtual Result<std::optional<Entry>> get(std::string_view key) = 0;
  // Keys in [first, end), at most limit of them.
  virtual Result<Page> range(std::string_view first, std::string_view end, size_t limit) = 0;
  // All writes or none. Durable when it returns applied. kInvalid: a key twice, or too long, or empty; kTooLarge: more
  // than the bounds above; kNotFound: a write names a lease that has ended; kNoSpace: the drive is full. After any
  // other error it is unknown whether the transaction was applied: read again before acting.
  virtual Result<Commit> commit(const Transaction& transaction) = 0;

  // Changes to keys with this prefix, of revisions above after. bell, if given, rings when some may wait; it outlives
  // the watch.
  virtual WatchId watch(std::string_view prefix, Revision after, const Doorbell* bell) = 0;
  // What happened since the last call, in order, whole revisions. kFull: the watch fell too far behind (or after is
  // older than the store remembers): range() again and watch from that page's revision.
  virtual Result<std::vector<Change>> take_changes(WatchId watch) = 0;
  virtual void unwatch(WatchId watch) = 0;

  // A lease ends ttl after it was granted or last kept alive, when it is revoked, or with its store's process if the
  // store lives in it; then the keys bound to it are deleted.
  virtual Result<LeaseId> grant_lease(Nanos ttl) = 0;
  virtual Result<void> keep_alive(LeaseId lease) = 0;  // kNotFound: it has ended
  virtual Result<void> revoke(LeaseId lease) = 0;      // kNotFound: it has ended
  // Ends the leases that are due. The owner of an in-process store calls it now and then.
  virtual Result<void> end_due_leases() = 0;

 protected:
  ~MetadataStore() = default;
};

// The bounds that every store holds a transaction to.
Result<void> check_transaction(const Transaction& transaction);

// The end of the range of all keys with this prefix. The prefix is not empty and does not end in 0xff.
std::string prefix_end(std::string_view prefix);

// All entries with this prefix, page by page.
Result<Page> read_prefix(MetadataStore& store, std::string_view prefix);

}  // namespace penstock::control
