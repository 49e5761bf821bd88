// A broker in memory for the tests of the client commands: enough of the protocol for topics, Produce and Fetch, one
// thread a connection, and knobs for what goes wrong. Not a model of a broker's semantics: the real one is tested with
// real clients.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <span>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "base/assert.h"
#include "protocol/codec.h"
#include "protocol/descriptor.h"
#include "protocol/error_code.h"
#include "protocol/types.h"

namespace penstock {

struct FakeBrokerFaults {
  ErrorCode create_error = ErrorCode::kNone;  // of CreateTopics
  std::string create_message = {};
  ErrorCode produce_error = ErrorCode::kNone;  // of every Produce from produce_error_from on, before .._until
  uint64_t produce_error_from = 0;
  uint64_t produce_error_until = UINT64_MAX;
  uint64_t cut_produce_from = UINT64_MAX;  // Produce from this one on, before .._until, is answered by hanging up,
  uint64_t cut_produce_until = UINT64_MAX;
  bool cut_stores = false;        // after it was stored; else before
  uint64_t closed_after_cut = 0;  // so many connections are closed unread behind each cut
  int16_t close_on_api = -1;      // hangs up instead of answering this API
  int16_t mute_on_api = -1;       // never answers this API
  bool wrong_correlation_id = false;
  bool old_api_versions = false;  // refuses ApiVersions above 0, as brokers of 2016 do
  int produce_delay_ms = 0;
  std::vector<std::byte> raw_answer = {};  // to anything at all, instead of a frame
};

class FakeBroker {
 public:
  explicit FakeBroker(FakeBrokerFaults faults = {});
  ~FakeBroker();

  uint16_t port() const { return port_; }
  std::string address() const { return "127.0.0.1:" + std::to_string(port_); }
  // Ranges to claim other than the codec's; empty range: not served.
  void serve(int16_t api_key, protocol::VersionRange range);
  // Answers an API that it does not know, or in another way, before anything is asked; one call at a time.
  template <class Request, class Response>
  void on(std::function<void(const Request&, Response&)> with) {
    handlers_[Request::kApiKey] = [this, with](int16_t version, Bytes body, Out& out) {
      handle<Request, Response>(version, body, out, [&](const Request& request, Response& response) {
        const std::lock_guard lock(handlers_mutex_);
        with(request, response);
      });
    };
  }

  // Things that tests look at.
  uint64_t produce_requests() const { return produce_requests_; }
  int64_t end_offset(const std::string& topic, int32_t partition);
  uint64_t crc_failures() const { return crc_failures_; }
  uint64_t sequence_failures() const { return sequence_failures_; }
  uint64_t duplicates() const { return duplicates_; }  // batches that came again with the sequence they had
  uint64_t closed_unread() const { return closed_unread_; }
  bool has_topic(const std::string& name);

 private:
  using Bytes = std::span<const std::byte>;
  using Out = std::vector<std::byte>;
  struct Log {
    std::vector<std::byte> bytes;                   // whole batches, offsets assigned
    std::vector<std::pair<int64_t, size_t>> index;  // base offset, place
    int64_t end = 0;
    std::map<int64_t, int32_t> sequences;     // next by producer
    std::map<int64_t, int64_t> last_offsets;  // base offset of a producer's last batch
  };
  struct StoredTopic {
    Uuid id;
    std::vector<Log> logs;
    std::map<std::string, std::string> configs;
  };

  void accept_loop();
  void serve_connection(int fd);
  bool answer(int fd, std::span<const std::byte> frame);
  template <class Request, class Response, class Handle>
  static void handle(int16_t version, Bytes body, Out& out, Handle&& with) {
    Request request;
    CHECK(protocol::decode(body, version, request).has_value());
    Response response;
    with(request, response);
    CHECK(protocol::encode(response, version, out).has_value());
  }
  void dispatch(int16_t key, int16_t version, std::span<const std::byte> body, std::vector<std::byte>& out);
  void api_versions(int16_t version, std::vector<std::byte>& out);
  void metadata(int16_t version, std::span<const std::byte> body, std::vector<std::byte>& out);
  void create(int16_t version, std::span<const std::byte> body, std::vector<std::byte>& out);
  void remove(int16_t version, std::span<const std::byte> body, std::vector<std::byte>& out);
  void produce(int16_t version, std::span<const std::byte> body, std::vector<std::byte>& out);
  void fetch(int16_t version, std::span<const std::byte> body, std::vector<std::byte>& out);
  void alter_configs(int16_t version, std::span<const std::byte> body, std::vector<std::byte>& out);
  void list_offsets(int16_t version, std::span<const std::byte> body, std::vector<std::byte>& out);
  static int64_t offset_of(const Log& log, int64_t timestamp);
  ErrorCode append(Log& log, std::vector<std::byte> batch, int64_t& base_offset);
  StoredTopic* find(const std::string& name, const Uuid& id);

  const FakeBrokerFaults faults_;
  std::map<int16_t, std::function<void(int16_t version, Bytes body, Out& out)>> handlers_;
  std::mutex handlers_mutex_;
  int listener_ = -1;
  uint16_t port_ = 0;
  std::atomic<bool> stopping_{false};
  std::atomic<uint64_t> produce_requests_{0};
  std::atomic<uint64_t> crc_failures_{0};
  std::atomic<uint64_t> sequence_failures_{0};
  std::atomic<uint64_t> duplicates_{0};
  std::atomic<uint64_t> to_close_{0};  // connections
  std::atomic<uint64_t> closed_unread_{0};
  std::mutex mutex_;  // all below
  std::condition_variable appended_;
  std::map<int16_t, protocol::VersionRange> served_;
  std::map<std::string, StoredTopic> topics_;
  int64_t next_producer_id_ = 1000;
  std::vector<int> connections_;
  std::vector<std::thread> threads_;
  std::thread acceptor_;
};

}  // namespace penstock
