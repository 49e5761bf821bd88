// Device strings and EAL options.
#include "dataplane/nic/device.h"

#include <dirent.h>
#include <sched.h>

#include <algorithm>
#include <cctype>
#include <charconv>
#include <fstream>

#include "base/units.h"

namespace penstock::dataplane::nic {

namespace {

bool is_hex(std::string_view text) {
  return !text.empty() && std::ranges::all_of(text, [](unsigned char c) { return std::isxdigit(c) != 0; });
}

// [domain:]bus:device.function
bool is_pci_address(std::string_view text) {
  if (std::ranges::count(text, ':') == 2) {
    const size_t colon = text.find(':');
    if (!is_hex(text.substr(0, colon))) return false;
    text.remove_prefix(colon + 1);
  }
  const size_t colon = text.find(':');
  const size_t dot = text.find('.');
  return colon != std::string_view::npos && dot != std::string_view::npos && colon < dot &&
         is_hex(text.substr(0, colon)) && is_hex(text.substr(colon + 1, dot - colon - 1)) &&
         is_hex(text.substr(dot + 1));
}

bool ends_in_digit(std::string_view text) { return std::isdigit(static_cast<unsigned char>(text.back())) != 0; }

void add_argument(Device& device, std::string_view key, uint64_t value) {
  if (argument(device, key)) return;
  if (!device.arguments.empty()) device.arguments += ',';
  device.arguments += std::string(key) + '=' + std::to_string(value);
}

// A number that a file of sysfs holds, 0 if it cannot be read.
uint64_t read_number(const std::string& path) {
  std::ifstream file(path);
  uint64_t value = 0;
  return file >> value ? value : 0;
}

uint64_t free_huge_bytes() {
  const std::string root = "/sys/kernel/mm/hugepages/";
  uint64_t bytes = 0;
  DIR* folder = opendir(root.c_str());
  if (folder == nullptr) return 0;
  while (const dirent* entry = readdir(folder)) {
    const std::string_view name = entry->d_name;  // hugepages-2048kB
    constexpr std::string_view kPrefix = "hugepages-";
    uint64_t kib = 0;
    if (!name.starts_with(kPrefix)) continue;
    std::from_chars(name.data() + kPrefix.size(), name.data() + name.size(), kib);
    bytes += kib * kKiB * read_number(root + std::string(name) + "/free_hugepages");
  }
  closedir(folder);
  return bytes;
}

std::string allowed_cpus() {
  cpu_set_t set;
  CPU_ZERO(&set);
  sched_getaffinity(0, sizeof set, &set);
  std::string list;
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (!CPU_ISSET(cpu, &set)) continue;
    int last = cpu;
    while (last + 1 < CPU_SETSIZE && CPU_ISSET(last + 1, &set)) ++last;
    list += (list.empty() ? "" : ",") + std::to_string(cpu);
    if (last > cpu) list += '-' + std::to_string(last);
    cpu = last;
  }
  return list;
}

}  // namespace

std::string_view Device::driver() const {
  if (!is_virtual) return {};
  size_t end = name.size();
  while (end > 0 && ends_in_digit(std::string_view(name).substr(0, end))) --end;
  return std::string_view(name).substr(0, end);
}

std::string Device::text() const { return arguments.empty() ? name : name + ',' + arguments; }

std::optional<Device> parse_device(std::string_view text, unsigned number) {
  const size_t comma = std::min(text.find(','), text.size());
  Device device{.name = std::string(text.substr(0, comma)),
                .arguments = std::string(text.substr(std::min(comma + 1, text.size())))};
  if (is_pci_address(device.name)) {
    if (std::ranges::count(device.name, ':') == 1) device.name = "0000:" + device.name;
    return device;
  }
  const bool sane = std::ranges::all_of(device.name, [](unsigned char c) { return std::isalnum(c) != 0 || c == '_'; });
  if (!device.name.starts_with("net_") || device.name.size() < 5 || !sane) return std::nullopt;
  device.is_virtual = true;
  if (!ends_in_digit(device.name)) device.name += std::to_string(number);
  return device;
}

std::optional<std::string_view> argument(const Device& device, std::string_view key) {
  std::string_view rest = device.arguments;
  while (!rest.empty()) {
    const size_t comma = std::min(rest.find(','), rest.size());
    const std::string_view pair = rest.substr(0, comma);
    const size_t equals = pair.find('=');
    if (pair.substr(0, equals) == key) {
      return equals == std::string_view::npos ? std::string_view{} : pair.substr(equals + 1);
    }
    rest.remove_prefix(std::min(comma + 1, rest.size()));
  }
  return std::nullopt;
}

void complete_arguments(Device& device, unsigned queues) {
  if (device.driver() == "net_af_packet") {
    // Its transmit waits in poll() when its ring is full; a ring of many bursts does not fill, since the kernel empties
    // it inside the same call. And its receive side moves flows between queues on overflow.
    constexpr uint64_t kFrames = 4096;
    add_argument(device, "framecnt", kFrames);
    add_argument(device, "qpairs", queues);
  }
  // Or it is another one at each start, and the kernel sends to the one before for a while.
  if (device.driver() == "net_tap" && !argument(device, "mac") && !argument(device, "remote")) {
    device.arguments += std::string(device.arguments.empty() ? "" : ",") + "mac=fixed";
  }
  if (device.driver() == "net_virtio_user" || device.driver() == "net_vhost") add_argument(device, "queues", queues);
}

MachineFacts read_machine_facts() { return {.free_huge_bytes = free_huge_bytes(), .cpus = allowed_cpus()}; }

bool uses_huge_pages(const EalOptions& options, const MachineFacts& machine) {
  if (options.huge_pages != HugePages::kAuto) return options.huge_pages == HugePages::kOn;
  return machine.free_huge_bytes >= options.memory_bytes && machine.free_huge_bytes > 0;
}

std::vector<std::string> eal_arguments(const EalOptions& options, const MachineFacts& machine) {
  std::vector<std::string> out = {"penstock", "--no-telemetry"};
  // EAL pins the thread that starts it; this leaves it where it was. Our lcores register themselves.
  out.push_back("--lcores=0@(" + machine.cpus + ")");
  if (uses_huge_pages(options, machine)) {
    out.push_back("--in-memory");  // no files, no second process
    // Its other side is given each file of our memory, eight at most (vhost-user).
    if (std::ranges::any_of(options.devices, [](const Device& d) { return d.name.starts_with("net_virtio_user"); }))
      out.push_back("--single-file-segments");
  } else {
    // No configuration shared with other processes; memory is fixed at the start, and its default of 64 MiB is none.
    out.insert(out.end(), {"--no-huge", "--no-shconf"});
    out.push_back("-m" + std::to_string((options.memory_bytes + kMiB - 1) / kMiB));
  }
  const bool has_pci = std::ranges::any_of(options.devices, [](const Device& d) { return !d.is_virtual; });
  if (!has_pci) {
    out.push_back("--no-pci");
    out.push_back("--iova-mode=va");  // nothing reads by physical address, and asking for one costs a system call
  }
  for (const Device& device : options.devices) {
    out.push_back((device.is_virtual ? "--vdev=" : "--allow=") + device.text());
  }
  return out;
}

}  // namespace penstock::dataplane::nic
