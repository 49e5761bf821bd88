// GroupSurvey: finds out for /metrics what the groups are, what they have committed, and where the logs of that end.
// Begun when somebody asks the board; a part of it in each turn of the event loop, so that requests do not wait for it:
// first the groups, kStepsATurn a turn, then the ends, kLogsAtOnce of an lcore at a time. What is committed is looked
// at before the ends are, so that a lag is never too small. Groups come, go and change in between; each value was true
// at some time of it. One that an lcore holds up for kPatience is given up, and the next begins with what is committed
// by then; that lcore is asked once it has answered the old question, so that questions do not pile up.
//
// Bounds: groups and partitions told of one by one, most of each; 1 KiB of text times that for each of the two; what
// goes into sums alone is a fifth of what the groups themselves hold (penstock.groups.memory.max.bytes).
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/units.h"
#include "control/controller/controller.h"
#include "control/group_board.h"
#include "control/group_samples.h"
#include "control/groups/group_runtime.h"
#include "dataplane/api/messages.h"

namespace penstock::control {

class GroupSurvey {
 public:
  static constexpr size_t kStepsATurn = 512;  // groups, topics and partitions of groups
  static constexpr size_t kLogsAtOnce = 256;
  static constexpr size_t kTextBytesEach = 1024;
  static constexpr Nanos kPatience = 10 * kSecond;  // without an answer
  // What a line has around its labels' values, its metric's name included.
  static constexpr size_t kLineOverhead = 100;

  struct PlacedQuestion {
    uint16_t lcore;
    dataplane::AskEnds question;
  };

  // most: penstock.metrics.group.partitions.max, and not 0.
  GroupSurvey(const Controller& controller, const groups::GroupRuntime& runtime, GroupBoard& board, Clock& clock,
              uint16_t lcores, size_t most)
      : controller_(controller), runtime_(runtime), board_(board), clock_(clock), most_(most), asked_(lcores) {}

  // Once a turn. Whether there is more to do at once.
  bool go_on();
  void told(dataplane::EndsTold&& told);
  std::vector<PlacedQuestion> take_questions() { return std::exchange(questions_, {}); }

 private:
  enum class State : uint8_t { kIdle, kLooking, kAsking };
  static constexpr uint32_t kNone = UINT32_MAX;
  struct KnownTopic {
    TopicPtr topic;             // nullptr: there is none
    uint32_t label = kNone;     // of GroupSamples::topics
    std::vector<uint32_t> log;  // by partition, of GroupSamples::ends; kNone: not met yet
  };
  // The logs of an lcore, and how far it has told of them.
  struct Asked {
    std::vector<std::pair<storage::LogId, uint32_t>> logs;  // with their places among GroupSamples::ends
    size_t told = 0;
    uint64_t token = 0;   // 0: nothing is under way
    bool is_old = false;  // what is under way: of a survey that was given up
  };
  // Where the look goes on: a group, and in it the commit behind this one.
  struct Place {
    size_t index = 0;  // of the partition of __consumer_offsets
    std::string group{};
    bool in_group = false;
    std::string topic{};
    int32_t partition = -1;
  };

  void begin();
  bool look(const groups::Coordinator& coordinator, size_t& steps);
  bool enter(const std::string& id, const groups::Group& group);
  bool look_at_commits(const groups::Group& group, size_t& steps);
  void take_commit(KnownTopic& topic, int32_t partition, int64_t offset);
  void leave_group();
  void drop_group();
  KnownTopic& topic_of(const std::string& name);
  void ask(uint16_t lcore);
  void publish_if_told();
  void give_up_if_held_up();

  const Controller& controller_;
  const groups::GroupRuntime& runtime_;
  GroupBoard& board_;
  Clock& clock_;
  const size_t most_;
  State state_ = State::kIdle;
  std::shared_ptr<GroupSamples> samples_;
  size_t partitions_ = 0;  // of __consumer_offsets
  Place at_;
  std::map<std::string, KnownTopic, std::less<>> topics_;
  std::set<std::string> unclear_;  // labels of groups with U+FFFD in them
  size_t group_bytes_ = 0;         // of text
  size_t detailed_ = 0;            // partitions that are told of one by one
  size_t detailed_bytes_ = 0;      // of text
  size_t of_group_ = 0;            // commits of the group that is looked at
  size_t of_group_bytes_ = 0;
  std::vector<Asked> asked_;  // by lcore
  uint64_t last_token_ = 0;
  Nanos heard_at_ = 0;  // an lcore, or when they were first asked
  std::vector<PlacedQuestion> questions_;
};

}  // namespace penstock::control
