#include "control/controller/records.h"

#include <charconv>
#include <limits>
#include <sstream>

#include "base/assert.h"
#include "control/controller/keys.h"
#include "control/controller/uuid_text.h"

namespace penstock::control {
namespace {

constexpr std::string_view kVersionLine = "topic 1";
constexpr std::string_view kConfigsVersionLine = "configs 1";

std::string join(const std::vector<BrokerId>& ids) {
  std::string text;
  for (const BrokerId id : ids) {
    if (!text.empty()) text += ',';
    text += std::to_string(id.value());
  }
  return text;
}

template <class Number>
Result<Number> parse_number(std::string_view text) {
  Number number{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc{} || end != text.data() + text.size()) return fail(Errc::kCorrupt);
  return number;
}

// Cuts text at the first separator and returns what stood before it.
std::string_view next_word(std::string_view& text, char separator) {
  const size_t at = text.find(separator);
  const std::string_view word = text.substr(0, at);
  text.remove_prefix(at == std::string_view::npos ? text.size() : at + 1);
  return word;
}

Result<std::vector<BrokerId>> parse_brokers(std::string_view text) {
  std::vector<BrokerId> ids;
  while (!text.empty()) ids.emplace_back(TRY(parse_number<int32_t>(next_word(text, ','))));
  return ids;
}

Result<PartitionRecord> parse_partition(std::string_view words) {
  PartitionRecord partition;
  partition.log = storage::LogId{TRY(parse_number<uint64_t>(next_word(words, ' ')))};
  partition.ring = TRY(parse_number<uint16_t>(next_word(words, ' ')));
  partition.leader_epoch = LeaderEpoch{TRY(parse_number<int32_t>(next_word(words, ' ')))};
  partition.leader = BrokerId{TRY(parse_number<int32_t>(next_word(words, ' ')))};
  partition.replicas = TRY(parse_brokers(next_word(words, ' ')));
  partition.in_sync = TRY(parse_brokers(next_word(words, ' ')));
  if (!words.empty() || partition.replicas.empty()) return fail(Errc::kCorrupt);
  return partition;
}

// Nothing but what former versions took from around values before they checked them.
bool is_blank(std::string_view text) { return text.find_first_not_of(" \t\r") == std::string_view::npos; }

// The lines of configs, of both records.
class ConfigLines {
 public:
  explicit ConfigLines(ConfigMap& configs) : configs_(configs) {}

  void take(std::string_view line) {
    const std::string_view name = next_word(line, '=');
    last_ = &configs_.emplace(name, line).first->second;
  }
  // Of a line that is of no kind: former versions stored values with line breaks around them, so it is the value of the
  // config before it if that seemed to have none.
  Result<void> take_rest(std::string_view line) {
    if (last_ == nullptr || !is_blank(*last_)) return fail(Errc::kCorrupt);
    *last_ = line;
    return {};
  }

 private:
  ConfigMap& configs_;
  std::string* last_ = nullptr;
};

void write(const ConfigMap& configs, std::ostream& text) {
  for (const auto& [name, value] : configs) {
    // A record that cannot be read back would end the next start; to end now keeps what is stored whole.
    CHECK(name.find_first_of("=\n") == std::string::npos);
    CHECK(value.find('\n') == std::string::npos);
    text << "config " << name << '=' << value << '\n';
  }
}

Result<void> parse_line(const std::string_view whole, TopicRecord& record, ConfigLines& configs) {
  std::string_view line = whole;
  const std::string_view kind = next_word(line, ' ');
  if (kind == "id") {
    const auto id = parse_uuid(line);
    if (!id) return fail(Errc::kCorrupt);
    record.id = *id;
    return {};
  }
  if (kind == "partition") {
    record.partitions.push_back(TRY(parse_partition(line)));
    return {};
  }
  if (kind == "config") {
    configs.take(line);
    return {};
  }
  return configs.take_rest(whole);
}

}  // namespace

std::string encode(const TopicRecord& record) {
  std::ostringstream text;
  text << kVersionLine << "\nid " << to_text(record.id) << '\n';
  for (const PartitionRecord& partition : record.partitions) {
    text << "partition " << partition.log.value() << ' ' << partition.ring << ' ' << partition.leader_epoch.value()
         << ' ' << partition.leader.value() << ' ' << join(partition.replicas) << ' ' << join(partition.in_sync)
         << '\n';
  }
  write(record.configs, text);
  return std::move(text).str();
}

size_t transaction_bytes(std::string_view name, const TopicRecord& record) {
  constexpr size_t kLogIdMore = std::numeric_limits<uint64_t>::digits10;                    // digits beyond the first
  const size_t own_keys = 2 * (keys::topic(name).size() + keys::topic_claim(name).size());  // compared and written
  return encode(record).size() + kLogIdMore * record.partitions.size() + own_keys + keys::topic_id(record.id).size() +
         2 * name.size();
}

Result<TopicRecord> parse_topic_record(std::string_view text) {
  const std::string_view version = next_word(text, '\n');
  if (version != kVersionLine) return fail(version.starts_with("topic ") ? Errc::kUnsupported : Errc::kCorrupt);
  TopicRecord record;
  ConfigLines configs(record.configs);
  while (!text.empty()) {
    const std::string_view line = next_word(text, '\n');
    if (!is_blank(line)) TRY_VOID(parse_line(line, record, configs));
  }
  if (record.id.is_zero() || record.partitions.empty()) return fail(Errc::kCorrupt);
  return record;
}

std::string encode(const ConfigMap& configs) {
  std::ostringstream text;
  text << kConfigsVersionLine << '\n';
  write(configs, text);
  return std::move(text).str();
}

Result<ConfigMap> parse_configs(std::string_view text) {
  const std::string_view version = next_word(text, '\n');
  if (version != kConfigsVersionLine)
    return fail(version.starts_with("configs ") ? Errc::kUnsupported : Errc::kCorrupt);
  ConfigMap configs;
  ConfigLines lines(configs);
  while (!text.empty()) {
    const std::string_view whole = next_word(text, '\n');
    std::string_view line = whole;
    if (is_blank(whole)) continue;
    if (next_word(line, ' ') == "config")
      lines.take(line);
    else
      TRY_VOID(lines.take_rest(whole));
  }
  return configs;
}

std::string encode(const storage::RingLife& life) {
  return to_text(Uuid{life.ring_id}) + " " + std::to_string(life.generation);
}

Result<storage::RingLife> parse_ring_life(std::string_view text) {
  const auto id = parse_uuid(next_word(text, ' '));
  if (!id) return fail(Errc::kCorrupt);
  return storage::RingLife{.ring_id = id->bytes, .generation = TRY(parse_number<uint64_t>(text))};
}

Result<uint64_t> parse_counter(std::string_view text) { return parse_number<uint64_t>(text); }

}  // namespace penstock::control
