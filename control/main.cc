// penstock: the command line. Knows every layer, and wires nothing that serve.cc does not show.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <exception>
#include <optional>
#include <string>
#include <vector>

#include "control/cli/cli.h"
#include "control/serve.h"

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

CLI::App& add_serve(CLI::App& app, ServeFlags& flags) {
  CLI::App& serve = *app.add_subcommand("serve", "Run a broker in the foreground.");
  // The last one counts, so that a script can give its own and pass on the user's.
  serve.add_option("--config", flags.config, "TOML file of settings; docs/CONFIG.md lists them")
      ->type_name("FILE")
      ->take_last();
  serve.add_option("--set", flags.sets, "One setting; may be given many times")
      ->type_name("NAME=VALUE")
      ->allow_extra_args(false);
  serve.add_option("--data", flags.data, "Data folder (log.dirs); one a drive: may be given many times")
      ->type_name("DIR")
      ->allow_extra_args(false);
  serve.add_option("--listen", flags.listen, "Address for Kafka clients (listeners)")
      ->type_name("HOST:PORT")
      ->take_last();
  serve.add_option("--http", flags.http, "Address of /metrics, /healthz and /readyz")
      ->type_name("HOST:PORT")
      ->take_last();
  serve.add_flag("--no-http", flags.no_http, "No HTTP port");
  serve
      .add_option("--accept-loss-at", flags.accept_loss_at,
                  "Start although acknowledged data behind this place of a damaged ring is lost; recovery names it")
      ->type_name("LSN");
  return serve;
}

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
    settings.broker.log_dirs.clear();
    for (const std::string& folder : flags.data)
      settings.broker.log_dirs += (settings.broker.log_dirs.empty() ? "" : ",") + folder;
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

int run(int argc, char** argv) {
  CLI::App app("A Kafka-compatible event-streaming appliance.", "penstock");
  app.set_version_flag("--version", "penstock " PENSTOCK_VERSION);
  ServeFlags flags;
  CLI::App& serve = add_serve(app, flags);
  cli::add_cli_commands(app);
  app.require_subcommand(0, 1);
  try {
    app.parse(argc, argv);
    if (serve.parsed()) return run_serve(flags);
    if (app.get_subcommands().empty()) std::fputs(app.help().c_str(), stdout);
    return 0;
  } catch (const CLI::ParseError& end) {
    return app.exit(end);
  }
}

}  // namespace
}  // namespace penstock

int main(int argc, char** argv) {
  try {
    return penstock::run(argc, argv);
  } catch (const std::exception& problem) {
    std::fprintf(stderr, "penstock: %s\n", problem.what());
    return 1;
  }
}
