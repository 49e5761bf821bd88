// Every kind of frame that the network layer knows, alone and together, with and without a SYN before it.
#include "tests/fuzz/frame_seeds.h"

#include "tests/net/net_frames.h"

namespace penstock::fuzz {

namespace {

using namespace net_test;

std::vector<Bytes> frames() {
  const auto router = ip("10.0.0.254");
  const auto far = ip("198.51.100.7");
  const Bytes quote = packet(kOurs, far, net::IpProtocol::kTcp, tcp(kOurs, far, 9092, 40000, 0x18, Bytes(40)));
  const Bytes quote6 = packet(kOurs6, kPeer6, net::IpProtocol::kTcp, tcp(kOurs6, kPeer6, 9092, 40000, 0x18));
  Bytes extension(8);
  extension[0] = std::byte{6};
  return {
      arp_frame(net::ArpOperation::kRequest, kPeerMac, kPeer, kOurs),
      arp_frame(net::ArpOperation::kReply, kPeerMac, kPeer, kOurs, kOurMac),
      arp_frame(net::ArpOperation::kReply, kPeerMac, router, kOurs, kOurMac),
      nd_frame(kPeer6, net::solicited_node_of(kOurs6), {.target = kOurs6, .link_address = kPeerMac}),
      nd_frame(kPeer6, kOurs6,
               {.is_advertisement = true, .solicited = true, .target = kPeer6, .link_address = kPeerMac}),
      ip_frame(kPeer, kOurs, net::IpProtocol::kTcp, tcp(kPeer, kOurs, 40000, 9092, 0x02)),
      ip_frame(far, kOurs, net::IpProtocol::kTcp, tcp(far, kOurs, 40000, 9092, 0x02)),
      ip_frame(kPeer6, kOurs6, net::IpProtocol::kTcp, tcp(kPeer6, kOurs6, 40000, 9092, 0x18, Bytes(30))),
      ip_frame(kPeer6, kOurs6, static_cast<net::IpProtocol>(60),
               joined({extension, tcp(kPeer6, kOurs6, 40000, 9092, 0x18)})),
      icmp_frame(kPeer, kOurs, 8, 0, 1, Bytes(56)),
      icmp_frame(kPeer6, kOurs6, 128, 0, 1, Bytes(56)),
      icmp_frame(router, kOurs, 3, 4, 1280, quote),
      icmp_frame(ip("fd00::fe"), kOurs6, 2, 0, 1280, quote6),
      ethernet(net::EtherType::kIpv4, packet(kPeer, kOurs, net::IpProtocol::kTcp, quote), kOurMac, kPeerMac, 42),
  };
}

void add(Bytes& seed, const Bytes& frame) {
  Bytes word(2);
  store_be(word.data(), static_cast<uint16_t>(0x4000 | frame.size()));
  seed.insert(seed.end(), word.begin(), word.end());
  seed.insert(seed.end(), frame.begin(), frame.end());
}

void add_pause(Bytes& seed, uint16_t centiseconds) {
  Bytes word(2);
  store_be(word.data(), static_cast<uint16_t>(0x8000 | centiseconds));
  seed.insert(seed.end(), word.begin(), word.end());
}

}  // namespace

std::vector<std::vector<std::byte>> frame_seeds() {
  std::vector<Bytes> seeds;
  Bytes all;
  for (const Bytes& frame : frames()) {
    Bytes alone;
    add(alone, frame);
    seeds.push_back(alone);
    add(all, frame);
    add_pause(all, 120);
  }
  seeds.push_back(all);
  Bytes waits;  // segments from far away wait for the gateway, which never answers
  for (int i = 0; i < 12; ++i) {
    add(waits, frames()[6]);
    add_pause(waits, 50);
  }
  seeds.push_back(waits);
  return seeds;
}

}  // namespace penstock::fuzz
