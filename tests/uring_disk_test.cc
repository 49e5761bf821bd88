// The real Disk on real files under direct I/O, and a Store on it, killed by forgetting it and opened again.
#include "storage/api/uring_disk.h"

#include <gtest/gtest.h>
#include <poll.h>

#include <array>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <thread>

#include "base/doorbell.h"
#include "base/log.h"
#include "base/system_clock.h"
#include "storage/api/folder.h"
#include "storage/io/uring_disk.h"
#include "tests/sim/store_model.h"

namespace penstock::storage {
namespace {

class Folders : public testing::Test {
 protected:
  void SetUp() override {
    set_log_sink([](LogLevel, std::string_view) {});
    char name[] = "uring_disk_test.XXXXXX";  // in the build folder: a real file system, not a tmpfs
    ASSERT_NE(mkdtemp(name), nullptr);
    path_ = std::filesystem::absolute(name);
  }
  void TearDown() override { std::filesystem::remove_all(path_); }
  std::string path_;
};

struct Memory {
  explicit Memory(size_t bytes) : at(static_cast<std::byte*>(std::aligned_alloc(4096, bytes))), size(bytes) {}
  ~Memory() { std::free(at); }
  std::span<std::byte> span() const { return {at, size}; }
  std::byte* at;
  size_t size;
};

TEST_F(Folders, BothDurableMethodsWriteAndReadBack) {
  auto disk = open_uring_disk();
  ASSERT_TRUE(disk) << disk.error().what;
  const auto file = (*disk)->open(path_ + "/file", {.create = true});
  ASSERT_TRUE(file);
  Memory out(1 << 20), in(1 << 20);
  Prng prng(1);
  for (const DurableMethod method : {DurableMethod::kDsync, DurableMethod::kLinkedFlush}) {
    (*disk)->set_durable_method(method);
    for (const size_t bytes : {size_t{4096}, size_t{1} << 20}) {
      prng.fill(out.span());
      DiskOp write{.kind = DiskOp::Kind::kWriteDurable, .file = *file, .at = 8192, .memory = out.span().first(bytes)};
      ASSERT_TRUE(run_to_end(**disk, write));
      DiskOp read{.file = *file, .at = 8192, .memory = in.span().first(bytes)};
      ASSERT_TRUE(run_to_end(**disk, read));
      EXPECT_TRUE(std::ranges::equal(out.span().first(bytes), in.span().first(bytes)));
    }
  }
  DiskOp behind{.file = *file, .at = 4 << 20, .memory = in.span()};
  EXPECT_EQ(run_to_end(**disk, behind).error().code, Errc::kShort);
  (*disk)->close(*file);
}

// A large memory is locked piece by piece by the thread that takes over; an op of any place works before and after.
TEST_F(Folders, ALargeMemoryIsLockedPieceByPiece) {
  constexpr size_t kBytes = 3 * UringDisk::kPieceBytesMin + 4096;
  Memory out(kBytes), in(4096);
  UringDisk disk;
  const auto file = disk.open(path_ + "/file", {.create = true});
  ASSERT_TRUE(file);
  Prng prng(2);
  sim::fill_fast(out.span(), prng);
  disk.register_memory(out.span());
  const auto works = [&](size_t at) {
    DiskOp write{.kind = DiskOp::Kind::kWrite, .file = *file, .at = at, .memory = out.span().subspan(at, 4096)};
    ASSERT_TRUE(run_to_end(disk, write));
    DiskOp read{.file = *file, .at = at, .memory = in.span()};
    ASSERT_TRUE(run_to_end(disk, read));
    EXPECT_TRUE(std::ranges::equal(write.memory, in.span())) << at;
  };
  const auto everywhere = [&] {
    for (size_t at = 0; at < kBytes; at += UringDisk::kPieceBytesMin) works(at);
  };
  everywhere();
  EXPECT_EQ(disk.locked_bytes(), 0u);
  std::thread lcore([&] {
    std::array<DiskOp*, 1> none;
    disk.poll(none);
    EXPECT_LE(disk.locked_bytes(), UringDisk::kPieceBytesMin);  // a piece a poll
    works(0);
    for (int i = 0; i < 10'000 && disk.locked_bytes() < kBytes; ++i) {
      works(4096);
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    EXPECT_EQ(disk.locked_bytes(), kBytes) << "is the locked-memory limit (ulimit -l) too low?";
    everywhere();
  });
  lcore.join();
  disk.close(*file);
}

TEST_F(Folders, AnArmedDoorbellRingsWhenAWriteCompletesOnAnotherThreadsRing) {
  auto disk = open_uring_disk();
  ASSERT_TRUE(disk) << disk.error().what;
  const auto file = (*disk)->open(path_ + "/file", {.create = true});
  Memory out(4096);
  std::thread lcore([&] {  // start-up's thread hands the disk over
    const Doorbell doorbell;
    (*disk)->arm_wakeup(doorbell.fd(), true);
    DiskOp write{.kind = DiskOp::Kind::kWriteDurable, .file = *file, .memory = out.span()};
    (*disk)->submit(write);
    DiskOp* done = nullptr;
    while ((*disk)->poll({&done, 1}) == 0) {
      pollfd waiting{.fd = doorbell.fd(), .events = POLLIN, .revents = 0};
      ASSERT_EQ(::poll(&waiting, 1, 10'000), 1);
      doorbell.clear();
    }
    EXPECT_EQ(done, &write);
    EXPECT_EQ(write.result, 4096);
  });
  lcore.join();
}

TEST_F(Folders, AFolderIsMadeLockedAndKnownAgain) {
  Prng prng(1);
  auto disk = open_uring_disk();
  ASSERT_TRUE(disk) << disk.error().what;
  const auto made = open_folder(**disk, prng, path_ + "/data");
  ASSERT_TRUE(made) << made.error().what;
  const auto second = open_folder(**disk, prng, path_ + "/data");
  ASSERT_FALSE(second);
  EXPECT_NE(second.error().what.find("is in use by another penstock"), std::string::npos) << second.error().what;
  (*disk)->close(made->lock);
  const auto again = open_folder(**disk, prng, path_ + "/data");
  ASSERT_TRUE(again) << again.error().what;
  EXPECT_EQ(again->id, made->id);
  (*disk)->close(again->lock);
  const auto write_version = [&](int version) {
    const auto file = (*disk)->open(path_ + "/data/folder", {.direct = false});
    std::string text = "penstock data folder\nformat_version = " + std::to_string(version) +
                       "\nid = 000102030405060708090a0b0c0d0e0f\n";
    text.resize(256, '\n');
    DiskOp write{.kind = DiskOp::Kind::kWrite, .file = *file, .memory = std::as_writable_bytes(std::span(text))};
    ASSERT_TRUE(run_to_end(**disk, write));
    (*disk)->close(*file);
  };
  // An older one becomes one of this format, and keeps its id.
  write_version(1);
  for (int i = 0; i < 2; ++i) {
    const auto older = open_folder(**disk, prng, path_ + "/data");
    ASSERT_TRUE(older) << older.error().what;
    EXPECT_EQ(older->format_version, kFormatVersion);
    EXPECT_EQ(older->id.bytes[15], 0x0f);
    (*disk)->close(older->lock);
  }
  std::ifstream now(path_ + "/data/folder");
  std::string line;
  std::getline(now, line);
  std::getline(now, line);
  EXPECT_EQ(line, "format_version = 3");
  // A newer one is refused by name.
  write_version(kFormatVersion + 1);
  const auto newer = open_folder(**disk, prng, path_ + "/data");
  ASSERT_FALSE(newer);
  EXPECT_NE(newer.error().what.find("has format 4"), std::string::npos) << newer.error().what;
}

TEST_F(Folders, AFolderWithNoFolderAboveItSaysSo) {
  Prng prng(1);
  auto disk = open_uring_disk();
  ASSERT_TRUE(disk) << disk.error().what;
  const auto made = open_folder(**disk, prng, path_ + "/none/data");
  ASSERT_FALSE(made);
  EXPECT_NE(made.error().what.find("make the folder above it first"), std::string::npos) << made.error().what;
}

TEST_F(Folders, TheDurableMethodIsMeasured) {
  SystemClock clock;
  auto disk = open_uring_disk();
  ASSERT_TRUE(disk) << disk.error().what;
  EXPECT_TRUE(measure_durable_method(**disk, clock, path_, 0));
  EXPECT_TRUE(std::filesystem::is_empty(path_));
}

TEST_F(Folders, AStoreForgottenInTheMiddleHasAllThatWasAcked) {
  SystemClock clock;
  Prng prng(1);
  StorageCounters counters;
  sim::HeapPool pool;
  sim::LogModel model;
  Memory memory(4 << 20);
  for (int life = 0; life < 4; ++life) {
    auto disk = open_uring_disk();
    ASSERT_TRUE(disk) << disk.error().what;
    const LogToOpen live[] = {{LogId{1}}};
    StoreRequest request{.folder = path_,
                         .disk = disk->get(),
                         .clock = &clock,
                         .prng = &prng,
                         .counters = &counters,
                         .live_logs = life == 0 ? std::span<const LogToOpen>() : live,
                         .next_log_id = LogId{2}};
    request.options.ring_bytes = 4 << 20;
    request.allocate = [&](size_t) { return memory.span(); };
    auto store = Store::open(request);
    ASSERT_TRUE(store) << store.error().what;
    (*store)->open_log(LogId{1});
    ASSERT_EQ(model.settle_after_crash(*sim::read_all(**store, LogId{1}, [&] { (*store)->poll(); })), "");
    Lsn last;
    for (int i = 0; i < 200; ++i) {
      const auto batch = sim::random_batch(prng, 3, i % 50 == 0 ? 20'000 : 200);
      const auto result = (*store)->append(LogId{1}, LeaderEpoch{0}, pool.chain_of(batch, prng), 0, batch.size());
      ASSERT_EQ(result.status, AppendStatus::kAppended);
      model.take(result.base_offset.value(), batch);
      last = result.durable_at;
      (*store)->submit();
      (*store)->poll();
    }
    while ((*store)->durable() < last) {
      (*store)->submit();
      (*store)->poll();
      ASSERT_FALSE((*store)->poisoned());
    }
    for (auto& batch : model.batches) batch.acked = true;
  }
  EXPECT_EQ(counters.get(Metric::ring_punts), 0u);
  EXPECT_EQ(counters.get(Metric::bytes_copied), counters.get(Metric::bytes_appended));
}

}  // namespace
}  // namespace penstock::storage
