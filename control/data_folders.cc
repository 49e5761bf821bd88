#include "control/data_folders.h"

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <map>

#include "control/controller/kafka_config.h"
#include "control/controller/keys.h"
#include "control/controller/uuid_text.h"

namespace penstock::control {
namespace {

using Failure = std::unexpected<std::string>;

constexpr std::string_view kRingPrefix = "ring-";
constexpr std::string_view kMetadata = "metadata.sqlite";
constexpr std::string_view kFolderFile = "folder";
constexpr std::string_view kSegments = "logs";

// N of "ring-N". What stands beside a ring has a longer name.
std::optional<uint16_t> ring_of(std::string_view name) {
  if (!name.starts_with(kRingPrefix)) return std::nullopt;
  name.remove_prefix(kRingPrefix.size());
  uint16_t ring = 0;
  const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), ring);
  if (error != std::errc{} || end != name.data() + name.size() || (name.size() > 1 && name.front() == '0'))
    return std::nullopt;
  return ring;
}

// One name for a folder however it is written, whether or not it is there yet.
std::filesystem::path full_name(const std::string& path) {
  std::error_code error;
  const std::filesystem::path absolute = std::filesystem::absolute(path, error);
  std::filesystem::path full = std::filesystem::weakly_canonical(absolute, error);
  if (full.empty()) full = absolute.lexically_normal();  // what may not be looked at
  return full.has_filename() || !full.has_relative_path() ? full : full.parent_path();
}

bool lies_in(const std::filesystem::path& inner, const std::filesystem::path& outer) {
  return std::mismatch(outer.begin(), outer.end(), inner.begin(), inner.end()).first == outer.end();
}

}  // namespace

std::unexpected<std::string> metadata_failed(const std::string& folder, Error error) {
  const std::string hint = error.code == Errc::kNoSpace   ? "free some space on its drive"
                           : error.code == Errc::kCorrupt ? "restore it, with its -wal, from a copy"
                                                          : "check the drive and its file system";
  return Failure(folder + "/" + std::string(kMetadata) +
                 ": the metadata store failed: " + std::string(to_string(error.code)) + "; " + hint);
}

std::expected<std::vector<std::string>, std::string> parse_log_dirs(const std::string& setting) {
  std::vector<std::string> paths;
  for (const std::string_view path : list_elements(setting)) {
    if (path.empty()) return Failure("log.dirs: '" + setting + "' has an empty name");
    paths.emplace_back(path);
  }
  if (paths.empty()) return Failure("log.dirs: a data folder is needed");
  std::map<std::filesystem::path, std::string> seen;
  for (const std::string& path : paths) {
    const auto full = full_name(path);
    for (const auto& [other, as_written] : seen) {
      if (full == other) return Failure("log.dirs: " + as_written + " and " + path + " are the same folder");
      const bool is_inner = lies_in(full, other);
      if (is_inner || lies_in(other, full)) {
        return Failure("log.dirs: " + (is_inner ? path + " lies in " + as_written : as_written + " lies in " + path) +
                       "; name folders that lie beside each other");
      }
    }
    seen.emplace(full, path);
  }
  return paths;
}

bool same_folders(const std::string& setting, const std::string& other) {
  const auto names = [](const std::string& text) {
    std::vector<std::filesystem::path> out;
    for (const std::string_view path : list_elements(text)) out.push_back(full_name(std::string(path)));
    return out;
  };
  return names(setting) == names(other);
}

std::vector<PlannedRing> plan_rings(const std::vector<std::string>& paths, size_t lcores, uint64_t ring_bytes) {
  std::map<uint16_t, PlannedRing> rings;
  for (const std::string& path : paths) {
    std::error_code error;
    for (std::filesystem::directory_iterator at(path, error), end; !error && at != end; at.increment(error)) {
      const auto ring = ring_of(at->path().filename().string());
      const uint64_t bytes = ring ? at->file_size(error) : 0;
      if (ring && !error) rings.emplace(*ring, PlannedRing{.bytes = bytes, .is_there = true});
      error.clear();
    }
  }
  for (size_t k = 0; k < std::max(lcores, paths.size()); ++k)
    rings.emplace(static_cast<uint16_t>(k), PlannedRing{.bytes = ring_bytes, .is_there = false});
  std::vector<PlannedRing> planned;
  for (const auto& [ring, plan] : rings) planned.push_back(plan);
  return planned;
}

std::expected<DataFolders, std::string> DataFolders::open(storage::Disk& disk, Prng& prng,
                                                          std::vector<std::string> paths) {
  DataFolders folders(disk, prng, std::move(paths));
  const bool first_has_it = folders.holds(folders.paths_.front(), kMetadata);
  for (const std::string& path : folders.paths_) {
    if (path == folders.paths_.front() || !folders.holds(path, kMetadata)) continue;
    return Failure(first_has_it ? folders.paths_.front() + " and " + path +
                                      " both hold metadata: they are of two brokers. Name only one of them in log.dirs"
                                : path + " holds this broker's metadata: name it first in log.dirs");
  }
  for (const std::string& path : folders.paths_) {
    if (first_has_it || !folders.holds_data(path)) continue;
    return Failure(path +
                   " is a data folder of a broker whose metadata.sqlite is elsewhere: name the folder that holds it "
                   "first in log.dirs, or put that file back");
  }
  if (auto done = folders.open_one(0); !done) return Failure(done.error());
  return folders;
}

bool DataFolders::holds(const std::string& path, std::string_view name) const {
  const auto names = disk_.list(path);
  return names && std::ranges::find(*names, name) != names->end();
}

// Whether a broker has been here for longer than a start that failed: rings are made after the metadata.
bool DataFolders::holds_data(const std::string& path) const {
  const auto names = disk_.list(path);
  if (!names) return false;
  if (std::ranges::any_of(*names, [](std::string_view name) { return name.starts_with(kRingPrefix); })) return true;
  return holds(path, kFolderFile) && holds(path, kSegments);
}

// Of a folder that could not be made: what should hold it is there (as /proc is).
bool DataFolders::takes_no_folders(const std::string& path) const {
  const std::filesystem::path above = full_name(path).parent_path();
  return !disk_.list(path) && disk_.list(above.string()).has_value();
}

std::expected<void, std::string> DataFolders::open_one(size_t folder) {
  auto opened = storage::open_folder(disk_, prng_, paths_[folder]);
  if (!opened && opened.error().error.code == Errc::kNotFound && takes_no_folders(paths_[folder])) {
    return Failure("cannot make " + paths_[folder] + ": no folder can be made there; choose another --data");
  }
  if (!opened) return Failure(opened.error().what);
  for (const auto& other : folders_) {
    if (other && other->id == opened->id)
      return Failure(other->path + " and " + opened->path +
                     " have the same id: one is a copy of the other. Name only one of them in log.dirs");
  }
  folders_[folder] = *std::move(opened);
  return {};
}

std::expected<void, std::string> DataFolders::open_others(MetadataStore& metadata) {
  const auto remembered = read_prefix(metadata, keys::kFolders);
  if (!remembered) return metadata_failed(paths_[0], remembered.error());
  for (size_t i = 1; i < count(); ++i) {
    if (!holds(paths_[i], kFolderFile)) continue;
    if (auto done = refuse_stranger(i, remembered->entries); !done) return done;
    if (auto done = open_one(i); !done) return done;
  }
  if (auto done = refuse_if_missing(remembered->entries); !done) return done;
  for (size_t i = 1; i < count(); ++i) {
    if (folders_[i]) continue;
    if (auto done = open_one(i); !done) return done;
  }
  return {};
}

std::expected<void, std::string> DataFolders::remember(MetadataStore& metadata) const {
  const auto remembered = read_prefix(metadata, keys::kFolders);
  if (!remembered) return metadata_failed(paths_[0], remembered.error());
  Transaction names{.from_reserve = true};  // a start comes before anything can be freed
  for (const auto& folder : folders_) {
    const std::string key = keys::folder(folder->id);
    const auto known = std::ranges::find(remembered->entries, key, &Entry::key);
    if (known == remembered->entries.end() || known->value != folder->path)
      names.writes.push_back({.key = key, .value = folder->path});
  }
  if (names.writes.empty()) return {};
  const auto done = metadata.commit(names);
  if (!done) return metadata_failed(paths_[0], done.error());
  return {};
}

// A folder is remembered before a ring is made in it. Looked at without a change: opening may give it a newer format.
std::expected<void, std::string> DataFolders::refuse_stranger(size_t folder,
                                                              const std::vector<Entry>& remembered) const {
  if (!holds_data(paths_[folder])) return {};
  const auto there = storage::look_at_folder(disk_, paths_[folder], false);
  if (!there) return {};  // whoever opens it says why
  if (std::ranges::find(remembered, keys::folder(there->id), &Entry::key) != remembered.end()) return {};
  return Failure(paths_[folder] + " (id " + to_text(there->id) + ") is a data folder that the metadata in " +
                 paths_.front() +
                 " does not know: it is of another broker, or metadata.sqlite is older than it. Name only folders of "
                 "one broker in log.dirs, or put back the metadata.sqlite that belongs to them");
}

std::expected<void, std::string> DataFolders::refuse_if_missing(const std::vector<Entry>& remembered) const {
  std::string missing;
  for (const Entry& entry : remembered) {
    const std::string id = entry.key.substr(keys::kFolders.size());
    const auto is_it = [&](const auto& folder) { return folder && to_text(folder->id) == id; };
    if (std::ranges::any_of(folders_, is_it)) continue;
    missing += (missing.empty() ? "data folder " : ", data folder ") + entry.value + " (id " + id + ")";
  }
  if (missing.empty()) return {};
  return Failure(missing + " is missing: mount its drive and name it in log.dirs, or restore it from a copy");
}

std::expected<std::vector<RingPlace>, std::string> DataFolders::rings(size_t lcores) const {
  std::map<uint16_t, RingPlace> rings;
  for (size_t folder = 0; folder < count(); ++folder) {
    const auto names = disk_.list(paths_[folder]);
    if (!names) return Failure("cannot read " + paths_[folder] + ": " + std::string(to_string(names.error().code)));
    for (const std::string& name : *names) {
      const auto ring = ring_of(name);
      if (!ring) continue;
      const auto [other, fresh] = rings.emplace(*ring, RingPlace{.ring = *ring, .folder = folder, .is_there = true});
      if (!fresh)
        return Failure(name + " is in " + paths_[other->second.folder] + " and in " + paths_[folder] +
                       ": they are not folders of one broker, or one was copied. Name only those that belong together "
                       "in log.dirs");
    }
  }
  for (size_t k = 0; k < std::max(lcores, count()); ++k) {
    const auto ring = static_cast<uint16_t>(k);
    rings.emplace(ring, RingPlace{.ring = ring, .folder = k % count(), .is_there = false});
  }
  std::vector<RingPlace> places;
  for (const auto& [ring, place] : rings) places.push_back(place);
  return places;
}

}  // namespace penstock::control
