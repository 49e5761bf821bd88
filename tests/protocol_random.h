// Random messages for the codec's tests and fuzzers: filled, compared and encoded a second way by the descriptor
// tables.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "base/prng.h"
#include "protocol/codec.h"
#include "protocol/descriptor.h"

namespace penstock::protocol::testing {

// A message of a type known only by its table.
class AnyMessage {
 public:
  explicit AnyMessage(const MessageInfo& info) : info_(&info), message_(info.create(), info.destroy) {}
  const MessageInfo& info() const { return *info_; }
  void* get() { return message_.get(); }
  const void* get() const { return message_.get(); }

  Result<void> encode(int16_t version, std::vector<std::byte>& out) const {
    return encode_message(*info_, message_.get(), version, out);
  }
  // Into a fresh message.
  Result<void> decode(std::span<const std::byte> bytes, int16_t version, DecodeLimits limits = {}) {
    message_ = {info_->create(), info_->destroy};
    return decode_message(*info_, bytes, version, message_.get(), limits);
  }

 private:
  const MessageInfo* info_;
  std::unique_ptr<void, void (*)(void*)> message_;
};

// Sets every field that the version has; the others keep their defaults, so that a round trip gives an equal message.
void fill(AnyMessage& message, int16_t version, Prng& prng);

bool equal(const AnyMessage& a, const AnyMessage& b);

// A second encoder, written from the format and not from codec.cc. With inject, every tag section also gets fields that
// no schema knows.
std::vector<std::byte> encode_reference(const AnyMessage& message, int16_t version, Prng* inject = nullptr);

}  // namespace penstock::protocol::testing
