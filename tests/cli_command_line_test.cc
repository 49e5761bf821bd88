// The command line as data, its parser, and the JSON that commands print.
#include <gtest/gtest.h>

#include <limits>
#include <nlohmann/json.hpp>
#include <string>

#include "control/cli/command_line.h"
#include "control/cli/error.h"
#include "control/cli/json.h"

namespace penstock::cli {
namespace {

struct Line {
  Line() {
    Command& group = root.command("group", "a group");
    Command& run = group.command("run", "run it");
    run.option("place", place, "by its place").required();
    run.option("rest", rest, "the rest");
    run.flag("-v,--verbose", verbose, "say more");
    run.option("--small", small, "of 8 bits").at_least(-5);
    run.option("--count", count, "of 32 bits").between(1, 10);
    Option& one = run.option("--one", text, "a text");
    run.option("--last", last, "the last counts").last_counts();
    run.option("--with-one", with, "needs --one").needs(one);
    run.option("--without-one", with, "excludes --one").excludes(one);
    run.option("--list", list, "many");
    run.choice<int>("--pick", picked, {{"left", 1}, {"right", 2}}, "one of two");
    run.option(
        "--parsed", Option::Kind::kValue, [](const std::string&) { throw std::invalid_argument("never good"); }, "no");
    run.action([this] {
      ++runs;
      if (text == "exit") throw Exit{7};
      if (text == "usage") throw UsageError("makes no sense");
      if (text == "cli") throw CliError(2, "unreachable");
      if (text == "other") throw std::runtime_error("broken");
    });
  }
  int operator()(std::vector<std::string> arguments) { return run_command_line(root, "9.9", std::move(arguments)); }

  Command root{"penstock", "a test"};
  std::string place, text, last, with;
  std::vector<std::string> rest, list;
  bool verbose = false;
  int8_t small = 0;
  std::optional<uint32_t> count;
  int picked = 0;
  int runs = 0;
};

TEST(CommandLine, FillsWhatWasDeclared) {
  Line line;
  EXPECT_EQ(
      line({"group",  "run", "here",   "a",     "b",      "-v", "--small", "-5", "--count", "10", "--list",     "x",
            "--list", "y",   "--pick", "right", "--last", "1",  "--last",  "2",  "--one",   "t",  "--with-one", "w"}),
      0);
  EXPECT_EQ(line.runs, 1);
  EXPECT_EQ(line.place, "here");
  EXPECT_EQ(line.rest, (std::vector<std::string>{"a", "b"}));
  EXPECT_TRUE(line.verbose);
  EXPECT_EQ(line.small, -5);
  EXPECT_EQ(line.count, 10u);
  EXPECT_EQ(line.list, (std::vector<std::string>{"x", "y"}));
  EXPECT_EQ(line.picked, 2);
  EXPECT_EQ(line.last, "2");
  EXPECT_EQ(line.text, "t");
}

TEST(CommandLine, NonsenseRunsNothing) {
  for (const auto& more : std::vector<std::vector<std::string>>{{"--small", "128"},
                                                                {"--small", "-6"},
                                                                {"--small", "1x"},
                                                                {"--small", ""},
                                                                {"--count", "0"},
                                                                {"--count", "11"},
                                                                {"--count", "-1"},
                                                                {"--pick", "up"},
                                                                {"--one", "a", "--one", "b"},
                                                                {"--with-one", "a"},
                                                                {"--one", "a", "--without-one", "b"},
                                                                {"--parsed", "x"},
                                                                {"--unknown"}}) {
    Line line;
    std::vector<std::string> arguments{"group", "run", "here"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    EXPECT_GE(line(arguments), 100) << more[0] << " " << more.back();
    EXPECT_EQ(line.runs, 0) << more[0];
  }
  Line line;
  EXPECT_GE(line({"group", "run"}), 100);
  EXPECT_GE(line({"group"}), 100);
  EXPECT_GE(line({}), 100);
  EXPECT_EQ(line({"--version"}), 0);
  EXPECT_EQ(line({"group", "run", "--help"}), 0);
  EXPECT_EQ(line.runs, 0);
}

TEST(CommandLine, ActionsEndWithTheirCode) {
  const auto code = [](const char* how) { return Line()({"group", "run", "here", "--one", how}); };
  EXPECT_EQ(code("fine"), 0);
  EXPECT_EQ(code("exit"), 7);
  EXPECT_EQ(code("usage"), 105);
  EXPECT_EQ(code("cli"), 2);
  EXPECT_EQ(code("other"), 1);
}

TEST(CommandLine, SpellingsOfAnOption) {
  Line line;
  const Command& run = line.root.commands().front().commands().front();
  std::vector<std::vector<std::string>> all;
  for (const Option& option : run.options()) all.push_back(option.spellings());
  EXPECT_EQ(all[0], std::vector<std::string>{"place"});
  EXPECT_EQ(all[2], (std::vector<std::string>{"-v", "--verbose"}));
}

TEST(Json, ReadsBackAsWritten) {
  Json json{{"null", nullptr},
            {"yes", true},
            {"most", std::numeric_limits<uint64_t>::max()},
            {"least", std::numeric_limits<int64_t>::min()},
            {"real", 0.1},
            {"whole_real", 2.0},
            {"not_a_number", std::numeric_limits<double>::quiet_NaN()},
            {"text", "\"\\\n\x01\x7f\xc3\xa9"},
            {"list", std::vector<int>{1, -2}},
            {"none", std::optional<int>()},
            {"some", std::optional<int>(4)},
            {"empty", Json::array()},
            {"nothing", Json::object()}};
  json["inner"]["deep"].push_back("x");
  json.update({{"yes", false}});
  for (const int indent : {0, 2}) {
    const auto got = nlohmann::ordered_json::parse(json.dump(indent));
    EXPECT_EQ(got["null"], nullptr);
    EXPECT_EQ(got["yes"], false);
    EXPECT_EQ(got["most"], std::numeric_limits<uint64_t>::max());
    EXPECT_EQ(got["least"], std::numeric_limits<int64_t>::min());
    EXPECT_EQ(got["real"], 0.1);
    EXPECT_TRUE(got["whole_real"].is_number_float());
    EXPECT_EQ(got["not_a_number"], nullptr);
    EXPECT_EQ(got["text"], "\"\\\n\x01\x7f\xc3\xa9");
    EXPECT_EQ(got["list"], nlohmann::ordered_json::array({1, -2}));
    EXPECT_EQ(got["none"], nullptr);
    EXPECT_EQ(got["some"], 4);
    EXPECT_EQ(got["empty"], nlohmann::ordered_json::array());
    EXPECT_EQ(got["nothing"], nlohmann::ordered_json::object());
    EXPECT_EQ(got["inner"]["deep"][0], "x");
    EXPECT_EQ(got.dump(indent > 0 ? indent : -1), json.dump(indent));
  }
}

TEST(Json, WhatIsNoUtf8IsReplaced) {
  EXPECT_EQ(Json("a\xff\xc3").dump(), "\"a\xef\xbf\xbd\xef\xbf\xbd\"");
  EXPECT_EQ(Json("\xed\xa0\x80").dump().substr(0, 4), "\"\xef\xbf\xbd");  // a surrogate
}

}  // namespace
}  // namespace penstock::cli
