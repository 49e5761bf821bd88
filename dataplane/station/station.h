// The station's body: turn() by turn(), so that a benchmark can run two of them on one thread.
#pragma once

#include <cstdint>
#include <expected>
#include <memory>
#include <string>
#include <vector>

#include "dataplane/api/station.h"
#include "dataplane/link/link.h"

namespace penstock::dataplane {

class Station {
 public:
  Station(SharedDevice& device, const StationRequest& request, uint16_t lcore = 0, Mesh* mesh = nullptr)
      : link_(device, lcore, mesh), request_(request) {}
  Station(const Station&) = delete;
  Station& operator=(const Station&) = delete;

  // What is wrong is one line.
  std::expected<void, std::string> start(const DataplaneOptions& options, Nanos now);
  // Whether there was something to do.
  bool turn(Nanos now);
  // The role has done what it was to do.
  bool done() const;
  // Nothing more is begun; what is open is closed.
  void wind_up();
  bool drained() const { return link_.drained(); }
  // What of the report says what is not home.
  bool at_rest();
  Nanos next_deadline() const { return link_.next_deadline(); }
  void stop() {
    link_.keep_house(house_kept_at_);  // the last of what the device counts
    link_.stop();
  }
  const StationReport& report() const { return report_; }

 private:
  struct Peer {
    tcp::TcpStream* stream = nullptr;
    uint64_t sent = 0;
    uint64_t received = 0;
    Nanos asked_at = 0;
    bool ended = false;
  };

  bool is_client() const {
    return request_.role == StationRequest::Role::kStream || request_.role == StationRequest::Role::kAsk;
  }
  void open_one();
  void take(const tcp::TcpEvent& event, Nanos now);
  void go_on(Peer& peer, Nanos now);
  void echo(Peer& peer);
  void send_pattern(Peer& peer, uint64_t upto);
  void read_pattern(Peer& peer);
  void ask(Peer& peer, Nanos now);
  void close(Peer& peer);

  Link link_;
  const StationRequest request_;
  net::IpAddress local_;
  net::IpAddress remote_;
  std::vector<Peer> peers_;  // by slot
  size_t open_ = 0;
  Nanos started_at_ = 0;
  Nanos house_kept_at_ = 0;
  bool winding_up_ = false;
  StationReport report_;
};

}  // namespace penstock::dataplane
