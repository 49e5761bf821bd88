#include "dataplane/tcp/send_queue.h"

#include <algorithm>
#include <cstring>

#include "base/assert.h"

namespace penstock::dataplane::tcp {

size_t SendQueue::append_copy(SendMemory& memory, std::span<const std::byte> bytes) {
  size_t copied = 0;
  while (copied < bytes.size()) {
    if (open_block_ == SendMemory::kNone) {
      const auto block = memory.take_block();
      if (!block) break;
      open_block_ = *block;
      block_used_ = 0;
    }
    const auto room = memory.block(open_block_).subspan(block_used_);
    const size_t n = std::min(room.size(), bytes.size() - copied);
    std::memcpy(room.data(), bytes.data() + copied, n);
    if (!slices_.empty() && slices_.back().region == open_block_ &&
        slices_.back().data + slices_.back().bytes == room.data()) {
      slices_.back().bytes += static_cast<uint32_t>(n);
    } else {
      memory.reference(open_block_);
      slices_.push_back({room.data(), static_cast<uint32_t>(n), open_block_});
    }
    block_used_ += static_cast<uint32_t>(n);
    copied += n;
    if (block_used_ == SendMemory::kBlockBytes) close_block(memory);
  }
  bytes_ += copied;
  held_ += copied;
  return copied;
}

void SendQueue::close_block(SendMemory& memory) {
  if (open_block_ == SendMemory::kNone) return;
  memory.unreference(open_block_);
  open_block_ = SendMemory::kNone;
}

void SendQueue::append_shared(SendMemory::RegionId region, std::span<const std::byte> bytes) {
  DCHECK(!bytes.empty());
  slices_.push_back({bytes.data(), static_cast<uint32_t>(bytes.size()), region,
                     static_cast<uint32_t>(SendMemory::blocks_for(bytes.size()))});
  bytes_ += bytes.size();
  held_ += SendMemory::blocks_for(bytes.size()) * SendMemory::kBlockBytes;
  ++shared_;
}

size_t SendQueue::copy_out_if(SendMemory& memory, const std::function<bool(SendMemory::RegionId)>& wanted) {
  Fifo<Slice> slices;
  size_t copied = 0;
  for (; !slices_.empty(); slices_.pop_front()) {
    const Slice slice = slices_.front();
    if (memory.is_block(slice.region) || !wanted(slice.region)) {
      slices.push_back(slice);
      continue;
    }
    append_copy_of(memory, slices, slice);
    copied += slice.bytes;
  }
  slices_ = std::move(slices);
  hint_slice_ = hint_at_ = 0;
  return copied;
}

// In blocks of its own. A frame of it that the device still has keeps the region until it is sent.
void SendQueue::append_copy_of(SendMemory& memory, Fifo<Slice>& to, const Slice& slice) {
  for (size_t at = 0; at < slice.bytes;) {
    const SendMemory::RegionId block = memory.take_set_aside(slice.region);
    const size_t n = std::min<size_t>(SendMemory::kBlockBytes, slice.bytes - at);
    std::memcpy(memory.block(block).data(), slice.data + at, n);
    to.push_back({memory.block(block).data(), static_cast<uint32_t>(n), block});
    at += n;
  }
  held_ += slice.bytes;
  held_ -= slice.set_aside * SendMemory::kBlockBytes;
  --shared_;
  memory.give_up_set_aside(slice.region);
  memory.unreference(slice.region);
}

SendQueue::Gathered SendQueue::gather(size_t at, size_t bytes) {
  DCHECK(at < bytes_);
  if (hint_at_ > at || hint_slice_ >= slices_.size()) hint_slice_ = hint_at_ = 0;
  while (at >= hint_at_ + slices_[hint_slice_].bytes) hint_at_ += slices_[hint_slice_++].bytes;
  Gathered out;
  size_t slice = hint_slice_;
  size_t skip = at - hint_at_;
  while (out.bytes < bytes && slice < slices_.size() && out.count < out.pieces.size()) {
    const Slice& from = slices_[slice];
    const size_t n = std::min(bytes - out.bytes, from.bytes - skip);
    out.pieces[out.count] = {{from.data + skip, n}};
    out.regions[out.count++] = from.region;
    out.bytes += n;
    skip = 0;
    ++slice;
  }
  return out;
}

void SendQueue::Gathered::shorten(size_t n) {
  DCHECK(n > 0 && n <= bytes);
  for (; bytes - pieces[count - 1].bytes.size() >= n; --count) bytes -= pieces[count - 1].bytes.size();
  std::span<const std::byte>& last = pieces[count - 1].bytes;
  last = last.first(last.size() - (bytes - n));
  bytes = n;
}

void SendQueue::drop_front(SendMemory& memory, size_t n) {
  DCHECK(n <= bytes_);
  bytes_ -= n;
  hint_at_ = hint_at_ > n ? hint_at_ - n : 0;
  while (n > 0) {
    Slice& front = slices_.front();
    if (memory.is_block(front.region)) held_ -= std::min<size_t>(n, front.bytes);
    if (n < front.bytes) {
      front.data += n;
      front.bytes -= static_cast<uint32_t>(n);
      break;
    }
    n -= front.bytes;
    const SendMemory::RegionId region = front.region;
    if (!memory.is_block(region)) {
      held_ -= front.set_aside * SendMemory::kBlockBytes;
      --shared_;
      memory.give_up_set_aside(region);
    }
    slices_.pop_front();
    if (hint_slice_ > 0) --hint_slice_;
    memory.unreference(region);
  }
  if (bytes_ == 0) close_block(memory);  // an idle connection holds none
  if (hint_slice_ == 0) hint_at_ = 0;
}

size_t SendQueue::recount() const {
  size_t sum = 0;
  for (size_t i = 0; i < slices_.size(); ++i) sum += slices_[i].bytes;
  return sum;
}

}  // namespace penstock::dataplane::tcp
