// One queue pair of a DPDK port as a Nic. A received mbuf is a Buffer's memory; a frame to send is an mbuf with the
// header, and an mbuf for each piece that refers to its memory, or one mbuf with a copy of all where pieces are small,
// only lent for the call, or out of the driver's reach (drivers.h).
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/counters.h"
#include "dataplane/net/nic.h"
#include "dataplane/nic/card_memory.h"
#include "dataplane/nic/drivers.h"

struct rte_mbuf;
struct rte_mempool;
struct rte_ring;

namespace penstock::dataplane::nic {

// The pools of a port. rx and tx are apart, so that what we hold of received frames never keeps us from sending.
struct MbufPools {
  rte_mempool* rx = nullptr;
  rte_mempool* tx = nullptr;          // headers, and frames that are copied
  rte_mempool* references = nullptr;  // mbufs without memory of their own
};

// What a port's first lcore has seen last, for all of them.
enum class PortGauge : uint8_t { kHasLink, kCount };

struct QueueSetup {
  std::string name;  // of the device
  uint16_t port = 0;
  uint16_t queue = 0;
  uint16_t tx_descriptors = 0;
  bool is_only = false;                   // no other lcore uses the port
  bool is_first = false;                  // of the port's lcores: it asks for the port's own counters, and for its link
  Counters<PortGauge>* gauges = nullptr;  // the port's
  uint16_t segments_max = 1;              // mbufs a frame may have
  MbufPools pools;
  DriverTraits traits;
  net::NicCapabilities capabilities;
  net::MacAddress mac;
  size_t mtu = 0;
  unsigned receive_memory_low = 0;  // mbufs left in the pool, below which that is so
  std::string interface;            // the kernel's name of it, if the driver stands on one of its interfaces
  // For a device with fewer queues than there are lcores: a queue without receive side, whose frames go by this ring to
  // the one that owns a queue of the device; there, the rings of those whose frames it sends.
  rte_ring* relay = nullptr;
  std::vector<rte_ring*> relayed = {};
};

class DpdkNic final : public net::Nic {
 public:
  explicit DpdkNic(const QueueSetup& setup);
  DpdkNic(const DpdkNic&) = delete;
  DpdkNic& operator=(const DpdkNic&) = delete;
  ~DpdkNic();

  size_t rx_burst(std::span<net::RxSlot> slots, Nanos now) override;
  size_t tx_burst(std::span<const net::TxFrame> frames) override;
  void flush() override;
  void want_back() override;
  bool frames_wait() const override {
    return waiting_count_ > 0 || relayed_count_ > 0 || (must_push() && !push_refused_);
  }
  void abandon() override;
  const net::NicCapabilities& capabilities() const override { return setup_.capabilities; }
  bool refers_to(std::span<const std::byte> memory) const override;
  net::MacAddress mac() const override { return setup_.mac; }
  size_t mtu() const override { return setup_.mtu; }
  bool link_up() override;
  bool receive_memory_low() override;
  net::NicStatistics statistics() override;

  // Frees what waits to be given to the device. Before the port is closed.
  void drop_waiting();
  // The device was told of more memory, or could not be: before an lcore uses this.
  void reads(const CardMemory& memory) { card_memory_.push_back(memory); }
  void copies_log() { copies_log_ = true; }

 private:
  struct Lent;  // a frame whose pieces are referred to
  // Behind a failed stop DPDK has taken the driver's functions away and takes the port for a started one: it is to be
  // stopped first (kPortStops).
  enum class State { kRuns, kQueueStopped, kPortStops, kPortStopped };
  friend void on_pieces_free(void*, void*);

  bool take(const net::TxFrame& frame);
  bool may_refer(const net::TxFrame& frame, size_t pieces_bytes) const;
  std::optional<uint64_t> device_address(std::span<const std::byte> bytes) const;
  bool attach_pieces(const net::TxFrame& frame, rte_mbuf* first);
  void set_offloads(const net::TxFrame& frame, rte_mbuf* mbuf) const;
  bool is_down() const;
  uint64_t lent_home() const;
  bool must_push() const;
  void push();
  bool port_has_link() const;
  void look_at_ring();
  int stop();
  void empty_ring();
  void start_again();
  void give_to_device();
  void send_relayed();
  rte_mbuf* gathered(rte_mbuf* mbuf);

  const QueueSetup setup_;
  std::array<rte_mbuf*, net::kBurstMax> waiting_{};
  uint16_t waiting_count_ = 0;
  std::array<rte_mbuf*, net::kBurstMax> relayed_{};  // of others, that the device has not taken yet
  uint16_t relayed_count_ = 0;
  std::vector<Lent> lent_;
  std::vector<uint32_t> free_lent_;
  uint64_t lent_total_ = 0;    // frames that have referred to pieces
  uint64_t wanted_ = 0;        // of them, those that are to come back
  uint64_t emptied_for_ = 0;   // of those, the ones for which the ring was emptied, or cannot be
  size_t pushes_left_ = 0;     // by then all of them are back, or the device sends nothing
  bool push_refused_ = false;  // its ring is full: nobody is woken for it
  bool link_up_ = true;        // as of the last look, or of what has come since
  unsigned looks_down_ = 0;    // at a device without a link, in a row
  bool stop_failed_ = false;   // and the log has been told
  State state_ = State::kRuns;
  std::vector<CardMemory> card_memory_;
  bool copies_log_ = false;     // some of the log's memory is not among that
  net::NicStatistics counted_;  // what only we see
};

}  // namespace penstock::dataplane::nic
