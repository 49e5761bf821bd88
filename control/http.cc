#include "control/http.h"

#include <fcntl.h>
#include <httplib.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <exception>
#include <list>
#include <span>
#include <thread>
#include <utility>
#include <vector>

#include "base/doorbell.h"
#include "base/log.h"
#include "base/system_clock.h"

namespace penstock::control {
namespace {

constexpr size_t kHeadBytesMax = 4096;        // nothing here takes a body
constexpr size_t kAnswersBytesMax = 8 << 20;  // that clients have not taken yet
constexpr int kBacklog = 128;                 // httplib asks for 5
constexpr size_t kAcceptsATurn = 64;          // what came with its request is answered before as many more come
constexpr int kAcceptPauseMs = 100;

constexpr const char* kIndex =
    "<!doctype html><html lang=en><title>penstock</title><h1>penstock</h1>"
    "<ul><li><a href=/metrics>/metrics</a> counters, for Prometheus"
    "<li><a href=/healthz>/healthz</a> the process lives; and what is wrong with parts of it, a line each"
    "<li><a href=/readyz>/readyz</a> it serves; or 503 and the reason</ul></html>\n";
constexpr std::string_view kHeadTooLarge =
    "HTTP/1.1 431 Request Header Fields Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";

// A request that has come whole (the caller's), and what is answered.
class MemoryStream final : public httplib::Stream {
 public:
  explicit MemoryStream(std::string_view request) : request_(request) {}
  std::string take_answer() { return std::move(answer_); }

  bool is_readable() const override { return !request_.empty(); }
  bool is_writable() const override { return true; }
  ssize_t read(char* to, size_t size) override {
    const size_t n = request_.copy(to, size);
    request_.remove_prefix(n);
    return static_cast<ssize_t>(n);
  }
  ssize_t write(const char* bytes, size_t size) override {
    answer_.append(bytes, size);
    return static_cast<ssize_t>(size);
  }
  void get_remote_ip_and_port(std::string&, int&) const override {}
  void get_local_ip_and_port(std::string&, int&) const override {}
  socket_t socket() const override { return INVALID_SOCKET; }

 private:
  std::string_view request_;
  std::string answer_;
};

// A request line whose target may be in absolute form, as proxies and some tools send it: a server takes it whatever
// host it names (RFC 9112 3.2.2). httplib knows the origin form alone: the path and what follows it.
std::string in_origin_form(std::string_view line) {
  constexpr std::string_view kScheme = "http://";
  const size_t from = line.find(' ') + 1;  // 0: there is none
  const auto small = [](char c) { return 'A' <= c && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c; };
  if (from == 0 || !std::ranges::equal(line.substr(from, kScheme.size()), kScheme, {}, small)) return std::string(line);
  const size_t authority = from + kScheme.size();
  const std::string_view rest = line.substr(std::min(line.find_first_of("/? ", authority), line.size()));
  return std::string(line.substr(0, from)) + (rest.starts_with('/') ? "" : "/") + std::string(rest);
}

bool asks_for_metrics(std::string_view head) {
  const std::string line = in_origin_form(head.substr(0, head.find("\r\n")));
  return line.starts_with("GET /metrics ") || line.starts_with("GET /metrics?");
}

// httplib parses, routes and writes. Its threads, one to a connection, stay unused: whoever says nothing would hold
// one.
class Pages final : public httplib::Server {
 public:
  Pages(const Health& health, std::function<std::string()> metrics) {
    // httplib would set SO_REUSEPORT, and a second broker would share the port unnoticed.
    set_socket_options([](socket_t socket) {
      const int yes = 1;
      setsockopt(socket, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    });
    Get("/", [](const httplib::Request&, httplib::Response& response) { response.set_content(kIndex, "text/html"); });
    // 200 also when something is wrong: a restart by whoever looks here would take the parts that work offline too.
    Get("/healthz", [&health](const httplib::Request&, httplib::Response& response) {
      const std::string problems = health.problems();
      response.set_content(problems.empty() ? "ok\n" : "degraded\n" + problems, "text/plain");
    });
    Get("/readyz", [&health](const httplib::Request&, httplib::Response& response) {
      const std::string reason = health.reason();
      response.status = reason.empty() ? 200 : 503;
      response.set_content(reason.empty() ? "ready\n" : reason + "\n", "text/plain");
    });
    Get("/metrics", [metrics = std::move(metrics)](const httplib::Request&, httplib::Response& response) {
      response.set_content(metrics(), "text/plain; version=0.0.4");
    });
  }
  ~Pages() override {
    if (svr_sock_ != INVALID_SOCKET) close(svr_sock_);
  }
  int listening_socket() const { return svr_sock_; }

  // head: a request without its body. Only its first line counts: no page looks at the fields, and some would make
  // work (Range, Content-Length, Expect).
  std::string answer(std::string_view head) {
    const std::string request = in_origin_form(head.substr(0, head.find("\r\n"))) + "\r\n\r\n";
    MemoryStream stream(request);
    bool closed = false;
    process_request(stream, true, closed, nullptr);
    return stream.take_answer();
  }
};

}  // namespace

// One thread has all connections, so one that says nothing costs others nothing.
class HttpServer::Impl {
 public:
  Impl(const Health& health, std::function<std::string()> metrics, const HttpLimits& limits, HttpRefresh refresh)
      : limits_(limits), refresh_(std::move(refresh)), pages_(health, std::move(metrics)) {}
  ~Impl() {
    stopping_ = true;
    doorbell_.ring();
    if (thread_.joinable()) thread_.join();
    for (const Connection& connection : connections_) close(connection.fd);
    if (spare_ >= 0) close(spare_);
  }

  bool bind(const HostPort& address) {
    const std::string host = address.host.empty() ? "0.0.0.0" : address.host;
    if (address.port == 0)
      port_ = static_cast<uint16_t>(std::max(pages_.bind_to_any_port(host), 0));
    else if (pages_.bind_to_port(host, address.port))
      port_ = address.port;
    if (port_ == 0) return false;
    const int fd = pages_.listening_socket();
    spare_ = fcntl(doorbell_.fd(), F_DUPFD_CLOEXEC, 0);
    return listen(fd, kBacklog) == 0 && fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK) == 0;
  }
  void run() {
    thread_ = std::thread([this] {
      while (!stopping_) turn();
    });
  }
  uint16_t port() const { return port_; }
  void wake() { doorbell_.ring(); }

 private:
  enum class State : uint8_t { kAsking, kWaiting, kTaking, kEnding };
  struct Connection {
    int fd;
    Nanos deadline;
    State state = State::kAsking;
    bool over = false;
    std::string head{};    // what has come of it
    std::string answer{};  // empty once it is taken
    size_t taken = 0;      // bytes of it
    uint64_t awaits{};     // a number of HttpRefresh
    Nanos waits_until{};
  };
  using Connections = std::list<Connection>;  // the oldest first, so by deadline too

  void turn() {
    std::vector<pollfd> polled{{doorbell_.fd(), POLLIN, 0}, {pages_.listening_socket(), POLLIN, 0}};
    if (accept_paused_) polled[1].fd = -1;
    for (const Connection& connection : connections_) {
      polled.push_back({connection.fd, events_of(connection.state), 0});
    }
    poll(polled.data(), polled.size(), timeout_ms());
    if (polled[0].revents != 0) doorbell_.clear();
    accept_paused_ = false;
    size_t at = 2;
    for (Connection& connection : connections_) {
      if (polled[at++].revents != 0 && !connection.over) go_on(connection);
    }
    answer_waiting();
    const Nanos now = clock_.monotonic();
    for (auto next = connections_.begin(); next != connections_.end();) {
      const auto connection = next++;
      if (connection->over || connection->deadline <= now) drop(connection);
    }
    if (polled[1].revents != 0) take_new();
  }

  static short events_of(State state) {
    return state == State::kTaking ? POLLOUT : state == State::kWaiting ? 0 : POLLIN;
  }

  // Until the oldest connection's time is over, or one has waited long enough.
  int timeout_ms() {
    if (accept_paused_) return kAcceptPauseMs;
    if (connections_.empty()) return -1;
    Nanos until = connections_.front().deadline;
    for (const Connection& connection : connections_) {
      if (connection.state == State::kWaiting) until = std::min(until, connection.waits_until);
    }
    const Nanos left = until - clock_.monotonic();
    return static_cast<int>(std::max<Nanos>(left, 0) / kMillisecond) + 1;
  }

  void drop(Connections::iterator connection) {
    // Where there are no descriptors any more, a close would give this one to somebody else.
    if (spare_ < 0 && dup3(doorbell_.fd(), connection->fd, O_CLOEXEC) >= 0)
      spare_ = connection->fd;
    else
      close(connection->fd);
    connections_.erase(connection);
  }

  // A new one is always let in: at the bound, and when descriptors have run out, the oldest goes for it. Clients of the
  // other ports may have taken them all, and then somebody will look here for what is wrong: so one is kept back.
  void take_new() {
    for (size_t i = 0; i < kAcceptsATurn; ++i) {
      const int fd = accept4(pages_.listening_socket(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
      if (fd < 0) {
        const bool exhausted = errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM;
        accept_paused_ = exhausted;           // it would be told again and again
        if (exhausted && i == 0) make_way();  // later ones are not known to be there: accept looks for room first
        return;
      }
      if (connections_.size() >= limits_.connections_max) drop(connections_.begin());
      connections_.push_back({.fd = fd, .deadline = clock_.monotonic() + limits_.lifetime});
    }
  }

  void make_way() {
    if (spare_ < 0 && !connections_.empty()) drop(connections_.begin());
    if (spare_ < 0) return;
    close(std::exchange(spare_, -1));
    const int fd = accept4(pages_.listening_socket(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd >= 0)
      connections_.push_back({.fd = fd, .deadline = clock_.monotonic() + limits_.lifetime});
    else
      spare_ = fcntl(doorbell_.fd(), F_DUPFD_CLOEXEC, 0);
  }

  void go_on(Connection& connection) {
    switch (connection.state) {
      case State::kAsking: return hear(connection);
      case State::kWaiting: connection.over = true; return;  // nothing is polled for: it has hung up
      case State::kTaking: return tell(connection);
      case State::kEnding: return discard(connection);
    }
  }

  // What is received, or nothing: there is nothing now, or it is over.
  static std::string_view receive(Connection& connection, std::span<char> bytes) {
    const ssize_t n = recv(connection.fd, bytes.data(), bytes.size(), 0);
    connection.over = n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR);
    return {bytes.data(), static_cast<size_t>(std::max<ssize_t>(n, 0))};
  }

  void hear(Connection& connection) {
    std::array<char, kHeadBytesMax> bytes;
    connection.head += receive(connection, std::span(bytes).first(kHeadBytesMax - connection.head.size()));
    if (connection.head.find("\r\n\r\n") == std::string::npos) {
      if (connection.head.size() == kHeadBytesMax) begin_to_tell(connection, std::string(kHeadTooLarge));
      return;
    }
    if (!refresh_.ask || !asks_for_metrics(connection.head)) return begin_to_tell(connection, answer(connection.head));
    connection.state = State::kWaiting;  // answer_waiting() is next
    connection.awaits = refresh_.ask();
    connection.waits_until = clock_.monotonic() + refresh_.patience;
  }

  void begin_to_tell(Connection& connection, std::string answer) {
    connection.answer = std::move(answer);
    connection.taken = 0;
    connection.state = State::kTaking;
    tell(connection);
    bound_answers(connection);
  }

  // Of long answers one after the other, so that two scrapers do not take each other's; but nobody waits for one who
  // does not take his.
  void answer_waiting() {
    for (Connection& connection : connections_) {
      if (connection.state != State::kWaiting || connection.over) continue;
      const bool now = connection.waits_until <= clock_.monotonic();
      if (now || (refresh_.is_there(connection.awaits) && bytes_untaken() <= kAnswersBytesMax / 2))
        begin_to_tell(connection, answer(connection.head));
    }
  }

  size_t bytes_untaken() const {
    size_t bytes = 0;
    for (const Connection& connection : connections_) bytes += connection.answer.size();
    return bytes;
  }

  // Empty: there is none, and the connection ends.
  std::string answer(std::string_view head) {
    try {
      return pages_.answer(head);
    } catch (const std::exception& problem) {
      LOG_ERROR("an HTTP request could not be answered: %s", problem.what());
      return {};
    }
  }

  static void tell(Connection& connection) {
    const auto left = std::string_view(connection.answer).substr(connection.taken);
    const ssize_t n = send(connection.fd, left.data(), left.size(), MSG_NOSIGNAL);
    connection.over = n < 0 && errno != EAGAIN && errno != EINTR;
    if (n > 0) connection.taken += static_cast<size_t>(n);
    if (connection.taken < connection.answer.size()) return;
    connection.answer = {};
    connection.state = State::kEnding;
    // The end is told, not the socket closed: bytes that came and were not read would turn that into a reset, which can
    // take the answer along (RFC 9112 9.6).
    if (shutdown(connection.fd, SHUT_WR) != 0) connection.over = true;
  }

  static void discard(Connection& connection) {
    std::array<char, kHeadBytesMax> bytes;
    (void)receive(connection, bytes);
  }

  // Clients that ask and do not take the answer go, the oldest first; the newest answer may be of any length.
  void bound_answers(const Connection& newest) {
    size_t bytes = bytes_untaken();
    for (Connection& connection : connections_) {
      if (bytes <= kAnswersBytesMax) return;
      if (&connection == &newest) continue;
      bytes -= connection.answer.size();
      connection.over = connection.over || connection.state == State::kTaking;
      connection.answer = {};
      connection.taken = 0;
    }
  }

  const HttpLimits limits_;
  const HttpRefresh refresh_;
  Pages pages_;
  uint16_t port_ = 0;
  SystemClock clock_;
  Doorbell doorbell_;  // rung to stop, and when something was refreshed
  std::atomic<bool> stopping_ = false;
  bool accept_paused_ = false;
  int spare_ = -1;  // a descriptor of something; none while a connection has its place
  Connections connections_;
  std::thread thread_;
};

std::expected<std::unique_ptr<HttpServer>, std::string> HttpServer::start(const HostPort& address, const Health& health,
                                                                          std::function<std::string()> metrics,
                                                                          const HttpLimits& limits,
                                                                          HttpRefresh refresh) {
  auto impl = std::make_unique<Impl>(health, std::move(metrics), limits, std::move(refresh));
  errno = 0;
  if (!impl->bind(address)) {
    const std::string why = errno == 0 ? "the address cannot be used" : std::strerror(errno);
    return std::unexpected("cannot listen for HTTP on " + address.host + ":" + std::to_string(address.port) + ": " +
                           why + "; choose another address with --http, or stop the program that has it");
  }
  impl->run();
  return std::unique_ptr<HttpServer>(new HttpServer(std::move(impl)));
}

HttpServer::HttpServer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
HttpServer::~HttpServer() = default;
uint16_t HttpServer::port() const { return impl_->port(); }
void HttpServer::wake() { impl_->wake(); }

}  // namespace penstock::control
