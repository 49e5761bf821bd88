// The Nic seam: one receive and one transmit queue of a network device, polled by the lcore that owns it. Behind it
// stands DPDK (dataplane/nic), or a simulated device that loses, delays, reorders and damages from a seed (tests/sim).
//
// Frames come in as Buffers, without a copy, and go home to the device's pool when the Buffer dies, on any thread.
// Frames go out as one small header, copied, and slices of memory that are referred to where the device can
// (dataplane/net/tx.h says who is told when they are free). Nothing here blocks.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "base/buffer.h"
#include "base/units.h"
#include "dataplane/net/ethernet.h"
#include "dataplane/net/tx.h"

namespace penstock::dataplane::net {

// Most frames that one rx_burst or tx_burst moves.
inline constexpr size_t kBurstMax = 32;

// A frame as received, from its Ethernet header on: always one contiguous piece of memory.
struct RxFrame {
  Buffer bytes;
  Nanos at;               // when its burst was received
  bool ip_checksum_good;  // the device has verified it; false: nobody has
  bool l4_checksum_good;  // the same for TCP
};
using RxSlot = std::optional<RxFrame>;

// Ethernet with a tag, IPv6, TCP with all its options: 18 + 40 + 60.
inline constexpr size_t kTxHeaderMax = 128;

// A frame to send: header, then the pieces.
struct TxFrame {
  std::array<std::byte, kTxHeaderMax> header;
  uint16_t header_bytes = 0;
  // Lengths of the headers that `header` begins with; l4_bytes is 0 unless this is TCP.
  uint16_t l2_bytes = 0;
  uint16_t l3_bytes = 0;
  uint16_t l4_bytes = 0;
  bool is_v4 = false;
  bool ip_checksum_by_device = false;   // only if the device offers it: the field is 0
  bool tcp_checksum_by_device = false;  // the same: the field holds the pseudo header's sum, not complemented
  // The device cuts the payload into TCP segments of so many bytes each, and a rest (TSO): with these headers, lengths,
  // sequence numbers, IPv4 identification and checksums being each one's own, FIN and PSH on the last alone. Only up to
  // its tso_bytes, with an owner, and with TCP's checksum by the device; the pseudo header's sum is without a length
  // then. IPv4's is each one's own also where a whole frame's is left to us (virtio). 0: this is one frame.
  uint16_t segment_bytes = 0;
  uint8_t piece_count = 0;
  std::array<TxPiece, kTxPiecesMax> pieces;
  // Told once the device needs the pieces no more (or has copied them), on the thread that sent; may be told inside
  // tx_burst. nullptr: the pieces may be forgotten when tx_burst returns.
  TxOwner* owner = nullptr;
  uint64_t owner_token = 0;

  std::span<const std::byte> header_span() const { return std::span(header).first(header_bytes); }
  std::span<const TxPiece> piece_span() const { return std::span(pieces).first(piece_count); }
  size_t pieces_bytes() const {
    size_t n = 0;
    for (const TxPiece& piece : piece_span()) n += piece.bytes.size();
    return n;
  }
  size_t total_bytes() const { return header_bytes + pieces_bytes(); }
};

struct NicCapabilities {
  bool tx_ip_checksum = false;    // the device fills in IPv4's header checksum
  bool tx_tcp_checksum = false;   // and TCP's, over IPv4 and IPv6
  bool takes_references = false;  // sends from memory that stays where it is; otherwise all is copied
  size_t tso_bytes = 0;           // payload at most of a frame that it cuts into segments; 0: it cuts none
};

struct NicStatistics {
  uint64_t rx_frames = 0;
  uint64_t rx_bytes = 0;
  uint64_t rx_missed = 0;  // the device had no room: we polled too seldom, or held too many buffers
  uint64_t rx_errors = 0;
  uint64_t rx_no_buffer = 0;
  uint64_t rx_copied_bytes = 0;  // gathered, because a frame came in several pieces
  uint64_t tx_frames = 0;
  uint64_t tx_bytes = 0;
  uint64_t tx_errors = 0;
  uint64_t tx_no_buffer = 0;       // frames that were not taken for want of memory
  uint64_t tx_copied_bytes = 0;    // of pieces that were small, or that the device cannot refer to
  uint64_t tx_referred_bytes = 0;  // of pieces sent from where they are
  uint64_t tx_pushes = 0;          // frames without content, so that the driver gives back (want_back)
  uint64_t tx_tso_frames = 0;      // of tx_frames, those that the device cuts into segments
  uint64_t tx_restarts = 0;        // its ring was emptied, since it has no link and memory was wanted back
  bool reads_log = false;          // records are sent from where they are: all of the log's memory is within its reach
};

class Nic {
 public:
  // Fills slots from the front with frames that have arrived, at most kBurstMax; at = now for all. Returns how many.
  virtual size_t rx_burst(std::span<RxSlot> slots, Nanos now) = 0;
  // Takes frames from the front and returns how many; the rest stays with the caller, its owners untold. What was taken
  // may wait until kBurstMax frames are together, or for flush().
  virtual size_t tx_burst(std::span<const TxFrame> frames) = 0;
  // Once a turn, also in one without output: gives the device what waits, and gets back what it has sent, so that
  // owners and pools do not wait for traffic.
  virtual void flush() = 0;
  // Who lent the memory of frames that were sent needs it. What the device has of it comes back as soon as it has been
  // sent, by flush(), also from a driver that gives back only when it is given more.
  virtual void want_back() {}
  // The device, or whoever sends for us, had no room, or does not give back what is wanted: flush() is needed again
  // soon.
  virtual bool frames_wait() const { return false; }

  // The senders go: owners are told of nothing any more. What they have lent stays where it is until the device is
  // closed, since that may still read it.
  virtual void abandon() = 0;

  virtual const NicCapabilities& capabilities() const = 0;
  // Sends from this memory where it stays, wherever it comes from.
  virtual bool refers_to(std::span<const std::byte> memory) const = 0;
  virtual MacAddress mac() const = 0;
  // Bytes of the largest IP packet.
  virtual size_t mtu() const = 0;
  // Off the data path: they may ask the device.
  virtual bool link_up() = 0;
  // Few receive buffers are left: who holds some should copy out of them. A few times a millisecond at most.
  virtual bool receive_memory_low() = 0;
  virtual NicStatistics statistics() = 0;

 protected:
  ~Nic() = default;
};

}  // namespace penstock::dataplane::net
