// SqliteStore on a drive without a free block: what makes room goes through, what grows is refused, and nothing is
// lost.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <map>

#include "base/log.h"
#include "control/metadata/sqlite_store.h"
#include "tests/small_file_system.h"

namespace penstock::control {
namespace {

namespace fs = std::filesystem;

class ManualClock final : public Clock {
 public:
  Nanos monotonic() override { return now; }
  int64_t wall_ms() override { return now / kMillisecond; }
  Nanos now = 0;
};

struct TemporaryFolder {
  TemporaryFolder() {
    std::string pattern = (fs::temp_directory_path() / "penstock-full-XXXXXX").string();
    path = mkdtemp(pattern.data());
  }
  ~TemporaryFolder() { fs::remove_all(path); }
  fs::path path;
};

// A store and what is in it.
struct Rig {
  void open() {
    auto opened = SqliteStore::open(path, clock);
    ASSERT_TRUE(opened.has_value()) << opened.error();
    store = *std::move(opened);
  }
  Result<void> put(const std::string& key, const std::string& value, bool from_reserve) {
    TRY_VOID(store->commit({.writes = {{.key = key, .value = value}}, .from_reserve = from_reserve}));
    model[key] = value;
    return {};
  }
  Result<void> erase(const std::string& key) {
    TRY_VOID(store->commit({.writes = {{.key = key, .value = std::nullopt}}, .from_reserve = true}));
    model.erase(key);
    return {};
  }
  void check() {
    const Page all = read_prefix(*store, "t").value();
    std::map<std::string, std::string> found;
    for (const Entry& entry : all.entries) found[entry.key] = entry.value;
    EXPECT_EQ(found, model);
  }
  // Creates until it is refused; how many were not.
  int create_until_refused(const std::string& prefix) {
    for (int i = 0; i < 300; ++i) {
      const auto done = put(prefix + std::to_string(i), std::string(3000, 'n'), false);
      if (done) continue;
      EXPECT_EQ(done.error().code, Errc::kNoSpace);
      return i;
    }
    return 300;
  }

  std::string path;
  ManualClock clock;
  std::unique_ptr<SqliteStore> store;
  std::map<std::string, std::string> model;
};

class MetadataFull : public ::testing::TestWithParam<std::pair<const char*, unsigned>> {
 protected:
  MetadataFull() : drive_(GetParam().first, folder_.path / "image", GetParam().second) {
    set_log_sink([](LogLevel, std::string_view) {});
    rig.path = drive_.path() + "/metadata.sqlite";
  }
  void SetUp() override {
    if (!drive_.missing().empty()) GTEST_SKIP() << "skipped: " << drive_.missing();
    rig.open();
    for (int i = 0; i < 300; ++i) ASSERT_TRUE(rig.put("t" + std::to_string(i), std::string(3000, 'a'), false));
  }
  void TearDown() override { rig.store.reset(); }

  // To the last block that a file of any size can get.
  void fill() {
    const int fd = ::open(ballast().c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    ASSERT_GE(fd, 0);
    off_t end = lseek(fd, 0, SEEK_END);
    for (off_t step = 1 << 24; step >= 4096;) {
      if (posix_fallocate(fd, end, step) == 0)
        end += step;
      else
        step /= 2;
    }
    close(fd);
    const std::string probe = drive_.path() + "/probe";
    const int one = ::open(probe.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    ASSERT_NE(posix_fallocate(one, 0, 4096), 0) << "there was a block left";
    close(one);
    fs::remove(probe);
  }
  void relieve() { fs::remove(ballast()); }
  std::string ballast() const { return drive_.path() + "/ballast"; }

  TemporaryFolder folder_;
  penstock::testing::SmallFileSystem drive_;
  Rig rig;
};

TEST_P(MetadataFull, deletes_and_changes_go_on_and_creations_cannot_starve_them) {
  for (int lap = 0; lap < 2; ++lap) {
    const std::string name = "tn" + std::to_string(lap) + "-";
    fill();
    const int created = rig.create_until_refused(name);
    EXPECT_TRUE(lap > 0 || created < 200) << "later ones take pages that deletes left in the database";
    for (int i = lap * 50; i < lap * 50 + 50; ++i) {
      ASSERT_TRUE(rig.erase("t" + std::to_string(i))) << i;
      ASSERT_TRUE(rig.put("t" + std::to_string(i + 100), std::string(2900, 'c'), true)) << i;
    }
    rig.check();
    relieve();
    EXPECT_EQ(rig.create_until_refused(name + "more-"), 300) << "room again, without a restart";
    for (int i = 0; i < 300; ++i) ASSERT_TRUE(rig.erase(name + "more-" + std::to_string(i)));
  }
  rig.store.reset();
  rig.open();
  rig.check();
}

TEST_P(MetadataFull, a_start_without_a_free_block_works_and_can_delete) {
  rig.store.reset();
  fill();
  ASSERT_NO_FATAL_FAILURE(rig.open());
  rig.check();
  for (int i = 0; i < 300; ++i) ASSERT_TRUE(rig.erase("t" + std::to_string(i))) << i;
  rig.store.reset();
  ASSERT_NO_FATAL_FAILURE(rig.open());
  rig.check();
}

TEST_P(MetadataFull, so_does_one_after_a_kill_with_unfinished_leases) {
  rig.store.reset();
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    rig.open();
    const LeaseId lease = rig.store->grant_lease(3600 * kSecond).value();
    (void)rig.store->commit({.writes = {{.key = "brokers/1", .value = "up", .lease = lease}}});
    _exit(rig.put("tlast", "x", false) ? 0 : 1);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  ASSERT_EQ(status, 0);
  rig.model["tlast"] = "x";
  fill();
  ASSERT_NO_FATAL_FAILURE(rig.open());
  EXPECT_FALSE(rig.store->get("brokers/1").value().has_value());
  rig.check();
  for (int i = 0; i < 300; ++i) ASSERT_TRUE(rig.erase("t" + std::to_string(i))) << i;
  rig.check();
}

TEST_P(MetadataFull, the_reserve_is_made_when_there_is_room) {
  rig.store.reset();
  ASSERT_TRUE(fs::remove(rig.path + "-wal"));  // as a folder from before has none
  fill();
  if (std::string(GetParam().first) == "xfs") {  // which has no place for the file either
    const auto refused = SqliteStore::open(rig.path, rig.clock);
    ASSERT_FALSE(refused.has_value());
    EXPECT_NE(refused.error().find("no space left"), std::string::npos) << refused.error();
    return;
  }
  ASSERT_NO_FATAL_FAILURE(rig.open());
  EXPECT_EQ(rig.create_until_refused("tn"), 0);
  EXPECT_EQ(rig.erase("t0").error().code, Errc::kNoSpace);
  relieve();
  rig.clock.now += 10 * kSecond;
  ASSERT_TRUE(rig.store->end_due_leases());
  fill();
  EXPECT_TRUE(rig.erase("t0"));
  rig.check();
}

INSTANTIATE_TEST_SUITE_P(Drives, MetadataFull, ::testing::Values(std::pair("ext4", 32U), std::pair("xfs", 320U)),
                         [](const auto& drive) { return std::string(drive.param.first); });

TEST(MetadataReserve, its_file_does_not_grow_with_what_is_committed) {
  const TemporaryFolder folder;
  Rig rig;
  rig.path = folder.path / "metadata.sqlite";
  rig.open();
  ASSERT_TRUE(rig.put("t", "0", false));
  const auto before = fs::file_size(rig.path + "-wal");
  EXPECT_GT(before, 1'000'000u);
  for (int i = 0; i < 1500; ++i) ASSERT_TRUE(rig.put("t" + std::to_string(i % 50), std::to_string(i), i % 2 == 0));
  EXPECT_EQ(fs::file_size(rig.path + "-wal"), before);
  rig.store.reset();
  EXPECT_EQ(fs::file_size(rig.path + "-wal"), before) << "it stays for a start on a full drive";
  rig.open();
  rig.check();
}

TEST(MetadataReserve, a_copy_that_is_put_back_is_not_mixed_with_what_came_after_it) {
  const TemporaryFolder folder;
  Rig rig;
  rig.path = folder.path / "metadata.sqlite";
  rig.open();
  for (int i = 0; i < 20; ++i) ASSERT_TRUE(rig.put("t" + std::to_string(i), std::string(3000, 'a'), false));
  rig.store.reset();
  const std::string copy = folder.path / "copy";
  fs::copy_file(rig.path, copy);
  const auto then = rig.model;
  rig.open();
  for (int i = 10; i < 40; ++i) ASSERT_TRUE(rig.put("t" + std::to_string(i), std::string(3000, 'b'), false));
  rig.store.reset();
  fs::copy_file(copy, rig.path, fs::copy_options::overwrite_existing);
  rig.model = then;
  rig.open();
  rig.check();
}

}  // namespace
}  // namespace penstock::control
