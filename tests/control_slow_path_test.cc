// The slow path as clients see it: a request frame in, a response frame out (control/slow_path).
#include <gtest/gtest.h>

#include <cstring>

#include "control/slow_path/handlers.h"
#include "protocol/codec.h"
#include "protocol/header.h"
#include "tests/control_fixture.h"

namespace penstock::control {
namespace {

using protocol::ApiVersionsRequest;
using protocol::ApiVersionsResponse;
using protocol::CreateTopicsRequest;
using protocol::CreateTopicsResponse;
using protocol::DeleteRecordsRequest;
using protocol::DeleteRecordsResponse;
using protocol::DeleteTopicsRequest;
using protocol::DeleteTopicsResponse;
using protocol::DescribeClusterRequest;
using protocol::DescribeClusterResponse;
using protocol::FindCoordinatorRequest;
using protocol::FindCoordinatorResponse;
using protocol::InitProducerIdRequest;
using protocol::InitProducerIdResponse;
using protocol::MetadataRequest;
using protocol::MetadataResponse;

class SlowPathTest : public testing::Test, protected ControllerFixture {
 protected:
  SlowPathTest() { restart_all(); }
  std::vector<std::byte> send(int16_t key, int16_t version, std::vector<std::byte> frame, uint16_t listener = 0) {
    const auto answer = path().handle({.connection = dataplane::ConnectionId{1},
                                       .listener = listener,
                                       .api_key = key,
                                       .api_version = version,
                                       .frame = std::move(frame)},
                                      0, {});
    EXPECT_TRUE(answer.has_value());
    return answer.value_or(std::vector<std::byte>());
  }

  template <class Response, class Request>
  Response ask(const Request& request, int16_t version, uint16_t listener = 0) {
    const protocol::Api& api = *protocol::find_api(Request::kApiKey);
    std::vector<std::byte> frame = frame_of(request, version);
    const auto bytes = send(Request::kApiKey, version, std::move(frame), listener);
    Response response;
    const auto header = protocol::decode_response_header(api, version, bytes);
    EXPECT_TRUE(header.has_value());
    if (!header) return response;
    EXPECT_EQ(header->correlation_id, CorrelationId{77});
    EXPECT_TRUE(
        protocol::decode(std::span<const std::byte>(bytes).subspan(header->size), version, response).has_value());
    return response;
  }

  template <class Request>
  static std::vector<std::byte> frame_of(const Request& request, int16_t version) {
    const protocol::Api& api = *protocol::find_api(Request::kApiKey);
    std::vector<std::byte> frame;
    protocol::encode_request_header(
        api,
        {.api_key = Request::kApiKey, .api_version = version, .correlation_id = CorrelationId{77}, .client_id = "test"},
        frame);
    EXPECT_TRUE(protocol::encode(request, version, frame).has_value());
    return frame;
  }

  static MetadataRequest named(std::vector<std::string> names, bool create = false) {
    MetadataRequest request;
    for (std::string& name : names) {
      auto& topic = request.topics->emplace_back();
      topic.name = std::move(name);
    }
    request.allow_auto_topic_creation = create;
    return request;
  }
  static CreateTopicsRequest creation(std::string name, int32_t partitions = 1) {
    CreateTopicsRequest request;
    auto& topic = request.topics.emplace_back();
    topic.name = std::move(name);
    topic.num_partitions = partitions;
    topic.replication_factor = 1;
    return request;
  }
  SlowPath& path() { return *path_; }
  void restart_all() {
    restart();
    path_.emplace(*controller, advertised_, counters);
  }

 private:
  const std::vector<AdvertisedAddress> advertised_ = {{.host = "inside", .port = 9092}, {.host = "::1", .port = 19092}};
  std::optional<SlowPath> path_;
};

TEST_F(SlowPathTest, api_versions_offers_what_is_served_with_kafkas_minima) {
  for (int16_t version = 0; version <= 4; ++version) {
    ApiVersionsRequest request;
    if (version >= 3) {
      request.client_software_name = "apache-kafka-java";
      request.client_software_version = "3.9.0";
    }
    const auto response = ask<ApiVersionsResponse>(request, version);
    EXPECT_EQ(response.error_code, ErrorCode::kNone);
    std::map<int16_t, std::pair<int16_t, int16_t>> ranges;
    for (const auto& api : response.api_keys) ranges[api.api_key] = {api.min_version, api.max_version};
    using Range = std::pair<int16_t, int16_t>;
    EXPECT_EQ(ranges[0].first, 0) << "librdkafka before 2.11.1 drops compression without Produce 0";
    EXPECT_GE(ranges[0].second, 7);
    EXPECT_LE(ranges[1].first, 4) << "librdkafka's MSGVER2";
    EXPECT_GE(ranges[1].second, 10) << "librdkafka's ZSTD";
    EXPECT_LE(ranges[2].first, 1);
    EXPECT_EQ(ranges[3], Range(0, 13));
    EXPECT_EQ(ranges[10], Range(0, 6)) << "librdkafka 2.0.2's LZ4";
    EXPECT_EQ(ranges[18], Range(0, 4));
    EXPECT_EQ(ranges[19], Range(2, 7));
    EXPECT_EQ(ranges[20], Range(1, 6));
    EXPECT_EQ(ranges[22], Range(0, 5)) << "the unstable last version stays hidden";
    EXPECT_EQ(ranges[60], Range(0, 2));
    EXPECT_EQ(ranges.size(), served_apis().size()) << "nothing is offered that nobody answers";
    EXPECT_TRUE(response.supported_features.empty());
    EXPECT_TRUE(response.finalized_features.empty());
  }
}

TEST_F(SlowPathTest, an_unknown_api_versions_version_is_answered_as_version_0_with_the_range) {
  for (const int16_t version : {5, 6, 99, -1, 32767}) {
    std::vector<std::byte> frame = frame_of(ApiVersionsRequest{}, 0);
    store_be(frame.data() + 2, version);
    frame.resize(frame.size() + 5, std::byte{0xff});  // a body of a form that we cannot know
    const auto bytes = send(18, version, frame);
    ApiVersionsResponse response;
    ASSERT_GE(bytes.size(), 4u);
    EXPECT_EQ(load_be<int32_t>(bytes.data()), 77);
    ASSERT_TRUE(protocol::decode(std::span<const std::byte>(bytes).subspan(4), 0, response).has_value());
    EXPECT_EQ(response.error_code, ErrorCode::kUnsupportedVersion);
    ASSERT_EQ(response.api_keys.size(), 1u);
    EXPECT_EQ(response.api_keys[0].api_key, 18);
    EXPECT_EQ(response.api_keys[0].min_version, 0);
    EXPECT_EQ(response.api_keys[0].max_version, 4);
  }
}

TEST_F(SlowPathTest, the_clients_software_name_must_be_a_word) {
  const auto error = [&](const char* name, const char* version) {
    ApiVersionsRequest request;
    request.client_software_name = name;
    request.client_software_version = version;
    return ask<ApiVersionsResponse>(request, 3).error_code;
  };
  EXPECT_EQ(error("a", "1"), ErrorCode::kNone);
  EXPECT_EQ(error("a-b.c", "v1.0-rc.1"), ErrorCode::kNone);
  EXPECT_EQ(error("", "1"), ErrorCode::kInvalidRequest);
  EXPECT_EQ(error("a", ""), ErrorCode::kInvalidRequest);
  EXPECT_EQ(error("-a", "1"), ErrorCode::kInvalidRequest);
  EXPECT_EQ(error("a.", "1"), ErrorCode::kInvalidRequest);
  EXPECT_EQ(error("a b", "1"), ErrorCode::kInvalidRequest);
  EXPECT_EQ(error("a\n", "1"), ErrorCode::kInvalidRequest);
}

TEST_F(SlowPathTest, metadata_gives_the_address_of_the_listener_that_was_used) {
  const auto inside = ask<MetadataResponse>(named({}), 13, 0);
  ASSERT_EQ(inside.brokers.size(), 1u);
  EXPECT_EQ(inside.brokers[0].host, "inside");
  EXPECT_EQ(inside.brokers[0].port, 9092);
  EXPECT_EQ(inside.controller_id, inside.brokers[0].node_id);
  EXPECT_EQ(inside.cluster_id->size(), 22u);
  EXPECT_EQ(ask<MetadataResponse>(named({}), 13, 1).brokers[0].host, "::1");
  EXPECT_EQ(ask<DescribeClusterResponse>(DescribeClusterRequest{}, 2, 1).brokers[0].port, 19092);
}

TEST_F(SlowPathTest, metadata_for_all_or_for_none_by_version) {
  create("a");
  create("b");
  MetadataRequest all;
  all.topics.reset();
  for (int16_t version = 1; version <= 13; ++version) {
    EXPECT_EQ(ask<MetadataResponse>(all, version).topics.size(), 2u) << version;
    EXPECT_EQ(ask<MetadataResponse>(named({}, true), version).topics.size(), 0u) << version;
  }
  EXPECT_EQ(ask<MetadataResponse>(named({}, true), 0).topics.size(), 2u);
}

TEST_F(SlowPathTest, metadata_describes_partitions_in_every_version) {
  const TopicOutcome made = create("a", 3);
  for (int16_t version = 0; version <= 13; ++version) {
    // Before version 4 a client cannot say no.
    const auto response = ask<MetadataResponse>(named({"a"}, version < 4), version);
    ASSERT_EQ(response.topics.size(), 1u);
    const auto& topic = response.topics[0];
    EXPECT_EQ(topic.error_code, ErrorCode::kNone);
    EXPECT_EQ(topic.name, "a");
    EXPECT_FALSE(topic.is_internal);
    EXPECT_EQ(topic.topic_id, version >= 10 ? made.topic->record.id : Uuid{});
    EXPECT_EQ(topic.topic_authorized_operations, INT32_MIN);
    ASSERT_EQ(topic.partitions.size(), 3u);
    for (int32_t i = 0; i < 3; ++i) {
      EXPECT_EQ(topic.partitions[i].partition_index, i);
      EXPECT_EQ(topic.partitions[i].leader_id, 1);
      EXPECT_EQ(topic.partitions[i].leader_epoch, version >= 7 ? 0 : -1);
      EXPECT_EQ(topic.partitions[i].replica_nodes, std::vector{1});
      EXPECT_EQ(topic.partitions[i].isr_nodes, std::vector{1});
    }
  }
}

TEST_F(SlowPathTest, a_missing_topic_is_made_only_if_the_broker_and_the_client_allow_it) {
  const auto error = [&](const char* name, bool allow) {
    return ask<MetadataResponse>(named({name}, allow), 9).topics.at(0).error_code;
  };
  EXPECT_EQ(error("no", false), ErrorCode::kUnknownTopicOrPartition);
  EXPECT_EQ(error("bad name", true), ErrorCode::kInvalidTopicException);
  EXPECT_EQ(controller->image().topics().size(), 0u);
  EXPECT_EQ(error("yes", true), ErrorCode::kNone);
  EXPECT_EQ(error("yes", false), ErrorCode::kNone);
  EXPECT_EQ(counters.get(Metric::topics_created_automatically), 1u);
  options.auto_create_topics = false;
  EXPECT_EQ(error("never", true), ErrorCode::kUnknownTopicOrPartition);
  options.auto_create_topics = true;
  options.default_replication_factor = 3;
  EXPECT_EQ(error("copies", true), ErrorCode::kInvalidReplicationFactor);
}

TEST_F(SlowPathTest, internal_topics_are_made_with_their_own_settings_or_not_at_all) {
  options.offsets_topic_num_partitions = 7;
  const auto response = ask<MetadataResponse>(
      named({"__consumer_offsets", "__transaction_state", "__share_group_state", "__cluster_metadata", "__mine"}, true),
      9);
  std::map<std::string, MetadataResponse::Topic> told;
  for (const auto& topic : response.topics) told[*topic.name] = topic;
  EXPECT_EQ(told["__consumer_offsets"].error_code, ErrorCode::kNone);
  EXPECT_EQ(told["__consumer_offsets"].partitions.size(), 7u);
  EXPECT_EQ(controller->image().find("__consumer_offsets")->record.configs.at("cleanup.policy"), "compact");
  for (const char* name : {"__transaction_state", "__share_group_state", "__cluster_metadata"}) {
    EXPECT_EQ(told[name].error_code, ErrorCode::kUnknownTopicOrPartition) << name;
    EXPECT_EQ(controller->image().find(name), nullptr) << name;
    EXPECT_EQ(told[name].is_internal, std::string_view(name) != "__cluster_metadata") << name;
  }
  EXPECT_EQ(told["__mine"].error_code, ErrorCode::kNone);
  EXPECT_EQ(told["__mine"].partitions.size(), 1u);
  EXPECT_FALSE(told["__mine"].is_internal);
  EXPECT_EQ(counters.get(Metric::topics_created_automatically), 2u);
}

TEST_F(SlowPathTest, a_topic_named_twice_is_answered_once) {
  EXPECT_EQ(ask<MetadataResponse>(named({"a", "a", "b"}, true), 9).topics.size(), 2u);
}

TEST_F(SlowPathTest, metadata_by_topic_id) {
  const Uuid id = create("a").topic->record.id;
  MetadataRequest request;
  auto& topic = request.topics->emplace_back();
  topic.name.reset();
  topic.topic_id = id;
  EXPECT_EQ(ask<MetadataResponse>(request, 12).topics.at(0).name, "a");
  remove("a");
  create("a");
  const auto gone = ask<MetadataResponse>(request, 12).topics.at(0);
  EXPECT_EQ(gone.error_code, ErrorCode::kUnknownTopicId) << "a topic made again has another id";
  EXPECT_EQ(gone.name, std::nullopt);
  EXPECT_EQ(gone.topic_id, id);
  topic.name = "a";
  EXPECT_EQ(ask<MetadataResponse>(request, 11).topics.at(0).error_code, ErrorCode::kInvalidRequest);
}

TEST_F(SlowPathTest, operations_are_told_to_those_who_ask) {
  create("a");
  MetadataRequest request = named({"a"});
  request.include_cluster_authorized_operations = true;
  request.include_topic_authorized_operations = true;
  const auto response = ask<MetadataResponse>(request, 8);
  EXPECT_EQ(response.cluster_authorized_operations, kAllClusterOperations);
  EXPECT_EQ(response.topics.at(0).topic_authorized_operations, kAllTopicOperations);
  EXPECT_EQ(ask<MetadataResponse>(named({"a"}), 8).cluster_authorized_operations, INT32_MIN);
}

TEST_F(SlowPathTest, partitions_of_a_failed_ring_are_offline) {
  create("a");
  controller->ring_failed(0);
  const auto partition = ask<MetadataResponse>(named({"a"}), 9).topics.at(0).partitions.at(0);
  EXPECT_EQ(partition.error_code, ErrorCode::kLeaderNotAvailable);
  EXPECT_EQ(partition.leader_id, -1);
  EXPECT_EQ(partition.offline_replicas, std::vector{1});
}

TEST_F(SlowPathTest, delete_records_is_refused_at_once_where_no_lcore_is_needed) {
  create({.name = "compacted", .configs = {{"cleanup.policy", "compact"}}});
  create("__consumer_offsets");
  DeleteRecordsRequest request;
  for (const char* name : {"compacted", "absent", "__consumer_offsets"}) {
    auto& topic = request.topics.emplace_back();
    topic.name = name;
    topic.partitions.push_back({.partition_index = 0, .offset = -1});
    topic.partitions.push_back({.partition_index = 0, .offset = 0});  // twice: counts once
  }
  for (int16_t version = 0; version <= 2; ++version) {
    std::map<std::string, ErrorCode> errors;
    for (const auto& topic : ask<DeleteRecordsResponse>(request, version).topics) {
      ASSERT_EQ(topic.partitions.size(), 1u);
      EXPECT_EQ(topic.partitions[0].low_watermark, -1);
      errors[topic.name] = topic.partitions[0].error_code;
    }
    EXPECT_EQ(errors["compacted"], ErrorCode::kPolicyViolation);
    EXPECT_EQ(errors["absent"], ErrorCode::kUnknownTopicOrPartition);
    EXPECT_EQ(errors["__consumer_offsets"], ErrorCode::kInvalidTopicException);
  }
  EXPECT_EQ(path().delete_records().trims_waiting(), 0u);
}

TEST_F(SlowPathTest, create_topics_in_every_version) {
  for (int16_t version = 2; version <= 7; ++version) {
    const std::string name = "t" + std::to_string(version);
    const auto response = ask<CreateTopicsResponse>(creation(name, 4), version);
    ASSERT_EQ(response.topics.size(), 1u);
    const auto& topic = response.topics[0];
    EXPECT_EQ(topic.name, name);
    EXPECT_EQ(topic.error_code, ErrorCode::kNone);
    EXPECT_EQ(topic.error_message, std::nullopt);
    EXPECT_EQ(topic.num_partitions, version >= 5 ? 4 : -1);
    EXPECT_EQ(topic.replication_factor, version >= 5 ? 1 : -1);
    EXPECT_EQ(topic.configs->size(),
              version >= 5 ? configs_of(ConfigScope::kTopic).size() - 1 : 0u);  // one is internal
    EXPECT_EQ(topic.topic_id, version >= 7 ? controller->image().find(name)->record.id : Uuid{});
    const auto again = ask<CreateTopicsResponse>(creation(name, 4), version).topics.at(0);
    EXPECT_EQ(again.error_code, ErrorCode::kTopicAlreadyExists);
    EXPECT_TRUE(again.error_message.has_value());
  }
}

TEST_F(SlowPathTest, create_topics_reports_settings_with_their_source) {
  CreateTopicsRequest request = creation("a");
  auto& config = request.topics[0].configs.emplace_back();
  config.name = "retention.ms";
  config.value = "5000";
  const auto response = ask<CreateTopicsResponse>(request, 7);
  std::map<std::string, std::pair<std::optional<std::string>, int8_t>> told;
  for (const auto& entry : *response.topics.at(0).configs) told[entry.name] = {entry.value, entry.config_source};
  EXPECT_EQ(told["retention.ms"].first, "5000");
  EXPECT_EQ(told["retention.ms"].second, 1);
  EXPECT_EQ(told["cleanup.policy"].first, "delete");
  EXPECT_EQ(told["cleanup.policy"].second, 5);
}

TEST_F(SlowPathTest, create_topics_reports_what_the_brokers_settings_give) {
  options.log_retention_ms = 77;
  restart_all();
  const auto response = ask<CreateTopicsResponse>(creation("a"), 7);
  for (const auto& entry : *response.topics.at(0).configs) {
    if (entry.name == "retention.ms") {
      EXPECT_EQ(entry.value, "77");
    }
    EXPECT_EQ(entry.config_source, entry.name == "retention.ms" ? 4 : 5) << entry.name;
  }
}

TEST_F(SlowPathTest, create_topics_refuses_as_kafka_does) {
  const auto error = [&](const CreateTopicsRequest& request) {
    return ask<CreateTopicsResponse>(request, 7).topics.at(0).error_code;
  };
  EXPECT_EQ(error(creation("a b")), ErrorCode::kInvalidTopicException);
  EXPECT_EQ(error(creation("__cluster_metadata")), ErrorCode::kInvalidRequest);
  CreateTopicsRequest twice = creation("a");
  twice.topics.push_back(twice.topics[0]);
  const auto response = ask<CreateTopicsResponse>(twice, 7);
  ASSERT_EQ(response.topics.size(), 1u);
  EXPECT_EQ(response.topics[0].error_code, ErrorCode::kInvalidRequest);
  CreateTopicsRequest null_value = creation("a");
  auto& config = null_value.topics[0].configs.emplace_back();
  config.name = "retention.ms";
  config.value.reset();
  EXPECT_EQ(error(null_value), ErrorCode::kInvalidConfig);
  EXPECT_TRUE(controller->image().topics().empty());
}

TEST_F(SlowPathTest, line_breaks_around_the_values_of_configs_do_not_reach_the_store) {
  CreateTopicsRequest made = creation("t");
  made.topics[0].configs = {{.name = "retention.ms", .value = "604800000\n"},
                            {.name = "cleanup.policy", .value = "\ncompact"},
                            {.name = "preallocate", .value = "True\r\n"}};
  EXPECT_EQ(ask<CreateTopicsResponse>(made, 7).topics.at(0).error_code, ErrorCode::kNone);
  protocol::IncrementalAlterConfigsRequest changed;
  changed.resources.push_back({.resource_type = 2, .resource_name = "t", .configs = {}});
  changed.resources[0].configs = {{.name = "segment.ms", .value = "\r\n7"}, {.name = "flush.ms", .value = "8\n"}};
  const auto incremental = ask<protocol::IncrementalAlterConfigsResponse>(changed, 1);
  EXPECT_EQ(incremental.responses.at(0).error_code, ErrorCode::kNone);
  protocol::AlterConfigsRequest replaced;
  replaced.resources.push_back({.resource_type = 32, .resource_name = "g", .configs = {}});
  replaced.resources[0].configs = {{.name = "share.auto.offset.reset", .value = "\nearliest\n"}};
  EXPECT_EQ(ask<protocol::AlterConfigsResponse>(replaced, 2).responses.at(0).error_code, ErrorCode::kNone);
  restart_all();
  EXPECT_EQ(controller->image().find("t")->record.configs, (ConfigMap{{"cleanup.policy", "compact"},
                                                                      {"flush.ms", "8"},
                                                                      {"preallocate", "true"},
                                                                      {"retention.ms", "604800000"},
                                                                      {"segment.ms", "7"}}));
  EXPECT_EQ(controller->stored_configs(ConfigScope::kGroup, "g"), (ConfigMap{{"share.auto.offset.reset", "earliest"}}));
}

TEST_F(SlowPathTest, validate_only_answers_and_makes_nothing) {
  CreateTopicsRequest request = creation("a", -1);
  request.topics[0].replication_factor = -1;
  request.validate_only = true;
  const auto topic = ask<CreateTopicsResponse>(request, 7).topics.at(0);
  EXPECT_EQ(topic.error_code, ErrorCode::kNone);
  EXPECT_EQ(topic.num_partitions, 1);
  EXPECT_TRUE(controller->image().topics().empty());
}

TEST_F(SlowPathTest, delete_topics_by_name_in_every_version) {
  for (int16_t version = 1; version <= 6; ++version) {
    create("a");
    DeleteTopicsRequest request;
    if (version < 6)
      request.topic_names = {"a", "b"};
    else
      request.topics = {{.name = "a", .topic_id = {}}, {.name = "b", .topic_id = {}}};
    const auto response = ask<DeleteTopicsResponse>(request, version);
    ASSERT_EQ(response.responses.size(), 2u);
    EXPECT_EQ(response.responses[0].error_code, ErrorCode::kNone);
    EXPECT_EQ(response.responses[1].error_code, ErrorCode::kUnknownTopicOrPartition);
    EXPECT_EQ(controller->image().find("a"), nullptr);
  }
}

TEST_F(SlowPathTest, delete_topics_by_id) {
  const Uuid id = create("a").topic->record.id;
  DeleteTopicsRequest request;
  request.topics = {{.name = std::nullopt, .topic_id = id}};
  const auto deleted = ask<DeleteTopicsResponse>(request, 6).responses.at(0);
  EXPECT_EQ(deleted.error_code, ErrorCode::kNone);
  EXPECT_EQ(deleted.name, "a");
  EXPECT_EQ(deleted.topic_id, id);
  EXPECT_EQ(ask<DeleteTopicsResponse>(request, 6).responses.at(0).error_code, ErrorCode::kUnknownTopicId);
  request.topics = {{.name = "a", .topic_id = id}};
  EXPECT_EQ(ask<DeleteTopicsResponse>(request, 6).responses.at(0).error_code, ErrorCode::kInvalidRequest);
  request.topics = {{.name = std::nullopt, .topic_id = {}}};
  EXPECT_EQ(ask<DeleteTopicsResponse>(request, 6).responses.at(0).error_code, ErrorCode::kInvalidRequest);
}

TEST_F(SlowPathTest, delete_topics_can_be_turned_off) {
  create("a");
  options.delete_topics = false;
  DeleteTopicsRequest request;
  request.topic_names = {"a"};
  EXPECT_EQ(ask<DeleteTopicsResponse>(request, 1).responses.at(0).error_code, ErrorCode::kInvalidRequest);
  EXPECT_EQ(ask<DeleteTopicsResponse>(request, 3).responses.at(0).error_code, ErrorCode::kTopicDeletionDisabled);
  EXPECT_NE(controller->image().find("a"), nullptr);
}

TEST_F(SlowPathTest, describe_cluster_is_for_brokers) {
  DescribeClusterRequest request;
  for (int16_t version = 0; version <= 2; ++version) {
    const auto response = ask<DescribeClusterResponse>(request, version);
    EXPECT_EQ(response.error_code, ErrorCode::kNone);
    EXPECT_EQ(response.brokers.size(), 1u);
    EXPECT_EQ(response.cluster_id.size(), 22u);
  }
  request.endpoint_type = 2;
  EXPECT_EQ(ask<DescribeClusterResponse>(request, 1).error_code, ErrorCode::kMismatchedEndpointType);
  request.endpoint_type = 3;
  EXPECT_EQ(ask<DescribeClusterResponse>(request, 1).error_code, ErrorCode::kUnsupportedEndpointType);
}

TEST_F(SlowPathTest, idempotent_producers_get_ids_and_transactional_ones_are_told_to_wait) {
  InitProducerIdRequest request;
  request.transactional_id.reset();
  for (int16_t version = 0; version <= 5; ++version) {
    const auto response = ask<InitProducerIdResponse>(request, version);
    EXPECT_EQ(response.error_code, ErrorCode::kNone);
    EXPECT_EQ(response.producer_id, version);
    EXPECT_EQ(response.producer_epoch, 0);
  }
  request.producer_id = 3;
  EXPECT_EQ(ask<InitProducerIdResponse>(request, 3).error_code, ErrorCode::kInvalidRequest);
  request.producer_epoch = 0;
  EXPECT_EQ(ask<InitProducerIdResponse>(request, 3).producer_id, 6);
  request = {};
  request.transactional_id = "tx";
  EXPECT_EQ(ask<InitProducerIdResponse>(request, 3).error_code, ErrorCode::kCoordinatorNotAvailable);
  request.transactional_id = "";
  EXPECT_EQ(ask<InitProducerIdResponse>(request, 3).error_code, ErrorCode::kInvalidRequest);
}

TEST_F(SlowPathTest, this_broker_coordinates_every_group_and_makes_the_topic_for_it) {
  for (int16_t version = 0; version <= 6; ++version) {
    FindCoordinatorRequest request;
    request.key = version < 4 ? "group" : "";
    if (version >= 4) request.coordinator_keys = {"group", "other"};
    const auto response = ask<FindCoordinatorResponse>(request, version, 1);
    if (version < 4) {
      EXPECT_EQ(response.error_code, ErrorCode::kNone);
      EXPECT_EQ(response.node_id, controller->node().value());
      EXPECT_EQ(response.port, 19092) << "of the listener that the client used";
      continue;
    }
    ASSERT_EQ(response.coordinators.size(), 2u);
    EXPECT_EQ(response.coordinators[1].key, "other");
    EXPECT_EQ(response.coordinators[1].host, "::1");
  }
  const auto topic = controller->image().find("__consumer_offsets");
  ASSERT_NE(topic, nullptr);
  EXPECT_TRUE(topic->route->is_internal);
  EXPECT_EQ(topic->record.partitions.size(), 50u);
  EXPECT_FALSE(topic->log_config.delete_old) << "compacted";
}

TEST_F(SlowPathTest, without_its_topic_groups_have_no_coordinator) {
  options.offsets_topic_replication_factor = 3;
  restart_all();
  EXPECT_EQ(ask<FindCoordinatorResponse>(FindCoordinatorRequest{.key = "g"}, 3).error_code,
            ErrorCode::kCoordinatorNotAvailable);
}

TEST_F(SlowPathTest, transactions_and_share_groups_have_no_coordinators_yet) {
  FindCoordinatorRequest transaction;
  transaction.key = "t";
  transaction.key_type = 1;
  EXPECT_EQ(ask<FindCoordinatorResponse>(transaction, 3).error_code, ErrorCode::kCoordinatorNotAvailable);
  FindCoordinatorRequest share;
  share.key_type = 2;
  share.coordinator_keys = {"s"};
  EXPECT_EQ(ask<FindCoordinatorResponse>(share, 5).coordinators.at(0).error_code, ErrorCode::kInvalidRequest);
  EXPECT_EQ(ask<FindCoordinatorResponse>(share, 6).coordinators.at(0).error_code, ErrorCode::kCoordinatorNotAvailable);
}

TEST_F(SlowPathTest, what_cannot_be_read_closes_the_connection_and_is_counted) {
  EXPECT_TRUE(send(3, 9, {}).empty());
  EXPECT_TRUE(send(1000, 0, frame_of(MetadataRequest{}, 9)).empty()) << "no such API";
  EXPECT_TRUE(send(11, 0, frame_of(protocol::MetadataRequest{}, 9)).empty()) << "an API that nobody serves yet";
  std::vector<std::byte> newer = frame_of(named({"a"}), 13);
  store_be<int16_t>(newer.data() + 2, 14);
  EXPECT_TRUE(send(3, 14, newer).empty()) << "a version that we do not serve";
  const std::vector<std::byte> whole = frame_of(named({"a", "b"}), 9);
  for (size_t size = 0; size < whole.size(); ++size) {
    EXPECT_TRUE(send(3, 9, std::vector(whole.begin(), whole.begin() + static_cast<ptrdiff_t>(size))).empty()) << size;
  }
  EXPECT_EQ(counters.get(Metric::slow_requests_bad), 4 + whole.size());
}

TEST_F(SlowPathTest, bytes_behind_a_request_are_passed_over) {
  std::vector<std::byte> longer = frame_of(named({"a", "b"}), 9);
  longer.insert(longer.end(), 3, std::byte{0xff});
  EXPECT_FALSE(send(3, 9, longer).empty());
  EXPECT_EQ(counters.get(Metric::slow_requests_bad), 0u);
}

TEST_F(SlowPathTest, random_bytes_are_answered_or_closed) {
  Prng bytes(11);
  for (int i = 0; i < 20'000; ++i) {
    const ApiKey key = served_apis()[bytes.below(served_apis().size())];
    const auto version = static_cast<int16_t>(bytes.between(0, 14));
    std::vector<std::byte> frame(8 + bytes.below(60));
    bytes.fill(frame);
    store_be(frame.data(), static_cast<int16_t>(key));
    store_be(frame.data() + 2, version);
    (void)send(static_cast<int16_t>(key), version, std::move(frame));
  }
  EXPECT_EQ(counters.get(Metric::slow_requests), 20'000u);
}

}  // namespace
}  // namespace penstock::control
