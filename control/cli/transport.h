// Transport: how a command reaches a broker: sockets of the kernel (kernel_transport), or a network device that this
// process drives itself (bench --nic; control/device_transport.h). A Wire is one connection's bytes, and never blocks;
// a Watch waits for those of many. One thread uses them all.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>

#include "base/clock.h"
#include "control/cli/socket.h"

namespace penstock::cli {

class Wire {
 public:
  virtual ~Wire() = default;
  // From the front, what there is room for now; returns how many bytes that is. What it takes is sent by the time that
  // a Watch waits. Throws CliError when the connection is gone.
  virtual size_t send(std::span<const std::span<const std::byte>> pieces) = 0;
  // What has arrived, as far as it fits; 0: nothing has. Throws ConnectionLost at the end of the stream.
  virtual size_t receive(std::span<std::byte> room) = 0;
  // For who waits with poll(2); -1: it is no socket.
  virtual int fd() const = 0;
};

class Watch {
 public:
  struct Wake {
    Nanos precise;      // be back in time for this: polls in the last stretch
    Nanos lazy;         // and for this a little late will do
    bool spin = false;  // never sleep
  };
  struct Ready {
    uint32_t index;
    bool readable;  // bytes, or the end
    bool writable;  // and that was asked for
  };

  virtual ~Watch() = default;
  // Readiness of wire, which is of the same Transport and goes first, is told as index. Throws CliError.
  virtual void add(Wire& wire, uint32_t index) = 0;
  virtual void want_write(Wire& wire, uint32_t index, bool on) = 0;
  // What is ready; may be nothing, also before its time. Valid until the next call.
  virtual std::span<const Ready> wait(const Wake& wake) = 0;
};

class Transport {
 public:
  virtual ~Transport() = default;
  // A connection that is open. Throws CliError (kExitUnreachable) that says what failed and what to look at.
  virtual std::unique_ptr<Wire> connect(const Endpoint& endpoint, Nanos timeout) = 0;
  virtual std::unique_ptr<Watch> watch(Clock& clock) = 0;
};

Transport& kernel_transport();

// A device instead of the kernel: who links the dataplane says how to open it. device: as a listener's behind "dpdk:".
struct NicOptions;
using OpenNic = std::function<std::unique_ptr<Transport>(const NicOptions& nic, Nanos timeout)>;
struct NicOptions {
  std::string device;  // empty: the kernel
  bool no_huge_pages = false;
  OpenNic open;
};

}  // namespace penstock::cli
