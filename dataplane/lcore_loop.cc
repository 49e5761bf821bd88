// The lcore's loop on one screen. docs/how_a_request_lives.md follows a request through it.
//
// A turn takes what has arrived (commands, bytes), lets each request go as far as it can, submits one group commit for
// all that was appended, takes what the device has completed, and wakes who waited for it. Nothing in it blocks.
#include "dataplane/kafka/postman.h"
#include "dataplane/lcore_impl.h"

namespace penstock::dataplane {

void Lcore::Impl::run() {
  owner_.check();
  sockets_->start(doorbell_);
  broker_.now = request_.clock->monotonic();
  start_links();
  while (phase_ != Phase::kStopped) {
    begin_turn();
    // Bytes are fetched before commands are obeyed, and read behind them: who was told by control that a topic is there
    // may ask for it on any connection.
    sockets_->enter();
    size_t did = obey_commands();
    did += take_arrivals();
    did += receive_frames();
    did += take_mail();
    did += take_recompressed();
    request_.store->submit();
    did += settle();
    finish_links();
    did += settle_loans();
    keep_house();
    if (did > 0) {
      rest_is_over();
      worked_at_ = broker_.now;
    } else {
      rest();
    }
  }
  stop_links();
}

void Lcore::Impl::begin_turn() {
  const Nanos now = request_.clock->monotonic();
  if (!slept_ && now - broker_.now > turn_longest_) {
    turn_longest_ = now - broker_.now;
    broker_.counters.set(Metric::loop_turn_longest_ns, static_cast<uint64_t>(turn_longest_));
  }
  slept_ = false;
  broker_.now = now;
  broker_.counters.add(Metric::loop_turns);
}

size_t Lcore::Impl::take_arrivals() {
  size_t did = 0;
  while (const auto event = sockets_->next()) {
    take(*event);
    ++did;
  }
  return did;
}

// What other lcores ask, and what they have done for this one. What is asked of them has left in the turn's steps
// before.
size_t Lcore::Impl::take_mail() {
  if (!mail_) return 0;
  const size_t did =
      deliver(*mail_, host_, clients_, [this](uint16_t from, Letter letter) { take(from, std::move(letter)); });
  mail_->flush();
  return did;
}

// Batches in their topics' codecs: their producers go on.
size_t Lcore::Impl::take_recompressed() {
  size_t did = 0;
  for (; auto parcel = recompressor_.next(); ++did) clients_.home(std::move(parcel));
  return did;
}

// What the drives have done, and who waited for it, here or on another lcore.
size_t Lcore::Impl::settle() {
  const size_t completed = request_.store->poll();
  size_t did = completed + host_.settle(completed) + clients_.wake(completed) + settle_trims() + settle_control_io();
  if (mail_) mail_->flush();
  return did;
}

void Lcore::Impl::take(const SocketEvent& event) {
  if (event.kind == SocketEvent::Kind::kArrived) return arrived(event.fd, kernel_listeners_[event.listener]);
  AllClients::Kernel& clients = clients_.kernel();
  const uint32_t slot = event.stream->slot();
  switch (event.kind) {
    case SocketEvent::Kind::kArrived: break;
    case SocketEvent::Kind::kReceived: clients.received(slot); break;
    case SocketEvent::Kind::kWritable: clients.writable(slot); break;
    case SocketEvent::Kind::kEnded: clients.ended(slot); break;
    case SocketEvent::Kind::kBroken: clients.broken(slot); break;
  }
}

}  // namespace penstock::dataplane
