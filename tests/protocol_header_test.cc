// Request and response headers, and the primitives under them.
#include <gtest/gtest.h>

#include <string>

#include "base/prng.h"
#include "protocol/codec.h"
#include "protocol/gen/headers.h"
#include "protocol/header.h"
#include "tests/protocol_chain.h"

namespace penstock::protocol {
namespace {

using Bytes = std::vector<std::byte>;

Bytes from_ints(std::initializer_list<int> values) {
  Bytes out;
  for (const int v : values) out.push_back(static_cast<std::byte>(v));
  return out;
}

const Api& api_of(ApiKey key) { return *find_api(static_cast<int16_t>(key)); }

TEST(Header, VersionsFollowTheApiAndItsVersion) {
  EXPECT_EQ(request_header_version(api_of(ApiKey::kMetadata), 8), 1);
  EXPECT_EQ(request_header_version(api_of(ApiKey::kMetadata), 9), 2);
  EXPECT_EQ(response_header_version(api_of(ApiKey::kMetadata), 8), 0);
  EXPECT_EQ(response_header_version(api_of(ApiKey::kMetadata), 9), 1);
  for (int16_t v = 0; v < 5; ++v) {
    EXPECT_EQ(request_header_version(api_of(ApiKey::kApiVersions), v), v >= 3 ? 2 : 1);
    EXPECT_EQ(response_header_version(api_of(ApiKey::kApiVersions), v), 0);
  }
  EXPECT_EQ(request_header_version(api_of(ApiKey::kSaslHandshake), 1), 1);
  EXPECT_EQ(response_header_version(api_of(ApiKey::kSaslHandshake), 1), 0);
}

TEST(Header, RequestRoundTripsAndMatchesTheSchema) {
  for (const Api& api : apis()) {
    for (int16_t version = api.min; version <= api.max; ++version) {
      const RequestHeader header{.api_key = static_cast<int16_t>(api.key),
                                 .api_version = version,
                                 .correlation_id = CorrelationId{-7},
                                 .client_id = "a client"};
      Bytes bytes;
      encode_request_header(api, header, bytes);
      RequestHeaderMessage schema;
      schema.request_api_key = header.api_key;
      schema.request_api_version = version;
      schema.correlation_id = -7;
      schema.client_id = "a client";
      Bytes expected;
      ASSERT_TRUE(encode(schema, request_header_version(api, version), expected));
      ASSERT_EQ(bytes, expected);

      const size_t size = bytes.size();
      bytes.resize(size + 5);  // a body
      const RequestHeader back = *decode_request_header(bytes);
      EXPECT_EQ(back.api_key, header.api_key);
      EXPECT_EQ(back.api_version, version);
      EXPECT_EQ(back.correlation_id, header.correlation_id);
      EXPECT_EQ(back.client_id, "a client");
      EXPECT_EQ(back.size, size);
      for (size_t n = 0; n < size; ++n) {
        const Bytes shorter(bytes.begin(), bytes.begin() + static_cast<ptrdiff_t>(n));
        EXPECT_EQ(decode_request_header(shorter).error().code, Errc::kTruncated);
      }

      Bytes response;
      encode_response_header(api, version, CorrelationId{9}, response);
      EXPECT_EQ(response.size(), response_header_version(api, version) == 1 ? 5u : 4u);
      const ResponseHeader answer = *decode_response_header(api, version, response);
      EXPECT_EQ(answer.correlation_id, CorrelationId{9});
      EXPECT_EQ(answer.size, response.size());
    }
  }
}

TEST(Header, NullClientIdIsEmpty) {
  const Bytes bytes = from_ints({0, 18, 0, 0, 0, 0, 0, 1, 0xff, 0xff});
  const RequestHeader header = *decode_request_header(bytes);
  EXPECT_EQ(header.client_id, "");
  EXPECT_EQ(header.size, 10u);
}

TEST(Header, TaggedFieldsAreSkipped) {
  // ApiVersions v3: client id "x", two tagged fields nobody knows, then the body.
  const Bytes bytes = from_ints({0, 18, 0, 3, 0, 0, 0, 1, 0, 1, 'x', 2, 5, 1, 0xaa, 9, 0, 0x55});
  const RequestHeader header = *decode_request_header(bytes);
  EXPECT_EQ(header.client_id, "x");
  EXPECT_EQ(header.size, 17u);
}

TEST(Header, InPiecesItReadsTheSame) {
  Prng prng(3);
  testing::HeapPool pool;
  for (int round = 0; round < 500; ++round) {
    const Api& api = apis()[prng.below(apis().size())];
    const std::string client_id(prng.below(60), 'c');
    Bytes bytes(prng.below(20));
    const size_t at = bytes.size();
    encode_request_header(api,
                          {.api_key = static_cast<int16_t>(api.key),
                           .api_version = api.max,
                           .correlation_id = CorrelationId{round},
                           .client_id = client_id},
                          bytes);
    if (prng.one_in(5)) bytes.resize(at + prng.below(bytes.size() - at));
    const auto whole = decode_request_header(std::span(bytes).subspan(at));
    const BufferChain chain = testing::chain_of(pool, bytes, prng, 12);
    std::string scratch;
    const auto split = decode_request_header(chain, at, bytes.size() - at, scratch);
    ASSERT_EQ(split.has_value(), whole.has_value());
    if (!whole) {
      ASSERT_EQ(split.error(), whole.error());
      continue;
    }
    ASSERT_EQ(split->api_key, whole->api_key);
    ASSERT_EQ(split->api_version, whole->api_version);
    ASSERT_EQ(split->correlation_id, whole->correlation_id);
    ASSERT_EQ(split->client_id, client_id);
    ASSERT_EQ(split->size, whole->size);
  }
}

TEST(Header, AnUnknownApiCannotBeRead) {
  EXPECT_EQ(decode_request_header(from_ints({0, 4, 0, 0, 0, 0, 0, 1, 0xff, 0xff})).error().code, Errc::kUnsupported);
  EXPECT_EQ(decode_request_header(from_ints({0xff, 0xff, 0, 0, 0, 0, 0, 1, 0xff, 0xff})).error().code,
            Errc::kUnsupported);
}

TEST(Header, AVersionThatWeDoNotServeIsStillRead) {
  const Bytes bytes = from_ints({0, 18, 0, 99, 0, 0, 0, 1, 0xff, 0xff, 0});
  const RequestHeader header = *decode_request_header(bytes);
  EXPECT_EQ(header.api_version, 99);
  EXPECT_EQ(header.size, 11u);
}

TEST(Wire, VarintsOfEveryLength) {
  Prng prng(1);
  for (int i = 0; i < 20'000; ++i) {
    const uint64_t raw = prng.next() >> prng.below(64);
    const auto l = static_cast<int64_t>(raw) * (prng.one_in(2) ? 1 : -1);
    const auto n = static_cast<int32_t>(l);
    Bytes bytes;
    Writer out(bytes);
    out.varlong(l);
    out.varint(n);
    out.uvarint(static_cast<uint32_t>(n));
    EXPECT_EQ(bytes.size(), varlong_size(l) + varint_size(n) + uvarint_size(static_cast<uint32_t>(n)));
    Reader in(bytes);
    ASSERT_EQ(in.varlong(), l);
    ASSERT_EQ(in.varint(), n);
    ASSERT_EQ(in.uvarint(), static_cast<uint32_t>(n));
    ASSERT_TRUE(in.ok());
    ASSERT_EQ(in.remaining(), 0u);
  }
}

TEST(Wire, VarintsOfTooManyBitsAreRefused) {
  const auto error_of = [](const Bytes& bytes, bool longer) {
    Reader in(bytes);
    longer ? static_cast<void>(in.uvarlong()) : static_cast<void>(in.uvarint());
    return in.ok() ? Errc::kIo : in.result().error().code;
  };
  EXPECT_EQ(error_of(from_ints({0xff, 0xff, 0xff, 0xff, 0x0f}), false), Errc::kIo);
  EXPECT_EQ(error_of(from_ints({0xff, 0xff, 0xff, 0xff, 0x1f}), false), Errc::kInvalid);
  EXPECT_EQ(error_of(from_ints({0xff, 0xff, 0xff, 0xff, 0xff, 0x01}), false), Errc::kInvalid);
  EXPECT_EQ(error_of(from_ints({0xff, 0xff, 0xff}), false), Errc::kTruncated);
  EXPECT_EQ(error_of(from_ints({255, 255, 255, 255, 255, 255, 255, 255, 255, 1}), true), Errc::kIo);
  EXPECT_EQ(error_of(from_ints({255, 255, 255, 255, 255, 255, 255, 255, 255, 2}), true), Errc::kInvalid);
}

TEST(Wire, AFailureSticks) {
  const Bytes bytes = from_ints({1, 2, 3});
  Reader in(bytes);
  EXPECT_EQ(in.fixed<int32_t>(), 0);
  EXPECT_FALSE(in.ok());
  EXPECT_EQ(in.fixed<int8_t>(), 0);
  EXPECT_EQ(in.remaining(), 0u);
  EXPECT_EQ(in.array_count(true), 0);
  EXPECT_EQ(in.result().error().code, Errc::kTruncated);
}

}  // namespace
}  // namespace penstock::protocol
