#include "control/cli/command.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <stdexcept>
#include <utility>

#include "control/cli/error.h"

namespace penstock::cli {
namespace {

// parse throws std::invalid_argument with a line for the user.
template <class Value, class Parse>
CLI::Option* add_parsed(CLI::App& command, const std::string& name, Value& value, const std::string& help,
                        Parse parse) {
  return command.add_option_function<std::string>(
      name,
      [&value, parse, name](const std::string& text) {
        try {
          value = parse(text);
        } catch (const std::invalid_argument& error) {
          throw CLI::ValidationError(name, error.what());
        }
      },
      help);
}

}  // namespace

CLI::Option* add_bytes_option(CLI::App& command, const std::string& name, uint64_t& value, const std::string& help) {
  return add_parsed(command, name, value, help, parse_bytes)->type_name("SIZE");
}

CLI::Option* add_duration_option(CLI::App& command, const std::string& name, Nanos& value, const std::string& help) {
  return add_parsed(command, name, value, help, parse_duration)->type_name("TIME");
}

CLI::Option* add_rate_option(CLI::App& command, const std::string& name, Rate& value, const std::string& help) {
  return add_parsed(command, name, value, help, parse_rate)->type_name("RATE");
}

void add_broker_options(CLI::App& command, BrokerOptions& options) {
  add_parsed(command, "--bootstrap", options.bootstrap, "the broker to ask first (default 127.0.0.1:9092)",
             parse_endpoint)
      ->type_name("HOST:PORT");
  add_duration_option(command, "--timeout", options.timeout, "how long to wait for an answer (default 10s)");
}

void on_run(CLI::App& command, std::function<void()> action) {
  command.callback([action = std::move(action)] {
    try {
      action();
    } catch (const CliError& error) {
      fmt::print(stderr, "penstock: {}\n", error.what());
      throw CLI::RuntimeError(error.exit_code());
    } catch (const CLI::Error&) {
      throw;
    } catch (const std::exception& error) {
      fmt::print(stderr, "penstock: {}\n", error.what());
      throw CLI::RuntimeError(kExitFailed);
    }
  });
}

void write_output(const std::string& path, const std::string& text) {
  FILE* file = path == "-" ? stdout : std::fopen(path.c_str(), "w");
  if (file == nullptr) throw CliError(kExitFailed, fmt::format("cannot write {}: {}", path, std::strerror(errno)));
  bool good = std::fwrite(text.data(), 1, text.size(), file) == text.size();
  good = (file == stdout ? std::fflush(file) : std::fclose(file)) == 0 && good;
  if (!good) throw CliError(kExitFailed, fmt::format("cannot write {}: {}", path, std::strerror(errno)));
}

std::string table_text(const std::vector<std::vector<std::string>>& rows) {
  std::vector<size_t> widths;
  for (const auto& row : rows) {
    widths.resize(std::max(widths.size(), row.size()));
    for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
  }
  std::string out;
  for (const auto& row : rows) {
    std::string line;
    for (size_t i = 0; i < row.size(); ++i) line += fmt::format("{:<{}}  ", row[i], widths[i]);
    out += line.substr(0, line.find_last_not_of(' ') + 1) + "\n";
  }
  return out;
}

}  // namespace penstock::cli
