// The Produce and Fetch views against the table codec: the same requests, the same bytes, the same refusals.
#include "tests/protocol_views.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "protocol/codec.h"
#include "protocol/gen/fetch.h"
#include "protocol/gen/produce.h"
#include "protocol/produce.h"
#include "tests/protocol_chain.h"
#include "tests/protocol_random.h"

namespace penstock::protocol {
namespace {

using Bytes = std::vector<std::byte>;

constexpr int kRounds = 300;

Result<ProduceRequest> read_view(const BufferChain& chain, size_t at, size_t n, int16_t version, ProduceRequest*) {
  return testing::read_produce(chain, at, n, version);
}
Result<FetchRequest> read_view(const BufferChain& chain, size_t at, size_t n, int16_t version, FetchRequest*) {
  return testing::read_fetch(chain, at, n, version);
}

template <class Message>
class Requests : public ::testing::Test {
 protected:
  // Random bytes before and behind, so that places in the chain are not places in the body.
  Result<Message> through_chain(const Bytes& body, int16_t version, size_t most) {
    Bytes frame(prng_.below(40));
    const size_t at = frame.size();
    frame.insert(frame.end(), body.begin(), body.end());
    frame.resize(frame.size() + prng_.below(10));
    const BufferChain chain = testing::chain_of(pool_, frame, prng_, most);
    return read_view(chain, at, body.size(), version, static_cast<Message*>(nullptr));
  }

  Prng prng_{77};
  testing::HeapPool pool_;
};

using RequestTypes = ::testing::Types<ProduceRequest, FetchRequest>;
TYPED_TEST_SUITE(Requests, RequestTypes);

TYPED_TEST(Requests, ReadAsTheTableReadsThem) {
  for (int16_t version = TypeParam::kMinVersion; version <= TypeParam::kMaxVersion; ++version) {
    SCOPED_TRACE(version);
    for (int round = 0; round < kRounds; ++round) {
      testing::AnyMessage message(TypeParam::kInfo);
      testing::fill(message, version, this->prng_);
      const bool unknown_tags = version >= TypeParam::kFlexible && this->prng_.one_in(2);
      const Bytes body = testing::encode_reference(message, version, unknown_tags ? &this->prng_ : nullptr);
      const auto view = this->through_chain(body, version, this->prng_.one_in(2) ? 8 : 1500);
      ASSERT_TRUE(view);
      ASSERT_EQ(*view, *static_cast<const TypeParam*>(message.get()));
    }
  }
}

TYPED_TEST(Requests, PassOverBytesBehindTheBody) {
  for (int16_t version = TypeParam::kMinVersion; version <= TypeParam::kMaxVersion; ++version) {
    testing::AnyMessage message(TypeParam::kInfo);
    testing::fill(message, version, this->prng_);
    Bytes body;
    ASSERT_TRUE(message.encode(version, body));
    body.insert(body.end(), 3, std::byte{0xff});
    const auto view = this->through_chain(body, version, 30);
    ASSERT_TRUE(view) << version;
    ASSERT_EQ(*view, *static_cast<const TypeParam*>(message.get())) << version;
  }
}

TYPED_TEST(Requests, RefuseWhatTheTableRefuses) {
  int refused = 0;
  int accepted = 0;
  for (int16_t version = TypeParam::kMinVersion; version <= TypeParam::kMaxVersion; ++version) {
    SCOPED_TRACE(version);
    for (int round = 0; round < kRounds; ++round) {
      testing::AnyMessage message(TypeParam::kInfo);
      testing::fill(message, version, this->prng_);
      Bytes body;
      ASSERT_TRUE(message.encode(version, body));
      if (this->prng_.one_in(2)) body.resize(this->prng_.below(body.size() + 3));
      for (uint64_t flips = this->prng_.below(3); flips > 0 && !body.empty(); --flips) {
        body[this->prng_.below(std::min<size_t>(body.size(), 100))] = static_cast<std::byte>(this->prng_.next());
      }
      TypeParam table;
      const auto expected = decode_request(body, version, table, 1'000'000'000);
      const auto view = this->through_chain(body, version, 30);
      ASSERT_EQ(view.has_value(), expected.has_value());
      if (expected) {
        ASSERT_EQ(*view, table);
        ++accepted;
      } else {
        ASSERT_EQ(view.error(), expected.error());
        ++refused;
      }
    }
  }
  EXPECT_GT(refused, kRounds);
  EXPECT_GT(accepted, kRounds / 2);
}

TEST(ProduceRequestView, TopicsCanBePassedOverAndReadAgain) {
  ProduceRequest request;
  request.topic_data = {{.name = "first", .partition_data = {{.index = 1}, {.index = 2}}},
                        {.name = "empty"},
                        {.name = "last", .partition_data = {{.index = 3}}}};
  Bytes body;
  ASSERT_TRUE(encode(request, 9, body));
  testing::HeapPool pool;
  Prng prng(5);
  const BufferChain chain = testing::chain_of(pool, body, prng, 1000);
  ProduceRequestView view = *ProduceRequestView::parse(chain, 0, body.size(), 9);
  EXPECT_EQ(view.partitions_count(), 3u);
  for (int pass = 0; pass < 2; ++pass, view.rewind()) {
    std::vector<std::string> names;
    while (const auto topic = view.next_topic()) names.emplace_back(topic->name);
    EXPECT_EQ(names, (std::vector<std::string>{"first", "empty", "last"}));
    EXPECT_FALSE(view.next_topic());
    EXPECT_FALSE(view.next_partition());
  }
}

TEST(ProduceResponseWriter, WritesWhatTheTableWrites) {
  Prng prng(78);
  for (int16_t version = ProduceResponse::kMinVersion; version <= ProduceResponse::kMaxVersion; ++version) {
    SCOPED_TRACE(version);
    for (int round = 0; round < kRounds; ++round) {
      testing::AnyMessage message(ProduceResponse::kInfo);
      testing::fill(message, version, prng);
      Bytes expected;
      ASSERT_TRUE(message.encode(version, expected));
      ASSERT_EQ(testing::write_produce(*static_cast<const ProduceResponse*>(message.get()), version), expected);
    }
  }
}

TEST(FetchResponseWriter, WritesWhatTheTableWritesAroundTheRecords) {
  Prng prng(79);
  for (int16_t version = FetchResponse::kMinVersion; version <= FetchResponse::kMaxVersion; ++version) {
    SCOPED_TRACE(version);
    for (int round = 0; round < kRounds; ++round) {
      testing::AnyMessage message(FetchResponse::kInfo);
      testing::fill(message, version, prng);
      auto& response = *static_cast<FetchResponse*>(message.get());
      for (auto& topic : response.responses) {
        for (auto& partition : topic.partitions) {
          if (!partition.records) partition.records.emplace();  // the writer has no null: librdkafka refuses it
        }
      }
      Bytes expected;
      ASSERT_TRUE(message.encode(version, expected));
      ASSERT_EQ(testing::write_fetch(response, version), expected);
    }
  }
}

}  // namespace
}  // namespace penstock::protocol
