// A text through librdkafka's C API, one record a line, run by text_matrix.py:
//   rdkafka_text produce BROKERS TOPIC FILE [NAME=VALUE ...]    idempotent; ends with 0 when every line was
//   acknowledged rdkafka_text consume BROKERS TOPIC [NAME=VALUE ...]         partition 0 from its start to its end, to
//   stdout
// NAME=VALUE: more of librdkafka's settings.
#include <librdkafka/rdkafka.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <memory>
#include <string>

namespace {

constexpr int kFlushMs = 200'000;
constexpr int kPollMs = 1000;
constexpr int kSilentPollsMax = 120;  // a broker that says nothing for so long has lost us

[[noreturn]] void fail(const char* what, const char* why) {
  std::fprintf(stderr, "rdkafka_text: %s: %s\n", what, why);
  std::exit(1);
}

struct Delivery {
  uint64_t acknowledged = 0;
  int64_t next_offset = 0;  // the broker has to give each line the next one
};

void set(rd_kafka_conf_t* conf, const std::string& name, const std::string& value) {
  char error[512];
  if (rd_kafka_conf_set(conf, name.c_str(), value.c_str(), error, sizeof error) != RD_KAFKA_CONF_OK) {
    fail(name.c_str(), error);
  }
}

rd_kafka_conf_t* make_conf(const char* brokers, char** more) {
  rd_kafka_conf_t* conf = rd_kafka_conf_new();
  set(conf, "bootstrap.servers", brokers);
  for (; *more != nullptr; ++more) {
    const char* equals = std::strchr(*more, '=');
    if (equals == nullptr) fail(*more, "is not NAME=VALUE");
    set(conf, std::string(*more, static_cast<size_t>(equals - *more)), equals + 1);
  }
  return conf;
}

rd_kafka_t* make_client(rd_kafka_type_t type, rd_kafka_conf_t* conf) {
  char error[512];
  rd_kafka_t* client = rd_kafka_new(type, conf, error, sizeof error);
  if (client == nullptr) fail("cannot make a client", error);
  return client;
}

void on_delivery(rd_kafka_t*, const rd_kafka_message_t* message, void* opaque) {
  auto& delivery = *static_cast<Delivery*>(opaque);
  if (message->err != RD_KAFKA_RESP_ERR_NO_ERROR) fail("not delivered", rd_kafka_err2str(message->err));
  if (message->offset != delivery.next_offset) fail("delivered", "at another offset than the next");
  ++delivery.next_offset;
  ++delivery.acknowledged;
}

void produce_line(rd_kafka_t* client, const char* topic, const std::string& line) {
  for (;;) {
    const auto error = rd_kafka_producev(client, RD_KAFKA_V_TOPIC(topic), RD_KAFKA_V_PARTITION(0),
                                         RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY),
                                         RD_KAFKA_V_VALUE(const_cast<char*>(line.data()), line.size()), RD_KAFKA_V_END);
    if (error == RD_KAFKA_RESP_ERR_NO_ERROR) break;
    if (error != RD_KAFKA_RESP_ERR__QUEUE_FULL) fail("produce", rd_kafka_err2str(error));
    rd_kafka_poll(client, kPollMs);
  }
  rd_kafka_poll(client, 0);
}

int produce(const char* brokers, const char* topic, const char* path, char** more) {
  Delivery delivery;
  rd_kafka_conf_t* conf = make_conf(brokers, more);
  set(conf, "enable.idempotence", "true");
  rd_kafka_conf_set_dr_msg_cb(conf, on_delivery);
  rd_kafka_conf_set_opaque(conf, &delivery);
  rd_kafka_t* client = make_client(RD_KAFKA_PRODUCER, conf);
  std::ifstream file(path);
  if (!file) fail(path, "cannot be read");
  uint64_t lines = 0;
  for (std::string line; std::getline(file, line); ++lines) produce_line(client, topic, line);
  rd_kafka_flush(client, kFlushMs);
  rd_kafka_destroy(client);
  if (delivery.acknowledged != lines) fail("flush", "lines were not acknowledged in time");
  return 0;
}

// One record to stdout; offsets have to follow one another.
void print(const rd_kafka_message_t& message, int64_t& next_offset) {
  if (message.offset != next_offset) fail("consumed", "another offset than the next");
  ++next_offset;
  if (message.len > 0) std::fwrite(message.payload, 1, message.len, stdout);
  std::fputc('\n', stdout);
}

int consume(const char* brokers, const char* topic_name, char** more) {
  rd_kafka_conf_t* conf = make_conf(brokers, more);
  set(conf, "enable.partition.eof", "true");
  set(conf, "queued.min.messages", "2000000");  // librdkafka 2.0.2 rests for a second whenever so many are waiting
  rd_kafka_t* client = make_client(RD_KAFKA_CONSUMER, conf);
  rd_kafka_topic_t* topic = rd_kafka_topic_new(client, topic_name, nullptr);
  if (rd_kafka_consume_start(topic, 0, RD_KAFKA_OFFSET_BEGINNING) != 0) {
    fail("consume", rd_kafka_err2str(rd_kafka_last_error()));
  }
  int64_t next_offset = 0;
  for (int silent = 0;;) {
    rd_kafka_message_t* message = rd_kafka_consume(topic, 0, kPollMs);
    if (message == nullptr) {
      if (++silent > kSilentPollsMax) fail("consume", "the broker is silent");
      continue;
    }
    silent = 0;
    const auto error = message->err;
    if (error == RD_KAFKA_RESP_ERR_NO_ERROR) print(*message, next_offset);
    rd_kafka_message_destroy(message);
    if (error == RD_KAFKA_RESP_ERR__PARTITION_EOF) break;
    if (error != RD_KAFKA_RESP_ERR_NO_ERROR) fail("consume", rd_kafka_err2str(error));
  }
  rd_kafka_consume_stop(topic, 0);
  rd_kafka_topic_destroy(topic);
  rd_kafka_destroy(client);
  return std::fflush(stdout) == 0 ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  const std::string verb = argc > 1 ? argv[1] : "";
  if (verb == "produce" && argc >= 5) return produce(argv[2], argv[3], argv[4], argv + 5);
  if (verb == "consume" && argc >= 4) return consume(argv[2], argv[3], argv + 4);
  fail("usage", "rdkafka_text produce BROKERS TOPIC FILE | consume BROKERS TOPIC [NAME=VALUE ...]");
}
