// The load generator's parts (schedule, batches, frames, the Fetch reader) by themselves, then whole runs against a
// broker in memory. What is asserted of runs is counts and order, never a speed.
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <nlohmann/json.hpp>
#include <set>

#include "base/crc32c.h"
#include "base/prng.h"
#include "base/system_clock.h"
#include "control/cli/client.h"
#include "control/cli/error.h"
#include "control/cli/load/batch_source.h"
#include "control/cli/load/consume_run.h"
#include "control/cli/load/fetch_answer.h"
#include "control/cli/load/produce_frame.h"
#include "control/cli/load/schedule.h"
#include "protocol/compression/batches.h"
#include "protocol/gen/fetch.h"
#include "tests/cli_fake_broker.h"
#include "tests/cli_run.h"

namespace penstock::cli {
namespace {

TEST(Schedule, RequestsAreEvenlyDue) {
  const Schedule schedule(1000, 10, 1000);  // batches of ten records, a thousand records a second
  EXPECT_EQ(schedule.due(0), 1000);
  EXPECT_EQ(schedule.due(1), 1000 + 10 * kMillisecond);
  EXPECT_EQ(schedule.due(100), 1000 + kSecond);
}

TEST(Schedule, NoRoundingAddsUp) {
  const Schedule thirds(0, 1, 3);
  EXPECT_EQ(thirds.due(1), 333'333'333);
  EXPECT_EQ(thirds.due(2), 666'666'666);
  EXPECT_EQ(thirds.due(3), kSecond);
  // A year at ten million records a second: still exact.
  const Schedule fast(0, 1, 10'000'000);
  const uint64_t year = uint64_t{365} * 24 * 3600;
  EXPECT_EQ(fast.due(year * 10'000'000), static_cast<Nanos>(year) * kSecond);
}

TEST(Schedule, DueByIsTheInverse) {
  Prng prng(1, 1);
  for (int round = 0; round < 2000; ++round) {
    const Nanos start = static_cast<Nanos>(prng.below(1'000'000'000'000));
    const Schedule schedule(start, prng.between(1, 100'000), prng.between(1, 10'000'000'000));
    EXPECT_EQ(schedule.due_by(start - 1), 0u);
    EXPECT_GE(schedule.due_by(start), 1u);
    const Nanos now = start + static_cast<Nanos>(prng.below(100 * kSecond));
    const uint64_t count = schedule.due_by(now);
    EXPECT_LE(schedule.due(count - 1), now);
    EXPECT_GT(schedule.due(count), now);
  }
}

TEST(BatchSource, EveryStampGivesAValidBatch) {
  Prng prng(1, 2);
  for (const auto& [records, bytes] : {std::pair<uint32_t, uint32_t>{1, 1}, {1, 1000}, {100, 128}, {7, 5000}}) {
    const BatchSource source({.records = records, .record_bytes = bytes, .words = prng.one_in(2)}, prng);
    EXPECT_EQ(source.payload_bytes(), uint64_t{records} * bytes);
    for (int round = 0; round < 50; ++round) {
      BatchSource::Stamp stamp{static_cast<int64_t>(prng.below(1'000'000'000'000))};
      if (round % 2 == 0) {
        stamp.producer_id = ProducerId{static_cast<int64_t>(prng.below(1000))};
        stamp.producer_epoch = 1;
        stamp.base_sequence = static_cast<int32_t>(prng.below(1'000'000));
      }
      std::vector<std::byte> batch(source.batch_bytes());
      source.write_header(std::span(batch).first<protocol::kBatchHeaderBytes>(), stamp);
      std::ranges::copy(source.body(), batch.begin() + protocol::kBatchHeaderBytes);
      ASSERT_TRUE(protocol::batch_crc_ok(batch));
      EXPECT_EQ(protocol::check_batch_header(batch, batch.size()), ErrorCode::kNone);
      const auto view = protocol::view_of(batch);
      EXPECT_EQ(view.records_count(), static_cast<int32_t>(records));
      EXPECT_EQ(view.base_timestamp(), stamp.timestamp_ms);
      EXPECT_EQ(view.max_timestamp(), stamp.timestamp_ms);
      EXPECT_EQ(view.base_sequence(), stamp.base_sequence);
      const std::span<const std::byte> pieces[] = {source.body()};
      EXPECT_EQ(protocol::walk_records(pieces, static_cast<int32_t>(records)).error, ErrorCode::kNone);
    }
  }
}

TEST(BatchSource, CompressedBatchesHoldTheSameRecordsInLess) {
  using protocol::Compression;
  for (const Compression codec : {Compression::kGzip, Compression::kSnappy, Compression::kLz4, Compression::kZstd}) {
    Prng prng(1, 4);
    const BatchSource source(
        {.records = 200, .record_bytes = 100, .words = true, .codec = codec, .level = protocol::levels_of(codec).usual},
        prng);
    EXPECT_LT(source.batch_bytes(), source.payload_bytes() * 3 / 4);
    std::vector<std::byte> batch(source.whole().begin(), source.whole().end());
    source.write_header(std::span(batch).first<protocol::kBatchHeaderBytes>(), {.timestamp_ms = 7});
    EXPECT_TRUE(protocol::batch_crc_ok(batch));
    EXPECT_EQ(protocol::view_of(batch).compression(), codec);
    std::vector<std::byte> records;
    ASSERT_TRUE(protocol::append_records(batch, 100'000, records));
    const std::span<const std::byte> pieces[] = {records};
    EXPECT_EQ(protocol::walk_records(pieces, 200).error, ErrorCode::kNone);
  }
}

TEST(BatchSource, BatchesFillTheirSize) {
  Prng prng(1, 3);
  for (const uint32_t record_bytes : {1u, 100u, 1024u, 100'000u}) {
    for (const uint64_t batch_bytes :
         {uint64_t{0}, uint64_t{61}, uint64_t{1000}, uint64_t{16384}, uint64_t{1'000'000}}) {
      const uint32_t records = BatchSource::records_for(batch_bytes, record_bytes);
      ASSERT_GE(records, 1u);
      const BatchSource source({.records = records, .record_bytes = record_bytes}, prng);
      EXPECT_TRUE(records == 1 || source.batch_bytes() <= batch_bytes);
    }
  }
}

TEST(FixedCrc, ContinuesAnyChecksum) {
  Prng prng(1, 4);
  for (int round = 0; round < 200; ++round) {
    std::vector<std::byte> bytes(prng.below(3000));
    prng.fill(bytes);
    const FixedCrc fixed(bytes);
    for (int i = 0; i < 20; ++i) {
      const auto crc = static_cast<uint32_t>(prng.next());
      ASSERT_EQ(fixed.append_to(crc), crc32c(crc, bytes));
    }
  }
}

// Random answers from the table codec read back in place, in every version.
TEST(FetchAnswer, AgreesWithTheCodec) {
  Prng prng(1, 5);
  for (int16_t version = 4; version <= 18; ++version) {
    for (int round = 0; round < 20; ++round) {
      protocol::FetchResponse response;
      if (version >= 7) response.error_code = static_cast<ErrorCode>(prng.below(3));
      const uint64_t topics = prng.below(3);
      for (uint64_t t = 0; t < topics; ++t) {
        auto& topic = response.responses.emplace_back();
        if (version < 13) topic.topic = std::string(prng.below(40), 't');
        if (version >= 13) topic.topic_id.bytes[3] = 1;
        const uint64_t partitions = prng.below(4);
        for (uint64_t p = 0; p < partitions; ++p) {
          auto& data = topic.partitions.emplace_back();
          data.partition_index = static_cast<int32_t>(prng.below(100));
          data.error_code = static_cast<ErrorCode>(prng.below(5));
          data.high_watermark = static_cast<int64_t>(prng.below(1'000'000));
          data.aborted_transactions = std::nullopt;
          if (prng.one_in(2)) data.aborted_transactions.emplace().resize(prng.below(3));
          if (version >= 12 && prng.one_in(3)) data.current_leader.leader_id = 3;  // a tagged field
          data.records.emplace(prng.below(300));
          prng.fill(*data.records);
          if (prng.one_in(4)) data.records = std::nullopt;
        }
      }
      std::vector<std::byte> bytes;
      ASSERT_TRUE(protocol::encode(response, version, bytes));
      const auto answer = read_fetch_answer(bytes, version);
      ASSERT_TRUE(answer) << version;
      EXPECT_EQ(answer->error, response.error_code);
      size_t i = 0;
      for (const auto& topic : response.responses) {
        for (const auto& data : topic.partitions) {
          ASSERT_LT(i, answer->partitions.size());
          const FetchedPartition& got = answer->partitions[i++];
          EXPECT_EQ(got.index, data.partition_index);
          EXPECT_EQ(got.error, data.error_code);
          EXPECT_EQ(got.high_watermark, data.high_watermark);
          EXPECT_TRUE(std::ranges::equal(got.records, data.records.value_or(std::vector<std::byte>{})));
        }
      }
      EXPECT_EQ(i, answer->partitions.size());
      for (size_t cut = 0; cut < bytes.size(); ++cut) {
        EXPECT_FALSE(read_fetch_answer(std::span(bytes).first(cut), version)) << version << " cut at " << cut;
      }
    }
  }
}

std::vector<std::byte> batch_at(int64_t base_offset, int records) {
  protocol::BatchBuilder builder({.base_offset = Offset{base_offset}});
  for (int i = 0; i < records; ++i) builder.add(0, std::nullopt, as_bytes("value"));
  return builder.finish();
}

std::vector<std::byte> operator+(std::vector<std::byte> a, const std::vector<std::byte>& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

TEST(ReadBatches, CountsWhatWasAskedFor) {
  const auto bytes = batch_at(10, 5) + batch_at(15, 2) + batch_at(20, 1);  // a gap, as compaction leaves
  const BatchesRead read = read_batches(bytes, 12, true);
  EXPECT_EQ(read.records, 6u);  // 12 to 16, and 20
  EXPECT_EQ(read.next_offset, 21);
  EXPECT_EQ(read.bytes, bytes.size());
  const auto whole = batch_at(10, 5).size();
  const BatchesRead cut = read_batches(std::span(bytes).first(bytes.size() - 1), 10, true);
  EXPECT_EQ(cut.next_offset, 17);
  EXPECT_EQ(read_batches(std::span(bytes).first(whole - 1), 10, true).records, 0u);
  EXPECT_EQ(read_batches({}, 10, true).next_offset, 10);
}

TEST(ReadBatches, RefusesWhatIsNoLog) {
  EXPECT_THROW(read_batches(batch_at(10, 5), 15, false), CliError);                   // all before the offset
  EXPECT_THROW(read_batches(batch_at(10, 5) + batch_at(12, 5), 10, true), CliError);  // overlap
  auto damaged = batch_at(0, 3);
  damaged.back() ^= std::byte{1};
  EXPECT_NO_THROW(read_batches(damaged, 0, false));
  EXPECT_THROW(read_batches(damaged, 0, true), CliError);
  damaged[protocol::BatchLayout::kMagic] = std::byte{1};
  EXPECT_THROW(read_batches(damaged, 0, false), CliError);
}

CommandResult bench(const FakeBroker& broker, std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), "bench");
  arguments.insert(arguments.end(), {"--bootstrap", broker.address(), "--quiet", "--json", "-"});
  return run_command(std::move(arguments));
}

TEST(BenchProduce, CountArrivesAndIsReadBack) {
  FakeBroker broker;
  const auto produced = bench(broker, {"produce", "--topic", "t", "--partitions", "3", "--connections", "4", "--count",
                                       "1000", "--batch-records", "7", "--record-bytes", "100"});
  ASSERT_EQ(produced.exit_code, 0) << produced.err;
  const auto json = nlohmann::json::parse(produced.out);
  EXPECT_EQ(json["result"]["records"], 1001);  // whole batches
  EXPECT_EQ(json["result"]["bytes"], 100'100);
  EXPECT_EQ(json["result"]["latency_us"]["count"], 143);
  EXPECT_EQ(json["config"]["partitions"], 3);
  EXPECT_EQ(broker.crc_failures(), 0u);
  EXPECT_EQ(broker.end_offset("t", 0) + broker.end_offset("t", 1) + broker.end_offset("t", 2), 1001);

  const auto consumed = bench(broker, {"consume", "--topic", "t", "--verify", "--fetch-bytes", "1000", "--connections",
                                       "2", "--in-flight", "2"});
  ASSERT_EQ(consumed.exit_code, 0) << consumed.err;
  EXPECT_EQ(nlohmann::json::parse(consumed.out)["result"]["records"], 1001);
}

TEST(BenchProduce, OpenLoopOffersWhatTheScheduleSays) {
  FakeBroker broker;
  const auto produced = bench(broker, {"produce", "--rate", "1000", "--duration", "500ms", "--batch-records", "5",
                                       "--record-bytes", "10", "--connections", "3"});
  ASSERT_EQ(produced.exit_code, 0) << produced.err;
  const auto result = nlohmann::json::parse(produced.out)["result"];
  EXPECT_EQ(result["requests"], 100);
  EXPECT_EQ(result["records"], 500);
  EXPECT_GT(result["send_lag_us"]["count"], 0);
}

// A broker that takes 10 ms a request is offered 100 requests in a quarter of a second over one connection without
// pipelining. It can do 25; the rest wait, and their waiting is counted. What is asserted follows from the broker's
// sleeping alone: request i was due at 2.5 ms x i and could not be answered before 10 ms x (i + 1).
TEST(BenchProduce, SlowBrokerPaysForEveryRequestThatItKeepsWaiting) {
  FakeBroker broker({.produce_delay_ms = 10});
  const auto produced = bench(broker, {"produce", "--rate", "400", "--duration", "250ms", "--batch-records", "1",
                                       "--in-flight", "1", "--record-bytes", "10"});
  ASSERT_EQ(produced.exit_code, 0) << produced.err;
  const auto result = nlohmann::json::parse(produced.out)["result"];
  EXPECT_EQ(result["requests"], 100);
  EXPECT_GE(result["latency_us"]["max"], 752'000);
  EXPECT_GE(result["latency_us"]["p50"], 377'000);
}

TEST(BenchProduce, IdempotentSequencesHaveNoGap) {
  FakeBroker broker;
  const auto produced = bench(broker, {"produce", "--topic", "t", "--partitions", "2", "--connections", "3", "--count",
                                       "3000", "--batch-records", "3", "--record-bytes", "10", "--idempotent"});
  ASSERT_EQ(produced.exit_code, 0) << produced.err;
  EXPECT_EQ(broker.sequence_failures(), 0u);
  EXPECT_EQ(broker.produce_requests(), 1000u);
}

TEST(BenchProduce, AcksNoneCountsWhatTheKernelTook) {
  FakeBroker broker;
  const auto produced = bench(broker, {"produce", "--topic", "t", "--acks", "0", "--count", "500", "--batch-records",
                                       "1", "--record-bytes", "10"});
  ASSERT_EQ(produced.exit_code, 0) << produced.err;
  EXPECT_EQ(nlohmann::json::parse(produced.out)["result"]["requests"], 500);
}

TEST(BenchProduce, RefusedBatchesAreCountedByName) {
  FakeBroker broker({.produce_error = ErrorCode::kKafkaStorageError, .produce_error_from = 10});
  const auto produced = bench(broker, {"produce", "--count", "30", "--batch-records", "1", "--record-bytes", "10"});
  EXPECT_EQ(produced.exit_code, 1);
  const auto result = nlohmann::json::parse(produced.out)["result"];
  EXPECT_EQ(result["requests"], 10);
  EXPECT_EQ(result["errors"]["KAFKA_STORAGE_ERROR"], 20);
  EXPECT_EQ(result["latency_us"]["count"], 10);

  const auto idempotent = bench(broker, {"produce", "--count", "30", "--record-bytes", "10", "--idempotent"});
  EXPECT_EQ(idempotent.exit_code, 1);
  EXPECT_NE(idempotent.err.find("KAFKA_STORAGE_ERROR"), std::string::npos) << idempotent.err;
}

TEST(BenchProduce, UnansweredRequestsAreNotLeftOut) {
  FakeBroker broker({.mute_on_api = 0});
  const auto produced =
      bench(broker, {"produce", "--count", "3", "--batch-records", "1", "--record-bytes", "10", "--timeout", "300ms"});
  EXPECT_EQ(produced.exit_code, 1);
  const auto result = nlohmann::json::parse(produced.out)["result"];
  EXPECT_EQ(result["unfinished"], 3);
  EXPECT_GE(result["latency_us"]["min"], 250'000);
}

TEST(BenchProduce, CleanupDeletesOnlyWhatTheRunMade) {
  FakeBroker broker;
  bench(broker, {"produce", "--topic", "mine", "--count", "1", "--cleanup"});
  EXPECT_FALSE(broker.has_topic("mine"));
  run_command({"topic", "create", "theirs", "--bootstrap", broker.address()});
  bench(broker, {"produce", "--topic", "theirs", "--count", "1", "--cleanup"});
  EXPECT_TRUE(broker.has_topic("theirs"));
}

TEST(BenchProduce, BrokerThatHangsUpEndsTheRun) {
  FakeBroker broker({.close_on_api = 0});
  const auto produced = bench(broker, {"produce", "--count", "10"});
  EXPECT_EQ(produced.exit_code, 2);
  EXPECT_NE(produced.err.find("closed the connection"), std::string::npos) << produced.err;
}

TEST(BenchConsume, LoopAndTailEndAtTheirBounds) {
  FakeBroker broker;
  bench(broker, {"produce", "--topic", "t", "--count", "100", "--batch-records", "10", "--record-bytes", "10"});
  const auto looped = bench(broker, {"consume", "--topic", "t", "--loop", "--count", "1000"});
  ASSERT_EQ(looped.exit_code, 0) << looped.err;
  EXPECT_GE(nlohmann::json::parse(looped.out)["result"]["records"], 1000);
  const auto tail = bench(broker, {"consume", "--topic", "t", "--from", "end", "--duration", "100ms"});
  ASSERT_EQ(tail.exit_code, 0) << tail.err;
  EXPECT_EQ(nlohmann::json::parse(tail.out)["result"]["records"], 0);
}

TEST(BenchLatency, BlocksOfEachKindAndAllRecordsComeBack) {
  FakeBroker broker;
  const auto run = bench(broker, {"latency", "--rate", "200", "--block", "100ms", "--rounds", "2", "--acks", "1"});
  ASSERT_EQ(run.exit_code, 0) << run.err;
  const auto result = nlohmann::json::parse(run.out)["result"];
  EXPECT_EQ(result["produce_to_ack_us"]["count"], 40);
  EXPECT_EQ(result["produce_to_consume_us"]["count"], 40);
  EXPECT_EQ(result["produce_to_ack_while_consuming_us"]["count"], 40);
  ASSERT_EQ(result["blocks"].size(), 4u);
  EXPECT_EQ(result["blocks"][0]["kind"], "ack");
  EXPECT_EQ(result["blocks"][1]["kind"], "end");
  EXPECT_EQ(result["blocks"][2]["kind"], "end");
  EXPECT_EQ(result["blocks"][3]["kind"], "ack");
}

TEST(BenchLatency, RefusalEndsTheRunWithTheBrokersName) {
  FakeBroker broker({.produce_error = ErrorCode::kNotEnoughReplicas});
  const auto run = bench(broker, {"latency"});
  EXPECT_EQ(run.exit_code, 1);
  EXPECT_EQ(run.err, "penstock: the broker refused a batch: NOT_ENOUGH_REPLICAS\n");
}

// A folder of the build's file system, gone with the test. (/tmp may have no direct I/O.)
class ScratchFolder {
 public:
  ScratchFolder() : path_(std::filesystem::current_path() / ("cli_load_test." + std::to_string(getpid()))) {
    std::filesystem::create_directory(path_);
  }
  ~ScratchFolder() { std::filesystem::remove_all(path_); }
  std::string path() const { return path_.string(); }
  bool empty() const { return std::filesystem::is_empty(path_); }

 private:
  std::filesystem::path path_;
};

TEST(BenchDisk, CountsWritesAndLeavesNothing) {
  const ScratchFolder folder;
  for (const std::string method : {"dsync", "flush", "auto"}) {
    const auto run = run_command({"bench", "disk", "--data", folder.path(), "--bytes", "5000", "--file-bytes", "1MiB",
                                  "--count", "300", "--method", method, "--quiet", "--json", "-"});
    ASSERT_EQ(run.exit_code, 0) << run.err;
    const auto json = nlohmann::json::parse(run.out);
    EXPECT_EQ(json["result"]["writes"], 300);
    EXPECT_EQ(json["config"]["write_bytes"], 8192);
    EXPECT_TRUE(method == "auto" || json["config"]["method"] == method);
    EXPECT_TRUE(folder.empty());
  }
}

TEST(BenchDisk, FolderThatIsNotThere) {
  const auto run = run_command({"bench", "disk", "--data", "/no/such/folder"});
  EXPECT_EQ(run.exit_code, 1);
  EXPECT_EQ(run.err, "penstock: /no/such/folder: no such folder\n");
}

TEST(BenchMatrix, OneRowForEachCombination) {
  FakeBroker broker;
  const std::vector<std::string> small{"matrix",  "--record-bytes", "50,100", "--batch-bytes", "16KiB",
                                       "--codec", "none,snappy",    "--acks", "all,1",         "--partitions",
                                       "1,3",     "--rounds",       "2",      "--block",       "20ms"};
  const auto run = bench(broker, small);
  ASSERT_EQ(run.exit_code, 0) << run.err;
  const auto rows = nlohmann::json::parse(run.out)["result"];
  ASSERT_EQ(rows.size(), 16u);
  std::set<std::string> combinations;
  for (const auto& row : rows) {
    EXPECT_EQ(row["rounds_ratio"].size(), 2u);
    ASSERT_EQ(row["rounds_megabytes_per_second"].size(), 2u);
    EXPECT_LE(row["p50_us"], row["p99_9_us"]);
    EXPECT_EQ(row["codec"] == "none", row["packed"].get<double>() > 1) << row;
    combinations.insert(nlohmann::json{row["partitions"], row["acks"], row["codec"], row["record_bytes"]}.dump());
  }
  EXPECT_EQ(combinations.size(), 16u);
  // A busy machine may get nothing through in so short a block; what it got is its own measure.
  for (size_t round = 0; round < 2; ++round) {
    const double got = rows[0]["rounds_megabytes_per_second"][round];
    EXPECT_EQ(rows[0]["rounds_ratio"][round], got > 0 ? 1.0 : 0.0);
  }
  EXPECT_FALSE(broker.has_topic("penstock-bench-matrix"));
}

TEST(BenchMatrix, PrintsATable) {
  FakeBroker broker;
  const auto run =
      run_command({"bench", "matrix", "--bootstrap", broker.address(), "--record-bytes", "100", "--batch-bytes", "1KiB",
                   "--codec", "lz4", "--rounds", "1", "--block", "20ms", "--quiet"});
  ASSERT_EQ(run.exit_code, 0) << run.err;
  EXPECT_EQ(run.out.find("PARTITIONS  ACKS  CODEC  BATCH  RECORD  PACKED"), 0u) << run.out;
  EXPECT_NE(run.out.find("\n1           all   lz4    1024   100 "), std::string::npos) << run.out;
  EXPECT_EQ(run.err, "");
  for (const auto& bad : std::vector<std::vector<std::string>>{{"--codec", "lz5"},
                                                               {"--acks", "2"},
                                                               {"--partitions", "0"},
                                                               {"--record-bytes", "1,,2"},
                                                               {"--record-bytes", "0"}}) {
    std::vector<std::string> arguments{"bench", "matrix", "--bootstrap", broker.address()};
    arguments.insert(arguments.end(), bad.begin(), bad.end());
    EXPECT_GE(run_command(arguments).exit_code, 100) << bad[1];
  }
}

TEST(Bench, ArgumentsThatMakeNoSense) {
  const std::vector<std::vector<std::string>> bad = {
      {"bench"},
      {"bench", "produce", "--rate", "fast"},
      {"bench", "produce", "--acks", "2"},
      {"bench", "produce", "--duration", "soon"},
      {"bench", "produce", "--connections", "0"},
      {"bench", "produce", "--idempotent", "--acks", "1"},
      {"bench", "produce", "--idempotent", "--in-flight", "6"},
      {"bench", "produce", "--record-bytes", "0"},
      {"bench", "produce", "--record-bytes", "1GB"},
      {"bench", "produce", "--warmup", "20s"},
      {"bench", "consume", "--from", "middle"},
      {"bench", "consume", "--from", "end"},
      {"bench", "consume", "--loop"},
      {"bench", "latency", "--acks", "0"},
      {"bench", "latency", "--record-bytes", "8"},
      {"bench", "latency", "--rate", "0"},
      {"bench", "disk", "--bytes", "2MiB"},
      {"bench", "disk", "--method", "hope"},
  };
  for (const auto& arguments : bad) {
    const auto result = run_command(arguments);
    EXPECT_GE(result.exit_code, 100) << arguments.back();
    EXPECT_NE(result.err, "");
  }
}

}  // namespace
}  // namespace penstock::cli
