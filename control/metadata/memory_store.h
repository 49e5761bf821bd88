// MetadataStore in memory: for simulated brokers and tests. Keeps everything but durability.
#pragma once

#include <map>
#include <string>

#include "base/clock.h"
#include "control/metadata/change_feed.h"
#include "control/metadata/leases.h"
#include "control/metadata/store.h"

namespace penstock::control {

class MemoryStore final : public MetadataStore {
 public:
  explicit MemoryStore(Clock& clock) : leases_(clock) {}

  Revision revision() override { return revision_; }
  Result<std::optional<Entry>> get(std::string_view key) override;
  Result<Page> range(std::string_view first, std::string_view end, size_t limit) override;
  Result<Commit> commit(const Transaction& transaction) override;
  WatchId watch(std::string_view prefix, Revision after, const Doorbell* bell) override {
    return feed_.watch(prefix, after, bell);
  }
  Result<std::vector<Change>> take_changes(WatchId watch) override { return feed_.take(watch); }
  void unwatch(WatchId watch) override { feed_.unwatch(watch); }
  Result<LeaseId> grant_lease(Nanos ttl) override { return leases_.grant(ttl); }
  Result<void> keep_alive(LeaseId lease) override { return leases_.keep_alive(lease); }
  Result<void> revoke(LeaseId lease) override;
  Result<void> end_due_leases() override;

  // For tests of what stands above: a full drive; only what is from_reserve commits.
  void be_full(bool full) { full_ = full; }
  // The next commits fail with this error, and are not applied.
  void fail_commits(std::optional<Error> error) { commit_failure_ = error; }

 private:
  void apply(const std::vector<Write>& writes);

  std::map<std::string, Entry, std::less<>> entries_;
  Revision revision_;
  ChangeFeed feed_;
  Leases leases_;
  std::optional<Error> commit_failure_;
  bool full_ = false;
};

}  // namespace penstock::control
