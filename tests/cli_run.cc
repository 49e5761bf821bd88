#include "tests/cli_run.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cstdio>
#include <iostream>
#include <utility>

#include "base/assert.h"
#include "control/cli/cli.h"
#include "control/cli/command_line.h"

namespace penstock {
namespace {

// While it lives, what is written to a standard stream goes into memory.
class Capture {
 public:
  explicit Capture(int fd) : fd_(fd), saved_(dup(fd)), memory_(memfd_create("captured", MFD_CLOEXEC)) {
    CHECK(saved_ >= 0 && memory_ >= 0);
    flush();
    dup2(memory_, fd_);
  }
  ~Capture() {
    flush();
    dup2(saved_, fd_);
    close(saved_);
    close(memory_);
  }
  std::string text() {
    flush();
    std::string out(static_cast<size_t>(lseek(memory_, 0, SEEK_END)), '\0');
    CHECK(pread(memory_, out.data(), out.size(), 0) == static_cast<ssize_t>(out.size()));
    return out;
  }

 private:
  static void flush() {
    std::fflush(nullptr);
    std::cout.flush();
    std::cerr.flush();
  }
  int fd_;
  int saved_;
  int memory_;
};

}  // namespace

CommandResult run_command(std::vector<std::string> arguments) {
  CommandResult result;
  Capture out(STDOUT_FILENO);
  Capture err(STDERR_FILENO);
  cli::Command root("penstock", "");
  cli::add_cli_commands(root);
  result.exit_code = cli::run_command_line(root, "", std::move(arguments));
  result.out = out.text();
  result.err = err.text();
  return result;
}

}  // namespace penstock
