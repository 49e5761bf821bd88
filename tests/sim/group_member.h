// SimConsumer: a member of a next-generation group as a client library is one: it beats, revokes what it is told to
// after a while, takes what it is given, says so, begins anew when it is fenced, and says everything again when an
// answer did not come.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/prng.h"
#include "control/groups/consumer_group.h"

namespace penstock::sim {

class SimConsumer {
 public:
  using Request = control::groups::ConsumerGroup::Request;
  using Response = control::groups::ConsumerGroup::Response;
  using Assignment = control::groups::Assignment;

  SimConsumer(std::string id, std::optional<std::string> instance, std::vector<std::string> topics)
      : id_(std::move(id)), instance_(std::move(instance)), topics_(std::move(topics)) {}

  const std::string& id() const { return id_; }
  const std::optional<std::string>& instance() const { return instance_; }
  int32_t epoch() const { return epoch_; }
  const Assignment& owned() const { return owned_; }
  const std::vector<std::string>& topics() const { return topics_; }
  const std::optional<std::string>& regex() const { return regex_; }

  void subscribe(std::vector<std::string> topics, std::optional<std::string> regex) {
    topics_ = std::move(topics);
    regex_ = std::move(regex);
    say_all_ = true;
  }

  // It is started again, under its old id and another instance id.
  void take_place(std::string instance, Nanos now) {
    instance_ = std::move(instance);
    waits_ = false;
    ++number_;
    begin_anew(now);
  }

  // What it sends now, with its number; mostly nothing.
  std::optional<Request> turn(Nanos now, Prng& prng);
  uint64_t last_request() const { return number_; }
  // The answer to its request of this number. Late ones are nobody's.
  void answered(uint64_t number, const Response& response, Nanos now);

 private:
  Request make_request();
  void reconcile(Nanos now, Prng& prng);
  void begin_anew(Nanos at);

  std::string id_;
  std::optional<std::string> instance_;
  std::vector<std::string> topics_;
  std::optional<std::string> regex_;
  int32_t epoch_ = 0;
  Assignment owned_;
  std::optional<Assignment> given_;  // by the last answer that had an assignment
  std::optional<Assignment> said_;   // that it owns, in its last request that was answered
  Assignment saying_;
  bool say_all_ = true;
  bool waits_ = false;
  uint64_t number_ = 0;
  Nanos next_beat_ = 0;
  Nanos answer_by_ = 0;
  std::optional<Nanos> revoked_at_;  // when its user is done with what goes
};

}  // namespace penstock::sim
