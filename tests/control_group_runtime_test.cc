// GroupRuntime between requests and pretended lcores: loading, one batch at a time, what happens when one fails.
#include <gtest/gtest.h>

#include "control/groups/group_runtime.h"
#include "protocol/record_batch.h"
#include "tests/control_fixture.h"

namespace penstock::control::groups {
namespace {

TEST(PartitionForTest, is_kafkas_choice) {
  EXPECT_EQ(partition_for("abc", 50), 96354 % 50) << "\"abc\".hashCode()";
  EXPECT_EQ(partition_for("", 50), 0);
  EXPECT_EQ(partition_for("polygenelubricants", 50), 0) << "Integer.MIN_VALUE, which has no absolute value";
  EXPECT_EQ(partition_for("group-kcat-of-some-length", 1), 0);
  EXPECT_EQ(partition_for("zzzzzzz", 1000), [] {
    int32_t hash = 0;
    for (int i = 0; i < 7; ++i) hash = static_cast<int32_t>(static_cast<uint32_t>(hash) * 31 + 'z');
    return hash < 0 ? -hash % 1000 : hash % 1000;
  }());
  EXPECT_EQ(partition_for("\xc3\xa9", 1000), 233) << "U+00E9 is one unit";
  EXPECT_EQ(partition_for("\xf0\x9f\x98\x80", 10'000'000), (0xd83d * 31 + 0xde00) % 10'000'000) << "U+1F600 is two";
}

class GroupRuntimeTest : public testing::Test, protected ControllerFixture {
 protected:
  GroupRuntimeTest() {
    options.offsets_topic_num_partitions = 1;
    restart();
    make_runtime();
  }

  // As after a restart of the process: the logs stay.
  void make_runtime() {
    runtime_.reset();
    if (write_bytes_max_) {
      GroupSettings settings = group_settings(options);
      settings.write_bytes_max = *write_bytes_max_;
      runtime_.emplace(*controller, counters, 5, settings);
    } else {
      runtime_.emplace(*controller, counters, 5);
    }
    runtime_->refresh(now());
  }
  Now now() { return {.monotonic = clock.now, .wall_ms = clock.wall_ms()}; }
  GroupRuntime& runtime() { return *runtime_; }

  // What lcores do with the commands there are; appends are kept back until finish_append().
  void obey() {
    for (auto& [lcore, command] : runtime().take_commands(now())) {
      if (auto* append = std::get_if<dataplane::AppendRecords>(&command)) {
        ASSERT_FALSE(append_) << "one batch of a partition at a time";
        append_ = std::move(*append);
      } else {
        answer_read(std::get<dataplane::ReadLog>(command));
      }
    }
  }
  void answer_read(const dataplane::ReadLog& read) {
    dataplane::LogRead told{.token = read.token, .status = read_status_, .bytes = {}, .offsets = {}};
    told.offsets = {.log_start_offset = start_, .durable = end_, .log_end_offset = end_};
    if (read.from < start_) told.status = storage::ReadStatus::kGone;
    for (const auto& batch : log_) {
      if (told.status != storage::ReadStatus::kReady || protocol::view_of(batch).base_offset() < read.from) continue;
      const size_t room = read.max_bytes - std::min<size_t>(read.max_bytes, told.bytes.size());
      const size_t n = told.bytes.empty() ? batch.size() : std::min(room, batch.size());  // the last may be cut
      told.bytes.insert(told.bytes.end(), batch.begin(), batch.begin() + static_cast<ptrdiff_t>(n));
    }
    reads_.push_back(read.from);
    held_reads_.push_back(std::move(told));
  }
  void load() {
    for (int i = 0; i < 100; ++i) {
      obey();
      if (held_reads_.empty()) return;
      for (auto& told : std::exchange(held_reads_, {})) runtime().read(std::move(told), now());
    }
    FAIL() << "loading does not end";
  }
  void store(std::vector<std::byte> batch) {
    protocol::store_base_offset(std::span(batch).first<protocol::kBatchHeaderBytes>(), end_);
    end_ += protocol::view_of(batch).last_offset_delta() + 1;
    log_.push_back(std::move(batch));
  }
  void finish_append(storage::AppendStatus status = storage::AppendStatus::kAppended) {
    ASSERT_TRUE(append_.has_value());
    auto append = *std::exchange(append_, std::nullopt);
    if (status == storage::AppendStatus::kAppended) store(std::move(append.batch));
    runtime().appended({.token = append.token, .status = status, .base_offset = end_}, now());
    obey();
  }

  ErrorCode commit(const std::string& group, int64_t offset, Ticket ticket) {
    return runtime().step(group, ticket, false, now(), [&](Coordinator& coordinator, Effects& effects) {
      protocol::OffsetCommitRequest request{.group_id = group};
      request.topics.push_back({.name = "t", .partitions = {{.partition_index = 0, .committed_offset = offset}}});
      protocol::OffsetCommitResponse response;
      response.topics.push_back({.name = "t", .partitions = {{.partition_index = 0}}});
      coordinator.commit(request, 9, now(), effects, response);
      EXPECT_EQ(response.topics[0].partitions[0].error_code, ErrorCode::kNone);
    });
  }
  int64_t committed(const std::string& group) {
    int64_t offset = -2;
    const ErrorCode error = runtime().step(group, 999, false, now(), [&](Coordinator& coordinator, Effects&) {
      const auto* value = coordinator.groups().contains(group)
                              ? coordinator.groups().find(group)->second.offsets.find("t", 0)
                              : nullptr;
      offset = value == nullptr ? -1 : value->offset;
    });
    EXPECT_EQ(error, ErrorCode::kNone);
    return offset;
  }
  // The tickets that are done, with their errors.
  std::vector<std::pair<Ticket, ErrorCode>> done() {
    std::vector<std::pair<Ticket, ErrorCode>> all;
    for (const StepDone& each : runtime().take_done()) {
      if (each.ticket != 999) all.emplace_back(each.ticket, each.error);
    }
    return all;
  }
  using Done = std::vector<std::pair<Ticket, ErrorCode>>;

  void begin() {
    create("t", 1);
    ASSERT_EQ(runtime().make_topic(), ErrorCode::kNone);
    runtime().refresh(now());
    load();
  }

  // A next-generation member that begins; what it is told at once.
  ErrorCode join(const std::string& group, std::vector<std::string> topics, Ticket ticket) {
    ErrorCode told = ErrorCode::kNone;
    EXPECT_EQ(runtime().step(group, ticket, false, now(),
                             [&](Coordinator& coordinator, Effects& effects) {
                               protocol::ConsumerGroupHeartbeatRequest request{.group_id = group, .member_id = "m"};
                               request.rebalance_timeout_ms = 10'000;
                               request.subscribed_topic_names = topics;
                               request.topic_partitions.emplace();
                               told =
                                   coordinator.consumer_heartbeat(request, {.version = 1}, now(), effects).error_code;
                             }),
              ErrorCode::kNone);
    return told;
  }

  std::optional<size_t> write_bytes_max_;
  std::optional<dataplane::AppendRecords> append_;
  std::vector<std::vector<std::byte>> log_;
  std::vector<dataplane::LogRead> held_reads_;
  std::vector<Offset> reads_;
  Offset start_{0};
  Offset end_{0};
  storage::ReadStatus read_status_ = storage::ReadStatus::kReady;

 private:
  std::optional<GroupRuntime> runtime_;
};

TEST_F(GroupRuntimeTest, groups_wait_until_their_partition_has_been_read) {
  create("t", 1);
  EXPECT_EQ(commit("g", 1, 1), ErrorCode::kCoordinatorNotAvailable) << "there is no topic";
  ASSERT_EQ(runtime().make_topic(), ErrorCode::kNone);
  EXPECT_EQ(commit("g", 1, 1), ErrorCode::kCoordinatorLoadInProgress);
  EXPECT_EQ(runtime().look([](const Coordinator&) {}), ErrorCode::kCoordinatorLoadInProgress);
  load();
  EXPECT_EQ(commit("g", 1, 1), ErrorCode::kNone);
  EXPECT_TRUE(runtime().is_led("g"));
}

TEST_F(GroupRuntimeTest, an_answer_leaves_when_all_before_it_is_durable) {
  begin();
  ASSERT_EQ(commit("g", 1, 1), ErrorCode::kNone);
  obey();
  ASSERT_EQ(commit("g", 2, 2), ErrorCode::kNone);
  ASSERT_EQ(commit("h", 3, 3), ErrorCode::kNone);
  obey();
  EXPECT_TRUE(done().empty());
  EXPECT_EQ(committed("g"), 2) << "later steps see it at once";
  finish_append();
  EXPECT_EQ(done(), (Done{{1, ErrorCode::kNone}}));
  ASSERT_TRUE(append_.has_value());
  EXPECT_EQ(protocol::view_of(append_->batch).records_count(), 2) << "what came meanwhile, in one batch";
  finish_append();
  EXPECT_EQ(done(), (Done{{2, ErrorCode::kNone}, {3, ErrorCode::kNone}}));
}

TEST_F(GroupRuntimeTest, what_the_steps_of_a_turn_write_is_one_batch) {
  begin();
  ASSERT_EQ(commit("g", 1, 1), ErrorCode::kNone);
  ASSERT_EQ(commit("h", 2, 2), ErrorCode::kNone);
  EXPECT_GT(runtime().commands_waiting(), 0U);
  obey();
  ASSERT_TRUE(append_.has_value());
  EXPECT_EQ(protocol::view_of(append_->batch).records_count(), 2);
  finish_append();
  EXPECT_EQ(done(), (Done{{1, ErrorCode::kNone}, {2, ErrorCode::kNone}}));
  EXPECT_EQ(runtime().commands_waiting(), 0U);
}

TEST_F(GroupRuntimeTest, what_cannot_be_written_is_forgotten_and_the_log_is_read_again) {
  begin();
  ASSERT_EQ(commit("g", 1, 1), ErrorCode::kNone);
  obey();
  finish_append();
  ASSERT_EQ(commit("g", 2, 2), ErrorCode::kNone);
  obey();
  ASSERT_EQ(commit("g", 3, 3), ErrorCode::kNone);
  done();
  finish_append(storage::AppendStatus::kDiskFull);
  EXPECT_EQ(done(), (Done{{2, ErrorCode::kCoordinatorNotAvailable}, {3, ErrorCode::kCoordinatorNotAvailable}}));
  EXPECT_EQ(commit("g", 4, 4), ErrorCode::kCoordinatorLoadInProgress);
  load();
  EXPECT_EQ(committed("g"), 1);
  ASSERT_EQ(commit("g", 5, 5), ErrorCode::kNone);
  obey();
  finish_append();
  EXPECT_EQ(done(), (Done{{5, ErrorCode::kNone}}));
}

TEST_F(GroupRuntimeTest, a_failed_drive_takes_its_groups_offline) {
  begin();
  ASSERT_EQ(commit("g", 1, 1), ErrorCode::kNone);
  obey();
  finish_append(storage::AppendStatus::kPoisoned);
  EXPECT_EQ(done(), (Done{{1, ErrorCode::kNotCoordinator}}));
  EXPECT_EQ(commit("g", 1, 2), ErrorCode::kNotCoordinator);
  EXPECT_FALSE(runtime().is_led("g"));
}

TEST_F(GroupRuntimeTest, a_member_that_waits_is_told_when_its_partition_is_given_up) {
  begin();
  protocol::JoinGroupRequest join{.group_id = "g", .session_timeout_ms = 10'000, .protocol_type = "consumer"};
  join.protocols.push_back({.name = "range"});
  ASSERT_EQ(runtime().step("g", 7, true, now(),
                           [&](Coordinator& coordinator, Effects& effects) {
                             coordinator.join(join, {.ticket = 7, .version = 3}, now(), effects);
                           }),
            ErrorCode::kNone);
  obey();
  EXPECT_TRUE(done().empty());
  finish_append(storage::AppendStatus::kRingFull);
  EXPECT_EQ(done(), (Done{{7, ErrorCode::kCoordinatorNotAvailable}}));
}

TEST_F(GroupRuntimeTest, what_can_never_be_written_fails_the_group_that_wants_it_and_no_other) {
  write_bytes_max_ = 600;
  make_runtime();
  create("wide", 200);
  begin();
  ASSERT_EQ(commit("g", 1, 1), ErrorCode::kNone);
  EXPECT_EQ(join("big", {std::string(500, 'x')}, 2), ErrorCode::kMessageTooLarge) << "what it says";
  EXPECT_EQ(join("wide", {"wide"}, 3), ErrorCode::kNone) << "what it gets: found when it is to be written";
  EXPECT_EQ(join("small", {"t"}, 4), ErrorCode::kNone);
  ASSERT_EQ(commit("g", 2, 5), ErrorCode::kNone);
  for (int i = 0; i < 20 && (obey(), append_.has_value()); ++i) finish_append();
  EXPECT_EQ(done(), (Done{{1, ErrorCode::kNone},
                          {2, ErrorCode::kNone},
                          {3, ErrorCode::kUnknownServerError},
                          {4, ErrorCode::kNone},
                          {5, ErrorCode::kNone}}));
  EXPECT_EQ(counters.get(Metric::group_partitions_failed), 0u);
  make_runtime();
  load();
  EXPECT_EQ(committed("g"), 2);
  EXPECT_EQ(counters.get(Metric::group_members), 1u) << "of small";
}

TEST_F(GroupRuntimeTest, a_step_that_throws_leaves_nothing_behind) {
  begin();
  ASSERT_EQ(commit("g", 1, 1), ErrorCode::kNone);
  obey();  // under way
  ASSERT_EQ(commit("g", 2, 2), ErrorCode::kNone);
  for (const bool late : {false, true}) {
    const Ticket ticket = late ? 4 : 3;
    if (late) {
      finish_append();
      load();
      EXPECT_EQ(committed("g"), 1) << "what was under way has come to be in the log";
    }
    const auto throws = [&](Coordinator& coordinator, Effects& effects) {
      protocol::JoinGroupRequest join{.group_id = "g", .session_timeout_ms = 10'000, .protocol_type = "consumer"};
      join.protocols.push_back({.name = "range"});
      if (late) coordinator.join(join, {.ticket = ticket, .version = 3}, now(), effects);
      if (!late) coordinator.delete_group("g", now(), effects);
      throw std::bad_alloc();
    };
    ASSERT_EQ(runtime().step("g", ticket, late, now(), throws), ErrorCode::kNone);
    EXPECT_EQ(commit("g", 3, 9), ErrorCode::kCoordinatorLoadInProgress);
    reads_.clear();
    if (!late) {
      obey();
      EXPECT_TRUE(reads_.empty()) << "not before it is known what the log has";
    }
  }
  using enum ErrorCode;
  EXPECT_EQ(done(), (Done{{1, kCoordinatorNotAvailable},
                          {2, kCoordinatorNotAvailable},
                          {3, kCoordinatorNotAvailable},
                          {4, kCoordinatorNotAvailable}}));
  load();
  EXPECT_EQ(committed("g"), 1);
}

TEST_F(GroupRuntimeTest, a_start_reads_what_was_written_in_as_many_reads_as_it_takes) {
  options.offsets_load_buffer_size = 1024;
  begin();
  for (int64_t i = 0; i < 200; ++i) {
    ASSERT_EQ(commit("g" + std::to_string(i % 7), i, static_cast<Ticket>(i)), ErrorCode::kNone);
    obey();
    finish_append();
  }
  reads_.clear();
  make_runtime();
  load();
  EXPECT_GT(reads_.size(), 10u);
  for (int64_t i = 193; i < 200; ++i) EXPECT_EQ(committed("g" + std::to_string(i % 7)), i);
}

TEST_F(GroupRuntimeTest, a_log_that_begins_later_is_read_from_there) {
  begin();
  ASSERT_EQ(commit("g", 1, 1), ErrorCode::kNone);
  obey();
  finish_append();
  ASSERT_EQ(commit("h", 2, 2), ErrorCode::kNone);
  obey();
  finish_append();
  log_.erase(log_.begin());
  start_ = Offset{1};
  make_runtime();
  load();
  EXPECT_EQ(committed("g"), -1);
  EXPECT_EQ(committed("h"), 2);
}

TEST_F(GroupRuntimeTest, records_that_are_not_understood_are_passed_over_and_counted) {
  begin();
  protocol::BatchBuilder builder;
  const std::vector<std::byte> share_group = {std::byte{0}, std::byte{11}, std::byte{0}, std::byte{1}, std::byte{'g'}};
  builder.add(1, share_group, std::nullopt);
  builder.add(1, std::nullopt, std::nullopt);
  store(builder.finish());
  ASSERT_EQ(commit("g", 9, 1), ErrorCode::kNone);
  obey();
  finish_append();
  make_runtime();
  load();
  EXPECT_EQ(committed("g"), 9);
  EXPECT_EQ(counters.get(Metric::group_records_skipped), 2u);
}

TEST_F(GroupRuntimeTest, a_log_that_cannot_be_read_takes_its_groups_offline) {
  begin();
  read_status_ = storage::ReadStatus::kDamaged;
  make_runtime();
  load();
  EXPECT_EQ(commit("g", 1, 1), ErrorCode::kNotCoordinator);
  read_status_ = storage::ReadStatus::kReady;
  protocol::BatchBuilder builder;
  builder.add(1, std::vector<std::byte>(4), std::nullopt);
  store(builder.finish());
  log_.back().back() ^= std::byte{1};
  make_runtime();
  load();
  EXPECT_EQ(commit("g", 1, 1), ErrorCode::kNotCoordinator) << "a batch whose checksum is wrong is not believed";
}

TEST_F(GroupRuntimeTest, offsets_of_a_topic_that_is_gone_are_deleted_now_or_at_the_next_start) {
  begin();
  ASSERT_EQ(commit("g", 1, 1), ErrorCode::kNone);
  obey();
  finish_append();
  remove("t");
  make_runtime();  // the process died before it wrote that down
  load();
  EXPECT_EQ(committed("g"), -1);
  ASSERT_TRUE(append_.has_value()) << "the tombstone";
}

TEST_F(GroupRuntimeTest, offsets_of_a_topic_that_is_deleted_while_they_are_read_are_not_of_the_next_one) {
  begin();
  ASSERT_EQ(commit("g", 1, 1), ErrorCode::kNone);
  obey();
  finish_append();
  make_runtime();
  obey();
  ASSERT_FALSE(held_reads_.empty());
  const std::vector<std::string> deleted{"t", "another"};
  runtime().topics_deleted(deleted, now());  // and there is a topic of that name again, or still
  load();
  ASSERT_NE(controller->image().find("t"), nullptr);
  EXPECT_EQ(committed("g"), -1);
  ASSERT_TRUE(append_.has_value()) << "the tombstone";
  finish_append();
  ASSERT_EQ(commit("g", 2, 2), ErrorCode::kNone);
  EXPECT_EQ(committed("g"), 2);
}

TEST_F(GroupRuntimeTest, without_its_topic_all_groups_are_gone) {
  begin();
  ASSERT_EQ(commit("g", 1, 1), ErrorCode::kNone);
  remove(std::string(kOffsetsTopic));
  runtime().refresh(now());
  EXPECT_EQ(done(), (Done{{1, ErrorCode::kNotCoordinator}}));
  EXPECT_EQ(counters.get(Metric::groups), 0u);
  append_.reset();
  runtime().take_commands(now());
  log_.clear();
  end_ = Offset{0};
  ASSERT_EQ(runtime().make_topic(), ErrorCode::kNone);
  runtime().refresh(now());
  load();
  EXPECT_EQ(committed("g"), -1);
}

}  // namespace
}  // namespace penstock::control::groups
