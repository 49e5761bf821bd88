#include "control/cli/bench_matrix.h"

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/system_clock.h"
#include "control/cli/cluster.h"
#include "control/cli/command.h"
#include "control/cli/command_line.h"
#include "control/cli/error.h"
#include "control/cli/json.h"
#include "control/cli/load/interrupt.h"
#include "control/cli/load/load_options.h"
#include "control/cli/load/meter.h"
#include "control/cli/load/produce_run.h"
#include "control/cli/records/codec_option.h"

namespace penstock::cli {
namespace {

using protocol::Compression;

constexpr size_t kCellsMost = 1000;
constexpr uint64_t kBatchMost = 100 * kMiB;  // Kafka's socket.request.max.bytes

struct MatrixOptions {
  LoadOptions load;
  std::vector<uint64_t> record_bytes{100, 1024};
  std::vector<uint64_t> batch_bytes{16 * kKiB, 256 * kKiB};
  std::vector<Compression> codecs{Compression::kNone, Compression::kLz4};
  std::vector<int16_t> acks{-1};
  std::vector<int32_t> partitions{1};
  uint32_t rounds = 3;
  uint32_t in_flight = 5;
  Nanos block = kSecond;
};

// One row, and what each round measured of it.
struct Cell {
  int32_t partitions = 1;
  int16_t acks = -1;
  Compression codec = Compression::kNone;
  uint64_t batch_bytes = 0;
  uint64_t record_bytes = 0;
  double packed = 1;  // bytes of a batch by the bytes of its values
  std::vector<double> megabytes;
  std::vector<double> ratios;  // to the first row in the same round, which had the same weather
  std::vector<double> p50, p99, p99_9;
};

double median(std::vector<double> values) {
  if (values.empty()) return 0;
  std::ranges::sort(values);
  const size_t half = values.size() / 2;
  return values.size() % 2 == 1 ? values[half] : (values[half - 1] + values[half]) / 2;
}

std::vector<Cell> cells_of(const MatrixOptions& options) {
  std::vector<Cell> out;
  for (const int32_t partitions : options.partitions)
    for (const int16_t acks : options.acks)
      for (const Compression codec : options.codecs)
        for (const uint64_t batch : options.batch_bytes)
          for (const uint64_t record : options.record_bytes)
            out.push_back(
                {.partitions = partitions, .acks = acks, .codec = codec, .batch_bytes = batch, .record_bytes = record});
  return out;
}

// A topic of its own for each block, which is gone afterwards: so a long matrix needs no large drive.
class BlockTopic {
 public:
  BlockTopic(Cluster& cluster, const TopicWish& wish) : cluster_(cluster), name_(wish.name) { cluster.create(wish); }
  ~BlockTopic() {
    try {
      cluster_.remove(name_);
    } catch (const CliError& error) {
      fmt::print(stderr, "penstock: {}\n", error.what());
    }
  }
  BlockTopic(const BlockTopic&) = delete;
  BlockTopic& operator=(const BlockTopic&) = delete;

 private:
  Cluster& cluster_;
  std::string name_;
};

void measure(Clock& clock, Cluster& cluster, const MatrixOptions& options, Cell& cell) {
  ProduceOptions run;
  static_cast<LoadOptions&>(run) = options.load;
  run.quiet = true;
  run.partitions = cell.partitions;
  run.duration = options.block;
  run.warmup = options.block / 5;
  run.acks = cell.acks;
  run.codec = cell.codec;
  run.words = true;
  run.batch_bytes = cell.batch_bytes;
  run.record_bytes = cell.record_bytes;
  run.in_flight = options.in_flight;
  const BlockTopic made(cluster, {run.topic, cell.partitions, run.replication_factor, {}});
  ProduceRun produce(clock, cluster, cluster.topic(run.topic), run);
  const Meter meter = produce.run();
  if (meter.failures() > 0) throw CliError(kExitFailed, "the broker refused batches:\n" + meter.text("latency"));
  cell.packed = produce.packed();
  cell.megabytes.push_back(meter.megabytes_per_second());
  cell.p50.push_back(static_cast<double>(meter.latency().percentile(50)));
  cell.p99.push_back(static_cast<double>(meter.latency().percentile(99)));
  cell.p99_9.push_back(static_cast<double>(meter.latency().percentile(99.9)));
}

std::string acks_name(int16_t acks) { return acks == -1 ? "all" : std::to_string(acks); }

std::string table_of(const std::vector<Cell>& cells) {
  std::vector<std::vector<std::string>> rows{{"PARTITIONS", "ACKS", "CODEC", "BATCH", "RECORD", "PACKED", "MB/S",
                                              "RATIO", "RECORDS/S", "P50", "P99", "P99.9"}};
  const auto time = [](const std::vector<double>& nanos) {
    return duration_text(static_cast<uint64_t>(median(nanos)));
  };
  for (const Cell& cell : cells) {
    const double megabytes = median(cell.megabytes);
    rows.push_back({std::to_string(cell.partitions), acks_name(cell.acks), std::string(to_string(cell.codec)),
                    std::to_string(cell.batch_bytes), std::to_string(cell.record_bytes),
                    fmt::format("{:.2f}", cell.packed), fmt::format("{:.1f}", megabytes),
                    fmt::format("{:.2f}", median(cell.ratios)),
                    with_commas(static_cast<uint64_t>(megabytes * 1e6 / static_cast<double>(cell.record_bytes))),
                    time(cell.p50), time(cell.p99), time(cell.p99_9)});
  }
  return table_text(rows);
}

Json json_of(const MatrixOptions& options, const std::vector<Cell>& cells) {
  Json rows = Json::array();
  const auto micros = [](const std::vector<double>& nanos) { return median(nanos) / 1e3; };
  for (const Cell& cell : cells) {
    rows.push_back({{"partitions", cell.partitions},
                    {"acks", cell.acks},
                    {"codec", to_string(cell.codec)},
                    {"batch_bytes", cell.batch_bytes},
                    {"record_bytes", cell.record_bytes},
                    {"packed", cell.packed},
                    {"megabytes_per_second", median(cell.megabytes)},
                    {"ratio_to_first", median(cell.ratios)},
                    {"p50_us", micros(cell.p50)},
                    {"p99_us", micros(cell.p99)},
                    {"p99_9_us", micros(cell.p99_9)},
                    {"rounds_megabytes_per_second", cell.megabytes},
                    {"rounds_ratio", cell.ratios}});
  }
  return {{"bench", "matrix"},
          {"version", PENSTOCK_VERSION},
          {"config", Json{{"bootstrap", options.load.broker.bootstrap.text()},
                          {"nic", options.load.broker.nic.device},
                          {"connections", options.load.connections},
                          {"in_flight", options.in_flight},
                          {"rounds", options.rounds},
                          {"block_seconds", static_cast<double>(options.block) / kSecond}}},
          {"result", rows}};
}

void run_matrix(const MatrixOptions& options) {
  std::vector<Cell> cells = cells_of(options);
  if (cells.size() > kCellsMost)
    throw UsageError(fmt::format("{} rows are too many, {} the most", cells.size(), kCellsMost));
  for (const Cell& cell : cells) {
    if (cell.record_bytes == 0 || cell.record_bytes + cell.batch_bytes > kBatchMost)
      throw UsageError("a record has at least a byte, and a batch at most 100 MiB");
  }
  SystemClock clock;
  Cluster cluster(clock, options.load.broker);
  const Interrupt interrupt;
  for (uint32_t round = 0; round < options.rounds && !interrupt.seen(); ++round) {
    for (size_t i = 0; i < cells.size() && !interrupt.seen(); ++i) {
      measure(clock, cluster, options, cells[i]);
      const double first = cells[0].megabytes.back();
      cells[i].ratios.push_back(first > 0 ? cells[i].megabytes.back() / first : 0);
      if (!options.load.quiet) {
        fmt::print(stderr, "round {} of {}, row {} of {}: {:.1f} MB/s\n", round + 1, options.rounds, i + 1,
                   cells.size(), cells[i].megabytes.back());
      }
    }
  }
  const std::string json = options.load.json.empty() ? "" : json_of(options, cells).dump(2) + "\n";
  if (options.load.json != "-") write_output("-", table_of(cells));
  if (!json.empty()) write_output(options.load.json, json);
}

// A list with commas; one parses an element.
template <class Value>
void add_list(Command& command, const std::string& name, std::vector<Value>& values,
              std::function<Value(const std::string&)> one, const std::string& help, const std::string& shown) {
  command
      .option(
          name, Option::Kind::kValue,
          [&values, one](const std::string& text) {
            values.clear();
            for (size_t at = 0; at <= text.size();) {
              const size_t end = std::min(text.find(',', at), text.size());
              values.push_back(one(text.substr(at, end - at)));
              at = end + 1;
            }
          },
          help)
      .value(shown);
}

Compression parse_codec(const std::string& text) {
  const auto codec = protocol::compression_named(text);
  if (!codec) throw UsageError(fmt::format("'{}' is none of none, gzip, snappy, lz4, zstd", text));
  return *codec;
}

int16_t parse_acks(const std::string& text) {
  if (text == "all") return -1;
  return static_cast<int16_t>(parse_signed(text, -1, 1));
}

}  // namespace

void add_bench_matrix_command(Command& bench, const OpenNic& open_nic) {
  Command& command =
      bench.command("matrix", "produce with every combination of sizes, codecs, acks and partitions: one table");
  const auto options = std::make_shared<MatrixOptions>();
  LoadOptions& load = options->load;
  load.topic = "penstock-bench-matrix";
  add_broker_options(command, load.broker);
  add_nic_options(command, load.broker.nic, open_nic);
  command.option("--topic", load.topic, "made for each block and deleted after it (default penstock-bench-matrix)");
  const auto bytes = [](const std::string& text) { return parse_bytes(text); };
  add_list<uint64_t>(command, "--record-bytes", options->record_bytes, bytes, "of a value (default 100,1KiB)", "SIZES");
  add_list<uint64_t>(command, "--batch-bytes", options->batch_bytes, bytes,
                     "of a batch before compression (default 16KiB,256KiB)", "SIZES");
  add_list<Compression>(command, "--codec", options->codecs, parse_codec, "codecs (default none,lz4)", "NAMES");
  add_list<int16_t>(command, "--acks", options->acks, parse_acks, "0, 1, all (default all)", "LIST");
  add_list<int32_t>(
      command, "--partitions", options->partitions,
      [](const std::string& text) { return static_cast<int32_t>(parse_signed(text, 1, 10'000)); }, "(default 1)",
      "LIST");
  command.option("--rounds", options->rounds, "of a block of each row (default 3)").between(1, 1000);
  add_duration_option(command, "--block", options->block,
                      "length of a block; its first fifth is not counted (default 1s)");
  command.option("--connections", load.connections, "TCP connections (default 1)").between(1, 10'000);
  command.option("--in-flight", options->in_flight, "unanswered requests a connection (default 5)").between(1, 10'000);
  command.option("--json", load.json, "write the result as JSON to a file, or - for standard output")
      .value("FILE")
      .complete(Completes::kFiles);
  command.flag("--quiet", load.quiet, "no line a block");
  command.flag("--spin", load.spin, "never sleep: one core for steadier latencies");
  command.describe(
      "Rows are measured in turns, round after round, so that what a shared machine does meanwhile falls on all of "
      "them; "
      "figures are medians of the rounds, RATIO that of the quotients to the first row in the same round. Values are "
      "made of words that come again; PACKED is what a batch takes by what its values took.");
  command.action([options] { run_matrix(*options); });
}

}  // namespace penstock::cli
