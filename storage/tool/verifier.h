// Verifier: the checks that verify makes, each by itself, so that repair can make those that it stands on. What is
// wrong is told to the sink as it is found; what repair acts on is kept.
#pragma once

#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "storage/api/log_tool.h"
#include "storage/segment/segment_path.h"
#include "storage/tool/folder_state.h"
#include "storage/tool/segment_walk.h"

namespace penstock::storage {

// Where a log stops being whole: what comes before it is good.
struct FirstLoss {
  Offset offset{0};
  size_t segment = 0;     // place in state.segments of the one that is cut
  uint64_t position = 0;  // bytes of it that are good
  int64_t max_timestamp = 0;
};

// A file that nobody names, and whose name is one of ours.
struct UnnamedFile {
  std::string folder;
  std::string name;
  bool is_folder = false;  // of a log, empty once what stands before it here is gone
  std::string kept{};      // not empty: all in this folder is kept, and why
};

// A line of findings names this many logs, and says that there are more.
inline constexpr size_t kLogsNamedMax = 8;
inline constexpr std::string_view kPutMetadataBack = "put back the metadata.sqlite that belongs to this folder";

enum class SidecarState : uint8_t { kGood, kMissing, kUnfinished, kStale, kDamaged };

class Verifier {
 public:
  Verifier(const LogToolRequest& request, const LogToolSink& sink)
      : request_(request), sink_(sink), walk_(*request.disk) {}

  // No memory to work with; tell the user.
  bool has_memory() const { return walk_.has_memory(); }
  // Whether its own file says that it is a folder which the metadata knows.
  void check_folder(const ToolFolder& folder);
  void check_slots(const ToolRing& ring);
  // Reads the ring. False: it cannot be said what its logs hold.
  bool check_ring(ToolRing& ring);
  // The first place where the log is not whole, if there is one.
  std::optional<FirstLoss> check_log(const ToolRing& ring, const ReplayedLog& log);
  // Logs that live in rings of which no file is there: those are all that are.
  void check_missing_rings(const std::vector<uint32_t>& there);
  // Files that no ring of these names; all rings of the folder, read by check_ring(). What is of a log that was never
  // issued is damage, and not among them; what is of a log whose ring is missing is damage too, and kept.
  std::vector<UnnamedFile> find_unnamed(const ToolFolder& folder, const std::vector<const ToolRing*>& rings);

  // The sidecar of a segment whose state says that it has so many bytes; content: what it holds, if it is whole.
  SidecarState sidecar_state(LogId log, SegmentId id, uint64_t bytes, std::optional<Sidecar>& content);
  // How to walk the i-th segment of the log; what it points to is the log's.
  WalkRequest walk_of(const ReplayedLog& log, size_t i) const;
  SegmentWalk& walk() { return walk_; }

  // A slot was read again since (a broker runs): whether it still names that segment.
  std::function<bool(LogId, SegmentId)> still_named = {};

  VerifyTotals& totals() { return totals_; }
  void tell(Finding finding);
  void progress(const std::string& line) const {
    if (sink_.on_progress) sink_.on_progress(line);
  }

 private:
  void check_slot(const SlotFile& slot, const SlotFile& other);
  void check_verdict(ToolRing& ring);
  void check_never_issued(ToolRing& ring);
  bool check_life(const ToolRing& ring);
  void drop_logs_of_others(ToolRing& ring);
  void check_offsets(const ToolRing& ring, const ReplayedLog& log);
  std::optional<FirstLoss> check_segment(const ReplayedLog& log, size_t i, std::vector<EpochEntry>& epochs);
  void tell_bad_range(const ReplayedLog& log, size_t i, const WalkRequest& walk, const WalkResult& walked,
                      const BadRange& bad);
  std::string todo_for_loss(LogId log, Offset offset);
  void tell_other_segment(const ReplayedLog& log, const WalkRequest& walk, Offset end);
  bool missing(const ReplayedLog& log, size_t i, const WalkRequest& walk, Error error);
  void check_tail(const ReplayedLog& log, const WalkRequest& walk);
  void check_sidecar(const ReplayedLog& log, size_t i, const WalkResult& walked, SidecarState state,
                     const std::optional<Sidecar>& sidecar);
  void check_epochs(const ReplayedLog& log, const std::vector<EpochEntry>& epochs);
  void find_unnamed_of_log(LogId log, const std::string& path, const std::set<SegmentId>* named,
                           std::vector<UnnamedFile>& unnamed);
  bool is_never_issued(LogId log, const std::string& path);
  std::string why_undescribed(LogId log, const std::vector<const ToolRing*>& rings) const;
  bool keep_undescribed(LogId log, const std::string& path, const std::vector<const ToolRing*>& rings,
                        std::vector<UnnamedFile>& unnamed);
  void note_unnamed(const std::string& path, std::string means, std::string todo);

  const LogToolRequest& request_;
  const LogToolSink& sink_;
  SegmentWalk walk_;
  VerifyTotals totals_;
  std::map<LogId, Offset> first_losses_;  // as told
  std::set<LogId> known_;                 // to the rings that were read
};

// Where the i-th segment ends, as the one behind it or the state says.
Offset end_of_segment(const LogState& state, size_t i);
// Its file.
inline SegmentId file_of(const SegmentState& segment) { return {segment.base, segment.revision}; }
// The bytes of whole batches in it.
uint64_t bytes_of_segment(const LogState& state, size_t i);

}  // namespace penstock::storage
