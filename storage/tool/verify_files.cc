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
constexpr std::string_view kPutRingBack =
    "put back the ring and its two state files that belong to this folder, from the drive that has them or from a "
    "copy; "
    "no repair removes these segments";

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
    if (keep_undescribed(*log, log_path(request_.folder, *log), rings, unnamed)) continue;
    const auto found = named.find(*log);
    find_unnamed_of_log(*log, log_path(request_.folder, *log), found == named.end() ? nullptr : &found->second,
                        unnamed);
  }
  return unnamed;
}

void Verifier::check_missing_rings(const std::vector<uint32_t>& there) {
  if (!request_.all_rings_here) return;
  std::map<uint32_t, std::vector<LogId>> missing;
  for (const auto& [log, ring] : request_.ring_of) {
    const bool asked_for = (!request_.wanted || request_.wanted(log)) && (!request_.ring || *request_.ring == ring);
    if (asked_for && std::ranges::find(there, ring) == there.end()) missing[ring].push_back(log);
  }
  for (const auto& [ring, logs] : missing) {
    std::string names;
    for (size_t i = 0; i < std::min(logs.size(), kLogsNamedMax); ++i)
      names += fmt::format("{}{}", i == 0 ? "" : ", ", logs[i].value());
    tell({.severity = Severity::kDamage,
          .kind = FindingKind::kRing,
          .file = fmt::format("{}/ring-{}", request_.folder, ring),
          .place = "name",
          .means = fmt::format("{} log(s) live in ring {}, whose files are missing: {}{}; what that ring held is not "
                               "there, and nothing says which segments are theirs. A start refuses this folder",
                               logs.size(), ring, names, logs.size() > kLogsNamedMax ? ", ..." : ""),
          .todo = std::string(kPutRingBack)});
  }
}

// Why nobody can say what these segments are; empty if the rings can.
std::string Verifier::why_undescribed(LogId log, const std::vector<const ToolRing*>& rings) const {
  if (request_.lives && !request_.lives(log)) return {};
  if (const auto lives_in = request_.ring_of.find(log); lives_in != request_.ring_of.end()) {
    if (std::ranges::find(rings, lives_in->second, &ToolRing::number) != rings.end()) return {};
    return fmt::format("log {} lives in ring {}, whose files are missing: no state slot describes its segments",
                       log.value(), lives_in->second);
  }
  if (known_.contains(log)) return {};
  return fmt::format("no ring of this folder knows log {}: the files of its ring are missing, or it was deleted; {}",
                     log.value(),
                     request_.lives ? "by the metadata it lives" : "without the metadata nobody can say which");
}

// Segments that only a ring that is not there describes: they may be all that is left of the log.
bool Verifier::keep_undescribed(LogId log, const std::string& path, const std::vector<const ToolRing*>& rings,
                                std::vector<UnnamedFile>& unnamed) {
  std::string why = why_undescribed(log, rings);
  if (why.empty()) return false;
  const auto names = request_.disk->list(path);
  const auto segments = names ? std::ranges::count_if(*names,
                                                      [](const std::string& name) {
                                                        const auto file = parse_segment_name(name);
                                                        return file && file->file == SegmentFile::kLog;
                                                      })
                              : 0;
  if (segments == 0) return false;
  tell({.severity = Severity::kDamage,
        .kind = FindingKind::kMissing,
        .file = path,
        .place = fmt::format("{} segment(s)", segments),
        .means = why,
        .todo = std::string(kPutRingBack),
        .log = log});
  unnamed.push_back({.folder = path, .name = {}, .is_folder = true, .kept = std::move(why)});
  return true;
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
