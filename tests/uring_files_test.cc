// The real Disk's FileOps: each kind on real files, their order, what wakes whoever waits for them, and a file system
// that is full.
#include <gtest/gtest.h>
#include <poll.h>

#include <cerrno>
#include <cstdlib>
#include <deque>
#include <filesystem>
#include <thread>

#include "base/doorbell.h"
#include "base/units.h"
#include "storage/api/uring_disk.h"
#include "tests/small_file_system.h"

namespace penstock::storage {
namespace {

using Kind = FileOp::Kind;
namespace fs = std::filesystem;

class FileOps : public ::testing::Test {
 protected:
  void SetUp() override {
    char name[] = "uring_files_test.XXXXXX";  // in the build folder: a real file system, not a tmpfs
    ASSERT_NE(mkdtemp(name), nullptr);
    path_ = fs::absolute(name);
    auto opened = open_uring_disk();
    ASSERT_TRUE(opened) << opened.error().what;
    disk_ = std::move(*opened);
  }
  void TearDown() override {
    disk_.reset();
    fs::remove_all(path_);
  }
  std::string at(const std::string& name) const { return path_ + "/" + name; }
  FileHandle open_new(const std::string& path, bool direct = true) {
    FileOp open{.kind = Kind::kOpen, .path = path, .mode = {.create = true, .direct = direct}};
    EXPECT_TRUE(run_to_end(*disk_, open));
    return open.file;
  }
  Result<void> run(FileOp op) { return run_to_end(*disk_, op); }

  std::string path_;
  DiskPtr disk_;
};

struct Block {
  Block() : at(static_cast<std::byte*>(std::aligned_alloc(4096, kBytes))) { std::fill_n(at, kBytes, std::byte{7}); }
  ~Block() { std::free(at); }
  static constexpr size_t kBytes = 64 * kKiB;
  std::span<std::byte> span() const { return {at, kBytes}; }
  std::byte* at;
};

TEST_F(FileOps, EachKindDoesWhatItSays) {
  EXPECT_TRUE(run({.kind = Kind::kMakeDir, .path = at("logs")}));
  EXPECT_TRUE(run({.kind = Kind::kMakeDir, .path = at("logs")}));
  const FileHandle file = open_new(at("logs/b"));
  disk_->close(open_new(at("logs/a")));
  EXPECT_TRUE(run({.kind = Kind::kAllocate, .file = file, .bytes = 8192}));
  EXPECT_EQ(fs::file_size(at("logs/b")), 8192u);
  EXPECT_TRUE(run({.kind = Kind::kAllocate, .file = file, .bytes = 4096}));
  EXPECT_EQ(fs::file_size(at("logs/b")), 8192u);  // never shorter
  EXPECT_TRUE(run({.kind = Kind::kCut, .file = file, .bytes = 100}));
  EXPECT_TRUE(run({.kind = Kind::kCut, .file = file, .bytes = 200}));  // never longer
  FileOp again{.kind = Kind::kOpen, .path = at("logs/b")};
  ASSERT_TRUE(run_to_end(*disk_, again));
  EXPECT_EQ(again.bytes, 100u);
  EXPECT_TRUE(run({.kind = Kind::kClose, .file = again.file}));
  FileOp list{.kind = Kind::kList, .path = at("logs")};
  ASSERT_TRUE(run_to_end(*disk_, list));
  EXPECT_EQ(list.names, (std::vector<std::string>{"a", "b"}));
  EXPECT_TRUE(run({.kind = Kind::kRename, .path = at("logs/a"), .to = at("logs/c")}));
  EXPECT_TRUE(fs::exists(at("logs/c")));
  EXPECT_TRUE(run({.kind = Kind::kSyncDir, .path = at("logs")}));
  EXPECT_TRUE(run({.kind = Kind::kFlushAll, .path = path_}));
  FileOp free{.kind = Kind::kFreeBytes, .path = path_};
  ASSERT_TRUE(run_to_end(*disk_, free));
  EXPECT_GT(free.bytes, 0u);
  EXPECT_TRUE(run({.kind = Kind::kUnlink, .path = at("logs/b")}));
  EXPECT_TRUE(run({.kind = Kind::kUnlink, .path = at("logs/c")}));
  EXPECT_TRUE(run({.kind = Kind::kClose, .file = file}));
  EXPECT_TRUE(run({.kind = Kind::kRemoveDir, .path = at("logs")}));
  EXPECT_FALSE(fs::exists(at("logs")));
}

TEST_F(FileOps, AnErrorComesBackInItsOp) {
  EXPECT_EQ(run({.kind = Kind::kOpen, .path = at("none")}).error(), (Error{Errc::kNotFound, ENOENT}));
  EXPECT_EQ(run({.kind = Kind::kUnlink, .path = at("none")}).error().code, Errc::kNotFound);
  disk_->close(open_new(at("file")));
  EXPECT_EQ(run({.kind = Kind::kOpen, .path = at("file"), .mode = {.create = true, .exclusive = true}}).error().code,
            Errc::kExists);
  EXPECT_EQ(run({.kind = Kind::kRemoveDir, .path = path_}).error().code, Errc::kExists);
  EXPECT_EQ(run({.kind = Kind::kFreeBytes, .path = at("none")}).error().code, Errc::kNotFound);
  FileOp op{.kind = Kind::kUnlink, .path = at("none")};
  EXPECT_FALSE(run_to_end(*disk_, op));
  op.path = at("file");  // the same op again: what it said before is gone
  EXPECT_TRUE(run_to_end(*disk_, op));
  EXPECT_FALSE(op.error);
}

// What log verify opens: a user without the right to write may, and the lock is the same one.
TEST_F(FileOps, AReadOnlyFileIsReadAndLockedAndNotWritten) {
  Block block;
  const FileHandle file = open_new(at("file"));
  DiskOp write{.kind = DiskOp::Kind::kWrite, .file = file, .memory = block.span()};
  ASSERT_TRUE(run_to_end(*disk_, write));
  const auto reads = disk_->open(at("file"), {.read_only = true});
  ASSERT_TRUE(reads);
  std::ranges::fill(block.span(), std::byte{0});
  DiskOp read{.file = *reads, .memory = block.span()};
  EXPECT_TRUE(run_to_end(*disk_, read));
  EXPECT_EQ(block.span().back(), std::byte{7});
  write.file = *reads;
  EXPECT_FALSE(run_to_end(*disk_, write));
  EXPECT_EQ(write.result, -EBADF);
  EXPECT_FALSE(disk_->resize(*reads, 0));
  EXPECT_TRUE(disk_->lock(*reads));
  EXPECT_EQ(disk_->lock(file).error().code, Errc::kLocked);
  disk_->close(*reads);
  EXPECT_TRUE(disk_->lock(file));
  disk_->close(file);
}

TEST_F(FileOps, AReadOnlyFileSystemIsCalledThat) {
  EXPECT_TRUE(reason_of({Errc::kNoPermission, EROFS}).contains("mounted read-only"));
  EXPECT_TRUE(hint_to_write({Errc::kNoPermission, EROFS}).starts_with("mount it for writing"));
  EXPECT_EQ(reason_of({Errc::kNoPermission, EACCES}), "no permission");
  EXPECT_TRUE(hint_to_write({Errc::kNoPermission, EACCES}).contains("right to write"));
}

TEST_F(FileOps, AFullLoadIsDoneInItsOrder) {
  // A chain of renames holds only if each is done after the one before it.
  disk_->close(open_new(at("0")));
  std::deque<FileOp> ops;
  for (size_t i = 0; i < Disk::kFileOpsInFlightMax; ++i)
    ops.push_back({.kind = Kind::kRename, .path = at(std::to_string(i)), .to = at(std::to_string(i + 1))});
  for (FileOp& op : ops) {
    disk_->submit(op);
    EXPECT_TRUE(op.in_flight);
  }
  std::vector<FileOp*> order;
  while (order.size() < ops.size()) {
    std::array<FileOp*, 7> done;
    const size_t n = disk_->poll(done);
    order.insert(order.end(), done.begin(), done.begin() + static_cast<int64_t>(n));
    if (n == 0) disk_->wait(kSecond);
  }
  for (size_t i = 0; i < ops.size(); ++i) {
    EXPECT_EQ(order[i], &ops[i]);
    EXPECT_FALSE(ops[i].error);
    EXPECT_FALSE(ops[i].in_flight);
  }
  EXPECT_TRUE(fs::exists(at(std::to_string(Disk::kFileOpsInFlightMax))));
}

TEST_F(FileOps, OneMoreThanTheMostIsABug) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  std::deque<FileOp> ops(Disk::kFileOpsInFlightMax + 1, {.kind = Kind::kFreeBytes, .path = path_});
  EXPECT_DEATH(
      {
        for (FileOp& op : ops) disk_->submit(op);
      },
      "kFileOpsInFlightMax");
  const FileHandle file = open_new(at("file"));
  Block block;
  std::deque<DiskOp> flushes(Disk::kOpsInFlightMax + 1, {.kind = DiskOp::Kind::kFlush, .file = file});
  EXPECT_DEATH(
      {
        for (DiskOp& op : flushes) disk_->submit(op);
      },
      "kOpsInFlightMax");
  disk_->close(file);
}

TEST_F(FileOps, AsManyOpsAsThereMayBeCompleteTogether) {
  const FileHandle file = open_new(at("file"));
  Block block;
  std::deque<DiskOp> ops;
  for (size_t i = 0; i < Disk::kOpsInFlightMax; ++i)
    ops.push_back({.kind = DiskOp::Kind::kWriteDurable,
                   .file = file,
                   .at = i * 4096,
                   .memory = block.span().first(4096),
                   .may_block = i % 2 == 0});
  for (DiskOp& op : ops) disk_->submit(op);
  for (size_t left = ops.size(); left > 0;) {
    std::array<DiskOp*, 32> done;
    const size_t n = disk_->poll(done);
    for (DiskOp* op : std::span(done).first(n)) EXPECT_EQ(op->result, 4096);
    left -= n;
    if (n == 0) disk_->wait(kSecond);
  }
  EXPECT_EQ(fs::file_size(at("file")), Disk::kOpsInFlightMax * 4096);
  for (const DiskOp& op : ops) EXPECT_FALSE(op.may_block && op.punted);  // it was not tried without a worker
  disk_->close(file);
}

// As an lcore rests: arm, look at both halves, sleep only if they gave nothing.
TEST_F(FileOps, AnArmedDoorbellRingsForEachOfManyOnAnotherThread) {
  disk_->close(open_new(at("started by another thread")));
  std::thread lcore([&] {
    const Doorbell doorbell;
    const FileHandle file = disk_->open(at("file"), {.create = true}).value();
    Block block;
    for (int i = 0; i < 300; ++i) {
      FileOp op{.kind = Kind::kFreeBytes, .path = path_};
      DiskOp write{.kind = DiskOp::Kind::kWrite, .file = file, .memory = block.span(), .may_block = true};
      disk_->submit(op);
      if (i % 3 == 0) disk_->submit(write);
      for (size_t left = i % 3 == 0 ? 2 : 1; left > 0;) {
        disk_->arm_wakeup(doorbell.fd(), true);
        DiskOp* disk_done = nullptr;
        FileOp* file_done = nullptr;
        size_t n = disk_->poll({&disk_done, 1});
        n += disk_->poll({&file_done, 1});
        if (n == 0) {
          pollfd waiting{.fd = doorbell.fd(), .events = POLLIN, .revents = 0};
          ASSERT_EQ(::poll(&waiting, 1, 10'000), 1) << i;
          doorbell.clear();
        }
        disk_->arm_wakeup(doorbell.fd(), false);
        left -= n;
      }
      ASSERT_FALSE(op.error);
    }
    disk_->close(file);
  });
  lcore.join();
}

TEST_F(FileOps, AWaitEndsWhenOneIsDoneAndNotBefore) {
  for (int i = 0; i < 50; ++i) {
    FileOp op{.kind = Kind::kFreeBytes, .path = path_};
    disk_->submit(op);
    int waits = 0;
    for (FileOp* done = nullptr; disk_->poll({&done, 1}) == 0; ++waits) disk_->wait(10 * kSecond);
    EXPECT_LE(waits, 2);  // one for it, one for the bell of the one before
  }
}

TEST_F(FileOps, ADiskThatEndsDoesWhatItWasGivenAndTouchesNoOp) {
  auto ops = std::make_unique<std::deque<FileOp>>();
  for (int i = 0; i < 100; ++i)
    ops->push_back({.kind = Kind::kOpen, .path = at(std::to_string(i)), .mode = {.create = true}});
  for (FileOp& op : *ops) disk_->submit(op);
  const auto descriptors = [] { return std::distance(fs::directory_iterator("/proc/self/fd"), {}); };
  ops.reset();
  disk_.reset();
  EXPECT_EQ(std::distance(fs::directory_iterator(path_), {}), 100);
  const auto after = descriptors();
  EXPECT_LT(after, 100);  // what nobody fetched was closed
}

class FullFileSystem : public FileOps, public ::testing::WithParamInterface<const char*> {};

TEST_P(FullFileSystem, SaysSoLeavesTheFileAsItWasAndGoesOnWhenSpaceReturns) {
  const std::string kind = GetParam();
  const penstock::testing::SmallFileSystem small(kind, at("image"), kind == "xfs" ? 320 : 24);
  if (!small.missing().empty()) GTEST_SKIP() << "skipped: " << small.missing();
  FileOp free{.kind = Kind::kFreeBytes, .path = small.path()};
  ASSERT_TRUE(run_to_end(*disk_, free));
  const uint64_t room = free.bytes;
  ASSERT_LT(room, 320 * kMiB);

  const FileHandle filler = open_new(small.path() + "/filler");
  EXPECT_TRUE(run({.kind = Kind::kAllocate, .file = filler, .bytes = room - 2 * kMiB}));
  const FileHandle file = open_new(small.path() + "/file");
  Block block;
  const auto write_at = [&](uint64_t place) {
    DiskOp write{.kind = DiskOp::Kind::kWrite, .file = file, .at = place, .memory = block.span(), .may_block = true};
    return run_to_end(*disk_, write);
  };
  ASSERT_TRUE(write_at(0));
  EXPECT_EQ(run({.kind = Kind::kAllocate, .file = file, .bytes = room}).error(), (Error{Errc::kNoSpace, ENOSPC}));
  EXPECT_EQ(fs::file_size(small.path() + "/file"), Block::kBytes);
  ASSERT_TRUE(run_to_end(*disk_, free));
  EXPECT_GT(free.bytes, kMiB);  // nothing of what the failed call reserved is kept

  uint64_t end = Block::kBytes;
  auto written = write_at(end);
  for (; written && end < room; written = write_at(end)) end += Block::kBytes;
  ASSERT_FALSE(written);
  EXPECT_TRUE(written.error().code == Errc::kNoSpace || written.error().code == Errc::kShort);
  EXPECT_TRUE(write_at(0));  // what it has, it has
  EXPECT_TRUE(run({.kind = Kind::kCut, .file = filler, .bytes = 0}));
  EXPECT_TRUE(run({.kind = Kind::kFlushAll, .path = small.path()}));  // what was freed is for use again
  EXPECT_TRUE(write_at(end));
  EXPECT_TRUE(run({.kind = Kind::kAllocate, .file = file, .bytes = room / 2}));
  for (const FileHandle opened : {filler, file}) EXPECT_TRUE(run({.kind = Kind::kClose, .file = opened}));
}

INSTANTIATE_TEST_SUITE_P(Kinds, FullFileSystem, ::testing::Values("ext4", "xfs"));

}  // namespace
}  // namespace penstock::storage
