// A whole lcore over loopback: kernel clients against real sockets, a real ring and a real drive.
#include <gtest/gtest.h>

#include "protocol/gen/metadata.h"
#include "tests/kafka_requests.h"
#include "tests/lcore_fixture.h"

namespace penstock::testing {
namespace {

using dataplane::Metric;
TEST(Lcore, WhatWasProducedIsFetched) {
  LcoreFixture broker;
  WireClient client(broker.port());
  const auto produced = client.call<ProduceResponse>(produce_of(0, batch_of(3, "a")), 9);
  ASSERT_TRUE(produced);
  EXPECT_EQ(produced->correlation, 7);
  EXPECT_EQ(produced->message.responses[0].partition_responses[0].error_code, ErrorCode::kNone);
  EXPECT_EQ(produced->message.responses[0].partition_responses[0].base_offset, 0);
  const auto again = client.call<ProduceResponse>(produce_of(0, batch_of(2, "b")), 9);
  ASSERT_TRUE(again);
  EXPECT_EQ(again->message.responses[0].partition_responses[0].base_offset, 3);
  const auto fetched = client.call<FetchResponse>(fetch_of(0, 0), 12);
  ASSERT_TRUE(fetched);
  const auto& partition = fetched->message.responses[0].partitions[0];
  EXPECT_EQ(partition.high_watermark, 5);
  const auto records = records_of(*partition.records);
  ASSERT_EQ(records.size(), 5u);
  EXPECT_EQ(records[0], (std::pair<int64_t, std::string>(0, "a0")));
  EXPECT_EQ(records[4], (std::pair<int64_t, std::string>(4, "b1")));
  EXPECT_TRUE(broker.stop());
}

TEST(Lcore, ThousandsOfPipelinedProducesFromManyClients) {
  LcoreFixture broker;
  constexpr int kClients = 8;
  constexpr int kRequests = 500;
  std::vector<std::thread> threads;
  std::atomic<int> acked = 0;
  for (int c = 0; c < kClients; ++c) {
    threads.emplace_back([&, c] {
      WireClient client(broker.port());
      Bytes burst;
      for (int i = 0; i < kRequests; ++i) {
        const Bytes frame = frame_of(produce_of(c % 4, batch_of(1, std::to_string(c) + "/")), 9, i);
        burst.insert(burst.end(), frame.begin(), frame.end());
      }
      std::thread sender([&] { EXPECT_TRUE(client.send(burst)); });
      for (int i = 0; i < kRequests; ++i) {
        const auto frame = client.receive();
        if (!frame) break;
        const auto answer = decode_answer<ProduceResponse>(*frame, 9);
        if (answer && answer->correlation == i && only(answer->message).error_code == ErrorCode::kNone) ++acked;
      }
      sender.join();
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(acked, kClients * kRequests);
  EXPECT_EQ(broker.count(storage::Metric::batches_appended), uint64_t{kClients} * kRequests);
  EXPECT_EQ(broker.count(storage::Metric::bytes_copied), broker.count(storage::Metric::bytes_appended));
  WireClient reader(broker.port());
  size_t records = 0;
  for (int partition = 0; partition < 4; ++partition) {
    const auto fetched = reader.call<FetchResponse>(fetch_of(partition, 0), 12);
    ASSERT_TRUE(fetched);
    records += records_of(*only(fetched->message).records).size();
  }
  EXPECT_EQ(records, size_t{kClients} * kRequests);
}

TEST(Lcore, RequestsOfMegabytesFromManyClientsShareASmallPool) {
  LcoreSetup setup;
  setup.options.receive_pool_bytes = 4 * kMiB;
  setup.options.request_max_bytes = 3 * kMiB;
  LcoreFixture broker(setup);
  std::vector<std::thread> threads;
  std::atomic<int> acked = 0;
  for (int c = 0; c < 6; ++c) {
    threads.emplace_back([&, c] {
      WireClient client(broker.port());
      ProduceRequest request = produce_of(0, batch_of(1, std::to_string(c), 900'000));
      request.topic_data[0].partition_data.push_back({.index = 1, .records = batch_of(1, "b", 900'000)});
      const auto answer = client.call<ProduceResponse>(request, 9);
      if (answer && only(answer->message).error_code == ErrorCode::kNone) ++acked;
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(acked, 6);
  EXPECT_EQ(broker.count(storage::Metric::batches_appended), 12u);
}

// 2,000 connections of five kinds of hostility, open at once, while one client works.
TEST(Lcore, HostileConnectionsDisturbNobody) {
  LcoreFixture broker;
  Prng prng(1);
  std::vector<std::unique_ptr<WireClient>> hostile;
  WireClient good(broker.port());
  for (int i = 0; i < 2000; ++i) {
    hostile.push_back(std::make_unique<WireClient>(broker.port()));
    WireClient& client = *hostile.back();
    Bytes bytes = frame_of(produce_of(0, batch_of(2, "h")), 9, i);
    switch (i % 5) {
      case 0: bytes.resize(prng.between(1, bytes.size() - 1)); break;         // a frame that is never whole
      case 1: store_be(bytes.data(), i % 2 == 0 ? INT32_MAX : -5); break;     // lengths that cannot be
      case 2: prng.fill(bytes); break;                                        // anything
      case 3: store_be<int16_t>(bytes.data() + 4, 999); break;                // no such API
      case 4: store_be<int32_t>(bytes.data(), 100 * 1024 * 1024 - 1); break;  // begins 100 MiB and stops
    }
    client.send(bytes);
    if (i % 7 == 0) client.reset();
    if (i % 100 != 0) continue;
    const auto answer = good.call<ProduceResponse>(produce_of(1, batch_of(1, "g", 300'000)), 9);
    ASSERT_TRUE(answer) << i;
    EXPECT_EQ(only(answer->message).error_code, ErrorCode::kNone);
  }
  EXPECT_GE(broker.count(Metric::connections_closed_bad_frame), 200u);
  EXPECT_GE(broker.count(Metric::connections_closed_bad_request), 200u);
  hostile.clear();
  while (broker.count(Metric::connections_open) > 1) std::this_thread::yield();
  EXPECT_TRUE(good.call<ProduceResponse>(produce_of(1, batch_of(1, "g")), 9));
}

TEST(Lcore, AReaderThatStopsHoldsUpNobodyAndGetsItAllLater) {
  LcoreFixture broker;
  WireClient slow(broker.port());
  WireClient good(broker.port());
  for (int i = 0; i < 12; ++i) {
    ASSERT_TRUE(good.call<ProduceResponse>(produce_of(0, batch_of(1, "x", 1'000'000)), 9));
  }
  FetchRequest request = fetch_of(0, 0);
  request.topics[0].partitions[0].partition_max_bytes = 50'000'000;
  for (int i = 0; i < 4; ++i) ASSERT_TRUE(slow.send(frame_of(request, 12, i)));
  for (int i = 0; i < 100; ++i) ASSERT_TRUE(good.call<ProduceResponse>(produce_of(1, batch_of(1, "y")), 9));
  EXPECT_LT(broker.count(Metric::bytes_fetched), 4u * 12'000'000);
  for (int i = 0; i < 4; ++i) {
    const auto frame = slow.receive();
    ASSERT_TRUE(frame);
    const auto answer = decode_answer<FetchResponse>(*frame, 12);
    ASSERT_TRUE(answer);
    EXPECT_EQ(answer->correlation, i);
    EXPECT_EQ(records_of(*only(answer->message).records).size(), 12u);
  }
  EXPECT_EQ(broker.count(Metric::bytes_gathered), 0u);
}

TEST(Lcore, HalfClosedAndResetClients) {
  LcoreFixture broker;
  WireClient half(broker.port());
  ASSERT_TRUE(half.send(frame_of(produce_of(0, batch_of(1, "x")), 9, 1)));
  half.half_close();
  EXPECT_TRUE(half.receive());
  EXPECT_TRUE(half.sees_end());
  for (int i = 0; i < 50; ++i) {
    WireClient reset(broker.port());
    reset.send(frame_of(produce_of(0, batch_of(1, "x")), 9, 1));
    reset.send(frame_of(fetch_of(0, 1'000'000, 1, 600'000), 12, 1));
    reset.reset();
  }
  WireClient poller(broker.port());
  ASSERT_TRUE(poller.send(frame_of(fetch_of(1, 0, 1, 600'000), 12, 1)));
  broker.await(Metric::connections_closed, 51);
  EXPECT_EQ(broker.count(Metric::connections_open), 1u);
}

TEST(Lcore, SlowRequestsGoToControlAndBack) {
  LcoreSetup setup;
  setup.answer = [](const dataplane::SlowRequest& request) {
    EXPECT_EQ(request.api_key, 3);
    return request.api_version == 9 ? Bytes(5, std::byte{42}) : Bytes{};
  };
  LcoreFixture broker(setup);
  WireClient client(broker.port());
  for (int i = 0; i < 100; ++i) {
    ASSERT_TRUE(client.send(frame_of(protocol::MetadataRequest{}, 9, i)));
    EXPECT_EQ(client.receive(), Bytes(5, std::byte{42}));
  }
  ASSERT_TRUE(client.send(frame_of(protocol::MetadataRequest{}, 8, 1)));
  EXPECT_TRUE(client.sees_end());
}

TEST(Lcore, AnIdleOneSleeps) {
  LcoreFixture broker;
  WireClient client(broker.port());
  ASSERT_TRUE(client.call<ProduceResponse>(produce_of(0, batch_of(1, "x")), 9));
  ASSERT_TRUE(client.send(frame_of(fetch_of(0, 1, 1, 600'000), 12, 1)));
  broker.await(Metric::fetches_parked, 1);
  WireClient half(broker.port());  // and one in the middle of a request
  ASSERT_TRUE(half.send(Bytes(3)));
  std::this_thread::sleep_for(std::chrono::milliseconds(500));  // the seal's turn is over
  const uint64_t before = broker.count(Metric::loop_turns);
  std::this_thread::sleep_for(std::chrono::seconds(1));
  // Housekeeping is due each second; a loop that spins makes millions of turns.
  EXPECT_LT(broker.count(Metric::loop_turns) - before, 2000u);
  EXPECT_TRUE(broker.count(Metric::loop_sleeps) > 0);
}

TEST(Lcore, IdleClientsAreReapedWaitingOnesAreNot) {
  LcoreSetup setup;
  setup.options.connections_max_idle_ms = 200;
  LcoreFixture broker(setup);
  WireClient idle(broker.port());
  WireClient polling(broker.port());
  ASSERT_TRUE(polling.send(frame_of(fetch_of(0, 0, 1, 600'000), 12, 1)));
  EXPECT_TRUE(idle.sees_end());
  broker.await(Metric::connections_closed, 1);
  EXPECT_EQ(broker.count(Metric::connections_closed_idle), 1u);
  EXPECT_EQ(broker.count(Metric::connections_open), 1u);
}

TEST(Lcore, ATrimIsAnsweredAlsoByAnLcoreThatSleeps) {
  std::atomic<uint64_t> unknown = 0;
  std::atomic<uint64_t> out_of_range = 0;
  LcoreSetup setup;
  setup.on_event = [&](const dataplane::Event& event) {
    const auto* over = std::get_if<dataplane::LogTrimmed>(&event);
    if (over == nullptr) return;
    if (over->status == storage::TrimStatus::kUnknownLog) unknown = over->token;
    if (over->status == storage::TrimStatus::kOffsetOutOfRange) out_of_range = over->token;
  };
  LcoreFixture broker(setup);
  broker.await(Metric::loop_sleeps, 1);
  broker.tell(dataplane::TrimLog{.log = storage::LogId{99}, .to = Offset{0}, .token = 5});
  broker.tell(dataplane::TrimLog{.log = storage::LogId{1}, .to = Offset{1}, .token = 6});
  while (unknown != 5 || out_of_range != 6) std::this_thread::yield();
  EXPECT_TRUE(broker.stop());
}

TEST(Lcore, ManyImagesAndAStopWithoutClients) {
  LcoreFixture broker;
  for (int i = 1; i <= 300; ++i) broker.publish(i % 7 + 1);
  broker.tell(dataplane::DropLog{storage::LogId{3}});
  EXPECT_TRUE(broker.stop());
}

TEST(Lcore, StopAnswersWhoProducedAndClosesTheRest) {
  LcoreFixture broker;
  WireClient polling(broker.port());
  ASSERT_TRUE(polling.send(frame_of(fetch_of(0, 0, 1, 600'000), 12, 1)));
  broker.await(Metric::fetches_parked, 1);
  WireClient producer(broker.port());
  for (int i = 0; i < 20; ++i) ASSERT_TRUE(producer.send(frame_of(produce_of(1, batch_of(1, "x")), 9, i)));
  broker.await(Metric::requests_produce, 1);
  EXPECT_TRUE(broker.stop());
  EXPECT_TRUE(polling.sees_end());
  size_t answered = 0;
  while (producer.receive()) ++answered;
  EXPECT_EQ(answered, broker.count(storage::Metric::batches_appended));
}

}  // namespace
}  // namespace penstock::testing
