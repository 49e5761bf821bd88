// Idempotent load through librdkafka that outlives its broker, and the check of what came of it; run by kill_rounds.py.
//   kill_load load BROKERS TOPIC PARTITIONS BYTES_PER_SECOND LOG
//       until SIGTERM, then until everything is acknowledged. LOG gets one line for each acknowledged record:
//       PARTITION OFFSET SEQUENCE HASH.
//   kill_load verify BROKERS TOPIC PARTITIONS LOG
//       reads every partition back: each acknowledged record stands at its offset with its hash, the sequence numbers
//       of a partition are 0, 1, 2, ... at offsets 0, 1, 2, ..., and nothing else is there.
//   kill_load check BROKERS TOPIC PARTITIONS LOG FROM,FROM,...
//       the same while the load goes on, from an offset a partition on; there may be more than is acknowledged.
//   kill_load read BROKERS TOPIC PARTITIONS
//       until SIGTERM: reads every partition from its beginning, again and again and each time further, whatever
//       becomes of the broker; each record has to be the one that belongs there. Prints how many it read.
#include <librdkafka/rdkafka.h>

#include <algorithm>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "base/prng.h"
#include "base/system_clock.h"

namespace {

constexpr int kFlushMs = 120'000;
constexpr int kPollMs = 1000;
constexpr int kSilentPollsMax = 120;
constexpr size_t kValueMin = 24;
constexpr size_t kValueMax = 4096;
constexpr int kTurnMs = 10;  // of the pace

volatile std::sig_atomic_t g_stop = 0;
void on_signal(int) { g_stop = 1; }

[[noreturn]] void fail(const char* what, const char* why) {
  std::fprintf(stderr, "kill_load: %s: %s\n", what, why);
  std::exit(1);
}

uint64_t hash_of(const char* data, size_t size) {  // FNV-1a
  uint64_t hash = 0xcbf29ce484222325;
  for (size_t i = 0; i < size; ++i) hash = (hash ^ static_cast<unsigned char>(data[i])) * 0x100000001b3;
  return hash;
}

// "PARTITION SEQUENCE " and bytes that both decide.
std::string value_of(int32_t partition, uint64_t sequence) {
  penstock::Prng prng(static_cast<uint64_t>(partition) << 48 ^ sequence);
  std::string value(kValueMin + prng.below(kValueMax - kValueMin), '\0');
  for (char& letter : value) letter = static_cast<char>('a' + prng.below(26));
  char head[kValueMin + 1];
  const int size = std::snprintf(head, sizeof head, "%d %llu ", partition, static_cast<unsigned long long>(sequence));
  std::memcpy(value.data(), head, static_cast<size_t>(size));
  return value;
}

uint64_t sequence_of(const rd_kafka_message_t& message) {
  const std::string value(static_cast<const char*>(message.payload), message.len);
  int partition = -1;
  unsigned long long sequence = 0;
  if (std::sscanf(value.c_str(), "%d %llu ", &partition, &sequence) != 2) fail("verify", "a record that is not ours");
  if (partition != message.partition) fail("verify", "a record in another partition");
  return sequence;
}

void set(rd_kafka_conf_t* conf, const char* name, const char* value) {
  char error[512];
  if (rd_kafka_conf_set(conf, name, value, error, sizeof error) != RD_KAFKA_CONF_OK) fail(name, error);
}

rd_kafka_t* make_client(rd_kafka_type_t type, rd_kafka_conf_t* conf, const char* brokers) {
  char error[512];
  set(conf, "bootstrap.servers", brokers);
  set(conf, "log_level", "0");  // a broker that is gone is what we are here for
  rd_kafka_t* client = rd_kafka_new(type, conf, error, sizeof error);
  if (client == nullptr) fail("cannot make a client", error);
  return client;
}

void on_delivery(rd_kafka_t*, const rd_kafka_message_t* message, void* opaque) {
  if (message->err != RD_KAFKA_RESP_ERR_NO_ERROR) fail("not delivered", rd_kafka_err2str(message->err));
  const uint64_t hash = hash_of(static_cast<const char*>(message->payload), message->len);
  std::fprintf(static_cast<std::FILE*>(opaque), "%d %lld %llu %llx\n", message->partition,
               static_cast<long long>(message->offset), static_cast<unsigned long long>(sequence_of(*message)),
               static_cast<unsigned long long>(hash));
}

void on_error(rd_kafka_t* client, int error, const char*, void*) {
  if (error != RD_KAFKA_RESP_ERR__FATAL) return;  // a broker that is down: librdkafka connects again
  char fatal[512];
  rd_kafka_fatal_error(client, fatal, sizeof fatal);
  fail("the producer gave up", fatal);
}

rd_kafka_t* make_producer(const char* brokers, std::FILE* log) {
  rd_kafka_conf_t* conf = rd_kafka_conf_new();
  set(conf, "enable.idempotence", "true");
  set(conf, "message.timeout.ms", "0");  // as long as it takes
  set(conf, "linger.ms", "2");
  set(conf, "reconnect.backoff.ms", "10");
  set(conf, "reconnect.backoff.max.ms", "100");
  set(conf, "retry.backoff.ms", "20");
  set(conf, "queue.buffering.max.messages", "20000");
  rd_kafka_conf_set_dr_msg_cb(conf, on_delivery);
  rd_kafka_conf_set_error_cb(conf, on_error);
  rd_kafka_conf_set_opaque(conf, log);
  return make_client(RD_KAFKA_PRODUCER, conf, brokers);
}

// So many bytes a second; what could not be sent while the broker was away is not made up for.
class Pace {
 public:
  explicit Pace(size_t bytes_per_second) : bytes_per_second_(static_cast<double>(bytes_per_second)) {}

  bool may_send(size_t bytes) {
    const penstock::Nanos now = clock_.monotonic();
    budget_ += bytes_per_second_ * static_cast<double>(now - last_) / static_cast<double>(penstock::kSecond);
    budget_ = std::min(budget_, bytes_per_second_ / 10);
    last_ = now;
    return budget_ >= static_cast<double>(bytes);
  }
  void sent(size_t bytes) { budget_ -= static_cast<double>(bytes); }

 private:
  penstock::SystemClock clock_;
  penstock::Nanos last_ = clock_.monotonic();
  const double bytes_per_second_;
  double budget_ = 0;
};

int load(const char* brokers, const char* topic, int32_t partitions, size_t bytes_per_second, const char* log_path) {
  std::FILE* log = std::fopen(log_path, "a");
  if (log == nullptr) fail(log_path, "cannot be opened");
  std::setvbuf(log, nullptr, _IOLBF, 1 << 16);
  rd_kafka_t* client = make_producer(brokers, log);
  std::vector<uint64_t> next(static_cast<size_t>(partitions));
  penstock::Prng prng(1);
  Pace pace(bytes_per_second);
  for (; g_stop == 0; rd_kafka_poll(client, kTurnMs)) {
    while (pace.may_send(kValueMax) && g_stop == 0) {
      const auto partition = static_cast<int32_t>(prng.below(static_cast<uint64_t>(partitions)));
      const std::string value = value_of(partition, next[static_cast<size_t>(partition)]);
      const auto error = rd_kafka_producev(
          client, RD_KAFKA_V_TOPIC(topic), RD_KAFKA_V_PARTITION(partition), RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY),
          RD_KAFKA_V_VALUE(const_cast<char*>(value.data()), value.size()), RD_KAFKA_V_END);
      if (error == RD_KAFKA_RESP_ERR__QUEUE_FULL) break;  // the broker is away
      if (error != RD_KAFKA_RESP_ERR_NO_ERROR) fail("produce", rd_kafka_err2str(error));
      ++next[static_cast<size_t>(partition)];
      pace.sent(value.size());
    }
  }
  if (rd_kafka_flush(client, kFlushMs) != RD_KAFKA_RESP_ERR_NO_ERROR) fail("flush", "not everything was acknowledged");
  rd_kafka_destroy(client);
  return std::fclose(log) == 0 ? 0 : 1;
}

// The log as hash by [partition][offset]; each acknowledged offset once, and the sequence number is the offset. A last
// line without its end is still being written.
std::vector<std::vector<uint64_t>> read_log(const char* path, int32_t partitions) {
  std::FILE* log = std::fopen(path, "r");
  if (log == nullptr) fail(path, "cannot be opened");
  std::vector<std::vector<uint64_t>> acked(static_cast<size_t>(partitions));
  char line[128];
  while (std::fgets(line, sizeof line, log) != nullptr && std::strchr(line, '\n') != nullptr) {
    int partition = 0;
    long long offset = 0;
    unsigned long long sequence = 0;
    unsigned long long hash = 0;
    if (std::sscanf(line, "%d %lld %llu %llx", &partition, &offset, &sequence, &hash) != 4)
      fail("log", "a line that is not ours");
    auto& hashes = acked.at(static_cast<size_t>(partition));
    if (offset != static_cast<long long>(sequence)) fail("log", "a record was acknowledged at another offset");
    if (hashes.size() <= sequence) hashes.resize(sequence + 1);
    if (hashes[sequence] != 0) fail("log", "a record was acknowledged twice");
    hashes[sequence] = hash;
  }
  std::fclose(log);
  return acked;
}

void check(const rd_kafka_message_t& message, uint64_t expected, const std::vector<uint64_t>& acked) {
  if (message.offset != static_cast<int64_t>(expected)) fail("verify", "offsets are not dense");
  if (sequence_of(message) != expected) fail("verify", "a record is lost, twice there or out of order");
  const std::string value = value_of(message.partition, expected);
  if (value.size() != message.len || std::memcmp(value.data(), message.payload, message.len) != 0) {
    fail("verify", "other bytes than were produced");
  }
  if (expected < acked.size() && acked[expected] != hash_of(value.data(), value.size())) {
    fail("verify", "the acknowledged hash is another");
  }
}

constexpr uint64_t kToTheEnd = UINT64_MAX;
constexpr uint64_t kFirstLap = 2000;  // records of each partition; the second lap takes as many more, and so on

// [from, to), or to the end if that comes first (while others produce it may never come); returns the offset behind the
// last record. outages: the broker may go and come.
uint64_t read_partition(rd_kafka_topic_t* topic, int32_t partition, uint64_t from, uint64_t to,
                        const std::vector<uint64_t>& acked, bool outages) {
  uint64_t expected = from;
  if (rd_kafka_consume_start(topic, partition, static_cast<int64_t>(from)) != 0) fail("verify", "cannot consume");
  for (int silent = 0; g_stop == 0 && expected < to;) {
    rd_kafka_message_t* message = rd_kafka_consume(topic, partition, kPollMs);
    if (message == nullptr) {
      if (++silent > kSilentPollsMax) fail("verify", "the broker is silent");
      continue;
    }
    silent = 0;
    const auto error = message->err;
    if (error == RD_KAFKA_RESP_ERR_NO_ERROR) check(*message, expected++, acked);
    rd_kafka_message_destroy(message);
    if (error == RD_KAFKA_RESP_ERR__PARTITION_EOF) break;
    const bool is_outage = error == RD_KAFKA_RESP_ERR__TRANSPORT || error == RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN ||
                           error == RD_KAFKA_RESP_ERR__TIMED_OUT;
    if (error != RD_KAFKA_RESP_ERR_NO_ERROR && !(outages && is_outage)) fail("verify", rd_kafka_err2str(error));
  }
  rd_kafka_consume_stop(topic, partition);
  return expected;
}

class Consumer {
 public:
  Consumer(const char* brokers, const char* topic) {
    rd_kafka_conf_t* conf = rd_kafka_conf_new();
    set(conf, "enable.partition.eof", "true");
    set(conf, "check.crcs", "true");
    set(conf, "reconnect.backoff.ms", "10");
    set(conf, "reconnect.backoff.max.ms", "100");
    client_ = make_client(RD_KAFKA_CONSUMER, conf, brokers);
    topic_ = rd_kafka_topic_new(client_, topic, nullptr);
  }
  Consumer(const Consumer&) = delete;
  Consumer& operator=(const Consumer&) = delete;
  ~Consumer() {
    rd_kafka_topic_destroy(topic_);
    rd_kafka_destroy(client_);
  }
  rd_kafka_topic_t* topic() const { return topic_; }

 private:
  rd_kafka_t* client_;
  rd_kafka_topic_t* topic_;
};

int verify(const char* brokers, const char* topic, int32_t partitions, const char* log_path) {
  const auto acked = read_log(log_path, partitions);
  const Consumer consumer(brokers, topic);
  uint64_t records = 0;
  for (int32_t partition = 0; partition < partitions; ++partition) {
    const auto& wanted = acked[static_cast<size_t>(partition)];
    const uint64_t end = read_partition(consumer.topic(), partition, 0, kToTheEnd, wanted, false);
    // load ends when everything is acknowledged.
    if (end < wanted.size()) fail("verify", "acknowledged records are gone");
    if (end > wanted.size()) fail("verify", "records that were never acknowledged");
    records += end;
  }
  std::printf("%llu\n", static_cast<unsigned long long>(records));
  return 0;
}

int check_from(const char* brokers, const char* topic, int32_t partitions, const char* log_path, const char* from) {
  const auto acked = read_log(log_path, partitions);
  const Consumer consumer(brokers, topic);
  uint64_t records = 0;
  for (int32_t partition = 0; partition < partitions; ++partition) {
    char* behind = nullptr;
    const uint64_t begin = std::strtoull(from, &behind, 10);
    const auto& wanted = acked[static_cast<size_t>(partition)];
    const uint64_t end = read_partition(consumer.topic(), partition, begin, wanted.size(), wanted, false);
    if (end < wanted.size()) fail("check", "acknowledged records are gone");
    records += end - begin;
    from = behind + 1;
  }
  std::printf("%llu\n", static_cast<unsigned long long>(records));
  return 0;
}

int read_always(const char* brokers, const char* topic, int32_t partitions) {
  const Consumer consumer(brokers, topic);
  uint64_t records = 0;
  for (uint64_t to = kFirstLap; g_stop == 0; to += kFirstLap) {
    for (int32_t partition = 0; partition < partitions && g_stop == 0; ++partition)
      records += read_partition(consumer.topic(), partition, 0, to, {}, true);
  }
  std::printf("%llu\n", static_cast<unsigned long long>(records));
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  std::signal(SIGTERM, on_signal);
  const std::string verb = argc > 1 ? argv[1] : "";
  if (verb == "load" && argc == 7) {
    return load(argv[2], argv[3], std::atoi(argv[4]), static_cast<size_t>(std::atoll(argv[5])), argv[6]);
  }
  if (verb == "verify" && argc == 6) return verify(argv[2], argv[3], std::atoi(argv[4]), argv[5]);
  if (verb == "check" && argc == 7) return check_from(argv[2], argv[3], std::atoi(argv[4]), argv[5], argv[6]);
  if (verb == "read" && argc == 5) return read_always(argv[2], argv[3], std::atoi(argv[4]));
  fail("usage",
       "kill_load load BROKERS TOPIC PARTITIONS RATE LOG | verify BROKERS TOPIC PARTITIONS LOG | "
       "check BROKERS TOPIC PARTITIONS LOG FROM,... | read BROKERS TOPIC PARTITIONS");
}
