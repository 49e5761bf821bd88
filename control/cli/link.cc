#include "control/cli/link.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "base/bytes.h"
#include "base/units.h"
#include "control/cli/error.h"

namespace penstock::cli {
namespace {

constexpr size_t kSizeBytes = 4;
constexpr size_t kReadLeast = 256 * kKiB;  // smaller reads cost more calls than they save memory
constexpr size_t kPiecesMost = 96;         // of one send: 32 frames

}  // namespace

Link::Link(std::unique_ptr<Wire> wire, std::string peer, size_t frame_most)
    : wire_(std::move(wire)), peer_(std::move(peer)), frame_most_(frame_most) {}

void Link::queue(std::vector<std::byte> head, std::span<const std::byte> body, std::vector<std::byte> tail) {
  Outgoing frame{std::move(head), body, std::move(tail)};
  store_be(frame.head.data(), static_cast<int32_t>(frame.size() - kSizeBytes));
  out_.push_back(std::move(frame));
}

bool Link::flush() {
  while (!out_.empty()) {
    std::array<std::span<const std::byte>, kPiecesMost> pieces;
    size_t count = 0;
    size_t skip = out_at_;
    const auto add = [&](std::span<const std::byte> piece) {
      const size_t drop = std::min(skip, piece.size());
      skip -= drop;
      if (drop < piece.size()) pieces[count++] = piece.subspan(drop);
    };
    for (size_t i = 0; i < out_.size() && count + 3 <= kPiecesMost; ++i) {
      add(out_[i].head);
      add(out_[i].body);
      add(out_[i].tail);
    }
    const size_t n = wire_->send(std::span(pieces).first(count));
    if (n == 0) return false;
    sent(n);
  }
  return true;
}

void Link::sent(size_t n) {
  out_at_ += n;
  while (!out_.empty() && out_at_ >= out_.front().size()) {
    out_at_ -= out_.front().size();
    out_.pop_front();
    ++frames_sent_;
  }
}

std::optional<size_t> Link::frame_size() const {
  if (in_end_ - in_begin_ < kSizeBytes) return std::nullopt;
  const auto size = load_be<int32_t>(in_.get() + in_begin_);
  if (size < 0 || static_cast<size_t>(size) > frame_most_) {
    throw CliError(kExitUnreachable,
                   fmt::format("{}: an answer of {} bytes is announced, {} are the most here; is this a "
                               "Kafka listener without TLS?",
                               peer_, size, frame_most_));
  }
  return static_cast<size_t>(size);
}

void Link::make_room() {
  if (in_begin_ == in_end_) in_begin_ = in_end_ = 0;
  const size_t wanted = std::max(kSizeBytes + frame_size().value_or(0), kReadLeast);
  // Half-empty memory is not worth moving a large frame for.
  if (in_capacity_ - in_begin_ >= wanted && in_end_ < in_capacity_) return;
  const size_t have = in_end_ - in_begin_;
  if (in_capacity_ < wanted || have == in_capacity_) {
    const size_t capacity = std::max(wanted, have + kReadLeast);
    auto bigger = std::make_unique_for_overwrite<std::byte[]>(capacity);
    if (have > 0) std::memcpy(bigger.get(), in_.get() + in_begin_, have);
    in_ = std::move(bigger);
    in_capacity_ = capacity;
  } else if (in_begin_ > 0) {
    std::memmove(in_.get(), in_.get() + in_begin_, have);
  }
  in_begin_ = 0;
  in_end_ = have;
}

bool Link::receive() {
  make_room();
  const size_t n = wire_->receive({in_.get() + in_end_, in_capacity_ - in_end_});
  in_end_ += n;
  return n > 0;
}

std::optional<std::span<const std::byte>> Link::next_frame() {
  const auto size = frame_size();
  if (!size || in_end_ - in_begin_ < kSizeBytes + *size) return std::nullopt;
  const std::span<const std::byte> frame(in_.get() + in_begin_ + kSizeBytes, *size);
  in_begin_ += kSizeBytes + *size;
  return frame;
}

}  // namespace penstock::cli
