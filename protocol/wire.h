// The primitives of the Kafka wire format (big-endian integers, varints, length-prefixed values, tag sections) over one
// run of bytes. Used by the table codec, the headers, the record walker and the produce and fetch views.
// "flexible" picks between the two encodings of KIP-482: varint lengths plus one, or fixed lengths.
// docs/internals/protocol.md, "Primitives".
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"
#include "protocol/types.h"

namespace penstock::protocol {

inline constexpr int64_t kNullLength = -1;  // what the length readers return for null

constexpr uint32_t zigzag(int32_t n) { return (static_cast<uint32_t>(n) << 1) ^ static_cast<uint32_t>(n >> 31); }
constexpr uint64_t zigzag(int64_t n) { return (static_cast<uint64_t>(n) << 1) ^ static_cast<uint64_t>(n >> 63); }
constexpr int32_t unzigzag(uint32_t n) { return static_cast<int32_t>((n >> 1) ^ (0u - (n & 1))); }
constexpr int64_t unzigzag(uint64_t n) { return static_cast<int64_t>((n >> 1) ^ (0ull - (n & 1))); }

// Bytes that the varint of n takes.
constexpr size_t uvarint_size(uint64_t n) { return (static_cast<size_t>(std::bit_width(n | 1)) + 6) / 7; }
constexpr size_t varint_size(int32_t n) { return uvarint_size(zigzag(n)); }
constexpr size_t varlong_size(int64_t n) { return uvarint_size(zigzag(n)); }

// Where a reader's bytes come from: one span.
class SpanSource {
 public:
  explicit SpanSource(std::span<const std::byte> bytes)
      : begin_(bytes.data()), at_(bytes.data()), end_(bytes.data() + bytes.size()) {}

  size_t remaining() const { return static_cast<size_t>(end_ - at_); }
  size_t position() const { return static_cast<size_t>(at_ - begin_); }

 protected:
  // The next n bytes, n <= remaining().
  const std::byte* take(size_t n) {
    const std::byte* at = at_;
    at_ += n;
    return at;
  }
  void drop(size_t n) { at_ += n; }
  void drop_all() { at_ = end_; }

 private:
  const std::byte* begin_;
  const std::byte* at_;
  const std::byte* end_;
};

// Reads values in order. The first failure sticks: everything read after it is zero, and nothing remains, so that a
// loop bounded by remaining() ends; look at ok() before using what was read.
template <class Source>
class BasicReader : public Source {
 public:
  using Source::remaining;
  using Source::Source;

  bool ok() const { return !failed_; }
  Result<void> result() const {
    if (failed_) return fail_with(error_);
    return {};
  }
  void fail(Errc error) {
    if (!failed_) error_ = error;
    failed_ = true;
    Source::drop_all();
  }

  template <std::integral T>
  T fixed() {
    if (remaining() < sizeof(T)) [[unlikely]] {
      fail(Errc::kTruncated);
      return 0;
    }
    return load_be<T>(Source::take(sizeof(T)));
  }
  bool boolean() { return fixed<int8_t>() != 0; }
  double float64() { return std::bit_cast<double>(fixed<int64_t>()); }
  Uuid uuid() {
    Uuid id;
    if (remaining() < sizeof id.bytes) {
      fail(Errc::kTruncated);
      return id;
    }
    std::memcpy(id.bytes.data(), Source::take(sizeof id.bytes), sizeof id.bytes);
    return id;
  }

  uint32_t uvarint() { return base128<uint32_t, 5>(); }
  uint64_t uvarlong() { return base128<uint64_t, 10>(); }
  int32_t varint() { return unzigzag(uvarint()); }
  int64_t varlong() { return unzigzag(uvarlong()); }

  // Lengths and counts: kNullLength, or a number that does not exceed what remains (an element takes a byte at least),
  // so that it may bound an allocation. Any negative fixed length is null, as Kafka reads it; and like Kafka, a compact
  // string is held to the 15 bits of a classic one.
  int64_t string_length(bool flexible) {
    const int64_t length = flexible ? compact_length() : bounded(fixed<int16_t>());
    if (length > std::numeric_limits<int16_t>::max()) fail(Errc::kTooLarge);
    return ok() ? length : 0;
  }
  int64_t bytes_length(bool flexible) { return flexible ? compact_length() : bounded(fixed<int32_t>()); }
  int64_t array_count(bool flexible) { return bytes_length(flexible); }
  // A length or count that may not be null.
  size_t required(int64_t length) {
    if (length == kNullLength) fail(Errc::kInvalid);
    return ok() ? static_cast<size_t>(length) : 0;
  }

  void skip(size_t n) {
    if (remaining() < n) [[unlikely]]
      return fail(Errc::kTruncated);
    Source::drop(n);
  }

  // Passes over a tag section; visit(tag, size) is called with the reader at the payload and consumes exactly size
  // bytes. Tags must rise (KIP-482); anything else is kInvalid.
  template <class Visit>
  void tags(Visit&& visit) {
    const uint32_t count = uvarint();
    int64_t last = -1;
    for (uint32_t i = 0; i < count && ok(); ++i) {
      const uint32_t tag = uvarint();
      const uint32_t size = uvarint();
      if (!ok()) return;
      if (tag <= last) return fail(Errc::kInvalid);
      if (size > remaining()) return fail(Errc::kTruncated);
      last = tag;
      const size_t after = remaining() - size;
      visit(tag, size);
      if (ok() && remaining() != after) return fail(Errc::kInvalid);
    }
  }
  void skip_tags(bool flexible) {
    if (flexible) tags([this](uint32_t, uint32_t size) { Source::drop(size); });
  }

 private:
  static std::unexpected<Error> fail_with(Errc error) { return std::unexpected(Error{error}); }

  // Groups of seven bits, low first; bits beyond T are refused.
  template <class T, size_t kMost>
  T base128() {
    T value = 0;
    for (size_t i = 0; i < kMost; ++i) {
      const auto byte = fixed<uint8_t>();
      value |= static_cast<T>(byte & 0x7f) << (7 * i);
      if (byte < 0x80) {
        constexpr size_t kLastBits = std::numeric_limits<T>::digits - 7 * (kMost - 1);
        if (i == kMost - 1 && (byte >> kLastBits) != 0) break;
        return value;
      }
    }
    fail(Errc::kInvalid);
    return 0;
  }
  int64_t compact_length() { return bounded(static_cast<int64_t>(uvarint()) - 1); }
  int64_t bounded(int64_t length) {
    if (failed_) return 0;
    if (length < 0) return kNullLength;
    if (static_cast<uint64_t>(length) > remaining()) [[unlikely]] {
      fail(Errc::kTruncated);
      return 0;
    }
    return length;
  }

  bool failed_ = false;
  Errc error_ = Errc::kInvalid;
};

class Reader : public BasicReader<SpanSource> {
 public:
  using BasicReader::BasicReader;

  // The next n bytes in place; empty after a failure.
  std::span<const std::byte> bytes(size_t n) {
    if (remaining() < n) {
      fail(Errc::kTruncated);
      return {};
    }
    return {take(n), n};
  }
  // A string in place; null reads as empty.
  std::string_view string(bool flexible) {
    return as_text(bytes(static_cast<size_t>(std::max<int64_t>(string_length(flexible), 0))));
  }
};

// Appends values to a vector. Lengths are the caller's duty: a fixed string length has 15 bits, all others 31.
class Writer {
 public:
  explicit Writer(std::vector<std::byte>& out) : out_(out) {}

  std::vector<std::byte>& out() { return out_; }
  size_t position() const { return out_.size(); }

  template <std::integral T>
  void fixed(T value) {
    const size_t at = out_.size();
    out_.resize(at + sizeof(T));
    store_be(out_.data() + at, value);
  }
  void boolean(bool value) { fixed<int8_t>(value ? 1 : 0); }
  void float64(double value) { fixed(std::bit_cast<int64_t>(value)); }
  void uuid(const Uuid& id) { raw(std::as_bytes(std::span(id.bytes))); }
  void raw(std::span<const std::byte> bytes) { out_.insert(out_.end(), bytes.begin(), bytes.end()); }

  void uvarlong(uint64_t value) {
    for (; value >= 0x80; value >>= 7) out_.push_back(static_cast<std::byte>(value | 0x80));
    out_.push_back(static_cast<std::byte>(value));
  }
  void uvarint(uint32_t value) { uvarlong(value); }
  void varint(int32_t value) { uvarlong(zigzag(value)); }
  void varlong(int64_t value) { uvarlong(zigzag(value)); }

  void string_length(size_t n, bool flexible) { flexible ? compact_length(n) : fixed(static_cast<int16_t>(n)); }
  void bytes_length(size_t n, bool flexible) { flexible ? compact_length(n) : fixed(static_cast<int32_t>(n)); }
  void array_count(size_t n, bool flexible) { bytes_length(n, flexible); }
  void null_string(bool flexible) { flexible ? uvarint(0) : fixed<int16_t>(-1); }
  void null_bytes(bool flexible) { flexible ? uvarint(0) : fixed<int32_t>(-1); }
  void null_array(bool flexible) { null_bytes(flexible); }
  void string(std::string_view text, bool flexible) {
    string_length(text.size(), flexible);
    raw(as_bytes(text));
  }
  void nullable_string(std::optional<std::string_view> text, bool flexible) {
    text ? string(*text, flexible) : null_string(flexible);
  }
  void bytes(std::span<const std::byte> value, bool flexible) {
    bytes_length(value.size(), flexible);
    raw(value);
  }
  // A tag section with nothing in it.
  void no_tags(bool flexible) {
    if (flexible) uvarint(0);
  }

 private:
  void compact_length(size_t n) { uvarlong(n + 1); }
  std::vector<std::byte>& out_;
};

}  // namespace penstock::protocol
