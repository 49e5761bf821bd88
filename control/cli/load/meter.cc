#include "control/cli/load/meter.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>

#include "base/cpu_time.h"
#include "control/cli/json.h"
#include "control/cli/quantity.h"

namespace penstock::cli {
namespace {

constexpr struct {
  double percent;
  const char* name;      // JSON
  const char* spelling;  // text
} kPercentiles[] = {{50, "p50", "p50"}, {90, "p90", "p90"}, {99, "p99", "p99"}, {99.9, "p99_9", "p99.9"}};

double micros(double nanos) { return nanos / 1e3; }

std::string error_name(ErrorCode error) {
  const auto name = to_string(error);
  return name == "UNKNOWN" ? fmt::format("ERROR_{}", static_cast<int>(error)) : std::string(name);
}

}  // namespace

Meter::Meter(const Window& window)
    : window_(window), last_(window.measured_from), next_tick_(window.start + kSecond), last_tick_(window.start) {}

void Meter::done(Nanos since, Nanos now, uint64_t records, uint64_t bytes) {
  const auto took = static_cast<uint64_t>(std::max<Nanos>(now - since, 0));
  tick_records_ += records;
  tick_bytes_ += bytes;
  tick_latency_.record(took);
  if (since < window_.measured_from) return;
  ++requests_;
  records_ += records;
  bytes_ += bytes;
  latency_.record(took);
  last_ = std::max(last_, now);
}

void Meter::failed(ErrorCode error, const std::string& message) {
  Refusals& refusals = errors_[error];
  if (refusals.count++ == 0) refusals.message = message;
  ++tick_errors_;
}

void Meter::unfinished(Nanos since, Nanos now) {
  ++unfinished_;
  latency_.record(static_cast<uint64_t>(std::max<Nanos>(now - since, 0)));
}

void Meter::tick(Nanos now, uint64_t waiting) {
  if (now < next_tick_) return;
  const double seconds = static_cast<double>(now - last_tick_) / kSecond;
  if (window_.progress) {
    std::string line = fmt::format("{:4} s  {:>12} records/s  {:8.1f} MB/s  {}", (now - window_.start) / kSecond,
                                   with_commas(static_cast<uint64_t>(static_cast<double>(tick_records_) / seconds)),
                                   static_cast<double>(tick_bytes_) / 1e6 / seconds, latency_text(tick_latency_));
    if (waiting > 0) line += fmt::format("  {} waiting", with_commas(waiting));
    if (tick_errors_ > 0) line += fmt::format("  {} refused", with_commas(tick_errors_));
    if (now < window_.measured_from) line += "  (warm-up)";
    fmt::print(stderr, "{}\n", line);
  }
  tick_records_ = tick_bytes_ = tick_errors_ = 0;
  tick_latency_.clear();
  last_tick_ = now;
  next_tick_ = now + kSecond;
}

uint64_t Meter::failures() const {
  uint64_t sum = unfinished_;
  for (const auto& [error, refusals] : errors_) sum += refusals.count;
  return sum;
}

double Meter::seconds() const { return static_cast<double>(last_ - window_.measured_from) / kSecond; }

double Meter::records_per_second() const { return seconds() > 0 ? static_cast<double>(records_) / seconds() : 0; }

double Meter::megabytes_per_second() const { return seconds() > 0 ? static_cast<double>(bytes_) / 1e6 / seconds() : 0; }

Json Meter::json() const {
  auto errors = Json::object();
  for (const auto& [error, refusals] : errors_) errors[error_name(error)] = refusals.count;
  return {{"seconds", seconds()},
          {"requests", requests_},
          {"records", records_},
          {"bytes", bytes_},
          {"records_per_second", records_per_second()},
          {"megabytes_per_second", megabytes_per_second()},
          {"errors", errors},
          {"unfinished", unfinished_},
          {"latency_us", latency_json(latency_)},
          {"send_lag_us", latency_json(send_lag_)},
          {"client_cpu_seconds", cpu_seconds()}};
}

std::string Meter::text(const std::string& latency_of) const {
  std::string out = fmt::format("{} records in {} requests, {:.2f} s: {} records/s, {:.1f} MB/s\n",
                                with_commas(records_), with_commas(requests_), seconds(),
                                with_commas(static_cast<uint64_t>(records_per_second())), megabytes_per_second());
  out += fmt::format("{}: {}\n", latency_of, latency_text(latency_));
  if (send_lag_.count() > 0) out += fmt::format("sent late by: {}\n", latency_text(send_lag_));
  for (const auto& [error, refusals] : errors_) {
    out += fmt::format("refused: {} x {}{}{}\n", with_commas(refusals.count), error_name(error),
                       refusals.message.empty() ? "" : ": ", refusals.message);
  }
  if (unfinished_ > 0) {
    out += fmt::format("never answered: {} requests; the percentiles take their age, so the truth is worse\n",
                       with_commas(unfinished_));
  }
  return out;
}

Json latency_json(const Histogram& latency) {
  Json out{{"count", latency.count()},
           {"mean", micros(latency.mean())},
           {"min", micros(static_cast<double>(latency.min()))}};
  for (const auto& p : kPercentiles) out[p.name] = micros(static_cast<double>(latency.percentile(p.percent)));
  out["max"] = micros(static_cast<double>(latency.max()));
  return out;
}

std::string duration_text(uint64_t nanos) {
  const auto n = static_cast<double>(nanos);
  if (nanos < 1000 * uint64_t{kMicrosecond}) return fmt::format("{:.1f} us", n / 1e3);
  if (nanos < 1000 * uint64_t{kMillisecond}) return fmt::format("{:.2f} ms", n / 1e6);
  return fmt::format("{:.2f} s", n / 1e9);
}

std::string latency_text(const Histogram& latency) {
  if (latency.count() == 0) return "nothing measured";
  std::string out;
  for (const auto& p : kPercentiles)
    out += fmt::format("{} {}  ", p.spelling, duration_text(latency.percentile(p.percent)));
  return out + "max " + duration_text(latency.max());
}

}  // namespace penstock::cli
