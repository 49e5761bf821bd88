// The operator's HTTP port: /metrics, /healthz, /readyz, and a page that names them. One thread of its own, which no
// connection can make wait. Bounds: HttpLimits; a request's head of 4 KiB; 8 MiB of answers that clients do not take,
// and one more.
#pragma once

#include <cstdint>
#include <expected>
#include <functional>
#include <memory>
#include <string>

#include "base/units.h"
#include "control/health.h"
#include "control/listeners.h"

namespace penstock::control {

struct HttpLimits {
  size_t connections_max = 256;   // at once; for one more the oldest is closed
  Nanos lifetime = 10 * kSecond;  // of a connection, whatever it does; Prometheus gives a scrape as long
};

// How a look at /metrics has values found out that are not at hand. The look waits for them no longer than patience,
// the server's thread not at all. Called by that thread.
struct HttpRefresh {
  std::function<uint64_t()> ask;                  // the number of what is to come
  std::function<bool(uint64_t number)> is_there;  // behind wake() it is looked at again
  Nanos patience = 2 * kSecond;
};

class HttpServer {
 public:
  // Binds and serves. metrics: called by the thread that answers, at any time. A failure is one line that says what to
  // do.
  static std::expected<std::unique_ptr<HttpServer>, std::string> start(const HostPort& address, const Health& health,
                                                                       std::function<std::string()> metrics,
                                                                       const HttpLimits& limits = {},
                                                                       HttpRefresh refresh = {});
  ~HttpServer();  // stops

  void wake();  // any thread

  uint16_t port() const;

 private:
  class Impl;
  explicit HttpServer(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace penstock::control
