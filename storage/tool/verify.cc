// verify_folder(): all checks, one after another.
#include <fmt/format.h>

#include <list>

#include "storage/tool/verifier.h"

namespace penstock::storage {
namespace {

OpenFailure no_memory() { return {{Errc::kFull}, "no memory for a few MiB to read files into; free some"}; }

bool is_asked_for(const LogToolRequest& request, LogId log) { return !request.wanted || request.wanted(log); }

// Beside a running broker: the segments that the newest slot names, as far as it vouches for them.
void verify_live(const LogToolRequest& request, Verifier& verifier, ToolRing& ring) {
  constexpr int kTries = 5;  // a slot may be in the middle of being written
  for (int i = 0; i < kTries && ring.newest() == nullptr; ++i) ring.read_slots();
  if (ring.newest() == nullptr) {
    verifier.progress(fmt::format("{}: no whole state slot while the broker writes them; try again", ring.path()));
    return;
  }
  verifier.still_named = [&ring](LogId log, SegmentId id) {
    ring.read_slots();
    if (ring.newest() == nullptr) return true;
    for (const LogState& state : ring.newest()->logs)
      if (state.id == log)
        for (const SegmentState& segment : state.segments)
          if (file_of(segment) == id) return true;
    return false;
  };
  std::vector<ReplayedLog> logs;
  for (const LogState& state : ring.newest()->logs)
    if (is_asked_for(request, state.id)) logs.push_back({.state = state, .in_slot = true, .end = state.destaged});
  for (const ReplayedLog& log : logs) verifier.check_log(ring, log);
}

}  // namespace

std::expected<VerifyTotals, OpenFailure> verify_folder(const LogToolRequest& request, const LogToolSink& sink) {
  const auto folder = ToolFolder::open(request);
  if (!folder) return std::unexpected(folder.error());
  Verifier verifier(request, sink);
  if (!verifier.has_memory()) return std::unexpected(no_memory());
  const std::vector<uint32_t> numbers = folder->rings();
  verifier.check_folder(*folder);
  const uint64_t before = verifier.totals().damage;
  verifier.check_missing_rings(numbers);
  const bool told = verifier.totals().damage > before;
  if (request.ring && numbers.empty() && !told)
    return std::unexpected(
        OpenFailure{{Errc::kNotFound}, fmt::format("{} has no ring {}", request.folder, *request.ring)});
  if (numbers.empty() && !told)
    verifier.tell({.severity = Severity::kNote,
                   .kind = FindingKind::kFolder,
                   .file = request.folder,
                   .place = "name",
                   .means = "there is no ring: no broker has served from this folder yet, or the files of one are lost",
                   .todo = "if it held topics, restore the folder from a copy of the drive"});
  std::list<ToolRing> rings;
  std::vector<const ToolRing*> read;
  for (const uint32_t number : numbers) {
    ToolRing& ring = rings.emplace_back(request, *folder, number);
    if (request.live) {
      verify_live(request, verifier, ring);
      continue;
    }
    verifier.check_slots(ring);
    if (!verifier.check_ring(ring)) continue;
    read.push_back(&ring);
    for (const auto& [id, log] : ring.replay().logs())
      if (is_asked_for(request, id)) verifier.check_log(ring, log);
    ring.forget();
  }
  // Which files are nobody's can be said when all that name files were read.
  if (!request.live && !request.ring && !request.wanted && read.size() == numbers.size())
    verifier.find_unnamed(*folder, read);
  return verifier.totals();
}

}  // namespace penstock::storage
