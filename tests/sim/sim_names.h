// The names of the simulated disk: files and folders by path, and which changes of them a crash may still undo.
//
// A change is durable once its folder was synced (a rename: the folder of the new name). Of the others a crash keeps
// the first so many, as a journal would; and what lies in a folder whose own name is gone is gone with it.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "tests/sim/sim_file.h"

namespace penstock::sim {

using SimFilePtr = std::shared_ptr<SimFile>;

class SimNames {
 public:
  bool exists(const std::string& path) const { return names_.contains(path); }
  bool is_folder(std::string_view path) const;
  Result<SimFilePtr> find(std::string_view path) const;  // the file of that name
  Result<SimFilePtr> add_file(std::string_view path, Order order);
  Result<void> add_folder(std::string_view path, Order order);  // fine if it is there
  Result<void> remove_file(std::string_view path, Order order);
  Result<void> remove_folder(std::string_view path, Order order);  // kExists if it is not empty
  Result<void> rename_file(std::string_view from, std::string_view to, Order order);
  Result<std::vector<std::string>> list(std::string_view path) const;

  Result<void> sync(std::string_view folder);
  void sync_all(Order until);
  void promise_all(Order until);                                                 // it only says so
  bool take_broken_promise() { return std::exchange(broke_a_promise_, false); }  // as SimFile's
  // lose_unsynced: or else every change is kept.
  void lose_power(Prng& prng, bool lose_unsynced);

  // The name that file has now; empty if it has none.
  std::string path_of(const SimFilePtr& file) const;
  // In the order of names, which replays; that of pointers would not.
  template <class Each>
  void each_file(const Each& each) const {
    for (const auto& [path, file] : names_)
      if (file) each(file);
  }

 private:
  struct Change {
    Order order;
    std::string folder;
    struct Before {
      std::string path;
      std::optional<SimFilePtr> what;  // nothing: there was no such name
    };
    std::vector<Before> before;
    bool promised = false;
  };
  // Notes what the paths are now, before they change.
  void about_to_change(std::string folder, std::initializer_list<std::string> paths, Order order);

  std::map<std::string, SimFilePtr> names_;  // null: a folder
  std::vector<Change> unsynced_;
  bool broke_a_promise_ = false;
};

}  // namespace penstock::sim
