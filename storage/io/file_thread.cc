#include "storage/io/file_thread.h"

#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <unistd.h>

#include <cstddef>
#include <utility>

#include "base/assert.h"
#include "storage/io/file_ops.h"

namespace penstock::storage {
namespace {

// It is started by an lcore, which may be pinned to a CPU and spin there: it takes the main thread's CPUs instead.
void leave_the_lcores_cpu() {
  cpu_set_t cpus;
  if (sched_getaffinity(getpid(), sizeof cpus, &cpus) == 0) sched_setaffinity(0, sizeof cpus, &cpus);
}

}  // namespace

FileThread::FileThread() {
  // Signals are for the threads that expect them.
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  thread_ = std::thread([this] { run(); });
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

FileThread::~FileThread() {
  CHECK(asked_.try_push(Job{}));
  asked_bell_.ring();
  thread_.join();
  PosixFiles files;
  while (const auto job = done_.try_pop())
    if (job->work.kind == FileOp::Kind::kOpen && !job->work.error) files.close(job->work.file);
}

void FileThread::submit(FileOp& op) {
  Job job{.owner = &op, .work = std::move(op)};
  op.in_flight = true;
  CHECK(asked_.try_push(job));
  asked_bell_.ring();
}

size_t FileThread::poll(std::span<FileOp*> done, PosixFiles& files) {
  size_t count = 0;
  while (count < done.size()) {
    auto job = done_.try_pop();
    if (!job) break;
    files.raise_block_bytes(job->block_bytes);
    *job->owner = std::move(job->work);
    done[count++] = job->owner;
  }
  return count;
}

void FileThread::run() {
  pthread_setname_np(pthread_self(), "penstock-files");
  leave_the_lcores_cpu();
  PosixFiles files;
  for (;;) {
    auto job = asked_.try_pop();
    if (!job) {
      pollfd bell{.fd = asked_bell_.fd(), .events = POLLIN, .revents = 0};
      ::poll(&bell, 1, -1);
      asked_bell_.clear();  // before the look into the ring: what is pushed from now on rings again
      continue;
    }
    if (job->owner == nullptr) return;
    perform(files, job->work);
    job->block_bytes = files.block_bytes();
    CHECK(done_.try_push(*job));
    done_bell_.ring();
  }
}

}  // namespace penstock::storage
