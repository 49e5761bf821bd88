#include "control/event_loop.h"

#include <poll.h>

#include <algorithm>
#include <utility>
#include <variant>

namespace penstock::control {
namespace {

constexpr int kSleepMs = 500;        // log lines and leases have no bell
constexpr int kRingFullSleepMs = 1;  // nor have room in a command ring and an image that is put in force

// Answers that tell of topics, or of their end.
bool speaks_of_topics(int16_t api_key) {
  switch (static_cast<ApiKey>(api_key)) {
    case ApiKey::kMetadata:
    case ApiKey::kCreateTopics:
    case ApiKey::kDeleteTopics:
    case ApiKey::kCreatePartitions:
    case ApiKey::kDescribeTopicPartitions: return true;
    default: return false;
  }
}

template <class... Handlers>
struct Match : Handlers... {
  using Handlers::operator()...;
};

}  // namespace

EventLoop::EventLoop(EventLoopParts parts)
    : parts_(std::move(parts)), rings_(*parts_.health, *parts_.counters, parts_.rings) {
  for (const LcoreLink& link : parts_.lcores) lcores_.push_back(Lcore{.link = link, .waiting = {}});
}

bool EventLoop::turn() {
  bool worked = false;
  parts_.doorbell->clear();  // before the rings are read: what is pushed after this rings again
  uint16_t index = 0;
  for (Lcore& lcore : lcores_) {
    drain_log_ring(*lcore.link.log);
    worked |= take_events(lcore, index++);
  }
  publish_changes();
  pass_on_questions();
  pass_on_groups();
  worked |= go_on_with_survey();
  send_answers();
  for (Lcore& lcore : lcores_) worked |= push_commands(lcore);
  do_timed_work();
  return worked;
}

bool EventLoop::take_events(Lcore& lcore, uint16_t index) {
  size_t taken = 0;
  const auto waiting = [&] {
    return lcore.waiting.size() + parts_.controller->changes_waiting() +
           parts_.slow_path->delete_records().trims_waiting() + parts_.slow_path->log_questions().questions_waiting() +
           parts_.slow_path->groups().runtime().commands_waiting();
  };
  while (taken < kEventsPerTurn && answer_bytes_ < kAnswerBytesMax && waiting() < kCommandsWaitingMax) {
    auto event = lcore.link.events->try_pop();
    if (!event) break;
    take(*std::move(event), lcore, index);
    ++taken;
  }
  return taken > 0;
}

void EventLoop::take(dataplane::Event event, Lcore& lcore, uint16_t index) {
  std::visit(Match{
                 [](std::monostate) {},
                 [&](const dataplane::SlowRequest& request) {
                   auto response = parts_.slow_path->handle(request, index, now());
                   if (response)
                     add_answer(lcore, {.connection = request.connection, .response = *std::move(response)},
                                speaks_of_topics(request.api_key));
                 },
                 [](const dataplane::RetiredImage&) {},  // freed here, not on the lcore
                 [&](const dataplane::LogTrimmed& over) { parts_.slow_path->delete_records().trimmed(over); },
                 [&](dataplane::LogTold&& told) { parts_.slow_path->log_questions().told(std::move(told)); },
                 [&](dataplane::EndsTold&& told) {
                   if (parts_.group_survey != nullptr) parts_.group_survey->told(std::move(told));
                 },
                 [&](const dataplane::RecordsAppended& over) { groups().appended(over, now()); },
                 [&](dataplane::LogRead&& what) { groups().read(std::move(what), now()); },
                 [&](const dataplane::RingHealth& told) {
                   if (rings_.take(told)) parts_.controller->ring_failed(told.ring);
                 },
                 [&](const dataplane::DeviceLink& told) { take(told); },
                 [&](const dataplane::Stopped&) { lcore.stopped = true; },
             },
             std::move(event));
}

void EventLoop::take(const dataplane::DeviceLink& told) {
  const std::string& name = parts_.devices[told.device];
  const std::string line =
      "device " + name + ": it has no link, or is gone; its clients are not served. Look after the cable or interface.";
  parts_.health->set_problem("device " + name, told.up ? "" : line);
  told.up ? LOG_INFO("device %s: it has a link again", name.c_str()) : LOG_ERROR("%s", line.c_str());
}

void EventLoop::add_answer(Lcore& lcore, dataplane::Answer answer, bool of_topics) {
  answer_bytes_ += answer.response.size();
  answers_.push_back({.lcore = &lcore, .answer = std::move(answer), .of_topics = of_topics});
}

// What slow requests ask of the lcores, and the answers that they have by now.
void EventLoop::pass_on_questions() {
  DeleteRecords& requests = parts_.slow_path->delete_records();
  for (const auto& [lcore, trim] : requests.take_trims()) lcores_[lcore].waiting.emplace_back(trim);
  requests.expire(parts_.clock->monotonic());
  for (auto& [lcore, answer] : requests.take_answers()) add_answer(lcores_[lcore], std::move(answer));
  LogQuestions& questions = parts_.slow_path->log_questions();
  for (const auto& [lcore, question] : questions.take_questions()) lcores_[lcore].waiting.emplace_back(question);
  for (auto& [lcore, answer] : questions.take_answers()) add_answer(lcores_[lcore], std::move(answer));
}

void EventLoop::pass_on_groups() {
  groups().refresh(now());
  groups().expire(now());
  for (auto& [lcore, command] : groups().take_commands(now())) lcores_[lcore].waiting.emplace_back(std::move(command));
  for (auto& [lcore, parked] : parts_.slow_path->groups().take_parked()) lcores_[lcore].waiting.emplace_back(parked);
  for (auto& [lcore, answer] : parts_.slow_path->groups().take_answers()) add_answer(lcores_[lcore], std::move(answer));
}

bool EventLoop::go_on_with_survey() {
  if (parts_.group_survey == nullptr) return false;
  const bool worked = parts_.group_survey->go_on();
  for (auto& [lcore, question] : parts_.group_survey->take_questions())
    lcores_[lcore].waiting.emplace_back(std::move(question));
  return worked;
}

void EventLoop::publish_changes() {
  ImageChange change = parts_.controller->take_changes();
  for (const auto& [place, config] : change.opened) {
    lcores_[place.lcore].waiting.emplace_back(
        dataplane::OpenLog{.log = place.log, .ring = place.ring, .config = config});
  }
  for (const auto& [place, config] : change.configured) {
    lcores_[place.lcore].waiting.emplace_back(dataplane::ConfigureLog{.log = place.log, .config = config});
  }
  if (change.image != nullptr) {
    for (Lcore& lcore : lcores_) lcore.waiting.emplace_back(dataplane::PublishImage{.image = change.image});
    parts_.counters->add(Metric::images_published);
    ++images_;
  }
  for (const LogPlace& place : change.dropped) {
    lcores_[place.lcore].waiting.emplace_back(dataplane::DropLog{.log = place.log});
  }
  if (!change.deleted.empty()) groups().topics_deleted(change.deleted, now());
}

// Whoever was told of a topic may ask for it on any connection at once. The lcore that passes the answer on has the
// image before it, by the order of its commands; the others must have said so. Nobody waits for what he does not speak
// of: a member's heartbeat does not know of an lcore that is slow.
void EventLoop::send_answers() {
  for (PendingAnswer& answer : std::exchange(answers_, {})) {
    answer.images = answer.of_topics ? images_ : 0;
    held_.push_back(std::move(answer));
  }
  std::erase_if(held_, [this](PendingAnswer& held) {
    const bool leaves = others_know(*held.lcore, held.images);
    if (leaves) held.lcore->waiting.emplace_back(std::move(held.answer));
    return leaves;
  });
}

bool EventLoop::others_know(const Lcore& but, uint64_t images) const {
  return std::ranges::all_of(lcores_, [&](const Lcore& lcore) {
    return &lcore == &but || lcore.stopped || lcore.link.counters->get(dataplane::Metric::images_in_force) >= images;
  });
}

bool EventLoop::push_commands(Lcore& lcore) {
  bool pushed = false;
  while (!lcore.waiting.empty()) {
    const auto* answer = std::get_if<dataplane::Answer>(&lcore.waiting.front());
    const size_t bytes = answer == nullptr ? 0 : answer->response.size();
    if (!lcore.link.commands->try_push(lcore.waiting.front())) {
      parts_.counters->add(Metric::command_ring_full);
      break;
    }
    lcore.waiting.pop_front();
    answer_bytes_ -= bytes;
    pushed = true;
  }
  if (pushed) lcore.link.doorbell->ring();
  return pushed;
}

void EventLoop::do_timed_work() {
  const Nanos now = parts_.clock->monotonic();
  if (now < timed_work_at_) return;
  timed_work_at_ = now + kSleepMs * kMillisecond;
  parts_.counters->set(Metric::log_lines_dropped, log_lines_dropped());
  auto done = parts_.registration->renew();
  if (done) done = parts_.store->end_due_leases();
  if (done) return;
  parts_.counters->add(Metric::metadata_failures);
  LOG_ERROR("this broker's registration could not be renewed: %s", to_string(done.error().code).data());
}

void EventLoop::sleep() {
  const bool full =
      !held_.empty() || std::ranges::any_of(lcores_, [](const Lcore& lcore) { return !lcore.waiting.empty(); });
  const Nanos next = std::min(parts_.slow_path->delete_records().next_deadline(), groups().next_deadline());
  const Nanos due = (next - parts_.clock->monotonic()) / kMillisecond + 1;
  pollfd bell{.fd = parts_.doorbell->fd(), .events = POLLIN, .revents = 0};
  poll(&bell, 1, full ? kRingFullSleepMs : static_cast<int>(std::clamp<Nanos>(due, 0, kSleepMs)));
}

void EventLoop::begin_stop() {
  for (Lcore& lcore : lcores_) lcore.waiting.emplace_back(dataplane::Stop{});
}

bool EventLoop::stopped() const { return std::ranges::find(lcores_, false, &Lcore::stopped) == lcores_.end(); }

}  // namespace penstock::control
