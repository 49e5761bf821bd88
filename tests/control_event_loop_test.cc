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
      slow_path_ =
          std::make_unique<SlowPath>(*controller, std::vector<AdvertisedAddress>{{.host = "h", .port = 1}}, counters);
      registration_ = std::make_unique<Registration>(store, clock, BrokerId{1}, "listener PLAINTEXT h 1\n");
      loop_ = std::make_unique<EventLoop>(
          EventLoopParts{.controller = controller.get(),
                         .slow_path = slow_path_.get(),
                         .store = &store,
                         .registration = registration_.get(),
                         .health = &health,
                         .clock = &clock,
                         .counters = &counters,
                         .doorbell = &doorbell,
                         .lcores = {{.commands = &commands, .events = &events, .doorbell = &lcore_bell, .log = &log}}});
    }
    return *loop_;
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

  Health health;
  Doorbell doorbell;
  Doorbell lcore_bell;
  SpscRing<dataplane::Command> commands{8};
  SpscRing<dataplane::Event> events{8192};
  LogRing log{16};

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

TEST_F(EventLoopTest, a_failed_lcore_makes_the_broker_unready_and_its_partitions_offline) {
  health.set_ready();
  loop().turn();
  ASSERT_TRUE(events.try_push(dataplane::LcoreFailed{.error = {Errc::kIo, 5}}));
  loop().turn();
  EXPECT_NE(health.reason().find("lcore 0"), std::string::npos) << health.reason();
  EXPECT_TRUE(loop().any_lcore_failed());
  EXPECT_FALSE(loop().stopped());
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
