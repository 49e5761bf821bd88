// An lcore's devices: what comes and goes by TCP of our own, in the turn's steps.
#include <algorithm>
#include <limits>

#include "base/log.h"
#include "dataplane/lcore_impl.h"

namespace penstock::dataplane {
namespace {

// The first sleep of an lcore that polls a device without work, and how much longer each next one is: an eighth of the
// time since something came.
constexpr Nanos kNapMin = 20 * kMicrosecond;
constexpr Nanos kNapPart = 8;
// A device has lost its link if it is still down then: the kernel says so of one that has just been started, too.
constexpr Nanos kLinkLost = kSecond;

}  // namespace

void Lcore::Impl::start_links() {
  for (LinkClients& of : links_) of.link.start(request_.options, of.ports, prng_.next(), broker_.now);
}

void Lcore::Impl::stop_links() {
  for (LinkClients& of : links_) of.link.stop();
}

size_t Lcore::Impl::receive_frames() {
  size_t did = 0;
  for (LinkClients& of : links_) {
    did += of.link.receive(broker_.now);
    while (const auto event = of.link.next()) {
      take(of, *event);
      ++did;
    }
  }
  return did;
}

void Lcore::Impl::finish_links() {
  for (LinkClients& of : links_) {
    of.link.finish(broker_.now);
    const Link::Moved moved = of.link.moved();
    broker_.counters.add(Metric::bytes_received, moved.received);
    broker_.counters.add(Metric::bytes_sent, moved.sent);
    const size_t gone = of.counted - of.clients.count();
    of.counted -= gone;
    broker_.counters.add(Metric::connections_closed, gone);
    broker_.counters.add(Metric::connections_open, uint64_t{0} - gone);
  }
}

// What stores need of the memory that devices refer to is copied, what is free goes home.
size_t Lcore::Impl::settle_loans() {
  Lender& lender = broker_.lender;
  if (lender.begin_recall()) {
    for (LinkClients& of : links_)
      of.link.stack().copy_out(lender, [&](uint64_t token) { return lender.is_recalled(token); });
  }
  if (lender.awaits_recalled()) {
    for (LinkClients& of : links_) of.link.want_back();
  }
  const size_t home = lender.settle(broker_);
  if (mail_) mail_->flush();
  return home;
}

void Lcore::Impl::take(LinkClients& of, const tcp::TcpEvent& event) {
  const uint32_t slot = event.stream->slot();
  switch (event.kind) {
    case tcp::EventKind::kAccepted: welcome(of, event); break;
    case tcp::EventKind::kConnected: break;  // nobody here opens connections
    case tcp::EventKind::kReceived: of.clients.received(slot); break;
    case tcp::EventKind::kWritable: of.clients.writable(slot); break;
    case tcp::EventKind::kEnded: of.clients.ended(slot); break;
    case tcp::EventKind::kBroken: of.clients.broken(slot); break;
  }
}

void Lcore::Impl::welcome(LinkClients& of, const tcp::TcpEvent& event) {
  const auto most = static_cast<size_t>(request_.options.connections_max);
  if (phase_ != Phase::kServing || clients_.count() >= most) {
    broker_.counters.add(Metric::connections_refused);
    event.stream->abort();
    return;
  }
  broker_.counters.add(Metric::connections_accepted);
  broker_.counters.add(Metric::connections_open);
  ++of.counted;
  of.clients.add(event.stream->slot(), *event.stream, event.listener);
}

void Lcore::Impl::watch_links() {
  for (size_t i = 0; i < links_.size(); ++i) {
    LinkClients& of = links_[i];
    of.link.keep_house(broker_.now);
    const bool up = of.link.up();
    of.down_since = up ? std::nullopt : std::optional(of.down_since.value_or(broker_.now));
    if (request_.index != 0 || up == of.up_told) continue;
    if (!up && broker_.now - *of.down_since < kLinkLost) continue;
    of.up_told = up;
    tell_control(DeviceLink{.device = static_cast<uint16_t>(i), .up = of.up_told});
  }
}

bool Lcore::Impl::links_drained() const {
  return broker_.now >= stop_draining_at_ ||
         std::ranges::all_of(links_, [](const LinkClients& of) { return of.link.drained(); });
}

// How long the lcore may sleep without looking whether frames have come.
Nanos Lcore::Impl::nap() const {
  const bool polls = std::ranges::any_of(links_, [](const LinkClients& of) { return of.link.must_be_polled(); });
  if (!polls) return std::numeric_limits<Nanos>::max();
  const Nanos longest = request_.options.device_idle_sleep_us * kMicrosecond;
  return std::min(std::max(kNapMin, (broker_.now - worked_at_) / kNapPart), longest);
}

}  // namespace penstock::dataplane
