// Counters and gauges of one lcore over a layer's metric list. One writer; control reads at any time (relaxed: a
// dashboard needs no order). No read-modify-write, so counting costs what a plain add costs.
// A layer's list is its api/metrics.def: METRIC(id, kind, "help"); the exported name is penstock_<id>_total for a
// counter and penstock_<id> for a gauge.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <utility>

namespace penstock {

enum class MetricKind : uint8_t { kCounter, kGauge };

struct MetricInfo {
  std::string_view name;
  MetricKind kind;
  std::string_view help;
};

template <class Metric>
class alignas(64) Counters {
 public:
  void add(Metric metric, uint64_t n = 1) {
    auto& cell = cells_[std::to_underlying(metric)];
    cell.store(cell.load(std::memory_order_relaxed) + n, std::memory_order_relaxed);
  }
  void set(Metric metric, uint64_t value) {
    cells_[std::to_underlying(metric)].store(value, std::memory_order_relaxed);
  }
  uint64_t get(Metric metric) const { return cells_[std::to_underlying(metric)].load(std::memory_order_relaxed); }

 private:
  std::array<std::atomic<uint64_t>, static_cast<size_t>(Metric::kCount)> cells_{};
};

}  // namespace penstock
