// AddressLimits: how many connections each address of a peer has, and whether it may have one more: Kafka's
// max.connections.per.ip and its overrides. Owned by lcore 0, to which the others say who came and went: so one
// that comes together with others may live for a moment above the maximum.
//
// Bounds: what is kept belongs to connections that are open; an address without one is forgotten.
#pragma once

#include <cstdint>
#include <expected>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>

#include "dataplane/api/types.h"

namespace penstock::dataplane {

class AddressLimits {
 public:
  using Overrides = std::unordered_map<std::string, int64_t>;
  using LookUp = std::function<std::string(const std::string& name)>;

  AddressLimits(int64_t most, Overrides overrides) : most_(most), overrides_(std::move(overrides)) {}

  // "HOST:COUNT,...": an address, one of IPv6 in brackets if you like, or a name of which look_up says the numeric
  // address; empty: there is none, or no names are taken. The last colon is the one before the count, as Kafka's
  // CoreUtils.parseCsvMap has it: "::1:2" is two connections of ::1. An address may be named once, however it is
  // written. The error says which part is wrong.
  static std::expected<Overrides, std::string> parse_overrides(
      std::string_view text, const LookUp& look_up = [](const std::string&) { return std::string(); });
  // As parse_overrides() takes it, without names.
  static std::string to_text(const Overrides& overrides);
  // Whether these settings limit anything.
  static bool limit(int64_t most, std::string_view overrides) { return most < INT32_MAX || !overrides.empty(); }

  // That have connections: no other is remembered.
  size_t addresses() const { return open_.size(); }
  bool is_full(const std::string& address) const;
  // lcore has one connection more, from address as inet_ntop writes it. False: address has as many as it may, and this
  // one is not counted.
  bool enter(uint16_t lcore, ConnectionId connection, const std::string& address);
  // It is gone; also of one that was not counted.
  void leave(uint16_t lcore, ConnectionId connection);

 private:
  const int64_t most_;
  const Overrides overrides_;
  std::unordered_map<std::string, int64_t> open_;  // connections of those that have some
  std::map<std::pair<uint16_t, ConnectionId>, std::string> address_of_;
};

}  // namespace penstock::dataplane
