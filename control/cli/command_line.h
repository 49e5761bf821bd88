// The command line as data: commands, their options and what they do. Declared once; parsing (command_line.cc, the one
// file that knows CLI11), shell completion (completion.h) and the manual page (man_page.h) all read these declarations.
#pragma once

#include <concepts>
#include <cstdint>
#include <functional>
#include <limits>
#include <list>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace penstock::cli {

// Arguments that make no sense: thrown by a parse function or by a command's action, with one line for the user.
// Exit code 105.
class UsageError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// Thrown by an action that said all there is to say: ends the process with this code.
struct Exit {
  int code;
};

// What a shell may offer for a value, beside its choices.
enum class Completes : uint8_t { kNothing, kFiles, kFolders, kTopics };

struct Option {
  enum class Kind : uint8_t { kFlag, kValue, kList };

  std::string names;  // "--json", "-t,--topic", or without a dash for an argument that goes by its place
  std::string help;
  Kind kind = Kind::kValue;
  std::function<void(const std::string&)> take;  // called for each value; throws UsageError or std::invalid_argument
  std::string value_name;                        // shown in help: SIZE, FILE
  std::vector<std::string> choices;
  Completes completes = Completes::kNothing;
  bool is_required = false;
  bool last_one_counts = false;  // else a second one is an error
  int64_t least = std::numeric_limits<int64_t>::min();
  uint64_t most = std::numeric_limits<uint64_t>::max();
  std::vector<const Option*> needed;
  std::vector<const Option*> excluded;

  bool positional() const { return !names.starts_with('-'); }
  // Each as typed, with its dashes; the long ones last.
  std::vector<std::string> spellings() const;

  Option& value(std::string name) { return value_name = std::move(name), *this; }
  Option& required() { return is_required = true, *this; }
  Option& last_counts() { return last_one_counts = true, *this; }
  Option& between(int64_t lowest, uint64_t highest) { return least = lowest, most = highest, *this; }
  Option& at_least(int64_t lowest) { return least = lowest, *this; }
  Option& one_of(std::vector<std::string> allowed) { return choices = std::move(allowed), *this; }
  Option& complete(Completes with) { return completes = with, *this; }
  Option& needs(const Option& other) { return needed.push_back(&other), *this; }
  Option& excludes(const Option& other) { return excluded.push_back(&other), *this; }
};

// A whole decimal number between these bounds, or UsageError.
int64_t parse_signed(const std::string& text, int64_t least, int64_t most);
uint64_t parse_unsigned(const std::string& text, uint64_t least, uint64_t most);

// One command, or a group of them. Variables that options fill outlive the command line; parents own their commands,
// and references to commands and options stay good.
class Command {
 public:
  Command(std::string name, std::string summary) : name_(std::move(name)), summary_(std::move(summary)) {}
  Command(const Command&) = delete;
  Command& operator=(const Command&) = delete;

  Command& command(const std::string& name, const std::string& summary);
  Option& flag(const std::string& names, bool& value, const std::string& help);
  // take is called with each value's text.
  Option& option(const std::string& names, Option::Kind kind, std::function<void(const std::string&)> take,
                 const std::string& help);
  Option& option(const std::string& names, std::string& value, const std::string& help);
  Option& option(const std::string& names, std::vector<std::string>& values, const std::string& help);

  template <std::integral Number>
    requires(!std::same_as<Number, bool>)
  Option& option(const std::string& names, Number& value, const std::string& help) {
    return number<Number>(names, help, [&value](Number n) { value = n; });
  }
  template <std::integral Number>
    requires(!std::same_as<Number, bool>)
  Option& option(const std::string& names, std::optional<Number>& value, const std::string& help) {
    return number<Number>(names, help, [&value](Number n) { value = n; });
  }
  // A value with a name each.
  template <class Value>
  Option& choice(const std::string& names, Value& value, std::vector<std::pair<std::string, Value>> named,
                 const std::string& help) {
    std::vector<std::string> allowed;
    for (const auto& [name, meaning] : named) allowed.push_back(name);
    return option(
               names, Option::Kind::kValue,
               [&value, named = std::move(named)](const std::string& text) {
                 for (const auto& [name, meaning] : named) {
                   if (name == text) value = meaning;
                 }
               },
               help)
        .one_of(std::move(allowed));
  }

  // Text for the manual page and the end of --help: paragraphs, and lines that begin with two spaces as they are.
  void describe(std::string text) { description_ = std::move(text); }
  // A group that may be called without one of its commands shows its help then.
  void command_optional() { command_needed_ = false; }
  void action(std::function<void()> run) { action_ = std::move(run); }

  const std::string& name() const { return name_; }
  const std::string& summary() const { return summary_; }
  const std::string& description() const { return description_; }
  bool command_needed() const { return command_needed_; }
  const std::function<void()>& action() const { return action_; }
  const std::list<Command>& commands() const { return commands_; }
  const std::list<Option>& options() const { return options_; }

 private:
  template <std::integral Number>
  Option& number(const std::string& names, const std::string& help, std::function<void(Number)> set) {
    Option& made = option(names, Option::Kind::kValue, {}, help);
    Option* const self = &made;
    using Bounds = std::numeric_limits<Number>;
    if constexpr (std::signed_integral<Number>) {
      made.between(Bounds::min(), static_cast<uint64_t>(Bounds::max()));
      made.take = [self, set](const std::string& text) {
        set(static_cast<Number>(parse_signed(text, self->least, static_cast<int64_t>(self->most))));
      };
    } else {
      made.between(0, Bounds::max());
      made.take = [self, set](const std::string& text) {
        set(static_cast<Number>(parse_unsigned(text, static_cast<uint64_t>(self->least), self->most)));
      };
    }
    return made.value("N");
  }

  std::string name_;
  std::string summary_;
  std::string description_;
  bool command_needed_ = true;
  std::function<void()> action_;
  std::list<Command> commands_;
  std::list<Option> options_;
};

// Reads arguments (without the program's name) and runs the command they name. Returns the exit code: what Exit or
// CliError (error.h) carried, 1 for another exception, 100 and above for arguments that make no sense, each with one
// line on standard error. version is what --version prints; empty: there is no such flag.
int run_command_line(const Command& root, const std::string& version, std::vector<std::string> arguments);

}  // namespace penstock::cli
