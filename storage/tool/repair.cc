// repair_folder(): what is safe, and asked for by name. Each step is looked at with the checks of verify first, and
// refused if what it stands on is not good.
#include <fmt/format.h>

#include <algorithm>
#include <list>

#include "storage/log/epoch_cache.h"
#include "storage/log/producer_table.h"
#include "storage/segment/segment_path.h"
#include "storage/tool/file_writer.h"
#include "storage/tool/verifier.h"

namespace penstock::storage {
namespace {

std::string text_of(Error error) {
  return error.os_errno == 0 ? std::string(reason_of(error))
                             : fmt::format("{} (errno {})", reason_of(error), error.os_errno);
}

class Repair {
 public:
  Repair(const LogToolRequest& request, const RepairOptions& options, const LogToolSink& sink)
      : request_(request), options_(options), sink_(sink), verifier_(request, quiet_) {
    quiet_.on_progress = sink.on_progress;
  }
  bool has_memory() const { return verifier_.has_memory(); }

  void run(const ToolFolder& folder) {
    std::list<ToolRing> rings;
    std::vector<const ToolRing*> read;
    const auto numbers = folder.rings();
    verifier_.check_folder(folder);
    bool sound = verifier_.totals().damage == 0;
    for (const uint32_t number : numbers) {
      ToolRing& ring = rings.emplace_back(request_, folder, number);
      const bool slots_whole = ring.slots()[0].slot && ring.slots()[1].slot;
      sound = check(ring) && slots_whole && sound;
      if (options_.restore_slots && !slots_whole) restore_slot(ring);
      if (ring.newest() == nullptr || !read_) continue;
      read.push_back(&ring);
      if (options_.rebuild_sidecars) rebuild_sidecars(ring);
      for (const AcceptedLoss& loss : options_.accepted)
        if (ring.replay().logs().contains(loss.log)) cut(ring, loss);
      ring.forget();
    }
    for (const AcceptedLoss& loss : options_.accepted)
      if (!handled_.contains(loss.log))
        refuse(request_.folder, fmt::format("end log {} at offset {}", loss.log.value(), loss.offset.value()),
               "no state slot and no ring of this folder names that log");
    if (!options_.remove_unnamed) return;
    const uint64_t before = verifier_.totals().damage;
    verifier_.check_missing_rings(numbers);
    const auto unnamed = verifier_.find_unnamed(folder, read);
    sound = sound && verifier_.totals().damage == before;  // no log that was never issued, and no ring missing
    remove(unnamed, sound && read.size() == numbers.size() && !request_.ring && !request_.wanted);
  }

  const RepairTotals& totals() const { return totals_; }

 private:
  // Whether the ring is whole: what a start would take it for is what it is.
  bool check(ToolRing& ring) {
    const uint64_t before = verifier_.totals().damage;
    verifier_.check_slots(ring);
    read_ = verifier_.check_ring(ring);
    ring_good_ = read_ && verifier_.totals().damage == before;
    return ring_good_;
  }

  // ---- slots

  // The copy is the newest from then on and no clean stop: the next start reads all of the ring, as it would have.
  void restore_slot(ToolRing& ring) {
    if (ring.is_version_1()) return;
    const bool even_whole = ring.slots()[0].slot.has_value();
    const SlotFile& bad = ring.slots()[even_whole ? 1 : 0];
    const std::string what = "restore the state slot from the other one";
    if (ring.newest() == nullptr) return refuse(bad.path, what, "the other one is damaged too");
    if (!ring_good_)
      return refuse(bad.path, what, "the ring does not fit to the slot that is left: see penstock log verify");
    Slot copy = *ring.newest();
    copy.ring.sequence += 1;
    copy.ring.clean_stop = false;
    if (!begin(bad.path, fmt::format("{}, as sequence {}", what, copy.ring.sequence))) return;
    end(write_slot_file(*request_.disk, bad.path, copy));
  }

  // ---- sidecars

  void rebuild_sidecars(ToolRing& ring) {
    for (const auto& [id, log] : ring.replay().logs()) {
      if (request_.wanted && !request_.wanted(id)) continue;
      for (size_t i = 0; i < log.state.segments.size(); ++i) rebuild_sidecar(log, i);
    }
  }

  void rebuild_sidecar(const ReplayedLog& log, size_t i) {
    const LogState& state = log.state;
    const bool sealed = i + 1 < state.segments.size();
    const SegmentId file = file_of(state.segments[i]);
    WalkRequest walk = verifier_.walk_of(log, i);
    std::optional<Sidecar> content;
    const SidecarState is = verifier_.sidecar_state(state.id, file, walk.bytes, content);
    // A whole one may know of damage that a new one would hide; one of the open segment is for the next stop to write.
    if (is == SidecarState::kGood) return;
    if (!sealed && (is == SidecarState::kMissing || is == SidecarState::kStale)) return;
    const std::string path = sidecar_path(request_.folder, state.id, file);
    if (!sealed) {
      if (!begin(path, "remove the damaged sidecar of a segment that grows: the next stop writes one")) return;
      const auto done = request_.disk->unlink(path);
      return end(done ? request_.disk->sync_dir(log_path(request_.folder, state.id)) : done);
    }
    auto walked = verifier_.walk().run(walk);
    const std::string what = "rebuild the sidecar from its segment";
    if (!walked) return refuse(path, what, "the segment cannot be read: " + text_of(walked.error()));
    if (!walked->bad.empty() || (file.revision == 0 && walked->next != end_of_segment(state, i)))
      return refuse(path, what, "the segment itself is damaged: see penstock log verify");
    if (!begin(path, fmt::format("{}: {} batches, {} bytes", what, walked->batches, walk.bytes))) return;
    end(write_sidecar_file(*request_.disk, path, {.index = std::move(walked->index), .sealed = true}));
  }

  // ---- a log that ends early

  void cut(ToolRing& ring, const AcceptedLoss& loss) {
    handled_.insert(loss.log);
    const ReplayedLog& log = ring.replay().logs().at(loss.log);
    const std::string what =
        fmt::format("end log {} at offset {}: offsets {} to {} are lost, in segments and ring", loss.log.value(),
                    loss.offset.value(), loss.offset.value(), log.end.value() - 1);
    if (!ring_good_) return refuse(ring.path(), what, "the ring is damaged: that comes first, see penstock log verify");
    if (log.broken || !log.in_slot)
      return refuse(ring.path(), what,
                    "what the ring has of the log does not fit to its state: see penstock log verify");
    // The new slot says that all below the ring's head is in it; that counts for no later start than its own.
    if (!ring.is_clean() && ring.found().generation > ring.newest()->ring.generation)
      return refuse(ring.path(), what, "the newest start's state slot is lost: start the broker once, and stop it");
    const auto first = verifier_.check_log(ring, log);
    if (!first) return refuse(ring.path(), what, "nothing of the log is lost: see penstock log verify");
    if (first->offset != loss.offset)
      return refuse(ring.path(), what, fmt::format("its first lost offset is {}", first->offset.value()));
    Slot slot = *ring.newest();
    const auto found = std::ranges::find(slot.logs, loss.log, &LogState::id);
    const auto state = cut_state(log, *first, ring.head());
    if (!state) return refuse(ring.path(), what, "what is left cannot be read: " + text_of(state.error()));
    *found = *state;
    slot.ring.sequence += 1;
    slot.ring.clean_stop = false;
    const SlotFile& target = ring.slots()[1 - ring.newest_file().value_or(1)];
    if (!begin(target.path, what)) return;
    // A sidecar of the segment as it was must not be taken for one of what it becomes.
    if (!state->segments.empty()) {
      const auto gone = request_.disk->unlink(sidecar_path(request_.folder, loss.log, file_of(state->segments.back())));
      if (!gone && gone.error().code != Errc::kNotFound) return end(gone);
      if (const auto done = request_.disk->sync_dir(log_path(request_.folder, loss.log)); !done) return end(done);
    }
    end(write_slot_file(*request_.disk, target.path, slot));
    ring.read_slots();  // the next loss goes on from there
  }

  // The log as it is when it ends there. All that the ring has of it lies behind, and is ignored.
  Result<LogState> cut_state(const ReplayedLog& log, FirstLoss loss, Lsn head) {
    LogState state = log.state;
    if (loss.position == 0 && loss.segment > 0) {  // nothing of it is good: the one before is the last
      loss.segment -= 1;
      loss.position = state.segments[loss.segment].bytes;
      loss.max_timestamp = state.segments[loss.segment].max_timestamp;
    }
    state.destaged = loss.offset;
    state.cleaned_to = std::min(state.cleaned_to, loss.offset);
    state.log_start_offset = std::min(state.log_start_offset, loss.offset);
    state.skip = 0;
    state.replay_from = head;
    state.position = loss.position;
    state.head_crc = state.interval_crc = 0;
    state.segments.resize(loss.position == 0 ? 0 : loss.segment + 1);
    EpochCache epochs;
    epochs.restore(state.epochs);
    epochs.truncate_from(loss.offset);
    state.epochs.assign(epochs.entries().begin(), epochs.entries().end());
    ProducerTable producers;
    producers.restore(state.producers);
    producers.truncate_from(loss.offset);
    state.producers = producers.snapshot();
    if (state.segments.empty()) return state;
    SegmentState& last = state.segments.back();
    last.bytes = loss.position;
    last.max_timestamp = loss.max_timestamp;
    const WalkRequest walk = verifier_.walk_of(log, loss.segment);
    const uint32_t block = request_.disk->block_bytes();
    const uint64_t interval = align_down(loss.position, SegmentIndex::kIntervalBytes);
    state.interval_crc = TRY(verifier_.walk().crc_of(walk, interval, loss.position));
    state.head_crc = TRY(verifier_.walk().crc_of(walk, align_down(loss.position, block), loss.position));
    return state;
  }

  // ---- files that nobody names

  void remove(const std::vector<UnnamedFile>& unnamed, bool sound) {
    for (const UnnamedFile& file : unnamed) {
      const std::string path = file.is_folder ? file.folder : file.folder + "/" + file.name;
      const std::string what = !file.kept.empty() ? "remove the segments in it"
                               : file.is_folder   ? "remove the folder"
                                                  : "remove the file";
      if (!file.kept.empty()) {
        refuse(path, what, file.kept + "; put the ring's files back");
        continue;
      }
      if (!sound) {
        refuse(path, what, "slots and rings are not all whole, so that it may be needed yet: see penstock log verify");
        continue;
      }
      if (!begin(path, what)) continue;
      Disk& disk = *request_.disk;
      const std::string above = path.substr(0, path.rfind('/'));
      const auto done = file.is_folder ? disk.remove_dir(path) : disk.unlink(path);
      end(done ? disk.sync_dir(above) : done);
    }
  }

  // ---- telling

  // True if it is to be done now.
  bool begin(const std::string& file, const std::string& what) {
    step_ = {.file = file, .what = what, .done = options_.do_it, .why = {}};
    if (options_.do_it) return true;
    totals_.planned += 1;
    tell();
    return false;
  }
  void end(const Result<void>& result) {
    if (!result) return refuse(step_.file, step_.what, text_of(result.error()));
    totals_.done += 1;
    tell();
  }
  void refuse(const std::string& file, const std::string& what, std::string why) {
    step_ = {.file = file, .what = what, .done = false, .why = std::move(why)};
    totals_.refused += 1;
    tell();
  }
  void tell() const {
    if (sink_.on_step) sink_.on_step(step_);
  }

  const LogToolRequest& request_;
  const RepairOptions& options_;
  const LogToolSink& sink_;
  LogToolSink quiet_;  // what the checks find, verify tells
  Verifier verifier_;
  RepairTotals totals_;
  RepairStep step_;
  bool read_ = false;       // the ring that is looked at
  bool ring_good_ = false;  // and nothing of it is damaged
  std::set<LogId> handled_;
};

}  // namespace

std::expected<RepairTotals, OpenFailure> repair_folder(const LogToolRequest& request, const RepairOptions& options,
                                                       const LogToolSink& sink) {
  if (request.live) return std::unexpected(OpenFailure{{Errc::kInvalid}, "a folder in use is not repaired"});
  const auto folder = ToolFolder::open(request);
  if (!folder) return std::unexpected(folder.error());
  Repair repair(request, options, sink);
  if (!repair.has_memory())
    return std::unexpected(OpenFailure{{Errc::kFull}, "no memory for a few MiB to read files into; free some"});
  repair.run(*folder);
  return repair.totals();
}

}  // namespace penstock::storage
