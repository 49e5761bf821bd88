#include "control/http.h"

#include <httplib.h>
#include <sys/socket.h>

#include <cerrno>
#include <condition_variable>
#include <cstring>
#include <deque>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

namespace penstock::control {
namespace {

constexpr size_t kThreads = 2;
constexpr size_t kWaitingMax = 64;
constexpr time_t kSilenceSeconds = 2;
constexpr size_t kRequestBytesMax = 4096;  // nothing here takes a body

constexpr const char* kIndex =
    "<!doctype html><html lang=en><title>penstock</title><h1>penstock</h1>"
    "<ul><li><a href=/metrics>/metrics</a> counters, for Prometheus"
    "<li><a href=/healthz>/healthz</a> the process lives; and what is wrong with parts of it, a line each"
    "<li><a href=/readyz>/readyz</a> it serves; or 503 and the reason</ul></html>\n";

// httplib's own pool queues without bound; this one makes the accepting thread wait.
class BoundedPool final : public httplib::TaskQueue {
 public:
  BoundedPool() {
    for (size_t i = 0; i < kThreads; ++i) threads_.emplace_back([this] { work(); });
  }
  void enqueue(std::function<void()> task) override {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return tasks_.size() < kWaitingMax || stopping_; });
    tasks_.push_back(std::move(task));
    changed_.notify_all();
  }
  void shutdown() override {
    {
      const std::lock_guard lock(mutex_);
      stopping_ = true;
    }
    changed_.notify_all();
    for (std::thread& thread : threads_) thread.join();
  }

 private:
  void work() {
    while (true) {
      std::function<void()> task;
      {
        std::unique_lock lock(mutex_);
        changed_.wait(lock, [this] { return !tasks_.empty() || stopping_; });
        if (tasks_.empty()) return;
        task = std::move(tasks_.front());
        tasks_.pop_front();
      }
      changed_.notify_all();
      task();
    }
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::function<void()>> tasks_;
  bool stopping_ = false;
  std::vector<std::thread> threads_;
};

void set_up(httplib::Server& server) {
  server.new_task_queue = [] { return new BoundedPool; };
  server.set_keep_alive_max_count(1);              // a kept connection would keep one of the two threads
  server.set_keep_alive_timeout(kSilenceSeconds);  // until the first byte, too
  server.set_read_timeout(kSilenceSeconds);
  server.set_write_timeout(kSilenceSeconds);
  server.set_payload_max_length(kRequestBytesMax);
  // httplib would set SO_REUSEPORT, and a second broker would share the port unnoticed.
  server.set_socket_options([](socket_t socket) {
    const int yes = 1;
    setsockopt(socket, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
  });
}

}  // namespace

class HttpServer::Impl {
 public:
  Impl(const Health& health, std::function<std::string()> metrics) : health_(health), metrics_(std::move(metrics)) {
    set_up(server_);
    server_.Get(
        "/", [](const httplib::Request&, httplib::Response& response) { response.set_content(kIndex, "text/html"); });
    // 200 also when something is wrong: a restart by whoever looks here would take the parts that work offline too.
    server_.Get("/healthz", [this](const httplib::Request&, httplib::Response& response) {
      const std::string problems = health_.problems();
      response.set_content(problems.empty() ? "ok\n" : "degraded\n" + problems, "text/plain");
    });
    server_.Get("/readyz", [this](const httplib::Request&, httplib::Response& response) {
      const std::string reason = health_.reason();
      response.status = reason.empty() ? 200 : 503;
      response.set_content(reason.empty() ? "ready\n" : reason + "\n", "text/plain");
    });
    server_.Get("/metrics", [this](const httplib::Request&, httplib::Response& response) {
      response.set_content(metrics_(), "text/plain; version=0.0.4");
    });
  }
  ~Impl() {
    if (!thread_.joinable()) return;
    server_.stop();
    thread_.join();
  }

  bool bind(const HostPort& address) {
    const std::string host = address.host.empty() ? "0.0.0.0" : address.host;
    if (address.port != 0) {
      port_ = address.port;
      return server_.bind_to_port(host.c_str(), address.port);
    }
    const int port = server_.bind_to_any_port(host.c_str());
    port_ = static_cast<uint16_t>(port);
    return port > 0;
  }
  void run() {
    thread_ = std::thread([this] { server_.listen_after_bind(); });
    // stop() before the loop runs would be missed.
    while (!server_.is_running()) std::this_thread::yield();
  }
  uint16_t port() const { return port_; }

 private:
  const Health& health_;
  const std::function<std::string()> metrics_;
  httplib::Server server_;
  uint16_t port_ = 0;
  std::thread thread_;
};

std::expected<std::unique_ptr<HttpServer>, std::string> HttpServer::start(const HostPort& address, const Health& health,
                                                                          std::function<std::string()> metrics) {
  auto impl = std::make_unique<Impl>(health, std::move(metrics));
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

}  // namespace penstock::control
