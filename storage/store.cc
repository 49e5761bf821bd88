// The life of a Store: logs come and go, turns submit and poll, a stop writes everything home.
#include <algorithm>
#include <array>
#include <limits>

#include "storage/store_impl.h"

namespace penstock::storage {
namespace {

constexpr size_t kAlign = 4096;
// A stop that cannot write everything home (a full or failing drive) ends all the same: it is in the ring.
constexpr Nanos kStopPatience = 5 * kSecond;
// An open segment of so little is scanned faster than a sidecar is written.
constexpr uint64_t kSidecarFrom = kMiB;

size_t align_of(const StoreRequest& request) { return std::max<size_t>(kAlign, request.disk->block_bytes()); }

uint64_t cold_bytes(const StorageOptions& options) {
  return std::max<uint64_t>(align_down(static_cast<uint64_t>(options.read_cache_bytes), ColdCache::kBlockBytes),
                            4 * ColdCache::kBlockBytes);
}

}  // namespace

Store::Impl::Buffers::Buffers(const StoreRequest& request)
    : staging(Destager::memory_bytes(), align_of(request), MappedMemory::Pages::kHuge),
      scrub(Scrubber::kReadBytes, align_of(request)),
      own_cold(request.allocate_cache ? 0 : cold_bytes(request.options), align_of(request)),
      cold(request.allocate_cache ? request.allocate_cache(cold_bytes(request.options)) : own_cold.span()) {
  // Most often a buffer is written while another is filled.
  staging.populate(2 * Destager::kBufferBytes);
}

Store::Impl::Impl(const StoreRequest& request, Buffers taken)
    : shard{.disk = *request.disk,
            .clock = *request.clock,
            .counters = *request.counters,
            .options = request.options,
            .folder = request.folder},
      buffers(std::move(taken)),
      files(shard, static_cast<size_t>(request.options.open_files_max)),
      indexes(shard, files, static_cast<uint64_t>(request.options.index_cache_bytes),
              [this](LogId log, SegmentId id, const SegmentIndex& index) {
                PartitionLog* found = find(log);
                const Segment* segment = found == nullptr ? nullptr : found->find_segment(id.base);
                if (segment != nullptr && segment->id() == id && !found->is_open(*segment))
                  write_sidecar(log, id, index, true);
              }),
      cold(shard, files, indexes, buffers.cold),
      reader(cold, indexes),
      destager(shard, files, buffers.staging.span(),
               [this](PartitionLog& log, const Segment& segment, std::unique_ptr<OpenSegment> open) {
                 seal_segment(log, segment, std::move(open));
               }),
      sealer(shard, files),
      janitor(shard),
      trimmer(
          shard, [this](PartitionLog& log, SegmentId id) { drop_segment(log, id); },
          [this](PartitionLog& log) { destager.seal_soon(log); }),
      truncator(shard, destager, reader,
                {.busy =
                     [this](const PartitionLog& log) {
                       // What a cut is told against must be what the newest slot says.
                       return stopping || sealer.works_on(log.id) || compactor.works_on(log.id) ||
                              log.swap_slot > slots_durable;
                     },
                 .drop =
                     [this](PartitionLog& log, SegmentId id) {
                       drop_segment(log, id);
                       janitor.remove_sidecar(log, id);
                     },
                 .changed =
                     [this](PartitionLog& log, SegmentId id) {
                       cold.forget(log.id, id);
                       indexes.forget(log.id, id);
                       janitor.remove_sidecar(log, id);
                       compactor.drop_retired(log);
                     }}),
      compactor(shard, destager, request.compaction,
                {.busy = [this](const PartitionLog& log) { return sealer.works_on(log.id); },
                 .drop = [this](PartitionLog& log, SegmentId id) { drop_segment(log, id); },
                 .remove =
                     [this](LogId log, SegmentId id) {
                       janitor.remove_segment(log, id, checkpointer->slots_begun());
                       checkpointer->want();
                     },
                 .swapped =
                     [this](PartitionLog&) {
                       checkpointer->want();
                       return checkpointer->slots_begun() + 1;
                     },
                 .is_durable = [this](uint64_t slot) { return slot <= slots_durable; }}),
      scrubber(shard, files, indexes, buffers.scrub.span()),
      space(shard, destager) {}

Store::Impl::~Impl() {
  if (ring_file != FileHandle{}) shard.disk.close(ring_file);
}

Store::Store(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Store::~Store() = default;

// ---------------------------------------------------------------- logs

PartitionLog& Store::Impl::make_log(LogId log, const LogConfig& config) {
  auto& made = shard.logs[log];
  if (made == nullptr) made = std::make_unique<PartitionLog>(log);
  made->config = config;
  return *made;
}

void Store::open_log(LogId log, const LogConfig& config) {
  impl_->owner.check();
  impl_->make_log(log, config);
  impl_->update_gauges();
}

void Store::set_config(LogId log, const LogConfig& config) {
  impl_->owner.check();
  PartitionLog* found = impl_->find(log);
  if (found == nullptr || found->config == config) return;
  found->config = config;
  impl_->trimmer.check_now();
  impl_->compactor.check_now();
}

void Store::drop_log(LogId log) {
  impl_->owner.check();
  impl_->bury(log);
  impl_->update_gauges();
}

void Store::Impl::bury(LogId log) {
  const auto it = shard.logs.find(log);
  if (it == shard.logs.end()) return;
  PartitionLog& dropped = *it->second;
  dropped.dropped = true;
  compactor.cancel(log);
  shard.count_producers(dropped.producers.size(), 0);
  destager.forget(dropped);
  buried.push_back(std::move(it->second));
  shard.logs.erase(it);
  settle_buried();
}

// What nothing names any more is deleted.
void Store::Impl::settle_buried() {
  std::erase_if(buried, [&](const std::unique_ptr<PartitionLog>& log) {
    if (log->pending > 0 || log->jobs > 0 || compactor.works_on(log->id)) return false;
    for (const Segment& segment : log->segments) sealer.forget(log->id, segment.id());
    files.forget(log->id);
    cold.forget(log->id);
    indexes.forget(log->id);
    // Compaction may have left files that no list names.
    if (!log->segments.empty() || !log->retired.empty() || log->config.compact) janitor.remove_log(log->id);
    checkpointer->want();  // so that the ring space that it held is free
    return true;
  });
}

void Store::Impl::drop_segment(PartitionLog& log, SegmentId id) {
  sealer.forget(log.id, id);
  files.forget(log.id, id);
  cold.forget(log.id, id);
  indexes.forget(log.id, id);
  janitor.remove_segment(log.id, id, checkpointer->slots_begun());
  checkpointer->want();
}

void Store::Impl::seal_segment(PartitionLog& log, const Segment& segment, std::unique_ptr<OpenSegment> open) {
  // Also where its last block is full: a truncation may have left longer what was written before it.
  sealer.cut(log.id, segment.id(), segment.bytes);
  if (open->index.known_from() > 0 || !segment.holes.empty()) {
    // Its beginning was written in an earlier life: a scan finds it, and makes the sidecar, when somebody reads it. Or
    // it is damaged: a sidecar would vouch for bytes that are not those which were written.
    indexes.forget(log.id, segment.id());
    return;
  }
  write_sidecar(log.id, segment.id(), open->index, true);
  indexes.put(log.id, segment.id(), std::move(open->index));
}

void Store::Impl::write_sidecar(LogId log, SegmentId id, SegmentIndex index, bool sealed) {
  sealer.write_sidecar(log, id, Sidecar{.index = std::move(index), .sealed = sealed});
}

size_t Store::buffer_bytes() { return Destager::memory_bytes() + Scrubber::kReadBytes; }

RingLife Store::life() const { return {impl_->shard.ring->ring_id(), impl_->shard.ring->generation()}; }

uint64_t Store::bytes_of(LogId id) const {
  const PartitionLog* log = impl_->find(id);
  if (log == nullptr) return 0;
  uint64_t bytes = log->unstaged_bytes;
  for (const Segment& segment : log->segments) bytes += log->is_open(segment) ? log->open->staged : segment.bytes;
  return bytes;
}

std::vector<ProducerFacts> Store::producers_of(LogId id) const {
  std::vector<ProducerFacts> facts;
  const PartitionLog* log = impl_->find(id);
  if (log == nullptr) return facts;
  for (const ProducerState& state : log->producers.snapshot()) {
    facts.push_back({.id = state.id,
                     .epoch = state.epoch,
                     .last_sequence = state.batches[state.count - 1].last_sequence,
                     .last_timestamp = state.last_timestamp});
  }
  return facts;
}

// ---------------------------------------------------------------- a turn

void Store::submit() {
  Impl& s = *impl_;
  s.owner.check();
  if (s.shard.poisoned) {  // reads go on
    s.indexes.run();
    s.cold.run();
    return;
  }
  if (s.stopping) s.go_on_stopping();
  s.run_parts();
}

void Store::Impl::run_parts() {
  trimmer.run();
  compactor.run();
  if (!buried.empty()) settle_buried();
  truncator.run();
  destager.run();
  shard.ring->submit();
  checkpointer->run();
  sealer.run();
  janitor.run();
  indexes.run();
  cold.run();
  if (stopping) return;
  scrubber.run();
  space.run();
}

size_t Store::poll() {
  Impl& s = *impl_;
  s.owner.check();
  s.polls += 1;
  s.cold.next_turn();
  s.advanced.clear();
  std::array<DiskOp*, 32> done;
  const size_t count = s.shard.disk.poll(done);
  for (DiskOp* op : std::span(done).first(count)) {
    if (op->on_done != nullptr) {
      s.shard.ops_in_flight -= 1;
      op->on_done(*op);
    } else if (s.shard.ring->complete(*op)) {
      if (s.shard.ring->failed()) {
        s.shard.poison("a write to the write-ahead ring", op->result);
      } else if (!s.shard.poisoned) {
        // What has gathered meanwhile goes at once: the drive does not wait for what else this turn has to do.
        s.shard.ring->submit();
        s.shard.disk.begin_submitted();
      }
    } else {
      CHECK(s.checkpointer->complete(*op));
    }
  }
  std::array<FileOp*, 32> files_done;
  const size_t files_count = s.shard.disk.poll(files_done);
  s.shard.ops_in_flight -= files_count;
  for (FileOp* op : std::span(files_done).first(files_count)) op->on_done(*op);
  if (count + files_count > 0) {
    s.settle_pending();
    s.settle_buried();
    s.indexes.run();
    s.cold.run();
    s.update_gauges();
  }
  s.readable.swap(s.shard.readable);
  s.shard.readable.clear();
  return count + files_count;
}

void Store::Impl::settle_pending() {
  while (!pending.empty() && pending.front().end <= shard.ring->durable()) {
    PartitionLog& log = *pending.front().log;
    log.pending -= 1;
    log.pending_bytes -= pending.front().bytes;
    log.durable = pending.front().next_offset;
    pending.pop_front();
    destager.settled(log);
    if (log.dropped || log.advanced_in_poll == polls) continue;
    log.advanced_in_poll = polls;
    advanced.push_back(log.id);
  }
}

void Store::Impl::update_gauges() {
  StorageCounters& counters = shard.counters;
  counters.set(Metric::ring_used_bytes, shard.ring->used_bytes());
  counters.set(Metric::ring_poisoned, shard.poisoned ? 1 : 0);
  counters.set(Metric::logs_open, shard.logs.size());
  counters.set(Metric::segment_files_open, files.open_count());
  counters.set(Metric::disk_full, space.full() ? 1 : 0);
  counters.set(Metric::bytes_to_destage, destager.bytes_owed());
}

Lsn Store::durable() const { return impl_->shard.ring->durable(); }
std::span<const LogId> Store::advanced_logs() const { return impl_->advanced; }
std::span<const LogId> Store::readable_logs() const { return impl_->readable; }
uint64_t Store::commit_bytes() const { return impl_->shard.ring->bytes_in_flight(); }
bool Store::poisoned() const { return impl_->shard.poisoned; }

StoreHealth Store::health() const {
  const Impl& s = *impl_;
  StoreHealth health{.poisoned = s.shard.poisoned,
                     .disk_full = s.space.full(),
                     .buffers_held = s.destager.jobs_busy() + s.cold.blocks_busy(),
                     .loans = s.loans,
                     .files_held = s.files.held_count(),
                     .stuck_logs = s.destager.stuck_logs(),
                     .stuck_file = s.destager.stuck_file()};
  // Asked every turn: the logs are looked at when something may have changed.
  const StorageCounters& counters = s.shard.counters;
  const uint64_t news = counters.get(Metric::segments_damaged) + counters.get(Metric::segments_deleted);
  if (news > 0 && (news != s.damage_seen || s.shard.logs.size() != s.logs_seen)) {
    s.damage_seen = news;
    s.logs_seen = s.shard.logs.size();
    s.damaged_logs = static_cast<uint64_t>(std::ranges::count_if(
        s.shard.logs, [](const auto& log) { return std::ranges::any_of(log.second->segments, &Segment::damaged); }));
  }
  health.damaged_logs = s.damaged_logs;
  return health;
}

Nanos Store::next_deadline() const {
  const Impl& s = *impl_;
  if (s.shard.poisoned) return s.cold.next_deadline();
  if (s.stopping || !s.shard.readable.empty()) return 0;
  return std::min({s.shard.ring->next_deadline(), s.destager.next_deadline(), s.scrubber.next_deadline(),
                   s.space.next_deadline(), s.trimmer.next_deadline(), s.compactor.next_deadline(),
                   s.checkpointer->next_deadline(), s.cold.next_deadline()});
}

// ---------------------------------------------------------------- stop

void Store::begin_stop() {
  impl_->owner.check();
  impl_->stopping = true;
  impl_->compactor.stop();
  impl_->stop_began_at = impl_->shard.clock.monotonic();
}

// Everything into segments, their files cut to their bytes, the ring sealed, and a slot that says so.
void Store::Impl::go_on_stopping() {
  destager.write_all(true);
  if (!pending.empty()) return;
  const bool gives_up = shard.clock.monotonic() - stop_began_at > kStopPatience && destager.idle();
  if (!destager.clean() && !gives_up) return;
  if (!open_segments_cut) {
    const auto may_come_back = [this](const auto& log) { return log.second->truncated_at > shard.ring->durable(); };
    if (std::ranges::any_of(shard.logs, may_come_back)) return;
    open_segments_cut = true;
    destager.halt();  // what is written behind a file's cut would go with it, and the last slot would count on it
    std::vector<LogId> order;
    for (const auto& [id, log] : shard.logs)
      if (log->open != nullptr && log->open->staged == log->open->written) order.push_back(id);
    std::ranges::sort(order);
    for (const LogId id : order) {
      PartitionLog& log = *find(id);
      const Segment& segment = log.segments.back();
      sealer.cut(id, segment.id(), log.open->written);
      if (log.open->index.known_from() == 0 && segment.bytes >= kSidecarFrom && segment.holes.empty())
        write_sidecar(id, segment.id(), log.open->index, false);
    }
  }
  if (!sealer.idle()) return;
  shard.ring->seal_now();
  if (last_slot_wanted && shard.clock.monotonic() - stop_began_at > kStopPatience) checkpointer->give_up();
  if (!shard.ring->quiet() || last_slot_wanted) return;
  last_slot_wanted = true;
  if (destager.clean()) return checkpointer->want_clean();
  LOG_WARN(
      "%s: %zu partition(s) could not be written to their segments: %llu bytes of them stay in the ring, and the "
      "next start goes on with them%s%s",
      shard.folder.c_str(), destager.dirty_logs(), static_cast<unsigned long long>(destager.unstaged_bytes()),
      destager.stuck_file().empty() ? "" : "; ", destager.stuck_file().c_str());
  checkpointer->want();
}

bool Store::stopped() const {
  const Impl& s = *impl_;
  if (!s.stopping) return false;
  // The memory of an op must not go before the op is back.
  if (s.shard.ops_in_flight > 0 || s.shard.ring->in_flight() || s.checkpointer->is_writing()) return false;
  if (s.shard.poisoned) return true;
  return s.last_slot_wanted && s.checkpointer->idle() && !s.checkpointer->wants() && s.destager.idle() &&
         s.sealer.idle() && s.janitor.idle() && s.indexes.idle() && s.cold.idle();
}

}  // namespace penstock::storage
