// fuzz_seeds DIR: writes the seed corpora DIR/requests, DIR/responses, DIR/records, DIR/views, DIR/connection,
// DIR/compression, DIR/sidecar, DIR/segment, DIR/ring, DIR/group_records, DIR/frames, DIR/tcp_parse
// and DIR/tcp_state, the same each time.
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "dataplane/tcp/header.h"
#include "protocol/compression/codec.h"
#include "protocol/gen/fetch.h"
#include "protocol/gen/produce.h"
#include "protocol/record_batch.h"
#include "storage/ring/entries.h"
#include "storage/ring/state_slots.h"
#include "storage/segment/sidecar.h"
#include "tests/fuzz/conversations.h"
#include "tests/fuzz/frame_seeds.h"
#include "tests/fuzz/group_seeds.h"
#include "tests/fuzz/message_lists.h"
#include "tests/protocol_random.h"
#include "tests/segment_maker.h"

namespace {

using namespace penstock;
using namespace penstock::protocol;
using Bytes = std::vector<std::byte>;

constexpr size_t kLongestSeed = 4000;

void write(const std::filesystem::path& folder, size_t number, const Bytes& seed) {
  if (seed.size() > kLongestSeed) return;
  std::ofstream out(folder / std::to_string(number), std::ios::binary);
  out.write(reinterpret_cast<const char*>(seed.data()), static_cast<std::streamsize>(seed.size()));
}

// A message of each kind and version. tail: bytes behind the body.
void write_messages(const std::filesystem::path& folder, const std::vector<const MessageInfo*>& infos, size_t tail) {
  std::filesystem::create_directories(folder);
  Prng prng(1);
  size_t number = 0;
  for (size_t i = 0; i < infos.size(); ++i) {
    const VersionRange versions = infos[i]->versions;
    for (int16_t version = versions.min; version <= versions.max; ++version) {
      protocol::testing::AnyMessage message(*infos[i]);
      protocol::testing::fill(message, version, prng);
      Bytes seed = {static_cast<std::byte>(i), static_cast<std::byte>(version - versions.min)};
      const Bytes body =
          protocol::testing::encode_reference(message, version, version >= infos[i]->flexible ? &prng : nullptr);
      seed.insert(seed.end(), body.begin(), body.end());
      seed.resize(seed.size() + tail);
      write(folder, number++, seed);
    }
  }
}

void write_records(const std::filesystem::path& folder) {
  std::filesystem::create_directories(folder);
  Prng prng(2);
  for (size_t number = 0; number < 30; ++number) {
    BatchBuilder builder({.producer_id = ProducerId{prng.one_in(2) ? 5 : -1}, .producer_epoch = 0, .base_sequence = 0});
    for (uint64_t count = prng.between(1, 5); count > 0; --count) {
      Bytes key(prng.below(10));
      Bytes value(prng.below(50));
      prng.fill(value);
      const std::vector<RecordHeader> headers(prng.below(3), RecordHeader{"name", key});
      builder.add(static_cast<int64_t>(prng.below(1000)), prng.one_in(2) ? BatchBuilder::Bytes(key) : std::nullopt,
                  value, headers);
    }
    Bytes seed = builder.finish();
    seed.insert(seed.begin(), static_cast<std::byte>(prng.next()));
    write(folder, number, seed);
  }
}

// Streams of each codec, behind the byte that compression_fuzz takes codec and bound from.
void write_compressed(const std::filesystem::path& folder) {
  std::filesystem::create_directories(folder);
  Prng prng(4);
  for (size_t number = 0; number < 50; ++number) {
    Bytes plain(prng.below(2000));
    if (prng.one_in(2)) prng.fill(plain);
    const size_t codec = number % 5;
    Bytes seed = {static_cast<std::byte>(codec + 6 * (10 + prng.below(10)))};
    if (!compress(static_cast<Compression>(codec), levels_of(static_cast<Compression>(codec)).usual, plain, seed))
      continue;
    write(folder, number, seed);
  }
}

// Small ones, and of each its sidecar.
void write_segments(const std::filesystem::path& segments, const std::filesystem::path& sidecars) {
  std::filesystem::create_directories(segments);
  std::filesystem::create_directories(sidecars);
  Prng prng(3);
  for (size_t number = 0; number < 30; ++number) {
    storage::MadeSegment segment{.base = Offset{1000}};
    for (uint64_t count = prng.between(1, 8); count > 0; --count)
      storage::append_batch(segment, prng, static_cast<int32_t>(prng.between(1, 3)), prng.below(100),
                            static_cast<int64_t>(prng.below(1000)), LeaderEpoch{static_cast<int32_t>(number)});
    Bytes seed = {static_cast<std::byte>(prng.next()), static_cast<std::byte>(prng.below(3))};
    seed.insert(seed.end(), segment.bytes.begin(), segment.bytes.end());
    write(segments, number, seed);

    storage::Sidecar sidecar{.index = storage::index_of(segment, segment.bytes.size()), .sealed = prng.one_in(2)};
    sidecar.index.add_bytes(Bytes(prng.below(200'000)));  // as a large batch's, so that there are more intervals
    if (prng.one_in(2)) sidecar.index.add_batch(sidecar.index.bytes() - 1, segment.end_offset(), 5);
    for (int32_t i = 0; i < static_cast<int32_t>(prng.below(3)); ++i)
      sidecar.epochs.push_back({LeaderEpoch{i}, Offset{1000 + i}});
    sidecar.producers.resize(prng.below(3), {.id = ProducerId{5}, .epoch = 1, .held = 3, .count = 2});
    sidecar.aborted.resize(prng.below(3));
    Bytes file(storage::sidecar_bytes(sidecar, 1));
    encode(sidecar, file);
    write(sidecars, number, file);
  }
}

// Slots, payloads and programs for a ring, each behind the byte that ring_fuzz tells them apart by.
void write_ring(const std::filesystem::path& folder) {
  using namespace storage;
  std::filesystem::create_directories(folder);
  Prng prng(3);
  size_t number = 0;
  SlotEncoder encoder(4096);
  for (size_t logs = 0; logs < 6; ++logs) {
    encoder.begin();
    for (size_t id = 0; id < logs; ++id) {
      LogState log{.id = LogId{id}, .segments = {}, .epochs = {}, .producers = {}};
      for (size_t n = 0; n < id; ++n) {
        log.segments.push_back({.base = Offset{static_cast<int64_t>(n)}});
        log.epochs.push_back({LeaderEpoch{static_cast<int32_t>(n)}, Offset{static_cast<int64_t>(n)}});
        log.producers.push_back({.id = ProducerId{static_cast<int64_t>(n)}, .count = static_cast<uint8_t>(1 + n)});
      }
      encoder.add(log);
    }
    const auto slot = encoder.finish({.ring_bytes = 4 * kMiB, .sequence = logs}).first(encoder.bytes());
    for (const uint8_t kind : {0, 1}) {
      Bytes seed(slot.begin(), slot.end());
      seed.insert(seed.begin(), std::byte{kind});
      write(folder, number++, seed);
    }
  }
  const auto payload = [&](auto encoded) {
    Bytes seed(encoded.begin(), encoded.end());
    seed.insert(seed.begin(), std::byte{2});
    write(folder, number++, seed);
  };
  payload(encode(RelogEntry{}));
  payload(encode(TruncateEntry{}));
  payload(encode(StartOffsetEntry{}));
  for (size_t program = 0; program < 40; ++program) {
    Bytes seed(prng.between(20, 200));
    prng.fill(seed);
    seed[0] = std::byte{3};
    write(folder, number++, seed);
  }
}

// Headers with every option, what other stacks have stumbled over, and walks through the states.
void write_tcp(const std::filesystem::path& parse_folder, const std::filesystem::path& state_folder) {
  namespace tcp = dataplane::tcp;
  std::filesystem::create_directories(parse_folder);
  std::filesystem::create_directories(state_folder);
  size_t number = 0;
  for (const uint8_t with : {0, 1, 2, 4, 8, 16, 15, 24}) {
    tcp::TcpSegment segment;
    segment.flags = tcp::kAck;
    segment.mss = with & 1 ? 1460 : 0;
    if (with & 2) segment.window_scale = 7;
    segment.sack_permitted = with & 4;
    if (with & 8) segment.timestamps = tcp::Timestamps{1, 2};
    segment.sack_count = with & 16 ? 3 : 0;
    std::array<std::byte, tcp::kHeaderBytesMax> header;
    const size_t n = write_header(segment, header);
    write(parse_folder, number++, Bytes(header.begin(), header.begin() + static_cast<std::ptrdiff_t>(n)));
  }
  // An option that ends at its kind; of length 0 and 1; longer than the header; an MSS of no bytes; SACK of half a
  // block.
  for (const uint32_t options : {0x01010102u, 0x02000101u, 0x02010101u, 0x01010228u, 0x02020101u, 0x05060101u}) {
    Bytes seed(24);
    seed[12] = std::byte{6 << 4};
    store_be(seed.data() + 20, options);
    write(parse_folder, number++, seed);
  }
  Prng prng(7);
  for (number = 0; number < 60; ++number) {
    // A handshake in small distances, and then anything.
    Bytes seed = {static_cast<std::byte>(prng.next()), static_cast<std::byte>(number % 2)};
    const Bytes handshake = {std::byte{8}, std::byte{2}, std::byte{number % 2 == 0 ? uint8_t{0} : uint8_t{1}}};
    seed.insert(seed.end(), handshake.begin(), handshake.end());
    Bytes rest(prng.between(20, 400));
    prng.fill(rest);
    seed.insert(seed.end(), rest.begin(), rest.end());
    write(state_folder, number, seed);
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: fuzz_seeds DIR\n");
    return 2;
  }
  const std::filesystem::path folder = argv[1];
  write_messages(folder / "requests", protocol::testing::request_messages(), 0);
  write_messages(folder / "responses", protocol::testing::other_messages(), 0);
  write_messages(folder / "views", {&ProduceRequest::kInfo, &FetchRequest::kInfo}, 1);
  write_records(folder / "records");
  write_compressed(folder / "compression");
  write_segments(folder / "segment", folder / "sidecar");
  std::filesystem::create_directories(folder / "connection");
  for (size_t number = 0; number < 60; ++number) write(folder / "connection", number, conversation(number));
  write_ring(folder / "ring");
  std::filesystem::create_directories(folder / "group_records");
  size_t records_number = 0;
  for (const auto& seed : penstock::testing::group_record_seeds())
    write(folder / "group_records", records_number++, seed);
  write_tcp(folder / "tcp_parse", folder / "tcp_state");
  std::filesystem::create_directories(folder / "frames");
  size_t frames_number = 0;
  for (const auto& seed : fuzz::frame_seeds()) write(folder / "frames", frames_number++, seed);
  return 0;
}
