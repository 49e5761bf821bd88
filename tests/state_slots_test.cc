// State slots: what is written reads back, what is not whole is none, and of two files one is always whole.
#include "storage/ring/state_slots.h"

#include <gtest/gtest.h>

#include <cstring>

#include "base/prng.h"
#include "tests/sim/sim_clock.h"
#include "tests/sim/sim_disk.h"

namespace penstock::storage {
namespace {

constexpr size_t kBlock = 4096;

RingState ring_state(uint64_t sequence) {
  return {.ring_id = {1, 2, 3},
          .ring_bytes = 4 * kMiB,
          .sequence = sequence,
          .generation = 3,
          .tail = Lsn{2 * kMiB},
          .as_of = Lsn{2 * kMiB + kBlock},
          .head = Lsn{5 * kMiB},
          .previous_crc = 0xdeadbeef};
}

LogState random_log(Prng& prng, uint64_t id) {
  LogState log{.id = LogId{id},
               .log_start_offset = Offset{static_cast<int64_t>(prng.below(1000))},
               .destaged = Offset{static_cast<int64_t>(prng.below(1 << 30))},
               .position = prng.below(1 << 30),
               .replay_from = Lsn{prng.next()},
               .head_crc = static_cast<uint32_t>(prng.next()),
               .interval_crc = static_cast<uint32_t>(prng.next()),
               .segments = {},
               .epochs = {},
               .producers = {}};
  int64_t base = 0;
  for (uint64_t n = prng.below(4); n > 0; --n)
    log.segments.push_back({.base = Offset{base += static_cast<int64_t>(prng.between(1, 100))},
                            .bytes = prng.below(1 << 30),
                            .max_timestamp = static_cast<int64_t>(prng.next()),
                            .first_timestamp = static_cast<int64_t>(prng.next())});
  int32_t epoch = -1;
  for (uint64_t n = prng.below(4); n > 0; --n)
    log.epochs.push_back({LeaderEpoch{epoch += static_cast<int32_t>(prng.between(1, 9))}, Offset{base += 10}});
  for (uint64_t n = prng.below(4); n > 0; --n) {
    ProducerState& producer = log.producers.emplace_back();
    producer.id = ProducerId{static_cast<int64_t>(prng.next())};
    producer.epoch = static_cast<int16_t>(prng.below(100));
    producer.held = static_cast<int64_t>(prng.below(1 << 30));
    producer.last_timestamp = static_cast<int64_t>(prng.next());
    producer.count = static_cast<uint8_t>(prng.between(1, 5));
    for (uint8_t b = 0; b < producer.count; ++b)
      producer.batches[b] = {static_cast<int32_t>(prng.below(1 << 30)), static_cast<int32_t>(prng.below(1 << 30)),
                             Offset{static_cast<int64_t>(prng.below(1 << 30))}};
  }
  return log;
}

std::vector<std::byte> encoded(SlotEncoder& encoder, const RingState& state, std::span<const LogState> logs) {
  encoder.begin();
  for (const LogState& log : logs) encoder.add(log);
  const auto bytes = encoder.finish(state);
  return {bytes.begin(), bytes.end()};
}

TEST(StateSlots, WhatIsWrittenReadsBack) {
  SlotEncoder encoder(kBlock);
  for (uint64_t seed = 1; seed <= 100; ++seed) {
    Prng prng(seed);
    std::vector<LogState> logs;
    for (uint64_t n = prng.one_in(10) ? 3000 : prng.below(20); n > 0; --n) logs.push_back(random_log(prng, n));
    RingState state = ring_state(seed);
    state.clean_stop = prng.one_in(2);
    if (state.clean_stop) state.tail = state.as_of = state.head;
    const auto bytes = encoded(encoder, state, logs);
    EXPECT_EQ(bytes.size() % kBlock, 0u);
    const auto head = decode_slot_head(std::span(bytes).first(SlotLayout::end));
    ASSERT_TRUE(head);
    EXPECT_EQ(head->sequence, seed);
    EXPECT_EQ(align_up(head->bytes, kBlock), bytes.size());
    const auto slot = decode_slot(std::span(bytes).first(head->bytes));
    ASSERT_TRUE(slot) << seed;
    EXPECT_EQ(slot->ring, state);
    EXPECT_EQ(slot->logs, logs);
  }
}

// docs/internals/log_format.md "State slots", byte for byte.
// Another number in each field.
LogState specified_log() {
  ProducerState producer{.id = ProducerId{0x21}, .epoch = 0x22, .held = 0x23, .last_timestamp = 0x24, .count = 1};
  producer.batches[0] = {0x25, 0x26, Offset{0x27}};
  return {.id = LogId{0x11},
          .log_start_offset = Offset{0x12},
          .destaged = Offset{0x13},
          .position = 0x14,
          .replay_from = Lsn{0x15},
          .head_crc = 0x16,
          .interval_crc = 0x17,
          .cleaned_to = Offset{0x10},
          .segments = {{Offset{0x18}, 0x19, 0x1a, 0x1b, 0x1e}},
          .epochs = {{LeaderEpoch{0x1c}, Offset{0x1d}}},
          .producers = {producer}};
}

TEST(StateSlots, TheBytesAreTheSpecifiedOnes) {
  const LogState log = specified_log();
  SlotEncoder encoder(kBlock);
  const auto bytes = encoded(encoder, ring_state(7), {&log, 1});
  // Place, bytes, value of every field that is not a checksum.
  const uint64_t body = 96;
  const uint64_t segment = body + 72;
  const uint64_t epoch = segment + 40;
  const uint64_t sender = epoch + 12;
  const uint64_t batch = sender + 28;
  const uint64_t end = batch + 16;
  const std::vector<std::array<uint64_t, 3>> fields = {{0, 4, 0x544C534B},
                                                       {4, 2, 3},
                                                       {6, 2, 0},
                                                       {8, 8, end},
                                                       {16, 8, 0x030201},
                                                       {24, 8, 0},
                                                       {32, 8, 4 * kMiB},
                                                       {40, 8, 7},
                                                       {48, 8, 3},
                                                       {56, 8, 2 * kMiB},
                                                       {64, 8, 2 * kMiB + kBlock},
                                                       {72, 8, 5 * kMiB},
                                                       {80, 4, 0xdeadbeef},
                                                       {84, 4, 1},
                                                       {body, 8, 0x11},
                                                       {body + 8, 8, 0x12},
                                                       {body + 16, 8, 0x13},
                                                       {body + 24, 8, 0x14},
                                                       {body + 32, 8, 0x15},
                                                       {body + 40, 4, 0x16},
                                                       {body + 44, 4, 0x17},
                                                       {body + 48, 4, 1},
                                                       {body + 52, 4, 1},
                                                       {body + 56, 4, 1},
                                                       {body + 60, 4, 0},
                                                       {body + 64, 8, 0x10},
                                                       {segment, 8, 0x18},
                                                       {segment + 8, 8, 0x19},
                                                       {segment + 16, 8, 0x1a},
                                                       {segment + 24, 8, 0x1b},
                                                       {segment + 32, 8, 0x1e},
                                                       {epoch, 4, 0x1c},
                                                       {epoch + 4, 8, 0x1d},
                                                       {sender, 8, 0x21},
                                                       {sender + 8, 2, 0x22},
                                                       {sender + 10, 2, 1},
                                                       {sender + 12, 8, 0x23},
                                                       {sender + 20, 8, 0x24},
                                                       {batch, 4, 0x25},
                                                       {batch + 4, 4, 0x26},
                                                       {batch + 8, 8, 0x27}};
  for (const auto& [at, size, value] : fields) {
    uint64_t found = 0;
    std::memcpy(&found, bytes.data() + at, size);
    EXPECT_EQ(found, value) << "at " << at;
  }
  EXPECT_EQ(load_le<uint32_t>(bytes.data() + 88), crc32c(0, std::span(bytes).subspan(96, end - 96)));
  EXPECT_EQ(load_le<uint32_t>(bytes.data() + 92), crc32c(0, std::span(bytes).first(92)));
}

TEST(StateSlots, EachFlippedBitAndEachMissingByteIsFound) {
  Prng prng(1);
  std::vector<LogState> logs;
  for (uint64_t n = 0; n < 5; ++n) logs.push_back(random_log(prng, n));
  SlotEncoder encoder(kBlock);
  auto bytes = encoded(encoder, ring_state(1), logs);
  const uint64_t used = decode_slot_head(bytes)->bytes;
  for (uint64_t n = 0; n < used; ++n) {
    EXPECT_FALSE(decode_slot(std::span(bytes).first(n))) << n;
    for (int bit = 0; bit < 8; ++bit) {
      bytes[n] ^= std::byte{static_cast<uint8_t>(1 << bit)};
      ASSERT_FALSE(decode_slot(bytes)) << n;
      bytes[n] ^= std::byte{static_cast<uint8_t>(1 << bit)};
    }
  }
  ASSERT_TRUE(decode_slot(bytes));
  bytes[used] ^= std::byte{1};  // padding
  EXPECT_TRUE(decode_slot(bytes));
}

// With checksums that fit: numbers that cannot be.
TEST(StateSlots, NumbersThatCannotBeAreRefused) {
  ProducerState producer{.count = 1};
  const LogState log{.id = LogId{1},
                     .segments = {{Offset{1}}, {Offset{2}}},
                     .epochs = {{LeaderEpoch{1}, Offset{1}}},
                     .producers = {producer}};
  SlotEncoder encoder(kBlock);
  const auto good = encoded(encoder, ring_state(1), {&log, 1});
  const auto with = [&](size_t at, auto value) {
    auto bytes = good;
    store_le(bytes.data() + at, value);
    const uint64_t used = load_le<uint64_t>(good.data() + SlotLayout::bytes);
    store_le(bytes.data() + SlotLayout::body_crc, crc32c(0, std::span(bytes).subspan(96, used - 96)));
    store_le(bytes.data() + SlotLayout::crc, crc32c(0, std::span(bytes).first(SlotLayout::crc)));
    return decode_slot(bytes).has_value();
  };
  ASSERT_TRUE(with(SlotLayout::generation, uint64_t{9}));
  EXPECT_FALSE(with(SlotLayout::version, uint16_t{4}));
  EXPECT_FALSE(with(SlotLayout::version, uint16_t{2}));  // its logs and segments are shorter
  EXPECT_FALSE(with(SlotLayout::bytes, uint64_t{95}));
  EXPECT_FALSE(with(SlotLayout::bytes, ~uint64_t{0}));
  EXPECT_FALSE(with(SlotLayout::ring_bytes, uint64_t{0}));
  EXPECT_FALSE(with(SlotLayout::ring_bytes, uint64_t{5000}));
  EXPECT_FALSE(with(SlotLayout::tail, uint64_t{1}));
  EXPECT_FALSE(with(SlotLayout::tail, uint64_t{6 * kMiB}));
  EXPECT_FALSE(with(SlotLayout::tail, uint64_t{0}));  // more than a ring below head
  EXPECT_FALSE(with(SlotLayout::as_of, uint64_t{6 * kMiB}));
  EXPECT_FALSE(with(SlotLayout::head, ~uint64_t{0} - 4095));
  EXPECT_FALSE(with(SlotLayout::flags, kSlotIsCleanStop));  // with something left to replay
  EXPECT_FALSE(with(SlotLayout::log_count, uint32_t{0}));
  EXPECT_FALSE(with(SlotLayout::log_count, uint32_t{2}));
  EXPECT_FALSE(with(SlotLayout::log_count, ~uint32_t{0}));
  const size_t body = SlotLayout::end;
  EXPECT_FALSE(with(body + LogStateLayout::log_start_offset, int64_t{-1}));
  EXPECT_FALSE(with(body + LogStateLayout::destaged, int64_t{-1}));
  EXPECT_FALSE(with(body + LogStateLayout::cleaned_to, int64_t{-1}));
  EXPECT_FALSE(with(body + LogStateLayout::cleaned_to, INT64_MAX));
  EXPECT_FALSE(with(body + LogStateLayout::segments, ~uint32_t{0}));
  EXPECT_FALSE(with(body + LogStateLayout::epochs, ~uint32_t{0}));
  EXPECT_FALSE(with(body + LogStateLayout::producers, ~uint32_t{0}));
  const size_t segments = body + LogStateLayout::end;
  EXPECT_FALSE(with(segments + SegmentStateLayout::end + SegmentStateLayout::base, int64_t{1}));
  const size_t epochs = segments + 2 * SegmentStateLayout::end;
  EXPECT_FALSE(with(epochs + EpochEntryLayout::epoch, int32_t{-1}));
  const size_t producers = epochs + EpochEntryLayout::end;
  EXPECT_FALSE(with(producers + ProducerStateLayout::count, uint16_t{0}));
  EXPECT_FALSE(with(producers + ProducerStateLayout::count, uint16_t{6}));
  EXPECT_FALSE(with(producers + ProducerStateLayout::count, uint16_t{257}));
  EXPECT_FALSE(with(producers + ProducerStateLayout::held, int64_t{-1}));
}

// What version 3 added, taken out of one of its slots.
TEST(StateSlots, ASlotOfVersionTwoDecodes) {
  const LogState log{.id = LogId{7},
                     .destaged = Offset{900},
                     .segments = {{Offset{0}, 5'000, 11, 10}, {Offset{400}, 6'000, 13, 12}},
                     .epochs = {{LeaderEpoch{2}, Offset{0}}}};
  SlotEncoder encoder(kBlock);
  const auto padded = encoded(encoder, ring_state(7), {&log, 1});
  std::vector<std::byte> bytes(padded.begin(), padded.begin() + load_le<int64_t>(padded.data() + SlotLayout::bytes));
  const auto take_out = [&](size_t at) {
    bytes.erase(bytes.begin() + static_cast<int64_t>(at), bytes.begin() + static_cast<int64_t>(at + 8));
  };
  const size_t segments = SlotLayout::end + LogStateLayout::end;
  take_out(segments + SegmentStateLayout::end + SegmentStateLayout::revision);
  take_out(segments + SegmentStateLayout::revision);
  take_out(SlotLayout::end + LogStateLayout::cleaned_to);
  store_le(bytes.data() + SlotLayout::version, uint16_t{2});
  store_le(bytes.data() + SlotLayout::bytes, uint64_t{bytes.size()});
  store_le(bytes.data() + SlotLayout::body_crc, crc32c(0, std::span(bytes).subspan(SlotLayout::end)));
  store_le(bytes.data() + SlotLayout::crc, crc32c(0, std::span(bytes).first(SlotLayout::crc)));
  const auto slot = decode_slot(bytes);
  ASSERT_TRUE(slot);
  ASSERT_EQ(slot->logs.size(), 1u);
  EXPECT_EQ(slot->logs[0], log);
}

// The newer slot of tests/golden/folder-v1.tar.xz.
TEST(StateSlots, ASlotOfVersionOneDecodes) {
  const std::array<uint8_t, 80> bytes = {
      0x4b, 0x53, 0x4c, 0x54, 0x01, 0x00, 0x00, 0x00, 0x50, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
      0x9c, 0x3e, 0x10, 0x07, 0xfc, 0x4d, 0x7a, 0xc6, 0xaa, 0x0f, 0x77, 0x68, 0x1f, 0x85, 0xa1, 0x82,
      0x00, 0x00, 0x40, 0x00, 0x00, 0x00, 0x00, 0x00, 0x03, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
      0x01, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x20, 0x00, 0x00, 0x00, 0x00, 0x00,
      0x00, 0x00, 0x20, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x4a, 0xa3, 0x3a, 0x11};
  const auto state = decode_slot_v1(std::as_bytes(std::span(bytes)));
  ASSERT_TRUE(state);
  EXPECT_EQ(state->ring_id[0], 0x9c);
  EXPECT_EQ(state->ring_bytes, 4 * kMiB);
  EXPECT_EQ(state->sequence, 3u);
  EXPECT_EQ(state->generation, 1u);
  EXPECT_EQ(state->tail, Lsn{2 * kMiB});
  EXPECT_EQ(state->as_of, state->tail);
  EXPECT_FALSE(state->knows_head);
  EXPECT_FALSE(state->clean_stop);
  EXPECT_FALSE(decode_slot(std::as_bytes(std::span(bytes))));
  for (size_t n = 0; n < bytes.size(); ++n) {
    auto bad = bytes;
    bad[n] ^= 0x10;
    EXPECT_FALSE(decode_slot_v1(std::as_bytes(std::span(bad)))) << n;
  }
  EXPECT_FALSE(decode_slot_v1(std::as_bytes(std::span(bytes)).first(79)));
}

// ---- a stop that left nothing to replay

std::vector<std::byte> frame_at(const RingState& state, Lsn lsn, uint16_t flags = kFrameIsSeal) {
  std::vector<std::byte> block(kBlock);
  encode(FrameHeader{.flags = flags,
                     .lsn = lsn,
                     .frame_bytes = kBlock,
                     .used_bytes = kFrameHeaderBytes,
                     .generation = state.generation,
                     .ring_id = state.ring_id},
         block.data());
  return block;
}

TEST(CleanStop, HoldsIfTheSealStandsAndNothingBehindIt) {
  RingState state = ring_state(1);
  state.tail = state.as_of = state.head;
  state.clean_stop = true;
  const auto seal = frame_at(state, Lsn{state.head.value() - kBlock});
  state.previous_crc = decode_frame_header(seal.data())->crc;
  const std::vector<std::byte> nothing(kBlock);
  const auto older = frame_at(state, Lsn{state.head.value() - state.ring_bytes});
  EXPECT_TRUE(clean_stop_holds(state, seal, nothing));
  EXPECT_TRUE(clean_stop_holds(state, seal, older));

  EXPECT_FALSE(clean_stop_holds(state, seal, frame_at(state, state.head))) << "the ring went on";
  EXPECT_FALSE(clean_stop_holds(state, seal, frame_at(state, state.head + state.ring_bytes)));
  EXPECT_FALSE(clean_stop_holds(state, nothing, nothing));
  EXPECT_FALSE(clean_stop_holds(state, older, nothing));
  RingState other = state;
  other.ring_id[3] = 9;
  EXPECT_FALSE(clean_stop_holds(state, seal, frame_at(other, Lsn{0}))) << "another ring, of which nothing is known";
  other = state;
  other.previous_crc += 1;
  EXPECT_FALSE(clean_stop_holds(other, seal, nothing));
  other = state;
  other.ring_id[3] = 9;
  EXPECT_FALSE(clean_stop_holds(other, seal, nothing)) << "another ring";
  other = state;
  other.clean_stop = false;
  EXPECT_FALSE(clean_stop_holds(other, seal, nothing));
  auto torn = seal;
  torn[kFrameHeaderBytes - 1] ^= std::byte{1};
  EXPECT_FALSE(clean_stop_holds(state, torn, nothing));
}

TEST(CleanStop, HoldsForARingThatWasNeverWritten) {
  RingState state{.ring_bytes = 4 * kMiB, .clean_stop = true};
  const std::vector<std::byte> nothing(kBlock);
  EXPECT_TRUE(clean_stop_holds(state, {}, nothing));
  EXPECT_FALSE(clean_stop_holds(state, {}, frame_at(state, Lsn{0})));
  EXPECT_FALSE(clean_stop_holds(state, {}, frame_at({.ring_id = {9}}, Lsn{0})));
}

// ---- the writer

class Slots {
 public:
  explicit Slots(uint64_t seed) : disk_(clock_, seed) { open(); }

  void open() {
    for (const char* path : {"state-0", "state-1"}) {
      files_[path[6] - '0'] = {*disk_.open(path, {.create = true}), kCapacity};
      disk_.resize(files_[path[6] - '0'].file, kCapacity).value();
    }
    disk_.sync_dir("").value();
    writer = std::make_unique<StateWriter>(disk_, files_[0], files_[1]);
  }
  // Whether one op came back.
  bool turn() {
    clock_.advance(kMillisecond);
    DiskOp* done = nullptr;
    if (disk_.poll({&done, 1}) == 0) return false;
    EXPECT_TRUE(writer->complete(*done));
    return true;
  }
  // The newest whole slot in the files.
  std::optional<Slot> newest() {
    std::optional<Slot> found;
    for (const char* path : {"state-0", "state-1"}) {
      auto slot = decode_slot(disk_.contents(path));
      if (slot && (!found || slot->ring.sequence > found->ring.sequence)) found = std::move(slot);
    }
    return found;
  }
  sim::SimDisk& disk() { return disk_; }
  static constexpr uint64_t kCapacity = 4 * kMiB;
  std::unique_ptr<StateWriter> writer;

 private:
  sim::SimClock clock_;
  sim::SimDisk disk_;
  std::array<StateWriter::File, 2> files_;
};

std::vector<LogState> many_logs(Prng& prng, size_t count) {
  std::vector<LogState> logs;
  for (size_t n = 0; n < count; ++n) logs.push_back(random_log(prng, n));
  return logs;
}

TEST(StateWriter, WritesLargeSlotsInPiecesByTurnsIntoTwoFiles) {
  Slots slots(1);
  Prng prng(1);
  SlotEncoder encoder(kBlock);
  for (uint64_t sequence = 1; sequence <= 4; ++sequence) {
    const auto logs = many_logs(prng, sequence % 2 == 0 ? 10 : 9000);
    encoder.begin();
    for (const LogState& log : logs) encoder.add(log);
    EXPECT_FALSE(slots.writer->busy());
    slots.writer->write(ring_state(sequence), encoder.finish(ring_state(sequence)));
    int ops = 0;
    while (slots.writer->busy()) {
      EXPECT_LT(slots.writer->written().sequence, sequence);
      ops += slots.turn() ? 1 : 0;
    }
    EXPECT_EQ(ops, sequence % 2 == 0 ? 1 : 3);
    EXPECT_EQ(slots.writer->written(), ring_state(sequence));
    const auto slot = slots.newest();
    ASSERT_TRUE(slot);
    EXPECT_EQ(slot->ring.sequence, sequence);
    EXPECT_EQ(slot->logs, logs);
    EXPECT_TRUE(decode_slot(slots.disk().contents(sequence % 2 == 0 ? "state-0" : "state-1")));
  }
}

// Whenever power goes: the newest durable slot is there, or the one that was being written.
TEST(StateWriter, ACrashLeavesTheLastSlotOrTheNextOneWhole) {
  bool saw_last = false;
  bool saw_next = false;
  Prng logs_prng(1);
  const auto many = many_logs(logs_prng, 6000);
  for (uint64_t seed = 1; seed <= 60; ++seed) {
    Slots slots(seed);
    Prng prng(seed);
    SlotEncoder encoder(kBlock);
    const uint64_t crash_after = prng.below(16);  // ops
    uint64_t ops = 0;
    uint64_t sequence = 0;
    while (true) {
      sequence += 1;
      encoder.begin();
      for (const LogState& log : std::span(many).first(prng.one_in(2) ? 3 : many.size())) encoder.add(log);
      slots.writer->write(ring_state(sequence), encoder.finish(ring_state(sequence)));
      while (slots.writer->busy() && ops < crash_after) ops += slots.turn() ? 1 : 0;
      if (slots.writer->busy()) break;
    }
    slots.disk().crash();
    const auto slot = slots.newest();
    if (sequence == 1) {
      EXPECT_TRUE(!slot || slot->ring.sequence == 1) << seed;
      continue;
    }
    ASSERT_TRUE(slot) << seed;
    ASSERT_TRUE(slot->ring.sequence == sequence || slot->ring.sequence == sequence - 1) << seed;
    (slot->ring.sequence == sequence ? saw_next : saw_last) = true;
    EXPECT_EQ(slot->ring, ring_state(slot->ring.sequence));
  }
  EXPECT_TRUE(saw_last && saw_next);
}

TEST(StateWriter, AFailedPieceEndsIt) {
  Slots slots(1);
  Prng prng(1);
  SlotEncoder encoder(kBlock);
  const auto logs = many_logs(prng, 9000);
  encoder.begin();
  for (const LogState& log : logs) encoder.add(log);
  slots.disk().faults().fail_write_in = 2;
  slots.writer->write(ring_state(1), encoder.finish(ring_state(1)));
  for (int i = 0; i < 10; ++i) slots.turn();
  EXPECT_TRUE(slots.writer->failed());
  EXPECT_FALSE(slots.writer->busy());
  EXPECT_EQ(slots.writer->written().sequence, 0u);
  EXPECT_FALSE(slots.newest());
}

TEST(StateWriter, AFileGrowsBeforeALargerSlot) {
  Slots slots(1);
  EXPECT_EQ(slots.writer->file_of(3).capacity, Slots::kCapacity);
  slots.writer->grown(3, 2 * Slots::kCapacity);
  EXPECT_EQ(slots.writer->file_of(1).capacity, 2 * Slots::kCapacity);
  EXPECT_EQ(slots.writer->file_of(2).capacity, Slots::kCapacity);
}

}  // namespace
}  // namespace penstock::storage
