// The event loop between a controller and a pretended lcore: the order of what an lcore is told, and back-pressure.
#include <gtest/gtest.h>

#include "control/event_loop.h"
#include "control/slow_path/handlers.h"
#include "protocol/codec.h"
#include "protocol/header.h"
#include "tests/control_fixture.h"

namespace penstock::control {
namespace {

template <class Command>
bool is(const dataplane::Command& command) {
  return std::holds_alternative<Command>(command);
}

class EventLoopTest : public testing::Test, protected ControllerFixture {
 protected:
  EventLoopTest() { restart(); }

  EventLoop& loop() {
    if (!loop_) {
      slow_path_ = std::make_unique<SlowPath>(*controller, std::vector<AdvertisedAddress>{{.host = "h", .port = 1}},
                                              counters, std::vector<LogDir>{{"/data", {0}}, {"/data2", {2}}});
      registration_ = std::make_unique<Registration>(store, clock, BrokerId{1}, "listener PLAINTEXT h 1\n");
      loop_ = std::make_unique<EventLoop>(
          EventLoopParts{.controller = controller.get(),
                         .slow_path = slow_path_.get(),
                         .store = &store,
                         .registration = registration_.get(),
                         .health = &health,
                         .rings = {{.ring = 0, .folder = "data"}, {.ring = 2, .folder = "data2"}},
                         .clock = &clock,
                         .counters = &counters,
                         .doorbell = &doorbell,
                         .lcores = links()});
    }
    return *loop_;
  }

  std::vector<LcoreLink> links() {
    std::vector<LcoreLink> all{
        {.commands = &commands, .events = &events, .doorbell = &lcore_bell, .log = &log, .counters = &lcore_counters}};
    if (two_lcores) {
      all.push_back({.commands = &other.commands,
                     .events = &other.events,
                     .doorbell = &other.bell,
                     .log = &other.log,
                     .counters = &other.counters});
    }
    return all;
  }

  // Asks for a topic that is made on the way.
  void ask_for(const std::string& topic, uint64_t connection) {
    protocol::MetadataRequest request;
    request.topics->emplace_back().name = topic;
    dataplane::SlowRequest event{.connection = dataplane::ConnectionId{connection}, .api_key = 3, .api_version = 9};
    protocol::encode_request_header(*protocol::find_api(3),
                                    {.api_key = 3, .api_version = 9, .correlation_id = CorrelationId{5}}, event.frame);
    ASSERT_TRUE(protocol::encode(request, 9, event.frame).has_value());
    ASSERT_TRUE(events.try_push(std::move(event)));
  }
  std::vector<dataplane::Command> take_commands() {
    std::vector<dataplane::Command> taken;
    while (auto command = commands.try_pop()) taken.push_back(*std::move(command));
    return taken;
  }

  // Makes a topic and forgets what the lcore is told of it.
  void make(const std::string& topic, int32_t partitions) {
    create(topic, partitions);
    loop().turn();
    take_commands();
  }
  void ask_to_delete_records(std::vector<std::pair<int32_t, int64_t>> offsets, uint64_t connection,
                             int32_t timeout_ms) {
    protocol::DeleteRecordsRequest request{.timeout_ms = timeout_ms};
    auto& topic = request.topics.emplace_back();
    topic.name = "a";
    for (const auto& [index, offset] : offsets)
      topic.partitions.push_back({.partition_index = index, .offset = offset});
    dataplane::SlowRequest event{.connection = dataplane::ConnectionId{connection}, .api_key = 21, .api_version = 2};
    protocol::encode_request_header(*protocol::find_api(21),
                                    {.api_key = 21, .api_version = 2, .correlation_id = CorrelationId{5}}, event.frame);
    ASSERT_TRUE(protocol::encode(request, 2, event.frame).has_value());
    ASSERT_TRUE(events.try_push(std::move(event)));
  }
  void say_trimmed(uint64_t token, storage::TrimStatus status, int64_t log_start_offset) {
    ASSERT_TRUE(events.try_push(
        dataplane::LogTrimmed{.token = token, .status = status, .log_start_offset = Offset{log_start_offset}}));
  }
  // What the one answer that was sent says of the one topic.
  std::vector<protocol::DeleteRecordsResponse::PartitionResult> the_answer(uint64_t connection) {
    const auto told = take_commands();
    EXPECT_EQ(told.size(), 1u);
    const auto& answer = std::get<dataplane::Answer>(told.at(0));
    EXPECT_EQ(answer.connection.value(), connection);
    const auto header = protocol::decode_response_header(*protocol::find_api(21), 2, answer.response);
    EXPECT_EQ(header->correlation_id, CorrelationId{5});
    protocol::DeleteRecordsResponse response;
    EXPECT_TRUE(protocol::decode(std::span<const std::byte>(answer.response).subspan(header->size), 2, response));
    return response.topics.at(0).partitions;
  }

  Health health;
  Doorbell doorbell;
  Doorbell lcore_bell;
  SpscRing<dataplane::Command> commands{8};
  SpscRing<dataplane::Event> events{8192};
  LogRing log{16};
  dataplane::DataplaneCounters lcore_counters;
  bool two_lcores = false;  // before the first loop()
  struct {
    Doorbell bell;
    SpscRing<dataplane::Command> commands{8};
    SpscRing<dataplane::Event> events{8};
    LogRing log{16};
    dataplane::DataplaneCounters counters;
  } other;

 private:
  std::unique_ptr<SlowPath> slow_path_;
  std::unique_ptr<Registration> registration_;
  std::unique_ptr<EventLoop> loop_;
};

TEST_F(EventLoopTest, an_answer_leaves_after_the_log_and_the_image_that_it_speaks_of) {
  loop().turn();
  ASSERT_EQ(take_commands().size(), 1u) << "the first image";
  ask_for("a", 7);
  EXPECT_TRUE(loop().turn());
  const auto made = take_commands();
  ASSERT_EQ(made.size(), 3u);
  EXPECT_TRUE(is<dataplane::OpenLog>(made[0]));
  ASSERT_TRUE(is<dataplane::PublishImage>(made[1]));
  EXPECT_NE(std::get<dataplane::PublishImage>(made[1]).image->find("a"), nullptr);
  ASSERT_TRUE(is<dataplane::Answer>(made[2]));
  EXPECT_EQ(std::get<dataplane::Answer>(made[2]).connection, dataplane::ConnectionId{7});
  EXPECT_FALSE(std::get<dataplane::Answer>(made[2]).response.empty());
  remove("a");
  loop().turn();
  const auto removed = take_commands();
  ASSERT_EQ(removed.size(), 2u);
  EXPECT_TRUE(is<dataplane::PublishImage>(removed[0]));
  EXPECT_TRUE(is<dataplane::DropLog>(removed[1])) << "after the image that no longer names it";
}

TEST_F(EventLoopTest, an_answer_waits_until_every_lcore_works_by_the_image_that_it_speaks_of) {
  two_lcores = true;
  loop().turn();
  take_commands();
  other.counters.set(dataplane::Metric::images_in_force, 1);
  ask_for("a", 7);
  loop().turn();
  EXPECT_EQ(take_commands().size(), 2u) << "the log and the image";
  ask_for("a", 8);  // it would be told the same
  loop().turn();
  loop().turn();
  EXPECT_TRUE(take_commands().empty());
  other.counters.set(dataplane::Metric::images_in_force, 2);
  loop().turn();
  const auto told = take_commands();
  ASSERT_EQ(told.size(), 2u);
  EXPECT_EQ(std::get<dataplane::Answer>(told[0]).connection, dataplane::ConnectionId{7});
  EXPECT_EQ(std::get<dataplane::Answer>(told[1]).connection, dataplane::ConnectionId{8});
}

TEST_F(EventLoopTest, what_is_asked_in_one_turn_makes_one_image) {
  loop().turn();
  take_commands();
  ask_for("a", 1);
  ask_for("b", 2);
  loop().turn();
  EXPECT_EQ(counters.get(Metric::images_published), 2u);
}

TEST_F(EventLoopTest, a_full_command_ring_holds_requests_back_and_loses_none) {
  constexpr uint64_t kAsked = 6000;
  for (uint64_t i = 0; i < kAsked; ++i) ask_for("same", i);
  for (int turn = 0; turn < 100; ++turn) loop().turn();
  EXPECT_FALSE(events.empty()) << "control took all that was asked although nothing could leave";
  EXPECT_GT(counters.get(Metric::command_ring_full), 0u);
  uint64_t answers = 0;
  for (int turn = 0; turn < 10'000 && answers < kAsked; ++turn) {
    for (const auto& command : take_commands()) {
      if (!is<dataplane::Answer>(command)) continue;
      EXPECT_EQ(std::get<dataplane::Answer>(command).connection.value(), answers) << "in order";
      ++answers;
    }
    loop().turn();
  }
  EXPECT_EQ(answers, kAsked);
}

TEST_F(EventLoopTest, a_request_that_makes_no_sense_closes_its_connection) {
  loop().turn();
  take_commands();
  ASSERT_TRUE(events.try_push(dataplane::SlowRequest{
      .connection = dataplane::ConnectionId{3}, .api_key = 3, .api_version = 9, .frame = {std::byte{1}}}));
  loop().turn();
  const auto told = take_commands();
  ASSERT_EQ(told.size(), 1u);
  EXPECT_TRUE(std::get<dataplane::Answer>(told[0]).response.empty());
}

TEST_F(EventLoopTest, a_failed_ring_takes_its_partitions_offline_and_the_last_one_the_broker) {
  health.set_ready();
  loop().turn();
  ASSERT_TRUE(events.try_push(dataplane::RingHealth{.ring = 2, .health = {.poisoned = true}}));
  loop().turn();
  EXPECT_EQ(health.reason(), "") << "the other ring serves";
  EXPECT_TRUE(health.problems().starts_with("ring-2 in data2: a write to it failed")) << health.problems();
  EXPECT_EQ(controller->failed_rings(), std::set<uint16_t>{2});
  EXPECT_TRUE(loop().any_ring_failed());
  ASSERT_TRUE(events.try_push(dataplane::RingHealth{.ring = 0, .health = {.poisoned = true}}));
  loop().turn();
  EXPECT_NE(health.reason().find("ring-0 in data"), std::string::npos) << health.reason();
  EXPECT_FALSE(loop().stopped());
}

TEST_F(EventLoopTest, a_full_drive_and_damaged_logs_are_told_until_they_are_well) {
  health.set_ready();
  loop().turn();
  ASSERT_TRUE(events.try_push(dataplane::RingHealth{.ring = 0, .health = {.disk_full = true, .damaged_logs = 3}}));
  loop().turn();
  EXPECT_NE(health.problems().find("the drive is full"), std::string::npos) << health.problems();
  EXPECT_NE(health.problems().find("3 partition(s)"), std::string::npos) << health.problems();
  EXPECT_EQ(health.reason(), "");
  ASSERT_TRUE(events.try_push(dataplane::RingHealth{.ring = 0, .health = {.damaged_logs = 4}}));
  loop().turn();
  EXPECT_EQ(health.problems().find("the drive is full"), std::string::npos) << health.problems();
  EXPECT_NE(health.problems().find("4 partition(s)"), std::string::npos) << health.problems();
  ASSERT_TRUE(events.try_push(dataplane::RingHealth{.ring = 0, .health = {}}));
  loop().turn();
  EXPECT_EQ(health.problems(), "");
  EXPECT_FALSE(loop().any_ring_failed());
}

TEST_F(EventLoopTest, segments_that_cannot_be_written_are_told_with_file_and_cause) {
  health.set_ready();
  loop().turn();
  const auto tell = [&](storage::StoreHealth told) {
    ASSERT_TRUE(events.try_push(dataplane::RingHealth{.ring = 0, .health = std::move(told)}));
    loop().turn();
  };
  tell({.stuck_logs = 2, .stuck_file = "data/logs/7/0.log: no permission (errno 13)"});
  EXPECT_NE(health.problems().find("the segments of 2 partition(s) cannot be written"), std::string::npos);
  EXPECT_NE(health.problems().find("data/logs/7/0.log: no permission (errno 13)"), std::string::npos);
  EXPECT_EQ(health.reason(), "");
  tell({.stuck_logs = 1, .stuck_file = "data/logs/8/0.log: I/O error (errno 5)"});
  EXPECT_NE(health.problems().find("data/logs/8/0.log"), std::string::npos) << health.problems();
  tell({});
  EXPECT_EQ(health.problems(), "");
}

// ---- DeleteRecords

TEST_F(EventLoopTest, delete_records_is_answered_when_every_lcore_has_answered) {
  make("a", 2);
  ask_to_delete_records({{0, 5}, {1, -1}, {2, 0}}, 9, 30'000);
  loop().turn();
  const auto told = take_commands();
  ASSERT_EQ(told.size(), 2u) << "no answer yet, and partition 2 is not there";
  const auto first = std::get<dataplane::TrimLog>(told[0]);
  const auto second = std::get<dataplane::TrimLog>(told[1]);
  EXPECT_EQ(first.log.value(), 0u);
  EXPECT_EQ(first.to, Offset{5});
  EXPECT_EQ(second.log.value(), 1u);
  EXPECT_EQ(second.to, dataplane::TrimLog::kHighWatermark);
  say_trimmed(second.token, storage::TrimStatus::kTrimmed, 77);
  loop().turn();
  EXPECT_TRUE(take_commands().empty());
  say_trimmed(first.token, storage::TrimStatus::kOffsetOutOfRange, -1);
  loop().turn();
  const auto results = the_answer(9);
  ASSERT_EQ(results.size(), 3u);
  EXPECT_EQ(results[0].error_code, ErrorCode::kOffsetOutOfRange);
  EXPECT_EQ(results[0].low_watermark, -1);
  EXPECT_EQ(results[1].error_code, ErrorCode::kNone);
  EXPECT_EQ(results[1].low_watermark, 77);
  EXPECT_EQ(results[2].error_code, ErrorCode::kUnknownTopicOrPartition);
  EXPECT_EQ(counters.get(Metric::partitions_trimmed), 1u);
}

TEST_F(EventLoopTest, delete_records_ends_at_its_timeout_and_late_answers_reach_nobody) {
  make("a", 2);
  ask_to_delete_records({{0, 5}, {1, 5}}, 9, 100);
  loop().turn();
  const auto told = take_commands();
  say_trimmed(std::get<dataplane::TrimLog>(told[0]).token, storage::TrimStatus::kTrimmed, 5);
  clock.now += 99 * kMillisecond;
  loop().turn();
  EXPECT_TRUE(take_commands().empty());
  clock.now += 1 * kMillisecond;
  loop().turn();
  const auto results = the_answer(9);
  ASSERT_EQ(results.size(), 2u);
  EXPECT_EQ(results[0].error_code, ErrorCode::kNone);
  EXPECT_EQ(results[1].error_code, ErrorCode::kRequestTimedOut);
  EXPECT_EQ(results[1].low_watermark, -1);
  say_trimmed(std::get<dataplane::TrimLog>(told[1]).token, storage::TrimStatus::kTrimmed, 5);
  loop().turn();
  EXPECT_TRUE(take_commands().empty());
}

// ---- what lcores are asked about logs

TEST_F(EventLoopTest, log_dirs_are_described_when_every_log_has_been_told_of) {
  make("a", 2);
  protocol::DescribeLogDirsRequest request;
  request.topics.reset();
  dataplane::SlowRequest event{.connection = dataplane::ConnectionId{9}, .api_key = 35, .api_version = 4};
  const protocol::Api& api = *protocol::find_api(35);
  protocol::encode_request_header(api, {.api_key = 35, .api_version = 4, .correlation_id = CorrelationId{5}},
                                  event.frame);
  ASSERT_TRUE(protocol::encode(request, 4, event.frame).has_value());
  ASSERT_TRUE(events.try_push(std::move(event)));
  loop().turn();
  const auto asked = take_commands();
  ASSERT_EQ(asked.size(), 2u);
  const auto first = std::get<dataplane::AskLog>(asked[0]);
  const auto second = std::get<dataplane::AskLog>(asked[1]);
  EXPECT_FALSE(first.producers);
  ASSERT_TRUE(events.try_push(dataplane::LogTold{.token = second.token, .bytes = 222, .producers = {}}));
  ASSERT_TRUE(events.try_push(dataplane::LogTold{.token = 4711, .bytes = 1, .producers = {}}));  // nobody asked
  loop().turn();
  EXPECT_TRUE(take_commands().empty());
  ASSERT_TRUE(events.try_push(dataplane::LogTold{.token = first.token, .bytes = 111, .producers = {}}));
  loop().turn();
  const auto told = take_commands();
  ASSERT_EQ(told.size(), 1u);
  const auto& answer = std::get<dataplane::Answer>(told[0]);
  EXPECT_EQ(answer.connection.value(), 9u);
  protocol::DescribeLogDirsResponse response;
  const auto header = protocol::decode_response_header(api, 4, answer.response);
  ASSERT_TRUE(protocol::decode(std::span<const std::byte>(answer.response).subspan(header->size), 4, response));
  ASSERT_EQ(response.results.size(), 2u);
  std::map<std::string, int64_t> sizes;
  for (const auto& dir : response.results) {
    EXPECT_EQ(dir.error_code, ErrorCode::kNone);
    for (const auto& topic : dir.topics) {
      for (const auto& partition : topic.partitions) sizes[dir.log_dir] += partition.partition_size;
    }
  }
  EXPECT_EQ(sizes["/data"] + sizes["/data2"], 333);
}

TEST_F(EventLoopTest, a_new_default_of_all_topics_reaches_their_logs_before_the_answer_leaves) {
  make("a", 2);
  create({.name = "b", .partitions = 1, .configs = {{"retention.ms", "5"}}});
  loop().turn();
  take_commands();
  EXPECT_EQ(
      controller
          ->alter_configs({.scope = ConfigScope::kBroker, .changes = {{.name = "log.retention.ms", .value = "1000"}}})
          .error,
      ErrorCode::kNone);
  loop().turn();
  const auto told = take_commands();
  ASSERT_EQ(told.size(), 3u) << "b has its own";
  for (size_t i = 0; i < 2; ++i) EXPECT_EQ(std::get<dataplane::ConfigureLog>(told[i]).config.retention_ms, 1000);
  EXPECT_TRUE(is<dataplane::PublishImage>(told[2]));
}

TEST_F(EventLoopTest, stops_when_every_lcore_has_stopped) {
  loop().turn();
  take_commands();
  loop().begin_stop();
  loop().turn();
  const auto told = take_commands();
  ASSERT_EQ(told.size(), 1u);
  EXPECT_TRUE(is<dataplane::Stop>(told[0]));
  EXPECT_FALSE(loop().stopped());
  ASSERT_TRUE(events.try_push(dataplane::Stopped{}));
  loop().turn();
  EXPECT_TRUE(loop().stopped());
}

TEST_F(EventLoopTest, the_broker_stays_registered_while_the_loop_turns) {
  for (int i = 0; i < 100; ++i) {
    loop().turn();
    EXPECT_TRUE(store.get("brokers/1").value().has_value());
    clock.now += kSecond;
    take_commands();
  }
  clock.now += 31 * kSecond;  // a long pause: the lease has ended and is taken again
  loop().turn();
  clock.now += kSecond;
  loop().turn();
  EXPECT_TRUE(store.get("brokers/1").value().has_value());
}

}  // namespace
}  // namespace penstock::control
