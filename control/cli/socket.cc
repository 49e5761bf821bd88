#include "control/cli/socket.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <charconv>
#include <cstring>
#include <memory>
#include <stdexcept>

#include "control/cli/error.h"

namespace penstock::cli {
namespace {

constexpr uint16_t kDefaultPort = 9092;

struct AddressListDeleter {
  void operator()(addrinfo* list) const { freeaddrinfo(list); }
};
using AddressList = std::unique_ptr<addrinfo, AddressListDeleter>;

AddressList resolve(const Endpoint& endpoint) {
  addrinfo hints{};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_NUMERICSERV;
  addrinfo* list = nullptr;
  const int rc = getaddrinfo(endpoint.host.c_str(), std::to_string(endpoint.port).c_str(), &hints, &list);
  if (rc != 0) {
    throw CliError(kExitUnreachable, fmt::format("cannot resolve {}: {}; is the name right?", endpoint.host,
                                                 rc == EAI_SYSTEM ? std::strerror(errno) : gai_strerror(rc)));
  }
  return AddressList(list);
}

// 0, or the errno that ended the attempt. A blocking connect would take the kernel's timeout, minutes.
int finish_connect(int fd, Nanos timeout) {
  pollfd entry{fd, POLLOUT, 0};
  const int ready = poll(&entry, 1, static_cast<int>(timeout / kMillisecond));
  if (ready < 0) return errno;
  if (ready == 0) return ETIMEDOUT;
  int error = 0;
  socklen_t size = sizeof error;
  return getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) < 0 ? errno : error;
}

bool is_ipv6(const std::string& host) {
  in6_addr address;
  return inet_pton(AF_INET6, host.substr(0, host.find('%')).c_str(), &address) == 1;  // %: a zone, as in fe80::1%eth0
}

const char* hint(int error) {
  switch (error) {
    case ECONNREFUSED: return "; is the broker running?";
    case ETIMEDOUT: return "; is the address right, and no firewall in between?";
    case ENETUNREACH:
    case EHOSTUNREACH: return "; is the address right?";
    case EMFILE: return "; raise the limit of open files (ulimit -n)";
    default: return "";
  }
}

}  // namespace

std::string Endpoint::text() const {
  return host.find(':') == std::string::npos ? fmt::format("{}:{}", host, port) : fmt::format("[{}]:{}", host, port);
}

Endpoint parse_endpoint(std::string_view text) {
  std::string_view host = text;
  std::string_view port;
  if (text.starts_with('[')) {
    const size_t close = text.find(']');
    host = close == text.npos ? "" : text.substr(1, close - 1);
    if (close != text.npos && close + 1 < text.size()) port = text.substr(close + 1);
  } else if (const size_t colon = text.rfind(':'); colon != text.npos && text.find(':') == colon) {
    host = text.substr(0, colon);
    port = text.substr(colon);
  }
  Endpoint out{std::string(host), kDefaultPort};
  bool good = !host.empty() && (host.find(':') == host.npos || is_ipv6(out.host));
  if (!port.empty()) {
    const auto [end, error] = std::from_chars(port.data() + 1, port.data() + port.size(), out.port);
    good = good && port[0] == ':' && error == std::errc{} && end == port.data() + port.size() && out.port != 0;
  }
  if (!good) throw std::invalid_argument(fmt::format("'{}' is not an address; write HOST:PORT or [IPV6]:PORT", text));
  return out;
}

Socket::~Socket() {
  if (fd_ >= 0) close(fd_);
}

Socket connect_to(const Endpoint& endpoint, Nanos timeout) {
  const AddressList list = resolve(endpoint);
  int error = EHOSTUNREACH;
  for (const addrinfo* address = list.get(); address != nullptr; address = address->ai_next) {
    Socket socket(::socket(address->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (socket.fd() < 0) {
      error = errno;
      continue;
    }
    error = connect(socket.fd(), address->ai_addr, address->ai_addrlen) == 0 ? 0 : errno;
    if (error == EINPROGRESS) error = finish_connect(socket.fd(), timeout);
    if (error != 0) continue;
    const int on = 1;
    setsockopt(socket.fd(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    return socket;
  }
  std::string reason = std::strerror(error);
  if (!reason.empty()) reason[0] = static_cast<char>(std::tolower(static_cast<unsigned char>(reason[0])));
  throw CliError(kExitUnreachable, fmt::format("cannot connect to {}: {}{}", endpoint.text(), reason, hint(error)));
}

}  // namespace penstock::cli
