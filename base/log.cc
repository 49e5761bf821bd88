#include "base/log.h"

#include <atomic>
#include <cstdio>

namespace penstock {
namespace {

void to_stderr(LogLevel level, std::string_view text) {
  static constexpr const char* kNames[] = {"debug", "info", "warn", "error"};
  std::fprintf(stderr, "%s: %.*s\n", kNames[static_cast<int>(level)], static_cast<int>(text.size()), text.data());
}

LogSink sink = to_stderr;
thread_local LogRing* thread_ring = nullptr;
std::atomic<uint64_t> dropped{0};

}  // namespace

void set_log_sink(LogSink next) { sink = next; }
void set_thread_log_ring(LogRing* ring) { thread_ring = ring; }
uint64_t log_lines_dropped() { return dropped.load(std::memory_order_relaxed); }

void drain_log_ring(LogRing& ring) {
  while (auto line = ring.try_pop()) sink(line->level, line->view());
}

void log_line(LogLevel level, const char* format, ...) {
  LogLine line{.level = level};
  va_list args;
  va_start(args, format);
  const int n = std::vsnprintf(line.text.data(), line.text.size(), format, args);
  va_end(args);
  const int most = static_cast<int>(line.text.size()) - 1;
  line.length = static_cast<uint16_t>(n < 0 ? 0 : n < most ? n : most);
  if (thread_ring == nullptr) return sink(level, line.view());
  if (!thread_ring->try_push(line)) dropped.fetch_add(1, std::memory_order_relaxed);
}

}  // namespace penstock
