#include "storage/log/segment_files.h"

#include <algorithm>

#include "storage/segment/segment_path.h"

namespace penstock::storage {
SegmentFiles::~SegmentFiles() {
  for (const auto& [key, entry] : entries_)
    if (entry->state == State::kOpen) shard_.disk.close(entry->file);
  for (const Entry* entry : to_close_) shard_.disk.close(entry->file);
}

Result<FileHandle> SegmentFiles::acquire(LogId log, SegmentId id, Want want, uint64_t holds) {
  const Key key{log, id};
  const auto it = entries_.find(key);
  if (it == entries_.end()) {
    if (opening_ >= kOpeningMax) return fail(Errc::kWouldBlock);
    if (entries_.size() + closing_.size() >= most_ && !make_room()) return fail(Errc::kWouldBlock);
    auto entry = std::make_unique<Entry>();
    entry->owner = this;
    entry->key = key;
    entry->makes = want == Want::kWrite && holds == 0;
    open(*entry);
    entries_.emplace(key, std::move(entry));
    return fail(Errc::kWouldBlock);
  }
  Entry& entry = *it->second;
  if (entry.forgotten) return fail(Errc::kWouldBlock);  // of a deleted file: the next of that name is another one
  switch (entry.state) {
    case State::kOpening:
    case State::kClosing: return fail(Errc::kWouldBlock);
    case State::kFailed: {
      const Error error = *entry.error;  // told once: who asks again has it tried again
      unused_.erase(entry.unused);
      entries_.erase(it);
      return std::unexpected(error);
    }
    case State::kOpen: break;
  }
  // Only once: what is written from now on makes it longer than it was when it was opened.
  if (want == Want::kWrite && !entry.checked) {
    if (entry.bytes < holds) return fail(Errc::kShort);
    entry.checked = true;
  }
  if (entry.holders++ == 0) unused_.erase(entry.unused);
  return entry.file;
}

void SegmentFiles::release(LogId log, SegmentId id) {
  const auto it = entries_.find({log, id});
  CHECK(it != entries_.end() && it->second->holders > 0);
  Entry& entry = *it->second;
  if (--entry.holders > 0) return;
  if (entry.forgotten) return close(it);
  entry.unused = unused_.insert(unused_.end(), &entry);
}

uint64_t SegmentFiles::bytes_when_opened(LogId log, SegmentId id) const {
  const auto it = entries_.find({log, id});
  return it == entries_.end() || it->second->state != State::kOpen ? 0 : it->second->bytes;
}

void SegmentFiles::forget(LogId log, SegmentId id) {
  const auto it = entries_.find({log, id});
  if (it == entries_.end()) return;
  Entry& entry = *it->second;
  entry.forgotten = true;
  if (entry.state == State::kFailed) {
    unused_.erase(entry.unused);
    entries_.erase(it);
  } else if (entry.state == State::kOpen && entry.holders == 0) {
    unused_.erase(entry.unused);
    close(it);
  }
}

void SegmentFiles::forget(LogId log) {
  for (auto it = entries_.lower_bound({log, SegmentId{Offset{INT64_MIN}}});
       it != entries_.end() && it->first.first == log;) {
    const SegmentId id = it->first.second;
    ++it;
    forget(log, id);
  }
}

void SegmentFiles::open(Entry& entry) {
  const auto& [log, id] = entry.key;
  opening_ += 1;
  if (entry.makes) {
    entry.make_dir.kind = FileOp::Kind::kMakeDir;
    entry.make_dir.path = log_path(shard_.folder, log);
    entry.make_dir.on_done = dir_made;
    shard_.submit(entry.make_dir);  // if it failed, so does the open behind it
  }
  entry.kind = FileOp::Kind::kOpen;
  entry.path = segment_path(shard_.folder, log, id);
  entry.mode = {.create = entry.makes};
  entry.on_done = opened;
  shard_.submit(static_cast<FileOp&>(entry));
}

void SegmentFiles::dir_made(FileOp&) {}

void SegmentFiles::opened(FileOp& op) {
  auto& entry = static_cast<Entry&>(op);
  SegmentFiles& files = *entry.owner;
  files.opening_ -= 1;
  if (entry.error && entry.make_dir.error) entry.error = entry.make_dir.error;  // why there is no such file
  entry.state = entry.error ? State::kFailed : State::kOpen;
  // A flush that began before now may have missed the new name.
  if (entry.makes) files.shard_.names_changed = true;
  const auto it = files.entries_.find(entry.key);
  if (entry.forgotten) {
    if (entry.error) {
      files.entries_.erase(it);
    } else {
      files.close(it);
    }
    return;
  }
  entry.unused = files.unused_.insert(files.unused_.end(), &entry);
}

void SegmentFiles::close(Entries::iterator it) {
  Entry& entry = *it->second;
  entry.state = State::kClosing;
  entry.kind = FileOp::Kind::kClose;
  entry.on_done = closed;
  closing_.push_back(std::move(it->second));
  entries_.erase(it);
  to_close_.push_back(&entry);
  close_some();
}

void SegmentFiles::close_some() {
  for (; !to_close_.empty() && closing_.size() - to_close_.size() < kClosingMax; to_close_.pop_front())
    shard_.submit(static_cast<FileOp&>(*to_close_.front()));
}

void SegmentFiles::closed(FileOp& op) {
  auto& entry = static_cast<Entry&>(op);
  SegmentFiles& files = *entry.owner;
  std::erase_if(files.closing_, [&](const auto& closing) { return closing.get() == &entry; });
  files.close_some();
}

// True if there is room now; else some is on its way, if anybody can spare a file.
bool SegmentFiles::make_room() {
  constexpr size_t kAtOnce = 16;
  if (unused_.empty() || closing_.size() >= kAtOnce) return false;
  const auto it = entries_.find(unused_.front()->key);
  unused_.pop_front();
  if (it->second->state == State::kFailed) {
    entries_.erase(it);
    return true;
  }
  close(it);
  return false;
}

}  // namespace penstock::storage
