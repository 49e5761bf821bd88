// StoreSim by a script, for the crash points of small workloads. A letter is a step of log 1, the next one the same of
// log 2: a, b append a little; A, B append much; t, u trim to what is durable; c, d truncate; x, y delete the log, and
// a new one takes its place; p, q read everything. w: time passes. s: stop and start again. k: the process dies, and
// starts again. m: both logs are compacted from now on, and it is waited until that was done once.
#include "tests/sim/store_sim.h"

namespace penstock::sim {

using storage::LogId;

namespace {

constexpr size_t kSmallBytes = 700;
constexpr size_t kLargeBytes = 30'000;
constexpr int kTurns = 12;

}  // namespace

std::string StoreSim::begin_again() {
  disk_.kill_process();
  drop_store();
  return open();
}

// Whatever is in the logs is old at once, so that it is sealed and cleaned.
std::string StoreSim::compact_all() {
  for (auto& [id, live] : logs_) {
    storage::LogConfig config = live.config;
    config.compact = true;
    config.max_compaction_lag_ms = 1;
    config.delete_retention_ms = 0;
    change_config(id, config);
  }
  const uint64_t before = counters_.get(storage::Metric::compactions);
  constexpr int kCompactionTurns = 400;
  for (int i = 0; i < kCompactionTurns && !disk_.is_off(); ++i) {
    if (counters_.get(storage::Metric::compactions) >= before + logs_.size()) break;
    cleaner_->step();
    if (std::string wrong = turn(); !wrong.empty()) return wrong;
    clock_.advance(kMillisecond);
  }
  return {};
}

std::string StoreSim::play(char letter) {
  const auto log_of = [&](char first) { return std::next(logs_.begin(), letter - first); };
  const auto is = [&](char first) { return letter == first || letter == first + 1; };
  if (is('a') || is('A')) {
    scripted_bytes_ = is('A') ? kLargeBytes : kSmallBytes;
    return append_to(log_of(is('A') ? 'A' : 'a'), nullptr);
  }
  if (is('t')) {
    const auto log = log_of('t');
    return trim_to(log, store_->offsets(LogId{log->first})->durable.value());
  }
  if (is('c')) {
    const auto log = log_of('c');
    return truncate_to(log, log->second.log.end() - (log->second.log.end() - log->second.log.start()) / 3 - 1);
  }
  if (is('x')) {
    const std::string wrong = drop(log_of('x'));
    open_log();
    return wrong;
  }
  if (is('p')) {
    SimLog::Found found;
    return read_log(log_of('p')->first, found);
  }
  if (letter == 's') {
    if (std::string wrong = stop(); !wrong.empty()) return wrong;
    return disk_.is_off() ? "" : begin_again();
  }
  if (letter == 'k') return begin_again();
  if (letter == 'm') return compact_all();
  for (int i = 0; i < kTurns && !disk_.is_off(); ++i)
    if (std::string wrong = turn(); !wrong.empty()) return wrong;
  return {};
}

std::string StoreSim::run_script(std::string_view script, const PowerLoss& loss) {
  scripted_ = true;
  disk_.faults().tear_unit = loss.tear_unit;
  disk_.faults().power_off_in = loss.at_op;
  disk_.faults().power_off_behind = loss.behind;
  if (std::string wrong = open(); !wrong.empty()) return wrong;
  open_log();
  open_log();
  for (const char letter : script) {
    if (disk_.is_off()) break;
    const std::string wrong = play(letter);
    if (!wrong.empty() && !disk_.is_off()) return std::string("at ") + letter + ": " + wrong;
  }
  disk_.lose_power();
  drop_store();
  disk_.power_on();
  if (std::string wrong = open(); !wrong.empty()) return "after the crash: " + wrong;
  for (const char letter : std::string_view("aBws")) {
    if (std::string wrong = play(letter); !wrong.empty()) return std::string("afterwards, at ") + letter + ": " + wrong;
  }
  return {};
}

}  // namespace penstock::sim
