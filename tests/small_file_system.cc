#include "tests/small_file_system.h"

#include <unistd.h>

#include <cstdlib>
#include <filesystem>

namespace penstock::testing {
namespace {

bool run(const std::string& command) { return std::system((command + " >/dev/null 2>&1").c_str()) == 0; }

std::string mount_new(const std::string& kind, const std::string& image, unsigned mib, const std::string& path) {
  if (geteuid() != 0) return "only root may mount";
  if (!run("truncate -s " + std::to_string(mib) + "M '" + image + "'")) return "no file of that size can be made";
  const std::string make = kind == "ext4" ? "mkfs.ext4 -q -F -m 0 '" : "mkfs." + kind + " -q -f '";
  if (!run(make + image + "'")) return "mkfs." + kind + " is not here or does not like the size";
  std::filesystem::create_directory(path);
  if (!run("mount -o loop '" + image + "' '" + path + "'"))
    return "this kernel does not mount " + kind + " from a file";
  return {};
}

}  // namespace

SmallFileSystem::SmallFileSystem(const std::string& kind, const std::string& image, unsigned mib)
    : path_(image + ".mount"), missing_(mount_new(kind, image, mib, path_)) {}

SmallFileSystem::~SmallFileSystem() {
  if (missing_.empty()) run("umount -l '" + path_ + "'");
  std::error_code ignored;
  std::filesystem::remove(path_, ignored);
}

}  // namespace penstock::testing
