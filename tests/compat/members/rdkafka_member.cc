// A member of a group through librdkafka's C API, run by groups.py as confluent_member.py, and says the same:
//   rdkafka_member BROKERS TOPIC GROUP INSTANCE ASSIGNOR [NAME=VALUE ...]
#include <librdkafka/rdkafka.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

namespace {

volatile std::sig_atomic_t stopping = 0;

void set(rd_kafka_conf_t* conf, const std::string& name, const std::string& value) {
  char error[512];
  if (rd_kafka_conf_set(conf, name.c_str(), value.c_str(), error, sizeof error) == RD_KAFKA_CONF_OK) return;
  std::fprintf(stderr, "rdkafka_member: %s: %s\n", name.c_str(), error);
  std::exit(1);
}

void say_partitions(const char* what, const rd_kafka_topic_partition_list_t* partitions) {
  std::printf("%s", what);
  for (int i = 0; i < partitions->cnt; ++i) std::printf(" %d", partitions->elems[i].partition);
  std::printf("\n");
  std::fflush(stdout);
}

void on_rebalance(rd_kafka_t* client, rd_kafka_resp_err_t error, rd_kafka_topic_partition_list_t* partitions, void*) {
  const bool assigned = error == RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS;
  say_partitions(assigned ? "assigned" : "revoked", partitions);
  const bool cooperative = std::strcmp(rd_kafka_rebalance_protocol(client), "COOPERATIVE") == 0;
  if (cooperative) {
    rd_kafka_error_destroy(assigned ? rd_kafka_incremental_assign(client, partitions)
                                    : rd_kafka_incremental_unassign(client, partitions));
  } else {
    rd_kafka_assign(client, assigned ? partitions : nullptr);
  }
}

rd_kafka_t* join(char** words) {
  rd_kafka_conf_t* conf = rd_kafka_conf_new();
  set(conf, "bootstrap.servers", words[1]);
  set(conf, "group.id", words[3]);
  if (std::strcmp(words[4], "-") != 0) set(conf, "group.instance.id", words[4]);
  set(conf, "partition.assignment.strategy", words[5]);
  set(conf, "enable.auto.commit", "false");
  set(conf, "auto.offset.reset", "earliest");
  set(conf, "session.timeout.ms", "10000");
  set(conf, "heartbeat.interval.ms", "500");
  set(conf, "topic.metadata.refresh.interval.ms", "2000");
  for (char** more = words + 6; *more != nullptr; ++more) {
    const std::string word(*more);
    set(conf, word.substr(0, word.find('=')), word.substr(word.find('=') + 1));
  }
  rd_kafka_conf_set_rebalance_cb(conf, on_rebalance);
  char error[512];
  rd_kafka_t* client = rd_kafka_new(RD_KAFKA_CONSUMER, conf, error, sizeof error);
  if (client == nullptr) {
    std::fprintf(stderr, "rdkafka_member: %s\n", error);
    std::exit(1);
  }
  rd_kafka_poll_set_consumer(client);
  rd_kafka_topic_partition_list_t* topics = rd_kafka_topic_partition_list_new(1);
  rd_kafka_topic_partition_list_add(topics, words[2], RD_KAFKA_PARTITION_UA);
  rd_kafka_subscribe(client, topics);
  rd_kafka_topic_partition_list_destroy(topics);
  return client;
}

void say(const rd_kafka_message_t* message) {
  if (message->err != RD_KAFKA_RESP_ERR_NO_ERROR) {
    std::printf("error %s\n", rd_kafka_err2name(message->err));
    return;
  }
  std::printf("%d %lld %.*s\n", message->partition, static_cast<long long>(message->offset),
              static_cast<int>(message->len), static_cast<const char*>(message->payload));
}

}  // namespace

int main(int count, char** words) {
  if (count < 6) return 1;
  std::signal(SIGTERM, [](int) { stopping = 1; });
  rd_kafka_t* client = join(words);
  while (stopping == 0) {
    int said = 0;
    for (int wait_ms = 200; said < 500; ++said, wait_ms = 0) {
      rd_kafka_message_t* message = rd_kafka_consumer_poll(client, wait_ms);
      if (message == nullptr) break;
      say(message);
      rd_kafka_message_destroy(message);
    }
    std::fflush(stdout);
    if (said == 0) continue;
    const rd_kafka_resp_err_t error = rd_kafka_commit(client, nullptr, 0);
    if (error != RD_KAFKA_RESP_ERR_NO_ERROR && error != RD_KAFKA_RESP_ERR__NO_OFFSET)
      std::printf("error %s\n", rd_kafka_err2name(error));
  }
  rd_kafka_consumer_close(client);
  rd_kafka_destroy(client);
  return 0;
}
