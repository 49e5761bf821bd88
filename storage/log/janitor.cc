#include "storage/log/janitor.h"

#include <algorithm>
#include <iterator>

#include "storage/segment/segment_path.h"

namespace penstock::storage {
namespace {

constexpr size_t kTasksMax = 8;

}  // namespace

struct Janitor::Task : FileOp {
  Work work;
  bool back = false;
};

Janitor::Janitor(Shard& shard) : shard_(shard) {}
Janitor::~Janitor() = default;

void Janitor::remove_segment(LogId log, SegmentId id, uint64_t slots_begun) {
  waiting_.push_back({log, id, slots_begun + 1});
}

void Janitor::slot_durable(uint64_t number) {
  for (; !waiting_.empty() && waiting_.front().slot <= number; waiting_.pop_front()) {
    const auto [log, id, slot] = waiting_.front();
    for (const std::string& path : {segment_path(shard_.folder, log, id), sidecar_path(shard_.folder, log, id)})
      queue_.push_back({.what = What::kUnlink, .log = log, .path = path, .id = id});
    shard_.counters.add(Metric::segments_deleted);
  }
}

void Janitor::remove_sidecar(PartitionLog& log, SegmentId id) {
  log.stale_sidecars += 1;
  shard_.stale_sidecars += 1;
  queue_.push_back({.what = What::kUnlinkStale, .log = log.id, .path = sidecar_path(shard_.folder, log.id, id)});
}

// File ops run in order: what is not in use now and is made after this is not what is deleted.
bool Janitor::is_in_use(const Work& work) const {
  PartitionLog* log = work.what == What::kUnlink && work.id ? shard_.find(work.log) : nullptr;
  return log != nullptr && log->find_file(*work.id) != nullptr;
}

void Janitor::remove_log(LogId log) { queue_.push_back({.what = What::kListLog, .log = log, .all = true}); }

void Janitor::sweep(std::function<bool(LogId)> foreign, uint64_t generation) {
  foreign_ = std::move(foreign);
  generation_ = generation;
  queue_.push_back({.what = What::kListAll});
}

void Janitor::run() {
  for (auto it = tasks_.begin(); it != tasks_.end();) {
    if (!(*it)->back) {
      ++it;
      continue;
    }
    done((*it)->work, **it);
    it = tasks_.erase(it);
  }
  while (!queue_.empty() && tasks_.size() < kTasksMax) {
    auto task = std::make_unique<Task>();
    task->work = std::move(queue_.front());
    queue_.pop_front();
    const Work& work = task->work;
    if (is_in_use(work)) continue;
    switch (work.what) {
      case What::kUnlink:
      case What::kUnlinkStale: task->kind = FileOp::Kind::kUnlink; break;
      case What::kListLog:
      case What::kListAll: task->kind = FileOp::Kind::kList; break;
      case What::kRemoveDir: task->kind = FileOp::Kind::kRemoveDir; break;
    }
    task->path = !work.path.empty()            ? work.path
                 : work.what == What::kListAll ? logs_path(shard_.folder)
                                               : log_path(shard_.folder, work.log);
    task->on_done = [](FileOp& op) { static_cast<Task&>(op).back = true; };
    shard_.submit(static_cast<FileOp&>(*task));
    tasks_.push_back(std::move(task));
  }
}

void Janitor::done(const Work& work, const FileOp& op) {
  if (work.what == What::kUnlinkStale) {
    shard_.names_changed = true;  // the next slot comes after that is durable
    shard_.stale_sidecars -= 1;
    if (PartitionLog* log = shard_.find(work.log)) log->stale_sidecars -= 1;
  }
  if (op.error && op.error->code != Errc::kNotFound) {
    LOG_WARN("cannot delete %s (errno %d): it keeps its space until the next start", op.path.c_str(),
             op.error->os_errno);
    return;
  }
  if (op.error) return;
  if (work.what == What::kListAll) listed_all(op);
  if (work.what == What::kListLog) listed_log(work, op);
}

void Janitor::listed_all(const FileOp& op) {
  for (const std::string& name : op.names) {
    const auto log = parse_log_name(name);
    if (!log || foreign_(*log)) continue;
    queue_.push_back({.what = What::kListLog, .log = *log, .all = shard_.find(*log) == nullptr});
  }
}

void Janitor::listed_log(const Work& work, const FileOp& op) {
  PartitionLog* log = shard_.find(work.log);
  if (log == nullptr && !work.all) return;  // deleted meanwhile: that has its own removal
  for (const std::string& name : op.names) {
    const auto file = parse_segment_name(name);
    const bool in_use = log != nullptr && file && log->find_file(file->id) != nullptr;
    const bool waits =
        file && std::ranges::any_of(waiting_, [&](const Waiting& w) { return w.log == work.log && w.id == file->id; });
    const bool made_now = file && !work.all && generation_of_revision(file->id.revision) == generation_;
    if (in_use || made_now || (waits && !work.all) || (!file && !work.all)) continue;
    Work unlink{.what = What::kUnlink, .log = work.log, .path = op.path + "/" + name};
    if (file) unlink.id = file->id;
    queue_.push_back(std::move(unlink));
  }
  if (work.all) queue_.push_back({.what = What::kRemoveDir, .log = work.log});
}

}  // namespace penstock::storage
