#include "tests/cli_fake_broker.h"

#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <utility>

#include "base/assert.h"
#include "base/bytes.h"
#include "protocol/api.h"
#include "protocol/codec.h"
#include "protocol/gen/api_versions.h"
#include "protocol/gen/create_topics.h"
#include "protocol/gen/delete_topics.h"
#include "protocol/gen/describe_configs.h"
#include "protocol/gen/fetch.h"
#include "protocol/gen/incremental_alter_configs.h"
#include "protocol/gen/init_producer_id.h"
#include "protocol/gen/list_offsets.h"
#include "protocol/gen/metadata.h"
#include "protocol/gen/produce.h"
#include "protocol/header.h"
#include "protocol/record_batch.h"

namespace penstock {
namespace {

using namespace protocol;

// The whole of n bytes, or false at the end of the stream or of the broker.
bool read_all(int fd, std::byte* at, size_t n, const std::atomic<bool>& stopping) {
  while (n > 0) {
    pollfd entry{fd, POLLIN, 0};
    if (poll(&entry, 1, 20) == 0) {
      if (stopping) return false;
      continue;
    }
    const ssize_t got = recv(fd, at, n, 0);
    if (got <= 0) return false;
    at += got;
    n -= static_cast<size_t>(got);
  }
  return true;
}

bool write_all(int fd, std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t sent = send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent <= 0) return false;
    bytes = bytes.subspan(static_cast<size_t>(sent));
  }
  return true;
}

}  // namespace

FakeBroker::FakeBroker(FakeBrokerFaults faults) : faults_(std::move(faults)) {
  listener_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  CHECK(bind(listener_, reinterpret_cast<sockaddr*>(&address), size) == 0);
  CHECK(listen(listener_, 64) == 0);
  CHECK(getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size) == 0);
  port_ = ntohs(address.sin_port);
  for (const Api& api : apis()) served_[std::to_underlying(api.key)] = {api.min, api.max};
  acceptor_ = std::thread([this] { accept_loop(); });
}

FakeBroker::~FakeBroker() {
  stopping_ = true;
  appended_.notify_all();
  acceptor_.join();
  for (std::thread& thread : threads_) thread.join();
  for (const int fd : connections_) close(fd);
  close(listener_);
}

void FakeBroker::serve(int16_t api_key, VersionRange range) {
  const std::lock_guard lock(mutex_);
  if (range.max < range.min) {
    served_.erase(api_key);
  } else {
    served_[api_key] = range;
  }
}

int64_t FakeBroker::end_offset(const std::string& topic, int32_t partition) {
  const std::lock_guard lock(mutex_);
  return topics_.at(topic).logs.at(static_cast<size_t>(partition)).end;
}

bool FakeBroker::has_topic(const std::string& name) {
  const std::lock_guard lock(mutex_);
  return topics_.contains(name);
}

void FakeBroker::accept_loop() {
  while (!stopping_) {
    pollfd entry{listener_, POLLIN, 0};
    if (poll(&entry, 1, 20) <= 0) continue;
    const int fd = accept(listener_, nullptr, nullptr);
    if (to_close_ > 0) {
      --to_close_;
      ++closed_unread_;
      close(fd);
      continue;
    }
    connections_.push_back(fd);
    threads_.emplace_back([this, fd] { serve_connection(fd); });
  }
}

void FakeBroker::serve_connection(int fd) {
  std::vector<std::byte> frame;
  for (;;) {
    std::byte size[4];
    if (!read_all(fd, size, sizeof size, stopping_)) break;
    frame.resize(static_cast<size_t>(load_be<int32_t>(size)));
    if (!read_all(fd, frame.data(), frame.size(), stopping_)) break;
    if (!answer(fd, frame)) break;
  }
  shutdown(fd, SHUT_RDWR);
}

bool FakeBroker::answer(int fd, std::span<const std::byte> frame) {
  if (!faults_.raw_answer.empty()) return write_all(fd, faults_.raw_answer);
  const auto header = decode_request_header(frame);
  if (!header || header->api_key == faults_.close_on_api) return false;
  if (header->api_key == faults_.mute_on_api) return true;
  const uint64_t number = produce_requests_;
  const bool cut =
      header->key() == ApiKey::kProduce && number >= faults_.cut_produce_from && number < faults_.cut_produce_until;
  if (cut) to_close_ = faults_.closed_after_cut;
  if (cut && !faults_.cut_stores) {
    ++produce_requests_;
    return false;
  }
  const Api& api = *find_api(header->api_key);
  CorrelationId correlation_id = header->correlation_id;
  if (faults_.wrong_correlation_id && header->key() != ApiKey::kApiVersions) {
    correlation_id = CorrelationId{correlation_id.value() + 1};
  }
  std::vector<std::byte> out(4);
  encode_response_header(api, header->api_version, correlation_id, out);
  const size_t header_bytes = out.size();
  dispatch(header->api_key, header->api_version, frame.subspan(header->size), out);
  if (cut) return false;
  if (out.size() == header_bytes) return true;  // acks=0
  store_be(out.data(), static_cast<int32_t>(out.size() - 4));
  return write_all(fd, out);
}

void FakeBroker::dispatch(int16_t key, int16_t version, std::span<const std::byte> body, std::vector<std::byte>& out) {
  if (const auto handler = handlers_.find(key); handler != handlers_.end()) return handler->second(version, body, out);
  switch (static_cast<ApiKey>(key)) {
    case ApiKey::kApiVersions: return api_versions(version, out);
    case ApiKey::kMetadata: return metadata(version, body, out);
    case ApiKey::kCreateTopics: return create(version, body, out);
    case ApiKey::kDeleteTopics: return remove(version, body, out);
    case ApiKey::kProduce: return produce(version, body, out);
    case ApiKey::kFetch: return fetch(version, body, out);
    case ApiKey::kListOffsets: return list_offsets(version, body, out);
    case ApiKey::kInitProducerId:
      return handle<InitProducerIdRequest, InitProducerIdResponse>(version, body, out, [this](auto&, auto& response) {
        const std::lock_guard lock(mutex_);
        response.producer_id = next_producer_id_++;
        response.producer_epoch = 0;
      });
    case ApiKey::kDescribeConfigs:
      return handle<DescribeConfigsRequest, DescribeConfigsResponse>(
          version, body, out, [this](auto& request, auto& response) {
            const std::lock_guard lock(mutex_);
            auto& result = response.results.emplace_back();
            result.resource_name = request.resources[0].resource_name;
            result.resource_type = request.resources[0].resource_type;
            for (const auto& [name, value] : topics_[result.resource_name].configs) {
              auto& config = result.configs.emplace_back();
              config.name = name;
              config.value = value;
              config.config_source = 1;
            }
            auto& inherited = result.configs.emplace_back();
            inherited.name = "a.default";
            inherited.value = "7";
            inherited.config_source = 5;
            inherited.documentation = "What it is for.";
          });
    case ApiKey::kIncrementalAlterConfigs: return alter_configs(version, body, out);
    default: CHECK(false);
  }
}

void FakeBroker::api_versions(int16_t version, std::vector<std::byte>& out) {
  const std::lock_guard lock(mutex_);
  ApiVersionsResponse response;
  if (faults_.old_api_versions && version > 0) {
    response.error_code = ErrorCode::kUnsupportedVersion;
    version = 0;
  }
  for (const auto& [key, range] : served_) {
    auto& api = response.api_keys.emplace_back();
    api.api_key = key;
    api.min_version = range.min;
    api.max_version = range.max;
  }
  CHECK(encode(response, version, out).has_value());
}

FakeBroker::StoredTopic* FakeBroker::find(const std::string& name, const Uuid& id) {
  for (auto& [key, topic] : topics_) {
    if (key == name || (!id.is_zero() && topic.id == id)) return &topic;
  }
  return nullptr;
}

void FakeBroker::metadata(int16_t version, std::span<const std::byte> body, std::vector<std::byte>& out) {
  handle<MetadataRequest, MetadataResponse>(version, body, out, [this](auto& request, auto& response) {
    const std::lock_guard lock(mutex_);
    response.brokers.push_back({1, "127.0.0.1", port_, std::nullopt});
    std::vector<std::string> names;
    if (request.topics) {
      for (const auto& topic : *request.topics) names.push_back(*topic.name);
    } else {
      for (const auto& [name, topic] : topics_) names.push_back(name);
    }
    for (const std::string& name : names) {
      auto& answered = response.topics.emplace_back();
      answered.name = name;
      const StoredTopic* const topic = find(name, {});
      if (topic == nullptr) {
        answered.error_code = ErrorCode::kUnknownTopicOrPartition;
        continue;
      }
      answered.topic_id = topic->id;
      answered.is_internal = name.starts_with("__");
      for (size_t i = 0; i < topic->logs.size(); ++i) {
        auto& partition = answered.partitions.emplace_back();
        partition.partition_index = static_cast<int32_t>(i);
        partition.leader_id = 1;
        partition.leader_epoch = 0;
        partition.replica_nodes = partition.isr_nodes = {1};
      }
    }
  });
}

void FakeBroker::create(int16_t version, std::span<const std::byte> body, std::vector<std::byte>& out) {
  handle<CreateTopicsRequest, CreateTopicsResponse>(version, body, out, [this](auto& request, auto& response) {
    const std::lock_guard lock(mutex_);
    for (const auto& wanted : request.topics) {
      auto& result = response.topics.emplace_back();
      result.name = wanted.name;
      result.error_code = faults_.create_error;
      if (!faults_.create_message.empty()) result.error_message = faults_.create_message;
      if (result.error_code != ErrorCode::kNone) continue;
      if (topics_.contains(wanted.name)) {
        result.error_code = ErrorCode::kTopicAlreadyExists;
        result.error_message = "it is there";
        continue;
      }
      StoredTopic& topic = topics_[wanted.name];
      topic.id.bytes[0] = static_cast<uint8_t>(topics_.size());
      topic.logs.resize(static_cast<size_t>(wanted.num_partitions < 0 ? 1 : wanted.num_partitions));
      for (const auto& config : wanted.configs) topic.configs[config.name] = config.value.value_or("");
      result.num_partitions = static_cast<int32_t>(topic.logs.size());
    }
  });
}

void FakeBroker::remove(int16_t version, std::span<const std::byte> body, std::vector<std::byte>& out) {
  handle<DeleteTopicsRequest, DeleteTopicsResponse>(version, body, out, [this](auto& request, auto& response) {
    const std::lock_guard lock(mutex_);
    std::vector<std::string> names = request.topic_names;
    for (const auto& topic : request.topics) names.push_back(*topic.name);
    for (const std::string& name : names) {
      auto& result = response.responses.emplace_back();
      result.name = name;
      if (topics_.erase(name) == 0) result.error_code = ErrorCode::kUnknownTopicOrPartition;
    }
  });
}

// No lists: append adds a comma and the value, subtract takes the value alone.
void FakeBroker::alter_configs(int16_t version, std::span<const std::byte> body, std::vector<std::byte>& out) {
  handle<IncrementalAlterConfigsRequest, IncrementalAlterConfigsResponse>(
      version, body, out, [this](auto& request, auto& response) {
        const std::lock_guard lock(mutex_);
        const auto& resource = request.resources.at(0);
        auto& result = response.responses.emplace_back();
        result.resource_name = resource.resource_name;
        auto configs = topics_[resource.resource_name].configs;
        for (const auto& config : resource.configs) {
          std::string& value = configs[config.name];
          switch (config.config_operation) {
            case 0: value = config.value.value(); break;
            case 1: configs.erase(config.name); break;
            case 2: value += "," + config.value.value(); break;
            case 3: value.erase(value.find("," + config.value.value()), 1 + config.value->size()); break;
            default: CHECK(false);
          }
          if (config.name == "nonsense") {
            result.error_code = ErrorCode::kInvalidConfig;
            result.error_message = "Unknown topic config name: nonsense";
            return;
          }
        }
        if (!request.validate_only) topics_[resource.resource_name].configs = configs;
      });
}

ErrorCode FakeBroker::append(Log& log, std::vector<std::byte> batch, int64_t& base_offset) {
  const RecordBatchView view = view_of(batch);
  const ErrorCode error = check_batch_header(batch, batch.size());
  if (error != ErrorCode::kNone) return error;
  const std::span<const std::byte> records[] = {std::span<const std::byte>(batch).subspan(kBatchHeaderBytes)};
  const bool plain = view.compression() == protocol::Compression::kNone;
  if (plain && walk_records(records, view.records_count()).error != ErrorCode::kNone) return ErrorCode::kInvalidRecord;
  if (!batch_crc_ok(batch)) {
    ++crc_failures_;
    return ErrorCode::kCorruptMessage;
  }
  if (view.has_producer_id()) {
    const int64_t id = view.producer_id().value();
    auto& next = log.sequences[id];
    if (RecordBatchView::add_sequence(view.last_sequence(), 1) == next && log.last_offsets.contains(id)) {
      ++duplicates_;
      base_offset = log.last_offsets[id];
      return ErrorCode::kNone;
    }
    if (view.base_sequence() != next) ++sequence_failures_;
    log.last_offsets[id] = log.end;
    next = RecordBatchView::add_sequence(view.last_sequence(), 1);
  }
  base_offset = log.end;
  store_base_offset(std::span(batch).first<kBatchHeaderBytes>(), Offset{base_offset});
  log.index.emplace_back(base_offset, log.bytes.size());
  log.end += view.records_count();
  log.bytes.insert(log.bytes.end(), batch.begin(), batch.end());
  return ErrorCode::kNone;
}

void FakeBroker::produce(int16_t version, std::span<const std::byte> body, std::vector<std::byte>& out) {
  if (faults_.produce_delay_ms > 0) std::this_thread::sleep_for(std::chrono::milliseconds(faults_.produce_delay_ms));
  const size_t before = out.size();
  bool answers = true;
  handle<ProduceRequest, ProduceResponse>(version, body, out, [&](auto& request, auto& response) {
    const uint64_t number = produce_requests_++;
    const std::lock_guard lock(mutex_);
    answers = request.acks != 0;
    for (auto& wanted : request.topic_data) {
      auto& topic = response.responses.emplace_back();
      topic.name = wanted.name;
      topic.topic_id = wanted.topic_id;
      StoredTopic* const stored = find(wanted.name, wanted.topic_id);
      for (auto& data : wanted.partition_data) {
        auto& result = topic.partition_responses.emplace_back();
        result.index = data.index;
        if (stored == nullptr) {
          result.error_code = ErrorCode::kUnknownTopicOrPartition;
        } else if (faults_.produce_error != ErrorCode::kNone && number >= faults_.produce_error_from &&
                   number < faults_.produce_error_until) {
          result.error_code = faults_.produce_error;
        } else {
          result.error_code =
              append(stored->logs.at(static_cast<size_t>(data.index)), std::move(*data.records), result.base_offset);
        }
      }
    }
  });
  appended_.notify_all();
  if (!answers) out.resize(before);
  if (!answers) out.shrink_to_fit();
}

void FakeBroker::fetch(int16_t version, std::span<const std::byte> body, std::vector<std::byte>& out) {
  handle<FetchRequest, FetchResponse>(version, body, out, [this](auto& request, auto& response) {
    std::unique_lock lock(mutex_);
    const auto something = [&] {
      for (const auto& topic : request.topics) {
        StoredTopic* const stored = find(topic.topic, topic.topic_id);
        if (stored == nullptr) return true;
        for (const auto& wanted : topic.partitions) {
          if (stored->logs.at(static_cast<size_t>(wanted.partition)).end > wanted.fetch_offset) return true;
        }
      }
      return stopping_.load();
    };
    appended_.wait_for(lock, std::chrono::milliseconds(request.max_wait_ms), something);
    size_t budget = static_cast<size_t>(request.max_bytes);
    for (const auto& wanted : request.topics) {
      auto& topic = response.responses.emplace_back();
      topic.topic = wanted.topic;
      topic.topic_id = wanted.topic_id;
      StoredTopic* const stored = find(wanted.topic, wanted.topic_id);
      for (const auto& asked : wanted.partitions) {
        auto& data = topic.partitions.emplace_back();
        data.partition_index = asked.partition;
        data.aborted_transactions = std::nullopt;
        if (stored == nullptr) {
          data.error_code = ErrorCode::kUnknownTopicOrPartition;
          continue;
        }
        const Log& log = stored->logs.at(static_cast<size_t>(asked.partition));
        data.high_watermark = log.end;
        if (asked.fetch_offset >= log.end) continue;
        const auto after =
            std::ranges::upper_bound(log.index, asked.fetch_offset, {}, &std::pair<int64_t, size_t>::first);
        const size_t place = std::prev(after)->second;
        // Cut at the byte, as Kafka does: the reader must cope with half a batch at the end.
        const size_t whole = (after == log.index.end() ? log.bytes.size() : after->second) - place;
        const size_t n = std::min(log.bytes.size() - place, std::max(budget, whole));
        data.records.emplace(log.bytes.begin() + static_cast<ptrdiff_t>(place),
                             log.bytes.begin() + static_cast<ptrdiff_t>(place + n));
        budget -= std::min(budget, n);
      }
    }
  });
}

// Of a time: the first offset of the first batch that has a record so late; -1 without one.
int64_t FakeBroker::offset_of(const Log& log, int64_t timestamp) {
  if (timestamp == -2) return 0;
  if (timestamp == -1) return log.end;
  for (const auto& [base_offset, at] : log.index) {
    if (view_of(std::span(log.bytes).subspan(at)).max_timestamp() >= timestamp) return base_offset;
  }
  return -1;
}

void FakeBroker::list_offsets(int16_t version, std::span<const std::byte> body, std::vector<std::byte>& out) {
  handle<ListOffsetsRequest, ListOffsetsResponse>(version, body, out, [this](auto& request, auto& response) {
    const std::lock_guard lock(mutex_);
    for (const auto& wanted : request.topics) {
      auto& topic = response.topics.emplace_back();
      topic.name = wanted.name;
      StoredTopic* const stored = find(wanted.name, {});
      for (const auto& asked : wanted.partitions) {
        auto& partition = topic.partitions.emplace_back();
        partition.partition_index = asked.partition_index;
        if (stored == nullptr) {
          partition.error_code = ErrorCode::kUnknownTopicOrPartition;
        } else {
          partition.offset = offset_of(stored->logs.at(static_cast<size_t>(asked.partition_index)), asked.timestamp);
        }
      }
    }
  });
}

}  // namespace penstock
