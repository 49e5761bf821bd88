// What StoreSim asks of logs, and what it must be told.
#include <algorithm>
#include <array>

#include "tests/sim/store_sim.h"

namespace penstock::sim {

using storage::LogId;
using storage::ReadStatus;

namespace {
constexpr int kPatience = 20'000;  // turns
}

// Tries until attempt is done with it, a turn between two tries.
std::string StoreSim::wait_for(const char* what, const std::function<std::string(bool& done)>& attempt) {
  for (int i = 0; i < kPatience && !disk_.is_off(); ++i) {
    bool done = false;
    if (std::string wrong = attempt(done); !wrong.empty() || done) return wrong;
    if (std::string wrong = turn(); !wrong.empty()) return wrong;
  }
  return std::string(what) + " waits forever";
}

// ---------------------------------------------------------------- by offset

std::string StoreSim::plan_some() {
  if (logs_.empty()) return {};
  const auto at = some_log();
  const uint64_t id = at->first;
  const SimLog& log = at->second.log;
  const int64_t durable = store_->offsets(LogId{id})->durable.value();
  const int64_t from =
      log.start() + static_cast<int64_t>(prng_.below(static_cast<uint64_t>(durable - log.start()) + 1));
  constexpr std::array<uint64_t, 6> kSizes{0, 100, 5'000, 100'000, 1'000'000, UINT64_MAX};
  const uint64_t most = kSizes[prng_.below(kSizes.size())];
  const bool at_least_one = prng_.one_in(2);
  if (log.is_compacted()) return plan_compacted(id, from, most, at_least_one);
  return wait_for("a plan", [&](bool& done) -> std::string {
    const auto offsets = store_->offsets(LogId{id});
    done = true;
    if (from < log.start() || from > offsets->durable.value()) return {};  // it went meanwhile
    const auto plan = store_->plan_read(LogId{id}, Offset{from}, most, at_least_one);
    done = plan.status != ReadStatus::kPending;
    if (!done) return {};
    const std::string of = "log " + std::to_string(id) + " from offset " + std::to_string(from);
    if (plan.status == ReadStatus::kGone) return of + " is gone";
    const size_t first = log.find(from);
    if (plan.status == ReadStatus::kDamaged) {
      seen_.damaged += 1;
      const SimBatch& batch = *log.batches().at(first);
      return may_be_damaged(at->second, {batch.base, batch.next}) ? "" : of + " is damaged";
    }
    const uint64_t remaining = plan.cursor.remaining;
    if (from == offsets->durable.value()) return remaining == 0 ? "" : of + ": an answer from behind the end";
    Reader reader{.log = id, .cursor = plan.cursor, .expected = {}};
    for (size_t i = first; i < log.batches().size() && reader.expected.size() < remaining; ++i) {
      const SimBatch& batch = *log.batches()[i];
      if (batch.next > offsets->durable.value()) break;
      reader.expected.insert(reader.expected.end(), batch.bytes.begin(), batch.bytes.end());
      reader.range = {from, batch.next};
    }
    const size_t one = log.batches()[first]->bytes.size();
    if (reader.expected.size() < remaining) return of + ": more is promised than is durable";
    if (remaining > std::max<uint64_t>(most, at_least_one ? one : 0)) return of + ": more is promised than was asked";
    if (remaining < one && (at_least_one || one <= most)) return of + ": a durable batch is not served";
    reader.expected.resize(remaining);
    if (remaining > 0 && readers_.size() < 8) readers_.push_back(std::move(reader));
    return {};
  });
}

// All that the cursor promises, or as much as can be read; failed: why no more.
std::string StoreSim::read_cursor(storage::ReadCursor cursor, std::vector<std::byte>& bytes,
                                  std::optional<Errc>& failed) {
  return wait_for("a read", [&](bool& done) -> std::string {
    while (cursor.remaining > 0) {
      std::array<std::span<const std::byte>, 5> pieces;
      const auto count = store_->view(cursor, 300'000, pieces);
      done = count.has_value() || count.error().code != Errc::kWouldBlock;
      if (!done) return {};
      if (!count) {
        failed = count.error().code;
        return {};
      }
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

// All that the cursor promises; gone: it went meanwhile.
std::string StoreSim::read_whole(const storage::ReadCursor& cursor, std::vector<std::byte>& bytes, bool& gone) {
  std::optional<Errc> failed;
  const std::string wrong = read_cursor(cursor, bytes, failed);
  gone = failed == Errc::kNotFound;
  return wrong.empty() && failed && !gone ? "an answer cannot be read" : wrong;
}

// What a compacted log answers is read at once, and compared with what may be left of what was appended there; and then
// once more, slowly: that must be the same bytes, whatever is compacted meanwhile.
std::string StoreSim::plan_compacted(uint64_t id, int64_t from, uint64_t most, bool at_least_one) {
  const Live& live = logs_.at(id);
  const SimLog& log = live.log;
  const std::string of = "compacted log " + std::to_string(id) + " from offset " + std::to_string(from);
  storage::ReadPlan plan{.status = ReadStatus::kPending, .cursor = {}};
  std::string wrong = wait_for("a plan", [&](bool& done) -> std::string {
    done = true;
    if (from < log.start() || from > store_->offsets(LogId{id})->durable.value()) return {};  // it went meanwhile
    plan = store_->plan_read(LogId{id}, Offset{from}, most, at_least_one);
    done = plan.status != ReadStatus::kPending;
    return {};
  });
  if (!wrong.empty() || plan.status == ReadStatus::kPending) return wrong;
  if (plan.status == ReadStatus::kGone) return of + " is gone";
  const bool may_fail = may_be_damaged(live, {from, INT64_MAX});
  if (plan.status == ReadStatus::kDamaged) {
    seen_.damaged += 1;
    return may_fail ? "" : of + " is damaged";
  }
  const int64_t durable = store_->offsets(LogId{id})->durable.value();
  const Nanos kept_for = logs_.at(id).config.file_delete_delay_ms * kMillisecond;
  const Nanos sure_until = clock_.monotonic() + kept_for;
  const uint64_t cuts = seen_.truncations;
  Reader reader{.log = id, .cursor = plan.cursor, .expected = {}, .range = {from, INT64_MAX}, .sure_until = sure_until};
  bool gone = false;
  wrong = read_whole(plan.cursor, reader.expected, gone);
  if (!wrong.empty()) return may_fail && !disk_.is_off() ? "" : of + ": " + wrong;
  const bool went = seen_.truncations != cuts || log.start() > from;
  if (gone) return went || log.was_cut() || clock_.monotonic() >= sure_until ? "" : of + " went while it was read";
  if (went) return {};
  std::vector<std::vector<std::byte>> batches;
  int64_t next = from;
  for (std::span<const std::byte> left = reader.expected; left.size() >= protocol::kBatchHeaderBytes;) {
    const auto batch = protocol::view_of(left);
    const auto total = static_cast<size_t>(batch.total_bytes());
    if (total > left.size()) break;
    batches.emplace_back(left.begin(), left.begin() + static_cast<std::ptrdiff_t>(total));
    next = batch.last_offset().value() + 1;
    left = left.subspan(total);
  }
  // Of what was asked for in full all must be there, of the rest what came.
  const bool to_the_end = most == UINT64_MAX && plan.cursor.remaining == 0;
  if (to_the_end) next = durable;
  if (batches.empty() && at_least_one && !log.surely_there(durable, clock_.wall_ms()).empty() &&
      log.surely_there(durable, clock_.wall_ms()).back().offset >= Offset{from})
    return of + ": nothing is served";
  wrong = log.differs(from, next, batches, clock_.wall_ms());
  if (!wrong.empty()) return of + ": " + wrong;
  seen_.compacted_reads += 1;
  if (!reader.expected.empty() && readers_.size() < 8) readers_.push_back(std::move(reader));
  return {};
}

// By a log of which records may be gone: what is found was there, and nothing that surely is comes before it.
std::string StoreSim::time_is_wrong(const SimLog& log, const std::optional<storage::TimeAndOffset>& found, int64_t t,
                                    bool greatest, int64_t below) {
  if (found && !log.has(found->offset.value(), found->timestamp)) return "found what was never appended";
  if (found && !greatest && found->timestamp < t) return "found an earlier time";
  for (const auto& sure : log.surely_there(below, clock_.wall_ms())) {
    const bool better = greatest ? !found || sure.timestamp > found->timestamp
                                 : sure.timestamp >= t && (!found || sure.offset < found->offset);
    if (better) return "passed over the record at offset " + std::to_string(sure.offset.value());
  }
  return {};
}

std::string StoreSim::read_on() {
  if (readers_.empty()) return {};
  const size_t at = prng_.below(readers_.size());
  const bool to_the_end = prng_.one_in(4);
  std::string wrong;
  if (!to_the_end) {
    bool done = false;
    wrong = read_on(readers_[at], done);
    if (done) readers_.erase(readers_.begin() + static_cast<int64_t>(at));
    return wrong;
  }
  Reader reader = std::move(readers_[at]);
  readers_.erase(readers_.begin() + static_cast<int64_t>(at));
  const uint64_t cuts = seen_.truncations;
  return wait_for("an answer", [&](bool& done) {
    done = !logs_.contains(reader.log) || seen_.truncations != cuts;
    return done ? "" : read_on(reader, done);
  });
}

// One look at what comes next.
std::string StoreSim::read_on(Reader& reader, bool& done) {
  std::array<std::span<const std::byte>, 5> pieces;
  const auto count =
      store_->view(reader.cursor, prng_.between(1, 200'000), std::span(pieces).first(prng_.between(1, pieces.size())));
  const std::string of = "log " + std::to_string(reader.log) + ", an answer from offset " +
                         std::to_string(protocol::view_of(reader.expected).base_offset().value());
  if (!count) {
    if (count.error().code == Errc::kWouldBlock) return {};
    done = true;
    if (count.error().code != Errc::kNotFound && may_be_damaged(logs_.at(reader.log), reader.range)) return {};
    const bool trimmed = logs_.at(reader.log).log.start() > protocol::view_of(reader.expected).base_offset().value();
    if (count.error().code == Errc::kNotFound && trimmed) return {};
    const bool late = reader.sure_until && clock_.monotonic() >= *reader.sure_until;
    if (count.error().code == Errc::kNotFound && (late || (reader.sure_until && logs_.at(reader.log).log.was_cut())))
      return {};
    return of + " cannot be read on: " + std::string(to_string(count.error().code));
  }
  if (*count == 0) return of + " ends too early";
  if (reader.cursor.cold) seen_.cold_reads += 1;
  size_t seen = 0;
  for (const auto piece : std::span(pieces).first(*count)) {
    if (piece.empty()) return of + " has an empty piece";
    if (reader.at + seen + piece.size() > reader.expected.size()) return of + " holds more than was promised";
    if (!std::ranges::equal(piece, std::span(reader.expected).subspan(reader.at + seen, piece.size())))
      return of + " differs at byte " + std::to_string(reader.at + seen);
    seen += piece.size();
  }
  const size_t n = prng_.one_in(3) ? prng_.between(1, seen) : seen;
  store_->advance(reader.cursor, n);
  reader.at += n;
  done = reader.at == reader.expected.size();
  if (done != (reader.cursor.remaining == 0)) return of + " has a wrong remainder";
  return {};
}

// ---------------------------------------------------------------- by time and epoch

namespace {

std::string text_of(const std::optional<storage::TimeAndOffset>& found) {
  if (!found) return "nothing";
  return std::to_string(found->timestamp) + " at " + std::to_string(found->offset.value());
}

bool same(const std::optional<storage::TimeAndOffset>& a, const std::optional<storage::TimeAndOffset>& b) {
  return a.has_value() == b.has_value() && (!a || (a->offset == b->offset && a->timestamp == b->timestamp));
}

}  // namespace

std::string StoreSim::find_time_some() {
  if (logs_.empty()) return {};
  const auto it = some_log();
  const uint64_t id = it->first;
  const Live& live = it->second;
  const SimLog& log = live.log;
  int64_t t = clock_.wall_ms() - static_cast<int64_t>(prng_.below(20'000));
  if (!log.batches().empty() && prng_.chance(80)) {
    const SimBatch& batch = *log.batches()[prng_.below(log.batches().size())];
    t = batch.timestamps[prng_.below(batch.timestamps.size())] + static_cast<int64_t>(prng_.below(3)) - 1;
  }
  const bool greatest = prng_.one_in(4);
  return wait_for(greatest ? "a greatest time" : "a time", [&](bool& done) -> std::string {
    const auto answer = greatest ? store_->find_max_time(LogId{id}) : store_->find_by_time(LogId{id}, t);
    done = answer.status != ReadStatus::kPending;
    if (!done) return {};
    const int64_t durable = store_->offsets(LogId{id})->durable.value();
    const auto want = greatest ? log.greatest_time(durable) : log.first_with_time(t, durable);
    const std::string of =
        "log " + std::to_string(id) + (greatest ? ", its greatest time" : ", time " + std::to_string(t));
    // The interval that holds the time may be a bad one also where only what was trimmed away lies in it.
    if (answer.status == ReadStatus::kDamaged && !live.hurt.empty()) return {};
    if (answer.status != ReadStatus::kReady)
      return of + ": " + (answer.status == ReadStatus::kGone ? "gone" : "damaged");
    seen_.times += 1;
    if (log.is_compacted()) {
      const std::string wrong = time_is_wrong(log, answer.found, t, greatest, durable);
      return wrong.empty() ? "" : of + ": " + wrong;
    }
    return same(answer.found, want) ? "" : of + ": found " + text_of(answer.found) + ", a scan " + text_of(want);
  });
}

std::string StoreSim::epoch_end_some() {
  if (logs_.empty()) return {};
  const auto& [id, live] = *some_log();
  // Where a cut fell into a batch that compaction had taken away, the offsets before the cut keep its epoch, as in
  // Kafka's LeaderEpochFileCache, and no batch tells it.
  if (live.epochs_unsure || (live.log.is_compacted() && live.log.was_cut())) return {};
  const auto epoch = static_cast<int32_t>(prng_.below(static_cast<uint64_t>(live.epoch) + 4)) - 1;
  const auto want = live.log.end_offset_for(epoch);
  if (!want || epoch < 0) return {};
  const auto got = store_->end_offset_for(LogId{id}, LeaderEpoch{epoch});
  if (got.epoch == want->epoch && got.end == want->end) return {};
  return "log " + std::to_string(id) + ", epoch " + std::to_string(epoch) + " ends at " +
         std::to_string(got.epoch.value()) + ":" + std::to_string(got.end.value()) + ", by a scan at " +
         std::to_string(want->epoch.value()) + ":" + std::to_string(want->end.value());
}

}  // namespace penstock::sim
