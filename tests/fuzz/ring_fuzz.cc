// What may stand on a drive: state slots of any bytes, payloads of ring entries, and a ring that was written by the
// RingWriter and then changed anywhere, with header checksums made to fit where the input says so. Whatever it is,
// nothing outside it is read, and what is found whole is whole.
#include <cstdlib>
#include <cstring>
#include <memory>
#include <vector>

#include "base/system_clock.h"
#include "bench/memory_disk.h"
#include "storage/ring/recovery.h"
#include "storage/ring/ring_writer.h"
#include "storage/ring/state_slots.h"

namespace penstock::storage {
namespace {

constexpr size_t kRingBytes = 2 * kMiB;
constexpr uint32_t kBlock = 4096;
constexpr RingId kRingId{9};

// Numbers out of the input; zeros behind its end.
class Input {
 public:
  explicit Input(std::span<const std::byte> bytes) : left_(bytes) {}
  template <class T>
  T take() {
    std::array<std::byte, sizeof(T)> value{};
    const size_t n = std::min(left_.size(), value.size());
    std::copy_n(left_.begin(), n, value.begin());
    left_ = left_.subspan(n);
    return load_le<T>(value.data());
  }
  bool empty() const { return left_.empty(); }

 private:
  std::span<const std::byte> left_;
};

// With checksums made to fit if fit is set: so that the numbers behind them are reached.
void slots(std::span<const std::byte> input, bool fit) {
  std::vector<std::byte> bytes(input.begin(), input.end());
  if (fit && bytes.size() >= SlotLayout::end) {
    store_le(bytes.data() + SlotLayout::magic, kSlotMagic);
    store_le(bytes.data() + SlotLayout::version, kSlotVersion);
    store_le(bytes.data() + SlotLayout::bytes, static_cast<uint64_t>(bytes.size()));
    store_le(bytes.data() + SlotLayout::body_crc, crc32c(0, std::span(bytes).subspan(SlotLayout::end)));
    store_le(bytes.data() + SlotLayout::crc, crc32c(0, std::span(bytes).first(SlotLayout::crc)));
  }
  const auto slot = decode_slot(bytes);
  if (slot) {
    static SlotEncoder encoder(kBlock);
    encoder.begin();
    for (const LogState& log : slot->logs) encoder.add(log);
    const auto again = decode_slot(encoder.finish(slot->ring));
    CHECK(again && again->ring == slot->ring && again->logs == slot->logs);
  }
  if (fit && bytes.size() >= Slot1Layout::end) {
    store_le(bytes.data() + Slot1Layout::version, uint16_t{1});
    store_le(bytes.data() + Slot1Layout::crc, crc32c(0, std::span(bytes).first(Slot1Layout::crc)));
  }
  const auto state = decode_slot_v1(bytes);
  CHECK(!state || (state->tail <= state->head && state->head - state->tail <= state->ring_bytes));
}

void payloads(std::span<const std::byte> bytes) {
  if (const auto relog = decode_relog(bytes)) CHECK(relog->bytes.size() + RelogLayout::end == bytes.size());
  if (const auto truncate = decode_truncate(bytes)) CHECK(truncate->offset >= Offset{0});
  if (const auto start = decode_start_offset(bytes)) CHECK(start->offset >= Offset{0});
}

struct Freer {
  void operator()(std::byte* memory) const { std::free(memory); }
};

class Ring {
 public:
  explicit Ring(Input& input) : input_(input) {
    static const std::unique_ptr<std::byte, Freer> memory(
        static_cast<std::byte*>(std::aligned_alloc(kBlock, kRingBytes)));
    memory_ = {memory.get(), kRingBytes};
    std::memset(memory_.data(), 0, memory_.size());
    start({.generation = 1, .ring_id = kRingId});
  }

  void write() {
    for (unsigned steps = input_.take<uint8_t>() % 32; steps > 0; --steps) step();
    turn();
  }
  void change() {
    while (!input_.empty()) {
      const auto what = input_.take<uint8_t>();
      const auto place = input_.take<uint32_t>();
      const auto value = input_.take<uint32_t>();
      if (what % 2 == 0) {
        memory_[place % memory_.size()] ^= static_cast<std::byte>(value);
        continue;
      }
      if (frames_.empty()) continue;
      std::byte* header = RingMemory(memory_).at(frames_[place % frames_.size()]);
      store_le(header + (what >> 1) % 19 * 4, value);
      store_le(header + FrameLayout::crc, crc32c(0, {header, FrameLayout::crc}));
    }
  }
  void scan() {
    const RingMemory memory(memory_);
    ScanRequest request{memory, kBlock, kRingId, tail_, generation_};
    if (known_) request.known = *known_;
    Lsn last = tail_;
    const auto result = scan_ring(request, [&](const FoundEntry& entry) {
      CHECK(entry.at > last && entry.at - tail_ < kRingBytes);
      last = entry.at;
      std::array<std::span<const std::byte>, 4> pieces;
      const size_t count = memory.view(entry.at, 0, entry.bytes, pieces);
      uint64_t bytes = 0;
      for (size_t i = 0; i < count; ++i) bytes += pieces[i].size();
      CHECK(bytes == entry.bytes);
      CHECK(entry.kind == EntryKind::kBatch || count <= 1);
    });
    CHECK(result.head >= tail_ && result.head - tail_ <= kRingBytes);
    CHECK(last <= result.head);
  }

 private:
  void start(const RingStart& at) {
    writer_ = std::make_unique<RingWriter>(
        RingWriter::Parts{disk_, FileHandle{1}, clock_, counters_, RingMemory(memory_), kSecond, kRingBytes}, at);
  }
  void turn() {
    writer_->submit();
    DiskOp* done = nullptr;
    while (disk_.poll({&done, 1}) == 1) {
      writer_->complete(*done);
      writer_->submit();
    }
  }
  void step() {
    const auto what = input_.take<uint8_t>();
    const uint32_t size = input_.take<uint16_t>() * (what >= 128 ? 16u : 1u);
    switch (what % 8) {
      case 0:
      case 1:
      case 2: return batch(size);
      case 3:
      case 4: return small(static_cast<EntryKind>(2 + (what >> 3) % 3), size);
      case 5: frames_.push_back(writer_->head()); return turn();
      case 6: return reopen(what >= 64);
      case 7:
        turn();
        known_ = KnownEnd{writer_->durable(), writer_->durable_crc()};
        generation_ = writer_->generation();
        if (what < 64) return;
        tail_ = std::max(tail_, Lsn{align_down(writer_->durable().value(), kChunkBytes)});
        return writer_->advance_tail(tail_);
    }
  }
  void batch(uint32_t size) {
    size = std::max<uint32_t>(size, 61);
    if (writer_->room_for(size) != RingWriter::Room::kYes) return;
    static const std::vector<std::byte> zeros(17 * kMiB / 16);
    const Lsn at = writer_->begin_entry(LogId{1}, size);
    writer_->write(std::span(zeros).first(size));
    store_be(writer_->memory().at(at) + kBatchCrcAt, writer_->payload_crc());
    writer_->commit_entry();
  }
  void small(EntryKind kind, uint32_t size) {
    size %= kSmallPayloadMax + 1;
    if (!writer_->room_for_small(size)) return;
    writer_->append_small(LogId{2}, kind, std::vector<std::byte>(size));
  }
  void reopen(bool with_frame) {
    turn();
    start({.tail = tail_,
           .head = writer_->durable(),
           .previous_crc = writer_->durable_crc(),
           .generation = writer_->generation() + 1,
           .ring_id = kRingId});
    known_ = KnownEnd{writer_->durable(), writer_->durable_crc()};
    generation_ = writer_->generation();
    if (with_frame && writer_->room_to_open()) return writer_->open_generation();
    writer_->open_by_state();
  }

  Input& input_;
  bench::MemoryDisk disk_;
  const bool forgetful_ = (disk_.forget_writes(), true);  // the ring is scanned in memory
  SystemClock clock_;
  StorageCounters counters_;
  std::span<std::byte> memory_;
  std::unique_ptr<RingWriter> writer_;
  std::vector<Lsn> frames_;
  std::optional<KnownEnd> known_;
  Lsn tail_;
  uint64_t generation_ = 1;
};

}  // namespace
}  // namespace penstock::storage

// The first byte of an input picks what it is.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace penstock::storage;
  if (size == 0) return 0;
  const auto bytes = std::as_bytes(std::span(data + 1, size - 1));
  switch (data[0] % 4) {
    case 0: slots(bytes, false); break;
    case 1: slots(bytes, true); break;
    case 2: payloads(bytes); break;
    case 3: {
      Input input(bytes);
      Ring ring(input);
      ring.write();
      ring.change();
      ring.scan();
      break;
    }
  }
  return 0;
}
