// A turn of one lcore's share of a device, and its housekeeping.
#include "dataplane/link/link.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "base/assert.h"

namespace penstock::dataplane {
namespace {

// Full bursts that one turn takes, before connections have their turn.
constexpr int kBurstsMax = 4;
// Items that other lcores have handed over, of each.
constexpr size_t kHandedMax = 128;
// We say who we are when there is a link, and again: a link that has just come up loses frames (RFC 5227 2.3).
constexpr int kAnnouncements = 3;
constexpr Nanos kAnnounceInterval = kSecond;
// How often the device is asked how many receive buffers are left: each millisecond, and when so many frames have come
// since. They may all stay with connections, and when the last buffer does the device is deaf: no ACK comes any more
// that would free one. A quarter of the fewest buffers that can be set is two times as many (options.def).
constexpr Nanos kMemoryLook = kMillisecond;
constexpr size_t kMemoryLookFrames = kBurstsMax * net::kBurstMax;
// When frames that the device, or the ring to lcore 0, had no room for are given again.
constexpr Nanos kRetry = 100 * kMicrosecond;

tcp::StackOptions stack_options(const DataplaneOptions& options, SharedDevice& device, uint16_t lcore, uint64_t seed) {
  tcp::StackOptions out{.secret = device.secrets().tcp, .seed = seed};
  out.connections_max = static_cast<size_t>(options.connections_max);
  out.half_open_max = static_cast<size_t>(options.tcp_half_open_max);
  // Half-open ones have a place in that queue too, and must not fill it: who comes by a cookie needs one.
  out.accept_queue_max = static_cast<size_t>(options.listen_backlog) + out.half_open_max;
  out.request_bytes_max = static_cast<size_t>(options.request_max_bytes) + 4;  // and the length before it
  out.receive_pool_bytes =
      std::max(static_cast<size_t>(options.receive_pool_bytes), out.request_bytes_max + tcp::kPromiseBeyondMax);
  out.receive_buffer_bytes = static_cast<size_t>(options.tcp_receive_buffer_bytes);
  out.send_buffer_bytes = static_cast<size_t>(options.tcp_send_buffer_bytes);
  out.send_memory_bytes = static_cast<size_t>(options.tcp_send_memory_bytes);
  out.send_arena = device.queue(lcore).send_memory;
  return out;
}

}  // namespace

Link::Parts::Parts(SharedDevice& device, uint16_t lcore, Mesh* mesh, const tcp::StackOptions& options)
    : nic(*device.queue(lcore).nic),
      network(std::in_place, nic, device.config(), device.counters(lcore).net),
      stack(options, *network, device.counters(lcore).tcp),
      sink{stack},
      steering(lcore, device.steering(), device.hand_over(), *network, sink, Wake{mesh}) {}

Link::Parts::~Parts() {
  network.reset();
  nic.abandon();
}

void Link::start(const DataplaneOptions& options, const std::vector<Port>& ports, uint64_t seed, Nanos now) {
  parts_.emplace(device_, lcore_, mesh_, stack_options(options, device_, lcore_, seed));
  for (const Port& port : ports) {
    const auto number = parts_->stack.listen(net::IpAddress{}, port.port);
    CHECK(number.has_value() && *number == listeners_.size());  // ports of a device differ: control has seen to it
    listeners_.push_back(port.listener);
  }
  parts_->stack.poll(now);
  announcements_ = kAnnouncements;
  announced_at_ = now - kAnnounceInterval;
  keep_house(now);
}

size_t Link::receive(Nanos now) {
  size_t received = parts_->steering.take_handed(kHandedMax);
  for (int burst = 0; burst < kBurstsMax; ++burst) {
    const size_t n = parts_->network->poll(now, parts_->steering);
    received += n;
    if (n < net::kBurstMax) break;
  }
  frames_since_look_ += received;
  if (now - memory_looked_at_ >= kMemoryLook || frames_since_look_ >= kMemoryLookFrames) {
    memory_looked_at_ = now;
    frames_since_look_ = 0;
    const bool low = device_.queue(lcore_).nic->receive_memory_low();
    device_.counters(lcore_).nic.set(NicMetric::nic_receive_memory_low, low ? 1 : 0);
    parts_->stack.receive_pressure(low);
  }
  return received;
}

std::optional<tcp::TcpEvent> Link::next() {
  auto event = parts_->stack.next();
  if (event && event->kind == tcp::EventKind::kAccepted) event->listener = listeners_[event->listener];
  return event;
}

void Link::finish(Nanos now) {
  parts_->stack.poll(now);
  parts_->network->flush();
  finished_at_ = now;
  if (must_be_polled()) return;
  // Lcore 0 sends it, if it does not sleep.
  const uint64_t sent = device_.counters(lcore_).net.get(net::NetMetric::net_tx_packets);
  if (std::exchange(sent_, sent) != sent) mesh_->bell(0).ring();
}

Nanos Link::next_deadline() const {
  const Nanos retry = parts_->nic.frames_wait() ? finished_at_ + kRetry : std::numeric_limits<Nanos>::max();
  return std::min({parts_->stack.next_deadline(), parts_->network->next_deadline(), retry});
}

void Link::stop_listening() { parts_->stack.stop_listening(); }

bool Link::drained() const { return parts_->stack.drained(); }

Link::Moved Link::moved() {
  const tcp::TcpCounters& tcp = device_.counters(lcore_).tcp;
  const Moved all{tcp.get(tcp::Metric::tcp_bytes_received), tcp.get(tcp::Metric::tcp_bytes_sent)};
  const Moved before = std::exchange(moved_, all);
  return {all.received - before.received, all.sent - before.sent};
}

void Link::keep_house(Nanos now) {
  net::Nic& nic = *device_.queue(lcore_).nic;
  if (const bool up = nic.link_up(); std::exchange(up_, up) != up && up) announcements_ = kAnnouncements;
  if (lcore_ == 0 && up_ && announcements_ > 0 && now - announced_at_ >= kAnnounceInterval) {
    announced_at_ = now;
    --announcements_;
    parts_->network->announce(now);
  }
  auto& counters = device_.counters(lcore_).nic;
  const net::NicStatistics all = nic.statistics();
  counters.set(NicMetric::nic_link_up, up_ ? 1 : 0);
  counters.set(NicMetric::nic_reads_log, all.reads_log ? 1 : 0);
  counters.set(NicMetric::nic_rx_frames, all.rx_frames);
  counters.set(NicMetric::nic_rx_bytes, all.rx_bytes);
  counters.set(NicMetric::nic_rx_missed, all.rx_missed);
  counters.set(NicMetric::nic_rx_errors, all.rx_errors);
  counters.set(NicMetric::nic_rx_no_buffer, all.rx_no_buffer);
  counters.set(NicMetric::nic_rx_copied_bytes, all.rx_copied_bytes);
  counters.set(NicMetric::nic_tx_frames, all.tx_frames);
  counters.set(NicMetric::nic_tx_bytes, all.tx_bytes);
  counters.set(NicMetric::nic_tx_errors, all.tx_errors);
  counters.set(NicMetric::nic_tx_no_buffer, all.tx_no_buffer);
  counters.set(NicMetric::nic_tx_copied_bytes, all.tx_copied_bytes);
  counters.set(NicMetric::nic_tx_referred_bytes, all.tx_referred_bytes);
  counters.set(NicMetric::nic_tx_pushes, all.tx_pushes);
  counters.set(NicMetric::nic_tx_tso_frames, all.tx_tso_frames);
  counters.set(NicMetric::nic_tx_restarts, all.tx_restarts);
}

}  // namespace penstock::dataplane
