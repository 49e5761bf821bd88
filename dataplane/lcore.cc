// One lcore: its parts, the commands it obeys, its housekeeping and its sleep. The loop itself is lcore_loop.cc.
#include "dataplane/api/lcore.h"

#include <sched.h>

#include <algorithm>
#include <limits>
#include <numeric>
#include <utility>

#include "base/log.h"
#include "dataplane/lcore_impl.h"

namespace penstock::dataplane {
namespace {

constexpr Nanos kHousekeepingMax = kSecond;
// How long a stopping broker waits for the device and for clients that take their answers.
constexpr Nanos kAnsweringMax = 5 * kSecond;
// How long peers have to acknowledge what they were sent, behind that; the kernel does this for its sockets.
constexpr Nanos kDrainingMax = 2 * kSecond;
// Sleep while something is tried again each turn for which nobody rings.
constexpr Nanos kRetrySleep = kMillisecond;
// A fast drive has written so much before a sleeper would be awake. Behind more the time is worth more as sleep.
constexpr uint64_t kSmallCommitBytes = 64 * kKiB;

}  // namespace

std::expected<std::unique_ptr<Lcore>, storage::OpenFailure> Lcore::make(LcoreRequest request) {
  const DataplaneOptions& options = request.options;
  const SocketOptions socket_options{
      .receive_pool_bytes = static_cast<size_t>(options.receive_pool_bytes),
      .request_bytes_max = static_cast<size_t>(options.request_max_bytes) + kFrameLengthBytes,
      .request_head_bytes = kFrameLengthBytes,
      .connections_max = std::min(static_cast<size_t>(options.connections_max), request.sockets_max),
      .backlog = static_cast<int>(options.listen_backlog)};
  auto sockets = UringSockets::make(socket_options, *request.counters);
  if (!sockets) return std::unexpected(storage::OpenFailure{{Errc::kUnsupported}, sockets.error()});
  auto impl = std::make_unique<Impl>(std::move(request), *std::move(sockets));
  if (auto listening = impl->listen(); !listening) return std::unexpected(listening.error());
  impl->start_recompressor();
  return std::unique_ptr<Lcore>(new Lcore(std::move(impl)));
}

std::expected<void, storage::OpenFailure> Lcore::try_listener(const ListenerAddress& address) {
  if (address.device) return {};
  const auto done = UringSockets::try_listen(address.host, address.port);
  if (!done) return std::unexpected(storage::OpenFailure{{done.error().code}, done.error().what});
  return {};
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
      host_(broker_),
      trims_(*request_.store),
      control_io_(*request_.store),
      prng_(static_cast<uint64_t>(request_.clock->wall_ms()), request_.index),
      health_told_(request_.store->rings().size()),
      spin_(request_.options),
      idle_spin_(spin_.idle) {
  broker_.recompressor = &recompressor_;
  if (AddressLimits::limit(request_.options.connections_max_per_ip,
                           request_.options.connections_max_per_ip_overrides)) {
    auto overrides = AddressLimits::parse_overrides(request_.options.connections_max_per_ip_overrides);
    CHECK(overrides);  // whoever makes an lcore has checked them
    broker_.address_news.emplace();
    if (request_.index == 0) addresses_.emplace(request_.options.connections_max_per_ip, *std::move(overrides));
  }
  for (SharedDevice* device : request_.devices) {
    links_.emplace_back(*device, request_.index, request_.mesh.get(), clients_.add_own());
  }
  if (request_.mesh == nullptr || request_.mesh->lcores() == 1) return;
  CHECK(request_.mesh->lcores() <= Host::kLcoresMax);
  request_.mesh->set_doorbell(request_.index, doorbell_);
  mail_.emplace(request_.mesh, request_.index, *request_.counters);
  broker_.mail = &*mail_;
  connections_of_.resize(request_.mesh->lcores());
}

std::expected<void, storage::OpenFailure> Lcore::Impl::listen() {
  for (uint16_t number = 0; number < request_.listeners.size(); ++number) {
    const ListenerAddress& address = request_.listeners[number];
    ports_.push_back(address.port);
    if (address.device) {
      links_[*address.device].ports.push_back({.port = address.port, .listener = number});
    } else if (request_.index == 0) {
      const auto port = sockets_->listen(address.host, address.port);
      if (!port) return std::unexpected(storage::OpenFailure{{Errc::kInvalid}, port.error()});
      ports_.back() = *port;
      kernel_listeners_.push_back(number);
    }
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
  auto retired = clients_.publish(std::move(command.image));
  broker_.counters.add(Metric::images_in_force);
  if (retired) tell_control(RetiredImage{std::move(retired)});
}

void Lcore::Impl::obey(AskLog command) {
  LogTold told{.token = command.token, .bytes = request_.store->bytes_of(command.log), .producers = {}};
  if (command.producers) told.producers = request_.store->producers_of(command.log);
  tell_control(std::move(told));
}

// In the question's own memory: an lcore allocates nothing for it.
void Lcore::Impl::obey(AskEnds command) {
  for (AskEnds::LogEnd& asked : command.logs) {
    const auto offsets = request_.store->offsets(asked.log);
    asked.durable = offsets ? offsets->durable : Offset{-1};
  }
  tell_control(EndsTold{.token = command.token, .logs = std::move(command.logs)});
}

void Lcore::Impl::obey(Stop) {
  if (phase_ != Phase::kServing) return;
  phase_ = Phase::kAnswering;
  stop_answering_at_ = broker_.now + kAnsweringMax;
  sockets_->stop_listening();
  for (LinkClients& of : links_) of.link.stop_listening();
  clients_.stop();
}

void Lcore::Impl::go_on_stopping() {
  if (phase_ == Phase::kAnswering && (clients_.count() == 0 || broker_.now >= stop_answering_at_)) {
    clients_.close_all();
    phase_ = Phase::kParting;
    stop_draining_at_ = broker_.now + kDrainingMax;
    broker_.lender.recall_all();
  }
  if (phase_ == Phase::kParting && broker_.now >= stop_answering_at_) host_.give_up();
  // A device that still has frames with it then sends them to nobody: their connections are over.
  if (phase_ == Phase::kParting && broker_.now >= stop_draining_at_) broker_.lender.give_up(broker_);
  // What was asked of others comes back first: it points to memory of this lcore, and theirs may be lent to it.
  if (phase_ == Phase::kParting && !said_goodbye_ && broker_.parts_out == 0 && !broker_.lender.any_out()) {
    said_goodbye_ = true;
    for (uint16_t to = 0; mail_ && to < mail_->lcores(); ++to) {
      if (to != request_.index) mail_->send(to, Goodbye{});
    }
  }
  if (phase_ == Phase::kParting && said_goodbye_ && (!mail_ || parted_ + 1u == mail_->lcores())) {
    request_.store->begin_stop();
    phase_ = Phase::kSealing;
  }
  if (phase_ == Phase::kSealing && request_.store->stopped()) {
    tell_control(Stopped{});
    phase_ = Phase::kSaying;
  }
  const bool sent = !mail_ || !mail_->retrying();
  if (phase_ == Phase::kSaying && untold_.empty() && sent && links_drained()) phase_ = Phase::kStopped;
}

// ---- connections, shared out among the lcores by the one that accepts them

void Lcore::Impl::arrived(int fd, uint16_t listener) {
  const size_t most = std::min(static_cast<size_t>(request_.options.connections_max), request_.sockets_max);
  if (mail_ && std::accumulate(connections_of_.begin(), connections_of_.end(), size_t{0}) >= most)
    return sockets_->refuse(fd);
  // One that comes while another from there is on its way through the mesh is counted, and refused, behind it.
  if (addresses_ && addresses_->is_full(peer_address_of(fd)))
    return sockets_->refuse(fd, Metric::connections_refused_address);
  const uint16_t to = mail_ ? emptiest_lcore() : request_.index;
  if (mail_) ++connections_of_[to];
  if (to == request_.index) return adopt(fd, listener);
  broker_.counters.add(Metric::connections_handed_over);
  mail_->send(to, Newcomer{.fd = fd, .listener = listener});
}

void Lcore::Impl::adopt(int fd, uint16_t listener) {
  ++adopted_;
  UringStream* stream = sockets_->adopt(fd, listener);
  if (stream != nullptr) clients_.kernel().add(stream->slot(), *stream, listener);
}

// Among several by chance: clients open connections in patterns, as one to ask for metadata and then one to work on.
uint16_t Lcore::Impl::emptiest_lcore() {
  const size_t fewest = *std::ranges::min_element(connections_of_);
  auto left = prng_.below(static_cast<uint64_t>(std::ranges::count(connections_of_, fewest)));
  uint16_t lcore = 0;
  while (connections_of_[lcore] != fewest || left-- > 0) ++lcore;
  return lcore;
}

void Lcore::Impl::count_departed() {
  const size_t gone = adopted_ - clients_.kernel().count();
  if (!mail_ || gone == 0) return;
  adopted_ -= gone;
  if (request_.index == 0) {
    connections_of_[0] -= gone;
  } else {
    mail_->send(0, Departed{.count = static_cast<uint32_t>(gone)});
  }
}

void Lcore::Impl::count_addresses() {
  AddressNews& news = *broker_.address_news;
  if (phase_ != Phase::kServing) return news.clear();  // nobody reads it
  if (request_.index != 0) return news.send(*mail_, 0);
  while (!news.empty()) take(0, news.next());
  broker_.counters.set(Metric::addresses_connected, addresses_->addresses());
}

void Lcore::Impl::take(uint16_t from, Letter letter) {
  if (const auto* newcomer = std::get_if<Newcomer>(&letter)) {
    adopt(newcomer->fd, newcomer->listener);
  } else if (const auto* departed = std::get_if<Departed>(&letter)) {
    connections_of_[from] -= departed->count;
  } else if (const auto* came = std::get_if<std::unique_ptr<AddressCame>>(&letter)) {
    if (!addresses_->enter(from, (*came)->connection, (*came)->address)) refuse(from, (*came)->connection);
  } else if (const auto* left = std::get_if<AddressLeft>(&letter)) {
    addresses_->leave(from, left->connection);
  } else if (const auto* refused = std::get_if<AddressRefused>(&letter)) {
    clients_.refuse(refused->connection);
  } else if (std::holds_alternative<Goodbye>(letter)) {
    ++parted_;
  }
}

void Lcore::Impl::refuse(uint16_t lcore, ConnectionId connection) {
  if (lcore == request_.index) return clients_.refuse(connection);
  // Behind a goodbye nobody may read it, and all connections end.
  if (phase_ == Phase::kServing) mail_->send(lcore, AddressRefused{.connection = connection});
}

void Lcore::Impl::tell_control(Event event) {
  if (!untold_.empty() || !broker_.tell_control(event)) untold_.push_back(std::move(event));
}

// ---- housekeeping

size_t Lcore::Impl::settle_trims() {
  return trims_.settle([this](const LogTrimmed& over) { tell_control(over); });
}

size_t Lcore::Impl::settle_control_io() {
  std::vector<Event> over = control_io_.settle(broker_.now);
  const size_t count = over.size();
  for (Event& event : over) tell_control(std::move(event));
  return count;
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
  count_departed();
  if (broker_.address_news) count_addresses();
  if (phase_ != Phase::kServing) go_on_stopping();
  const Nanos idle_max = request_.options.connections_max_idle_ms * kMillisecond;
  if (broker_.now - house_kept_at_ < std::min(kHousekeepingMax, idle_max / 4)) return;
  house_kept_at_ = broker_.now;
  sockets_->tick(broker_.now);
  watch_links();
  clients_.reap_idle(broker_.now - idle_max);
  clients_.close_unread(broker_.now);
}

Nanos Lcore::Impl::next_deadline() const {
  const bool retrying = broker_.wakeups.retrying() || trims_.retrying() || control_io_.retrying() || !untold_.empty() ||
                        (mail_ && mail_->retrying()) || (broker_.address_news && !broker_.address_news->empty());
  if (retrying || phase_ != Phase::kServing) return broker_.now + kRetrySleep;
  const Nanos idle_max = request_.options.connections_max_idle_ms * kMillisecond;
  const Nanos house = clients_.count() == 0 && links_.empty()
                          ? std::numeric_limits<Nanos>::max()
                          : house_kept_at_ + std::min(kHousekeepingMax, idle_max / 4);
  Nanos next =
      std::min({request_.store->next_deadline(), broker_.wakeups.next_deadline(), sockets_->next_deadline(), house});
  for (const LinkClients& of : links_) next = std::min(next, of.link.next_deadline());
  return next;
}

// What a small commit takes is the drive's time: how long to spin for it is a setting.
void Lcore::Impl::rest_is_over() {
  if (resting_ == Rest::kIdle) idle_spin_.over(broker_.now - worked_at_, rest_slept_);
  resting_ = Rest::kNo;
  rest_slept_ = false;
}

// Without work: spins for a while, or for ever if told to; then sleeps until a client, the device, control or a
// deadline calls. The order matters: the drive is armed first and everything looked at once more, so that what
// completes in between either is seen here or rings the doorbell that ends the sleep.
void Lcore::Impl::rest() {
  const uint64_t commit_bytes = request_.store->commit_bytes();
  const bool small_commit = commit_bytes > 0 && commit_bytes <= kSmallCommitBytes;
  resting_ = small_commit ? Rest::kForCommit : Rest::kIdle;
  if (broker_.now - worked_at_ < (small_commit ? spin_.commit : idle_spin_.now())) {
    // Who shares the CPU goes first: a client that was just answered, the kernel's worker (pause_between_polls). An
    // lcore that never sleeps has a CPU of its own, but for that worker.
    if (commit_bytes > 0 || !spin_.forever()) sched_yield();
    return;
  }
  const Nanos longest = nap();
  if (longest == 0) return;
  for (storage::Disk* disk : request_.disks) disk->arm_wakeup(doorbell_.fd(), true);
  if (mail_) mail_->bell().go_to_sleep();
  recompressor_.go_to_sleep();
  const bool handed = std::ranges::any_of(links_, [](const LinkClients& of) { return of.link.has_mail(); });
  const bool idle = settle() == 0 && commands_.empty() && (!mail_ || mail_->empty()) && recompressor_.empty();
  if (idle && !handed) {
    broker_.counters.add(Metric::loop_sleeps);
    if (commit_bytes > 0) broker_.counters.add(Metric::loop_commit_sleeps);
    sockets_->wait(std::min(next_deadline() - broker_.now, longest));
    slept_ = rest_slept_ = true;
  }
  if (mail_) mail_->bell().wake_up();
  recompressor_.wake_up();
  for (storage::Disk* disk : request_.disks) disk->arm_wakeup(doorbell_.fd(), false);
}

}  // namespace penstock::dataplane
