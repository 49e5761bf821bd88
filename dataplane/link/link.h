// Link: one lcore's share of a device: its queue, its network layer and its TCP stack, turned by the lcore's loop:
//
//   receive(now)   frames in, also those that other lcores hand over; then next() until nothing comes
//   finish(now)    behind the turn's work: TCP's timers and output, then the device
//
// Made by whoever makes the lcore; from start() until stop() it belongs to the lcore's thread.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "base/units.h"
#include "dataplane/api/mesh.h"
#include "dataplane/api/types.h"
#include "dataplane/link/shared_device.h"
#include "dataplane/net/network.h"
#include "dataplane/tcp/stack.h"

namespace penstock::dataplane {

class Link {
 public:
  struct Port {
    uint16_t port;
    uint16_t listener;  // the broker's number of it
  };

  // mesh: for the bells of the other lcores; nullptr: there are none.
  Link(SharedDevice& device, uint16_t lcore, Mesh* mesh) : device_(device), lcore_(lcore), mesh_(mesh) {}
  Link(const Link&) = delete;
  Link& operator=(const Link&) = delete;
  ~Link() = default;

  // Listens, and says to the network who we are.
  void start(const DataplaneOptions& options, const std::vector<Port>& ports, uint64_t seed, Nanos now);
  // Everything that is lent or received is home; what peers have not acknowledged is lost.
  void stop() { parts_.reset(); }

  // Returns how many frames came.
  size_t receive(Nanos now);
  std::optional<tcp::TcpEvent> next();  // its listener is the broker's number
  void finish(Nanos now);
  // What was lent for frames that are with the device is needed: it comes back soon after these are sent.
  void want_back() { parts_->nic.want_back(); }

  // When finish() has something to do without a frame.
  Nanos next_deadline() const;
  // Frames come without anybody saying so: who sleeps must look again soon.
  bool must_be_polled() const { return device_.queue(lcore_).receives; }
  // Other lcores have handed something over. Look behind NightBell::go_to_sleep().
  bool has_mail() const { return device_.hand_over().waiting(lcore_); }

  void stop_listening();
  // Peers have acknowledged everything.
  bool drained() const;
  // A few times a second: what the device counts, and whether it is there.
  void keep_house(Nanos now);
  bool up() const { return up_; }
  const SharedDevice& device() const { return device_; }
  // For who opens connections; between start() and stop().
  tcp::Stack& stack() { return parts_->stack; }
  // Payload bytes since the last call, received and sent.
  struct Moved {
    uint64_t received;
    uint64_t sent;
  };
  Moved moved();

 private:
  // What is received and handed over, on its way to the stack.
  struct Sink {
    tcp::Stack& stack;
    void on_packet(net::TcpPacket packet) { stack.on_packet(std::move(packet)); }
    void on_icmp(const net::IcmpError& error) { stack.on_icmp(error); }
  };
  struct Wake {
    Mesh* mesh;
    void operator()(unsigned lcore) const { mesh->bell(static_cast<uint16_t>(lcore)).ring(); }
  };
  struct Parts {
    Parts(SharedDevice& device, uint16_t lcore, Mesh* mesh, const tcp::StackOptions& options);
    Parts(const Parts&) = delete;
    Parts& operator=(const Parts&) = delete;
    // The stack is told of what the network held of it, and then of nothing any more.
    ~Parts();
    net::Nic& nic;
    std::optional<net::Network> network;
    tcp::Stack stack;
    Sink sink;
    net::SteeringSink<Sink, Wake> steering;
  };

  SharedDevice& device_;
  const uint16_t lcore_;
  Mesh* const mesh_;
  std::vector<uint16_t> listeners_;  // by the stack's number
  std::optional<Parts> parts_;
  Moved moved_{};
  uint64_t sent_ = 0;  // packets, as far as whoever sends them was woken
  Nanos finished_at_ = 0;
  Nanos memory_looked_at_ = 0;
  size_t frames_since_look_ = 0;
  Nanos announced_at_ = 0;
  int announcements_ = 0;  // still to be made
  bool up_ = true;
};

}  // namespace penstock::dataplane
