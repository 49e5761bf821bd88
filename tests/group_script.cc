#include "tests/group_script.h"

#include <algorithm>
#include <charconv>
#include <sstream>

#include "base/bytes.h"
#include "protocol/codec.h"
#include "protocol/gen/embedded.h"

namespace penstock::control::groups {
namespace {

std::vector<std::byte> to_bytes(std::string_view text) {
  const auto* at = reinterpret_cast<const std::byte*>(text.data());
  return {at, at + text.size()};
}
std::string to_text(const std::vector<std::byte>& bytes) {
  std::string text;
  for (const std::byte byte : bytes) {
    const auto c = static_cast<char>(byte);
    text += c >= ' ' && c <= '~' ? std::string(1, c) : std::string();
  }
  return text;
}

std::vector<std::string> split(const std::string& text, char at) {
  std::vector<std::string> parts;
  std::istringstream in(text);
  for (std::string part; std::getline(in, part, at);) parts.push_back(part);
  return parts;
}
std::pair<std::string, std::string> cut(const std::string& text, char at) {
  const size_t place = text.find(at);
  if (place == std::string::npos) return {text, ""};
  return {text.substr(0, place), text.substr(place + 1)};
}
int64_t to_number(const std::string& text) {
  int64_t number = 0;
  std::from_chars(text.data(), text.data() + text.size(), number);
  return number;
}
// topic-0
std::pair<std::string, int32_t> partition_of(const std::string& text) {
  const size_t dash = text.rfind('-');
  return {text.substr(0, dash), static_cast<int32_t>(to_number(text.substr(dash + 1)))};
}

std::vector<std::byte> subscription(const std::string& topics) {
  std::vector<std::byte> bytes(sizeof(int16_t));
  store_be(bytes.data(), int16_t{1});
  const protocol::ConsumerProtocolSubscription subscribed{.topics = split(topics, ',')};
  (void)protocol::encode(subscribed, 1, bytes);
  return bytes;
}

template <class Topics>
auto& topic_in(Topics& topics, const std::string& name) {
  for (auto& topic : topics) {
    if (topic.name == name) return topic;
  }
  topics.emplace_back().name = name;
  return topics.back();
}

}  // namespace

std::string GroupScript::Words::get(const std::string& name, std::string otherwise) const {
  const auto found = named.find(name);
  return found == named.end() ? std::move(otherwise) : found->second;
}
int32_t GroupScript::Words::number(const std::string& name, int32_t otherwise) const {
  const auto found = named.find(name);
  return found == named.end() ? otherwise : static_cast<int32_t>(to_number(found->second));
}

std::string GroupScript::Words::at(size_t place) const { return place < plain.size() ? plain[place] : ""; }

GroupScript::GroupScript() { restart(); }

GroupScript::Words GroupScript::parse(const std::string& line) {
  Words words;
  std::istringstream in(line);
  for (std::string word; in >> word;) {
    const auto [name, value] = cut(word, '=');
    if (word.contains('=')) {
      words.named[name] = value;
    } else {
      words.plain.push_back(word);
    }
  }
  return words;
}

std::string GroupScript::name_of(const std::string& member_id) {
  constexpr size_t kUuidText = 36;
  if (member_id.empty()) return "-";
  if (member_id.size() <= kUuidText) return member_id;  // no coordinator made it
  const auto [place, is_new] = names_.try_emplace(member_id, "m" + std::to_string(names_.size() + 1));
  if (is_new) ids_[place->second] = member_id;
  return place->second;
}
std::string GroupScript::id_of(const std::string& name) const {
  const auto found = ids_.find(name);
  return found == ids_.end() ? name : found->second;
}

std::vector<std::string> GroupScript::obey(const std::string& line) {
  const Words words = parse(line);
  const std::string& verb = words.plain.front();
  if (verb == "join")
    join(words);
  else if (verb == "sync")
    sync(words);
  else if (verb == "leave")
    leave(words);
  else if (verb == "commit")
    commit(words);
  else if (verb == "fetch")
    fetch(words);
  else if (verb == "describe")
    describe(words);
  else if (verb == "forget")
    forget(words);
  else if (verb == "set")
    set(words);
  else if (verb == "list")
    list();
  else if (verb == "memory")
    say(std::to_string(memory_.bytes));
  else if (verb == "restart")
    restart();
  else if (verb == "+")
    pass(to_number(words.at(1)));
  else if (verb == "delete")
    say(std::string(to_string(coordinator_->delete_group(words.at(1), now_, effects_))));
  else if (verb == "topics_deleted")
    coordinator_->topics_deleted(std::span(words.plain).subspan(1), now_, effects_);
  else if (verb == "heartbeat") {
    protocol::HeartbeatRequest request{
        .group_id = words.at(1), .generation_id = words.number("gen", 1), .member_id = id_of(words.get("id"))};
    if (words.named.contains("instance")) request.group_instance_id = words.get("instance");
    say(std::string(to_string(coordinator_->heartbeat(request, now_, effects_))));
  } else
    say("what is " + verb + "?");
  settle();
  return std::exchange(said_, {});
}

void GroupScript::join(const Words& words) {
  protocol::JoinGroupRequest request;
  request.group_id = words.at(2);
  request.member_id = id_of(words.get("id"));
  request.session_timeout_ms = words.number("session", 10'000);
  request.rebalance_timeout_ms = words.number("rebalance", 60'000);
  request.protocol_type = words.get("type", "consumer");
  if (words.named.contains("instance")) request.group_instance_id = words.get("instance");
  if (words.named.contains("topics")) {
    request.protocols.push_back({.name = "range", .metadata = subscription(words.get("topics"))});
  } else {
    for (const std::string& each : split(words.get("protocols", "range:x"), ',')) {
      const auto [name, metadata] = cut(each, ':');
      request.protocols.push_back({.name = name, .metadata = to_bytes(metadata)});
    }
  }
  const Caller caller{.ticket = ++last_ticket_,
                      .version = static_cast<int16_t>(words.number("v", 9)),
                      .client_id = words.get("client", "c"),
                      .client_host = "/10.0.0.1"};
  tickets_[caller.ticket] = words.at(1);
  coordinator_->join(request, caller, now_, effects_);
}

void GroupScript::sync(const Words& words) {
  protocol::SyncGroupRequest request;
  request.group_id = words.at(2);
  request.member_id = id_of(words.get("id"));
  request.generation_id = words.number("gen", 1);
  if (words.named.contains("instance")) request.group_instance_id = words.get("instance");
  if (words.named.contains("type")) request.protocol_type = words.get("type");
  if (words.named.contains("protocol")) request.protocol_name = words.get("protocol");
  for (const std::string& each : split(words.get("assign"), ',')) {
    const auto [name, assignment] = cut(each, ':');
    request.assignments.push_back({.member_id = id_of(name), .assignment = to_bytes(assignment)});
  }
  const Caller caller{.ticket = ++last_ticket_, .version = 5};
  tickets_[caller.ticket] = words.at(1);
  coordinator_->sync(request, caller, now_, effects_);
}

void GroupScript::leave(const Words& words) {
  const auto version = static_cast<int16_t>(words.number("v", 5));
  protocol::LeaveGroupRequest request;
  request.group_id = words.at(1);
  for (size_t i = 2; i < words.plain.size(); ++i) {
    if (version < 3) {
      request.member_id = id_of(words.plain[i]);
    } else {
      request.members.push_back({.member_id = id_of(words.plain[i])});
    }
  }
  if (words.named.contains("instance")) {
    request.members.push_back({.member_id = id_of(words.get("id")), .group_instance_id = words.get("instance")});
  }
  const auto response = coordinator_->leave(request, version, now_, effects_);
  std::string line(to_string(response.error_code));
  for (const auto& member : response.members) {
    line += " " + name_of(member.member_id) + (member.group_instance_id ? "/" + *member.group_instance_id : "") + ":" +
            std::string(to_string(member.error_code));
  }
  say(line);
}

void GroupScript::commit(const Words& words) {
  protocol::OffsetCommitRequest request;
  request.group_id = words.at(1);
  request.member_id = id_of(words.get("id"));
  request.generation_id_or_member_epoch = words.number("gen", -1);
  request.retention_time_ms = to_number(words.get("retention", "-1"));
  if (words.named.contains("instance")) request.group_instance_id = words.get("instance");
  protocol::OffsetCommitResponse response;
  for (const auto& [name, value] : words.named) {
    if (!name.contains('-')) continue;
    const auto [topic, partition] = partition_of(name);
    topic_in(request.topics, topic)
        .partitions.push_back({.partition_index = partition,
                               .committed_offset = to_number(value),
                               .committed_metadata = words.get("metadata")});
    topic_in(response.topics, topic).partitions.push_back({.partition_index = partition});
  }
  coordinator_->commit(request, static_cast<int16_t>(words.number("v", 9)), now_, effects_, response);
  std::string line;
  for (const auto& topic : response.topics) {
    for (const auto& partition : topic.partitions) {
      line += (line.empty() ? "" : " ") + topic.name + "-" + std::to_string(partition.partition_index) + ":" +
              std::string(to_string(partition.error_code));
    }
  }
  say(line);
}

void GroupScript::fetch(const Words& words) {
  protocol::OffsetFetchRequest::Group request;
  request.group_id = words.at(1);
  request.topics.reset();
  for (size_t i = 2; i < words.plain.size(); ++i) {
    const auto [topic, partition] = partition_of(words.plain[i]);
    if (!request.topics) request.topics.emplace();
    topic_in(*request.topics, topic).partition_indexes.push_back(partition);
  }
  const auto response = coordinator_->fetch(request);
  std::string line(to_string(response.error_code));
  for (const auto& topic : response.topics) {
    for (const auto& partition : topic.partitions) {
      line += " " + topic.name + "-" + std::to_string(partition.partition_index) + "=" +
              std::to_string(partition.committed_offset);
      if (!partition.metadata.value_or("").empty()) line += "(" + *partition.metadata + ")";
    }
  }
  say(line);
}

void GroupScript::describe(const Words& words) {
  const auto group = coordinator_->describe(words.at(1));
  if (!group) return say("no such group");
  say(group->group_state + " type=" + group->protocol_type + " protocol=" + group->protocol_data);
  for (const auto& member : group->members) {
    say("  " + name_of(member.member_id) + (member.group_instance_id ? "/" + *member.group_instance_id : "") + " " +
        member.client_id + " " + member.client_host + " metadata=" + to_text(member.member_metadata) +
        " assignment=" + to_text(member.member_assignment));
  }
}

void GroupScript::forget(const Words& words) {
  protocol::OffsetDeleteRequest request;
  protocol::OffsetDeleteResponse response;
  request.group_id = words.at(1);
  for (size_t i = 2; i < words.plain.size(); ++i) {
    const auto [topic, partition] = partition_of(words.plain[i]);
    topic_in(request.topics, topic).partitions.push_back({.partition_index = partition});
    topic_in(response.topics, topic).partitions.push_back({.partition_index = partition});
  }
  coordinator_->delete_offsets(request, now_, effects_, response);
  std::string line(to_string(response.error_code));
  for (const auto& topic : response.topics) {
    for (const auto& partition : topic.partitions) {
      line += " " + topic.name + "-" + std::to_string(partition.partition_index) + ":" +
              std::string(to_string(partition.error_code));
    }
  }
  say(line);
}

void GroupScript::list() {
  for (const auto& group : coordinator_->list()) {
    say(group.group_id + " " + group.group_state + " type=" + group.protocol_type + " " + group.group_type);
  }
}

void GroupScript::set(const Words& words) {
  settings_.group_max_size = words.number("group_max_size", settings_.group_max_size);
  settings_.initial_rebalance_delay_ms = words.number("initial_delay", settings_.initial_rebalance_delay_ms);
  settings_.write_bytes_max =
      static_cast<size_t>(words.number("write_max", static_cast<int>(settings_.write_bytes_max)));
  settings_.pending_max = static_cast<size_t>(words.number("pending_max", static_cast<int>(settings_.pending_max)));
  settings_.memory_max = static_cast<size_t>(words.number("memory_max", static_cast<int>(settings_.memory_max)));
  settings_.offset_metadata_max_bytes = words.number("metadata_max", settings_.offset_metadata_max_bytes);
  settings_.offsets_retention_ms = words.number("retention", static_cast<int>(settings_.offsets_retention_ms));
  settings_.offsets_check_interval_ms =
      words.number("check_every", static_cast<int>(settings_.offsets_check_interval_ms));
  restart();
}

void GroupScript::restart() {
  coordinator_ = std::make_unique<Coordinator>(settings_, prng_, memory_);
  for (const GroupRecord& record : log_) {
    const auto bytes = encode(record).value();
    const auto value = bytes.value ? std::optional<std::span<const std::byte>>(*bytes.value) : std::nullopt;
    coordinator_->replay(decode_record(bytes.key, value).value());
  }
  coordinator_->loaded(now_, effects_);
}

// From deadline to deadline, as an event loop goes.
void GroupScript::pass(int64_t ms) {
  const Nanos end = now_.monotonic + ms * kMillisecond;
  while (true) {
    const Nanos next = std::min(std::max(coordinator_->next_deadline(), now_.monotonic), end);
    now_.wall_ms += (next - now_.monotonic) / kMillisecond;
    now_.monotonic = next;
    if (coordinator_->next_deadline() > now_.monotonic) return;
    coordinator_->expire(now_, effects_);
    settle();
  }
}

void GroupScript::settle() {
  for (const auto& [id, group] : coordinator_->groups()) {
    for (const auto& [member_id, member] : std::get<ClassicGroup>(group.body).members()) name_of(member_id);
  }
  for (const GroupRecord& record : effects_.records) {
    std::string line = "log: " + group_of(record);
    if (const auto* key = std::get_if<protocol::OffsetCommitKey>(&record.key)) {
      line += " " + key->topic + "-" + std::to_string(key->partition);
      if (record.value) line += "=" + std::to_string(std::get<protocol::OffsetCommitValue>(*record.value).offset);
    } else if (record.value) {
      const auto& value = std::get<protocol::GroupMetadataValue>(*record.value);
      line += " generation " + std::to_string(value.generation) + " leader " + name_of(value.leader.value_or(""));
      for (const auto& member : value.members)
        line += " " + name_of(member.member_id) + ":" + to_text(member.assignment);
    }
    say(record.value ? line : line + " gone");
    log_.push_back(record);
  }
  for (const LateAnswer& answer : effects_.answers) {
    std::string line = tickets_[answer.ticket] + ": ";
    if (const auto* joined = std::get_if<protocol::JoinGroupResponse>(&answer.response)) {
      line += to_string(joined->error_code);
      if (!joined->member_id.empty()) line += " you=" + name_of(joined->member_id);
      if (joined->error_code == ErrorCode::kNone) {
        line += " generation " + std::to_string(joined->generation_id) + " " + joined->protocol_name.value_or("null") +
                " leader=" + name_of(joined->leader) + (joined->skip_assignment ? " skip_assignment" : "");
      }
      for (const auto& member : joined->members)
        line += " " + name_of(member.member_id) + (member.group_instance_id ? "/" + *member.group_instance_id : "") +
                "(" + to_text(member.metadata) + ")";
    } else {
      const auto& synced = std::get<protocol::SyncGroupResponse>(answer.response);
      line += to_string(synced.error_code);
      if (synced.error_code == ErrorCode::kNone)
        line += " " + synced.protocol_name.value_or("null") + " assignment=" + to_text(synced.assignment);
    }
    say(line);
  }
  effects_ = {};
}

std::string GroupScript::play(const std::string& script) {
  std::string played;
  std::istringstream in(script);
  for (std::string line; std::getline(in, line);) {
    if (line.starts_with(' ')) continue;
    played += line + "\n";
    if (line.empty() || line.starts_with('#')) continue;
    for (const std::string& said : obey(line)) played += "  " + said + "\n";
  }
  return played;
}

}  // namespace penstock::control::groups
