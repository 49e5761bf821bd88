// Which partition a log is, by the folder's metadata.sqlite. It is read from a copy: nothing in the folder changes, and
// a running broker's lock is in nobody's way.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "storage/api/types.h"

namespace penstock::cli {

struct LogNames {
  struct Partition {
    std::string topic;
    int32_t index = 0;
    uint16_t ring = 0;
  };
  std::map<storage::LogId, Partition> partitions;
  std::map<uint32_t, storage::RingLife> lives_of_rings;  // what the metadata remembers of them
  std::set<std::string> folders;                         // ids of the data folders that the metadata remembers
  std::optional<storage::LogId> next_log_id;             // nothing: the metadata could not be read,
  std::string why_not;                                   // because of this
  std::string path;                                      // of the file
  std::string todo;      // it is there, and what is wrong is its own: what to do about it
  bool no_copy = false;  // it is there, and could not be looked at for want of a place

  bool known() const { return next_log_id.has_value(); }
  // "orders/2", or empty.
  std::string name_of(storage::LogId log) const;
  std::vector<storage::LogId> logs_of(const std::string& topic, std::optional<int32_t> partition) const;
};

// live: a broker may be writing, so that a copy may be torn, and is not checked as a whole.
LogNames read_log_names(const std::string& folder, bool live);

}  // namespace penstock::cli
