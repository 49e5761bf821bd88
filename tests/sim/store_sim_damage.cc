// What must hold of StoreSim's logs when the disk has lied, or lost what it had: nothing that was not produced is ever
// served, and nothing is passed over in silence.
#include <algorithm>
#include <array>

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
    seen_.holes_after_a_lie += found.holes.size();
    if (!live.log.become(found)) unknown.push_back(id);
    live.epochs_unsure = true;
  }
  for (const uint64_t id : unknown)
    if (std::string wrong = drop(logs_.find(id)); !wrong.empty()) return wrong;
  return {};
}

// All that cursor promises, or as much as can be read.
std::string StoreSim::read_good_part(const storage::ReadCursor& from, std::vector<std::byte>& bytes) {
  storage::ReadCursor cursor = from;
  return wait_for("a read", [&](bool& done) -> std::string {
    while (cursor.remaining > 0) {
      std::array<std::span<const std::byte>, 5> pieces;
      const auto count = store_->view(cursor, 300'000, pieces);
      if (!count && count.error().code == Errc::kWouldBlock) return {};
      done = true;
      if (!count && count.error().code == Errc::kNotFound) return "it went while it was read";
      if (!count) return {};
      if (*count == 0) return "an answer ends too early";
      size_t n = 0;
      for (const auto piece : std::span(pieces).first(*count)) {
        bytes.insert(bytes.end(), piece.begin(), piece.end());
        n += piece.size();
      }
      store_->advance(cursor, n);
    }
    done = true;
    return {};
  });
}

// Everything in the log that is not damaged, as one fetches who goes on behind each damaged batch.
std::string StoreSim::read_good(uint64_t id, SimLog::Found& found) {
  const auto offsets = store_->offsets(LogId{id});
  const SimLog& log = logs_.at(id).log;
  found.start = offsets->log_start_offset.value();
  found.end = offsets->log_end_offset.value();
  for (int64_t from = found.start; from < found.end;) {
    storage::ReadPlan plan{.status = ReadStatus::kPending, .cursor = {}};
    std::string wrong = wait_for("a plan", [&](bool& done) -> std::string {
      plan = store_->plan_read(LogId{id}, Offset{from}, UINT64_MAX, true);
      done = plan.status != ReadStatus::kPending;
      return {};
    });
    if (!wrong.empty()) return wrong;
    if (plan.status == ReadStatus::kGone) return "offset " + std::to_string(from) + " is gone";
    if (plan.status == ReadStatus::kReady && plan.cursor.remaining == 0) return {};  // the caller knows whether it may
    std::optional<int64_t> next;
    if (plan.status == ReadStatus::kReady) {
      std::vector<std::byte> bytes;
      wrong = read_good_part(plan.cursor, bytes);
      if (!wrong.empty()) return wrong;
      next = take_batches(bytes, found.batches);
    }
    if (!next) {
      next = log.next_place(from, found.end);
      found.holes.push_back({from, *next});
    }
    from = *next;
  }
  return {};
}

}  // namespace penstock::sim
