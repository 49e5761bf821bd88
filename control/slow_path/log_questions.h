// LogQuestions: requests that lcores must be asked about first: what their logs hold (DescribeLogDirs,
// DescribeProducers). The answer leaves when each log has been told of.
//
// Bounds: a connection asks one thing at a time, and the bytes of what is with control are bounded (dataplane/kafka/
// broker.h, kSlowBytesMax); a request asks of a partition that exists at most once. Lcores always answer.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <unordered_map>
#include <utility>
#include <vector>

#include "control/slow_path/late_answer.h"
#include "dataplane/api/messages.h"

namespace penstock::control {

class LogQuestions {
 public:
  struct PlacedQuestion {
    uint16_t lcore;  // that has the log
    dataplane::AskLog question;
  };
  // Makes the response of what was told, in the order of the questions.
  using Finish = std::function<std::vector<std::byte>(std::span<const dataplane::LogTold>)>;

  // The response itself if there is nothing to ask; else it is one of take_answers().
  std::optional<std::vector<std::byte>> ask(std::vector<PlacedQuestion> questions, const LateAsker& asker,
                                            Finish finish);
  void told(dataplane::LogTold what);

  // Those that the next take_questions() gives.
  size_t questions_waiting() const { return questions_.size(); }
  std::vector<PlacedQuestion> take_questions() { return std::exchange(questions_, {}); }
  std::vector<LateAnswer> take_answers() { return std::exchange(answers_, {}); }

 private:
  struct Open {
    LateAsker asker;
    Finish finish;
    std::vector<dataplane::LogTold> told;
    size_t left;
  };
  struct Place {
    uint64_t request;
    size_t question;  // of it
  };

  uint64_t next_request_ = 1;
  uint64_t next_token_ = 1;
  std::map<uint64_t, Open> open_;                 // by the request's number
  std::unordered_map<uint64_t, Place> by_token_;  // what lcores have not told yet
  std::vector<PlacedQuestion> questions_;
  std::vector<LateAnswer> answers_;
};

}  // namespace penstock::control
