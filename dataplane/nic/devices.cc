// Devices over DPDK: one EAL, a port a device, a queue an lcore.
#include "dataplane/api/devices.h"

#include <algorithm>
#include <utility>

#include "base/log.h"
#include "dataplane/link/config.h"
#include "dataplane/link/shared_device.h"
#include "dataplane/nic/card_memory.h"
#include "dataplane/nic/dpdk_port.h"
#include "dataplane/nic/eal.h"
#include "dataplane/nic/preflight.h"

namespace penstock::dataplane {
namespace {

using Failure = std::unexpected<std::string>;

DeviceSecrets make_secrets(const DevicesRequest& request) {
  DeviceSecrets secrets;
  request.fill_random(secrets.steering_key);
  request.fill_random(std::as_writable_bytes(std::span(&secrets.tcp, 1)));
  request.fill_random(std::as_writable_bytes(std::span(&secrets.neighbours, 1)));
  return secrets;
}

Failure wrong(const DeviceSettings& settings, const std::string& what) {
  return Failure("device " + settings.device + ": " + what);
}

std::string in_words(Error error) {
  switch (error.code) {
    case Errc::kNoPermission: return "no permission for DPDK: run as root, or see docs/deploy/bare_metal.md";
    case Errc::kExists: return "DPDK was started before in this process";
    case Errc::kNoSpace: return "there is not enough memory for its buffers; lower penstock.dpdk.frames";
    default: return "DPDK refuses it; the log says why";
  }
}

}  // namespace

class Devices::Impl {
 public:
  explicit Impl(const DevicesRequest& request) : request_(request) {}
  ~Impl();

  std::expected<void, std::string> open();
  Buffers close();
  void add_log_memory(std::span<std::byte> memory) { log_memory_.add(memory, cards()); }

  struct One {
    std::unique_ptr<nic::DpdkPort> port;
    std::vector<std::span<std::byte>> send_memory;  // by lcore
    std::unique_ptr<SharedDevice> shared;
  };
  std::vector<One> devices_;
  std::vector<SharedDevice*> all_;

 private:
  std::expected<std::vector<nic::Device>, std::string> parse() const;
  std::expected<void, std::string> open_one(const nic::Device& device, const DeviceSettings& settings);
  std::vector<nic::DpdkPort*> cards() const;

  const DevicesRequest request_;
  nic::PortOptions port_options_;
  nic::LogMemory log_memory_;
  bool started_ = false;
};

std::expected<std::vector<nic::Device>, std::string> Devices::Impl::parse() const {
  std::vector<nic::Device> devices;
  for (const DeviceSettings& settings : request_.devices) {
    auto device = nic::parse_device(settings.device, static_cast<unsigned>(devices.size()));
    if (!device) {
      return wrong(settings,
                   "it is neither a PCI address (0000:03:00.0) nor a virtual device (net_af_packet,iface=...)");
    }
    if (const std::string fault = nic::find_fault(*device); !fault.empty()) return wrong(settings, fault);
    nic::complete_arguments(*device, request_.lcores);
    if (std::ranges::find(devices, device->name, &nic::Device::name) != devices.end()) {
      return wrong(settings, "another device has its name; add a number to one of them");
    }
    devices.push_back(*std::move(device));
  }
  return devices;
}

std::expected<void, std::string> Devices::Impl::open() {
  if (request_.devices.empty()) return {};
  const auto devices = parse();
  if (!devices) return Failure(devices.error());
  port_options_ = {.queues = request_.lcores, .frames_held = static_cast<size_t>(request_.options.device_frames)};
  nic::EalOptions eal{.devices = *devices,
                      .huge_pages = request_.huge_pages ? nic::HugePages::kAuto : nic::HugePages::kOff};
  const auto send_memory = static_cast<size_t>(request_.options.tcp_send_memory_bytes);
  for (const DeviceSettings& settings : request_.devices) {
    nic::PortOptions options = port_options_;
    options.mtu = settings.mtu;
    options.tso = settings.tso;
    eal.memory_bytes += nic::port_memory_bytes(options) + request_.lcores * (send_memory + kMiB);
  }
  if (auto started = nic::start_eal(eal); !started) return wrong(request_.devices.front(), in_words(started.error()));
  started_ = true;
  for (size_t i = 0; i < devices->size(); ++i) {
    if (auto done = open_one((*devices)[i], request_.devices[i]); !done) return done;
  }
  for (const One& one : devices_) all_.push_back(one.shared.get());
  return {};
}

std::expected<void, std::string> Devices::Impl::open_one(const nic::Device& device, const DeviceSettings& settings) {
  auto config = network_config(settings);
  if (!config) return Failure(config.error());
  const DeviceSecrets secrets = make_secrets(request_);
  config->hash_seed = secrets.neighbours;
  nic::PortOptions options = port_options_;
  options.mtu = settings.mtu;
  options.tso = settings.tso;
  options.rss_key = secrets.steering_key;
  auto port = nic::DpdkPort::open(device, options);
  if (!port) return wrong(settings, in_words(port.error()));
  One& one = devices_.emplace_back();
  one.port = *std::move(port);
  std::vector<DeviceQueue> queues;
  for (uint16_t lcore = 0; lcore < request_.lcores; ++lcore) {
    one.send_memory.push_back(nic::allocate_device_memory(static_cast<size_t>(request_.options.tcp_send_memory_bytes)));
    if (one.send_memory.back().empty()) return wrong(settings, in_words({Errc::kNoSpace}));
    queues.push_back(
        {.nic = &one.port->queue(lcore), .receives = one.port->receives(lcore), .send_memory = one.send_memory.back()});
  }
  one.shared = std::make_unique<SharedDevice>(device.name, *config, std::move(queues), secrets);
  LOG_INFO("device %s", one.port->description().c_str());
  return {};
}

Devices::Buffers Devices::Impl::close() {
  Buffers buffers;
  all_.clear();
  for (One& one : devices_) one.port->stop();
  log_memory_.remove_all();
  for (One& one : devices_) {
    one.port->close();
    one.shared.reset();  // what still waited to be handed over goes home
    const nic::PoolUse use = one.port->pool_use();
    buffers.total += use.total;
    buffers.out += use.used;
  }
  return buffers;
}

std::vector<nic::DpdkPort*> Devices::Impl::cards() const {
  std::vector<nic::DpdkPort*> cards;
  for (const One& one : devices_)
    if (one.port->wants_maps()) cards.push_back(one.port.get());
  return cards;
}

Devices::Impl::~Impl() {
  close();
  for (One& one : devices_) {
    for (const auto memory : one.send_memory) nic::free_device_memory(memory);
    one.port.reset();
  }
  if (started_) nic::stop_eal();
}

std::expected<std::unique_ptr<Devices>, std::string> Devices::open(const DevicesRequest& request) {
  auto impl = std::make_unique<Impl>(request);
  if (auto done = impl->open(); !done) return Failure(done.error());
  return std::unique_ptr<Devices>(new Devices(std::move(impl)));
}

Devices::Devices(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Devices::~Devices() = default;
Devices::Buffers Devices::close() { return impl_->close(); }
void Devices::add_log_memory(std::span<std::byte> memory) { impl_->add_log_memory(memory); }
std::span<SharedDevice* const> Devices::all() const { return impl_->all_; }
const std::string& Devices::description(size_t device) const { return impl_->devices_[device].port->description(); }
const std::string& Devices::name(size_t device) const { return impl_->all_[device]->name(); }
const DeviceCounters& Devices::counters(size_t device, uint16_t lcore) const {
  return impl_->all_[device]->counters(lcore);
}

void Devices::enter_lcore() {
  if (impl_->devices_.empty()) return;
  if (!nic::register_thread()) LOG_WARN("DPDK does not know this lcore: it gets no cache of buffers of its own");
}

void Devices::leave_lcore() {
  if (!impl_->devices_.empty()) nic::unregister_thread();
}

}  // namespace penstock::dataplane
