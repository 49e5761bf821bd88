// What the command line says of itself: completion run in the shells that it is for, the manual page read by mandoc.
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>
#include <string>

#include "control/cli/cli.h"
#include "control/cli/command_line.h"
#include "control/cli/documents/completion.h"
#include "control/cli/documents/man_page.h"
#include "control/cli/documents/walk.h"

namespace penstock::cli {
namespace {

class Documents : public testing::Test {
 protected:
  Documents() {
    folder_ = (std::filesystem::temp_directory_path() / "documents.XXXXXX").string();
    EXPECT_NE(mkdtemp(folder_.data()), nullptr);
    add_cli_commands(root_);
  }
  ~Documents() override { std::filesystem::remove_all(folder_); }

  std::string write(const std::string& name, const std::string& text) {
    const std::string path = folder_ + "/" + name;
    std::ofstream(path) << text;
    return path;
  }
  // Standard output and error; the exit code must be 0.
  static std::string run(const std::string& command) {
    FILE* const pipe = popen((command + " 2>&1").c_str(), "r");
    EXPECT_NE(pipe, nullptr);
    std::string out;
    for (int c = 0; (c = fgetc(pipe)) != EOF;) out += static_cast<char>(c);
    EXPECT_EQ(pclose(pipe), 0) << command << "\n" << out;
    return out;
  }
  // What mandoc finds wrong. The page has its version and no date, so that each build makes the same one.
  static std::string flaws(const std::string& path) {
    return run("mandoc -T lint -W warning " + path + " | grep -v 'missing date' || true");
  }
  static std::set<std::string> words(const std::string& text) {
    std::istringstream in(text);
    std::set<std::string> out;
    for (std::string word; in >> word;) out.insert(word);
    return out;
  }

  Command root_{"penstock", "A broker's test."};
  std::string folder_;
};

using Words = std::set<std::string>;

TEST_F(Documents, BashCompletes) {
  const std::string script = write("bash", bash_completion(root_));
  const auto complete = [&](const std::string& line, int cursor) {
    return words(run("bash -uc '. " + script + "; COMP_WORDS=(" + line + "); COMP_CWORD=" + std::to_string(cursor) +
                     "; _penstock; echo \"${COMPREPLY[@]}\"'"));
  };
  EXPECT_EQ(complete("penstock topic cr", 2), Words{"create"});
  EXPECT_EQ(complete("penstock bench produce --ac", 3), Words{"--acks"});
  EXPECT_EQ(complete("penstock bench produce --acks \"\"", 4), (Words{"all", "0", "1", "-1"}));
  EXPECT_EQ(complete("penstock produce t -z z", 4), Words{"zstd"});
  EXPECT_EQ(complete("penstock completion \"\"", 2).count("fish"), 1u);
  EXPECT_EQ(complete("penstock topic create --partitions \"\"", 4), Words{});
  EXPECT_EQ(complete("penstock log verify --data " + folder_.substr(0, folder_.size() - 2), 4), Words{folder_});
  // The value of an option is no command.
  EXPECT_EQ(complete("penstock bench produce --topic topic cr", 5), Words{});
}

TEST_F(Documents, ZshCompletes) {
  const std::string script = write("zsh", zsh_completion(root_));
  const auto complete = [&](const std::string& line, int cursor) {
    return words(run("zsh -fc 'compadd() { shift; print -l -- \"$@\" }; _files() { print files $@ }; . " + script +
                     "; words=(" + line + "); CURRENT=" + std::to_string(cursor + 1) + "; _penstock'"));
  };
  const auto topic = complete("penstock topic \"\"", 2);
  EXPECT_EQ(topic.count("create") + topic.count("config") + topic.count("--help"), 3u);
  EXPECT_EQ(topic.count("serve"), 0u);
  EXPECT_EQ(complete("penstock produce t -z \"\"", 4), (Words{"none", "gzip", "snappy", "lz4", "zstd"}));
  EXPECT_EQ(complete("penstock log verify --data \"\"", 4), (Words{"files", "-/"}));
}

TEST_F(Documents, FishCompletes) {
  const std::string script = write("fish", fish_completion(root_));
  const auto complete = [&](const std::string& line) {
    return words(run("HOME=" + folder_ + " fish --no-config -c 'source " + script + "; complete -C \"" + line +
                     "\" | string split -f1 \\t'"));
  };
  EXPECT_EQ(complete("penstock topic cr"), Words{"create"});
  EXPECT_EQ(complete("penstock produce t --codec z"), Words{"zstd"});
  EXPECT_EQ(complete("penstock bench produce --ac"), Words{"--acks"});
}

TEST_F(Documents, TheManualHasEveryWordAndNoFlaw) {
  const std::string page = man_page(root_, "1.2");
  const std::string path = write("penstock.1", page);
  EXPECT_EQ(flaws(path), "");
  const std::string shown = run("mandoc -T ascii " + path + " | col -bx");
  for_each_command(root_, root_.name(), [&](const Command& command, const std::string& path_of) {
    EXPECT_NE(shown.find(path_of), std::string::npos) << path_of;
    for (const Option& option : command.options()) {
      for (const std::string& spelling : option.spellings())
        EXPECT_NE(shown.find(spelling), std::string::npos) << path_of << " " << spelling;
    }
  });
  EXPECT_NE(shown.find("penstock 1.2"), std::string::npos);
  // Text that roff takes for commands.
  Command odd("penstock", "x");
  odd.command("run", "says \\fBnothing").describe(".SH no heading\n'quote\n\n  as -- it \\n is");
  const std::string lint = write("odd.1", man_page(odd, "1"));
  EXPECT_EQ(flaws(lint), "");
  const std::string odd_shown = run("mandoc -T ascii " + lint + " | col -bx");
  for (const char* text : {"says \\fBnothing", ".SH no heading", "'quote", "as -- it \\n is"})
    EXPECT_NE(odd_shown.find(text), std::string::npos) << text << "\n" << odd_shown;
}

}  // namespace
}  // namespace penstock::cli
