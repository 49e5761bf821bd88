#include "control/cli/machine/machine.h"

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <fstream>
#include <iterator>

namespace penstock::cli {

namespace fs = std::filesystem;

std::optional<std::string> Machine::read(const std::string& path) const {
  std::ifstream in(root_ + path);
  if (!in) return std::nullopt;
  std::string text{std::istreambuf_iterator<char>(in), {}};
  while (!text.empty() && text.back() == '\n') text.pop_back();
  return text;
}

std::optional<int64_t> Machine::number(const std::string& path) const {
  const auto text = read(path);
  int64_t out = 0;
  if (!text || std::from_chars(text->data(), text->data() + text->size(), out).ec != std::errc{}) return std::nullopt;
  return out;
}

std::vector<std::string> Machine::names(const std::string& path) const {
  std::vector<std::string> out;
  std::error_code error;
  for (fs::directory_iterator at(root_ + path, error), end; !error && at != end; at.increment(error))
    out.push_back(at->path().filename().string());
  std::sort(out.begin(), out.end());
  return out;
}

bool Machine::exists(const std::string& path) const {
  std::error_code error;
  return fs::exists(root_ + path, error);
}

std::optional<std::string> Machine::target(const std::string& path) const {
  std::error_code error;
  const fs::path real = fs::canonical(root_ + path, error);
  if (error) return std::nullopt;
  return real.filename().string();
}

}  // namespace penstock::cli
