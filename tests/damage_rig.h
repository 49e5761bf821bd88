// Segments to be damaged, and what a consumer then gets of them.
#pragma once

#include <gtest/gtest.h>

#include <array>
#include <string>
#include <vector>

#include "storage/segment/segment_index.h"
#include "storage/segment/segment_path.h"
#include "tests/sim/store_rig.h"

namespace penstock::sim {

using storage::LogId;
using storage::Metric;

// Both logs in segments of 100 kB, cleanly stopped and started again.
inline void with_segments(StoreRig& rig) {
  rig.config.segment_bytes = 100'000;
  ASSERT_EQ(rig.open(), "");
  for (int i = 0; i < 40; ++i) {
    ASSERT_TRUE(rig.append_to(1, 9'000));
    ASSERT_TRUE(rig.append_to(2, 9'000));
  }
  rig.settle();
  rig.stop();
}

inline std::vector<std::string> files_of(SimDisk& disk, uint64_t log, std::string_view ending) {
  std::vector<std::string> paths;
  const std::string folder = storage::log_path("data", LogId{log});
  const std::vector<std::string> names = disk.list(folder).value();
  for (const std::string& name : names)
    if (name.ends_with(ending)) paths.push_back(folder + "/" + name);
  return paths;
}

// What a consumer gets that asks on behind each batch that it is refused. Each batch has one record.
struct Reading {
  std::vector<int64_t> refused;
  size_t served = 0;
  int broken = 0;  // answers that ended before what they promised
};

inline Result<size_t> next_bytes(StoreRig& rig, const storage::ReadCursor& cursor, std::span<const std::byte>& bytes) {
  std::array<std::span<const std::byte>, 1> pieces;
  for (int i = 0; i < 1000; ++i) {
    const auto viewed = rig.store->view(cursor, SIZE_MAX, pieces);
    if (viewed || viewed.error().code != Errc::kWouldBlock) {
      if (viewed) bytes = pieces[0];
      return viewed;
    }
    rig.turn();
  }
  return fail(Errc::kWouldBlock);
}

inline storage::ReadPlan plan_from(StoreRig& rig, uint64_t log, int64_t from) {
  storage::ReadPlan plan{.status = storage::ReadStatus::kPending, .cursor = {}};
  for (int i = 0; i < 1000 && plan.status == storage::ReadStatus::kPending; ++i) {
    if (i > 0) rig.turn();
    plan = rig.store->plan_read(LogId{log}, Offset{from}, 1 << 20, true);
  }
  return plan;
}

inline Reading read_around(StoreRig& rig, uint64_t log, int64_t from = 0) {
  Reading reading;
  const auto& batches = rig.logs.at(log).batches;
  while (from < rig.logs.at(log).end_offset && reading.broken < 10) {
    auto [status, cursor] = plan_from(rig, log, from);
    EXPECT_NE(status, storage::ReadStatus::kPending) << from;
    if (status != storage::ReadStatus::kReady || cursor.remaining == 0) {
      EXPECT_EQ(status, storage::ReadStatus::kDamaged) << from;
      reading.refused.push_back(from++);
      continue;
    }
    std::vector<std::byte> got;
    std::span<const std::byte> bytes;
    while (cursor.remaining > 0 && next_bytes(rig, cursor, bytes)) {
      bytes = bytes.first(std::min<size_t>(bytes.size(), cursor.remaining));
      got.insert(got.end(), bytes.begin(), bytes.end());
      rig.store->advance(cursor, bytes.size());
    }
    reading.broken += cursor.remaining > 0 ? 1 : 0;
    if (cursor.remaining > 0) continue;  // its connection is closed: it asks again
    size_t at = 0;
    for (; from < rig.logs.at(log).end_offset; ++from, ++reading.served) {
      const auto& want = batches.at(static_cast<size_t>(from)).bytes;
      if (got.size() - at < want.size()) break;
      EXPECT_TRUE(std::ranges::equal(std::span(got).subspan(at, want.size()), want)) << from;
      at += want.size();
    }
    EXPECT_GT(at, 0u) << "an answer without one whole batch, from " << from;
    if (at == 0) break;
  }
  return reading;
}

// The batches of log, which all lie in one segment from its offset first on, that have bytes of [from, to) in it.
inline std::vector<int64_t> batches_at(const StoreRig& rig, uint64_t log, int64_t first, uint64_t from, uint64_t to) {
  std::vector<int64_t> found;
  uint64_t at = 0;
  for (const auto& batch : rig.logs.at(log).batches) {
    if (batch.base_offset < first) continue;
    if (at < to && at + batch.bytes.size() > from) found.push_back(batch.base_offset);
    at += batch.bytes.size();
  }
  return found;
}

inline int64_t base_of(const std::string& path) { return std::stoll(path.substr(path.rfind('/') + 1)); }

// One log in segments of a megabyte, of four blocks each, cleanly stopped.
inline void with_long_segments(StoreRig& rig) {
  rig.config.segment_bytes = 1'000'000;
  ASSERT_EQ(rig.open(), "");
  for (int i = 0; i < 250; ++i) {
    ASSERT_TRUE(rig.append_to(1, 9'000));
    rig.turn();
  }
  rig.settle();
  rig.stop();
}

inline bool reads_whole(StoreRig& rig, uint64_t log) {
  const auto bytes = read_all(*rig.store, LogId{log}, [&] { rig.turn(); });
  if (!bytes) return false;
  LogModel copy = rig.logs.at(log);
  EXPECT_EQ(copy.settle_after_crash(*bytes), "");
  return true;
}

}  // namespace penstock::sim
