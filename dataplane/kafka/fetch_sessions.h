// FetchSessions: the fetch sessions of one lcore (KIP-227): which partitions a consumer fetches, so that its next
// request names only what is new, and the answer only what has changed. Kafka's rules (FetchSession.scala). A session
// lives on the lcore where it was made; a client that comes back on another one is told that it is not known, and
// begins anew.
//
// Bounds: kSessionsMax sessions with kPartitionsMax partitions in all, an lcore. Without room the one that was used
// longest ago goes, if that is two minutes; otherwise the client gets no session (id 0), and sends full requests. A
// session has each topic's name once, and none that is longer than kTopicNameMax.
#pragma once

#include <compare>
#include <cstdint>
#include <list>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>

#include "base/clock.h"
#include "base/prng.h"
#include "base/units.h"
#include "protocol/types.h"

namespace penstock::dataplane {

// A topic as a Fetch names it: by name below version 13, by id from there on.
struct FetchTopicName {
  std::string_view name;
  Uuid id;
};
// The same, of a session.
struct FetchTopicKey {
  std::string name;
  Uuid id;
};

class FetchSession {
 public:
  struct Partition {
    const FetchTopicKey* topic = nullptr;  // all partitions of a topic have the one
    PartitionIndex index;
    // What the client last asked for.
    Offset from{};
    uint64_t max_bytes = 0;
    int32_t current_epoch = -1;
    int32_t last_fetched_epoch = -1;
    // What it was last told; -1: it is to be told.
    int64_t high_watermark = -1;
    int64_t log_start_offset = -1;
  };

  // In the order in which they are answered: those that had records last come last.
  const std::list<Partition>& partitions() const { return order_; }
  bool uses_topic_ids() const { return uses_topic_ids_; }
  int32_t epoch() const { return epoch_; }

 private:
  friend class FetchSessions;
  struct Before {
    using is_transparent = void;
    template <class A, class B>
    bool operator()(const A& a, const B& b) const {
      const auto order = std::string_view(a.name) <=> std::string_view(b.name);
      return order < 0 || (order == 0 && a.id < b.id);
    }
  };
  using Place = std::list<Partition>::iterator;
  using ByIndex = std::map<int32_t, Place>;

  Place find(const FetchTopicName& topic, PartitionIndex index);  // order_.end(): it is not there

  std::list<Partition> order_;
  std::map<FetchTopicKey, ByIndex, Before> topics_;
  bool uses_topic_ids_ = false;
  int32_t epoch_ = 1;  // of the next request
  Nanos used_at_ = 0;
  std::list<int32_t>::iterator age_;
};

class FetchSessions {
 public:
  static constexpr size_t kSessionsMax = 1000;  // max.incremental.fetch.session.cache.slots
  static constexpr size_t kPartitionsMax = 200'000;
  static constexpr Nanos kKeptUnused = 120 * kSecond;

  // The id of a new session of so many partitions; 0: there is no room.
  int32_t make(Nanos now, bool uses_topic_ids, size_t partitions);
  FetchSession* find(int32_t id);
  void remove(int32_t id);
  // A request of it was taken: the next one has the next epoch.
  void advance(int32_t id, FetchSession& session, Nanos now);
  // What the client asks for of a partition of topic, new or known. False: there is no room for it, or no topic can
  // have that name.
  bool put(FetchSession& session, const FetchTopicName& topic, const FetchSession::Partition& partition);
  void forget(FetchSession& session, const FetchTopicName& topic, PartitionIndex index);
  // An answer has told this of it. had_records: others come before it the next time.
  void told(FetchSession& session, const FetchTopicName& topic, PartitionIndex index, int64_t high_watermark,
            int64_t log_start_offset, bool had_records);

  size_t count() const { return sessions_.size(); }

 private:
  bool make_room(Nanos now, size_t partitions);

  std::unordered_map<int32_t, FetchSession> sessions_;
  std::list<int32_t> by_age_;  // ids, the longest unused first
  size_t partitions_ = 0;
  std::optional<Prng> prng_;
};

}  // namespace penstock::dataplane
