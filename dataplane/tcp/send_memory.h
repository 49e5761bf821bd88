// SendMemory: what unacknowledged bytes lie in. Two kinds of region, each with one count of who needs it:
//
//   block    4 KiB of this lcore's arena, for bytes that were copied in
//   shared   memory of somebody else (a chunk of the log), who is told when nobody needs it any more; blocks for a copy
//            of it are set aside as long as the send queue needs it, so that it can always be given back (copy_out)
//
// A region is needed by the send queue until its bytes are acknowledged, and by each frame that refers to it until the
// device has sent that. So a segment owns no packet: a retransmission never waits for the device, and an
// acknowledgement never frees what the device still reads. Everything is bounded: at a bound a send takes less, or is
// put off.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "base/assert.h"
#include "dataplane/net/tx.h"

namespace penstock::dataplane::tcp {

class SendMemory final : public net::TxOwner {
 public:
  static constexpr size_t kBlockBytes = 4096;
  using RegionId = uint32_t;
  static constexpr uint32_t kNone = std::numeric_limits<uint32_t>::max();

  struct Bounds {
    size_t blocks;         // of the arena
    size_t shared;         // regions of others at once
    size_t frames_flying;  // frames that refer to regions at once
  };
  // arena: blocks * kBlockBytes that the device may read (the DPDK heap), or empty: memory of its own.
  SendMemory(const Bounds& bounds, std::span<std::byte> arena);

  // A block with one reference; nothing at the bound.
  std::optional<RegionId> take_block();
  std::span<std::byte> block(RegionId region) const;
  bool is_block(RegionId region) const { return regions_[region].block != kNone; }
  // A region of somebody else's with one reference, of bytes bytes; nothing at the bound, which is that of a copy, too.
  // release(token) follows exactly once.
  std::optional<RegionId> take_shared(net::TxOwner& owner, uint64_t token, size_t bytes);
  static size_t blocks_for(size_t bytes) { return (bytes + kBlockBytes - 1) / kBlockBytes; }
  // One of the blocks that were set aside with region.
  RegionId take_set_aside(RegionId region);
  // Those that are left of them are of use to others.
  void give_up_set_aside(RegionId region);
  struct Lender {
    net::TxOwner* owner;
    uint64_t token;
  };
  Lender lender(RegionId region) const { return {regions_[region].owner, regions_[region].token}; }

  void reference(RegionId region) { ++regions_[region].references; }
  void unreference(RegionId region);

  // References regions (at most kTxPiecesMax) for one frame; the token for IpOutput::send. Nothing at the bound.
  std::optional<uint64_t> lend(std::span<const RegionId> regions);
  void release(uint64_t token) override;

  // Bytes that one connection may have in blocks: a quarter of what is free beside an eighth of all, 64 KiB at least.
  // The eighth is for those who have little, two blocks each: so a few who do not read leave something for everybody
  // else.
  size_t share() const;

  size_t blocks_free() const { return free_blocks_.size() - set_aside_; }
  size_t blocks() const { return blocks_; }
  size_t shared_free() const { return free_regions_.size() - free_blocks_.size(); }  // blocks have theirs for certain
  size_t regions_used() const { return regions_.size() - free_regions_.size(); }
  size_t frames_flying() const { return frames_.size() - free_frames_.size(); }

 private:
  struct Region {
    uint32_t references = 0;
    uint32_t block = kNone;
    net::TxOwner* owner = nullptr;
    uint64_t token = 0;
    uint32_t set_aside = 0;  // blocks
  };
  struct Frame {
    std::array<RegionId, net::kTxPiecesMax> regions;
    uint8_t count = 0;
  };

  const size_t blocks_;
  std::unique_ptr<std::byte[]> own_arena_;
  std::span<std::byte> arena_;
  std::vector<Region> regions_;
  std::vector<Frame> frames_;
  std::vector<uint32_t> free_blocks_;
  std::vector<uint32_t> free_regions_;
  std::vector<uint32_t> free_frames_;
  size_t set_aside_ = 0;  // of free_blocks_
};

}  // namespace penstock::dataplane::tcp
