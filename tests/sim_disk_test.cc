// The simulated disk keeps what it promises and breaks what it is told to break: each fault has a test that sees it. A
// simulator whose faults do not strike would pass everything.
#include "tests/sim/sim_disk.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cerrno>
#include <deque>
#include <set>
#include <string>

#include "storage/api/folder.h"

namespace penstock::sim {
namespace {

using storage::DiskOp;
using storage::FileHandle;
using storage::FileOp;
using Op = DiskOp::Kind;
using Files = FileOp::Kind;

constexpr uint64_t kSeeds = 200;
constexpr size_t kBlock = 4096;
using Bytes = std::vector<std::byte>;

Bytes blocks_of(char fill, size_t count = 1) { return Bytes(count * kBlock, static_cast<std::byte>(fill)); }

// One disk with folder "d", and calls that run the clock until they are done.
struct Rig {
  explicit Rig(uint64_t seed) : disk(clock, seed) { disk.make_durable_dir("d"); }

  int64_t run(DiskOp op) {
    if (!storage::run_to_end(disk, op)) return op.result;
    return op.result;
  }
  std::optional<Errc> run(FileOp op) {
    const auto done = storage::run_to_end(disk, op);
    return done ? std::nullopt : std::optional(done.error().code);
  }
  FileHandle open(const std::string& path, bool create = false) { return disk.open(path, {.create = create}).value(); }
  FileHandle open_durable(const std::string& path) {
    const FileHandle file = open(path, true);
    disk.sync_dir("d").value();
    return file;
  }
  int64_t write(FileHandle file, Bytes bytes, uint64_t at = 0, Op kind = Op::kWrite) {
    return run(DiskOp{.kind = kind, .file = file, .at = at, .memory = bytes});
  }
  int64_t flush(FileHandle file) { return run(DiskOp{.kind = Op::kFlush, .file = file}); }
  int64_t read(FileHandle file, Bytes& into, uint64_t at = 0) {
    return run(DiskOp{.file = file, .at = at, .memory = into});
  }
  bool holds(const std::string& path, const Bytes& bytes) const {
    return disk.exists(path) && std::ranges::equal(disk.contents(path), bytes);
  }

  SimClock clock;
  SimDisk disk;
};

// Runs what over seeds; how often it was true.
uint64_t times(const auto& what) {
  uint64_t count = 0;
  for (uint64_t seed = 1; seed <= kSeeds; ++seed) {
    Rig rig(seed);
    count += what(rig) ? 1 : 0;
  }
  return count;
}
void expect_sometimes(uint64_t count) {
  EXPECT_GT(count, 0u);
  EXPECT_LT(count, kSeeds);
}

// ---------------------------------------------------------------- writes and crashes

TEST(SimDisk, AWriteIsDurableOnceFlushedAndADurableOneAtOnce) {
  EXPECT_EQ(times([](Rig& rig) {
              const FileHandle file = rig.open_durable("d/f");
              rig.write(file, blocks_of('a'));
              rig.flush(file);
              rig.write(file, blocks_of('b'), kBlock, Op::kWriteDurable);
              rig.disk.crash();
              Bytes both = blocks_of('a', 2);
              std::ranges::fill(std::span(both).subspan(kBlock), std::byte{'b'});
              return rig.holds("d/f", both);
            }),
            kSeeds);
}

TEST(SimDisk, AWriteThatIsNotFlushedIsKeptOrLost) {
  expect_sometimes(times([](Rig& rig) {
    const FileHandle file = rig.open_durable("d/f");
    rig.write(file, blocks_of('a'));
    rig.disk.crash();
    return rig.holds("d/f", blocks_of('a'));
  }));
}

TEST(SimDisk, AFlushCoversOnlyWhatHadCompletedBeforeIt) {
  expect_sometimes(times([](Rig& rig) {
    const FileHandle file = rig.open_durable("d/f");
    Bytes bytes = blocks_of('a');
    DiskOp write{.kind = Op::kWrite, .file = file, .memory = bytes};
    DiskOp flush{.kind = Op::kFlush, .file = file};
    rig.disk.submit(write);
    rig.disk.submit(flush);
    for (DiskOp* done = nullptr; rig.disk.ops_in_flight() > 0; rig.disk.wait(kSecond)) rig.disk.poll({&done, 1});
    rig.disk.crash();
    return rig.holds("d/f", bytes);
  }));
}

TEST(SimDisk, ANewerDurableWriteIsNotUndoneByAnOlderVolatileOne) {
  EXPECT_EQ(times([](Rig& rig) {
              const FileHandle file = rig.open_durable("d/f");
              rig.write(file, blocks_of('a', 3));
              rig.write(file, blocks_of('b'), kBlock, Op::kWriteDurable);
              rig.disk.crash();
              const auto middle = rig.disk.contents("d/f").subspan(kBlock, kBlock);
              return std::ranges::equal(middle, blocks_of('b'));
            }),
            kSeeds);
}

// A sector after a crash: 'o' as it was, 'n' as it was being written, '?' neither.
char fate_of(std::span<const std::byte> sector) {
  for (const char fate : {'o', 'n'})
    if (std::ranges::all_of(sector, [&](std::byte b) { return b == std::byte(fate); })) return fate;
  return '?';
}

// The lengths of runs of sectors with one fate, and how many sectors were spoiled.
struct AfterCrashes {
  std::set<size_t> runs;
  size_t spoiled = 0;
};

AfterCrashes after_crashes(uint64_t tear_unit) {
  AfterCrashes seen;
  times([&](Rig& rig) {
    rig.disk.faults().tear_unit = tear_unit;
    const FileHandle file = rig.open_durable("d/f");
    rig.write(file, blocks_of('o', 8), 0, Op::kWriteDurable);
    rig.write(file, blocks_of('n', 8));
    rig.disk.crash();
    std::string fates;
    const auto bytes = rig.disk.contents("d/f");
    for (size_t at = 0; at < bytes.size(); at += 512) fates += fate_of(bytes.subspan(at, 512));
    seen.spoiled += static_cast<size_t>(std::ranges::count(fates, '?'));
    for (size_t begin = 0, at = 1; at <= fates.size(); ++at) {
      if (at < fates.size() && fates[at] == fates[begin]) continue;
      seen.runs.insert(at - begin);
      begin = at;
    }
    return true;
  });
  return seen;
}

TEST(SimDisk, APageTearsIntoSectorsUnlessToldNotTo) {
  const auto torn = after_crashes(512), whole = after_crashes(4096);
  EXPECT_EQ(*torn.runs.begin(), 1u);
  EXPECT_GT(torn.spoiled, 0u);
  EXPECT_EQ(*whole.runs.begin(), 8u);
  EXPECT_TRUE(std::ranges::all_of(whole.runs, [](size_t n) { return n % 8 == 0; }));
  EXPECT_EQ(whole.spoiled, 0u);
}

TEST(SimDisk, ALengthIsDurableOnceFlushed) {
  const auto shrink = [](Rig& rig, bool flushed) {
    const FileHandle file = rig.open_durable("d/f");
    rig.write(file, blocks_of('a', 2), 0, Op::kWriteDurable);
    rig.disk.resize(file, kBlock).value();
    if (flushed) rig.flush(file);
    rig.disk.crash();
    return rig.holds("d/f", blocks_of('a'));
  };
  EXPECT_EQ(times([&](Rig& rig) { return shrink(rig, true); }), kSeeds);
  expect_sometimes(times([&](Rig& rig) { return shrink(rig, false); }));
}

TEST(SimDisk, PowerGoesWhenTheNthOpIsSubmittedAndNothingIsTakenUntilItIsBack) {
  Rig rig(1);
  const FileHandle file = rig.open_durable("d/f");
  rig.disk.faults().power_off_in = 3;
  EXPECT_EQ(rig.write(file, blocks_of('a')), 4096);
  EXPECT_EQ(rig.run(FileOp{.kind = Files::kFreeBytes, .path = "d"}), std::nullopt);
  EXPECT_EQ(rig.run(FileOp{.kind = Files::kUnlink, .path = "d/f"}), Errc::kIo);
  EXPECT_TRUE(rig.disk.is_off());
  EXPECT_TRUE(rig.disk.exists("d/f"));
  EXPECT_EQ(rig.disk.open("d/f", {}).error().code, Errc::kIo);
  rig.disk.power_on();
  EXPECT_TRUE(rig.disk.open("d/f", {}));
}

// ---------------------------------------------------------------- faults of ops

TEST(SimDisk, TheNthWriteFailsOnce) {
  Rig rig(1);
  const FileHandle file = rig.open_durable("d/f");
  rig.disk.faults().fail_write_in = 2;
  EXPECT_EQ(rig.write(file, blocks_of('a')), 4096);
  EXPECT_EQ(rig.write(file, blocks_of('a')), -EIO);
  EXPECT_EQ(rig.write(file, blocks_of('a')), 4096);
}

TEST(SimDisk, WritesUnderAPathFailAlways) {
  Rig rig(1);
  rig.disk.make_durable_dir("d/logs");
  const FileHandle bad = rig.open("d/logs/1", true), good = rig.open("d/ring", true);
  rig.disk.faults().fail_writes_always = "d/logs/";
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(rig.write(bad, blocks_of('a')), -EIO);
    EXPECT_EQ(rig.write(bad, blocks_of('a'), 0, Op::kWriteDurable), -EIO);
    EXPECT_EQ(rig.write(good, blocks_of('a')), 4096);
  }
  rig.disk.faults().fail_writes_always.clear();
  EXPECT_EQ(rig.write(bad, blocks_of('a')), 4096);
}

TEST(SimDisk, TheNthWriteComesShort) {
  Rig rig(1);
  const FileHandle file = rig.open_durable("d/f");
  rig.disk.faults().short_write_in = 1;
  EXPECT_EQ(rig.write(file, blocks_of('a', 4)), 2 * 4096);
  EXPECT_TRUE(rig.holds("d/f", blocks_of('a', 2)));
  EXPECT_EQ(rig.write(file, blocks_of('a', 4)), 4 * 4096);
}

TEST(SimDisk, TheNthReadFailsOnceAndABadPlaceAlways) {
  Rig rig(1);
  const FileHandle file = rig.open_durable("d/f");
  rig.write(file, blocks_of('a', 4));
  Bytes into = blocks_of('-');
  rig.disk.faults().read_eio_in = 2;
  EXPECT_EQ(rig.read(file, into), 4096);
  EXPECT_EQ(rig.read(file, into), -EIO);
  EXPECT_EQ(rig.read(file, into), 4096);
  rig.disk.faults().fail_reads.push_back({"d/f", 2 * kBlock + 7, 1});
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(rig.read(file, into, 2 * kBlock), -EIO);
    EXPECT_EQ(rig.read(file, into, kBlock), 4096);
    EXPECT_EQ(rig.read(file, into, 3 * kBlock), 4096);
  }
  const FileHandle other = rig.open_durable("d/g");
  rig.write(other, blocks_of('a', 4));
  EXPECT_EQ(rig.read(other, into, 2 * kBlock), 4096);
}

TEST(SimDisk, ADurableWriteThatLiesIsVolatile) {
  expect_sometimes(times([](Rig& rig) {
    const FileHandle file = rig.open_durable("d/f");
    rig.disk.faults().lie_in = 1;
    rig.write(file, blocks_of('a'), 0, Op::kWriteDurable);
    rig.disk.crash();
    return rig.holds("d/f", blocks_of('a'));
  }));
}

TEST(SimDisk, AMisdirectedWriteLandsElsewhere) {
  Rig rig(1);
  const FileHandle file = rig.open_durable("d/f");
  rig.disk.resize(file, 2 * kMiB).value();
  rig.disk.faults().misdirect_write_in = 1;
  EXPECT_EQ(rig.write(file, blocks_of('a'), 0, Op::kWriteDurable), 4096);
  EXPECT_EQ(rig.disk.contents("d/f")[0], std::byte{0});
  EXPECT_EQ(rig.disk.contents("d/f")[kMiB], std::byte{'a'});
}

TEST(SimDisk, WhatAFailedFlushLostNoLaterFlushBringsBack) {
  expect_sometimes(times([](Rig& rig) {
    const FileHandle file = rig.open_durable("d/f");
    rig.write(file, blocks_of('a'));
    rig.disk.faults().flush_fails_in = 1;
    EXPECT_EQ(rig.flush(file), -EIO);
    EXPECT_TRUE(rig.holds("d/f", blocks_of('a')));  // reads still see it
    EXPECT_EQ(rig.flush(file), 0);
    rig.disk.crash();
    return rig.holds("d/f", blocks_of('a'));
  }));
}

TEST(SimDisk, AFlushThatLiesDidNothingAndTheNextDoesIt) {
  const auto flush_times = [](Rig& rig, int flushes) {
    const FileHandle file = rig.open_durable("d/f");
    rig.write(file, blocks_of('a'));
    rig.disk.faults().flush_lies_in = 1;
    for (int i = 0; i < flushes; ++i) EXPECT_EQ(rig.flush(file), 0);
    rig.disk.crash();
    return rig.holds("d/f", blocks_of('a'));
  };
  expect_sometimes(times([&](Rig& rig) { return flush_times(rig, 1); }));
  EXPECT_EQ(times([&](Rig& rig) { return flush_times(rig, 2); }), kSeeds);
}

TEST(SimDisk, ASlowDiskTakesItsFactorLonger) {
  Rig fast(1), slow(1);
  slow.disk.faults().slow_disk = 50;
  const Nanos begin = fast.clock.monotonic();
  for (Rig* rig : {&fast, &slow}) rig->flush(rig->open_durable("d/f"));
  EXPECT_EQ(slow.clock.monotonic() - begin, 50 * (fast.clock.monotonic() - begin));
}

TEST(SimDisk, AWriteThatMayBlockIsNeverPunted) {
  Rig rig(1);
  rig.disk.faults().punt_percent = 100;
  const FileHandle file = rig.open_durable("d/f");
  Bytes bytes = blocks_of('a');
  DiskOp may{.kind = Op::kWrite, .file = file, .memory = bytes, .may_block = true};
  DiskOp may_not{.kind = Op::kWrite, .file = file, .memory = bytes};
  ASSERT_TRUE(storage::run_to_end(rig.disk, may));
  ASSERT_TRUE(storage::run_to_end(rig.disk, may_not));
  EXPECT_FALSE(may.punted);
  EXPECT_TRUE(may_not.punted);
}

// ---------------------------------------------------------------- space

TEST(SimDisk, AFullDiskTakesWhatItHasRoomForAndFreedSpaceIsRoomAgain) {
  Rig rig(1);
  rig.disk.faults().capacity_bytes = 10 * kBlock;
  const FileHandle a = rig.open_durable("d/a"), b = rig.open_durable("d/b");
  EXPECT_EQ(rig.run(FileOp{.kind = Files::kAllocate, .file = a, .bytes = 8 * kBlock}), std::nullopt);
  EXPECT_EQ(rig.write(b, blocks_of('b', 2)), 2 * 4096);
  EXPECT_EQ(rig.disk.free_bytes("d").value(), 0u);
  EXPECT_EQ(rig.write(b, blocks_of('c'), 2 * kBlock), -ENOSPC);
  EXPECT_TRUE(rig.holds("d/b", blocks_of('b', 2)));
  EXPECT_EQ(rig.run(FileOp{.kind = Files::kAllocate, .file = b, .bytes = 3 * kBlock}), Errc::kNoSpace);
  EXPECT_EQ(rig.disk.resize(b, 3 * kBlock), Result<void>(fail(Errc::kNoSpace, ENOSPC)));
  EXPECT_EQ(rig.disk.size(b).value(), 2 * kBlock);
  EXPECT_EQ(rig.write(a, blocks_of('a'), 7 * kBlock), 4096);  // what is reserved may be written
  EXPECT_EQ(rig.write(b, blocks_of('c')), 4096);              // and what is there written again

  EXPECT_EQ(rig.run(FileOp{.kind = Files::kUnlink, .path = "d/a"}), std::nullopt);
  EXPECT_EQ(rig.write(b, blocks_of('c'), 2 * kBlock), -ENOSPC);  // it is open still
  EXPECT_EQ(rig.run(FileOp{.kind = Files::kClose, .file = a}), std::nullopt);
  EXPECT_EQ(rig.disk.free_bytes("d").value(), 8 * kBlock);
  EXPECT_EQ(rig.write(b, blocks_of('c'), 2 * kBlock), 4096);
  rig.disk.faults().capacity_bytes = 0;
  EXPECT_EQ(rig.write(b, blocks_of('c', 20), 3 * kBlock), 20 * 4096);
}

TEST(SimDisk, AllocateNeverShortens) {
  Rig rig(1);
  const FileHandle file = rig.open_durable("d/f");
  rig.write(file, blocks_of('a', 2));
  EXPECT_EQ(rig.run(FileOp{.kind = Files::kAllocate, .file = file, .bytes = kBlock}), std::nullopt);
  EXPECT_TRUE(rig.holds("d/f", blocks_of('a', 2)));
}

TEST(SimDisk, TheNthExtensionFindsNoSpaceOnce) {
  Rig rig(1);
  const FileHandle file = rig.open_durable("d/f");
  rig.disk.faults().enospc_in = 2;
  EXPECT_EQ(rig.write(file, blocks_of('a')), 4096);
  EXPECT_EQ(rig.write(file, blocks_of('a')), 4096);  // no extension
  EXPECT_EQ(rig.run(FileOp{.kind = Files::kAllocate, .file = file, .bytes = 2 * kBlock}), Errc::kNoSpace);
  EXPECT_EQ(rig.run(FileOp{.kind = Files::kAllocate, .file = file, .bytes = 2 * kBlock}), std::nullopt);
  rig.disk.faults().enospc_in = 1;
  EXPECT_EQ(rig.write(file, blocks_of('a'), 2 * kBlock), -ENOSPC);
  EXPECT_EQ(rig.write(file, blocks_of('a'), 2 * kBlock), 4096);
}

// ---------------------------------------------------------------- names

TEST(SimDisk, AFileWhoseFolderWasNotSyncedMayVanish) {
  const auto survives = [](Rig& rig, bool lose) {
    rig.disk.faults().lose_unsynced_names = lose;
    rig.write(rig.open("d/f", true), blocks_of('a'), 0, Op::kWriteDurable);
    rig.disk.crash();
    return rig.holds("d/f", blocks_of('a'));
  };
  expect_sometimes(times([&](Rig& rig) { return survives(rig, true); }));
  EXPECT_EQ(times([&](Rig& rig) { return survives(rig, false); }), kSeeds);
}

TEST(SimDisk, AnUnlinkWhoseFolderWasNotSyncedMayComeBack) {
  const auto is_back = [](Rig& rig, bool synced) {
    rig.write(rig.open_durable("d/f"), blocks_of('a'), 0, Op::kWriteDurable);
    EXPECT_EQ(rig.run(FileOp{.kind = Files::kUnlink, .path = "d/f"}), std::nullopt);
    EXPECT_FALSE(rig.disk.exists("d/f"));
    if (synced) rig.disk.sync_dir("d").value();
    rig.disk.crash();
    EXPECT_TRUE(!rig.disk.exists("d/f") || rig.holds("d/f", blocks_of('a')));
    return rig.disk.exists("d/f");
  };
  expect_sometimes(times([&](Rig& rig) { return is_back(rig, false); }));
  EXPECT_EQ(times([&](Rig& rig) { return is_back(rig, true); }), 0u);
}

TEST(SimDisk, ARenameIsAllOrNothing) {
  expect_sometimes(times([](Rig& rig) {
    rig.open_durable("d/old");
    rig.disk.rename("d/old", "d/new").value();
    rig.disk.crash();
    EXPECT_NE(rig.disk.exists("d/old"), rig.disk.exists("d/new"));
    return rig.disk.exists("d/new");
  }));
}

TEST(SimDisk, SyncingOneFolderSaysNothingOfAnother) {
  const auto survives = [](Rig& rig, const char* synced) {
    rig.disk.make_dir("d/logs").value();
    rig.open("d/logs/1", true);
    rig.disk.sync_dir("d/logs").value();
    if (synced != nullptr) rig.disk.sync_dir(synced).value();
    rig.disk.crash();
    return rig.disk.exists("d/logs/1");
  };
  expect_sometimes(times([&](Rig& rig) { return survives(rig, nullptr); }));  // the folder itself was not synced
  EXPECT_EQ(times([&](Rig& rig) { return survives(rig, "d"); }), kSeeds);
}

TEST(SimDisk, FoldersAreThereBeforeWhatLiesInThemAndEmptyWhenTheyGo) {
  Rig rig(1);
  EXPECT_EQ(rig.disk.open("d/logs/1", {.create = true}).error().code, Errc::kNotFound);
  EXPECT_EQ(rig.run(FileOp{.kind = Files::kMakeDir, .path = "d/logs"}), std::nullopt);
  EXPECT_EQ(rig.run(FileOp{.kind = Files::kMakeDir, .path = "d/logs"}), std::nullopt);
  rig.open("d/logs/1", true);
  rig.open("d/ring", true);
  EXPECT_EQ(rig.disk.list("d").value(), (std::vector<std::string>{"logs", "ring"}));  // not what lies below
  EXPECT_EQ(rig.run(FileOp{.kind = Files::kRemoveDir, .path = "d/logs"}), Errc::kExists);
  EXPECT_EQ(rig.run(FileOp{.kind = Files::kUnlink, .path = "d/logs/1"}), std::nullopt);
  EXPECT_EQ(rig.run(FileOp{.kind = Files::kRemoveDir, .path = "d/logs"}), std::nullopt);
  EXPECT_EQ(rig.run(FileOp{.kind = Files::kRemoveDir, .path = "d/logs"}), Errc::kNotFound);
}

TEST(SimDisk, FlushAllMakesEveryFileAndNameDurable) {
  const auto survives = [](Rig& rig, bool flushed) {
    rig.disk.make_dir("d/logs").value();
    const FileHandle one = rig.open("d/logs/1", true), two = rig.open("d/logs/2", true);
    rig.write(one, blocks_of('1'));
    rig.write(two, blocks_of('2'));
    FileOp flush{.kind = Files::kFlushAll, .path = "d"};
    if (flushed && rig.run(flush)) return false;
    rig.disk.crash();
    return rig.holds("d/logs/1", blocks_of('1')) && rig.holds("d/logs/2", blocks_of('2'));
  };
  EXPECT_EQ(times([&](Rig& rig) { return survives(rig, true); }), kSeeds);
  expect_sometimes(times([&](Rig& rig) { return survives(rig, false); }));
  // The faults of flushes strike here too.
  const auto after_fault = [&](Rig& rig, uint64_t DiskFaults::* fault) {
    const FileHandle file = rig.open_durable("d/f");
    rig.write(file, blocks_of('a'));
    rig.disk.faults().*fault = 1;
    const auto failed = rig.run(FileOp{.kind = Files::kFlushAll, .path = "d"});
    EXPECT_EQ(failed.has_value(), fault == &DiskFaults::flush_fails_in);
    rig.disk.crash();
    return rig.holds("d/f", blocks_of('a'));
  };
  expect_sometimes(times([&](Rig& rig) { return after_fault(rig, &DiskFaults::flush_fails_in); }));
  expect_sometimes(times([&](Rig& rig) { return after_fault(rig, &DiskFaults::flush_lies_in); }));
}

TEST(SimDisk, FlushAllCoversOnlyWhatHadCompletedBeforeIt) {
  expect_sometimes(times([](Rig& rig) {
    const FileHandle file = rig.open_durable("d/f");
    FileOp flush{.kind = Files::kFlushAll, .path = "d"};
    rig.disk.submit(flush);
    rig.disk.faults().delay_min = rig.disk.faults().delay_max = 0;
    rig.write(file, blocks_of('a'));
    for (FileOp* done = nullptr; rig.disk.poll({&done, 1}) == 0;) rig.disk.wait(kSecond);
    rig.disk.crash();
    return rig.holds("d/f", blocks_of('a'));
  }));
}

// ---------------------------------------------------------------- FileOps

TEST(SimDisk, FileOpsAreDoneInTheirOrderAndNotBeforeTheirTime) {
  Rig rig(7);
  std::deque<FileOp> ops;
  ops.push_back({.kind = Files::kOpen, .path = "d/0", .mode = {.create = true}});
  for (int i = 0; i < 50; ++i)
    ops.push_back({.kind = Files::kRename, .path = "d/" + std::to_string(i), .to = "d/" + std::to_string(i + 1)});
  for (FileOp& op : ops) rig.disk.submit(op);
  EXPECT_FALSE(rig.disk.exists("d/0"));
  for (FileOp& op : ops) {
    FileOp* done = nullptr;
    while (rig.disk.poll({&done, 1}) == 0) rig.disk.wait(kSecond);
    ASSERT_EQ(done, &op);
    EXPECT_FALSE(op.error);
    EXPECT_FALSE(op.in_flight);
  }
  EXPECT_TRUE(rig.disk.exists("d/50"));
}

TEST(SimDisk, PowerLeavesTheFirstOfTheFileOpsDone) {
  std::set<size_t> kept;
  times([&](Rig& rig) {
    rig.disk.faults().lose_unsynced_names = false;
    {
      std::deque<FileOp> ops;  // gone before power is back, as their owner is
      for (int i = 0; i < 5; ++i)
        ops.push_back({.kind = Files::kOpen, .path = "d/" + std::to_string(i), .mode = {.create = true}});
      for (FileOp& op : ops) rig.disk.submit(op);
      rig.disk.lose_power();
    }
    rig.disk.power_on();
    size_t there = 0;
    while (there < 5 && rig.disk.exists("d/" + std::to_string(there))) ++there;
    EXPECT_EQ(rig.disk.list("d").value().size(), there);
    kept.insert(there);
    return true;
  });
  EXPECT_EQ(kept.size(), 6u);
}

TEST(SimDisk, ASeedGivesTheSameTraceAndAnotherAnotherOne) {
  const auto trace = [](uint64_t seed) {
    Rig rig(seed);
    const FileHandle file = rig.open_durable("d/f");
    for (int i = 0; i < 10; ++i) {
      rig.write(file, blocks_of('a'));
      rig.run(FileOp{.kind = Files::kList, .path = "d"});
    }
    return rig.disk.trace_hash();
  };
  EXPECT_EQ(trace(1), trace(1));
  EXPECT_NE(trace(1), trace(2));
}

TEST(SimDisk, ADataFolderIsThereAfterACrash) {
  EXPECT_EQ(times([](Rig& rig) {
              Prng prng(1);
              const auto made = storage::open_folder(rig.disk, prng, "d/data");
              rig.disk.crash();
              const auto again = storage::open_folder(rig.disk, prng, "d/data");
              return made && again && made->id == again->id;
            }),
            kSeeds);
}

using SimDiskDeath = ::testing::Test;
TEST(SimDiskDeath, WhatBreaksTheSeamsRulesIsABug) {
  Rig rig(1);
  const FileHandle file = rig.open_durable("d/f");
  Bytes bytes = blocks_of('a');
  DiskOp write{.kind = Op::kWrite, .file = file, .memory = bytes};
  DiskOp askew{.kind = Op::kWrite, .file = file, .at = 1, .memory = bytes};
  FileOp close{.kind = Files::kClose, .file = file};
  EXPECT_DEATH(rig.disk.submit(askew), "kBlock");  // direct I/O is of whole blocks
  rig.disk.submit(write);
  EXPECT_DEATH(rig.disk.submit(write), "in_flight");
  EXPECT_DEATH(rig.disk.submit(close), "flight.dead");  // ops of a file that closes
  std::deque<DiskOp> flushes(storage::Disk::kOpsInFlightMax, {.kind = Op::kFlush, .file = file});
  EXPECT_DEATH(
      {
        for (DiskOp& op : flushes) rig.disk.submit(op);
      },
      "kOpsInFlightMax");
}

}  // namespace
}  // namespace penstock::sim
