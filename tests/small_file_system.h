// A file system of its own on a loop device, small enough to be filled. Needs root, mount and mkfs.
#pragma once

#include <string>

namespace penstock::testing {

class SmallFileSystem {
 public:
  // kind: "ext4" or "xfs"; image: where its bytes lie, in a folder that has room for them (XFS wants 300 MiB).
  SmallFileSystem(const std::string& kind, const std::string& image, unsigned mib);
  ~SmallFileSystem();
  SmallFileSystem(const SmallFileSystem&) = delete;
  SmallFileSystem& operator=(const SmallFileSystem&) = delete;

  // Why there is none, for GTEST_SKIP: not root, a program is missing, the kernel lets us not. Empty: it is mounted.
  const std::string& missing() const { return missing_; }
  const std::string& path() const { return path_; }

 private:
  std::string path_;  // where it is mounted
  std::string missing_;
};

}  // namespace penstock::testing
