#include "control/cli/command_line.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <charconv>
#include <cstdio>
#include <map>

#include "control/cli/error.h"

namespace penstock::cli {
namespace {

template <class Number>
Number parse_number(const std::string& text, Number least, Number most) {
  Number out{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out);
  if (error == std::errc::invalid_argument || end != text.data() + text.size())
    throw UsageError("'" + text + "' is not a whole number");
  if (error == std::errc{} && out >= least && out <= most) return out;
  if (most == std::numeric_limits<Number>::max()) throw UsageError(text + " is not at least " + std::to_string(least));
  throw UsageError(text + " is not between " + std::to_string(least) + " and " + std::to_string(most));
}

std::string joined(const std::vector<std::string>& words) {
  std::string out;
  for (const std::string& word : words) out += (out.empty() ? "" : ", ") + word;
  return out;
}

void take_value(const Option& option, const std::string& text) {
  if (!option.choices.empty() && std::ranges::find(option.choices, text) == option.choices.end())
    throw CLI::ValidationError(option.names, "'" + text + "' is none of " + joined(option.choices));
  try {
    option.take(text);
  } catch (const UsageError& error) {
    throw CLI::ValidationError(option.names, error.what());
  } catch (const std::invalid_argument& error) {
    throw CLI::ValidationError(option.names, error.what());
  }
}

// CLI11's parser made of our declarations.
class Parser {
 public:
  explicit Parser(const Command& root) : app_(root.summary(), root.name()) { fill(app_, root); }

  CLI::App& app() { return app_; }
  // The innermost command of the line that was parsed.
  const Command& chosen() const {
    const CLI::App* at = &app_;
    while (!at->get_subcommands().empty()) at = at->get_subcommands().front();
    return *commands_.at(at);
  }
  std::string help() const { return app_.help(); }

 private:
  void fill(CLI::App& app, const Command& command) {
    commands_[&app] = &command;
    if (!command.description().empty()) app.footer("\n" + command.description());
    for (const Option& option : command.options()) add(app, option);
    for (const Option& option : command.options()) {
      for (const Option* other : option.needed) options_.at(&option)->needs(options_.at(other));
      for (const Option* other : option.excluded) options_.at(&option)->excludes(options_.at(other));
    }
    if (!command.commands().empty()) app.require_subcommand(command.command_needed() ? 1 : 0, 1);
    for (const Command& below : command.commands()) fill(*app.add_subcommand(below.name(), below.summary()), below);
  }

  void add(CLI::App& app, const Option& option) {
    if (option.kind == Option::Kind::kFlag) {
      options_[&option] = app.add_flag_callback(option.names, [&option] { option.take("true"); }, option.help);
      return;
    }
    CLI::Option& made = *app.add_option(
        option.names,
        [&option](const CLI::results_t& texts) {
          for (const std::string& text : texts) take_value(option, text);
          return true;
        },
        option.help);
    options_[&option] = &made;
    made.type_name(option.value_name.empty() ? joined(option.choices) : option.value_name);
    if (option.is_required) made.required();
    if (option.last_one_counts) made.take_last();
    if (option.kind == Option::Kind::kList) {
      made.expected(1, CLI::detail::expected_max_vector_size);
      made.allow_extra_args(option.positional());
    }
  }

  CLI::App app_;
  std::map<const CLI::App*, const Command*> commands_;
  std::map<const Option*, CLI::Option*> options_;
};

int complain(const char* what, int code) {
  std::fprintf(stderr, "penstock: %s\n", what);
  return code;
}

}  // namespace

std::vector<std::string> Option::spellings() const {
  std::vector<std::string> out;
  for (size_t at = 0; at <= names.size();) {
    const size_t comma = std::min(names.find(',', at), names.size());
    out.push_back(names.substr(at, comma - at));
    at = comma + 1;
  }
  return out;
}

int64_t parse_signed(const std::string& text, int64_t least, int64_t most) { return parse_number(text, least, most); }
uint64_t parse_unsigned(const std::string& text, uint64_t least, uint64_t most) {
  return parse_number(text, least, most);
}

Command& Command::command(const std::string& name, const std::string& summary) {
  return commands_.emplace_back(name, summary);
}

Option& Command::option(const std::string& names, Option::Kind kind, std::function<void(const std::string&)> take,
                        const std::string& help) {
  Option& made = options_.emplace_back();
  made.names = names;
  made.help = help;
  made.kind = kind;
  made.take = std::move(take);
  return made;
}

Option& Command::flag(const std::string& names, bool& value, const std::string& help) {
  return option(names, Option::Kind::kFlag, [&value](const std::string&) { value = true; }, help);
}

Option& Command::option(const std::string& names, std::string& value, const std::string& help) {
  return option(names, Option::Kind::kValue, [&value](const std::string& text) { value = text; }, help).value("TEXT");
}

Option& Command::option(const std::string& names, std::vector<std::string>& values, const std::string& help) {
  return option(
             names, Option::Kind::kList, [&values](const std::string& text) { values.push_back(text); }, help)
      .value("TEXT");
}

int run_command_line(const Command& root, const std::string& version, std::vector<std::string> arguments) {
  Parser parser(root);
  if (!version.empty()) parser.app().set_version_flag("--version", version);
  std::ranges::reverse(arguments);  // CLI11 takes a vector from its back
  try {
    parser.app().parse(std::move(arguments));
    const Command& chosen = parser.chosen();
    if (chosen.action()) {
      chosen.action()();
    } else {
      std::fputs(parser.help().c_str(), stdout);
    }
  } catch (const CLI::ParseError& end) {
    return parser.app().exit(end);
  } catch (const Exit& end) {
    return end.code;
  } catch (const UsageError& error) {
    return complain(error.what(), static_cast<int>(CLI::ExitCodes::ValidationError));
  } catch (const CliError& error) {
    return complain(error.what(), error.exit_code());
  } catch (const std::exception& error) {
    return complain(error.what(), kExitFailed);
  }
  return 0;
}

}  // namespace penstock::cli
