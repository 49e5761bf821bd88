#include "control/cli/documents/completion.h"

#include <fmt/format.h>

#include <string_view>

#include "control/cli/documents/walk.h"

namespace penstock::cli {
namespace {

// In single quotes, which is how all three shells take a text as it is.
std::string quoted(std::string_view text) {
  std::string out = "'";
  for (const char c : text) out += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return out + "'";
}

// A short time, since a shell waits for it.
constexpr std::string_view kTopics = "penstock topic list --timeout 1s 2>/dev/null | sed -n '2,$s/ .*//p'";

bool takes_value(const Option& option) { return option.kind != Option::Kind::kFlag; }

// Lines of a case statement of bash and zsh: from a path and a word to the longer path.
std::string path_cases(const Command& root) {
  std::string out;
  for_each_command(root, root.name(), [&](const Command& command, const std::string& path) {
    for (const Command& below : command.commands()) {
      out += fmt::format("      {}) where=\"$where $word\" ;;\n", quoted(path + " " + below.name()));
    }
  });
  return out;
}

// Lines of a case statement of bash and zsh: options with a value, that the word before the cursor may be. Letters of
// offer: w for words, f for files, d for folders, t for topics, n for nothing.
std::string value_cases(const Command& root) {
  std::string out;
  for_each_command(root, root.name(), [&](const Command& command, const std::string& path) {
    for (const Option& option : command.options()) {
      if (option.positional() || !takes_value(option)) continue;
      std::string patterns;
      for (const std::string& spelling : option.spellings())
        patterns += (patterns.empty() ? "" : "|") + quoted(path + "|" + spelling);
      const char* offer = "n";
      if (!option.choices.empty()) offer = "w";
      if (option.completes == Completes::kFiles) offer = "f";
      if (option.completes == Completes::kFolders) offer = "d";
      if (option.completes == Completes::kTopics) offer = "t";
      out += fmt::format("    {}) offer={} offered={} ;;\n", patterns, offer, quoted(spaced(option.choices)));
    }
  });
  return out;
}

// Lines of a case statement of bash and zsh: what a command takes where no option waits for a value.
std::string command_cases(const Command& root) {
  std::string out;
  for_each_command(root, root.name(), [&](const Command& command, const std::string& path) {
    std::vector<std::string> words;
    bool topics = false;
    for (const Command& below : command.commands()) words.push_back(below.name());
    for (const Option& option : command.options()) {
      if (!option.positional()) {
        for (const std::string& spelling : option.spellings()) words.push_back(spelling);
      } else {
        topics = topics || option.completes == Completes::kTopics;
        words.insert(words.end(), option.choices.begin(), option.choices.end());
      }
    }
    words.push_back("--help");
    out += fmt::format("      {}) offered={} topics={} ;;\n", quoted(path), quoted(spaced(words)), topics ? 1 : 0);
  });
  return out;
}

constexpr std::string_view kBash =
    R"sh(# Completion of bash for penstock. Put it into effect: source <(penstock completion bash)
_penstock() {{
  local cur=${{COMP_WORDS[COMP_CWORD]}} prev=${{COMP_WORDS[COMP_CWORD-1]}} where={0} word offer= offered= topics=0
  for word in "${{COMP_WORDS[@]:1:COMP_CWORD-1}}"; do
    case "$where $word" in
{1}    esac
  done
  case "$where|$prev" in
{2}  esac
  if [[ -z $offer ]]; then
    case "$where" in
{3}    esac
    offer=w
    if [[ $topics == 1 && $cur != -* ]]; then offered="$offered $({4})"; fi
  fi
  case $offer in
    w) mapfile -t COMPREPLY < <(compgen -W "$offered" -- "$cur") ;;
    f) mapfile -t COMPREPLY < <(compgen -f -- "$cur") ;;
    d) mapfile -t COMPREPLY < <(compgen -d -- "$cur") ;;
    t) mapfile -t COMPREPLY < <(compgen -W "$({4})" -- "$cur") ;;
    n) COMPREPLY=() ;;
  esac
}}
complete -F _penstock {0}
)sh";

constexpr std::string_view kZsh = R"sh(#compdef {0}
# Completion of zsh for penstock. Put it into effect: source <(penstock completion zsh)
_penstock() {{
  local cur=$words[CURRENT] prev=$words[CURRENT-1] where={0} word offer= offered= topics=0
  integer at
  for (( at = 2; at < CURRENT; at++ )); do
    word=$words[at]
    case "$where $word" in
{1}    esac
  done
  case "$where|$prev" in
{2}  esac
  if [[ -z $offer ]]; then
    case "$where" in
{3}    esac
    offer=w
    if [[ $topics == 1 && $cur != -* ]]; then offered="$offered $({4})"; fi
  fi
  case $offer in
    w) compadd -- ${{=offered}} ;;
    f) _files ;;
    d) _files -/ ;;
    t) compadd -- ${{=$({4})}} ;;
  esac
}}
if (( $+functions[compdef] )); then compdef _penstock {0}; fi
)sh";

constexpr std::string_view kFish = R"sh(# Completion of fish for penstock: penstock completion fish | source
function __penstock_at
  set -l path {0}
  for word in (commandline -opc)[2..-1]
    switch "$path $word"
      case {1}
        set path "$path $word"
    end
  end
  test "$path" = "$argv[1]"
end
complete -c {0} -f
)sh";

std::string fish_option(const std::string& path, const Option& option) {
  std::string out = fmt::format("complete -c penstock -n {}", quoted("__penstock_at " + quoted(path)));
  for (const std::string& spelling : option.spellings()) {
    const bool is_long = spelling.starts_with("--");
    out += fmt::format(" {} {}", is_long ? "-l" : "-s", spelling.substr(is_long ? 2 : 1));
  }
  if (takes_value(option)) {
    const bool paths = option.completes == Completes::kFiles || option.completes == Completes::kFolders;
    out += paths ? " -r -F" : " -x";
    if (!option.choices.empty()) out += " -a " + quoted(spaced(option.choices));
    if (option.completes == Completes::kTopics) out += " -a " + quoted(fmt::format("({})", kTopics));
  }
  return out + fmt::format(" -d {}\n", quoted(option.help));
}

std::string shell_script(std::string_view frame, const Command& root) {
  return fmt::format(fmt::runtime(frame), root.name(), path_cases(root), value_cases(root), command_cases(root),
                     kTopics);
}

}  // namespace

std::string bash_completion(const Command& root) { return shell_script(kBash, root); }
std::string zsh_completion(const Command& root) { return shell_script(kZsh, root); }

std::string fish_completion(const Command& root) {
  std::string paths;
  std::string lines;
  for_each_command(root, root.name(), [&](const Command& command, const std::string& path) {
    const std::string here = quoted("__penstock_at " + quoted(path));
    for (const Command& below : command.commands()) {
      paths += (paths.empty() ? "" : " ") + quoted(path + " " + below.name());
      lines += fmt::format("complete -c penstock -n {} -a {} -d {}\n", here, below.name(), quoted(below.summary()));
    }
    for (const Option& option : command.options()) {
      if (!option.positional()) {
        lines += fish_option(path, option);
      } else if (option.completes == Completes::kTopics) {
        lines += fmt::format("complete -c penstock -n {} -a {}\n", here, quoted(fmt::format("({})", kTopics)));
      } else if (!option.choices.empty()) {
        lines += fmt::format("complete -c penstock -n {} -a {}\n", here, quoted(spaced(option.choices)));
      }
    }
  });
  return fmt::format(fmt::runtime(kFish), root.name(), paths) + lines;
}

}  // namespace penstock::cli
