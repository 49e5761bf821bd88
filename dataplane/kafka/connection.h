// Connection: one client, whichever transport carries it: frames in, answers out, in order. Runs on its lcore.
//
// A connection executes one request at a time. The exception is Produce: while earlier ones wait for the device,
// further ones are appended, so that a client's pipeline fills one group commit. Any other request begins when all
// answers before it have left. A request that must wait (a long poll, control, a device that is behind) parks what
// follows in the stream, which stops receiving at kHeldBytesMax. An answer whose records must be read from the drive
// first stands still until they are there.
//
// Bounds: kAnswersMax answers, of together kAnswerBytesMax and one more; kJobBytesMax of Produces with other lcores; of
// the record bytes that an answer promises, nothing. A client that does not read therefore stops itself: its answers
// stay, so nothing new begins, so nothing is received. Such answers of all connections have a bound as well
// (Broker::kAnswerBytesMax).
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <span>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include "base/log.h"
#include "dataplane/kafka/broker.h"
#include "dataplane/kafka/epochs.h"
#include "dataplane/kafka/fetch.h"
#include "dataplane/kafka/framer.h"
#include "dataplane/kafka/list_offsets.h"
#include "dataplane/kafka/loans.h"
#include "dataplane/kafka/produce.h"
#include "dataplane/kafka/request.h"
#include "dataplane/kafka/response.h"
#include "dataplane/kafka/sharing.h"
#include "dataplane/kafka/slow_request.h"
#include "dataplane/progress.h"
#include "dataplane/stream.h"
#include "protocol/header.h"

namespace penstock::dataplane {

template <Stream S>
class Connection {
 public:
  static constexpr size_t kAnswersMax = 256;
  static constexpr size_t kAnswerBytesMax = 64 * kKiB;
  static constexpr size_t kJobBytesMax = 1 * kMiB;    // of Produces that other lcores work on, and one more
  static constexpr size_t kSlowFrameMax = 16 * kMiB;  // of a request for control; thousands of topics take less
  static constexpr size_t kHeldBytesMax = 64 * kKiB;  // received behind a parked request
  static constexpr size_t kSendMax = 1 * kMiB;        // in one go, before other connections have their turn

  Connection(Broker& broker, S& stream, ConnectionId id, uint16_t listener)
      : broker_(broker), stream_(stream), id_(id), listener_(listener), last_active_(broker.now) {}

  // ---- events; after each of them look at closed()
  void on_received() {
    last_active_ = broker_.now;
    busy() ? hold_back() : pump();
  }
  void on_writable() { pump(); }
  // A wait of this connection may be over (Wakeups). Once in a wake: it may have waited for many things.
  void resume(uint64_t wake) {
    if (std::exchange(resumed_in_, wake) == wake) return;
    stands_in_wakeups_ = false;
    drive_blocks_ = false;
    pump();
  }
  // The peer sends nothing more. What it asked is answered, unless it would have to wait for others' data.
  void on_end();
  void on_broken() { close(); }
  void on_answer(std::span<const std::byte> response);
  // A part of a request has come back from another lcore.
  void on_parcel(ParcelPtr parcel);
  // The broker stops: what was appended is answered, nothing begins.
  void stop();
  // Holds hold_max bytes or more of answers, and takes them too slowly (dataplane/progress.h): others have waited for
  // their memory since short_since.
  void close_if_unread(Nanos now, Nanos short_since, size_t hold_max);
  void close();

  bool closed() const { return closed_; }
  ConnectionId id() const { return id_; }
  // When bytes of it last came or went, or it began or finished a request; busy: it is in the middle of one.
  Nanos last_active() const { return last_active_; }
  bool busy() const { return !std::holds_alternative<Idle>(work_); }

 private:
  struct Idle {};
  struct WithControl {
    std::optional<Event> untold;  // control's ring was full
  };
  struct Answer {
    Response response;
    storage::DurableMark durable_mark;
    bool is_produce = false;
    std::shared_ptr<ProduceJob> job{};  // other lcores have not done their part yet
  };

  void pump();
  void hold_back();
  bool work();
  bool begin_request();
  Request front_request(const protocol::RequestHeader& header, size_t frame_bytes) const;
  bool may_begin(int16_t api_key) const;
  bool dispatch(const Request& request, size_t frame_bytes);
  bool go_on(Idle&) { return begin_request(); }
  bool go_on(ProduceHandler& handler);
  bool go_on(FetchHandler& handler) { return after_read(handler, handler.go_on(broker_)); }
  bool go_on(ListOffsetsHandler& handler) { return after_read(handler, handler.go_on(broker_)); }
  bool go_on(EpochsHandler& handler) { return after_read(handler, handler.go_on(broker_)); }
  bool go_on(WithControl& slow);
  bool produce(ProduceHandler& handler, const Request& request, size_t frame_bytes);
  bool produce_on(ProduceHandler& handler);
  bool after_job(std::shared_ptr<ProduceJob> job);
  void job_home(const ProducePart& part);
  void settle_job(Answer& answer);
  void loans_home(ParcelPtr parcel);
  template <class Handler>
  bool begin_read(const Request& request, size_t frame_bytes);
  template <class Handler>
  bool after_read(Handler& handler, Handler::State state);
  bool hand_to_control(const Request& request, size_t frame_bytes);
  void add_answer(Response response, storage::DurableMark durable_mark = {}, bool is_produce = false);
  void fill(Answer& answer, Response response, storage::DurableMark durable_mark);
  bool may_leave(const Answer& answer) const { return !answer.job && broker_.is_durable(answer.durable_mark); }
  void forget_untold();
  bool flush();
  void drop_silent();
  bool lay_out();
  void borrow(const Response& response);
  void wait_for_drive(storage::LogId log);
  void mark_sent(size_t n);
  bool refuse(Metric reason);
  bool try_again_next_turn();
  bool not_now(ProduceHandler::State state);
  bool wait_for_room();

  Broker& broker_;
  S& stream_;
  const ConnectionId id_;
  const uint16_t listener_;
  std::variant<Idle, ProduceHandler, FetchHandler, ListOffsetsHandler, EpochsHandler, WithControl> work_;
  std::deque<Answer> answers_;
  size_t answer_bytes_ = 0;
  size_t job_bytes_ = 0;
  std::optional<LogWait> drive_wait_;  // the next records of the front answer are being read
  bool drive_blocks_ = false;          // and there is nothing to do before it is over
  Loans loans_;                        // of the front answer
  Nanos last_active_;
  Progress progress_;         // of its answers, while others wait for their memory
  bool needs_bytes_ = false;  // the front request is not all there: only the peer can go on
  bool stands_in_wakeups_ = false;
  uint64_t resumed_in_ = 0;  // the last wake that resumed it
  size_t sent_in_pump_ = 0;
  bool ended_ = false;
  bool stopping_ = false;
  bool closed_ = false;
};

template <Stream S>
void Connection<S>::pump() {
  sent_in_pump_ = 0;
  for (bool progress = true; progress && !closed_;) {
    progress = work();
    if (!closed_ && flush()) progress = true;
    if (closed_ || !progress || sent_in_pump_ < kSendMax) continue;
    try_again_next_turn();  // others have their turn
    break;
  }
  if (closed_) return;
  const bool finished = !busy() && answers_.empty();
  if (finished && (stopping_ || (ended_ && needs_bytes_))) return close();
  hold_back();
}

// Behind a request that waits, or answers that do not leave, no more is taken from the peer than this.
template <Stream S>
void Connection<S>::hold_back() {
  stream_.pause(!needs_bytes_ && stream_.received().size() >= kHeldBytesMax);
}

// One step of the current request, or the beginning of the next. False: nothing more can be done now.
template <Stream S>
bool Connection<S>::work() {
  return std::visit([this](auto& current) { return this->go_on(current); }, work_);
}

template <Stream S>
bool Connection<S>::begin_request() {
  if (stopping_) return false;
  const Framing frame = front_frame(stream_.received(), static_cast<size_t>(broker_.options.request_max_bytes));
  needs_bytes_ = frame.state == Framing::State::kIncomplete;
  if (frame.state == Framing::State::kBad) return refuse(Metric::connections_closed_bad_frame);
  if (needs_bytes_) {
    // A request could not begin before these answers are read, so it gets no memory for the rest of it.
    if (!answers_.empty() && may_leave(answers_.front())) {
      needs_bytes_ = false;
    } else if (frame.size > 0) {
      stream_.want(frame.size);
    }
    return false;
  }
  if (broker_.image == nullptr) {
    if (!std::exchange(stands_in_wakeups_, true)) broker_.wakeups.when_image(id_);
    return false;
  }
  const auto header = read_header(stream_.received(), frame.size);
  if (!header) return refuse(Metric::connections_closed_bad_request);
  if (!may_begin(header->api_key)) return false;
  if (!broker_.has_room_for_answers()) return wait_for_room();
  broker_.counters.add(Metric::requests);
  last_active_ = broker_.now;
  return dispatch(front_request(*header, frame.size), frame.size);
}

template <Stream S>
Request Connection<S>::front_request(const protocol::RequestHeader& header, size_t frame_bytes) const {
  return {.chain = stream_.received(),
          .body_at = kFrameLengthBytes + header.size,
          .body_bytes = frame_bytes - kFrameLengthBytes - header.size,
          .api_key = header.api_key,
          .api_version = header.api_version,
          .correlation_id = header.correlation_id,
          .listener = listener_};
}

template <Stream S>
bool Connection<S>::may_begin(int16_t api_key) const {
  if (answers_.empty()) return true;
  return api_key == static_cast<int16_t>(ApiKey::kProduce) && answers_.back().is_produce &&
         answers_.size() < kAnswersMax && answer_bytes_ < kAnswerBytesMax && job_bytes_ < kJobBytesMax;
}

// life: 4
template <Stream S>
bool Connection<S>::dispatch(const Request& request, size_t frame_bytes) {
  switch (static_cast<ApiKey>(request.api_key)) {
    case ApiKey::kProduce:
      broker_.counters.add(Metric::requests_produce);
      return produce(work_.template emplace<ProduceHandler>(), request, frame_bytes);
    case ApiKey::kFetch:
      broker_.counters.add(Metric::requests_fetch);
      return begin_read<FetchHandler>(request, frame_bytes);
    case ApiKey::kListOffsets:
      broker_.counters.add(Metric::requests_list_offsets);
      return begin_read<ListOffsetsHandler>(request, frame_bytes);
    case ApiKey::kOffsetForLeaderEpoch:
      broker_.counters.add(Metric::requests_offset_for_leader_epoch);
      return begin_read<EpochsHandler>(request, frame_bytes);
    default: return hand_to_control(request, frame_bytes);
  }
}

template <Stream S>
bool Connection<S>::go_on(ProduceHandler& handler) {
  if (handler.job() != nullptr) return produce_on(handler);
  const Framing frame = front_frame(stream_.received(), static_cast<size_t>(broker_.options.request_max_bytes));
  const auto header = read_header(stream_.received(), frame.size);
  CHECK(frame.state == Framing::State::kComplete && header);  // it was when the request began
  return produce(handler, front_request(*header, frame.size), frame.size);
}

// life: 5
template <Stream S>
bool Connection<S>::produce(ProduceHandler& handler, const Request& request, size_t frame_bytes) {
  const auto state = handler.run(broker_, request, id_);
  if (state == ProduceHandler::State::kElsewhere) {
    handler.split(request, stream_.take(frame_bytes));
    job_bytes_ += frame_bytes;
    return produce_on(handler);
  }
  if (state != ProduceHandler::State::kDone) return not_now(state);
  stream_.consume(frame_bytes);
  Produced produced = handler.take();
  if (produced.wants_answer) {
    add_answer(std::move(produced.response), std::move(produced.durable_mark), true);
  } else if (produced.any_error) {
    close();  // acks=0 has no answer that could say so
    return false;
  }
  work_.template emplace<Idle>();
  return true;
}

// The request lies in its job now, and the next one stands at the front.
template <Stream S>
bool Connection<S>::produce_on(ProduceHandler& handler) {
  const auto job = handler.job();
  const auto state = handler.run(broker_, job->request(), id_);
  if (state != ProduceHandler::State::kDone) return not_now(state);
  last_active_ = broker_.now;
  answers_.push_back({.response = {}, .durable_mark = {}, .is_produce = true, .job = job});
  if (job->done()) settle_job(answers_.back());
  if (closed_) return false;
  work_.template emplace<Idle>();
  return true;
}

template <Stream S>
void Connection<S>::job_home(const ProducePart& part) {
  part.job->home(part);
  if (!part.job->done()) return;
  for (Answer& answer : answers_) {
    if (answer.job == part.job) return settle_job(answer);
  }
}

// All of its partitions have their outcome.
template <Stream S>
void Connection<S>::settle_job(Answer& answer) {
  job_bytes_ -= answer.job->chain.size();
  Produced produced = ProduceHandler::finish(broker_, *std::exchange(answer.job, nullptr));
  if (produced.wants_answer) {
    fill(answer, std::move(produced.response), std::move(produced.durable_mark));
  } else if (produced.any_error) {
    close();
  }
}

template <Stream S>
void Connection<S>::on_parcel(ParcelPtr parcel) {
  if (const auto* part = std::get_if<ProducePart>(&parcel->part)) {
    job_home(*part);
  } else if (std::holds_alternative<ViewPart>(parcel->part)) {
    loans_home(std::move(parcel));
  } else if (std::holds_alternative<RecompressPart>(parcel->part)) {
    if (auto* produce = std::get_if<ProduceHandler>(&work_)) produce->home(std::move(parcel));
  } else if (auto* fetch = std::get_if<FetchHandler>(&work_)) {
    fetch->home(std::move(parcel));
  } else if (auto* list = std::get_if<ListOffsetsHandler>(&work_)) {
    list->home(std::move(parcel));
  } else if (auto* epochs = std::get_if<EpochsHandler>(&work_)) {
    epochs->home(std::move(parcel));
  }
  if (!closed_) pump();
}

template <Stream S>
void Connection<S>::loans_home(ParcelPtr parcel) {
  const storage::LogId log = std::get<ViewPart>(parcel->part).items.front().cursor.log;
  switch (loans_.home(broker_, answers_.empty() ? nullptr : &answers_.front().response, std::move(parcel))) {
    case Loans::Home::kStranger:
    case Loans::Home::kUseful: return;
    case Loans::Home::kReading: return wait_for_drive(log);
    case Loans::Home::kReadingWatched: drive_blocks_ = true; return;
    case Loans::Home::kLost: refuse(Metric::connections_closed_lost_records); return;
  }
}

template <Stream S>
template <class Handler>
bool Connection<S>::begin_read(const Request& request, size_t frame_bytes) {
  auto& handler = work_.template emplace<Handler>();
  const auto state = handler.begin(broker_, request, id_);
  stream_.consume(frame_bytes);
  return after_read(handler, state);
}

template <Stream S>
template <class Handler>
bool Connection<S>::after_read(Handler& handler, Handler::State state) {
  switch (state) {
    case Handler::State::kMalformed: return refuse(Metric::connections_closed_bad_request);
    case Handler::State::kParked:
      if (ended_) close();  // nobody is left who could read what it waits for
      return false;
    case Handler::State::kReading: return false;
    case Handler::State::kDone: break;
  }
  add_answer(handler.take_answer());
  work_.template emplace<Idle>();
  return true;
}

// life: 18
template <Stream S>
bool Connection<S>::hand_to_control(const Request& request, size_t frame_bytes) {
  const size_t n = frame_bytes - kFrameLengthBytes;
  if (n > kSlowFrameMax) return refuse(Metric::connections_closed_bad_request);
  if (!broker_.admit_slow(id_, n)) return try_again_next_turn();
  broker_.counters.add(Metric::requests_slow_path);
  auto& slow = work_.template emplace<WithControl>();
  slow.untold.emplace(make_slow_request(stream_, id_, listener_, request, n));
  stream_.consume(frame_bytes);
  return go_on(slow);
}

template <Stream S>
bool Connection<S>::go_on(WithControl& slow) {
  if (!slow.untold) return false;
  if (!broker_.tell_control(*slow.untold)) return try_again_next_turn();
  slow.untold.reset();
  return false;
}

// life: 19
template <Stream S>
void Connection<S>::on_answer(std::span<const std::byte> response) {
  if (!std::holds_alternative<WithControl>(work_)) return;
  work_.template emplace<Idle>();
  if (response.empty()) return close();
  add_answer(Response(response));
  pump();
  // Requests that went to control while there was room may all be answered when there is none.
  const bool too_much = broker_.answer_bytes > 2 * Broker::kAnswerBytesMax;
  if (!closed_ && too_much && !answers_.empty()) refuse(Metric::connections_closed_stalled);
}

template <Stream S>
void Connection<S>::add_answer(Response response, storage::DurableMark durable_mark, bool is_produce) {
  last_active_ = broker_.now;
  answers_.push_back({.response = {}, .durable_mark = {}, .is_produce = is_produce});
  fill(answers_.back(), std::move(response), std::move(durable_mark));
}

template <Stream S>
void Connection<S>::fill(Answer& answer, Response response, storage::DurableMark durable_mark) {
  answer_bytes_ += response.own_bytes();
  broker_.answer_bytes += response.own_bytes();
  durable_mark.for_each([this](const storage::DurableAt& at) {
    if (!broker_.is_durable(at)) broker_.wakeups.when_durable(at, id_);
  });
  answer.response = std::move(response);
  answer.durable_mark = std::move(durable_mark);
}

// Sends what is ready. True if an answer has left completely, so that a request that waited for it may begin.
template <Stream S>
bool Connection<S>::flush() {
  const size_t before = answers_.size();
  drop_silent();
  while (!answers_.empty() && sent_in_pump_ < kSendMax && lay_out()) {
    drive_wait_.reset();
    const size_t n = send_out(stream_, broker_, loans_);
    mark_sent(n);
    if (n < broker_.outgoing.bytes()) break;  // the stream tells when there is room
    sent_in_pump_ += n;
  }
  // While some are still away the others are kept: asked for again, they might miss each other for ever.
  if (!loans_.away()) loans_.give_back(broker_);
  if (!closed_ && !answers_.empty() && sent_in_pump_ >= kSendMax) try_again_next_turn();
  return answers_.size() < before;
}

// Produces with acks=0 keep their place until they are done, and then leave nothing.
template <Stream S>
void Connection<S>::drop_silent() {
  while (!answers_.empty() && !answers_.front().job && answers_.front().response.sent()) answers_.pop_front();
}

// life: 12
// What the next send offers: the front answers, as far as they are durable. False if there is nothing.
template <Stream S>
bool Connection<S>::lay_out() {
  Outgoing& out = broker_.outgoing;
  out.clear();
  if (loans_.away() || drive_blocks_) return false;
  // So that the head of an answer does not leave as a packet of its own.
  if (!loans_.any() && answers_.front().response.borrows(broker_.lcore)) {
    loans_.ask(broker_, id_, answers_.front().response, drive_wait_.has_value());
    return false;
  }
  for (const Answer& answer : answers_) {
    if (!may_leave(answer)) {
      // The device failed with this in flight: nobody can say whether it is there, so nobody is told.
      if (broker_.is_lost(answer.durable_mark)) close();
      break;
    }
    const auto all = out.add(broker_.store, broker_.lcore, loans_, answer.response, broker_.counters);
    if (!all && all.error().code != Errc::kWouldBlock) {
      refuse(Metric::connections_closed_lost_records);  // a promise cannot be taken back in any other way
      return false;
    }
    // What stands before those records leaves first; then the front answer is the one that waits.
    if (!all && out.bytes() == 0) borrow(answer.response);
    if (!all || !*all) break;
  }
  return !closed_ && out.bytes() > 0;
}

// Its next records are on the drive, or another lcore's.
template <Stream S>
void Connection<S>::borrow(const Response& response) {
  if (response.next_lcore() == broker_.lcore) return wait_for_drive(response.next_log());
  loans_.ask(broker_, id_, response, drive_wait_.has_value());
}

template <Stream S>
void Connection<S>::wait_for_drive(storage::LogId log) {
  if (!drive_wait_) broker_.counters.add(Metric::sends_parked);
  drive_wait_.reset();  // the log may be another one
  drive_wait_.emplace(broker_.wakeups, id_, LogWait::kNoDeadline, std::span(&log, 1));
}

template <Stream S>
void Connection<S>::mark_sent(size_t n) {
  if (n > 0) last_active_ = broker_.now;
  progress_.moved(n);
  for (drop_silent(); !answers_.empty(); drop_silent()) {
    Response& front = answers_.front().response;
    n -= Outgoing::mark_sent(broker_.store, broker_.lcore, front, n, broker_.counters);
    if (!front.sent()) break;
    answer_bytes_ -= front.own_bytes();
    broker_.answer_bytes -= front.own_bytes();
    answers_.pop_front();
    if (n == 0) break;
  }
  if (answers_.empty()) progress_.begin_anew();
}

template <Stream S>
bool Connection<S>::refuse(Metric reason) {
  broker_.counters.add(reason);
  close();
  return false;
}

template <Stream S>
bool Connection<S>::try_again_next_turn() {
  if (!std::exchange(stands_in_wakeups_, true)) broker_.wakeups.next_turn(id_);
  return false;
}

template <Stream S>
bool Connection<S>::not_now(ProduceHandler::State state) {
  if (state == ProduceHandler::State::kMalformed) return refuse(Metric::connections_closed_bad_request);
  if (state == ProduceHandler::State::kCrowded) return try_again_next_turn();
  const bool device = state == ProduceHandler::State::kBusy;  // else its batch comes home
  if (device && !std::exchange(stands_in_wakeups_, true)) broker_.wakeups.when_device(id_);
  return false;
}

// Whoever has answers of his own is resumed when they leave.
template <Stream S>
bool Connection<S>::wait_for_room() {
  if (answers_.empty() && !std::exchange(stands_in_wakeups_, true)) broker_.wakeups.when_room(id_);
  return false;
}

template <Stream S>
void Connection<S>::on_end() {
  ended_ = true;
  pump();
}

template <Stream S>
void Connection<S>::stop() {
  stopping_ = true;
  forget_untold();
  work_.template emplace<Idle>();
  pump();
}

// A request that control has never heard of is not answered, so what it reserved is given back here.
template <Stream S>
void Connection<S>::forget_untold() {
  if (auto* slow = std::get_if<WithControl>(&work_); slow != nullptr && slow->untold) broker_.slow_answered(id_);
}

template <Stream S>
void Connection<S>::close_if_unread(Nanos now, Nanos short_since, size_t hold_max) {
  if (answers_.empty()) return;
  const Answer& front = answers_.front();
  // A drive is what it waits for, not the peer.
  if (!may_leave(front) || drive_wait_ || loans_.away()) return progress_.begin_anew();
  if (answer_bytes_ < hold_max || !progress_.too_slow(now, short_since, front.response.frame_bytes())) return;
  refuse(Metric::connections_closed_stalled);
}

template <Stream S>
void Connection<S>::close() {
  if (closed_) return;
  closed_ = true;
  forget_untold();
  answers_.clear();
  broker_.answer_bytes -= std::exchange(answer_bytes_, 0);
  drive_wait_.reset();
  loans_.give_back(broker_);
  stream_.close();
}

}  // namespace penstock::dataplane
