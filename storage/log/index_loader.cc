#include "storage/log/index_loader.h"

#include <algorithm>
#include <utility>

#include "storage/log/damage.h"
#include "storage/segment/segment_path.h"

namespace penstock::storage {
namespace {

constexpr size_t kTasksMax = 4;
constexpr size_t kHeldMin = 4;  // whatever its bound: a search may need more than one before it comes further
constexpr size_t kPieceBytes = 256 * kKiB;
// Blocks that the drive refuses to a scan, before it is left alone: each costs two reads.
constexpr uint32_t kRefusedMax = 64;
constexpr uint64_t kSidecarBytesMax = 64 * kMiB;  // of a segment of 2 GiB, with a hundred thousand producers: less

std::span<std::byte> aligned_span(std::vector<std::byte>& holder, size_t bytes, size_t block) {
  holder.resize(bytes + block);
  const auto address = reinterpret_cast<uintptr_t>(holder.data());
  return {holder.data() + (align_up(address, block) - address), bytes};
}

}  // namespace

struct IndexLoader::Task {
  enum class Step : uint8_t { kOpenSidecar, kReadSidecar, kOpenLog, kScan, kTail, kDone };
  struct File : FileOp {
    Task* task;
  };
  struct Read : DiskOp {
    Task* task;
  };

  IndexLoader* owner;
  Key key;
  uint64_t bytes;  // the index is wanted up to here
  Step step = Step::kOpenSidecar;
  bool waits = false;   // an op is under way
  bool orphan = false;  // nobody wants it any more
  bool holds_file = false;
  bool ends_in_batch = false;  // of an open segment: its last batch may not be whole
  bool tail_begun = false;
  bool again = false;    // a read failed: once more, a transfer may fail where the drive holds the bytes
  uint32_t refused = 0;  // blocks that the drive did not give
  File file;
  File close;
  Read read;
  std::vector<std::byte> holder;
  std::span<std::byte> memory;
  std::optional<SegmentScan> scan;
  std::optional<SegmentIndex> begun;  // what the scan has found
  Holes holes;
};

IndexLoader::IndexLoader(Shard& shard, SegmentFiles& files, uint64_t bytes_max, Rebuilt rebuilt)
    : shard_(shard), files_(files), bytes_max_(bytes_max), rebuilt_(std::move(rebuilt)) {}
IndexLoader::~IndexLoader() = default;

Result<const SegmentIndex*> IndexLoader::get(PartitionLog& log, const Segment& segment) {
  const Key key{log.id, segment.id()};
  if (damaged_.contains(key)) return fail(Errc::kCorrupt);
  if (log.is_open(segment)) {
    SegmentIndex& index = log.open->index;
    if (index.known_from() == 0) return &index;
    const auto found = by_key_.find(key);
    if (found == by_key_.end()) return start(log, segment, index.known_from());
    if (index.prepend(found->second->index)) {
      forget(log.id, segment.id());
      return &index;
    }
    if (!distrusted_.contains(key)) {
      distrust(log.id, segment.id());
      return start(log, segment, index.known_from());
    }
    // Its end is not what this life's index was begun behind: that shows when it is read.
    if (index.prepend(found->second->index, true)) {
      forget(log.id, segment.id());
      return &index;
    }
    damaged_.insert(key);
    return fail(Errc::kCorrupt);
  }
  const auto found = by_key_.find(key);
  if (found == by_key_.end()) return start(log, segment, segment.bytes);
  if (found->second->index.bytes() < segment.bytes) {
    forget(log.id, segment.id());
    return start(log, segment, segment.bytes);
  }
  held_.splice(held_.end(), held_, found->second);
  return &found->second->index;
}

void IndexLoader::put(LogId log, SegmentId id, SegmentIndex index) {
  if (index.known_from() > 0) return;  // only its end is known: read it again when it is wanted
  insert({log, id}, std::move(index));
}

void IndexLoader::insert(Key key, SegmentIndex index) {
  drop_index(key);
  bytes_ += index.memory_bytes();
  by_key_[key] = held_.insert(held_.end(), Held{key, std::move(index)});
  while (bytes_ > bytes_max_ && held_.size() > kHeldMin) {
    drop_index(Key{held_.front().key});
  }
}

// A sidecar of as many bytes may be of what a truncation has cut off since.
void IndexLoader::distrust(LogId log, SegmentId id) {
  forget(log, id);
  distrusted_.insert({log, id});
}

void IndexLoader::forget(LogId log, SegmentId id) {
  const Key key{log, id};
  distrusted_.erase(key);
  damaged_.erase(key);
  refused_.erase(key);
  for (const auto& task : tasks_)
    if (task->key == key) task->orphan = true;
  drop_index(key);
}

void IndexLoader::drop_index(Key key) {
  const auto found = by_key_.find(key);
  if (found == by_key_.end()) return;
  bytes_ -= found->second->index.memory_bytes();
  held_.erase(found->second);
  by_key_.erase(found);
}

void IndexLoader::forget(LogId log) {
  for (const auto& task : tasks_)
    if (task->key.first == log) task->orphan = true;
  for (auto it = by_key_.lower_bound({log, SegmentId{Offset{INT64_MIN}}});
       it != by_key_.end() && it->first.first == log;) {
    const SegmentId id = it->first.second;
    ++it;
    forget(log, id);
  }
  std::erase_if(damaged_, [&](const Key& key) { return key.first == log; });
  std::erase_if(refused_, [&](const auto& refused) { return refused.first.first == log; });
  std::erase_if(distrusted_, [&](const Key& key) { return key.first == log; });
}

Result<const SegmentIndex*> IndexLoader::start(PartitionLog& log, const Segment& segment, uint64_t bytes) {
  const Key key{log.id, segment.id()};
  if (const auto found = refused_.find(key); found != refused_.end()) {
    if (shard_.clock.monotonic() < found->second.until) return std::unexpected(found->second.error);
    refused_.erase(found);
  }
  const bool there = std::ranges::any_of(tasks_, [&](const auto& task) { return task->key == key; });
  if (there) return fail(Errc::kWouldBlock);
  if (tasks_.size() >= kTasksMax) {
    waits_.insert(log.id);
    return fail(Errc::kWouldBlock);
  }
  auto task = std::make_unique<Task>();
  task->owner = this;
  task->key = key;
  task->bytes = bytes;
  task->ends_in_batch = log.is_open(segment);
  task->file.task = task->read.task = task->close.task = task.get();
  task->file.kind = FileOp::Kind::kOpen;
  task->file.path = sidecar_path(shard_.folder, log.id, segment.id());
  task->file.on_done = [](FileOp& op) { static_cast<Task::File&>(op).task->waits = false; };
  task->close.kind = FileOp::Kind::kClose;
  task->close.on_done = task->file.on_done;
  task->read.on_done = [](DiskOp& op) { static_cast<Task::Read&>(op).task->waits = false; };
  if (distrusted_.contains(key)) {
    task->step = Task::Step::kOpenLog;
    go_on(*task);
  } else {
    task->waits = true;
    shard_.submit(static_cast<FileOp&>(task->file));
  }
  tasks_.push_back(std::move(task));
  return fail(Errc::kWouldBlock);
}

void IndexLoader::run() {
  for (auto it = tasks_.begin(); it != tasks_.end();) {
    Task& task = **it;
    while (!task.waits && task.step != Task::Step::kDone) {
      const auto before = task.step;
      go_on(task);
      if (task.step == before && !task.waits) break;  // its file is not open yet
    }
    if (task.step != Task::Step::kDone || task.waits) {
      ++it;
      continue;
    }
    shard_.readable.push_back(task.key.first);
    it = tasks_.erase(it);
  }
  if (tasks_.size() >= kTasksMax || waits_.empty()) return;
  shard_.readable.insert(shard_.readable.end(), waits_.begin(), waits_.end());
  waits_.clear();
}

void IndexLoader::go_on(Task& task) {
  switch (task.step) {
    case Task::Step::kOpenSidecar:
      if (task.file.error || task.file.bytes == 0 || task.file.bytes > kSidecarBytesMax) {
        task.step = Task::Step::kOpenLog;
        if (!task.file.error) {
          task.close.file = task.file.file;
          task.waits = true;
          shard_.submit(static_cast<FileOp&>(task.close));
        }
        return;
      }
      task.memory =
          aligned_span(task.holder, align_up(task.file.bytes, shard_.disk.block_bytes()), shard_.disk.block_bytes());
      task.read.kind = DiskOp::Kind::kRead;
      task.read.file = task.file.file;
      task.read.memory = task.memory;
      task.step = Task::Step::kReadSidecar;
      return read_on(task, 0);
    case Task::Step::kReadSidecar: return sidecar_read(task);
    case Task::Step::kOpenLog: return begin_scan(task);
    case Task::Step::kScan: return scan_more(task);
    case Task::Step::kTail: return tail_more(task);
    case Task::Step::kDone: return;
  }
}

void IndexLoader::sidecar_read(Task& task) {
  task.close.file = task.file.file;
  task.waits = true;
  shard_.submit(static_cast<FileOp&>(task.close));
  task.step = Task::Step::kOpenLog;
  if (task.read.result <= 0) return;
  auto sidecar = decode_sidecar(task.memory.first(static_cast<size_t>(task.read.result)));
  if (!sidecar || sidecar->index.base() != task.key.second.base || sidecar->index.known_from() != 0) return;
  if (sidecar->index.bytes() == task.bytes) {
    if (!task.orphan) insert(task.key, std::move(sidecar->index));
    task.step = Task::Step::kDone;
  }
}

void IndexLoader::begin_scan(Task& task) {
  const auto [log, id] = task.key;
  if (task.orphan) return finish(task);
  const auto file = acquire_named(shard_, files_, log, id);
  if (!file) {
    if (file.error().code != Errc::kWouldBlock) give_up(task, file.error());
    return;
  }
  task.holds_file = true;
  shard_.counters.add(Metric::index_rebuilds);
  task.read.file = *file;
  task.memory = aligned_span(task.holder, kPieceBytes, shard_.disk.block_bytes());
  const auto on_bad = [&task](uint64_t position, uint64_t bytes) {
    if (task.holes.full()) return false;
    task.holes.add(position, position + bytes);
    return true;
  };
  const auto on_batch = [&task](const BatchPlace& place, const protocol::RecordBatchView&) {
    task.holes.end_at(place.position, place.base);
  };
  task.scan.emplace(SegmentScan::Options{.base = id.base,
                                         .next = id.base,
                                         .limit = task.bytes,
                                         .may_have_gaps = id.revision != 0,
                                         .on_batch = on_batch,
                                         .on_bad = on_bad});
  task.read.kind = DiskOp::Kind::kRead;
  task.read.memory = task.memory;
  task.step = Task::Step::kScan;
  read_on(task, 0);
}

void IndexLoader::read_on(Task& task, uint64_t at) {
  task.read.at = at;
  task.waits = true;
  shard_.submit(static_cast<DiskOp&>(task.read));
}

// How many bytes of the read there are to go on with; 0 while it is tried again, and where the file ends. What the
// drive refuses is asked for again, then block by block; a block that it refuses twice counts as zeros.
size_t IndexLoader::take_read(Task& task) {
  const uint32_t block = shard_.disk.block_bytes();
  if (task.read.result >= 0) {
    const auto got = static_cast<size_t>(task.read.result);
    const bool whole = got == task.read.memory.size();
    if (whole) task.read.memory = task.memory;
    task.again = false;
    return got;
  }
  if (task.refused == kRefusedMax) return 0;
  if (std::exchange(task.again, true)) {
    task.again = false;
    if (task.read.memory.size() == block) {
      task.refused += 1;
      std::ranges::fill(task.memory.first(block), std::byte{0});
      task.read.memory = task.memory;
      return block;
    }
    task.read.memory = task.memory.first(block);
  }
  read_on(task, task.read.at);
  return 0;
}

void IndexLoader::scan_more(Task& task) {
  const size_t asked = task.read.memory.size();
  const size_t got = take_read(task);
  if (task.waits) return;
  auto stop = task.scan->feed(task.memory.first(got));
  if (stop == ScanStop::kRunning && got < asked) stop = task.scan->finish();
  if (stop == ScanStop::kRunning && !task.orphan) return read_on(task, task.read.at + got);
  const uint64_t good_to = task.scan->position();
  task.begun = task.scan->take_index();
  if (task.orphan || good_to == task.bytes) return finish(task);
  // An open segment's last write may have ended inside a batch: the rest of it was in the ring. A few zeros may be the
  // beginning of its offset.
  const bool few = task.bytes - good_to < protocol::kBatchHeaderBytes;
  const bool in_batch = stop == ScanStop::kTorn || (stop == ScanStop::kZeros && few);
  if (!in_batch || !task.ends_in_batch) {
    task.holes.add(good_to, task.bytes);
    task.tail_begun = true;
  }
  task.step = Task::Step::kTail;
  read_on(task, align_down(good_to, shard_.disk.block_bytes()));
}

// The bytes of the last batch as far as it was written; it cannot be checked, but by whoever reads it whole later. Or
// those behind which nothing more was found: the index has sums of all bytes.
void IndexLoader::tail_more(Task& task) {
  const size_t got = take_read(task);
  if (task.waits) return;
  SegmentIndex& index = *task.begun;
  uint64_t end = std::min(task.read.at + got, task.bytes);
  if (end <= index.bytes()) {  // the file is shorter: as if it had zeros, which nobody will read there
    std::ranges::fill(task.memory, std::byte{0});
    end = std::min(task.read.at + task.memory.size(), task.bytes);
  }
  const auto bytes = task.memory.subspan(index.bytes() - task.read.at, end - index.bytes());
  if (!std::exchange(task.tail_begun, true) && bytes.size() >= protocol::kBatchHeaderBytes) {
    const auto batch = protocol::view_of(bytes);
    const Offset base = batch.base_offset();  // read for the second time
    if (base >= task.scan->next() && base - index.base() <= SegmentIndex::kMostRelativeOffset)
      index.add_batch(index.bytes(), base, batch.max_timestamp());
  }
  index.add_bytes(bytes);
  if (end == task.bytes || task.orphan) return finish(task);
  read_on(task, align_down(end, shard_.disk.block_bytes()));
}

void IndexLoader::finish(Task& task) {
  const auto [log, id] = task.key;
  if (task.holds_file) files_.release(log, id);
  task.holds_file = false;
  task.step = Task::Step::kDone;
  if (task.orphan) return;
  PartitionLog* found = shard_.find(log);
  Segment* segment = found == nullptr ? nullptr : found->find_file(id);
  if (segment == nullptr) return;
  if (task.holes.empty()) {
    if (rebuilt_) rebuilt_(log, id, *task.begun);
  } else {
    tell_damage(shard_, log, *segment, task.holes.front().from, task.holes.front().to, "are no good batches");
  }
  segment->holes = std::move(task.holes);
  insert(task.key, *std::move(task.begun));
}

// Its file cannot be opened. Only a missing one says something about the segment (and has been told); a lack of
// descriptors or of memory, or a drive that fails, may pass.
void IndexLoader::give_up(Task& task, Error error) {
  task.step = Task::Step::kDone;
  if (error.code == Errc::kCorrupt) {
    damaged_.insert(task.key);
    return;
  }
  if (error.code == Errc::kNotFound) return;  // the log does not name it any more
  const Nanos now = shard_.clock.monotonic();
  std::erase_if(refused_, [&](const auto& refused) { return refused.second.until <= now; });
  refused_[task.key] = {.error = error, .until = now + kRetryAfter};
}

}  // namespace penstock::storage
