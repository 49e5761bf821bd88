// EventLoop: control's one thread. It takes the lcores' events, answers slow-path requests, tells the lcores what
// changed, and writes their log lines. Sleeps on its doorbell; wakes each half second for what has no bell.
//
// Bounds: an lcore's event ring holds what is asked; a connection asks one thing at a time; control takes no more
// events of an lcore while kCommandsWaitingMax commands wait for room in its ring. One request adds at most one command
// a partition that it creates, deletes, asks about or deletes records of; a change of what all topics have that do not
// say, one a partition.
#pragma once

#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/doorbell.h"
#include "base/log.h"
#include "control/controller/controller.h"
#include "control/group_survey.h"
#include "control/health.h"
#include "control/registration.h"
#include "control/ring_watch.h"
#include "control/slow_path/slow_path.h"
#include "dataplane/api/lcore.h"

namespace penstock::control {

inline constexpr size_t kCommandsWaitingMax = 4096;
inline constexpr size_t kEventsPerTurn = 256;
// Bytes of answers that wait for room in an lcore's ring; at that nothing more is answered.
inline constexpr size_t kAnswerBytesMax = 64 * kMiB;

// Control's ends of one lcore.
struct LcoreLink {
  SpscRing<dataplane::Command>* commands;
  SpscRing<dataplane::Event>* events;
  Doorbell* doorbell;
  LogRing* log;
  const dataplane::DataplaneCounters* counters;
};

struct EventLoopParts {
  Controller* controller;
  SlowPath* slow_path;
  GroupSurvey* group_survey = nullptr;  // nullptr: nobody is told of groups
  MetadataStore* store;
  Registration* registration;
  Health* health;
  std::vector<RingFolder> rings;
  std::vector<std::string> devices;  // names, in the order of their numbers
  Clock* clock;
  ControlCounters* counters;
  Doorbell* doorbell;  // lcores and signal handlers ring it
  std::vector<LcoreLink> lcores;
};

class EventLoop {
 public:
  explicit EventLoop(EventLoopParts parts);

  // Whether anything was done. Never blocks longer than a metadata commit.
  bool turn();
  // Sleeps until the doorbell rings, a command may fit again, or half a second has passed.
  void sleep();

  // Tells the lcores to stop. turn() goes on until stopped().
  void begin_stop();
  bool stopped() const;
  bool any_ring_failed() const { return rings_.any_failed(); }

 private:
  struct Lcore {
    LcoreLink link;
    std::deque<dataplane::Command> waiting;
    bool stopped = false;
  };
  struct PendingAnswer {
    Lcore* lcore;
    dataplane::Answer answer;
    bool of_topics = false;
    uint64_t images = 0;  // leaves when other lcores have put so many in force
  };

  bool take_events(Lcore& lcore, uint16_t index);
  groups::GroupRuntime& groups() { return parts_.slow_path->groups().runtime(); }
  groups::Now now() { return {parts_.clock->monotonic(), parts_.clock->wall_ms()}; }
  void take(dataplane::Event event, Lcore& lcore, uint16_t index);
  void take(const dataplane::DeviceLink& told);
  void add_answer(Lcore& lcore, dataplane::Answer answer, bool of_topics = false);
  void publish_changes();
  void send_answers();
  bool others_know(const Lcore& but, uint64_t images) const;
  void pass_on_questions();
  void pass_on_groups();
  bool go_on_with_survey();
  bool push_commands(Lcore& lcore);
  void do_timed_work();

  EventLoopParts parts_;
  std::deque<Lcore> lcores_;
  size_t answer_bytes_ = 0;             // of answers_, held_ and those among the lcores' waiting commands
  std::vector<PendingAnswer> answers_;  // of this turn: they leave after the changes that they speak of
  std::vector<PendingAnswer> held_;     // until no lcore works by an older image than they speak of
  uint64_t images_ = 0;                 // published
  RingWatch rings_;
  Nanos timed_work_at_ = 0;
};

}  // namespace penstock::control
