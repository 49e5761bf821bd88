// dump, verify and repair over folders that a real Store made on a SimDisk: whole ones are fine, each kind of damage is
// found and named, repair does what it says and nothing in a dry run.
#include "storage/api/log_tool.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>

#include "base/log.h"
#include "storage/api/folder.h"
#include "storage/ring/state_slots.h"
#include "storage/segment/segment_path.h"
#include "storage/segment/segment_scan.h"
#include "tests/tool_rig.h"

namespace penstock::storage {
namespace {

using sim::StoreRig;

uint64_t seeds() {
  const char* text = std::getenv("PENSTOCK_SIM_SEEDS");
  return std::max<uint64_t>(10, text == nullptr ? 0 : std::strtoull(text, nullptr, 10) / 20);
}

class LogTool : public testing::Test {
 protected:
  void SetUp() override {
    set_log_sink([](LogLevel, std::string_view) {});
  }
};

TEST_F(LogTool, AStoppedFolderIsFine) {
  for (uint64_t seed = 1; seed <= seeds(); ++seed) {
    ToolRig tool(seed);
    tool.make_segments();
    const auto before = tool.all_files();
    const VerifyTotals totals = tool.verify();
    ASSERT_TRUE(totals.fine()) << seed << "\n" << tool.told();
    EXPECT_EQ(totals.notes, 0u) << seed << "\n" << tool.told();
    EXPECT_EQ(totals.logs, 2u);
    EXPECT_GT(totals.segments, 4u);
    EXPECT_EQ(totals.batches, tool.rig.acked());  // all of them are in segments
    ASSERT_EQ(tool.all_files(), before);
  }
}

// Whatever moment power is lost at: nothing acknowledged is reported as damaged, and what verify says of the ring is
// what a start does.
TEST_F(LogTool, ACrashedFolderHasNoDamage) {
  uint64_t ring_batches = 0;
  for (uint64_t seed = 1; seed <= seeds(); ++seed) {
    ToolRig tool(seed);
    for (int life = 0; life < 3; ++life) {
      tool.open();
      tool.work(static_cast<int>(tool.rig.prng.between(1, 700)));
      if (tool.rig.prng.one_in(4)) tool.rig.store->trim(LogId{1}, tool.rig.store->offsets(LogId{1})->durable);
      tool.rig.crash();
      const VerifyTotals totals = tool.verify();
      ASSERT_EQ(totals.damage, 0u) << seed << " " << life << "\n" << tool.told();
      for (const LogItem& item : tool.dump()) ring_batches += item.kind == "entry" ? 1 : 0;
    }
  }
  EXPECT_GT(ring_batches, 1000u);
}

TEST_F(LogTool, ADamagedRingIsNamedAsAStartNamesIt) {
  uint64_t refused = 0;
  for (uint64_t seed = 1; seed <= seeds(); ++seed) {
    ToolRig tool(seed);
    tool.open();
    tool.work(60);
    tool.rig.settle();
    const uint64_t used = tool.rig.counters.get(Metric::ring_used_bytes);
    tool.rig.crash();
    tool.rig.disk.flip_bit(StoreRig::kRing, tool.rig.prng.below(used), static_cast<unsigned>(tool.rig.prng.below(8)));
    const VerifyTotals totals = tool.verify();
    const Finding* damage = tool.first(Severity::kDamage);
    const std::string refusal = tool.rig.open();
    ASSERT_EQ(totals.fine(), refusal.empty()) << seed << "\n" << refusal << "\n" << tool.told();
    if (refusal.empty()) continue;
    refused += 1;
    ASSERT_NE(damage, nullptr);
    EXPECT_EQ(damage->kind, FindingKind::kRing);
    EXPECT_EQ(damage->file, StoreRig::kRing);
    const std::string command = damage->todo.substr(damage->todo.find("--accept-loss-at"));
    EXPECT_NE(refusal.find(command), std::string::npos) << refusal << "\n" << damage->todo;
  }
  EXPECT_GT(refused, 0u);
}

TEST_F(LogTool, ARingOfAnotherFolderIsNamedAsAStartNamesIt) {
  for (const bool clean : {true, false}) {
    ToolRig tool(4);
    tool.open();
    tool.work(100);
    tool.rig.settle();
    clean ? tool.rig.stop() : tool.rig.crash();
    ToolRig other(5);
    other.open();
    other.work(100);
    other.rig.settle();
    other.rig.crash();
    const auto own = tool.copy(StoreRig::kRing);
    tool.rig.disk.replace(StoreRig::kRing, 0, other.copy(StoreRig::kRing));
    EXPECT_GE(tool.verify().damage, 1u) << tool.told();
    const Finding* ring = tool.first(Severity::kDamage);
    ASSERT_NE(ring, nullptr);
    EXPECT_EQ(ring->file, StoreRig::kRing);
    EXPECT_TRUE(ring->means.contains("not the ring that the state slots name")) << ring->means;
    EXPECT_TRUE(ring->todo.contains("put back the ring and the two state files")) << ring->todo;
    EXPECT_TRUE(tool.rig.open().contains("not the ring that the state slots name"));
    tool.rig.disk.replace(StoreRig::kRing, 0, own);
    EXPECT_TRUE(tool.verify().fine()) << tool.told();
  }
}

TEST_F(LogTool, ADamagedSlotIsNamedAndRestored) {
  for (uint64_t seed = 1; seed <= seeds(); ++seed) {
    ToolRig tool(seed);
    tool.open();
    tool.work(200);
    tool.rig.settle();
    if (tool.rig.prng.one_in(2)) {
      tool.rig.stop();
    } else {
      tool.rig.crash();
    }
    const std::string older =
        tool.rig.newest_state() == StoreRig::kStates[0] ? StoreRig::kStates[1] : StoreRig::kStates[0];
    tool.rig.disk.flip_bit(older, tool.rig.prng.below(SlotLayout::end), 3);
    EXPECT_EQ(tool.verify().worn, 1u) << tool.told();
    const Finding* worn = tool.first(Severity::kWorn);
    ASSERT_NE(worn, nullptr);
    EXPECT_EQ(worn->kind, FindingKind::kSlot);
    EXPECT_EQ(worn->file, older);

    const auto before = tool.all_files();
    EXPECT_EQ(tool.repair({.restore_slots = true}).planned, 1u) << tool.told();
    ASSERT_EQ(tool.all_files(), before);  // a dry run
    EXPECT_EQ(tool.repair({.restore_slots = true, .do_it = true}).done, 1u) << tool.told();
    ASSERT_TRUE(tool.verify().fine()) << tool.told();
    ASSERT_EQ(tool.rig.open(), "");
    ASSERT_EQ(tool.rig.check_acked(), "") << seed;
  }
}

TEST_F(LogTool, TwoDamagedSlotsAreDamageAndNotRestored) {
  ToolRig tool(1);
  tool.make_segments();
  for (const char* state : StoreRig::kStates) tool.rig.disk.flip_bit(state, 50, 3);
  EXPECT_EQ(tool.verify().damage, 1u) << tool.told();
  EXPECT_EQ(tool.first(Severity::kDamage)->kind, FindingKind::kSlot);
  EXPECT_EQ(tool.repair({.restore_slots = true, .remove_unnamed = true, .do_it = true}).done, 0u) << tool.told();
  EXPECT_FALSE(tool.steps.empty());
}

// One bit anywhere in a segment: found, named with its file, and everything else is checked all the same.
TEST_F(LogTool, AFlippedBitOfASegmentIsFound) {
  for (uint64_t seed = 1; seed <= 2 * seeds(); ++seed) {
    ToolRig tool(seed);
    tool.make_segments();
    const uint64_t log = tool.rig.prng.between(1, 2);
    const auto segments = tool.state_of(log).segments;
    const size_t i = tool.rig.prng.below(segments.size());
    const uint64_t at = tool.rig.prng.below(segments[i].bytes);
    const uint64_t batches = tool.verify().batches;
    tool.rig.disk.flip_bit(tool.segment(log, i), at, static_cast<unsigned>(tool.rig.prng.below(8)));
    const VerifyTotals totals = tool.verify();
    ASSERT_EQ(totals.damage, 1u) << seed << " byte " << at << "\n" << tool.told();
    const Finding& found = *tool.first(Severity::kDamage);
    EXPECT_EQ(found.file, tool.segment(log, i));
    EXPECT_EQ(found.log, LogId{log});
    if (found.kind == FindingKind::kInterval) continue;  // only a leader epoch is not in a batch's own checksum
    ASSERT_EQ(found.kind, FindingKind::kBatch) << tool.told();
    EXPECT_GE(*found.lost_from, segments[i].base);
    EXPECT_LT(*found.lost_from, *found.lost_to);
    EXPECT_GT(totals.batches, batches / 2) << "what lies behind the damage was not looked at";
  }
}

TEST_F(LogTool, ADamagedBatchLosesNoOffsetsButItsOwn) {
  ToolRig tool(5);
  tool.make_segments();
  const auto bytes = tool.copy(tool.segment(1, 0));
  std::vector<BatchPlace> places;
  SegmentScan scan({.base = Offset{0}, .next = Offset{0}, .on_batch = [&](const BatchPlace& place, const auto&) {
                      places.push_back(place);
                    }});
  scan.feed(std::span(bytes).first(tool.state_of(1).segments[0].bytes));
  ASSERT_GT(places.size(), 10u);
  tool.rig.disk.flip_bit(tool.segment(1, 0), places[5].position + protocol::BatchLayout::kRecords, 1);
  EXPECT_EQ(tool.verify().damage, 1u);
  const Finding& found = *tool.first(Severity::kDamage);
  EXPECT_EQ(found.lost_from, places[5].base);
  EXPECT_EQ(found.lost_to, places[5].next);
  EXPECT_NE(found.todo.find("--accept-loss 1:" + std::to_string(places[5].base.value())), std::string::npos);

  tool.rig.disk.flip_bit(tool.segment(1, 0), places[5].position + protocol::BatchLayout::kRecords, 1);
  tool.rig.disk.flip_bit(tool.segment(1, 0), places[7].position + protocol::BatchLayout::kPartitionLeaderEpoch + 3, 1);
  EXPECT_EQ(tool.verify().damage, 1u);
  EXPECT_EQ(tool.first(Severity::kDamage)->kind, FindingKind::kInterval) << tool.told();
}

TEST_F(LogTool, AMissingOrShortSegmentIsNamed) {
  ToolRig tool(2);
  tool.make_segments();
  const LogState state = tool.state_of(2);
  const std::string lost = tool.segment(2, 1);
  tool.cut_file(lost, state.segments[1].bytes / 2);
  EXPECT_EQ(tool.verify().damage, 1u) << tool.told();
  EXPECT_EQ(tool.first(Severity::kDamage)->kind, FindingKind::kMissing);
  EXPECT_EQ(tool.first(Severity::kDamage)->lost_to, state.segments[2].base);
  ASSERT_TRUE(tool.rig.disk.unlink(lost));
  EXPECT_EQ(tool.verify().damage, 1u) << tool.told();
  const Finding& found = *tool.first(Severity::kDamage);
  EXPECT_EQ(found.kind, FindingKind::kMissing);
  EXPECT_EQ(found.file, lost);
  EXPECT_EQ(found.lost_from, state.segments[1].base);
  EXPECT_EQ(found.lost_to, state.segments[2].base);
}

TEST_F(LogTool, ASegmentOfAnotherLogIsNamedForWhatItIs) {
  uint64_t named = 0;
  for (uint64_t seed = 1; seed <= seeds(); ++seed) {
    ToolRig tool(seed);
    tool.make_segments();
    const std::string path = tool.segment(1, 0);
    const auto other = tool.copy(tool.segment(2, 0));
    tool.cut_file(path, other.size());
    tool.rig.disk.replace(path, 0, other);
    EXPECT_GT(tool.verify().damage, 0u) << seed;
    for (const Finding& finding : tool.findings) {
      if (!finding.lost_from) continue;
      EXPECT_LT(*finding.lost_from, finding.lost_to.value_or(*finding.lost_from)) << seed << tool.told();
    }
    const Finding found = *tool.first(Severity::kDamage);
    ASSERT_EQ(found.file, path) << seed << tool.told();
    if (!found.means.contains("another segment's file")) continue;
    named += 1;
    EXPECT_EQ(found.lost_from, Offset{0}) << seed;
    const RepairOptions end_it{.accepted = {{LogId{1}, Offset{0}}}, .do_it = true};
    EXPECT_EQ(tool.repair(end_it).done, 1u) << seed << tool.told();
    EXPECT_TRUE(tool.verify().fine()) << seed << tool.told();
    ASSERT_EQ(tool.rig.open(), "") << seed;
  }
  EXPECT_GT(named, 0u);
}

TEST_F(LogTool, AnUnreadablePlaceIsNamedToTheBlock) {
  ToolRig tool(3);
  tool.make_segments();
  tool.rig.disk.faults().fail_reads.push_back({tool.segment(1, 0), 10'000, 10});
  EXPECT_EQ(tool.verify().damage, 1u) << tool.told();
  const Finding& found = *tool.first(Severity::kDamage);
  EXPECT_EQ(found.file, tool.segment(1, 0));
  EXPECT_NE(found.means.find("cannot read"), std::string::npos);
  EXPECT_LT(found.lost_to, tool.state_of(1).segments[1].base) << tool.told();  // it goes on by the sidecar
}

TEST_F(LogTool, ASidecarIsRebuiltAsItWas) {
  for (uint64_t seed = 1; seed <= seeds(); ++seed) {
    ToolRig tool(seed);
    tool.make_segments();
    const std::string path = tool.sidecar(1, 0);
    const auto good = tool.copy(path);
    ASSERT_FALSE(good.empty());
    const uint64_t record = load_le<uint64_t>(good.data() + 8);
    tool.rig.disk.flip_bit(path, tool.rig.prng.between(8, record - 1), 2);
    const VerifyTotals totals = tool.verify();
    EXPECT_EQ(totals.damage, 0u) << tool.told();
    ASSERT_EQ(totals.worn + totals.notes, 1u) << tool.told();  // a note, if the flip made it look unfinished
    EXPECT_EQ(tool.findings.front().kind, FindingKind::kSidecar);
    EXPECT_EQ(tool.findings.front().file, path);

    const auto before = tool.all_files();
    EXPECT_EQ(tool.repair({.rebuild_sidecars = true}).planned, 1u) << tool.told();
    ASSERT_EQ(tool.all_files(), before);
    EXPECT_EQ(tool.repair({.rebuild_sidecars = true, .do_it = true}).done, 1u) << tool.told();
    EXPECT_EQ(tool.copy(path), good);
    EXPECT_TRUE(tool.verify().fine());
    EXPECT_EQ(tool.repair({.rebuild_sidecars = true, .do_it = true}).done, 0u);  // nothing is left to do
  }
}

TEST_F(LogTool, NoSidecarIsMadeOfADamagedSegment) {
  ToolRig tool(4);
  tool.make_segments();
  ASSERT_TRUE(tool.rig.disk.unlink(tool.sidecar(1, 0)));
  tool.rig.disk.flip_bit(tool.segment(1, 0), 3000, 2);
  const RepairTotals totals = tool.repair({.rebuild_sidecars = true, .do_it = true});
  EXPECT_EQ(totals.done, 0u);
  EXPECT_EQ(totals.refused, 1u) << tool.told();
  EXPECT_FALSE(tool.rig.disk.exists(tool.sidecar(1, 0)));
}

TEST_F(LogTool, FilesThatNobodyNamesAreNotedAndRemoved) {
  ToolRig tool(6);
  tool.make_segments();
  tool.lives = [](LogId log) { return log < LogId{77}; };
  const std::string dead = "data/logs/00000000000000000077";
  tool.rig.disk.make_durable_dir(dead);
  const std::vector<std::string> ours = {"data/ring-0.making", segment_path("data", LogId{1}, {Offset{123456789}}),
                                         dead + "/00000000000000000000.log", dead + "/00000000000000000000.sidecar"};
  for (const std::string& path : ours) tool.make_file(path, 4096);
  tool.make_file("data/notes.txt", 10);
  const VerifyTotals totals = tool.verify();
  EXPECT_TRUE(totals.fine()) << tool.told();
  EXPECT_EQ(totals.notes, 5u) << tool.told();
  const auto before = tool.all_files();
  EXPECT_EQ(tool.repair({.remove_unnamed = true}).planned, 5u) << tool.told();  // the dead log's folder too
  ASSERT_EQ(tool.all_files(), before);
  EXPECT_EQ(tool.repair({.remove_unnamed = true, .do_it = true}).done, 5u) << tool.told();
  for (const std::string& path : ours) EXPECT_FALSE(tool.rig.disk.exists(path)) << path;
  EXPECT_TRUE(tool.rig.disk.exists("data/notes.txt"));
  EXPECT_EQ(tool.verify().notes, 1u) << tool.told();
  ASSERT_EQ(tool.rig.open(), "");
  EXPECT_EQ(tool.rig.check_acked(), "");
}

// Metadata of before: nothing that it never issued counts as deleted.
TEST_F(LogTool, LogsThatTheMetadataNeverIssuedAreDamageAndAreKept) {
  ToolRig tool(6);
  tool.make_segments();
  tool.make_file("data/ring-0.making", 4096);
  const auto before = tool.all_files();
  const auto metadata_with = [&](uint64_t next) {
    tool.lives = [next](LogId log) { return log < LogId{next}; };
    tool.next_log_id = LogId{next};
  };
  metadata_with(2);
  EXPECT_EQ(tool.verify().damage, 2u) << tool.told();  // the slot, and the folder of log 2
  const Finding* slot = tool.first(Severity::kDamage);
  ASSERT_NE(slot, nullptr);
  EXPECT_EQ(slot->kind, FindingKind::kSlot);
  EXPECT_EQ(slot->file, tool.rig.newest_state());
  EXPECT_EQ(slot->place, "log 2");
  EXPECT_TRUE(slot->todo.contains("put back the metadata.sqlite")) << slot->todo;
  EXPECT_FALSE(tool.told().contains("was deleted")) << tool.told();
  EXPECT_EQ(tool.repair({.remove_unnamed = true, .do_it = true}).refused, 1u) << tool.told();
  EXPECT_EQ(tool.all_files(), before);
  metadata_with(0);  // an empty one
  EXPECT_EQ(tool.verify().damage, 3u) << tool.told();
  EXPECT_EQ(tool.repair({.remove_unnamed = true, .do_it = true}).done, 0u) << tool.told();
  EXPECT_EQ(tool.all_files(), before);
  // Only a folder tells, which a start refuses as well.
  metadata_with(3);
  const std::string folder = log_path("data", LogId{3});
  tool.rig.disk.make_durable_dir(folder);
  EXPECT_TRUE(tool.verify().fine()) << tool.told();
  tool.make_file(segment_path("data", LogId{3}, {Offset{0}}), 4096);
  EXPECT_EQ(tool.verify().damage, 1u) << tool.told();
  EXPECT_EQ(tool.first(Severity::kDamage)->file, folder);
  EXPECT_EQ(tool.repair({.remove_unnamed = true, .do_it = true}).done, 0u) << tool.told();
  EXPECT_TRUE(tool.rig.disk.exists(segment_path("data", LogId{3}, {Offset{0}})));
  tool.rig.next_log = 3;
  EXPECT_TRUE(tool.rig.open().starts_with(folder + " holds segments of a log that"));
  tool.next_log_id = LogId{4};  // issued, and deleted since
  EXPECT_TRUE(tool.verify().fine()) << tool.told();
  tool.rig.next_log = 4;
  ASSERT_EQ(tool.rig.open(), "");
  EXPECT_EQ(tool.rig.check_acked(), "");
}

// The ring and both its states are gone, as after a restore that forgot them: the segments may be all that is left.
TEST_F(LogTool, SegmentsOfAMissingRingAreDamageAndAreKept) {
  ToolRig tool(6);
  tool.make_segments();
  tool.make_file("data/ring-0.making", 4096);
  const auto folders = std::vector{log_path("data", LogId{1}), log_path("data", LogId{2})};
  const std::string ring = "data/ring-0";
  const std::vector<std::string> files = {ring, ring + ".state-0", ring + ".state-1"};
  tool.rig.disk.make_durable_dir("away");
  const auto away = [](const std::string& path) { return "away/" + path.substr(path.rfind('/') + 1); };
  for (const std::string& path : files) ASSERT_TRUE(tool.rig.disk.rename(path, away(path)));
  const auto before = tool.all_files();
  const auto expect_kept = [&](uint64_t damage, const std::string& words) {
    EXPECT_EQ(tool.verify().damage, damage) << tool.told();
    const Finding* found = tool.first(Severity::kDamage);
    ASSERT_NE(found, nullptr);
    EXPECT_TRUE(tool.told().contains(words)) << tool.told();
    for (const std::string& folder : folders)
      EXPECT_TRUE(std::ranges::any_of(tool.findings, [&](const Finding& f) {
        return f.file == folder && f.severity == Severity::kDamage;
      })) << tool.told();
    const RepairTotals totals = tool.repair({.remove_unnamed = true, .do_it = true});
    EXPECT_EQ(totals.done, 0u) << tool.told();
    EXPECT_EQ(totals.refused, 3u) << tool.told();  // both logs, and what could go with all rings there
    for (const std::string& folder : folders)
      EXPECT_TRUE(std::ranges::any_of(tool.steps, [&](const RepairStep& step) {
        return step.file == folder && step.why.contains(words);
      })) << tool.told();
    EXPECT_EQ(tool.all_files(), before);
  };
  expect_kept(2, "no ring of this folder knows log");  // a second drive, without metadata
  tool.lives = [](LogId log) { return log < LogId{3}; };
  tool.next_log_id = LogId{3};
  expect_kept(2, "by the metadata it lives");
  tool.ring_of = {{LogId{1}, 0}, {LogId{2}, 0}};
  expect_kept(2, "lives in ring 0, whose files are missing");
  tool.all_rings_here = true;  // then the ring itself is missed too, whatever there is of segments
  expect_kept(3, "lives in ring 0, whose files are missing");
  EXPECT_EQ(tool.first(Severity::kDamage)->file, ring);
  auto one = tool.request();
  one.wanted = [](LogId log) { return log == LogId{2}; };
  EXPECT_EQ(tool.verify(one).damage, 1u) << tool.told();
  EXPECT_TRUE(tool.first(Severity::kDamage)->means.contains("1 log(s) live in ring 0")) << tool.told();

  for (const std::string& path : files) ASSERT_TRUE(tool.rig.disk.rename(away(path), path));
  EXPECT_TRUE(tool.verify().fine()) << tool.told();
  EXPECT_EQ(tool.repair({.remove_unnamed = true, .do_it = true}).refused, 0u) << tool.told();
  ASSERT_EQ(tool.rig.open(), "");
  EXPECT_EQ(tool.rig.check_acked(), "");
}

// Its file was replaced, or rotted where its id stands: a start takes the folder for one that is missing.
TEST_F(LogTool, AFolderThatTheMetadataDoesNotKnowIsDamage) {
  ToolRig tool(6);
  tool.make_segments();
  tool.make_file(segment_path("data", LogId{1}, {Offset{123456789}}), 4096);
  const auto there = look_at_folder(tool.rig.disk, "data", false);
  ASSERT_TRUE(there);
  Uuid known = there->id;
  tool.knows_folder = [&](const Uuid& id) { return id == known; };
  EXPECT_TRUE(tool.verify().fine()) << tool.told();
  known.bytes[0] ^= 1;
  EXPECT_EQ(tool.verify().damage, 1u) << tool.told();
  EXPECT_EQ(tool.first(Severity::kDamage)->file, "data/folder");
  EXPECT_EQ(tool.repair({.remove_unnamed = true, .do_it = true}).done, 0u) << tool.told();
  known.bytes[0] ^= 1;
  EXPECT_EQ(tool.repair({.remove_unnamed = true, .do_it = true}).done, 1u) << tool.told();
}

TEST_F(LogTool, NothingIsRemovedWhileASlotIsDamaged) {
  ToolRig tool(6);
  tool.make_segments();
  tool.make_file(segment_path("data", LogId{1}, {Offset{123456789}}), 4096);
  tool.rig.disk.flip_bit(StoreRig::kStates[0], 20, 1);
  EXPECT_EQ(tool.repair({.remove_unnamed = true, .do_it = true}).refused, 1u) << tool.told();
  EXPECT_TRUE(tool.rig.disk.exists(segment_path("data", LogId{1}, {Offset{123456789}})));
}

// A log that ends early keeps all before the loss, takes records again, and the other log loses nothing.
TEST_F(LogTool, ALogIsCutOnlyWhereTheOperatorSaysSo) {
  for (uint64_t seed = 1; seed <= seeds(); ++seed) {
    ToolRig tool(seed);
    tool.open();
    tool.work(600);
    tool.rig.settle();
    const bool clean = tool.rig.prng.one_in(2);
    if (clean) {
      tool.rig.stop();
    } else {
      tool.rig.stop();
      tool.open();
      tool.work(100);  // some of it is in the ring alone
      tool.rig.settle();
      tool.rig.crash();
    }
    const auto segments = tool.state_of(1).segments;
    const size_t i = tool.rig.prng.below(segments.size());
    if (tool.rig.prng.one_in(4)) {
      ASSERT_TRUE(tool.rig.disk.unlink(tool.segment(1, i)));
    } else {
      tool.rig.disk.flip_bit(tool.segment(1, i), tool.rig.prng.below(segments[i].bytes), 5);
    }
    const uint64_t worn = tool.verify().worn;  // a sidecar may have torn as power was lost, of the other log too
    const auto whole = [&] {
      const VerifyTotals totals = tool.verify();
      return totals.damage == 0 && totals.worn <= worn;
    };
    const Finding* found = tool.first(Severity::kDamage);
    ASSERT_NE(found, nullptr) << seed;
    if (!found->lost_from) continue;  // a leader epoch
    const Offset loss = *found->lost_from;

    const auto before = tool.all_files();
    EXPECT_EQ(tool.repair({.accepted = {{LogId{1}, loss + 1}}, .do_it = true}).refused, 1u) << tool.told();
    EXPECT_EQ(tool.repair({.accepted = {{LogId{2}, Offset{1}}}, .do_it = true}).refused, 1u) << tool.told();
    EXPECT_EQ(tool.repair({.accepted = {{LogId{9}, Offset{1}}}, .do_it = true}).refused, 1u) << tool.told();
    EXPECT_EQ(tool.repair({.accepted = {{LogId{1}, loss}}}).planned, 1u) << tool.told();
    ASSERT_EQ(tool.all_files(), before);
    ASSERT_EQ(tool.repair({.accepted = {{LogId{1}, loss}}, .do_it = true}).done, 1u) << tool.told();
    ASSERT_TRUE(whole()) << seed << "\n" << tool.told();

    std::erase_if(tool.rig.logs[1].batches, [&](const auto& batch) { return batch.base_offset >= loss.value(); });
    tool.rig.logs[1].end_offset = loss.value();
    tool.open();
    ASSERT_EQ(tool.rig.store->offsets(LogId{1})->log_end_offset, loss) << seed;
    ASSERT_EQ(tool.rig.check_acked(), "") << seed;
    tool.work(300);
    tool.rig.settle();
    ASSERT_EQ(tool.rig.check_acked(), "") << seed;
    tool.rig.stop();
    ASSERT_TRUE(whole()) << seed << "\n" << tool.told();
  }
}

TEST_F(LogTool, DumpShowsEveryBatchAndItsRecords) {
  ToolRig tool(7);
  tool.make_segments();
  const auto items = tool.dump({.records = true});
  uint64_t batches = 0, slots = 0, records = 0;
  for (const LogItem& item : items) {
    batches += item.kind == "batch" ? 1 : 0;
    slots += item.kind == "slot" ? 1 : 0;
    records += item.kind == "record" ? 1 : 0;
  }
  EXPECT_EQ(batches, tool.rig.acked());
  EXPECT_EQ(slots, 2u);
  const auto end = [&](uint64_t log) { return static_cast<uint64_t>(tool.state_of(log).destaged.value()); };
  EXPECT_EQ(records, end(1) + end(2));

  const Offset from = tool.state_of(1).segments[1].base + 3;
  Offset least{INT64_MAX};
  for (const LogItem& item : tool.dump({.from = from, .records = true}, [](LogId log) { return log == LogId{1}; }))
    if (item.kind == "record") least = std::min(least, Offset{std::get<int64_t>(item.fields.front().value)});
  EXPECT_EQ(least, from);
}

TEST_F(LogTool, DumpShowsFramesAndEntriesOfARing) {
  ToolRig tool(8);
  tool.open();
  tool.work(50);
  tool.rig.settle();
  tool.rig.crash();
  uint64_t entries = 0, frames = 0;
  for (const LogItem& item : tool.dump()) {
    entries += item.kind == "entry" ? 1 : 0;
    frames += item.kind == "frame" ? 1 : 0;
  }
  EXPECT_EQ(entries, tool.rig.acked());
  EXPECT_GT(frames, 5u);
}

TEST_F(LogTool, WhatIsNoDataFolderIsNotRun) {
  sim::SimClock clock;
  sim::SimDisk disk(clock, 1);
  disk.make_durable_dir("data");
  const LogToolRequest request{.disk = &disk, .folder = "data"};
  EXPECT_FALSE(verify_folder(request, {}));
  EXPECT_FALSE(dump_folder(request, {}, {}));
  EXPECT_FALSE(repair_folder(request, {}, {}));
  EXPECT_FALSE(verify_folder({.disk = &disk, .folder = "nowhere"}, {}));
}

// Every file of the folder with random damage, many bits of it: told or not, nothing crashes.
TEST_F(LogTool, AnyBytesMayBeThere) {
  for (uint64_t seed = 1; seed <= 2 * seeds(); ++seed) {
    ToolRig tool(seed);
    tool.open();
    tool.work(300);
    tool.rig.crash();
    std::vector<std::string> paths = {StoreRig::kRing, StoreRig::kStates[0], StoreRig::kStates[1]};
    for (const std::string& log : tool.list("data/logs"))
      for (const std::string& name : tool.list("data/logs/" + log)) paths.push_back("data/logs/" + log + "/" + name);
    for (int i = 0; i < 10; ++i) {
      const std::string& path = paths[tool.rig.prng.below(paths.size())];
      const uint64_t size = tool.rig.disk.contents(path).size();
      if (size == 0) continue;
      const uint64_t at = tool.rig.prng.below(tool.rig.prng.one_in(2) ? std::min<uint64_t>(size, 4096) : size);
      tool.rig.disk.flip_bit(path, at, static_cast<unsigned>(tool.rig.prng.below(8)));
    }
    tool.verify();
    tool.dump({.records = true});
    tool.repair({.rebuild_sidecars = true, .restore_slots = true, .remove_unnamed = true});
  }
}

}  // namespace
}  // namespace penstock::storage
