// What a person needs at three in the morning: a data folder looked at (dump), checked (verify) and, where that is
// safe, repaired, without a broker. `penstock log` is the command (control/cli/log.h); docs/operations.md says when.
//
// Everything is told through callbacks as it is found. Memory is bounded by the size of one ring, one state slot, one
// segment's index and a few MiB; segments are streamed. All of it blocks: no lcore calls it. Any bytes may be on the
// drive. Nothing is written but what repair_folder() was asked for by name, and only with do_it.
#pragma once

#include <cstdint>
#include <expected>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "protocol/types.h"
#include "storage/api/disk.h"
#include "storage/api/store.h"
#include "storage/api/types.h"

namespace penstock::storage {

// ---------------------------------------------------------------- what is told

// A moment, in milliseconds since 1970; -1: none.
struct ItemTime {
  int64_t ms;
};

// One thing that dump found: a slot, a frame, a batch, a record. Names are lower case with underscores; integers are
// exact; text may hold any bytes.
struct LogItem {
  using Value = std::variant<bool, int64_t, uint64_t, ItemTime, std::string>;
  struct Field {
    std::string_view name;
    Value value;
  };
  std::string_view kind;
  int depth = 0;  // how far below the folder: an entry is below its frame
  std::vector<Field> fields;
};

enum class Severity : uint8_t {
  kNote,    // as a crash leaves it, or nobody's: nothing is wrong, the next start settles it
  kWorn,    // what there is to be safe is damaged (a sidecar, one of two slots): all records are there
  kDamage,  // acknowledged records are lost or cannot be read, or a broker would refuse the folder
};

enum class FindingKind : uint8_t {
  kFolder,         // the folder itself, or a file that cannot be read
  kSlot,           // a state slot
  kRing,           // the ring
  kMissing,        // a file that a slot names is not there, or is too short
  kBatch,          // bytes of a segment that are no good batches
  kInterval,       // bytes of a segment that its sidecar knows otherwise
  kSidecar,        // a sidecar
  kGap,            // offsets that neither segments nor ring hold
  kContradiction,  // a log's parts do not fit together
  kUnnamed,        // a file that nobody names
};
std::string_view to_string(Severity severity);
std::string_view to_string(FindingKind kind);

// One line for the operator.
struct Finding {
  Severity severity;
  FindingKind kind;
  std::string file;   // path
  std::string place;  // where in it
  std::string means;
  std::string todo;
  std::optional<LogId> log{};
  std::optional<Offset> lost_from{};  // records from here to lost_to, as far as that is known
  std::optional<Offset> lost_to{};
};

// What repair does, or would do.
struct RepairStep {
  std::string file;
  std::string what;  // "rebuild the sidecar from 12 batches"
  bool done;         // false: a dry run, or it was refused
  std::string why;   // it was refused; empty otherwise
};

struct LogToolSink {
  std::function<bool(const LogItem&)> on_item;  // false: enough
  std::function<void(const Finding&)> on_finding;
  std::function<void(const RepairStep&)> on_step;
  std::function<void(const std::string& line)> on_progress;  // long work goes on
};

// ---------------------------------------------------------------- what is asked

struct LogToolRequest {
  Disk* disk = nullptr;
  std::string folder;
  // A broker may be running: the lock is not asked for, and only segments are looked at, as far as the newest slot
  // vouches for them. Not for repair.
  bool live = false;
  std::optional<uint32_t> ring{};          // this ring alone
  std::function<bool(LogId)> wanted = {};  // these logs alone
  // What the metadata knows, if it could be read: which logs live, and the first id never issued.
  std::function<bool(LogId)> lives = {};
  std::optional<LogId> next_log_id{};
  // And the ring of each log that lives; all_rings_here: the metadata knows of no other folder that could have one.
  std::map<LogId, uint32_t> ring_of{};
  bool all_rings_here = false;
  // Whether it remembers the folder of this id.
  std::function<bool(const Uuid&)> knows_folder = {};
  // What StoreRequest::known_life will be of each ring.
  std::map<uint32_t, RingLife> lives_of_rings{};
};

struct DumpOptions {
  Offset from{0};        // batches that end below it are left out
  bool records = false;  // the records of batches that are not compressed
};

struct VerifyTotals {
  uint64_t notes = 0, worn = 0, damage = 0;
  uint64_t rings = 0, logs = 0, segments = 0, batches = 0, bytes = 0;  // looked at
  bool fine() const { return worn == 0 && damage == 0; }
};

// The operator's word that a log may end at offset, which is what verify names as its first lost one.
struct AcceptedLoss {
  LogId log;
  Offset offset;
};

struct RepairOptions {
  bool rebuild_sidecars = false;
  bool restore_slots = false;
  bool remove_unnamed = false;
  std::vector<AcceptedLoss> accepted{};
  bool do_it = false;  // false: says what it would do
};

struct RepairTotals {
  uint64_t done = 0, planned = 0, refused = 0;
};

// Failure: it cannot be run (no data folder, in use, no memory); one line that says what to do.
std::expected<void, OpenFailure> dump_folder(const LogToolRequest& request, const DumpOptions& options,
                                             const LogToolSink& sink);
std::expected<VerifyTotals, OpenFailure> verify_folder(const LogToolRequest& request, const LogToolSink& sink);
std::expected<RepairTotals, OpenFailure> repair_folder(const LogToolRequest& request, const RepairOptions& options,
                                                       const LogToolSink& sink);

}  // namespace penstock::storage
