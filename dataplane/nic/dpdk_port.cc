// Port set-up: what the device offers, cut down to what its driver can be trusted with and what we use.
#define ALLOW_EXPERIMENTAL_API  // rte_dev_dma_map, which DPDK has since 19.05; what it replaces knows vfio alone
#include "dataplane/nic/dpdk_port.h"

#include <rte_dev.h>
#include <rte_errno.h>
#include <rte_eth_ring.h>
#include <rte_ethdev.h>
#include <rte_mbuf.h>
#include <rte_mempool.h>
#include <rte_ring.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <utility>

#include "base/log.h"
#include "base/units.h"
#include "dataplane/net/address.h"

namespace penstock::dataplane::nic {

namespace {

// Payload of a frame that a device cuts: an IP packet has a length of 16 bits, headers of up to 60 bytes each in it.
constexpr size_t kTsoBytes = 64'000;
constexpr unsigned kPoolCache = 256;
constexpr size_t kFrameOverhead = 18 + 4;       // Ethernet with a tag, and the checksum that some devices leave on
constexpr size_t kOrdinaryRoom = 2048;          // what drivers expect a frame of ordinary size to find
constexpr size_t kReferencesPerDescriptor = 2;  // pieces a frame has on average, when all is sent by reference

// What an object of a pool takes in pages of the smallest size, whose borders it may not cross if it fits in one.
size_t bytes_in_pages(size_t object) {
  constexpr size_t kPage = 4096;
  return object <= kPage ? kPage / (kPage / object) : align_up(object, kPage);
}

size_t mbuf_room(size_t mtu) {
  return RTE_PKTMBUF_HEADROOM + std::max(kOrdinaryRoom, align_up(mtu + kFrameOverhead, 64));
}

struct PoolSizes {
  size_t rx;
  size_t tx;
  size_t references;
};

PoolSizes pool_sizes(size_t queues, size_t frames_held, size_t rx_descriptors, size_t tx_descriptors) {
  // Each holder at its most: the rings, a burst in hand, the threads' caches (1.5 times their size), and our share.
  const size_t in_hand = net::kBurstMax + kPoolCache * 3 / 2;
  return {.rx = queues * (rx_descriptors + in_hand) + frames_held,
          .tx = queues * (tx_descriptors + in_hand),
          .references = queues * (tx_descriptors * kReferencesPerDescriptor + in_hand)};
}

Error refuse(std::string_view device, const char* what, int error) {
  LOG_ERROR("device %.*s: %s: %s", static_cast<int>(device.size()), device.data(), what, std::strerror(error));
  return {error == ENOMEM ? Errc::kNoSpace : error == ENOTSUP ? Errc::kUnsupported : Errc::kInvalid, error};
}

rte_mempool* make_pool(const std::string& name, size_t count, size_t room, int socket) {
  // A ring of pointers stands behind it, whose size is a power of two minus one.
  return rte_pktmbuf_pool_create(name.c_str(), static_cast<unsigned>(count), kPoolCache, 0, static_cast<uint16_t>(room),
                                 socket);
}

rte_eth_conf device_conf(const rte_eth_dev_info& info, const DriverTraits& traits, const PortOptions& options,
                         size_t mtu) {
  rte_eth_conf conf = {};
  conf.rxmode.mtu = static_cast<uint32_t>(mtu);
  constexpr uint64_t kRxChecksums = RTE_ETH_RX_OFFLOAD_IPV4_CKSUM | RTE_ETH_RX_OFFLOAD_TCP_CKSUM;
  constexpr uint64_t kTxChecksums = RTE_ETH_TX_OFFLOAD_IPV4_CKSUM | RTE_ETH_TX_OFFLOAD_TCP_CKSUM;
  if (traits.rx_checksum) conf.rxmode.offloads |= info.rx_offload_capa & kRxChecksums;
  if (traits.tx_checksum) conf.txmode.offloads |= info.tx_offload_capa & kTxChecksums;
  if (traits.tso && options.tso) conf.txmode.offloads |= info.tx_offload_capa & RTE_ETH_TX_OFFLOAD_TCP_TSO;
  conf.txmode.offloads |= info.tx_offload_capa & RTE_ETH_TX_OFFLOAD_MULTI_SEGS;
  if (options.queues > 1) {
    constexpr uint64_t kTcp = RTE_ETH_RSS_NONFRAG_IPV4_TCP | RTE_ETH_RSS_NONFRAG_IPV6_TCP;
    conf.rx_adv_conf.rss_conf.rss_hf = info.flow_type_rss_offloads & kTcp;
    if (conf.rx_adv_conf.rss_conf.rss_hf != 0) conf.rxmode.mq_mode = RTE_ETH_MQ_RX_RSS;
    if (!options.rss_key.empty() && info.hash_key_size == options.rss_key.size()) {
      conf.rx_adv_conf.rss_conf.rss_key = reinterpret_cast<uint8_t*>(const_cast<std::byte*>(options.rss_key.data()));
      conf.rx_adv_conf.rss_conf.rss_key_len = static_cast<uint8_t>(options.rss_key.size());
    }
  }
  return conf;
}

// Mbufs that a frame may have. nb_mtu_seg_max is of one on the wire; one that the device cuts keeps to it as well, so
// each of its parts does.
uint16_t segments_max_of(const rte_eth_dev_info& info, const DriverTraits& traits, const rte_eth_conf& conf) {
  const bool several = (conf.txmode.offloads & RTE_ETH_TX_OFFLOAD_MULTI_SEGS) != 0 || traits.takes_segments;
  uint16_t segments = several ? net::kTxPiecesMax + 1 : 1;
  for (const uint16_t most : {info.tx_desc_lim.nb_seg_max, info.tx_desc_lim.nb_mtu_seg_max}) {
    if (most > 0) segments = std::min(segments, most);
  }
  return segments;
}

net::NicCapabilities capabilities_of(const DriverTraits& traits, const rte_eth_conf& conf, uint16_t segments_max) {
  const auto has = [&](uint64_t offload) { return (conf.txmode.offloads & offload) != 0; };
  net::NicCapabilities out{.tx_ip_checksum = traits.is_memory || has(RTE_ETH_TX_OFFLOAD_IPV4_CKSUM),
                           .tx_tcp_checksum = traits.is_memory || has(RTE_ETH_TX_OFFLOAD_TCP_CKSUM),
                           .takes_references = traits.references != References::kNone && segments_max > 1};
  // What is cut is sent by reference: pools are made for frames.
  if (has(RTE_ETH_TX_OFFLOAD_TCP_TSO) && out.tx_tcp_checksum && out.takes_references) out.tso_bytes = kTsoBytes;
  return out;
}

// net_af_packet sends nothing of a frame that its ring has no room for, and the kernel cuts one that comes.
std::string packet_frame_fault(const Device& device, size_t mtu) {
  if (!device.is_virtual || device.driver() != "net_af_packet") return {};
  constexpr size_t kDefault = 2048;
  constexpr size_t kBefore = 96;  // TPACKET_V2's header, the address and their alignment
  size_t room = kDefault;
  if (const auto text = argument(device, "framesz")) std::from_chars(text->data(), text->data() + text->size(), room);
  const size_t needed = mtu + kFrameOverhead + kBefore;
  if (room >= needed) return {};
  const size_t fits = std::bit_ceil(std::max<size_t>(needed, kDefault));
  return "an MTU of " + std::to_string(mtu) + " does not fit into its frames of " + std::to_string(room) +
         " bytes; add framesz=" + std::to_string(fits) + ",blocksz=" + std::to_string(std::max<size_t>(fits, 4096)) +
         " to the device, or a smaller mtu=";
}

net::MacAddress mac_of(uint16_t port, const DriverTraits& traits) {
  rte_ether_addr address = {};
  rte_eth_macaddr_get(port, &address);
  net::MacAddress mac = net::MacAddress::at(reinterpret_cast<const std::byte*>(address.addr_bytes));
  // net_ring has none, and nobody is found by that.
  if (mac.is_zero()) {
    mac.bytes[0] = std::byte{0x02};
    mac.bytes[5] = static_cast<std::byte>(port + 1);
  }
  // Two stations of one MAC would have one link-local IPv6 address too: ours is another, locally administered.
  if (traits.shares_kernel_mac) {
    mac.bytes[0] = (mac.bytes[0] | std::byte{0x02}) & ~std::byte{0x01};
    mac.bytes[5] ^= std::byte{0x01};
  }
  return mac;
}

}  // namespace

size_t port_memory_bytes(const PortOptions& options) {
  const PoolSizes sizes = pool_sizes(options.queues, options.frames_held, options.descriptors, options.descriptors);
  const size_t mtu = options.mtu == 0 ? 1500 : options.mtu;
  const size_t object = sizeof(rte_mbuf) + mbuf_room(mtu) + RTE_CACHE_LINE_SIZE;
  const size_t small = sizeof(rte_mbuf) + RTE_CACHE_LINE_SIZE;
  const size_t pools = (sizes.rx + sizes.tx) * bytes_in_pages(object) + sizes.references * bytes_in_pages(small);
  return pools + pools / 8 + 16 * kMiB;  // and the drivers have rings of their own
}

DpdkPort::DpdkPort(uint16_t port) : port_(port) {
  char name[RTE_ETH_NAME_MAX_LEN] = {};
  rte_eth_dev_get_name_by_port(port, name);
  name_ = name;
}

DpdkPort::~DpdkPort() {
  close();
  for (rte_ring* ring : rx_rings_) rte_ring_free(ring);
  for (rte_ring* ring : relays_) rte_ring_free(ring);
  if (pool_use().used > 0) return;
  for (rte_mempool* pool : {pools_.rx, pools_.tx, pools_.references}) rte_mempool_free(pool);
}

void DpdkPort::stop() {
  if (stopped_) return;
  stopped_ = true;
  for (auto& nic : queues_) nic->drop_waiting();
  rte_eth_dev_stop(port_);
}

void DpdkPort::close() {
  stop();
  if (!open_) return;
  open_ = false;
  rte_eth_dev_close(port_);
  for (const auto* rings : {&rx_rings_, &relays_}) {
    for (rte_ring* ring : *rings) {
      void* mbuf = nullptr;
      while (rte_ring_dequeue(ring, &mbuf) == 0) rte_pktmbuf_free(static_cast<rte_mbuf*>(mbuf));
    }
  }
  queues_.clear();
  const PoolUse use = pool_use();
  if (use.used > 0) LOG_WARN("device %s: %zu mbufs are not back", name_.c_str(), use.used);
}

PoolUse DpdkPort::pool_use() const {
  PoolUse use;
  for (const rte_mempool* pool : {pools_.rx, pools_.tx, pools_.references}) {
    if (pool == nullptr) continue;
    use.total += pool->size;
    use.used += rte_mempool_in_use_count(pool);
  }
  return use;
}

Result<void> DpdkPort::make_pools(const PortOptions& options, size_t mtu, uint16_t rx_descriptors,
                                  uint16_t tx_descriptors, int socket) {
  const PoolSizes sizes = pool_sizes(options.queues, options.frames_held, rx_descriptors, tx_descriptors);
  static unsigned opened = 0;  // ports are opened by one thread; the pools of one that was closed may still be there
  const std::string suffix = std::to_string(opened++);
  pools_.rx = make_pool("penstock-rx-" + suffix, sizes.rx, mbuf_room(mtu), socket);
  pools_.tx = make_pool("penstock-tx-" + suffix, sizes.tx, mbuf_room(mtu), socket);
  pools_.references = make_pool("penstock-ref-" + suffix, sizes.references, 0, socket);
  if (pools_.rx == nullptr || pools_.tx == nullptr || pools_.references == nullptr) {
    return std::unexpected(refuse(name_, "there is not enough memory for its buffers", rte_errno));
  }
  return {};
}

void DpdkPort::describe(const DriverTraits& traits, const QueueSetup& setup) {
  const char* memory = !setup.capabilities.takes_references    ? "copies what it sends"
                       : traits.references != References::kAny ? "sends DPDK's memory by reference"
                                                               : "sends by reference";
  description_ = name_ + " (" + std::string(traits.name) + "), " + net::to_text(setup.mac) + ", MTU " +
                 std::to_string(setup.mtu) + ", " + std::to_string(device_queues_) +
                 (device_queues_ == 1 ? " queue" : " queues") +
                 (setup.capabilities.tx_tcp_checksum ? ", checksums by the device, " : ", checksums in software, ") +
                 (setup.capabilities.tso_bytes > 0 ? "TSO, " : "") + memory;
}

Result<void> DpdkPort::make_queues(QueueSetup setup, uint16_t wanted) {
  const unsigned room = std::max<unsigned>(setup.tx_descriptors, net::kBurstMax * 2);
  for (uint16_t q = device_queues_; q < wanted; ++q) {
    const std::string name = "penstock-relay-" + std::to_string(port_) + "-" + std::to_string(q);
    rte_ring* ring = rte_ring_create(name.c_str(), rte_align32pow2(room), SOCKET_ID_ANY, RING_F_SP_ENQ | RING_F_SC_DEQ);
    if (ring == nullptr) return std::unexpected(refuse(name_, "there is not enough memory for its rings", rte_errno));
    relays_.push_back(ring);
  }
  for (uint16_t q = 0; q < wanted; ++q) {
    setup.queue = q < device_queues_ ? q : uint16_t{0};
    setup.relay = q < device_queues_ ? nullptr : relays_[q - device_queues_];
    setup.is_first = q == 0;
    setup.relayed = q == 0 ? relays_ : std::vector<rte_ring*>();
    // Another thread gives these to the device, so what they refer to would be told free there.
    if (setup.relay != nullptr) setup.capabilities.takes_references = false, setup.capabilities.tso_bytes = 0;
    queues_.push_back(std::make_unique<DpdkNic>(setup));
  }
  return {};
}

bool DpdkPort::map(const CardMemory& memory) {
  return rte_dev_dma_map(device_, memory.memory.data(), memory.address, memory.memory.size()) == 0;
}

void DpdkPort::unmap(const CardMemory& memory) {
  rte_dev_dma_unmap(device_, memory.memory.data(), memory.address, memory.memory.size());
}

void DpdkPort::reads(const CardMemory& memory) {
  for (auto& nic : queues_) nic->reads(memory);
  if (std::exchange(has_said_, true)) return;
  LOG_INFO("device %s reads the log's memory: records leave it by reference", name_.c_str());
}

void DpdkPort::copies_log(std::string_view why) {
  for (auto& nic : queues_) nic->copies_log();
  if (std::exchange(has_copies_said_, true)) return;
  LOG_WARN("device %s does not read all of the log's memory, so records are copied into its own: %.*s", name_.c_str(),
           static_cast<int>(why.size()), why.data());
}

Result<void> DpdkPort::set_up(const Device& device, const PortOptions& wanted) {
  const auto failed = [&](const char* what, int code) { return std::unexpected(refuse(name_, what, -code)); };
  rte_eth_dev_info info = {};
  if (const int r = rte_eth_dev_info_get(port_, &info); r != 0) return failed("it does not say what it is", r);
  PortOptions options = wanted;
  options.queues = std::min({wanted.queues, info.max_rx_queues, info.max_tx_queues});
  if (options.queues == 0) return failed("it has no queues", -EINVAL);
  device_queues_ = options.queues;
  DriverTraits traits = traits_of(info.driver_name, device.arguments);
  traits.is_memory = !rx_rings_.empty() && !options.checksums;
  traits_ = traits;
  device_ = info.device;
  uint16_t device_mtu = 0;
  if (const int r = rte_eth_dev_get_mtu(port_, &device_mtu); r != 0) return failed("it has no MTU", r);
  const size_t mtu = options.mtu == 0 ? device_mtu : options.mtu;
  if (const std::string small = packet_frame_fault(device, mtu); !small.empty())
    return std::unexpected(refuse(name_, small.c_str(), EINVAL));
  const rte_eth_conf conf = device_conf(info, traits, options, mtu);
  if (const int r = rte_eth_dev_configure(port_, options.queues, options.queues, &conf); r != 0) {
    return failed("it refuses its configuration", r);
  }
  uint16_t rx_descriptors = options.descriptors;
  uint16_t tx_descriptors = options.descriptors;
  if (const int r = rte_eth_dev_adjust_nb_rx_tx_desc(port_, &rx_descriptors, &tx_descriptors); r != 0) {
    return failed("it refuses rings of any size", r);
  }
  const int socket = rte_eth_dev_socket_id(port_);
  TRY_VOID(make_pools(wanted, mtu, rx_descriptors, tx_descriptors, socket));
  for (uint16_t q = 0; q < options.queues; ++q) {
    const auto node = static_cast<unsigned>(socket);
    if (const int r = rte_eth_rx_queue_setup(port_, q, rx_descriptors, node, nullptr, pools_.rx); r != 0) {
      return failed("it refuses a receive queue", r);
    }
    if (const int r = rte_eth_tx_queue_setup(port_, q, tx_descriptors, node, nullptr); r != 0) {
      return failed("it refuses a transmit queue", r);
    }
  }
  if (options.mtu != 0 && options.mtu != device_mtu && rx_rings_.empty()) {  // rings pass mbufs of any size
    if (const int r = rte_eth_dev_set_mtu(port_, static_cast<uint16_t>(mtu)); r != 0) {
      return failed("it refuses the MTU", r);
    }
  }
  if (const int r = rte_eth_dev_start(port_); r != 0) return failed("it does not start", r);
  rte_eth_allmulticast_enable(port_);  // for neighbour discovery; who cannot, has no filter either

  QueueSetup setup{.name = name_,
                   .port = port_,
                   .tx_descriptors = tx_descriptors,
                   .is_only = wanted.queues == 1,
                   .gauges = &gauges_,
                   .segments_max = segments_max_of(info, traits, conf),
                   .pools = pools_,
                   .traits = traits,
                   .mac = mac_of(port_, traits),
                   .mtu = mtu,
                   .receive_memory_low = static_cast<unsigned>(options.frames_held / 4)};
  setup.capabilities = capabilities_of(traits, conf, setup.segments_max);
  if (device.is_virtual) setup.interface = argument(device, "iface").value_or("");
  TRY_VOID(make_queues(setup, wanted.queues));
  describe(traits, setup);
  return {};
}

Result<std::unique_ptr<DpdkPort>> DpdkPort::open(const Device& device, const PortOptions& options) {
  uint16_t port = 0;
  if (const int r = rte_eth_dev_get_port_by_name(device.name.c_str(), &port); r != 0) {
    return std::unexpected(refuse(device.name,
                                  "no driver took it (is the interface there? is the card bound to "
                                  "vfio-pci? see docs/deploy/bare_metal.md)",
                                  -r));
  }
  std::unique_ptr<DpdkPort> opened(new DpdkPort(port));
  TRY_VOID(opened->set_up(device, options));
  return opened;
}

Result<std::pair<std::unique_ptr<DpdkPort>, std::unique_ptr<DpdkPort>>> DpdkPort::open_pair(
    const std::string& name, const PortOptions& options) {
  const auto make_rings = [&](const char* side) {
    std::vector<rte_ring*> rings;
    for (uint16_t q = 0; q < options.queues; ++q) {
      rings.push_back(rte_ring_create((name + side + std::to_string(q)).c_str(), options.descriptors, SOCKET_ID_ANY,
                                      RING_F_SP_ENQ | RING_F_SC_DEQ));
    }
    return rings;
  };
  std::vector<rte_ring*> there = make_rings("-there-");
  std::vector<rte_ring*> back = make_rings("-back-");
  if (std::ranges::count(there, nullptr) + std::ranges::count(back, nullptr) > 0) {
    return std::unexpected(refuse(name, "there is not enough memory for its rings", rte_errno));
  }
  const auto open_one = [&](const char* side, std::vector<rte_ring*>& rx,
                            std::vector<rte_ring*>& tx) -> Result<std::unique_ptr<DpdkPort>> {
    const int port = rte_eth_from_rings((name + side).c_str(), rx.data(), options.queues, tx.data(), options.queues, 0);
    if (port < 0) return std::unexpected(refuse(name, "no port of rings", rte_errno));
    std::unique_ptr<DpdkPort> opened(new DpdkPort(static_cast<uint16_t>(port)));
    opened->rx_rings_ = rx;
    TRY_VOID(opened->set_up(Device{}, options));
    return opened;
  };
  auto left = TRY(open_one("-left", back, there));
  auto right = TRY(open_one("-right", there, back));
  return std::pair(std::move(left), std::move(right));
}

}  // namespace penstock::dataplane::nic
