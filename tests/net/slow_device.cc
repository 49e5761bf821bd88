#include "tests/net/slow_device.h"

#include <rte_ethdev.h>
#include <rte_mbuf.h>

#include <array>
#include <cerrno>
#include <span>

#include "base/assert.h"

namespace penstock::dataplane::nic {

void set_started(const char* name, bool on) {
  uint16_t port = 0;
  CHECK(rte_eth_dev_get_port_by_name(name, &port) == 0);
  CHECK((on ? rte_eth_dev_start(port) : rte_eth_dev_stop(port)) == 0);
}

namespace {

std::array<SlowDevice*, RTE_MAX_ETHPORTS> slow_devices{};

}  // namespace

SlowDevice* SlowDevice::of(uint16_t port) { return slow_devices.at(port); }

void SlowDevice::give_back() {
  for (rte_mbuf* mbuf : kept_) rte_pktmbuf_free(mbuf);
  kept_.clear();
}

void SlowDevice::fill() {
  while (kept_.size() < descriptors_) {
    kept_.push_back(rte_pktmbuf_alloc(fillers_));
    CHECK(kept_.back() != nullptr);
  }
}

int SlowDevice::stop_queue() {
  if (!stops_queues_) return -ENOTSUP;
  if (failing_stops_ > 0) return --failing_stops_, -EIO;
  ++queue_stops_;
  if (!keeps_at_stop_) give_back();
  return 0;
}

int SlowDevice::stop_port() {
  half_stopped_ = failing_stops_ > 0;
  if (half_stopped_) return --failing_stops_, -EBUSY;
  ++port_stops_;
  if (!keeps_at_stop_) give_back();
  return 0;
}

int SlowDevice::start() {
  if (failing_starts_ > 0) return --failing_starts_, -ENOMEM;
  fill();
  return 0;
}

uint16_t SlowDevice::on_send(uint16_t, uint16_t, rte_mbuf** mbufs, uint16_t count, void* self) {
  if (static_cast<SlowDevice*>(self)->refuses_) return 0;
  auto& kept = static_cast<SlowDevice*>(self)->kept_;
  for (rte_mbuf*& mbuf : std::span(mbufs, count)) {
    kept.push_back(mbuf);
    mbuf = kept.front();
    kept.pop_front();
  }
  return count;
}

SlowDevice::SlowDevice(const char* name, size_t descriptors)
    : descriptors_(descriptors),
      fillers_(rte_pktmbuf_pool_create("fillers", static_cast<unsigned>(descriptors), 0, 0, RTE_PKTMBUF_HEADROOM,
                                       SOCKET_ID_ANY)) {
  CHECK(fillers_ != nullptr && rte_eth_dev_get_port_by_name(name, &port_) == 0);
  fill();
  slow_devices.at(port_) = this;
  callback_ = rte_eth_add_tx_callback(port_, 0, on_send, this);
  CHECK(callback_ != nullptr);
}

SlowDevice::~SlowDevice() {
  CHECK(rte_eth_remove_tx_callback(port_, 0, callback_) == 0);
  slow_devices.at(port_) = nullptr;
  give_back();
  rte_mempool_free(fillers_);
}

}  // namespace penstock::dataplane::nic

// The linker gives these for DPDK's to whoever is linked into the test.
extern "C" {

int __real_rte_eth_link_get_nowait(uint16_t port, rte_eth_link* link);
int __real_rte_eth_dev_stop(uint16_t port);
int __real_rte_eth_dev_start(uint16_t port);
int __real_rte_eth_dev_tx_queue_stop(uint16_t port, uint16_t queue);
int __real_rte_eth_dev_tx_queue_start(uint16_t port, uint16_t queue);

using penstock::dataplane::nic::SlowDevice;

int __wrap_rte_eth_link_get_nowait(uint16_t port, rte_eth_link* link) {
  const int code = __real_rte_eth_link_get_nowait(port, link);
  const SlowDevice* device = SlowDevice::of(port);
  if (device != nullptr && device->has_link()) link->link_status = *device->has_link() ? 1 : 0;
  return code;
}

int __wrap_rte_eth_dev_stop(uint16_t port) {
  SlowDevice* device = SlowDevice::of(port);
  const int failed = device != nullptr ? device->stop_port() : 0;
  const int code = __real_rte_eth_dev_stop(port);
  return failed != 0 ? failed : code;
}

int __wrap_rte_eth_dev_start(uint16_t port) {
  SlowDevice* device = SlowDevice::of(port);
  if (device == nullptr) return __real_rte_eth_dev_start(port);
  if (device->is_half_stopped()) return 0;
  const int failed = device->start();
  return failed != 0 ? failed : __real_rte_eth_dev_start(port);
}

int __wrap_rte_eth_dev_tx_queue_stop(uint16_t port, uint16_t queue) {
  SlowDevice* device = SlowDevice::of(port);
  return device != nullptr ? device->stop_queue() : __real_rte_eth_dev_tx_queue_stop(port, queue);
}

int __wrap_rte_eth_dev_tx_queue_start(uint16_t port, uint16_t queue) {
  SlowDevice* device = SlowDevice::of(port);
  return device != nullptr ? device->start() : __real_rte_eth_dev_tx_queue_start(port, queue);
}
}
