// Bursts, and mbufs to Buffers and back.
#include "dataplane/nic/dpdk_nic.h"

#include <net/if.h>
#include <rte_ethdev.h>
#include <rte_malloc.h>
#include <rte_mbuf.h>
#include <rte_memory.h>
#include <rte_mempool.h>
#include <rte_ring.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "base/assert.h"
#include "base/log.h"

namespace penstock::dataplane::nic {

namespace {

// Below this, a copy costs less than an mbuf (research: about 256 bytes).
constexpr size_t kCopyBelow = 256;
constexpr size_t kPushesAtOnce = 8;
constexpr unsigned kLooksDown = 2;  // by then a link is lost
constexpr uint16_t kFrameMin = 60;  // of Ethernet, without its checksum
constexpr uint16_t kEtherTypeLoopback = 0x9000;

// Memory of a Buffer is its mbuf's from buf_addr on, which lies right behind the mbuf (no private area).
class MbufHome final : public BufferPool {
 public:
  void release(std::span<std::byte> memory) override {
    auto* mbuf = reinterpret_cast<rte_mbuf*>(memory.data() - sizeof(rte_mbuf));
    DCHECK(mbuf->buf_addr == memory.data());
    rte_pktmbuf_free(mbuf);
  }
};
MbufHome mbuf_home;  // without state: any thread may release to it

Buffer buffer_of(rte_mbuf* mbuf) {
  Buffer buffer(mbuf_home, {static_cast<std::byte*>(mbuf->buf_addr), mbuf->buf_len},
                size_t{mbuf->data_off} + mbuf->data_len);
  buffer.drop_front(mbuf->data_off);
  return buffer;
}

// The address by which a device reads DPDK's own memory; nothing if this is not that, or not in one piece.
std::optional<uint64_t> heap_address(std::span<const std::byte> bytes) {
  const rte_memseg_list* list = rte_mem_virt2memseg_list(bytes.data());
  if (list == nullptr || list->external != 0) return std::nullopt;
  const rte_memseg* first = rte_mem_virt2memseg(bytes.data(), list);
  if (first == nullptr || rte_mem_virt2memseg(&bytes.back(), list) == nullptr) return std::nullopt;
  if (rte_eal_iova_mode() == RTE_IOVA_VA) return reinterpret_cast<uint64_t>(bytes.data());
  if (first->iova == RTE_BAD_IOVA) return std::nullopt;
  const auto at = static_cast<size_t>(bytes.data() - static_cast<const std::byte*>(first->addr));
  if (at + bytes.size() > first->len) return std::nullopt;
  return first->iova + at;
}

bool interface_is_up(const std::string& name) {
  ifreq request = {};
  if (name.size() >= sizeof request.ifr_name) return false;
  std::memcpy(request.ifr_name, name.c_str(), name.size() + 1);
  const int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return true;  // out of descriptors: nothing is known
  const bool up = ioctl(fd, SIOCGIFFLAGS, &request) == 0 && (request.ifr_flags & IFF_UP) != 0 &&
                  (request.ifr_flags & IFF_RUNNING) != 0;
  ::close(fd);
  return up;
}

}  // namespace

// One frame's pieces: they are free when each of their mbufs is. Never more than the transmit ring and a burst of them.
struct DpdkNic::Lent {
  rte_mbuf_ext_shared_info shared;
  DpdkNic* nic;
  net::TxOwner* owner;
  uint64_t token;
};

void on_pieces_free(void*, void* opaque) {
  auto* lent = static_cast<DpdkNic::Lent*>(opaque);
  DpdkNic* nic = lent->nic;
  nic->free_lent_.push_back(static_cast<uint32_t>(lent - nic->lent_.data()));
  if (lent->owner != nullptr) lent->owner->release(lent->token);
}

DpdkNic::DpdkNic(const QueueSetup& setup) : setup_(setup), lent_(setup.tx_descriptors + net::kBurstMax) {
  free_lent_.reserve(lent_.size());
  for (size_t i = lent_.size(); i > 0; --i) free_lent_.push_back(static_cast<uint32_t>(i - 1));
  if (setup_.is_first) setup_.gauges->set(PortGauge::kHasLink, port_has_link());
}

DpdkNic::~DpdkNic() {
  CHECK(waiting_count_ == 0);
  CHECK(free_lent_.size() == lent_.size());  // the port was closed before: the device holds nothing of ours
}

// ---- receive

// A frame of several mbufs, or in memory that is not its mbuf's own, copied into one.
rte_mbuf* DpdkNic::gathered(rte_mbuf* mbuf) {
  rte_mbuf* whole = rte_pktmbuf_alloc(setup_.pools.rx);
  if (whole == nullptr) {
    ++counted_.rx_no_buffer;
  } else if (mbuf->pkt_len > rte_pktmbuf_tailroom(whole)) {
    ++counted_.rx_errors;
    rte_pktmbuf_free(whole);
    whole = nullptr;
  } else {
    for (const rte_mbuf* part = mbuf; part != nullptr; part = part->next) {
      std::memcpy(rte_pktmbuf_append(whole, part->data_len), rte_pktmbuf_mtod(part, const void*), part->data_len);
    }
    whole->ol_flags = mbuf->ol_flags & (RTE_MBUF_F_RX_IP_CKSUM_MASK | RTE_MBUF_F_RX_L4_CKSUM_MASK);
    counted_.rx_copied_bytes += whole->pkt_len;
  }
  rte_pktmbuf_free(mbuf);
  return whole;
}

size_t DpdkNic::rx_burst(std::span<net::RxSlot> slots, Nanos now) {
  if (setup_.relay != nullptr || state_ != State::kRuns) return 0;
  std::array<rte_mbuf*, net::kBurstMax> mbufs;
  const auto wanted = static_cast<uint16_t>(std::min(slots.size(), mbufs.size()));
  const uint16_t n = rte_eth_rx_burst(setup_.port, setup_.queue, mbufs.data(), wanted);
  // The kernel's word on an interface is late by up to a second (linkwatch): what comes from there knows better.
  if (n > 0) {
    link_up_ = true;
    looks_down_ = 0;
  }
  size_t filled = 0;
  for (uint16_t i = 0; i < n; ++i) {
    rte_mbuf* mbuf = mbufs[i];
    if (mbuf->nb_segs != 1 || !RTE_MBUF_DIRECT(mbuf)) mbuf = gathered(mbuf);
    if (mbuf == nullptr) continue;
    ++counted_.rx_frames;
    counted_.rx_bytes += mbuf->pkt_len;
    const VerifiedChecksums verified = verified_checksums(setup_.traits, mbuf->ol_flags);
    slots[filled++] = net::RxFrame{
        .bytes = buffer_of(mbuf), .at = now, .ip_checksum_good = verified.ip, .l4_checksum_good = verified.l4};
  }
  return filled;
}

// ---- transmit

bool DpdkNic::may_refer(const net::TxFrame& frame, size_t pieces_bytes) const {
  if (frame.owner == nullptr || pieces_bytes < kCopyBelow || !setup_.capabilities.takes_references) return false;
  if (frame.piece_count + 1 > setup_.segments_max || free_lent_.empty()) return false;
  return std::ranges::all_of(frame.piece_span(), [&](const net::TxPiece& piece) { return refers_to(piece.bytes); });
}

std::optional<uint64_t> DpdkNic::device_address(std::span<const std::byte> bytes) const {
  if (bytes.empty()) return std::nullopt;
  switch (setup_.traits.references) {
    case References::kNone: return std::nullopt;
    case References::kHeapOnly: return heap_address(bytes);
    case References::kMapped: {
      const auto mapped = address_in(card_memory_, bytes);
      return mapped ? mapped : heap_address(bytes);
    }
    case References::kAny: return reinterpret_cast<uint64_t>(bytes.data());  // it is the driver that reads
  }
  return std::nullopt;
}

bool DpdkNic::refers_to(std::span<const std::byte> memory) const {
  return setup_.capabilities.takes_references && link_up_ && device_address(memory).has_value();
}

// Puts one mbuf a piece behind first. False: there are not enough mbufs, and nothing was done.
bool DpdkNic::attach_pieces(const net::TxFrame& frame, rte_mbuf* first) {
  std::array<rte_mbuf*, net::kTxPiecesMax> mbufs;
  if (rte_pktmbuf_alloc_bulk(setup_.pools.references, mbufs.data(), frame.piece_count) != 0) return false;
  Lent& lent = lent_[free_lent_.back()];
  free_lent_.pop_back();
  ++lent_total_;
  lent.nic = this;
  lent.owner = frame.owner;
  lent.token = frame.owner_token;
  lent.shared.free_cb = on_pieces_free;
  lent.shared.fcb_opaque = &lent;
  rte_mbuf_ext_refcnt_set(&lent.shared, frame.piece_count);
  rte_mbuf* last = first;
  for (size_t i = 0; i < frame.piece_count; ++i) {
    const auto piece = frame.pieces[i].bytes;
    const auto bytes = static_cast<uint16_t>(piece.size());
    // The device only reads; DPDK's interface knows no const.
    rte_pktmbuf_attach_extbuf(mbufs[i], const_cast<std::byte*>(piece.data()), *device_address(piece), bytes,
                              &lent.shared);
    mbufs[i]->data_off = 0;
    mbufs[i]->data_len = bytes;
    last = last->next = mbufs[i];
    first->pkt_len += bytes;
    counted_.tx_referred_bytes += bytes;
  }
  first->nb_segs = static_cast<uint16_t>(1 + frame.piece_count);
  return true;
}

void DpdkNic::set_offloads(const net::TxFrame& frame, rte_mbuf* mbuf) const {
  if (!frame.ip_checksum_by_device && !frame.tcp_checksum_by_device) return;
  mbuf->l2_len = frame.l2_bytes;
  mbuf->l3_len = frame.l3_bytes;
  mbuf->l4_len = frame.l4_bytes;
  mbuf->ol_flags |= frame.is_v4 ? RTE_MBUF_F_TX_IPV4 : RTE_MBUF_F_TX_IPV6;
  if (frame.ip_checksum_by_device) mbuf->ol_flags |= RTE_MBUF_F_TX_IP_CKSUM;
  if (frame.tcp_checksum_by_device) mbuf->ol_flags |= RTE_MBUF_F_TX_TCP_CKSUM;
  if (frame.segment_bytes > 0) {
    mbuf->ol_flags |= RTE_MBUF_F_TX_TCP_SEG;
    mbuf->tso_segsz = frame.segment_bytes;
  }
}

bool DpdkNic::take(const net::TxFrame& frame) {
  const size_t pieces_bytes = frame.pieces_bytes();
  const bool refer = may_refer(frame, pieces_bytes);
  if (frame.segment_bytes > 0 && !refer) return false;  // a copy of it has no room; one by one they have
  rte_mbuf* mbuf = rte_pktmbuf_alloc(setup_.pools.tx);
  if (mbuf == nullptr) {
    ++counted_.tx_no_buffer;
    return false;
  }
  std::memcpy(rte_pktmbuf_append(mbuf, frame.header_bytes), frame.header.data(), frame.header_bytes);
  if (refer) {
    if (!attach_pieces(frame, mbuf)) {
      rte_pktmbuf_free(mbuf);
      ++counted_.tx_no_buffer;
      return false;
    }
  } else {
    CHECK(pieces_bytes <= rte_pktmbuf_tailroom(mbuf));  // pools are made for the MTU, which the network layer keeps
    for (const net::TxPiece& piece : frame.piece_span()) {
      const auto bytes = static_cast<uint16_t>(piece.bytes.size());
      std::memcpy(rte_pktmbuf_append(mbuf, bytes), piece.bytes.data(), bytes);
    }
    counted_.tx_copied_bytes += pieces_bytes;
    if (frame.owner != nullptr) frame.owner->release(frame.owner_token);
  }
  set_offloads(frame, mbuf);
  waiting_[waiting_count_++] = mbuf;
  ++counted_.tx_frames;
  counted_.tx_tso_frames += frame.segment_bytes > 0 ? 1 : 0;
  counted_.tx_bytes += mbuf->pkt_len;
  return true;
}

size_t DpdkNic::tx_burst(std::span<const net::TxFrame> frames) {
  size_t taken = 0;
  for (const net::TxFrame& frame : frames) {
    if (waiting_count_ == waiting_.size()) give_to_device();
    if (waiting_count_ == waiting_.size() || !take(frame)) break;
    ++taken;
  }
  if (waiting_count_ == waiting_.size()) give_to_device();
  return taken;
}

void DpdkNic::give_to_device() {
  if (setup_.relay != nullptr) {
    const auto taken = static_cast<uint16_t>(
        rte_ring_sp_enqueue_burst(setup_.relay, reinterpret_cast<void**>(waiting_.data()), waiting_count_, nullptr));
    std::copy(waiting_.begin() + taken, waiting_.begin() + waiting_count_, waiting_.begin());
    waiting_count_ = static_cast<uint16_t>(waiting_count_ - taken);
    return;
  }
  if (state_ != State::kRuns) return;
  uint16_t ready = waiting_count_;
  if (setup_.capabilities.tx_ip_checksum || setup_.capabilities.tx_tcp_checksum) {
    ready = rte_eth_tx_prepare(setup_.port, setup_.queue, waiting_.data(), waiting_count_);
    if (ready == 0) {  // the first one breaks a rule of the driver: it will never go
      rte_pktmbuf_free(waiting_[0]);
      ++counted_.tx_errors;
      std::copy(waiting_.begin() + 1, waiting_.begin() + waiting_count_--, waiting_.begin());
      return;
    }
  }
  const uint16_t sent = rte_eth_tx_burst(setup_.port, setup_.queue, waiting_.data(), ready);
  if (sent == 0 && is_down()) return drop_waiting();
  std::copy(waiting_.begin() + sent, waiting_.begin() + waiting_count_, waiting_.begin());
  waiting_count_ = static_cast<uint16_t>(waiting_count_ - sent);
}

// What lcores without a queue have sent: a burst of each.
void DpdkNic::send_relayed() {
  for (rte_ring* ring : setup_.relayed) {
    if (relayed_count_ == 0) {
      relayed_count_ = static_cast<uint16_t>(rte_ring_sc_dequeue_burst(
          ring, reinterpret_cast<void**>(relayed_.data()), static_cast<unsigned>(relayed_.size()), nullptr));
    }
    if (relayed_count_ == 0) continue;
    uint16_t ready = relayed_count_;
    if (setup_.capabilities.tx_ip_checksum || setup_.capabilities.tx_tcp_checksum) {
      ready = rte_eth_tx_prepare(setup_.port, setup_.queue, relayed_.data(), relayed_count_);
    }
    const uint16_t sent = rte_eth_tx_burst(setup_.port, setup_.queue, relayed_.data(), ready);
    if (sent == 0 && is_down()) return drop_waiting();
    if (ready == 0) {  // the first one breaks a rule of the driver
      rte_pktmbuf_free(relayed_[0]);
      ++counted_.tx_errors;
    }
    const auto gone = std::max<uint16_t>(sent, ready == 0 ? 1 : 0);
    std::copy(relayed_.begin() + gone, relayed_.begin() + relayed_count_, relayed_.begin());
    relayed_count_ = static_cast<uint16_t>(relayed_count_ - gone);
  }
}

void DpdkNic::flush() {
  if (state_ != State::kRuns) return;
  send_relayed();
  if (waiting_count_ > 0) return give_to_device();
  if (free_lent_.size() == lent_.size() || setup_.relay != nullptr) return;
  // Drivers look at what has been sent only when they are given more. Some say how to ask; an empty burst does for the
  // rest.
  if (rte_eth_tx_done_cleanup(setup_.port, setup_.queue, 0) < 0) {
    rte_eth_tx_burst(setup_.port, setup_.queue, waiting_.data(), 0);
  }
  if (must_push()) push();
}

// What its ring has no room for is lost then, as on a cable: who waits for room would look for it for ever.
bool DpdkNic::is_down() const { return looks_down_ >= kLooksDown; }

uint64_t DpdkNic::lent_home() const { return lent_total_ - (lent_.size() - free_lent_.size()); }

// Frames go home in the order in which they were sent.
bool DpdkNic::must_push() const { return lent_home() < wanted_ && pushes_left_ > 0; }

void DpdkNic::want_back() {
  if (lent_home() < wanted_ || wanted_ == lent_total_) return;  // asked again when those are back, if still need be
  wanted_ = lent_total_;
  pushes_left_ = setup_.tx_descriptors + net::kBurstMax;
  push_refused_ = false;
}

// Many drivers free what they have sent when its descriptor is needed, or when as many are done as they look at in one
// go. So a device that is given nothing more keeps what was lent. It is given frames from us to us, of the loopback
// protocol, which switches send to themselves in the same way: no switch forwards them, and no station takes them.
void DpdkNic::push() {
  std::array<rte_mbuf*, kPushesAtOnce> mbufs;
  const auto count = static_cast<uint16_t>(std::min(pushes_left_, mbufs.size()));
  if (rte_pktmbuf_alloc_bulk(setup_.pools.tx, mbufs.data(), count) != 0) return;
  for (rte_mbuf* mbuf : std::span(mbufs).first(count)) {
    auto* frame = reinterpret_cast<std::byte*>(rte_pktmbuf_append(mbuf, kFrameMin));
    std::fill_n(frame, kFrameMin, std::byte{0});
    std::ranges::copy(setup_.mac.bytes, frame);
    std::ranges::copy(setup_.mac.bytes, frame + setup_.mac.bytes.size());
    store_be(frame + 2 * setup_.mac.bytes.size(), kEtherTypeLoopback);
  }
  const uint16_t sent = rte_eth_tx_burst(setup_.port, setup_.queue, mbufs.data(), count);
  rte_pktmbuf_free_bulk(mbufs.data() + sent, count - sent);
  push_refused_ = sent == 0;
  pushes_left_ -= sent;
  counted_.tx_pushes += sent;
}

// A device without a link keeps what it was given. TCP sends that again; so the ring is emptied by stopping the port,
// which resets the card and takes milliseconds, if nobody else uses it, and else the queue, where the driver can. Only
// then the device no longer reads what it gave back; ixgbe's gives a queue's memory back also if the card does not
// stop.
int DpdkNic::stop() {
  if (setup_.is_only) return rte_eth_dev_stop(setup_.port);
  return setup_.traits.name == "net_ixgbe" ? -ENOTSUP : rte_eth_dev_tx_queue_stop(setup_.port, setup_.queue);
}

// Drivers that copy what they send have nothing of the log, and what still waits before the ring is dropped in any
// case. A stop that fails is tried again at the next look.
void DpdkNic::empty_ring() {
  drop_waiting();
  if (state_ == State::kRuns && lent_home() >= wanted_) return;
  const int failed = stop();
  if (failed == -ENOTSUP) {
    emptied_for_ = wanted_;
    return;
  }
  if (failed != 0) {
    if (setup_.is_only) state_ = State::kPortStops;
    if (!std::exchange(stop_failed_, true))
      LOG_ERROR("device %s has no link and does not stop: %s", setup_.name.c_str(), std::strerror(-failed));
    return;
  }
  LOG_WARN("device %s has no link: what it was to send is dropped, for the log needs the memory", setup_.name.c_str());
  state_ = setup_.is_only ? State::kPortStopped : State::kQueueStopped;
  stop_failed_ = false;
  emptied_for_ = wanted_;  // once for each time that it is wanted: a driver may give back nothing at a stop
  ++counted_.tx_restarts;
  start_again();
}

// A port may lack receive buffers: it is tried again at the next look.
void DpdkNic::start_again() {
  const int failed = state_ == State::kQueueStopped ? rte_eth_dev_tx_queue_start(setup_.port, setup_.queue)
                                                    : rte_eth_dev_start(setup_.port);
  if (failed == 0) state_ = State::kRuns;
}

// At each look at the link.
void DpdkNic::look_at_ring() {
  looks_down_ = link_up_ ? 0 : looks_down_ + 1;
  switch (state_) {
    case State::kRuns:
      if (is_down() && lent_home() < wanted_ && emptied_for_ < wanted_) empty_ring();
      return;
    case State::kPortStops: empty_ring(); return;
    case State::kPortStopped:
    case State::kQueueStopped: start_again(); return;
  }
}

void DpdkNic::abandon() {
  for (Lent& lent : lent_) lent.owner = nullptr;
}

void DpdkNic::drop_waiting() {
  counted_.tx_errors += waiting_count_ + relayed_count_;
  while (waiting_count_ > 0) rte_pktmbuf_free(waiting_[--waiting_count_]);
  while (relayed_count_ > 0) rte_pktmbuf_free(relayed_[--relayed_count_]);
}

bool DpdkNic::port_has_link() const {
  // Such drivers say that they have a link whatever becomes of the interface.
  if (!setup_.interface.empty()) return interface_is_up(setup_.interface);
  rte_eth_link link = {};
  return rte_eth_link_get_nowait(setup_.port, &link) == 0 && link.link_status == RTE_ETH_LINK_UP;
}

bool DpdkNic::link_up() {
  if (setup_.is_first) setup_.gauges->set(PortGauge::kHasLink, port_has_link());
  // A device that does not run has none, whatever its driver says.
  link_up_ = state_ == State::kRuns && setup_.gauges->get(PortGauge::kHasLink) != 0;
  look_at_ring();
  return link_up_;
}

bool DpdkNic::receive_memory_low() { return rte_mempool_avail_count(setup_.pools.rx) < setup_.receive_memory_low; }

net::NicStatistics DpdkNic::statistics() {
  net::NicStatistics all = counted_;
  all.reads_log = setup_.capabilities.takes_references && !copies_log_ &&
                  (setup_.traits.references == References::kAny || !card_memory_.empty());
  rte_eth_stats stats = {};
  if (setup_.is_first && rte_eth_stats_get(setup_.port, &stats) == 0) {  // the port's own, once
    all.rx_missed += stats.imissed;
    all.rx_errors += stats.ierrors;
    all.rx_no_buffer += stats.rx_nombuf;
    all.tx_errors += stats.oerrors;
  }
  return all;
}

}  // namespace penstock::dataplane::nic
