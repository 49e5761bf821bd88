// store_load: what the log does to a drive, without clients. Appends batches to a Store on a real folder as fast as it
// takes them, for so many laps of its ring behind one that is not timed (it finds the ring empty, and segments may lag
// behind by a ring), by turns with raw sequential durable writes of the same drive by the same operation, and tells the
// ratios. With --direct also what durable writes would give that went straight into segments
// whose files were written before (docs/adr/0008-two-tiers.md). docs/BENCHMARKING.md says how it is used.
//
//   store_load --data DIR [--partitions 16] [--batch-bytes 65536] [--ring-mib 256] [--laps 3]
//              [--rounds 5] [--segment-mib 1024] [--spin] [--direct]
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/log.h"
#include "base/mapped_memory.h"
#include "base/system_clock.h"
#include "protocol/record_batch.h"
#include "storage/api/folder.h"
#include "storage/api/store.h"
#include "storage/api/uring_disk.h"

namespace {

using namespace penstock;
using namespace penstock::storage;

constexpr uint64_t kRawFileBytes = 256 * kMiB;
constexpr uint64_t kDirectBytes = kGiB;      // all files of --direct together
constexpr uint64_t kTurnBytes = 256 * kKiB;  // what an lcore appends in a turn

// Huge pages where the kernel has some, as a broker's ring gets them.
MappedMemory allocate(size_t bytes) {
  MappedMemory memory(bytes, 4096, MappedMemory::Pages::kHuge);
  CHECK(!memory.empty());
  std::memset(memory.span().data(), 1, memory.span().size());
  return memory;
}

[[noreturn]] void die(const std::string& what) {
  fmt::print(stderr, "store_load: {}\n", what);
  std::exit(2);
}

// The batch's bytes belong to this program: nothing goes home.
class Unowned final : public BufferPool {
 public:
  void release(std::span<std::byte>) override {}
};

struct Options {
  std::string data;
  uint64_t partitions = 16;
  uint64_t batch_bytes = 64 * kKiB;
  uint64_t ring_mib = 256;
  uint64_t laps = 3;
  uint64_t rounds = 5;
  uint64_t segment_mib = 1024;
  bool spin = false;
  bool direct = false;
};

Options parse(int argc, char** argv) {
  Options options;
  const std::map<std::string_view, uint64_t*> numbers{
      {"--partitions", &options.partitions}, {"--batch-bytes", &options.batch_bytes},
      {"--ring-mib", &options.ring_mib},     {"--laps", &options.laps},
      {"--rounds", &options.rounds},         {"--segment-mib", &options.segment_mib}};
  for (int i = 1; i < argc; ++i) {
    const std::string_view name = argv[i];
    if (name == "--spin" || name == "--direct") {
      (name == "--spin" ? options.spin : options.direct) = true;
      continue;
    }
    if (i + 1 == argc) die(fmt::format("{} wants a value", name));
    const std::string_view value = argv[++i];
    if (name == "--data") {
      options.data = value;
    } else if (const auto number = numbers.find(name); number != numbers.end()) {
      const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), *number->second);
      if (error != std::errc{} || end != value.data() + value.size()) die(fmt::format("{} is no number", value));
    } else {
      die(fmt::format("no such option: {}", name));
    }
  }
  if (options.data.empty()) die("--data DIR: an empty folder on the drive to measure");
  return options;
}

std::vector<std::byte> make_batch(uint64_t bytes) {
  protocol::BatchBuilder builder;
  std::vector<std::byte> value(std::min<uint64_t>(1024, std::max<uint64_t>(bytes, 72) - 72));
  Prng prng(bytes);
  prng.fill(value);
  do {
    builder.add(1'700'000'000'000, std::nullopt, value);
  } while (builder.size() + value.size() + 16 <= bytes);
  return builder.finish();
}

// Bytes that were appended, and what they made the Store write.
struct Moved {
  double appended = 0, ring = 0, segments = 0, state = 0, relogged = 0;
  Moved operator+(const Moved& other) const { return combine(other, 1); }
  Moved operator-(const Moved& other) const { return combine(other, -1); }

 private:
  Moved combine(const Moved& o, double sign) const {
    return {appended + sign * o.appended, ring + sign * o.ring, segments + sign * o.segments, state + sign * o.state,
            relogged + sign * o.relogged};
  }
};

// What stands for a segment that is written a second time.
struct DirectFile {
  FileHandle file;
  uint64_t bytes = 0;
  uint64_t at = 0;
  DiskOp op{};
};

class Run {
 public:
  explicit Run(Options options) : options_(std::move(options)) {}
  int go();

 private:
  void open();
  double raw_block();
  Moved store_laps(uint64_t laps);
  void make_direct_files();
  double direct_block(uint64_t run_bytes);
  void quiet_down();
  Moved written() const;
  void rest() { pause_between_polls(*disk_, options_.spin, 100 * kMicrosecond); }

  const Options options_;
  SystemClock clock_;
  Prng prng_{1};
  StorageCounters counters_;
  Unowned pool_;
  DiskPtr disk_;      // the Store's
  DiskPtr raw_disk_;  // its completions are its own
  MappedMemory ring_memory_;
  MappedMemory raw_memory_;
  FileHandle raw_file_;
  uint64_t raw_at_ = 0;
  std::vector<DirectFile> direct_;
  std::unique_ptr<Store> store_;
  std::vector<std::byte> batch_;
  uint64_t next_ = 0;
};

void Run::open() {
  auto disk = open_uring_disk();
  if (!disk) die(disk.error().what);
  disk_ = std::move(*disk);
  const auto folder = open_folder(*disk_, prng_, options_.data);
  if (!folder) die(folder.error().what);
  const auto method = measure_durable_method(*disk_, clock_, options_.data, options_.spin ? kSpinForever : 0);
  if (!method) die("cannot write durably there");
  disk_->set_durable_method(*method);
  auto raw_disk = open_uring_disk();
  if (!raw_disk) die(raw_disk.error().what);
  raw_disk_ = std::move(*raw_disk);
  raw_disk_->set_durable_method(*method);
  StoreRequest request{.folder = options_.data,
                       .disk = disk_.get(),
                       .clock = &clock_,
                       .prng = &prng_,
                       .counters = &counters_,
                       .live_logs = {},
                       .next_log_id = LogId{1}};
  request.options.ring_bytes = static_cast<int64_t>(options_.ring_mib * kMiB);
  request.options.scrub_bytes_per_second = 0;  // it reads all the time, and a raw block waits for quiet
  request.allocate = [&](size_t bytes) {
    ring_memory_ = allocate(bytes);
    return ring_memory_.span();
  };
  auto store = Store::open(std::move(request));
  if (!store) die(store.error().what);
  store_ = std::move(*store);
  for (uint64_t log = 1; log <= options_.partitions; ++log)
    store_->open_log(LogId{log}, {.segment_bytes = options_.segment_mib * kMiB});

  raw_memory_ = allocate(kMiB);
  prng_.fill(raw_memory_.span());
  const auto file = raw_disk_->open(options_.data + "/raw", {.create = true});
  if (!file) die("cannot make a file there");
  raw_file_ = *file;
  for (uint64_t at = 0; at < kRawFileBytes; at += kMiB) {
    DiskOp write{.kind = DiskOp::Kind::kWrite, .file = raw_file_, .at = at, .memory = raw_memory_.span()};
    if (!run_to_end(*raw_disk_, write)) die("cannot write there");
  }
}

// Until the Store has nothing to do.
void Run::quiet_down() {
  for (Nanos quiet_since = clock_.monotonic(); clock_.monotonic() - quiet_since < 50 * kMillisecond;) {
    store_->submit();
    if (store_->poll() > 0) quiet_since = clock_.monotonic();
    disk_->wait(kMillisecond);
  }
}

Moved Run::written() const {
  const auto get = [&](Metric metric) { return static_cast<double>(counters_.get(metric)); };
  return {.appended = get(Metric::bytes_appended),
          .ring = get(Metric::ring_bytes_written),
          .segments = get(Metric::segment_bytes_written),
          .state = get(Metric::state_bytes_written),
          .relogged = get(Metric::bytes_relogged)};
}

// As many bytes as the Store takes, in 1 MiB durable writes, one after the other. Bytes a second.
double Run::raw_block() {
  quiet_down();
  const Nanos begin = clock_.monotonic();
  const uint64_t bytes = options_.laps * options_.ring_mib * kMiB;
  for (uint64_t done = 0; done < bytes; done += kMiB, raw_at_ = (raw_at_ + kMiB) % kRawFileBytes) {
    DiskOp write{.kind = DiskOp::Kind::kWriteDurable, .file = raw_file_, .at = raw_at_, .memory = raw_memory_.span()};
    if (!run_to_end(*raw_disk_, write)) die("a durable write failed");
  }
  return static_cast<double>(bytes) * 1e9 / static_cast<double>(clock_.monotonic() - begin);
}

void Run::make_direct_files() {
  const uint64_t bytes = kDirectBytes / options_.partitions / kMiB * kMiB;
  if (bytes == 0) die("too many partitions for --direct");
  for (uint64_t i = 0; i < options_.partitions; ++i) {
    const auto file = raw_disk_->open(fmt::format("{}/direct-{}", options_.data, i), {.create = true});
    if (!file) die("cannot make a file there");
    direct_.push_back({.file = *file, .bytes = bytes});
    for (uint64_t at = 0; at < bytes; at += kMiB) {
      DiskOp write{.kind = DiskOp::Kind::kWrite, .file = *file, .at = at, .memory = raw_memory_.span()};
      if (!run_to_end(*raw_disk_, write)) die("cannot write there");
    }
  }
}

// As many bytes in durable writes of run_bytes, one under way in each partition's file. Bytes a second.
double Run::direct_block(uint64_t run_bytes) {
  quiet_down();
  const Nanos begin = clock_.monotonic();
  const uint64_t bytes = options_.ring_mib * kMiB;
  uint64_t begun = 0;
  const auto next = [&](DirectFile& to) {
    if (begun >= bytes) return;
    begun += run_bytes;
    to.op = {.kind = DiskOp::Kind::kWriteDurable,
             .file = to.file,
             .at = to.at,
             .memory = raw_memory_.span().first(run_bytes)};
    to.at = (to.at + run_bytes) % to.bytes;
    raw_disk_->submit(to.op);
  };
  for (DirectFile& file : direct_) next(file);
  for (uint64_t done = 0; done < begun;) {
    std::array<DiskOp*, 32> ops;
    const size_t count = raw_disk_->poll(ops);
    for (const DiskOp* op : std::span(ops).first(count)) {
      if (op->result != static_cast<int64_t>(run_bytes)) die("a durable write failed");
      done += run_bytes;
      next(*std::ranges::find(direct_, op, [](const DirectFile& file) { return &file.op; }));
    }
    if (count == 0) raw_disk_->wait(100 * kMicrosecond);
  }
  return static_cast<double>(begun) * 1e9 / static_cast<double>(clock_.monotonic() - begin);
}

// Laps of the ring through the Store, until the last of it is durable. What was written when the last was appended: the
// ring is as full then as it was at the beginning, if it was full there. Behind that moment segments catch up.
Moved Run::store_laps(uint64_t laps) {
  const uint64_t end = counters_.get(Metric::bytes_appended) + laps * options_.ring_mib * kMiB;
  const auto is_appended = [&] { return counters_.get(Metric::bytes_appended) >= end; };
  std::optional<Moved> when_appended;
  Lsn last{0};
  while (!when_appended || store_->durable() < last) {
    for (uint64_t turn = 0; turn < kTurnBytes && !is_appended(); turn += batch_.size()) {
      BufferChain chain;
      chain.append(Buffer(pool_, batch_, batch_.size()));
      const auto result =
          store_->append(LogId{1 + next_ % options_.partitions}, LeaderEpoch{0}, chain, 0, batch_.size());
      if (result.status != AppendStatus::kAppended) break;
      last = result.durable_at;
      ++next_;
    }
    if (!when_appended && is_appended()) when_appended = written();
    store_->submit();
    if (store_->poll() == 0) rest();
    if (store_->poisoned()) die("the ring is poisoned");
  }
  return *when_appended;
}

double median(std::vector<double> values) {
  std::ranges::sort(values);
  return values[values.size() / 2];
}

int Run::go() {
  open();
  batch_ = make_batch(options_.batch_bytes);
  store_laps(1);  // the first finds the ring and the segments' files empty
  if (options_.direct) make_direct_files();
  std::vector<double> stored, moved, direct, direct_small;  // parts of the raw rate before and behind them
  Moved all;
  double raw_before = raw_block();
  for (uint64_t round = 0; round < options_.rounds; ++round) {
    const Moved full = store_laps(1);
    const Moved before = written();
    const Nanos begin = clock_.monotonic();
    all = all + (store_laps(options_.laps) - full);
    const double seconds = static_cast<double>(clock_.monotonic() - begin) / 1e9;
    const Moved now = written() - before;
    const double direct_rate = options_.direct ? direct_block(kMiB) : 0;
    const double direct_small_rate = options_.direct ? direct_block(64 * kKiB) : 0;
    const double raw_behind = raw_block();
    const double raw = (raw_before + raw_behind) / 2;
    stored.push_back(now.appended / seconds / raw);
    moved.push_back((now.ring + now.segments) / seconds / raw);
    direct.push_back(direct_rate / raw);
    direct_small.push_back(direct_small_rate / raw);
    raw_before = raw_behind;
    fmt::print("round {}: raw {:.0f} MB/s, produced {:.1f} % of it, ring and segments {:.1f} %\n", round + 1, raw / 1e6,
               100 * stored.back(), 100 * moved.back());
    std::fflush(stdout);
  }
  fmt::print(
      "partitions {}, batches of {} bytes, ring {} MiB, {} rounds of {} laps\n"
      "produced {:.1f} % of the raw durable rate; ring and segments together {:.1f} %\n"
      "write amplification {:.3f}: ring {:.3f}, segments {:.3f}, state {:.3f}; relogged {:.3f}, blocks read back {}\n",
      options_.partitions, batch_.size(), options_.ring_mib, options_.rounds, options_.laps, 100 * median(stored),
      100 * median(moved), (all.ring + all.segments + all.state) / all.appended, all.ring / all.appended,
      all.segments / all.appended, all.state / all.appended, all.relogged / all.appended,
      counters_.get(Metric::destage_head_reads));
  if (options_.direct) {
    fmt::print("straight into files written before, one write a partition: {:.1f} % by 1 MiB, {:.1f} % by 64 KiB\n",
               100 * median(direct), 100 * median(direct_small));
  }
  store_->begin_stop();
  while (!store_->stopped()) {
    store_->submit();
    if (store_->poll() == 0) rest();
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) { return Run(parse(argc, argv)).go(); }
