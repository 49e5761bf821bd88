// SimLcore: one lcore's Kafka side (connections over SimStream, handlers, what it does for other lcores) over a
// StoreSet that its maker has opened, and its ends of a Mesh. Each turn is the lcore loop's. Several of them on one
// thread, turned in an order from a seed, are a broker whose threads race.
#pragma once

#include <deque>
#include <memory>
#include <optional>
#include <variant>
#include <vector>

#include "base/doorbell.h"
#include "dataplane/kafka/clients.h"
#include "dataplane/kafka/postman.h"
#include "tests/sim/sim_clock.h"
#include "tests/sim/sim_stream.h"

namespace penstock::sim {

class SimLcore {
 public:
  SimLcore(uint16_t index, uint64_t seed, SimClock& clock, const dataplane::DataplaneOptions& options,
           std::unique_ptr<storage::StoreSet> opened, std::shared_ptr<dataplane::Mesh> mesh = nullptr)
      : store(std::move(opened)),
        broker{.store = *store,
               .options = options,
               .counters = counters,
               .events = events,
               .control_doorbell = nullptr,
               .lcore = index,
               .now = clock.monotonic()},
        clients(broker),
        host(broker),
        clock_(clock),
        seed_(seed) {
    broker.recompressor = &recompressor;
    if (mesh == nullptr || mesh->lcores() == 1) return;
    mesh->set_doorbell(index, doorbell_);
    mail.emplace(std::move(mesh), index, counters);
    broker.mail = &*mail;
  }
  SimLcore(const SimLcore&) = delete;

  // The slot of the new stream.
  uint32_t connect(uint16_t listener = 0) {
    const auto slot = static_cast<uint32_t>(streams.size());
    streams.emplace_back(seed_ * 1000 + slot).share(shares);
    clients.add(slot, streams.back(), listener);
    return slot;
  }
  // Returns how many connections it woke.
  size_t turn() {
    broker.now = clock_.monotonic();
    for (uint32_t slot = 0; slot < streams.size(); ++slot) {
      switch (streams[slot].step()) {
        case SimStream::Event::kNone: break;
        case SimStream::Event::kReceived: clients.received(slot); break;
        case SimStream::Event::kWritable: clients.writable(slot); break;
        case SimStream::Event::kEnded: clients.ended(slot); break;
      }
    }
    if (mail) {
      deliver(*mail, host, clients, [this](uint16_t, const dataplane::Letter& letter) {
        parted_ += std::holds_alternative<dataplane::Goodbye>(letter) ? 1 : 0;
      });
      mail->flush();
    }
    if (recompressor_works) recompressor.work();
    while (auto parcel = recompressor.next()) clients.home(std::move(parcel));
    store->submit();
    const size_t completed = store->poll();
    host.settle(completed);
    const size_t woken = clients.wake(completed);
    settle_loans();
    say_goodbye();
    if (mail) mail->flush();
    return woken;
  }
  // As Lcore::Impl's end, behind clients.stop(): connections that are left are cut off, and the stores may seal once
  // every lcore has parted: what it has of others goes home in front of its goodbye.
  void part() {
    clients.close_all();
    broker.lender.recall_all();
    parting_ = true;
  }
  bool has_parted() const { return said_goodbye_ && (!mail || parted_ + 1u == mail->lcores()); }
  // The end of several that go together: close all, then host.give_up() of all, then this of all. What is still in the
  // mail has memory of streams in it.
  void drop_mail() {
    broker.mail = nullptr;
    mail.reset();
  }
  // As Lcore::Impl's.
  void settle_loans() {
    dataplane::Lender& lender = broker.lender;
    if (lender.begin_recall()) {
      for (SimStream& stream : streams)
        copied_back += stream.copy_out(lender, [&](uint64_t token) { return lender.is_recalled(token); });
    }
    lender.settle(broker);
  }
  uint64_t count(dataplane::Metric metric) const { return counters.get(metric); }

  dataplane::DataplaneCounters counters;

 private:
  void say_goodbye() {
    if (!parting_ || said_goodbye_ || broker.parts_out > 0 || broker.lender.any_out()) return;
    said_goodbye_ = true;
    for (uint16_t to = 0; mail && to < mail->lcores(); ++to) {
      if (to != broker.lcore) mail->send(to, dataplane::Goodbye{});
    }
  }

  Doorbell doorbell_;

 public:
  SpscRing<dataplane::Event> events{64};
  dataplane::Recompressor recompressor{doorbell_};  // works in the turn
  bool recompressor_works = true;
  bool shares = false;       // its streams do, from the next one on
  uint64_t copied_back = 0;  // bytes that they were lent
  std::unique_ptr<storage::StoreSet> store;
  std::deque<SimStream> streams;  // by slot; none is used twice
  dataplane::Broker broker;
  dataplane::Clients<SimStream> clients;
  std::optional<dataplane::Mail> mail;
  dataplane::Host host;

 private:
  SimClock& clock_;
  const uint64_t seed_;
  bool parting_ = false;
  bool said_goodbye_ = false;
  uint16_t parted_ = 0;  // others that have said goodbye
};

}  // namespace penstock::sim
