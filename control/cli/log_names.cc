#include "control/cli/log_names.h"

#include <fmt/format.h>

#include <array>
#include <cstdlib>
#include <expected>
#include <filesystem>
#include <fstream>
#include <memory>
#include <system_error>

#include "base/system_clock.h"
#include "control/controller/keys.h"
#include "control/controller/records.h"
#include "control/controller/ring_lives.h"
#include "control/metadata/sqlite_store.h"

namespace penstock::cli {
namespace {

namespace fs = std::filesystem;

// A folder of its own for the copy, gone with this.
class ScratchFolder {
 public:
  ScratchFolder() {
    std::error_code error;
    std::string path = (fs::temp_directory_path(error) / "penstock-log-XXXXXX").string();
    if (!error && mkdtemp(path.data()) != nullptr) path_ = path;
  }
  ~ScratchFolder() {
    std::error_code ignored;
    if (!path_.empty()) fs::remove_all(path_, ignored);
  }
  ScratchFolder(const ScratchFolder&) = delete;
  ScratchFolder& operator=(const ScratchFolder&) = delete;
  const fs::path& path() const { return path_; }

 private:
  fs::path path_;
};

constexpr std::string_view kPutBack =
    "a start refuses it; if a newer penstock wrote it, use that one; else move it and its -wal away, and put back both "
    "as they were with the rings and segments that are here";

struct CopyFailure {
  std::string why;
  std::string todo;
  bool no_place;  // it can be read, but not copied
};

bool can_be_read(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::array<char, 64 * 1024> bytes;
  while (file.read(bytes.data(), bytes.size())) continue;
  return file.eof();
}

std::expected<void, CopyFailure> copy_one(const fs::path& from, const fs::path& folder) {
  std::error_code error;
  const fs::path to = folder / from.filename();
  fs::copy_file(from, to, error);
  if (!error) fs::permissions(to, fs::perms::owner_read | fs::perms::owner_write, error);  // of a read-only copy
  if (!error) return {};
  if (error != std::errc::no_such_file_or_directory && can_be_read(from))
    return std::unexpected(CopyFailure{
        fmt::format("no copy of it can be made in {} ({}); set TMPDIR", folder.string(), error.message()), {}, true});
  return std::unexpected(CopyFailure{fmt::format("{}: {}", from.filename().string(), error.message()),
                                     error == std::errc::permission_denied
                                         ? "give the user that runs penstock the right to read it"
                                         : "check the drive and its file system; " + std::string(kPutBack),
                                     false});
}

// What was committed last may stand in the write-ahead log alone.
std::expected<void, CopyFailure> copy_both(const fs::path& from, const fs::path& folder) {
  if (folder.empty()) return std::unexpected(CopyFailure{"there is no folder for a copy of it; set TMPDIR", {}, true});
  if (auto done = copy_one(from, folder); !done) return done;
  fs::path wal = from;
  wal += "-wal";
  std::error_code error;
  if (!fs::exists(wal, error) && !error) return {};
  return copy_one(wal, folder);
}

std::string unknown(std::string_view why) { return fmt::format("metadata.sqlite cannot be read: {}", why); }

std::string fill(LogNames& names, control::MetadataStore& store) {
  const auto next = store.get(control::keys::kNextLogId);
  const auto page = control::read_prefix(store, control::keys::kTopics);
  if (!next || !page) return unknown(to_string(next ? page.error().code : next.error().code));
  const auto folders = control::read_prefix(store, control::keys::kFolders);
  if (!folders) return unknown(to_string(folders.error().code));
  for (const control::Entry& entry : folders->entries)
    names.folders.insert(entry.key.substr(control::keys::kFolders.size()));
  const auto lives = control::read_ring_lives(store, control::keys::kRings);
  if (!lives) return unknown("what it knows of its rings is not as penstock writes it");
  names.lives_of_rings = *lives;
  for (const control::Entry& entry : page->entries) {
    const auto record = control::parse_topic_record(entry.value);
    if (!record)
      return unknown(record.error().code == Errc::kUnsupported ? "a newer penstock wrote its topics"
                                                               : "its topics are not as penstock writes them");
    for (size_t i = 0; i < record->partitions.size(); ++i)
      names.partitions[record->partitions[i].log] = {entry.key.substr(control::keys::kTopics.size()),
                                                     static_cast<int32_t>(i), record->partitions[i].ring};
  }
  uint64_t next_id = 0;
  if (*next) {
    const auto counter = control::parse_counter((*next)->value);
    if (!counter) return unknown("its log ids are not as penstock writes them");
    next_id = *counter;
  }
  names.next_log_id = storage::LogId{next_id};
  if (!names.partitions.empty() && names.partitions.rbegin()->first >= *names.next_log_id)
    return unknown("its topics have logs that it never issued");
  return {};
}

}  // namespace

std::string LogNames::name_of(storage::LogId log) const {
  const auto found = partitions.find(log);
  return found == partitions.end() ? std::string{} : fmt::format("{}/{}", found->second.topic, found->second.index);
}

std::vector<storage::LogId> LogNames::logs_of(const std::string& topic, std::optional<int32_t> partition) const {
  std::vector<storage::LogId> logs;
  for (const auto& [log, is] : partitions)
    if (is.topic == topic && (!partition || is.index == *partition)) logs.push_back(log);
  return logs;
}

LogNames read_log_names(const std::string& folder, bool live) {
  LogNames names;
  const fs::path from = fs::path(folder) / "metadata.sqlite";
  names.path = from.string();
  std::error_code error;
  if (!fs::exists(from, error) && !error) {
    names.why_not = unknown("there is none here");
    return names;
  }
  const ScratchFolder scratch;
  if (const auto copied = copy_both(from, scratch.path()); !copied) {
    names.why_not = unknown(copied.error().why);
    names.no_copy = copied.error().no_place;
    if (!names.no_copy) names.todo = copied.error().todo;
    return names;
  }
  const std::string to = (scratch.path() / from.filename()).string();
  SystemClock clock;
  auto store = control::SqliteStore::open(to, clock, live ? 0 : UINT64_MAX);
  if (store) {
    names.why_not = fill(names, **store);
  } else {  // it names the copy
    names.why_not =
        unknown(store.error().starts_with(to) ? names.path + store.error().substr(to.size()) : store.error());
  }
  if (names.why_not.empty()) return names;
  names.partitions.clear();
  names.next_log_id.reset();
  if (!live) names.todo = std::string(kPutBack);
  return names;
}

}  // namespace penstock::cli
