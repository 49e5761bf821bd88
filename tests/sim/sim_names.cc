#include "tests/sim/sim_names.h"

#include <algorithm>
#include <cerrno>

namespace penstock::sim {
namespace {

// Where all paths begin, relative ones and others alike, is "" and is always there.
std::string folder_of(std::string_view path) {
  const size_t slash = path.rfind('/');
  return std::string(slash == std::string_view::npos ? std::string_view() : path.substr(0, slash));
}
std::string without_dot(std::string_view folder) { return folder == "." || folder == "/" ? "" : std::string(folder); }

}  // namespace

bool SimNames::is_folder(std::string_view path) const {
  const std::string folder = without_dot(path);
  if (folder.empty()) return true;
  const auto it = names_.find(folder);
  return it != names_.end() && !it->second;
}

Result<SimFilePtr> SimNames::find(std::string_view path) const {
  const auto it = names_.find(std::string(path));
  if (it == names_.end()) return fail(Errc::kNotFound, ENOENT);
  if (!it->second) return fail(Errc::kIo, EISDIR);
  return it->second;
}

void SimNames::about_to_change(std::string folder, std::initializer_list<std::string> paths, Order order) {
  Change change{.order = order, .folder = std::move(folder), .before = {}, .promised = false};
  for (const std::string& path : paths) {
    const auto it = names_.find(path);
    change.before.push_back({path, it == names_.end() ? std::nullopt : std::optional(it->second)});
  }
  unsynced_.push_back(std::move(change));
}

Result<SimFilePtr> SimNames::add_file(std::string_view path, Order order) {
  if (!is_folder(folder_of(path))) return fail(Errc::kNotFound, ENOENT);
  const std::string name(path);
  about_to_change(folder_of(path), {name}, order);
  return names_[name] = std::make_shared<SimFile>();
}

Result<void> SimNames::add_folder(std::string_view path, Order order) {
  if (is_folder(path)) return {};
  const std::string name(path);
  if (names_.contains(name)) return fail(Errc::kExists, EEXIST);
  if (!is_folder(folder_of(path))) return fail(Errc::kNotFound, ENOENT);
  about_to_change(folder_of(path), {name}, order);
  names_[name] = nullptr;
  return {};
}

Result<void> SimNames::remove_file(std::string_view path, Order order) {
  TRY(find(path));
  const std::string name(path);
  about_to_change(folder_of(path), {name}, order);
  names_.erase(name);
  return {};
}

Result<void> SimNames::remove_folder(std::string_view path, Order order) {
  const std::string name(path);
  if (!names_.contains(name)) return fail(Errc::kNotFound, ENOENT);
  if (!TRY(list(path)).empty()) return fail(Errc::kExists, ENOTEMPTY);
  about_to_change(folder_of(path), {name}, order);
  names_.erase(name);
  return {};
}

Result<void> SimNames::rename_file(std::string_view from, std::string_view to, Order order) {
  SimFilePtr file = TRY(find(from));
  if (!is_folder(folder_of(to))) return fail(Errc::kNotFound, ENOENT);
  about_to_change(folder_of(to), {std::string(from), std::string(to)}, order);
  names_.erase(std::string(from));
  names_[std::string(to)] = std::move(file);
  return {};
}

Result<std::vector<std::string>> SimNames::list(std::string_view path) const {
  const std::string folder = without_dot(path);
  if (!is_folder(folder)) return fail(Errc::kNotFound, ENOENT);
  std::vector<std::string> found;
  for (const auto& [name, file] : names_)
    if (folder_of(name) == folder) found.push_back(folder.empty() ? name : name.substr(folder.size() + 1));
  return found;
}

Result<void> SimNames::sync(std::string_view path) {
  const std::string folder = without_dot(path);
  if (!is_folder(folder)) return fail(Errc::kNotFound, ENOENT);
  std::erase_if(unsynced_, [&](const Change& change) { return change.folder == folder; });
  return {};
}

void SimNames::sync_all(Order until) {
  std::erase_if(unsynced_, [&](const Change& change) { return change.order <= until; });
}

void SimNames::promise_all(Order until) {
  for (Change& change : unsynced_) change.promised = change.promised || change.order <= until;
}

void SimNames::lose_power(Prng& prng, bool lose_unsynced) {
  const uint64_t keep = lose_unsynced ? prng.below(unsynced_.size() + 1) : unsynced_.size();
  for (size_t i = unsynced_.size(); i > keep; --i) {
    broke_a_promise_ = broke_a_promise_ || unsynced_[i - 1].promised;
    for (const auto& [path, what] : unsynced_[i - 1].before) {
      if (what)
        names_[path] = *what;
      else
        names_.erase(path);
    }
  }
  unsynced_.clear();
  // From a folder down: its path comes before all that lies in it.
  std::erase_if(names_, [&](const auto& entry) { return !is_folder(folder_of(entry.first)); });
}

std::string SimNames::path_of(const SimFilePtr& file) const {
  const auto it = std::ranges::find(names_, file, [](const auto& entry) { return entry.second; });
  return it == names_.end() ? std::string() : it->first;
}

}  // namespace penstock::sim
