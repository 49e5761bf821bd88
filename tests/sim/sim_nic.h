// SimWire and SimNic: a cable with any number of stations, in virtual time, that loses, delays, reorders, duplicates,
// damages and cuts frames from a seed; and the Nic of a station on it.
//
// A frame is received in heap memory of exactly its size, so that the address sanitizer sees a read past its end. What
// is sent by reference is looked at again when its owner is told: it must not have changed while it was lent.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <set>
#include <vector>

#include "base/prng.h"
#include "base/units.h"
#include "dataplane/net/nic.h"

namespace penstock::sim {

namespace net = dataplane::net;

struct WireFaults {
  unsigned lose_permille = 0;
  unsigned duplicate_permille = 0;
  unsigned reorder_permille = 0;  // these wait up to delay_max more, so that later ones pass them
  unsigned corrupt_permille = 0;  // one bit, anywhere
  unsigned cut_permille = 0;      // at any length
  Nanos delay_min = 5 * kMicrosecond;
  Nanos delay_max = 5 * kMicrosecond;
  uint64_t bytes_per_second = 0;    // 0: no limit
  size_t queue_bytes = 256 * 1024;  // that wait for their turn on the wire; what is beyond is lost
};

struct WireCounts {
  uint64_t sent = 0;
  uint64_t delivered = 0;
  uint64_t lost = 0;
  uint64_t duplicated = 0;
  uint64_t reordered = 0;
  uint64_t corrupted = 0;
  uint64_t cut = 0;
  uint64_t overflowed = 0;
};

class SimNic;

class SimWire {
 public:
  SimWire(uint64_t seed, const WireFaults& faults) : prng_(seed, 17), faults_(faults) {}
  SimWire(const SimWire&) = delete;
  SimWire& operator=(const SimWire&) = delete;

  void set_faults(const WireFaults& faults) { faults_ = faults; }
  // Time goes on to now; what has arrived by then can be received.
  void advance_to(Nanos now);
  Nanos now() const { return now_; }
  // When the next frame arrives; INT64_MAX if none is on its way.
  Nanos next_arrival() const;
  const WireCounts& counts() const { return counts_; }
  // Every frame that was sent, in order, as long as `record` is on.
  std::vector<std::vector<std::byte>>& recorded() { return recorded_; }
  void record(bool on) { record_ = on; }
  // Puts a frame on the wire as if a station that is none of ours had sent it.
  void inject(std::vector<std::byte> frame) { transmit(nullptr, std::move(frame)); }

 private:
  friend class SimNic;
  struct Flight {
    Nanos at;
    uint64_t order;  // ties arrive as they were sent
    SimNic* to;
    std::shared_ptr<const std::vector<std::byte>> frame;
    friend auto operator<=>(const Flight& a, const Flight& b) {
      return a.at != b.at ? a.at <=> b.at : a.order <=> b.order;
    }
  };

  void attach(SimNic* nic) { nics_.push_back(nic); }
  void detach(SimNic* nic);
  void transmit(SimNic* from, std::vector<std::byte> frame);
  void launch(SimNic* to, const std::vector<std::byte>& frame, Nanos departs);
  bool happens(unsigned permille) { return permille > 0 && prng_.below(1000) < permille; }

  Prng prng_;
  WireFaults faults_;
  WireCounts counts_;
  std::vector<SimNic*> nics_;
  std::multiset<Flight> flights_;
  std::vector<std::vector<std::byte>> recorded_;
  bool record_ = false;
  uint64_t order_ = 0;
  Nanos now_ = kSecond;
  Nanos wire_free_at_ = 0;
};

struct SimNicOptions {
  net::MacAddress mac{{std::byte{2}, {}, {}, {}, {}, std::byte{1}}};
  size_t mtu = 1500;
  net::NicCapabilities capabilities{.takes_references = true};
  bool verifies_checksums = false;  // marks received checksums as good if they are
  size_t buffers = 1024;            // received and not yet home; beyond, frames are missed
  size_t ring = 256;                // sent and not yet reclaimed; beyond, tx_burst refuses
  size_t keeps = 0;                 // the last frames that refer to memory are reclaimed only if they are wanted back
};

class SimNic final : public net::Nic {
 public:
  SimNic(SimWire& wire, const SimNicOptions& options, uint64_t seed);
  SimNic(const SimNic&) = delete;
  SimNic& operator=(const SimNic&) = delete;
  // What is in its ring goes back to its owners; every Buffer must be home.
  ~SimNic();

  size_t rx_burst(std::span<net::RxSlot> slots, Nanos now) override;
  size_t tx_burst(std::span<const net::TxFrame> frames) override;
  void flush() override;
  void want_back() override { wanted_ = ring_.size(); }
  bool frames_wait() const override { return wanted_ > 0; }
  void abandon() override { ring_.clear(), wanted_ = 0; }
  const net::NicCapabilities& capabilities() const override { return options_.capabilities; }
  bool refers_to(std::span<const std::byte>) const override { return capabilities().takes_references; }
  net::MacAddress mac() const override { return options_.mac; }
  size_t mtu() const override { return options_.mtu; }
  bool link_up() override { return true; }
  bool receive_memory_low() override { return home_.out * 4 >= options_.buffers * 3; }
  net::NicStatistics statistics() override { return statistics_; }

  size_t buffers_out() const { return home_.out; }
  size_t lent() const { return ring_.size(); }
  // How many more Buffers may be out: a test takes them away.
  void set_buffers(size_t buffers) { options_.buffers = buffers; }

 private:
  friend class SimWire;
  struct Home final : BufferPool {
    size_t out = 0;
    void release(std::span<std::byte> memory) override {
      delete[] memory.data();
      --out;
    }
  };
  // In the device: the pieces as they were when sent.
  struct Sent {
    std::vector<net::TxPiece> pieces;
    std::vector<std::byte> copy;
    net::TxOwner* owner;
    uint64_t token;
  };

  void arrived(std::shared_ptr<const std::vector<std::byte>> frame) { arrived_.push_back(std::move(frame)); }
  void reclaim_first();
  void put_on_wire(const net::TxFrame& frame, std::span<const std::byte> payload);
  static void finish_checksums(const net::TxFrame& frame, std::vector<std::byte>& bytes);

  SimWire& wire_;
  SimNicOptions options_;
  Prng prng_;
  Home home_;
  std::deque<std::shared_ptr<const std::vector<std::byte>>> arrived_;
  std::deque<std::vector<std::byte>> waiting_;  // taken, until flush() or a burst of them
  std::deque<Sent> ring_;
  size_t wanted_ = 0;  // of these, the first ones
  net::NicStatistics statistics_;
};

}  // namespace penstock::sim
