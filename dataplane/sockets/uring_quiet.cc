// UringSockets: ends of connections that the kernel does not tell.
#include <cstddef>
#include <vector>

#include "dataplane/sockets/uring_sockets.h"

namespace penstock::dataplane {
namespace {

constexpr size_t kLooksInATurn = 256;  // at connections that have fallen quiet

}  // namespace

// The kernel can lose what closely follows bytes on an armed multishot receive: a reset whose wake-up comes while the
// bytes are being taken (seen with Linux 6.18: the error stays on the socket, the receive stays armed, nothing more
// wakes it). So a connection that brought bytes and then nothing for a whole tick is looked at, once.
void UringSockets::note_quiet() {
  using Heard = UringStream::Heard;
  std::erase_if(heard_, [this](const StreamRef& ref) {
    if (!is_there(ref)) return true;
    Heard& heard = ref.stream->heard_;
    heard = heard == Heard::kThisTick ? Heard::kLastTick : Heard::kQuiet;
    if (heard == Heard::kQuiet) quiet_.push_back(ref);
    return heard == Heard::kQuiet;
  });
}

// A look is a system call: when a thousand fall quiet together, others have their turn in between.
void UringSockets::look_at_quiet() {
  using Heard = UringStream::Heard;
  for (size_t looks = 0; looks < kLooksInATurn && !quiet_.empty(); quiet_.pop_front()) {
    const StreamRef& ref = quiet_.front();
    if (!is_there(ref)) continue;
    if (ref.stream->heard_ != Heard::kQuiet) {  // it brought bytes again
      heard_.push_back(ref);
      continue;
    }
    ref.stream->heard_ = Heard::kNothing;
    ++looks;
    look_at(*ref.stream);
  }
}

void UringSockets::look_at(UringStream& stream) {
  const UringStream::Read read = stream.look();
  if (read == UringStream::Read::kNothing) return;
  if (read == UringStream::Read::kBytes) return stream.arm_anew();
  stream.ended_ = true;
  counters_.add(Metric::connections_found_gone);
  tell(stream, read == UringStream::Read::kEnd ? SocketEvent::Kind::kEnded : SocketEvent::Kind::kBroken);
}

}  // namespace penstock::dataplane
