// The network layer of one lcore: between a Nic's queue and TCP. Frames in: Ethernet, VLAN, ARP, IPv4, IPv6, ICMP and
// neighbour discovery are dealt with here, TCP segments and errors about them go to the sink. Segments out (IpOutput):
// the IP header, the neighbour's MAC, the checksum by the device or in software.
//
// Addresses are static. Nothing is forwarded, fragmented or reassembled. All state is bounded (neighbours.h).
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <utility>

#include "base/on_lcore.h"
#include "base/units.h"
#include "dataplane/net/address.h"
#include "dataplane/net/arp.h"
#include "dataplane/net/icmp.h"
#include "dataplane/net/ip.h"
#include "dataplane/net/ip_header.h"
#include "dataplane/net/metrics.h"
#include "dataplane/net/nd.h"
#include "dataplane/net/neighbours.h"
#include "dataplane/net/nic.h"

namespace penstock::dataplane::net {

struct NetworkConfig {
  std::optional<InterfaceAddress> v4;
  std::optional<InterfaceAddress> v6;
  std::optional<IpAddress> gateway_v4;
  std::optional<IpAddress> gateway_v6;
  uint16_t vlan = 0;  // 1 to 4094; 0: frames have no tag
  size_t neighbours = 1024;
  size_t frames_held = 256;  // for neighbours that do not answer yet
  uint64_t hash_seed = 0;
};

// What another lcore's network layer should learn too: answers arrive at one queue only.
struct NeighbourNews {
  IpAddress address;
  MacAddress mac;
  Neighbours::How how;
};

class Network final : public IpOutput {
 public:
  // Gateways, if any, are on the link. The Nic and the counters outlive this.
  Network(Nic& nic, const NetworkConfig& config, NetCounters& counters);
  Network(const Network&) = delete;
  Network& operator=(const Network&) = delete;
  ~Network() = default;

  // One turn's input: at most kBurstMax frames; sink.on_packet(TcpPacket), sink.on_icmp(IcmpError) and
  // sink.on_neighbour(NeighbourNews) for what is in them. Then what is due: probes, and frames whose neighbour has
  // answered. Returns how many frames came.
  template <class Sink>
  size_t poll(Nanos now, Sink&& sink) {
    owner_.check();
    begin_turn(now);
    const size_t n = nic_.rx_burst(slots_, now);
    for (RxSlot& slot : std::span(slots_).first(n)) {
      if (auto packet = input(*std::exchange(slot, std::nullopt))) sink.on_packet(std::move(*packet));
      if (error_) sink.on_icmp(*std::exchange(error_, std::nullopt));
      if (news_) sink.on_neighbour(*std::exchange(news_, std::nullopt));
    }
    send_due();
    return n;
  }
  // The end of a turn: what was sent goes to the device.
  void flush() { nic_.flush(); }
  // When poll() has something to do without a frame.
  Nanos next_deadline() const { return neighbours_.next_due(); }

  // Says to all on the link who we are (gratuitous ARP, unsolicited advertisement), and asks for the gateways.
  void announce(Nanos now);
  // What another lcore's queue has learned.
  void on_neighbour(const NeighbourNews& news) { neighbours_.learn(news.address, news.mac, news.how, now_); }

  // ---- IpOutput
  bool send(const IpAddress& source, const IpAddress& destination, std::span<const std::byte> tcp_header,
            std::span<const TxPiece> pieces, TxOwner* owner, uint64_t token, uint32_t segment_bytes = 0) override;
  size_t tso_bytes() const override { return nic_.capabilities().tso_bytes; }
  size_t mtu(const IpAddress& destination) const override;
  bool takes_references() const override { return nic_.capabilities().takes_references; }
  bool refers_to(std::span<const std::byte> memory) const override { return nic_.refers_to(memory); }
  void confirm(const IpAddress& destination) override;

  const NetCounters& counters() const { return counters_; }
  NetCounters& counters() { return counters_; }
  const Neighbours& neighbours() const { return neighbours_; }
  bool is_ours(const IpAddress& address) const;
  const IpAddress& link_local() const { return link_local_; }

 private:
  using How = Neighbours::How;

  void begin_turn(Nanos now);
  void send_due();

  // ---- input, by layer; each counts what it drops
  std::optional<TcpPacket> input(RxFrame frame);
  void input_arp(std::span<const std::byte> bytes);
  std::optional<TcpPacket> input_ip(RxFrame frame, const EthernetHeader& ethernet, bool v4);
  void input_icmp4(std::span<const std::byte> message, const EthernetHeader& ethernet, const IpHeader& ip);
  void input_icmp6(std::span<const std::byte> message, const EthernetHeader& ethernet, const IpHeader& ip);
  void input_nd(std::span<const std::byte> message, const EthernetHeader& ethernet, const IpHeader& ip);
  void input_error(std::span<const std::byte> message, bool v4);
  bool may_be_source(const IpAddress& address) const;
  bool is_directed_broadcast(const IpAddress& address) const;
  void answer_echo(std::span<const std::byte> request, const EthernetHeader& ethernet, const IpHeader& ip);
  void learn(const IpAddress& address, const MacAddress& mac, How how);
  void advertised(const NdMessage& nd);

  // ---- output
  std::optional<IpAddress> next_hop(const IpAddress& destination) const;
  bool on_link(const IpAddress& address) const;
  // Starts scratch_: an Ethernet header, no pieces. Returns where the next header goes.
  std::byte* begin_frame(const MacAddress& destination, EtherType type);
  bool give_to_device(const TxFrame& frame);
  void fill_tcp_checksum(const IpAddress& source, const IpAddress& destination, size_t tcp_bytes);
  void send_probe(const Neighbours::Probe& probe);
  void send_arp(const MacAddress& ethernet_destination, const ArpMessage& message);
  void send_nd(const MacAddress& ethernet_destination, const IpAddress& source, const IpAddress& destination,
               const NdMessage& message);

  OnLcore owner_;
  Nic& nic_;
  const NetworkConfig config_;
  const MacAddress mac_;
  const size_t mtu_;
  const IpAddress link_local_;
  NetCounters& counters_;
  Neighbours neighbours_;
  Nanos now_ = 0;
  TxFrame scratch_;
  std::array<RxSlot, kBurstMax> slots_;
  std::optional<IcmpError> error_;  // found by input()
  std::optional<NeighbourNews> news_;
  bool truncation_told_ = false;
};

}  // namespace penstock::dataplane::net
