// A device of DPDK that gives back nothing of what it has sent until it is given more, as drivers of cards do that free
// a descriptor's mbuf when they use it again.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>

struct rte_mbuf;
struct rte_mempool;
struct rte_eth_rxtx_callback;

namespace penstock::dataplane::nic {

// Starts or stops the port by this name.
void set_started(const char* name, bool on);

class SlowDevice {
 public:
  // Queue 0 of the port by this name, whose own driver frees at once, keeps this many from now on.
  SlowDevice(const char* name, size_t descriptors);
  SlowDevice(const SlowDevice&) = delete;
  SlowDevice& operator=(const SlowDevice&) = delete;
  // Gives back what it keeps. The port is still open.
  ~SlowDevice();
  // It takes nothing, as a card whose ring is full.
  void refuse(bool on) { refuses_ = on; }

 private:
  static uint16_t on_send(uint16_t port, uint16_t queue, rte_mbuf** mbufs, uint16_t count, void* self);

  uint16_t port_ = 0;
  rte_mempool* fillers_;  // what it is full of in the beginning
  const rte_eth_rxtx_callback* callback_;
  std::deque<rte_mbuf*> kept_;  // the oldest is the first
  bool refuses_ = false;
};

}  // namespace penstock::dataplane::nic
