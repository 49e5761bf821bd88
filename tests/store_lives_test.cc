// All three files of a ring replaced by those of another folder or of an earlier time: they agree with each other, so
// only what the metadata remembers of the ring can tell. docs/internals/log_format.md "What a ring is known by".
#include <gtest/gtest.h>

#include "base/log.h"
#include "storage/api/disk.h"
#include "tests/tool_rig.h"

namespace penstock::storage {
namespace {

using Files = std::map<std::string, std::vector<std::byte>>;

class StoreLives : public testing::Test {
 protected:
  void SetUp() override {
    set_log_sink([](LogLevel, std::string_view) {});
  }
  // The metadata's part: logs 1 and 2 live in ring 0, and what the last start told.
  void start(ToolRig& tool) {
    tool.rig.known_life = known;
    tool.open();
    remember(tool);
  }
  void remember(ToolRig& tool) {
    known = tool.rig.store->life();
    tool.lives = [](LogId log) { return log < LogId{3}; };
    tool.next_log_id = LogId{100};
    tool.ring_of = {{LogId{1}, 0}, {LogId{2}, 0}};
  }
  static void live(ToolRig& tool, int appends) {
    tool.work(appends);
    tool.rig.settle();
    tool.rig.stop();
  }
  // Two lives; the ring's files as the first left them.
  Files live_on(ToolRig& tool) {
    start(tool);
    live(tool, 300);
    Files earlier = ring_files(tool);
    start(tool);
    live(tool, 600);
    return earlier;
  }
  static Files ring_files(ToolRig& tool) {
    Files files;
    for (const char* path : {sim::StoreRig::kRing, sim::StoreRig::kStates[0], sim::StoreRig::kStates[1]})
      files[path] = tool.copy(path);
    return files;
  }
  static void put(ToolRig& tool, const Files& files) {
    for (const auto& [path, bytes] : files) {
      const auto file = tool.rig.disk.open(path, {});
      ASSERT_TRUE(file);
      ASSERT_TRUE(tool.rig.disk.resize(*file, bytes.size()));
      std::vector<std::byte> copy = bytes;
      DiskOp write{.kind = DiskOp::Kind::kWriteDurable, .file = *file, .memory = copy};
      ASSERT_TRUE(run_to_end(tool.rig.disk, write));
      tool.rig.disk.close(*file);
    }
  }
  // Start, verify and repair name it, and nothing changes.
  void expect_refused(ToolRig& tool, const std::string& words) {
    const auto before = tool.all_files();
    const std::string refusal = tool.rig.open();
    EXPECT_TRUE(refusal.contains(words)) << refusal;
    EXPECT_TRUE(refusal.contains("its 2 logs")) << refusal;
    auto asked = tool.request();
    asked.lives_of_rings = {{0, *known}};
    const VerifyTotals totals = tool.verify(asked);
    EXPECT_EQ(totals.logs, 0u) << "what it says of them is not looked at";
    const Finding* found = tool.first(Severity::kDamage);
    ASSERT_NE(found, nullptr) << tool.told();
    EXPECT_EQ(found->kind, FindingKind::kRing);
    EXPECT_TRUE(found->means.contains(words)) << found->means;
    LogToolSink quiet;
    const auto repaired = repair_folder(
        asked, {.rebuild_sidecars = true, .restore_slots = true, .remove_unnamed = true, .do_it = true}, quiet);
    ASSERT_TRUE(repaired);
    EXPECT_EQ(repaired->done, 0u);
    EXPECT_EQ(tool.all_files(), before);
  }
  static uint64_t segments(ToolRig& tool) {
    return tool.list(log_path("data", LogId{1})).size() + tool.list(log_path("data", LogId{2})).size();
  }
  static uint64_t accepted_end(const std::string& refusal) {
    return std::stoull(refusal.substr(refusal.rfind(' ') + 1));
  }

  std::optional<RingLife> known;
};

TEST_F(StoreLives, AnotherFoldersRingIsRefused) {
  ToolRig other(8);
  other.open();
  live(other, 0);
  const Files theirs = ring_files(other);
  for (const bool clean : {true, false}) {
    known.reset();
    ToolRig tool(7);
    start(tool);
    live(tool, 600);
    if (!clean) {
      start(tool);
      tool.work(10);
      tool.rig.settle();
      tool.rig.crash();
    }
    const Files ours = ring_files(tool);
    put(tool, theirs);
    tool.rig.known_life = known;
    expect_refused(tool, "another ring's");
    put(tool, ours);
    ASSERT_EQ(tool.rig.open(), "");
    EXPECT_EQ(tool.rig.check_acked(), "");
  }
}

TEST_F(StoreLives, AnEarlierTimesRingIsRefused) {
  ToolRig tool(7);
  const Files earlier = live_on(tool);
  const Files ours = ring_files(tool);
  put(tool, earlier);
  tool.rig.known_life = known;
  expect_refused(tool, "of an earlier time");
  put(tool, ours);
  ASSERT_EQ(tool.rig.open(), "");
  EXPECT_EQ(tool.rig.check_acked(), "");
}

// The file is gone for good: the operator's word.
TEST_F(StoreLives, TheLossIsAcceptedByThePlaceThatTheRefusalNames) {
  ToolRig tool(7);
  const Files earlier = live_on(tool);
  put(tool, earlier);
  tool.rig.known_life = known;
  const uint64_t before = segments(tool);
  const std::string refusal = tool.rig.open();
  const uint64_t end = accepted_end(refusal);
  EXPECT_EQ(tool.rig.open(end + 4096), refusal) << "another place is no word about this one";
  EXPECT_EQ(segments(tool), before);
  ASSERT_EQ(tool.rig.open(end), "");
  remember(tool);
  EXPECT_TRUE(tool.rig.append(100));
  tool.rig.settle();
  tool.rig.stop();
  EXPECT_LT(segments(tool), before);
  tool.rig.known_life = known;
  EXPECT_EQ(tool.rig.open(), "") << "once is enough";
}

// What else is wrong with such a ring is the smaller loss, and not asked about first.
TEST_F(StoreLives, AnEarlierTimesRingThatIsDamagedIsToldAsEarlier) {
  ToolRig tool(7);
  start(tool);
  tool.work(300);
  tool.rig.settle();
  tool.rig.crash();
  const Files earlier = ring_files(tool);
  start(tool);
  live(tool, 600);
  put(tool, earlier);
  tool.rig.disk.flip_bit(sim::StoreRig::kRing, 3 * 4096 + 100, 1);
  tool.rig.known_life = known;
  expect_refused(tool, "of an earlier time");
}

// A crash between a start's first slot and the metadata's commit leaves the metadata behind the ring, never before it.
TEST_F(StoreLives, AMetadataThatLagsIsFine) {
  ToolRig tool(7);
  start(tool);
  live(tool, 50);
  for (int i = 0; i < 3; ++i) {
    tool.rig.known_life = known;
    ASSERT_EQ(tool.rig.open(), "");
    EXPECT_GT(tool.rig.store->life().generation, known->generation);
    tool.rig.crash();
  }
}

// The newest slot rots: the older one is of the start before, the ring's frames are not.
TEST_F(StoreLives, ARottenSlotDoesNotMakeARingOlder) {
  ToolRig tool(7);
  start(tool);
  live(tool, 50);
  start(tool);
  tool.work(5);
  tool.rig.settle();
  tool.rig.crash();
  tool.rig.known_life = known;
  ASSERT_EQ(tool.rig.open(), "");
  known = tool.rig.store->life();
  tool.rig.settle();
  tool.rig.crash();
  tool.rig.disk.flip_bit(tool.rig.newest_state(), 30, 1);
  tool.rig.known_life = known;
  ASSERT_EQ(tool.rig.open(), "");
  EXPECT_EQ(tool.rig.check_acked(), "");
}

// The same where the ring was too full for a frame of the start.
TEST_F(StoreLives, ARottenSlotDoesNotMakeAFullRingOlder) {
  ToolRig tool(7);
  start(tool);
  tool.rig.disk.faults().fail_writes_always = "data/logs/";
  for (int i = 0; i < 4000 && tool.rig.append(20'000); ++i) tool.rig.turn();
  tool.rig.settle();
  uint64_t frames = 0;
  for (int starts = 0; starts < 200; ++starts) {  // until nothing is left of what is kept for them
    tool.rig.crash();
    frames = tool.rig.counters.get(Metric::ring_frames);
    tool.rig.known_life = known;
    ASSERT_EQ(tool.rig.open(), "");
    known = tool.rig.store->life();
  }
  ASSERT_EQ(tool.rig.counters.get(Metric::ring_frames), frames);
  tool.rig.crash();
  tool.rig.disk.flip_bit(tool.rig.newest_state(), 30, 1);
  tool.rig.known_life = known;
  ASSERT_EQ(tool.rig.open(), "");
  EXPECT_EQ(tool.rig.check_acked(), "");
}

// Where no log lives there is nothing to lose: rings may have been deleted to be made anew.
TEST_F(StoreLives, ARingWithoutLogsMayBeAnyone) {
  ToolRig tool(7);
  start(tool);
  live(tool, 50);
  for (const char* path : {sim::StoreRig::kRing, sim::StoreRig::kStates[0], sim::StoreRig::kStates[1]})
    ASSERT_TRUE(tool.rig.disk.unlink(path));
  tool.rig.known_life = known;
  tool.rig.logs.clear();
  ASSERT_EQ(tool.rig.open(), "");
  tool.rig.crash();
  EXPECT_EQ(tool.rig.open(), "") << "the metadata has not heard of the new one yet";
}

// Two rings of one folder under each other's name: the ring of each log is known, whatever the ids are.
TEST_F(StoreLives, LogsOfAnotherRingAreDamageAndCountOnce) {
  ToolRig tool(7);
  start(tool);
  live(tool, 100);
  tool.ring_of = {{LogId{1}, 0}, {LogId{2}, 1}};
  const VerifyTotals totals = tool.verify();
  EXPECT_EQ(totals.logs, 1u) << tool.told();
  const Finding* found = tool.first(Severity::kDamage);
  ASSERT_NE(found, nullptr) << tool.told();
  EXPECT_TRUE(found->means.contains("1 log(s) that live in another ring")) << found->means;
  tool.rig.is_foreign = [](LogId log) { return log == LogId{2}; };
  tool.rig.logs.erase(2);
  EXPECT_TRUE(tool.rig.open().contains("live in another ring"));
}

}  // namespace
}  // namespace penstock::storage
