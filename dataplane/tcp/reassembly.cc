#include "dataplane/tcp/reassembly.h"

#include <algorithm>
#include <iterator>
#include <ranges>
#include <utility>

#include "base/assert.h"

namespace penstock::dataplane::tcp {

Reassembly::Inserted Reassembly::insert(SeqNumber begin, Buffer buffer, HeapBuffers& heap) {
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
    superseded += last->bytes();
    forget(*last);
  }
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
    append(*previous, std::move(buffer), heap, result);
    previous->end = end;
    previous->touched = ++touches_;
    if (next != ranges_.end() && next->begin == end) {
      join(*previous, *next);
      ranges_.erase(next);
    }
  } else if (next != ranges_.end() && next->begin == end) {
    prepend(*next, std::move(buffer), heap, result);
    next->begin = begin;
    next->touched = ++touches_;
  } else {
    Range& range = *ranges_.emplace(next, begin, end, ++touches_);
    append(range, std::move(buffer), heap, result);
  }
  while (ranges_.size() > kRangesMax || buffers_ > kRangesMax + bytes_ / kBytesPerBuffer) evict_highest(result);
  return result;
}

// What fills less than a quarter of its buffer does not keep it.
Buffer Reassembly::keep(Buffer buffer, HeapBuffers& heap, Inserted& result) {
  ++buffers_;
  if (buffer.size() * 4 >= buffer.memory_bytes()) return buffer;
  result.copied += buffer.size();
  return heap.copy_of(buffer.bytes());
}

void Reassembly::append(Range& range, Buffer buffer, HeapBuffers& heap, Inserted& result) {
  if (!range.buffers.empty() && top_up(range.buffers.back(), buffer.bytes())) {
    result.copied += buffer.size();
  } else {
    range.buffers.push_back(keep(std::move(buffer), heap, result));
  }
}

// A small first piece goes behind the new one: who sends from the end on does not hold a buffer for each either.
void Reassembly::prepend(Range& range, Buffer buffer, HeapBuffers& heap, Inserted& result) {
  Buffer kept = keep(std::move(buffer), heap, result);
  if (top_up(kept, range.buffers.front().bytes())) {
    range.buffers.front() = std::move(kept);
    --buffers_;
  } else {
    range.buffers.push_front(std::move(kept));
  }
}

// high begins where low ends: the shorter one moves, so that however ranges grow together, a buffer moves seldom.
void Reassembly::join(Range& low, Range& high) {
  low.end = high.end;
  if (top_up(low.buffers.back(), high.buffers.front().bytes())) {
    high.buffers.pop_front();
    --buffers_;
  }
  moved_ += std::min(low.buffers.size(), high.buffers.size());
  if (low.buffers.size() >= high.buffers.size()) {
    std::ranges::move(high.buffers, std::back_inserter(low.buffers));
  } else {
    std::ranges::move(low.buffers | std::views::reverse, std::front_inserter(high.buffers));
    low.buffers.swap(high.buffers);
  }
}

void Reassembly::forget(const Range& range) {
  bytes_ -= range.bytes();
  buffers_ -= range.buffers.size();
}

void Reassembly::evict_highest(Inserted& result) {
  result.evicted += ranges_.back().bytes();
  forget(ranges_.back());
  ranges_.pop_back();
}

SeqNumber Reassembly::take(SeqNumber rcv_nxt, BufferChain& chain) {
  size_t taken = 0;
  while (taken < ranges_.size() && ranges_[taken].begin <= rcv_nxt) {
    Range& range = ranges_[taken++];
    forget(range);
    if (range.end <= rcv_nxt) continue;
    size_t there = seq_bytes(range.begin, rcv_nxt);
    rcv_nxt = range.end;
    for (Buffer& buffer : range.buffers) {
      const size_t skipped = std::min(there, buffer.size());
      buffer.drop_front(skipped);
      there -= skipped;
      if (!top_up(chain, buffer.bytes())) chain.append(std::move(buffer));
    }
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
  buffers_ = 0;
  return std::exchange(bytes_, 0);
}

}  // namespace penstock::dataplane::tcp
