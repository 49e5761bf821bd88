#include "dataplane/control_io.h"

#include <algorithm>
#include <array>
#include <utility>

#include "base/buffer.h"
#include "protocol/record_batch.h"

namespace penstock::dataplane {
namespace {

// The bytes of a command, which outlives the chain made of them.
class CommandMemory final : public BufferPool {
 public:
  void release(std::span<std::byte>) override {}
};

bool may_pass(storage::AppendStatus status) {
  using enum storage::AppendStatus;
  return status == kBusy || status == kRingFull || status == kDiskFull;
}

}  // namespace

void ControlIo::begin(AppendRecords command, Nanos now) {
  Busy busy{.command = std::move(command), .give_up_at = 0};
  busy.give_up_at = now + busy.command.patience;
  if (!append(busy, now)) busy_.push_back(std::move(busy));
}

std::vector<Event> ControlIo::settle(Nanos now) {
  for (size_t n = busy_.size(); n > 0; --n) {
    Busy busy = std::move(busy_.front());
    busy_.pop_front();
    if (!append(busy, now)) busy_.push_back(std::move(busy));
  }
  for (size_t n = flying_.size(); n > 0; --n) {
    const Flying flying = flying_.front();
    flying_.pop_front();
    if (store_.is_durable(flying.durable_at)) {
      over_.emplace_back(RecordsAppended{
          .token = flying.token, .status = storage::AppendStatus::kAppended, .base_offset = flying.base_offset});
    } else if (store_.poisoned(flying.durable_at.ring)) {
      over_.emplace_back(RecordsAppended{
          .token = flying.token, .status = storage::AppendStatus::kPoisoned, .base_offset = Offset{-1}});
    } else {
      flying_.push_back(flying);
    }
  }
  std::erase_if(reading_, [&](Reading& reading) { return read(reading); });
  return std::exchange(over_, {});
}

// False: not now.
bool ControlIo::append(Busy& busy, Nanos now) {
  AppendRecords& command = busy.command;
  CommandMemory memory;
  BufferChain chain;
  chain.append(Buffer(memory, command.batch, command.batch.size()));
  const auto done = store_.append(command.log, command.leader_epoch, chain, 0, command.batch.size());
  if (may_pass(done.status) && now < busy.give_up_at) return false;
  if (done.status == storage::AppendStatus::kAppended) {
    flying_.push_back({.token = command.token, .base_offset = done.base_offset, .durable_at = done.durable_at});
  } else {
    over_.emplace_back(RecordsAppended{.token = command.token, .status = done.status, .base_offset = Offset{-1}});
  }
  return true;
}

// False: not now. What was read stays with the read: parts of it come from the drive in different turns, and a part may
// end anywhere in a batch.
bool ControlIo::read(Reading& reading) {
  if (!reading.cursor) {
    if (!begin_read(reading)) return false;
  }
  LogRead& told = reading.told;
  std::array<std::span<const std::byte>, 16> pieces;
  while (told.status == storage::ReadStatus::kReady && reading.cursor->remaining > 0) {
    const auto found = store_.view(*reading.cursor, reading.cursor->remaining, pieces);
    if (!found && found.error().code == Errc::kWouldBlock) return false;
    if (!found || *found == 0) {
      // Whole batches that were read so far are of use; what is missing is asked for next.
      if (!protocol::first_batch(told.bytes)) told.status = storage::ReadStatus::kDamaged;
      break;
    }
    size_t taken = 0;
    for (const auto piece : std::span(pieces).first(*found)) {
      told.bytes.insert(told.bytes.end(), piece.begin(), piece.end());
      taken += piece.size();
    }
    store_.advance(*reading.cursor, taken);
  }
  over_.emplace_back(std::move(told));
  return true;
}

// False: not now.
bool ControlIo::begin_read(Reading& reading) {
  const ReadLog& command = reading.command;
  LogRead& told = reading.told;
  told = {.token = command.token, .status = storage::ReadStatus::kGone, .bytes = {}, .offsets = {}};
  const auto offsets = store_.offsets(command.log);
  if (offsets) told.offsets = *offsets;
  const bool there = offsets && !store_.poisoned(command.log) && command.from >= offsets->log_start_offset &&
                     command.from <= offsets->durable;
  storage::ReadPlan plan{.status = storage::ReadStatus::kGone, .cursor = {}};
  if (there) plan = store_.plan_read(command.log, command.from, command.max_bytes, true);
  if (plan.status == storage::ReadStatus::kPending) return false;
  told.status = plan.status;
  reading.cursor = plan.cursor;
  return true;
}

}  // namespace penstock::dataplane
