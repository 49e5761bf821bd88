#include "control/slow_path/log_questions.h"

namespace penstock::control {

std::optional<std::vector<std::byte>> LogQuestions::ask(std::vector<PlacedQuestion> questions, const LateAsker& asker,
                                                        Finish finish) {
  if (questions.empty()) return finish({});
  const uint64_t id = next_request_++;
  for (size_t i = 0; i < questions.size(); ++i) {
    questions[i].question.token = next_token_;
    by_token_.emplace(next_token_++, Place{.request = id, .question = i});
    questions_.push_back(questions[i]);
  }
  open_.emplace(id, Open{.asker = asker,
                         .finish = std::move(finish),
                         .told = std::vector<dataplane::LogTold>(questions.size()),
                         .left = questions.size()});
  return std::nullopt;
}

void LogQuestions::told(dataplane::LogTold what) {
  const auto place = by_token_.find(what.token);
  if (place == by_token_.end()) return;
  const auto [id, question] = place->second;
  by_token_.erase(place);
  Open& open = open_.at(id);
  open.told[question] = std::move(what);
  if (--open.left > 0) return;
  answers_.push_back(
      {.lcore = open.asker.lcore, .answer = {.connection = open.asker.connection, .response = open.finish(open.told)}});
  open_.erase(id);
}

}  // namespace penstock::control
