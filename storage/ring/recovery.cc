#include "storage/ring/recovery.h"

#include <algorithm>
#include <vector>

namespace penstock::storage {
namespace {

// A batch whose bytes go on in the next frame.
struct Carry {
  bool open = false;
  bool known = true;  // false for bytes whose beginning lies before the tail
  FoundEntry batch{};
  uint32_t left = 0;
  uint32_t crc = 0;     // running, of the bytes so far
  uint32_t expect = 0;  // the batch's own
};

class Scanner {
 public:
  Scanner(const ScanRequest& request, const std::function<void(const FoundEntry&)>& on_entry)
      : request_(request), on_entry_(on_entry), at_(request.tail) {
    reach_known_end();
  }

  ScanResult run() {
    while (at_ - request_.tail < request_.memory.bytes() && here_is_next_frame()) {
      for (const FoundEntry& entry : found_) on_entry_(entry);
      carry_ = next_carry_;
      previous_crc_ = header_.crc;
      generation_ = header_.generation;
      first_ = false;
      chained_ = true;
      frames_ += 1;
      at_ += header_.frame_bytes;
      reach_known_end();
    }
    // Full to the last block.
    if (at_ - request_.tail == request_.memory.bytes()) here_ = broken_ ? Here::kBrokenChain : Here::kNothing;
    if (is_foreign_here()) here_ = Here::kForeign;
    Lsn behind = find_behind();
    Behind kind = behind == at_ ? Behind::kNone : Behind::kFrames;
    if (kind == Behind::kNone && request_.known && at_ < request_.known->head) {
      kind = Behind::kVouched;
      behind = request_.known->head;
    }
    return {.head = at_,
            .here = here_,
            .row = &decide(here_, kind),
            .accepted = request_.accept_loss_at == at_.value(),
            .generation = std::max(generation_, request_.generation),
            .previous_crc = previous_crc_,
            .frames = frames_,
            .behind = behind,
            .open_batch = carry_.open && carry_.known ? carry_.batch.at : at_,
            .foreign = foreign_};
  }

 private:
  // The state slot's word on what comes from its head on, once the walk stands there.
  void reach_known_end() {
    if (!request_.known || at_ != request_.known->head) return;
    if (frames_ == 0) previous_crc_ = request_.known->previous_crc;
    broken_ = previous_crc_ != request_.known->previous_crc;
    chained_ = true;
    generation_ = std::max(generation_, request_.generation);
  }

  // True if a whole frame that follows stands at at_: fills header_, found_ and next_carry_. Else here_ says what does.
  bool here_is_next_frame() {
    if (broken_) {
      here_ = Here::kBrokenChain;
      return false;
    }
    const auto header = decode_frame_header(request_.memory.at(at_));
    if (!header || header->ring_id != request_.ring_id) {
      here_ = is_zero_block() ? Here::kNothing : Here::kNotAFrame;
      return false;
    }
    header_ = *header;
    if (header_.lsn != at_) {
      here_ = header_.lsn < at_ ? Here::kOlderLap : Here::kNewerLap;
      return false;
    }
    if (chained_ && header_.generation < generation_) {
      here_ = Here::kLeftover;
      return false;
    }
    if ((chained_ && header_.previous_crc != previous_crc_) || jumps_known_end()) {
      here_ = Here::kBrokenChain;
      return false;
    }
    here_ = Here::kTornBody;
    return well_formed() && body_is_whole();
  }

  bool jumps_known_end() const {
    return request_.known && at_ < request_.known->head && request_.known->head - at_ < header_.frame_bytes;
  }

  bool is_zero_block() const {
    return is_zero(request_.memory.span(at_, std::min<uint64_t>(request_.block_bytes, RingMemory::left_in_chunk(at_))));
  }

  static bool is_zero(std::span<const std::byte> bytes) {
    return std::ranges::all_of(bytes, [](std::byte b) { return b == std::byte{0}; });
  }

  // Where a frame of this ring was taken, only what follows it can be another's. Where none was, nothing shows yet that
  // this is the ring that the state is of: a whole ring of another folder has, where this one's tail is, whatever came
  // there, mostly the middle of a frame or nothing.
  bool is_foreign_here() const {
    const Lsn chunk{align_down(at_.value(), kChunkBytes)};
    const RingMemory& ring = request_.memory;
    if (frames_ > 0) return at_ == chunk && is_of_another_ring(ring, chunk, request_.ring_id);
    if (is_of_another_ring(ring, chunk, request_.ring_id)) return true;
    bool foreign = false;
    for (Lsn lsn{0}; lsn < Lsn{ring.bytes()}; lsn += kChunkBytes) {
      const auto header = decode_frame_header(ring.at(lsn));
      if (header && header->ring_id == request_.ring_id) return false;
      foreign = foreign || header.has_value();
    }
    // All zeros, though the ring has come to here: one that was made anew.
    return foreign || (at_ > Lsn{0} && is_zero(ring.whole()));
  }

  bool well_formed() const {
    const FrameHeader& h = header_;
    return h.frame_bytes % request_.block_bytes == 0 && h.used_bytes >= kFrameHeaderBytes &&
           h.used_bytes <= h.frame_bytes && h.frame_bytes <= RingMemory::left_in_chunk(at_) &&
           h.carry_in <= h.used_bytes - kFrameHeaderBytes;
  }

  bool body_is_whole() {
    found_.clear();
    next_carry_ = Carry{};
    Lsn at = at_ + kFrameHeaderBytes;
    const Lsn end = at_ + header_.used_bytes;
    if (!take_carry_in(at)) return false;
    at += header_.carry_in;
    uint32_t entries = 0;
    for (; at < end; ++entries)
      if (!take_entry(at, end)) return false;
    return entries == header_.entries && header_.carry_crc == (next_carry_.open ? next_carry_.crc : 0);
  }

  // The leading bytes that finish, or carry further, the batch of the frame before.
  bool take_carry_in(Lsn at) {
    const uint32_t n = header_.carry_in;
    const bool abandons = (header_.flags & kFrameOpensGeneration) != 0;
    if (first_) {
      // What it continues lies before the tail and is needed by nobody.
      if (n == kChunkBytes - kFrameHeaderBytes)
        next_carry_ = Carry{.open = true, .known = false, .crc = header_.carry_crc};
      return true;
    }
    if (!carry_.open) return n == 0;
    if (abandons) return n == 0;
    if (!carry_.known) {
      if (n == kChunkBytes - kFrameHeaderBytes)
        next_carry_ = Carry{.open = true, .known = false, .crc = header_.carry_crc};
      return true;
    }
    if (n != std::min<uint64_t>(carry_.left, RingMemory::left_in_chunk(at))) return false;
    carry_.crc = crc32c(carry_.crc, request_.memory.span(at, n));
    next_carry_ = carry_;
    next_carry_.left -= n;
    return next_carry_.left > 0 || finish(next_carry_);
  }

  bool take_entry(Lsn& at, Lsn end) {
    if (end - at < kEntryHeaderBytes) return false;
    const std::byte* header = request_.memory.at(at);
    if (load_le<uint8_t>(header + EntryLayout::kind) != static_cast<uint8_t>(EntryKind::kBatch))
      return take_small(at, end, header);
    if (end - at < kEntryStartBytes) return false;
    const auto payload = load_le<uint32_t>(header + EntryLayout::payload_bytes);
    const std::span<const std::byte> covered{header + kEntryHeaderBytes, kBatchUncoveredBytes};
    if (load_le<uint32_t>(header + EntryLayout::crc) != entry_crc(header, covered)) return false;
    if (payload <= kBatchUncoveredBytes) return false;
    at += kEntryHeaderBytes;
    Carry batch{.open = true,
                .batch = {LogId{load_le<uint64_t>(header + EntryLayout::log_id)}, at, payload, EntryKind::kBatch,
                          header_.generation},
                .left = payload,
                .expect = load_be<uint32_t>(covered.data() + kBatchCrcAt)};
    const auto n = std::min<uint64_t>(payload, end - at);
    if (n < payload && end != RingMemory::chunk_end(at_)) return false;  // only a chunk's end splits a batch
    batch.crc = crc32c(0, request_.memory.span(at, n).subspan(kBatchUncoveredBytes));
    batch.left -= static_cast<uint32_t>(n);
    at += n;
    if (batch.left == 0) return finish(batch);
    next_carry_ = batch;
    return true;
  }

  // An entry of another kind: whole in its frame. Its form is the same for kinds that a later version will know.
  bool take_small(Lsn& at, Lsn end, const std::byte* header) {
    const auto payload = load_le<uint32_t>(header + EntryLayout::payload_bytes);
    if (payload > kSmallPayloadMax || end - at < kEntryHeaderBytes + payload) return false;
    if (load_le<uint32_t>(header + EntryLayout::reserved) != 0) return false;
    if (load_le<uint32_t>(header + EntryLayout::crc) != entry_crc(header, {header + kEntryHeaderBytes, payload}))
      return false;
    const auto kind = static_cast<EntryKind>(load_le<uint8_t>(header + EntryLayout::kind));
    if (!is_known(kind)) {
      foreign_ = "an entry of a kind that this version does not know";
      return false;
    }
    at += kEntryHeaderBytes;
    found_.push_back({LogId{load_le<uint64_t>(header + EntryLayout::log_id)}, at, payload, kind, header_.generation});
    at += payload;
    return true;
  }

  bool finish(Carry& batch) {
    if (batch.crc != batch.expect) return false;
    found_.push_back(batch.batch);
    batch.open = false;
    return true;
  }

  // The first place behind at_ with a frame header that was written after what should stand at at_; at_ if there is
  // none.
  Lsn find_behind() const {
    const uint64_t ring = request_.memory.bytes();
    const uint64_t left = ring - std::min<uint64_t>(ring, at_ - request_.tail);
    for (uint64_t step = request_.block_bytes; step < left; step += request_.block_bytes) {
      const Lsn lsn = at_ + step;
      const auto header = decode_frame_header(request_.memory.at(lsn));
      if (header && header->ring_id == request_.ring_id && header->lsn == lsn && header->generation >= generation_)
        return lsn;
    }
    return at_;
  }

  const ScanRequest& request_;
  const std::function<void(const FoundEntry&)>& on_entry_;
  Lsn at_;
  Here here_ = Here::kNothing;
  FrameHeader header_;
  bool first_ = true;     // no frame was taken yet
  bool chained_ = false;  // the frame before at_ is known: taken, or named by the state slot
  bool broken_ = false;   // the frame taken last is not the one that the state slot names there
  uint32_t previous_crc_ = 0;
  uint64_t generation_ = 0;
  uint64_t frames_ = 0;
  Carry carry_;
  Carry next_carry_;
  std::vector<FoundEntry> found_;
  std::string_view foreign_;
};

}  // namespace

bool is_of_another_ring(const RingMemory& memory, Lsn lsn, const RingId& ring_id) {
  const auto header = decode_frame_header(memory.at(lsn));
  return header && header->ring_id != ring_id;
}

std::optional<std::string_view> life_unlike(const RingLife& known, const RingLife& found) {
  if (found.ring_id != known.ring_id) return "are not those that this folder's metadata knows, but another ring's";
  if (found.generation < known.generation) return "are of an earlier time than this folder's metadata";
  return std::nullopt;
}

ScanResult scan_ring(const ScanRequest& request, const std::function<void(const FoundEntry&)>& on_entry) {
  return Scanner(request, on_entry).run();
}

}  // namespace penstock::storage
