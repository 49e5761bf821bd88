// GroupBoard: where HTTP's thread asks for a survey of the groups and control's puts it. A survey is made when somebody
// looks, and serves all who look within a second of it. Waiting is the asker's: nothing here blocks.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <utility>

#include "base/doorbell.h"
#include "base/units.h"
#include "control/group_samples.h"

namespace penstock::control {

class GroupBoard {
 public:
  static constexpr Nanos kServes = kSecond;
  // An older one is not shown: no value says more than one that was true once.
  static constexpr Nanos kShown = 10 * kSecond;

  // control: rung when a survey is asked for; it outlives the board.
  explicit GroupBoard(const Doorbell& control) : control_(control) {}

  // ---- any thread
  // The number of the survey to look at, which may be there.
  uint64_t ask(Nanos now) {
    const std::lock_guard lock(mutex_);
    if (!open_ || (latest_ != nullptr && now - published_at_ < kServes)) return published_;
    wanted_ = true;
    control_.ring();
    return published_ + 1;
  }
  bool is_there(uint64_t number) const {
    const std::lock_guard lock(mutex_);
    return published_ >= number;
  }
  // nullptr: there is none, or it is too old. The one before it is freed here and not by control.
  std::shared_ptr<const GroupSamples> latest(Nanos now) {
    std::shared_ptr<const GroupSamples> old;
    const std::lock_guard lock(mutex_);
    old = std::move(retired_);
    return latest_ != nullptr && now - published_at_ < kShown ? latest_ : nullptr;
  }

  // ---- control
  // From now on surveys are made. published: called behind each.
  void open(std::function<void()> published) {
    const std::lock_guard lock(mutex_);
    open_ = true;
    on_published_ = std::move(published);
  }
  bool is_wanted() const {
    const std::lock_guard lock(mutex_);
    return wanted_;
  }
  void publish(std::shared_ptr<const GroupSamples> samples, Nanos now) {
    {
      const std::lock_guard lock(mutex_);
      retired_ = std::exchange(latest_, std::move(samples));
      published_at_ = now;
      ++published_;
      wanted_ = false;
    }
    if (on_published_) on_published_();
  }

 private:
  const Doorbell& control_;
  mutable std::mutex mutex_;
  bool open_ = false;
  bool wanted_ = false;  // until it is there
  uint64_t published_ = 0;
  Nanos published_at_ = 0;
  std::shared_ptr<const GroupSamples> latest_;
  std::shared_ptr<const GroupSamples> retired_;
  std::function<void()> on_published_;
};

}  // namespace penstock::control
