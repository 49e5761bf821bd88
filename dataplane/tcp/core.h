// Core: what the parts of one stack share. The parts are functions over (Core&, Tcb&): input, output, recovery,
// timers. stack.h is what an owner sees.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "base/on_lcore.h"
#include "base/prng.h"
#include "dataplane/net/ip.h"
#include "dataplane/tcp/counters.h"
#include "dataplane/tcp/flow_table.h"
#include "dataplane/tcp/options.h"
#include "dataplane/tcp/receive_memory.h"
#include "dataplane/tcp/send_memory.h"
#include "dataplane/tcp/tcb.h"
#include "dataplane/tcp/time_wait.h"
#include "dataplane/tcp/timers.h"

namespace penstock::dataplane::tcp {

struct Listener {
  net::IpAddress address;  // unspecified: any of ours
  uint16_t port = 0;
  bool open = false;
  size_t waiting = 0;  // accepted, and not yet taken by next(), or half-open
};

struct Core {
  Core(const StackOptions& wanted, net::IpOutput& output, TcpCounters& metrics);
  ~Core();
  Core(const Core&) = delete;
  Core& operator=(const Core&) = delete;

  OnLcore owner;
  const StackOptions options;
  net::IpOutput& ip;
  TcpCounters& counters;
  Prng prng;
  Nanos now = 0;
  bool receive_memory_low = false;

  HeapBuffers heap;
  SendMemory send_memory;
  std::vector<std::unique_ptr<Tcb>> tcbs;  // grows to its bound, then stays
  std::vector<uint32_t> free_tcbs;
  FlowTable flows;
  TimeWaits time_waits;
  Wheel wheel;
  std::vector<Listener> listeners;
  Fifo<uint32_t> events;          // connections with something to tell
  std::vector<uint32_t> dirty;    // connections whose output is due
  Fifo<uint32_t> block_waiters;   // whose send found no memory
  Fifo<uint32_t> region_waiters;  // whose shared piece found no region
  Fifo<uint32_t> line;            // whose request waits for receive memory, first come first served
  size_t receive_pool_used = 0;
  Nanos line_since = 0;       // somebody has stood in it at each look since then; 0: nobody does
  Nanos line_watched_at = 0;  // when those who hold reservations were last looked at
  size_t half_open = 0;
  size_t connections = 0;   // not half-open
  Nanos cookies_until = 0;  // a cookie that was sent may come back until then
  uint32_t port_cursor = 0;
  uint32_t resets_left = 0;  // of this second
  Nanos resets_since = 0;
};

// ---- connections
uint64_t table_hash(const Core& core, const Flow& flow);
Tcb* find_tcb(Core& core, uint64_t hash, const Flow& flow);
// A connection in kClosed with its variables fresh; null at the bound.
Tcb* take_tcb(Core& core, const Flow& flow, bool half_open);
void no_longer_half_open(Core& core, Tcb& t);
// Out of the table, silently; the Tcb goes when its owner has closed it, or at once if it has none.
void detach(Core& core, Tcb& t);
void forget_if_unowned(Core& core, Tcb& t);
// A place of t's in one of the stack's lists is gone: the Tcb may be free now.
void settle_lists(Core& core, Tcb& t);
// The connection is over; its owner is told.
void break_connection(Core& core, Tcb& t, Broken why);
void enter_time_wait(Core& core, Tcb& t);

// ---- what happens to one
void tell(Core& core, Tcb& t, EventKind event);
void make_dirty(Core& core, Tcb& t);
void arm(Core& core, Tcb& t, Timer timer, Nanos at);
void arm_keepalive(Core& core, Tcb& t);

// ---- numbers
SeqNumber initial_sequence(const Core& core, const Flow& flow);  // RFC 6528
uint32_t timestamp_offset(const Core& core, const Flow& flow);   // RFC 7323 5.4
uint32_t timestamp_now(const Core& core, uint32_t offset);       // a tick is a millisecond
uint8_t receive_scale(const StackOptions& options);
uint16_t announced_mss(const Core& core, const net::IpAddress& remote);  // of a SYN
// What a full segment may carry: peer's MSS, path, options of every segment.
void settle_mss(Core& core, Tcb& t);

// ---- receive memory
size_t own_share(const Core& core, const Tcb& t);  // that the connection has by right
size_t promise_for(const Tcb& t, size_t n);        // what must be promised, so that a request of n bytes comes
void serve_line(Core& core);
// While others stand in line, whose request makes no progress (dataplane/progress.h), or who does not read the answers
// before it, loses the connection. Looks once a second.
void watch_line(Core& core);
inline constexpr Nanos kLineWatchInterval = kSecond;
void give_back_reservation(Core& core, Tcb& t);
void receive_pressure(Core& core, bool low);

}  // namespace penstock::dataplane::tcp
