// GroupSurvey over a runtime whose lcores are pretended: what it tells of groups, and how much of it a turn does.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <map>
#include <optional>

#include "control/group_survey.h"
#include "tests/control_fixture.h"

namespace penstock::control {
namespace {

using groups::Coordinator;
using groups::Effects;

class GroupSurveyTest : public testing::Test, protected ControllerFixture {
 protected:
  GroupSurveyTest() {
    options.offsets_topic_num_partitions = 1;
    restart();
    runtime_.emplace(*controller, counters, 5);
    EXPECT_EQ(runtime_->make_topic(), ErrorCode::kNone);
    runtime_->refresh(now());
    while (true) {
      auto commands = runtime_->take_commands(now());
      if (commands.empty()) break;
      for (auto& [lcore, command] : commands) {
        dataplane::LogRead told{.token = std::get<dataplane::ReadLog>(command).token, .bytes = {}, .offsets = {}};
        told.status = storage::ReadStatus::kReady;
        runtime_->read(std::move(told), now());
      }
    }
    board_.open([this] { published_ += 1; });
  }
  groups::Now now() { return {.monotonic = clock.now, .wall_ms = clock.wall_ms()}; }

  void commit(const std::string& group, const std::string& topic, int32_t partition, int64_t offset) {
    const auto done = runtime_->step(group, 1, false, now(), [&](Coordinator& coordinator, Effects& effects) {
      protocol::OffsetCommitRequest request{.group_id = group};
      request.topics.push_back(
          {.name = topic, .partitions = {{.partition_index = partition, .committed_offset = offset}}});
      protocol::OffsetCommitResponse response;
      response.topics.push_back({.name = topic, .partitions = {{.partition_index = partition}}});
      coordinator.commit(request, 9, now(), effects, response);
      EXPECT_EQ(response.topics[0].partitions[0].error_code, ErrorCode::kNone);
    });
    ASSERT_EQ(done, ErrorCode::kNone);
  }
  void make_survey(size_t most) { survey_.emplace(*controller, *runtime_, board_, clock, uint16_t{1}, most); }

  // Its turns until it asks lcores or is done.
  int look() {
    board_.ask(clock.now);
    int turns = 1;
    while (survey_->go_on() && questions_.empty() && turns < 1000) {
      take();
      ++turns;
    }
    take();
    return turns;
  }
  void take() {
    for (auto& each : survey_->take_questions()) questions_.push_back(std::move(each.question));
  }
  // As an lcore: a log that is not in ends_ is not there.
  size_t answer() {
    size_t answered = 0;
    while (!questions_.empty()) {
      dataplane::EndsTold told{.token = questions_.front().token, .logs = std::move(questions_.front().logs)};
      questions_.erase(questions_.begin());
      EXPECT_LE(told.logs.size(), GroupSurvey::kLogsAtOnce);
      for (auto& log : told.logs) {
        const auto end = ends_.find(log.log);
        log.durable = Offset{end == ends_.end() ? -1 : end->second};
      }
      survey_->told(std::move(told));
      take();
      ++answered;
    }
    return answered;
  }
  std::shared_ptr<const GroupSamples> survey(size_t most = 100) {
    make_survey(most);
    look();
    answer();
    return board_.latest(clock.now);
  }
  storage::LogId log_of(const std::string& topic, size_t partition) {
    return controller->place_of(controller->image().find(topic)->record.partitions[partition]).log;
  }
  // "group topic/partition committed lag", those that are told one by one.
  static std::vector<std::string> lines(const GroupSamples& samples) {
    std::vector<std::string> all;
    for (const auto& commit : samples.commits) {
      const auto& group = samples.groups[commit.group];
      if (group.detailed)
        all.push_back(fmt::format("{} {}/{} {} {}", group.label, samples.topics[commit.topic], commit.partition,
                                  commit.offset, samples.lag_of(commit)));
    }
    return all;
  }

  Doorbell doorbell_;
  GroupBoard board_{doorbell_};
  std::optional<groups::GroupRuntime> runtime_;
  std::optional<GroupSurvey> survey_;
  std::vector<dataplane::AskEnds> questions_;
  std::map<storage::LogId, int64_t> ends_;
  int published_ = 0;
};

using Lines = std::vector<std::string>;

TEST_F(GroupSurveyTest, lag_is_the_end_less_what_is_committed_and_never_below_nothing) {
  create("t", 3);
  commit("g", "t", 0, 5);
  commit("g", "t", 2, 20);
  commit("h", "t", 0, 0);
  ends_ = {{log_of("t", 0), 7}, {log_of("t", 2), 18}};
  const auto samples = survey();
  ASSERT_NE(samples, nullptr);
  EXPECT_EQ(lines(*samples), (Lines{"g t/0 5 2", "g t/2 20 0", "h t/0 0 7"}));
  ASSERT_EQ(samples->groups.size(), 2U);
  EXPECT_EQ(samples->groups[0].state, "Empty");
  EXPECT_EQ(samples->groups_left_out + samples->partitions_left_out, 0U);
  EXPECT_EQ(published_, 1);
}

TEST_F(GroupSurveyTest, what_is_gone_has_no_lag) {
  create("t", 1);
  create("u", 1);
  commit("g", "t", 0, 5);
  commit("g", "u", 0, 6);
  const auto samples = survey();  // no lcore has the logs any more
  ASSERT_NE(samples, nullptr);
  for (const auto& commit : samples->commits) EXPECT_EQ(samples->lag_of(commit), GroupSamples::kGone);
  EXPECT_EQ(samples->commits.size(), 2U);
  remove("t");
  ends_ = {{log_of("u", 0), 6}};
  clock.now += 2 * kSecond;
  const auto later = survey();
  ASSERT_NE(later, nullptr);
  EXPECT_EQ(lines(*later), (Lines{"g u/0 6 0"}));
}

TEST_F(GroupSurveyTest, a_group_has_all_its_partitions_told_or_none) {
  create("t", 4);
  for (int32_t i = 0; i < 3; ++i) commit("a", "t", i, 1);
  for (int32_t i = 0; i < 2; ++i) commit("b", "t", i, 1);
  for (int32_t i = 0; i < 4; ++i) ends_[log_of("t", static_cast<size_t>(i))] = 3;
  const auto samples = survey(2);
  ASSERT_NE(samples, nullptr);
  EXPECT_EQ(lines(*samples), (Lines{"b t/0 1 2", "b t/1 1 2"}));
  EXPECT_EQ(samples->partitions_left_out, 3U);
  EXPECT_EQ(samples->commits.size(), 5U) << "its sum is told";
  commit("c", "t", 0, 1);
  clock.now += 2 * kSecond;
  EXPECT_EQ(survey(2)->groups_left_out, 1U);
}

TEST_F(GroupSurveyTest, a_turn_does_a_bounded_part_of_it_and_an_lcore_is_asked_a_part_at_a_time) {
  constexpr int kGroups = 40, kPartitions = 600;
  create("t", kPartitions);
  for (int g = 0; g < kGroups; ++g)
    for (int32_t p = g % 2; p < kPartitions; p += 2) commit(fmt::format("g{}", g), "t", p, 1);
  for (size_t p = 0; p < kPartitions; ++p) ends_[log_of("t", p)] = 2;
  make_survey(100'000);
  const int turns = look();
  EXPECT_GE(turns, static_cast<int>(kGroups * kPartitions / 2 / GroupSurvey::kStepsATurn));
  EXPECT_LT(turns, 100);
  EXPECT_EQ(board_.latest(clock.now), nullptr) << "the lcores have not told";
  EXPECT_EQ(answer(), (kPartitions + GroupSurvey::kLogsAtOnce - 1) / GroupSurvey::kLogsAtOnce);
  const auto samples = board_.latest(clock.now);
  ASSERT_NE(samples, nullptr);
  EXPECT_EQ(samples->commits.size(), static_cast<size_t>(kGroups * kPartitions / 2));
  EXPECT_EQ(samples->ends.size(), static_cast<size_t>(kPartitions)) << "each log is asked once";
}

// Groups come while it looks; a late answer to an earlier question changes nothing.
TEST_F(GroupSurveyTest, what_changes_meanwhile_does_not_disturb_it) {
  create("t", 600);
  for (int32_t p = 0; p < 600; ++p) commit("m", "t", p, 1);
  for (size_t p = 0; p < 600; ++p) ends_[log_of("t", p)] = 2;
  make_survey(100'000);
  board_.ask(clock.now);
  ASSERT_TRUE(survey_->go_on());  // it stands inside of the group
  commit("a", "t", 0, 1);
  commit("z", "t", 0, 1);
  look();
  survey_->told({.token = 999, .logs = {}});
  answer();
  const auto samples = board_.latest(clock.now);
  ASSERT_NE(samples, nullptr);
  EXPECT_EQ(samples->groups.size(), 2U) << "what came before its place waits for the next";
  EXPECT_EQ(samples->commits.size(), 601U);
}

TEST_F(GroupSurveyTest, one_serves_all_who_ask_within_a_second) {
  create("t", 1);
  commit("g", "t", 0, 0);
  const auto first = survey();
  ASSERT_NE(first, nullptr);
  const uint64_t number = board_.ask(clock.now);
  EXPECT_TRUE(board_.is_there(number));
  EXPECT_FALSE(survey_->go_on()) << "nobody wants another";
  clock.now += 2 * kSecond;
  EXPECT_FALSE(board_.is_there(board_.ask(clock.now)));
  clock.now += GroupBoard::kShown;
  EXPECT_EQ(board_.latest(clock.now), nullptr) << "too old to be shown";
}

}  // namespace
}  // namespace penstock::control
