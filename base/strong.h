// Integers that do not mix. Id: equality and order only. Position: affine, Position + n and Position - Position,
// never Position + Position. Neither converts to a plain integer unasked.
#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>
#include <functional>

namespace penstock {

template <class Tag, class Rep>
class Id {
 public:
  using Value = Rep;
  constexpr Id() = default;
  constexpr explicit Id(Rep v) : v_(v) {}
  constexpr Rep value() const { return v_; }
  friend constexpr auto operator<=>(Id, Id) = default;

 private:
  Rep v_ = 0;
};

template <class Tag, class Rep = int64_t>
class Position {
 public:
  using Value = Rep;
  constexpr Position() = default;
  constexpr explicit Position(Rep v) : v_(v) {}
  constexpr Rep value() const { return v_; }
  friend constexpr auto operator<=>(Position, Position) = default;
  friend constexpr Position operator+(Position p, Rep n) { return Position{static_cast<Rep>(p.v_ + n)}; }
  friend constexpr Rep operator-(Position a, Position b) { return static_cast<Rep>(a.v_ - b.v_); }
  constexpr Position& operator+=(Rep n) {
    v_ = static_cast<Rep>(v_ + n);
    return *this;
  }

 private:
  Rep v_ = 0;
};

}  // namespace penstock

template <class Tag, class Rep>
struct std::hash<penstock::Id<Tag, Rep>> {
  size_t operator()(penstock::Id<Tag, Rep> id) const noexcept { return std::hash<Rep>{}(id.value()); }
};
