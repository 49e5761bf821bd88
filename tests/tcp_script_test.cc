// Every conversation of tests/tcp, each a case of its own. docs/internals/tcp.md says which rule each one is about.
#include "tests/tcp_script.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

namespace penstock::testing {
namespace {

std::vector<std::string> scripts() {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(PENSTOCK_TCP_SCRIPTS)) {
    if (entry.path().extension() == ".pkt") names.push_back(entry.path().stem().string());
  }
  std::sort(names.begin(), names.end());
  return names;
}

class TcpScript : public ::testing::TestWithParam<std::string> {};

TEST_P(TcpScript, Holds) {
  std::ifstream file(PENSTOCK_TCP_SCRIPTS "/" + GetParam() + ".pkt");
  ASSERT_TRUE(file.good());
  EXPECT_EQ(run_tcp_script(file), "");
}

INSTANTIATE_TEST_SUITE_P(Conversations, TcpScript, ::testing::ValuesIn(scripts()),
                         [](const auto& script) { return script.param; });

}  // namespace
}  // namespace penstock::testing
