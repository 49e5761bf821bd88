// penstock: the command line. Knows every layer, and wires nothing that serve.cc does not show.
#include <cstdio>
#include <optional>
#include <string>
#include <vector>

#include "control/cli/cli.h"
#include "control/cli/command_line.h"
#include "control/device_transport.h"
#include "control/serve.h"
#include "control/tcp_command.h"

namespace penstock {
namespace {

struct ServeFlags {
  std::string config;
  std::vector<std::string> sets;
  std::vector<std::string> data;
  std::string listen;
  std::string http;
  bool no_http = false;
  std::optional<uint64_t> accept_loss_at;
};

// The first setting that is wrong, in words.
std::expected<control::Settings, std::string> gather_settings(const ServeFlags& flags) {
  control::Settings settings;
  if (!flags.config.empty()) {
    if (auto done = read_config_file(settings, flags.config); !done) return std::unexpected(done.error());
  }
  for (const std::string& assignment : flags.sets) {
    if (auto done = set_option(settings, assignment); !done) return std::unexpected("--set " + done.error());
  }
  if (!flags.data.empty()) {
    if (auto done = set_data_folders(settings, flags.data); !done) return std::unexpected(done.error());
  }
  if (!flags.listen.empty()) settings.broker.listeners = flags.listen;
  if (!flags.http.empty()) settings.broker.http_listener = flags.http;
  if (flags.no_http) settings.broker.http_listener.clear();
  return settings;
}

int run_serve(const ServeFlags& flags) {
  auto settings = gather_settings(flags);
  if (!settings) {
    std::fprintf(stderr, "penstock: %s\n", settings.error().c_str());
    return 1;
  }
  return control::serve({.settings = *std::move(settings), .accept_loss_at = flags.accept_loss_at});
}

void add_serve(cli::Command& root, ServeFlags& flags) {
  cli::Command& serve = root.command("serve", "Run a broker in the foreground.");
  // The last one counts, so that a script can give its own and pass on the user's.
  serve.option("--config", flags.config, "TOML file of settings; docs/CONFIG.md lists them")
      .value("FILE")
      .complete(cli::Completes::kFiles)
      .last_counts();
  serve.option("--set", flags.sets, "One setting; may be given many times").value("NAME=VALUE");
  serve.option("--data", flags.data, "Data folder (log.dirs); one a drive: may be given many times")
      .value("DIR")
      .complete(cli::Completes::kFolders);
  serve
      .option("--listen", flags.listen,
              "Address for Kafka clients (listeners), or dpdk:DEVICE,address=...; more than one, each as "
              "NAME://..., are parted by commas, and the last --listen counts")
      .value("HOST:PORT")
      .last_counts();
  serve.option("--http", flags.http, "Address of /metrics, /healthz and /readyz").value("HOST:PORT").last_counts();
  serve.flag("--no-http", flags.no_http, "No HTTP port");
  serve
      .option("--accept-loss-at", flags.accept_loss_at,
              "Start although acknowledged data behind this place of a damaged ring is lost; recovery names it")
      .value("LSN");
  serve.action([&flags] {
    if (const int code = run_serve(flags); code != 0) throw cli::Exit{code};
  });
}

}  // namespace
}  // namespace penstock

int main(int argc, char** argv) {
  using namespace penstock;
  cli::Command root("penstock", "A Kafka-compatible event-streaming appliance.");
  root.command_optional();
  ServeFlags flags;
  add_serve(root, flags);
  control::add_tcp_command(root);
  cli::add_cli_commands(root, control::open_device_transport);
  return cli::run_command_line(root, "penstock " PENSTOCK_VERSION, {argv + 1, argv + argc});
}
