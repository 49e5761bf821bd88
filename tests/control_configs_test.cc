// Configs as the controller keeps them: where values come from, what changes do, what lasts (control/controller).
#include <gtest/gtest.h>

#include <algorithm>

#include "control/controller/config_values.h"
#include "control/controller/keys.h"
#include "control/controller/log_config.h"
#include "control/controller/records.h"
#include "control/slow_path/config_entries.h"
#include "tests/control_fixture.h"

namespace penstock::control {
namespace {

class ConfigsTest : public testing::Test, protected ControllerFixture {
 protected:
  ConfigsTest() { restart(); }
  TopicOutcome alter(ConfigScope scope, const std::string& name, std::vector<ConfigChange> changes,
                     bool replace = false) {
    return controller->alter_configs(
        {.scope = scope, .name = name, .changes = std::move(changes), .replace = replace, .validate_only = false});
  }
  ErrorCode set(ConfigScope scope, const std::string& name, const std::string& config, const std::string& value) {
    return alter(scope, name, {{.name = config, .op = ConfigOp::kSet, .value = value}}).error;
  }
  ErrorCode clear(ConfigScope scope, const std::string& name, const std::string& config) {
    return alter(scope, name, {{.name = config, .op = ConfigOp::kDelete}}).error;
  }
  void write(const std::string& key, const std::string& value) {
    ASSERT_TRUE(store.commit({.conditions = {}, .writes = {{.key = key, .value = value}}}).value().applied);
  }
  // A list of replicas that is about 16 bytes long for each.
  static std::string replicas(size_t count) {
    std::string list;
    for (size_t i = 0; i < count; ++i) list += (i == 0 ? "" : ",") + std::to_string(i) + ":2147483647";
    return list;
  }
  const ConfigMap& own(const std::string& topic) { return controller->image().find(topic)->record.configs; }
  ConfigEntry entry(const std::vector<ConfigEntry>& entries, std::string_view name) {
    const auto found = std::ranges::find(entries, name, &ConfigEntry::name);
    EXPECT_NE(found, entries.end()) << name;
    return found == entries.end() ? ConfigEntry{} : *found;
  }
};

TEST(StoredCodec, is_what_compression_type_and_level_say) {
  const auto of = [](const ConfigMap& own, const ConfigMap& defaults = {}) {
    const auto codec = stored_codec(own, defaults);
    return codec ? std::pair(static_cast<int>(codec->codec), codec->level) : std::pair(-1, 0);
  };
  EXPECT_EQ(of({}), std::pair(-1, 0)) << "the producer's choice";
  EXPECT_EQ(of({{"compression.type", "producer"}}, {{"compression.type", "gzip"}}), std::pair(-1, 0));
  EXPECT_EQ(of({{"compression.type", "uncompressed"}}), std::pair(0, 0));
  EXPECT_EQ(of({{"compression.type", "gzip"}}), std::pair(1, 6)) << "-1, the library's own";
  EXPECT_EQ(of({{"compression.type", "gzip"}, {"compression.gzip.level", "9"}}), std::pair(1, 9));
  EXPECT_EQ(of({{"compression.type", "snappy"}}), std::pair(2, 0));
  EXPECT_EQ(of({}, {{"compression.type", "lz4"}, {"compression.lz4.level", "2"}}), std::pair(3, 2));
  EXPECT_EQ(of({{"compression.type", "zstd"}, {"compression.zstd.level", "-5"}}), std::pair(4, -5));
}

TEST(BrokerConfigs, the_finest_unit_that_is_set_counts) {
  const ConfigInfo& retention = *find_config(ConfigScope::kTopic, "retention.ms");
  BrokerConfigs configs;
  EXPECT_EQ(configs.default_of(retention)->value, "604800000");
  configs.settings["log.retention.hours"] = "2";
  EXPECT_EQ(configs.default_of(retention)->value, "7200000");
  EXPECT_EQ(configs.default_of(retention)->source, ConfigSource::kSettings);
  configs.settings["log.retention.minutes"] = "5";
  EXPECT_EQ(configs.default_of(retention)->value, "300000");
  configs.cluster["log.retention.ms"] = "7";
  EXPECT_EQ(configs.default_of(retention)->value, "7");
  EXPECT_EQ(configs.default_of(retention)->source, ConfigSource::kDynamicDefault);
  configs.settings["log.retention.hours"] = "-1";
  configs.settings.erase("log.retention.minutes");
  configs.cluster.clear();
  EXPECT_EQ(configs.default_of(retention)->value, "-1");
  EXPECT_EQ(configs.default_of(*find_config(ConfigScope::kTopic, "remote.storage.enable")), std::nullopt);
  EXPECT_EQ(configs.default_of(*find_config(ConfigScope::kTopic, "flush.ms"))->value, "9223372036854775807");
}

TEST(BrokerConfigs, synonyms_begin_with_the_configs_own_strongest_value) {
  BrokerConfigs configs;
  configs.settings = {{"log.roll.hours", "3"}};
  EXPECT_TRUE(configs.synonyms("log.roll.ms").empty()) << "it has no value itself";
  const auto hours = configs.synonyms("log.roll.hours");
  ASSERT_EQ(hours.size(), 2u);
  EXPECT_EQ(hours[0].source, ConfigSource::kSettings);
  EXPECT_EQ(hours[1].value, "168");
  configs.broker["log.roll.ms"] = "9";
  const auto ms = configs.synonyms("log.roll.ms");
  ASSERT_EQ(ms.size(), 3u) << "the coarser ones stand behind it";
  EXPECT_EQ(ms[0].source, ConfigSource::kDynamicBroker);
  EXPECT_EQ(ms[1].name, "log.roll.hours");
}

TEST_F(ConfigsTest, the_four_operations) {
  create("t");
  EXPECT_EQ(set(ConfigScope::kTopic, "t", "retention.ms", "5"), ErrorCode::kNone);
  const auto list = [&](ConfigOp op, const std::string& value) {
    return alter(ConfigScope::kTopic, "t", {{.name = "cleanup.policy", .op = op, .value = value}}).error;
  };
  EXPECT_EQ(list(ConfigOp::kAppend, "compact"), ErrorCode::kNone);
  EXPECT_EQ(own("t").at("cleanup.policy"), "delete,compact");
  EXPECT_EQ(list(ConfigOp::kAppend, "delete, compact"), ErrorCode::kNone);
  EXPECT_EQ(own("t").at("cleanup.policy"), "delete,compact") << "no element twice";
  EXPECT_EQ(list(ConfigOp::kSubtract, "delete"), ErrorCode::kNone);
  EXPECT_EQ(own("t").at("cleanup.policy"), "compact");
  EXPECT_EQ(list(ConfigOp::kSubtract, "compact"), ErrorCode::kNone);
  EXPECT_EQ(own("t").at("cleanup.policy"), "");
  EXPECT_EQ(clear(ConfigScope::kTopic, "t", "cleanup.policy"), ErrorCode::kNone);
  EXPECT_EQ(clear(ConfigScope::kTopic, "t", "cleanup.policy"), ErrorCode::kNone) << "what is not set";
  EXPECT_EQ(own("t"), (ConfigMap{{"retention.ms", "5"}}));
  EXPECT_EQ(alter(ConfigScope::kTopic, "t", {{.name = "segment.ms", .value = "7"}}, true).error, ErrorCode::kNone);
  EXPECT_EQ(own("t"), (ConfigMap{{"segment.ms", "7"}})) << "AlterConfigs leaves nothing of what was";
  EXPECT_EQ(set(ConfigScope::kTopic, "u", "segment.ms", "7"), ErrorCode::kUnknownTopicOrPartition);
}

TEST_F(ConfigsTest, a_change_reaches_logs_and_images_and_lasts) {
  create("t", 2);
  controller->take_changes();
  EXPECT_EQ(set(ConfigScope::kTopic, "t", "message.timestamp.type", "LogAppendTime"), ErrorCode::kNone);
  const ImageChange change = controller->take_changes();
  ASSERT_EQ(change.configured.size(), 2u);
  EXPECT_TRUE(change.configured[1].config.append_time);
  EXPECT_TRUE(change.opened.empty());
  EXPECT_NE(change.image, nullptr);
  EXPECT_EQ(set(ConfigScope::kTopic, "t", "message.timestamp.type", "LogAppendTime"), ErrorCode::kNone);
  EXPECT_EQ(controller->take_changes().image, nullptr) << "nothing has changed";
  EXPECT_EQ(set(ConfigScope::kTopic, "t", "flush.ms", "1"), ErrorCode::kNone);
  EXPECT_TRUE(controller->take_changes().configured.empty()) << "of no use to a log";
  restart();
  EXPECT_EQ(own("t"), (ConfigMap{{"flush.ms", "1"}, {"message.timestamp.type", "LogAppendTime"}}));
}

TEST_F(ConfigsTest, broker_configs_are_stored_and_win_by_nearness) {
  create("t");
  EXPECT_EQ(set(ConfigScope::kBroker, "", "log.segment.bytes", "2000000"), ErrorCode::kNone);
  EXPECT_EQ(controller->image().find("t")->log_config.segment_bytes, 2'000'000u);
  EXPECT_EQ(set(ConfigScope::kBroker, "1", "log.segment.bytes", "3000000"), ErrorCode::kNone);
  EXPECT_EQ(controller->image().find("t")->log_config.segment_bytes, 3'000'000u);
  restart();
  EXPECT_EQ(controller->image().find("t")->log_config.segment_bytes, 3'000'000u);
  const auto topic = entry(topic_entries(*controller, {}), "segment.bytes");
  EXPECT_EQ(topic.source, ConfigSource::kDynamicBroker);
  EXPECT_EQ(topic.synonyms.size(), 3u);
  EXPECT_EQ(clear(ConfigScope::kBroker, "1", "log.segment.bytes"), ErrorCode::kNone);
  EXPECT_EQ(clear(ConfigScope::kBroker, "", "log.segment.bytes"), ErrorCode::kNone);
  EXPECT_EQ(controller->image().find("t")->log_config.segment_bytes, 1u << 30);
  EXPECT_TRUE(controller->configured(ConfigScope::kBroker).empty());
}

TEST_F(ConfigsTest, what_a_broker_refuses) {
  for (const auto& [name, value] : {std::pair("node.id", "3"),
                                    {"listeners", "PLAINTEXT://:1"},
                                    {"log.retention.ms", "x"},
                                    {"max.connections", "3"},
                                    // Not by the lists of values, but by Kafka's rules for a broker
                                    // (AbstractKafkaConfig, KafkaConfig.validateValues):
                                    {"log.retention.ms", "0"},
                                    {"log.roll.ms", "0"},
                                    {"log.roll.ms", "-1"},
                                    {"log.roll.jitter.ms", "-1"},
                                    {"max.connections.per.ip", "3"},
                                    {"max.connections.per.ip.overrides", "10.0.0.1:3"},
                                    {"listener.name.a.ssl.keystore.type", "JKS"}}) {
    EXPECT_EQ(set(ConfigScope::kBroker, "1", name, value), ErrorCode::kInvalidRequest) << name;
  }
  EXPECT_EQ(set(ConfigScope::kBroker, "1", "a.plugin", "one\ntwo"), ErrorCode::kInvalidRequest);
  EXPECT_EQ(set(ConfigScope::kBroker, "1", "a.plugin", "secret"), ErrorCode::kNone);
  const auto unknown = entry(broker_entries(*controller), "a.plugin");
  EXPECT_TRUE(unknown.sensitive);
  EXPECT_EQ(unknown.value, std::nullopt);
  EXPECT_EQ(set(ConfigScope::kBroker, "1", "a.plugin", std::string(70'000, 'x')), ErrorCode::kPolicyViolation);
}

// A broker's may be anything below zero, and is then no limit; a topic's may not.
TEST_F(ConfigsTest, a_retention_below_zero) {
  create("t");
  EXPECT_EQ(set(ConfigScope::kTopic, "t", "retention.ms", "-1"), ErrorCode::kNone);
  EXPECT_EQ(set(ConfigScope::kTopic, "t", "retention.ms", "-2"), ErrorCode::kInvalidConfig);
  EXPECT_EQ(set(ConfigScope::kTopic, "t", "retention.ms", "-3"), ErrorCode::kInvalidConfig);
  EXPECT_EQ(clear(ConfigScope::kTopic, "t", "retention.ms"), ErrorCode::kNone);
  EXPECT_EQ(set(ConfigScope::kBroker, "1", "log.retention.ms", "-3"), ErrorCode::kNone);
  EXPECT_EQ(controller->image().find("t")->log_config.retention_ms, -1);
  EXPECT_EQ(entry(topic_entries(*controller, own("t")), "retention.ms").value, "-1") << "as Kafka tells it";
}

TEST_F(ConfigsTest, groups_are_bound_by_the_broker) {
  EXPECT_EQ(set(ConfigScope::kGroup, "g", "share.delivery.count.limit", "6"), ErrorCode::kNone);
  EXPECT_EQ(set(ConfigScope::kGroup, "g", "share.delivery.count.limit", "11"), ErrorCode::kInvalidConfig);
  EXPECT_EQ(set(ConfigScope::kGroup, "g", "streams.num.standby.replicas", "3"), ErrorCode::kInvalidConfig);
  EXPECT_EQ(set(ConfigScope::kGroup, "", "share.delivery.count.limit", "6"), ErrorCode::kInvalidRequest);
  EXPECT_EQ(controller->configured(ConfigScope::kGroup), std::vector<std::string>{"g"});
  restart();
  EXPECT_EQ(entry(group_entries(*controller, "g"), "share.delivery.count.limit").source, ConfigSource::kGroup);
  EXPECT_EQ(entry(group_entries(*controller, "h"), "share.delivery.count.limit").source, ConfigSource::kDefault);
}

TEST_F(ConfigsTest, partitions_are_added_and_get_logs) {
  rings = {0, 1};
  restart();
  create("t", 1);
  controller->take_changes();
  const PartitionGrowth growth{.topic = "t", .count = 3};
  EXPECT_EQ(controller->create_partitions({&growth, 1}, true)[0].error, ErrorCode::kNone);
  EXPECT_EQ(controller->image().partition_count(), 1u) << "only asked";
  EXPECT_EQ(controller->create_partitions({&growth, 1}, false)[0].error, ErrorCode::kNone);
  const ImageChange change = controller->take_changes();
  ASSERT_EQ(change.opened.size(), 2u);
  EXPECT_EQ(change.opened[0].place.log, storage::LogId{1});
  EXPECT_EQ(change.opened[0].place.ring, 1) << "the ring with fewer logs";
  EXPECT_TRUE(change.configured.empty());
  EXPECT_EQ(change.image->find("t")->partitions.size(), 3u);
  EXPECT_EQ(controller->create_partitions({&growth, 1}, false)[0].error, ErrorCode::kInvalidPartitions);
  restart();
  EXPECT_EQ(controller->image().partition_count(), 3u);
  create("u", 1);
  EXPECT_EQ(controller->image().find("u")->record.partitions[0].log, storage::LogId{3}) << "log ids are given once";
}

TEST_F(ConfigsTest, more_partitions_than_there_may_be) {
  options.partitions_max = 5;
  restart();
  create("t", 2);
  create("u", 1);
  const PartitionGrowth growths[] = {{.topic = "t", .count = 4}, {.topic = "u", .count = 2}};
  const auto outcomes = controller->create_partitions(growths, false);
  EXPECT_EQ(outcomes[0].error, ErrorCode::kNone);
  EXPECT_EQ(outcomes[1].error, ErrorCode::kPolicyViolation);
  EXPECT_EQ(controller->image().partition_count(), 5u);
}

// What Java's String.trim takes from around a value.
constexpr std::pair<const char*, const char*> kAround[] = {
    {"\n", ""}, {"", "\n"}, {"\r", ""}, {"", "\r"}, {"", " "}, {"\t\v", "\f"}, {"\r\n", "\r\n\n"}, {"\x01", "\x1f"}};

TEST_F(ConfigsTest, what_is_around_a_topics_value_is_not_stored) {
  std::map<std::string, std::pair<std::string, std::string>> expected;  // by topic: config, value
  create("altered");
  for (const ConfigInfo& info : configs_of(ConfigScope::kTopic)) {
    if (!info.default_value) continue;
    const std::string name(info.name);
    for (const auto& [before, after] : kAround) {
      const std::string value = before + std::string(*info.default_value) + after;
      const std::string topic = "t" + std::to_string(expected.size());
      const auto made = create({.name = topic, .partitions = 1, .configs = {{name, value}}});
      EXPECT_EQ(made.error, ErrorCode::kNone) << name << ": " << made.message;
      expected[topic] = {name, std::string(*info.default_value)};
      EXPECT_EQ(set(ConfigScope::kTopic, "altered", name, value), ErrorCode::kNone) << name;
      EXPECT_EQ(own("altered").at(name), *info.default_value) << name;
    }
  }
  restart();
  for (const auto& [topic, config] : expected) {
    EXPECT_EQ(own(topic), (ConfigMap{{config.first, config.second}})) << topic;
  }
  for (const auto& [name, value] : own("altered")) {
    EXPECT_EQ(value, find_config(ConfigScope::kTopic, name)->default_value) << name;
  }
  EXPECT_EQ(own("altered").size() * std::size(kAround), expected.size());
}

TEST_F(ConfigsTest, what_is_around_a_value_of_a_broker_a_group_or_client_metrics_is_not_stored) {
  for (const auto& [scope, resource] :
       {std::pair(ConfigScope::kBroker, ""), {ConfigScope::kGroup, "g"}, {ConfigScope::kClientMetrics, "m"}}) {
    size_t taken = 0;
    for (const ConfigInfo& info : configs_of(scope)) {
      if (!info.default_value) continue;
      const std::string name(info.name);
      const bool is_settable = scope != ConfigScope::kBroker || controller->is_dynamic(info);
      if (is_settable) ++taken;
      for (const auto& [before, after] : kAround) {
        const ErrorCode error = set(scope, resource, name, before + std::string(*info.default_value) + after);
        EXPECT_EQ(error == ErrorCode::kNone, is_settable) << name;
        if (!is_settable) break;
        EXPECT_EQ(controller->stored_configs(scope, resource).at(name), *info.default_value) << name;
      }
    }
    restart();
    EXPECT_EQ(controller->stored_configs(scope, resource).size(), taken);
    EXPECT_GT(taken, 2u);
  }
}

TEST_F(ConfigsTest, control_characters_within_a_value_are_refused) {
  create("t");
  const auto of_topic = [&](const std::string& name, const std::string& value) {
    return set(ConfigScope::kTopic, "t", name, value);
  };
  EXPECT_EQ(of_topic("retention.ms", "6\n0"), ErrorCode::kInvalidConfig);
  EXPECT_EQ(of_topic("compression.type", "zs\rtd"), ErrorCode::kInvalidConfig);
  EXPECT_EQ(of_topic("preallocate", "true\nconfig a=b"), ErrorCode::kInvalidConfig);
  EXPECT_EQ(of_topic("cleanup.policy", "com\npact"), ErrorCode::kInvalidConfig);
  EXPECT_EQ(of_topic("cleanup.policy", "compact,\n"), ErrorCode::kInvalidConfig) << "an empty element";
  EXPECT_EQ(of_topic("cleanup.policy", ",compact"), ErrorCode::kInvalidConfig) << "an empty element";
  EXPECT_EQ(of_topic("no.such\nconfig a", "b"), ErrorCode::kInvalidConfig);
  EXPECT_EQ(set(ConfigScope::kGroup, "g", "share.auto.offset.reset", "la\ntest"), ErrorCode::kInvalidConfig);
  EXPECT_EQ(set(ConfigScope::kClientMetrics, "m", "match", "client_id=a\nb"), ErrorCode::kInvalidRequest);
  EXPECT_EQ(set(ConfigScope::kBroker, "", "a.plugin", "secret\n"), ErrorCode::kInvalidRequest);
  EXPECT_EQ(set(ConfigScope::kBroker, "", "a.plugin\nconfig b", "c"), ErrorCode::kInvalidRequest);
  EXPECT_EQ(of_topic("cleanup.policy", "compact\r\n,\n delete"), ErrorCode::kNone) << "as Kafka parts a list";
  restart();
  EXPECT_EQ(own("t"), (ConfigMap{{"cleanup.policy", "compact,delete"}}));
}

TEST_F(ConfigsTest, a_store_with_line_breaks_around_values_is_read) {
  create("t");
  create("u");
  const auto record = [&](const std::string& topic) { return store.get(keys::topic(topic)).value()->value; };
  write(keys::topic("t"), record("t") + "config retention.ms=60000\n\nconfig segment.ms=7\n");
  write(keys::topic("u"), record("u") + "config preallocate=true\r\nconfig retention.ms= \n\t\n 60000\n \n");
  write(std::string(keys::kConfigs) + "brokers/", "configs 1\nconfig log.retention.ms=\n5\nconfig log.roll.ms=7\n\n");
  restart();
  EXPECT_EQ(own("t"), (ConfigMap{{"retention.ms", "60000"}, {"segment.ms", "7"}}));
  EXPECT_EQ(controller->image().find("u")->log_config.retention_ms, 60'000);
  EXPECT_EQ(controller->stored_configs(ConfigScope::kBroker, ""),
            (ConfigMap{{"log.retention.ms", "5"}, {"log.roll.ms", "7"}}));
  EXPECT_EQ(set(ConfigScope::kTopic, "u", "segment.ms", "7"), ErrorCode::kNone);
  restart();
  EXPECT_EQ(own("u"), (ConfigMap{{"preallocate", "true"}, {"retention.ms", "60000"}, {"segment.ms", "7"}}));
  EXPECT_FALSE(parse_topic_record(record("t") + "nonsense\n").has_value());
  EXPECT_FALSE(parse_configs("configs 1\nconfig a=b\nnonsense\n").has_value());
  EXPECT_FALSE(parse_configs("configs 1\nnonsense\n").has_value());
}

TEST(RecordsDeathTest, what_could_not_be_read_back_is_not_written) {
  EXPECT_DEATH(encode(ConfigMap{{"a", "b\n"}}), "value.find");
  EXPECT_DEATH(encode(ConfigMap{{"a\n", "b"}}), "name.find");
  EXPECT_DEATH(encode(ConfigMap{{"a=b", "c"}}), "name.find");
}

TEST_F(ConfigsTest, a_long_config_costs_its_own_topic_only) {
  constexpr auto kLong = "leader.replication.throttled.replicas";
  std::vector<NewTopic> topics(20);
  for (size_t i = 0; i < topics.size(); ++i) {
    topics[i] = {.name = "t" + std::to_string(i), .partitions = 1, .configs = {{kLong, replicas(4000)}}};
  }
  topics[7].configs[kLong] = replicas(70'000);  // more than a transaction may have
  const auto outcomes = controller->create_topics(topics, false);
  for (size_t i = 0; i < topics.size(); ++i) {
    EXPECT_EQ(outcomes[i].error, i == 7 ? ErrorCode::kPolicyViolation : ErrorCode::kNone) << outcomes[i].message;
  }
  EXPECT_EQ(controller->create_topics(std::span(topics).subspan(7, 1), true)[0].error, ErrorCode::kPolicyViolation);
  EXPECT_EQ(set(ConfigScope::kTopic, "t0", kLong, replicas(70'000)), ErrorCode::kPolicyViolation);
  EXPECT_EQ(set(ConfigScope::kTopic, "t0", kLong, replicas(45'000)), ErrorCode::kNone);
  const PartitionGrowth growth{.topic = "t0", .count = 10'000};
  EXPECT_EQ(controller->create_partitions({&growth, 1}, false)[0].error, ErrorCode::kPolicyViolation);
  EXPECT_EQ(counters.get(Metric::metadata_failures), 0u) << "the store was never asked for too much";
  restart();
  EXPECT_EQ(controller->image().topics().size(), topics.size() - 1);
  EXPECT_EQ(own("t19").at(kLong), replicas(4000));
}

}  // namespace
}  // namespace penstock::control
