// Lcore: one polled loop as control sees it: made from parts, run on a thread that control starts, spoken to through
// two rings. Concrete; its body is the dataplane's, behind a pointer.
#pragma once

#include <cstdint>
#include <expected>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/doorbell.h"
#include "base/ring.h"
#include "dataplane/api/devices.h"
#include "dataplane/api/mesh.h"
#include "dataplane/api/messages.h"
#include "storage/api/disk.h"
#include "storage/api/store_set.h"

namespace penstock::dataplane {

struct ListenerAddress {
  std::string host;   // numeric IPv4 or IPv6 to bind
  uint16_t port = 0;  // 0: the kernel chooses; bound_ports() tells
  // The index of a device of ours, on whose addresses every lcore listens; host does not matter then, and no two
  // listeners of a device have the same port. Nothing: a socket of the kernel.
  std::optional<uint16_t> device = std::nullopt;
};

struct LcoreRequest {
  uint16_t index = 0;
  DataplaneOptions options;
  uint64_t sockets_max = UINT64_MAX;       // connections of the kernel's, where descriptors allow fewer than options do
  std::vector<ListenerAddress> listeners;  // all of the broker's, in the order of their numbers
  std::vector<SharedDevice*> devices = {};
  std::vector<storage::Disk*> disks;  // of the stores: polled through them; armed by the loop before it sleeps
  std::unique_ptr<storage::StoreSet> store;
  Clock* clock = nullptr;
  DataplaneCounters* counters = nullptr;
  Doorbell* control_doorbell = nullptr;  // rung after an event was pushed
  // The way to the other lcores; nullptr: there is none. Lcore 0 has the kernel's listeners and shares out what it
  // accepts (docs/adr/0011-accept-and-share-out.md); what comes by a device is its 4-tuple's lcore's from the first
  // segment on.
  std::shared_ptr<Mesh> mesh = nullptr;
};

class Lcore {
 public:
  // Whether make() could bind the address now; nothing stays bound. A device's addresses are its own, so they are fine.
  // Failures as make()'s; kLocked if another process has the port.
  static std::expected<void, storage::OpenFailure> try_listener(const ListenerAddress& address);
  // Binds and listens. Failure is one line that says what to do (port in use, no permission, old kernel).
  static std::expected<std::unique_ptr<Lcore>, storage::OpenFailure> make(LcoreRequest request);
  ~Lcore();

  std::span<const uint16_t> bound_ports() const;  // by listener
  // Control's ends. After pushing commands, ring doorbell().
  SpscRing<Command>& commands();
  SpscRing<Event>& events();
  Doorbell& doorbell();

  // The loop; returns after Stop was obeyed and Stopped was pushed. Called by the thread that is to be the lcore.
  void run();

 private:
  class Impl;
  explicit Lcore(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace penstock::dataplane
