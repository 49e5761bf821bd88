// Frames of real clients, and answers that they took (tests/golden/README.md), through headers, codec, views and
// batches.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "protocol/codec.h"
#include "protocol/gen/fetch.h"
#include "protocol/gen/join_group.h"
#include "protocol/gen/metadata.h"
#include "protocol/gen/produce.h"
#include "protocol/header.h"
#include "protocol/record_batch.h"
#include "tests/protocol_chain.h"
#include "tests/protocol_random.h"
#include "tests/protocol_views.h"

namespace penstock::protocol {
namespace {

using Bytes = std::vector<std::byte>;

struct Frame {
  std::string client;
  bool request = false;
  const Api* api = nullptr;
  int16_t version = 0;
  Bytes bytes;
};

Bytes from_hex(const std::string& hex) {
  const auto nibble = [](char c) { return c <= '9' ? c - '0' : c - 'a' + 10; };
  Bytes out;
  for (size_t i = 0; i + 1 < hex.size(); i += 2) {
    out.push_back(static_cast<std::byte>(nibble(hex[i]) << 4 | nibble(hex[i + 1])));
  }
  return out;
}

const Api* api_named(const std::string& name) {
  for (const Api& api : apis()) {
    if (api.name == name) return &api;
  }
  return nullptr;
}

std::vector<Frame> all_frames() {
  std::vector<Frame> frames;
  for (const auto& entry : std::filesystem::directory_iterator(PENSTOCK_GOLDEN)) {
    if (entry.path().extension() != ".txt" || entry.path().stem().string().starts_with("folder-")) continue;
    std::ifstream file(entry.path());
    for (std::string line; std::getline(file, line);) {
      if (line.starts_with('#')) continue;
      std::istringstream words(line);
      std::string kind;
      std::string name;
      std::string hex;
      Frame frame{.client = entry.path().stem()};
      words >> kind >> name >> frame.version >> hex;
      frame.request = kind == "request";
      frame.api = api_named(name);
      frame.bytes = from_hex(hex);
      frames.push_back(frame);
    }
  }
  return frames;
}

class Golden : public ::testing::Test {
 protected:
  template <class Visit>
  void for_each(Visit&& visit) {
    for (const Frame& frame : frames_) {
      ASSERT_NE(frame.api, nullptr);
      SCOPED_TRACE(frame.client + (frame.request ? " request " : " response ") + std::string(frame.api->name) + " v" +
                   std::to_string(frame.version));
      visit(frame);
      if (HasFatalFailure()) return;
    }
  }
  static size_t header_size(const Frame& frame) {
    if (frame.request) return decode_request_header(frame.bytes)->size;
    return decode_response_header(*frame.api, frame.version, frame.bytes)->size;
  }

  std::vector<Frame> frames_ = all_frames();
};

TEST_F(Golden, FramesDecodeAndComeBackByteForByte) {
  std::set<std::tuple<bool, ApiKey, int16_t>> seen;
  for_each([&](const Frame& frame) {
    Bytes again;
    size_t header = 0;
    if (frame.request) {
      const RequestHeader decoded = *decode_request_header(frame.bytes);
      ASSERT_EQ(decoded.key(), frame.api->key);
      ASSERT_EQ(decoded.api_version, frame.version);
      encode_request_header(*frame.api, decoded, again);
      header = decoded.size;
    } else {
      const ResponseHeader decoded = *decode_response_header(*frame.api, frame.version, frame.bytes);
      encode_response_header(*frame.api, frame.version, decoded.correlation_id, again);
      header = decoded.size;
    }
    testing::AnyMessage message(frame.request ? *frame.api->request : *frame.api->response);
    ASSERT_TRUE(message.decode(std::span(frame.bytes).subspan(header), frame.version));
    ASSERT_TRUE(message.encode(frame.version, again));
    ASSERT_EQ(again, frame.bytes);
    seen.emplace(frame.request, frame.api->key, frame.version);
  });
  EXPECT_GE(seen.size(), 170u);
}

TEST_F(Golden, ViewsReadWhatTheTableReads) {
  Prng prng(1);
  testing::HeapPool pool;
  int produces = 0;
  int fetches = 0;
  for_each([&](const Frame& frame) {
    if (!frame.request || (frame.api->key != ApiKey::kProduce && frame.api->key != ApiKey::kFetch)) return;
    const size_t at = header_size(frame);
    const std::span<const std::byte> body = std::span(frame.bytes).subspan(at);
    const BufferChain chain = testing::chain_of(pool, frame.bytes, prng, 50);
    if (frame.api->key == ApiKey::kProduce) {
      ProduceRequest table;
      ASSERT_TRUE(decode(body, frame.version, table));
      ASSERT_EQ(*testing::read_produce(chain, at, body.size(), frame.version), table);
      ++produces;
    } else {
      FetchRequest table;
      ASSERT_TRUE(decode(body, frame.version, table));
      ASSERT_EQ(*testing::read_fetch(chain, at, body.size(), frame.version), table);
      ++fetches;
    }
  });
  EXPECT_GE(produces, 15);
  EXPECT_GE(fetches, 7);
}

TEST_F(Golden, ProducedBatchesPassEveryCheck) {
  std::set<Compression> codecs;
  std::set<std::string> uncompressed_from;
  for_each([&](const Frame& frame) {
    if (!frame.request || frame.api->key != ApiKey::kProduce) return;
    ProduceRequest request;
    ASSERT_TRUE(decode(std::span(frame.bytes).subspan(header_size(frame)), frame.version, request));
    for (const auto& topic : request.topic_data) {
      for (const auto& partition : topic.partition_data) {
        const std::span<const std::byte> batch = *partition.records;
        ASSERT_EQ(check_batch_header(batch.first(kBatchHeaderBytes), batch.size()), ErrorCode::kNone);
        ASSERT_TRUE(batch_crc_ok(batch));
        const RecordBatchView view = view_of(batch);
        codecs.insert(view.compression());
        if (view.compression() != Compression::kNone) continue;
        uncompressed_from.insert(frame.client);
        const auto records = batch.subspan(kBatchHeaderBytes);
        const RecordsSummary summary = walk_records(std::span(&records, 1), view.records_count());
        ASSERT_EQ(summary.error, ErrorCode::kNone);
        ASSERT_EQ(view.base_timestamp() + summary.max_timestamp_delta, view.max_timestamp());
      }
    }
  });
  EXPECT_EQ(codecs.size(), 5u);
  EXPECT_GE(uncompressed_from.size(), 5u);
}

TEST_F(Golden, FetchedRunsAreWholeBatches) {
  int batches = 0;
  for_each([&](const Frame& frame) {
    if (frame.request || frame.api->key != ApiKey::kFetch) return;
    FetchResponse response;
    ASSERT_TRUE(decode(std::span(frame.bytes).subspan(header_size(frame)), frame.version, response));
    ASSERT_EQ(testing::write_fetch(response, frame.version),
              Bytes(frame.bytes.begin() + static_cast<ptrdiff_t>(header_size(frame)), frame.bytes.end()));
    std::span<const std::byte> run = *response.responses.at(0).partitions.at(0).records;
    for (; !run.empty(); ++batches) {
      const auto batch = first_batch(run);
      ASSERT_TRUE(batch);
      ASSERT_TRUE(batch_crc_ok(*batch));  // though the broker set the base offset
      run = run.subspan(batch->size());
    }
  });
  EXPECT_GE(batches, 10);
}

// Values that are known from the drive scripts.
TEST_F(Golden, KcatSaidWhatItWasToldToSay) {
  bool produced = false;
  bool joined = false;
  for_each([&](const Frame& frame) {
    if (frame.client != "kcat" || !frame.request) return;
    EXPECT_EQ(decode_request_header(frame.bytes)->client_id, "rdkafka");
    const auto body = std::span(frame.bytes).subspan(header_size(frame));
    if (frame.api->key == ApiKey::kProduce && !produced) {
      produced = true;
      ProduceRequest request;
      ASSERT_TRUE(decode(body, frame.version, request));
      EXPECT_EQ(request.acks, -1);
      ASSERT_EQ(request.topic_data.size(), 1u);
      EXPECT_EQ(request.topic_data[0].name, "golden");
      const Bytes& batch = *request.topic_data[0].partition_data.at(0).records;
      EXPECT_EQ(view_of(batch).records_count(), 2);
      const std::span<const std::byte> records = std::span(batch).subspan(kBatchHeaderBytes);
      RecordReader reader(records);
      const RecordView record = *reader.next();
      EXPECT_EQ(as_text(*record.key), "k1");
      EXPECT_EQ(as_text(*record.value), "v1");
      ASSERT_EQ(record.headers_count, 1);
      const RecordHeader header = *HeaderReader(record).next();
      EXPECT_EQ(header.key, "name");
      EXPECT_EQ(as_text(*header.value), "value");
    }
    if (frame.api->key == ApiKey::kJoinGroup) {
      joined = true;
      JoinGroupRequest request;
      ASSERT_TRUE(decode(body, frame.version, request));
      EXPECT_EQ(request.group_id, "golden-group");
      EXPECT_EQ(request.protocol_type, "consumer");
      EXPECT_EQ(request.protocols.at(0).name, "range");
    }
  });
  EXPECT_TRUE(produced);
  EXPECT_TRUE(joined);
}

}  // namespace
}  // namespace penstock::protocol
