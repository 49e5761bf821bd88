// Addresses as text, and how many connections each has.
#include "dataplane/api/address_limits.h"

#include <algorithm>
#include <charconv>

#include "base/assert.h"
#include "dataplane/net/address.h"

namespace penstock::dataplane {
namespace {

// As to_text() writes it, of IPv4 also where it stands in the form of IPv6; empty if text is no address.
std::string normal_form(std::string_view text) {
  const auto address = net::parse_address(text);
  return address ? net::to_text(*address) : std::string();
}

std::string_view trimmed(std::string_view text) {
  constexpr std::string_view kSpace = " \t\r\n";
  const size_t first = text.find_first_not_of(kSpace);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kSpace) - first + 1);
}

}  // namespace

std::expected<AddressLimits::Overrides, std::string> AddressLimits::parse_overrides(std::string_view text,
                                                                                    const LookUp& look_up) {
  Overrides overrides;
  while (!text.empty()) {
    const size_t end = std::min(text.find(','), text.size());
    const std::string_view part = trimmed(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
    const auto wrong = [&](std::string_view why) {
      return std::unexpected("\"" + std::string(part) + "\": " + std::string(why));
    };
    const size_t colon = part.rfind(':');
    if (colon == std::string_view::npos) return wrong("HOST:COUNT is needed, several parted by commas");
    std::string_view host = trimmed(part.substr(0, colon));
    if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
    const std::string_view count = trimmed(part.substr(colon + 1));
    int32_t most = 0;
    const auto [stop, error] = std::from_chars(count.data(), count.data() + count.size(), most);
    if (error != std::errc{} || stop != count.data() + count.size() || most < 0)
      return wrong("a count from 0 to 2147483647 is needed behind the last colon");
    std::string address = normal_form(host);
    if (address.empty() && !host.empty()) address = normal_form(look_up(std::string(host)));
    if (address.empty()) return wrong("an address is needed, or a name that can be looked up");
    if (!overrides.emplace(address, most).second) return wrong(address + " is named twice; say its maximum once");
  }
  return overrides;
}

std::string AddressLimits::to_text(const Overrides& overrides) {
  std::string text;
  for (const auto& [address, most] : overrides) {
    text += (text.empty() ? "" : ",") + address + ":" + std::to_string(most);
  }
  return text;
}

bool AddressLimits::is_full(const std::string& address) const {
  const auto own = overrides_.find(address);
  const int64_t most = own == overrides_.end() ? most_ : own->second;
  const auto found = open_.find(address);
  return (found == open_.end() ? 0 : found->second) >= most;
}

bool AddressLimits::enter(uint16_t lcore, ConnectionId connection, const std::string& address) {
  if (is_full(address)) return false;
  CHECK(address_of_.emplace(std::pair(lcore, connection), address).second);
  ++open_[address];
  return true;
}

void AddressLimits::leave(uint16_t lcore, ConnectionId connection) {
  const auto found = address_of_.find({lcore, connection});
  if (found == address_of_.end()) return;
  const auto of = open_.find(found->second);
  if (--of->second == 0) open_.erase(of);
  address_of_.erase(found);
}

}  // namespace penstock::dataplane
