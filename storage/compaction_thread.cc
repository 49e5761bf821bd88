// The thread around a Cleaner: it sleeps until a store asks for something, or the rate allows more.
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <thread>
#include <vector>

#include "base/assert.h"
#include "storage/api/compaction.h"
#include "storage/compact/cleaner.h"
#include "storage/store_opener.h"

namespace penstock::storage {
namespace {

constexpr int kSleepMost = 100;  // ms: a ring that was full is looked at again

uint64_t word_of(Prng& prng) { return prng.next(); }

}  // namespace

struct CompactionThread::Impl {
  explicit Impl(const CompactionRequest& request)
      : clock(*request.clock),
        cleaner(*request.disk, *request.clock,
                {.folder = request.folder,
                 .map_bytes = static_cast<uint64_t>(request.options.cleaner_map_bytes),
                 .bytes_per_second = static_cast<uint64_t>(request.options.cleaner_bytes_per_second),
                 .reserve_bytes = request.reserve_bytes,
                 .secret = {word_of(*request.prng), word_of(*request.prng)}}) {}

  void run();
  void rest(int ms) {
    std::vector<pollfd> bells;
    for (const auto& link : links) bells.push_back({.fd = link->bell.fd(), .events = POLLIN, .revents = 0});
    bells.push_back({.fd = end_bell.fd(), .events = POLLIN, .revents = 0});
    ::poll(bells.data(), bells.size(), ms);
    for (const auto& link : links) link->bell.clear();  // before the look into the rings
  }

  Clock& clock;
  Cleaner cleaner;
  std::vector<std::unique_ptr<CompactionLink>> links;
  SpscRing<bool> end{2};  // a word in it: the thread ends
  Doorbell end_bell;
  std::thread thread;
};

void CompactionThread::Impl::run() {
  pthread_setname_np(pthread_self(), "penstock-clean");
  while (end.empty()) {
    if (cleaner.step()) continue;
    if (cleaner.idle()) {
      rest(-1);
      continue;
    }
    const Nanos left = cleaner.next_at() - clock.monotonic();
    rest(static_cast<int>(std::clamp<Nanos>(left / kMillisecond, 1, kSleepMost)));
  }
  cleaner.abandon();
}

CompactionThread::CompactionThread(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

std::expected<std::unique_ptr<CompactionThread>, OpenFailure> CompactionThread::make(const CompactionRequest& request) {
  auto impl = std::make_unique<Impl>(request);
  if (!impl->cleaner.has_memory())
    return no_memory("log.cleaner.dedupe.buffer.size", static_cast<uint64_t>(request.options.cleaner_map_bytes));
  return std::unique_ptr<CompactionThread>(new CompactionThread(std::move(impl)));
}

CompactionLink* CompactionThread::new_link() {
  CHECK(!impl_->thread.joinable());
  impl_->links.push_back(std::make_unique<CompactionLink>());
  impl_->cleaner.attach(*impl_->links.back());
  return impl_->links.back().get();
}

void CompactionThread::start() {
  // Signals are for the threads that expect them.
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  impl_->thread = std::thread([impl = impl_.get()] { impl->run(); });
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

CompactionThread::~CompactionThread() {
  if (!impl_->thread.joinable()) return;
  CHECK(impl_->end.try_push(true));
  impl_->end_bell.ring();
  impl_->thread.join();
}

}  // namespace penstock::storage
