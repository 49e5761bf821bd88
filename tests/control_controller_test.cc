// The controller over a store in memory: what it makes, refuses, remembers, and tells the lcores.
#include <gtest/gtest.h>

#include <set>

#include "control/controller/keys.h"
#include "tests/control_fixture.h"

namespace penstock::control {
namespace {

class ControllerTest : public testing::Test, protected ControllerFixture {
 protected:
  ControllerTest() { restart(); }
  ErrorCode error_of(NewTopic topic) { return create(std::move(topic)).error; }
  static std::set<uint64_t> ids(const std::vector<LogPlace>& places) {
    std::set<uint64_t> set;
    for (const LogPlace& place : places) set.insert(place.log.value());
    return set;
  }
  static std::set<uint64_t> ids(const std::vector<PlacedConfig>& logs) {
    std::set<uint64_t> set;
    for (const PlacedConfig& log : logs) set.insert(log.place.log.value());
    return set;
  }
  // What the log of a topic with these settings is opened with.
  storage::LogConfig opened_with(ConfigMap configs) {
    restart();
    const std::string name = "t" + std::to_string(controller->next_log_id().value());
    EXPECT_EQ(create({.name = name, .configs = std::move(configs)}).error, ErrorCode::kNone);
    const auto opened = controller->take_changes().opened;
    EXPECT_EQ(opened.size(), 1u);
    return opened.at(0).config;
  }
};

TEST_F(ControllerTest, the_cluster_id_is_made_once) {
  const Uuid id = controller->cluster_id();
  EXPECT_FALSE(id.is_zero());
  restart();
  EXPECT_EQ(controller->cluster_id(), id);
}

TEST_F(ControllerTest, a_topic_is_there_with_its_partitions_after_a_restart) {
  const TopicOutcome made = create({.name = "a", .partitions = 3, .configs = {{"retention.ms", "1000"}}});
  ASSERT_EQ(made.error, ErrorCode::kNone) << made.message;
  restart();
  const TopicPtr topic = controller->image().find("a");
  ASSERT_NE(topic, nullptr);
  EXPECT_EQ(topic->record, made.topic->record);
  EXPECT_EQ(topic->record.partitions.size(), 3u);
  EXPECT_EQ(controller->image().find(topic->record.id), topic);
  EXPECT_EQ(controller->logs_of(0).size(), 3u);
  EXPECT_EQ(controller->next_log_id().value(), 3u);
}

TEST_F(ControllerTest, log_ids_and_topic_ids_are_never_used_again) {
  const TopicOutcome first = create("a", 2);
  ASSERT_EQ(remove("a").error, ErrorCode::kNone);
  restart();
  const TopicOutcome second = create("a", 2);
  EXPECT_NE(first.topic->record.id, second.topic->record.id);
  EXPECT_EQ(second.topic->record.partitions[0].log.value(), 2u);
  EXPECT_EQ(controller->image().find(first.topic->record.id), nullptr);
}

TEST_F(ControllerTest, lcores_are_told_what_opened_and_what_was_dropped) {
  EXPECT_NE(controller->take_changes().image, nullptr) << "the first image, though it is empty";
  EXPECT_EQ(controller->take_changes().image, nullptr);
  create("a", 2);
  create("b", 1);
  const ImageChange made = controller->take_changes();
  EXPECT_EQ(ids(made.opened), (std::set<uint64_t>{0, 1, 2}));
  EXPECT_TRUE(made.dropped.empty());
  ASSERT_NE(made.image, nullptr);
  EXPECT_EQ(made.image->find("a")->partitions.size(), 2u);
  remove("a");
  const ImageChange removed = controller->take_changes();
  EXPECT_EQ(ids(removed.dropped), (std::set<uint64_t>{0, 1}));
  EXPECT_EQ(removed.image->find("a"), nullptr);
  EXPECT_EQ(removed.image->find("b"), made.image->find("b")) << "topics that stay are shared, not copied";
}

TEST_F(ControllerTest, lcores_learn_where_clients_reach_the_broker) {
  options.broker_rack = "r1";
  restart();
  EXPECT_EQ(controller->take_changes().image->addresses, nullptr);
  controller->advertise({{.host = "inside", .port = 9092}, {.host = "::1", .port = 19092}});
  const auto image = controller->take_changes().image;
  ASSERT_NE(image, nullptr);
  ASSERT_NE(image->addresses, nullptr);
  ASSERT_EQ(image->addresses->by_listener.size(), 2u);
  EXPECT_EQ(image->addresses->by_listener[1].host, "::1");
  EXPECT_EQ(image->addresses->by_listener[1].port, 19092);
  EXPECT_EQ(image->addresses->rack, "r1");
  EXPECT_EQ(image->node_id, controller->node());
  create("a");
  EXPECT_EQ(controller->take_changes().image->addresses, image->addresses) << "shared, not copied";
}

TEST_F(ControllerTest, a_restart_does_not_tell_lcores_to_open_what_storage_opens_itself) {
  create("a", 2);
  restart();
  const ImageChange first = controller->take_changes();
  EXPECT_TRUE(first.opened.empty());
  EXPECT_NE(first.image->find("a"), nullptr);
}

TEST_F(ControllerTest, names_follow_kafkas_rules) {
  EXPECT_EQ(error_of({.name = ""}), ErrorCode::kInvalidTopicException);
  EXPECT_EQ(error_of({.name = "."}), ErrorCode::kInvalidTopicException);
  EXPECT_EQ(error_of({.name = ".."}), ErrorCode::kInvalidTopicException);
  EXPECT_EQ(error_of({.name = "with space"}), ErrorCode::kInvalidTopicException);
  EXPECT_EQ(error_of({.name = "sl/ash"}), ErrorCode::kInvalidTopicException);
  EXPECT_EQ(error_of({.name = std::string("nul\0", 4)}), ErrorCode::kInvalidTopicException);
  EXPECT_EQ(error_of({.name = std::string(250, 'x')}), ErrorCode::kInvalidTopicException);
  EXPECT_EQ(error_of({.name = std::string(249, 'x')}), ErrorCode::kNone);
  EXPECT_EQ(error_of({.name = "Aa0._-"}), ErrorCode::kNone);
  EXPECT_EQ(error_of({.name = "Aa0._-"}), ErrorCode::kTopicAlreadyExists);
}

TEST_F(ControllerTest, a_dot_and_an_underscore_collide_also_after_a_restart_and_in_one_request) {
  EXPECT_EQ(error_of({.name = "a.b"}), ErrorCode::kNone);
  EXPECT_EQ(error_of({.name = "a_b"}), ErrorCode::kInvalidTopicException);
  restart();
  EXPECT_EQ(error_of({.name = "a_b"}), ErrorCode::kInvalidTopicException);
  remove("a.b");
  EXPECT_EQ(error_of({.name = "a_b"}), ErrorCode::kNone);
  const std::vector<NewTopic> both = {{.name = "c.d"}, {.name = "c_d"}};
  const auto outcomes = controller->create_topics(both, false);
  EXPECT_EQ(outcomes[0].error, ErrorCode::kNone);
  EXPECT_EQ(outcomes[1].error, ErrorCode::kInvalidTopicException);
}

TEST_F(ControllerTest, counts_follow_kafkas_rules) {
  EXPECT_EQ(error_of({.name = "a", .partitions = 0}), ErrorCode::kInvalidPartitions);
  EXPECT_EQ(error_of({.name = "a", .partitions = -2}), ErrorCode::kInvalidPartitions);
  EXPECT_EQ(error_of({.name = "a", .partitions = 10'001}), ErrorCode::kInvalidPartitions);
  EXPECT_EQ(error_of({.name = "a", .replication_factor = 0}), ErrorCode::kInvalidReplicationFactor);
  EXPECT_EQ(error_of({.name = "a", .replication_factor = 2}), ErrorCode::kInvalidReplicationFactor);
  EXPECT_EQ(error_of({.name = "a", .replication_factor = 1}), ErrorCode::kNone);
  options.num_partitions = 7;
  EXPECT_EQ(create("b").topic->record.partitions.size(), 7u);
}

TEST_F(ControllerTest, assignments_must_cover_the_partitions_and_name_this_broker) {
  const auto assigned = [&](std::vector<ReplicaAssignment> assignments) {
    return error_of({.name = "a", .assignments = std::move(assignments)});
  };
  EXPECT_EQ(error_of({.name = "a", .partitions = 1, .assignments = {{0, {1}}}}), ErrorCode::kInvalidRequest);
  EXPECT_EQ(assigned({{1, {1}}}), ErrorCode::kInvalidReplicaAssignment);
  EXPECT_EQ(assigned({{0, {1}}, {0, {1}}}), ErrorCode::kInvalidReplicaAssignment);
  EXPECT_EQ(assigned({{0, {2}}}), ErrorCode::kInvalidReplicaAssignment);
  EXPECT_EQ(assigned({{0, {1, 1}}}), ErrorCode::kInvalidReplicaAssignment);
  EXPECT_EQ(assigned({{0, {}}}), ErrorCode::kInvalidReplicaAssignment);
  EXPECT_EQ(assigned({{1, {1}}, {0, {1}}}), ErrorCode::kNone);
  EXPECT_EQ(controller->image().find("a")->record.partitions.size(), 2u);
}

TEST_F(ControllerTest, settings_are_checked_and_max_message_bytes_reaches_the_lcores) {
  EXPECT_EQ(error_of({.name = "a", .configs = {{"no.such.setting", "1"}}}), ErrorCode::kInvalidConfig);
  EXPECT_EQ(error_of({.name = "a", .configs = {{"max.message.bytes", "-1"}}}), ErrorCode::kInvalidConfig);
  create({.name = "small", .configs = {{"max.message.bytes", "100"}}});
  create("usual");
  const auto image = controller->take_changes().image;
  EXPECT_EQ(image->find("small")->max_message_bytes, 100);
  EXPECT_EQ(image->find("usual")->max_message_bytes, 1'048'588);
}

constexpr int64_t kHourMs = 3'600'000;  // Kafka's bound of how far ahead a record's time may be

TEST_F(ControllerTest, a_topics_settings_reach_its_logs) {
  const storage::LogConfig usual = opened_with({});
  EXPECT_EQ(usual, storage::LogConfig{.timestamp_after_max_ms = kHourMs}) << "storage's other defaults are Kafka's";
  const storage::LogConfig own = opened_with({{"segment.bytes", "1048576"},
                                              {"segment.ms", "5000"},
                                              {"retention.ms", "60000"},
                                              {"retention.bytes", "7"},
                                              {"cleanup.policy", "compact"}});
  EXPECT_EQ(own, (storage::LogConfig{.segment_bytes = 1 << 20,
                                     .segment_ms = 5000,
                                     .retention_ms = 60'000,
                                     .retention_bytes = 7,
                                     .delete_old = false,
                                     .compact = true,
                                     .timestamp_after_max_ms = kHourMs}));
  EXPECT_TRUE(opened_with({{"cleanup.policy", "compact, delete"}}).delete_old);
  EXPECT_FALSE(opened_with({{"cleanup.policy", ""}}).delete_old);
  EXPECT_EQ(opened_with({{"retention.ms", "-1"}, {"retention.bytes", "-5"}}),
            (storage::LogConfig{.retention_ms = -1, .retention_bytes = -1, .timestamp_after_max_ms = kHourMs}));
  const auto stamped = opened_with({{"message.timestamp.type", "LogAppendTime"},
                                    {"message.timestamp.before.max.ms", "5"},
                                    {"message.timestamp.after.max.ms", "6"}});
  EXPECT_EQ(stamped,
            (storage::LogConfig{.append_time = true, .timestamp_before_max_ms = 5, .timestamp_after_max_ms = 6}));
}

TEST_F(ControllerTest, the_brokers_settings_are_its_topics_defaults) {
  options.log_retention_hours = 2;
  EXPECT_EQ(opened_with({}).retention_ms, 2 * 3'600'000);
  options.log_retention_minutes = 3;
  EXPECT_EQ(opened_with({}).retention_ms, 3 * 60'000);
  options.log_retention_ms = 4;
  EXPECT_EQ(opened_with({}).retention_ms, 4);
  options.log_retention_ms = -1;
  EXPECT_EQ(opened_with({}).retention_ms, -1);
  options.log_roll_hours = 1;
  EXPECT_EQ(opened_with({}).segment_ms, 3'600'000);
  options.log_roll_ms = 9;
  options.log_segment_bytes = 2 << 20;
  options.log_retention_bytes = 10;
  options.log_cleanup_policy = "compact";
  EXPECT_EQ(opened_with({}), (storage::LogConfig{.segment_bytes = 2 << 20,
                                                 .segment_ms = 9,
                                                 .retention_ms = -1,
                                                 .retention_bytes = 10,
                                                 .delete_old = false,
                                                 .compact = true,
                                                 .timestamp_after_max_ms = kHourMs}));
  EXPECT_EQ(opened_with({{"retention.ms", "77"}}).retention_ms, 77) << "a topic's own setting wins";
}

TEST_F(ControllerTest, a_restart_opens_logs_with_the_settings_of_now) {
  create({.name = "a", .configs = {{"retention.ms", "1000"}}});
  create("b");
  options.log_retention_ms = 55;
  restart();
  const auto logs = controller->logs_of(0);
  ASSERT_EQ(logs.size(), 2u);
  EXPECT_EQ(logs[0].config.retention_ms, 1000);
  EXPECT_EQ(logs[1].config.retention_ms, 55);
}

TEST_F(ControllerTest, settings_that_another_controller_changed_reach_the_logs_that_are_open) {
  create("a");
  controller->take_changes();
  const auto entry = store.get(keys::topic("a")).value();
  TopicRecord record = parse_topic_record(entry->value).value();
  record.configs["retention.ms"] = "5";
  ASSERT_TRUE(store.commit({.writes = {{.key = keys::topic("a"), .value = encode(record)}}}).value().applied);
  store.fail_commits(Error{Errc::kNoSpace});
  EXPECT_EQ(create("b").error, ErrorCode::kKafkaStorageError);
  store.fail_commits(std::nullopt);
  EXPECT_EQ(create("c").error, ErrorCode::kNone) << "reads again first";
  const ImageChange change = controller->take_changes();
  ASSERT_EQ(ids(change.configured), (std::set<uint64_t>{0}));
  EXPECT_EQ(change.configured[0].config.retention_ms, 5);
  EXPECT_EQ(ids(change.opened), (std::set<uint64_t>{1}));
  EXPECT_TRUE(change.dropped.empty());
}

TEST_F(ControllerTest, a_log_goes_to_the_ring_that_has_the_fewest) {
  rings = {0, 1, 5};
  restart();
  const auto rings_of = [&](const std::string& name) {
    std::vector<uint16_t> found;
    for (const auto& partition : controller->image().find(name)->record.partitions) found.push_back(partition.ring);
    return found;
  };
  create("a", 4);
  EXPECT_EQ(rings_of("a"), (std::vector<uint16_t>{0, 1, 5, 0}));
  create("b", 1);
  EXPECT_EQ(rings_of("b"), (std::vector<uint16_t>{1}));
  remove("a");
  restart();
  create("c", 3);
  EXPECT_EQ(rings_of("c"), (std::vector<uint16_t>{0, 5, 0})) << "ring 1 still has b's";
  controller->ring_failed(5);
  create("d", 3);
  EXPECT_EQ(rings_of("d"), (std::vector<uint16_t>{1, 0, 1})) << "none to a ring that has failed";
  EXPECT_EQ(controller->logs_of(5).size(), 1u);
}

TEST_F(ControllerTest, another_number_of_lcores_moves_nothing) {
  rings = {0, 1, 2};
  lcores = 2;
  restart();
  create("a", 3);
  const auto owners = [&] {
    std::vector<uint16_t> found;
    for (const auto& partition : controller->take_changes().image->find("a")->partitions)
      found.push_back(partition.lcore);
    return found;
  };
  EXPECT_EQ(owners(), (std::vector<uint16_t>{0, 1, 0}));
  lcores = 1;
  restart();
  EXPECT_EQ(owners(), (std::vector<uint16_t>{0, 0, 0}));
  EXPECT_EQ(controller->logs_of(2).size(), 1u);
  // Between them the two lists have every log once: what a ring does not have is another's, and left alone.
  const size_t all = controller->logs_of(0).size() + controller->logs_of(1).size() + controller->logs_of(2).size();
  for (const uint16_t ring : {0, 1, 2}) {
    const auto others = controller->logs_not_of(ring);
    EXPECT_EQ(others.size() + controller->logs_of(ring).size(), all);
    for (const storage::LogToOpen& log : controller->logs_of(ring)) EXPECT_FALSE(others.contains(log.id));
  }
}

TEST_F(ControllerTest, a_ring_that_is_in_no_folder_is_refused_by_name) {
  rings = {0, 1};
  restart();
  create("a", 2);
  const auto loaded =
      Controller::load(store, prng, {.options = &options, .settings = {}, .lcores = 1, .rings = {0}}, counters);
  ASSERT_FALSE(loaded);
  EXPECT_NE(loaded.error().find("ring-1"), std::string::npos) << loaded.error();
}

TEST_F(ControllerTest, validate_only_makes_nothing) {
  const TopicOutcome planned = create({.name = "a", .partitions = 5}, true);
  EXPECT_EQ(planned.error, ErrorCode::kNone);
  EXPECT_EQ(planned.topic->record.partitions.size(), 5u);
  EXPECT_EQ(controller->image().find("a"), nullptr);
  EXPECT_EQ(create({.name = "..", .partitions = 5}, true).error, ErrorCode::kInvalidTopicException);
  restart();
  EXPECT_EQ(controller->image().find("a"), nullptr);
}

TEST_F(ControllerTest, partitions_are_bounded_in_a_request_and_in_all) {
  options.partitions_max = 10;
  EXPECT_EQ(create("a", 6).error, ErrorCode::kNone);
  EXPECT_EQ(create("b", 5).error, ErrorCode::kPolicyViolation);
  EXPECT_EQ(create("c", 4).error, ErrorCode::kNone);
  EXPECT_EQ(create("d", 1).error, ErrorCode::kPolicyViolation);
  remove("a");
  EXPECT_EQ(create("d", 1).error, ErrorCode::kNone);
  options.partitions_max = 1'000'000;
  std::vector<NewTopic> many(11'000);
  for (size_t i = 0; i < many.size(); ++i) many[i].name = "many-" + std::to_string(i);
  const auto outcomes = controller->create_topics(many, false);
  EXPECT_EQ(std::ranges::count(outcomes, ErrorCode::kNone, &TopicOutcome::error), 10'000);
  EXPECT_EQ(outcomes.back().error, ErrorCode::kPolicyViolation);
}

TEST_F(ControllerTest, the_largest_topic_fits_into_one_transaction) {
  EXPECT_EQ(create("a", 10'000).error, ErrorCode::kNone);
  restart();
  EXPECT_EQ(controller->image().find("a")->record.partitions.size(), 10'000u);
}

TEST_F(ControllerTest, deleting_what_is_not_there_is_an_error_and_the_others_go) {
  create("a");
  const std::vector<std::string> names = {"a", "b"};
  const auto outcomes = controller->delete_topics(names);
  EXPECT_EQ(outcomes[0].error, ErrorCode::kNone);
  EXPECT_EQ(outcomes[1].error, ErrorCode::kUnknownTopicOrPartition);
  restart();
  EXPECT_EQ(controller->image().find("a"), nullptr);
  EXPECT_TRUE(store.range("topic", "topid", 100).value().entries.empty()) << "its claim and its id went too";
}

TEST_F(ControllerTest, a_failed_commit_changes_nothing_and_the_next_works) {
  create("a");
  controller->take_changes();
  store.fail_commits(Error{Errc::kNoSpace});
  EXPECT_EQ(create("b").error, ErrorCode::kKafkaStorageError);
  EXPECT_EQ(remove("a").error, ErrorCode::kKafkaStorageError);
  EXPECT_EQ(controller->take_changes().image, nullptr);
  EXPECT_FALSE(controller->next_producer_id().has_value());
  store.fail_commits(std::nullopt);
  EXPECT_EQ(create("b").error, ErrorCode::kNone);
  EXPECT_EQ(remove("a").error, ErrorCode::kNone);
  EXPECT_EQ(controller->image().topics().size(), 1u);
}

TEST_F(ControllerTest, on_a_full_drive_topics_can_be_deleted_and_configured_and_creations_are_told_why) {
  create("a");
  create("b");
  store.be_full(true);
  const TopicOutcome refused = create("c");
  EXPECT_EQ(refused.error, ErrorCode::kKafkaStorageError);
  EXPECT_NE(refused.message.find("drive that holds the metadata is full"), std::string::npos) << refused.message;
  EXPECT_EQ(controller->alter_configs({.name = "a", .changes = {{.name = "retention.ms", .value = "5"}}}).error,
            ErrorCode::kNone);
  EXPECT_EQ(remove("b").error, ErrorCode::kNone);
  EXPECT_EQ(controller->image().topics().size(), 1u);
  store.be_full(false);
  EXPECT_EQ(create("c").error, ErrorCode::kNone);
}

TEST_F(ControllerTest, what_another_controller_did_is_read_before_the_next_change) {
  create("mine");
  controller->take_changes();
  const auto rival =
      Controller::load(store, prng, {.options = &options, .settings = {}, .lcores = 1}, counters).value();
  const NewTopic theirs{.name = "theirs", .partitions = 2};
  ASSERT_EQ(rival->create_topics(std::span(&theirs, 1), false).front().error, ErrorCode::kNone);
  const std::string mine = "mine";
  ASSERT_EQ(rival->delete_topics(std::span(&mine, 1)).front().error, ErrorCode::kNone);
  EXPECT_EQ(create("b").error, ErrorCode::kNotController) << "refused, not made over theirs";
  EXPECT_EQ(create("b").error, ErrorCode::kNone);
  const ImageChange change = controller->take_changes();
  EXPECT_EQ(ids(change.opened), (std::set<uint64_t>{1, 2, 3}));
  EXPECT_EQ(ids(change.dropped), (std::set<uint64_t>{0}));
  EXPECT_EQ(change.image->find("mine"), nullptr);
  EXPECT_NE(change.image->find("theirs"), nullptr);
}

TEST_F(ControllerTest, producer_ids_are_never_handed_out_twice) {
  std::set<int64_t> seen;
  const auto take = [&](int n) {
    for (int i = 0; i < n; ++i) EXPECT_TRUE(seen.insert(controller->next_producer_id().value().value()).second);
  };
  take(1);
  const Revision one_block = store.revision();
  take(999);
  EXPECT_EQ(store.revision(), one_block) << "a block costs one write";
  take(500);
  restart();
  take(10);
  EXPECT_GE(*seen.rbegin(), 2000);
}

TEST_F(ControllerTest, a_store_that_makes_no_sense_is_refused_by_name) {
  const auto refusal = [&] {
    const auto loaded = Controller::load(store, prng, {.options = &options, .settings = {}, .lcores = 1}, counters);
    return loaded ? std::string("none") : loaded.error();
  };
  create("a");
  options.node_id = 9;
  EXPECT_NE(refusal().find("node.id"), std::string::npos) << refusal();
  options.node_id = 1;
  const auto write = [&](std::string value) {
    ASSERT_TRUE(
        store.commit({.conditions = {}, .writes = {{.key = keys::topic("a"), .value = value}}}).value().applied);
  };
  write("topic 2\n");
  EXPECT_NE(refusal().find("newer penstock"), std::string::npos) << refusal();
  write("gibberish");
  EXPECT_NE(refusal().find("corrupt"), std::string::npos) << refusal();
  write("topic 1\nid " + to_text(random_uuid(prng)) + "\npartition 77 0 0 1 1 1\n");
  EXPECT_NE(refusal().find("corrupt"), std::string::npos) << "a log id that was never issued: " << refusal();
}

TEST(UuidText, reads_back_and_is_url_safe) {
  Prng prng(7);
  for (int i = 0; i < 1000; ++i) {
    const Uuid id = random_uuid(prng);
    const std::string text = to_text(id);
    EXPECT_EQ(text.size(), 22u);
    EXPECT_NE(text.front(), '-');
    EXPECT_EQ(parse_uuid(text), id);
  }
  EXPECT_EQ(to_text(Uuid{}), "AAAAAAAAAAAAAAAAAAAAAA");
  EXPECT_FALSE(parse_uuid("short").has_value());
  EXPECT_FALSE(parse_uuid("AAAAAAAAAAAAAAAAAAAAA/").has_value());
  EXPECT_FALSE(parse_uuid("AAAAAAAAAAAAAAAAAAAAAB").has_value()) << "the last letter has four bits too many";
}

TEST(Records, read_back_what_was_written) {
  Prng prng(7);
  TopicRecord record{.id = random_uuid(prng), .partitions = {}, .configs = {{"a", "b=c"}, {"empty", ""}}};
  record.partitions.push_back({.log = storage::LogId{~0ull},
                               .ring = 65535,
                               .leader_epoch = LeaderEpoch{3},
                               .leader = BrokerId{-1},
                               .replicas = {BrokerId{1}, BrokerId{2}},
                               .in_sync = {}});
  EXPECT_EQ(parse_topic_record(encode(record)), record);
  for (const char* bad : {"", "topic 1\n", "topic 1\nid x\n", "topic 1\nnonsense\n"}) {
    EXPECT_FALSE(parse_topic_record(bad).has_value()) << bad;
  }
}

struct ConfigCase {
  const char* name;
  const char* value;
  bool good;
};

TEST(TopicConfig, takes_what_kafka_takes) {
  const ConfigCase cases[] = {
      {"cleanup.policy", "compact,delete", true},
      {"cleanup.policy", "compact, delete", true},
      {"cleanup.policy", "", true},
      {"cleanup.policy", "compact,compact", false},
      {"cleanup.policy", "shred", false},
      {"compression.type", "zstd", true},
      {"compression.type", "none", false},
      {"compression.gzip.level", "-1", true},
      {"compression.gzip.level", "0", false},
      {"compression.gzip.level", "9", true},
      {"compression.zstd.level", "-131072", true},
      {"compression.zstd.level", "23", false},
      {"retention.ms", "-1", true},
      {"retention.ms", "-2", false},
      {"retention.ms", "9223372036854775807", true},
      {"retention.ms", "9223372036854775808", false},
      {"retention.ms", "1e3", false},
      {"retention.ms", "", false},
      {"retention.ms", " 5 ", true},
      {"retention.bytes", "-77", true},
      {"segment.bytes", "1048575", false},
      {"segment.bytes", "1048576", true},
      {"segment.bytes", "2147483648", false},
      {"min.cleanable.dirty.ratio", "0.25", true},
      {"min.cleanable.dirty.ratio", "1.01", false},
      {"min.cleanable.dirty.ratio", "nan", false},
      {"preallocate", "TRUE", true},
      {"preallocate", "yes", false},
      {"message.timestamp.type", "LogAppendTime", true},
      {"message.timestamp.type", "logappendtime", false},
      {"follower.replication.throttled.replicas", "*", true},
      {"follower.replication.throttled.replicas", "0:1,1:1", true},
      {"follower.replication.throttled.replicas", "0-1", false},
      {"remote.storage.enable", "False", true},
      {"remote.storage.enable", "true", false},
  };
  for (const ConfigCase& c : cases) {
    const auto wrong = check_topic_configs({{c.name, c.value}});
    EXPECT_EQ(!wrong, c.good) << c.name << '=' << c.value << ": " << wrong.value_or("taken");
  }
  EXPECT_TRUE(check_topic_configs({{"min.compaction.lag.ms", "5"}, {"max.compaction.lag.ms", "4"}}).has_value());
}

TEST(KafkaConfig, every_default_is_valid_and_the_list_is_sorted) {
  const ConfigScope scopes[] = {ConfigScope::kTopic, ConfigScope::kBroker, ConfigScope::kGroup,
                                ConfigScope::kClientMetrics};
  const size_t sizes[] = {34, 363, 17, 3};
  for (size_t i = 0; i < std::size(scopes); ++i) {
    EXPECT_EQ(configs_of(scopes[i]).size(), sizes[i]);
    for (const ConfigInfo& info : configs_of(scopes[i])) {
      EXPECT_EQ(find_config(scopes[i], info.name), &info);
      EXPECT_FALSE(info.meaning.empty()) << info.name;
      if (!info.default_value) continue;
      EXPECT_EQ(check_config(info, *info.default_value), std::nullopt) << info.name;
      EXPECT_EQ(canonical(info, *info.default_value), *info.default_value) << info.name;
    }
  }
}

}  // namespace
}  // namespace penstock::control
