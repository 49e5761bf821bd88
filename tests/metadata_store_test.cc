// One conformance test over every MetadataStore (control/metadata/store.h).
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <functional>
#include <memory>

#include "control/metadata/memory_store.h"
#include "control/metadata/sqlite_store.h"

namespace penstock::control {
namespace {

class ManualClock final : public Clock {
 public:
  Nanos monotonic() override { return now; }
  int64_t wall_ms() override { return now / kMillisecond; }
  Nanos now = 0;
};

// A store to test, and the thing that made it.
struct Subject {
  virtual ~Subject() = default;
  virtual MetadataStore& store() = 0;
  ManualClock clock;
};

struct MemorySubject final : Subject {
  MetadataStore& store() override { return memory; }
  MemoryStore memory{clock};
};

struct SqliteSubject final : Subject {
  SqliteSubject() {
    std::string pattern = (std::filesystem::temp_directory_path() / "penstock-metadata-XXXXXX").string();
    folder = mkdtemp(pattern.data());
    sqlite = SqliteStore::open(folder / "metadata.sqlite", clock).value();
  }
  ~SqliteSubject() override {
    sqlite.reset();
    std::filesystem::remove_all(folder);
  }
  MetadataStore& store() override { return *sqlite; }
  std::filesystem::path folder;
  std::unique_ptr<SqliteStore> sqlite;
};

struct Maker {
  const char* name;
  std::function<std::unique_ptr<Subject>()> make;
};

class MetadataStoreTest : public testing::TestWithParam<Maker> {
 protected:
  MetadataStore& store() { return subject_->store(); }
  ManualClock& clock() { return subject_->clock; }
  Commit put(std::string key, std::string value, LeaseId lease = kNoLease) {
    return store().commit({.conditions = {}, .writes = {{.key = key, .value = value, .lease = lease}}}).value();
  }
  Commit erase(std::string key) {
    return store().commit({.conditions = {}, .writes = {{.key = key, .value = std::nullopt}}}).value();
  }
  std::string value(std::string_view key) {
    const auto entry = store().get(key).value();
    return entry ? entry->value : "(none)";
  }
  Errc refusal(const Transaction& transaction) {
    const auto done = store().commit(transaction);
    EXPECT_FALSE(done.has_value());
    return done ? Errc::kIo : done.error().code;
  }

 private:
  std::unique_ptr<Subject> subject_ = GetParam().make();
};

TEST_P(MetadataStoreTest, an_empty_store_has_revision_zero_and_no_keys) {
  EXPECT_EQ(store().revision(), Revision{0});
  EXPECT_FALSE(store().get("a").value().has_value());
  EXPECT_TRUE(store().range("a", "z", 10).value().entries.empty());
}

TEST_P(MetadataStoreTest, each_applied_transaction_is_one_revision) {
  EXPECT_EQ(put("a", "1").revision, Revision{1});
  EXPECT_EQ(put("b", "2").revision, Revision{2});
  const Transaction both{.conditions = {}, .writes = {{.key = "a", .value = "3"}, {.key = "b", .value = std::nullopt}}};
  const Commit done = store().commit(both).value();
  EXPECT_TRUE(done.applied);
  EXPECT_EQ(done.revision, Revision{3});
  EXPECT_EQ(store().revision(), Revision{3});
  EXPECT_EQ(store().get("a").value()->changed, Revision{3});
  EXPECT_EQ(value("a"), "3");
  EXPECT_EQ(value("b"), "(none)");
}

TEST_P(MetadataStoreTest, a_condition_that_does_not_hold_stops_every_write) {
  put("a", "1");
  put("b", "1");
  const std::vector<Write> writes = {{.key = "a", .value = "2"}, {.key = "c", .value = "2"}};
  EXPECT_FALSE(
      store().commit({.conditions = {{.key = "a", .changed = Revision{2}}}, .writes = writes}).value().applied);
  EXPECT_FALSE(store().commit({.conditions = {{.key = "a", .changed = {}}}, .writes = writes}).value().applied);
  const Commit refused =
      store()
          .commit({.conditions = {{.key = "a", .changed = Revision{1}}, {.key = "c", .changed = Revision{1}}},
                   .writes = writes})
          .value();
  EXPECT_FALSE(refused.applied);
  EXPECT_EQ(refused.revision, Revision{2});
  EXPECT_EQ(value("a"), "1");
  EXPECT_EQ(value("c"), "(none)");
  const Commit done =
      store()
          .commit({.conditions = {{.key = "a", .changed = Revision{1}}, {.key = "c", .changed = {}}}, .writes = writes})
          .value();
  EXPECT_TRUE(done.applied);
  EXPECT_EQ(value("c"), "2");
}

TEST_P(MetadataStoreTest, a_key_made_again_does_not_look_like_the_old_one) {
  put("a", "1");
  erase("a");
  put("a", "1");
  const Transaction stale{.conditions = {{.key = "a", .changed = Revision{1}}}, .writes = {{.key = "a", .value = "2"}}};
  EXPECT_FALSE(store().commit(stale).value().applied);
}

TEST_P(MetadataStoreTest, ranges_are_half_open_in_byte_order_and_say_when_there_is_more) {
  for (const char* key : {"t/b", "t/a", "t/A", "t/\xc3\xa4", "s", "u", "t/a/x"}) put(key, key);
  const Page all = store().range("t/", prefix_end("t/"), 100).value();
  std::vector<std::string> keys;
  for (const Entry& entry : all.entries) keys.push_back(entry.key);
  EXPECT_EQ(keys, (std::vector<std::string>{"t/A", "t/a", "t/a/x", "t/b", "t/\xc3\xa4"}));
  EXPECT_FALSE(all.more);
  EXPECT_EQ(all.revision, store().revision());
  const Page two = store().range("t/", prefix_end("t/"), 2).value();
  EXPECT_EQ(two.entries.size(), 2u);
  EXPECT_TRUE(two.more);
  EXPECT_EQ(store().range("t/a", "t/b", 100).value().entries.size(), 2u);
}

TEST_P(MetadataStoreTest, a_prefix_is_read_over_many_pages) {
  for (int i = 0; i < 30; ++i) {
    Transaction transaction;
    for (int j = 0; j < 100; ++j)
      transaction.writes.push_back({.key = "p/" + std::to_string(i * 100 + j), .value = "v"});
    ASSERT_TRUE(store().commit(transaction).value().applied);
  }
  const Page page = read_prefix(store(), "p/").value();
  EXPECT_EQ(page.entries.size(), 3000u);
  EXPECT_TRUE(std::ranges::adjacent_find(page.entries, std::ranges::greater{}, &Entry::key) == page.entries.end());
}

TEST_P(MetadataStoreTest, values_keep_every_byte) {
  const std::string odd("\0line\nbreak\xff\xfe'\"", 16);
  put("odd", odd);
  put("empty", "");
  EXPECT_EQ(value("odd"), odd);
  EXPECT_EQ(value("empty"), "");
}

TEST_P(MetadataStoreTest, a_transaction_beyond_its_bounds_is_refused_whole) {
  EXPECT_EQ(refusal({.conditions = {}, .writes = {{.key = "a", .value = "1"}, {.key = "a", .value = "2"}}}),
            Errc::kInvalid);
  EXPECT_EQ(refusal({.conditions = {}, .writes = {{.key = "", .value = "1"}}}), Errc::kInvalid);
  EXPECT_EQ(refusal({.conditions = {}, .writes = {{.key = std::string(kKeyBytesMax + 1, 'k'), .value = "1"}}}),
            Errc::kInvalid);
  EXPECT_EQ(refusal({.conditions = {}, .writes = {{.key = "a", .value = std::string(kTransactionBytesMax, 'v')}}}),
            Errc::kTooLarge);
  Transaction many;
  for (size_t i = 0; i <= kTransactionWritesMax; ++i) many.writes.push_back({.key = std::to_string(i), .value = "1"});
  EXPECT_EQ(refusal(many), Errc::kTooLarge);
  EXPECT_EQ(store().revision(), Revision{0});
}

TEST_P(MetadataStoreTest, a_watch_sees_the_changes_of_its_prefix_in_order) {
  put("w/a", "1");
  Doorbell bell;
  const auto rings = [&] {
    uint64_t count = 0;
    const bool rang = read(bell.fd(), &count, sizeof count) == sizeof count;
    return rang;
  };
  const WatchId watch = store().watch("w/", store().revision(), &bell);
  EXPECT_TRUE(store().take_changes(watch).value().empty());
  put("x", "other");
  EXPECT_FALSE(rings());
  put("w/b", "2");
  erase("w/a");
  erase("w/never");
  EXPECT_TRUE(rings());
  const auto changes = store().take_changes(watch).value();
  ASSERT_EQ(changes.size(), 2u);
  EXPECT_EQ(changes[0].key, "w/b");
  EXPECT_EQ(changes[0].value, "2");
  EXPECT_EQ(changes[0].revision, Revision{3});
  EXPECT_EQ(changes[1].key, "w/a");
  EXPECT_FALSE(changes[1].value.has_value());
  EXPECT_TRUE(store().take_changes(watch).value().empty());
  store().unwatch(watch);
  put("w/c", "3");
  EXPECT_FALSE(rings());
}

TEST_P(MetadataStoreTest, a_watch_from_an_older_revision_sees_what_it_missed) {
  put("w/a", "1");
  const Revision then = store().revision();
  put("w/a", "2");
  put("w/a", "3");
  const WatchId watch = store().watch("w/", then, nullptr);
  EXPECT_EQ(store().take_changes(watch).value().size(), 2u);
}

TEST_P(MetadataStoreTest, a_watch_that_lags_too_far_is_told_so) {
  const WatchId watch = store().watch("w/", store().revision(), nullptr);
  for (size_t i = 0; i * 100 <= kChangesKept; ++i) {
    Transaction transaction;
    for (int j = 0; j < 100; ++j) transaction.writes.push_back({.key = "w/" + std::to_string(j), .value = "v"});
    ASSERT_TRUE(store().commit(transaction).value().applied);
  }
  const auto lost = store().take_changes(watch);
  ASSERT_FALSE(lost.has_value());
  EXPECT_EQ(lost.error().code, Errc::kFull);
  const WatchId fresh = store().watch("w/", store().range("w/", "w0", 1).value().revision, nullptr);
  put("w/new", "v");
  EXPECT_EQ(store().take_changes(fresh).value().size(), 1u);
}

TEST_P(MetadataStoreTest, keys_go_with_their_lease) {
  const LeaseId lease = store().grant_lease(10 * kSecond).value();
  const WatchId watch = store().watch("b/", store().revision(), nullptr);
  put("b/1", "up", lease);
  put("b/2", "stays");
  clock().now += 9 * kSecond;
  ASSERT_TRUE(store().keep_alive(lease).has_value());
  clock().now += 9 * kSecond;
  ASSERT_TRUE(store().end_due_leases().has_value());
  EXPECT_EQ(value("b/1"), "up");
  clock().now += 1 * kSecond;
  ASSERT_TRUE(store().end_due_leases().has_value());
  EXPECT_EQ(value("b/1"), "(none)");
  EXPECT_EQ(value("b/2"), "stays");
  const auto changes = store().take_changes(watch).value();
  ASSERT_EQ(changes.size(), 3u);
  EXPECT_FALSE(changes[2].value.has_value());
  EXPECT_EQ(store().keep_alive(lease).error().code, Errc::kNotFound);
  EXPECT_EQ(refusal({.conditions = {}, .writes = {{.key = "b/1", .value = "again", .lease = lease}}}), Errc::kNotFound);
}

TEST_P(MetadataStoreTest, a_key_written_without_its_lease_outlives_it) {
  const LeaseId lease = store().grant_lease(10 * kSecond).value();
  put("b/1", "up", lease);
  put("b/1", "kept");
  ASSERT_TRUE(store().revoke(lease).has_value());
  EXPECT_EQ(value("b/1"), "kept");
  EXPECT_EQ(store().revoke(lease).error().code, Errc::kNotFound);
}

INSTANTIATE_TEST_SUITE_P(All, MetadataStoreTest,
                         testing::Values(Maker{"memory", [] { return std::make_unique<MemorySubject>(); }},
                                         Maker{"sqlite", [] { return std::make_unique<SqliteSubject>(); }}),
                         [](const auto& made) { return std::string(made.param.name); });

}  // namespace
}  // namespace penstock::control
