#include "tests/sim/tcp_link.h"

#include <algorithm>
#include <cstring>

#include "base/assert.h"
#include "base/bytes.h"
#include "dataplane/net/checksum.h"
#include "dataplane/tcp/header.h"
#include "tests/sim/tso.h"

namespace penstock::sim {

std::optional<Buffer> RxMemory::take(std::span<const std::byte> bytes) {
  if (out_ >= buffers_max_) return std::nullopt;
  ++out_;
  auto* memory = new std::byte[bytes.size()];
  std::memcpy(memory, bytes.data(), bytes.size());
  return Buffer(*this, {memory, bytes.size()}, bytes.size());
}

void RxMemory::release(std::span<std::byte> memory) {
  CHECK(out_ > 0);
  --out_;
  delete[] memory.data();
}

void TcpLink::drop_all() {
  for (InDevice& frame : device_) {
    if (frame.owner != nullptr) frame.owner->release(frame.token);
  }
  device_.clear();
}

bool TcpLink::send(const net::IpAddress& source, const net::IpAddress& destination,
                   std::span<const std::byte> tcp_header, std::span<const net::TxPiece> pieces, net::TxOwner* owner,
                   uint64_t token, uint32_t segment_bytes) {
  CHECK(tcp_header.size() >= 20 && tcp_header.size() <= 60 && pieces.size() <= net::kTxPiecesMax);
  size_t total = tcp_header.size();
  for (const net::TxPiece& piece : pieces) {
    CHECK(!piece.bytes.empty());
    total += piece.bytes.size();
  }
  if (segment_bytes > 0) {
    CHECK(owner != nullptr && total - tcp_header.size() <= tso_bytes() && total > tcp_header.size() + segment_bytes);
    total = tcp_header.size() + segment_bytes;
  }
  CHECK(total + (destination.is_v4() ? 20 : 40) <= options_.mtu || options_.mtu < 100);
  if (prng_.below(1000) < options_.refuse_permille) {
    if (owner != nullptr) owner->release(token);
    return false;
  }
  InDevice frame{.at = now_,
                 .packet = {source, destination, Bytes(tcp_header.begin(), tcp_header.end())},
                 .pieces = {},
                 .owner = owner,
                 .token = token,
                 .segment_bytes = segment_bytes};
  if (owner == nullptr) {
    for (const net::TxPiece& piece : pieces) {
      frame.packet.bytes.insert(frame.packet.bytes.end(), piece.bytes.begin(), piece.bytes.end());
    }
  } else {
    frame.at += options_.device_delay;
    for (const net::TxPiece& piece : pieces) frame.pieces.push_back(piece.bytes);
  }
  if (watch_) {
    for (const Packet& packet : frame.packets()) watch_(now_, packet);
  }
  device_.push_back(std::move(frame));
  cut_ += segment_bytes > 0 ? 1 : 0;
  return true;
}

std::vector<TcpLink::Packet> TcpLink::InDevice::packets() const {
  Bytes payload;
  for (const auto piece : pieces) payload.insert(payload.end(), piece.begin(), piece.end());
  if (segment_bytes == 0) {
    Packet whole = packet;
    whole.bytes.insert(whole.bytes.end(), payload.begin(), payload.end());
    return {std::move(whole)};
  }
  std::vector<Packet> all;
  for (Bytes& segment : cut_segments(packet.bytes, payload, segment_bytes))
    all.push_back({packet.source, packet.destination, std::move(segment)});
  return all;
}

void TcpLink::turn() {
  size_t done = 0;
  // In order: a frame without lent memory does not overtake one that waits for the device.
  while (done < device_.size() && device_[done].at <= now_) {
    InDevice frame = std::move(device_[done++]);
    std::vector<Packet> packets = frame.packets();
    if (frame.owner != nullptr) frame.owner->release(frame.token);
    for (Packet& packet : packets) launch(std::move(packet));
  }
  device_.erase(device_.begin(), device_.begin() + static_cast<std::ptrdiff_t>(done));
}

void TcpLink::launch(Packet packet) {
  net::ChecksumSum sum = net::pseudo_header_sum(packet.source, packet.destination, packet.bytes.size());
  sum.add(packet.bytes);
  store_be(packet.bytes.data() + dataplane::tcp::kChecksumAt, sum.finish());
  if (burst_left_ == 0 && prng_.below(1000) < options_.burst_permille) {
    burst_left_ = static_cast<unsigned>(prng_.between(1, 8));
  }
  if (burst_left_ > 0 || prng_.below(1000) < options_.loss_permille) {
    if (burst_left_ > 0) --burst_left_;
    ++lost_;
    return;
  }
  if (prng_.below(1000) < options_.corrupt_permille) {
    packet.bytes[prng_.below(packet.bytes.size())] ^= std::byte{1} << prng_.below(8);
    packet.corrupted = true;
  }
  Nanos extra = 0;
  if (options_.bytes_per_second > 0) {
    const auto cost = static_cast<Nanos>((packet.bytes.size() + 40) * kSecond / options_.bytes_per_second);
    const auto queued =
        static_cast<uint64_t>(std::max<Nanos>(0, bottleneck_free_at_ - now_)) * options_.bytes_per_second / kSecond;
    if (queued > options_.queue_bytes) {
      ++lost_;
      return;
    }
    bottleneck_free_at_ = std::max(bottleneck_free_at_, now_) + cost;
    extra = bottleneck_free_at_ - now_;
  }
  if (prng_.below(1000) < options_.duplicate_permille) put_in_flight(packet, extra);
  put_in_flight(std::move(packet), extra);
}

void TcpLink::put_in_flight(Packet packet, Nanos extra) {
  const Nanos jitter =
      options_.jitter > 0 ? static_cast<Nanos>(prng_.below(static_cast<uint64_t>(options_.jitter))) : 0;
  flight_.push({now_ + options_.delay + extra + jitter, order_++, std::move(packet)});
}

std::optional<TcpLink::Packet> TcpLink::take() {
  if (flight_.empty() || flight_.top().at > now_) return std::nullopt;
  Packet packet = flight_.top().packet;
  flight_.pop();
  return packet;
}

Nanos TcpLink::next() const {
  Nanos at = dataplane::tcp::kNever;
  if (!device_.empty()) at = device_.front().at;
  if (!flight_.empty()) at = std::min(at, flight_.top().at);
  return at;
}

}  // namespace penstock::sim
