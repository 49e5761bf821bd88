#include "control/cli/records/consume.h"

#include <fmt/format.h>

#include <memory>
#include <string>

#include "base/system_clock.h"
#include "control/cli/command.h"
#include "control/cli/command_line.h"
#include "control/cli/load/interrupt.h"
#include "control/cli/records/consumer.h"
#include "control/cli/records/progress.h"
#include "control/cli/records/record_format.h"

namespace penstock::cli {
namespace {

constexpr size_t kWriteAt = 64 * kKiB;

struct ConsumeInput {
  ConsumerOptions consumer;
  std::string from = "beginning";
  std::string until;
  std::optional<uint64_t> count;
  std::string format = "%s\\n";
  bool format_given = false;
  bool escape = false;
  bool json = false;
  bool quiet = false;
};

class ConsumeSession {
 public:
  ConsumeSession(const ConsumeInput& options, Clock& clock, Consumer& consumer)
      : options_(options),
        consumer_(consumer),
        format_(options.format, options.consumer.topic, options.escape),
        progress_(clock, options.quiet || isatty(STDOUT_FILENO) != 0) {}

  void run() {
    const Interrupt interrupt;
    while (!consumer_.done() && !enough() && !interrupt.seen()) {
      consumer_.poll(kSecond, [this](const ConsumedRecord& record) { return take(record); });
      flush();
      progress_.tick([this] { return fmt::format("{} records", records_); });
    }
  }

 private:
  bool enough() const { return options_.count && records_ >= *options_.count; }

  bool take(const ConsumedRecord& record) {
    if (enough()) return false;
    records_ += 1;
    if (options_.json) {
      append_json(out_, options_.consumer.topic, record);
    } else {
      format_.append(out_, record);
    }
    if (out_.size() >= kWriteAt) flush();
    return !enough();
  }

  void flush() {
    if (!out_.empty()) write_output("-", out_);
    out_.clear();
  }

  const ConsumeInput& options_;
  Consumer& consumer_;
  RecordFormat format_;
  Progress progress_;
  std::string out_;
  uint64_t records_ = 0;
};

void run_consume(ConsumeInput options) {
  if (options.json && (options.format_given || options.escape))
    throw UsageError("--json has its own form; leave out --format and --escape");
  SystemClock clock;
  const int64_t now = clock.wall_ms();
  options.consumer.from = parse_start(options.from, now);
  if (!options.until.empty()) options.consumer.until_ms = parse_time(options.until, now);
  (void)RecordFormat(options.format, "", false);
  Cluster cluster(clock, options.consumer.broker);
  Consumer consumer(clock, cluster, cluster.topic(options.consumer.topic), options.consumer);
  ConsumeSession(options, clock, consumer).run();
}

// What parse says of text is said before anything is connected.
Option& add_checked(Command& command, const std::string& names, std::string& value,
                    std::function<void(const std::string&)> parse, const std::string& help) {
  return command.option(
      names, Option::Kind::kValue,
      [&value, parse](const std::string& text) {
        parse(text);
        value = text;
      },
      help);
}

void add_range_options(Command& command, ConsumeInput& options) {
  command
      .option(
          "-p,--partition", Option::Kind::kList,
          [&options](const std::string& text) {
            options.consumer.partitions.push_back(static_cast<int32_t>(parse_signed(text, 0, INT32_MAX)));
          },
          "this one alone; may be given again")
      .value("N");
  add_checked(
      command, "-o,--from", options.from, [](const std::string& text) { (void)parse_start(text, 0); },
      "beginning (default), end, an offset, -N: the last N of each partition, or @TIME: the first record of "
      "that time or later")
      .value("WHERE");
  add_checked(
      command, "--until", options.until, [](const std::string& text) { (void)parse_time(text, 0); },
      "end before the first record of this time or later")
      .value("TIME");
  command.flag("-e,--exit", options.consumer.until_end,
               "end where the partitions end now, instead of waiting for more");
  command.option("-c,--count", options.count, "end after so many records").at_least(1);
}

}  // namespace

void add_consume_command(Command& root) {
  Command& command = root.command("consume", "print a topic's records, and go on as they come");
  const auto options = std::make_shared<ConsumeInput>();
  command.option("topic", options->consumer.topic, "the topic").required().complete(Completes::kTopics);
  add_broker_options(command, options->consumer.broker);
  add_range_options(command, *options);
  add_checked(
      command, "-f,--format", options->format,
      [given = options.get()](const std::string& text) {
        (void)RecordFormat(text, "", false);
        given->format_given = true;
      },
      "how a record is written (default %s\\n)")
      .value("TEXT");
  command.flag("-J,--json", options->json,
               "a JSON object a line; bytes that are no UTF-8 as digits in key_hex, value_hex");
  command.flag("--escape", options->escape, "write what is not printable as \\xHH, for a terminal");
  add_bytes_option(command, "--fetch-bytes", options->consumer.fetch_bytes, "of one Fetch (default 4MiB)");
  command.flag("-q,--quiet", options->quiet, "no progress on the terminal");
  command.describe(
      "In --format: %t topic, %p partition, %o offset, %T timestamp in milliseconds, %k key, %K its length (-1: none), "
      "%s value, %S its length (-1: null), %h headers, %% a percent sign; \\n \\t \\0 \\xHH as usual.\n\n"
      "A TIME is 2026-01-02T03:04:05Z (UTC), 2026-01-02, milliseconds since 1970, or -10m: ten minutes ago.\n\n"
      "  penstock consume orders -o -10 -e -f '%p/%o %k: %s\\n'\n"
      "  penstock consume orders -o @-1h -J");
  command.action([options] { run_consume(*options); });
}

}  // namespace penstock::cli
