// Drives and file systems (machine.h).
#include <fmt/format.h>
#include <linux/magic.h>

#include "control/cli/machine/machine.h"

namespace penstock::cli {
namespace {

constexpr uint64_t kXfs = 0x58465342;
constexpr uint64_t kZfs = 0x2fc12fc1;

// The folder of the whole drive's queue in /sys: a partition has none of its own.
std::optional<std::string> queue_of(const Machine& machine, const std::string& device) {
  const std::string base = "/sys/dev/block/" + device;
  if (machine.exists(base + "/queue")) return base + "/queue";
  if (machine.exists(base + "/../queue")) return base + "/../queue";
  return std::nullopt;
}

Finding write_cache(const Machine& machine, const std::string& queue) {
  const std::string cache = machine.read(queue + "/write_cache").value_or("unknown");
  const bool fua = machine.number(queue + "/fua").value_or(0) == 1;
  if (cache == "write through")
    return {Level::kOk, "write cache", "none that loses data: a write is durable when it is done", ""};
  if (fua) return {Level::kOk, "write cache", cache + ", with FUA: single writes can be made durable", ""};
  return {Level::kOk, "write cache", cache + ", without FUA: each durable write is followed by a flush of the drive",
          ""};
}

Finding scheduler(const Machine& machine, const std::string& queue, const std::string& drive) {
  const std::string text = machine.read(queue + "/scheduler").value_or("");
  const size_t begin = text.find('[');
  const size_t end = text.find(']');
  const std::string chosen =
      begin == text.npos || end == text.npos ? std::string("none") : text.substr(begin + 1, end - begin - 1);
  if (chosen == "none" || chosen == "mq-deadline") return {Level::kOk, "I/O scheduler", chosen, ""};
  return {Level::kWarn, "I/O scheduler", chosen + " holds writes back to be fair between processes",
          fmt::format("echo none > /sys/block/{}/queue/scheduler", drive)};
}

}  // namespace

Findings look_at_drive(const Machine& machine, const std::string& device) {
  const auto queue = queue_of(machine, device);
  if (!queue) return {{Level::kOk, "drive", fmt::format("device {} has no queue of its own", device), ""}};
  const std::string drive = machine.target(*queue + "/..").value_or(device);
  // A virtual drive says so whatever is behind it.
  const bool is_virtual = drive.starts_with("vd") || drive.starts_with("xvd");
  const bool rotates = !is_virtual && machine.number(*queue + "/rotational").value_or(0) == 1;
  Findings out;
  out.push_back({rotates ? Level::kWarn : Level::kOk, "drive",
                 fmt::format("{}{}", drive, rotates ? " says that it rotates: a durable write takes milliseconds" : ""),
                 rotates ? "take an NVMe drive" : ""});
  out.push_back(write_cache(machine, *queue));
  out.push_back(scheduler(machine, *queue, drive));
  return out;
}

Finding look_at_file_system(uint64_t type) {
  const auto ok = [](const char* name) { return Finding{Level::kOk, "file system", name, ""}; };
  const auto warn = [](const char* what) {
    return Finding{Level::kWarn, "file system", what, "put the data folder on ext4 or XFS"};
  };
  switch (type) {
    case EXT4_SUPER_MAGIC: return ok("ext4");
    case kXfs: return ok("XFS");
    case BTRFS_SUPER_MAGIC: return warn("btrfs copies each block that is written again: slow durable writes");
    case kZfs: return warn("ZFS copies each block that is written again: slow durable writes");
    case OVERLAYFS_SUPER_MAGIC: return warn("overlayfs: a container's own layer, gone with the container");
    case NFS_SUPER_MAGIC: return warn("NFS: what is durable is the server's choice");
    case TMPFS_MAGIC:
      return {Level::kFail, "file system", "tmpfs is memory: nothing on it is durable",
              "put the data folder on a drive"};
    default: return warn(fmt::format("type {:#x} is not tested", type).c_str());
  }
}

}  // namespace penstock::cli
