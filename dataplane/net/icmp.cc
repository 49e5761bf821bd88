// What routers and hosts say about our segments.
#include "dataplane/net/icmp.h"

#include "base/bytes.h"

namespace penstock::dataplane::net {

namespace {

using Kind = IcmpError::Kind;

std::optional<Kind> kind_v4(uint8_t type, uint8_t code) {
  switch (type) {
    case icmp4::kUnreachable: return code == icmp4::kFragmentationNeeded ? Kind::kPacketTooBig : Kind::kUnreachable;
    case icmp4::kTimeExceeded: return Kind::kTimeExceeded;
    case icmp4::kParameterProblem: return Kind::kParameterProblem;
    default: return std::nullopt;
  }
}

std::optional<Kind> kind_v6(uint8_t type) {
  switch (type) {
    case icmp6::kUnreachable: return Kind::kUnreachable;
    case icmp6::kPacketTooBig: return Kind::kPacketTooBig;
    case icmp6::kTimeExceeded: return Kind::kTimeExceeded;
    case icmp6::kParameterProblem: return Kind::kParameterProblem;
    default: return std::nullopt;
  }
}

}  // namespace

ChecksumSum icmp_sum_start(const IpAddress& source, const IpAddress& destination, size_t message_bytes) {
  ChecksumSum sum;
  if (destination.is_v4()) return sum;
  sum.add(source.bytes);
  sum.add(destination.bytes);
  sum.add_be16(static_cast<uint16_t>(message_bytes >> 16));
  sum.add_be16(static_cast<uint16_t>(message_bytes));
  sum.add_be16(static_cast<uint16_t>(IpProtocol::kIcmpV6));
  return sum;
}

std::optional<IcmpError> parse_icmp_error(std::span<const std::byte> message, bool v4) {
  constexpr size_t kQuotedTcp = 8;  // ports and sequence (RFC 792 promises as much)
  if (message.size() < kIcmpBytes) return std::nullopt;
  const auto type = std::to_integer<uint8_t>(message[0]);
  const auto kind = v4 ? kind_v4(type, std::to_integer<uint8_t>(message[1])) : kind_v6(type);
  if (!kind) return std::nullopt;
  const auto quote = message.subspan(kIcmpBytes);
  const auto quoted = parse_quoted(quote, v4);
  if (!quoted || quoted->protocol != static_cast<uint8_t>(IpProtocol::kTcp)) return std::nullopt;
  if (quoted->total_bytes < quoted->header_bytes + kQuotedTcp) return std::nullopt;
  const std::byte* tcp = quote.data() + quoted->header_bytes;
  IcmpError error{.kind = *kind,
                  .source = quoted->source,
                  .destination = quoted->destination,
                  .source_port = load_be<uint16_t>(tcp),
                  .destination_port = load_be<uint16_t>(tcp + 2),
                  .sequence = load_be<uint32_t>(tcp + 4),
                  .mtu = 0};
  if (*kind == Kind::kPacketTooBig) {
    // RFC 1191 4: the low half of the second word; RFC 4443 3.2: all of it.
    error.mtu = v4 ? load_be<uint16_t>(message.data() + 6) : load_be<uint32_t>(message.data() + 4);
  }
  return error;
}

}  // namespace penstock::dataplane::net
