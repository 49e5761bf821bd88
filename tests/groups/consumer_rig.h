// ConsumerRig: one next-generation group, its log and its clock, driven by short lines and answering in short lines:
//   "a epoch=2 t:0,1"     the answer to member a, with its assignment
//   "a epoch=2"           without one: nothing changed
//   "FENCED_MEMBER_EPOCH" refused
// After each step the log is read into a second group, which must be the same.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "control/groups/consumer_group.h"

namespace penstock::control::groups {

class ConsumerRig {
 public:
  using Request = ConsumerGroup::Request;

  ConsumerRig() { settings.assignment_interval_ms = 0; }

  // There is such a topic now, or it has as many partitions now, or it is gone (0).
  void topic(const std::string& name, int32_t partitions) {
    auto at = std::ranges::find(topics_, name, &std::pair<std::string, int32_t>::first);
    if (at == topics_.end()) at = topics_.insert(at, {name, 0});
    at->second = partitions;
    ++version_;
    table_ = TopicTable(version_);
    for (const auto& [is, count] : topics_) {
      if (count > 0) table_.add(is, {.id = id_of(is), .partitions = count});
    }
  }

  static Uuid id_of(const std::string& name) {
    Uuid id;
    for (size_t i = 0; i < std::min<size_t>(name.size(), 16); ++i) id.bytes[i] = static_cast<uint8_t>(name[i]);
    return id;
  }

  GroupContext context() {
    return {.now = now,
            .wall_ms = 1'000'000 + now / kMillisecond,
            .settings = settings,
            .topics = table_,
            .regex_work = regex_work ? &*regex_work : nullptr};
  }

  static Request join_request(const std::string& member, std::vector<std::string> topics) {
    Request request;
    request.group_id = "g";
    request.member_id = member;
    request.rebalance_timeout_ms = 60'000;
    request.subscribed_topic_names = std::move(topics);
    request.topic_partitions.emplace();
    return request;
  }

  Request beat_request(const std::string& member, int32_t epoch, const std::optional<std::string>& owned = {}) const {
    Request request;
    request.group_id = "g";
    request.member_id = member;
    request.member_epoch = epoch;
    if (owned) request.topic_partitions = parse(*owned);
    return request;
  }

  std::string join(const std::string& member, std::vector<std::string> topics) {
    return send(join_request(member, std::move(topics)));
  }
  std::string join_static(const std::string& member, const std::string& instance, std::vector<std::string> topics) {
    Request request = join_request(member, std::move(topics));
    request.instance_id = instance;
    return send(request);
  }
  // owned: "t:0,1 u:2"; nothing: as before.
  std::string beat(const std::string& member, int32_t epoch, const std::optional<std::string>& owned = {}) {
    return send(beat_request(member, epoch, owned));
  }
  std::string leave(const std::string& member, const std::optional<std::string>& instance = {}, int32_t epoch = -1) {
    Request request = beat_request(member, epoch);
    request.instance_id = instance;
    return send(request);
  }

  std::string send(const Request& request) {
    Outcome<ConsumerGroup::Response> outcome = group.heartbeat(
        request,
        {.client_id = "client", .client_host = "/127.0.0.1", .api_version = api_version, .new_member_id = "made"},
        context());
    log_records(outcome.records);
    response = outcome.response;
    return text(response);
  }

  // Time passes; what is due happens on the way.
  void pass(int64_t ms) {
    const Nanos end = now + ms * kMillisecond;
    for (Nanos next = group.next_deadline(); next <= end; next = group.next_deadline()) {
      now = std::max(now, next);
      log_records(group.on_deadline(context()));
    }
    now = end;
  }

  std::string state() const { return std::string(to_string(group.state())); }

  void log_records(const std::vector<GroupRecord>& records) {
    last_records = records.size();
    for (const GroupRecord& record : records) {
      const auto bytes = encode(record);
      ASSERT_TRUE(bytes);
      log.push_back(*bytes);
    }
    ASSERT_EQ(replayed().dump(), group.dump());
    ASSERT_EQ(replayed().bytes(), group.bytes());
  }

  ConsumerGroup replayed() const {
    ConsumerGroup again("g");
    for (const EncodedRecord& bytes : log) {
      std::optional<std::span<const std::byte>> value;
      if (bytes.value) value = *bytes.value;
      const auto record = decode_record(bytes.key, value);
      EXPECT_TRUE(record);
      if (record) again.apply(*record);
    }
    return again;
  }

  std::string text(const ConsumerGroup::Response& is) const {
    if (is.error_code != ErrorCode::kNone) return std::string(to_string(is.error_code));
    std::string out = is.member_id.value_or("?") + " epoch=" + std::to_string(is.member_epoch);
    if (!is.assignment) return out;
    if (is.assignment->topic_partitions.empty()) return out + " nothing";
    for (const auto& entry : is.assignment->topic_partitions) {
      const std::string* name = table_.name_of(entry.topic_id);
      out += " " + (name != nullptr ? *name : "?") + ":";
      for (size_t i = 0; i < entry.partitions.size(); ++i) {
        out += (i == 0 ? "" : ",") + std::to_string(entry.partitions[i]);
      }
    }
    return out;
  }

  static std::vector<Request::TopicPartitions> parse(const std::string& owned) {
    std::vector<Request::TopicPartitions> entries;
    size_t at = 0;
    while (at < owned.size()) {
      const size_t colon = owned.find(':', at);
      const size_t end = std::min(owned.find(' ', at), owned.size());
      auto& entry = entries.emplace_back();
      entry.topic_id = id_of(owned.substr(at, colon - at));
      for (size_t digit = colon; digit < end; digit = owned.find(',', digit + 1)) {
        entry.partitions.push_back(std::stoi(owned.substr(digit + 1)));
        if (owned.find(',', digit + 1) > end) break;
      }
      at = end + 1;
    }
    return entries;
  }

  ConsumerGroup group{"g"};
  ConsumerGroupSettings settings;
  Nanos now = kSecond;
  int16_t api_version = 1;
  ConsumerGroup::Response response;
  size_t last_records = 0;
  std::optional<uint64_t> regex_work{};  // of a turn; nothing: no bound
  std::vector<EncodedRecord> log;

 private:
  std::vector<std::pair<std::string, int32_t>> topics_;
  uint64_t version_ = 0;
  TopicTable table_;
};

}  // namespace penstock::control::groups
