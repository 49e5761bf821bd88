// Verifier: files that nobody names.
#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "storage/segment/segment_path.h"
#include "storage/tool/verifier.h"

namespace penstock::storage {
namespace {

constexpr std::string_view kMaking = ".making";
constexpr std::string_view kAtNextStart =
    "nothing: the next start removes it; or: penstock log repair --remove-unnamed";

bool is_ours(std::string_view name) {
  constexpr std::array kNames = std::to_array<std::string_view>({"folder", "lock", "logs"});
  return std::ranges::find(kNames, name) != kNames.end() || name.starts_with("metadata.sqlite") ||
         name.starts_with("ring-");
}

}  // namespace

void Verifier::note_unnamed(const std::string& path, std::string means, std::string todo) {
  tell({.severity = Severity::kNote,
        .kind = FindingKind::kUnnamed,
        .file = path,
        .place = "name",
        .means = std::move(means),
        .todo = std::move(todo)});
}

std::vector<UnnamedFile> Verifier::find_unnamed(const ToolFolder& folder, const std::vector<const ToolRing*>& rings) {
  std::vector<UnnamedFile> unnamed;
  for (const std::string& name : folder.names()) {
    const std::string path = request_.folder + "/" + name;
    if (name.ends_with(kMaking)) {
      note_unnamed(path, "a crash left it unfinished", std::string(kAtNextStart));
      unnamed.push_back({request_.folder, name});
    } else if (!is_ours(name)) {
      note_unnamed(path, "no file of penstock has this name", "look at it: penstock leaves it alone");
    }
  }
  // A segment counts as named if a slot names it, also where a truncation in the ring has taken it away since.
  std::map<LogId, std::set<SegmentId>> named;
  for (const ToolRing* ring : rings) {
    for (const LogState& state : ring->newest()->logs) {
      if (request_.lives && !request_.lives(state.id)) continue;
      for (const SegmentState& segment : state.segments) named[state.id].insert(file_of(segment));
    }
  }
  const std::string logs = logs_path(request_.folder);
  const auto names = request_.disk->list(logs);
  if (!names) return unnamed;  // a folder of version 1
  for (const std::string& name : *names) {
    const auto log = parse_log_name(name);
    if (!log) {
      note_unnamed(logs + "/" + name, "no log has this name", "look at it: penstock leaves it alone");
      continue;
    }
    if (is_never_issued(*log, log_path(request_.folder, *log))) continue;
    const auto found = named.find(*log);
    find_unnamed_of_log(*log, log_path(request_.folder, *log), found == named.end() ? nullptr : &found->second,
                        unnamed);
  }
  return unnamed;
}

// Its id is still to come, but it has segments: they are another metadata's, and nothing says that they may go.
bool Verifier::is_never_issued(LogId log, const std::string& path) {
  if (!request_.next_log_id || log < *request_.next_log_id) return false;
  const auto names = request_.disk->list(path);
  if (names && std::ranges::none_of(*names, [](const auto& name) { return parse_segment_name(name).has_value(); }))
    return false;
  tell({.severity = Severity::kDamage,
        .kind = FindingKind::kUnnamed,
        .file = path,
        .place = "name",
        .means = fmt::format("segments of log {}, which metadata.sqlite never issued: the two are not from the same "
                             "folder, and a start refuses it",
                             log.value()),
        .todo = std::string(kPutMetadataBack),
        .log = log});
  return true;
}

void Verifier::find_unnamed_of_log(LogId log, const std::string& path, const std::set<SegmentId>* named,
                                   std::vector<UnnamedFile>& unnamed) {
  const auto names = request_.disk->list(path);
  if (!names) return;
  const bool dead = request_.lives && !request_.lives(log);
  bool empty = true;
  for (const std::string& name : *names) {
    const auto file = parse_segment_name(name);
    if (!file) {
      note_unnamed(path + "/" + name, "no segment has this name", "look at it: penstock leaves it alone");
      empty = false;
    } else if (named != nullptr && named->contains(file->id)) {
      empty = false;
    } else {
      note_unnamed(
          path + "/" + name,
          dead ? fmt::format("log {} was deleted", log.value())
               : "no state slot names it: what a crash left of a deleted segment, or of a new one whose batches "
                 "the ring still has",
          std::string(kAtNextStart));
      unnamed.push_back({path, name});
    }
  }
  if (!empty || named != nullptr) return;
  if (names->empty())
    note_unnamed(path, "an empty folder of a log that no state slot names", std::string(kAtNextStart));
  unnamed.push_back({path, {}, true});
}

}  // namespace penstock::storage
