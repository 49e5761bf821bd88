// How large answers may become: what is named again and again is told again and again, as Kafka does, up to a bound
// that closes the connection (control/slow_path/answer_room.h).
#include <gtest/gtest.h>

#include "control/slow_path/slow_path.h"
#include "protocol/codec.h"
#include "protocol/gen/consumer_group_describe.h"
#include "protocol/gen/describe_configs.h"
#include "protocol/gen/describe_groups.h"
#include "protocol/header.h"
#include "tests/control_fixture.h"

namespace penstock::control {
namespace {

using protocol::ConsumerGroupDescribeRequest;
using protocol::ConsumerGroupDescribeResponse;
using protocol::DescribeConfigsRequest;
using protocol::DescribeConfigsResponse;
using protocol::DescribeGroupsRequest;
using protocol::DescribeGroupsResponse;
using protocol::DescribeProducersRequest;
using protocol::DescribeProducersResponse;
using protocol::FindCoordinatorRequest;
using protocol::FindCoordinatorResponse;
using protocol::OffsetFetchRequest;
using protocol::OffsetFetchResponse;
using Bytes = std::vector<std::byte>;

TEST(AnswerRoom, once_over_it_stays_so) {
  ControlCounters counters;
  AnswerRoom room(counters, {.encoded = 10, .memory = 100});
  EXPECT_TRUE(room.take(60));
  EXPECT_TRUE(room.take(40));
  EXPECT_FALSE(room.is_over());
  EXPECT_FALSE(room.take(1));
  EXPECT_FALSE(room.take(0));
  EXPECT_TRUE(room.is_over());
  EXPECT_TRUE(room.fits(10));
  EXPECT_FALSE(room.fits(11));
  AnswerRoom other(counters, {.encoded = 10, .memory = 100});
  EXPECT_FALSE(other.take(~size_t{0})) << "no overflow";
}

TEST(AnswerRoom, an_element_counts_with_all_that_it_holds) {
  DescribeGroupsResponse::DescribedGroup group;
  group.group_id = std::string(100, 'g');
  group.group_state = "Stable";  // within the string itself
  group.members.resize(3);
  group.members[1].client_id = std::string(50, 'c');
  group.members[2].member_metadata.resize(1000);
  group.members[2].group_instance_id = std::string(20, 'i');
  const size_t expected = sizeof group + 101 + 3 * sizeof group.members[0] + 51 + 1000 + 21;
  ControlCounters counters;
  AnswerRoom exact(counters, {.memory = expected});
  EXPECT_TRUE(exact.take(DescribeGroupsResponse::kInfo, "Groups", &group));
  AnswerRoom smaller(counters, {.memory = expected - 1});
  EXPECT_FALSE(smaller.take(DescribeGroupsResponse::kInfo, "Groups", &group));
}

class AnswerSizeTest : public testing::Test, protected ControllerFixture {
 protected:
  static constexpr AnswerLimits kSmall = {.encoded = 128 * kKiB, .memory = 512 * kKiB};
  static constexpr size_t kMany = 10'000;  // with whatever is said of each

  AnswerSizeTest() {
    options.offsets_topic_num_partitions = 1;
    restart();
    make_path(kSmall);
  }
  void make_path(const AnswerLimits& limits) {
    path_.emplace(*controller, std::vector<AdvertisedAddress>{{.host = "h", .port = 9092}}, counters,
                  std::vector<LogDir>{}, 5, limits);
  }
  SlowPath& path() { return *path_; }
  groups::Now now() { return {.monotonic = clock.now, .wall_ms = clock.wall_ms()}; }

  // The groups' partition, with an empty log.
  void load_groups() {
    groups::GroupRuntime& runtime = path().groups().runtime();
    ASSERT_EQ(runtime.make_topic(), ErrorCode::kNone);
    runtime.refresh(now());
    for (const auto& [lcore, command] : runtime.take_commands(now())) {
      const auto& read = std::get<dataplane::ReadLog>(command);
      runtime.read({.token = read.token, .status = storage::ReadStatus::kReady, .bytes = {}, .offsets = {}}, now());
    }
  }

  // The answer, if it leaves at once or waits for what is durable already; nothing if lcores are waited for.
  template <class Request>
  std::optional<Bytes> send(const Request& request, int16_t version) {
    dataplane::SlowRequest asked{
        .connection = dataplane::ConnectionId{1}, .api_key = Request::kApiKey, .api_version = version};
    protocol::encode_request_header(
        *protocol::find_api(Request::kApiKey),
        {.api_key = Request::kApiKey, .api_version = version, .correlation_id = CorrelationId{77}}, asked.frame);
    EXPECT_TRUE(protocol::encode(request, version, asked.frame).has_value());
    if (auto answer = path().handle(asked, 0, now())) return answer;
    const auto answers = path().groups().take_answers();
    return answers.empty() ? std::nullopt : std::optional(answers.front().answer.response);
  }
  template <class Response>
  static Response decoded(const Bytes& bytes, int16_t version) {
    Response response;
    const auto header = protocol::decode_response_header(*protocol::find_api(Response::kApiKey), version, bytes);
    EXPECT_TRUE(header.has_value());
    if (!header) return response;
    EXPECT_TRUE(protocol::decode(std::span(bytes).subspan(header->size), version, response).has_value());
    return response;
  }
  template <class Response, class Request>
  Response ask(const Request& request, int16_t version) {
    const auto bytes = send(request, version);
    EXPECT_TRUE(bytes.has_value());
    return decoded<Response>(bytes.value_or(Bytes()), version);
  }
  // The connection is closed, and that is counted.
  template <class Request>
  bool closes(const Request& request, int16_t version) {
    const uint64_t before = counters.get(Metric::answers_too_large);
    const auto bytes = send(request, version);
    return bytes && bytes->empty() && counters.get(Metric::answers_too_large) == before + 1;
  }

  static DescribeConfigsRequest configs_of_resource(int8_t type, const std::string& name, size_t times) {
    DescribeConfigsRequest request;
    for (size_t i = 0; i < times; ++i) {
      auto& resource = request.resources.emplace_back();
      resource.resource_type = type;
      resource.resource_name = name;
      resource.configuration_keys.reset();
    }
    return request;
  }

 private:
  std::optional<SlowPath> path_;
};

constexpr int8_t kBroker = 4;
constexpr int8_t kGroup = 32;

TEST_F(AnswerSizeTest, describe_configs_tells_a_resource_as_often_as_it_is_named_up_to_the_bound) {
  const auto twice = ask<DescribeConfigsResponse>(configs_of_resource(kGroup, "g", 2), 4);
  ASSERT_EQ(twice.results.size(), 2u);
  EXPECT_EQ(twice.results[0], twice.results[1]);
  EXPECT_TRUE(closes(configs_of_resource(kBroker, "1", 1000), 4));
  EXPECT_TRUE(closes(configs_of_resource(kBroker, "", kMany), 4)) << "nothing is set, but each is said";
  auto distinct = configs_of_resource(kGroup, "", 1000);
  for (size_t i = 0; i < distinct.resources.size(); ++i) distinct.resources[i].resource_name = "g" + std::to_string(i);
  EXPECT_TRUE(closes(distinct, 4)) << "groups that are not there have configs too";
  EXPECT_EQ(ask<DescribeConfigsResponse>(configs_of_resource(kGroup, "g", 1), 4).results.size(), 1u);
}

TEST_F(AnswerSizeTest, describe_configs_counts_what_is_looked_at_for_nothing) {
  auto request = configs_of_resource(kBroker, "1", 3);
  for (auto& resource : request.resources) resource.configuration_keys = {"node.id", "no.such", "node.id"};
  const auto response = ask<DescribeConfigsResponse>(request, 4);
  ASSERT_EQ(response.results.size(), 3u);
  ASSERT_EQ(response.results[2].configs.size(), 1u);
  EXPECT_EQ(response.results[2].configs[0].name, "node.id");
  request.resources.resize(100, request.resources.front());
  EXPECT_TRUE(closes(request, 4)) << "the answer would have few bytes, the work has many";
}

TEST_F(AnswerSizeTest, an_answer_that_is_large_only_once_encoded_is_not_sent) {
  make_path({.encoded = 1000});
  const auto request = configs_of_resource(kBroker, "1", 1);
  EXPECT_TRUE(closes(request, 4));
  EXPECT_EQ(counters.get(Metric::slow_requests_bad), 1u) << "as any connection that control closes";
  make_path({});
  EXPECT_GT(ask<DescribeConfigsResponse>(request, 4).results.at(0).configs.size(), 300u);
}

TEST_F(AnswerSizeTest, groups_are_described_as_often_as_they_are_named_up_to_the_bound) {
  const auto check = [&] {
    EXPECT_EQ(ask<DescribeGroupsResponse>(DescribeGroupsRequest{.groups = {"g", "h", "g"}}, 5).groups.size(), 3u);
    EXPECT_TRUE(closes(DescribeGroupsRequest{.groups = std::vector<std::string>(kMany, "g")}, 5));
    const ConsumerGroupDescribeRequest some{.group_ids = {"g", "h", "g"}};
    EXPECT_EQ(ask<ConsumerGroupDescribeResponse>(some, 1).groups.size(), 3u);
    EXPECT_TRUE(closes(ConsumerGroupDescribeRequest{.group_ids = std::vector<std::string>(kMany, "g")}, 1));
  };
  check();  // without a coordinator
  load_groups();
  check();
  EXPECT_EQ(ask<DescribeGroupsResponse>(DescribeGroupsRequest{.groups = {"g"}}, 5).groups.at(0).group_state, "Dead");
}

TEST_F(AnswerSizeTest, offsets_of_a_partition_are_told_once_and_those_of_groups_up_to_the_bound) {
  load_groups();
  const OffsetFetchRequest::Group group{.group_id = "g",
                                        .topics = {{{.name = "t", .partition_indexes = {0, 1, 0, 0}},
                                                    {.name = "u", .partition_indexes = {0}},
                                                    {.name = "t", .partition_indexes = {2, 1}}}}};
  OffsetFetchRequest request{.groups = {group}};
  const auto response = ask<OffsetFetchResponse>(request, 8);
  const auto& topics = response.groups.at(0).topics;
  ASSERT_EQ(topics.size(), 3u);
  EXPECT_EQ(topics[0].partitions.size(), 2u);
  EXPECT_EQ(topics[1].partitions.size(), 1u);
  ASSERT_EQ(topics[2].partitions.size(), 1u);
  EXPECT_EQ(topics[2].partitions[0].partition_index, 2);
  request.groups.assign(kMany, group);
  EXPECT_TRUE(closes(request, 8));
}

TEST_F(AnswerSizeTest, coordinators_are_found_for_as_many_keys_as_the_bound_allows) {
  FindCoordinatorRequest request{.coordinator_keys = {"g", "g"}};
  EXPECT_EQ(ask<FindCoordinatorResponse>(request, 4).coordinators.size(), 2u);
  request.coordinator_keys.assign(kMany, "g");
  EXPECT_TRUE(closes(request, 4));
}

TEST_F(AnswerSizeTest, a_log_is_asked_for_its_producers_once_however_often_it_is_named) {
  create("t", 2);
  DescribeProducersRequest request;
  request.topics = {{.name = "t", .partition_indexes = {0, 1, 0, 7}}, {.name = "t", .partition_indexes = {1}}};
  const auto told = [&](size_t producers) {
    EXPECT_EQ(send(request, 0), std::nullopt);
    const auto questions = path().log_questions().take_questions();
    EXPECT_EQ(questions.size(), 2u);
    for (size_t i = 0; i < questions.size(); ++i) {
      dataplane::LogTold log{.token = questions[i].question.token, .producers = {}};
      for (size_t n = 0; n < producers; ++n) log.producers.push_back({.id = ProducerId{static_cast<int64_t>(i)}});
      path().log_questions().told(std::move(log));
    }
    auto answers = path().log_questions().take_answers();
    EXPECT_EQ(answers.size(), 1u);
    return answers.empty() ? Bytes() : std::move(answers.front().answer.response);
  };
  const auto response = decoded<DescribeProducersResponse>(told(1), 0);
  ASSERT_EQ(response.topics.size(), 2u);
  ASSERT_EQ(response.topics[0].partitions.size(), 4u);
  const auto producer = [&](size_t topic, size_t at) {
    const auto& producers = response.topics[topic].partitions[at].active_producers;
    return producers.size() == 1 ? producers.front().producer_id : -1;
  };
  EXPECT_EQ(producer(0, 0), 0);
  EXPECT_EQ(producer(0, 1), 1);
  EXPECT_EQ(producer(0, 2), 0);
  EXPECT_EQ(producer(1, 0), 1);
  EXPECT_EQ(response.topics[0].partitions[3].error_code, ErrorCode::kUnknownTopicOrPartition);
  EXPECT_EQ(counters.get(Metric::answers_too_large), 0u);
  EXPECT_TRUE(told(kMany).empty()) << "each is within the bound, all that is named is not";
  EXPECT_EQ(counters.get(Metric::answers_too_large), 1u);
  request.topics.resize(1);
  request.topics[0].partition_indexes.assign(kMany, 0);
  EXPECT_TRUE(closes(request, 0));
  EXPECT_EQ(path().log_questions().questions_waiting(), 0u) << "no lcore is asked for what nobody is told";
}

}  // namespace
}  // namespace penstock::control
