#include "control/groups/classic_subscription.h"

#include <algorithm>
#include <array>

#include "base/assert.h"
#include "base/bytes.h"
#include "protocol/codec.h"

namespace penstock::control::groups {
namespace {

constexpr size_t kVersionBytes = 2;

// Of a version that is not known yet, the part that is known is read: fields are only added at the end.
template <class Message>
std::optional<int16_t> read(std::span<const std::byte> bytes, Message& message) {
  if (bytes.size() < kVersionBytes) return std::nullopt;
  const int16_t version = load_be<int16_t>(bytes.data());
  if (version < 0) return std::nullopt;
  const int16_t known = std::min(version, Message::kMaxVersion);
  if (!protocol::decode(bytes.subspan(kVersionBytes), known, message, {.allow_trailing = true})) return std::nullopt;
  return known;
}

template <class Entries>
Assignment by_id(const Entries& entries, const TopicTable& topics) {
  Assignment assignment;
  for (const auto& entry : entries) {
    const TopicFacts* facts = topics.find(entry.topic);
    if (facts == nullptr || entry.partitions.empty()) continue;
    assignment[facts->id].insert(entry.partitions.begin(), entry.partitions.end());
  }
  return assignment;
}

}  // namespace

std::optional<ClassicSubscription> read_subscription(std::span<const std::byte> bytes, const TopicTable& topics) {
  protocol::ConsumerProtocolSubscription message;
  const auto version = read(bytes, message);
  if (!version) return std::nullopt;
  ClassicSubscription subscription{.version = *version,
                                   .topics = std::move(message.topics),
                                   .owned = by_id(message.owned_partitions, topics),
                                   .rack_id = std::move(message.rack_id)};
  std::ranges::sort(subscription.topics);
  const auto repeats = std::ranges::unique(subscription.topics);
  subscription.topics.erase(repeats.begin(), repeats.end());
  return subscription;
}

std::vector<std::byte> write_assignment(int16_t version, const Holding& assigned, const TopicTable& topics) {
  protocol::ConsumerProtocolAssignment message;
  for (const auto& [id, partitions] : assigned) {
    const std::string* name = topics.name_of(id);
    if (name == nullptr) continue;
    auto& entry = message.assigned_partitions.emplace_back();
    entry.topic = *name;
    for (const auto& [partition, epoch] : partitions) entry.partitions.push_back(partition);
  }
  std::vector<std::byte> bytes(kVersionBytes);
  store_be(bytes.data(), version);
  CHECK(protocol::encode(message, version, bytes));  // topic names are short, and the version was read before
  return bytes;
}

bool says_more_than_partitions(std::span<const std::byte> assignment, std::string_view assignor) {
  static constexpr std::array<std::string_view, 4> kCommon{"range", "roundrobin", "sticky", "cooperative-sticky"};
  if (std::ranges::find(kCommon, assignor) != kCommon.end()) return false;
  protocol::ConsumerProtocolAssignment message;
  return read(assignment, message) && message.user_data && !message.user_data->empty();
}

std::optional<Assignment> read_assignment(std::span<const std::byte> bytes, const TopicTable& topics) {
  if (bytes.empty()) return Assignment{};
  protocol::ConsumerProtocolAssignment message;
  if (!read(bytes, message)) return std::nullopt;
  return by_id(message.assigned_partitions, topics);
}

}  // namespace penstock::control::groups
