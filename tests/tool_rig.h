// A data folder that a StoreRig made on its SimDisk, and what `penstock log` says of it and does to it.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "storage/api/folder.h"
#include "storage/api/log_tool.h"
#include "storage/ring/state_slots.h"
#include "storage/segment/segment_path.h"
#include "tests/sim/store_rig.h"

namespace penstock::storage {

// A data folder, and what the tool says about it.
struct ToolRig {
  explicit ToolRig(uint64_t seed) : rig(seed) { EXPECT_TRUE(open_folder(rig.disk, rig.prng, "data")); }

  // Opens with segments so small that some are sealed soon.
  void open(uint64_t segment_bytes = 100'000) {
    ASSERT_EQ(rig.open(), "");
    for (const auto& [id, model] : rig.logs) rig.store->set_config(LogId{id}, {.segment_bytes = segment_bytes});
  }
  void work(int appends) {
    for (int i = 0; i < appends; ++i) {
      rig.append(rig.prng.one_in(20) ? 30'000 : 400);
      if (rig.prng.one_in(3)) rig.turn();
    }
  }
  // A folder with sealed segments, their sidecars and open segments, stopped cleanly.
  void make_segments() {
    open();
    work(600);
    rig.settle();
    rig.stop();
  }

  LogToolRequest request() {
    return {.disk = &rig.disk,
            .folder = "data",
            .lives = lives,
            .next_log_id = next_log_id,
            .ring_of = ring_of,
            .all_rings_here = all_rings_here,
            .knows_folder = knows_folder};
  }
  VerifyTotals verify() { return verify(request()); }
  VerifyTotals verify(const LogToolRequest& asked) {
    findings.clear();
    LogToolSink sink;
    sink.on_finding = [this](const Finding& finding) { findings.push_back(finding); };
    const auto totals = verify_folder(asked, sink);
    EXPECT_TRUE(totals) << totals.error().what;
    return totals ? *totals : VerifyTotals{};
  }
  RepairTotals repair(RepairOptions options) {
    steps.clear();
    LogToolSink sink;
    sink.on_step = [this](const RepairStep& step) { steps.push_back(step); };
    const auto totals = repair_folder(request(), options, sink);
    EXPECT_TRUE(totals) << totals.error().what;
    return totals ? *totals : RepairTotals{};
  }
  std::vector<LogItem> dump(DumpOptions options = {}, std::function<bool(LogId)> wanted = {}) {
    std::vector<LogItem> items;
    LogToolSink sink;
    sink.on_item = [&](const LogItem& item) {
      items.push_back(item);
      return true;
    };
    auto asked = request();
    asked.wanted = std::move(wanted);
    EXPECT_TRUE(dump_folder(asked, options, sink));
    return items;
  }

  // All segments' bases of a log, by the newest slot.
  LogState state_of(uint64_t log) {
    const auto slot = decode_slot(rig.disk.contents(rig.newest_state()));
    return *std::ranges::find(slot->logs, LogId{log}, &LogState::id);
  }
  std::string segment(uint64_t log, size_t i) {
    return segment_path("data", LogId{log}, {state_of(log).segments.at(i).base});
  }
  std::string sidecar(uint64_t log, size_t i) {
    return sidecar_path("data", LogId{log}, {state_of(log).segments.at(i).base});
  }
  std::vector<std::byte> copy(const std::string& path) {
    const auto bytes = rig.disk.contents(path);
    return {bytes.begin(), bytes.end()};
  }
  std::vector<std::string> list(const std::string& path) {
    return rig.disk.list(path).value_or(std::vector<std::string>{});
  }
  // Every file below data, by path.
  std::map<std::string, std::vector<std::byte>> all_files() {
    std::map<std::string, std::vector<std::byte>> files;
    for (const std::string& name : list("data")) {
      if (name != "logs") files[name] = copy("data/" + name);
    }
    for (const std::string& log : list("data/logs")) {
      const std::string folder = "data/logs/" + log;
      for (const std::string& name : list(folder)) files[folder + "/" + name] = copy(folder + "/" + name);
    }
    return files;
  }
  void make_file(const std::string& path, uint64_t bytes) {
    const auto file = rig.disk.open(path, {.create = true, .direct = false});
    ASSERT_TRUE(file);
    ASSERT_TRUE(rig.disk.resize(*file, bytes));
    rig.disk.close(*file);
  }
  void cut_file(const std::string& path, uint64_t bytes) {
    const auto file = rig.disk.open(path, {});
    ASSERT_TRUE(file);
    ASSERT_TRUE(rig.disk.resize(*file, bytes));
    rig.disk.close(*file);
  }
  const Finding* first(Severity severity) const {
    const auto found = std::ranges::find(findings, severity, &Finding::severity);
    return found == findings.end() ? nullptr : &*found;
  }
  std::string told() const {
    std::string text;
    for (const Finding& f : findings) text += f.file + ": " + f.place + ": " + f.means + ". " + f.todo + "\n";
    for (const RepairStep& s : steps) text += s.file + ": " + s.what + ": " + s.why + "\n";
    return text;
  }

  sim::StoreRig rig;
  std::function<bool(LogId)> lives;  // what the metadata says, if there is one
  std::optional<LogId> next_log_id;
  std::map<LogId, uint32_t> ring_of;
  bool all_rings_here = false;
  std::function<bool(const Uuid&)> knows_folder;
  std::vector<Finding> findings;
  std::vector<RepairStep> steps;
};

}  // namespace penstock::storage
