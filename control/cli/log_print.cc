#include "control/cli/log_print.h"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <chrono>
#include <nlohmann/json.hpp>

#include "control/cli/command.h"
#include "control/cli/quantity.h"

namespace penstock::cli {
namespace {

using nlohmann::ordered_json;
using storage::Finding;
using storage::ItemTime;
using storage::LogItem;

// How many bytes of text the valid UTF-8 sequence at its front takes; 0 if there is none.
size_t utf8_bytes(std::string_view text) {
  const auto first = static_cast<unsigned char>(text[0]);
  const size_t count = first < 0x80                    ? 1
                       : first >= 0xc2 && first < 0xe0 ? 2
                       : first >= 0xe0 && first < 0xf0 ? 3
                       : first >= 0xf0 && first < 0xf5 ? 4
                                                       : 0;
  if (count == 0 || count > text.size()) return 0;
  for (size_t i = 1; i < count; ++i)
    if ((static_cast<unsigned char>(text[i]) & 0xc0) != 0x80) return 0;
  const auto second = count > 1 ? static_cast<unsigned char>(text[1]) : 0;
  const bool overlong = (first == 0xe0 && second < 0xa0) || (first == 0xf0 && second < 0x90);
  const bool beyond = (first == 0xed && second >= 0xa0) || (first == 0xf4 && second >= 0x90);
  return overlong || beyond ? 0 : count;
}

bool is_utf8(std::string_view text) {
  while (!text.empty()) {
    const size_t count = utf8_bytes(text);
    if (count == 0) return false;
    text.remove_prefix(count);
  }
  return true;
}

std::string hex(std::string_view bytes) {
  std::string text;
  for (const char c : bytes) text += fmt::format("{:02x}", static_cast<unsigned char>(c));
  return text;
}

void print_line(const std::string& line) { write_output("-", line + "\n"); }
void print_line(const ordered_json& json) {
  print_line(json.dump(-1, ' ', false, ordered_json::error_handler_t::replace));
}

// Bare where nothing can be mistaken, else in quotes.
std::string text_value(const std::string& text) {
  const std::string safe = escaped(text);
  const bool bare = !safe.empty() && safe == text && safe.find_first_of(" =") == std::string::npos;
  return bare ? safe : fmt::format("\"{}\"", safe);
}

std::string text_of(const LogItem::Value& value) {
  struct Visitor {
    std::string operator()(bool is) const { return is ? "yes" : "no"; }
    std::string operator()(int64_t n) const { return fmt::format("{}", n); }
    std::string operator()(uint64_t n) const { return fmt::format("{}", n); }
    std::string operator()(ItemTime time) const { return time_text(time); }
    std::string operator()(const std::string& text) const { return text_value(text); }
  };
  return std::visit(Visitor{}, value);
}

void add_json(ordered_json& json, const LogItem::Field& field) {
  const std::string name(field.name);
  if (const auto* text = std::get_if<std::string>(&field.value)) {
    const bool plain = is_utf8(*text);
    ordered_json value = plain ? *text : hex(*text);
    // A record may have many headers.
    if (name == "header") return json[plain ? "headers" : "headers_hex"].push_back(std::move(value));
    json[plain ? name : name + "_hex"] = std::move(value);
  } else if (const auto* time = std::get_if<ItemTime>(&field.value)) {
    json[name] = time->ms;
  } else {
    std::visit(
        [&](const auto& value) {
          if constexpr (std::is_integral_v<std::decay_t<decltype(value)>>) json[name] = value;
        },
        field.value);
  }
}

}  // namespace

std::string escaped(std::string_view bytes) {
  std::string out;
  while (!bytes.empty()) {
    const size_t count = utf8_bytes(bytes);
    const auto first = static_cast<unsigned char>(bytes[0]);
    if (bytes[0] == '\n') {
      out += "\\n";
    } else if (bytes[0] == '\\' || bytes[0] == '"') {
      out += {'\\', bytes[0]};
    } else if (count == 0 || first < 0x20 || first == 0x7f || (first == 0xc2 && bytes[1] < '\xa0')) {
      // Control characters, those of Latin-1 too, would reach the terminal.
      for (const char c : bytes.substr(0, std::max<size_t>(count, 1)))
        out += fmt::format("\\x{:02x}", static_cast<unsigned char>(c));
    } else {
      out += bytes.substr(0, count);
    }
    bytes.remove_prefix(std::max<size_t>(count, 1));
  }
  return out;
}

std::string time_text(ItemTime time) {
  constexpr int64_t kMsMost = 253'402'300'799'999;  // the end of the year 9999
  if (time.ms == -1) return "-";
  if (time.ms < 0 || time.ms > kMsMost) return fmt::format("{}ms", time.ms);
  const std::chrono::sys_seconds seconds{std::chrono::seconds(time.ms / 1000)};
  return fmt::format("{:%Y-%m-%dT%H:%M:%S}.{:03}Z", fmt::gmtime(std::chrono::system_clock::to_time_t(seconds)),
                     time.ms % 1000);
}

void LogPrinter::item(const LogItem& item) const {
  std::string name;
  for (const LogItem::Field& field : item.fields)
    if (const auto* log = std::get_if<uint64_t>(&field.value); log != nullptr && field.name == "log")
      name = names_.name_of(storage::LogId{*log});
  if (json_) {
    ordered_json json{{"kind", item.kind}};
    if (!name.empty()) json["partition"] = name;
    for (const LogItem::Field& field : item.fields) add_json(json, field);
    return print_line(json);
  }
  std::string line(static_cast<size_t>(2 * item.depth), ' ');
  line += item.kind;
  if (!name.empty()) line += " " + name;
  for (const LogItem::Field& field : item.fields) line += fmt::format(" {}={}", field.name, text_of(field.value));
  print_line(line);
}

void LogPrinter::finding(const Finding& finding) const {
  const std::string name = finding.log ? names_.name_of(*finding.log) : std::string{};
  if (!json_) {
    print_line(fmt::format("{:<6} {}: {}{}: {}. To do: {}.", to_string(finding.severity), escaped(finding.file),
                           finding.place, name.empty() ? "" : " of " + name, finding.means, finding.todo));
    return;
  }
  ordered_json json{{"kind", "finding"},
                    {"severity", to_string(finding.severity)},
                    {"finding", to_string(finding.kind)},
                    {"file", finding.file},
                    {"place", finding.place},
                    {"means", finding.means},
                    {"todo", finding.todo}};
  if (finding.log) json["log"] = finding.log->value();
  if (!name.empty()) json["partition"] = name;
  if (finding.lost_from) json["lost_from"] = finding.lost_from->value();
  if (finding.lost_to) json["lost_to"] = finding.lost_to->value();
  print_line(json);
}

void LogPrinter::step(const storage::RepairStep& step, bool dry_run) const {
  const char* outcome = step.done ? "done" : !step.why.empty() ? "refused" : "would";
  if (json_) {
    ordered_json json{{"kind", "step"}, {"outcome", outcome}, {"file", step.file}, {"what", step.what}};
    if (!step.why.empty()) json["why"] = step.why;
    return print_line(json);
  }
  print_line(fmt::format("{:<8} {}: {}{}", outcome, escaped(step.file), step.what,
                         step.why.empty() ? (dry_run ? "" : ".") : ": " + step.why));
}

void LogPrinter::verified(const std::string& folder, const storage::VerifyTotals& totals) const {
  if (json_)
    return print_line(ordered_json{{"kind", "summary"},
                                   {"fine", totals.fine()},
                                   {"damage", totals.damage},
                                   {"worn", totals.worn},
                                   {"notes", totals.notes},
                                   {"rings", totals.rings},
                                   {"logs", totals.logs},
                                   {"segments", totals.segments},
                                   {"batches", totals.batches},
                                   {"bytes", totals.bytes}});
  print_line(fmt::format("{}: {} ring(s), {} log(s), {} segment(s), {} batches in {} bytes of them: {}",
                         escaped(folder), totals.rings, totals.logs, totals.segments, with_commas(totals.batches),
                         with_commas(totals.bytes),
                         totals.fine() ? "fine" : fmt::format("{} damaged, {} worn", totals.damage, totals.worn)));
}

void LogPrinter::repaired(const storage::RepairTotals& totals, bool dry_run) const {
  if (json_)
    return print_line(ordered_json{{"kind", "summary"},
                                   {"dry_run", dry_run},
                                   {"done", totals.done},
                                   {"planned", totals.planned},
                                   {"refused", totals.refused}});
  if (totals.done + totals.planned + totals.refused == 0)
    return print_line(std::string("nothing to repair of what was asked for"));
  print_line(dry_run ? fmt::format("dry run: {} step(s) would be done, {} refused; --yes does them", totals.planned,
                                   totals.refused)
                     : fmt::format("{} step(s) done, {} refused", totals.done, totals.refused));
}

}  // namespace penstock::cli
