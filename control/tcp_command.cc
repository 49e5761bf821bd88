#include "control/tcp_command.h"

#include <array>
#include <cstdio>
#include <iterator>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>

#include "base/system_clock.h"
#include "control/cli/command_line.h"
#include "control/device_flags.h"
#include "control/listeners.h"
#include "control/log_sink.h"
#include "control/signals.h"
#include "dataplane/api/device_counters.h"
#include "dataplane/api/devices.h"
#include "dataplane/api/station.h"

namespace penstock::control {
namespace {

using dataplane::StationRequest;

struct TcpFlags {
  std::string device;
  std::string connect;
  uint64_t seconds = 5;
  bool no_huge_pages = false;
  StationRequest request;
};

[[noreturn]] void refuse(const std::string& why) {
  std::fprintf(stderr, "penstock: %s\n", why.c_str());
  throw cli::Exit{1};
}

using Counted = std::array<uint64_t, std::size(dataplane::kDeviceMetrics)>;

// One line of JSON: what the run did, what is not home behind it, and every counter of the device by its name.
void print(const dataplane::StationReport& report, const Counted& counted, const dataplane::Devices::Buffers& buffers) {
  const auto put = [](std::string_view name, uint64_t value) {
    std::printf("\"%.*s\": %llu, ", static_cast<int>(name.size()), name.data(), static_cast<unsigned long long>(value));
  };
  const auto put_us = [&](const char* name, double percent) {
    std::printf("\"%s\": %.1f, ", name, static_cast<double>(report.round_trips.percentile(percent)) / 1e3);
  };
  std::printf("{");
  put("connections", report.connections);
  put("closed", report.closed);
  put("broken", report.broken);
  put("received", report.received);
  put("sent", report.sent);
  put("wrong", report.wrong);
  put("requests", report.round_trips.count());
  put_us("p50_us", 50);
  put_us("p99_us", 99);
  put_us("p999_us", 99.9);
  put("connections_left", report.connections_left);
  put("send_memory_left", report.send_memory_left);
  put("receive_memory_left", report.receive_memory_left);
  put("mbufs", buffers.total);
  put("mbufs_left", buffers.out);
  for (size_t i = 0; i < counted.size(); ++i) put(dataplane::kDeviceMetrics[i].name, counted[i]);
  std::printf("\"seconds\": %.6f}\n", static_cast<double>(report.took) / 1e9);
}

void run(TcpFlags& flags) {
  set_up_log("warn");
  static Doorbell doorbell;  // a signal may come until the process has ended
  handle_stop_signals(doorbell);
  const auto listener = parse_device_flag("--device", flags.device);
  if (!listener) refuse(listener.error());
  flags.request.port = listener->bind.port;
  if (!flags.connect.empty()) {
    const auto peer = parse_host_port(flags.connect);
    if (!peer) refuse("--connect: " + peer.error());
    flags.request.peer = peer->host;
    flags.request.port = peer->port;
  }
  flags.request.duration = static_cast<Nanos>(flags.seconds) * kSecond;
  auto devices = open_device(listener->device_settings, {}, !flags.no_huge_pages);
  if (!devices) refuse(devices.error());
  (*devices)->enter_lcore();
  SystemClock clock;
  const auto ready = [&] {
    std::printf("ready %s\n", (*devices)->description(0).c_str());
    std::fflush(stdout);
  };
  const auto report = dataplane::run_station(*(*devices)->all()[0], {}, flags.request, clock, stop_was_asked, ready);
  (*devices)->leave_lcore();
  if (!report) refuse(report.error());
  Counted counted;
  for (size_t i = 0; i < counted.size(); ++i) counted[i] = dataplane::device_metric((*devices)->counters(0, 0), i);
  print(*report, counted, (*devices)->close());
  devices->reset();
  if (report->wrong > 0) throw cli::Exit{1};
}

cli::Command& add(cli::Command& tcp, TcpFlags& flags, const char* name, StationRequest::Role role,
                  const char* summary) {
  cli::Command& command = tcp.command(name, summary);
  command
      .option("--device", flags.device,
              "DPDK's name of it, and what a listener takes: address=, port=, vlan=, mtu=, tso=")
      .value("DEVICE")
      .required();
  command.flag("--no-huge-pages", flags.no_huge_pages, "Ordinary memory, whatever there is");
  command.action([&flags, role] {
    flags.request.role = role;
    run(flags);
  });
  return command;
}

}  // namespace

void add_tcp_command(cli::Command& root) {
  static TcpFlags flags;  // outlives the command line
  using Role = StationRequest::Role;
  cli::Command& tcp = root.command("tcp", "Our TCP over a DPDK device, without a broker: to measure it, or to try it.");
  tcp.describe(
      "Each command prints a line that begins with ready once it polls, and at its end, or when it is told to stop, "
      "one "
      "line of JSON with what it counted. For example, in the two namespaces of scripts/netlab:\n\n"
      "  penstock tcp echo --device net_af_packet,iface=wire0,address=10.77.0.2/24,port=7");
  for (const auto& [name, role, summary] :
       {std::tuple("echo", Role::kEcho, "Send back what each client sends."),
        std::tuple("sink", Role::kSink, "Read what clients send, and forget it."),
        std::tuple("source", Role::kSource, "Send each client so many bytes, and close.")}) {
    cli::Command& command = add(tcp, flags, name, role, summary);
    command.option("--connections", flags.request.closed_max, "End when so many have come and gone; 0: never");
    if (role == Role::kSource) command.option("--bytes", flags.request.bytes, "How many").required();
  }
  for (const auto& [name, role, summary] :
       {std::tuple("stream", Role::kStream, "Send bytes to an echo, and check what comes back."),
        std::tuple("ask", Role::kAsk, "Send small messages to an echo, one after the other, and measure.")}) {
    cli::Command& command = add(tcp, flags, name, role, summary);
    command.option("--connect", flags.connect, "Where the echo is").value("ADDRESS:PORT").required();
    command.option("--connections", flags.request.connections, "Connections at once").between(1, 10'000);
    if (role == Role::kStream) {
      command.option("--bytes", flags.request.bytes, "How many on each connection").required();
    } else {
      command.option("--message", flags.request.message, "Bytes of a message").between(1, 1 << 20);
      command.option("--seconds", flags.seconds, "How long").between(1, 86'400);
    }
  }
}

}  // namespace penstock::control
