#include "storage/compact/cleaner.h"

#include <algorithm>
#include <cstdlib>
#include <utility>

#include "base/assert.h"

namespace penstock::storage {
namespace {

constexpr size_t kAlign = 64 * kKiB;  // whatever the drive's block turns out to be

std::byte* aligned_pieces() {
  auto* memory =
      static_cast<std::byte*>(std::aligned_alloc(kAlign, SegmentSource::kPieceBytes + SegmentOutput::kPieceBytes));
  CHECK(memory != nullptr);
  return memory;
}

}  // namespace

void Cleaner::Freer::operator()(std::byte* memory) const { std::free(memory); }

Cleaner::Cleaner(Disk& disk, Clock& clock, Options options)
    : disk_(disk),
      clock_(clock),
      options_(std::move(options)),
      memory_(aligned_pieces()),
      source_(disk, {memory_.get(), SegmentSource::kPieceBytes}),
      output_(disk, {memory_.get() + SegmentSource::kPieceBytes, SegmentOutput::kPieceBytes}),
      map_(options_.map_bytes, options_.map_load, options_.secret) {}

// ---------------------------------------------------------------- steps

bool Cleaner::step() {
  if (untold_) {
    if (!link_->told.try_push(*untold_)) return false;  // the store has not looked yet
    untold_.reset();
    if (stage_ == Stage::kEnding) stage_ = Stage::kIdle;
  }
  answer_cancelled();
  if (stage_ == Stage::kIdle && !take_job()) return false;
  if (const auto word = link_->asked.try_pop(); word && word->is_cancel) {
    give_up({Errc::kNotFound});
    return true;
  }
  if (clock_.monotonic() < next_at_) return false;
  const auto done = stage_ == Stage::kMapping ? map_some() : clean_some();
  if (!done) give_up(done.error());
  return true;
}

// A job that waits for another store's to end, and is not wanted any more: its store does not wait as well.
void Cleaner::answer_cancelled() {
  for (Queue& queue : links_) {
    if (stage_ != Stage::kIdle && queue.link == link_) continue;  // what it says is about the job under way
    while (auto word = queue.link->asked.try_pop()) {
      if (!word->is_cancel) {
        CHECK(!queue.job);
        queue.job = *std::move(word);
      } else if (queue.job) {
        CleaningNews news{.kind = CleaningNews::Kind::kGivenUp, .log = queue.job->log, .replaced = {}, .made = {}};
        news.error = {Errc::kNotFound};
        CHECK(queue.link->told.try_push(news));  // it has taken all that was told of its last job
        queue.job.reset();
      }  // else it came behind the end of what it was for
    }
  }
}

bool Cleaner::take_job() {
  for (size_t i = 0; i < links_.size(); ++i) {
    Queue& queue = links_[(next_link_ + i) % links_.size()];
    if (!queue.job) continue;
    link_ = queue.link;
    job_ = *std::exchange(queue.job, std::nullopt);
    next_link_ = (next_link_ + i + 1) % links_.size();
    stage_ = Stage::kMapping;
    source_at_ = 0;
    reading_ = false;
    covered_ = job_.dirty_from;
    revision_ = job_.first_revision;
    end_ = {.kind = CleaningNews::Kind::kEnd, .log = job_.log, .replaced = {}, .made = {}};
    group_.clear();
    map_.clear();
    return true;
  }
  return false;
}

// What was moved pays for itself before the next step.
void Cleaner::spend(uint64_t bytes) {
  const double nanos =
      static_cast<double>(bytes) * static_cast<double>(kSecond) / static_cast<double>(options_.bytes_per_second);
  next_at_ = std::max(next_at_, clock_.monotonic()) + static_cast<Nanos>(nanos);
}

void Cleaner::tell(CleaningNews news) {
  CHECK(!untold_);
  if (link_->told.try_push(news)) {
    if (stage_ == Stage::kEnding) stage_ = Stage::kIdle;
    return;
  }
  untold_ = std::move(news);
}

void Cleaner::give_up(Error error) {
  const bool damaged = error.code == Errc::kCorrupt;
  source_.close();
  output_.discard();
  reading_ = false;
  stage_ = Stage::kEnding;
  end_.kind = CleaningNews::Kind::kGivenUp;
  end_.error = error;
  end_.source_is_damaged = damaged;
  tell(std::exchange(end_, {}));
}

// ---------------------------------------------------------------- the map

Result<void> Cleaner::map_some() {
  while (!reading_) {
    if (source_at_ == job_.sources.size() || job_.sources[source_at_].id.base >= job_.below) {
      begin_cleaning();
      return {};
    }
    if (job_.sources[source_at_].end > job_.dirty_from && job_.sources[source_at_].bytes > 0) {
      TRY_VOID(source_.open(options_.folder, job_.log, job_.sources[source_at_]));
      reading_ = true;
      break;
    }
    ++source_at_;
  }
  const uint64_t before = source_.position();
  bool full = false;
  TRY_VOID(source_.next([&](std::span<const std::byte> batch) -> Result<bool> {
    const auto view = protocol::view_of(batch);
    const Offset end = std::min(view.last_offset() + 1, job_.below);
    // What cannot be read has no keys that anybody could tell; clean_batch() leaves it as it is.
    const Offset to = add_keys(map_, batch, job_.dirty_from, job_.below).value_or(end);
    covered_ = std::max(covered_, to);
    full = to < end && to >= job_.dirty_from;
    return !full;
  }));
  end_.bytes_read += source_.position() - before;
  spend(source_.position() - before);
  if (full) {
    source_.close();
    reading_ = false;
    begin_cleaning();
  } else if (source_.at_end()) {
    covered_ = std::max(covered_, std::min(job_.sources[source_at_].end, job_.below));
    source_.close();
    reading_ = false;
    ++source_at_;
  }
  return {};
}

void Cleaner::begin_cleaning() {
  stage_ = Stage::kCleaning;
  source_at_ = 0;
}

// ---------------------------------------------------------------- new segments

// Whether the group that is begun may take this one too.
bool Cleaner::fits(const CleaningSource& source) const {
  if (group_.empty()) return true;
  const bool near = source.end - group_.front().base <= SegmentIndex::kMostRelativeOffset;
  return near && (output_.bytes() == 0 || group_bytes_ + source.bytes <= job_.segment_bytes);
}

Result<void> Cleaner::clean_some() {
  if (!reading_) {
    const bool more = source_at_ < job_.sources.size() && job_.sources[source_at_].id.base < covered_;
    if (output_.is_open() && (!more || !fits(job_.sources[source_at_]))) return end_output();
    if (!more) {
      end_.cleaned_to = covered_;
      stage_ = Stage::kEnding;
      tell(std::exchange(end_, {}));
      return {};
    }
    const CleaningSource& source = job_.sources[source_at_];
    TRY_VOID(source_.open(options_.folder, job_.log, source));
    reading_ = true;
    if (!output_.is_open()) TRY_VOID(begin_output());
    group_.push_back(source.id);
    group_bytes_ += source.bytes;
    if (source_.at_end()) return end_source();
  }
  const uint64_t before = source_.position();
  const uint64_t written = output_.bytes_written();
  TRY_VOID(source_.next([&](std::span<const std::byte> batch) { return clean(batch); }));
  const uint64_t read = source_.position() - before;
  end_.bytes_read += read;
  spend(read + output_.bytes_written() - written);
  if (source_.at_end()) return end_source();
  return {};
}

Result<void> Cleaner::end_source() {
  source_.close();
  reading_ = false;
  ++source_at_;
  return {};
}

Result<bool> Cleaner::clean(std::span<const std::byte> batch) {
  const CleaningRules rules{.map = map_,
                            .covered = covered_,
                            .round_end = covered_,
                            .now_ms = job_.now_ms,
                            .delete_retention_ms = job_.delete_retention_ms,
                            .producers = job_.producers};
  const CleanedBatch cleaned = clean_batch(rules, batch, rewritten_);
  end_.records_gone += cleaned.records_gone;
  changed_ = changed_ || cleaned.what != Cleaned::kAsItWas;
  switch (cleaned.what) {
    case Cleaned::kGone: return true;
    case Cleaned::kAsItWas: TRY_VOID(output_.add(batch)); return true;
    case Cleaned::kRewritten:
    case Cleaned::kHeaderOnly: TRY_VOID(output_.add(rewritten_)); return true;
  }
  std::unreachable();
}

// The group is not written where it would leave the drive without its reserve: at most so much as it reads.
Result<void> Cleaner::begin_output() {
  uint64_t most = 0;
  for (size_t i = source_at_; i < job_.sources.size() && (i == source_at_ || most < job_.segment_bytes); ++i)
    most += job_.sources[i].bytes;
  if (TRY(disk_.free_bytes(options_.folder)) < most + options_.reserve_bytes) return fail(Errc::kNoSpace);
  TRY_VOID(output_.begin(options_.folder, job_.log, {job_.sources[source_at_].id.base, revision_++}));
  group_.clear();
  group_bytes_ = 0;
  changed_ = false;
  return {};
}

Result<void> Cleaner::end_output() {
  if (!changed_ && group_.size() == 1) {  // it is fine as it is
    output_.discard();
    return {};
  }
  CleaningNews news{.kind = CleaningNews::Kind::kSwap,
                    .log = job_.log,
                    .replaced = std::move(group_),
                    .made = output_.id(),
                    .bytes = output_.bytes(),
                    .first_timestamp = output_.first_timestamp(),
                    .max_timestamp = output_.max_timestamp()};
  group_.clear();
  end_.bytes_written += output_.bytes();
  TRY_VOID(output_.finish());
  tell(std::move(news));
  return {};
}

}  // namespace penstock::storage
