// Sockets of the kernel as a Transport.
#include <fmt/format.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

#include "control/cli/error.h"
#include "control/cli/poller.h"
#include "control/cli/transport.h"

namespace penstock::cli {
namespace {

constexpr size_t kPiecesMost = 96;  // of one sendmsg: 32 frames

bool would_block(int error) { return error == EAGAIN || error == EWOULDBLOCK; }

class SocketWire final : public Wire {
 public:
  SocketWire(Socket socket, std::string peer) : socket_(std::move(socket)), peer_(std::move(peer)) {}

  size_t send(std::span<const std::span<const std::byte>> pieces) override {
    std::array<iovec, kPiecesMost> parts;
    const size_t count = std::min(pieces.size(), kPiecesMost);
    for (size_t i = 0; i < count; ++i) parts[i] = {const_cast<std::byte*>(pieces[i].data()), pieces[i].size()};
    msghdr message{};
    message.msg_iov = parts.data();
    message.msg_iovlen = count;
    for (;;) {
      const ssize_t n = sendmsg(fd(), &message, MSG_NOSIGNAL);
      if (n >= 0) return static_cast<size_t>(n);
      if (would_block(errno)) return 0;
      if (errno != EINTR) {
        lost(fmt::format("cannot send: {}; the broker may have stopped, its log tells", std::strerror(errno)));
      }
    }
  }

  size_t receive(std::span<std::byte> room) override {
    for (;;) {
      const ssize_t n = recv(fd(), room.data(), room.size(), 0);
      if (n > 0) return static_cast<size_t>(n);
      if (n == 0) lost("the broker closed the connection; its log may say why");
      if (would_block(errno)) return 0;
      if (errno != EINTR) lost(fmt::format("cannot receive: {}", std::strerror(errno)));
    }
  }

  int fd() const override { return socket_.fd(); }

 private:
  [[noreturn]] void lost(const std::string& what) const { throw ConnectionLost(fmt::format("{}: {}", peer_, what)); }

  Socket socket_;
  const std::string peer_;
};

class KernelTransport final : public Transport {
 public:
  std::unique_ptr<Wire> connect(const Endpoint& endpoint, Nanos timeout) override {
    return std::make_unique<SocketWire>(connect_to(endpoint, timeout), endpoint.text());
  }
  std::unique_ptr<Watch> watch(Clock& clock) override { return std::make_unique<Poller>(clock); }
};

}  // namespace

Transport& kernel_transport() {
  static KernelTransport transport;
  return transport;
}

}  // namespace penstock::cli
