#include "control/metadata/memory_store.h"

#include <algorithm>

namespace penstock::control {

Result<std::optional<Entry>> MemoryStore::get(std::string_view key) {
  const auto found = entries_.find(key);
  if (found == entries_.end()) return std::optional<Entry>{};
  return std::optional<Entry>(found->second);
}

Result<Page> MemoryStore::range(std::string_view first, std::string_view end, size_t limit) {
  Page page{.revision = revision_};
  for (auto at = entries_.lower_bound(first); at != entries_.end() && at->first < end; ++at) {
    if (page.entries.size() == limit) {
      page.more = true;
      break;
    }
    page.entries.push_back(at->second);
  }
  return page;
}

Result<Commit> MemoryStore::commit(const Transaction& transaction) {
  TRY_VOID(check_transaction(transaction));
  if (commit_failure_) return std::unexpected(*commit_failure_);
  for (const Write& write : transaction.writes) {
    if (write.lease != kNoLease && !leases_.alive(write.lease)) return fail(Errc::kNotFound);
  }
  for (const Condition& condition : transaction.conditions) {
    const auto found = entries_.find(condition.key);
    const Revision changed = found == entries_.end() ? Revision{} : found->second.changed;
    if (changed != condition.changed) return Commit{.applied = false, .revision = revision_};
  }
  if (full_ && !transaction.from_reserve) return fail(Errc::kNoSpace);
  apply(transaction.writes);
  return Commit{.applied = true, .revision = revision_};
}

void MemoryStore::apply(const std::vector<Write>& writes) {
  revision_ = Revision{revision_.value() + 1};
  std::vector<Change> changes;
  for (const Write& write : writes) {
    if (write.value) {
      entries_[write.key] = Entry{.key = write.key, .value = *write.value, .changed = revision_, .lease = write.lease};
    } else if (entries_.erase(write.key) == 0) {
      continue;
    }
    changes.push_back(Change{.revision = revision_, .key = write.key, .value = write.value});
  }
  feed_.add(std::move(changes));
}

Result<void> MemoryStore::revoke(LeaseId lease) {
  if (!leases_.alive(lease)) return fail(Errc::kNotFound);
  leases_.end(lease);
  std::vector<Write> deletes;
  for (const auto& [key, entry] : entries_) {
    if (entry.lease == lease) deletes.push_back(Write{.key = key, .value = std::nullopt});
  }
  if (!deletes.empty()) apply(deletes);
  return {};
}

Result<void> MemoryStore::end_due_leases() {
  for (const LeaseId lease : leases_.due()) TRY_VOID(revoke(lease));
  return {};
}

}  // namespace penstock::control
