// What an owner may set of a stack, and the bounds that make its memory a sum.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "base/siphash.h"
#include "base/units.h"
#include "dataplane/tcp/rtt.h"

namespace penstock::dataplane::tcp {

// What is promised beyond a request: a segment of the largest IP packet and a unit of the largest scale.
inline constexpr size_t kPromiseBeyondMax = 64 * kKiB + 16 * kKiB;

struct StackOptions {
  // Secrets: of true randomness, other ones at each start. They make sequence numbers, cookies and hashes unguessable.
  SipKey secret;
  uint64_t seed = 1;  // of what need not be secret: where the search for a port begins

  // ---- bounds
  size_t connections_max = 4096;         // open or closing, half-open ones not counted
  size_t half_open_max = 1024;           // above it SYNs are answered with cookies
  size_t accept_queue_max = 1024;        // of one listener: made and not yet taken by next(); above it SYNs are dropped
  size_t time_wait_max = 16384;          // above it the oldest is forgotten
  size_t send_memory_bytes = 32 * kMiB;  // blocks for what is sent by copy
  size_t shared_regions_max = 8192;      // regions of others in send queues
  size_t frames_flying_max = 8192;       // frames in the device that refer to memory
  size_t send_buffer_bytes = 4 * kMiB;   // one connection's unacknowledged bytes; a shared piece may go above it
  size_t receive_buffer_bytes = 256 * kKiB;  // each connection's by right: what it may be sent unasked
  // Beyond that, for requests whose length is known (TcpStream::want); kPromiseBeyondMax more than the largest at
  // least.
  size_t receive_pool_bytes = 64 * kMiB;
  size_t request_bytes_max = 16 * kMiB;  // the largest want()
  std::span<std::byte> send_arena;       // for the blocks; empty: memory of the stack's own

  // ---- behaviour
  bool window_scaling = true;
  bool sack = true;
  bool timestamps = true;
  bool nagle = false;
  uint16_t mss_max = 65495;  // announced at most; the device's MTU bounds it too
  Nanos rto_min = kRtoMinDefault;
  Nanos delayed_ack = 40 * kMillisecond;  // RFC 9293 3.8.6.3 allows 500
  Nanos msl = 30 * kSecond;               // TIME-WAIT is two of it
  Nanos fin_wait_2 = 60 * kSecond;        // how long a closed connection waits for the peer's FIN
  Nanos user_timeout = 120 * kSecond;     // R2: data unanswered so long ends the connection (RFC 9293 3.8.3)
  Nanos connect_timeout = 180 * kSecond;  // R2 of a SYN
  uint32_t syn_ack_retries = 5;           // then a half-open connection is forgotten
  Nanos keepalive_idle = 0;               // 0: off
  Nanos keepalive_interval = 75 * kSecond;
  uint32_t keepalive_probes = 9;
  uint32_t resets_per_second = 1000;  // for segments of no connection
};

}  // namespace penstock::dataplane::tcp
