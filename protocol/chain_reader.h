// The reader of wire.h over a BufferChain: a request as it lies in network buffers, in pieces, read in place. Small
// values that straddle two pieces go through 16 bytes of scratch; strings through the caller's; records are skipped and
// named by their place.
#pragma once

#include <array>
#include <cstddef>
#include <span>
#include <string>
#include <string_view>

#include "base/assert.h"
#include "base/buffer.h"
#include "protocol/wire.h"

namespace penstock::protocol {

// n bytes of a chain from place at on. The chain must stay as it is while this looks at it. Copies are cheap and read
// on from the same place.
class ChainSource {
 public:
  ChainSource(const BufferChain& chain, size_t at, size_t n) : chain_(&chain), start_(at), left_(n), total_(n) {
    CHECK(at <= chain.size() && n <= chain.size() - at);
    if (chain.buffer_count() == 0) return;
    open_piece(0);
    advance(at);
  }

  size_t remaining() const { return left_; }
  // Bytes read so far, and the place of the next one in the chain.
  size_t position() const { return total_ - left_; }
  size_t chain_position() const { return start_ + position(); }

 protected:
  static constexpr size_t kScratch = 16;  // the longest fixed value is a uuid

  const std::byte* take(size_t n) {
    left_ -= n;
    if (static_cast<size_t>(end_ - at_) >= n) [[likely]] {
      const std::byte* at = at_;
      at_ += n;
      return at;
    }
    return take_split(n);
  }
  void drop(size_t n) {
    left_ -= n;
    advance(n);
  }
  void drop_all() { left_ = 0; }
  // Bytes of the current piece from here on, as far as this source goes.
  std::span<const std::byte> here() const { return {at_, std::min(static_cast<size_t>(end_ - at_), left_)}; }

 private:
  void open_piece(size_t index) {
    index_ = index;
    const auto piece = chain_->piece(index);
    at_ = piece.data();
    end_ = at_ + piece.size();
  }
  void advance(size_t n) {
    while (n > static_cast<size_t>(end_ - at_)) {
      n -= static_cast<size_t>(end_ - at_);
      open_piece(index_ + 1);
    }
    at_ += n;
  }
  const std::byte* take_split(size_t n) {
    DCHECK(n <= kScratch);
    for (size_t i = 0; i < n; ++i) {
      if (at_ == end_) open_piece(index_ + 1);
      scratch_[i] = *at_++;
    }
    return scratch_.data();
  }

  const BufferChain* chain_;
  size_t start_;
  size_t left_;
  size_t total_;
  size_t index_ = 0;
  const std::byte* at_ = nullptr;
  const std::byte* end_ = nullptr;
  std::array<std::byte, kScratch> scratch_;
};

class ChainReader : public BasicReader<ChainSource> {
 public:
  using BasicReader::BasicReader;

  // The next length bytes (length <= remaining()), in place if they lie in one piece, else copied to scratch. Good
  // until scratch changes.
  std::string_view text(size_t length, std::string& scratch) {
    if (here().size() >= length) {
      const std::string_view text = as_text(here().first(length));
      drop(length);
      return text;
    }
    scratch.clear();
    while (scratch.size() < length) {
      const auto part = as_text(here().first(std::min(here().size(), length - scratch.size())));
      if (part.empty()) {
        scratch.push_back(static_cast<char>(*take(1)));  // opens the next piece
        continue;
      }
      scratch.append(part);
      drop(part.size());
    }
    return scratch;
  }
};

}  // namespace penstock::protocol
