#include "control/cli/records/produce.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "base/system_clock.h"
#include "control/cli/command.h"
#include "control/cli/command_line.h"
#include "control/cli/error.h"
#include "control/cli/json.h"
#include "control/cli/load/interrupt.h"
#include "control/cli/records/codec_option.h"
#include "control/cli/records/producer.h"
#include "control/cli/records/progress.h"
#include "control/cli/records/record_splitter.h"
#include "control/cli/text.h"

namespace penstock::cli {
namespace {

constexpr size_t kReadBytes = 256 * kKiB;
constexpr size_t kRecordMost = 64 * kMiB;

struct ProduceInput {
  std::string file = "-";
  std::string delimiter = "\n";
  std::string key_delimiter;
  std::optional<std::string> key;
  std::vector<std::string> headers;
  bool null_if_empty = false;
  bool json = false;
  bool quiet = false;
  ProducerOptions producer;
};

// Standard input, or a file that closes with its owner.
class Input {
 public:
  explicit Input(const std::string& path) : fd_(path == "-" ? STDIN_FILENO : open(path.c_str(), O_RDONLY | O_CLOEXEC)) {
    if (fd_ < 0) throw CliError(kExitFailed, fmt::format("cannot read {}: {}", path, std::strerror(errno)));
  }
  ~Input() {
    if (fd_ != STDIN_FILENO) close(fd_);
  }
  Input(const Input&) = delete;
  Input& operator=(const Input&) = delete;

  int fd() const { return fd_; }
  // What has come; empty at the end.
  std::string_view read_some() {
    for (;;) {
      const ssize_t n = read(fd_, bytes_.get(), kReadBytes);
      if (n >= 0) return {bytes_.get(), static_cast<size_t>(n)};
      if (errno != EINTR) throw CliError(kExitFailed, fmt::format("cannot read the input: {}", std::strerror(errno)));
    }
  }

 private:
  int fd_;
  std::unique_ptr<char[]> bytes_ = std::make_unique_for_overwrite<char[]>(kReadBytes);
};

std::vector<protocol::RecordHeader> parse_headers(const std::vector<std::string>& texts) {
  std::vector<protocol::RecordHeader> out;
  for (const std::string& text : texts) {
    const std::string_view all(text);
    const size_t equals = all.find('=');
    if (equals == 0 || all.empty()) throw UsageError(fmt::format("--header: '{}' has no name; write NAME=VALUE", text));
    protocol::RecordHeader& header = out.emplace_back();
    header.key = all.substr(0, equals);
    if (equals != all.npos) header.value = as_bytes(all.substr(equals + 1));  // without =: null
  }
  return out;
}

class ProduceSession {
 public:
  ProduceSession(const ProduceInput& options, Clock& clock, Producer& producer)
      : options_(options),
        clock_(clock),
        producer_(producer),
        input_(options.file),
        splitter_(options.delimiter, kRecordMost),
        headers_(parse_headers(options.headers)),
        progress_(clock, options.quiet) {}

  void run() {
    const Interrupt interrupt;  // what was read is still sent
    for (;;) {
      if (interrupt.seen()) {
        reading_ = false;
        if (!producer_.connected() && !producer_.idle())
          producer_.give_up("interrupted while it waited for the broker");
      }
      take_records();
      producer_.send(!reading_ && !more_);
      if (!reading_ && !more_ && producer_.idle()) return;
      wait();
      producer_.receive();
      progress_.tick([this] {
        return fmt::format("{} records, {:.1f} MB acknowledged", producer_.totals().records,
                           static_cast<double>(producer_.totals().bytes) / 1e6);
      });
    }
  }

 private:
  void take_records() {
    more_ = true;
    while (producer_.has_room()) {
      const auto record = splitter_.next();
      if (!record) {
        more_ = false;
        return;
      }
      KeyAndValue parts = split_key(*record, options_.key_delimiter, options_.null_if_empty);
      if (options_.key) parts.key = *options_.key;
      producer_.add(parts.key, parts.value, headers_);
    }
  }

  void wait() {
    const bool wants_input = reading_ && !more_;
    std::vector<pollfd> polls{{wants_input ? input_.fd() : -1, POLLIN, 0}};
    producer_.add_polls(polls);
    const Nanos left = std::min(producer_.next_due(), progress_.next()) - clock_.monotonic();
    const auto ms = static_cast<int>(std::clamp<Nanos>((left + kMillisecond - 1) / kMillisecond, 0, 1000));
    if (poll(polls.data(), polls.size(), ms) <= 0) return;
    if (polls[0].revents == 0) return;
    const std::string_view bytes = input_.read_some();
    if (bytes.empty()) {
      reading_ = false;
      splitter_.end();
      return;
    }
    splitter_.add(bytes);
  }

  const ProduceInput& options_;
  Clock& clock_;
  Producer& producer_;
  Input input_;
  RecordSplitter splitter_;
  std::vector<protocol::RecordHeader> headers_;
  Progress progress_;
  bool reading_ = true;
  bool more_ = false;  // records of what was read wait for room
};

void report(const ProduceInput& options, const ProduceTotals& totals, double seconds) {
  if (options.json) {
    Json partitions = Json::array();
    for (const auto& [partition, range] : totals.partitions) {
      partitions.push_back({{"partition", partition},
                            {"records", range.records},
                            {"first_offset", range.first_offset < 0 ? Json() : Json(range.first_offset)},
                            {"last_offset", range.last_offset < 0 ? Json() : Json(range.last_offset)}});
    }
    const Json json{{"topic", options.producer.topic}, {"records", totals.records}, {"bytes", totals.bytes},
                    {"batches", totals.batches},       {"refused", totals.refused}, {"seconds", seconds},
                    {"partitions", partitions}};
    write_output("-", json.dump() + "\n");
  } else if (!options.quiet && isatty(STDERR_FILENO) != 0) {
    fmt::print(stderr, "{} records in {} batches, {:.1f} MB in {:.1f} s\n", totals.records, totals.batches,
               static_cast<double>(totals.bytes) / 1e6, seconds);
  }
}

void run_produce(ProduceInput options) {
  check_level(options.producer.codec, options.producer.level);
  if (options.key && !options.key_delimiter.empty()) throw UsageError("--key and --key-delimiter both name the key");
  if (options.producer.idempotent && options.producer.acks != -1) throw UsageError("--idempotent needs --acks all");
  (void)parse_headers(options.headers);
  SystemClock clock;
  Cluster cluster(clock, options.producer.broker);
  Producer producer(clock, cluster, cluster.topic(options.producer.topic, true), options.producer);
  const Nanos start = clock.monotonic();
  ProduceSession(options, clock, producer).run();
  report(options, producer.totals(), static_cast<double>(clock.monotonic() - start) / kSecond);
  if (producer.totals().refused > 0) throw Exit{kExitFailed};
}

void add_input_options(Command& command, ProduceInput& options) {
  command.option("-f,--file", options.file, "read from a file instead of standard input")
      .value("FILE")
      .complete(Completes::kFiles);
  command
      .option(
          "-D,--delimiter", Option::Kind::kValue,
          [&options](const std::string& text) { options.delimiter = unescaped(text); },
          "what parts records (default \\n); empty: the whole input is one")
      .value("TEXT");
  command
      .option(
          "-K,--key-delimiter", Option::Kind::kValue,
          [&options](const std::string& text) { options.key_delimiter = unescaped(text); },
          "what parts a record's key from its value; without this there is no key")
      .value("TEXT");
  command
      .option(
          "-k,--key", Option::Kind::kValue, [&options](const std::string& text) { options.key = text; },
          "the key of all records")
      .value("TEXT");
  command.option("-H,--header", options.headers, "a header of all records; without = it is null; may be given again")
      .value("NAME=VALUE");
  command.flag("-Z,--null", options.null_if_empty, "an empty value is null (a tombstone), an empty key none");
}

}  // namespace

void add_produce_command(Command& root) {
  Command& command = root.command("produce", "write records to a topic: each line of the input is one");
  const auto options = std::make_shared<ProduceInput>();
  ProducerOptions& producer = options->producer;
  command.option("topic", producer.topic, "the topic; a missing one is made if the broker's settings say so")
      .required()
      .complete(Completes::kTopics);
  add_broker_options(command, producer.broker);
  add_input_options(command, *options);
  command.option("-p,--partition", producer.partition, "all records to this one (default: by key, else by turns)")
      .at_least(0);
  add_codec_options(command, producer.codec, producer.level);
  command.choice<int16_t>("--acks", producer.acks, {{"all", -1}, {"0", 0}, {"1", 1}, {"-1", -1}},
                          "when the broker answers (default all)");
  command.flag(
      "--idempotent", producer.idempotent,
      "insist on a producer id, so that nothing comes twice (the default with --acks all if the broker has ids)");
  add_bytes_option(command, "--batch-bytes", producer.batch_bytes, "of a batch before compression (default 256KiB)");
  add_duration_option(command, "--linger", producer.linger, "how long a batch waits for more records (default 5ms)");
  add_duration_option(command, "--delivery-timeout", producer.delivery_timeout,
                      "how long what fails, also for want of a broker, is tried again (default 120s)");
  command.flag("--json", options->json, "print what was written as JSON: records and offsets of each partition");
  command.flag("-q,--quiet", options->quiet, "no progress on the terminal");
  command.describe(
      "Ends at the end of the input, or at Ctrl-C, when all that was read is acknowledged. If the connection breaks or "
      "the broker restarts, it connects again, says so if the first try fails, and sends again what was not "
      "acknowledged; Ctrl-C ends that at once. Without a producer id records may come twice then, and with --acks 0 be "
      "lost. Exit code 1: the broker refused records, and said why on standard error; 2: no broker, or no answer.\n\n"
      "  printf 'a:1\\nb:2\\n' | penstock produce orders -K : -z zstd");
  command.action([options] { run_produce(*options); });
}

}  // namespace penstock::cli
