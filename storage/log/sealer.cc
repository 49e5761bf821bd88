#include "storage/log/sealer.h"

#include <algorithm>
#include <utility>

#include "storage/segment/segment_path.h"

namespace penstock::storage {
namespace {

constexpr size_t kTasksMax = 16;
constexpr size_t kWriteBytes = kMiB;

}  // namespace

struct Sealer::Task {
  enum class Step : uint8_t { kCut, kCutting, kOpen, kEmpty, kWrite, kClose, kDone };
  struct File : FileOp {
    Task* task;
  };
  struct Write : DiskOp {
    Task* task;
  };

  LogId log;
  SegmentId id;
  Step step;
  bool waits = false;
  uint64_t bytes = 0;  // to cut to
  std::optional<Sidecar> sidecar{};
  File file{};
  Write write{};
  std::vector<std::byte> holder{};
  std::span<std::byte> content{};
  uint64_t written = 0;
};

Sealer::Sealer(Shard& shard, SegmentFiles& files) : shard_(shard), files_(files) {}
Sealer::~Sealer() = default;

void Sealer::cut(LogId log, SegmentId id, uint64_t bytes) {
  waiting_.push_back(std::unique_ptr<Task>(new Task{.log = log, .id = id, .step = Task::Step::kCut, .bytes = bytes}));
}

void Sealer::write_sidecar(LogId log, SegmentId id, Sidecar sidecar) {
  waiting_.push_back(
      std::unique_ptr<Task>(new Task{.log = log, .id = id, .step = Task::Step::kOpen, .sidecar = std::move(sidecar)}));
}

void Sealer::forget(LogId log, SegmentId id) {
  std::erase_if(waiting_, [&](const auto& task) { return task->log == log && task->id == id; });
  for (const auto& task : tasks_)
    if (task->log == log && task->id == id && task->step == Task::Step::kCut) task->step = Task::Step::kDone;
}

bool Sealer::works_on(LogId log) const {
  const auto is_of_log = [&](const auto& task) { return task->log == log; };
  return std::ranges::any_of(waiting_, is_of_log) || std::ranges::any_of(tasks_, is_of_log);
}

void Sealer::run() {
  while (!waiting_.empty() && tasks_.size() < kTasksMax) {
    Task& task = *waiting_.front();
    task.file.task = task.write.task = &task;
    task.file.on_done = [](FileOp& op) { static_cast<Task::File&>(op).task->waits = false; };
    task.write.on_done = [](DiskOp& op) { static_cast<Task::Write&>(op).task->waits = false; };
    tasks_.push_back(std::move(waiting_.front()));
    waiting_.pop_front();
  }
  for (auto it = tasks_.begin(); it != tasks_.end();) {
    Task& task = **it;
    for (auto before = Task::Step::kDone; !task.waits && task.step != before && task.step != Task::Step::kDone;) {
      before = task.step;
      go_on(task);
    }
    it = task.step == Task::Step::kDone && !task.waits ? tasks_.erase(it) : std::next(it);
  }
}

void Sealer::go_on(Task& task) {
  const auto file_op = [&](FileOp::Kind kind, Task::Step next) {
    task.file.kind = kind;
    task.step = next;
    task.waits = true;
    shard_.submit(static_cast<FileOp&>(task.file));
  };
  switch (task.step) {
    case Task::Step::kCut: return cut_file(task);
    case Task::Step::kCutting:
      files_.release(task.log, task.id);
      task.step = Task::Step::kDone;
      return;
    case Task::Step::kOpen:
      task.file.path = sidecar_path(shard_.folder, task.log, task.id);
      task.file.mode = {.create = true};
      return file_op(FileOp::Kind::kOpen, Task::Step::kEmpty);
    case Task::Step::kEmpty:
      if (task.file.error) {
        task.step = Task::Step::kDone;
        return;
      }
      task.file.bytes = 0;  // an older sidecar may have been longer
      return file_op(FileOp::Kind::kCut, Task::Step::kWrite);
    case Task::Step::kWrite: return write(task);
    case Task::Step::kClose: return file_op(FileOp::Kind::kClose, Task::Step::kDone);
    case Task::Step::kDone: return;
  }
}

void Sealer::cut_file(Task& task) {
  const auto file = files_.acquire(task.log, task.id, SegmentFiles::Want::kRead);
  if (!file) {
    if (file.error().code != Errc::kWouldBlock) task.step = Task::Step::kDone;
    return;
  }
  task.file.kind = FileOp::Kind::kCut;
  task.file.file = *file;
  task.file.bytes = task.bytes;
  task.step = Task::Step::kCutting;
  task.waits = true;
  shard_.submit(static_cast<FileOp&>(task.file));
}

// A sidecar that cannot be written is no loss: the segment is scanned when its index is wanted.
void Sealer::write(Task& task) {
  if (task.content.empty()) {
    const uint32_t block = shard_.disk.block_bytes();
    const uint64_t bytes = sidecar_bytes(*task.sidecar, block);
    task.holder.resize(bytes + block);
    const auto address = reinterpret_cast<uintptr_t>(task.holder.data());
    task.content = std::span(task.holder).subspan(align_up(address, block) - address, bytes);
    encode(*task.sidecar, task.content);
    task.sidecar.reset();
  } else {
    if (task.write.result == static_cast<int64_t>(task.write.memory.size())) task.written += task.write.memory.size();
    if (task.write.result < static_cast<int64_t>(task.write.memory.size()) || task.written == task.content.size()) {
      task.step = Task::Step::kClose;
      return;
    }
  }
  task.write.kind = DiskOp::Kind::kWrite;
  task.write.may_block = true;
  task.write.file = task.file.file;
  task.write.at = task.written;
  task.write.memory = task.content.subspan(task.written, std::min(kWriteBytes, task.content.size() - task.written));
  task.waits = true;
  shard_.submit(static_cast<DiskOp&>(task.write));
}

}  // namespace penstock::storage
