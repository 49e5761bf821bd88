// Random damage at rest to the ring of a Store that crashed: every row of the recovery table (storage/ring/recovery.h)
// is reached by whole starts, and each start either refuses by name or has all that was acked. The one stated exception
// is the very last frame, for which nothing vouches yet. PENSTOCK_SIM_SEEDS says how many seeds, PENSTOCK_SIM_SEED
// replays one.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <string>
#include <vector>

#include "base/log.h"
#include "storage/ring/recovery.h"
#include "storage/ring/state_slots.h"
#include "tests/sim/store_rig.h"

namespace penstock::sim {
namespace {

using storage::FrameHeader;
using storage::kRecoveryTable;
using storage::Lsn;
using storage::RecoveryRow;
using storage::Verdict;
using Bytes = std::vector<std::byte>;

constexpr size_t kBlock = 4096;

uint64_t number_from(const char* name, uint64_t otherwise) {
  const char* text = std::getenv(name);
  return text == nullptr ? otherwise : std::strtoull(text, nullptr, 10);
}

// The row that the operator's line, or else the line in the log, names: each row has words of its own.
const RecoveryRow* g_row = nullptr;
void find_row(std::string_view line) {
  const RecoveryRow* best = nullptr;
  for (const RecoveryRow& row : kRecoveryTable)
    if (line.contains(row.why) && (best == nullptr || row.why.size() > best->why.size())) best = &row;
  if (best != nullptr) g_row = best;
}

enum class Damage : uint8_t {
  kNone,
  kFlippedBit,
  kLostWrite,      // one block is as it was some time before
  kZeroedBlock,    // never written, in truth
  kMisdirected,    // a block lies over another
  kOldSlots,       // both state slots are as they were some time before
  kOldGeneration,  // a frame of an earlier start stands there
  kOtherChain,     // a frame that follows another one than the one before it
  kCount,
  kOtherRing,  // the ring's file, or what a chunk of it begins with, is another ring's; not drawn, but asked for
};

class Case {
 public:
  explicit Case(uint64_t seed, bool other_ring = false) : rig_(seed) {
    damage_ = static_cast<Damage>(rig_.prng.below(static_cast<uint64_t>(Damage::kCount)));
    if (other_ring) damage_ = Damage::kOtherRing;
    long_ = rig_.prng.one_in(3);
  }

  // Empty if what must hold does.
  std::string run() {
    for (uint64_t lives = rig_.prng.below(3); lives > 0; --lives) {
      if (std::string wrong = start_undamaged(); !wrong.empty()) return wrong;
      work();
      rig_.crash();
    }
    if (std::string wrong = start_undamaged(); !wrong.empty()) return wrong;
    if (rig_.prng.one_in(2)) work();
    remember();
    work();
    if (rig_.prng.one_in(2)) rig_.settle();
    if (rig_.prng.one_in(2)) write_a_slot();
    rig_.crash();
    find_frames();
    if (!frames_.empty()) strike();
    g_row = nullptr;
    const std::string line = rig_.open();
    find_row(line);
    if (!line.empty()) return refused(line);
    const std::string wrong = rig_.check_acked();
    return wrong.empty() || struck_the_last_ ? "" : "acked data is gone and nobody was told: " + wrong;
  }

 private:
  // What a crash took of the batches that were not acked is gone from then on.
  std::string start_undamaged() {
    if (const std::string line = rig_.open(); !line.empty()) return "an undamaged ring was refused: " + line;
    for (auto& [id, model] : rig_.logs) {
      const auto bytes = read_all(*rig_.store, storage::LogId{id}, [this] { rig_.turn(); });
      if (!bytes) return "a log cannot be read";
      if (std::string wrong = model.settle_after_crash(*bytes); !wrong.empty()) return wrong;
    }
    return {};
  }

  void work() {
    for (int i = static_cast<int>(rig_.prng.between(5, long_ ? 120 : 40)); i > 0; --i) {
      rig_.append(long_ ? 60'000 : 200);
      if (rig_.prng.one_in(2)) rig_.turn();
    }
  }

  void remember() {
    const auto copy = [&](const char* path) {
      const auto bytes = rig_.disk.contents(path);
      return Bytes(bytes.begin(), bytes.end());
    };
    ring_ = copy(StoreRig::kRing);
    for (size_t i = 0; i < slots_.size(); ++i) slots_[i] = copy(StoreRig::kStates[i]);
  }

  // As a topic's deletion does.
  void write_a_slot() {
    rig_.store->open_log(storage::LogId{50});
    rig_.store->drop_log(storage::LogId{50});
    for (uint64_t turns = rig_.prng.between(1, 12); turns > 0; --turns) rig_.turn();  // before or after the seal
  }

  // Those that a start walks, from the tail on.
  void find_frames() {
    const auto slot = storage::decode_slot(rig_.disk.contents(rig_.newest_state()));
    if (!slot) return;
    const auto ring = rig_.disk.contents(StoreRig::kRing);
    for (Lsn at = slot->ring.tail; at - slot->ring.tail < ring.size();) {
      const auto header = storage::decode_frame_header(ring.data() + at.value() % ring.size());
      if (!header || header->lsn != at) break;
      frames_.push_back(*header);
      at += header->frame_bytes;
    }
  }

  void strike() {
    const size_t which = rig_.prng.one_in(2) ? frames_.size() - 1 : rig_.prng.below(frames_.size());
    const FrameHeader& frame = frames_[which];
    const uint64_t at = frame.lsn.value() % StoreRig::kRingBytes;
    const uint64_t block = at + rig_.prng.below(frame.frame_bytes / kBlock) * kBlock;
    struck_the_last_ = which + 1 == frames_.size();
    const auto ring = std::span(ring_);
    switch (damage_) {
      case Damage::kNone:
      case Damage::kCount: struck_the_last_ = false; return;
      case Damage::kFlippedBit:
        return rig_.disk.flip_bit(StoreRig::kRing,
                                  at + rig_.prng.below(rig_.prng.one_in(4) ? frame.frame_bytes : frame.used_bytes),
                                  static_cast<unsigned>(rig_.prng.below(8)));
      case Damage::kLostWrite: return rig_.disk.replace(StoreRig::kRing, at, ring.subspan(at, kBlock));
      case Damage::kZeroedBlock: return rig_.disk.replace(StoreRig::kRing, block, Bytes(kBlock));
      case Damage::kMisdirected: {
        const uint64_t from = frames_[rig_.prng.below(frames_.size())].lsn.value() % StoreRig::kRingBytes;
        const auto bytes = rig_.disk.contents(StoreRig::kRing).subspan(from, kBlock);
        return rig_.disk.replace(StoreRig::kRing, block, Bytes(bytes.begin(), bytes.end()));
      }
      case Damage::kOldSlots:
        struck_the_last_ = false;
        for (size_t i = 0; i < slots_.size(); ++i) rig_.disk.replace(StoreRig::kStates[i], 0, slots_[i]);
        return;
      case Damage::kOldGeneration:
      case Damage::kOtherChain: return rewrite(frame, at);
      case Damage::kOtherRing: return take_from_another_ring(align_down(at, storage::kChunkBytes));
    }
  }

  void take_from_another_ring(uint64_t chunk) {
    struck_the_last_ = false;
    const bool all = rig_.prng.one_in(2);
    for (uint64_t at = all ? 0 : chunk; at < StoreRig::kRingBytes; at += kBlock) {
      auto header = storage::decode_frame_header(rig_.disk.contents(StoreRig::kRing).data() + at);
      if (!header) continue;
      header->ring_id[0] ^= 1;
      Bytes bytes(storage::kFrameHeaderBytes);
      storage::encode(*header, bytes.data());
      rig_.disk.replace(StoreRig::kRing, at, bytes);
      if (!all) return;
    }
  }

  void rewrite(FrameHeader frame, uint64_t at) {
    if (damage_ == Damage::kOtherChain)
      frame.previous_crc ^= 1;
    else if (frame.generation > 0)
      frame.generation -= 1;
    Bytes header(storage::kFrameHeaderBytes);
    storage::encode(frame, header.data());
    rig_.disk.replace(StoreRig::kRing, at, header);
  }

  std::string refused(const std::string& line) const {
    if (damage_ == Damage::kNone) return "an undamaged ring was refused: " + line;
    const bool by_name = line.contains(StoreRig::kRing);
    return by_name && g_row != nullptr && g_row->verdict == Verdict::kDamaged ? "" : "refused without a name: " + line;
  }

  StoreRig rig_;
  Damage damage_ = Damage::kNone;
  bool long_ = false;  // several laps of the ring
  Bytes ring_;         // as it was some time before
  std::array<Bytes, 2> slots_;
  std::vector<FrameHeader> frames_;
  bool struck_the_last_ = false;
};

TEST(StoreRows, DamageAtRestIsRefusedByNameAndEveryRowIsReached) {
  set_log_sink([](LogLevel, std::string_view line) { find_row(line); });
  const uint64_t one = number_from("PENSTOCK_SIM_SEED", 0);
  const uint64_t first = one != 0 ? one : 1;
  const uint64_t count = one != 0 ? 1 : std::max<uint64_t>(500, number_from("PENSTOCK_SIM_SEEDS", 0));
  std::array<uint64_t, kRecoveryTable.size()> reached{};
  for (uint64_t seed = first; seed < first + count; ++seed) {
    for (const bool other_ring : {false, true}) {
      if (other_ring && one == 0 && seed % 8 != 0) continue;
      EXPECT_EQ(Case(seed, other_ring).run(), "") << "replay with: PENSTOCK_SIM_SEED=" << seed;
      if (g_row != nullptr) reached[static_cast<size_t>(g_row - kRecoveryTable.data())] += 1;
    }
  }
  for (size_t i = 0; i < reached.size(); ++i) {
    fmt::print("{:6} starts: {}\n", reached[i], kRecoveryTable[i].why);
    if (one == 0) {
      EXPECT_GT(reached[i], 0u) << kRecoveryTable[i].why;
    }
  }
}

TEST(StoreRows, EachRowHasWordsOfItsOwn) {
  for (const RecoveryRow& row : kRecoveryTable)
    EXPECT_EQ(std::ranges::count(kRecoveryTable, row.why, &RecoveryRow::why), 1) << row.why;
}

}  // namespace
}  // namespace penstock::sim
