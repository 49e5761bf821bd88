// The neighbour cache: a fixed table, chained buckets by index, and one pool of held frames.
#include "dataplane/net/neighbours.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <span>
#include <tuple>
#include <utility>

#include "base/assert.h"

namespace penstock::dataplane::net {

namespace {

constexpr size_t kVictimsLookedAt = 16;

void release(const TxFrame& frame) {
  if (frame.owner != nullptr) frame.owner->release(frame.owner_token);
}

// The TCP header of a frame that is one SYN without data, or nothing.
std::span<const std::byte> syn_of(const TxFrame& frame) {
  constexpr std::byte kSyn{0x02};
  if (frame.l4_bytes == 0 || frame.piece_count > 0) return {};
  const auto tcp = frame.header_span().subspan(frame.l2_bytes + frame.l3_bytes);
  return (tcp[13] & kSyn) != std::byte{0} ? tcp : std::span<const std::byte>{};
}

}  // namespace

Neighbours::Neighbours(size_t entries, size_t held, uint64_t seed, NetCounters& counters)
    : counters_(counters), seed_(seed), entries_(entries), buckets_(std::bit_ceil(2 * entries), kNone), pool_(held) {
  CHECK(entries > 0 && held > 0);
  for (size_t i = 0; i < pool_.size(); ++i) {
    pool_[i].next = free_held_;
    free_held_ = static_cast<Index>(i);
  }
}

Neighbours::~Neighbours() {
  for (Entry& entry : entries_) drop_held(entry);
  while (next_ready() != nullptr) release(pool_[static_cast<size_t>(lent_)].frame);
  CHECK(held_ == 0);
}

size_t Neighbours::bucket_of(const IpAddress& address) const {
  uint64_t a;
  uint64_t b;
  std::memcpy(&a, address.bytes.data(), 8);
  std::memcpy(&b, address.bytes.data() + 8, 8);
  uint64_t x = (a ^ seed_) * 0x9e3779b97f4a7c15ULL;
  x = (std::rotl(x, 29) ^ b ^ std::rotl(seed_, 32)) * 0xbf58476d1ce4e5b9ULL;
  return (x >> 32) & (buckets_.size() - 1);
}

Neighbours::Entry* Neighbours::find(const IpAddress& address) {
  if (last_ != nullptr && last_->state != State::kFree && last_->address == address) return last_;
  for (Index i = buckets_[bucket_of(address)]; i != kNone; i = entries_[static_cast<size_t>(i)].next_in_bucket) {
    if (Entry& entry = entries_[static_cast<size_t>(i)]; entry.address == address) return last_ = &entry;
  }
  return nullptr;
}

// The next entry that is free; in a full cache the best to forget of some, so that a flood of strangers costs little.
Neighbours::Index Neighbours::pick_victim() const {
  if (used_ < entries_.size()) {
    for (size_t i = 0;; ++i) {
      const size_t at = (hand_ + i) % entries_.size();
      if (entries_[at].state == State::kFree) return static_cast<Index>(at);
    }
  }
  size_t best = hand_ % entries_.size();
  const auto worth = [&](const Entry& e) { return std::tuple(e.was_confirmed, e.held > 0, e.used_at); };
  for (size_t i = 1; i < std::min(kVictimsLookedAt, entries_.size()); ++i) {
    const size_t at = (hand_ + i) % entries_.size();
    if (worth(entries_[at]) < worth(entries_[best])) best = at;
  }
  return static_cast<Index>(best);
}

Neighbours::Entry& Neighbours::insert(const IpAddress& address, Nanos now) {
  const Index index = pick_victim();
  hand_ = (static_cast<size_t>(index) + 1) % entries_.size();
  Entry& entry = entries_[static_cast<size_t>(index)];
  if (entry.state != State::kFree) {
    counters_.add(NetMetric::net_neighbours_evicted);
    forget(entry);
  }
  entry = Entry{.address = address, .used_at = now};
  Index& bucket = buckets_[bucket_of(address)];
  entry.next_in_bucket = bucket;
  bucket = index;
  ++used_;
  return entry;
}

void Neighbours::forget(Entry& entry) {
  drop_held(entry);
  Index* link = &buckets_[bucket_of(entry.address)];
  while (&entries_[static_cast<size_t>(*link)] != &entry) link = &entries_[static_cast<size_t>(*link)].next_in_bucket;
  *link = entry.next_in_bucket;
  entry.state = State::kFree;
  --used_;
}

void Neighbours::give_back(Index index) {
  pool_[static_cast<size_t>(index)].next = free_held_;
  free_held_ = index;
  --held_;
}

void Neighbours::drop_held(Entry& entry) {
  while (entry.first_held != kNone) {
    const Index index = entry.first_held;
    entry.first_held = pool_[static_cast<size_t>(index)].next;
    release(pool_[static_cast<size_t>(index)].frame);
    counters_.add(NetMetric::net_neighbour_dropped);
    give_back(index);
  }
  entry.held = 0;
  entry.last_held = kNone;
}

void Neighbours::probe_from(Entry& entry, State state, Nanos due) {
  entry.state = state;
  entry.probes = 0;
  entry.due = due;
  next_due_ = std::min(next_due_, due);
}

std::optional<MacAddress> Neighbours::resolve(const IpAddress& address, Nanos now) {
  Entry* entry = find(address);
  if (entry == nullptr) {
    entry = last_ = &insert(address, now);
    probe_from(*entry, State::kIncomplete, now);
  }
  entry->used_at = now;
  if (entry->state == State::kIncomplete) return std::nullopt;
  if (entry->state == State::kStale) probe_from(*entry, State::kProbing, now + kDelayBeforeProbe);
  if (entry->state == State::kReachable && now - entry->confirmed_at >= kReachableFor) {
    probe_from(*entry, State::kProbing, now + kDelayBeforeProbe);
  }
  return entry->mac;
}

bool Neighbours::repeats_a_syn(const Entry& entry, const TxFrame& frame) const {
  constexpr size_t kPortsBytes = 4;
  const auto syn = syn_of(frame);
  if (syn.empty()) return false;
  for (Index i = entry.first_held; i != kNone; i = pool_[static_cast<size_t>(i)].next) {
    const TxFrame& other = pool_[static_cast<size_t>(i)].frame;
    const auto other_syn = syn_of(other);
    // Same ports, and the same addresses: those stand before the TCP header in both, of the same IP version.
    if (other_syn.empty() || other.l3_bytes != frame.l3_bytes || other.l2_bytes != frame.l2_bytes) continue;
    const size_t addresses = frame.is_v4 ? 12 : 8;
    const size_t from = frame.l2_bytes + addresses;
    const size_t n = frame.l3_bytes - addresses + kPortsBytes;
    if (std::ranges::equal(frame.header_span().subspan(from, n), other.header_span().subspan(from, n))) return true;
  }
  return false;
}

bool Neighbours::hold(const IpAddress& address, const TxFrame& frame) {
  Entry* entry = find(address);
  CHECK(entry != nullptr && entry->state == State::kIncomplete);
  const bool lent_only_for_the_call = frame.owner == nullptr && frame.piece_count > 0;
  if (lent_only_for_the_call || free_held_ == kNone || entry->held == kHeldPerNeighbour ||
      repeats_a_syn(*entry, frame)) {
    counters_.add(NetMetric::net_neighbour_dropped);
    return false;
  }
  const Index index = free_held_;
  Held& held = pool_[static_cast<size_t>(index)];
  free_held_ = held.next;
  held.frame = frame;
  held.next = kNone;
  (entry->first_held == kNone ? entry->first_held : pool_[static_cast<size_t>(entry->last_held)].next) = index;
  entry->last_held = index;
  ++entry->held;
  ++held_;
  counters_.add(NetMetric::net_neighbour_held);
  return true;
}

// Its frames go to the end of the ready queue.
void Neighbours::became_known(Entry& entry) {
  counters_.add(NetMetric::net_neighbours_learned);
  if (entry.first_held == kNone) return;
  for (Index i = entry.first_held; i != kNone; i = pool_[static_cast<size_t>(i)].next) {
    std::memcpy(pool_[static_cast<size_t>(i)].frame.header.data(), entry.mac.bytes.data(), entry.mac.bytes.size());
  }
  (ready_first_ == kNone ? ready_first_ : pool_[static_cast<size_t>(ready_last_)].next) = entry.first_held;
  ready_last_ = entry.last_held;
  entry.first_held = entry.last_held = kNone;
  entry.held = 0;
}

void Neighbours::learn(const IpAddress& address, const MacAddress& mac, How how, Nanos now) {
  if (how == How::kConfirmed) return confirm(address, now);
  if (mac.is_group() || mac.is_zero()) return;  // no station's
  Entry* entry = find(address);
  if (entry == nullptr) {
    if (how != How::kSeen) return;  // nobody asked (RFC 4861 7.2.5)
    entry = &insert(address, now);
    entry->state = State::kIncomplete;
  }
  const bool was_unknown = entry->state == State::kIncomplete;
  const bool moved = entry->mac != mac;
  if (moved && entry->was_confirmed && how != How::kAnswer) return doubt(*entry, now);
  entry->mac = mac;
  if (how == How::kAnswer) {
    entry->state = State::kReachable;
    entry->was_confirmed = true;
    entry->confirmed_at = now;
  } else if (was_unknown || moved) {
    entry->state = State::kStale;
  }
  if (was_unknown) became_known(*entry);
}

// Somebody else claims the address. All are asked, so that whoever has it now can say so.
void Neighbours::doubt(Entry& entry, Nanos now) {
  if (entry.state == State::kProbing && entry.probes >= kProbesMax) return;
  probe_from(entry, State::kProbing, std::max(now, entry.asked_at + kProbeEvery));
  entry.probes = kProbesMax;
}

void Neighbours::confirm(const IpAddress& address, Nanos now) {
  Entry* entry = find(address);
  if (entry == nullptr || entry->state == State::kIncomplete) return;
  entry->state = State::kReachable;
  entry->was_confirmed = true;
  entry->confirmed_at = now;
}

const TxFrame* Neighbours::next_ready() {
  if (lent_ != kNone) give_back(std::exchange(lent_, kNone));
  if (ready_first_ == kNone) return nullptr;
  lent_ = ready_first_;
  ready_first_ = pool_[static_cast<size_t>(lent_)].next;
  return &pool_[static_cast<size_t>(lent_)].frame;
}

std::optional<Neighbours::Probe> Neighbours::step(Entry& entry, Nanos now) {
  if (now < entry.due) return std::nullopt;
  const bool known = entry.state == State::kProbing;
  if (entry.probes == (known ? 2 * kProbesMax : kProbesMax)) {
    counters_.add(NetMetric::net_neighbours_lost);
    forget(entry);
    return std::nullopt;
  }
  ++entry.probes;
  entry.asked_at = now;
  entry.due = now + kProbeEvery;
  const bool ask_itself = known && entry.probes <= kProbesMax;  // else perhaps its MAC has changed: all are asked
  return Probe{entry.address, ask_itself ? entry.mac : MacAddress{}};
}

}  // namespace penstock::dataplane::net
