// SharedDevice: what the lcores share of a network device that this process drives itself: its queues, who owns which
// connection, and the rings by which segments reach their owner. Made before the lcores, and gone after them.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/assert.h"
#include "base/siphash.h"
#include "dataplane/api/device_counters.h"
#include "dataplane/net/hand_over.h"
#include "dataplane/net/network.h"
#include "dataplane/net/nic.h"
#include "dataplane/net/steering.h"

namespace penstock::dataplane {

// What one lcore has of a device.
struct DeviceQueue {
  net::Nic* nic = nullptr;
  bool receives = true;              // false: it only sends; others hand it what is its
  std::span<std::byte> send_memory;  // that the device can read; empty: there is none of that kind
};

struct DeviceSecrets {  // of true randomness, other ones at each start
  net::ToeplitzKey steering_key{};
  SipKey tcp{};
  uint64_t neighbours = 0;
};

class SharedDevice {
 public:
  // Segments that wait from one lcore to one other; a power of two.
  static constexpr size_t kHandedOver = 1024;

  SharedDevice(std::string name, const net::NetworkConfig& config, std::vector<DeviceQueue> queues,
               const DeviceSecrets& secrets, size_t handed_over = kHandedOver)
      : name_(std::move(name)),
        config_(config),
        queues_(std::move(queues)),
        secrets_(secrets),
        steering_(secrets.steering_key, static_cast<unsigned>(queues_.size())),
        hand_over_(static_cast<unsigned>(queues_.size()), handed_over),
        counters_(queues_.size()) {
    CHECK(!queues_.empty());
  }

  const std::string& name() const { return name_; }
  const net::NetworkConfig& config() const { return config_; }
  // By lcore.
  const DeviceQueue& queue(uint16_t lcore) const { return queues_[lcore]; }
  DeviceCounters& counters(uint16_t lcore) { return counters_[lcore]; }
  const DeviceSecrets& secrets() const { return secrets_; }
  const net::Steering& steering() const { return steering_; }
  net::HandOver& hand_over() { return hand_over_; }

 private:
  const std::string name_;
  const net::NetworkConfig config_;
  const std::vector<DeviceQueue> queues_;
  const DeviceSecrets secrets_;
  const net::Steering steering_;
  net::HandOver hand_over_;
  std::vector<DeviceCounters> counters_;
};

}  // namespace penstock::dataplane
