// The client commands against the real broker: a penstock serve of its own on a free port, a small ring in a folder
// that goes with the test. Runs the program that stands in PENSTOCK_PROGRAM (its path, set by CMake).
#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <regex>
#include <string>
#include <utility>
#include <vector>

#include "tests/cli_run.h"

namespace penstock {
namespace {

// Beside the test program: the build's file system has direct I/O, /tmp may not.
class Folder {
 public:
  Folder() {
    std::string path = std::filesystem::read_symlink("/proc/self/exe").string() + ".XXXXXX";
    path_ = mkdtemp(path.data());
  }
  ~Folder() { std::filesystem::remove_all(path_); }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

// A process that serves; output, one of its descriptors, is the end of a pipe. files: that it may open, or 0 for as
// many as this one.
pid_t spawn(const Folder& folder, int output, int end, rlim_t files = 0) {
  const pid_t pid = fork();
  if (pid != 0) return pid;
  dup2(end, output);
  const rlimit limit{.rlim_cur = files, .rlim_max = files};
  if (files != 0) setrlimit(RLIMIT_NOFILE, &limit);
  execl(PENSTOCK_PROGRAM, "penstock", "serve", "--data", folder.path().c_str(), "--listen", "127.0.0.1:0", "--no-http",
        "--set", "penstock.ring.bytes=16777216", nullptr);
  _exit(127);
}

class Broker {
 public:
  explicit Broker(const Folder& folder, rlim_t files = 0) {
    int ends[2];
    EXPECT_EQ(pipe2(ends, O_CLOEXEC), 0);
    pid_ = spawn(folder, STDOUT_FILENO, ends[1], files);
    close(ends[1]);
    read_ready_line(ends[0]);
    output_ = ends[0];
  }
  ~Broker() {
    if (pid_ > 0) stop(SIGKILL);
    close(output_);
  }

  const std::string& address() const { return address_; }
  // Its exit code; -1 if a signal ended it.
  int stop(int signal) {
    kill(pid_, signal);
    int status = 0;
    waitpid(pid_, &status, 0);
    pid_ = -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  }

 private:
  // "ready PLAINTEXT://127.0.0.1:PORT"
  void read_ready_line(int fd) {
    std::string line;
    for (char letter = 0; letter != '\n';) {
      pollfd entry{fd, POLLIN, 0};
      if (poll(&entry, 1, 60'000) != 1 || read(fd, &letter, 1) != 1) break;
      line += letter;
    }
    const size_t at = line.find("127.0.0.1:");
    ASSERT_TRUE(line.starts_with("ready") && at != line.npos) << line;
    address_ = line.substr(at, line.find_first_of(" \n", at) - at);
  }

  pid_t pid_ = -1;
  int output_ = -1;
  std::string address_;
};

class CliServe : public testing::Test {
 protected:
  CommandResult run(std::vector<std::string> arguments) {
    arguments.insert(arguments.end(), {"--bootstrap", broker_.address()});
    return run_command(std::move(arguments));
  }
  nlohmann::json bench(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), "bench");
    arguments.insert(arguments.end(), {"--quiet", "--json", "-"});
    const CommandResult result = run(std::move(arguments));
    EXPECT_EQ(result.exit_code, 0) << result.err;
    return nlohmann::json::parse(result.out, nullptr, false);
  }

  Folder folder_;
  Broker broker_{folder_};
};

TEST_F(CliServe, TopicsComeAndGo) {
  EXPECT_EQ(run({"topic", "list"}).out, "no topics; make one with: penstock topic create NAME\n");
  const auto made = run({"topic", "create", "orders", "--partitions", "3", "--config", "retention.ms=1000"});
  ASSERT_EQ(made.exit_code, 0) << made.err;
  EXPECT_EQ(made.out.find("Created orders: 3 partitions, 1 replica each, id "), 0u) << made.out;
  const auto again = run({"topic", "create", "orders"});
  EXPECT_EQ(again.exit_code, 1);
  EXPECT_EQ(again.err, "penstock: cannot create topic orders: TOPIC_ALREADY_EXISTS: Topic 'orders' already exists.\n");
  const auto wide = run({"topic", "create", "wide", "--replication-factor", "3"});
  EXPECT_EQ(wide.exit_code, 1);
  EXPECT_NE(wide.err.find("INVALID_REPLICATION_FACTOR"), std::string::npos) << wide.err;
  const auto list = nlohmann::json::parse(run({"topic", "list", "--json"}).out);
  ASSERT_EQ(list.size(), 1u);
  EXPECT_EQ(list[0]["partitions"], 3);
  EXPECT_EQ(run({"topic", "delete", "orders"}).exit_code, 0);
  const auto gone = run({"topic", "describe", "orders"});
  EXPECT_EQ(gone.exit_code, 1);
  EXPECT_EQ(gone.err, "penstock: topic orders: UNKNOWN_TOPIC_OR_PARTITION\n");
}

TEST_F(CliServe, WhatIsProducedIsDescribedAndConsumed) {
  const auto produced = bench({"produce", "--topic", "t", "--partitions", "4", "--connections", "3", "--count", "2000",
                               "--batch-records", "8", "--record-bytes", "200", "--idempotent"});
  EXPECT_EQ(produced["result"]["records"], 2000);
  EXPECT_EQ(produced["result"]["latency_us"]["count"], 250);
  const auto described = nlohmann::json::parse(run({"topic", "describe", "t", "--json"}).out);
  int64_t records = 0;
  for (const auto& partition : described["partitions"]) {
    EXPECT_EQ(partition["start_offset"], 0);
    records += partition["end_offset"].get<int64_t>();
  }
  EXPECT_EQ(records, 2000);
  const auto consumed = bench(
      {"consume", "--topic", "t", "--verify", "--connections", "2", "--in-flight", "2", "--fetch-bytes", "20000"});
  EXPECT_EQ(consumed["result"]["records"], 2000);
}

TEST_F(CliServe, OpenLoopAndLatencyBlocks) {
  const auto produced = bench({"produce", "--topic", "t", "--rate", "100kB", "--duration", "500ms", "--record-bytes",
                               "100", "--batch-records", "10", "--acks", "1"});
  EXPECT_EQ(produced["result"]["requests"], 50);
  const auto latency = bench({"latency", "--topic", "l", "--rate", "100", "--block", "200ms", "--rounds", "2", "--disk",
                              folder_.path(), "--disk-method", "flush", "--cleanup"});
  EXPECT_EQ(latency["result"]["produce_to_ack_us"]["count"], 40);
  EXPECT_EQ(latency["result"]["produce_to_consume_us"]["count"], 40);
  EXPECT_EQ(latency["result"]["durable_write_us"]["count"], 40);
  EXPECT_EQ(run({"topic", "list"}).out.find("\nl "), std::string::npos);
  EXPECT_EQ(broker_.stop(SIGTERM), 0);
}

TEST_F(CliServe, MoreThanTheRingHoldsIsStoredOrReportedAsRefused) {
  // 32 MiB through a ring of 16: what was acknowledged reads back, the rest was refused by name.
  const auto produced = run(
      {"bench", "produce", "--topic", "t", "--count", "32768", "--batch-bytes", "256KiB", "--quiet", "--json", "-"});
  const auto result = nlohmann::json::parse(produced.out)["result"];
  EXPECT_EQ(produced.exit_code, result["errors"].empty() ? 0 : 1);
  EXPECT_GT(result["records"], 0);
  const auto consumed = bench({"consume", "--topic", "t", "--verify"});
  EXPECT_EQ(consumed["result"]["records"], result["records"]);
}

// The exit code of a start that is refused, and what it says. -1: a signal ended it.
std::pair<int, std::string> refused_start(const Folder& folder, rlim_t files) {
  int ends[2];
  EXPECT_EQ(pipe2(ends, O_CLOEXEC), 0);
  const pid_t pid = spawn(folder, STDERR_FILENO, ends[1], files);
  close(ends[1]);
  std::string said;
  char bytes[4096];
  pollfd entry{ends[0], POLLIN, 0};
  for (ssize_t n = 1; n > 0;) {
    n = poll(&entry, 1, 60'000) == 1 ? read(ends[0], bytes, sizeof bytes) : 0;
    said.append(bytes, static_cast<size_t>(std::max<ssize_t>(n, 0)));
  }
  kill(pid, SIGKILL);  // in vain, if it ended as it should
  int status = 0;
  waitpid(pid, &status, 0);
  close(ends[0]);
  return {WIFEXITED(status) ? WEXITSTATUS(status) : -1, said};
}

TEST(CliServeLimits, ServesWithAsFewFilesAsItSaysItNeedsAndRefusesFewer) {
  const Folder folder;
  const auto [code, said] = refused_start(folder, 22);
  EXPECT_EQ(code, 1) << said;
  std::smatch numbers;
  ASSERT_TRUE(std::regex_search(said, numbers, std::regex("penstock: 22 files may be open, (\\d+) are needed")))
      << said;
  const rlim_t needed = std::stoul(numbers[1]);
  EXPECT_EQ(refused_start(folder, needed - 1).first, 1);
  Broker broker(folder, needed);
  const auto made =
      run_command({"bench", "produce", "--topic", "t", "--count", "100", "--quiet", "--bootstrap", broker.address()});
  EXPECT_EQ(made.exit_code, 0) << made.err;
  EXPECT_EQ(broker.stop(SIGTERM), 0);
}

TEST_F(CliServe, BrokerThatIsGoneIsSaid) {
  broker_.stop(SIGKILL);
  // The kernel takes a dead process's rings apart in its own time, and until then the listener they held still answers.
  auto gone = run({"topic", "list"});
  for (int tries = 0; tries < 500 && gone.err.find("connection refused") == std::string::npos; ++tries) {
    EXPECT_EQ(gone.exit_code, 2);
    poll(nullptr, 0, 10);
    gone = run({"topic", "list"});
  }
  EXPECT_EQ(gone.exit_code, 2);
  EXPECT_NE(gone.err.find("connection refused; is the broker running?"), std::string::npos) << gone.err;
}

}  // namespace
}  // namespace penstock
