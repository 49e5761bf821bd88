// The operator's HTTP port: /metrics, /healthz, /readyz, and a page that names them. Threads of its own: one that
// accepts and two that answer; 64 connections may wait, a silent one is closed after two seconds.
#pragma once

#include <cstdint>
#include <expected>
#include <functional>
#include <memory>
#include <string>

#include "control/health.h"
#include "control/listeners.h"

namespace penstock::control {

class HttpServer {
 public:
  // Binds and serves. metrics: called by the answering threads, at any time. A failure is one line that says what to
  // do.
  static std::expected<std::unique_ptr<HttpServer>, std::string> start(const HostPort& address, const Health& health,
                                                                       std::function<std::string()> metrics);
  ~HttpServer();  // stops

  uint16_t port() const;

 private:
  class Impl;
  explicit HttpServer(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace penstock::control
