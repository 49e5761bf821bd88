// Big-endian (network, Kafka) and little-endian (our own disk formats) loads and stores at any alignment.
// The caller has checked the bounds: these are for named positions of a view whose size is known.
#pragma once

#include <bit>
#include <concepts>
#include <cstddef>
#include <cstring>
#include <span>
#include <string_view>

namespace penstock {

static_assert(std::endian::native == std::endian::little, "the little-endian stores are plain copies");

template <std::integral T>
T load_be(const std::byte* at) {
  T v;
  std::memcpy(&v, at, sizeof v);
  return std::byteswap(v);
}

template <std::integral T>
void store_be(std::byte* at, T v) {
  v = std::byteswap(v);
  std::memcpy(at, &v, sizeof v);
}

template <std::integral T>
T load_le(const std::byte* at) {
  T v;
  std::memcpy(&v, at, sizeof v);
  return v;
}

template <std::integral T>
void store_le(std::byte* at, T v) {
  std::memcpy(at, &v, sizeof v);
}

inline std::span<const std::byte> as_bytes(std::string_view text) {
  return {reinterpret_cast<const std::byte*>(text.data()), text.size()};
}

inline std::string_view as_text(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

}  // namespace penstock
