// What the load generator is asked to do: the options of penstock bench, filled by control/cli/bench.cc.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "base/units.h"
#include "control/cli/command.h"
#include "control/cli/quantity.h"
#include "protocol/compression/codec.h"

namespace penstock::cli {

// Of every run against a broker.
struct LoadOptions {
  BrokerOptions broker;
  std::string topic = "penstock-bench";
  int32_t partitions = -1;          // -1: all of an existing topic, 1 of a new one
  int16_t replication_factor = -1;  // of a new topic; -1: the broker's default
  uint32_t connections = 1;
  Nanos duration = 0;
  uint64_t count = 0;  // records; 0: no bound
  std::string json;    // a file, or -; empty: none
  bool quiet = false;  // no progress lines
  bool spin = false;   // never sleep
};

struct ProduceOptions : LoadOptions {
  uint32_t in_flight = 5;
  uint64_t record_bytes = 1024;
  uint64_t batch_bytes = 16 * kKiB;
  uint32_t batch_records = 0;  // 0: as many as fit into batch_bytes
  int16_t acks = -1;
  bool idempotent = false;
  protocol::Compression codec = protocol::Compression::kNone;
  std::optional<int> level;
  bool words = false;  // values that compress, of words that come again; else random bytes
  Rate rate;
  Nanos warmup = 0;
  bool cleanup = false;  // delete the topic afterwards if this run made it
};

struct ConsumeOptions : LoadOptions {
  bool from_end = false;
  bool loop = false;  // at the end, begin again
  bool verify = false;
  uint64_t fetch_bytes = 4 * kMiB;
  uint32_t in_flight = 1;
  Nanos max_wait = 500 * kMillisecond;
};

struct LatencyOptions : LoadOptions {
  uint64_t record_bytes = 1024;
  uint64_t rate = 200;  // records a second, one record a batch
  int16_t acks = -1;
  uint32_t rounds = 5;
  Nanos block = 2 * kSecond;
  std::string disk;  // a folder on the broker's drive: adds blocks of raw durable writes
  std::string disk_method = "auto";
  bool cleanup = false;
};

struct DiskOptions {
  std::string data = ".";
  uint64_t bytes = 4 * kKiB;
  uint64_t file_bytes = 64 * kMiB;
  std::string method = "auto";  // dsync, flush
  uint64_t count = 0;
  Nanos duration = 0;
  bool spin = false;
  std::string json;
  bool quiet = false;
};

}  // namespace penstock::cli
