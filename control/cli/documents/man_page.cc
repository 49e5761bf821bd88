#include "control/cli/documents/man_page.h"

#include <fmt/format.h>

#include <algorithm>
#include <string_view>
#include <utility>

#include "control/cli/documents/walk.h"

namespace penstock::cli {
namespace {

// Text that no macro is made of: hyphens that can be copied, backslashes as they are, no dot or quote at a line's
// begin.
std::string roff(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if ((c == '.' || c == '\'') && (out.empty() || out.back() == '\n')) out += "\\&";
    if (c == '-') {
      out += "\\-";
    } else if (c == '\\') {
      out += "\\e";
    } else {
      out += c;
    }
  }
  return out;
}

// Paragraphs, and lines that begin with two spaces as they are (Command::describe).
std::string paragraphs(std::string_view text) {
  std::string out = ".PP\n";
  bool verbatim = false;
  bool apart = false;  // an empty line came before
  while (!text.empty()) {
    const size_t end = std::min(text.find('\n'), text.size());
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (line.empty()) {
      apart = true;
      continue;
    }
    const bool as_is = line.starts_with("  ");
    if (verbatim && !as_is) out += ".fi\n";
    if (std::exchange(apart, false)) out += ".PP\n";
    if (as_is && !verbatim) out += ".nf\n";
    verbatim = as_is;
    out += roff(line) + "\n";
  }
  return out + (verbatim ? ".fi\n" : "");
}

std::string value_text(const Option& option) {
  if (option.kind == Option::Kind::kFlag) return "";
  if (option.choices.empty()) return option.value_name;
  std::string out;
  for (const std::string& choice : option.choices) out += (out.empty() ? "" : "|") + choice;
  return out;
}

std::string options_of(const Command& command) {
  std::string out;
  for (const Option& option : command.options()) {
    std::string names;
    for (const std::string& spelling : option.spellings())
      names += fmt::format("{}\\fB{}\\fR", names.empty() ? "" : ", ", roff(spelling));
    const std::string value = option.positional() ? std::string() : value_text(option);
    out += fmt::format(".TP\n{}{}{}\n{}{}\n", names, value.empty() ? "" : " ",
                       value.empty() ? std::string() : fmt::format("\\fI{}\\fR", roff(value)), roff(option.help),
                       option.is_required && !option.positional() ? "; required" : "");
  }
  return out;
}

std::string usage_of(const Command& command, const std::string& path) {
  std::string out = fmt::format("\\fB{}\\fR", roff(path));
  bool options = false;
  for (const Option& option : command.options()) options = options || !option.positional();
  if (options) out += " [\\fIoptions\\fR]";
  if (!command.commands().empty()) out += command.command_needed() ? " \\fIcommand\\fR" : " [\\fIcommand\\fR]";
  for (const Option& option : command.options()) {
    if (!option.positional()) continue;
    const char* const more = option.kind == Option::Kind::kList ? "..." : "";
    const std::string named = fmt::format("\\fI{}\\fR{}", roff(option.names), more);
    out += option.is_required ? " " + named : " [" + named + "]";
  }
  return out;
}

constexpr std::string_view kExitStatus = R"(.SH EXIT STATUS
.TP
0
done
.TP
1
the broker refused, the run failed, damage was found
.TP
2
the broker cannot be reached or did not answer; a data folder cannot be read
.TP
100 and above
arguments that make no sense
)";

}  // namespace

std::string man_page(const Command& root, const std::string& version) {
  std::string out = fmt::format(".TH PENSTOCK 1 \"\" \"penstock {}\" \"User commands\"\n", roff(version));
  out += fmt::format(".SH NAME\n{} \\- {}\n.SH SYNOPSIS\n", root.name(), roff(root.summary()));
  bool first = true;
  for_each_command(root, root.name(), [&](const Command& command, const std::string& path) {
    if (!command.commands().empty()) return;
    out += (std::exchange(first, false) ? "" : ".br\n") + usage_of(command, path) + "\n";
  });
  if (!root.description().empty()) out += ".SH DESCRIPTION\n" + paragraphs(root.description());
  out += ".SH COMMANDS\n";
  for_each_command(root, root.name(), [&](const Command& command, const std::string& path) {
    if (&command == &root) return;
    out += fmt::format(".SS \"{}\"\n{}.\n", roff(path), roff(command.summary()));
    out += options_of(command);
    if (!command.description().empty()) out += paragraphs(command.description());
  });
  return out + std::string(kExitStatus);
}

}  // namespace penstock::cli
