// UringSockets: the kernel's TCP as a transport of one lcore: listeners, connections, their receive memory, and the
// place where an idle lcore sleeps. The loop takes events from next(); what they are about is a UringStream.
#pragma once

#include <cstdint>
#include <deque>
#include <expected>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/doorbell.h"
#include "base/on_lcore.h"
#include "base/result.h"
#include "dataplane/api/types.h"
#include "dataplane/sockets/receive_pool.h"
#include "dataplane/sockets/uring.h"
#include "dataplane/sockets/uring_stream.h"

namespace penstock::dataplane {

struct SocketEvent {
  enum class Kind : uint8_t {
    kArrived,   // fd: adopt() it, or give it to another lcore
    kReceived,  // received() has more
    kWritable,  // after a short send
    kEnded,     // the peer will send nothing more; it may still read
    kBroken,    // the connection is of no use any more: close it
  };
  Kind kind;
  UringStream* stream;  // but kArrived
  uint16_t listener;
  int fd = -1;  // kArrived
};

struct SocketOptions {
  size_t receive_pool_bytes;
  size_t request_bytes_max;   // the largest want()
  size_t request_head_bytes;  // how many the owner must see to know what it wants
  size_t connections_max;
  int backlog;
};

struct ListenFailure {
  Errc code;         // kLocked: another process has the port
  std::string what;  // one line for the operator
};

class UringSockets {
 public:
  static std::expected<std::unique_ptr<UringSockets>, std::string> make(const SocketOptions& options,
                                                                        DataplaneCounters& counters);
  ~UringSockets();

  // Whether listen() could bind it now: the same failures, and nothing stays bound.
  static std::expected<void, ListenFailure> try_listen(const std::string& host, uint16_t port);
  // Binds and listens; returns the port. host is a numeric address.
  std::expected<uint16_t, std::string> listen(const std::string& host, uint16_t port);

  // ---- the rest is the lcore's
  void start(const Doorbell& doorbell);
  void stop_listening();
  // A connection that a listener, of this lcore or another, has accepted. nullptr: there are too many; it was closed.
  UringStream* adopt(int fd, uint16_t listener);
  void refuse(int fd, Metric why = Metric::connections_refused);

  // Once a turn: gives the kernel what is queued and learns what has completed.
  void enter();
  // The next thing that happened. The stream of an event lives until the following next().
  std::optional<SocketEvent> next();
  // Housekeeping, a few times a second at most; needed by next_deadline(), which is over while next() or enter() has
  // work.
  void tick(Nanos now);
  Nanos next_deadline() const;
  void wait(Nanos timeout);

  const ReceivePool& pool() const { return pool_; }

 private:
  friend class UringStream;

  struct Listener {
    int fd;
    bool accepting = false;
  };

  // Of a connection that has not been closed since.
  struct StreamRef {
    UringStream* stream;
    uint32_t generation;
  };
  struct News {
    StreamRef of;
    SocketEvent::Kind kind;
  };
  static constexpr uint32_t kNoSlot = 0xff'ffff;

  UringSockets(const SocketOptions& options, DataplaneCounters& counters);
  std::optional<SocketEvent> on_completion(const SocketCompletion& completion);
  std::optional<SocketEvent> on_accept(const SocketCompletion& completion);
  std::optional<SocketEvent> on_receive(UringStream& stream, const SocketCompletion& completion);
  std::optional<SocketEvent> on_readable(UringStream& stream);
  UringStream& take_slot();
  void operation_ended(UringStream& stream);
  void free_slot(UringStream& stream);
  void settle();
  bool short_of_buffers() const;
  void arm_listeners();
  void reserve(UringStream& stream, size_t buffers);
  void leave_line(UringStream& stream);
  void serve_line();
  void let_land();
  void watch_stalled(Nanos now, Nanos since_last);
  bool stalls(UringStream& stream, Nanos now) const;
  void note_quiet();
  void look_at_quiet();
  void look_at(UringStream& stream);
  void tell(UringStream& stream, SocketEvent::Kind kind);
  static StreamRef ref_of(UringStream& stream);
  static bool is_there(const StreamRef& ref);

  OnLcore owner_;
  const SocketOptions options_;
  DataplaneCounters& counters_;
  ReceivePool pool_;
  HeapPool heap_;
  std::unique_ptr<Uring> uring_;
  const Doorbell* doorbell_ = nullptr;
  std::vector<Listener> listeners_;
  std::vector<std::unique_ptr<UringStream>> slots_;
  std::vector<uint32_t> free_slots_;
  std::vector<UringStream*> touched_;      // to settle before the kernel is entered
  std::vector<News> news_;                 // to tell the streams' owners
  std::vector<StreamRef> heard_;           // brought bytes in this tick or the last
  std::deque<StreamRef> quiet_;            // brought bytes and then none: to be looked at, some each turn
  std::map<uint64_t, UringStream*> line_;  // those that wait for memory, by ticket: first come first
  size_t short_in_line_ = 0;               // of them, those that one buffer completes
  uint64_t last_ticket_ = 0;
  size_t open_ = 0;
  bool stopped_ = false;  // nobody is taken any more
  Nanos ticked_at_ = 0;
  Nanos short_since_ = 0;  // 0: memory is not short
};

}  // namespace penstock::dataplane
