// The neighbour cache: which MAC stands behind an address on the link, for ARP (RFC 826, RFC 1122 2.3.2) and neighbour
// discovery (RFC 4861 7.3) alike. Pure bookkeeping: the network layer sends the probes and the frames.
//
// Bounds: `entries` neighbours, `held` frames over all, 64 a neighbour. A full cache forgets a neighbour that has
// waited longest among those that never answered a probe of ours before one that did.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <vector>

#include "base/units.h"
#include "dataplane/net/ip.h"
#include "dataplane/net/metrics.h"
#include "dataplane/net/nic.h"

namespace penstock::dataplane::net {

class Neighbours {
 public:
  static constexpr size_t kHeldPerNeighbour = 64;
  static constexpr Nanos kReachableFor = 300 * kSecond;    // after the last confirmation
  static constexpr Nanos kProbeEvery = kSecond;            // RFC 1122 2.3.2.1: at most one a second
  static constexpr Nanos kDelayBeforeProbe = 5 * kSecond;  // RFC 4861 10, DELAY_FIRST_PROBE_TIME
  static constexpr unsigned kProbesMax = 3;

  // How an address was learned, from the weakest on.
  enum class How : uint8_t {
    kSeen,       // its station spoke to us (a SYN, an ARP request, a solicitation): usable, not yet confirmed
    kChanged,    // it says unasked that its MAC is another (gratuitous ARP)
    kAnswer,     // it answered a probe
    kConfirmed,  // it answered a probe without a word of its MAC (RFC 4861 7.2.4): what we have stands
  };

  // A question to send: to its last known MAC, or to the group if that is zero.
  struct Probe {
    IpAddress address;
    MacAddress mac;
  };

  // seed keys the hash, so that nobody can choose addresses that share a bucket.
  Neighbours(size_t entries, size_t held, uint64_t seed, NetCounters& counters);
  Neighbours(const Neighbours&) = delete;
  Neighbours& operator=(const Neighbours&) = delete;
  // Frames still held are released.
  ~Neighbours();

  // Its MAC, if known. If not, the next poll() asks for it.
  std::optional<MacAddress> resolve(const IpAddress& address, Nanos now);
  // Keeps a frame, whose Ethernet destination is still to be written, until address is known. Frames with pieces need
  // an owner. False: no room, or a repeated SYN; the caller releases it.
  bool hold(const IpAddress& address, const TxFrame& frame);
  // The neighbour's held frames are ready for next_ready() if it became known by this. Anybody may say anything
  // unasked: one that has ever answered keeps its MAC, and all are asked whose the address is.
  void learn(const IpAddress& address, const MacAddress& mac, How how, Nanos now);
  // Forward progress with address: no need to probe it.
  void confirm(const IpAddress& address, Nanos now);

  // The next frame whose neighbour is known now, its Ethernet destination written; valid until the next call.
  const TxFrame* next_ready();
  // Calls ask(Probe) for each question that is due, and gives up on those that were asked often enough.
  template <class Ask>
  void poll(Nanos now, Ask&& ask) {
    if (now < next_due_) return;
    next_due_ = kNever;
    for (Entry& entry : entries_) {
      if (entry.state != State::kIncomplete && entry.state != State::kProbing) continue;
      if (const auto probe = step(entry, now)) ask(*probe);
      if (entry.state != State::kFree) next_due_ = std::min(next_due_, entry.due);
    }
  }
  // When poll() has something to do.
  Nanos next_due() const { return next_due_; }

  size_t size() const { return used_; }
  size_t held() const { return held_; }
  static constexpr Nanos kNever = INT64_MAX;

 private:
  using Index = int32_t;
  static constexpr Index kNone = -1;

  //    resolve         answer            300 s, then used       confirm or answer
  //   ---------> Incomplete ----> Reachable ----------> Probing ----------------> Reachable
  //   SYN: Stale, used ----------------------------------^  | 3 unicast probes unanswered: asked of all;
  //                                                             3 of those unanswered: forgotten
  // Until then frames go where they went before: it may only be deaf to probes.
  enum class State : uint8_t { kFree, kIncomplete, kStale, kReachable, kProbing };

  struct Entry {
    IpAddress address;
    MacAddress mac;
    State state = State::kFree;
    uint8_t probes = 0;
    bool was_confirmed = false;
    uint16_t held = 0;
    Index first_held = kNone;
    Index last_held = kNone;
    Index next_in_bucket = kNone;
    Nanos confirmed_at = 0;
    Nanos used_at = 0;
    Nanos asked_at = -kProbeEvery;
    Nanos due = 0;  // of the next probe
  };
  struct Held {
    TxFrame frame;
    Index next = kNone;
  };

  size_t bucket_of(const IpAddress& address) const;
  Entry* find(const IpAddress& address);
  Entry& insert(const IpAddress& address, Nanos now);
  Index pick_victim() const;
  void forget(Entry& entry);
  void drop_held(Entry& entry);
  void probe_from(Entry& entry, State state, Nanos due);
  std::optional<Probe> step(Entry& entry, Nanos now);
  void became_known(Entry& entry);
  void doubt(Entry& entry, Nanos now);
  bool repeats_a_syn(const Entry& entry, const TxFrame& frame) const;
  void give_back(Index index);

  NetCounters& counters_;
  const uint64_t seed_;
  std::vector<Entry> entries_;
  std::vector<Index> buckets_;
  std::vector<Held> pool_;
  Index free_held_ = kNone;
  Index ready_first_ = kNone;  // a queue through pool_ of frames to send
  Index ready_last_ = kNone;
  Index lent_ = kNone;  // what next_ready() returned last
  size_t used_ = 0;
  size_t held_ = 0;
  size_t hand_ = 0;  // where the search for a free entry, or a victim, goes on
  Nanos next_due_ = kNever;
  Entry* last_ = nullptr;  // of the last find: most packets go where the one before went
};

}  // namespace penstock::dataplane::net
