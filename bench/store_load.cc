// store_load: what the log does to a drive, without clients. Appends batches to a Store on a real folder as fast as it
// takes them, for so many laps of its ring, by turns with raw sequential durable writes of the same drive by the same
// operation, and tells the ratios. With --direct also what durable writes would give that went straight into segments
// whose files were written before (docs/adr/0008-two-tiers.md). docs/BENCHMARKING.md says how it is used.
//
//   store_load --data DIR [--partitions 16] [--batch-bytes 65536] [--ring-mib 256] [--laps 6] [--spin]
//              [--segment-mib 1024] [--direct]
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/log.h"
#include "base/system_clock.h"
#include "protocol/record_batch.h"
#include "storage/api/folder.h"
#include "storage/api/store.h"
#include "storage/api/uring_disk.h"

namespace {

using namespace penstock;
using namespace penstock::storage;

constexpr size_t kAlign = 2 * kMiB;
constexpr uint64_t kRawFileBytes = 256 * kMiB;
constexpr uint64_t kDirectBytes = kGiB;      // all files of --direct together
constexpr uint64_t kTurnBytes = 256 * kKiB;  // what an lcore appends in a turn

struct Freer {
  void operator()(std::byte* memory) const { std::free(memory); }
};
using Memory = std::unique_ptr<std::byte, Freer>;

Memory allocate(size_t bytes) {
  Memory memory(static_cast<std::byte*>(std::aligned_alloc(kAlign, align_up(bytes, kAlign))));
  CHECK(memory != nullptr);
  std::memset(memory.get(), 0, bytes);
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
  uint64_t laps = 6;
  uint64_t segment_mib = 1024;
  bool spin = false;
  bool direct = false;
};

Options parse(int argc, char** argv) {
  Options options;
  const std::map<std::string_view, uint64_t*> numbers{{"--partitions", &options.partitions},
                                                      {"--batch-bytes", &options.batch_bytes},
                                                      {"--ring-mib", &options.ring_mib},
                                                      {"--laps", &options.laps},
                                                      {"--segment-mib", &options.segment_mib}};
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
  double store_block();
  void make_direct_files();
  double direct_block(uint64_t run_bytes);
  void quiet_down();
  void rest() { pause_between_polls(*disk_, options_.spin, 100 * kMicrosecond); }

  const Options options_;
  SystemClock clock_;
  Prng prng_{1};
  StorageCounters counters_;
  Unowned pool_;
  DiskPtr disk_;      // the Store's
  DiskPtr raw_disk_;  // its completions are its own
  Memory ring_memory_;
  Memory raw_memory_;
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
    return std::span(ring_memory_.get(), bytes);
  };
  auto store = Store::open(std::move(request));
  if (!store) die(store.error().what);
  store_ = std::move(*store);
  for (uint64_t log = 1; log <= options_.partitions; ++log)
    store_->open_log(LogId{log}, {.segment_bytes = options_.segment_mib * kMiB});

  raw_memory_ = allocate(kMiB);
  prng_.fill({raw_memory_.get(), kMiB});
  const auto file = raw_disk_->open(options_.data + "/raw", {.create = true});
  if (!file) die("cannot make a file there");
  raw_file_ = *file;
  for (uint64_t at = 0; at < kRawFileBytes; at += kMiB) {
    DiskOp write{.kind = DiskOp::Kind::kWrite, .file = raw_file_, .at = at, .memory = {raw_memory_.get(), kMiB}};
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

// A ring's worth of 1 MiB durable writes, one after the other. Bytes a second.
double Run::raw_block() {
  quiet_down();
  const Nanos begin = clock_.monotonic();
  const uint64_t bytes = options_.ring_mib * kMiB;
  for (uint64_t done = 0; done < bytes; done += kMiB, raw_at_ = (raw_at_ + kMiB) % kRawFileBytes) {
    DiskOp write{
        .kind = DiskOp::Kind::kWriteDurable, .file = raw_file_, .at = raw_at_, .memory = {raw_memory_.get(), kMiB}};
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
      DiskOp write{.kind = DiskOp::Kind::kWrite, .file = *file, .at = at, .memory = {raw_memory_.get(), kMiB}};
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
    to.op = {
        .kind = DiskOp::Kind::kWriteDurable, .file = to.file, .at = to.at, .memory = {raw_memory_.get(), run_bytes}};
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

// A lap of the ring through the Store, until the last of it is durable. Bytes a second.
double Run::store_block() {
  const Nanos begin = clock_.monotonic();
  const uint64_t before = counters_.get(Metric::bytes_appended);
  Lsn last{0};
  while (counters_.get(Metric::bytes_appended) - before < options_.ring_mib * kMiB || store_->durable() < last) {
    for (uint64_t turn = 0;
         turn < kTurnBytes && counters_.get(Metric::bytes_appended) - before < options_.ring_mib * kMiB;
         turn += batch_.size()) {
      BufferChain chain;
      chain.append(Buffer(pool_, batch_, batch_.size()));
      const auto result =
          store_->append(LogId{1 + next_ % options_.partitions}, LeaderEpoch{0}, chain, 0, batch_.size());
      if (result.status != AppendStatus::kAppended) break;
      last = result.durable_at;
      ++next_;
    }
    store_->submit();
    if (store_->poll() == 0) rest();
    if (store_->poisoned()) die("the ring is poisoned");
  }
  return static_cast<double>(options_.ring_mib * kMiB) * 1e9 / static_cast<double>(clock_.monotonic() - begin);
}

double median(std::vector<double> values) {
  std::ranges::sort(values);
  return values[values.size() / 2];
}

int Run::go() {
  open();
  batch_ = make_batch(options_.batch_bytes);
  store_block();  // the first lap finds the ring empty
  const auto written = [&] {
    return std::array{counters_.get(Metric::bytes_appended), counters_.get(Metric::ring_bytes_written),
                      counters_.get(Metric::segment_bytes_written), counters_.get(Metric::state_bytes_written)};
  };
  const auto before = written();
  if (options_.direct) make_direct_files();
  std::vector<double> raw, stored, direct, direct_small;
  for (uint64_t lap = 0; lap < options_.laps; ++lap) {
    raw.push_back(raw_block());
    stored.push_back(store_block());
    if (options_.direct) {
      direct.push_back(direct_block(kMiB));
      direct_small.push_back(direct_block(64 * kKiB));
    }
    fmt::print("lap {}: raw {:.0f} MB/s, stored {:.0f} MB/s\n", lap + 1, raw.back() / 1e6, stored.back() / 1e6);
    std::fflush(stdout);
  }
  const auto after = written();
  std::array<double, 4> moved;
  for (size_t i = 0; i < moved.size(); ++i) moved[i] = static_cast<double>(after[i] - before[i]);
  const double amplification = (moved[1] + moved[2] + moved[3]) / moved[0];
  const double produced = median(stored) / median(raw);
  fmt::print(
      "partitions {}, batches of {} bytes, ring {} MiB, {} laps\n"
      "produced {:.1f} % of the raw durable rate; ring and segments together {:.1f} %\n"
      "write amplification {:.3f}: ring {:.3f}, segments {:.3f}, state {:.3f}; relogged {:.3f}, blocks read back {}\n",
      options_.partitions, batch_.size(), options_.ring_mib, options_.laps, 100 * produced,
      100 * produced * (moved[1] + moved[2]) / moved[0], amplification, moved[1] / moved[0], moved[2] / moved[0],
      moved[3] / moved[0], static_cast<double>(counters_.get(Metric::bytes_relogged)) / moved[0],
      counters_.get(Metric::destage_head_reads));
  if (options_.direct) {
    fmt::print("straight into files written before, one write a partition: {:.1f} % by 1 MiB, {:.1f} % by 64 KiB\n",
               100 * median(direct) / median(raw), 100 * median(direct_small) / median(raw));
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
