// ICMP about our segments (RFC 5927, RFC 1191, RFC 8201). Hints, never orders: nothing that anybody can forge ends a
// connection, and a smaller path is believed only if the quoted sequence number is out right now.
#include <algorithm>

#include "dataplane/tcp/core.h"
#include "dataplane/tcp/stack.h"

namespace penstock::dataplane::tcp {
namespace {

// What a router may bring us down to. IPv6 has a minimum (RFC 8200 5); IPv4's is 68, which would cost a header for each
// few bytes: below this a packet is small enough to go unfragmented nearly anywhere.
constexpr size_t kPathMtuMin4 = 296;
constexpr size_t kPathMtuMin6 = 1280;
// RFC 8201 4: after that long it is tried whether the path has become larger.
constexpr Nanos kPathMtuValid = 600 * kSecond;

// RFC 1191 7.1, for routers that do not say.
size_t next_plateau(size_t mtu) {
  for (const size_t plateau : {8166u, 4352u, 2002u, 1492u, 1006u, 508u}) {
    if (plateau < mtu) return plateau;
  }
  return kPathMtuMin4;
}

void shrink_path(Core& core, Tcb& t, const net::IcmpError& error) {
  const size_t current = t.path_mtu != 0 ? t.path_mtu : core.ip.mtu(t.flow.remote);
  const size_t least = t.flow.remote.is_v4() ? kPathMtuMin4 : kPathMtuMin6;
  const size_t mtu = std::max<size_t>(error.mtu != 0 ? error.mtu : next_plateau(current), least);
  if (mtu >= current) return core.counters.add(Metric::tcp_icmp_ignored);
  t.path_mtu = mtu;
  t.path_mtu_until = core.now + kPathMtuValid;
  settle_mss(core, t);
  core.counters.add(Metric::tcp_mtu_reductions);
  // What was too large has not arrived: again at once, and not a sign of congestion (RFC 1191 6.5).
  for (size_t i = 0; i < t.board.size(); ++i) {
    if (t.board[i].bytes > t.snd_mss && !t.board[i].sacked) t.board.mark_lost(i);
  }
  make_dirty(core, t);
}

}  // namespace

void Stack::on_icmp(const net::IcmpError& error) {
  Core& core = *core_;
  core.owner.check();
  core.counters.add(Metric::tcp_icmp_errors);
  const Flow flow{.local = error.source,
                  .remote = error.destination,
                  .local_port = error.source_port,
                  .remote_port = error.destination_port};
  Tcb* t = find_tcb(core, table_hash(core, flow), flow);
  const SeqNumber quoted{error.sequence};
  if (t == nullptr || quoted < t->snd_una || quoted >= t->snd_nxt ||
      error.kind != net::IcmpError::Kind::kPacketTooBig) {
    return core.counters.add(Metric::tcp_icmp_ignored);
  }
  shrink_path(core, *t, error);
}

}  // namespace penstock::dataplane::tcp
