#include "storage/ring/state_slots.h"

#include <cstring>

#include "base/log.h"

namespace penstock::storage {

void encode(const RingState& state, std::span<std::byte> slot) {
  using L = SlotLayout;
  CHECK(slot.size() >= L::end);
  std::byte* at = slot.data();
  std::memset(at, 0, slot.size());
  store_le(at + L::magic, kSlotMagic);
  store_le(at + L::version, kSlotVersion);
  store_le(at + L::bytes, static_cast<uint64_t>(L::end));
  std::memcpy(at + L::ring_id, state.ring_id.data(), state.ring_id.size());
  store_le(at + L::ring_bytes, state.ring_bytes);
  store_le(at + L::sequence, state.sequence);
  store_le(at + L::generation, state.generation);
  store_le(at + L::tail, state.tail.value());
  store_le(at + L::as_of, state.as_of.value());
  store_le(at + L::crc, crc32c(0, {at, L::crc}));
}

std::optional<RingState> decode_slot(std::span<const std::byte> slot) {
  using L = SlotLayout;
  CHECK(slot.size() >= L::end);
  const std::byte* at = slot.data();
  if (load_le<uint32_t>(at + L::magic) != kSlotMagic || load_le<uint16_t>(at + L::version) != kSlotVersion) return {};
  if (load_le<uint32_t>(at + L::crc) != crc32c(0, {at, L::crc})) return {};
  RingState state{.ring_bytes = load_le<uint64_t>(at + L::ring_bytes),
                  .sequence = load_le<uint64_t>(at + L::sequence),
                  .generation = load_le<uint64_t>(at + L::generation),
                  .tail = Lsn{load_le<uint64_t>(at + L::tail)},
                  .as_of = Lsn{load_le<uint64_t>(at + L::as_of)}};
  std::memcpy(state.ring_id.data(), at + L::ring_id, state.ring_id.size());
  return state;
}

void StateWriter::write(const RingState& state) {
  CHECK(!busy_ && !failed_);
  busy_ = true;
  writing_ = state;
  const uint64_t slot = state.sequence % 2;
  const auto memory = memory_.subspan(slot * kSlotBytes, kSlotBytes);
  encode(state, memory);
  op_ = DiskOp{.kind = DiskOp::Kind::kWriteDurable, .file = file_, .at = slot * kSlotBytes, .memory = memory};
  disk_.submit(op_);
}

bool StateWriter::complete(DiskOp& op) {
  if (&op != &op_) return false;
  CHECK(busy_);
  busy_ = false;
  if (op.result == static_cast<int64_t>(op.memory.size())) {
    written_ = writing_;
    return true;
  }
  failed_ = true;
  LOG_ERROR(
      "state slot write failed (result %lld): the ring is fenced and its partitions are offline; check the drive, "
      "then restart",
      static_cast<long long>(op.result));
  return true;
}

}  // namespace penstock::storage
