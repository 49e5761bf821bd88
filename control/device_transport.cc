#include "control/device_transport.h"

#include <fmt/format.h>
#include <sched.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "base/assert.h"
#include "base/system_clock.h"
#include "control/cli/error.h"
#include "control/device_flags.h"
#include "control/log_sink.h"
#include "dataplane/api/devices.h"
#include "dataplane/api/dialer.h"

namespace penstock::control {
namespace {

using cli::CliError;
using dataplane::Dialer;

// A wait ends so often, for who looks whether it was interrupted.
constexpr Nanos kWaitMost = 50 * kMillisecond;
// At the end peers have so long to acknowledge what is out: the last is their FIN.
constexpr Nanos kDrainingMost = 2 * kSecond;
// Then the other side has nothing more to do and sleeps, if it does sleep: one that polls net_memif while this side
// goes may fault (docs/adr/0012-dpdk.md).
constexpr Nanos kStillness = 20 * kMillisecond;

class DeviceTransport;
class DeviceWatch;

class DeviceWire final : public cli::Wire {
 public:
  DeviceWire(DeviceTransport& transport, Dialer::Line line, std::string peer)
      : transport_(transport), line_(line), peer_(std::move(peer)) {}
  ~DeviceWire() override;
  DeviceWire(const DeviceWire&) = delete;
  DeviceWire& operator=(const DeviceWire&) = delete;

  size_t send(std::span<const std::span<const std::byte>> pieces) override;
  size_t receive(std::span<std::byte> room) override;
  int fd() const override { return -1; }

  bool readable() const;
  bool writable() const;

 private:
  friend class DeviceWatch;
  friend class DeviceTransport;
  [[noreturn]] void lost() const;

  DeviceTransport& transport_;
  const Dialer::Line line_;
  const std::string peer_;
  DeviceWatch* watch_ = nullptr;
  uint32_t index_ = 0;  // with its watch
  bool wants_write_ = false;
  bool stirs_ = false;  // is in the watch's list
};

// Told of each wire that has news; keeps those that are still ready, as epoll does.
class DeviceWatch final : public cli::Watch {
 public:
  explicit DeviceWatch(DeviceTransport& transport) : transport_(transport) {}
  ~DeviceWatch() override {
    for (DeviceWire* wire : wires_) wire->watch_ = nullptr;
  }
  DeviceWatch(const DeviceWatch&) = delete;
  DeviceWatch& operator=(const DeviceWatch&) = delete;

  void add(cli::Wire& wire, uint32_t index) override;
  void want_write(cli::Wire& wire, uint32_t index, bool on) override;
  std::span<const Ready> wait(const Wake& wake) override;

  void stir(DeviceWire& wire);
  void forget(DeviceWire& wire);

 private:
  void look();

  DeviceTransport& transport_;
  std::vector<DeviceWire*> wires_;
  std::vector<DeviceWire*> stirring_;
  std::vector<Ready> ready_;
};

class DeviceTransport final : public cli::Transport {
 public:
  DeviceTransport(const cli::NicOptions& nic, Nanos timeout);
  ~DeviceTransport() override;
  DeviceTransport(const DeviceTransport&) = delete;
  DeviceTransport& operator=(const DeviceTransport&) = delete;

  std::unique_ptr<cli::Wire> connect(const cli::Endpoint& endpoint, Nanos timeout) override;
  std::unique_ptr<cli::Watch> watch(Clock&) override { return std::make_unique<DeviceWatch>(*this); }

  Dialer& dialer() { return *dialer_; }
  Nanos now() { return clock_.monotonic(); }
  // Half a turn each, with the owner's work in between. The first returns whether anything came.
  bool receive();
  void finish() { dialer_->finish(now()); }
  void forget(const DeviceWire& wire) { wires_[wire.line_] = nullptr; }

 private:
  // Turns until it is so, or for so long.
  template <class Condition>
  bool go_on(Nanos at_most, Condition until);
  std::string why_not(Dialer::State state) const;

  SystemClock clock_;
  const dataplane::DataplaneOptions options_;
  std::unique_ptr<dataplane::Devices> devices_;
  std::unique_ptr<Dialer> dialer_;
  std::vector<DeviceWire*> wires_;  // by line
};

DeviceWire::~DeviceWire() {
  if (watch_ != nullptr) watch_->forget(*this);
  transport_.forget(*this);
  transport_.dialer().hang_up(line_);
}

void DeviceWire::lost() const {
  switch (transport_.dialer().state(line_)) {
    case Dialer::State::kTimedOut:
      throw cli::ConnectionLost(peer_ + ": nothing was acknowledged any more; is the broker still there?");
    case Dialer::State::kEnded:
      throw cli::ConnectionLost(peer_ + ": the broker closed the connection; its log may say why");
    default: throw cli::ConnectionLost(peer_ + ": the broker reset the connection; it may have stopped, its log tells");
  }
}

size_t DeviceWire::send(std::span<const std::span<const std::byte>> pieces) {
  const auto state = transport_.dialer().state(line_);
  if (state != Dialer::State::kOpen && state != Dialer::State::kEnded) lost();
  return transport_.dialer().send(line_, pieces);
}

size_t DeviceWire::receive(std::span<std::byte> room) {
  const size_t n = transport_.dialer().receive(line_, room);
  if (n == 0 && transport_.dialer().state(line_) != Dialer::State::kOpen) lost();
  return n;
}

bool DeviceWire::readable() const {
  return transport_.dialer().has_bytes(line_) || transport_.dialer().state(line_) != Dialer::State::kOpen;
}

bool DeviceWire::writable() const { return wants_write_ && transport_.dialer().has_room(line_); }

void DeviceWatch::add(cli::Wire& wire, uint32_t index) {
  auto& ours = static_cast<DeviceWire&>(wire);
  CHECK(ours.watch_ == nullptr);
  ours.watch_ = this;
  ours.index_ = index;
  wires_.push_back(&ours);
  stir(ours);
}

void DeviceWatch::want_write(cli::Wire& wire, uint32_t index, bool on) {
  auto& ours = static_cast<DeviceWire&>(wire);
  CHECK(ours.watch_ == this && ours.index_ == index);
  ours.wants_write_ = on;
  stir(ours);
}

void DeviceWatch::stir(DeviceWire& wire) {
  if (!std::exchange(wire.stirs_, true)) stirring_.push_back(&wire);
}

void DeviceWatch::forget(DeviceWire& wire) {
  std::erase(wires_, &wire);
  std::erase(stirring_, &wire);
}

void DeviceWatch::look() {
  ready_.clear();
  std::erase_if(stirring_, [&](DeviceWire* wire) {
    const Ready ready{wire->index_, wire->readable(), wire->writable()};
    wire->stirs_ = ready.readable || ready.writable;
    if (wire->stirs_) ready_.push_back(ready);
    return !wire->stirs_;
  });
}

std::span<const cli::Watch::Ready> DeviceWatch::wait(const Wake& wake) {
  const Nanos until = std::min({wake.precise, wake.lazy, transport_.now() + kWaitMost});
  transport_.finish();  // what its owner has sent and taken since the last wait
  for (;;) {
    const bool came = transport_.receive();
    look();
    if (!ready_.empty() || wake.spin || transport_.now() >= until) return ready_;
    transport_.finish();
    if (!came) sched_yield();  // the broker may need this core
  }
}

DeviceTransport::DeviceTransport(const cli::NicOptions& nic, Nanos timeout) {
  const auto listener = parse_device_flag("--nic", nic.device);
  if (!listener) throw CliError(cli::kExitFailed, listener.error());
  set_up_log("warn");
  auto devices = open_device(listener->device_settings, options_, !nic.no_huge_pages);
  if (!devices) throw CliError(cli::kExitFailed, devices.error());
  devices_ = *std::move(devices);
  devices_->enter_lcore();
  dialer_ = std::make_unique<Dialer>(*devices_->all()[0], options_, now());
  if (!go_on(timeout, [&] { return dialer_->link_up(); })) {
    const std::string name = devices_->name(0);
    dialer_.reset();
    devices_->leave_lcore();
    throw CliError(cli::kExitUnreachable,
                   fmt::format("device {} has no link after {} s; is its other side there?", name, timeout / kSecond));
  }
}

DeviceTransport::~DeviceTransport() {
  go_on(kDrainingMost, [&] { return dialer_->drained(); });
  go_on(kStillness, [] { return false; });
  dialer_.reset();
  devices_->leave_lcore();
}

bool DeviceTransport::receive() {
  const bool came = dialer_->receive(now()) > 0;
  while (const auto line = dialer_->next_news()) {
    DeviceWire* const wire = *line < wires_.size() ? wires_[*line] : nullptr;
    if (wire != nullptr && wire->watch_ != nullptr) wire->watch_->stir(*wire);
  }
  return came;
}

template <class Condition>
bool DeviceTransport::go_on(Nanos at_most, Condition until) {
  const Nanos end = now() + at_most;
  while (!until()) {
    if (now() >= end) return false;
    const bool came = receive();
    finish();
    if (!came) sched_yield();
  }
  return true;
}

std::string DeviceTransport::why_not(Dialer::State state) const {
  switch (state) {
    case Dialer::State::kRefused: return "connection refused; is the broker running?";
    case Dialer::State::kReset: return "the connection was reset";
    default: return "nobody answers; is the address right, and is it on the device's link?";
  }
}

std::unique_ptr<cli::Wire> DeviceTransport::connect(const cli::Endpoint& endpoint, Nanos timeout) {
  const auto refuse = [&](const std::string& why) {
    return CliError(cli::kExitUnreachable, fmt::format("cannot connect to {}: {}", endpoint.text(), why));
  };
  const auto line = dialer_->dial(endpoint.host, endpoint.port);
  if (!line) throw refuse(line.error());
  if (*line >= wires_.size()) wires_.resize(*line + 1);
  auto wire = std::make_unique<DeviceWire>(*this, *line, endpoint.text());
  wires_[*line] = wire.get();
  go_on(timeout, [&] { return dialer_->state(*line) != Dialer::State::kDialing; });
  const auto state = dialer_->state(*line);
  if (state != Dialer::State::kOpen && state != Dialer::State::kEnded) throw refuse(why_not(state));
  return wire;
}

}  // namespace

std::unique_ptr<cli::Transport> open_device_transport(const cli::NicOptions& nic, Nanos timeout) {
  return std::make_unique<DeviceTransport>(nic, timeout);
}

}  // namespace penstock::control
