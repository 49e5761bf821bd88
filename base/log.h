// Log lines for the operator. A thread that may not block (an lcore) installs a LogRing, which control drains; every
// other thread's lines go straight to the sink. A full ring drops the line and counts it: the log never stalls the
// data.
#pragma once

#include <array>
#include <cstdarg>
#include <cstdint>
#include <string_view>

#include "base/ring.h"

namespace penstock {

enum class LogLevel : uint8_t { kDebug, kInfo, kWarn, kError };

struct LogLine {
  LogLevel level = LogLevel::kInfo;
  uint16_t length = 0;
  std::array<char, 500> text{};  // longer lines are cut
  std::string_view view() const { return {text.data(), length}; }
};

using LogRing = SpscRing<LogLine>;
using LogSink = void (*)(LogLevel, std::string_view);

// Where lines go at last; default is standard error. Set once, before threads start.
void set_log_sink(LogSink sink);
// Lines of the calling thread go into ring until this is called with nullptr. The caller keeps the ring alive.
void set_thread_log_ring(LogRing* ring);
// Control's side: moves what the ring holds to the sink.
void drain_log_ring(LogRing& ring);
// Lines dropped by full rings since start, over all threads.
uint64_t log_lines_dropped();

[[gnu::format(printf, 2, 3)]] void log_line(LogLevel level, const char* format, ...);

}  // namespace penstock

#define LOG_INFO(...) ::penstock::log_line(::penstock::LogLevel::kInfo, __VA_ARGS__)
#define LOG_WARN(...) ::penstock::log_line(::penstock::LogLevel::kWarn, __VA_ARGS__)
#define LOG_ERROR(...) ::penstock::log_line(::penstock::LogLevel::kError, __VA_ARGS__)
