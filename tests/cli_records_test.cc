// penstock produce and consume: their parts, and both against a broker in memory.
#include <gtest/gtest.h>
#include <pthread.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <thread>

#include "base/bytes.h"
#include "control/cli/error.h"
#include "control/cli/records/partitioner.h"
#include "control/cli/records/record_format.h"
#include "control/cli/records/record_splitter.h"
#include "control/cli/records/start_at.h"
#include "control/cli/text.h"
#include "protocol/gen/metadata.h"
#include "tests/cli_fake_broker.h"
#include "tests/cli_run.h"

namespace penstock {
namespace {

using namespace penstock::cli;
using Records = std::vector<std::string>;

Records split(const std::string& input, const std::string& delimiter, size_t step) {
  RecordSplitter splitter(delimiter, 1000);
  Records out;
  const auto take = [&] {
    while (const auto record = splitter.next()) out.emplace_back(*record);
  };
  for (size_t at = 0; at < input.size(); at += step) {
    splitter.add(std::string_view(input).substr(at, step));
    take();
  }
  splitter.end();
  take();
  return out;
}

TEST(RecordSplitter, CutsTheSameHoweverTheInputComes) {
  for (size_t step = 1; step < 12; ++step) {
    EXPECT_EQ(split("a\nbc\n\nd", "\n", step), (Records{"a", "bc", "", "d"})) << step;
    EXPECT_EQ(split("a\nbc\n", "\n", step), (Records{"a", "bc"})) << step;
    EXPECT_EQ(split("a--b-c--", "--", step), (Records{"a", "b-c"})) << step;
    EXPECT_EQ(split("---x", "--", step), (Records{"", "-x"})) << step;
    EXPECT_EQ(split("a\nb\n", "", step), (Records{"a\nb\n"})) << step;
    EXPECT_EQ(split("", "\n", step), Records{}) << step;
  }
}

TEST(RecordSplitter, ARecordWithoutEndIsRefusedBeforeItFillsTheMemory) {
  RecordSplitter splitter("\n", 10);
  splitter.add("0123456789");
  EXPECT_EQ(splitter.next(), std::nullopt);
  splitter.add("0");
  EXPECT_THROW(splitter.next(), CliError);
  RecordSplitter ended("\n", 10);
  ended.add("01234567890\n");
  EXPECT_THROW(ended.next(), CliError);
}

TEST(RecordSplitter, KeyAndValue) {
  const auto parts = split_key("k:v:w", ":", false);
  EXPECT_EQ(parts.key, "k");
  EXPECT_EQ(parts.value, "v:w");
  EXPECT_EQ(split_key("v", ":", false).key, std::nullopt);
  EXPECT_EQ(split_key("k:v", "", false).value, "k:v");
  EXPECT_EQ(split_key(":", ":", false).key, "");
  EXPECT_EQ(split_key(":", ":", true).key, std::nullopt);
  EXPECT_EQ(split_key("k:", ":", true).value, std::nullopt);
}

// The values of Kafka's own test of Utils.murmur2.
TEST(Partitioner, HashIsKafkas) {
  const auto hash = [](const char* text) { return static_cast<int32_t>(murmur2(as_bytes(std::string_view(text)))); };
  EXPECT_EQ(hash("21"), -973932308);
  EXPECT_EQ(hash("foobar"), -790332482);
  EXPECT_EQ(hash("a-little-bit-long-string"), -985981536);
  EXPECT_EQ(hash("a-little-bit-longer-string"), -1486304829);
  EXPECT_EQ(hash("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8"), -58897971);
  EXPECT_EQ(hash("abc"), 479470107);
}

TEST(StartAt, ReadsWhatPeopleWrite) {
  using Kind = StartAt::Kind;
  constexpr int64_t kNow = 1'700'000'000'000;
  const auto is = [](const char* text, Kind kind, int64_t number) {
    const StartAt at = parse_start(text, kNow);
    EXPECT_EQ(at.kind, kind) << text;
    EXPECT_EQ(at.number, number) << text;
  };
  is("beginning", Kind::kBeginning, 0);
  is("end", Kind::kEnd, 0);
  is("42", Kind::kOffset, 42);
  is("-10", Kind::kLast, 10);
  is("@1700000000123", Kind::kTime, 1'700'000'000'123);
  is("@2023-11-14T22:13:20Z", Kind::kTime, kNow);
  is("@2023-11-14T22:13:20.123", Kind::kTime, kNow + 123);
  is("@1970-01-02", Kind::kTime, 86'400'000);
  is("@-10m", Kind::kTime, kNow - 600'000);
  for (const char* bad : {"", "start", "1x", "@", "@yesterday", "@2023-13-01", "@2023-02-30", "@2023-11-14T25:00:00",
                          "@2023-11-14T22:13:20.1", "@-10parsecs", "-9223372036854775808", "9223372036854775808"})
    EXPECT_THROW(parse_start(bad, kNow), std::invalid_argument) << bad;
}

TEST(Text, EscapesGoBothWays) {
  EXPECT_EQ(unescaped("a\\n\\t\\0\\\\\\x41\\xff"), std::string("a\n\t\0\\A\xff", 7));
  for (const char* bad : {"\\", "\\q", "\\x", "\\x4", "\\xg1", "\\x1g"})
    EXPECT_THROW(unescaped(bad), std::invalid_argument) << bad;
  EXPECT_EQ(escaped("\x1b[31m\xff\n\"\xc3\xa9"), "\\x1b[31m\\xff\\n\\\"\xc3\xa9");
}

TEST(RecordFormat, EveryLetter) {
  protocol::BatchBuilder builder;
  const protocol::RecordHeader headers[] = {{"a", as_bytes("1")}, {"b", std::nullopt}};
  builder.add(5, as_bytes("key"), as_bytes("v\x1b"), headers);
  builder.add(6, std::nullopt, std::nullopt);
  const auto batch = builder.finish();
  protocol::RecordReader reader(std::span<const std::byte>(batch).subspan(protocol::kBatchHeaderBytes));
  const ConsumedRecord first{3, 77, 1234, false, *reader.next()};
  const ConsumedRecord second{3, 78, -1, true, *reader.next()};
  std::string out;
  const RecordFormat all("%t/%p/%o/%T/%k/%K/%s/%S/%h/%%\\n", "topic", false);
  all.append(out, first);
  EXPECT_EQ(out, "topic/3/77/1234/key/3/v\x1b/2/a=1,b/%\n");
  out.clear();
  all.append(out, second);
  EXPECT_EQ(out, "topic/3/78/-1//-1//-1//%\n");
  out.clear();
  RecordFormat("%s", "topic", true).append(out, first);
  EXPECT_EQ(out, "v\\x1b");
  EXPECT_THROW(RecordFormat("%q", "", false), std::invalid_argument);
  EXPECT_THROW(RecordFormat("50%", "", false), std::invalid_argument);
}

class CliRecords : public testing::Test {
 protected:
  CliRecords() { make("t", 1); }

  void make(const std::string& topic, int partitions) {
    ASSERT_EQ(run({"topic", "create", topic, "--partitions", std::to_string(partitions)}).exit_code, 0);
  }
  CommandResult run(std::vector<std::string> arguments) { return run_on(broker_, std::move(arguments)); }
  static CommandResult run_on(const FakeBroker& broker, std::vector<std::string> arguments) {
    arguments.insert(arguments.end(), {"--bootstrap", broker.address()});
    return run_command(std::move(arguments));
  }
  CommandResult produce(const std::string& input, std::vector<std::string> more, const std::string& topic = "t") {
    return produce_on(broker_, input, std::move(more), topic);
  }
  static CommandResult produce_on(const FakeBroker& broker, const std::string& input, std::vector<std::string> more,
                                  const std::string& topic = "t") {
    std::string path = (std::filesystem::temp_directory_path() / "produce.XXXXXX").string();
    const int fd = mkstemp(path.data());
    EXPECT_GE(fd, 0);
    close(fd);
    std::ofstream(path, std::ios::binary) << input;
    more.insert(more.begin(), {"produce", topic, "--file", path});
    auto result = run_on(broker, std::move(more));
    std::filesystem::remove(path);
    return result;
  }
  std::string consume(std::vector<std::string> more, const std::string& topic = "t") {
    more.insert(more.begin(), {"consume", topic, "-e"});
    const auto result = run(std::move(more));
    EXPECT_EQ(result.exit_code, 0) << result.err;
    return result.out;
  }

  FakeBroker broker_;
};

TEST_F(CliRecords, LinesGoInAndComeOut) {
  const auto made = produce("one\ntwo\n\nfour", {});
  EXPECT_EQ(made.exit_code, 0) << made.err;
  EXPECT_EQ(made.out + made.err, "");
  EXPECT_EQ(consume({}), "one\ntwo\n\nfour\n");
  EXPECT_EQ(consume({"-c", "2"}), "one\ntwo\n");
  EXPECT_EQ(consume({"-o", "2"}), "\nfour\n");
  EXPECT_EQ(consume({"-o", "-1"}), "four\n");
  EXPECT_EQ(consume({"-o", "-100"}), "one\ntwo\n\nfour\n");
  EXPECT_EQ(consume({"-o", "end"}), "");
  EXPECT_EQ(consume({"-o", "@-1h", "-f", "%o"}), "0123");
  EXPECT_EQ(consume({"-f", "%o,", "--until", "2020-01-01"}), "");
}

TEST_F(CliRecords, EveryCodecAndLevel) {
  std::string input;
  for (int i = 0; i < 2000; ++i) input += "line " + std::to_string(i) + "\n";
  int topic = 0;
  for (const auto& codec : std::vector<std::vector<std::string>>{{"none"},
                                                                 {"gzip"},
                                                                 {"gzip", "--level", "1"},
                                                                 {"snappy"},
                                                                 {"lz4", "--level", "17"},
                                                                 {"zstd", "--level", "-7"}}) {
    const std::string name = "c" + std::to_string(topic++);
    make(name, 1);
    std::vector<std::string> more{"-z"};
    more.insert(more.end(), codec.begin(), codec.end());
    more.insert(more.end(), {"--batch-bytes", "4KiB"});
    const auto made = produce(input, more, name);
    ASSERT_EQ(made.exit_code, 0) << made.err;
    EXPECT_EQ(consume({}, name), input) << codec[0];
    EXPECT_EQ(consume({"-o", "1999"}, name), "line 1999\n");
  }
  EXPECT_GT(broker_.produce_requests(), 6u);
}

TEST_F(CliRecords, KeysHeadersNullsAndJson) {
  ASSERT_EQ(produce("a:1\nb:\n:3\nnone\n", {"-K", ":", "-Z", "-H", "h=x", "-H", "n"}).exit_code, 0);
  std::vector<nlohmann::json> got;
  const std::string out = consume({"-J"});
  for (size_t at = 0; at < out.size(); at = out.find('\n', at) + 1)
    got.push_back(nlohmann::json::parse(out.substr(at, out.find('\n', at) - at)));
  ASSERT_EQ(got.size(), 4u);
  EXPECT_EQ(got[0]["key"], "a");
  EXPECT_EQ(got[0]["value"], "1");
  EXPECT_EQ(got[0]["topic"], "t");
  EXPECT_EQ(got[0]["partition"], 0);
  EXPECT_EQ(got[0]["timestamp_type"], "CreateTime");
  EXPECT_EQ(got[0]["headers"], nlohmann::json::parse(R"([{"key":"h","value":"x"},{"key":"n","value":null}])"));
  EXPECT_EQ(got[1]["value"], nullptr);
  EXPECT_EQ(got[2]["key"], nullptr);
  EXPECT_EQ(got[2]["value"], "3");
  EXPECT_EQ(got[3]["offset"], 3);
  ASSERT_EQ(produce(std::string("\xff\x00", 2), {"-D", "", "-k", "all"}).exit_code, 0);
  const auto binary = nlohmann::json::parse(consume({"-J", "-o", "4"}));
  EXPECT_EQ(binary["value_hex"], "ff00");
  EXPECT_EQ(binary["key"], "all");
  EXPECT_EQ(consume({"-o", "4", "--escape"}), "\\xff\\x00\n");
}

TEST_F(CliRecords, AKeyHasItsPartitionAndEachPartitionItsOrder) {
  make("wide", 5);
  std::string input;
  for (int i = 0; i < 500; ++i) input += "k" + std::to_string(i % 7) + ":" + std::to_string(i) + "\n";
  const auto made = produce(input, {"-K", ":", "--batch-bytes", "200", "--json", "--idempotent"}, "wide");
  ASSERT_EQ(made.exit_code, 0) << made.err;
  EXPECT_EQ(broker_.sequence_failures(), 0u);
  const auto said = nlohmann::json::parse(made.out);
  EXPECT_EQ(said["records"], 500);
  int64_t sum = 0;
  for (const auto& range : said["partitions"]) {
    sum += range["records"].get<int64_t>();
    EXPECT_EQ(range["last_offset"].get<int64_t>() + 1, broker_.end_offset("wide", range["partition"].get<int32_t>()));
  }
  EXPECT_EQ(sum, 500);
  std::map<std::string, std::pair<std::string, int>> seen;  // key: partition, last value
  std::istringstream out(consume({"-f", "%p %k %s\n"}, "wide"));
  int records = 0;
  for (std::string partition, key; out >> partition >> key; ++records) {
    int value = 0;
    out >> value;
    const auto [at, fresh] = seen.try_emplace(key, partition, -1);
    EXPECT_EQ(at->second.first, partition);
    EXPECT_LT(at->second.second, value);
    at->second.second = value;
  }
  EXPECT_EQ(records, 500);
  EXPECT_EQ(seen.size(), 7u);
  const std::string third = consume({"-p", "3", "-p", "4", "-f", "%p\n"}, "wide");
  EXPECT_EQ(third.find_first_not_of("34\n"), std::string::npos);
}

TEST_F(CliRecords, ARetriableRefusalIsTriedAgainAndAnotherIsSaid) {
  FakeBroker tired({.produce_error = ErrorCode::kNotEnoughReplicas, .produce_error_until = 3});
  run_on(tired, {"topic", "create", "t"});
  const auto late = produce_on(tired, "a\nb\n", {});
  EXPECT_EQ(late.exit_code, 0) << late.err;
  EXPECT_EQ(tired.end_offset("t", 0), 2);

  FakeBroker full({.produce_error = ErrorCode::kMessageTooLarge, .produce_error_from = 1});
  run_on(full, {"topic", "create", "t"});
  const auto refused = produce_on(full, "a\nb\nc\n", {"--batch-bytes", "1", "--json"});
  EXPECT_EQ(refused.exit_code, 1);
  EXPECT_EQ(refused.err, "penstock: the broker refused 1 records for t-0: MESSAGE_TOO_LARGE\n");
  EXPECT_EQ(nlohmann::json::parse(refused.out)["refused"], 2);
  EXPECT_EQ(nlohmann::json::parse(refused.out)["records"], 1);
  EXPECT_EQ(full.sequence_failures(), 0u) << "what is refused takes no sequence";

  FakeBroker forgetful({.produce_error = ErrorCode::kOutOfOrderSequenceNumber});
  run_on(forgetful, {"topic", "create", "t"});
  const auto unsure = produce_on(forgetful, "a\n", {});
  EXPECT_EQ(unsure.exit_code, 1);
  EXPECT_NE(unsure.err.find("cannot go on without knowing what is stored"), std::string::npos) << unsure.err;
}

TEST_F(CliRecords, AProducerIdIsTakenWhereThereAreSome) {
  FakeBroker old;
  old.serve(22, {});  // InitProducerId
  run_on(old, {"topic", "create", "t"});
  EXPECT_EQ(produce_on(old, "a\n", {}).exit_code, 0);
  EXPECT_EQ(produce_on(old, "a\n", {"--idempotent"}).err,
            "penstock: the broker does not serve InitProducerIdRequest\n");
  EXPECT_EQ(old.end_offset("t", 0), 1);
}

// ---- connections that break

size_t times_in(const std::string& text, std::string_view what) {
  size_t n = 0;
  for (size_t at = text.find(what); at != text.npos; at = text.find(what, at + 1)) ++n;
  return n;
}

constexpr std::string_view kWaits = "penstock: waiting for the broker, 120 s at most: ";

TEST_F(CliRecords, AConnectionThatBreaksLosesNothingAndNothingComesTwice) {
  for (const bool stores : {false, true}) {
    // The second batch is cut off, the next two connections end unread, and then it is cut off once more.
    FakeBroker broker({.cut_produce_from = 1, .cut_produce_until = 3, .cut_stores = stores, .closed_after_cut = 2});
    run_on(broker, {"topic", "create", "t"});
    const auto made = produce_on(broker, "a\nb\nc\nd\n", {"--batch-bytes", "1", "--json"});
    EXPECT_EQ(made.exit_code, 0) << made.err;
    EXPECT_EQ(times_in(made.err, kWaits), 1u) << made.err;
    EXPECT_EQ(times_in(made.err, "\n"), 1u) << made.err;
    const auto said = nlohmann::json::parse(made.out);
    EXPECT_EQ(said["records"], 4);
    EXPECT_EQ(said["partitions"][0]["last_offset"], 3);
    EXPECT_EQ(run_on(broker, {"consume", "t", "-e"}).out, "a\nb\nc\nd\n");
    EXPECT_EQ(broker.produce_requests(), 6u);
    EXPECT_EQ(broker.duplicates(), stores ? 2u : 0u);
    EXPECT_EQ(broker.sequence_failures(), 0u);
    EXPECT_EQ(broker.closed_unread(), 4u);
  }
}

TEST_F(CliRecords, ABreakThatTheFirstTryMendsIsNotSpokenOf) {
  FakeBroker broker({.cut_produce_from = 0, .cut_produce_until = 1, .cut_stores = true});
  run_on(broker, {"topic", "create", "t"});
  const auto made = produce_on(broker, "a\n", {});
  EXPECT_EQ(made.exit_code, 0);
  EXPECT_EQ(made.err, "");
  EXPECT_EQ(broker.end_offset("t", 0), 1);
}

TEST_F(CliRecords, ARefusalOfWhatMayBeStoredEndsIt) {
  FakeBroker broker({.produce_error = ErrorCode::kMessageTooLarge,
                     .produce_error_from = 1,
                     .cut_produce_from = 0,
                     .cut_produce_until = 1,
                     .cut_stores = true});
  run_on(broker, {"topic", "create", "t"});
  const auto made = produce_on(broker, "a\nb\n", {"--batch-bytes", "1"});
  EXPECT_EQ(made.exit_code, kExitFailed);
  EXPECT_NE(made.err.find("cannot go on without knowing what is stored: MESSAGE_TOO_LARGE"), std::string::npos)
      << made.err;
  EXPECT_EQ(broker.produce_requests(), 2u);
}

TEST_F(CliRecords, WithoutAProducerIdWhatWasStoredComesAgain) {
  FakeBroker broker({.cut_produce_from = 0, .cut_produce_until = 1, .cut_stores = true});
  run_on(broker, {"topic", "create", "t"});
  EXPECT_EQ(produce_on(broker, "a\n", {"--acks", "1"}).exit_code, 0);
  EXPECT_EQ(broker.end_offset("t", 0), 2);
}

TEST_F(CliRecords, ABrokerThatStaysAwayIsGivenUp) {
  FakeBroker broker({.cut_produce_from = 1, .closed_after_cut = UINT64_MAX});
  run_on(broker, {"topic", "create", "t"});
  const auto made = produce_on(broker, "a\nb\nc\n", {"--batch-bytes", "1", "--delivery-timeout", "300ms"});
  EXPECT_EQ(made.exit_code, kExitUnreachable);
  EXPECT_EQ(times_in(made.err, "penstock: waiting for the broker, 0.3 s at most: "), 1u) << made.err;
  EXPECT_NE(made.err.find("penstock: not delivered within 0.3 s: " + broker.address() + ": "), std::string::npos)
      << made.err;
  EXPECT_NE(made.err.find("; 1 records were acknowledged before, 2 were not\n"), std::string::npos) << made.err;
  EXPECT_EQ(times_in(made.err, "\n"), 2u) << made.err;
}

TEST_F(CliRecords, ASilentBrokerIsAskedAgainAndGivenUp) {
  FakeBroker broker({.mute_on_api = 0});
  run_on(broker, {"topic", "create", "t"});
  const auto made = produce_on(broker, "a\n", {"--timeout", "1s", "--delivery-timeout", "1500ms"});
  EXPECT_EQ(made.exit_code, kExitUnreachable);
  EXPECT_NE(made.err.find(broker.address() + " did not answer Produce within 1 s; 0 records were"), std::string::npos)
      << made.err;
}

TEST_F(CliRecords, ATopicThatIsGoneEndsIt) {
  FakeBroker broker({.cut_produce_from = 0, .closed_after_cut = 1});
  broker.on<protocol::MetadataRequest, protocol::MetadataResponse>([&](const auto&, auto& response) {
    response.brokers.push_back({1, "127.0.0.1", broker.port(), std::nullopt});
    auto& topic = response.topics.emplace_back();
    topic.name = "t";
    topic.topic_id.bytes[0] = broker.produce_requests() == 0 ? 1 : 2;
    topic.partitions.emplace_back().leader_id = 1;
  });
  const auto made = produce_on(broker, "a\nb\n", {"--delivery-timeout", "20s"});
  EXPECT_EQ(made.exit_code, kExitFailed);
  EXPECT_NE(made.err.find("topic t was deleted and made anew: 2 records are not sent to it"), std::string::npos)
      << made.err;
}

TEST_F(CliRecords, AnInterruptEndsTheWaitForABroker) {
  FakeBroker broker({.cut_produce_from = 0, .closed_after_cut = UINT64_MAX});
  run_on(broker, {"topic", "create", "t"});
  const pthread_t here = pthread_self();
  std::jthread interrupter([&](const std::stop_token& stop) {
    while (broker.closed_unread() < 3 && !stop.stop_requested())
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    if (!stop.stop_requested()) pthread_kill(here, SIGINT);
  });
  const auto made = produce_on(broker, "a\n", {});
  EXPECT_EQ(made.exit_code, kExitUnreachable);
  EXPECT_NE(made.err.find("penstock: interrupted while it waited for the broker; 0 records were acknowledged before, 1 "
                          "were not\n"),
            std::string::npos)
      << made.err;
}

TEST_F(CliRecords, WithoutAcksTheKernelIsEnough) {
  ASSERT_EQ(produce("a\nb\n", {"--acks", "0"}).exit_code, 0);
  // Not acknowledged, so wait for them with the consumer, that goes on until it has both.
  const auto got = run({"consume", "t", "-c", "2"});
  EXPECT_EQ(got.out, "a\nb\n") << got.err;
}

TEST_F(CliRecords, ArgumentsThatMakeNoSense) {
  for (const auto& arguments : std::vector<std::vector<std::string>>{{"produce"},
                                                                     {"produce", "t", "-z", "brotli"},
                                                                     {"produce", "t", "-z", "snappy", "--level", "1"},
                                                                     {"produce", "t", "-z", "gzip", "--level", "10"},
                                                                     {"produce", "t", "-D", "\\q"},
                                                                     {"produce", "t", "-K", ":", "-k", "k"},
                                                                     {"produce", "t", "-H", "=x"},
                                                                     {"produce", "t", "--idempotent", "--acks", "1"},
                                                                     {"consume"},
                                                                     {"consume", "t", "-o", "middle"},
                                                                     {"consume", "t", "-f", "%q"},
                                                                     {"consume", "t", "-J", "-f", "%s"},
                                                                     {"consume", "t", "-c", "0"},
                                                                     {"consume", "t", "-p", "-1"}}) {
    const auto result = run(arguments);
    EXPECT_GE(result.exit_code, 100) << arguments.back();
    EXPECT_NE(result.err, "") << arguments.back();
  }
  EXPECT_EQ(run({"consume", "t", "-p", "1"}).err, "penstock: topic t has partitions 0 to 0, not 1\n");
  EXPECT_EQ(produce("a", {"-p", "9"}).err, "penstock: topic t has partitions 0 to 0, not 9\n");
  EXPECT_EQ(run({"consume", "nothing"}).err, "penstock: topic nothing: UNKNOWN_TOPIC_OR_PARTITION\n");
  EXPECT_EQ(run({"produce", "t", "-f", "/no/such/file"}).err,
            "penstock: cannot read /no/such/file: No such file or directory\n");
}

}  // namespace
}  // namespace penstock
