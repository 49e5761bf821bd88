// A DPDK port: one device with its queue pairs, its mbuf pools and its settings. Opened before the lcores start, closed
// after they have stopped and what they hold has gone home.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "dataplane/nic/device.h"
#include "dataplane/nic/dpdk_nic.h"

struct rte_device;
struct rte_ring;

namespace penstock::dataplane::nic {

struct PortOptions {
  // Queue pairs, one an lcore. If the device has fewer, those behind its last one send by the first one's, and receive
  // nothing: receives() says so. Each is used by one thread.
  uint16_t queues = 1;
  uint16_t descriptors = 1024;  // a ring; the device may want fewer
  size_t mtu = 0;               // 0: what the device has
  // Received frames that the stacks above may hold at once, over all queues; beyond it the device finds no buffer.
  size_t frames_held = 16 * 1024;
  bool tso = true;  // segments are cut by the device, if it can
  // The device's own spreading of flows over queues; a hint, see dataplane/net/steering.h.
  std::span<const std::byte> rss_key;
  // Of open_pair: false is a wire without checksums, as the kernel's loopback is one.
  bool checksums = true;
};

// Memory that a port of these options takes: what EalOptions::memory_bytes is the sum of.
size_t port_memory_bytes(const PortOptions& options);

struct PoolUse {
  size_t total = 0;
  size_t used = 0;
};

class DpdkPort {
 public:
  // The device was named to start_eal(). Errors are logged with their reason.
  static Result<std::unique_ptr<DpdkPort>> open(const Device& device, const PortOptions& options);
  // Two ports of one process, each the other's wire: what one sends the other receives, without the kernel and without
  // a copy on the way. For measuring, and for tests of DPDK itself. Both are closed before either is destroyed.
  static Result<std::pair<std::unique_ptr<DpdkPort>, std::unique_ptr<DpdkPort>>> open_pair(const std::string& name,
                                                                                           const PortOptions& options);
  DpdkPort(const DpdkPort&) = delete;
  DpdkPort& operator=(const DpdkPort&) = delete;
  // Closes it, and frees its pools if all mbufs are home; else that memory stays, for the Buffers that still point into
  // it.
  ~DpdkPort();

  size_t queue_count() const { return queues_.size(); }
  DpdkNic& queue(size_t index) { return *queues_[index]; }
  bool receives(size_t index) const { return index < device_queues_; }
  // "net_af_packet0 (net_af_packet), 02:00:00:00:00:01, MTU 1500, 1 queue, checksums in software, sends by reference".
  const std::string& description() const { return description_; }

  // Whether it reads only what is mapped for it, and where its maps are kept (LogMemory).
  bool wants_maps() const { return traits_.references == References::kMapped; }
  bool maps_itself() const { return traits_.maps_itself; }
  bool may_pass_iommu() const { return traits_.may_pass_iommu; }
  // Registered memory, until unmap(), between stop() and close(): some drivers leave vfio's container at that. False:
  // DPDK has logged why not.
  bool map(const CardMemory& memory);
  void unmap(const CardMemory& memory);
  // The queues may refer to it; or to some of it they may not, which is logged once.
  void reads(const CardMemory& memory);
  void copies_log(std::string_view why);

  // It reads and writes no memory any more. Frames not yet sent are dropped and their owners told, on this thread. The
  // queues may not be used any more.
  void stop();
  // Stops and closes the device, whose own mbufs come home by that. Frames not yet sent are dropped and their owners
  // told, on this thread. The queues may not be used any more.
  void close();
  // Mbufs that are not at home, of all pools together. After close() it is what the stacks above still hold.
  PoolUse pool_use() const;

 private:
  explicit DpdkPort(uint16_t port);
  Result<void> set_up(const Device& device, const PortOptions& wanted);
  Result<void> make_pools(const PortOptions& options, size_t mtu, uint16_t rx_descriptors, uint16_t tx_descriptors,
                          int socket);
  Result<void> make_queues(QueueSetup setup, uint16_t wanted);
  void describe(const DriverTraits& traits, const QueueSetup& setup);

  uint16_t port_;
  Counters<PortGauge> gauges_;
  bool stopped_ = false;
  bool open_ = true;
  DriverTraits traits_{.name = {}, .references = References::kNone};
  rte_device* device_ = nullptr;
  bool has_said_ = false;         // in the log, that it reads the log's memory
  bool has_copies_said_ = false;  // and that it does not
  MbufPools pools_;
  uint16_t device_queues_ = 0;
  std::vector<rte_ring*> rx_rings_;  // a pair's
  std::vector<rte_ring*> relays_;    // of the queues that the device does not have
  std::vector<std::unique_ptr<DpdkNic>> queues_;
  std::string name_;
  std::string description_;
};

}  // namespace penstock::dataplane::nic
