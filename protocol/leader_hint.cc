#include "protocol/leader_hint.h"

namespace penstock::protocol {
namespace {

size_t compact_size(std::string_view text) { return uvarint_size(text.size() + 1) + text.size(); }

size_t endpoint_size(const NodeEndpoint& node) {
  constexpr size_t kFixed = 4 + 4 + 1;  // id, port, no tags
  return kFixed + compact_size(node.host) + (node.rack ? compact_size(*node.rack) : 1);
}

}  // namespace

void write_leader_tag(Writer& out, uint32_t tag, const LeaderIdAndEpoch& leader) {
  out.uvarint(tag);
  out.uvarint(4 + 4 + 1);
  out.fixed(leader.leader_id);
  out.fixed(leader.leader_epoch);
  out.no_tags(/*flexible=*/true);
}

void write_node_endpoints(Writer& out, std::span<const NodeEndpoint> endpoints) {
  if (endpoints.empty()) return out.no_tags(/*flexible=*/true);
  size_t size = uvarint_size(endpoints.size() + 1);
  for (const NodeEndpoint& node : endpoints) size += endpoint_size(node);
  out.uvarint(1);  // one field
  out.uvarint(0);  // its tag
  out.uvarlong(size);
  out.array_count(endpoints.size(), /*flexible=*/true);
  for (const NodeEndpoint& node : endpoints) {
    out.fixed(node.node_id);
    out.string(node.host, /*flexible=*/true);
    out.fixed(node.port);
    out.nullable_string(node.rack, /*flexible=*/true);
    out.no_tags(/*flexible=*/true);
  }
}

}  // namespace penstock::protocol
