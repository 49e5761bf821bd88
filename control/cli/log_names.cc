#include "control/cli/log_names.h"

#include <fmt/format.h>

#include <cstdlib>
#include <filesystem>
#include <memory>
#include <system_error>

#include "base/system_clock.h"
#include "control/controller/keys.h"
#include "control/controller/records.h"
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

std::string unknown(std::string_view why) { return fmt::format("metadata.sqlite cannot be read: {}", why); }

std::string fill(LogNames& names, control::MetadataStore& store) {
  const auto next = store.get(control::keys::kNextLogId);
  const auto page = control::read_prefix(store, control::keys::kTopics);
  if (!next || !page) return unknown(to_string(next ? page.error().code : next.error().code));
  const auto folders = control::read_prefix(store, control::keys::kFolders);
  if (!folders) return unknown(to_string(folders.error().code));
  names.folders = folders->entries.size();
  for (const control::Entry& entry : page->entries) {
    const auto record = control::parse_topic_record(entry.value);
    if (!record) return unknown("its topics are not as this version writes them");
    for (size_t i = 0; i < record->partitions.size(); ++i)
      names.partitions[record->partitions[i].log] = {entry.key.substr(control::keys::kTopics.size()),
                                                     static_cast<int32_t>(i), record->partitions[i].ring};
  }
  uint64_t next_id = 0;
  if (*next) {
    const auto counter = control::parse_counter((*next)->value);
    if (!counter) return unknown("its log ids are not as this version writes them");
    next_id = *counter;
  }
  names.next_log_id = storage::LogId{next_id};
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

LogNames read_log_names(const std::string& folder) {
  LogNames names;
  const ScratchFolder scratch;
  const fs::path from = fs::path(folder) / "metadata.sqlite";
  std::error_code error;
  if (scratch.path().empty()) {
    names.why_not = unknown("there is no folder for a copy of it; set TMPDIR");
    return names;
  }
  const fs::path to = scratch.path() / "metadata.sqlite";
  fs::copy_file(from, to, error);
  if (error) {
    names.why_not = unknown(error.message());
    return names;
  }
  // What was committed last may stand in the write-ahead log alone.
  fs::copy_file(from.string() + "-wal", to.string() + "-wal", error);
  SystemClock clock;
  auto store = control::SqliteStore::open(to.string(), clock);
  names.why_not = store ? fill(names, **store) : unknown(store.error());
  if (!names.why_not.empty()) names.partitions.clear();
  return names;
}

}  // namespace penstock::cli
