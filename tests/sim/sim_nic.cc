// The cable and its stations.
#include "tests/sim/sim_nic.h"

#include <algorithm>
#include <cstring>

#include "base/assert.h"
#include "base/bytes.h"
#include "dataplane/net/checksum.h"
#include "dataplane/net/ip_header.h"
#include "tests/sim/tso.h"

namespace penstock::sim {

// ---- the cable

void SimWire::detach(SimNic* nic) {
  std::erase(nics_, nic);
  std::erase_if(flights_, [&](const Flight& flight) { return flight.to == nic; });
}

void SimWire::transmit(SimNic* from, std::vector<std::byte> frame) {
  ++counts_.sent;
  if (record_) recorded_.push_back(frame);
  Nanos departs = now_;
  if (faults_.bytes_per_second > 0) {
    const auto takes = [&](size_t bytes) {
      return static_cast<Nanos>(bytes * static_cast<uint64_t>(kSecond) / faults_.bytes_per_second);
    };
    departs = std::max(now_, wire_free_at_);
    if (departs - now_ > takes(faults_.queue_bytes)) {
      ++counts_.overflowed;
      return;
    }
    departs += takes(frame.size());
    wire_free_at_ = departs;
  }
  for (SimNic* nic : nics_) {
    if (nic != from) launch(nic, frame, departs);
  }
}

void SimWire::launch(SimNic* to, const std::vector<std::byte>& frame, Nanos departs) {
  if (happens(faults_.lose_permille)) {
    ++counts_.lost;
    return;
  }
  int copies = 1;
  if (happens(faults_.duplicate_permille)) {
    ++counts_.duplicated;
    ++copies;
  }
  while (copies-- > 0) {
    auto arriving = std::make_shared<std::vector<std::byte>>(frame);
    if (!arriving->empty() && happens(faults_.corrupt_permille)) {
      ++counts_.corrupted;
      (*arriving)[prng_.below(arriving->size())] ^= static_cast<std::byte>(1u << prng_.below(8));
    }
    if (!arriving->empty() && happens(faults_.cut_permille)) {
      ++counts_.cut;
      arriving->resize(prng_.below(arriving->size()));
    }
    const auto span = static_cast<uint64_t>(faults_.delay_max - faults_.delay_min);
    Nanos delay = faults_.delay_min + static_cast<Nanos>(prng_.below(span + 1));
    if (happens(faults_.reorder_permille)) {
      ++counts_.reordered;
      delay += static_cast<Nanos>(prng_.between(1, static_cast<uint64_t>(faults_.delay_max) + 1));
    }
    flights_.insert({departs + delay, order_++, to, std::move(arriving)});
  }
}

void SimWire::advance_to(Nanos now) {
  CHECK(now >= now_);
  now_ = now;
  while (!flights_.empty() && flights_.begin()->at <= now_) {
    ++counts_.delivered;
    flights_.begin()->to->arrived(flights_.begin()->frame);
    flights_.erase(flights_.begin());
  }
}

Nanos SimWire::next_arrival() const { return flights_.empty() ? INT64_MAX : flights_.begin()->at; }

// ---- a station

SimNic::SimNic(SimWire& wire, const SimNicOptions& options, uint64_t seed)
    : wire_(wire), options_(options), prng_(seed, 18) {
  wire_.attach(this);
}

SimNic::~SimNic() {
  wire_.detach(this);
  while (!ring_.empty()) reclaim_first();
  CHECK(home_.out == 0);
}

size_t SimNic::rx_burst(std::span<net::RxSlot> slots, Nanos now) {
  size_t filled = 0;
  while (filled < slots.size() && filled < net::kBurstMax && !arrived_.empty()) {
    const auto frame = std::move(arrived_.front());
    arrived_.pop_front();
    if (home_.out >= options_.buffers) {
      ++statistics_.rx_missed;
      continue;
    }
    auto* memory = new std::byte[frame->size()];
    std::copy(frame->begin(), frame->end(), memory);
    ++home_.out;
    net::RxFrame received{Buffer(home_, {memory, frame->size()}, frame->size()), now, false, false};
    if (const auto ethernet = net::parse_ethernet(*frame); options_.verifies_checksums && ethernet) {
      const auto packet = std::span(*frame).subspan(ethernet->bytes);
      if (const auto ip = net::parse_ipv4(packet, false); ip && ethernet->type == 0x0800) {
        received.ip_checksum_good = true;
        net::ChecksumSum sum = net::pseudo_header_sum(ip->source, ip->destination, ip->total_bytes - ip->header_bytes);
        sum.add(packet.first(ip->total_bytes).subspan(ip->header_bytes));
        received.l4_checksum_good = ip->protocol == 6 && sum.finish() == 0;
      }
    }
    ++statistics_.rx_frames;
    statistics_.rx_bytes += frame->size();
    slots[filled++] = std::move(received);
  }
  return filled;
}

size_t SimNic::tx_burst(std::span<const net::TxFrame> frames) {
  size_t taken = 0;
  for (const net::TxFrame& frame : frames) {
    if (ring_.size() >= options_.ring || waiting_.size() >= options_.ring) break;
    const size_t on_wire =
        frame.segment_bytes > 0 ? size_t{frame.header_bytes} + frame.segment_bytes : frame.total_bytes();
    CHECK(on_wire <= options_.mtu + net::kEthernetBytes + net::kVlanTagBytes);
    CHECK(frame.header_bytes >= net::kEthernetBytes);
    std::vector<std::byte> payload;
    for (const net::TxPiece& piece : frame.piece_span()) {
      CHECK(!piece.bytes.empty());
      payload.insert(payload.end(), piece.bytes.begin(), piece.bytes.end());
    }
    put_on_wire(frame, payload);
    if (frame.owner != nullptr && options_.capabilities.takes_references) {
      statistics_.tx_referred_bytes += payload.size();
      ring_.push_back(
          {{frame.piece_span().begin(), frame.piece_span().end()}, payload, frame.owner, frame.owner_token});
    } else {
      statistics_.tx_copied_bytes += payload.size();
      if (frame.owner != nullptr) frame.owner->release(frame.owner_token);
    }
    ++statistics_.tx_frames;
    if (frame.segment_bytes > 0) ++statistics_.tx_tso_frames;
    ++taken;
  }
  if (waiting_.size() >= net::kBurstMax) flush();
  return taken;
}

void SimNic::put_on_wire(const net::TxFrame& frame, std::span<const std::byte> payload) {
  const auto send = [&](std::vector<std::byte> bytes) {
    if (frame.tcp_checksum_by_device || frame.ip_checksum_by_device) finish_checksums(frame, bytes);
    waiting_.push_back(std::move(bytes));
  };
  if (frame.segment_bytes == 0) {
    std::vector<std::byte> bytes(frame.header_span().begin(), frame.header_span().end());
    bytes.insert(bytes.end(), payload.begin(), payload.end());
    return send(std::move(bytes));
  }
  CHECK(frame.owner != nullptr && frame.tcp_checksum_by_device);
  CHECK(payload.size() <= options_.capabilities.tso_bytes && payload.size() > frame.segment_bytes);
  const size_t l4 = size_t{frame.l2_bytes} + frame.l3_bytes;
  const auto ip = frame.header_span().first(l4);
  uint16_t number = 0;
  for (const auto& segment : cut_segments(frame.header_span().subspan(l4), payload, frame.segment_bytes)) {
    std::vector<std::byte> bytes(ip.begin(), ip.end());
    bytes.insert(bytes.end(), segment.begin(), segment.end());
    std::byte* const at = bytes.data() + frame.l2_bytes;
    if (frame.is_v4) {
      store_be(at + 2, static_cast<uint16_t>(frame.l3_bytes + segment.size()));
      store_be(at + 4, static_cast<uint16_t>(load_be<uint16_t>(at + 4) + number++));
      store_be(at + 10, uint16_t{0});
      if (!frame.ip_checksum_by_device) {
        net::ChecksumSum sum;
        sum.add(std::span(at, frame.l3_bytes));
        store_be(at + 10, sum.finish());
      }
    } else {
      store_be(at + 4, static_cast<uint16_t>(segment.size()));
    }
    // The pseudo header's sum lacks the length.
    const uint32_t sum = load_be<uint16_t>(bytes.data() + l4 + 16) + static_cast<uint32_t>(segment.size());
    store_be(bytes.data() + l4 + 16, static_cast<uint16_t>((sum & 0xffff) + (sum >> 16)));
    send(std::move(bytes));
  }
}

// As a device does that offers it: sums what is there, the field included.
void SimNic::finish_checksums(const net::TxFrame& frame, std::vector<std::byte>& bytes) {
  const auto finish = [&](size_t from, size_t n, size_t field) {
    net::ChecksumSum sum;
    sum.add(std::span(bytes).subspan(from, n));
    store_be(bytes.data() + from + field, sum.finish());
  };
  if (frame.ip_checksum_by_device) finish(frame.l2_bytes, frame.l3_bytes, 10);
  const size_t l4 = size_t{frame.l2_bytes} + frame.l3_bytes;
  if (frame.tcp_checksum_by_device) finish(l4, bytes.size() - l4, 16);
}

void SimNic::reclaim_first() {
  const Sent sent = std::move(ring_.front());
  ring_.pop_front();
  if (wanted_ > 0) --wanted_;
  size_t at = 0;
  for (const net::TxPiece& piece : sent.pieces) {
    CHECK(std::memcmp(piece.bytes.data(), sent.copy.data() + at, piece.bytes.size()) == 0);  // changed while lent
    at += piece.bytes.size();
  }
  sent.owner->release(sent.token);
}

void SimNic::flush() {
  for (auto& frame : waiting_) wire_.transmit(this, std::move(frame));
  waiting_.clear();
  // A device is done with frames in order, some time later.
  while (ring_.size() > (wanted_ > 0 ? 0 : options_.keeps) && !prng_.one_in(4)) reclaim_first();
}

}  // namespace penstock::sim
