// Wakeups: which connections of one lcore wait for what. Handlers register a connection and return; once a turn the
// loop collects those whose wait is over and resumes them (clients.h). A connection stands here by its id, so one that
// has gone meanwhile is simply not found. To be resumed without need is harmless: it looks and waits on.
//
// Bounds: one durable wait for each unanswered Produce (Connection::kAnswersMax a connection); one LogWait a
// connection, kParkedPartitionsMax partitions in all; one retry, device, room or image wait a connection.
#pragma once

#include <cstdint>
#include <deque>
#include <limits>
#include <set>
#include <span>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/units.h"
#include "dataplane/api/types.h"
#include "dataplane/kafka/foreign_rings.h"
#include "storage/api/store_set.h"

namespace penstock::dataplane {

class Wakeups {
 public:
  static constexpr size_t kParkedPartitionsMax = 1'000'000;

  // When everything below at in its ring is durable, or the ring is poisoned.
  void when_durable(storage::DurableAt at, ConnectionId who);
  // After the next poll of the store: control's ring was full, or others have their turn.
  void next_turn(ConnectionId who) { retries_.push_back(who); }
  // When the device has done something: it held back an append, and only then can that be over.
  void when_device(ConnectionId who) { device_waits_.push_back(who); }
  void device_moved();
  // When answers have left: too many bytes of them wait for clients that do not read.
  void when_room(ConnectionId who) { room_waits_.push_back(who); }
  void room_made() { retry_all(room_waits_); }
  bool any_waits_for_room() const { return !room_waits_.empty(); }
  // When control has published another image.
  void when_image(ConnectionId who) { image_waits_.push_back(who); }
  void image_changed();
  // Another lcore says that log has more, or that what was read for it has come.
  void log_moved(storage::LogId log);
  void any_log_moved();

  // Once a turn, behind store.poll(): appends those whose wait is over.
  void collect(const storage::StoreSet& store, const ForeignRings& foreign, Nanos now,
               std::vector<ConnectionId>& woken);

  // When the next parked request must be answered; a far future if none is.
  Nanos next_deadline() const;
  // Somebody tries again every turn, so the lcore must not sleep long.
  bool retrying() const { return !retries_.empty(); }
  bool has_room_to_park(size_t partitions) const { return parked_partitions_ + partitions <= kParkedPartitionsMax; }

 private:
  friend class LogWait;

  struct Link {
    storage::LogId log;
    ConnectionId who;
    Link* previous = nullptr;
    Link* next = nullptr;
    bool moved = false;  // log_moved() since it was last looked at
  };
  void retry_all(std::vector<ConnectionId>& waits);
  struct DurableWaits {
    uint16_t ring;
    std::deque<std::pair<storage::Lsn, ConnectionId>> by_lsn;  // rising
    bool was_poisoned = false;
  };
  DurableWaits& waits_of(uint16_t ring);
  void collect_durable(uint16_t ring, storage::Lsn durable, bool poisoned, std::vector<ConnectionId>& woken);
  void wake_all_parked(std::vector<ConnectionId>& woken) const;
  void collect_log(storage::LogId log, std::vector<ConnectionId>& woken) const;
  void add(Link& link);
  void remove(Link& link);

  std::vector<DurableWaits> durable_waits_;  // a few rings
  std::vector<ConnectionId> retries_;
  std::vector<ConnectionId> device_waits_;  // in the order in which they were held back
  std::vector<ConnectionId> room_waits_;
  std::vector<ConnectionId> image_waits_;
  std::unordered_map<storage::LogId, Link*> by_log_;      // first of those that wait for the log
  std::set<std::pair<Nanos, ConnectionId>> by_deadline_;  // all LogWaits
  size_t parked_partitions_ = 0;
};

// A connection that is parked until one of these logs has more durable records or a read of it from the drive has come,
// the deadline passes or the image changes. Ends with its destructor. A connection has at most one at a time: what it
// asks for begins when the answers before have left.
class LogWait {
 public:
  static constexpr Nanos kNoDeadline = std::numeric_limits<Nanos>::max();

  LogWait(Wakeups& wakeups, ConnectionId who, Nanos deadline, std::span<const storage::LogId> logs);
  ~LogWait();
  LogWait(const LogWait&) = delete;
  LogWait& operator=(const LogWait&) = delete;

  // Whether another lcore has said since the last call that the log at this place of logs has moved.
  bool take_moved(size_t place) { return std::exchange(links_[place].moved, false); }

 private:
  Wakeups& wakeups_;
  const std::pair<Nanos, ConnectionId> entry_;
  std::vector<Wakeups::Link> links_;
};

}  // namespace penstock::dataplane
