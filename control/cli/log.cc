#include "control/cli/log.h"

#include <fmt/format.h>

#include <charconv>
#include <cstdint>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "control/cli/command_line.h"
#include "control/cli/error.h"
#include "control/cli/log_names.h"
#include "control/cli/log_print.h"
#include "control/controller/uuid_text.h"
#include "storage/api/log_tool.h"
#include "storage/api/uring_disk.h"

namespace penstock::cli {
namespace {

using storage::LogId;

constexpr int kExitDamaged = 1;
constexpr int kExitCannotRun = 2;

struct LogOptions {
  std::string folder;
  std::optional<uint32_t> ring;
  std::optional<uint64_t> log;
  std::string topic;
  std::optional<int32_t> partition;
  bool json = false;
  // dump
  int64_t from = 0;
  bool records = false;
  std::optional<uint64_t> limit;
  // verify
  bool live = false;
  // repair
  storage::RepairOptions repair;
  std::vector<std::string> accepted;
};

// What a run needs beside its options; lives as long as the run.
struct Run {
  storage::DiskPtr disk;
  LogNames names;
  std::set<LogId> wanted;
  storage::LogToolRequest request;
};

[[noreturn]] void cannot_run(const std::string& why) { throw CliError(kExitCannotRun, why); }

std::set<LogId> wanted_logs(const LogOptions& options, const LogNames& names) {
  if (options.log) return {LogId{*options.log}};
  if (options.topic.empty()) return {};
  if (!names.known()) cannot_run(fmt::format("{}; name the log by --log ID instead", names.why_not));
  const auto logs = names.logs_of(options.topic, options.partition);
  if (logs.empty())
    cannot_run(fmt::format("metadata.sqlite has no topic {}{}", options.topic,
                           options.partition ? fmt::format(" with a partition {}", *options.partition) : ""));
  return {logs.begin(), logs.end()};
}

std::unique_ptr<Run> prepare(const LogOptions& options) {
  auto run = std::make_unique<Run>();
  auto disk = storage::open_uring_disk();
  if (!disk) cannot_run(disk.error().what);
  run->disk = *std::move(disk);
  run->names = read_log_names(options.folder, options.live);
  run->wanted = wanted_logs(options, run->names);
  run->request = {.disk = run->disk.get(), .folder = options.folder, .live = options.live, .ring = options.ring};
  Run* const made = run.get();
  if (options.log || !options.topic.empty())
    run->request.wanted = [made](LogId log) { return made->wanted.contains(log); };
  // A copy made beside a running broker may be older than what the state slots say.
  if (!run->names.known() || options.live) return run;
  run->request.lives = [made](LogId log) { return made->names.partitions.contains(log); };
  run->request.next_log_id = run->names.next_log_id;
  for (const auto& [log, is] : run->names.partitions) run->request.ring_of[log] = is.ring;
  run->request.lives_of_rings = run->names.lives_of_rings;
  run->request.all_rings_here = run->names.folders.size() <= 1;
  if (!run->names.folders.empty())
    run->request.knows_folder = [made](const Uuid& id) { return made->names.folders.contains(control::to_text(id)); };
  return run;
}

// Said once it is known that there is a folder.
void tell_unknown_names(const Run& run) {
  if (!run.names.known())
    fmt::print(stderr, "penstock: {}: which logs live, and their names, is not known\n", run.names.why_not);
}

// The metadata is part of the folder, but not of storage.
storage::Finding finding_of_metadata(const LogNames& names) {
  return {.severity = storage::Severity::kDamage,
          .kind = storage::FindingKind::kFolder,
          .file = names.path,
          .place = "all of it",
          .means = names.why_not + "; which topics there are, and which logs are theirs, is not known",
          .todo = names.todo};
}

void print_progress(const std::string& line) { fmt::print(stderr, "{}\n", line); }

void run_dump(const LogOptions& options) {
  const auto run = prepare(options);
  const LogPrinter printer(run->names, options.json);
  uint64_t left = options.limit.value_or(UINT64_MAX);
  storage::LogToolSink sink;
  sink.on_item = [&](const storage::LogItem& item) {
    const bool counts = item.kind == "batch" || item.kind == "entry" || item.kind == "frame";
    if (counts && left == 0) return false;
    printer.item(item);
    if (counts) left -= 1;
    return true;
  };
  const auto done =
      storage::dump_folder(run->request, {.from = Offset{options.from}, .records = options.records}, sink);
  if (!done) cannot_run(done.error().what);
  tell_unknown_names(*run);
}

void run_verify(const LogOptions& options) {
  const auto run = prepare(options);
  const LogPrinter printer(run->names, options.json);
  storage::LogToolSink sink;
  sink.on_finding = [&](const storage::Finding& finding) { printer.finding(finding); };
  sink.on_progress = print_progress;
  auto totals = storage::verify_folder(run->request, sink);
  if (!totals) cannot_run(totals.error().what);
  if (run->names.no_copy && !options.live) cannot_run(run->names.why_not);
  if (options.log && totals->logs == 0 && totals->damage == 0 && !run->names.partitions.contains(LogId{*options.log}))
    cannot_run(
        fmt::format("{}: no ring that was looked at knows log {}, and no topic has it", options.folder, *options.log));
  if (!run->names.todo.empty()) {
    printer.finding(finding_of_metadata(run->names));
    totals->damage += 1;
  }
  tell_unknown_names(*run);
  printer.verified(options.folder, *totals);
  if (!totals->fine()) throw Exit{kExitDamaged};
}

storage::AcceptedLoss parse_loss(const std::string& text) {
  const char* const end = text.data() + text.size();
  uint64_t log = 0;
  int64_t offset = 0;
  const auto first = std::from_chars(text.data(), end, log);
  if (first.ec == std::errc{} && first.ptr != end && *first.ptr == ':') {
    const auto second = std::from_chars(first.ptr + 1, end, offset);
    if (second.ec == std::errc{} && second.ptr == end && offset >= 0) return {LogId{log}, Offset{offset}};
  }
  throw UsageError(fmt::format("--accept-loss: '{}' is no loss; write LOG:OFFSET as verify names it", text));
}

void run_repair(const LogOptions& options) {
  storage::RepairOptions repair = options.repair;
  for (const std::string& text : options.accepted) repair.accepted.push_back(parse_loss(text));
  if (!repair.rebuild_sidecars && !repair.restore_slots && !repair.remove_unnamed && repair.accepted.empty())
    throw UsageError(
        "name what is to be repaired: --rebuild-sidecars, --restore-slots, "
        "--remove-unnamed or --accept-loss LOG:OFFSET");
  const auto run = prepare(options);
  const LogPrinter printer(run->names, options.json);
  storage::LogToolSink sink;
  sink.on_step = [&](const storage::RepairStep& step) { printer.step(step, !repair.do_it); };
  sink.on_progress = print_progress;
  const auto totals = storage::repair_folder(run->request, repair, sink);
  if (!totals) cannot_run(totals.error().what);
  tell_unknown_names(*run);
  printer.repaired(*totals, !repair.do_it);
  if (totals->refused > 0) throw Exit{kExitDamaged};
}

// A subcommand of log with the options that all have; options lives as long as the parsed command line.
Command& add(Command& log, const std::shared_ptr<LogOptions>& options, const std::string& name, const std::string& help,
             void (*run)(const LogOptions&)) {
  Command& command = log.command(name, help);
  command.option("--data", options->folder, "the data folder").value("DIR").complete(Completes::kFolders).required();
  command.option("--ring", options->ring, "this ring alone").value("N");
  Option& by_id = command.option("--log", options->log, "this log alone, by its id").value("ID");
  Option& by_name = command.option("--topic", options->topic, "this topic's logs alone").value("NAME");
  by_name.excludes(by_id);
  command.option("--partition", options->partition, "this partition of the topic alone")
      .value("P")
      .at_least(0)
      .needs(by_name);
  command.flag("--json", options->json, "print a JSON object a line");
  command.action([options, run] { run(*options); });
  return command;
}

}  // namespace

void add_log_command(Command& root) {
  Command& log = root.command("log", "look at a data folder, check it, repair it; without a broker");
  const auto options = std::make_shared<LogOptions>();
  Command& dump = add(log, options, "dump", "show slots, rings and segments, batch by batch", run_dump);
  dump.option("--from", options->from, "leave out batches that end before this offset").value("OFFSET").at_least(0);
  dump.flag("--records", options->records, "show the records of batches that are not compressed");
  dump.option("--limit", options->limit, "stop after so many frames, entries and batches").value("N");
  Command& verify =
      add(log, options, "verify", "check every byte; exit code 0: fine, 1: damaged, 2: could not", run_verify);
  verify.flag("--live-read-only", options->live,
              "also beside a running broker: segments alone, as far as the state vouches for them");
  Command& repair = add(log, options, "repair", "repair what is named; a dry run without --yes", run_repair);
  repair.flag("--rebuild-sidecars", options->repair.rebuild_sidecars,
              "make missing and damaged sidecars anew from good segments");
  repair.flag("--restore-slots", options->repair.restore_slots, "make a damaged state slot anew from the whole one");
  repair.flag("--remove-unnamed", options->repair.remove_unnamed, "remove files that no state slot names");
  repair
      .option("--accept-loss", options->accepted,
              "end a damaged log at its first lost offset, as verify names it; may be given again")
      .value("LOG:OFFSET");
  repair.flag("--yes", options->repair.do_it, "do it");
}

}  // namespace penstock::cli
