// TcpSim: two stacks, a link, and applications that open connections, send a pattern both ways, read slowly, stop
// reading, close in halves or abort; all drawn from one seed. What was received is compared with the pattern byte by
// byte, what was sent with the rules of tcp_wire.h, and at the end everything that was lent must be home.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/prng.h"
#include "dataplane/tcp/stack.h"
#include "tests/sim/tcp_link.h"
#include "tests/sim/tcp_wire.h"

namespace penstock::sim {

// Memory that is lent to a stack and spoiled when it comes home: what is used later is seen.
class LentMemory final : public net::TxOwner {
 public:
  std::span<const std::byte> lend(Bytes bytes, uint64_t& token);
  void release(uint64_t token) override;
  size_t out() const { return lent_.size(); }

 private:
  std::map<uint64_t, Bytes> lent_;
  uint64_t next_ = 1;
};

class TcpSim {
 public:
  explicit TcpSim(uint64_t seed);
  ~TcpSim();

  // Until every connection has ended; what went wrong, or nothing.
  std::string run();

  uint64_t trace_hash() const { return trace_; }
  uint64_t bytes_delivered() const { return delivered_; }
  uint64_t count(dataplane::tcp::Metric metric) const;  // of both stacks
  uint64_t frames_cut() const;                          // of several segments each
  size_t resets_seen() const { return broken_; }
  std::string describe() const;

 private:
  struct App;   // one side of a connection
  struct Host;  // a stack and what is around it

  void draw_link();
  void draw_hosts();
  void open_connections();
  std::string step();
  std::string deliver(size_t host);
  std::string serve(size_t host);
  std::string on_event(Host& host, const dataplane::tcp::TcpEvent& event);
  std::string act(App& app);
  std::string read(App& app);
  size_t whole_request(App& app);
  void write(App& app);
  size_t offer(App& app, size_t n);
  void finish(App& app);
  Nanos next() const;
  std::string account();
  void note(uint64_t what);

  const uint64_t seed_;
  Prng prng_;
  Nanos now_ = kSecond;
  LinkOptions link_;
  std::array<std::unique_ptr<Host>, 2> hosts_;
  std::vector<std::unique_ptr<App>> apps_;
  std::string wire_error_;
  uint64_t trace_ = 0;
  uint64_t delivered_ = 0;
  size_t broken_ = 0;
  bool may_abort_ = false;
};

}  // namespace penstock::sim
