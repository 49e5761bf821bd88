// A data folder as a tool reads it: its ring's slots, the ring itself, and what a start would make of both. Nothing is
// written. docs/internals/log_format.md.
#pragma once

#include <array>
#include <expected>
#include <optional>
#include <string>
#include <vector>

#include "storage/api/folder.h"
#include "storage/api/log_tool.h"
#include "storage/ring/state_slots.h"
#include "storage/tool/file_reader.h"
#include "storage/tool/replay.h"

namespace penstock::storage {

// The folder, held open (and locked) while a tool works on it.
class ToolFolder {
 public:
  static std::expected<ToolFolder, OpenFailure> open(const LogToolRequest& request);
  ~ToolFolder();
  ToolFolder(ToolFolder&& other) noexcept;
  ToolFolder& operator=(ToolFolder&&) = delete;

  const Folder& folder() const { return folder_; }
  const std::vector<std::string>& names() const { return names_; }  // in it, sorted
  bool has(std::string_view name) const;
  // The numbers of the rings that are there, or of which a state is: those that were asked for.
  std::vector<uint32_t> rings() const;

 private:
  ToolFolder(const LogToolRequest& request, Folder folder, std::vector<std::string> names)
      : request_(&request), folder_(std::move(folder)), names_(std::move(names)) {}
  const LogToolRequest* request_;
  Folder folder_;
  std::vector<std::string> names_;
};

struct SlotFile {
  std::string path;
  bool there = false;
  uint64_t size = 0;
  std::optional<Error> error{};  // it cannot be read
  std::optional<Slot> slot{};    // whole
};

// A ring and its slots.
class ToolRing {
 public:
  ToolRing(const LogToolRequest& request, const ToolFolder& folder, uint32_t number);

  uint32_t number() const { return number_; }
  const std::string& path() const { return path_; }
  std::array<SlotFile, 2>& slots() { return slots_; }
  const std::array<SlotFile, 2>& slots() const { return slots_; }
  bool is_there() const { return there_; }
  bool is_version_1() const { return old_; }  // its slots come from <ring>.state
  const std::string& old_path() const { return old_path_; }
  // The slot that a start would take; nullptr if there is none.
  const Slot* newest() const { return newest_ ? &*newest_ : nullptr; }
  // Which of slots() it is; nothing in version 1.
  std::optional<size_t> newest_file() const { return newest_file_; }
  void read_slots();

  // Reads the ring and replays it. kNotFound: it is not there; kInvalid: it has another size than its slot says; kFull:
  // no memory for it; kIo: the drive fails. There is a newest slot.
  Result<void> read();
  uint64_t file_bytes() const { return file_bytes_; }
  // The last life stopped cleanly, and the ring still ends as it was left: it holds nothing that is needed.
  bool is_clean() const { return clean_; }
  // What the scan decided; not if is_clean().
  const ScanResult& found() const { return found_; }
  Lsn head() const { return clean_ ? newest_->ring.head : found_.head; }
  RingMemory memory() const { return RingMemory(memory_.span()); }
  // Once more through the ring's entries; not if is_clean().
  void scan(const std::function<void(const FoundEntry&)>& on_entry) const;
  Replay& replay() { return *replay_; }
  // Gives the ring's memory back; what the slots say stays.
  void forget();

 private:
  void read_slot(SlotFile& file);
  void read_version_1();
  bool stopped_cleanly(const FileReader& file);

  const LogToolRequest* request_;
  uint32_t number_;
  std::string path_;
  std::string old_path_;
  bool there_;
  bool old_ = false;
  std::array<SlotFile, 2> slots_;
  std::optional<Slot> newest_;
  std::optional<size_t> newest_file_;
  AlignedMemory memory_;
  uint64_t file_bytes_ = 0;
  bool clean_ = false;
  ScanResult found_{};
  std::optional<Replay> replay_;
};

}  // namespace penstock::storage
