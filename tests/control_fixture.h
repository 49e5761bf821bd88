// A controller over a store in memory, for the tests of control.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "control/controller/controller.h"
#include "control/metadata/memory_store.h"
#include "control/options.h"

namespace penstock::control {

class ManualClock final : public Clock {
 public:
  Nanos monotonic() override { return now; }
  int64_t wall_ms() override { return now / kMillisecond; }
  Nanos now = 0;
};

struct ControllerFixture {
  // What a restart of the process does: the store stays, all else is read again.
  void restart() {
    controller =
        Controller::load(store, prng,
                         {.options = &options,
                          .settings = kafka_settings(Settings{.broker = options, .storage = {}, .dataplane = {}}),
                          .read_at_start = kafka_setting_names(),
                          .lcores = lcores,
                          .rings = rings},
                         counters)
            .value();
  }
  TopicOutcome create(NewTopic topic, bool validate_only = false) {
    return controller->create_topics(std::span(&topic, 1), validate_only).front();
  }
  TopicOutcome create(const std::string& name, int32_t partitions = -1) {
    return create(NewTopic{.name = name, .partitions = partitions});
  }
  TopicOutcome remove(const std::string& name) { return controller->delete_topics(std::span(&name, 1)).front(); }

  ManualClock clock;
  MemoryStore store{clock};
  Prng prng{42};
  BrokerOptions options;
  uint16_t lcores = 1;
  std::vector<uint16_t> rings = {0};
  ControlCounters counters;
  std::unique_ptr<Controller> controller;
};

}  // namespace penstock::control
