#include "dataplane/tcp/reassembly.h"

#include <algorithm>
#include <utility>

#include "base/assert.h"
#include "dataplane/tcp/receive_memory.h"

namespace penstock::dataplane::tcp {

Reassembly::Inserted Reassembly::insert(SeqNumber begin, Buffer buffer) {
  Inserted result{.bytes = 0, .duplicate = false};
  SeqNumber end = begin + static_cast<uint32_t>(buffer.size());
  auto first = std::find_if(ranges_.begin(), ranges_.end(), [&](const Range& r) { return r.end >= begin; });
  if (first != ranges_.end() && first->begin < end && first->end > begin) {
    result.duplicate = true;
    result.twice = {seq_max(begin, first->begin), seq_min(end, first->end)};
  }
  // The front that is there already.
  if (first != ranges_.end() && first->begin <= begin) {
    const uint32_t there = std::min(seq_bytes(begin, first->end), static_cast<uint32_t>(buffer.size()));
    buffer.drop_front(there);
    begin += there;
    if (buffer.size() == 0) {
      first->touched = ++touches_;
      return result;
    }
  }
  // Ranges that lie inside the rest are superseded by it; of one that reaches further, the rest ends where it begins.
  auto next = first;
  if (next != ranges_.end() && next->begin < begin) ++next;
  auto last = next;
  size_t superseded = 0;
  for (; last != ranges_.end() && last->begin < end; ++last) {
    if (!result.duplicate) result.twice = {last->begin, seq_min(end, last->end)};
    result.duplicate = true;
    if (last->end > end) break;
    superseded += last->chain.size();
  }
  bytes_ -= superseded;
  if (last != ranges_.end() && last->begin < end) {
    buffer.drop_back(seq_bytes(last->begin, end));
    end = last->begin;
  }
  next = ranges_.erase(next, last);
  const size_t added = buffer.size();
  bytes_ += added;
  result.bytes = added > superseded ? added - superseded : 0;
  if (added == 0) return result;

  const bool joins_previous = next != ranges_.begin() && std::prev(next)->end == begin;
  if (joins_previous) {
    auto previous = std::prev(next);
    append_compact(previous->chain, std::move(buffer));
    previous->end = end;
    previous->touched = ++touches_;
    if (next != ranges_.end() && next->begin == end) {
      previous->chain.append(std::move(next->chain));
      previous->end = next->end;
      ranges_.erase(next);
    }
    return result;
  }
  if (next != ranges_.end() && next->begin == end) {
    BufferChain chain;
    chain.append(std::move(buffer));
    chain.append(std::move(next->chain));
    next->chain = std::move(chain);
    next->begin = begin;
    next->touched = ++touches_;
    return result;
  }
  Range range{begin, end, ++touches_, {}};
  append_compact(range.chain, std::move(buffer));
  ranges_.insert(next, std::move(range));
  if (ranges_.size() > kRangesMax) evict_highest(result);
  return result;
}

void Reassembly::evict_highest(Inserted& result) {
  result.evicted = ranges_.back().chain.size();
  bytes_ -= result.evicted;
  ranges_.pop_back();
}

SeqNumber Reassembly::take(SeqNumber rcv_nxt, BufferChain& chain) {
  size_t taken = 0;
  while (taken < ranges_.size() && ranges_[taken].begin <= rcv_nxt) {
    Range& range = ranges_[taken++];
    bytes_ -= range.chain.size();
    if (range.end <= rcv_nxt) continue;
    range.chain.consume(seq_bytes(range.begin, rcv_nxt));
    rcv_nxt = range.end;
    chain.append(std::move(range.chain));
  }
  ranges_.erase(ranges_.begin(), ranges_.begin() + static_cast<std::ptrdiff_t>(taken));
  return rcv_nxt;
}

size_t Reassembly::sack_blocks(std::span<SackBlock> out) const {
  size_t count = 0;
  uint64_t before = ~uint64_t{0};
  while (count < out.size() && count < ranges_.size()) {
    const Range* newest = nullptr;
    for (const Range& range : ranges_) {
      if (range.touched < before && (newest == nullptr || range.touched > newest->touched)) newest = &range;
    }
    before = newest->touched;
    out[count++] = {newest->begin, newest->end};
  }
  return count;
}

size_t Reassembly::drop_all() {
  ranges_.clear();
  return std::exchange(bytes_, 0);
}

}  // namespace penstock::dataplane::tcp
