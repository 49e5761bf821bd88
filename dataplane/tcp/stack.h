// Stack: TCP for one lcore. Poll-driven: the owner gives it packets and the time, and takes events; nothing blocks,
// nothing runs on its own. A turn of the owner's loop:
//
//   on_packet() for each that came;  next() until nothing comes, with sends and consumes in between;  poll(now)
//
// so that one burst costs one acknowledgement, and an answer carries it. Between turns the owner may sleep until
// next_deadline(), if no packet comes.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>

#include "base/units.h"
#include "dataplane/net/ip.h"
#include "dataplane/tcp/counters.h"
#include "dataplane/tcp/options.h"
#include "dataplane/tcp/tcb.h"
#include "dataplane/tcp/tcp_stream.h"

namespace penstock::dataplane::tcp {

struct Core;

struct TcpEvent {
  EventKind kind;
  TcpStream* stream;  // lives until the owner has closed it and the following next()
  uint16_t listener;  // kAccepted
  Broken why;         // kBroken
};

struct ConnectRequest {
  net::IpAddress local;
  net::IpAddress remote;
  uint16_t remote_port;
  uint16_t local_port = 0;  // 0: one is chosen (RFC 6056)
};

class Stack {
 public:
  Stack(const StackOptions& options, net::IpOutput& ip, TcpCounters& counters);
  ~Stack();
  Stack(const Stack&) = delete;
  Stack& operator=(const Stack&) = delete;

  // The number that kAccepted events of it bear; nothing if address and port are taken. An unspecified address: any.
  std::optional<uint16_t> listen(const net::IpAddress& address, uint16_t port);
  // SYNs are refused from now on; connections stay.
  void stop_listening();
  // kConnected or kBroken follows. Null: the flow or every port is in use, or connections_max is reached.
  TcpStream* connect(const ConnectRequest& request);

  void on_packet(net::TcpPacket packet);
  void on_icmp(const net::IcmpError& error);
  // Timers and output. now never goes back.
  void poll(Nanos now);
  // poll() has something to do then at the latest; kNever: only if something comes.
  Nanos next_deadline() const;

  // What happened; nothing is said of a stream after its close().
  std::optional<TcpEvent> next();

  // Nothing is sent and not acknowledged, FINs included. Looks at each connection.
  bool drained() const;

  // Copies what owner has lent, whose token is wanted back, to send memory, for which there is room, and gives it back:
  // at once, or when the device has sent the frames that refer to it. Returns how many bytes. Looks at each connection.
  size_t copy_out(const net::TxOwner& owner, const std::function<bool(uint64_t token)>& wanted);

  // The device's receive buffers are short (or are so no more): out-of-order data goes, and payload is copied out of
  // them at once.
  void receive_pressure(bool low);

  const Core& core() const { return *core_; }

 private:
  std::unique_ptr<Core> core_;
};

}  // namespace penstock::dataplane::tcp
