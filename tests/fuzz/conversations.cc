#include "tests/fuzz/conversations.h"

#include "base/prng.h"
#include "tests/kafka_requests.h"

namespace penstock {

std::vector<std::byte> conversation(size_t number) {
  Prng prng(number, 3);
  testing::Bytes seed = {static_cast<std::byte>(number)};
  for (int32_t i = 0; i < 4; ++i) {
    testing::Bytes frame;
    const int partition = static_cast<int>(prng.below(3));
    switch (prng.below(4)) {
      case 0: frame = testing::frame_of(testing::list_offsets_of(partition, -1), 6, i); break;
      case 1: {
        const auto fetch = testing::fetch_of(partition, static_cast<int64_t>(prng.below(3)), 1, 50);
        frame = testing::frame_of(fetch, static_cast<int16_t>(prng.between(4, 12)), i);
        break;
      }
      default: {
        const protocol::BatchBuilder::Options options{
            .producer_id = ProducerId{prng.one_in(2) ? 5 : -1}, .producer_epoch = 0, .base_sequence = i};
        const auto acks = static_cast<int16_t>(static_cast<int>(prng.below(3)) - 1);
        const auto produce = testing::produce_of(partition, testing::batch_of(1, "v", prng.below(50), options), acks);
        frame = testing::frame_of(produce, static_cast<int16_t>(prng.between(3, 12)), i);
      }
    }
    seed.insert(seed.end(), frame.begin(), frame.end());
  }
  return seed;
}

}  // namespace penstock
