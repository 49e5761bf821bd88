#include "dataplane/tcp/scoreboard.h"

#include <algorithm>

#include "base/assert.h"

namespace penstock::dataplane::tcp {

void Scoreboard::add(const SentSegment& s) {
  pipe_ += pipe_of(s);
  sacked_ += s.sacked ? s.bytes : 0;
  lost_ += s.lost ? s.bytes : 0;
  resent_ += s.resent ? s.bytes : 0;
  outstanding_ += s.bytes;
  if (s.lost && !s.resent) resend_hint_ = seq_min(resend_hint_, s.seq);
}

void Scoreboard::subtract(const SentSegment& s) {
  pipe_ -= pipe_of(s);
  sacked_ -= s.sacked ? s.bytes : 0;
  lost_ -= s.lost ? s.bytes : 0;
  resent_ -= s.resent ? s.bytes : 0;
  outstanding_ -= s.bytes;
}

void Scoreboard::sent(SeqNumber seq, uint32_t bytes, Nanos at, bool measurable) {
  DCHECK(bytes > 0 && !full());
  DCHECK(empty() || back().end() == seq);
  if (empty()) resend_hint_ = seq;
  segments_.push_back({.seq = seq, .bytes = bytes, .sent_at = at, .ever_resent = !measurable});
  add(segments_.back());
}

void Scoreboard::resent(size_t index, Nanos at) {
  change(segments_[index], [&](SentSegment& s) {
    s.sent_at = at;
    s.resent = s.ever_resent = true;
  });
}

void Scoreboard::mark_lost(size_t index) {
  change(segments_[index], [](SentSegment& s) {
    DCHECK(!s.sacked);
    s.lost = true;
    s.resent = false;
  });
}

void Scoreboard::mark_sacked(size_t index) {
  change(segments_[index], [](SentSegment& s) {
    s.sacked = true;
    s.lost = s.resent = false;
  });
}

void Scoreboard::clear_sacked() {
  if (sacked_ == 0) return;
  for (size_t i = 0; i < size(); ++i) change(segments_[i], [](SentSegment& s) { s.sacked = false; });
}

void Scoreboard::clear_lost() {
  if (lost_ == 0) return;
  for (size_t i = 0; i < size(); ++i) change(segments_[i], [](SentSegment& s) { s.lost = false; });
}

void Scoreboard::mark_all_lost() {
  for (size_t i = 0; i < size(); ++i) {
    if (!segments_[i].sacked) mark_lost(i);
  }
}

void Scoreboard::split(size_t index, uint32_t bytes) {
  SentSegment first = segments_[index];
  DCHECK(bytes > 0 && bytes < first.bytes);
  SentSegment second = first;
  second.seq += bytes;
  second.bytes -= bytes;
  first.bytes = bytes;
  subtract(segments_[index]);
  segments_[index] = first;
  add(first);
  segments_.insert(index + 1, second);
  add(second);
}

bool Scoreboard::drop_acked(SeqNumber una, SentSegment& dropped) {
  if (empty() || front().seq >= una) return false;
  subtract(front());
  if (front().end() > una) {
    SentSegment& s = segments_.front();
    s.bytes = seq_bytes(una, s.end());
    s.seq = una;
    add(s);
    return false;
  }
  dropped = front();
  segments_.pop_front();
  return true;
}

void Scoreboard::clear() {
  segments_.release_memory();
  pipe_ = sacked_ = lost_ = resent_ = outstanding_ = 0;
}

// Segments are contiguous and mostly of one size, so that a binary search beats a scan once there are many.
size_t Scoreboard::index_of(SeqNumber seq) const {
  size_t low = 0;
  size_t high = size();
  while (low < high) {
    const size_t middle = (low + high) / 2;
    if (segments_[middle].end() <= seq) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return low;
}

size_t Scoreboard::first_to_resend() {
  if (lost_ == 0) return size();
  size_t i = resend_hint_ > front().seq ? index_of(resend_hint_) : 0;
  while (i < size() && !(segments_[i].lost && !segments_[i].resent)) ++i;
  resend_hint_ = i < size() ? segments_[i].seq : back().end();
  return i;
}

uint32_t Scoreboard::recount() const {
  uint32_t sum = 0;
  for (size_t i = 0; i < size(); ++i) sum += pipe_of(segments_[i]);
  return sum;
}

}  // namespace penstock::dataplane::tcp
