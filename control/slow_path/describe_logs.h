// DescribeLogDirs (KIP-113) and DescribeProducers (KIP-664): what is in the data folders, and who wrote it. The lcores
// know; these say what to ask them, and make the response of what they told.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "control/controller/controller.h"
#include "control/slow_path/answer_room.h"
#include "control/slow_path/log_questions.h"
#include "protocol/gen/describe_log_dirs.h"
#include "protocol/gen/describe_producers.h"

namespace penstock::control {

// A data folder, and the rings whose logs are in it.
struct LogDir {
  std::string path;  // absolute
  std::vector<uint16_t> rings;
};

std::optional<std::vector<std::byte>> begin(const protocol::DescribeLogDirsRequest& request, const LateAsker& asker,
                                            const Controller& controller, const std::vector<LogDir>& dirs,
                                            LogQuestions& questions, const AnswerRoom& room);
std::optional<std::vector<std::byte>> begin(const protocol::DescribeProducersRequest& request, const LateAsker& asker,
                                            const Controller& controller, LogQuestions& questions, AnswerRoom room);

}  // namespace penstock::control
