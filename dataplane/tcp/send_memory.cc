#include "dataplane/tcp/send_memory.h"

#include <algorithm>
#include <utility>

namespace penstock::dataplane::tcp {
namespace {

// 0 comes out first.
std::vector<uint32_t> all_free(size_t count) {
  std::vector<uint32_t> list(count);
  for (size_t i = 0; i < count; ++i) list[i] = static_cast<uint32_t>(count - 1 - i);
  return list;
}

uint32_t take_last(std::vector<uint32_t>& list) {
  const uint32_t last = list.back();
  list.pop_back();
  return last;
}

}  // namespace

SendMemory::SendMemory(const Bounds& bounds, std::span<std::byte> arena)
    : blocks_(bounds.blocks),
      own_arena_(arena.empty() ? new std::byte[bounds.blocks * kBlockBytes] : nullptr),
      arena_(arena.empty() ? std::span(own_arena_.get(), bounds.blocks * kBlockBytes) : arena),
      regions_(bounds.blocks + bounds.shared),
      frames_(bounds.frames_flying),
      free_blocks_(all_free(bounds.blocks)),
      free_regions_(all_free(regions_.size())),
      free_frames_(all_free(bounds.frames_flying)) {
  CHECK(arena_.size() >= blocks_ * kBlockBytes);
}

std::optional<SendMemory::RegionId> SendMemory::take_block() {
  if (blocks_free() == 0) return std::nullopt;
  const RegionId id = take_last(free_regions_);
  regions_[id] = {.references = 1, .block = take_last(free_blocks_)};
  return id;
}

size_t SendMemory::share() const {
  constexpr size_t kLeast = 2, kUsual = 16;
  const size_t kept = blocks_ / 8;
  if (blocks_free() <= kept) return kLeast * kBlockBytes;
  return std::max((blocks_free() - kept) / 4, kUsual) * kBlockBytes;
}

std::span<std::byte> SendMemory::block(RegionId region) const {
  DCHECK(is_block(region));
  return arena_.subspan(regions_[region].block * kBlockBytes, kBlockBytes);
}

std::optional<SendMemory::RegionId> SendMemory::take_shared(net::TxOwner& owner, uint64_t token, size_t bytes) {
  // Copying goes on when others have lent too much.
  if (shared_free() == 0 || blocks_free() < blocks_for(bytes)) return std::nullopt;
  const RegionId id = take_last(free_regions_);
  const auto blocks = static_cast<uint32_t>(blocks_for(bytes));
  regions_[id] = {.references = 1, .owner = &owner, .token = token, .set_aside = blocks};
  set_aside_ += blocks;
  return id;
}

SendMemory::RegionId SendMemory::take_set_aside(RegionId region) {
  CHECK(regions_[region].set_aside > 0);
  --regions_[region].set_aside;
  --set_aside_;
  return *take_block();
}

void SendMemory::give_up_set_aside(RegionId region) { set_aside_ -= std::exchange(regions_[region].set_aside, 0); }

void SendMemory::unreference(RegionId id) {
  Region& region = regions_[id];
  DCHECK(region.references > 0);
  if (--region.references > 0) return;
  if (region.block != kNone) free_blocks_.push_back(region.block);
  set_aside_ -= std::exchange(region.set_aside, 0);
  net::TxOwner* owner = std::exchange(region.owner, nullptr);
  free_regions_.push_back(id);
  if (owner != nullptr) owner->release(region.token);
}

std::optional<uint64_t> SendMemory::lend(std::span<const RegionId> regions) {
  if (free_frames_.empty()) return std::nullopt;
  DCHECK(regions.size() <= net::kTxPiecesMax);
  const uint32_t frame = take_last(free_frames_);
  std::copy(regions.begin(), regions.end(), frames_[frame].regions.begin());
  frames_[frame].count = static_cast<uint8_t>(regions.size());
  for (const RegionId region : regions) reference(region);
  return frame;
}

void SendMemory::release(uint64_t token) {
  const auto frame = static_cast<uint32_t>(token);
  for (size_t i = 0; i < frames_[frame].count; ++i) unreference(frames_[frame].regions[i]);
  frames_[frame].count = 0;
  free_frames_.push_back(frame);
}

}  // namespace penstock::dataplane::tcp
