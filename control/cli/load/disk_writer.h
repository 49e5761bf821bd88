// DiskWriter: raw durable writes by the very operation that the broker's ring uses (storage/api/disk.h), into a file
// that was written full before. What it measures is the floor under every durable ack on this drive.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <span>
#include <string>

#include "base/clock.h"
#include "storage/api/uring_disk.h"

namespace penstock::cli {

class DiskWriter {
 public:
  struct Spec {
    std::string folder;
    uint64_t bytes = 0;           // of a write; rounded up to the drive's block
    uint64_t file_bytes = 0;      // of the file that is written round and round
    std::string method = "auto";  // dsync, flush; auto measures, as the broker does at its start
    bool spin = false;            // never sleep while a write is in flight
  };
  // Writes the file full. Throws CliError.
  DiskWriter(Clock& clock, const Spec& spec);
  ~DiskWriter();
  DiskWriter(const DiskWriter&) = delete;
  DiskWriter& operator=(const DiskWriter&) = delete;

  // One durable write at the next place; returns when it is on stable media. Throws CliError.
  void write();

  uint64_t write_bytes() const { return op_.memory.size(); }
  uint64_t file_bytes() const { return file_bytes_; }
  const char* method() const;
  // Writes that would have blocked an lcore (penstock_ring_punts_total of the broker).
  uint64_t punts() const { return punts_; }

 private:
  struct Freer {
    void operator()(std::byte* memory) const { std::free(memory); }
  };

  void choose_method(Clock& clock, const std::string& wanted);
  void prewrite();

  std::string folder_;  // our own, inside the one given; removed at the end
  bool spin_;
  storage::DiskPtr disk_;
  storage::FileHandle file_;
  uint64_t file_bytes_ = 0;
  storage::DurableMethod method_ = storage::DurableMethod::kLinkedFlush;
  std::unique_ptr<std::byte, Freer> memory_;
  storage::DiskOp op_;
  uint64_t punts_ = 0;
};

}  // namespace penstock::cli
