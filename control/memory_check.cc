#include "control/memory_check.h"

#include <algorithm>
#include <bit>
#include <chrono>
#include <thread>

#include "base/log.h"
#include "base/units.h"
#include "storage/api/ring_size.h"
#include "storage/api/store.h"

namespace penstock::control {
namespace {

using Failure = std::unexpected<std::string>;

std::string mib(uint64_t bytes) { return std::to_string(bytes / kMiB) + " MiB"; }

std::string set_to(std::string_view setting, uint64_t bytes) {
  return "choose a smaller one: --set " + std::string(setting) + "=" + std::to_string(bytes / kMiB) + "MiB";
}

// Of a device's buffer, of an MTU of up to 2,000.
constexpr uint64_t kFrameBytes = 2'432;

// More than fits in 64 bits is more than anybody has.
uint64_t sum_of(uint64_t a, uint64_t b) { return a > UINT64_MAX - b ? UINT64_MAX : a + b; }
uint64_t times(uint64_t a, uint64_t b) {
  uint64_t product = 0;
  return __builtin_mul_overflow(a, b, &product) ? UINT64_MAX : product;
}

// Rings that get ordinary memory: one that the huge pages that are left do not hold whole gets none of them.
struct OrdinaryRings {
  uint64_t there = 0;    // bytes of those that exist, which keep their size
  uint64_t to_make = 0;  // and of the others
  uint64_t new_rings = 0;
  uint64_t sum() const { return sum_of(there, to_make); }
};

OrdinaryRings ordinary_rings(const MemoryPlan& plan, const cli::MachineMemory& memory) {
  OrdinaryRings out;
  uint64_t huge = plan.settings->broker.huge_pages == "auto" ? memory.huge_free : 0;
  for (const PlannedRing& ring : plan.rings) {
    const uint64_t pages = align_up(ring.bytes, std::max<uint64_t>(memory.huge_page, kMiB));
    if (pages <= huge) {
      huge -= pages;
      continue;
    }
    uint64_t& part = ring.is_there ? out.there : out.to_make;
    part = sum_of(part, ring.bytes);
    out.new_rings += ring.is_there ? 0 : 1;
  }
  return out;
}

uint64_t bytes_of(int64_t option) { return static_cast<uint64_t>(option); }

uint64_t read_caches(const MemoryPlan& plan) {
  return times(bytes_of(plan.settings->storage.read_cache_bytes), plan.rings.size());
}

// Each lcore has send memory of each device.
uint64_t senders(const MemoryPlan& plan) { return times(plan.lcores, plan.devices); }

// One setting by itself.
std::expected<void, std::string> check_one(std::string_view setting, uint64_t bytes, uint64_t count,
                                           const cli::MachineMemory& there) {
  if (count == 0 || bytes <= there.machine / count) return {};
  return Failure(std::string(setting) + ": " + (count > 1 ? std::to_string(count) + " times " : "") + mib(bytes) +
                 " is more than " + cli::memory_text({.machine = there.machine, .most = there.machine}) +
                 "; choose a smaller one");
}

// Rings that are more than room, and how large new ones may be; beside: what else is held.
Failure too_large_rings(const MemoryPlan& plan, const OrdinaryRings& rings, uint64_t beside, uint64_t room,
                        const std::string& room_text) {
  const uint64_t ring_bytes = bytes_of(plan.settings->storage.ring_bytes);
  const uint64_t held = sum_of(rings.there, beside);
  const auto fits = storage::ring_that_fits(UINT64_MAX, room - std::min(room, held), rings.new_rings);
  std::string what = "penstock.ring.bytes: ";
  if (rings.new_rings > 1) what += std::to_string(rings.new_rings) + " times ";
  if (rings.new_rings > 0) what += mib(ring_bytes);
  if (rings.there > 0) {
    what += rings.new_rings > 0 ? ", and " : "";
    what += mib(rings.there) + " of rings that exist";
  }
  if (beside > 0) what += ", and " + mib(beside) + " of read caches";
  what += rings.new_rings > 0 || rings.there == 0 ? " is more than " : " are more than ";
  what += room_text + "; ";
  if (fits && *fits < ring_bytes) return Failure(what + set_to("penstock.ring.bytes", *fits));
  return Failure(what + (rings.there > 0 ? "rings that exist keep their size: give the broker more memory"
                                         : "give the broker more memory"));
}

// Rings and read caches together.
std::expected<void, std::string> check_sum(const MemoryPlan& plan, const OrdinaryRings& rings, uint64_t caches,
                                           uint64_t room, const std::string& room_text) {
  if (rings.sum() > room) return too_large_rings(plan, rings, 0, room, room_text);
  if (sum_of(rings.sum(), caches) <= room) return {};
  if (rings.to_make >= caches) return too_large_rings(plan, rings, caches, room, room_text);
  const uint64_t least = uint64_t{1} << 20;  // of the setting
  const uint64_t left = (room - rings.sum()) / 2 / plan.rings.size();
  const std::string what = "penstock.read.cache.bytes: " + std::to_string(plan.rings.size()) + " times " +
                           mib(bytes_of(plan.settings->storage.read_cache_bytes)) + ", and " + mib(rings.sum()) +
                           " of rings, is more than " + room_text + "; ";
  return Failure(what + (left >= least ? set_to("penstock.read.cache.bytes", std::bit_floor(left))
                                       : "give the broker more memory"));
}

}  // namespace

MemoryPlan plan_memory(const Settings& settings, uint64_t lcores, const std::vector<std::string>& folders,
                       const std::vector<dataplane::DeviceSettings>& devices) {
  return {.settings = &settings,
          .lcores = lcores,
          .folders = folders.size(),
          .devices = devices.size(),
          .cards = std::ranges::any_of(devices, [](const auto& d) { return !d.device.starts_with("net_"); }),
          .rings = plan_rings(folders, lcores, bytes_of(settings.storage.ring_bytes))};
}

std::expected<void, std::string> check_memory(const MemoryPlan& plan, const cli::MachineMemory& there) {
  const auto& storage = plan.settings->storage;
  const auto& dataplane = plan.settings->dataplane;
  const struct {
    std::string_view setting;
    uint64_t bytes;
    uint64_t count;
  } all[] = {
      {"penstock.read.cache.bytes", bytes_of(storage.read_cache_bytes), plan.rings.size()},
      {"log.cleaner.dedupe.buffer.size", storage.cleaner_enable ? bytes_of(storage.cleaner_map_bytes) : 0, 1},
      // Of these as much is touched as is in use at once.
      {"penstock.receive.pool.bytes", bytes_of(dataplane.receive_pool_bytes), 1},
      {"penstock.tcp.send.memory.bytes", bytes_of(dataplane.tcp_send_memory_bytes), senders(plan)},
      {"penstock.dpdk.frames", times(bytes_of(dataplane.device_frames), kFrameBytes), plan.devices},
  };
  for (const auto& one : all)
    if (auto done = check_one(one.setting, one.bytes, one.count, there); !done) return done;

  return check_sum(plan, ordinary_rings(plan, there), read_caches(plan), there.most, cli::memory_text(there));
}

std::expected<void, std::string> check_memory_now(const MemoryPlan& plan, const cli::MachineMemory& there) {
  return check_sum(plan, ordinary_rings(plan, there), plan.cards ? read_caches(plan) : 0, there.available,
                   "the " + mib(there.available) + " of memory that this machine can give now");
}

std::string memory_warning(const MemoryPlan& plan, const cli::MachineMemory& there) {
  const auto& storage = plan.settings->storage;
  const auto& dataplane = plan.settings->dataplane;
  const uint64_t send = times(bytes_of(dataplane.tcp_send_memory_bytes), senders(plan));
  const uint64_t maps = storage.cleaner_enable ? times(bytes_of(storage.cleaner_map_bytes), plan.folders) : 0;
  const struct {
    std::string_view what;
    uint64_t bytes;
  } all[] = {
      {"rings", ordinary_rings(plan, there).sum()},
      {"read caches", read_caches(plan)},
      {"indexes", times(bytes_of(storage.index_cache_bytes), plan.rings.size())},
      {"buffers of rings", times(storage::Store::buffer_bytes(), plan.rings.size())},
      {"receive pools", times(bytes_of(dataplane.receive_pool_bytes), plan.lcores)},
      {"send memory", send},
      {"devices' buffers", times(times(bytes_of(dataplane.device_frames), kFrameBytes), plan.devices)},
      {"cleaners' maps", maps},
      {"groups", bytes_of(plan.settings->broker.groups_memory_max_bytes)},
  };
  uint64_t sum = 0;
  std::string parts;
  for (const auto& one : all) {
    sum = sum_of(sum, one.bytes);
    if (one.bytes > 0) parts += (parts.empty() ? "" : ", ") + std::string(one.what) + " " + mib(one.bytes);
  }
  const bool by_machine = there.most <= there.available;
  if (sum <= std::min(there.most, there.available)) return "";
  return "under load this broker may hold " + mib(sum) + " (" + parts + "), more than " +
         (by_machine ? cli::memory_text(there) : "the " + mib(there.available) + " that this machine can give now") +
         ": the kernel would end it then. Choose smaller ones, or fewer lcores";
}

std::expected<void, std::string> look_for_memory(const MemoryPlan& plan, const std::function<bool()>& gives_up) {
  constexpr int kTries = 300;  // of 10 ms, as a port and a lock are waited for
  const cli::Machine machine("");
  if (auto done = check_memory(plan, cli::look_at_memory(machine)); !done) return done;
  auto now = check_memory_now(plan, cli::look_at_memory(machine));
  for (int i = 0; i < kTries && !now && !gives_up(); ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
    now = check_memory_now(plan, cli::look_at_memory(machine));
  }
  if (!now) return now;
  if (const auto warning = memory_warning(plan, cli::look_at_memory(machine)); !warning.empty())
    LOG_WARN("%s", warning.c_str());
  return {};
}

}  // namespace penstock::control
