#include "control/startup_checks.h"

#include <sched.h>
#include <sys/resource.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <filesystem>

#include "base/log.h"
#include "base/units.h"
#include "control/cli/machine/machine.h"
#include "storage/api/disk.h"
#include "storage/api/ring_size.h"

namespace penstock::control {
namespace {

using Failure = std::unexpected<std::string>;

// Beside the ring: two state slots and the first pages of the metadata.
constexpr uint64_t kBesideRingBytes = 16 * kMiB;

// Descriptors, by whom they belong to.
constexpr uint64_t kProcessFiles = 11;  // three standard ones, the stop bell; HTTP's socket, bell and spare; four of
                                        // metadata
constexpr uint64_t kLcoreFiles = 3;     // io_uring, the bells of the lcore and of its recompressor
constexpr uint64_t kRingFiles = 8;      // itself, two states, io_uring, three of its file thread, its compaction's bell
constexpr uint64_t kFolderFiles = 3;    // the lock, the compaction's io_uring and bell
constexpr uint64_t kSegmentFiles = 32;  // the least of penstock.open.files.max
constexpr uint64_t kPassingFiles = 8;   // folders that are synced, a file that is measured, who is refused
constexpr uint64_t kLooseFiles = 16;    // of a ring, beside its segments
constexpr uint64_t kLeastClients = 4;
constexpr uint64_t kLeastHttp = 4;

// Those of more lcores before come out of the rest.
uint64_t rings_of(const DescriptorUse& use) { return std::max(use.lcores, use.folders); }

// What there is no broker without.
uint64_t least_files(const DescriptorUse& use) {
  return kProcessFiles + kLcoreFiles * use.lcores + (kRingFiles + kSegmentFiles) * rings_of(use) +
         kFolderFiles * use.folders + use.listeners + kPassingFiles + kLeastClients + kLeastHttp;
}

// The lowest folder above path that exists.
std::filesystem::path existing_part(std::filesystem::path path) {
  path = std::filesystem::absolute(path);
  std::error_code error;
  while (!std::filesystem::exists(path, error) && path.has_relative_path()) path = path.parent_path();
  return path;
}

std::string set_ring(uint64_t bytes) { return "--set penstock.ring.bytes=" + std::to_string(bytes / kMiB) + "MiB"; }

rlimit raise_limit(int which) {
  rlimit limit{};
  getrlimit(static_cast<__rlimit_resource>(which), &limit);
  limit.rlim_cur = limit.rlim_max;
  setrlimit(static_cast<__rlimit_resource>(which), &limit);
  return limit;
}

}  // namespace

std::expected<void, std::string> check_kernel(std::string_view release) {
  int major = 0;
  int minor = 0;
  const bool read = std::sscanf(std::string(release).c_str(), "%d.%d", &major, &minor) == 2;
  if (read && (major > 6 || (major == 6 && minor >= 1))) return {};
  return Failure("Linux 6.1 or newer is needed, this is " + std::string(release) + "; boot a newer kernel");
}

std::optional<DescriptorShare> share_descriptors(const DescriptorUse& use, uint64_t files) {
  const uint64_t needed = least_files(use);
  if (files < needed) return std::nullopt;
  const auto above = [](uint64_t wanted, uint64_t least) { return wanted - std::min(wanted, least); };
  const uint64_t rings = rings_of(use);
  uint64_t left = files - needed;
  // Sidecars, and what a compaction reads and writes. Whoever lacks one tries again.
  left -= std::min(kLooseFiles * rings, left / 4);
  const uint64_t http = std::min(above(use.http_max, kLeastHttp), left / 8);
  left -= http;
  const uint64_t segments_wanted = above(use.segments_max, kSegmentFiles) * rings;
  const uint64_t clients =
      std::min(above(use.connections_max, kLeastClients), left - std::min(segments_wanted, left / 2));
  const uint64_t segments = std::min(segments_wanted, left - clients);
  return DescriptorShare{.segments_max = std::min(use.segments_max, kSegmentFiles + segments / rings),
                         .connections_max = std::min(use.connections_max, kLeastClients + clients),
                         .http_max = std::min(use.http_max, kLeastHttp + http)};
}

std::expected<DescriptorShare, std::string> raise_limits(const DescriptorUse& use) {
  raise_limit(RLIMIT_MEMLOCK);
  const rlimit files = raise_limit(RLIMIT_NOFILE);
  const auto share = share_descriptors(use, files.rlim_max);
  if (!share) {
    return Failure(std::to_string(files.rlim_max) + " files may be open, " + std::to_string(least_files(use)) +
                   " are needed for " + std::to_string(use.lcores) + " lcore(s) and " + std::to_string(use.folders) +
                   " data folder(s); raise the hard limit (ulimit -Hn, LimitNOFILE= of systemd)");
  }
  if (share->connections_max < use.connections_max || share->segments_max < use.segments_max) {
    const auto number = [](uint64_t n) { return static_cast<unsigned long long>(n); };
    LOG_INFO(
        "only %llu files may be open: %llu client connections are taken (max.connections is %llu), and each ring keeps "
        "%llu segment files open (penstock.open.files.max is %llu); raise the limit (ulimit -n)",
        number(files.rlim_max), number(share->connections_max), number(use.connections_max),
        number(share->segments_max), number(use.segments_max));
  }
  return *share;
}

std::expected<void, std::string> check_folder(const std::string& folder) {
  std::error_code error;
  std::filesystem::path path = std::filesystem::absolute(folder, error);
  if (!path.has_filename() && path.has_relative_path()) path = path.parent_path();
  if (std::filesystem::is_symlink(path, error) && !std::filesystem::exists(path, error)) {
    return Failure(folder + " is a link to " + std::filesystem::read_symlink(path, error).string() +
                   ", which is not there; make that folder or mount its drive, or choose another --data");
  }
  const std::filesystem::path there = existing_part(path);
  if (std::filesystem::is_directory(there, error) || error) return {};
  return Failure((there == path ? folder : there.string()) + " is not a folder; choose another --data");
}

std::expected<void, std::string> check_space(const std::string& folder, size_t new_rings, uint64_t ring_bytes) {
  if (new_rings == 0) return {};
  struct statvfs space{};
  if (statvfs(existing_part(folder).c_str(), &space) != 0) return {};  // whoever opens the folder says it better
  const uint64_t free_bytes = space.f_bavail * space.f_frsize;
  const uint64_t needed = new_rings * ring_bytes + kBesideRingBytes;
  if (free_bytes >= needed) return {};
  const uint64_t for_rings = free_bytes - std::min(free_bytes, kBesideRingBytes);
  auto fits = storage::ring_that_fits(for_rings, cli::look_at_memory(cli::Machine("")).most, new_rings);
  if (fits && *fits >= ring_bytes) fits.reset();
  return Failure(
      "the disk of " + folder + " has " + std::to_string(free_bytes / kMiB) + " MiB free, " +
      (new_rings == 1 ? "the ring needs " : std::to_string(new_rings) + " rings need ") +
      std::to_string(needed / kMiB) + "; free some" +
      (fits ? ", choose another --data, or a smaller ring: " + set_ring(*fits) : " or choose another --data"));
}

std::expected<std::vector<int>, std::string> parse_cpus(const std::string& text, size_t lcores) {
  std::vector<int> cpus;
  const char* at = text.data();
  const char* const end = text.data() + text.size();
  const long online = sysconf(_SC_NPROCESSORS_CONF);
  while (at != end) {
    int cpu = -1;
    const auto [next, error] = std::from_chars(at, end, cpu);
    if (error != std::errc{} || cpu < 0 || cpu >= online || (next != end && *next != ',')) {
      return Failure("penstock.lcore.cpus: '" + text + "' is not a list of CPU numbers from 0 to " +
                     std::to_string(online - 1) + ", parted by commas");
    }
    cpus.push_back(cpu);
    at = next == end ? end : next + 1;
  }
  if (!cpus.empty() && cpus.size() != lcores) {
    return Failure("penstock.lcore.cpus: " + std::to_string(cpus.size()) + " CPUs for " + std::to_string(lcores) +
                   " lcore(s); name one for each");
  }
  return cpus;
}

void pin_this_thread(int cpu) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(static_cast<size_t>(cpu), &set);
  if (sched_setaffinity(0, sizeof set, &set) != 0) {
    LOG_WARN("this thread may not run on CPU %d (a container's limit?); the kernel places it", cpu);
  }
}

std::string cannot_write_durably(const std::string& folder, Error error) {
  const std::string_view hint = error.code == Errc::kUnsupported
                                    ? "direct I/O is needed: choose a data folder on a local file system (ext4, XFS)"
                                : error.code == Errc::kNoPermission ? storage::hint_to_write(error)
                                                                    : "check the drive and its file system";
  return "cannot write durably to " + folder + ": " + std::string(storage::reason_of(error)) +
         (error.os_errno == 0 ? "" : " (errno " + std::to_string(error.os_errno) + ")") + "; " + std::string(hint);
}

}  // namespace penstock::control
