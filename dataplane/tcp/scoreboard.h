// Scoreboard: every segment between SND.UNA and SND.NXT in sequence order, and what is known of each. Segments never
// move between lists, so that a second loss cannot change their order. FIN is the last sequence number of the last one.
//
//   in flight (pipe) = sum over segments that are not sacked of: its bytes unless lost, and its bytes once more while a
//   retransmission of it is out (RFC 6675 4, with RACK's marks).
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/units.h"
#include "dataplane/tcp/fifo.h"
#include "dataplane/tcp/header.h"
#include "dataplane/tcp/seq.h"

namespace penstock::dataplane::tcp {

struct SentSegment {
  SeqNumber seq;
  uint32_t bytes = 0;  // FIN counts one
  Nanos sent_at = 0;   // the last transmission
  bool sacked = false;
  bool lost = false;
  bool resent = false;       // a retransmission is out, as far as we know
  bool ever_resent = false;  // no round trip is measured by it (Karn), unless timestamps tell
  SeqNumber end() const { return seq + bytes; }
};

class Scoreboard {
 public:
  // Bounds the scan of an ACK and the memory of a connection; at the bound nothing new is sent until an ACK comes.
  static constexpr size_t kSegmentsMax = 4096;

  size_t size() const { return segments_.size(); }
  bool empty() const { return segments_.empty(); }
  bool full() const { return segments_.size() >= kSegmentsMax; }
  const SentSegment& operator[](size_t index) const { return segments_[index]; }
  const SentSegment& front() const { return segments_.front(); }
  const SentSegment& back() const { return segments_.back(); }

  uint32_t pipe() const { return pipe_; }
  uint32_t sacked_bytes() const { return sacked_; }
  uint32_t lost_bytes() const { return lost_; }      // marked, whether sent again or not
  uint32_t resent_bytes() const { return resent_; }  // out for the second time
  uint32_t outstanding() const { return outstanding_; }

  void sent(SeqNumber seq, uint32_t bytes, Nanos at, bool measurable = true);
  void resent(size_t index, Nanos at);
  void mark_lost(size_t index);
  void mark_sacked(size_t index);
  // The receiver threw away what it had reported, or the marks were wrong.
  void clear_sacked();
  void clear_lost();
  // Everything that is not sacked counts as lost, retransmissions too (RFC 6298 5.4, RFC 8985 6.3).
  void mark_all_lost();
  // Segment index becomes two, the first with so many bytes.
  void split(size_t index, uint32_t bytes);

  // Drops the first segment if it ends at or before una; cuts it if una lies inside. False: nothing (more) to drop.
  // dropped: a copy of the whole segment that went.
  bool drop_acked(SeqNumber una, SentSegment& dropped);
  void clear();

  // The first segment that is lost and not sent again; size() if none.
  size_t first_to_resend();
  size_t index_of(SeqNumber seq) const;  // the segment that seq lies in, or the first behind it

  uint32_t recount() const;  // of pipe(), for invariant I4

 private:
  static uint32_t pipe_of(const SentSegment& s) {
    return s.sacked ? 0 : (s.lost ? 0 : s.bytes) + (s.resent ? s.bytes : 0);
  }
  // Applies change to one segment and keeps the sums.
  template <class Change>
  void change(SentSegment& s, Change&& change) {
    subtract(s);
    change(s);
    add(s);
  }
  void add(const SentSegment& s);
  void subtract(const SentSegment& s);

  Fifo<SentSegment> segments_;
  uint32_t pipe_ = 0;
  uint32_t sacked_ = 0;
  uint32_t lost_ = 0;
  uint32_t resent_ = 0;
  uint32_t outstanding_ = 0;
  SeqNumber resend_hint_;  // no segment before it is to be sent again
};

}  // namespace penstock::dataplane::tcp
