#include "storage/log/damage.h"

#include <string>
#include <utility>

#include "storage/segment/segment_path.h"

namespace penstock::storage {
namespace {

constexpr Nanos kTellEvery = 10 * kSecond;

void tell_not_now(Shard& shard, LogId log, SegmentId id, Error error) {
  const Nanos now = shard.clock.monotonic();
  if (now < shard.tell_unopened_at) return;
  shard.tell_unopened_at = now + kTellEvery;
  const std::string_view why = to_string(error.code);
  LOG_WARN("segment %s cannot be opened (%.*s, errno %d): who reads it is told to try again%s",
           segment_path(shard.folder, log, id).c_str(), static_cast<int>(why.size()), why.data(), int{error.os_errno},
           error.code == Errc::kFull ? "; the limit of open files (ulimit -n) is too low" : "");
}

}  // namespace

void tell_damage(Shard& shard, LogId log, Segment& segment, uint64_t from, uint64_t to, const char* what) {
  if (std::exchange(segment.damaged, true)) return;
  shard.counters.add(Metric::segments_damaged);
  LOG_ERROR("segment %s: bytes %llu to %llu %s: they are not served; see penstock log verify",
            segment_path(shard.folder, log, segment.id()).c_str(), static_cast<unsigned long long>(from),
            static_cast<unsigned long long>(to), what);
}

void tell_unopened(Shard& shard, LogId log, Segment& segment, Error error) {
  if (segment.damaged) return;
  if (error.code == Errc::kNotFound)
    return tell_damage(shard, log, segment, 0, segment.bytes, "are missing (there is no such file)");
  const std::string what = "cannot be read (the file cannot be opened: " + std::string(to_string(error.code)) +
                           ", errno " + std::to_string(error.os_errno) + ")";
  tell_damage(shard, log, segment, 0, segment.bytes, what.c_str());
}

Result<FileHandle> acquire_named(Shard& shard, SegmentFiles& files, LogId log, SegmentId id) {
  const auto file = files.acquire(log, id, SegmentFiles::Want::kRead);
  if (file || file.error().code == Errc::kWouldBlock) return file;
  if (file.error().code != Errc::kNotFound) {
    tell_not_now(shard, log, id, file.error());
    return file;
  }
  PartitionLog* found = shard.find(log);
  Segment* segment = found == nullptr ? nullptr : found->find_file(id);
  if (segment == nullptr) return file;
  tell_unopened(shard, log, *segment, file.error());
  return fail(Errc::kCorrupt);
}

}  // namespace penstock::storage
