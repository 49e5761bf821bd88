// A real Lcore on a thread of its own, over a real drive in a folder that goes away, with this test as its control.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "base/doorbell.h"
#include "base/system_clock.h"
#include "dataplane/api/lcore.h"
#include "storage/api/uring_disk.h"
#include "tests/kafka_wire.h"
#include "tests/socket_client.h"

namespace penstock::testing {

struct LcoreSetup {
  dataplane::DataplaneOptions options;
  int partitions = 4;
  bool publish = true;  // an image with topic "t"; log ids 1, 2, ...
  // Control's answer to a slow request: a whole response; empty closes. The default answers with the header alone.
  std::function<Bytes(const dataplane::SlowRequest&)> answer;
  // What else the lcore tells control; called by the thread that is control.
  std::function<void(const dataplane::Event&)> on_event = [](const dataplane::Event&) {};
};

class LcoreFixture {
 public:
  explicit LcoreFixture(LcoreSetup setup = {});
  ~LcoreFixture();

  uint16_t port() const { return lcore_->bound_ports()[0]; }
  uint64_t count(dataplane::Metric metric) const { return counters_.get(metric); }
  uint64_t count(storage::Metric metric) const { return storage_counters_.get(metric); }
  // Waits until metric reaches n; the test's time limit is the only clock.
  void await(dataplane::Metric metric, uint64_t n) const;
  void tell(dataplane::Command command);
  void publish(int partitions);
  // Ends the lcore; false if it never said Stopped.
  bool stop();

 private:
  void be_control();
  void open_store();

  LcoreSetup setup_;
  std::string folder_;
  SystemClock clock_;
  Prng prng_{1};
  storage::StorageCounters storage_counters_;
  dataplane::DataplaneCounters counters_;
  storage::DiskPtr disk_;
  std::vector<std::byte> memory_;
  std::unique_ptr<storage::StoreSet> store_;
  Doorbell control_doorbell_;
  std::unique_ptr<dataplane::Lcore> lcore_;
  std::thread lcore_thread_;
  std::thread control_thread_;
  std::atomic<bool> stop_{false};
  std::atomic<bool> stopped_{false};
  uint64_t revision_ = 0;
};

}  // namespace penstock::testing
