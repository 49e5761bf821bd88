#include "control/cli/bench.h"

#include <fmt/format.h>

#include <cstdio>
#include <memory>
#include <optional>
#include <string>

#include "base/system_clock.h"
#include "control/cli/bench_matrix.h"
#include "control/cli/cluster.h"
#include "control/cli/command.h"
#include "control/cli/command_line.h"
#include "control/cli/error.h"
#include "control/cli/json.h"
#include "control/cli/load/consume_run.h"
#include "control/cli/load/disk_writer.h"
#include "control/cli/load/group_run.h"
#include "control/cli/load/latency_run.h"
#include "control/cli/load/load_options.h"
#include "control/cli/load/meter.h"
#include "control/cli/load/produce_run.h"
#include "control/cli/records/codec_option.h"

namespace penstock::cli {
namespace {

constexpr Nanos kDefaultDuration = 10 * kSecond;
constexpr uint64_t kRequestMost = 100 * kMiB;  // Kafka's socket.request.max.bytes

// For people on standard output, unless the JSON goes there.
void report(const std::string& json_path, const Json& json, const std::string& text) {
  if (json_path == "-") {
    fmt::print(stderr, "{}", text);
  } else {
    write_output("-", text);
  }
  if (!json_path.empty()) write_output(json_path, json.dump(2) + "\n");
}

Json document(const char* bench, Json config, Json result) {
  return {
      {"bench", bench}, {"version", PENSTOCK_VERSION}, {"config", std::move(config)}, {"result", std::move(result)}};
}

// The topic of the options, made if it is missing; cut to the partitions that were asked for.
struct BenchTopic {
  Topic topic;
  bool made = false;
};

BenchTopic open_topic(Cluster& cluster, const LoadOptions& options, bool make) {
  BenchTopic out;
  if (make && !cluster.topic_exists(options.topic)) {
    cluster.create({options.topic, options.partitions > 0 ? options.partitions : 1, options.replication_factor, {}});
    out.made = true;
  }
  out.topic = cluster.topic(options.topic);
  if (options.partitions < 0) return out;
  const auto wanted = static_cast<size_t>(options.partitions);
  if (out.topic.partitions.size() < wanted) {
    throw CliError(kExitFailed,
                   fmt::format("topic {} has {} partitions and --partitions asks for {}; name another topic",
                               options.topic, out.topic.partitions.size(), wanted));
  }
  out.topic.partitions.resize(wanted);
  return out;
}

Json common_config(const LoadOptions& options, const Topic& topic) {
  return {{"bootstrap", options.broker.bootstrap.text()},
          {"nic", options.broker.nic.device},
          {"topic", options.topic},
          {"partitions", topic.partitions.size()},
          {"connections", options.connections},
          {"duration_seconds", static_cast<double>(options.duration) / kSecond},
          {"count", options.count},
          {"spin", options.spin}};
}

void check(bool good, const std::string& what) {
  if (!good) throw UsageError(what);
}

void run_produce(ProduceOptions options) {
  check_level(options.codec, options.level);
  check(!options.idempotent || options.acks == -1, "--idempotent needs --acks all");
  check(!options.idempotent || options.in_flight <= 5, "--idempotent allows --in-flight 5 at most, as Kafka does");
  check(options.batch_bytes + options.record_bytes <= kRequestMost, "a batch of more than 100 MiB is no request");
  check(uint64_t{options.batch_records} * options.record_bytes <= kRequestMost,
        "--batch-records make too large a batch");
  check(options.record_bytes > 0, "--record-bytes 0 offers nothing");
  if (options.duration == 0 && options.count == 0) options.duration = kDefaultDuration;
  check(options.duration == 0 || options.warmup < options.duration, "--warmup is longer than the whole run");
  SystemClock clock;
  Cluster cluster(clock, options.broker);
  const BenchTopic bench = open_topic(cluster, options, true);
  ProduceRun run(clock, cluster, bench.topic, options);
  const Meter meter = run.run();
  if (options.cleanup && bench.made) cluster.remove(options.topic);
  auto config = common_config(options, bench.topic);
  config.update({{"in_flight", options.in_flight},
                 {"acks", options.acks},
                 {"idempotent", options.idempotent},
                 {"record_bytes", options.record_bytes},
                 {"records_per_batch", run.records_per_batch()},
                 {"codec", to_string(options.codec)},
                 {"words", options.words},
                 {"packed", run.packed()},
                 {"rate", options.rate.amount},
                 {"rate_unit", options.rate.unit == Rate::Unit::kBytes ? "bytes" : "records"},
                 {"warmup_seconds", static_cast<double>(options.warmup) / kSecond}});
  const bool open_loop = options.rate.amount > 0;
  report(options.json, document("produce", config, meter.json()),
         meter.text(open_loop ? "latency from the scheduled time" : "latency from sending (closed loop)"));
  if (meter.failures() > 0) throw Exit{kExitFailed};
}

void run_consume(const ConsumeOptions& options) {
  const bool bounded = options.duration > 0 || options.count > 0;
  check(bounded || !options.loop, "--loop never ends by itself; give --duration or --count");
  check(bounded || !options.from_end, "--from end waits for new records; give --duration or --count");
  SystemClock clock;
  Cluster cluster(clock, options.broker);
  const Topic topic = open_topic(cluster, options, false).topic;
  const Meter meter = ConsumeRun(clock, cluster, topic, options).run();
  auto config = common_config(options, topic);
  config.update({{"from", options.from_end ? "end" : "beginning"},
                 {"loop", options.loop},
                 {"verify", options.verify},
                 {"fetch_bytes", options.fetch_bytes},
                 {"in_flight", options.in_flight}});
  report(options.json, document("consume", config, meter.json()), meter.text("latency of a fetch"));
}

void run_latency(const LatencyOptions& options) {
  check(options.record_bytes >= 16, "--record-bytes below 16 leave no room for the time stamp");
  check(options.record_bytes <= kMiB, "--record-bytes above 1 MiB measure bandwidth; take bench produce");
  check(options.block >= 10 * kMillisecond, "--block shorter than 10ms measures nothing");
  SystemClock clock;
  std::optional<DiskWriter> disk;
  // The broker writes a frame: the batch and its headers, padded to the block.
  const uint64_t frame_bytes = options.record_bytes + 512;
  if (!options.disk.empty()) {
    disk.emplace(clock, DiskWriter::Spec{.folder = options.disk,
                                         .bytes = frame_bytes,
                                         .file_bytes = 64 * kMiB,
                                         .method = options.disk_method,
                                         .spin = options.spin});
  }
  Cluster cluster(clock, options.broker);
  const BenchTopic bench = open_topic(cluster, options, true);
  const LatencyReport result = LatencyRun(clock, cluster, bench.topic, options, disk ? &*disk : nullptr).run();
  if (options.cleanup && bench.made) cluster.remove(options.topic);
  auto config = common_config(options, bench.topic);
  config.update({{"rate", options.rate},
                 {"acks", options.acks},
                 {"record_bytes", options.record_bytes},
                 {"rounds", options.rounds},
                 {"block_seconds", static_cast<double>(options.block) / kSecond}});
  if (disk) config.update({{"disk_method", disk->method()}, {"disk_write_bytes", disk->write_bytes()}});
  report(options.json, document("latency", config, latency_report_json(result)), latency_report_text(result));
}

Meter write_for(Clock& clock, DiskWriter& disk, const DiskOptions& options) {
  const Interrupt interrupt;
  const Nanos start = clock.monotonic();
  Meter meter(Meter::Window{start, start, !options.quiet});
  for (Nanos now = start; !interrupt.seen();) {
    if (options.count > 0 && meter.requests() >= options.count) break;
    if (options.duration > 0 && now - start >= options.duration) break;
    disk.write();
    const Nanos done = clock.monotonic();
    meter.done(now, done, 1, disk.write_bytes());
    meter.tick(done, 0);
    now = done;
  }
  return meter;
}

void run_disk(DiskOptions options) {
  check(options.bytes > 0 && options.bytes <= kMiB, "--bytes is between 1 and 1MiB, the largest frame of the ring");
  check(options.file_bytes >= kMiB, "--file-bytes below 1MiB would stay in the drive's cache");
  if (options.duration == 0 && options.count == 0) options.duration = kDefaultDuration;
  SystemClock clock;
  DiskWriter disk(clock, {.folder = options.data,
                          .bytes = options.bytes,
                          .file_bytes = options.file_bytes,
                          .method = options.method,
                          .spin = options.spin});
  const Meter meter = write_for(clock, disk, options);
  const Json config{{"data", options.data},
                    {"method", disk.method()},
                    {"write_bytes", disk.write_bytes()},
                    {"file_bytes", disk.file_bytes()},
                    {"spin", options.spin}};
  const Json result{{"seconds", meter.seconds()},
                    {"writes", meter.requests()},
                    {"writes_per_second", meter.records_per_second()},
                    {"megabytes_per_second", meter.megabytes_per_second()},
                    {"punts", disk.punts()},
                    {"latency_us", latency_json(meter.latency())}};
  report(options.json, document("disk", config, result),
         fmt::format("{} durable writes of {} bytes by {}: {} a second, {:.1f} MB/s, {} punted\nlatency: {}\n",
                     meter.requests(), disk.write_bytes(), disk.method(),
                     with_commas(static_cast<uint64_t>(meter.records_per_second())), meter.megabytes_per_second(),
                     disk.punts(), latency_text(meter.latency())));
}

void add_load_options(Command& command, LoadOptions& options, const OpenNic& open_nic) {
  add_broker_options(command, options.broker);
  add_nic_options(command, options.broker.nic, open_nic);
  command.option("--topic", options.topic, "the topic (default penstock-bench)").complete(Completes::kTopics);
  command.option("--partitions", options.partitions, "partitions to use; of a new topic, to make").at_least(1);
  command.option("--json", options.json, "write the result as JSON to a file, or - for standard output")
      .value("FILE")
      .complete(Completes::kFiles);
  command.flag("--quiet", options.quiet, "no line a second");
  command.flag("--spin", options.spin, "never sleep: one core for steadier latencies");
}

void add_volume_options(Command& command, LoadOptions& options) {
  command.option("--connections", options.connections, "TCP connections (default 1)").between(1, 100'000);
  add_duration_option(command, "--duration", options.duration, "how long");
  command.option("--count", options.count, "how many records, rounded up to whole batches").at_least(1);
}

void add_produce(Command& bench, const OpenNic& open_nic) {
  Command& command = bench.command("produce", "offer records at a rate, or as many as the broker takes");
  const auto options = std::make_shared<ProduceOptions>();
  add_load_options(command, *options, open_nic);
  add_volume_options(command, *options);
  command.option("--replication-factor", options->replication_factor, "of a new topic").at_least(1);
  add_rate_option(command, "--rate", options->rate,
                  "records a second (100000, 100k) or bytes a second (50MB); 0, the default: as fast as answers come");
  add_bytes_option(command, "--record-bytes", options->record_bytes, "bytes of a record's value (default 1024)");
  add_bytes_option(command, "--batch-bytes", options->batch_bytes,
                   "records go in batches of about this (default 16KiB)");
  command.option("--batch-records", options->batch_records, "records a batch, instead of --batch-bytes").at_least(1);
  command.option("--in-flight", options->in_flight, "unanswered requests a connection (default 5)").between(1, 10'000);
  command.choice<int16_t>("--acks", options->acks, {{"all", -1}, {"0", 0}, {"1", 1}, {"-1", -1}},
                          "when the broker answers (default all)");
  command.flag("--idempotent", options->idempotent, "with producer ids and sequences");
  add_codec_options(command, options->codec, options->level);
  command.flag("--words", options->words, "values that compress, of words that come again; else random bytes");
  add_duration_option(command, "--warmup", options->warmup, "not counted at the beginning (default 0)");
  command.flag("--cleanup", options->cleanup, "delete the topic at the end if this run made it");
  command.action([options] { run_produce(*options); });
}

void add_consume(Command& bench, const OpenNic& open_nic) {
  Command& command = bench.command("consume", "read a topic at full speed");
  const auto options = std::make_shared<ConsumeOptions>();
  add_load_options(command, *options, open_nic);
  add_volume_options(command, *options);
  command.choice<bool>("--from", options->from_end, {{"beginning", false}, {"end", true}},
                       "where to begin (default beginning: to the end as it is now)");
  command.flag("--loop", options->loop, "at the end of a partition begin again");
  command.flag("--verify", options->verify, "check each batch's checksum and offsets");
  add_bytes_option(command, "--fetch-bytes", options->fetch_bytes, "of one Fetch (default 4MiB)");
  command.option("--in-flight", options->in_flight, "fetches at a time a connection, over disjoint partitions")
      .between(1, 1000);
  command.action([options] { run_consume(*options); });
}

void add_latency(Command& bench, const OpenNic& open_nic) {
  Command& command = bench.command("latency", "produce to ack and produce to consume, in alternating blocks");
  const auto options = std::make_shared<LatencyOptions>();
  add_load_options(command, *options, open_nic);
  command.option("--rate", options->rate, "records a second, one a batch (default 200)").between(1, 1'000'000);
  add_bytes_option(command, "--record-bytes", options->record_bytes, "bytes of a record's value (default 1024)");
  command.choice<int16_t>("--acks", options->acks, {{"all", -1}, {"1", 1}, {"-1", -1}},
                          "when the broker answers (default all)");
  command.option("--rounds", options->rounds, "of one block of each kind (default 5)").between(1, 100'000);
  add_duration_option(command, "--block", options->block, "length of a block (default 2s)");
  command.option("--disk", options->disk, "a folder on the broker's drive: adds blocks of raw durable writes")
      .value("DIR")
      .complete(Completes::kFolders);
  command.option("--disk-method", options->disk_method, "how it is made durable (default auto: the faster)")
      .one_of({"dsync", "flush", "auto"});
  command.flag("--cleanup", options->cleanup, "delete the topic at the end if this run made it");
  command.action([options] { run_latency(*options); });
}

void run_groups(const GroupRunOptions& options) {
  SystemClock clock;
  Cluster cluster(clock, options.broker);
  const int32_t partitions = options.partitions > 0 ? options.partitions : static_cast<int32_t>(2 * options.members);
  const bool made = !cluster.topic_exists(options.topic);
  if (made) cluster.create({options.topic, partitions, -1, {}});
  const size_t are = cluster.topic(options.topic).partitions.size();
  check(are == static_cast<size_t>(partitions),
        fmt::format("topic {} has {} partitions and not {}; name another topic", options.topic, are, partitions));
  const GroupReport result = GroupRun(clock, cluster, options).run();
  if (options.cleanup && made) cluster.remove(options.topic);
  const Json config{{"bootstrap", options.broker.bootstrap.text()},
                    {"nic", options.broker.nic.device},
                    {"groups", options.groups},
                    {"members", options.members},
                    {"partitions", partitions},
                    {"connections", options.connections},
                    {"duration_seconds", static_cast<double>(options.duration) / kSecond}};
  report(options.json, document("groups", config, group_report_json(result)), group_report_text(result));
  if (!result.stable || result.errors > 0) throw Exit{kExitFailed};
}

void add_groups(Command& bench, const OpenNic& open_nic) {
  Command& command =
      bench.command("groups", "next-generation consumer groups: until they are stable, and their heartbeats");
  const auto options = std::make_shared<GroupRunOptions>();
  add_broker_options(command, options->broker);
  add_nic_options(command, options->broker.nic, open_nic);
  command.option("--topic", options->topic, "that they consume (default penstock-bench-groups)")
      .complete(Completes::kTopics);
  command.option("--groups", options->groups, "how many (default 100)").between(1, 100'000);
  command.option("--members", options->members, "of each (default 5)").between(1, 10'000);
  command.option("--partitions", options->partitions, "of the topic (default: two for each member)").at_least(1);
  command.option("--connections", options->connections, "that all members share (default 50)").between(1, 10'000);
  add_duration_option(command, "--duration", options->duration, "of counting heartbeats (default 20s)");
  add_duration_option(command, "--patience", options->patience, "for the groups to become stable (default 60s)");
  command.option("--broker-pid", options->broker_pid, "a broker on this machine, to tell its CPU time").at_least(1);
  command.option("--json", options->json, "write the result as JSON to a file, or - for standard output")
      .value("FILE")
      .complete(Completes::kFiles);
  command.flag("--cleanup", options->cleanup, "delete the topic at the end if this run made it");
  command.action([options] { run_groups(*options); });
}

void add_disk(Command& bench) {
  Command& command = bench.command("disk", "durable writes as the broker's ring does them, and nothing else");
  const auto options = std::make_shared<DiskOptions>();
  command.option("--data", options->data, "a folder on the drive (default: here)")
      .value("DIR")
      .complete(Completes::kFolders);
  add_bytes_option(command, "--bytes", options->bytes, "of a write, rounded up to the drive's block (default 4KiB)");
  add_bytes_option(command, "--file-bytes", options->file_bytes, "of the file written round and round (default 64MiB)");
  command.option("--method", options->method, "how it is made durable (default auto: the faster, measured)")
      .one_of({"dsync", "flush", "auto"});
  command.option("--count", options->count, "how many writes").at_least(1);
  add_duration_option(command, "--duration", options->duration, "how long (default 10s)");
  command.option("--json", options->json, "write the result as JSON to a file, or - for standard output")
      .value("FILE")
      .complete(Completes::kFiles);
  command.flag("--quiet", options->quiet, "no line a second");
  command.flag("--spin", options->spin, "never sleep, as an lcore that spins");
  command.action([options] { run_disk(*options); });
}

}  // namespace

void add_bench_command(Command& root, const OpenNic& open_nic) {
  Command& bench = root.command("bench", "measure a broker, or the drive beneath it");
  add_produce(bench, open_nic);
  add_consume(bench, open_nic);
  add_latency(bench, open_nic);
  add_bench_matrix_command(bench, open_nic);
  add_groups(bench, open_nic);
  add_disk(bench);
}

}  // namespace penstock::cli
