// Whole lcores over loopback, one, two and four, on whatever CPUs there are: kernel clients against real sockets, a
// real ring and a real drive.
#include <gtest/gtest.h>

#include <map>
#include <mutex>

#include "protocol/gen/metadata.h"
#include "tests/kafka_requests.h"
#include "tests/lcore_fixture.h"
#include "tests/sim/sim_clock.h"

namespace penstock::testing {
namespace {

using dataplane::Metric;

// With so many lcores; each on a thread of its own.
class Lcores : public ::testing::TestWithParam<uint16_t> {
 protected:
  static LcoreSetup setup_of() { return {.options = {}, .lcores = GetParam(), .answer = {}}; }
};
INSTANTIATE_TEST_SUITE_P(Counts, Lcores, ::testing::Values(1, 2, 4));

TEST_P(Lcores, WhatWasProducedIsFetched) {
  LcoreFixture broker(setup_of());
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

TEST_P(Lcores, ThousandsOfPipelinedProducesFromManyClients) {
  LcoreFixture broker(setup_of());
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

TEST_P(Lcores, RequestsOfMegabytesFromManyClientsShareASmallPool) {
  LcoreSetup setup = setup_of();
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
TEST_P(Lcores, HostileConnectionsDisturbNobody) {
  LcoreFixture broker(setup_of());
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
  broker.await_exactly(Metric::connections_open, 1);
  EXPECT_TRUE(good.call<ProduceResponse>(produce_of(1, batch_of(1, "g")), 9));
}

TEST_P(Lcores, AReaderThatStopsHoldsUpNobodyAndGetsItAllLater) {
  LcoreFixture broker(setup_of());
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

TEST_P(Lcores, HalfClosedAndResetClients) {
  LcoreFixture broker(setup_of());
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
  broker.await(Metric::connections_accepted, 52);  // connected is not yet accepted
  broker.await(Metric::connections_closed, 51);
  broker.await_exactly(Metric::connections_open, 1);
}

TEST_P(Lcores, SlowRequestsGoToControlAndBack) {
  LcoreSetup setup = setup_of();
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

TEST_P(Lcores, AnIdleOneSleeps) {
  LcoreFixture broker(setup_of());
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

TEST_P(Lcores, IdleClientsAreReapedWaitingOnesAreNot) {
  LcoreSetup setup = setup_of();
  setup.options.connections_max_idle_ms = 200;
  LcoreFixture broker(setup);
  WireClient idle(broker.port());
  WireClient polling(broker.port());
  ASSERT_TRUE(polling.send(frame_of(fetch_of(0, 0, 1, 600'000), 12, 1)));
  EXPECT_TRUE(idle.sees_end());
  broker.await(Metric::fetches_parked, 1);
  broker.await(Metric::connections_closed, 1);
  EXPECT_EQ(broker.count(Metric::connections_closed_idle), 1u);
  broker.await_exactly(Metric::connections_open, 1);
}

// Time stands still, so that what time bounds lasts until something else ends it.
TEST_P(Lcores, NoneSleepsWhileACommitIsAtTheDriveUnlessToldTo) {
  sim::SimClock clock;
  for (const bool spins : {true, false}) {
    LcoreSetup setup = setup_of();
    setup.clock = &clock;
    setup.options.idle_spin_us = 0;
    setup.options.commit_spin_us = spins ? 1 : 0;
    LcoreFixture broker(setup);
    WireClient client(broker.port());
    for (int i = 0; i < 100 || (!spins && broker.count(Metric::loop_commit_sleeps) == 0); ++i)
      ASSERT_TRUE(client.call<ProduceResponse>(produce_of(0, batch_of(1, "x")), 9));
    EXPECT_EQ(broker.count(Metric::loop_commit_sleeps) == 0, spins);
    EXPECT_GT(broker.count(Metric::loop_sleeps), 0u);
  }
}

TEST_P(Lcores, ATrimIsAnsweredAlsoByAnLcoreThatSleeps) {
  std::atomic<uint64_t> unknown = 0;
  std::atomic<uint64_t> out_of_range = 0;
  LcoreSetup setup = setup_of();
  setup.on_event = [&](const dataplane::Event& event) {
    const auto* over = std::get_if<dataplane::LogTrimmed>(&event);
    if (over == nullptr) return;
    if (over->status == storage::TrimStatus::kUnknownLog) unknown = over->token;
    if (over->status == storage::TrimStatus::kOffsetOutOfRange) out_of_range = over->token;
  };
  LcoreFixture broker(setup);
  broker.await(Metric::loop_sleeps, 1);
  broker.tell(0, dataplane::TrimLog{.log = storage::LogId{99}, .to = Offset{0}, .token = 5});
  broker.tell(0, dataplane::TrimLog{.log = storage::LogId{1}, .to = Offset{1}, .token = 6});
  while (unknown != 5 || out_of_range != 6) std::this_thread::yield();
  EXPECT_TRUE(broker.stop());
}

// Each is asked for all logs, those of the others and one of nobody too, as control may be a change behind it.
TEST_P(Lcores, TheEndsOfLogsAreToldInTheirOrderAndOthersAreNot) {
  std::mutex mutex;
  std::map<uint64_t, std::vector<std::pair<storage::LogId, int64_t>>> told;  // by token
  LcoreSetup setup = setup_of();
  setup.on_event = [&](const dataplane::Event& event) {
    const auto* ends = std::get_if<dataplane::EndsTold>(&event);
    if (ends == nullptr) return;
    const std::lock_guard lock(mutex);
    for (const auto& each : ends->logs) told[ends->token].emplace_back(each.log, each.durable.value());
  };
  LcoreFixture broker(setup);
  WireClient client(broker.port());
  for (const auto& [partition, records] : {std::pair(0, 3), std::pair(1, 5), std::pair(3, 2)})
    ASSERT_TRUE(client.call<ProduceResponse>(produce_of(partition, batch_of(records, "a")), 9));
  const std::vector<std::pair<uint64_t, int64_t>> ends = {{4, 2}, {99, -1}, {2, 5}, {1, 3}, {3, 0}};  // ids: from 1
  for (uint16_t lcore = 0; lcore < GetParam(); ++lcore) {
    dataplane::AskEnds question{.logs = {}, .token = 70u + lcore};
    for (const auto& [id, end] : ends) question.logs.push_back({.log = storage::LogId{id}, .durable = Offset{1234}});
    broker.tell(lcore, std::move(question));
  }
  const auto count = [&] {
    const std::lock_guard lock(mutex);
    return told.size();
  };
  while (count() < GetParam()) std::this_thread::sleep_for(std::chrono::microseconds(200));
  EXPECT_TRUE(broker.stop());
  for (uint16_t lcore = 0; lcore < GetParam(); ++lcore) {
    std::vector<std::pair<storage::LogId, int64_t>> expected;
    for (const auto& [id, end] : ends)
      expected.emplace_back(storage::LogId{id}, (id - 1) % GetParam() == lcore ? end : -1);
    EXPECT_EQ(told[70u + lcore], expected) << lcore;
  }
}

TEST_P(Lcores, ManyImagesAndAStopWithoutClients) {
  LcoreFixture broker(setup_of());
  for (int i = 1; i <= 300; ++i) broker.publish(i % 7 + 1);
  broker.tell(static_cast<uint16_t>(2 % GetParam()), dataplane::DropLog{storage::LogId{3}});
  EXPECT_TRUE(broker.stop());
}

TEST_P(Lcores, StopAnswersWhoProducedAndClosesTheRest) {
  LcoreFixture broker(setup_of());
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

// Connections are shared out, whoever opens them and however many there are.
TEST_P(Lcores, EachLcoreGetsItsPartOfTheConnections) {
  LcoreFixture broker(setup_of());
  std::vector<std::unique_ptr<WireClient>> clients;
  for (int i = 0; i < 4 * GetParam(); ++i) clients.push_back(std::make_unique<WireClient>(broker.port()));
  for (auto& client : clients) ASSERT_TRUE(client->call<ProduceResponse>(produce_of(0, batch_of(1, "x")), 9));
  for (uint16_t i = 0; i < GetParam(); ++i) EXPECT_EQ(broker.count_of(i, Metric::connections_open), 4u);
  EXPECT_EQ(broker.count(Metric::connections_handed_over), 4u * (GetParam() - 1u));
}

TEST_P(Lcores, TheMostConnectionsAreThoseOfAllLcores) {
  LcoreSetup setup = setup_of();
  setup.options.connections_max = 6;
  LcoreFixture broker(setup);
  std::vector<std::unique_ptr<WireClient>> clients;
  for (int i = 0; i < 10; ++i) clients.push_back(std::make_unique<WireClient>(broker.port()));
  broker.await(Metric::connections_refused, 4);
  broker.await(Metric::connections_accepted, 6);
  clients.clear();
  broker.await(Metric::connections_closed, 6);
  // Their places are free again once that has been said.
  for (;;) {
    WireClient next(broker.port());
    if (next.call<ProduceResponse>(produce_of(0, batch_of(1, "x")), 9)) break;
  }
}

// Wherever they live; and who is refused takes no place.
TEST_P(Lcores, AnAddressHasAsManyConnectionsAsItMay) {
  LcoreSetup setup = setup_of();
  setup.options.connections_max_per_ip = 0;
  setup.options.connections_max_per_ip_overrides = "127.0.0.1:5";
  LcoreFixture broker(setup);
  std::vector<std::unique_ptr<WireClient>> clients;
  for (int i = 0; i < 5; ++i) {
    clients.push_back(std::make_unique<WireClient>(broker.port()));
    ASSERT_TRUE(clients.back()->call<ProduceResponse>(produce_of(0, batch_of(1, "x")), 9));
  }
  EXPECT_TRUE(WireClient(broker.port()).sees_end());
  // Lcore 0 knows of all five now: more are closed unread, by it.
  const uint64_t accepted = broker.count(Metric::connections_accepted);
  for (int i = 0; i < 2; ++i) EXPECT_TRUE(WireClient(broker.port()).sees_end());
  EXPECT_EQ(broker.count(Metric::connections_accepted), accepted);
  EXPECT_EQ(broker.count(Metric::connections_refused_address), 3u);
  clients.pop_back();
  // Its place is free again once that has been said.
  for (;;) {
    WireClient next(broker.port());
    if (next.call<ProduceResponse>(produce_of(0, batch_of(1, "x")), 9)) break;
  }
  for (auto& client : clients) ASSERT_TRUE(client->call<ProduceResponse>(produce_of(0, batch_of(1, "x")), 9));
}

// Those that come together are on their way to their lcores when the next is accepted.
TEST_P(Lcores, AnAddressHasNoMoreBecauseManyComeTogether) {
  LcoreSetup setup = setup_of();
  setup.options.connections_max_per_ip = 5;
  LcoreFixture broker(setup);
  for (uint64_t round = 1; round <= 20; ++round) {
    std::vector<std::unique_ptr<WireClient>> clients;
    for (int i = 0; i < 30; ++i) clients.push_back(std::make_unique<WireClient>(broker.port()));
    broker.await_exactly(Metric::connections_refused_address, 25 * round);
    broker.await_exactly(Metric::connections_open, 5);
    broker.await_exactly(Metric::addresses_connected, 1);
    clients.clear();
    broker.await_exactly(Metric::addresses_connected, 0);  // then lcore 0 knows that all have gone
  }
}

// Writers, readers and pollers of all partitions from all lcores, some of which hang up in the middle.
TEST_P(Lcores, EverybodyReachesEveryPartition) {
  LcoreFixture broker(setup_of());
  constexpr int kClients = 8;
  constexpr int kRounds = 60;
  std::vector<std::thread> threads;
  std::atomic<int> acked = 0;
  for (int c = 0; c < kClients; ++c) {
    threads.emplace_back([&, c] {
      Prng prng(static_cast<uint64_t>(c) + 1);
      auto client = std::make_unique<WireClient>(broker.port());
      for (int i = 0; i < kRounds; ++i) {
        ProduceRequest request = produce_of(0, batch_of(1, std::to_string(c), prng.below(30'000)));
        for (int p = 1; p < 4; ++p)
          request.topic_data[0].partition_data.push_back({.index = p, .records = batch_of(1, "b", prng.below(3000))});
        const auto answer = client->call<ProduceResponse>(request, 9);
        if (!answer) break;
        for (const auto& partition : answer->message.responses[0].partition_responses)
          acked += partition.error_code == ErrorCode::kNone ? 1 : 0;
        const auto& produced = answer->message.responses[0].partition_responses;
        FetchRequest fetch = fetch_of(0, produced[0].base_offset, 1, 100);
        for (int p = 1; p < 4; ++p)
          fetch.topics[0].partitions.push_back({.partition = p,
                                                .fetch_offset = produced[static_cast<size_t>(p)].base_offset,
                                                .partition_max_bytes = 100'000});
        if (prng.one_in(10)) {  // asks and goes
          client->send(frame_of(fetch, 12, i));
          client->reset();
          client = std::make_unique<WireClient>(broker.port());
          continue;
        }
        const auto fetched = client->call<FetchResponse>(fetch, 12);
        if (!fetched || fetched->message.responses[0].partitions.size() != 4) break;
        for (const auto& partition : fetched->message.responses[0].partitions)
          EXPECT_FALSE(records_of(*partition.records).empty());
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(acked, kClients * kRounds * 4);
  EXPECT_EQ(broker.count(storage::Metric::batches_appended), uint64_t{kClients} * kRounds * 4);
  EXPECT_EQ(broker.count(storage::Metric::bytes_copied), broker.count(storage::Metric::bytes_appended));
  EXPECT_EQ(broker.count(Metric::parcels_served) > 0, GetParam() > 1);
  EXPECT_TRUE(broker.stop());
}

}  // namespace
}  // namespace penstock::testing
