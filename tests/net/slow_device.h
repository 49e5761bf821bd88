// A device of DPDK that gives back nothing of what it has sent until it is given more, as drivers of cards do that free
// a descriptor's mbuf when they use it again.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>

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
  // What the driver is asked from now on: whether there is a link, and what it can stop and start. A stop gives back
  // what it keeps. The build wraps these functions of rte_ethdev.h for this test (tests/CMakeLists.txt).
  void set_link(bool up) { has_link_ = up; }
  void stops_queues(bool on) { stops_queues_ = on; }
  void keep_at_stop() { keeps_at_stop_ = true; }
  void fail_starts(size_t count) { failing_starts_ = count; }
  void fail_stops(size_t count) { failing_stops_ = count; }
  // Those that did not fail.
  size_t port_stops() const { return port_stops_; }
  size_t queue_stops() const { return queue_stops_; }

  static SlowDevice* of(uint16_t port);
  std::optional<bool> has_link() const { return has_link_; }
  int stop_queue();
  int stop_port();
  int start();
  // As DPDK after a stop that failed: the driver's functions are gone, and a start does nothing.
  bool is_half_stopped() const { return half_stopped_; }

 private:
  static uint16_t on_send(uint16_t port, uint16_t queue, rte_mbuf** mbufs, uint16_t count, void* self);
  void give_back();
  void fill();

  uint16_t port_ = 0;
  const size_t descriptors_;
  rte_mempool* fillers_;  // what it is full of in the beginning
  const rte_eth_rxtx_callback* callback_;
  std::deque<rte_mbuf*> kept_;  // the oldest is the first
  bool refuses_ = false;
  std::optional<bool> has_link_;
  bool stops_queues_ = false;
  bool keeps_at_stop_ = false;
  size_t failing_starts_ = 0;
  size_t failing_stops_ = 0;
  bool half_stopped_ = false;
  size_t port_stops_ = 0;
  size_t queue_stops_ = 0;
};

}  // namespace penstock::dataplane::nic
