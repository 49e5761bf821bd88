// penstock check: what it makes of machines that a test invents, and that it looks at this one.
#include <gtest/gtest.h>
#include <linux/magic.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <string>

#include "base/units.h"
#include "control/cli/machine/machine.h"
#include "tests/cli_run.h"

namespace penstock::cli {
namespace {

namespace fs = std::filesystem;

class Check : public testing::Test {
 protected:
  Check() {
    root_ = (fs::temp_directory_path() / "machine.XXXXXX").string();
    EXPECT_NE(mkdtemp(root_.data()), nullptr);
  }
  ~Check() override { fs::remove_all(root_); }

  void file(const std::string& path, const std::string& text) {
    fs::create_directories(fs::path(root_ + path).parent_path());
    std::ofstream(root_ + path) << text << "\n";
  }
  void link(const std::string& path, const std::string& to) {
    fs::create_directories(fs::path(root_ + path).parent_path());
    fs::create_directories(root_ + to);
    fs::create_directory_symlink(root_ + to, root_ + path);
  }
  Machine machine() const { return Machine(root_); }
  static std::map<std::string, Finding> by_name(const Findings& findings) {
    std::map<std::string, Finding> out;
    for (const Finding& finding : findings) out[finding.name] = finding;
    return out;
  }
  std::map<std::string, Finding> host() const { return by_name(look_at_host(machine(), wish_)); }
  std::map<std::string, Finding> network() const { return by_name(look_at_network(machine(), wish_)); }
  std::map<std::string, Finding> cards() const { return by_name(look_at_cards(machine())); }
  // A PCI device with its driver ("": none), in an IOMMU group and on a NUMA node.
  void device(const std::string& address, const std::string& driver, const std::string& type, int node = -1,
              const std::string& group = "7") {
    const std::string at = "/sys/bus/pci/devices/" + address;
    file(at + "/class", type);
    file(at + "/numa_node", std::to_string(node));
    if (!driver.empty()) {
      link(at + "/driver", "/sys/bus/pci/drivers/" + driver);
      fs::create_directory_symlink(root_ + at, root_ + "/sys/bus/pci/drivers/" + driver + "/" + address);
    }
    if (!group.empty()) {
      link(at + "/iommu_group", "/sys/kernel/iommu_groups/" + group);
      link("/sys/kernel/iommu_groups/" + group + "/devices/" + address, at);
    }
  }

  MachineWish wish_{.appliance = false, .ring_bytes = 256 * kMiB, .locked_memory = UINT64_MAX, .open_files = 1 << 20};
  std::string root_;
};

TEST_F(Check, AGoodMachineHasNothingToChange) {
  wish_.appliance = true;
  file("/proc/sys/kernel/osrelease", "6.1.0-18-amd64");
  file("/proc/sys/kernel/io_uring_disabled", "0");
  file("/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages", "196");  // 128 for a ring, 68 for a card
  file("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", "performance");
  file("/sys/devices/system/cpu/isolated", "2-5");
  fs::create_directories(root_ + "/sys/kernel/iommu_groups/0");
  fs::create_directories(root_ + "/sys/bus/pci/drivers/vfio-pci");
  link("/sys/class/net/eth0/device/driver", "/sys/bus/pci/drivers/ice");
  file("/sys/class/net/eth0/speed", "100000");
  for (const auto& findings : {host(), network()}) {
    for (const auto& [name, finding] : findings) {
      EXPECT_EQ(finding.level, Level::kOk) << name << ": " << finding.what;
      EXPECT_EQ(finding.change, "") << name;
    }
  }
  EXPECT_EQ(network()["network eth0"].what, "driver ice, 100000 Mbit/s, DPDK has one too");
}

TEST_F(Check, KernelAndIoUring) {
  for (const char* old : {"6.0.19", "5.15.0-91-generic", "nonsense"}) {
    file("/proc/sys/kernel/osrelease", old);
    EXPECT_EQ(host()["kernel"].level, Level::kFail) << old;
  }
  file("/proc/sys/kernel/osrelease", "7.0");
  EXPECT_EQ(host()["kernel"].level, Level::kOk);
  EXPECT_EQ(host()["io_uring"].level, Level::kOk);  // kernels before 6.6 have no switch
  file("/proc/sys/kernel/io_uring_disabled", "1");
  EXPECT_EQ(host()["io_uring"].level, Level::kWarn);
  file("/proc/sys/kernel/io_uring_disabled", "2");
  EXPECT_EQ(host()["io_uring"].level, Level::kFail);
  EXPECT_EQ(host()["io_uring"].change, "sysctl -w kernel.io_uring_disabled=0");
}

TEST_F(Check, LimitsAndHugePages) {
  wish_.locked_memory = 8 * kMiB;
  wish_.open_files = 1024;
  file("/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages", "127");
  file("/sys/kernel/mm/transparent_hugepage/enabled", "always [madvise] never");
  EXPECT_EQ(host()["locked memory"].level, Level::kWarn);
  EXPECT_EQ(host()["open files"].level, Level::kWarn);
  EXPECT_EQ(host()["huge pages"].level, Level::kOk);  // transparent ones do
  EXPECT_EQ(host()["huge pages"].change, "sysctl -w vm.nr_hugepages=128");
  file("/sys/kernel/mm/transparent_hugepage/enabled", "always madvise [never]");
  EXPECT_EQ(host()["huge pages"].level, Level::kWarn);
}

TEST_F(Check, ARingThatNoBrokerTakes) {
  EXPECT_EQ(host()["ring"].level, Level::kOk);
  wish_.ring_bytes = 1;
  EXPECT_EQ(host()["ring"].level, Level::kFail);
  // As a broker says it.
  EXPECT_EQ(host()["ring"].what,
            "penstock.ring.bytes: '1' is not a whole number from 4194304 to 4398046511104 (bytes, or with KiB, MiB, "
            "GiB, TiB)");
  wish_.ring_bytes = (uint64_t{1} << 42) + 1;
  EXPECT_EQ(host()["ring"].level, Level::kFail);
  // More than the machine has.
  wish_.ring_bytes = uint64_t{1} << 42;
  EXPECT_EQ(host()["ring"].level, Level::kOk) << "nothing is known of its memory";
  file("/proc/meminfo", "MemTotal:       25165824 kB\nMemFree:        1024 kB");
  EXPECT_EQ(host()["ring"].level, Level::kFail);
  EXPECT_EQ(host()["ring"].what, "4194304 MiB is more than this machine's memory of 24576 MiB");
  EXPECT_EQ(host()["ring"].change, "take a smaller one: --set penstock.ring.bytes=8192MiB");
}

// Each lcore and each folder has one.
TEST_F(Check, AllRingsCount) {
  file("/proc/meminfo", "MemTotal:       25165824 kB");
  file("/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages", "16383");
  wish_.ring_bytes = 8 * kGiB;
  wish_.locked_memory = 25 * kGiB;
  wish_.rings = 3;
  EXPECT_EQ(host()["ring"].what, "3 times 8192 MiB");
  EXPECT_EQ(host()["ring"].level, Level::kOk);
  EXPECT_EQ(host()["locked memory"].level, Level::kOk);
  wish_.rings = 4;
  EXPECT_EQ(host()["ring"].level, Level::kFail);
  EXPECT_EQ(host()["ring"].what, "4 times 8192 MiB is more than this machine's memory of 24576 MiB");
  EXPECT_EQ(host()["ring"].change, "take a smaller one: --set penstock.ring.bytes=2048MiB");
  EXPECT_EQ(host()["locked memory"].level, Level::kWarn);
  EXPECT_EQ(host()["huge pages"].what, "16383 of 2 MiB are free, the rings take 16384; ordinary memory is used");
  EXPECT_EQ(host()["huge pages"].change, "sysctl -w vm.nr_hugepages=16384");
}

// ---------------------------------------------------------------- memory that a process may have

TEST_F(Check, MemoryOfTheMachine) {
  EXPECT_EQ(look_at_memory(machine()).most, UINT64_MAX);
  EXPECT_EQ(look_at_memory(machine()).available, UINT64_MAX);
  file("/proc/meminfo",
       "MemTotal:       25165824 kB\nMemFree:        1024 kB\nMemAvailable:    2097152 kB\nSwapTotal: 4096 kB\n"
       "SwapFree:        1024 kB\nHugePages_Total:    1024\nHugePages_Free:      640\nHugePages_Rsvd:      "
       "128\nHugepagesize:       2048 kB");
  const MachineMemory memory = look_at_memory(machine());
  EXPECT_EQ(memory.most, 22 * kGiB) << "huge pages are no ordinary ones";
  EXPECT_EQ(memory.available, 2 * kGiB + kMiB);
  EXPECT_EQ(memory.huge_page, 2 * kMiB);
  EXPECT_EQ(memory.huge_free, kGiB) << "what others have reserved is not free";
  EXPECT_EQ(memory_text(memory), "this machine's memory of 22528 MiB");
}

TEST_F(Check, MemoryOfAControlGroup) {
  file("/proc/meminfo", "MemTotal:       25165824 kB");
  file("/proc/self/cgroup", "0::/system.slice/penstock.service");
  const std::string own = "/sys/fs/cgroup/system.slice/penstock.service/memory.max";
  const std::string above = "/sys/fs/cgroup/system.slice/memory.max";
  file(own, "max");
  EXPECT_EQ(look_at_memory(machine()).most, 24 * kGiB);
  file(own, std::to_string(30 * kGiB));
  EXPECT_EQ(look_at_memory(machine()).group_file, "") << "the machine has less";
  file(own, std::to_string(2 * kGiB));
  file(above, std::to_string(3 * kGiB));
  EXPECT_EQ(look_at_memory(machine()).most, 2 * kGiB);
  EXPECT_EQ(look_at_memory(machine()).machine, 24 * kGiB);
  file(above, std::to_string(kGiB));
  EXPECT_EQ(look_at_memory(machine()).most, kGiB);
  EXPECT_EQ(memory_text(look_at_memory(machine())), "the 1024 MiB that a control group allows (" + above + ")");
  // A container that sees its own group as the mount, and is told the path outside, or one that it cannot see.
  fs::remove_all(root_ + "/sys");
  file("/sys/fs/cgroup/memory.max", std::to_string(512 * kMiB));
  for (const char* path : {"/docker/0123", "/", "/../../other"}) {
    file("/proc/self/cgroup", std::string("0::") + path);
    EXPECT_EQ(look_at_memory(machine()).most, 512 * kMiB) << path;
  }
}

TEST_F(Check, MemoryOfAControlGroupOfVersion1) {
  file("/proc/meminfo", "MemTotal:       25165824 kB");
  file("/proc/self/cgroup", "9:name=systemd:/\n4:hugetlb,memory:/a/b\n1:cpu:/\n0::/");
  const std::string own = "/sys/fs/cgroup/memory/a/b/memory.limit_in_bytes";
  file(own, "9223372036854771712");
  EXPECT_EQ(look_at_memory(machine()).group_file, "");
  file("/sys/fs/cgroup/memory/a/memory.limit_in_bytes", std::to_string(kGiB));
  EXPECT_EQ(look_at_memory(machine()).most, kGiB);
  file(own, std::to_string(512 * kMiB));
  EXPECT_EQ(look_at_memory(machine()).group_file, own);
}

TEST_F(Check, AnApplianceNeedsMemoryForItsCardToo) {
  file("/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages", "195");
  wish_.locked_memory = 400 * kMiB;
  EXPECT_EQ(host()["huge pages"].what, "195 of 2 MiB are free, a ring takes 128");
  EXPECT_EQ(host()["locked memory"].level, Level::kOk);
  wish_.appliance = true;
  EXPECT_EQ(host()["huge pages"].level, Level::kWarn);
  EXPECT_EQ(host()["huge pages"].change, "sysctl -w vm.nr_hugepages=196");
  EXPECT_EQ(host()["locked memory"].level, Level::kWarn);
  // Pages of 1 GiB by default: the ring takes whole ones.
  file("/proc/meminfo", "MemTotal: 1 kB\nHugepagesize:    1048576 kB\nDirectMap4k: 2 kB");
  EXPECT_EQ(host()["huge pages"].level, Level::kWarn);
  file("/sys/kernel/mm/hugepages/hugepages-1048576kB/free_hugepages", "2");
  EXPECT_EQ(host()["huge pages"].level, Level::kOk);
  EXPECT_EQ(host()["huge pages"].what, "2 of 1024 MiB are free, a ring takes 1, a card 1");
}

TEST_F(Check, CardsThatVfioHas) {
  fs::create_directories(root_ + "/sys/bus/pci/drivers/vfio-pci");
  file("/sys/bus/pci/drivers/vfio-pci/new_id", "");
  EXPECT_TRUE(cards().empty());
  device("0000:03:00.0", "vfio-pci", "0x020000");
  device("0000:04:00.0", "vfio-pci", "0x030000");  // a display: none of ours
  device("0000:00:01.0", "pcieport", "0x060400");
  EXPECT_EQ(cards().size(), 1u);
  EXPECT_EQ(cards()["card 0000:03:00.0"].level, Level::kOk);
  EXPECT_EQ(cards()["card 0000:03:00.0"].what, "bound to vfio-pci, IOMMU group 7");
  device("0000:03:00.1", "ixgbe", "0x020000");
  EXPECT_EQ(cards()["card 0000:03:00.0"].level, Level::kWarn);
  EXPECT_EQ(cards()["card 0000:03:00.0"].change,
            "dpdk-devbind.py --bind=vfio-pci 0000:03:00.1, or put the card into another slot");
  device("0000:05:00.0", "vfio-pci", "0x020000", -1, "");
  EXPECT_EQ(cards()["card 0000:05:00.0"].level, Level::kWarn);
  EXPECT_NE(cards()["card 0000:05:00.0"].what.find("without an IOMMU"), std::string::npos);
}

TEST_F(Check, ACardsNumaNode) {
  device("0000:81:00.0", "vfio-pci", "0x020000", 1);
  file("/sys/devices/system/node/node1/hugepages/hugepages-2048kB/free_hugepages", "0");
  file("/sys/devices/system/node/node1/hugepages/hugepages-1048576kB/free_hugepages", "0");
  file("/sys/devices/system/node/node1/cpulist", "8-15,24-31");
  file("/sys/devices/system/cpu/isolated", "2-7,32");
  EXPECT_EQ(cards().size(), 1u);  // one node: everything is on it
  fs::create_directories(root_ + "/sys/devices/system/node/node0");
  auto found = cards();
  EXPECT_EQ(found.size(), 3u);
  EXPECT_EQ(found["card 0000:81:00.0"].what, "bound to vfio-pci, IOMMU group 7, NUMA node 1");
  EXPECT_EQ(found["huge pages of node1"].change,
            "echo 512 > /sys/devices/system/node/node1/hugepages/hugepages-2048kB/nr_hugepages");
  EXPECT_EQ(found["CPUs of node1"].level, Level::kWarn);
  file("/sys/devices/system/node/node1/hugepages/hugepages-1048576kB/free_hugepages", "1");
  file("/sys/devices/system/cpu/isolated", "2-7,31");
  EXPECT_EQ(cards().size(), 1u);
}

TEST_F(Check, AnApplianceAsksMore) {
  file("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", "performance");
  file("/sys/devices/system/cpu/cpu1/cpufreq/scaling_governor", "powersave");
  file("/sys/devices/system/cpu/isolated", "");
  link("/sys/class/net/eth0/device/driver", "/sys/bus/usb/drivers/r8152");
  fs::create_directories(root_ + "/sys/class/net/lo");
  for (const bool appliance : {false, true}) {
    wish_.appliance = appliance;
    const Level level = appliance ? Level::kWarn : Level::kOk;
    auto of_host = host();
    auto of_network = network();
    EXPECT_EQ(of_host["CPU governor"].level, level);
    EXPECT_EQ(of_host["isolated CPUs"].level, level);
    EXPECT_EQ(of_network["IOMMU"].level, level);
    EXPECT_EQ(of_network["vfio"].level, level);
    EXPECT_EQ(of_network["network eth0"].level, level);
    EXPECT_EQ(of_network.count("network lo"), 0u);
  }
  EXPECT_EQ(host()["CPU governor"].what,
            "performance on 1 CPUs, powersave on 1 CPUs: clocks rise after the work has come");
}

TEST_F(Check, DrivesAndTheirPartitions) {
  file("/sys/block/sdx/queue/write_cache", "write back");
  file("/sys/block/sdx/queue/fua", "0");
  file("/sys/block/sdx/queue/rotational", "1");
  file("/sys/block/sdx/queue/scheduler", "none mq-deadline [bfq]");
  link("/sys/dev/block/8:1", "/sys/block/sdx/sdx1");
  auto found = by_name(look_at_drive(machine(), "8:1"));
  EXPECT_EQ(found["drive"].level, Level::kWarn);
  EXPECT_EQ(found["drive"].what.find("sdx says"), 0u) << found["drive"].what;
  EXPECT_NE(found["write cache"].what.find("without FUA"), std::string::npos);
  EXPECT_EQ(found["I/O scheduler"].change, "echo none > /sys/block/sdx/queue/scheduler");
  file("/sys/block/sdx/queue/fua", "1");
  file("/sys/block/sdx/queue/rotational", "0");
  file("/sys/block/sdx/queue/scheduler", "[none] mq-deadline");
  found = by_name(look_at_drive(machine(), "8:1"));
  EXPECT_NE(found["write cache"].what.find("with FUA"), std::string::npos);
  for (const auto& [name, finding] : found) EXPECT_EQ(finding.level, Level::kOk) << name;
  file("/sys/block/vda/queue/rotational", "1");  // a virtual drive knows nothing of it
  link("/sys/dev/block/254:0", "/sys/block/vda");
  EXPECT_EQ(by_name(look_at_drive(machine(), "254:0"))["drive"].level, Level::kOk);
  EXPECT_EQ(look_at_drive(machine(), "0:44").at(0).level, Level::kOk);  // btrfs, overlayfs: no device of its own
}

TEST_F(Check, FileSystems) {
  EXPECT_EQ(look_at_file_system(EXT4_SUPER_MAGIC).level, Level::kOk);
  EXPECT_EQ(look_at_file_system(0x58465342).level, Level::kOk);
  EXPECT_EQ(look_at_file_system(BTRFS_SUPER_MAGIC).level, Level::kWarn);
  EXPECT_EQ(look_at_file_system(NFS_SUPER_MAGIC).level, Level::kWarn);
  EXPECT_EQ(look_at_file_system(TMPFS_MAGIC).level, Level::kFail);
  EXPECT_EQ(look_at_file_system(0x1234).what, "type 0x1234 is not tested");
}

// Beside the test program: the build's file system has direct I/O, /tmp may not.
TEST_F(Check, ThisMachine) {
  std::string folder = fs::read_symlink("/proc/self/exe").string() + ".XXXXXX";
  ASSERT_NE(mkdtemp(folder.data()), nullptr);
  const auto good = run_command({"check", "--data", folder, "--writes", "3", "--json"});
  EXPECT_EQ(good.exit_code, 0) << good.out;
  std::map<std::string, std::string> levels;
  for (const auto& finding : nlohmann::json::parse(good.out)) levels[finding["name"]] = finding["level"];
  for (const char* name : {"kernel", "io_uring ring", "durable write, dsync", "durable write, flush", "data folder"})
    EXPECT_EQ(levels[name], "ok") << name << good.out;
  EXPECT_TRUE(fs::is_empty(folder));
  const auto tiny = run_command({"check", "--data", folder, "--writes", "3", "--ring-bytes", "1"});
  EXPECT_EQ(tiny.exit_code, 1);
  EXPECT_NE(tiny.out.find("penstock.ring.bytes: '1' is not a whole number from 4194304"), std::string::npos)
      << tiny.out;
  const auto huge = run_command({"check", "--data", folder, "--writes", "3", "--ring-bytes", "4TiB"});
  EXPECT_EQ(huge.exit_code, 1);
  EXPECT_EQ(huge.out.find("2097152MiB"), std::string::npos) << huge.out;
  fs::remove_all(folder);
  const auto bad = run_command({"check", "--data", folder});
  EXPECT_EQ(bad.exit_code, 1);
  EXPECT_NE(bad.out.find("fail  data folder"), std::string::npos) << bad.out;
  EXPECT_NE(bad.out.find("to change: mkdir -p " + folder), std::string::npos) << bad.out;
}

}  // namespace
}  // namespace penstock::cli
