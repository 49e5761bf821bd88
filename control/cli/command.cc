#include "control/cli/command.h"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>

#include "control/cli/command_line.h"
#include "control/cli/error.h"
#include "control/cli/json.h"
#include "control/cli/visible.h"

namespace penstock::cli {
namespace {

template <class Value, class Parse>
Option& add_parsed(Command& command, const std::string& name, Value& value, const std::string& help, Parse parse) {
  return command.option(
      name, Option::Kind::kValue, [&value, parse](const std::string& text) { value = parse(text); }, help);
}

}  // namespace

Option& add_bytes_option(Command& command, const std::string& name, uint64_t& value, const std::string& help) {
  return add_parsed(command, name, value, help, parse_bytes).value("SIZE");
}

Option& add_duration_option(Command& command, const std::string& name, Nanos& value, const std::string& help) {
  return add_parsed(command, name, value, help, parse_duration).value("TIME");
}

Option& add_rate_option(Command& command, const std::string& name, Rate& value, const std::string& help) {
  return add_parsed(command, name, value, help, parse_rate).value("RATE");
}

void add_broker_options(Command& command, BrokerOptions& options) {
  add_parsed(command, "--bootstrap", options.bootstrap, "the broker to ask first (default 127.0.0.1:9092)",
             parse_endpoint)
      .value("HOST:PORT");
  add_duration_option(command, "--timeout", options.timeout, "how long to wait for an answer (default 10s)");
}

void add_nic_options(Command& command, NicOptions& options, const OpenNic& open) {
  if (!open) return;
  options.open = open;
  command
      .option("--nic", options.device,
              "a network device to drive past the kernel, named as a listener names it (DEVICE,address=...)")
      .value("DEVICE");
  command.flag("--no-huge-pages", options.no_huge_pages, "ordinary memory for the device, whatever there is");
}

void write_output(const std::string& path, const std::string& text) {
  FILE* file = path == "-" ? stdout : std::fopen(path.c_str(), "w");
  if (file == nullptr) throw CliError(kExitFailed, fmt::format("cannot write {}: {}", path, std::strerror(errno)));
  bool good = std::fwrite(text.data(), 1, text.size(), file) == text.size();
  good = (file == stdout ? std::fflush(file) : std::fclose(file)) == 0 && good;
  if (!good) throw CliError(kExitFailed, fmt::format("cannot write {}: {}", path, std::strerror(errno)));
}

void print(const std::string& text) { write_output("-", text); }
void print(const Json& value) { print(value.dump(2) + "\n"); }

std::string table_text(const std::vector<std::vector<std::string>>& cells) {
  auto rows = cells;
  for (auto& row : rows) {
    for (std::string& cell : row) cell = visible(cell);
  }
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
