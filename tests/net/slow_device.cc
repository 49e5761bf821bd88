#include "tests/net/slow_device.h"

#include <rte_ethdev.h>
#include <rte_mbuf.h>

#include <span>

#include "base/assert.h"

namespace penstock::dataplane::nic {

void set_started(const char* name, bool on) {
  uint16_t port = 0;
  CHECK(rte_eth_dev_get_port_by_name(name, &port) == 0);
  CHECK((on ? rte_eth_dev_start(port) : rte_eth_dev_stop(port)) == 0);
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
    : fillers_(rte_pktmbuf_pool_create("fillers", static_cast<unsigned>(descriptors), 0, 0, RTE_PKTMBUF_HEADROOM,
                                       SOCKET_ID_ANY)) {
  CHECK(fillers_ != nullptr && rte_eth_dev_get_port_by_name(name, &port_) == 0);
  while (kept_.size() < descriptors) {
    kept_.push_back(rte_pktmbuf_alloc(fillers_));
    CHECK(kept_.back() != nullptr);
  }
  callback_ = rte_eth_add_tx_callback(port_, 0, on_send, this);
  CHECK(callback_ != nullptr);
}

SlowDevice::~SlowDevice() {
  CHECK(rte_eth_remove_tx_callback(port_, 0, callback_) == 0);
  for (rte_mbuf* mbuf : kept_) rte_pktmbuf_free(mbuf);
  rte_mempool_free(fillers_);
}

}  // namespace penstock::dataplane::nic
