#include "control/cli/machine/check.h"

#include <fmt/format.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/sysmacros.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "base/histogram.h"
#include "base/system_clock.h"
#include "control/cli/command.h"
#include "control/cli/command_line.h"
#include "control/cli/error.h"
#include "control/cli/json.h"
#include "control/cli/load/disk_writer.h"
#include "control/cli/load/meter.h"
#include "control/cli/machine/machine.h"
#include "storage/api/ring_size.h"
#include "storage/api/uring_disk.h"

namespace penstock::cli {
namespace {

struct CheckOptions {
  std::vector<std::string> folders;
  uint64_t ring_bytes = 256 * kMiB;
  uint32_t lcores = 0;
  uint32_t writes = 200;
  bool appliance = false;
  bool json = false;
};

uint64_t hard_limit(int which) {
  rlimit limit{};
  getrlimit(static_cast<__rlimit_resource>(which), &limit);
  return limit.rlim_max == RLIM_INFINITY ? UINT64_MAX : limit.rlim_max;
}

// The file says what is allowed; only a ring that opens says what works (a container's seccomp filter, an old kernel).
Finding io_uring_opens() {
  const auto disk = storage::open_uring_disk();
  if (disk) return {Level::kOk, "io_uring ring", "opens", ""};
  return {Level::kFail, "io_uring ring", disk.error().what, "allow io_uring to this user or container"};
}

Finding measured(const std::string& folder, const char* method, const CheckOptions& options) {
  const std::string name = fmt::format("durable write, {}", method);
  try {
    SystemClock clock;
    DiskWriter disk(clock, {.folder = folder, .bytes = 4 * kKiB, .file_bytes = 4 * kMiB, .method = method});
    Histogram latency;
    for (uint32_t i = 0; i < options.writes; ++i) {
      const Nanos before = clock.monotonic();
      disk.write();
      latency.record(static_cast<uint64_t>(clock.monotonic() - before));
    }
    return {Level::kOk, name,
            fmt::format("{} of {} bytes: {}", options.writes, disk.write_bytes(), latency_text(latency)), ""};
  } catch (const CliError& error) {
    return {Level::kFail, name, error.what(), "name a folder on ext4 or XFS that this user may write to"};
  }
}

// rings: that are to be in it.
void look_at_folder(const Machine& machine, const std::string& folder, uint64_t rings, const CheckOptions& options,
                    Findings& out) {
  struct stat is{};
  struct statfs system{};
  if (stat(folder.c_str(), &is) != 0 || statfs(folder.c_str(), &system) != 0) {
    out.push_back({Level::kFail, "data folder", fmt::format("{}: {}", folder, std::strerror(errno)),
                   fmt::format("mkdir -p {}", folder)});
    return;
  }
  const uint64_t free = static_cast<uint64_t>(system.f_bavail) * static_cast<uint64_t>(system.f_bsize);
  const bool fits = free / 2 / rings >= options.ring_bytes;
  const auto smaller = storage::ring_that_fits(free, look_at_memory(machine).most, rings);
  const std::string change = smaller ? fmt::format("free some, or {}", smaller_ring(smaller)) : "free some";
  const std::string lack =
      rings == 1 ? ", too little for ring and segments" : fmt::format(", too little for {} rings and segments", rings);
  out.push_back({fits ? Level::kOk : Level::kFail, "data folder",
                 fmt::format("{}: {} MiB free{}", folder, free / kMiB, fits ? "" : lack), fits ? "" : change});
  out.push_back(look_at_file_system(static_cast<uint64_t>(system.f_type)));
  for (Finding& finding : look_at_drive(machine, fmt::format("{}:{}", major(is.st_dev), minor(is.st_dev))))
    out.push_back(std::move(finding));
  // Through direct I/O, as the ring writes; without it both fail, and say so.
  out.push_back(measured(folder, "dsync", options));
  out.push_back(measured(folder, "flush", options));
}

const char* level_name(Level level) {
  switch (level) {
    case Level::kOk: return "ok";
    case Level::kWarn: return "warn";
    case Level::kFail: return "fail";
  }
  return "";
}

Json json_of(const Findings& findings) {
  Json list = Json::array();
  for (const Finding& finding : findings) {
    list.push_back({{"level", level_name(finding.level)},
                    {"name", finding.name},
                    {"what", finding.what},
                    {"change", finding.change.empty() ? Json() : Json(finding.change)}});
  }
  return list;
}

std::string text_of(const Findings& findings) {
  std::string out;
  for (const Finding& finding : findings) {
    out += fmt::format("{:<4}  {:<20}  {}\n", level_name(finding.level), finding.name, finding.what);
    if (!finding.change.empty()) out += fmt::format("{:28}to change: {}\n", "", finding.change);
  }
  return out;
}

void run_check(const CheckOptions& options) {
  const Machine machine("");
  const auto folders = options.folders.empty() ? std::vector<std::string>{"."} : options.folders;
  const uint64_t rings = std::max<uint64_t>(lcores_for(options.lcores, cpus_allowed()), folders.size());
  const MachineWish wish{.appliance = options.appliance,
                         .rings = rings,
                         .ring_bytes = options.ring_bytes,
                         .locked_memory = hard_limit(RLIMIT_MEMLOCK),
                         .open_files = hard_limit(RLIMIT_NOFILE)};
  Findings findings = look_at_host(machine, wish);
  findings.push_back(io_uring_opens());
  for (Finding& finding : look_at_network(machine, wish)) findings.push_back(std::move(finding));
  for (Finding& finding : look_at_cards(machine)) findings.push_back(std::move(finding));
  // Ring k is in folder k modulo their number.
  for (size_t i = 0; i < folders.size(); ++i)
    look_at_folder(machine, folders[i], (rings - i + folders.size() - 1) / folders.size(), options, findings);
  write_output("-", options.json ? json_of(findings).dump(2) + "\n" : text_of(findings));
  for (const Finding& finding : findings)
    if (finding.level == Level::kFail) throw Exit{kExitFailed};
}

}  // namespace

void add_check_command(Command& root) {
  Command& command = root.command("check", "look at this machine and say what to change for a broker on it");
  const auto options = std::make_shared<CheckOptions>();
  command.option("--data", options->folders, "a data folder to be (default: here); may be given again")
      .value("DIR")
      .complete(Completes::kFolders);
  add_bytes_option(command, "--ring-bytes", options->ring_bytes, "penstock.ring.bytes to be (default 256MiB)");
  command.option("--lcores", options->lcores, "penstock.lcores to be (default: half the CPUs); each has a ring")
      .between(0, 64);
  command.option("--writes", options->writes, "durable writes to measure by each method (default 200)")
      .between(1, 100'000);
  command.flag("--appliance", options->appliance, "for spinning lcores and DPDK: asks more of the machine");
  command.flag("--json", options->json, "print JSON");
  command.describe(
      "A line a thing: ok, warn (it works, and costs something) or fail (a broker does not run like this). Exit code 1 "
      "if something fails. It writes only into a folder penstock-bench inside the data folder, which it removes.");
  command.action([options] { run_check(*options); });
}

}  // namespace penstock::cli
