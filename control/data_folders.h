// DataFolders: the folders of log.dirs, one a drive, and the rings in them. The first holds the metadata, which
// remembers the ids of all: a drive that is not mounted shows as a folder that is missing, not as an empty one.
#pragma once

#include <cstdint>
#include <expected>
#include <optional>
#include <string>
#include <vector>

#include "base/prng.h"
#include "control/metadata/store.h"
#include "storage/api/disk.h"
#include "storage/api/folder.h"

namespace penstock::control {

// log.dirs as paths, as they were written. What is wrong is one line that names the setting: one folder twice in any
// spelling, or one inside another.
std::expected<std::vector<std::string>, std::string> parse_log_dirs(const std::string& setting);

// Whether two values of log.dirs name the same folders in the same order, in any spelling.
bool same_folders(const std::string& setting, const std::string& other);

// One line for the operator about the metadata in this folder.
std::unexpected<std::string> metadata_failed(const std::string& folder, Error error);

struct RingPlace {
  uint16_t ring;
  size_t folder;  // in folders()
  bool is_there;
};

struct PlannedRing {
  uint64_t bytes;
  bool is_there;
};
// What DataFolders::rings() will find in these folders, by ring, with its size; ring_bytes: of those that are to be
// made. Nothing is made or changed, and what cannot be looked at counts as not there: whoever opens it says why.
std::vector<PlannedRing> plan_rings(const std::vector<std::string>& paths, size_t lcores, uint64_t ring_bytes);

class DataFolders {
 public:
  // Makes or opens the first folder, and locks it. Refused, before anything is made, if none of the folders holds the
  // metadata and one holds rings: it is of a broker whose metadata is elsewhere. disk outlives this, and with it the
  // locks. Failures of all functions are one line that says what to do.
  static std::expected<DataFolders, std::string> open(storage::Disk& disk, Prng& prng, std::vector<std::string> paths);
  // Makes or opens the others. Refused, before any is made, if one that the metadata remembers is missing, or one that
  // it does not know holds rings.
  std::expected<void, std::string> open_others(MetadataStore& metadata);
  // Each ring that is in a folder, and those that are to be made, so that each lcore and each folder has one: ring k in
  // folder k modulo their number. By ring.
  std::expected<std::vector<RingPlace>, std::string> rings(size_t lcores) const;

  // Where they are and which, for the next start. Once nothing speaks against them.
  std::expected<void, std::string> remember(MetadataStore& metadata) const;

  const std::string& path(size_t folder) const { return paths_[folder]; }
  size_t count() const { return paths_.size(); }

 private:
  DataFolders(storage::Disk& disk, Prng& prng, std::vector<std::string> paths)
      : disk_(disk), prng_(prng), paths_(std::move(paths)), folders_(paths_.size()) {}

  bool holds(const std::string& path, std::string_view name) const;
  bool holds_data(const std::string& path) const;
  bool takes_no_folders(const std::string& path) const;
  std::expected<void, std::string> open_one(size_t folder);
  std::expected<void, std::string> refuse_stranger(size_t folder, const std::vector<Entry>& remembered) const;
  std::expected<void, std::string> refuse_if_missing(const std::vector<Entry>& remembered) const;

  storage::Disk& disk_;
  Prng& prng_;
  std::vector<std::string> paths_;
  std::vector<std::optional<storage::Folder>> folders_;  // those that are open
};

}  // namespace penstock::control
