// Dialer: connections that this process opens over a device of its own, for one thread that polls. Numbers stand for
// them; control sees no more of our TCP. A turn of its owner's loop:
//
//   receive(now);  next_news() until nothing comes;  send() and receive() on what had news;  finish(now)
//
// so that an answer carries the acknowledgement of what it answers.
#pragma once

#include <cstddef>
#include <cstdint>
#include <expected>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "base/units.h"
#include "dataplane/api/types.h"

namespace penstock::dataplane {

class SharedDevice;  // dataplane/link/shared_device.h

class Dialer {
 public:
  // Of a connection; another one may have the number of one that is hung up.
  using Line = uint32_t;
  enum class State : uint8_t {
    kDialing,
    kOpen,
    kEnded,    // the peer sends nothing more
    kRefused,  // these three: of no use any more
    kReset,
    kTimedOut,
  };

  // The calling thread's from now on. The device's only user.
  Dialer(SharedDevice& device, const DataplaneOptions& options, Nanos now);
  // What peers have not acknowledged is lost.
  ~Dialer();

  // address is numeric. What is wrong is one line.
  std::expected<Line, std::string> dial(const std::string& address, uint16_t port);
  State state(Line line) const;
  // From the front, what there is room for now; returns how many bytes that is.
  size_t send(Line line, std::span<const std::span<const std::byte>> pieces);
  // Moves what has arrived into room, as far as it fits; returns how many bytes that is.
  size_t receive(Line line, std::span<std::byte> room);
  bool has_bytes(Line line) const;
  // The last send took all that it was given, or there has been room again since.
  bool has_room(Line line) const;
  // What was sent still goes out; nothing more is told of it.
  void hang_up(Line line);

  // Returns how many frames came.
  size_t receive(Nanos now);
  // A connection that is open, has bytes or room, or has ended.
  std::optional<Line> next_news();
  void finish(Nanos now);

  bool link_up() const;
  // Peers have acknowledged everything.
  bool drained() const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace penstock::dataplane
