#include "control/groups/classic_group.h"

#include <algorithm>
#include <utility>

#include "base/assert.h"
#include "base/bytes.h"
#include "protocol/codec.h"
#include "protocol/gen/embedded.h"

namespace penstock::control::groups {
namespace {

constexpr std::string_view kConsumer = "consumer";  // the protocol type whose metadata says which topics
// A timer of a client's choice may be zero: it still lets time pass.
constexpr int64_t kLeastWaitMs = 10;
// A member's place in the maps, beside its texts.
constexpr size_t kMemberOverhead = 512;

// The topics of a ConsumerProtocolSubscription: a version, then fields. Newer versions only append.
Result<std::vector<std::string>> subscribed_topics(std::span<const std::byte> metadata) {
  using Subscription = protocol::ConsumerProtocolSubscription;
  if (metadata.size() < sizeof(int16_t)) return fail(Errc::kTruncated);
  const auto version = load_be<int16_t>(metadata.data());
  if (version < 0) return fail(Errc::kInvalid);
  Subscription subscription;
  TRY_VOID(protocol::decode(metadata.subspan(sizeof(int16_t)), std::min(version, Subscription::kMaxVersion),
                            subscription, {.memory = 0, .allow_trailing = true}));
  return std::move(subscription.topics);
}

}  // namespace

std::string_view to_string(ClassicState state) {
  switch (state) {
    case ClassicState::kEmpty: return "Empty";
    case ClassicState::kPreparingRebalance: return "PreparingRebalance";
    case ClassicState::kCompletingRebalance: return "CompletingRebalance";
    case ClassicState::kStable: return "Stable";
  }
  std::unreachable();
}

const std::vector<std::byte>* ClassicMember::metadata(std::string_view protocol) const {
  const auto found = std::ranges::find(protocols, protocol, &Protocol::name);
  return found == protocols.end() ? nullptr : &found->metadata;
}

size_t ClassicMember::bytes() const {
  size_t bytes = kMemberOverhead + 2 * id.size() + client_id.size() + client_host.size() + assignment.size();
  if (instance_id) bytes += 2 * instance_id->size();
  for (const Protocol& protocol : protocols) bytes += protocol.name.size() + protocol.metadata.size();
  return bytes;
}

// ---- members

ErrorCode ClassicGroup::check_member(const std::string& member_id,
                                     const std::optional<std::string>& instance_id) const {
  if (instance_id) {
    const auto holder = static_members_.find(*instance_id);
    if (holder == static_members_.end()) return ErrorCode::kUnknownMemberId;
    if (holder->second != member_id) return ErrorCode::kFencedInstanceId;
  }
  return members_.contains(member_id) ? ErrorCode::kNone : ErrorCode::kUnknownMemberId;
}

bool ClassicGroup::forget_pending(const std::string& member_id) {
  if (!pending_.is_set(member_id)) return false;
  pending_.cancel(member_id);
  pending_bytes_ -= bytes_of_pending(member_id);
  return true;
}

ClassicMember& ClassicGroup::add(ClassicMember member) {
  CHECK(!members_.contains(member.id));
  if (!leader_) leader_ = member.id;
  if (member.instance_id) static_members_[*member.instance_id] = member.id;
  if (member.joining) ++joining_;
  forget_pending(member.id);
  count_protocols(member, true);
  bytes_ += member.bytes();
  std::string id = member.id;
  return members_.emplace(std::move(id), std::move(member)).first->second;
}

void ClassicGroup::remove(const std::string& member_id) {
  forget_pending(member_id);
  pending_sync_.erase(member_id);
  const auto found = members_.find(member_id);
  if (found == members_.end()) return;
  const ClassicMember& member = found->second;
  if (member.joining) --joining_;
  if (member.instance_id) static_members_.erase(*member.instance_id);
  count_protocols(member, false);
  bytes_ -= member.bytes();
  const bool led = is_leader(member_id);
  members_.erase(found);
  if (!led) return;
  leader_.reset();
  if (!members_.empty()) leader_ = members_.begin()->first;
}

void ClassicGroup::count_protocols(const ClassicMember& member, bool more) {
  std::set<std::string_view> counted;  // a client may name one twice
  for (const auto& protocol : member.protocols) {
    if (!counted.insert(protocol.name).second) continue;
    if (more) {
      ++supporters_[protocol.name];
    } else if (const auto count = supporters_.find(protocol.name); --count->second == 0) {
      supporters_.erase(count);
    }
  }
}

std::vector<std::string> ClassicGroup::common_protocols() const {
  std::vector<std::string> common;
  for (const auto& [name, count] : supporters_) {
    if (count == members_.size()) common.push_back(name);
  }
  return common;
}

// Each member votes for the first of its protocols that all have.
std::string ClassicGroup::select_protocol() const {
  const auto common = common_protocols();
  std::map<std::string_view, size_t> votes;
  for (const auto& [id, member] : members_) {
    const auto choice = std::ranges::find_if(
        member.protocols, [&](const auto& protocol) { return std::ranges::binary_search(common, protocol.name); });
    CHECK(choice != member.protocols.end());  // a member that shares no protocol is never let in
    ++votes[choice->name];
  }
  return std::string(std::ranges::max_element(votes, {}, [](const auto& vote) { return vote.second; })->first);
}

int32_t ClassicGroup::rebalance_timeout_ms() const {
  int32_t longest = 0;
  for (const auto& [id, member] : members_) longest = std::max(longest, member.rebalance_timeout_ms);
  return longest;
}

void ClassicGroup::move_to(ClassicState state, Now now) {
  state_before_ = std::exchange(state_, state);
  state_since_ms_ = now.wall_ms;
}

void ClassicGroup::compute_subscriptions() {
  subscribed_.reset();
  if (protocol_type_ != kConsumer) return;
  std::set<std::string, std::less<>> topics;
  for (const auto& [id, member] : members_) {
    const auto* metadata = protocol_ ? member.metadata(*protocol_) : nullptr;
    if (metadata == nullptr) return;
    auto of_member = subscribed_topics(*metadata);
    if (!of_member) return;
    topics.insert(of_member->begin(), of_member->end());
  }
  subscribed_ = std::move(topics);
}

bool ClassicGroup::is_subscribed(std::string_view topic) const {
  if (subscribed_) return subscribed_->contains(topic);
  return protocol_type_ == kConsumer;
}

// ---- deadlines

Nanos ClassicGroup::deadline_in(Now now, int64_t ms) {
  const Nanos deadline = now.monotonic + std::max(ms, kLeastWaitMs) * kMillisecond;
  earliest_ = std::min(earliest_, deadline);
  return deadline;
}

void ClassicGroup::set_deadline(ClassicMember& member, Now now, int64_t ms) { member.deadline = deadline_in(now, ms); }

// ---- offsets

ErrorCode ClassicGroup::check_commit(const std::string& member_id, const std::optional<std::string>& instance_id,
                                     int32_t generation) const {
  // Without a generation: an admin client, or a consumer that does not let the group assign.
  if (generation < 0 && state_ == ClassicState::kEmpty) return ErrorCode::kNone;
  if (generation >= 0 || !member_id.empty() || instance_id) {
    if (const ErrorCode error = check_member(member_id, instance_id); error != ErrorCode::kNone) return error;
    if (generation != generation_) return ErrorCode::kIllegalGeneration;
  } else if (state_ != ClassicState::kEmpty) {
    return ErrorCode::kUnknownMemberId;
  }
  // While members join, the old generation may still commit: its members learn of the rebalance by their heartbeats.
  return state_ == ClassicState::kCompletingRebalance ? ErrorCode::kRebalanceInProgress : ErrorCode::kNone;
}

void ClassicGroup::committed(const std::string& member_id, Step& step) {
  const auto member = members_.find(member_id);
  if (member != members_.end()) heard_of(member->second, step.now);
}

std::optional<ClassicGroup::Expiry> ClassicGroup::expiry() const {
  if (!protocol_type_) return Expiry{};
  if (state_ == ClassicState::kEmpty) return Expiry{.by_commit = state_since_ms_ < 0, .since_ms = state_since_ms_};
  if (protocol_type_ == kConsumer && subscribed_ && state_ == ClassicState::kStable)
    return Expiry{.by_commit = true, .since_ms = 0, .spares_subscribed = true};
  return std::nullopt;
}

// ---- the record

GroupRecord ClassicGroup::record() const {
  protocol::GroupMetadataValue value{.protocol_type = protocol_type_.value_or(""),
                                     .generation = generation_,
                                     .protocol = protocol_,
                                     .leader = leader_,
                                     .current_state_timestamp = state_since_ms_};
  for (const auto& [id, member] : members_) {
    const auto* metadata = protocol_ ? member.metadata(*protocol_) : nullptr;
    value.members.push_back({.member_id = id,
                             .group_instance_id = member.instance_id,
                             .client_id = member.client_id,
                             .client_host = member.client_host,
                             .rebalance_timeout = member.rebalance_timeout_ms,
                             .session_timeout = member.session_timeout_ms,
                             .subscription = metadata == nullptr ? std::vector<std::byte>() : *metadata,
                             .assignment = member.assignment});
  }
  return make_record(protocol::GroupMetadataKey{.group = id_}, std::move(value));
}

// What a member's other protocols were is not kept: until it joins again it knows the one that was chosen.
void ClassicGroup::replay(const protocol::GroupMetadataValue& value) {
  *this = ClassicGroup(id_, value.current_state_timestamp);
  generation_ = value.generation;
  if (!value.protocol_type.empty()) protocol_type_ = value.protocol_type;
  protocol_ = value.protocol;
  for (const auto& kept : value.members) {
    if (members_.contains(kept.member_id)) continue;  // no writer says one twice
    ClassicMember member{
        .id = kept.member_id,
        .instance_id = kept.group_instance_id,
        .client_id = kept.client_id,
        .client_host = kept.client_host,
        .rebalance_timeout_ms = kept.rebalance_timeout == -1 ? kept.session_timeout : kept.rebalance_timeout,
        .session_timeout_ms = kept.session_timeout,
        .protocols = {{.name = value.protocol.value_or(""), .metadata = kept.subscription}},
        .assignment = kept.assignment};
    add(std::move(member));
  }
  // A log is outside bytes: who leads is one of them.
  if (value.leader && members_.contains(*value.leader)) leader_ = value.leader;
  state_ = state_before_ = members_.empty() ? ClassicState::kEmpty : ClassicState::kStable;
  compute_subscriptions();
}

void ClassicGroup::loaded(Step& step) {
  for (auto& [id, member] : members_) heard_of(member, step.now);
  if (members_.size() > static_cast<size_t>(step.settings.group_max_size)) prepare_rebalance(step);
}

bool ClassicGroup::fits(const GroupSettings& settings) const {
  const auto encoded = encode(record());
  // What a batch and a record add, and more than that.
  constexpr size_t kAround = 256;
  return encoded && encoded->size() + kAround <= settings.write_bytes_max;
}

// ---- looks

size_t ClassicGroup::bytes() const {
  DCHECK(counts_are_right());
  return bytes_;
}

// What is kept of all members together is what counting them anew would say.
bool ClassicGroup::counts_are_right() const {
  ClassicGroup again(id_);
  for (const auto& [id, member] : members_) again.add(member);
  return again.bytes_ == bytes_ && again.joining_ == joining_ && again.supporters_ == supporters_;
}

const ClassicMember* ClassicGroup::find(const std::string& member_id,
                                        const std::optional<std::string>& instance_id) const {
  auto at = members_.find(member_id);
  const auto holder = instance_id ? static_members_.find(*instance_id) : static_members_.end();
  if (at == members_.end() && holder != static_members_.end()) at = members_.find(holder->second);
  return at == members_.end() ? nullptr : &at->second;
}

size_t ClassicGroup::waiting() const {
  return static_cast<size_t>(std::ranges::count_if(
      members_, [](const auto& member) { return member.second.joining || member.second.syncing; }));
}

protocol::DescribeGroupsResponse::DescribedGroup ClassicGroup::describe() const {
  const bool stable = state_ == ClassicState::kStable;
  protocol::DescribeGroupsResponse::DescribedGroup described;
  described.group_id = id_;
  described.group_state = to_string(state_);
  described.protocol_type = protocol_type_.value_or("");
  if (stable) described.protocol_data = protocol_.value_or("");
  for (const auto& [id, member] : members_) {
    auto& told = described.members.emplace_back();
    told.member_id = id;
    told.group_instance_id = member.instance_id;
    told.client_id = member.client_id;
    told.client_host = member.client_host;
    told.member_assignment = member.assignment;
    const auto* metadata = stable && protocol_ ? member.metadata(*protocol_) : nullptr;
    if (metadata != nullptr) told.member_metadata = *metadata;
  }
  return described;
}

}  // namespace penstock::control::groups
