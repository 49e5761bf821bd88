// GroupSurvey between groups and pretended lcores: what the samples say, how much of it a turn does, and what happens
// when groups go or an lcore is silent meanwhile.
#include <gtest/gtest.h>

#include <algorithm>
#include <deque>
#include <map>
#include <optional>

#include "control/group_survey.h"
#include "control/prometheus.h"
#include "tests/control_fixture.h"

namespace penstock::control {
namespace {

using groups::Coordinator;
using groups::Effects;
using groups::GroupRuntime;
using groups::Now;
using Samples = std::shared_ptr<const GroupSamples>;
using Commits = std::vector<std::pair<int32_t, int64_t>>;  // partitions and offsets

class GroupSurveyTest : public testing::Test, protected ControllerFixture {
 protected:
  GroupSurveyTest() {
    options.offsets_topic_num_partitions = 1;
    lcores = 2;
    rings = {0, 1};
    restart();
  }
  // A survey of groups that are loaded: their log is empty, and what they write is never durable.
  void begin(size_t most = 100'000) {
    runtime_.emplace(*controller, counters, 5);
    ASSERT_EQ(runtime_->make_topic(), ErrorCode::kNone);
    runtime_->refresh(now());
    for (auto& [lcore, command] : runtime_->take_commands(now()))
      runtime_->read({.token = std::get<dataplane::ReadLog>(command).token,
                      .status = storage::ReadStatus::kReady,
                      .bytes = {},
                      .offsets = {}},
                     now());
    board.open([this] { ++published; });
    survey_.emplace(*controller, *runtime_, board, clock, lcores, most);
  }
  GroupSurvey& survey() { return *survey_; }
  Now now() { return {.monotonic = clock.now, .wall_ms = clock.wall_ms()}; }

  void commit(const std::string& group, const std::string& topic, const Commits& commits) {
    const auto work = [&](Coordinator& coordinator, Effects& effects) {
      protocol::OffsetCommitRequest request{.group_id = group};
      protocol::OffsetCommitResponse response;
      auto& wanted = request.topics.emplace_back();
      auto& told = response.topics.emplace_back();
      wanted.name = told.name = topic;
      for (const auto& [partition, offset] : commits) {
        wanted.partitions.push_back({.partition_index = partition, .committed_offset = offset});
        told.partitions.push_back({.partition_index = partition});
      }
      coordinator.commit(request, 9, now(), effects, response);
      for (const auto& each : told.partitions) ASSERT_EQ(each.error_code, ErrorCode::kNone);
    };
    ASSERT_EQ(runtime_->step(group, 1, false, now(), work), ErrorCode::kNone);
  }
  void delete_group(const std::string& group) {
    ASSERT_EQ(runtime_->step(group, 1, false, now(),
                             [&](Coordinator& coordinator, Effects& effects) {
                               EXPECT_EQ(coordinator.delete_group(group, now(), effects), ErrorCode::kNone);
                             }),
              ErrorCode::kNone);
  }

  storage::LogId log_of(const std::string& topic, size_t partition) {
    return controller->image().find(topic)->record.partitions.at(partition).log;
  }
  void ends(const std::string& topic, size_t partition, int64_t end) { ends_[log_of(topic, partition)] = end; }

  // Turns until there is nothing to do at once; how many had something.
  size_t look() {
    size_t turns = 0;
    while (survey().go_on()) {
      if (++turns == 10'000) {
        ADD_FAILURE() << "it does not end";
        break;
      }
    }
    for (auto& [lcore, question] : survey().take_questions()) {
      most_at_once = std::max(most_at_once, question.logs.size());
      ++asked[lcore];
      open_.emplace_back(lcore, std::move(question));
    }
    return turns;
  }
  // What lcores do; not the silent one.
  void answer(std::optional<uint16_t> silent = std::nullopt) {
    int rounds = 0;
    for (bool more = true; more;) {
      more = false;
      ASSERT_LT(++rounds, 1000) << "it asks on and on";
      for (auto& [lcore, question] : std::exchange(open_, {})) {
        if (lcore == silent) {
          open_.emplace_back(lcore, std::move(question));
          continue;
        }
        for (auto& log : question.logs) log.durable = Offset{ends_.contains(log.log) ? ends_[log.log] : -1};
        survey().told({.token = question.token, .logs = std::move(question.logs)});
        more = true;
      }
      look();
    }
  }
  Samples made() {
    const uint64_t number = board.ask(clock.now);
    look();
    answer();
    EXPECT_TRUE(board.is_there(number));
    return board.latest(clock.now);
  }
  std::string text(const Samples& samples) { return prometheus_text(counters, {}, {}, {}, samples.get()); }
  // The value of a line of /metrics; -1: there is none.
  int64_t value(const Samples& samples, const std::string& series) {
    const std::string all = text(samples);
    const size_t at = all.find("\n" + series + " ");
    return at == std::string::npos ? -1 : std::stoll(all.substr(at + series.size() + 2));
  }
  int64_t sum(const Samples& samples, const std::string& group) {
    return value(samples, "penstock_consumer_group_lag{group=\"" + group + "\"}");
  }
  int64_t lag(const Samples& samples, const std::string& group, const std::string& topic, int partition) {
    return value(samples, "penstock_consumer_group_partition_lag{group=\"" + group + "\",topic=\"" + topic +
                              "\",partition=\"" + std::to_string(partition) + "\"}");
  }

  Doorbell doorbell;
  GroupBoard board{doorbell};
  int published = 0;
  size_t most_at_once = 0;
  std::map<uint16_t, int> asked;  // questions, by lcore

 private:
  std::map<storage::LogId, int64_t> ends_;
  std::deque<std::pair<uint16_t, dataplane::AskEnds>> open_;
  std::optional<GroupRuntime> runtime_;
  std::optional<GroupSurvey> survey_;
};

TEST_F(GroupSurveyTest, nothing_is_done_unless_somebody_asks) {
  begin();
  EXPECT_FALSE(survey().go_on());
  EXPECT_EQ(published, 0);
  const Samples samples = made();
  EXPECT_EQ(published, 1);
  ASSERT_NE(samples, nullptr);
  EXPECT_TRUE(samples->groups.empty());
  EXPECT_FALSE(survey().go_on());
}

TEST_F(GroupSurveyTest, one_serves_all_who_ask_within_a_second) {
  begin();
  ASSERT_NE(made(), nullptr);
  EXPECT_TRUE(board.is_there(board.ask(clock.now)));
  EXPECT_FALSE(survey().go_on()) << "nobody wants another";
  clock.now += GroupBoard::kServes;
  EXPECT_FALSE(board.is_there(board.ask(clock.now)));
  clock.now += GroupBoard::kShown;
  EXPECT_EQ(board.latest(clock.now), nullptr) << "too old to be shown";
}

TEST_F(GroupSurveyTest, lag_is_the_end_less_the_commit_and_never_below_0) {
  create("t", 4);
  begin();
  commit("g", "t", {{0, 30}, {1, 100}, {2, 500}, {3, 0}});
  for (size_t partition = 0; partition < 3; ++partition) ends("t", partition, 100);
  ends("t", 3, 7);
  commit("other", "t", {{0, 99}});
  const Samples samples = made();
  EXPECT_EQ(lag(samples, "g", "t", 0), 70);
  EXPECT_EQ(lag(samples, "g", "t", 1), 0);
  EXPECT_EQ(lag(samples, "g", "t", 2), 0) << "committed behind the end";
  EXPECT_EQ(lag(samples, "g", "t", 3), 7);
  EXPECT_EQ(sum(samples, "g"), 77);
  EXPECT_EQ(sum(samples, "other"), 1);
  EXPECT_EQ(value(samples, R"(penstock_consumer_group_partition_committed_offset{group="g",topic="t",partition="2"})"),
            500);
  EXPECT_EQ(samples->partitions_left_out, 0u);
  EXPECT_EQ(asked.size(), 2u) << "the logs of both lcores";
}

TEST_F(GroupSurveyTest, a_partition_that_is_gone_has_no_sample) {
  create("t", 2);
  create("gone", 1);
  begin();
  commit("g", "t", {{0, 1}, {1, 1}});
  commit("g", "gone", {{0, 1}});
  commit("lost", "gone", {{0, 1}});
  ends("t", 0, 11);
  ends("gone", 0, 1000);
  remove("gone");  // the lcore has not told of t 1: its log is not there
  const Samples samples = made();
  EXPECT_EQ(lag(samples, "g", "t", 0), 10);
  EXPECT_EQ(lag(samples, "g", "t", 1), -1);
  EXPECT_EQ(sum(samples, "g"), 10);
  EXPECT_EQ(sum(samples, "lost"), -1) << "no sum, rather than one of 0";
  EXPECT_EQ(value(samples, "penstock_consumer_group_members{group=\"lost\"}"), 0);
  EXPECT_EQ(text(samples).find("topic=\"gone\""), std::string::npos);
}

// a and c have 3 partitions, b has 4, and there is room for 6.
TEST_F(GroupSurveyTest, a_group_has_all_its_partitions_told_of_or_its_sum_alone) {
  create("t", 5);
  begin(6);
  commit("a", "t", {{0, 0}, {1, 0}, {2, 0}});
  commit("b", "t", {{0, 0}, {1, 0}, {2, 0}, {3, 0}});
  commit("c", "t", {{2, 0}, {3, 0}, {4, 0}});
  for (size_t partition = 0; partition < 5; ++partition) ends("t", partition, 10);
  const Samples samples = made();
  for (int partition = 0; partition < 5; ++partition) {
    EXPECT_EQ(lag(samples, "a", "t", partition), partition < 3 ? 10 : -1);
    EXPECT_EQ(lag(samples, "b", "t", partition), -1);
    EXPECT_EQ(lag(samples, "c", "t", partition), partition >= 2 ? 10 : -1);
  }
  EXPECT_EQ(sum(samples, "a"), 30);
  EXPECT_EQ(sum(samples, "b"), 40);
  EXPECT_EQ(sum(samples, "c"), 30);
  EXPECT_EQ(value(samples, "penstock_consumer_group_partitions_left_out"), 4);
  EXPECT_EQ(value(samples, "penstock_consumer_groups_left_out"), 0);
}

TEST_F(GroupSurveyTest, groups_above_the_bound_are_left_out_and_counted) {
  create("t", 2);
  begin(2);
  for (const char* group : {"a", "b", "c", "d"}) commit(group, "t", {{0, 0}, {1, 0}});
  for (size_t partition = 0; partition < 2; ++partition) ends("t", partition, 10);
  const Samples samples = made();
  ASSERT_EQ(samples->groups.size(), 2u);
  EXPECT_EQ(sum(samples, "a"), 20);
  EXPECT_EQ(sum(samples, "b"), 20);
  EXPECT_EQ(sum(samples, "c"), -1);
  EXPECT_EQ(lag(samples, "a", "t", 1), 10);
  EXPECT_EQ(lag(samples, "b", "t", 1), -1);
  EXPECT_EQ(value(samples, "penstock_consumer_groups_left_out"), 2);
  EXPECT_EQ(value(samples, "penstock_consumer_group_partitions_left_out"), 6) << "b's too";
}

TEST_F(GroupSurveyTest, of_two_groups_that_look_the_same_one_is_left_out) {
  begin();
  create("t", 1);
  commit("x\xff", "t", {{0, 0}});
  commit("x\xfe", "t", {{0, 0}});
  const Samples samples = made();
  EXPECT_EQ(samples->groups.size(), 1u);
  EXPECT_EQ(samples->groups_left_out, 1u);
}

// ---- turns

TEST_F(GroupSurveyTest, many_groups_take_many_turns_each_of_so_many_steps) {
  constexpr size_t kGroups = 1000;
  constexpr int kEach = 10;
  constexpr int kPartitions = 600;  // 300 an lcore: two questions
  create("t", kPartitions);
  begin();
  for (int partition = 0; partition < kPartitions; ++partition) ends("t", static_cast<size_t>(partition), 3);
  for (size_t i = 0; i < kGroups; ++i) {
    Commits commits;
    for (int j = 0; j < kEach; ++j) commits.emplace_back((static_cast<int>(i) * kEach + j) % kPartitions, 1);
    commit("g" + std::to_string(i), "t", commits);
  }
  board.ask(clock.now);
  // A step a group, a topic and a partition; each turn but the last does all that it may. A topic in which a turn ended
  // is met once more, which 24 turns have room for.
  constexpr size_t kSteps = kGroups * (1 + 1 + kEach);
  constexpr size_t kTurns = (kSteps + GroupSurvey::kStepsATurn - 1) / GroupSurvey::kStepsATurn;
  EXPECT_EQ(look(), kTurns);
  EXPECT_EQ(published, 0);
  answer();
  ASSERT_EQ(published, 1);
  EXPECT_EQ(most_at_once, GroupSurvey::kLogsAtOnce);
  EXPECT_EQ(asked, (std::map<uint16_t, int>{{0, 2}, {1, 2}}));
  const Samples samples = board.latest(clock.now);
  EXPECT_EQ(samples->groups.size(), kGroups);
  EXPECT_EQ(samples->commits.size(), kGroups * kEach);
  EXPECT_EQ(samples->ends.size(), static_cast<size_t>(kPartitions));
  for (const auto& each : samples->commits) ASSERT_EQ(samples->lag_of(each), 2);
  EXPECT_EQ(sum(samples, "g999"), 2 * kEach);
}

// One group after another goes, before, in and behind the place at which the survey stands.
TEST_F(GroupSurveyTest, groups_that_go_meanwhile_leave_whole_groups_or_none) {
  constexpr int kPartitions = 700;  // more than a turn does: it stops within each group
  create("t", kPartitions);
  begin();
  Commits commits;
  for (int partition = 0; partition < kPartitions; ++partition) {
    commits.emplace_back(partition, 0);
    ends("t", static_cast<size_t>(partition), 1);
  }
  for (const char* group : {"a", "b", "c", "d"}) commit(group, "t", commits);
  const uint64_t number = board.ask(clock.now);
  EXPECT_TRUE(survey().go_on());  // stands in a
  EXPECT_TRUE(survey().go_on());  // in b
  delete_group("a");
  delete_group("b");
  delete_group("d");
  look();
  answer();
  ASSERT_TRUE(board.is_there(number));
  const Samples samples = board.latest(clock.now);
  EXPECT_EQ(sum(samples, "a"), kPartitions) << "it was there when it was looked at";
  EXPECT_EQ(sum(samples, "b"), -1) << "a part is not a sum";
  EXPECT_EQ(sum(samples, "c"), kPartitions);
  EXPECT_EQ(sum(samples, "d"), -1);
  EXPECT_EQ(samples->groups.size(), 2u);
  EXPECT_EQ(samples->commits.size(), 2u * kPartitions);
}

// ---- lcores that are silent

TEST_F(GroupSurveyTest, a_survey_that_an_lcore_holds_up_is_given_up_for_one_of_that_time) {
  create("t", 2);
  begin();
  commit("g", "t", {{0, 10}, {1, 10}});
  for (size_t partition = 0; partition < 2; ++partition) ends("t", partition, 10);
  uint64_t number = board.ask(clock.now);
  look();
  answer(1);
  EXPECT_FALSE(board.is_there(number));
  for (int i = 0; i < 50; ++i) {
    clock.now += kSecond;
    number = board.ask(clock.now);
    look();
    answer(1);
  }
  EXPECT_EQ(board.latest(clock.now), nullptr);
  EXPECT_GE(asked[0], 5) << "new ones begin";
  EXPECT_EQ(asked[1], 1) << "who owes an answer is asked nothing more";
  commit("g", "t", {{0, 1000}, {1, 1000}});
  for (size_t partition = 0; partition < 2; ++partition) ends("t", partition, 1005);
  clock.now += GroupSurvey::kPatience;
  answer();  // the old question is answered first
  ASSERT_TRUE(board.is_there(number));
  const Samples samples = board.latest(clock.now);
  EXPECT_EQ(lag(samples, "g", "t", 0), 5) << "not what was committed a minute ago";
  EXPECT_EQ(lag(samples, "g", "t", 1), 5);
  EXPECT_EQ(published, 1);
  EXPECT_EQ(asked[1], 2);
}

TEST_F(GroupSurveyTest, what_a_silent_lcore_does_not_have_does_not_wait_for_it) {
  create("t", 2);
  begin();
  commit("both", "t", {{0, 10}, {1, 10}});
  for (size_t partition = 0; partition < 2; ++partition) ends("t", partition, 10);
  uint64_t number = board.ask(clock.now);
  look();
  answer(1);
  EXPECT_FALSE(board.is_there(number));
  delete_group("both");
  commit("one", "t", {{controller->image().find("t")->record.partitions[0].ring == 0 ? 0 : 1, 4}});
  clock.now += GroupSurvey::kPatience;
  look();
  answer(1);
  ASSERT_TRUE(board.is_there(number));
  EXPECT_EQ(sum(board.latest(clock.now), "one"), 6);
}

TEST_F(GroupSurveyTest, an_answer_that_nobody_awaits_changes_nothing) {
  create("t", 1);
  begin();
  commit("g", "t", {{0, 10}});
  ends("t", 0, 15);
  survey().told({.token = 1, .logs = {{.log = log_of("t", 0), .durable = Offset{99}}}});
  board.ask(clock.now);
  look();
  survey().told({.token = 4711, .logs = {{.log = log_of("t", 0), .durable = Offset{99}}}});
  survey().told({.token = 0, .logs = {{.log = log_of("t", 0), .durable = Offset{99}}}});
  EXPECT_EQ(published, 0);
  answer();
  EXPECT_EQ(sum(board.latest(clock.now), "g"), 5);
}

}  // namespace
}  // namespace penstock::control
