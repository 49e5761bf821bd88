// Verifier: one log, its segments and their sidecars.
#include <fmt/format.h>

#include <algorithm>

#include "storage/segment/segment_path.h"
#include "storage/tool/verifier.h"

namespace penstock::storage {

namespace {

std::string number(LogId log) { return fmt::format("{}", log.value()); }

// Its batches come to the segment's last offset while bytes are left, or go beyond it: of which offsets are lost, they
// say nothing.
bool is_of_another_segment(const WalkResult& walked, Offset end) {
  return walked.next > end || std::ranges::any_of(walked.bad, [&](const BadRange& bad) {
           return bad.lost_from >= bad.lost_to.value_or(end);
         });
}

}  // namespace

// A log can be ended at its first loss alone.
std::string Verifier::todo_for_loss(LogId log, Offset offset) {
  const Offset first = first_losses_.emplace(log, offset).first->second;
  return fmt::format(
      "restore the file from a copy of the drive; or delete the records up to the damage's end "
      "(DeleteRecords) once they are not needed; or end the log where the first is lost: penstock log repair "
      "--accept-loss {}:{}",
      log.value(), first.value());
}

Offset end_of_segment(const LogState& state, size_t i) {
  return i + 1 < state.segments.size() ? state.segments[i + 1].base : state.destaged;
}

uint64_t bytes_of_segment(const LogState& state, size_t i) { return state.segments[i].bytes; }

WalkRequest Verifier::walk_of(const ReplayedLog& log, size_t i) const {
  const LogState& state = log.state;
  const SegmentState& segment = state.segments[i];
  WalkRequest walk{.path = segment_path(request_.folder, state.id, file_of(segment)),
                   .base = segment.base,
                   .bytes = bytes_of_segment(state, i),
                   .may_have_gaps = segment.revision != 0,
                   .next = segment.base};
  if (i + 1 == state.segments.size() && !log.head.empty()) {
    walk.head = log.head;
    walk.head_end = state.position;
  }
  return walk;
}

std::optional<FirstLoss> Verifier::check_log(const ToolRing& ring, const ReplayedLog& log) {
  totals_.logs += 1;
  const uint64_t damage = totals_.damage;
  check_offsets(ring, log);
  std::optional<FirstLoss> first;
  std::vector<EpochEntry> epochs;
  for (size_t i = 0; i < log.state.segments.size(); ++i) {
    const auto loss = check_segment(log, i, epochs);
    if (loss && !first) first = loss;
  }
  if (totals_.damage == damage) check_epochs(log, epochs);
  return first;
}

// That segments and ring make the log from its start to its end.
void Verifier::check_offsets(const ToolRing& ring, const ReplayedLog& log) {
  const LogState& state = log.state;
  const std::string place = fmt::format("log {}", state.id.value());
  const Offset held_from = state.segments.empty() ? state.destaged : state.segments.front().base;
  if (state.log_start_offset < held_from)
    tell({.severity = Severity::kDamage,
          .kind = FindingKind::kGap,
          .file = ring.path(),
          .place = place,
          .means = fmt::format("offsets {} to {} are in no segment and not in the ring", state.log_start_offset.value(),
                               held_from.value() - 1),
          .todo = "restore the folder from a copy of the drive",
          .log = state.id,
          .lost_from = state.log_start_offset,
          .lost_to = held_from});
  // Without the metadata it is not known whether a log that no slot describes still lives.
  if (!log.broken || (!log.in_slot && !request_.lives)) return;
  tell({.severity = Severity::kDamage,
        .kind = log.broken->expected ? FindingKind::kGap : FindingKind::kContradiction,
        .file = ring.path(),
        .place = fmt::format("lsn {} ({})", log.broken->at.value(), place),
        .means = fmt::format("{}: a start refuses this folder", log.broken->what),
        .todo = "restore the data folder from a copy of the drive",
        .log = state.id,
        .lost_from = log.broken->expected,
        .lost_to = log.broken->found});
}

std::optional<FirstLoss> Verifier::check_segment(const ReplayedLog& log, size_t i, std::vector<EpochEntry>& epochs) {
  const LogState& state = log.state;
  const SegmentId id = file_of(state.segments[i]);
  WalkRequest walk = walk_of(log, i);
  if (walk.bytes == 0 && i + 1 == state.segments.size()) return {};  // made, and nothing written yet
  std::optional<Sidecar> sidecar;
  const SidecarState sidecar_is = sidecar_state(state.id, id, walk.bytes, sidecar);
  if (sidecar && sidecar->index.known_from() == 0) walk.places = &sidecar->index;
  walk.on_progress = [&](uint64_t at) {
    progress(fmt::format("{}: {} of {} GiB", walk.path, at / kGiB, walk.bytes / kGiB));
  };
  const auto walked = walk_.run(walk);
  // Nothing of it is good.
  const size_t before = i == 0 ? 0 : i - 1;
  const FirstLoss all =
      i == 0 ? FirstLoss{id.base, 0, 0, 0}
             : FirstLoss{id.base, before, state.segments[before].bytes, state.segments[before].max_timestamp};
  if (!walked) return missing(log, i, walk, walked.error()) ? std::optional(all) : std::nullopt;
  totals_.segments += 1;
  totals_.batches += walked->batches;
  totals_.bytes += walk.bytes;
  const Offset end = end_of_segment(state, i);
  const bool other = is_of_another_segment(*walked, end);
  if ((other || !walked->bad.empty()) && request_.live && still_named && !still_named(state.id, id)) return {};
  if (other) {
    tell_other_segment(log, walk, end);
    return end > state.log_start_offset ? std::optional(all) : std::nullopt;
  }
  for (const BadRange& bad : walked->bad) tell_bad_range(log, i, walk, *walked, bad);
  for (const EpochEntry& epoch : walked->epochs)
    if (epochs.empty() || epoch.epoch > epochs.back().epoch) epochs.push_back(epoch);
  const auto counts = [&](const BadRange& bad) { return bad.lost_to.value_or(end) > state.log_start_offset; };
  const auto first = std::ranges::find_if(walked->bad, counts);
  if (first != walked->bad.end()) return FirstLoss{first->lost_from, i, first->from, state.segments[i].max_timestamp};
  if (!walked->bad.empty()) return {};
  if (id.revision == 0 && walked->next != end) {
    tell({.severity = Severity::kDamage,
          .kind = FindingKind::kGap,
          .file = walk.path,
          .place = fmt::format("byte {}", walk.bytes),
          .means = fmt::format("the segment ends at offset {}, what comes behind it begins at {}", walked->next.value(),
                               end.value()),
          .todo = todo_for_loss(state.id, walked->next),
          .log = state.id,
          .lost_from = walked->next,
          .lost_to = end});
    return FirstLoss{walked->next, i, walk.bytes, walked->index.max_timestamp()};
  }
  check_sidecar(log, i, *walked, sidecar_is, sidecar);
  if (i + 1 == state.segments.size()) check_tail(log, walk);
  return {};
}

// True if it is missed.
bool Verifier::missing(const ReplayedLog& log, size_t i, const WalkRequest& walk, Error error) {
  const LogId id = log.state.id;
  if (request_.live && still_named && !still_named(id, file_of(log.state.segments[i]))) return false;
  const Offset end = end_of_segment(log.state, i);
  const bool gone = error.code == Errc::kNotFound;
  tell({.severity = Severity::kDamage,
        .kind = gone ? FindingKind::kMissing : FindingKind::kFolder,
        .file = walk.path,
        .place = fmt::format("offsets {} to {}", walk.base.value(), end.value() - 1),
        .means =
            gone ? fmt::format("the segment is missing: log {} lacks these offsets", id.value())
                 : fmt::format("the segment cannot be opened ({}, errno {})", to_string(error.code), error.os_errno),
        .todo = todo_for_loss(id, walk.base),
        .log = id,
        .lost_from = walk.base,
        .lost_to = end});
  return true;
}

void Verifier::tell_other_segment(const ReplayedLog& log, const WalkRequest& walk, Offset end) {
  const LogId id = log.state.id;
  const bool deleted = end <= log.state.log_start_offset;
  tell({.severity = deleted ? Severity::kNote : Severity::kDamage,
        .kind = FindingKind::kBatch,
        .file = walk.path,
        .place = fmt::format("bytes 0 to {}", walk.bytes - 1),
        .means = fmt::format("the batches in it do not end where the state says, which is offset {} at byte {}: it is "
                             "another segment's file, or of another time; offsets {} to {} of log {} are lost",
                             end.value(), walk.bytes, walk.base.value(), end.value() - 1, number(id)),
        .todo = deleted ? "nothing: these records were deleted before" : todo_for_loss(id, walk.base),
        .log = id,
        .lost_from = walk.base,
        .lost_to = end});
}

void Verifier::tell_bad_range(const ReplayedLog& log, size_t i, const WalkRequest& walk, const WalkResult& walked,
                              const BadRange& bad) {
  const LogId id = log.state.id;
  const Offset lost_to = bad.lost_to.value_or(end_of_segment(log.state, i));
  std::string why = std::string(to_string(bad.why));
  auto kind = FindingKind::kBatch;
  if (bad.error) {
    why = fmt::format("the drive cannot read it ({}, errno {})", to_string(bad.error->code), bad.error->os_errno);
  } else if (bad.beyond_file) {
    kind = FindingKind::kMissing;
    why = fmt::format("the file has {} bytes, its state says {}", walked.file_bytes, walk.bytes);
  }
  // What was deleted is read by nobody; whole segments of it go in time.
  const bool deleted = lost_to <= log.state.log_start_offset;
  tell({.severity = deleted ? Severity::kNote : Severity::kDamage,
        .kind = kind,
        .file = walk.path,
        .place = fmt::format("bytes {} to {}", bad.from, bad.to - 1),
        .means = fmt::format("{}: offsets {} to {} of log {} are lost{}", why, bad.lost_from.value(),
                             lost_to.value() - 1, number(id), bad.lost_to ? ", those behind them are good" : ""),
        .todo = deleted ? "nothing: these records were deleted before" : todo_for_loss(id, bad.lost_from),
        .log = id,
        .lost_from = bad.lost_from,
        .lost_to = lost_to});
}

// The bytes of the last, partly filled 32 KiB, part of a batch and all: the next write goes on behind them.
void Verifier::check_tail(const ReplayedLog& log, const WalkRequest& walk) {
  const LogState& state = log.state;
  if (!log.crcs_known || state.position < walk.bytes) return;
  const uint64_t from = align_down(state.position, SegmentIndex::kIntervalBytes);
  const auto crc = walk_.crc_of(walk, from, state.position);
  if (crc && *crc == state.interval_crc) return;
  if (request_.live && still_named && !still_named(state.id, file_of(state.segments.back()))) return;
  tell({.severity = Severity::kDamage,
        .kind = FindingKind::kInterval,
        .file = walk.path,
        .place = fmt::format("bytes {} to {}", from, state.position - 1),
        .means =
            crc ? "these bytes are not those that were written: every batch's own checksum holds, so a field that it "
                  "leaves open (a leader epoch) changed, or part of a batch that the ring has as a whole"
                : fmt::format("these bytes cannot be read ({})", to_string(crc.error().code)),
        .todo = "restore the file from a copy of the drive",
        .log = state.id});
}

// ---------------------------------------------------------------- sidecars

SidecarState Verifier::sidecar_state(LogId log, SegmentId id, uint64_t bytes, std::optional<Sidecar>& content) {
  constexpr uint64_t kSidecarBytesMax = kGiB;  // of a segment of 1.6 TB
  const auto file = FileReader::open(*request_.disk, sidecar_path(request_.folder, log, id));
  if (!file) return file.error().code == Errc::kNotFound ? SidecarState::kMissing : SidecarState::kDamaged;
  if (file->size() == 0) return SidecarState::kUnfinished;
  AlignedMemory memory;
  const auto all = file->read_all(memory, kSidecarBytesMax);
  if (!all) return SidecarState::kDamaged;
  auto sidecar = decode_sidecar(*all);
  if (!sidecar) {
    const Errc code = sidecar.error().code;
    return code == Errc::kTruncated     ? SidecarState::kUnfinished
           : code == Errc::kUnsupported ? SidecarState::kStale
                                        : SidecarState::kDamaged;
  }
  if (sidecar->index.base() != id.base) return SidecarState::kDamaged;
  const bool fits = sidecar->index.bytes() == bytes && sidecar->index.known_from() == 0;
  content = *std::move(sidecar);
  return fits ? SidecarState::kGood : SidecarState::kStale;
}

void Verifier::check_sidecar(const ReplayedLog& log, size_t i, const WalkResult& walked, SidecarState state,
                             const std::optional<Sidecar>& sidecar) {
  const LogId id = log.state.id;
  const SegmentId file = file_of(log.state.segments[i]);
  const bool sealed = i + 1 < log.state.segments.size();
  Finding finding{.severity = Severity::kNote,
                  .kind = FindingKind::kSidecar,
                  .file = sidecar_path(request_.folder, id, file),
                  .place = "byte 0",
                  .means = "",
                  .todo =
                      "nothing: the broker reads the segment when its index is wanted; or: penstock log repair "
                      "--rebuild-sidecars",
                  .log = id};
  switch (state) {
    case SidecarState::kMissing:
      if (!sealed) return;
      finding.means = "the segment has no sidecar";
      return tell(std::move(finding));
    case SidecarState::kUnfinished:
      finding.means = "the sidecar ends in its middle: a crash cut off its writing";
      return tell(std::move(finding));
    case SidecarState::kStale:
      if (!sealed) return;  // of an earlier stop
      finding.means = "the sidecar is not of the segment as it is now";
      return tell(std::move(finding));
    case SidecarState::kDamaged:
      finding.severity = Severity::kWorn;
      finding.means = "the sidecar fails its checksum; the segment itself is good";
      return tell(std::move(finding));
    case SidecarState::kGood: break;
  }
  const SegmentIndex& says = sidecar->index;
  for (size_t n = 0; n < walked.index.interval_count(); ++n) {
    const SegmentIndex::Interval is = walked.index.interval(n);
    if (n < says.interval_count() && says.interval(n) == is) continue;
    const bool other_bytes = n >= says.interval_count() || says.interval(n).crc != is.crc;
    const uint64_t from = n * SegmentIndex::kIntervalBytes;
    const uint64_t to = std::min(from + SegmentIndex::kIntervalBytes, walked.index.bytes());
    finding.severity = other_bytes ? Severity::kDamage : Severity::kWorn;
    finding.place = fmt::format("bytes {} to {}", from, to - 1);
    if (other_bytes) {
      finding.kind = FindingKind::kInterval;
      finding.file = segment_path(request_.folder, id, file);
      finding.means =
          "these bytes are not those that were written, by the checksum in the sidecar; every batch's own "
          "holds, so a field that it leaves open (a leader epoch) changed: the broker does not serve them";
      finding.todo = "restore the file from a copy of the drive";
    } else {
      finding.means = "the sidecar's index does not describe the segment";
      finding.todo = "remove it, or: penstock log repair --rebuild-sidecars";
    }
    return tell(std::move(finding));
  }
}

// The leader epoch is the one field of a batch that nothing else covers.
void Verifier::check_epochs(const ReplayedLog& log, const std::vector<EpochEntry>& epochs) {
  const LogState& state = log.state;
  for (const EpochEntry& seen : epochs) {
    if (seen.start < state.log_start_offset) continue;
    const auto known = std::ranges::find(state.epochs, seen.epoch, &EpochEntry::epoch);
    if (known != state.epochs.end() && known->start <= seen.start) continue;
    tell({.severity = Severity::kDamage,
          .kind = FindingKind::kContradiction,
          .file = log_path(request_.folder, state.id),
          .place = fmt::format("offset {}", seen.start.value()),
          .means = fmt::format("a batch says that it is of leader epoch {}, which the state slot does not have there",
                               seen.epoch.value()),
          .todo = "restore the segment that holds this offset from a copy of the drive",
          .log = state.id});
    return;
  }
}

}  // namespace penstock::storage
