// What a start says of memory that there is not (control/memory_check.h), on machines that a test invents.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>

#include "base/units.h"
#include "control/memory_check.h"

namespace penstock::control {
namespace {

namespace fs = std::filesystem;

class Memory : public testing::Test {
 protected:
  void set(std::string_view assignment) { ASSERT_TRUE(set_option(settings_, assignment).has_value()) << assignment; }
  void ring(uint64_t bytes, bool is_there) { plan_.rings.push_back({.bytes = bytes, .is_there = is_there}); }
  // So many rings that are to be made.
  void new_rings(size_t count) {
    plan_.rings.assign(count, {.bytes = static_cast<uint64_t>(settings_.storage.ring_bytes), .is_there = false});
  }
  std::string said() const {
    const auto done = check_memory(plan_, there_);
    return done ? "" : done.error();
  }
  std::string said_now() const {
    const auto done = check_memory_now(plan_, there_);
    return done ? "" : done.error();
  }

  Settings settings_;
  MemoryPlan plan_{.settings = &settings_, .rings = {}};
  cli::MachineMemory there_{.machine = 24 * kGiB, .most = 24 * kGiB, .huge_page = 2 * kMiB};
};

TEST_F(Memory, ASettingThatIsMoreThanThereIs) {
  new_rings(3);
  plan_.devices = 1;
  EXPECT_EQ(said(), "");
  for (const std::string name : {"penstock.read.cache.bytes", "log.cleaner.dedupe.buffer.size",
                                 "penstock.receive.pool.bytes", "penstock.tcp.send.memory.bytes"}) {
    for (const char* size : {"=100GiB", "=1TiB"}) {
      settings_ = {};
      set(name + size);
      EXPECT_TRUE(said().starts_with(name + ": ")) << said();
    }
  }
  settings_ = {};
  set("penstock.read.cache.bytes=12GiB");
  EXPECT_EQ(said(),
            "penstock.read.cache.bytes: 3 times 12288 MiB is more than this machine's memory of 24576 MiB; choose a "
            "smaller one");
  settings_ = {};
  set("log.cleaner.dedupe.buffer.size=1TiB");
  set("log.cleaner.enable=false");
  EXPECT_EQ(said(), "");
}

TEST_F(Memory, AllRingsCount) {
  set("penstock.ring.bytes=13GiB");
  new_rings(1);
  EXPECT_EQ(said(), "");
  new_rings(2);
  EXPECT_EQ(said(),
            "penstock.ring.bytes: 2 times 13312 MiB is more than this machine's memory of 24576 MiB; choose a smaller "
            "one: --set penstock.ring.bytes=4096MiB");
  // One exists: that it fits beside it is what is asked of the new one.
  plan_.rings.clear();
  ring(13 * kGiB, true);
  EXPECT_EQ(said(), "");
  ring(13 * kGiB, false);
  EXPECT_EQ(said(),
            "penstock.ring.bytes: 13312 MiB, and 13312 MiB of rings that exist is more than this machine's memory of "
            "24576 MiB; choose a smaller one: --set penstock.ring.bytes=4096MiB");
  plan_.rings.clear();
  ring(30 * kGiB, true);
  EXPECT_EQ(
      said(),
      "penstock.ring.bytes: 30720 MiB of rings that exist are more than this machine's memory of 24576 MiB; rings "
      "that exist keep their size: give the broker more memory");
}

TEST_F(Memory, ReadCachesCountBesideTheRings) {
  set("penstock.ring.bytes=23GiB");
  set("penstock.read.cache.bytes=2GiB");
  new_rings(1);
  EXPECT_EQ(said(),
            "penstock.ring.bytes: 23552 MiB, and 2048 MiB of read caches is more than this machine's memory of 24576 "
            "MiB; choose a smaller one: --set penstock.ring.bytes=8192MiB");
  set("penstock.ring.bytes=4GiB");
  set("penstock.read.cache.bytes=11GiB");
  new_rings(2);
  EXPECT_EQ(
      said(),
      "penstock.read.cache.bytes: 2 times 11264 MiB, and 8192 MiB of rings, is more than this machine's memory of "
      "24576 MiB; choose a smaller one: --set penstock.read.cache.bytes=4096MiB");
  set("penstock.read.cache.bytes=4096MiB");
  EXPECT_EQ(said(), "") << "what it advises fits";
}

TEST_F(Memory, AControlGroupAllowsLess) {
  set("penstock.ring.bytes=1GiB");
  new_rings(1);
  there_.most = 512 * kMiB;
  there_.group_file = "/sys/fs/cgroup/memory.max";
  EXPECT_EQ(said(),
            "penstock.ring.bytes: 1024 MiB is more than the 512 MiB that a control group allows "
            "(/sys/fs/cgroup/memory.max); choose a smaller one: --set penstock.ring.bytes=256MiB");
  set("penstock.ring.bytes=64MiB");
  new_rings(1);
  EXPECT_EQ(said(), "");
  there_.most = 128 * kMiB;
  EXPECT_EQ(said(), "") << "a receive pool is as large as what is received at once";
  set("penstock.receive.pool.bytes=25GiB");
  EXPECT_TRUE(
      said().starts_with("penstock.receive.pool.bytes: 25600 MiB is more than this machine's memory of 24576 MiB"))
      << said();
}

TEST_F(Memory, RingsInHugePagesTakeNoOther) {
  set("penstock.ring.bytes=16GiB");
  new_rings(2);
  EXPECT_NE(said(), "");
  there_.most = 8 * kGiB;
  there_.huge_free = 32 * kGiB;
  EXPECT_EQ(said(), "");
  there_.huge_free -= 2 * kMiB;
  EXPECT_NE(said(), "") << "the second one gets none of them";
  there_.most = 17 * kGiB;
  EXPECT_EQ(said(), "");
  set("penstock.huge.pages=off");
  EXPECT_NE(said(), "");
}

// The ring is touched in the first seconds; what is not free now is other processes'.
TEST_F(Memory, WhatCanBeGivenNow) {
  set("penstock.ring.bytes=22GiB");
  new_rings(1);
  EXPECT_EQ(said(), "");
  EXPECT_EQ(said_now(), "") << "nothing is known of it";
  there_.available = 22 * kGiB;
  EXPECT_EQ(said_now(), "");
  there_.available = 21 * kGiB;
  EXPECT_EQ(
      said_now(),
      "penstock.ring.bytes: 22528 MiB is more than the 21504 MiB of memory that this machine can give now; choose "
      "a smaller one: --set penstock.ring.bytes=8192MiB");
}

TEST_F(Memory, BesideACardReadCachesHaveTheirPagesAtOnce) {
  set("penstock.ring.bytes=16GiB");
  set("penstock.read.cache.bytes=4GiB");
  new_rings(1);
  there_.available = 18 * kGiB;
  EXPECT_EQ(said_now(), "");
  plan_.cards = true;
  EXPECT_EQ(
      said_now(),
      "penstock.ring.bytes: 16384 MiB, and 4096 MiB of read caches is more than the 18432 MiB of memory that this "
      "machine can give now; choose a smaller one: --set penstock.ring.bytes=4096MiB");
  there_.available = 20 * kGiB;
  EXPECT_EQ(said_now(), "");

  const std::vector<std::string> folders{"/absent"};
  EXPECT_TRUE(plan_memory(settings_, 1, folders, {{.device = "0000:03:00.0"}}).cards);
  const MemoryPlan without = plan_memory(settings_, 1, folders, {{.device = "net_tap,iface=tap0"}});
  EXPECT_EQ(without.devices, 1u);
  EXPECT_FALSE(without.cards);
}

TEST_F(Memory, BuffersOfDevicesAreBoundedByTheMachine) {
  new_rings(1);
  set("penstock.dpdk.frames=16777216");
  EXPECT_EQ(said(), "") << "nobody drives a device";
  plan_.devices = 1;
  EXPECT_NE(said().find("penstock.dpdk.frames: 38912 MiB is more than"), std::string::npos) << said();
  set("penstock.dpdk.frames=65536");
  EXPECT_EQ(said(), "");
  set("penstock.tcp.send.memory.bytes=6GiB");
  plan_.lcores = 8;
  EXPECT_NE(said().find("penstock.tcp.send.memory.bytes: 8 times 6144 MiB is more than"), std::string::npos) << said();
}

TEST_F(Memory, TheSumOfAllBoundsIsAWarning) {
  new_rings(1);
  EXPECT_EQ(memory_warning(plan_, there_), "");
  there_.most = 512 * kMiB;
  EXPECT_EQ(said(), "") << "it may never come near them";
  EXPECT_EQ(memory_warning(plan_, there_),
            "under load this broker may hold 912 MiB (rings 256 MiB, read caches 32 MiB, indexes 64 MiB, buffers of "
            "rings 16 MiB, receive pools 160 MiB, cleaners' maps 128 MiB, groups 256 MiB), more than this machine's "
            "memory of 512 MiB: the kernel would end it then. Choose smaller ones, or fewer lcores");
  there_.most = 24 * kGiB;
  there_.available = 911 * kMiB;
  EXPECT_NE(memory_warning(plan_, there_).find("more than the 911 MiB that this machine can give now"),
            std::string::npos);
  plan_.lcores = 64;
  plan_.devices = 1;
  new_rings(64);
  there_.available = UINT64_MAX;
  EXPECT_NE(memory_warning(plan_, there_).find("receive pools 10240 MiB, send memory 2048 MiB"), std::string::npos);
}

TEST_F(Memory, RingsOfFoldersAreThoseThatAreThereAndThoseToBeMade) {
  std::string root = (fs::temp_directory_path() / "rings.XXXXXX").string();
  ASSERT_NE(mkdtemp(root.data()), nullptr);
  const std::vector<std::string> folders{root + "/a", root + "/b", root + "/absent"};
  const auto file = [](const std::string& path, uint64_t bytes) {
    fs::create_directories(fs::path(path).parent_path());
    const int fd = creat(path.c_str(), 0600);
    EXPECT_EQ(ftruncate(fd, static_cast<off_t>(bytes)), 0);
    close(fd);
  };
  file(folders[0] + "/ring-0", 5 * kMiB);
  file(folders[0] + "/ring-0.state-0", 4096);
  file(folders[0] + "/ring-2.making", 9 * kMiB);
  file(folders[1] + "/ring-7", 6 * kMiB);
  const std::vector<PlannedRing> rings = plan_rings(folders, 2, 8 * kMiB);
  fs::remove_all(root);
  ASSERT_EQ(rings.size(), 4u) << "0, 7, and 1 and 2 that are to be made";
  EXPECT_EQ(rings[0].bytes, 5 * kMiB);
  EXPECT_EQ(rings[3].bytes, 6 * kMiB);
  EXPECT_TRUE(rings[0].is_there && rings[3].is_there);
  for (const size_t i : {1, 2}) {
    EXPECT_EQ(rings[i].bytes, 8 * kMiB);
    EXPECT_FALSE(rings[i].is_there);
  }
}

}  // namespace
}  // namespace penstock::control
