// What SqliteStore promises beyond the model: it survives a restart and a kill, and refuses files that it must not
// touch.
#include <gtest/gtest.h>
#include <signal.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "base/system_clock.h"
#include "control/metadata/sqlite_store.h"

namespace penstock::control {
namespace {

class MetadataSqliteTest : public testing::Test {
 protected:
  MetadataSqliteTest() {
    std::string pattern = (std::filesystem::temp_directory_path() / "penstock-sqlite-XXXXXX").string();
    folder_ = mkdtemp(pattern.data());
  }
  ~MetadataSqliteTest() override { std::filesystem::remove_all(folder_); }
  std::string path() const { return folder_ / "metadata.sqlite"; }
  auto open() { return SqliteStore::open(path(), clock_); }

 private:
  std::filesystem::path folder_;
  SystemClock clock_;
};

Transaction put(std::string key, std::string value, LeaseId lease = kNoLease) {
  return {.conditions = {}, .writes = {{.key = std::move(key), .value = std::move(value), .lease = lease}}};
}

TEST_F(MetadataSqliteTest, keys_and_revisions_survive_a_restart) {
  {
    const auto store = open().value();
    ASSERT_TRUE(store->commit(put("a", "1")).value().applied);
    ASSERT_TRUE(store->commit(put("b", "2")).value().applied);
  }
  const auto store = open().value();
  EXPECT_EQ(store->revision(), Revision{2});
  EXPECT_EQ(store->get("a").value()->changed, Revision{1});
  EXPECT_EQ(store->commit(put("c", "3")).value().revision, Revision{3});
}

TEST_F(MetadataSqliteTest, nobody_else_can_read_it) {
  const auto mode = [](const std::string& file) {
    struct stat found{};
    EXPECT_EQ(stat(file.c_str(), &found), 0) << file;
    return found.st_mode & 0777;
  };
  const mode_t before = umask(0022);
  for (const bool made_before : {false, true}) {
    if (made_before) {
      EXPECT_EQ(chmod(path().c_str(), 0644), 0);  // as older versions made it
    }
    const auto store = open().value();
    ASSERT_TRUE(store->commit(put("a", "1")).has_value());
    EXPECT_EQ(mode(path()), 0640u);
    EXPECT_EQ(mode(path() + "-wal"), 0640u);
  }
  umask(before);
}

TEST_F(MetadataSqliteTest, leases_end_with_the_process_that_held_them) {
  {
    const auto store = open().value();
    const LeaseId lease = store->grant_lease(3600 * kSecond).value();
    ASSERT_TRUE(store->commit(put("brokers/1", "up", lease)).value().applied);
    ASSERT_TRUE(store->commit(put("topics/a", "stays")).value().applied);
  }
  const auto store = open().value();
  EXPECT_FALSE(store->get("brokers/1").value().has_value());
  EXPECT_TRUE(store->get("topics/a").value().has_value());
}

TEST_F(MetadataSqliteTest, a_watch_from_before_the_restart_must_read_again) {
  ASSERT_TRUE(open().value()->commit(put("a", "1")).value().applied);
  const auto store = open().value();
  EXPECT_EQ(store->take_changes(store->watch("a", Revision{0}, nullptr)).error().code, Errc::kFull);
  EXPECT_TRUE(store->take_changes(store->watch("a", Revision{1}, nullptr)).value().empty());
}

TEST_F(MetadataSqliteTest, a_second_opener_is_refused_by_name) {
  const auto store = open().value();
  const auto second = open();
  ASSERT_FALSE(second.has_value());
  EXPECT_NE(second.error().find("another process"), std::string::npos) << second.error();
}

TEST_F(MetadataSqliteTest, a_file_of_a_newer_version_is_refused_and_left_as_it_is) {
  {
    const auto store = open().value();
  }
  sqlite3* db = nullptr;
  ASSERT_EQ(sqlite3_open(path().c_str(), &db), SQLITE_OK);
  ASSERT_EQ(sqlite3_exec(db, "PRAGMA user_version = 2", nullptr, nullptr, nullptr), SQLITE_OK);
  sqlite3_close(db);
  for (int attempt = 0; attempt < 2; ++attempt) {
    const auto refused = open();
    ASSERT_FALSE(refused.has_value());
    EXPECT_NE(refused.error().find("newer penstock"), std::string::npos) << refused.error();
  }
}

TEST_F(MetadataSqliteTest, a_file_that_is_no_database_is_refused) {
  std::ofstream(path()) << std::string(8192, 'x');
  const auto refused = open();
  ASSERT_FALSE(refused.has_value());
  EXPECT_NE(refused.error().find("damaged"), std::string::npos) << refused.error();
}

// Wherever the damage is that its pages show: nothing is written to it, nor taken out of the write-ahead log.
TEST_F(MetadataSqliteTest, a_damaged_file_is_refused_and_left_as_it_is) {
  const auto contents = [](const std::string& file) {
    std::ifstream in(file, std::ios::binary);
    return std::string(std::istreambuf_iterator<char>(in), {});
  };
  {
    const auto store = open().value();
    for (int batch = 0; batch < 30; ++batch) {
      Transaction ten;
      for (int i = 10 * batch; i < 10 * batch + 10; ++i)
        ten.writes.push_back({.key = "key/" + std::to_string(i), .value = std::string(300, 'v')});
      ASSERT_TRUE(store->commit(ten).has_value());
    }
  }
  const std::string good = contents(path());
  ASSERT_GT(good.size(), 40'000u);
  for (const size_t at : {8u, 108u, 4104u, 8200u, 20'488u}) {
    std::string bad = good;
    for (size_t i = at; i < at + 600; ++i) bad[i] = static_cast<char>(~bad[i]);
    std::ofstream(path(), std::ios::binary | std::ios::trunc) << bad;
    const std::string wal = contents(path() + "-wal");
    const auto refused = open();
    ASSERT_FALSE(refused.has_value()) << at;
    EXPECT_NE(refused.error().find(path() + ": not a readable"), std::string::npos) << refused.error();
    EXPECT_NE(refused.error().find("from a copy"), std::string::npos) << refused.error();
    EXPECT_TRUE(contents(path()) == bad) << at;
    EXPECT_TRUE(contents(path() + "-wal") == wal) << at;
  }
  std::ofstream(path(), std::ios::binary | std::ios::trunc) << good;
  EXPECT_TRUE(open().value()->get("key/299").value().has_value());
}

TEST_F(MetadataSqliteTest, a_missing_folder_is_refused) {
  SystemClock clock;
  EXPECT_FALSE(SqliteStore::open("/nonexistent-folder/metadata.sqlite", clock).has_value());
}

// Commits pairs of keys, and tells the parent the number of each after it was applied. Never returns.
[[noreturn]] void commit_until_killed(const std::string& path, int report) {
  SystemClock clock;
  const auto opened = SqliteStore::open(path, clock);
  if (!opened) _exit(1);
  for (uint32_t i = 0;; ++i) {
    const std::string number = std::to_string(i);
    const Transaction pair{
        .conditions = {},
        .writes = {{.key = "left/" + number, .value = number}, {.key = "right/" + number, .value = number}}};
    const auto done = (*opened)->commit(pair);
    if (!done || !done->applied || write(report, &i, sizeof i) != sizeof i) _exit(1);
  }
}

TEST_F(MetadataSqliteTest, what_was_committed_before_kill_9_is_there_and_nothing_is_half) {
  uint32_t acked = 0;
  for (const uint32_t kill_after : {1u, 17u, 60u}) {
    std::filesystem::remove(path());
    int report[2];
    ASSERT_EQ(pipe(report), 0);
    const pid_t child = fork();
    ASSERT_GE(child, 0);
    if (child == 0) commit_until_killed(path(), report[1]);
    close(report[1]);
    while (read(report[0], &acked, sizeof acked) == sizeof acked && acked < kill_after) continue;
    kill(child, SIGKILL);
    while (read(report[0], &acked, sizeof acked) == sizeof acked) continue;  // acked before it died
    close(report[0]);
    int status = 0;
    waitpid(child, &status, 0);
    ASSERT_TRUE(WIFSIGNALED(status));
    ASSERT_GE(acked, kill_after);
    const auto store = open().value();
    const Page left = read_prefix(*store, "left/").value();
    const Page right = read_prefix(*store, "right/").value();
    EXPECT_GE(left.entries.size(), acked + 1);
    EXPECT_EQ(left.entries.size(), right.entries.size());
    EXPECT_EQ(store->revision(), Revision{left.entries.size()});
    for (uint32_t i = 0; i <= acked; ++i) {
      EXPECT_TRUE(store->get("left/" + std::to_string(i)).value().has_value()) << i;
    }
  }
}

}  // namespace
}  // namespace penstock::control
