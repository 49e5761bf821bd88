// Verifier: slots and ring.
#include "storage/tool/verifier.h"

#include <fmt/format.h>

#include <algorithm>

#include "storage/ring/recovery.h"

namespace penstock::storage {

std::string_view to_string(Severity severity) {
  switch (severity) {
    case Severity::kNote: return "note";
    case Severity::kWorn: return "worn";
    case Severity::kDamage: return "damage";
  }
  std::unreachable();
}

std::string_view to_string(FindingKind kind) {
  switch (kind) {
    case FindingKind::kFolder: return "folder";
    case FindingKind::kSlot: return "slot";
    case FindingKind::kRing: return "ring";
    case FindingKind::kMissing: return "missing";
    case FindingKind::kBatch: return "batch";
    case FindingKind::kInterval: return "interval";
    case FindingKind::kSidecar: return "sidecar";
    case FindingKind::kGap: return "gap";
    case FindingKind::kContradiction: return "contradiction";
    case FindingKind::kUnnamed: return "unnamed";
  }
  std::unreachable();
}

void Verifier::tell(Finding finding) {
  switch (finding.severity) {
    case Severity::kNote: totals_.notes += 1; break;
    case Severity::kWorn: totals_.worn += 1; break;
    case Severity::kDamage: totals_.damage += 1; break;
  }
  if (sink_.on_finding) sink_.on_finding(finding);
}

// control::DataFolders takes one of another id for a folder that is missing.
void Verifier::check_folder(const ToolFolder& folder) {
  if (!request_.knows_folder || request_.knows_folder(folder.folder().id)) return;
  tell({.severity = Severity::kDamage,
        .kind = FindingKind::kFolder,
        .file = request_.folder + "/folder",
        .place = "id",
        .means = "it has an id that metadata.sqlite does not know: the two are not from the same folder, or one of "
                 "them is damaged, and a start refuses it",
        .todo = "put back the file that belongs to this folder's metadata.sqlite"});
}

// ---------------------------------------------------------------- slots

void Verifier::check_slots(const ToolRing& ring) {
  if (ring.is_version_1()) return;
  const auto& [even, odd] = ring.slots();
  if (ring.newest() == nullptr) {
    tell({.severity = Severity::kDamage,
          .kind = FindingKind::kSlot,
          .file = even.path,
          .place = "and " + odd.path,
          .means =
              "both state slots are damaged: where the needed part of the ring begins, and what the segments hold, "
              "is not known",
          .todo = "restore both files and the ring from a copy of the drive"});
    return;
  }
  check_slot(even, odd);
  check_slot(odd, even);
  if (!even.slot || !odd.slot) return;
  if (even.slot->ring.ring_id != odd.slot->ring.ring_id)
    tell({.severity = Severity::kDamage,
          .kind = FindingKind::kSlot,
          .file = even.path,
          .place = "ring id",
          .means = "the two state slots are of different rings: files of two folders were mixed",
          .todo = "put back the files that belong together"});
}

void Verifier::check_slot(const SlotFile& slot, const SlotFile& other) {
  if (slot.slot) return;
  const std::string what =
      !slot.there  ? "is missing"
      : slot.error ? fmt::format("cannot be read ({}, errno {})", to_string(slot.error->code), slot.error->os_errno)
                   : "fails its checksum";
  const uint64_t sequence = other.slot ? other.slot->ring.sequence : 0;
  tell(
      {.severity = Severity::kWorn,
       .kind = FindingKind::kSlot,
       .file = slot.path,
       .place = "byte 0",
       .means = fmt::format("this state slot {}: a write that lost its power leaves it so, or the drive; the other one "
                            "(sequence {}) is whole and counts",
                            what, sequence),
       .todo = "start the broker, which writes both anew, or: penstock log repair --restore-slots"});
}

// ---------------------------------------------------------------- the ring

bool Verifier::check_ring(ToolRing& ring) {
  if (ring.newest() == nullptr) return false;
  totals_.rings += 1;
  progress(fmt::format("{}: reading", ring.path()));
  const auto done = ring.read();
  if (done) {
    if (!check_life(ring)) return false;
    drop_logs_of_others(ring);
    for (const LogState& state : ring.newest()->logs) known_.insert(state.id);
    for (const auto& [id, log] : ring.replay().logs()) known_.insert(id);
    check_verdict(ring);
    return true;
  }
  Finding finding{.severity = Severity::kDamage,
                  .kind = FindingKind::kRing,
                  .file = ring.path(),
                  .place = "",
                  .means = "",
                  .todo = "restore the file from a copy of the drive"};
  switch (done.error().code) {
    case Errc::kNotFound: finding.means = "the ring is missing: what was in it alone is lost"; break;
    case Errc::kInvalid:
      finding.means =
          fmt::format("the ring has {} bytes, its state says {}", ring.file_bytes(), ring.newest()->ring.ring_bytes);
      break;
    case Errc::kFull:
      finding.means =
          fmt::format("there is no memory for the ring's {} bytes: it was not looked at", ring.file_bytes());
      finding.todo = "free some memory and try again";
      break;
    default:
      finding.means =
          fmt::format("the ring cannot be read ({}, errno {})", to_string(done.error().code), done.error().os_errno);
      finding.todo = "check the drive; restore the file from a copy of it";
  }
  tell(std::move(finding));
  return false;
}

// Opener::refuse_other_life(): what such a ring says of the folder's logs is not to be believed.
bool Verifier::check_life(const ToolRing& ring) {
  const auto known = request_.lives_of_rings.find(ring.number());
  const auto lives_here = [&](const auto& log) { return log.second == ring.number(); };
  if (known == request_.lives_of_rings.end() || std::ranges::none_of(request_.ring_of, lives_here)) return true;
  const uint64_t generation = ring.is_clean() ? ring.newest()->ring.generation : ring.found().generation;
  const auto unlike = life_unlike(known->second, {ring.newest()->ring.ring_id, generation});
  if (!unlike) return true;
  tell({.severity = Severity::kDamage,
        .kind = FindingKind::kRing,
        .file = ring.path(),
        .place = "ring id and generation",
        .means = fmt::format("this ring and its state {}: they do not describe the segments that are here, and a start "
                             "refuses them",
                             *unlike),
        .todo = "put back the ring and the two state files that belong to this folder's metadata.sqlite"});
  return false;
}

// Opener::refuse_other_logs(), the half about logs that live in another ring: they are looked at there.
void Verifier::drop_logs_of_others(ToolRing& ring) {
  const uint64_t others = std::erase_if(ring.replay().logs(), [&](const auto& log) {
    const auto lives_in = request_.ring_of.find(log.first);
    return lives_in != request_.ring_of.end() && lives_in->second != ring.number();
  });
  if (others == 0) return;
  tell({.severity = Severity::kDamage,
        .kind = FindingKind::kRing,
        .file = ring.path(),
        .place = "logs",
        .means = fmt::format("it holds {} log(s) that live in another ring: files of two rings were mixed, or the "
                             "metadata is not theirs, and a start refuses it",
                             others),
        .todo = "put back the ring and the two state files that belong to this name"});
}

void Verifier::check_never_issued(ToolRing& ring) {
  Finding finding{.severity = Severity::kDamage,
                  .kind = FindingKind::kRing,
                  .file = ring.path(),
                  .place = "entries",
                  .means = {},
                  .todo = std::string(kPutMetadataBack)};
  if (const uint64_t entries = ring.replay().never_issued(); entries > 0) {
    finding.means = fmt::format(
        "{} entries are of logs that metadata.sqlite never issued: the two are not from the same folder", entries);
    tell(finding);
  }
  const std::vector<LogId>& logs = ring.replay().never_issued_logs();
  if (logs.empty()) return;
  finding.kind = FindingKind::kSlot;
  if (const auto newest = ring.newest_file()) finding.file = ring.slots()[*newest].path;
  finding.place = fmt::format("log {}{}", logs.front().value(), logs.size() > 1 ? ", ..." : "");
  finding.means = fmt::format(
      "{} logs are described that metadata.sqlite never issued: the two are not from the same folder, and a start "
      "refuses it",
      logs.size());
  tell(std::move(finding));
}

void Verifier::check_verdict(ToolRing& ring) {
  check_never_issued(ring);
  if (ring.is_clean()) return;
  const ScanResult& found = ring.found();
  const uint64_t place = found.head.value() % ring.file_bytes();
  Finding finding{.severity = Severity::kNote,
                  .kind = FindingKind::kRing,
                  .file = ring.path(),
                  .place = fmt::format("lsn {} (byte {})", found.head.value(), place),
                  .means = std::string(found.row->why),
                  .todo = "nothing: the next start cuts it"};
  if (!found.foreign.empty()) {
    finding.severity = Severity::kDamage;
    finding.means = fmt::format("the ring holds {}", found.foreign);
    finding.todo = "start the newer penstock that wrote it";
    return tell(std::move(finding));
  }
  if (found.row->verdict == Verdict::kEnd) return;
  if (found.row->verdict == Verdict::kTornTail) return tell(std::move(finding));
  std::string ends;
  size_t named = 0;
  for (const auto& [id, log] : ring.replay().logs())
    if (named++ < kLogsNamedMax) ends += fmt::format(", log {} from offset {}", id.value(), log.end.value());
  finding.severity = Severity::kDamage;
  finding.means = fmt::format("{} (lsn {} is the next that is known); acknowledged records behind it would be lost{}{}",
                              found.row->why, found.behind.value(), ends, named > kLogsNamedMax ? ", ..." : "");
  finding.todo =
      fmt::format("{}, or accept the loss: penstock serve --accept-loss-at {}",
                  found.here == Here::kForeign ? "put back the ring and the two state files that belong together"
                                               : "restore the drive from a copy",
                  found.head.value());
  tell(std::move(finding));
}

}  // namespace penstock::storage
