// One lcore: its parts, the commands it obeys, its housekeeping and its sleep. The loop itself is lcore_loop.cc.
#include "dataplane/api/lcore.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "base/log.h"
#include "dataplane/lcore_impl.h"

namespace penstock::dataplane {
namespace {

constexpr Nanos kHousekeepingMax = kSecond;
// How long a stopping broker waits for the device and for clients that take their answers.
constexpr Nanos kAnsweringMax = 5 * kSecond;
// How long answers may stand unread while others wait for their room.
constexpr Nanos kUnreadMax = 10 * kSecond;
// Sleep while something is tried again each turn for which nobody rings.
constexpr Nanos kRetrySleep = kMillisecond;

}  // namespace

std::expected<std::unique_ptr<Lcore>, storage::OpenFailure> Lcore::make(LcoreRequest request) {
  const DataplaneOptions& options = request.options;
  const SocketOptions socket_options{
      .receive_pool_bytes = static_cast<size_t>(options.receive_pool_bytes),
      .request_bytes_max = static_cast<size_t>(options.request_max_bytes) + kFrameLengthBytes,
      .request_head_bytes = kFrameLengthBytes,
      .connections_max = static_cast<size_t>(options.connections_max),
      .backlog = static_cast<int>(options.listen_backlog)};
  auto sockets = UringSockets::make(socket_options, *request.counters);
  if (!sockets) return std::unexpected(storage::OpenFailure{{Errc::kUnsupported}, sockets.error()});
  auto impl = std::make_unique<Impl>(std::move(request), *std::move(sockets));
  if (auto listening = impl->listen(); !listening) return std::unexpected(listening.error());
  return std::unique_ptr<Lcore>(new Lcore(std::move(impl)));
}

Lcore::Lcore(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Lcore::~Lcore() = default;
std::span<const uint16_t> Lcore::bound_ports() const { return impl_->ports_; }
SpscRing<Command>& Lcore::commands() { return impl_->commands_; }
SpscRing<Event>& Lcore::events() { return impl_->events_; }
Doorbell& Lcore::doorbell() { return impl_->doorbell_; }
void Lcore::run() { impl_->run(); }

Lcore::Impl::Impl(LcoreRequest request, std::unique_ptr<UringSockets> sockets)
    : request_(std::move(request)),
      sockets_(std::move(sockets)),
      broker_{.store = *request_.store,
              .options = request_.options,
              .counters = *request_.counters,
              .events = events_,
              .control_doorbell = request_.control_doorbell,
              .lcore = request_.index},
      clients_(broker_),
      trims_(*request_.store),
      health_told_(request_.store->rings().size()) {}

std::expected<void, storage::OpenFailure> Lcore::Impl::listen() {
  for (const ListenerAddress& address : request_.listeners) {
    const auto port = sockets_->listen(address.host, address.port);
    if (!port) return std::unexpected(storage::OpenFailure{{Errc::kInvalid}, port.error()});
    ports_.push_back(*port);
  }
  return {};
}

// ---- commands

size_t Lcore::Impl::obey_commands() {
  size_t did = 0;
  // No more than the ring holds, so that a busy control cannot keep the loop here.
  for (; did < kCommands; ++did) {
    auto command = commands_.try_pop();
    if (!command) break;
    std::visit([this](auto& what) { obey(std::move(what)); }, *command);
  }
  return did;
}

void Lcore::Impl::obey(PublishImage command) {
  if (auto retired = clients_.publish(std::move(command.image))) tell_control(RetiredImage{std::move(retired)});
}

void Lcore::Impl::obey(Stop) {
  if (phase_ != Phase::kServing) return;
  phase_ = Phase::kAnswering;
  stop_answering_at_ = broker_.now + kAnsweringMax;
  sockets_->stop_listening();
  clients_.stop();
}

void Lcore::Impl::go_on_stopping() {
  if (phase_ == Phase::kAnswering && (clients_.count() == 0 || broker_.now >= stop_answering_at_)) {
    clients_.close_all();
    request_.store->begin_stop();
    phase_ = Phase::kSealing;
  }
  if (phase_ == Phase::kSealing && request_.store->stopped()) {
    tell_control(Stopped{});
    phase_ = Phase::kSaying;
  }
  if (phase_ == Phase::kSaying && untold_.empty()) phase_ = Phase::kStopped;
}

void Lcore::Impl::tell_control(Event event) {
  if (!untold_.empty() || !broker_.tell_control(event)) untold_.push_back(std::move(event));
}

// ---- housekeeping

size_t Lcore::Impl::settle_trims() {
  return trims_.settle([this](const LogTrimmed& over) { tell_control(over); });
}

void Lcore::Impl::tell_health() {
  const auto rings = request_.store->rings();
  for (size_t i = 0; i < rings.size(); ++i) {
    const storage::StoreHealth health = request_.store->health(rings[i]);
    if (std::exchange(health_told_[i], health) != health) tell_control(RingHealth{.ring = rings[i], .health = health});
  }
}

void Lcore::Impl::keep_house() {
  while (!untold_.empty() && broker_.tell_control(untold_.front())) untold_.pop_front();
  tell_health();
  if (phase_ != Phase::kServing) go_on_stopping();
  const Nanos idle_max = request_.options.connections_max_idle_ms * kMillisecond;
  if (broker_.now - house_kept_at_ < std::min(kHousekeepingMax, idle_max / 4)) return;
  house_kept_at_ = broker_.now;
  sockets_->tick(broker_.now);
  clients_.reap_idle(broker_.now - idle_max);
  clients_.close_unread(broker_.now - kUnreadMax);
}

Nanos Lcore::Impl::next_deadline() const {
  const bool retrying = broker_.wakeups.retrying() || trims_.retrying() || !untold_.empty();
  if (retrying || phase_ != Phase::kServing) return broker_.now + kRetrySleep;
  const Nanos idle_max = request_.options.connections_max_idle_ms * kMillisecond;
  const Nanos house = clients_.count() == 0 ? std::numeric_limits<Nanos>::max()
                                            : house_kept_at_ + std::min(kHousekeepingMax, idle_max / 4);
  return std::min({request_.store->next_deadline(), broker_.wakeups.next_deadline(), sockets_->next_deadline(), house});
}

// Without work: spins for a while, or for ever if told to; then sleeps until a client, the device, control or a
// deadline calls. The order matters: the drive is armed first and everything looked at once more, so that what
// completes in between either is seen here or rings the doorbell that ends the sleep.
void Lcore::Impl::rest() {
  if (request_.options.idle_strategy == "spin") return;
  if (broker_.now - worked_at_ < request_.options.idle_spin_us * kMicrosecond) return;
  for (storage::Disk* disk : request_.disks) disk->arm_wakeup(doorbell_.fd(), true);
  const size_t completed = request_.store->poll();
  const size_t woken = clients_.wake(completed) + settle_trims();  // behind poll(): they look at what that advanced
  if (completed + woken == 0 && commands_.empty()) {
    broker_.counters.add(Metric::loop_sleeps);
    sockets_->wait(next_deadline() - broker_.now);
    slept_ = true;
  }
  for (storage::Disk* disk : request_.disks) disk->arm_wakeup(doorbell_.fd(), false);
}

}  // namespace penstock::dataplane
