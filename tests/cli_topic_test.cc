// penstock topic against a broker in memory: what it prints, what it sends, and how it fails.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "tests/cli_fake_broker.h"
#include "tests/cli_run.h"

namespace penstock {
namespace {

CommandResult topic(const FakeBroker& broker, std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), "topic");
  arguments.insert(arguments.end(), {"--bootstrap", broker.address()});
  return run_command(std::move(arguments));
}

TEST(CliTopic, CreateListDescribeDelete) {
  FakeBroker broker;
  const auto made = topic(broker, {"create", "orders", "--partitions", "3", "--config", "retention.ms=1000"});
  EXPECT_EQ(made.exit_code, 0) << made.err;
  EXPECT_EQ(made.out, "Created orders: 3 partitions, 1 replica each, id AQAAAAAAAAAAAAAAAAAAAA\n");

  const auto list = topic(broker, {"list"});
  EXPECT_EQ(list.out,
            "NAME    PARTITIONS  REPLICAS  ID\n"
            "orders  3           1         AQAAAAAAAAAAAAAAAAAAAA\n");

  const auto described = topic(broker, {"describe", "orders"});
  EXPECT_EQ(described.exit_code, 0) << described.err;
  EXPECT_EQ(described.out,
            "orders  id AQAAAAAAAAAAAAAAAAAAAA\n"
            "retention.ms=1000\n"
            "PARTITION  LEADER  EPOCH  REPLICAS  ISR  START  END\n"
            "0          1       0      1         1    0      0\n"
            "1          1       0      1         1    0      0\n"
            "2          1       0      1         1    0      0\n");

  EXPECT_EQ(topic(broker, {"delete", "orders"}).out, "Deleted orders\n");
  EXPECT_FALSE(broker.has_topic("orders"));
  EXPECT_EQ(topic(broker, {"list"}).out, "no topics; make one with: penstock topic create NAME\n");
}

TEST(CliTopic, Json) {
  FakeBroker broker;
  const auto made = nlohmann::json::parse(topic(broker, {"create", "a", "--partitions", "2", "--json"}).out);
  EXPECT_EQ(made["partitions"], 2);
  EXPECT_EQ(made["created"], true);
  topic(broker, {"create", "__hidden"});
  const auto list = nlohmann::json::parse(topic(broker, {"list", "--json"}).out);
  ASSERT_EQ(list.size(), 1u);
  EXPECT_EQ(list[0]["name"], "a");
  EXPECT_EQ(nlohmann::json::parse(topic(broker, {"list", "--json", "--internal"}).out).size(), 2u);
  const auto described = nlohmann::json::parse(topic(broker, {"describe", "a", "--json"}).out);
  EXPECT_EQ(described["partitions"].size(), 2u);
  EXPECT_EQ(described["partitions"][1]["end_offset"], 0);
  const auto deleted = nlohmann::json::parse(topic(broker, {"delete", "a", "--json"}).out);
  EXPECT_EQ(deleted["deleted"], nlohmann::json::array({"a"}));
}

TEST(CliTopic, BrokerErrorsAreNamed) {
  FakeBroker broker;
  topic(broker, {"create", "a"});
  const auto again = topic(broker, {"create", "a"});
  EXPECT_EQ(again.exit_code, 1);
  EXPECT_EQ(again.err, "penstock: cannot create topic a: TOPIC_ALREADY_EXISTS: it is there\n");
  EXPECT_EQ(topic(broker, {"create", "a", "--if-not-exists"}).exit_code, 0);
  const auto missing = topic(broker, {"delete", "b"});
  EXPECT_EQ(missing.exit_code, 1);
  EXPECT_EQ(missing.err, "penstock: cannot delete topic b: UNKNOWN_TOPIC_OR_PARTITION\n");
  EXPECT_EQ(topic(broker, {"delete", "b", "--if-exists"}).exit_code, 0);
  EXPECT_EQ(topic(broker, {"describe", "b"}).err, "penstock: topic b: UNKNOWN_TOPIC_OR_PARTITION\n");
}

TEST(CliTopic, RefusalShowsTheBrokersReason) {
  FakeBroker broker({.create_error = ErrorCode::kInvalidReplicationFactor,
                     .create_message = "Replication factor: 3 larger than available brokers: 1."});
  const auto refused = topic(broker, {"create", "a", "--replication-factor", "3"});
  EXPECT_EQ(refused.exit_code, 1);
  EXPECT_EQ(refused.err,
            "penstock: cannot create topic a: INVALID_REPLICATION_FACTOR: Replication factor: 3 larger than available "
            "brokers: 1.\n");
}

TEST(CliTopic, OlderBrokerIsSpokenToInItsVersions) {
  FakeBroker broker;
  broker.serve(20, {1, 5});  // DeleteTopics by name only
  broker.serve(3, {0, 9});   // Metadata without topic ids
  broker.serve(32, {});      // no DescribeConfigs
  EXPECT_EQ(topic(broker, {"create", "a"}).exit_code, 0);
  const auto described = topic(broker, {"describe", "a"});
  EXPECT_EQ(described.exit_code, 0) << described.err;
  EXPECT_NE(described.out.find("settings: this broker does not tell them\n"), std::string::npos) << described.out;
  EXPECT_EQ(topic(broker, {"delete", "a"}).exit_code, 0);
  EXPECT_FALSE(broker.has_topic("a"));
}

TEST(CliTopic, ConfigIsShownWithItsSources) {
  FakeBroker broker;
  topic(broker, {"create", "a", "--config", "retention.ms=1000", "--config", "odd=\x1b[2J"});
  EXPECT_EQ(topic(broker, {"config", "a"}).out,
            "NAME          VALUE    SOURCE\n"
            "a.default     7        default\n"
            "odd           \\x1b[2J  topic\n"
            "retention.ms  1000     topic\n");
  EXPECT_EQ(topic(broker, {"config", "a", "--own"}).out.find("a.default"), std::string::npos);
  const auto documented = topic(broker, {"config", "a", "--doc"});
  EXPECT_NE(documented.out.find("a.default=7  (default; unknown)\n    What it is for.\n"), std::string::npos)
      << documented.out;
  const auto json = nlohmann::json::parse(topic(broker, {"config", "a", "--json"}).out);
  ASSERT_EQ(json.size(), 3u);
  EXPECT_EQ(json[0]["source"], "default");
  EXPECT_EQ(json[2]["value"], "1000");
  topic(broker, {"create", "b"});
  EXPECT_EQ(topic(broker, {"config", "b", "--own"}).out, "no settings of its own\n");
}

TEST(CliTopic, ConfigIsChangedAsAWhole) {
  FakeBroker broker;
  topic(broker, {"create", "a", "--config", "retention.ms=1000", "--config", "list=x"});
  const auto changed = topic(broker, {"config", "a", "--set", "segment.ms=5", "--set", "equals=a=b", "--append",
                                      "list=y", "--unset", "retention.ms"});
  EXPECT_EQ(changed.exit_code, 0) << changed.err;
  EXPECT_EQ(changed.out,
            "NAME        VALUE  SOURCE\n"
            "equals      a=b    topic\n"
            "list        x,y    topic\n"
            "segment.ms  5      topic\n");
  EXPECT_EQ(topic(broker, {"config", "a", "--subtract", "list=y", "--dry-run"}).out,
            "valid; nothing was changed of a\n");
  EXPECT_NE(topic(broker, {"config", "a", "--own"}).out.find("x,y"), std::string::npos);
  const auto refused = topic(broker, {"config", "a", "--subtract", "list=y", "--set", "nonsense=1"});
  EXPECT_EQ(refused.exit_code, 1);
  EXPECT_EQ(refused.err,
            "penstock: cannot change the settings of topic a: INVALID_CONFIG: Unknown topic config name: nonsense\n");
  EXPECT_NE(topic(broker, {"config", "a", "--own"}).out.find("x,y"), std::string::npos);
  EXPECT_GE(topic(broker, {"config", "a", "--set", "retention.ms"}).exit_code, 100);
  EXPECT_GE(topic(broker, {"config"}).exit_code, 100);
  broker.serve(44, {});
  EXPECT_EQ(topic(broker, {"config", "a", "--set", "a=b"}).err,
            "penstock: the broker does not serve IncrementalAlterConfigsRequest\n");
}

TEST(CliTopic, ArgumentsThatMakeNoSense) {
  EXPECT_GE(run_command({"topic"}).exit_code, 100);
  EXPECT_GE(run_command({"topic", "create"}).exit_code, 100);
  EXPECT_GE(run_command({"topic", "frobnicate"}).exit_code, 100);
  EXPECT_GE(run_command({"topic", "create", "a", "--partitions", "0"}).exit_code, 100);
  EXPECT_GE(run_command({"topic", "create", "a", "--partitions", "many"}).exit_code, 100);
  const auto address = run_command({"topic", "list", "--bootstrap", "host:port:more"});
  EXPECT_GE(address.exit_code, 100);
  EXPECT_NE(address.err.find("HOST:PORT"), std::string::npos) << address.err;
  const auto config = run_command({"topic", "create", "a", "--config", "retention"});
  EXPECT_GE(config.exit_code, 100);
  EXPECT_NE(config.err.find("NAME=VALUE"), std::string::npos) << config.err;
}

}  // namespace
}  // namespace penstock
