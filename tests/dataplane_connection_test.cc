// Connection over SimStream: framing, order, overlap, parking, back-pressure. Every case runs over many seeds, that is,
// over many ways in which the same bytes arrive and leave.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>

#include "protocol/gen/metadata.h"
#include "tests/kafka_requests.h"
#include "tests/sim/broker_rig.h"

namespace penstock::testing {
namespace {

using dataplane::Metric;
using protocol::MetadataRequest;
using sim::BrokerRig;

constexpr uint64_t kSeeds = 6;

int32_t correlation_of(const Bytes& answer) { return load_be<int32_t>(answer.data()); }

TEST(Connection, PipelinedProducesAreAnsweredInOrderAndShareACommit) {
  for (uint64_t seed = 1; seed <= kSeeds; ++seed) {
    BrokerRig rig(seed);
    rig.publish(2);
    const uint32_t client = rig.connect();
    constexpr int kRequests = 300;  // more than one connection may have unanswered
    for (int i = 0; i < kRequests; ++i) {
      rig.send(client, frame_of(produce_of(i % 2, batch_of(1, "r" + std::to_string(i) + "/")), 9, i));
    }
    for (int i = 0; i < kRequests; ++i) {
      const auto frame = rig.answer(client);
      ASSERT_TRUE(frame) << "seed " << seed << " request " << i;
      ASSERT_EQ(correlation_of(*frame), i);
      const auto answer = decode_answer<ProduceResponse>(*frame, 9);
      ASSERT_TRUE(answer);
      EXPECT_EQ(only(answer->message).error_code, ErrorCode::kNone);
      EXPECT_EQ(only(answer->message).base_offset, i / 2);
    }
    EXPECT_LT(rig.storage_counters.get(storage::Metric::ring_frames), kRequests);
  }
}

TEST(Connection, AnAnswerLeavesOnlyWhenItsDataIsDurable) {
  for (uint64_t seed = 1; seed <= kSeeds; ++seed) {
    BrokerRig rig(seed);
    rig.publish(1);
    rig.disk.faults().delay_min = rig.disk.faults().delay_max = 100 * kMillisecond;
    const uint32_t client = rig.connect();
    rig.send(client, frame_of(produce_of(0, batch_of(1, "x")), 9, 1));
    while (rig.storage_counters.get(storage::Metric::batches_appended) == 0) rig.turn();
    rig.turns(200);  // 4 ms
    EXPECT_FALSE(rig.stream(client).next_answer());
    rig.clock.advance(100 * kMillisecond);
    EXPECT_TRUE(rig.answer(client));
  }
}

TEST(Connection, OtherRequestsWaitForThePipelinedProducesBeforeThem) {
  for (uint64_t seed = 1; seed <= kSeeds; ++seed) {
    BrokerRig rig(seed);
    rig.publish(1);
    const uint32_t client = rig.connect();
    for (int i = 0; i < 5; ++i) rig.send(client, frame_of(produce_of(0, batch_of(1, "p")), 9, i));
    rig.send(client, frame_of(fetch_of(0, 0), 12, 5));
    rig.send(client, frame_of(list_offsets_of(0, -1), 6, 6));
    rig.send(client, frame_of(produce_of(0, batch_of(1, "q")), 9, 7));
    for (int i = 0; i < 8; ++i) {
      const auto frame = rig.answer(client);
      ASSERT_TRUE(frame) << "seed " << seed << " request " << i;
      ASSERT_EQ(correlation_of(*frame), i);
      if (i == 5) {
        EXPECT_EQ(records_of(*only(decode_answer<FetchResponse>(*frame, 12)->message).records).size(), 5u);
      }
      if (i == 6) {
        EXPECT_EQ(only(decode_answer<ListOffsetsResponse>(*frame, 6)->message).offset, 5);
      }
    }
  }
}

TEST(Connection, AcksZeroHasNoAnswerAndAnErrorCloses) {
  for (uint64_t seed = 1; seed <= kSeeds; ++seed) {
    BrokerRig rig(seed);
    rig.publish(1);
    const uint32_t client = rig.connect();
    rig.send(client, frame_of(produce_of(0, batch_of(3, "x"), 0), 9, 1));
    rig.send(client, frame_of(list_offsets_of(0, -1), 6, 2));
    const auto frame = rig.answer(client);
    ASSERT_TRUE(frame);
    EXPECT_EQ(correlation_of(*frame), 2);
    rig.send(client, frame_of(produce_of(7, batch_of(3, "x"), 0), 9, 3));
    rig.turns(100);
    EXPECT_FALSE(rig.is_open(client));
    EXPECT_EQ(rig.clients->count(), 0u);
  }
}

TEST(Connection, LengthsThatNoRequestHasClose) {
  for (const int32_t length : {0, -1, INT32_MIN, INT32_MAX, 100 * 1024 * 1024 + 1}) {
    BrokerRig rig(1);
    rig.publish(1);
    const uint32_t client = rig.connect();
    Bytes head(4);
    store_be(head.data(), length);
    rig.send(client, head);
    rig.turns(50);
    EXPECT_FALSE(rig.is_open(client)) << length;
    EXPECT_EQ(rig.count(Metric::connections_closed_bad_frame), 1u) << length;
  }
}

TEST(Connection, TheLongestLengthIsWantedWholeAndHoldsNothing) {
  BrokerRig rig(1);
  rig.publish(1);
  const uint32_t client = rig.connect();
  Bytes head(4);
  store_be(head.data(), 100 * 1024 * 1024);
  rig.send(client, head);
  rig.turns(50);
  EXPECT_TRUE(rig.is_open(client));
  EXPECT_EQ(rig.stream(client).wanted(), 100u * 1024 * 1024 + 4);
  EXPECT_LE(rig.stream(client).received().size(), 4u);
}

TEST(Connection, UnknownApisAndVersionsClose) {
  const std::pair<int16_t, int16_t> kUnknown[] = {{0, 2},  {0, 14}, {1, 3},   {1, 19}, {2, 0},
                                                  {3, 99}, {4, 0},  {999, 0}, {-1, 0}};
  for (const auto& [key, version] : kUnknown) {
    BrokerRig rig(1);
    rig.publish(1);
    const uint32_t client = rig.connect();
    Bytes frame(4 + 10);
    store_be<int32_t>(frame.data(), 10);
    store_be<int16_t>(frame.data() + 4, key);
    store_be<int16_t>(frame.data() + 6, version);
    store_be<int16_t>(frame.data() + 12, -1);
    rig.send(client, frame);
    rig.turns(50);
    EXPECT_FALSE(rig.is_open(client)) << key << " v" << version;
    EXPECT_EQ(rig.count(Metric::connections_closed_bad_request), 1u);
  }
}

TEST(Connection, RequestsBeforeTheFirstImageWait) {
  for (uint64_t seed = 1; seed <= kSeeds; ++seed) {
    BrokerRig rig(seed);
    const uint32_t client = rig.connect();
    rig.send(client, frame_of(list_offsets_of(0, -1), 6, 1));
    rig.turns(100);
    EXPECT_FALSE(rig.stream(client).next_answer());
    rig.publish(1);
    const auto frame = rig.answer(client);
    ASSERT_TRUE(frame);
    EXPECT_EQ(only(decode_answer<ListOffsetsResponse>(*frame, 6)->message).offset, 0);
  }
}

// ---- the slow path

TEST(Connection, SlowRequestsGoToControlWholeAndItsAnswerComesBack) {
  for (uint64_t seed = 1; seed <= kSeeds; ++seed) {
    BrokerRig rig(seed);
    rig.publish(1);
    const uint32_t client = rig.connect();
    const Bytes sent = frame_of(MetadataRequest{}, 9, 5);
    rig.send(client, sent);
    rig.send(client, frame_of(list_offsets_of(0, -1), 6, 6));
    rig.turns(100);
    auto event = rig.events.try_pop();
    ASSERT_TRUE(event);
    const auto& slow = std::get<dataplane::SlowRequest>(*event);
    EXPECT_EQ(slow.api_key, 3);
    EXPECT_EQ(slow.api_version, 9);
    EXPECT_EQ(slow.frame, Bytes(sent.begin() + 4, sent.end()));
    EXPECT_FALSE(rig.stream(client).next_answer());  // the request behind it waits
    const Bytes response = batch_of(1, "any bytes");
    rig.clients->answer({slow.connection, response});
    EXPECT_EQ(rig.answer(client), response);
    EXPECT_TRUE(rig.answer(client));
  }
}

TEST(Connection, AnEmptyAnswerClosesAndALateOneReachesNobody) {
  BrokerRig rig(1);
  rig.publish(1);
  const uint32_t first = rig.connect();
  const uint32_t second = rig.connect();
  rig.send(first, frame_of(MetadataRequest{}, 9, 5));
  rig.turns(50);
  const auto slow = std::get<dataplane::SlowRequest>(*rig.events.try_pop());
  rig.clients->answer({slow.connection, {}});
  rig.turns(10);
  EXPECT_FALSE(rig.is_open(first));
  rig.clients->answer({slow.connection, batch_of(1, "late")});
  rig.clients->answer({dataplane::ConnectionId{slow.connection.value() + second}, batch_of(1, "forged")});
  rig.turns(50);
  EXPECT_FALSE(rig.stream(second).next_answer());
  EXPECT_TRUE(rig.is_open(second));
}

TEST(Connection, AFullEventRingParksAndGoesOn) {
  for (uint64_t seed = 1; seed <= kSeeds; ++seed) {
    BrokerRig rig(seed, 2);
    rig.publish(1);
    std::vector<uint32_t> clients;
    for (int i = 0; i < 10; ++i) {
      clients.push_back(rig.connect());
      rig.send(clients.back(), frame_of(MetadataRequest{}, 9, i));
    }
    rig.turns(100);
    EXPECT_TRUE(rig.broker->wakeups.retrying());
    size_t answered = 0;
    for (int i = 0; i < 2000 && answered < clients.size(); ++i) {
      rig.turn();
      if (auto event = rig.events.try_pop()) {
        rig.clients->answer({std::get<dataplane::SlowRequest>(*event).connection, batch_of(1, "ok")});
        ++answered;
      }
    }
    for (const uint32_t client : clients) EXPECT_TRUE(rig.answer(client));
    EXPECT_EQ(rig.broker->slow_bytes, 0u);
    EXPECT_TRUE(rig.broker->slow_frames.empty());
  }
}

Bytes frame_that_names(size_t topics) {
  MetadataRequest request;
  request.topics.emplace(topics, MetadataRequest::Topic{.name = std::string(200, 'n')});
  return frame_of(request, 9, 1);
}

TEST(Connection, ControlHoldsABoundedAmountOfFrames) {
  BrokerRig rig(1);
  rig.publish(1);
  const Bytes frame = frame_that_names(75'000);
  ASSERT_LT(frame.size() * 4, dataplane::Broker::kSlowBytesMax);
  ASSERT_GT(frame.size() * 5, dataplane::Broker::kSlowBytesMax);
  std::vector<uint32_t> clients;
  for (int i = 0; i < 5; ++i) clients.push_back(rig.connect());
  for (const uint32_t client : clients) rig.send(client, frame);
  rig.turns(60'000);
  std::vector<dataplane::ConnectionId> asked;
  while (auto event = rig.events.try_pop()) asked.push_back(std::get<dataplane::SlowRequest>(*event).connection);
  ASSERT_EQ(asked.size(), 4u);
  rig.clients->answer({asked[0], batch_of(1, "ok")});
  rig.turns(10);
  auto event = rig.events.try_pop();  // the fifth has its turn now
  ASSERT_TRUE(event);
  asked.push_back(std::get<dataplane::SlowRequest>(*event).connection);
  for (size_t i = 1; i < asked.size(); ++i) rig.clients->answer({asked[i], batch_of(1, "ok")});
  for (const uint32_t client : clients) EXPECT_TRUE(rig.answer(client));
}

TEST(Connection, AFrameTooLargeForControlCloses) {
  BrokerRig rig(1);
  rig.publish(1);
  const uint32_t client = rig.connect();
  rig.send(client, frame_that_names(100'000));
  rig.turns(60'000);
  EXPECT_FALSE(rig.is_open(client));
  EXPECT_EQ(rig.count(Metric::connections_closed_bad_request), 1u);
}

// ---- back-pressure and ends

TEST(Connection, AClientThatDoesNotReadIsHeldBack) {
  for (uint64_t seed = 1; seed <= kSeeds; ++seed) {
    BrokerRig rig(seed);
    rig.publish(1);
    const uint32_t client = rig.connect();
    rig.stream(client).peer_reads(false);
    int sent = 0;
    for (; sent < 4000; ++sent) rig.send(client, frame_of(produce_of(0, batch_of(1, "x", 100)), 9, sent));
    rig.turns(3000);
    EXPECT_TRUE(rig.stream(client).paused());
    EXPECT_GT(rig.stream(client).undelivered(), 0u);
    EXPECT_LT(rig.stream(client).received().size(), dataplane::Connection<sim::SimStream>::kHeldBytesMax + 700'000);
    rig.stream(client).peer_reads(true);
    for (int i = 0; i < sent; ++i) {
      const auto frame = rig.answer(client);
      ASSERT_TRUE(frame) << "seed " << seed << " answer " << i;
      ASSERT_EQ(correlation_of(*frame), i);
    }
  }
}

// A small request with a large answer: each partition is refused.
Bytes frame_with_errors(int partitions, int correlation) {
  ProduceRequest request = produce_of(7, {});
  auto& data = request.topic_data[0].partition_data;
  data.resize(static_cast<size_t>(partitions), data[0]);
  return frame_of(request, 9, correlation);
}

TEST(Connection, AnswersThatAreNotReadAreBoundedInBytes) {
  for (uint64_t seed = 1; seed <= kSeeds; ++seed) {
    BrokerRig rig(seed);
    rig.publish(1);
    const uint32_t client = rig.connect();
    rig.stream(client).peer_reads(false);
    constexpr int kRequests = 100;
    for (int i = 0; i < kRequests; ++i) rig.send(client, frame_with_errors(200, i));
    rig.turns(1000);
    EXPECT_GT(rig.broker->answer_bytes, 0u);
    EXPECT_LT(rig.broker->answer_bytes, dataplane::Connection<sim::SimStream>::kAnswerBytesMax + 16 * kKiB);
    EXPECT_LT(rig.count(Metric::requests), 50u);
    rig.stream(client).peer_reads(true);
    for (int i = 0; i < kRequests; ++i) {
      const auto frame = rig.answer(client);
      ASSERT_TRUE(frame) << "seed " << seed << " answer " << i;
      ASSERT_EQ(correlation_of(*frame), i);
    }
    EXPECT_EQ(rig.broker->answer_bytes, 0u);
  }
}

TEST(Connection, WhoDoesNotReadHisAnswersGetsNoMemoryForARequest) {
  for (uint64_t seed = 1; seed <= kSeeds; ++seed) {
    BrokerRig rig(seed);
    rig.publish(1);
    const uint32_t client = rig.connect();
    rig.stream(client).peer_reads(false);
    rig.send(client, frame_with_errors(8'000, 1));  // more than the stream takes
    rig.turns(300);
    ASSERT_GT(rig.broker->answer_bytes, 0u);
    rig.send(client, frame_of(produce_of(0, batch_of(1, "x", 900'000)), 9, 2));
    rig.turns(1000);
    EXPECT_EQ(rig.stream(client).wanted(), 0u) << "seed " << seed;
    EXPECT_TRUE(rig.stream(client).paused());
    rig.stream(client).peer_reads(true);
    ASSERT_TRUE(rig.answer(client));
    const auto answer = rig.answer(client);
    ASSERT_TRUE(answer) << "seed " << seed;
    EXPECT_EQ(only(decode_answer<ProduceResponse>(*answer, 9)->message).error_code, ErrorCode::kNone);
  }
}

// Clients that do not read, until the lcore has no room for answers.
class FullOfAnswers : public ::testing::Test {
 protected:
  FullOfAnswers() : rig(1) {
    rig.publish(1);
    const Bytes frame = frame_with_errors(90'000, 1);
    while (rig.broker->answer_bytes < dataplane::Broker::kAnswerBytesMax) {
      deaf.push_back(rig.connect());
      rig.stream(deaf.back()).peer_reads(false);
      rig.send(deaf.back(), frame);
      while (rig.stream(deaf.back()).undelivered() > 0) rig.turn();
    }
    for (uint32_t& client : waiting) {
      client = rig.connect();
      rig.send(client, frame_of(list_offsets_of(0, -1), 6, 1));
    }
    rig.turns(200);
  }
  bool none_answered() {
    return std::ranges::none_of(waiting,
                                [this](uint32_t client) { return rig.stream(client).next_answer().has_value(); });
  }

  BrokerRig rig;
  std::vector<uint32_t> deaf;
  std::array<uint32_t, 3> waiting{};
};

TEST_F(FullOfAnswers, RequestsWaitUntilOneIsRead) {
  EXPECT_TRUE(none_answered());
  EXPECT_EQ(rig.woken, 0u);
  EXPECT_EQ(rig.count(Metric::requests_list_offsets), 0u);
  rig.stream(deaf[0]).peer_reads(true);
  for (const uint32_t client : waiting) EXPECT_TRUE(rig.answer(client, 20'000));
  EXPECT_TRUE(rig.answer(deaf[0], 20'000));
  for (const uint32_t client : deaf) EXPECT_TRUE(rig.is_open(client));
}

TEST_F(FullOfAnswers, WhoReadsNothingIsClosedWhenOthersWait) {
  rig.clients->close_unread(rig.clock.monotonic());
  rig.clock.advance(9 * kSecond);
  rig.clients->close_unread(rig.clock.monotonic());
  EXPECT_EQ(rig.count(Metric::connections_closed_stalled), 0u);
  rig.clock.advance(kSecond);
  rig.clients->close_unread(rig.clock.monotonic());
  EXPECT_EQ(rig.count(Metric::connections_closed_stalled), deaf.size());
  for (const uint32_t client : waiting) EXPECT_TRUE(rig.answer(client));
  EXPECT_EQ(rig.broker->answer_bytes, 0u);
}

// Nobody is idle who takes a byte now and then; but he holds what others wait for.
TEST_F(FullOfAnswers, WhoReadsDripByDripIsClosedWhoReadsSlowlyIsNot) {
  const uint32_t slow = deaf[0];
  const uint32_t drip = deaf[1];
  rig.stream(slow).peer_window(20'000);
  rig.stream(drip).peer_window(100);
  for (const uint32_t client : {slow, drip}) rig.stream(client).peer_reads(true);
  const size_t slow_had = rig.stream(slow).sent();
  const size_t drip_had = rig.stream(drip).sent();
  for (int second = 0; second <= 12; ++second) {
    rig.clock.advance(kSecond);
    rig.turns(20);
    rig.clients->close_unread(rig.clock.monotonic());
  }
  EXPECT_GT(rig.stream(drip).sent(), drip_had);
  EXPECT_FALSE(rig.is_open(drip));
  EXPECT_GT(rig.stream(slow).sent(), slow_had + dataplane::Progress::kBytes);
  EXPECT_TRUE(rig.is_open(slow));
  EXPECT_GT(rig.broker->answer_bytes, 0u) << "he still reads";
  EXPECT_EQ(rig.count(Metric::connections_closed_stalled), deaf.size() - 1);
  for (const uint32_t client : waiting) EXPECT_TRUE(rig.answer(client));
}

TEST(Connection, UnreadAnswersMayStandWhileNobodyWaits) {
  BrokerRig rig(1);
  rig.publish(1);
  const uint32_t deaf = rig.connect();
  rig.stream(deaf).peer_reads(false);
  rig.send(deaf, frame_with_errors(20'000, 1));
  rig.turns(500);
  EXPECT_GT(rig.broker->answer_bytes, 0u);
  for (int i = 0; i < 3; ++i) {
    rig.clock.advance(3600 * kSecond);
    rig.clients->close_unread(rig.clock.monotonic());
  }
  EXPECT_TRUE(rig.is_open(deaf));
}

TEST(Connection, AnswersOfControlThatFindNoRoomClose) {
  BrokerRig rig(1);
  rig.publish(1);
  std::vector<uint32_t> clients;
  for (int i = 0; i < 20; ++i) {
    clients.push_back(rig.connect());
    rig.stream(clients.back()).peer_reads(false);
    rig.send(clients.back(), frame_of(MetadataRequest{}, 9, i));
  }
  rig.turns(200);
  const Bytes answer(10 * kMiB);
  size_t answered = 0;
  for (; auto event = rig.events.try_pop(); ++answered) {
    rig.clients->answer({std::get<dataplane::SlowRequest>(*event).connection, answer});
    ASSERT_LE(rig.broker->answer_bytes, 2 * dataplane::Broker::kAnswerBytesMax);
  }
  EXPECT_EQ(answered, clients.size());
  EXPECT_EQ(rig.count(Metric::connections_closed_stalled), 8u);
}

TEST(Connection, WhatWasAskedBeforeAHalfCloseIsAnswered) {
  for (uint64_t seed = 1; seed <= kSeeds; ++seed) {
    BrokerRig rig(seed);
    rig.publish(1);
    const uint32_t client = rig.connect();
    for (int i = 0; i < 3; ++i) rig.send(client, frame_of(produce_of(0, batch_of(1, "x")), 9, i));
    rig.send(client, frame_of(list_offsets_of(0, -1), 6, 3));
    rig.send(client, Bytes(3));  // of a request that will never be whole
    rig.stream(client).peer_ends();
    for (int i = 0; i < 4; ++i) ASSERT_TRUE(rig.answer(client)) << "seed " << seed << " answer " << i;
    rig.turns(50);
    EXPECT_FALSE(rig.is_open(client));
  }
}

TEST(Connection, AParkedFetchGoesWithItsClient) {
  BrokerRig rig(1);
  rig.publish(1);
  const uint32_t client = rig.connect();
  rig.send(client, frame_of(fetch_of(0, 0, 1, 600'000), 12, 1));
  rig.turns(50);
  EXPECT_EQ(rig.count(Metric::fetches_parked), 1u);
  rig.stream(client).peer_ends();
  rig.turns(50);
  EXPECT_FALSE(rig.is_open(client));
  EXPECT_EQ(rig.clients->count(), 0u);
}

TEST(Connection, IdleOnesAreReapedBusyOnesAreNot) {
  BrokerRig rig(1);
  rig.publish(1);
  const uint32_t idle = rig.connect();
  const uint32_t polling = rig.connect();
  rig.send(polling, frame_of(fetch_of(0, 0, 1, 600'000), 12, 1));
  rig.turns(50);
  rig.clock.advance(60 * kSecond);
  rig.turn();
  const uint32_t fresh = rig.connect();
  rig.clients->reap_idle(rig.clock.monotonic() - 30 * kSecond);
  EXPECT_FALSE(rig.is_open(idle));
  EXPECT_TRUE(rig.is_open(polling));
  EXPECT_TRUE(rig.is_open(fresh));
  EXPECT_EQ(rig.count(Metric::connections_closed_idle), 1u);
}

TEST(Connection, WhoReadsOrSendsSlowlyIsNotIdle) {
  BrokerRig rig(1);
  rig.publish(1);
  const uint32_t reader = rig.connect();
  rig.stream(reader).peer_reads(false);
  rig.stream(reader).peer_window(1000);
  rig.send(reader, frame_with_errors(4'000, 1));
  rig.turns(200);
  rig.stream(reader).peer_reads(true);
  const uint32_t writer = rig.connect();
  const Bytes request = frame_of(produce_of(0, batch_of(1, "x", 5'000)), 9, 1);
  for (size_t i = 0; i < 10; ++i) {
    rig.send(writer, std::span(request).subspan(i * 500, 500));
    rig.clock.advance(20 * kSecond);
    rig.turns(50);
    rig.clients->reap_idle(rig.clock.monotonic() - 30 * kSecond);
    ASSERT_TRUE(rig.is_open(reader)) << i;
    ASSERT_TRUE(rig.is_open(writer)) << i;
  }
  EXPECT_GT(rig.broker->answer_bytes, 0u) << "it reads all the time";
  rig.send(writer, std::span(request).subspan(5'000));
  EXPECT_TRUE(rig.answer(writer));
  rig.stream(reader).peer_reads(false);
  rig.turns(50);
  rig.clock.advance(60 * kSecond);
  rig.clients->reap_idle(rig.clock.monotonic() - 30 * kSecond);
  EXPECT_FALSE(rig.is_open(reader));
  EXPECT_FALSE(rig.is_open(writer));
}

TEST(Connection, StopAnswersWhatWasAppendedAndBeginsNothing) {
  for (uint64_t seed = 1; seed <= kSeeds; ++seed) {
    BrokerRig rig(seed);
    rig.publish(1);
    const uint32_t producer = rig.connect();
    const uint32_t poller = rig.connect();
    rig.disk.faults().delay_min = rig.disk.faults().delay_max = 10 * kMillisecond;
    rig.send(producer, frame_of(produce_of(0, batch_of(1, "x")), 9, 1));
    rig.send(poller, frame_of(fetch_of(0, 100, 1, 600'000), 12, 1));
    while (rig.storage_counters.get(storage::Metric::batches_appended) == 0) rig.turn();
    rig.clients->stop();
    rig.send(producer, frame_of(produce_of(0, batch_of(1, "never")), 9, 2));
    ASSERT_TRUE(rig.answer(producer));
    rig.turns(1000);
    EXPECT_EQ(rig.clients->count(), 0u);
    EXPECT_EQ(rig.storage_counters.get(storage::Metric::batches_appended), 1u);
  }
}

TEST(Connection, WhenTheDeviceFailsProducersAreNotToldASuccess) {
  for (uint64_t seed = 1; seed <= kSeeds; ++seed) {
    BrokerRig rig(seed);
    rig.publish(1);
    const uint32_t before = rig.connect();
    const uint32_t after = rig.connect();
    rig.disk.faults().fail_write_in = 1;
    rig.send(before, frame_of(produce_of(0, batch_of(1, "x")), 9, 1));
    EXPECT_FALSE(rig.answer(before, 300));
    EXPECT_FALSE(rig.is_open(before));
    const auto answer = rig.call<ProduceResponse>(after, produce_of(0, batch_of(1, "y")), 9);
    ASSERT_TRUE(answer);
    EXPECT_EQ(only(*answer).error_code, ErrorCode::kKafkaStorageError);
    EXPECT_TRUE(only(*answer).error_message.has_value());
    EXPECT_EQ(rig.count(Metric::produce_refused), 1u);
  }
}

TEST(Connection, RandomBytesNeverDisturbTheOthers) {
  for (uint64_t seed = 1; seed <= 10; ++seed) {
    BrokerRig rig(seed);
    rig.publish(1);
    Prng prng(seed);
    const uint32_t good = rig.connect();
    for (int i = 0; i < 200; ++i) {
      const uint32_t hostile = rig.connect();
      // A true frame, mutilated, so that the damage reaches every depth.
      Bytes frame = i % 2 == 0 ? frame_of(produce_of(0, batch_of(3, "h")), 9, i) : frame_of(fetch_of(0, 0), 12, i);
      for (uint64_t n = prng.between(1, 8); n > 0; --n) {
        frame[4 + prng.below(frame.size() - 4)] = static_cast<std::byte>(prng.next());
      }
      if (prng.one_in(3)) frame.resize(prng.between(1, frame.size()));
      rig.send(hostile, frame);
      if (prng.one_in(2)) rig.stream(hostile).peer_ends();
    }
    rig.turns(30);
    const auto answer = rig.call<ProduceResponse>(good, produce_of(0, batch_of(1, "good")), 9);
    ASSERT_TRUE(answer) << "seed " << seed;
    EXPECT_EQ(only(*answer).error_code, ErrorCode::kNone);
    EXPECT_GT(rig.count(Metric::connections_closed_bad_request), 0u);
  }
}

}  // namespace
}  // namespace penstock::testing
