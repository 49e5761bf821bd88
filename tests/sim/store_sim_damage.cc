// What must hold of StoreSim's logs when the disk has lied, or lost what it had: nothing that was not produced is ever
// served, and nothing is passed over in silence.
#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "storage/segment/segment_index.h"
#include "storage/segment/segment_path.h"
#include "tests/sim/store_sim.h"

namespace penstock::sim {

using storage::LogId;
using storage::ReadStatus;

namespace {

constexpr const char* kFolder = "data/";

std::string of_log(uint64_t id, const std::string& wrong) { return "log " + std::to_string(id) + ": " + wrong; }

}  // namespace

// A start that has to refuse says of which file, and so does the next one.
std::string StoreSim::check_refusal(const std::string& refused) {
  if (!refused.contains(kFolder)) return "refused without a name: " + refused;
  for (const bool power_goes : {false, true}) {
    power_goes ? disk_.crash() : disk_.kill_process();
    drop_store();
    std::string again;
    if (std::string wrong = open_store(again); !wrong.empty()) return wrong;
    if (again != refused) return "refused first: " + refused + "; and then: " + again;
  }
  return {};
}

// ---------------------------------------------------------------- what is lost at rest

// A segment that no start goes on writing: both slots have it, and not as the last. Of a log that was cut, an old
// truncation in the ring may still say otherwise.
std::optional<StoreSim::SealedPlace> StoreSim::some_sealed_place() {
  if (logs_.empty()) return {};
  const auto at = some_log();
  if (at->second.log.was_cut() || at->second.truncate_to) return {};
  std::array<std::map<int64_t, SealedPlace>, 2> of_slot;  // by base
  for (size_t i = 0; i < of_slot.size(); ++i) {
    const std::string path = "data/ring-0.state-" + std::to_string(i);
    const auto slot = disk_.exists(path) ? storage::decode_slot(disk_.contents(path)) : std::nullopt;
    if (!slot) return {};
    const auto state = std::ranges::find(slot->logs, LogId{at->first}, &storage::LogState::id);
    if (state == slot->logs.end()) return {};
    for (size_t s = 0; s + 1 < state->segments.size(); ++s) {
      const storage::SegmentState& segment = state->segments[s];
      const storage::SegmentId file{segment.base, segment.revision};
      of_slot[i][segment.base.value()] = {.log = at,
                                          .path = storage::segment_path("data", LogId{at->first}, file),
                                          .segment = segment,
                                          .end = state->segments[s + 1].base.value()};
    }
  }
  std::erase_if(of_slot[0], [&](const auto& entry) {
    const auto same = of_slot[1].find(entry.first);
    return same == of_slot[1].end() || same->second.path != entry.second.path || same->second.end != entry.second.end;
  });
  if (of_slot[0].empty()) return {};
  const auto skip = static_cast<int64_t>(prng_.below(of_slot[0].size()));
  SealedPlace place = std::next(of_slot[0].begin(), skip)->second;
  const bool there = disk_.exists(place.path) && disk_.contents(place.path).size() >= place.segment.bytes;
  if (place.segment.bytes == 0 || !there) return {};
  return place;
}

void StoreSim::hurt_some(SimFault fault) {
  std::optional<SealedPlace> place;
  for (int tries = 0; tries < 8 && !place; ++tries) place = some_sealed_place();
  if (!place) return;
  constexpr uint64_t kInterval = storage::SegmentIndex::kIntervalBytes;
  const uint64_t at = prng_.below(place->segment.bytes);
  const uint64_t bytes = fault == SimFault::kUnreadable ? prng_.between(1, 2000) : 1;
  const bool whole_file = fault == SimFault::kRot && prng_.one_in(8);
  Live& live = place->log->second;
  SimLog::Range range{place->segment.base.value(), place->end};
  // Checksums cover intervals: the batches that reach into those are what may be refused.
  if (!whole_file && place->segment.revision == 0 && !live.log.is_compacted())
    range = live.log.range_of(range.from, align_down(at, kInterval), align_up(at + bytes, kInterval));
  live.hurt.push_back({range, place->end, counters_.get(storage::Metric::index_rebuilds)});
  if (fault == SimFault::kUnreadable) {
    disk_.faults().fail_reads.push_back({place->path, at, bytes});
    seen_.unreadable += 1;
    return;
  }
  seen_.rotted += 1;
  if (whole_file)
    disk_.unlink(place->path).value();
  else
    rot(place->path, at);
}

// A bit turns; or a block is not there; or the one of another place is in its.
void StoreSim::rot(const std::string& path, uint64_t at) {
  constexpr uint64_t kBlock = 4096;
  const auto now = disk_.contents(path);
  if (prng_.one_in(2)) {
    const std::byte turned = now[at] ^ static_cast<std::byte>(1u << prng_.below(8));
    return disk_.replace(path, at, std::span(&turned, 1));
  }
  at = align_down(at, kBlock);
  std::vector<std::byte> block(std::min<uint64_t>(kBlock, now.size() - at));
  if (prng_.one_in(2)) {
    const auto other = some_sealed_place();
    const auto from = disk_.contents(other ? other->path : path);
    const uint64_t there = prng_.below(from.size() / kBlock + 1) * kBlock;
    std::ranges::copy(from.subspan(there, std::min<size_t>(block.size(), from.size() - there)), block.begin());
  }
  disk_.replace(path, at, block);
}

// The offsets that may be damaged. Without a sidecar a scan makes the index, and where it meets what is no batch header
// it finds nothing more of the segment.
SimLog::Range StoreSim::reach(const Hurt& hurt) const {
  const bool scanned = counters_.get(storage::Metric::index_rebuilds) > hurt.rebuilds;
  return {hurt.offsets.from, scanned ? hurt.segment_end : hurt.offsets.to};
}

// What lies in range, and was not trimmed away. One failed read more makes of a damaged place a larger one.
bool StoreSim::may_be_damaged(const Live& live, SimLog::Range range) const {
  return std::ranges::any_of(live.hurt, [&](const Hurt& place) {
    const SimLog::Range hurt = reach(place);
    return hurt.to > live.log.start() && (read_fails_ || (hurt.from < range.to && range.from < hurt.to));
  });
}

// Everything in the log, what is damaged as it was.
std::string StoreSim::read_hurt(uint64_t id, SimLog::Found& found) {
  const Live& live = logs_.at(id);
  if (std::string wrong = read_good(id, found); !wrong.empty()) return wrong;
  for (const SimLog::Found::Hole& hole : found.holes) {
    const bool may = std::ranges::any_of(live.hurt, [&](const Hurt& place) {
      const SimLog::Range hurt = reach(place);
      return hurt.from <= hole.from && hole.from < hurt.to;
    });
    // Where compaction left a gap before the damage, what comes next is what is damaged.
    const auto gap_ends_in = [&](const Hurt& place) {
      const int64_t from = place.offsets.from;
      const auto sure = live.log.surely_there(from, clock_.wall_ms());
      return hole.from < from && (sure.empty() || sure.back().offset < Offset{hole.from});
    };
    if (may || (live.log.is_compacted() && std::ranges::any_of(live.hurt, gap_ends_in))) continue;
    std::string wrong = "offset " + std::to_string(hole.from) + " is damaged, and nothing was done to it, only to";
    for (const Hurt& hurt : live.hurt) wrong += fmt::format(" {} to {}", hurt.offsets.from, reach(hurt).to);
    return wrong;
  }
  seen_.holes += found.holes.size();
  live.log.fill_holes(found);
  return {};
}

// Records are deleted up to behind the last of the damage: the log is whole again.
std::string StoreSim::trim_past_damage(Logs::iterator at) {
  const uint64_t id = at->first;
  int64_t to = 0;
  for (const Hurt& hurt : at->second.hurt) to = std::max(to, reach(hurt).to);
  if (to <= at->second.log.start() || to > store_->offsets(LogId{id})->durable.value()) return {};
  if (std::string wrong = trim_to(at, to); !wrong.empty()) return wrong;
  if (at->second.log.start() < to || at->second.log.is_compacted() || read_fails_) return {};
  SimLog::Found found;
  std::string wrong = read_good(id, found);
  if (disk_.is_off()) return {};
  if (wrong.empty() && !found.holes.empty())
    wrong = "offset " + std::to_string(found.holes.front().from) + " is damaged, and the damage was deleted";
  if (wrong.empty()) wrong = at->second.log.differs_after_loss(found);
  seen_.trimmed_past += 1;
  return wrong.empty() ? "" : of_log(id, wrong);
}

// ---------------------------------------------------------------- after a lie

// What a lie took may be gone. A log of which the rest is known goes on with it; others go, as an operator would have
// it.
std::string StoreSim::settle_after_a_lie() {
  seen_.lies_struck += 1;
  producers_.clear();  // what of theirs is remembered is not known
  std::vector<uint64_t> unknown;
  for (auto& [id, live] : logs_) {
    const auto offsets = store_->offsets(LogId{id});
    if (!offsets) return of_log(id, "it is not there after a recovery");
    if (offsets->durable != offsets->log_end_offset) return of_log(id, "not all of it is durable after a recovery");
    SimLog::Found found;
    std::string wrong = read_good(id, found);
    if (wrong.empty()) wrong = live.log.differs_after_loss(found);
    if (!wrong.empty()) return of_log(id, "after a lie: " + wrong);
    seen_.logs_hurt_by_a_lie += found.end != live.log.end() || !found.holes.empty() ? 1 : 0;
    if (!live.log.become(found)) unknown.push_back(id);
    live.epochs_unsure = true;
  }
  for (const uint64_t id : unknown)
    if (std::string wrong = drop(logs_.find(id)); !wrong.empty()) return wrong;
  return {};
}

// Everything in the log that is not damaged, as one fetches who goes on behind each damaged batch.
std::string StoreSim::read_good(uint64_t id, SimLog::Found& found) {
  const SimLog& log = logs_.at(id).log;
  std::optional<int64_t> from;
  for (;;) {
    const auto offsets = store_->offsets(LogId{id});
    if (!from || *from < offsets->log_start_offset.value()) {
      from = found.start = offsets->log_start_offset.value();  // also again, if retention moved it
      found.batches.clear();
      found.holes.clear();
    }
    found.end = offsets->durable.value();
    if (*from >= found.end) return {};
    storage::ReadPlan plan{.status = ReadStatus::kPending, .cursor = {}};
    std::string wrong = wait_for("a plan", [&](bool& done) -> std::string {
      done = store_->offsets(LogId{id})->log_start_offset.value() > *from;
      if (done) return {};
      plan = store_->plan_read(LogId{id}, Offset{*from}, UINT64_MAX, true);
      done = plan.status != ReadStatus::kPending;
      return {};
    });
    if (!wrong.empty()) return wrong;
    if (plan.status == ReadStatus::kPending) continue;
    if (plan.status == ReadStatus::kGone) return "offset " + std::to_string(*from) + " is gone";
    if (plan.status == ReadStatus::kReady && plan.cursor.remaining == 0) return {};  // the caller knows whether it may
    std::optional<int64_t> next;
    if (plan.status == ReadStatus::kReady) {
      std::vector<std::byte> bytes;
      std::optional<Errc> failed;  // where it is damaged
      wrong = read_cursor(plan.cursor, bytes, failed);
      if (wrong.empty() && failed == Errc::kNotFound) wrong = "it went while it was read";
      if (!wrong.empty()) return wrong;
      next = take_batches(bytes, found.batches);
    }
    if (!next) {
      next = log.next_place(*from, found.end);
      found.holes.push_back({*from, *next});
    }
    from = next;
  }
  return {};
}

}  // namespace penstock::sim
