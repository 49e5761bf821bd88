#include "dataplane/nic/card_addresses.h"

#include <dirent.h>

#include <algorithm>
#include <charconv>
#include <fstream>
#include <iterator>
#include <limits>
#include <string>

#include "base/units.h"

namespace penstock::dataplane::nic {

namespace {

std::string read_file(const std::string& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

// Takes the next word of text.
std::string_view next_word(std::string_view& text) {
  constexpr std::string_view kSpace = " \t\n";
  text.remove_prefix(std::min(text.find_first_not_of(kSpace), text.size()));
  const std::string_view word = text.substr(0, text.find_first_of(kSpace));
  text.remove_prefix(word.size());
  return word;
}

std::optional<uint64_t> number(std::string_view word, int base) {
  if (base == 16 && word.starts_with("0x")) word.remove_prefix(2);
  uint64_t value = 0;
  const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), value, base);
  if (word.empty() || error != std::errc() || end != word.data() + word.size()) return std::nullopt;
  return value;
}

}  // namespace

std::optional<uint64_t> find_room(std::vector<AddressRange> taken, uint64_t bytes, uint64_t align) {
  constexpr uint64_t kMost = std::numeric_limits<uint64_t>::max();
  std::ranges::sort(taken, {}, &AddressRange::first);
  uint64_t at = align_up(4 * kGiB, align);
  for (const AddressRange& range : taken) {
    if (range.last < at) continue;
    if (range.first >= at && range.first - at >= bytes) break;
    if (range.last > kMost - align) return std::nullopt;
    at = align_up(range.last + 1, align);
  }
  if (bytes > kMost - at) return std::nullopt;
  return at;
}

std::optional<AddressRange> memory_in(std::string_view zoneinfo) {
  constexpr uint64_t kPage = 4096;
  uint64_t spanned = 0;
  uint64_t end = 0;
  while (!zoneinfo.empty()) {
    const std::string_view word = next_word(zoneinfo);
    if (word != "spanned" && word != "start_pfn:") continue;
    const uint64_t pages = number(next_word(zoneinfo), 10).value_or(0);
    if (word == "spanned")
      spanned = pages;
    else
      end = std::max(end, pages + spanned);
  }
  if (end == 0) return std::nullopt;
  return AddressRange{.first = 0, .last = end * kPage - 1};
}

void add_resources(std::string_view resource, std::vector<AddressRange>& out) {
  while (!resource.empty()) {
    const auto first = number(next_word(resource), 16);
    const auto last = number(next_word(resource), 16);
    const auto flags = number(next_word(resource), 16);
    if (first && last && flags && *last > *first) out.push_back({.first = *first, .last = *last});
  }
}

void add_mappings(std::string_view maps, std::vector<AddressRange>& out) {
  while (!maps.empty()) {
    std::string_view line = maps.substr(0, maps.find('\n'));
    maps.remove_prefix(std::min(line.size() + 1, maps.size()));
    const std::string_view range = next_word(line);
    const size_t dash = std::min(range.find('-'), range.size());
    const auto first = number(range.substr(0, dash), 16);
    const auto end = number(range.substr(std::min(dash + 1, range.size())), 16);
    if (first && end && *end > *first) out.push_back({.first = *first, .last = *end - 1});
  }
}

std::vector<AddressRange> taken_addresses() {
  const auto memory = memory_in(read_file("/proc/zoneinfo"));
  const std::string root = "/sys/bus/pci/devices/";
  DIR* folder = memory ? opendir(root.c_str()) : nullptr;
  if (folder == nullptr) return {};
  std::vector<AddressRange> taken{*memory};
  add_mappings(read_file("/proc/self/maps"), taken);
  while (const dirent* entry = readdir(folder)) {
    if (entry->d_name[0] != '.') add_resources(read_file(root + entry->d_name + "/resource"), taken);
  }
  closedir(folder);
  return taken;
}

}  // namespace penstock::dataplane::nic
