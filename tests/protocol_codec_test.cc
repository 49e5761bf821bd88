// The table codec over every message and version of protocol/schema.
#include <gtest/gtest.h>

#include <set>
#include <string>

#include "base/bytes.h"
#include "protocol/api.h"
#include "protocol/codec.h"
#include "protocol/gen/api_versions.h"
#include "protocol/gen/consumer_group_heartbeat.h"
#include "protocol/gen/create_topics.h"
#include "protocol/gen/init_producer_id.h"
#include "protocol/gen/metadata.h"
#include "protocol/gen/produce.h"
#include "tests/protocol_random.h"

namespace penstock::protocol {
namespace {

using testing::AnyMessage;
using Bytes = std::vector<std::byte>;

constexpr uint64_t kSeed = 20260101;

// Calls check(info, version, prng) for each message and version.
template <class Check>
void for_each_version(Check&& check) {
  uint64_t stream = 0;
  for (const MessageInfo* info : messages()) {
    for (int16_t version = info->versions.min; version <= info->versions.max; ++version) {
      SCOPED_TRACE(std::string(info->name) + " v" + std::to_string(version));
      Prng prng(kSeed, ++stream);
      check(*info, version, prng);
      if (::testing::Test::HasFailure()) return;
    }
  }
}

Bytes encoded(const AnyMessage& message, int16_t version) {
  Bytes out;
  EXPECT_TRUE(message.encode(version, out));
  return out;
}

TEST(Codec, EveryVersionRoundTrips) {
  size_t rounds = 0;
  for_each_version([&](const MessageInfo& info, int16_t version, Prng& prng) {
    for (int i = 0; i < 40; ++i, ++rounds) {
      AnyMessage message(info);
      testing::fill(message, version, prng);
      const Bytes bytes = encoded(message, version);
      ASSERT_EQ(bytes, testing::encode_reference(message, version));
      AnyMessage back(info);
      ASSERT_TRUE(back.decode(bytes, version));
      ASSERT_TRUE(testing::equal(message, back));
    }
  });
  EXPECT_GT(rounds, 40u * 2 * 77);
}

TEST(Codec, DefaultsRoundTrip) {
  for_each_version([](const MessageInfo& info, int16_t version, Prng&) {
    const AnyMessage message(info);
    AnyMessage back(info);
    ASSERT_TRUE(back.decode(encoded(message, version), version));
    ASSERT_TRUE(testing::equal(message, back));
  });
}

TEST(Codec, UnknownTaggedFieldsAreSkippedInEveryStruct) {
  for_each_version([](const MessageInfo& info, int16_t version, Prng& prng) {
    if (version < info.flexible) return;
    for (int i = 0; i < 10; ++i) {
      AnyMessage message(info);
      testing::fill(message, version, prng);
      const Bytes bytes = testing::encode_reference(message, version, &prng);
      AnyMessage back(info);
      ASSERT_TRUE(back.decode(bytes, version));
      ASSERT_TRUE(testing::equal(message, back));
    }
  });
}

TEST(Codec, EveryTruncationIsAnError) {
  for_each_version([](const MessageInfo& info, int16_t version, Prng& prng) {
    AnyMessage message(info);
    testing::fill(message, version, prng);
    const Bytes bytes = encoded(message, version);
    AnyMessage back(info);
    for (size_t n = 0; n < std::min<size_t>(bytes.size(), 2000); ++n) {
      // A copy of its own size, so that the sanitizer sees a read behind the end.
      const Bytes cut(bytes.begin(), bytes.begin() + static_cast<ptrdiff_t>(n));
      ASSERT_FALSE(back.decode(cut, version)) << n;
    }
  });
}

TEST(Codec, BytesBehindTheBodyAreAnErrorUnlessAllowed) {
  for_each_version([](const MessageInfo& info, int16_t version, Prng& prng) {
    AnyMessage message(info);
    testing::fill(message, version, prng);
    Bytes bytes = encoded(message, version);
    bytes.push_back(std::byte{0});
    AnyMessage back(info);
    ASSERT_EQ(back.decode(bytes, version).error().code, Errc::kInvalid);
    ASSERT_TRUE(back.decode(bytes, version, {.allow_trailing = true}));
    ASSERT_TRUE(testing::equal(message, back));
  });
}

TEST(Codec, BytesBehindARequestArePassedOver) {
  const Bytes behind = {std::byte{0}, std::byte{0xff}, std::byte{7}};
  MetadataRequest asked;
  asked.topics = std::nullopt;
  asked.allow_auto_topic_creation = false;
  Bytes body;
  ASSERT_TRUE(encode(asked, 12, body));
  MetadataRequest read;
  const Bytes cut(body.begin(), body.end() - 1);
  ASSERT_EQ(decode_request(cut, 12, read).error().code, Errc::kTruncated);
  body.insert(body.end(), behind.begin(), behind.end());
  ASSERT_TRUE(decode_request(body, 12, read));
  ASSERT_EQ(read, asked);
}

// Whatever a decoder accepts, it can write, and reading that gives the same message.
TEST(Codec, FlippedBytesGiveAnErrorOrAValue) {
  size_t accepted = 0;
  size_t refused = 0;
  for_each_version([&](const MessageInfo& info, int16_t version, Prng& prng) {
    AnyMessage message(info);
    testing::fill(message, version, prng);
    const Bytes bytes = encoded(message, version);
    for (int i = 0; i < 100 && !bytes.empty(); ++i) {
      Bytes bad = bytes;
      for (uint64_t flips = prng.between(1, 3); flips > 0; --flips) {
        bad[prng.below(bad.size())] = static_cast<std::byte>(prng.next());
      }
      AnyMessage back(info);
      if (!back.decode(bad, version)) {
        ++refused;
        continue;
      }
      ++accepted;
      const Bytes again = encoded(back, version);
      AnyMessage third(info);
      ASSERT_TRUE(third.decode(again, version));
      ASSERT_TRUE(testing::equal(back, third));
    }
  });
  EXPECT_GT(accepted, 1000u);
  EXPECT_GT(refused, 1000u);
}

TEST(Codec, RandomBytesGiveAnErrorOrAValue) {
  for_each_version([&](const MessageInfo& info, int16_t version, Prng& prng) {
    for (int i = 0; i < 50; ++i) {
      Bytes bytes(prng.below(300));
      prng.fill(bytes);
      AnyMessage back(info);
      if (back.decode(bytes, version)) encoded(back, version);
    }
  });
}

TEST(Codec, VersionsOutsideTheRangeAreRefused) {
  for (const MessageInfo* info : messages()) {
    AnyMessage message(*info);
    Bytes out;
    for (const int v : {info->versions.min - 1, info->versions.max + 1, -1, 32767}) {
      EXPECT_EQ(message.encode(static_cast<int16_t>(v), out).error().code, Errc::kUnsupported) << info->name;
      EXPECT_EQ(message.decode(out, static_cast<int16_t>(v)).error().code, Errc::kUnsupported) << info->name;
    }
    EXPECT_TRUE(out.empty());
  }
}

TEST(Codec, CountsAreCheckedAgainstWhatRemains) {
  MetadataRequest request;
  // Two thousand million topics in four bytes.
  const Bytes bytes = {std::byte{0x7f}, std::byte{0xff}, std::byte{0xff}, std::byte{0xff}};
  EXPECT_EQ(decode(bytes, 1, request).error().code, Errc::kTruncated);
}

TEST(Codec, MemoryIsBounded) {
  // 60,000 topics of an empty name each: 120 KB on the wire, 64 bytes each in memory.
  MetadataRequest request;
  request.topics->resize(60'000);
  Bytes bytes;
  ASSERT_TRUE(encode(request, 1, bytes));
  MetadataRequest back;
  EXPECT_TRUE(decode(bytes, 1, back));
  EXPECT_EQ(decode(bytes, 1, back, {.memory = 1'000'000}).error().code, Errc::kTooLarge);
  EXPECT_TRUE(back.topics->empty());
}

TEST(Codec, NullWhereTheVersionHasNoneIsRefused) {
  MetadataRequest request;
  request.topics = std::nullopt;
  Bytes bytes;
  EXPECT_EQ(encode(request, 0, bytes).error().code, Errc::kInvalid);
  ASSERT_TRUE(encode(request, 1, bytes));
  EXPECT_EQ(decode(bytes, 0, request).error().code, Errc::kInvalid);
  ASSERT_TRUE(decode(bytes, 1, request));
  EXPECT_FALSE(request.topics);
}

TEST(Codec, AFieldThatTheVersionLacksIsDroppedOrRefused) {
  MetadataRequest request;
  request.include_topic_authorized_operations = true;  // 8+, not ignorable
  Bytes bytes = {std::byte{7}};
  EXPECT_EQ(encode(request, 7, bytes).error().code, Errc::kUnsupported);
  EXPECT_EQ(bytes.size(), 1u);  // untouched
  EXPECT_TRUE(encode(request, 8, bytes));

  CreateTopicsResponse response;
  response.topics.resize(1);
  response.topics[0].topic_id.bytes[0] = 1;  // 7+, ignorable
  bytes.clear();
  ASSERT_TRUE(encode(response, 6, bytes));
  CreateTopicsResponse back;
  ASSERT_TRUE(decode(bytes, 6, back));
  EXPECT_TRUE(back.topics[0].topic_id.is_zero());
}

TEST(Codec, StringsHoldFifteenBits) {
  InitProducerIdRequest request;
  request.transactional_id = std::string(32767, 'a');
  Bytes bytes;
  for (const int16_t version : {0, 5}) {
    bytes.clear();
    ASSERT_TRUE(encode(request, version, bytes));
    InitProducerIdRequest back;
    ASSERT_TRUE(decode(bytes, version, back));
    EXPECT_EQ(request, back);
  }
  request.transactional_id->push_back('a');
  for (const int16_t version : {0, 5}) EXPECT_EQ(encode(request, version, bytes).error().code, Errc::kTooLarge);
}

TEST(Codec, TagsMustRise) {
  // ApiVersions v3 response: no error, no APIs, throttle 0, then two tagged fields.
  const auto body = [](std::initializer_list<int> tags) {
    Bytes bytes(2, std::byte{0});
    bytes.push_back(std::byte{1});
    bytes.resize(bytes.size() + 4);
    for (const int b : tags) bytes.push_back(static_cast<std::byte>(b));
    return bytes;
  };
  ApiVersionsResponse response;
  EXPECT_TRUE(decode(body({2, 3, 1, 1, 9, 0}), 3, response));
  EXPECT_TRUE(response.zk_migration_ready);
  EXPECT_EQ(decode(body({2, 9, 0, 3, 1, 1}), 3, response).error().code, Errc::kInvalid);
  EXPECT_EQ(decode(body({2, 3, 1, 1, 3, 1, 1}), 3, response).error().code, Errc::kInvalid);
  EXPECT_EQ(decode(body({1, 3, 2, 1, 1}), 3, response).error().code, Errc::kInvalid);  // longer than its value
}

TEST(Apis, AreThoseOfTheTargetRelease) {
  EXPECT_EQ(apis().size(), 77u);
  std::set<int16_t> keys;
  for (const Api& api : apis()) {
    const auto key = static_cast<int16_t>(api.key);
    EXPECT_TRUE(keys.insert(key).second);
    EXPECT_EQ(find_api(key), &api);
    EXPECT_EQ(to_string(api.key), api.name);
    EXPECT_LE(api.advertised_min, api.min);
    EXPECT_TRUE(api.key == ApiKey::kProduce || api.advertised_min == api.min);
    EXPECT_EQ(api.request->name, std::string(api.name) + "Request");
    EXPECT_EQ(api.response->name, std::string(api.name) + "Response");
    for (const MessageInfo* info : {api.request, api.response}) {
      EXPECT_EQ(info->versions.min, api.min);
      EXPECT_EQ(info->versions.max, api.max);
      EXPECT_EQ(info->flexible, api.flexible);
    }
  }
  EXPECT_EQ(find_api(4), nullptr);
  EXPECT_EQ(find_api(-1), nullptr);
  EXPECT_EQ(find_api(93), nullptr);
  // The traps of version advertising.
  EXPECT_EQ(find_api(0)->advertised_min, 0);
  EXPECT_EQ(find_api(0)->min, 3);
  EXPECT_EQ(find_api(11)->advertised_min, 0);
  EXPECT_EQ(find_api(22)->max, 5);
  EXPECT_EQ(find_api(35)->max, 4);
}

TEST(ErrorCodes, NamesAndRetriability) {
  EXPECT_EQ(to_string(ErrorCode::kNotLeaderOrFollower), "NOT_LEADER_OR_FOLLOWER");
  EXPECT_EQ(static_cast<int>(ErrorCode::kInvalidRecord), 87);
  EXPECT_TRUE(is_retriable(ErrorCode::kCorruptMessage));
  EXPECT_FALSE(is_retriable(ErrorCode::kInvalidRecord));
  EXPECT_EQ(to_string(static_cast<ErrorCode>(9999)), "UNKNOWN");
}

}  // namespace
}  // namespace penstock::protocol
