// AnswerRoom: how large an answer may become. A request of a few bytes can name the same thing, or things that are not
// there, so often that the answer would take all memory. Kafka answers each of them and has no bound; here who asks for
// more than a bound is closed, and it is counted (answers_too_large).
#pragma once

#include <cstddef>
#include <string_view>

#include "base/units.h"
#include "control/types.h"
#include "protocol/descriptor.h"

namespace penstock::control {

// Both in bytes, of one answer. All configs of 10,000 topics with synonyms and meanings stay below.
struct AnswerLimits {
  size_t encoded = 64 * kMiB;
  size_t memory = 256 * kMiB;  // while it is made: an element in memory is several times its form on the wire
};

class AnswerRoom {
 public:
  explicit AnswerRoom(ControlCounters& counters, const AnswerLimits& limits = {})
      : counters_(&counters), limits_(limits) {}

  // Whether the answer may take so much more memory. Once it may not, it never may: it is refused whatever it holds, so
  // its maker stops there.
  bool take(size_t bytes) {
    is_over_ = is_over_ || bytes > limits_.memory - taken_;
    if (!is_over_) taken_ += bytes;
    return !is_over_;
  }
  // The same for an element of the message's array of this name (the schema's), with all that it holds.
  bool take(const protocol::MessageInfo& message, std::string_view array, const void* element);

  bool is_over() const { return is_over_; }
  bool fits(size_t encoded) const { return encoded <= limits_.encoded; }
  // Counts an answer that is not sent.
  void refuse() const { counters_->add(Metric::answers_too_large); }

 private:
  ControlCounters* counters_;
  AnswerLimits limits_;
  size_t taken_ = 0;  // at most limits_.memory
  bool is_over_ = false;
};

// What a struct of a message holds on the heap, about: without what allocators add.
size_t heap_bytes(const protocol::StructInfo& info, const void* object);

}  // namespace penstock::control
