#include "control/cli/load/group_run.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <iterator>
#include <optional>
#include <sstream>

#include "base/units.h"
#include "control/cli/error.h"
#include "control/cli/group_client.h"
#include "control/cli/load/interrupt.h"

namespace penstock::cli {
namespace {

constexpr size_t kAnswerMost = 16 * kMiB;
constexpr Nanos kTurn = 20 * kMillisecond;

// CPU seconds that a process has used (proc(5): the 14th and 15th field of stat, behind the name in parentheses).
double cpu_seconds(int32_t pid) {
  std::ifstream file(fmt::format("/proc/{}/stat", pid));
  const std::string text((std::istreambuf_iterator<char>(file)), {});
  const size_t name_end = text.rfind(')');
  if (name_end == text.npos) throw CliError(kExitFailed, fmt::format("there is no process {}", pid));
  std::istringstream fields(text.substr(name_end + 1));
  std::string skipped;
  for (int i = 3; i < 14; ++i) fields >> skipped;
  uint64_t user = 0;
  uint64_t system = 0;
  fields >> user >> system;
  return static_cast<double>(user + system) / static_cast<double>(sysconf(_SC_CLK_TCK));
}

double seconds(Nanos t) { return static_cast<double>(t) / kSecond; }

size_t partitions_for(const GroupRunOptions& options) {
  return options.partitions > 0 ? static_cast<size_t>(options.partitions) : size_t{2} * options.members;
}

}  // namespace

Json group_report_json(const GroupReport& report) {
  const auto cores = [](double value) { return value < 0 ? Json() : Json(value); };
  return {{"stable", report.stable},
          {"stable_seconds", report.stable_seconds},
          {"joining_broker_cores", cores(report.joining_cores)},
          {"heartbeats", report.heartbeats},
          {"counted_seconds", report.counted_seconds},
          {"broker_cores", cores(report.broker_cores)},
          {"settled_seconds", report.settled_seconds},
          {"interrupted_partitions", report.interrupted},
          {"errors", report.errors},
          {"heartbeat_p50_ms", static_cast<double>(report.latency.percentile(50)) / 1e6},
          {"heartbeat_p99_ms", static_cast<double>(report.latency.percentile(99)) / 1e6}};
}

std::string group_report_text(const GroupReport& report) {
  const auto cores = [](double value) {
    return value < 0 ? std::string() : fmt::format(", broker {:.2f} cores", value);
  };
  std::string out = report.stable
                        ? fmt::format("stable after {:.2f} s{}\n", report.stable_seconds, cores(report.joining_cores))
                        : std::string("not stable in time\n");
  if (report.counted_seconds > 0) {
    out += fmt::format("{} heartbeats in {:.1f} s ({:.0f}/s): p50 {:.2f} ms, p99 {:.2f} ms{}\n", report.heartbeats,
                       report.counted_seconds, static_cast<double>(report.heartbeats) / report.counted_seconds,
                       static_cast<double>(report.latency.percentile(50)) / 1e6,
                       static_cast<double>(report.latency.percentile(99)) / 1e6, cores(report.broker_cores));
  }
  if (report.settled_seconds > 0) {
    out += fmt::format("one member left: settled after {:.2f} s, the others gave up {} partitions\n",
                       report.settled_seconds, report.interrupted);
  }
  if (report.errors > 0) out += fmt::format("{} errors\n", report.errors);
  return out;
}

GroupRun::GroupRun(Clock& clock, Cluster& cluster, const GroupRunOptions& options)
    : clock_(clock),
      options_(options),
      partitions_(partitions_for(options)),
      watch_(cluster.transport().watch(clock)),
      changed_(options.groups, true),
      stable_(options.groups, false) {
  // Ids of this run's own: those of one before may still have members.
  const std::string run = fmt::format("{:x}", static_cast<uint64_t>(clock.wall_ms()));
  for (uint32_t group = 0; group < options.groups; ++group) {
    for (uint32_t member = 0; member < options.members; ++member) {
      members_.emplace_back(fmt::format("{}-{}-{}", options.prefix, run, group), fmt::format("m-{}-{}", run, member),
                            options.topic);
    }
  }
  // As each client does before its first heartbeat: a broker makes the groups' topic when one is asked for.
  GroupClient(clock, options.broker, cluster, fmt::format("{}-{}-0", options.prefix, run)).committed();
  connect(cluster);
}

void GroupRun::connect(Cluster& cluster) {
  KafkaClient& broker = cluster.bootstrap();
  version_ = broker.versions().pick<protocol::ConsumerGroupHeartbeatRequest>();
  for (uint32_t i = 0; i < options_.connections; ++i) {
    Connection& connection = connections_.emplace_back();
    connection.link = std::make_unique<Link>(cluster.transport().connect(broker.endpoint(), options_.broker.timeout),
                                             broker.endpoint().text(), kAnswerMost);
    watch_->add(connection.link->wire(), i);
  }
}

// All members are in the same epoch, and each has its share of all partitions: not only that one of them has all.
bool GroupRun::is_stable(uint32_t group) const {
  size_t owned = 0;
  size_t least = partitions_;
  size_t most = 0;
  std::optional<int32_t> epoch;
  for (uint32_t i = 0; i < options_.members; ++i) {
    const GroupMember& member = members_[size_t{group} * options_.members + i];
    if (member.has_left()) continue;
    if (member.epoch() <= 0 || member.epoch() != epoch.value_or(member.epoch())) return false;
    epoch = member.epoch();
    size_t of_member = 0;
    for (const auto& [topic, partitions] : member.owned()) of_member += partitions.size();
    owned += of_member;
    least = std::min(least, of_member);
    most = std::max(most, of_member);
  }
  return owned == partitions_ && most <= least + 1;
}

bool GroupRun::all_stable() {
  for (uint32_t group = 0; group < options_.groups; ++group) {
    if (!changed_[group]) continue;
    changed_[group] = false;
    stable_[group] = is_stable(group);
  }
  return std::ranges::all_of(stable_, [](bool stable) { return stable; });
}

void GroupRun::turn(Nanos until) {
  const Nanos now = clock_.monotonic();
  while (!due_.empty() && due_.begin()->first <= now) {
    const uint32_t member = due_.extract(due_.begin()).value().second;
    if (!members_[member].has_left()) send(member, members_[member].beat());
  }
  const Nanos next = due_.empty() ? now + kTurn : std::min(due_.begin()->first, now + kTurn);
  const Nanos wake = std::min(next, until);
  for (const Watch::Ready& ready : watch_->wait({.precise = wake, .lazy = wake})) {
    Connection& connection = connections_[ready.index];
    if (ready.writable) flush(ready.index);
    if (ready.readable) take_answers(connection);
  }
}

void GroupRun::send(uint32_t member, const GroupMember::Request& request) {
  const uint32_t index = member % static_cast<uint32_t>(connections_.size());
  Connection& connection = connections_[index];
  const CorrelationId correlation{next_correlation_++};
  std::vector<std::byte> frame = request_head(GroupMember::Request::kApiKey, version_, correlation);
  if (!protocol::encode(request, version_, frame)) throw CliError(kExitFailed, "a heartbeat cannot be encoded");
  connection.asked.push_back({.member = member, .at = clock_.monotonic(), .correlation = correlation});
  connection.link->queue(std::move(frame));
  flush(index);
}

void GroupRun::flush(uint32_t index) {
  Connection& connection = connections_[index];
  const bool wants_write = !connection.link->flush();
  if (wants_write != connection.wants_write) watch_->want_write(connection.link->wire(), index, wants_write);
  connection.wants_write = wants_write;
}

void GroupRun::take_answers(Connection& connection) {
  while (connection.link->receive()) {
    while (const auto frame = connection.link->next_frame()) {
      if (connection.asked.empty()) throw CliError(kExitFailed, "an answer that nobody asked for");
      const Asked asked = connection.asked.front();
      connection.asked.pop_front();
      GroupMember::Response response;
      const auto body = response_body(*frame, GroupMember::Request::kApiKey, version_, asked.correlation);
      if (!protocol::decode(body, version_, response)) throw CliError(kExitFailed, "a broken answer to a heartbeat");
      const Nanos now = clock_.monotonic();
      GroupMember& member = members_[asked.member];
      if (member.answered(response, now)) ++report_.errors;
      ++report_.heartbeats;
      report_.latency.record(static_cast<uint64_t>(now - asked.at));
      changed_[asked.member / options_.members] = true;
      if (!member.has_left()) due_.emplace(member.next_beat(), asked.member);
    }
  }
}

void GroupRun::join_all() {
  const Nanos begin = clock_.monotonic();
  const double cpu = options_.broker_pid > 0 ? cpu_seconds(options_.broker_pid) : 0;
  for (uint32_t member = 0; member < members_.size(); ++member) due_.emplace(begin, member);
  const Interrupt interrupt;
  while (!(report_.stable = all_stable()) && !interrupt.seen()) {
    if (clock_.monotonic() > begin + options_.patience) return;
    turn(begin + options_.patience);
  }
  report_.stable_seconds = seconds(clock_.monotonic() - begin);
  if (options_.broker_pid > 0) {
    report_.joining_cores = (cpu_seconds(options_.broker_pid) - cpu) / report_.stable_seconds;
  }
}

void GroupRun::count_heartbeats() {
  const Nanos begin = clock_.monotonic();
  const double cpu = options_.broker_pid > 0 ? cpu_seconds(options_.broker_pid) : 0;
  report_.heartbeats = 0;
  report_.latency.clear();
  const Interrupt interrupt;
  while (clock_.monotonic() < begin + options_.duration && !interrupt.seen()) turn(begin + options_.duration);
  report_.counted_seconds = seconds(clock_.monotonic() - begin);
  if (options_.broker_pid > 0) {
    report_.broker_cores = (cpu_seconds(options_.broker_pid) - cpu) / report_.counted_seconds;
  }
}

void GroupRun::let_one_leave() {
  if (options_.members < 2) return;
  // Of the first group, its first member.
  const auto lost = [&] {
    uint64_t sum = 0;
    for (uint32_t i = 1; i < options_.members; ++i) sum += members_[i].lost();
    return sum;
  };
  const uint64_t before = lost();
  const uint64_t heartbeats = report_.heartbeats;
  const Nanos begin = clock_.monotonic();
  due_.erase({members_[0].next_beat(), 0});
  send(0, members_[0].leave());
  changed_[0] = true;
  const Interrupt interrupt;
  while (!all_stable() && clock_.monotonic() < begin + options_.patience && !interrupt.seen()) {
    turn(begin + options_.patience);
  }
  report_.settled_seconds = seconds(clock_.monotonic() - begin);
  report_.interrupted = lost() - before;
  report_.heartbeats = heartbeats;
}

// So that the broker need not wait for their sessions to end.
void GroupRun::leave_all() {
  due_.clear();
  for (uint32_t member = 0; member < members_.size(); ++member) {
    if (!members_[member].has_left()) send(member, members_[member].leave());
  }
  const Nanos end = clock_.monotonic() + options_.broker.timeout;
  const auto waits = [](const Connection& connection) { return !connection.asked.empty(); };
  while (std::ranges::any_of(connections_, waits) && clock_.monotonic() < end) turn(end);
}

GroupReport GroupRun::run() {
  join_all();
  if (report_.stable) {
    count_heartbeats();
    const GroupReport counted = report_;
    let_one_leave();
    report_.latency = counted.latency;
  }
  const uint64_t heartbeats = report_.heartbeats;
  leave_all();
  report_.heartbeats = heartbeats;
  return report_;
}

}  // namespace penstock::cli
