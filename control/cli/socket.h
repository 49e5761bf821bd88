// Kernel TCP sockets for the client commands: an address as people write it, and connecting with a deadline.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include "base/units.h"

namespace penstock::cli {

struct Endpoint {
  std::string host;  // a name, or a numeric address without brackets
  uint16_t port = 0;
  std::string text() const;  // "host:port", "[::1]:port"
  friend bool operator==(const Endpoint&, const Endpoint&) = default;
};

// "host:port", "[::1]:port"; without a port, Kafka's 9092. Throws std::invalid_argument.
Endpoint parse_endpoint(std::string_view text);

class Socket {
 public:
  Socket() = default;
  explicit Socket(int fd) : fd_(fd) {}
  Socket(Socket&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Socket& operator=(Socket&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~Socket();

  int fd() const { return fd_; }

 private:
  int fd_ = -1;
};

// A connected, non-blocking socket without Nagle's delay. Tries each address of the name. Throws CliError
// (kExitUnreachable) that says what failed and what to look at.
Socket connect_to(const Endpoint& endpoint, Nanos timeout);

}  // namespace penstock::cli
