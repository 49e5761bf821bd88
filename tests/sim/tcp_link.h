// TcpLink: two ends and what lies between them: delay, jitter (which reorders), loss single and in bursts, duplicates,
// flipped bits, a bottleneck with a queue, an output ring that is full at times. All from one seed.
//
// Like a real device it reads lent memory late: what a stack gives back too early is gone by then. Received segments
// lie in heap memory of exactly their size, so that the address sanitizer sees every read beyond.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <optional>
#include <queue>
#include <span>
#include <vector>

#include "base/buffer.h"
#include "base/prng.h"
#include "base/units.h"
#include "dataplane/net/ip.h"
#include "dataplane/tcp/timers.h"

namespace penstock::sim {

using Bytes = std::vector<std::byte>;
namespace net = dataplane::net;

struct LinkOptions {
  unsigned loss_permille = 0;
  unsigned burst_permille = 0;  // a burst of up to 8 losses begins
  unsigned duplicate_permille = 0;
  unsigned corrupt_permille = 0;
  unsigned refuse_permille = 0;  // send() returns false
  Nanos delay = 50 * kMicrosecond;
  Nanos jitter = 0;
  uint64_t bytes_per_second = 0;   // 0: unlimited
  size_t queue_bytes = 64 * kKiB;  // before the bottleneck
  size_t mtu = 1500;
  bool references = true;                  // takes_references()
  size_t tso_bytes = 0;                    // with references
  Nanos device_delay = 20 * kMicrosecond;  // until the device reads what was lent
};

// Memory of received segments: exact, counted, bounded.
class RxMemory final : public BufferPool {
 public:
  explicit RxMemory(size_t buffers_max) : buffers_max_(buffers_max) {}
  // Nothing: the device has no buffer, the packet is lost.
  std::optional<Buffer> take(std::span<const std::byte> bytes);
  void release(std::span<std::byte> memory) override;
  size_t out() const { return out_; }
  bool low() const { return out_ * 4 > buffers_max_ * 3; }

 private:
  const size_t buffers_max_;
  size_t out_ = 0;
};

// One direction. The stack at its begin sends into it; take() gives what arrives at its end.
class TcpLink final : public net::IpOutput {
 public:
  struct Packet {
    net::IpAddress source;
    net::IpAddress destination;
    Bytes bytes;  // from the TCP header on, with its checksum
    bool corrupted = false;
  };
  // Sees each segment as the stack sends it, before anything happens to it.
  using Watch = std::function<void(Nanos now, const Packet&)>;

  TcpLink(const LinkOptions& options, uint64_t seed, uint64_t stream) : options_(options), prng_(seed, stream) {}

  void set_now(Nanos now) { now_ = now; }
  void set_watch(Watch watch) { watch_ = std::move(watch); }
  LinkOptions& options() { return options_; }

  bool send(const net::IpAddress& source, const net::IpAddress& destination, std::span<const std::byte> tcp_header,
            std::span<const net::TxPiece> pieces, net::TxOwner* owner, uint64_t token,
            uint32_t segment_bytes = 0) override;
  size_t tso_bytes() const override { return options_.references ? options_.tso_bytes : 0; }
  size_t mtu(const net::IpAddress&) const override { return options_.mtu; }
  bool takes_references() const override { return options_.references; }
  bool refers_to(std::span<const std::byte>) const override { return takes_references(); }
  void confirm(const net::IpAddress&) override {}

  // The device reads what is due; call before take().
  void turn();
  std::optional<Packet> take();
  // The device is reset: what it holds is lost, and given back.
  void drop_all();
  // Something happens then; kNever if nothing is on its way.
  Nanos next() const;
  size_t lost() const { return lost_; }
  size_t cut() const { return cut_; }  // frames of several segments

 private:
  struct InDevice {
    Nanos at;
    Packet packet;  // the header alone
    std::vector<std::span<const std::byte>> pieces;
    net::TxOwner* owner;
    uint64_t token;
    size_t segment_bytes;  // of what the device cuts; 0: it does not
    // The device has read the pieces: what it puts on the wire.
    std::vector<Packet> packets() const;
  };
  struct InFlight {
    Nanos at;
    uint64_t order;
    Packet packet;
    bool operator>(const InFlight& other) const { return at != other.at ? at > other.at : order > other.order; }
  };

  void launch(Packet packet);
  void put_in_flight(Packet packet, Nanos extra);

  LinkOptions options_;
  size_t cut_ = 0;
  Prng prng_;
  Watch watch_;
  Nanos now_ = 0;
  std::vector<InDevice> device_;  // in order
  std::priority_queue<InFlight, std::vector<InFlight>, std::greater<>> flight_;
  uint64_t order_ = 0;
  unsigned burst_left_ = 0;
  Nanos bottleneck_free_at_ = 0;
  size_t lost_ = 0;
};

}  // namespace penstock::sim
