// Faults of the drive: what a failed, short, lying or misdirected write and damage at rest may and may not do. Each
// test runs over seeds; the property is always: an acked record reads back, or the folder is refused by name.
#include <gtest/gtest.h>

#include <cstdlib>
#include <cstring>
#include <map>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/log.h"
#include "storage/api/folder.h"
#include "storage/ring/frame.h"
#include "storage/ring/state_slots.h"
#include "tests/sim/store_rig.h"

namespace penstock::sim {
namespace {

using storage::AppendStatus;
using storage::Metric;

uint64_t seeds() {
  const char* text = std::getenv("PENSTOCK_SIM_SEEDS");
  return std::max<uint64_t>(20, text == nullptr ? 0 : std::strtoull(text, nullptr, 10) / 20);
}

class StoreFaults : public testing::Test {
 protected:
  void SetUp() override {
    set_log_sink([](LogLevel, std::string_view) {});
  }
};

// Every file below data, by path.
std::map<std::string, std::vector<std::byte>> files_of(SimDisk& disk) {
  std::map<std::string, std::vector<std::byte>> files;
  const auto add = [&](const std::string& folder) {
    const auto names = disk.list(folder).value();
    for (const std::string& name : names) {
      const std::string path = folder + "/" + name;
      if (path == "data/logs") continue;
      const auto bytes = disk.contents(path);
      files[path].assign(bytes.begin(), bytes.end());
    }
  };
  add("data");
  const auto logs = disk.list("data/logs").value_or(std::vector<std::string>());  // a crash may leave none
  for (const std::string& log : logs) add("data/logs/" + log);
  return files;
}

void work(StoreRig& rig, int appends) {
  for (int i = 0; i < appends; ++i) {
    rig.append(rig.prng.one_in(20) ? 100'000 : 200);
    if (rig.prng.one_in(3)) rig.turn();
  }
}

TEST_F(StoreFaults, AFailedRingWriteFencesTheRingAndLosesNothingAcked) {
  uint64_t elsewhere = 0;
  for (uint64_t seed = 1; seed <= seeds(); ++seed) {
    StoreRig rig(seed);
    ASSERT_EQ(rig.open(), "");
    work(rig, 20);
    (rig.prng.one_in(2) ? rig.disk.faults().fail_write_in : rig.disk.faults().short_write_in) = rig.prng.between(1, 10);
    work(rig, 60);
    rig.settle();
    if (rig.counters.get(Metric::ring_write_failures) == 0) {  // the write that failed was a segment's or a sidecar's
      ASSERT_FALSE(rig.store->poisoned()) << seed;
      elsewhere += 1;
      continue;
    }
    ASSERT_TRUE(rig.store->poisoned()) << seed;
    ASSERT_FALSE(rig.append());
    EXPECT_EQ(rig.counters.get(Metric::ring_write_failures), 1u);
    ASSERT_EQ(rig.check_acked(), "") << seed;  // what was durable is still served
    rig.crash();
    ASSERT_EQ(rig.open(), "");
    ASSERT_EQ(rig.check_acked(), "") << seed;
  }
  EXPECT_LE(elsewhere, seeds() / 20);
}

TEST_F(StoreFaults, AStartWhoseFirstWriteFailsSaysWhy) {
  StoreRig rig(1);
  ASSERT_EQ(rig.open(), "");
  work(rig, 20);
  rig.stop();
  const auto line = [&](uint64_t& fault, uint64_t n) {
    fault = n;
    const std::string said = rig.open();
    rig.crash();
    return said;
  };
  // The state slot of the new generation, and then the frame that opens it.
  DiskFaults& faults = rig.disk.faults();
  EXPECT_TRUE(line(faults.fail_write_in, 1).starts_with("cannot write data/ring-0.state-"));
  EXPECT_NE(line(faults.fail_write_in, 1).find(": I/O error (errno 5)"), std::string::npos);
  EXPECT_NE(line(faults.short_write_in, 1).find(": short transfer"), std::string::npos);
  EXPECT_NE(line(faults.fail_write_in, 2).find("cannot write data/ring-0: I/O error (errno 5)"), std::string::npos);
  EXPECT_NE(line(faults.short_write_in, 2).find("cannot write data/ring-0: short transfer"), std::string::npos);
  ASSERT_EQ(rig.open(), "");
  EXPECT_EQ(rig.check_acked(), "");
}

TEST_F(StoreFaults, OnAFullDriveTheDurableMethodIsADefault) {
  StoreRig rig(1);
  ASSERT_EQ(rig.open(), "");
  rig.disk.faults().capacity_bytes = rig.disk.allocated_bytes();
  const auto method = storage::measure_durable_method(rig.disk, rig.clock, "data", 0);
  ASSERT_TRUE(method);
  EXPECT_EQ(*method, storage::DurableMethod::kLinkedFlush);
  EXPECT_FALSE(rig.disk.exists("data/scratch"));
  rig.disk.faults().capacity_bytes = 0;
  rig.disk.faults().short_write_in = 1;  // nearly full
  EXPECT_TRUE(storage::measure_durable_method(rig.disk, rig.clock, "data", 0));
  rig.disk.faults().fail_write_in = 3;
  const auto failed = storage::measure_durable_method(rig.disk, rig.clock, "data", 0);
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error(), (Error{Errc::kIo, 5}));
  EXPECT_FALSE(rig.disk.exists("data/scratch"));
}

TEST_F(StoreFaults, WhatAStartFindsInTheRingIsOwedToTheDriveUntilItIsWritten) {
  StoreRig rig(1);
  ASSERT_EQ(rig.open(), "");
  work(rig, 100);
  rig.settle();
  const uint64_t owed = rig.counters.get(Metric::bytes_to_destage);
  ASSERT_GT(owed, 0u);
  rig.crash();
  ASSERT_EQ(rig.open(), "");
  EXPECT_GE(rig.counters.get(Metric::bytes_to_destage), owed);
  ASSERT_TRUE(rig.append());
  rig.stop();
  EXPECT_EQ(rig.counters.get(Metric::bytes_to_destage), 0u);
}

TEST_F(StoreFaults, AFlippedBitIsRefusedByNameOrDidNotMatter) {
  uint64_t refused = 0;
  for (uint64_t seed = 1; seed <= seeds(); ++seed) {
    StoreRig rig(seed);
    ASSERT_EQ(rig.open(), "");
    work(rig, 60);
    rig.settle();
    const uint64_t used = rig.counters.get(Metric::ring_used_bytes);
    rig.crash();  // after a stop nothing in the ring is needed
    rig.disk.flip_bit(StoreRig::kRing, rig.prng.below(used), static_cast<unsigned>(rig.prng.below(8)));
    const std::string line = rig.open();
    if (line.empty()) {
      ASSERT_EQ(rig.check_acked(), "") << seed;
      continue;
    }
    refused += 1;
    EXPECT_NE(line.find("data/ring-0 is damaged at lsn"), std::string::npos) << line;
    EXPECT_NE(line.find("log 1 from offset"), std::string::npos) << line;
    EXPECT_NE(line.find("--accept-loss-at"), std::string::npos) << line;
  }
  EXPECT_GT(refused, 0u);
}

TEST_F(StoreFaults, TheOperatorMayAcceptTheLoss) {
  StoreRig rig(3);
  ASSERT_EQ(rig.open(), "");
  work(rig, 60);
  rig.settle();
  rig.crash();
  rig.disk.flip_bit(StoreRig::kRing, 4096 * 3 + storage::FrameLayout::lsn, 2);
  const std::string line = rig.open();
  const std::string marker = "--accept-loss-at ";
  const size_t at = line.find(marker);
  ASSERT_NE(at, std::string::npos) << line;
  const uint64_t lsn = std::strtoull(line.c_str() + at + marker.size(), nullptr, 10);
  ASSERT_NE(rig.open(lsn + 4096), "");  // only the place that was named
  ASSERT_EQ(rig.open(lsn), "");
  rig.stop();
  ASSERT_EQ(rig.open(), "");  // and it stays accepted
}

TEST_F(StoreFaults, AMisdirectedOrLyingWriteIsRefusedOnceAnotherFollowed) {
  uint64_t refused = 0;
  for (uint64_t seed = 1; seed <= seeds(); ++seed) {
    StoreRig rig(seed);
    ASSERT_EQ(rig.open(), "");
    work(rig, 20);
    rig.settle();
    const bool lie = rig.prng.one_in(2);
    (lie ? rig.disk.faults().lie_in : rig.disk.faults().misdirect_write_in) = 1;
    rig.append();
    rig.settle();  // the frame that goes astray, then its seal
    work(rig, 10);
    rig.settle();
    rig.crash();
    const std::string line = rig.open();
    if (line.empty()) {
      ASSERT_EQ(rig.check_acked(), "") << seed;
    } else {
      refused += 1;
      EXPECT_NE(line.find("data/ring-0"), std::string::npos) << line;
    }
  }
  EXPECT_GT(refused, 0u);
}

TEST_F(StoreFaults, OnlyTheVeryLastFrameBeforeItsSealLooksTorn) {
  StoreRig rig(11);
  ASSERT_EQ(rig.open(), "");
  rig.append();
  rig.turn();
  rig.turn();
  ASSERT_EQ(rig.acked(), 1u);
  const uint64_t used = rig.counters.get(Metric::ring_used_bytes);
  rig.crash();
  rig.disk.flip_bit(StoreRig::kRing, align_down(used - 1, 4096) - 4096 + storage::kFrameHeaderBytes + 30, 0);
  EXPECT_EQ(rig.open(), "");  // the one stated exception: no seal vouched for it yet
}

TEST_F(StoreFaults, DamagedStateSlotsAreRefusedByNameOneAloneIsNot) {
  StoreRig rig(5);
  ASSERT_EQ(rig.open(), "");
  work(rig, 10);
  rig.settle();
  rig.stop();
  rig.disk.flip_bit(StoreRig::kStates[1], 20, 1);
  ASSERT_EQ(rig.open(), "");
  ASSERT_EQ(rig.check_acked(), "");
  rig.crash();
  for (const char* state : StoreRig::kStates) rig.disk.flip_bit(state, 20, 1);
  EXPECT_NE(rig.open().find("both state slots of data/ring-0 are damaged"), std::string::npos);
}

TEST_F(StoreFaults, ABatchOfALogThatWasNeverIssuedIsRefused) {
  StoreRig rig(6);
  ASSERT_EQ(rig.open(), "");
  work(rig, 10);
  rig.settle();
  rig.crash();
  rig.logs.erase(2);
  rig.next_log = 2;
  EXPECT_NE(rig.open().find("never issued"), std::string::npos);
  rig.next_log = 3;  // issued and deleted: skipped
  EXPECT_EQ(rig.open(), "");
  EXPECT_EQ(rig.check_acked(), "");
}

// After a clean stop the ring is not read: the slot tells of the log, and after that slot is gone its folder does.
TEST_F(StoreFaults, ALogThatWasNeverIssuedIsRefusedAfterACleanStopToo) {
  StoreRig rig(6);
  ASSERT_EQ(rig.open(), "");
  work(rig, 10);
  rig.settle();
  rig.stop();
  const auto refuses = [&] {
    const auto before = files_of(rig.disk);
    const std::string line = rig.open();
    EXPECT_NE(line.find("never issued"), std::string::npos) << line;
    EXPECT_NE(line.find("put back the metadata.sqlite"), std::string::npos) << line;
    EXPECT_EQ(files_of(rig.disk), before);
  };
  const auto logs = rig.logs;
  rig.logs.clear();
  rig.next_log = 0;  // no metadata at all
  refuses();
  rig.logs = logs;
  rig.logs.erase(2);
  rig.next_log = 2;  // one from before log 2 was made
  refuses();
  rig.disk.unlink(StoreRig::kRing).value();
  rig.logs.clear();
  rig.next_log = 0;  // and no ring either
  refuses();
  EXPECT_FALSE(rig.disk.exists(StoreRig::kRing));
}

// The slot alone tells of a log that has no segments.
TEST_F(StoreFaults, ASlotThatDescribesALogThatWasNeverIssuedIsRefused) {
  for (const bool clean : {true, false}) {
    StoreRig rig(6, {1, 2, 7});
    ASSERT_EQ(rig.open(), "");
    for (int i = 0; i < 10; ++i) ASSERT_TRUE(rig.append_to(1, 200));
    rig.settle();
    rig.stop();
    ASSERT_EQ(rig.open(), "");
    clean ? rig.stop() : rig.crash();
    rig.logs.erase(7);
    rig.next_log = 7;
    const std::string line = rig.open();
    EXPECT_NE(line.find("data/ring-0 holds the state of 1 logs that this folder's metadata never issued"),
              std::string::npos)
        << line;
    rig.next_log = 8;  // issued, and deleted since
    ASSERT_EQ(rig.open(), "");
    EXPECT_EQ(rig.check_acked(), "");
  }
}

std::vector<std::byte> exchange(StoreRig& rig, const char* path, std::span<const std::byte> bytes) {
  const auto is = rig.disk.contents(path);
  std::vector<std::byte> was(is.begin(), is.end());
  EXPECT_EQ(was.size(), bytes.size());
  rig.disk.replace(path, 0, bytes);
  return was;
}

// As after files of two rings, or of two folders, were put back in each other's place.
TEST_F(StoreFaults, ARingOrSlotsOfAnotherRingAreRefusedByName) {
  for (uint64_t seed = 1; seed <= seeds(); ++seed) {
    StoreRig rig(seed);
    StoreRig other(seed + 1000);
    const auto live = [&](StoreRig& one) {
      ASSERT_EQ(one.open(), "");
      work(one, static_cast<int>(rig.prng.below(80)));
      one.settle();
      rig.prng.one_in(2) ? one.stop() : one.crash();
    };
    for (int lives = 0; lives < 2; ++lives) live(rig);
    live(other);
    const bool slots = rig.prng.one_in(2);
    std::vector<const char*> paths = {StoreRig::kRing};
    if (slots) paths.assign(StoreRig::kStates.begin(), StoreRig::kStates.end());
    std::vector<std::vector<std::byte>> own;
    for (const char* path : paths) own.push_back(exchange(rig, path, other.disk.contents(path)));
    const auto before = files_of(rig.disk);
    const std::string line = rig.open();
    EXPECT_NE(line.find("data/ring-0 is damaged at lsn"), std::string::npos) << seed << line;
    EXPECT_NE(line.find("not the ring that the state slots name"), std::string::npos) << seed << line;
    EXPECT_NE(line.find("Put back the ring and the two state files"), std::string::npos) << seed << line;
    EXPECT_EQ(files_of(rig.disk), before) << seed;
    for (size_t i = 0; i < paths.size(); ++i) exchange(rig, paths[i], own[i]);
    if (slots) {
      exchange(rig, paths[seed % 2], other.disk.contents(paths[seed % 2]));
      EXPECT_NE(rig.open().find("are of different rings"), std::string::npos) << seed;
      exchange(rig, paths[seed % 2], own[seed % 2]);
    }
    ASSERT_EQ(rig.open(), "") << seed;
    ASSERT_EQ(rig.check_acked(), "") << seed;
  }
}

// Where the other ring's frames stand, this one comes later: they are not found a second time.
TEST_F(StoreFaults, ALossByAnotherRingThatWasAcceptedStaysAccepted) {
  StoreRig rig(3);
  ASSERT_EQ(rig.open(), "");
  work(rig, 20);
  rig.settle();
  rig.stop();  // all of it is in segments
  StoreRig other(4);
  ASSERT_EQ(other.open(), "");
  while (other.counters.get(Metric::ring_used_bytes) < 2 * kMiB) {
    ASSERT_TRUE(other.append(60'000));
    other.turn();
  }
  other.settle();
  other.crash();
  exchange(rig, StoreRig::kRing, other.disk.contents(StoreRig::kRing));
  const std::string line = rig.open();
  const std::string marker = "--accept-loss-at ";
  const size_t at = line.find(marker);
  ASSERT_NE(at, std::string::npos) << line;
  ASSERT_EQ(rig.open(std::strtoull(line.c_str() + at + marker.size(), nullptr, 10)), "");
  uint64_t written = 0;
  for (int life = 0; life < 24; ++life) {
    for (int i = 0; i < 8; ++i) {
      if (rig.append(60'000)) written += 60'000;
      rig.turn();
    }
    rig.settle();
    rig.crash();
    ASSERT_EQ(rig.open(), "") << life;
    if (life % 8 != 7) continue;
    ASSERT_EQ(rig.check_acked(), "") << life;
  }
  EXPECT_GT(written, StoreRig::kRingBytes);
}

// A ring and its slots, all renamed: nothing in them contradicts itself, but their logs live elsewhere.
TEST_F(StoreFaults, ARingUnderAnothersNameIsRefused) {
  for (const bool clean : {true, false}) {
    StoreRig rig(13, {1, 2});
    ASSERT_EQ(rig.open(), "");
    work(rig, 30);
    rig.settle();
    clean ? rig.stop() : rig.crash();
    const auto own = rig.logs;
    rig.logs = {{3, {}}, {4, {}}};
    rig.is_foreign = [](storage::LogId log) { return log < storage::LogId{3}; };
    const auto before = files_of(rig.disk);
    const std::string line = rig.open();
    EXPECT_NE(line.find("live in another ring"), std::string::npos) << line;
    EXPECT_NE(line.find("put back the ring"), std::string::npos) << line;
    EXPECT_EQ(files_of(rig.disk), before);
    rig.logs = own;
    rig.is_foreign = [](storage::LogId log) { return log >= storage::LogId{3}; };
    ASSERT_EQ(rig.open(), "");
    EXPECT_EQ(rig.check_acked(), "");
  }
}

TEST_F(StoreFaults, AMissingRingIsNotMadeAgainOverLiveTopics) {
  StoreRig rig(7);
  ASSERT_EQ(rig.open(), "");
  work(rig, 5);
  rig.stop();
  rig.disk.make_durable_dir("elsewhere");
  ASSERT_TRUE(rig.disk.rename("data/ring-0", "elsewhere/ring-0"));
  rig.disk.sync_dir("data").value();
  ASSERT_FALSE(rig.disk.exists(StoreRig::kRing));
  const storage::LogToOpen live[] = {{storage::LogId{1}}};
  storage::StoreRequest request{.folder = "data",
                                .disk = &rig.disk,
                                .clock = &rig.clock,
                                .prng = &rig.prng,
                                .counters = &rig.counters,
                                .live_logs = live,
                                .next_log_id = storage::LogId{100}};
  const auto opened = storage::Store::open(request);
  ASSERT_FALSE(opened);
  EXPECT_NE(opened.error().what.find("ring-0 is missing"), std::string::npos);
}

TEST_F(StoreFaults, AFullRingRefusesAndADeletedTopicMakesRoom) {
  StoreRig rig(8);
  ASSERT_EQ(rig.open(), "");
  rig.disk.faults().fail_writes_always = "data/logs/";  // nothing leaves the ring
  int taken = 0;
  for (int i = 0; i < 4000 && rig.append(20'000); ++i, ++taken) rig.turn();
  ASSERT_LT(taken, 4000);
  EXPECT_GT(rig.counters.get(Metric::appends_refused_full), 0u);
  rig.settle();
  ASSERT_EQ(rig.check_acked(), "");
  // Space comes back only once the state that frees it is durable.
  rig.store->drop_log(storage::LogId{1});
  rig.store->drop_log(storage::LogId{2});
  rig.logs.clear();
  rig.logs[3] = {};
  rig.store->open_log(storage::LogId{3});
  const uint64_t states = rig.counters.get(Metric::state_writes);
  EXPECT_FALSE(rig.append(20'000));
  rig.settle();
  EXPECT_GT(rig.counters.get(Metric::state_writes), states);
  EXPECT_TRUE(rig.append(20'000));
  rig.settle();
  rig.crash();
  ASSERT_EQ(rig.open(), "");
  EXPECT_EQ(rig.check_acked(), "");
}

// A crash loop on a full ring must not use up what deleting needs.
TEST_F(StoreFaults, AFullRingOpensAsOftenAsItIsStarted) {
  StoreRig rig(9);
  ASSERT_EQ(rig.open(), "");
  rig.disk.faults().fail_writes_always = "data/logs/";
  for (int i = 0; i < 4000 && rig.append(20'000); ++i) rig.turn();
  rig.settle();
  const uint64_t acked = rig.acked();
  for (int start = 0; start < 300; ++start) {
    rig.prng.one_in(8) ? rig.stop() : rig.crash();
    ASSERT_EQ(rig.open(), "") << start;
    ASSERT_FALSE(rig.append(200'000)) << start;
    if (start % 50 == 0) {
      ASSERT_EQ(rig.check_acked(), "") << start;
    }
    if (rig.prng.one_in(2)) rig.settle();
  }
  ASSERT_EQ(rig.check_acked(), "");
  EXPECT_EQ(rig.acked(), acked);
  rig.store->drop_log(storage::LogId{1});
  rig.logs.erase(1);
  rig.settle();
  rig.store->drop_log(storage::LogId{2});
  rig.logs.erase(2);
  rig.logs[3] = {};
  rig.store->open_log(storage::LogId{3});
  rig.settle();
  EXPECT_TRUE(rig.append(20'000));
  rig.settle();
  rig.crash();
  ASSERT_EQ(rig.open(), "");
  EXPECT_EQ(rig.check_acked(), "");
}

// The last frames are vouched for by a state slot that was written behind them.
TEST_F(StoreFaults, DamageToFramesThatASlotVouchesForIsNoTornTail) {
  for (uint64_t back = 1; back <= 2; ++back) {
    StoreRig rig(12);
    ASSERT_EQ(rig.open(), "");
    work(rig, 10);
    rig.settle();
    rig.store->open_log(storage::LogId{50});
    rig.store->drop_log(storage::LogId{50});  // what a slot is written for
    rig.settle();
    rig.crash();
    const uint64_t head = storage::decode_slot(rig.disk.contents(rig.newest_state()))->ring.head.value();
    ASSERT_GT(head, 2u * 4096);
    rig.disk.flip_bit(StoreRig::kRing, head - back * 4096 + storage::FrameLayout::entries, 0);
    EXPECT_NE(rig.open().find("data/ring-0 is damaged at lsn"), std::string::npos) << back;
  }
}

// A clean stop has everything in segments: what happens to the ring's bytes before its end then does not matter.
TEST_F(StoreFaults, AfterACleanStopTheRingIsNotNeeded) {
  for (uint64_t seed = 1; seed <= seeds(); ++seed) {
    StoreRig rig(seed);
    ASSERT_EQ(rig.open(), "");
    work(rig, 30);
    rig.settle();
    rig.stop();
    const uint64_t head = storage::decode_slot(rig.disk.contents(rig.newest_state()))->ring.head.value();
    rig.disk.flip_bit(StoreRig::kRing, rig.prng.below(head), static_cast<unsigned>(rig.prng.below(8)));
    ASSERT_EQ(rig.open(), "") << seed;
    ASSERT_EQ(rig.check_acked(), "") << seed;
  }
}

void write_file(SimDisk& disk, const char* path, std::span<std::byte> bytes) {
  const auto file = disk.open(path, {.create = true});
  storage::DiskOp write{.kind = storage::DiskOp::Kind::kWriteDurable, .file = *file, .memory = bytes};
  storage::run_to_end(disk, write).value();
  disk.close(*file);
  disk.sync_dir("data").value();
}

TEST_F(StoreFaults, AFolderFileOfNoVersionIsRefused) {
  StoreRig rig(1);
  ASSERT_TRUE(storage::open_folder(rig.disk, rig.prng, "data"));
  const auto is = rig.disk.contents("data/folder");
  const std::string text(reinterpret_cast<const char*>(is.data()), is.size());
  const std::string line = "format_version = ";
  const size_t at = text.find(line) + line.size();
  ASSERT_LT(at, text.size());
  for (const char digit : {'0', '-', ' '}) {
    rig.disk.replace("data/folder", at, std::as_bytes(std::span(&digit, 1)));
    const auto folder = storage::look_at_folder(rig.disk, "data", false);
    ASSERT_FALSE(folder) << digit;
    EXPECT_NE(folder.error().what.find("is not a penstock folder file"), std::string::npos) << folder.error().what;
  }
  rig.disk.replace("data/folder", 0, std::as_bytes(std::span(text)));
  EXPECT_TRUE(storage::look_at_folder(rig.disk, "data", false));
}

// The state as format version 1 had it, in one file, instead of the two.
void make_state_old(StoreRig& rig) {
  using L = storage::Slot1Layout;
  std::vector<std::byte> slots(2 * storage::kSlot1Bytes);
  for (const char* path : StoreRig::kStates) {
    const auto state = storage::decode_slot(rig.disk.contents(path))->ring;
    std::byte* at = slots.data() + state.sequence % 2 * storage::kSlot1Bytes;
    store_le(at + L::magic, storage::kSlotMagic);
    store_le(at + L::version, uint16_t{1});
    store_le(at + L::bytes, uint64_t{L::end});
    std::memcpy(at + L::ring_id, state.ring_id.data(), state.ring_id.size());
    store_le(at + L::ring_bytes, state.ring_bytes);
    store_le(at + L::sequence, state.sequence);
    store_le(at + L::generation, state.generation);
    store_le(at + L::tail, state.tail.value());
    store_le(at + L::as_of, state.as_of.value());
    store_le(at + L::crc, crc32c(0, {at, L::crc}));
  }
  write_file(rig.disk, StoreRig::kOldState, slots);
  for (const char* path : StoreRig::kStates) rig.disk.unlink(path).value();
  rig.disk.sync_dir("data").value();
}

// Whenever power goes during the first start on it.
TEST_F(StoreFaults, AStateOfVersionOneIsTakenOver) {
  uint64_t went = 0;
  for (uint64_t seed = 1; seed <= 60; ++seed) {
    StoreRig rig(seed);
    ASSERT_EQ(rig.open(), "");
    work(rig, 30);
    rig.settle();
    rig.crash();  // a stop would have written segments, of which version 1 knows nothing
    make_state_old(rig);
    rig.disk.faults().power_off_in = rig.prng.below(30);
    if (rig.open() != "" || rig.disk.is_off()) went += 1;
    rig.crash();
    rig.disk.faults().power_off_in = 0;
    ASSERT_EQ(rig.open(), "") << seed;
    ASSERT_EQ(rig.check_acked(), "") << seed;
    EXPECT_FALSE(rig.disk.exists(StoreRig::kOldState));
    work(rig, 5);
    rig.settle();
    rig.crash();
    ASSERT_EQ(rig.open(), "") << seed;
    ASSERT_EQ(rig.check_acked(), "") << seed;
  }
  EXPECT_GT(went, 10u);
}

}  // namespace
}  // namespace penstock::sim
