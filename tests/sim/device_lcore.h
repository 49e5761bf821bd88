// DeviceLcore: one lcore's Kafka side as SimLcore is, with connections by our own TCP over a simulated card; without a
// card it serves other lcores only. DevicePeer: a client by another card.
#pragma once

#include <deque>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "base/bytes.h"
#include "base/doorbell.h"
#include "dataplane/kafka/clients.h"
#include "dataplane/kafka/postman.h"
#include "dataplane/link/link.h"

namespace penstock::sim {

class DeviceLcore {
 public:
  static constexpr uint16_t kPort = 9092;

  DeviceLcore(uint16_t index, const dataplane::DataplaneOptions& options, std::unique_ptr<storage::StoreSet> opened,
              dataplane::SharedDevice* device, std::shared_ptr<dataplane::Mesh> mesh, Nanos now)
      : store(std::move(opened)),
        broker{.store = *store,
               .options = options,
               .counters = counters,
               .events = events,
               .control_doorbell = nullptr,
               .lcore = index,
               .now = now},
        clients(broker),
        host(broker) {
    broker.recompressor = &recompressor;
    if (mesh->lcores() > 1) {
      mesh->set_doorbell(index, doorbell_);
      mail.emplace(mesh, index, counters);
      broker.mail = &*mail;
    }
    if (device == nullptr) return;
    link = std::make_unique<dataplane::Link>(*device, index, mesh.get());
    link->start(options, {{.port = kPort, .listener = 0}}, 1 + index, now);
  }
  DeviceLcore(const DeviceLcore&) = delete;

  void turn(Nanos now) {
    broker.now = now;
    if (link) {
      link->receive(now);
      while (const auto event = link->next()) take(*event);
    }
    if (mail) {
      dataplane::deliver(*mail, host, clients, [](uint16_t, const dataplane::Letter&) {});
      mail->flush();
    }
    store->submit();
    const size_t completed = store->poll();
    host.settle(completed);
    clients.wake(completed);
    if (link) link->finish(now);
    settle_loans();
  }

  dataplane::DataplaneCounters counters;

 private:
  Doorbell doorbell_;

 public:
  SpscRing<dataplane::Event> events{64};
  dataplane::Recompressor recompressor{doorbell_};
  std::unique_ptr<storage::StoreSet> store;
  dataplane::Broker broker;
  dataplane::Clients<dataplane::tcp::TcpStream> clients;
  std::optional<dataplane::Mail> mail;
  dataplane::Host host;
  std::unique_ptr<dataplane::Link> link;

 private:
  void take(const dataplane::tcp::TcpEvent& event) {
    using dataplane::tcp::EventKind;
    const uint32_t slot = event.stream->slot();
    switch (event.kind) {
      case EventKind::kAccepted: clients.add(slot, *event.stream, event.listener); break;
      case EventKind::kConnected: break;
      case EventKind::kReceived: clients.received(slot); break;
      case EventKind::kWritable: clients.writable(slot); break;
      case EventKind::kEnded: clients.ended(slot); break;
      case EventKind::kBroken: clients.broken(slot); break;
    }
  }
  void settle_loans() {
    dataplane::Lender& lender = broker.lender;
    if (lender.begin_recall() && link)
      link->stack().copy_out(lender, [&](uint64_t token) { return lender.is_recalled(token); });
    if (lender.awaits_recalled() && link) link->want_back();
    lender.settle(broker);
    if (mail) mail->flush();
  }
};

class DevicePeer {
 public:
  explicit DevicePeer(dataplane::tcp::TcpStream* stream) : stream_(stream) {}

  void sends(std::span<const std::byte> bytes) { unsent_.insert(unsent_.end(), bytes.begin(), bytes.end()); }
  void reads(bool on) { reads_ = on; }
  void reset() {
    if (stream_ != nullptr) std::exchange(stream_, nullptr)->abort();
  }
  void close() {
    if (stream_ != nullptr) std::exchange(stream_, nullptr)->close();
  }
  bool is_over() const { return stream_ == nullptr; }
  bool is(const dataplane::tcp::TcpStream* stream) const { return stream_ == stream; }
  // Its connection has broken, or the other side sends nothing more.
  void ended() { close(); }

  void turn() {
    if (stream_ == nullptr) return;
    if (!unsent_.empty()) {
      const std::span<const std::byte> all = unsent_;
      const size_t n = stream_->send(std::span(&all, 1));
      unsent_.erase(unsent_.begin(), unsent_.begin() + static_cast<std::ptrdiff_t>(n));
    }
    if (!reads_) return;
    BufferChain& chain = stream_->received();
    const size_t n = chain.size();
    chain.for_each_piece(
        0, n, [&](std::span<const std::byte> piece) { read_.insert(read_.end(), piece.begin(), piece.end()); });
    stream_->consume(n);
  }
  // The next whole answer that it has read, without its length.
  std::optional<std::vector<std::byte>> next_answer() {
    if (read_.size() < 4) return std::nullopt;
    const auto length = static_cast<size_t>(load_be<int32_t>(read_.data()));
    if (read_.size() - 4 < length) return std::nullopt;
    const auto end = read_.begin() + static_cast<std::ptrdiff_t>(4 + length);
    std::vector<std::byte> answer(read_.begin() + 4, end);
    read_.erase(read_.begin(), end);
    return answer;
  }

 private:
  dataplane::tcp::TcpStream* stream_;
  std::vector<std::byte> unsent_;
  std::vector<std::byte> read_;
  bool reads_ = true;
};

}  // namespace penstock::sim
