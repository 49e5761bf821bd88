#include "control/metadata/store.h"

#include <set>

#include "base/assert.h"

namespace penstock::control {

Result<void> check_transaction(const Transaction& transaction) {
  if (transaction.writes.size() > kTransactionWritesMax) return fail(Errc::kTooLarge);
  if (transaction.conditions.size() > kTransactionWritesMax) return fail(Errc::kTooLarge);
  const auto good_key = [](std::string_view key) { return !key.empty() && key.size() <= kKeyBytesMax; };
  size_t bytes = 0;
  for (const Condition& condition : transaction.conditions) {
    if (!good_key(condition.key)) return fail(Errc::kInvalid);
    bytes += condition.key.size();
  }
  std::set<std::string_view> seen;
  for (const Write& write : transaction.writes) {
    if (!good_key(write.key) || !seen.insert(write.key).second) return fail(Errc::kInvalid);
    bytes += write.key.size() + (write.value ? write.value->size() : 0);
  }
  if (bytes > kTransactionBytesMax) return fail(Errc::kTooLarge);
  return {};
}

std::string prefix_end(std::string_view prefix) {
  CHECK(!prefix.empty() && static_cast<unsigned char>(prefix.back()) != 0xff);
  std::string end(prefix);
  end.back() = static_cast<char>(static_cast<unsigned char>(end.back()) + 1);
  return end;
}

Result<Page> read_prefix(MetadataStore& store, std::string_view prefix) {
  constexpr size_t kPageEntries = 1000;  // etcd answers a range in one message: keep it small
  const std::string end = prefix_end(prefix);
  Page all;
  std::string first(prefix);
  while (true) {
    Page page = TRY(store.range(first, end, kPageEntries));
    // One thread writes and this is it, or another node does and a watch from the first page's revision tells.
    if (all.entries.empty()) all.revision = page.revision;
    std::move(page.entries.begin(), page.entries.end(), std::back_inserter(all.entries));
    if (!page.more) return all;
    first = all.entries.back().key + '\0';
  }
}

}  // namespace penstock::control
