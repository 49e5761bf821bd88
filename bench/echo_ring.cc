// echo_ring: our TCP against itself over net_ring, on one core: two ports of DPDK that pass each other's mbufs, each
// with a stack, turned one after the other. No kernel, no second core to wait for: what both sides cost together.
//
//   echo_ring ask [--connections 64] [--message 128] [--seconds 2]     requests that are answered alike
//   echo_ring stream [--connections 1] [--seconds 2]                   bytes one way, as many as go
//   ... [--mtu 1500]         of the wire: 9000 are jumbo frames, 64000 about what the kernel's loopback has
//   ... [--checksums 1]      0: none, as on the kernel's loopback
//
// The last line is JSON.
#include <fmt/format.h>
#include <time.h>

#include <array>
#include <charconv>
#include <cstdlib>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/system_clock.h"
#include "dataplane/link/link.h"
#include "dataplane/net/address.h"
#include "dataplane/nic/dpdk_port.h"
#include "dataplane/nic/eal.h"

namespace {

using namespace penstock;
using namespace penstock::dataplane;

constexpr uint16_t kPort = 7;
constexpr size_t kChunk = 64 * kKiB;
constexpr size_t kFramesHeld = 4096;
constexpr size_t kMtuMax = 64'000;  // an mbuf of DPDK ends at 64 KiB
constexpr Nanos kHousekeeping = 100 * kMillisecond;
constexpr Nanos kPatience = 5 * kSecond;
constexpr int kLastTurns = 1000;  // what is still on the wire goes home

[[noreturn]] void die(const std::string& what) {
  fmt::print(stderr, "echo_ring: {}\n", what);
  std::exit(1);
}

struct Options {
  bool asks = true;
  size_t connections = 1;
  size_t message = 128;
  size_t mtu = 1500;
  bool checksums = true;
  Nanos duration = 2 * kSecond;
};

// One end of the wire: a port, its stack, and the memory that it sends from.
class End {
 public:
  End(std::unique_ptr<nic::DpdkPort> port, const std::string& address) : port_(std::move(port)) {
    const DataplaneOptions options;
    memory_ = nic::allocate_device_memory(static_cast<size_t>(options.tcp_send_memory_bytes));
    if (memory_.empty()) die("no memory to send from");
    net::NetworkConfig config;
    config.v4 = net::parse_interface_address(address);
    DeviceSecrets secrets;
    secrets.tcp = {1, 2};
    device_.emplace(address, config, std::vector<DeviceQueue>{{.nic = &port_->queue(0), .send_memory = memory_}},
                    secrets);
    link_.emplace(*device_, uint16_t{0}, nullptr);
  }
  void start(bool listens, Nanos now) {
    std::vector<Link::Port> ports;
    if (listens) ports.push_back({.port = kPort, .listener = 0});
    link_->start({}, ports, static_cast<uint64_t>(now), now);
  }
  // Behind both ends' close().
  void free() {
    device_.reset();
    port_.reset();
    nic::free_device_memory(memory_);
  }
  void close() {
    link_->stop();
    port_->close();
  }
  Link& link() { return *link_; }
  net::IpAddress address() const { return device_->config().v4->address; }

 private:
  std::unique_ptr<nic::DpdkPort> port_;
  std::span<std::byte> memory_;
  std::optional<SharedDevice> device_;
  std::optional<Link> link_;
};

class Run {
 public:
  Run(const Options& options, std::pair<std::unique_ptr<nic::DpdkPort>, std::unique_ptr<nic::DpdkPort>> ports)
      : options_(options),
        here_(std::move(ports.first), "10.0.0.1/24"),
        there_(std::move(ports.second), "10.0.0.2/24") {
    here_.start(false, clock_.monotonic());
    there_.start(true, clock_.monotonic());
  }

  void run() {
    for (size_t i = 0; i < options_.connections; ++i) {
      if (here_.link().stack().connect({.local = here_.address(), .remote = there_.address(), .remote_port = kPort}) ==
          nullptr) {
        die("cannot connect");
      }
    }
    here_.link().finish(clock_.monotonic());
    for (const Nanos end = clock_.monotonic() + kPatience; open_.size() < options_.connections;) {
      if (clock_.monotonic() > end) die("no connection");
      turn();
    }
    answered_ = taken_ = 0;
    const Nanos start = clock_.monotonic();
    const double cpu_before = cpu_seconds();
    while (clock_.monotonic() - start < options_.duration) {
      for (int i = 0; i < 64; ++i) turn();
    }
    const double seconds = static_cast<double>(clock_.monotonic() - start) / kSecond;
    fmt::print("{{\"requests\": {}, \"bytes\": {}, \"seconds\": {:.6f}, \"cpu_seconds\": {:.6f}}}\n",
               options_.asks ? answered_ / options_.message : 0, taken_, seconds, cpu_seconds() - cpu_before);
    for (tcp::TcpStream* stream : open_) stream->abort();
    open_.clear();
    for (int i = 0; i < kLastTurns; ++i) turn();
  }
  ~Run() {
    here_.close();
    there_.close();
    here_.free();
    there_.free();
  }
  Run(const Run&) = delete;
  Run& operator=(const Run&) = delete;

 private:
  static double cpu_seconds() {
    timespec used{};
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &used);
    return static_cast<double>(used.tv_sec) + static_cast<double>(used.tv_nsec) / 1e9;
  }

  void turn() {
    const Nanos now = clock_.monotonic();
    client_turn(now);
    server_turn(now);
    if (now - house_kept_at_ < kHousekeeping) return;
    house_kept_at_ = now;
    here_.link().keep_house(now);
    there_.link().keep_house(now);
  }

  void client_turn(Nanos now) {
    Link& link = here_.link();
    link.receive(now);
    while (const auto event = link.next()) {
      if (event->kind == tcp::EventKind::kBroken) die("a connection broke");
      if (event->kind == tcp::EventKind::kConnected) {
        open_.push_back(event->stream);
        if (options_.asks) ask(*event->stream);
      }
      if (event->kind != tcp::EventKind::kReceived) continue;
      const size_t n = event->stream->received().size();
      event->stream->consume(n);
      answered_ += n;
      if (options_.asks) ask(*event->stream);  // answers come whole: they are small, and alone on their connection
    }
    if (!options_.asks) {
      const std::span<const std::byte> piece = chunk_;
      for (tcp::TcpStream* stream : open_) stream->send(std::span(&piece, 1));
    }
    link.finish(now);
  }

  void ask(tcp::TcpStream& stream) {
    const auto piece = std::span<const std::byte>(chunk_).first(options_.message);
    stream.send(std::span(&piece, 1));
  }

  void server_turn(Nanos now) {
    Link& link = there_.link();
    link.receive(now);
    while (const auto event = link.next()) {
      if (event->kind == tcp::EventKind::kEnded || event->kind == tcp::EventKind::kBroken) event->stream->close();
      if (event->kind != tcp::EventKind::kReceived) continue;
      BufferChain& chain = event->stream->received();
      const size_t n = chain.size();
      taken_ += n;
      if (options_.asks) {
        for (size_t i = 0; i < chain.buffer_count(); ++i) {
          const auto piece = chain.piece(i);
          event->stream->send(std::span(&piece, 1));
        }
      }
      event->stream->consume(n);
    }
    link.finish(now);
  }

  SystemClock clock_;
  const Options options_;
  const std::vector<std::byte> chunk_ = std::vector<std::byte>(kChunk);
  End here_;
  End there_;
  std::vector<tcp::TcpStream*> open_;
  uint64_t answered_ = 0;
  uint64_t taken_ = 0;
  Nanos house_kept_at_ = 0;
};

uint64_t number(std::string_view text) {
  uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size()) die("no number: " + std::string(text));
  return value;
}

Options parse(std::span<char*> words) {
  const std::string_view role = words.size() > 1 ? words[1] : "";
  if (role != "ask" && role != "stream") die("echo_ring ask|stream ...: its source says more");
  Options options{.asks = role == "ask"};
  for (size_t i = 2; i + 1 < words.size(); i += 2) {
    const std::string_view name = words[i];
    const uint64_t value = number(words[i + 1]);
    if (value == 0 && name != "--checksums") die(std::string(name) + ": none");
    if (name == "--connections") {
      options.connections = value;
    } else if (name == "--message" && value <= 1024) {
      options.message = value;
    } else if (name == "--mtu" && value >= 1280 && value <= kMtuMax) {
      options.mtu = value;
    } else if (name == "--checksums" && value <= 1) {
      options.checksums = value == 1;
    } else if (name == "--seconds") {
      options.duration = static_cast<Nanos>(value) * kSecond;
    } else {
      die(std::string(name) + ": unknown, or too large");
    }
  }
  return options;
}

}  // namespace

int main(int argc, char** argv) {
  const Options options = parse({argv, static_cast<size_t>(argc)});
  const nic::PortOptions port_options{.mtu = options.mtu, .frames_held = kFramesHeld, .checksums = options.checksums};
  const DataplaneOptions defaults;
  const auto memory =
      2 * (nic::port_memory_bytes(port_options) + static_cast<uint64_t>(defaults.tcp_send_memory_bytes)) + 16 * kMiB;
  const bool started =
      nic::start_eal({.devices = {*nic::parse_device("net_null", 0)}, .memory_bytes = memory}).has_value();
  if (!started || !nic::register_thread()) die("DPDK does not start");
  auto pair = nic::DpdkPort::open_pair("wire", port_options);
  if (!pair) die("no pair of ports");
  Run(options, *std::move(pair)).run();
  nic::unregister_thread();
  nic::stop_eal();
}
