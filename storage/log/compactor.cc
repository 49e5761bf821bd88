#include "storage/log/compactor.h"

#include <algorithm>
#include <utility>

#include "base/saturating.h"

namespace penstock::storage {
namespace {

constexpr size_t kLogsATurn = 128;
constexpr Nanos kRetryAfter = 15 * kSecond;
constexpr Nanos kLookEvery = 10 * kMillisecond;       // at most, also with log.cleaner.backoff.ms=0
constexpr int64_t kDelayMostMs = 24LL * 3600 * 1000;  // file.delete.delay.ms may be any number

}  // namespace

Compactor::Compactor(Shard& shard, Destager& destager, CompactionLink* link, Tell tell)
    : shard_(shard), destager_(destager), link_(shard.options.cleaner_enable ? link : nullptr), tell_(std::move(tell)) {
  next_check_at_ = shard.clock.monotonic() + shard.options.cleaner_backoff_ms * kMillisecond;
}

void Compactor::run() {
  if (link_ == nullptr || shard_.poisoned) return;
  if (job_) take_news();
  if (!has_retired_.empty()) expire_retired();
  if (!stopped_) look();
}

Nanos Compactor::next_deadline() const {
  if (link_ == nullptr) return INT64_MAX;
  if (job_) return ask_at_;
  if (stopped_) return INT64_MAX;
  return to_look_at_.empty() ? next_check_at_ : 0;
}

void Compactor::stop() {
  stopped_ = true;
  if (job_) cancel(job_->log);
}

void Compactor::cancel(LogId log) {
  given_up_.erase(log);
  retry_at_.erase(log);
  if (!works_on(log) || job_->cancelled) return;
  job_->cancelled = true;
  CHECK(link_->asked.try_push(CleaningJob{.is_cancel = true, .log = log, .sources = {}, .producers = {}}));
  link_->bell.ring();
}

// ---------------------------------------------------------------- what comes back

void Compactor::take_news() {
  ask_at_ = shard_.clock.monotonic() + kAskEvery;
  while (job_) {
    if (!news_) news_ = link_->told.try_pop();
    if (!news_ || !take(*news_)) return;
    news_.reset();
  }
}

// False: it has to wait.
bool Compactor::take(CleaningNews& news) {
  CHECK(job_ && job_->log == news.log);
  if (news.kind != CleaningNews::Kind::kSwap) {
    end(news);
    return true;
  }
  PartitionLog* log = shard_.find(news.log);
  if (log == nullptr) return true;  // deleted: all of its folder goes
  if (!job_->cancelled && !log->truncate_to) {
    if (tell_.busy(*log)) return false;
    if (swap(*log, news)) return true;
    // Part of it went meanwhile. What comes behind was made knowing records that stay now: a tombstone's horizon must
    // not begin, and what it hides must not count as clean.
    cancel(log->id);
  }
  tell_.remove(log->id, news.made);
  return true;
}

// Kafka: UnifiedLog.replaceSegments. False: what it was made from is not there any more as it was.
bool Compactor::swap(PartitionLog& log, CleaningNews& news) {
  const auto first = std::ranges::find(log.segments, news.replaced.front(), &Segment::id);
  const auto left = static_cast<size_t>(log.segments.end() - first);
  if (left <= news.replaced.size()) return false;  // the last one is open
  for (size_t i = 0; i < news.replaced.size(); ++i)
    if ((first + static_cast<std::ptrdiff_t>(i))->id() != news.replaced[i]) return false;
  const auto last = first + static_cast<std::ptrdiff_t>(news.replaced.size());
  const Nanos until = shard_.clock.monotonic() + std::min(log.config.file_delete_delay_ms, kDelayMostMs) * kMillisecond;
  for (auto it = first; it != last; ++it)
    log.retired.push_back({.segment = *it, .end = std::next(it)->base, .until = until});
  const size_t replaced = news.replaced.size();
  has_retired_.insert(log.id);
  const Offset end = last->base;
  const int64_t written_ms = std::ranges::max_element(first, last, {}, &Segment::written_ms)->written_ms;
  *first = Segment{.base = news.made.base,
                   .bytes = news.bytes,
                   .first_timestamp = news.first_timestamp,
                   .max_timestamp = news.max_timestamp,
                   .revision = news.made.revision,
                   .written_ms = written_ms};
  log.segments.erase(first + 1, last);
  // What memory has of them is as it was before.
  while (!log.batches.empty() && log.batches.front().next_offset() <= end) log.batches.pop_front();
  log.max_scan.reset();
  log.time_scans.forget();
  log.swap_slot = tell_.swapped(log);
  for (size_t i = log.retired.size() - replaced; i < log.retired.size(); ++i) log.retired[i].slot = log.swap_slot;
  shard_.counters.add(Metric::compaction_swaps);
  return true;
}

void Compactor::end(const CleaningNews& news) {
  StorageCounters& counters = shard_.counters;
  counters.add(Metric::compaction_bytes_read, news.bytes_read);
  counters.add(Metric::compaction_bytes_written, news.bytes_written);
  counters.add(Metric::compaction_records_removed, news.records_gone);
  PartitionLog* log = shard_.find(news.log);
  const bool cancelled = std::exchange(job_, std::nullopt)->cancelled;
  if (log == nullptr || cancelled) return;
  if (news.kind == CleaningNews::Kind::kEnd) {
    // Its newer part may have been cut off meanwhile: then it was cancelled.
    const Offset most = log->segments.empty() ? log->log_start_offset : log->segments.back().base;
    log->cleaned_to = std::max(log->cleaned_to, std::min({news.cleaned_to, most, log->written}));
    counters.add(Metric::compactions);
    next_check_at_ = 0;  // others may wait, and so may the rest of this one
    return;
  }
  counters.add(Metric::compaction_failures);
  if (news.source_is_damaged) {
    given_up_.insert(log->id);
    LOG_ERROR("log %llu is not compacted any more: one of its segments is damaged; see penstock log verify",
              static_cast<unsigned long long>(log->id.value()));
  } else {
    retry_at_[log->id] = shard_.clock.monotonic() + kRetryAfter;
    next_check_at_ = 0;  // the others do not wait for it
    LOG_WARN("compaction of log %llu was given up (%.*s): it is tried again",
             static_cast<unsigned long long>(log->id.value()), static_cast<int>(to_string(news.error.code).size()),
             to_string(news.error.code).data());
  }
}

// ---------------------------------------------------------------- what was replaced

void Compactor::expire_retired() {
  const Nanos now = shard_.clock.monotonic();
  std::erase_if(has_retired_, [&](LogId id) {
    PartitionLog* log = shard_.find(id);
    if (log == nullptr) return true;
    while (!log->retired.empty() && log->retired.front().until <= now && tell_.is_durable(log->retired.front().slot)) {
      const SegmentId file = log->retired.front().segment.id();
      log->retired.erase(log->retired.begin());
      tell_.drop(*log, file);
    }
    return log->retired.empty();
  });
}

void Compactor::drop_retired(PartitionLog& log) {
  for (const RetiredSegment& old : std::exchange(log.retired, {})) tell_.drop(log, old.segment.id());
}

// ---------------------------------------------------------------- which log is next

// Each log once in an interval; then the one with the most dirt for its size, if any has enough.
void Compactor::look() {
  const Nanos now = shard_.clock.monotonic();
  if (to_look_at_.empty()) {
    if (now < next_check_at_ || job_) return;
    next_check_at_ = now + std::max(shard_.options.cleaner_backoff_ms * kMillisecond, kLookEvery);
    std::erase_if(retry_at_, [&](const auto& retry) { return retry.second <= now; });
    for (const auto& [id, log] : shard_.logs)
      if (log->config.compact) to_look_at_.push_back(id);
    std::ranges::sort(to_look_at_, std::greater<>());
    best_.reset();
    best_ratio_ = worst_dirt_ = 0;
    if (to_look_at_.empty()) return;
  }
  const int64_t now_ms = shard_.clock.wall_ms();
  for (size_t i = 0; i < kLogsATurn && !to_look_at_.empty(); ++i) {
    PartitionLog* log = shard_.find(to_look_at_.back());
    to_look_at_.pop_back();
    if (log == nullptr || !log->config.compact || log->truncate_to) continue;
    seal_if_old(*log, now_ms);
    const Dirt dirt = dirt_of(*log, now_ms);
    worst_dirt_ = std::max(worst_dirt_, dirt.ratio());
    const bool due = dirt.dirty_bytes > 0 && (dirt.overdue || dirt.ratio() > log->config.min_cleanable_dirty_ratio);
    if (!due || given_up_.contains(log->id) || retry_at_.contains(log->id) || (best_ && dirt.ratio() <= best_ratio_))
      continue;
    best_ = log->id;
    best_ratio_ = dirt.ratio();
  }
  if (!to_look_at_.empty()) return;
  shard_.counters.set(Metric::compaction_dirty_percent_max, static_cast<uint64_t>(worst_dirt_ * 100));
  shard_.counters.set(Metric::compaction_logs_given_up, given_up_.size());
  PartitionLog* log = best_ ? shard_.find(*best_) : nullptr;
  if (log != nullptr && !log->truncate_to && !tell_.busy(*log)) begin(*log, dirt_of(*log, now_ms));
}

// Kafka seals by segment.ms and max.compaction.lag.ms when it appends; here a log that is silent is cleaned too.
void Compactor::seal_if_old(PartitionLog& log, int64_t now_ms) {
  int64_t oldest = log.segments.empty() ? protocol::kNoTimestamp : log.segments.back().first_timestamp;
  if (oldest == protocol::kNoTimestamp) {
    const size_t first = log.find(log.written);
    if (first == log.batches.size()) return;
    oldest = log.batches[first].max_timestamp;
  }
  if (saturating_subtract(now_ms, oldest) > log.config.segment_ms_most()) destager_.seal_soon(log);
}

Compactor::Dirt Compactor::dirt_of(const PartitionLog& log, int64_t now_ms) const {
  Dirt dirt{.from = std::max(log.cleaned_to, log.log_start_offset)};
  dirt.below = dirt.from;
  int64_t oldest = INT64_MAX;
  for (size_t i = 0; i + 1 < log.segments.size(); ++i) {
    const Segment& segment = log.segments[i];
    const Offset end = log.segments[i + 1].base;
    if (segment.damaged) return {};
    if (end <= dirt.from) {
      dirt.clean_bytes += segment.bytes;
      continue;
    }
    const int64_t lag = log.config.min_compaction_lag_ms;
    if (lag > 0 && segment.max_timestamp > saturating_subtract(now_ms, lag)) break;
    dirt.below = end;
    dirt.dirty_bytes += segment.bytes;
    if (segment.first_timestamp != protocol::kNoTimestamp) oldest = std::min(oldest, segment.first_timestamp);
  }
  const int64_t most = log.config.max_compaction_lag_ms;
  dirt.overdue = oldest != INT64_MAX && most < INT64_MAX && saturating_subtract(now_ms, oldest) > most;
  return dirt;
}

void Compactor::begin(PartitionLog& log, const Dirt& dirt) {
  if (dirt.dirty_bytes == 0) return;
  CleaningJob job{.log = log.id,
                  .sources = {},
                  .dirty_from = dirt.from,
                  .below = dirt.below,
                  .now_ms = shard_.clock.wall_ms(),
                  .delete_retention_ms = log.config.delete_retention_ms,
                  .segment_bytes = log.config.segment_bytes,
                  .first_revision = shard_.ring->generation() * kRevisionsALife + revisions_ + 1,
                  .producers = {}};
  for (size_t i = 0; i + 1 < log.segments.size() && log.segments[i].base < dirt.below; ++i)
    job.sources.push_back({log.segments[i].id(), log.segments[i].bytes, log.segments[i + 1].base});
  revisions_ += job.sources.size();
  CHECK(revisions_ < kRevisionsALife - 1);
  for (const ProducerState& producer : log.producers.snapshot()) {
    const ProducerBatchState& last = producer.batches[producer.count - 1];
    const auto records = static_cast<uint32_t>(last.last_sequence - last.first_sequence) & 0x7fffffffU;
    job.producers[producer.id] = last.base_offset + records;
  }
  job_ = Job{.log = log.id};
  ask_at_ = shard_.clock.monotonic() + kAskEvery;
  CHECK(link_->asked.try_push(job));
  link_->bell.ring();
}

}  // namespace penstock::storage
