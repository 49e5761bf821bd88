// How a client command ends badly: one line for its user and the exit code of the process (control/cli/cli.h).
#pragma once

#include <stdexcept>
#include <string>

namespace penstock::cli {

inline constexpr int kExitFailed = 1;       // the broker refused, or the run did not do what was asked
inline constexpr int kExitUnreachable = 2;  // no broker, or no answer

class CliError : public std::runtime_error {
 public:
  CliError(int exit_code, const std::string& what) : std::runtime_error(what), exit_code_(exit_code) {}
  int exit_code() const { return exit_code_; }

 private:
  int exit_code_;
};

// A connection has ended, or its other end is silent: a new one may do better.
class ConnectionLost : public CliError {
 public:
  explicit ConnectionLost(const std::string& what) : CliError(kExitUnreachable, what) {}
};

}  // namespace penstock::cli
