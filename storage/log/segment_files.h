// SegmentFiles: the bounded cache of open segment files. Whoever reads or writes one acquires it, and releases it when
// the op is back; what nobody holds is closed, longest unused first, when more are wanted. Opening blocks, so it is
// done by the Disk's own thread: acquire() says kWouldBlock until the file is there. Owned by one lcore.
#pragma once

#include <algorithm>
#include <cstdint>
#include <deque>
#include <list>
#include <map>
#include <memory>
#include <string>

#include "storage/api/disk.h"
#include "storage/log/shard.h"

namespace penstock::storage {

class SegmentFiles {
 public:
  enum class Want : uint8_t { kRead, kWrite };

  SegmentFiles(Shard& shard, size_t most) : shard_(shard), most_(most) {}

  ~SegmentFiles();  // closes what is open

  // kWouldBlock: it is being opened, or too many are held; ask again after a poll in which a file op completed.
  // holds: bytes that were written to it before. With kWrite, a file of which that is 0 is made, and its log's folder,
  // if they are not there; one that should hold some is never made anew (kNotFound), and kShort says that it has less.
  Result<FileHandle> acquire(LogId log, SegmentId id, Want want, uint64_t holds = 0);
  void release(LogId log, SegmentId id);
  // The file goes away: closed once nobody holds it.
  void forget(LogId log, SegmentId id);
  // The same for every file of the log.
  void forget(LogId log);

  // Length of the file as it was opened; 0 if it is not open.
  uint64_t bytes_when_opened(LogId log, SegmentId id) const;

  size_t open_count() const { return entries_.size(); }
  size_t held_count() const {
    return static_cast<size_t>(std::ranges::count_if(entries_, [](const auto& e) { return e.second->holders > 0; }));
  }

 private:
  using Key = std::pair<LogId, SegmentId>;
  enum class State : uint8_t { kOpening, kOpen, kFailed, kClosing };
  struct Entry : FileOp {
    SegmentFiles* owner;
    Key key;
    State state = State::kOpening;
    bool makes = false;    // the file, if it is not there
    bool checked = false;  // it holds what whoever writes to it has written before
    uint32_t holders = 0;
    bool forgotten = false;
    FileOp make_dir{};
    std::list<Entry*>::iterator unused{};  // in unused_, while nobody holds it
  };
  using Entries = std::map<Key, std::unique_ptr<Entry>>;

  // At the drive at once, so that thousands of files take no more FileOps than their share (Disk::kFileOpsInFlightMax).
  static constexpr size_t kOpeningMax = 32;  // two ops each
  static constexpr size_t kClosingMax = 32;

  void open(Entry& entry);
  void close(Entries::iterator it);
  void close_some();
  bool make_room();
  static void opened(FileOp& op);
  static void closed(FileOp& op);
  static void dir_made(FileOp& op);

  Shard& shard_;
  const size_t most_;
  Entries entries_;
  std::list<Entry*> unused_;                   // longest unused first
  std::list<std::unique_ptr<Entry>> closing_;  // on their way out
  std::deque<Entry*> to_close_;                // of them, those that were not given to the drive yet
  size_t opening_ = 0;
};

}  // namespace penstock::storage
