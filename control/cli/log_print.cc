#include "control/cli/log_print.h"

#include <fmt/format.h>

#include <ctime>

#include "control/cli/command.h"
#include "control/cli/json.h"
#include "control/cli/quantity.h"
#include "control/cli/text.h"

namespace penstock::cli {
namespace {

using storage::Finding;
using storage::ItemTime;
using storage::LogItem;

void print_line(const std::string& line) { write_output("-", line + "\n"); }
void print_line(const Json& json) { print_line(json.dump()); }

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

void add_json(Json& json, const LogItem::Field& field) {
  const std::string name(field.name);
  if (const auto* text = std::get_if<std::string>(&field.value)) {
    const bool plain = is_utf8(*text);
    std::string value = plain ? *text : hex(*text);
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

std::string time_text(ItemTime time) {
  constexpr int64_t kMsMost = 253'402'300'799'999;  // the end of the year 9999
  if (time.ms == -1) return "-";
  if (time.ms < 0 || time.ms > kMsMost) return fmt::format("{}ms", time.ms);
  const time_t seconds = time.ms / 1000;
  tm parts{};
  gmtime_r(&seconds, &parts);
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z", parts.tm_year + 1900, parts.tm_mon + 1,
                     parts.tm_mday, parts.tm_hour, parts.tm_min, parts.tm_sec, time.ms % 1000);
}

void LogPrinter::item(const LogItem& item) const {
  std::string name;
  for (const LogItem::Field& field : item.fields)
    if (const auto* log = std::get_if<uint64_t>(&field.value); log != nullptr && field.name == "log")
      name = names_.name_of(storage::LogId{*log});
  if (json_) {
    Json json{{"kind", item.kind}};
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
  Json json{{"kind", "finding"},
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
    Json json{{"kind", "step"}, {"outcome", outcome}, {"file", step.file}, {"what", step.what}};
    if (!step.why.empty()) json["why"] = step.why;
    return print_line(json);
  }
  print_line(fmt::format("{:<8} {}: {}{}", outcome, escaped(step.file), step.what,
                         step.why.empty() ? (dry_run ? "" : ".") : ": " + step.why));
}

void LogPrinter::verified(const std::string& folder, const storage::VerifyTotals& totals) const {
  if (json_)
    return print_line(Json{{"kind", "summary"},
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
    return print_line(Json{{"kind", "summary"},
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
