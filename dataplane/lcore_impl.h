// What stands behind Lcore (dataplane/api/lcore.h): the parts of one lcore and its loop.
#pragma once

#include <deque>
#include <memory>
#include <optional>
#include <vector>

#include "base/doorbell.h"
#include "base/on_lcore.h"
#include "base/prng.h"
#include "base/ring.h"
#include "dataplane/all_clients.h"
#include "dataplane/api/address_limits.h"
#include "dataplane/api/lcore.h"
#include "dataplane/control_io.h"
#include "dataplane/kafka/broker.h"
#include "dataplane/kafka/host.h"
#include "dataplane/kafka/mail.h"
#include "dataplane/link/link.h"
#include "dataplane/sockets/uring_sockets.h"
#include "dataplane/spin_budget.h"
#include "dataplane/trims.h"

namespace penstock::dataplane {

class Lcore::Impl {
 public:
  Impl(LcoreRequest request, std::unique_ptr<UringSockets> sockets);

  std::expected<void, storage::OpenFailure> listen();
  // Not by the lcore's thread.
  void start_recompressor() { recompressor_.start(); }
  void run();

  static constexpr size_t kCommands = 4096;
  static constexpr size_t kEvents = 4096;

  LcoreRequest request_;
  SpscRing<Command> commands_{kCommands};
  SpscRing<Event> events_{kEvents};
  Doorbell doorbell_;
  std::vector<uint16_t> ports_;

 private:
  enum class Phase : uint8_t {
    kServing,
    kAnswering,  // Stop was said: what was appended gets its answer
    kParting,    // no connection is left here; others may still ask
    kSealing,    // no connection is left; the store writes and seals what it has
    kSaying,     // Stopped waits for room in control's ring
    kStopped,
  };

  // A device, and who is connected by it.
  struct LinkClients {
    LinkClients(SharedDevice& device, uint16_t lcore, Mesh* mesh, AllClients::Own& those)
        : link(device, lcore, mesh), clients(those) {}
    Link link;
    AllClients::Own& clients;
    std::vector<Link::Port> ports;
    size_t counted = 0;  // of clients: what the metrics say
    bool up_told = true;
    std::optional<Nanos> down_since;
  };

  void begin_turn();
  size_t obey_commands();
  void obey(const OpenLog& command) { request_.store->open_log(command.ring, command.log, command.config); }
  void obey(const ConfigureLog& command) { request_.store->set_config(command.log, command.config); }
  void obey(DropLog command) {
    host_.log_dropped(command.log);
    request_.store->drop_log(command.log);
  }
  void obey(const TrimLog& command) { trims_.begin(command); }
  void obey(AskLog command);
  void obey(AskEnds command);
  void obey(AppendRecords&& command) { control_io_.begin(std::move(command), broker_.now); }
  void obey(const ReadLog& command) { control_io_.begin(command); }
  void obey(PublishImage command);
  void obey(const Answer& command) { clients_.answer(command); }
  void obey(Parked command) { broker_.slow_answered(command.connection); }
  void obey(Stop);
  void obey(std::monostate) {}
  size_t take_arrivals();
  size_t take_mail();
  size_t take_recompressed();
  void take(uint16_t from, Letter letter);
  void arrived(int fd, uint16_t listener);
  void adopt(int fd, uint16_t listener);
  uint16_t emptiest_lcore();
  void count_departed();
  void count_addresses();
  void refuse(uint16_t lcore, ConnectionId connection);
  void take(const SocketEvent& event);
  void start_links();
  size_t receive_frames();
  void finish_links();
  size_t settle_loans();
  void stop_links();
  void take(LinkClients& of, const tcp::TcpEvent& event);
  void welcome(LinkClients& of, const tcp::TcpEvent& event);
  void watch_links();
  bool links_drained() const;
  Nanos nap() const;
  size_t settle();
  size_t settle_trims();
  size_t settle_control_io();
  void tell_health();
  void keep_house();
  void go_on_stopping();
  void tell_control(Event event);
  void rest();
  void rest_is_over();
  Nanos next_deadline() const;

  OnLcore owner_;
  std::unique_ptr<UringSockets> sockets_;
  Broker broker_;
  AllClients clients_;
  std::deque<LinkClients> links_;           // by device
  std::vector<uint16_t> kernel_listeners_;  // the broker's number of each
  Recompressor recompressor_{doorbell_};
  std::optional<Mail> mail_;
  Host host_;
  Trims trims_;
  ControlIo control_io_;
  Prng prng_;                               // which of several lcores that have equally many connections gets the next
  std::vector<size_t> connections_of_;      // by lcore, on the one that shares out
  std::optional<AddressLimits> addresses_;  // of all lcores, on lcore 0, if any has a limit
  size_t adopted_ = 0;                      // connections that this lcore was given, or took, and has not said gone
  bool said_goodbye_ = false;
  size_t parted_ = 0;                              // other lcores that ask nothing any more
  std::deque<Event> untold_;                       // of the lcore itself: retired images, trims, health, its end
  std::vector<storage::StoreHealth> health_told_;  // by ring, in the order of rings()
  Phase phase_ = Phase::kServing;
  const SpinTimes spin_;
  SpinBudget idle_spin_;
  enum class Rest : uint8_t { kNo, kIdle, kForCommit };
  Rest resting_ = Rest::kNo;  // since worked_at_
  bool rest_slept_ = false;   // and not only polled
  Nanos house_kept_at_ = 0;
  Nanos turn_longest_ = 0;
  Nanos worked_at_ = 0;  // the last turn that had something to do
  Nanos stop_answering_at_ = 0;
  Nanos stop_draining_at_ = 0;  // how long peers have to acknowledge their answers
  bool slept_ = true;           // the time since the last turn's beginning was not work
};

}  // namespace penstock::dataplane
