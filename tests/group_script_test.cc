// Each conversation of tests/groups is played and must come to what stands there. PENSTOCK_REWRITE=1 writes down what
// it comes to instead: read the difference before it is committed.
#include "tests/group_script.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

namespace penstock::control::groups {
namespace {

std::vector<std::filesystem::path> scripts() {
  std::vector<std::filesystem::path> found;
  for (const auto& entry : std::filesystem::directory_iterator(PENSTOCK_GROUP_SCRIPTS)) {
    if (entry.path().extension() == ".txt") found.push_back(entry.path());
  }
  std::ranges::sort(found);
  return found;
}

class GroupScriptTest : public testing::TestWithParam<std::filesystem::path> {};

TEST_P(GroupScriptTest, comes_to_what_is_written) {
  std::stringstream text;
  text << std::ifstream(GetParam()).rdbuf();
  ASSERT_FALSE(text.str().empty());
  const std::string played = GroupScript().play(text.str());
  if (std::getenv("PENSTOCK_REWRITE") != nullptr) {
    std::ofstream(GetParam()) << played;
    return;
  }
  EXPECT_EQ(played, text.str());
}

INSTANTIATE_TEST_SUITE_P(Scripts, GroupScriptTest, testing::ValuesIn(scripts()),
                         [](const auto& script) { return script.param.stem().string(); });

}  // namespace
}  // namespace penstock::control::groups
