// SlowPath: answers the requests that lcores hand to control: a function from a request frame to a response frame.
// Each API has a function of its own in the file of its name; what they share is a Call. Runs on control's event loop.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "control/controller/controller.h"
#include "control/slow_path/answer_room.h"
#include "control/slow_path/delete_records.h"
#include "control/slow_path/describe_logs.h"
#include "control/slow_path/group_requests.h"
#include "control/types.h"
#include "dataplane/api/messages.h"
#include "protocol/api.h"

namespace penstock::control {

// The APIs that this version serves, by key: what ApiVersions answers. An API stands here once somebody answers it.
std::span<const ApiKey> served_apis();

// One request's surroundings.
struct Call {
  Controller& controller;
  ControlCounters& counters;
  const AdvertisedAddress& address;  // of the listener that the client used
  int16_t version;
  AnswerRoom room;
};

class SlowPath {
 public:
  // advertised: by listener index. seed: of what is told apart by chance, as members' ids.
  SlowPath(Controller& controller, std::vector<AdvertisedAddress> advertised, ControlCounters& counters,
           std::vector<LogDir> log_dirs = {}, uint64_t seed = 0, const AnswerLimits& limits = {})
      : controller_(controller),
        advertised_(std::move(advertised)),
        log_dirs_(std::move(log_dirs)),
        counters_(counters),
        limits_(limits),
        delete_records_(controller, counters),
        groups_(controller, counters, seed) {}

  // The whole response, header included, without its length. Empty: close the connection (and it was counted). Nothing:
  // lcores must act first, and the answer comes from whoever waits for them. lcore: that has the connection. Never
  // throws.
  std::optional<std::vector<std::byte>> handle(const dataplane::SlowRequest& request, uint16_t lcore, groups::Now now);

  DeleteRecords& delete_records() { return delete_records_; }
  LogQuestions& log_questions() { return log_questions_; }
  GroupRequests& groups() { return groups_; }

 private:
  std::optional<std::vector<std::byte>> dispatch(const dataplane::SlowRequest& request, uint16_t lcore,
                                                 groups::Now now);
  std::optional<std::vector<std::byte>> begin_delete_records(const dataplane::SlowRequest& request,
                                                             const protocol::RequestHeader& header, uint16_t lcore,
                                                             groups::Now now);

  std::optional<std::vector<std::byte>> begin_of_group(const dataplane::SlowRequest& request,
                                                       const protocol::RequestHeader& header, uint16_t lcore,
                                                       groups::Now now);
  // Those that lcores are asked about.
  std::optional<std::vector<std::byte>> begin_late(const dataplane::SlowRequest& request,
                                                   const protocol::RequestHeader& header, uint16_t lcore,
                                                   groups::Now now);

  Controller& controller_;
  const std::vector<AdvertisedAddress> advertised_;
  const std::vector<LogDir> log_dirs_;
  ControlCounters& counters_;
  const AnswerLimits limits_;
  DeleteRecords delete_records_;
  LogQuestions log_questions_;
  GroupRequests groups_;
};

}  // namespace penstock::control
