// Real Lcores, each on a thread of its own with a ring of its number, over a real drive in a folder that goes away,
// with this test as their control. Partition i belongs to lcore i modulo their number.
#pragma once

#include <atomic>
#include <deque>
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
  uint16_t lcores = 1;
  int partitions = 4;
  Clock* clock = nullptr;  // null: the fixture's own, the system's
  bool publish = true;     // an image with topic "t"; log ids 1, 2, ...
  // Control's answer to a slow request: a whole response; empty closes. The default answers with the header alone.
  std::function<Bytes(const dataplane::SlowRequest&)> answer;
  // What else the lcore tells control; called by the thread that is control.
  std::function<void(const dataplane::Event&)> on_event = [](const dataplane::Event&) {};
};

class LcoreFixture {
 public:
  explicit LcoreFixture(LcoreSetup setup = {});
  ~LcoreFixture();

  uint16_t port() const { return lcores_.front().lcore->bound_ports()[0]; }
  // Of all lcores together.
  uint64_t count(dataplane::Metric metric) const;
  uint64_t count(storage::Metric metric) const;
  uint64_t count_of(uint16_t lcore, dataplane::Metric metric) const { return lcores_[lcore].counters.get(metric); }
  // Waits until metric reaches n; the test's time limit is the only clock.
  void await(dataplane::Metric metric, uint64_t n) const;
  // For a gauge: it also gets there from above. Other counters of the same event may have been seen before it.
  void await_exactly(dataplane::Metric metric, uint64_t n) const;
  void tell(uint16_t lcore, dataplane::Command command);
  void publish(int partitions);
  // Ends the lcores; false if one never said Stopped.
  bool stop();

 private:
  struct OneLcore {
    storage::StorageCounters storage_counters;
    dataplane::DataplaneCounters counters;
    storage::DiskPtr disk;
    std::vector<std::byte> memory;
    std::unique_ptr<storage::StoreSet> store;  // until the lcore has it
    std::unique_ptr<dataplane::Lcore> lcore;
    std::thread thread;
    bool stopped = false;
  };

  void be_control();
  bool take_event(uint16_t index);
  void open_store(uint16_t index);

  LcoreSetup setup_;
  std::string folder_;
  SystemClock clock_;
  Prng prng_{1};
  Doorbell control_doorbell_;
  std::deque<OneLcore> lcores_;
  std::thread control_thread_;
  std::atomic<bool> stop_{false};
  std::atomic<bool> stopped_{false};
  uint64_t revision_ = 0;
};

}  // namespace penstock::testing
