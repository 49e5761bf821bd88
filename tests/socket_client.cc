#include "tests/socket_client.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <utility>

namespace penstock::testing {

WireClient::WireClient(uint16_t port) : fd_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  CHECK(connect(fd_, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
  const int on = 1;
  setsockopt(fd_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

WireClient::~WireClient() {
  if (fd_ >= 0) close(fd_);
}

bool WireClient::send(std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t n = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (n <= 0) return false;
    bytes = bytes.subspan(static_cast<size_t>(n));
  }
  return true;
}

size_t WireClient::send_some(std::span<const std::byte> bytes) {
  const ssize_t n = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
  return n > 0 ? static_cast<size_t>(n) : 0;
}

bool WireClient::read_exactly(std::span<std::byte> out) {
  while (!out.empty()) {
    const ssize_t n = recv(fd_, out.data(), out.size(), 0);
    if (n <= 0) return false;
    out = out.subspan(static_cast<size_t>(n));
  }
  return true;
}

std::optional<Bytes> WireClient::receive() {
  Bytes head(4);
  if (!read_exactly(head)) return std::nullopt;
  Bytes frame(static_cast<size_t>(load_be<int32_t>(head.data())));
  if (!read_exactly(frame)) return std::nullopt;
  return frame;
}

bool WireClient::sees_end() {
  std::byte one;
  return recv(fd_, &one, 1, 0) <= 0;
}

void WireClient::half_close() { shutdown(fd_, SHUT_WR); }

void WireClient::reset() {
  const linger now{.l_onoff = 1, .l_linger = 0};
  setsockopt(fd_, SOL_SOCKET, SO_LINGER, &now, sizeof now);
  close(std::exchange(fd_, -1));
}

}  // namespace penstock::testing
