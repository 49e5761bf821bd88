#include "tests/fake_store.h"

#include <algorithm>
#include <limits>

#include "base/assert.h"
#include "protocol/record_batch.h"

namespace penstock::testing {

std::vector<FakeDrive*> open_drives;

FakeDrive& fake_drive(size_t store) { return *open_drives.at(store); }

void FakeDrive::end_reads(storage::LogId log) {
  if (reading.erase(log) == 0) return;
  cached.insert(log);
  ended.insert(log);
}

void FakeDrive::end_reads() {
  for (const storage::LogId log : std::set(reading)) end_reads(log);
}

}  // namespace penstock::testing

namespace penstock::storage {

class Store::Impl {
 public:
  struct Batch {
    Offset base;
    Offset next;
    uint64_t position;
    std::vector<std::byte> bytes;
  };
  struct Log {
    Offset start{0};
    Offset durable{0};
    std::vector<Batch> batches;
    Offset end() const { return batches.empty() ? Offset{0} : batches.back().next; }
    size_t find(Offset offset) const {
      size_t i = 0;
      while (i < batches.size() && batches[i].next <= offset) ++i;
      return i;
    }
  };

  explicit Impl(StorageCounters& storage_counters) : counters(storage_counters) {
    testing::open_drives.push_back(&drive);
  }
  ~Impl() { std::erase(testing::open_drives, &drive); }

  Log* find(LogId id) {
    const auto found = logs.find(id);
    return found == logs.end() ? nullptr : &found->second;
  }
  bool is_cold(LogId log, Offset offset) const {
    const auto found = drive.cold_below.find(log);
    return found != drive.cold_below.end() && offset < found->second;
  }
  // What a look at the drive finds; begins a read if it has to.
  ReadStatus look(LogId log) {
    if (!drive.cached.contains(log)) {
      drive.reads += drive.reading.insert(log).second ? 1 : 0;
      return ReadStatus::kPending;
    }
    if (drive.gone.contains(log)) return ReadStatus::kGone;
    return drive.damaged.contains(log) ? ReadStatus::kDamaged : ReadStatus::kReady;
  }

  StorageCounters& counters;
  testing::FakeDrive drive;
  std::map<LogId, Log> logs;
  std::vector<LogId> advanced;
  std::vector<LogId> advancing;
  std::vector<LogId> readable;
  uint64_t appended = 0;
  uint64_t durable = 0;
  bool stopping = false;
};

Store::Store(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Store::~Store() = default;

std::expected<std::unique_ptr<Store>, OpenFailure> Store::open(StoreRequest request) {
  auto impl = std::make_unique<Impl>(*request.counters);
  for (const LogToOpen& log : request.live_logs) impl->logs[log.id];
  return std::unique_ptr<Store>(new Store(std::move(impl)));
}

void Store::open_log(LogId log, const LogConfig&) { impl_->logs[log]; }
void Store::set_config(LogId, const LogConfig&) {}
void Store::drop_log(LogId log) { impl_->logs.erase(log); }

AppendResult Store::append(LogId id, LeaderEpoch epoch, const BufferChain& chain, size_t at, size_t length,
                           const std::optional<RecordTimes>& /*times*/) {
  Impl::Log* log = impl_->find(id);
  if (log == nullptr) return {.status = AppendStatus::kUnknownLog};
  if (impl_->drive.health.poisoned) return {.status = AppendStatus::kPoisoned};
  if (impl_->drive.refuse != AppendStatus::kAppended) return {.status = impl_->drive.refuse};
  Impl::Batch batch{.base = log->end(), .next = {}, .position = 0, .bytes = std::vector<std::byte>(length)};
  chain.copy_out(at, batch.bytes);
  const auto head = std::span(batch.bytes).first<protocol::kBatchHeaderBytes>();
  protocol::store_base_offset(head, batch.base);
  protocol::store_partition_leader_epoch(head, epoch);
  batch.next = batch.base + (protocol::view_of(batch.bytes).last_offset_delta() + 1);
  if (!log->batches.empty()) batch.position = log->batches.back().position + log->batches.back().bytes.size();
  const Offset base = batch.base;
  log->batches.push_back(std::move(batch));
  impl_->advancing.push_back(id);
  impl_->appended += length;
  return {AppendStatus::kAppended, base, log->start, Lsn{impl_->appended}};
}

std::optional<LogOffsets> Store::offsets(LogId id) const {
  const Impl::Log* log = impl_->find(id);
  if (log == nullptr) return std::nullopt;
  return LogOffsets{log->start, log->durable, log->end()};
}

RingLife Store::life() const { return {}; }
uint64_t Store::bytes_of(LogId id) const {
  const Impl::Log* log = impl_->find(id);
  return log == nullptr || log->batches.empty() ? 0 : log->batches.back().position + log->batches.back().bytes.size();
}
std::vector<ProducerFacts> Store::producers_of(LogId) const { return {}; }

ReadPlan Store::plan_read(LogId id, Offset from, uint64_t max_bytes, bool at_least_one) {
  const Impl::Log* log = impl_->find(id);
  if (log == nullptr) return {ReadStatus::kGone, {}};
  ReadCursor cursor{.log = id, .batch = from};
  const size_t first = log->find(from);
  if (first == log->batches.size()) return {ReadStatus::kReady, cursor};
  cursor.cold = impl_->is_cold(id, from);
  if (cursor.cold) {
    const ReadStatus status = impl_->look(id);
    impl_->drive.after_look();
    if (status != ReadStatus::kReady) return {status, {}};
  }
  cursor.batch = log->batches[first].base;
  cursor.position = log->batches[first].position;
  for (size_t i = first; i < log->batches.size(); ++i) {
    const Impl::Batch& batch = log->batches[i];
    if (impl_->is_cold(id, batch.base) != cursor.cold) break;
    if (batch.base >= log->durable) break;
    const bool forced = i == first && at_least_one;
    if (cursor.remaining + batch.bytes.size() > max_bytes && !forced) break;
    cursor.remaining += batch.bytes.size();
  }
  return {ReadStatus::kReady, cursor};
}

Result<size_t> Store::view(const ReadCursor& cursor, size_t max_bytes, std::span<std::span<const std::byte>> pieces) {
  const Impl::Log* log = impl_->find(cursor.log);
  if (log == nullptr) return fail(Errc::kNotFound);
  if (cursor.cold) {
    const ReadStatus status = impl_->look(cursor.log);
    if (status == ReadStatus::kReady) impl_->drive.after_look();
    if (status == ReadStatus::kPending) return fail(Errc::kWouldBlock);
    if (status == ReadStatus::kDamaged) return fail(Errc::kCorrupt);
    if (status == ReadStatus::kGone) return fail(Errc::kNotFound);
  }
  // Both kinds of cursor are byte ranges of the log here.
  size_t count = 0;
  uint64_t at = cursor.position;
  uint64_t left = std::min<uint64_t>(cursor.remaining, max_bytes);
  for (const Impl::Batch& batch : log->batches) {
    if (left == 0 || count == pieces.size()) break;
    if (at >= batch.position + batch.bytes.size()) continue;
    const uint64_t skip = at - batch.position;
    const uint64_t n = std::min(left, batch.bytes.size() - skip);
    pieces[count++] = std::span(batch.bytes).subspan(skip, n);
    at += n;
    left -= n;
  }
  return count;
}

Result<Loan> Store::lend(const ReadCursor& cursor, size_t max_bytes, std::span<std::span<const std::byte>> pieces) {
  const Loan loan{.pieces = TRY(view(cursor, max_bytes, pieces))};
  if (loan.pieces > 0) ++impl_->drive.lent;
  return loan;
}

Loan Store::keep(std::span<const std::byte>) {
  ++impl_->drive.lent;
  return {.pieces = 1};
}

Lsn Store::recalled() const { return Lsn{0}; }

void Store::take_back(const Loan& loan) {
  if (loan.pieces > 0) --impl_->drive.lent;
}

void Store::advance(ReadCursor& cursor, size_t n) const {
  CHECK(n <= cursor.remaining);
  cursor.remaining -= n;
  cursor.position += n;
}

// The first offset whose record could have the time, by the batches' maxima.
TimeFound Store::find_by_time(LogId id, int64_t timestamp_ms) {
  const Impl::Log* log = impl_->find(id);
  if (log == nullptr) return {ReadStatus::kGone, std::nullopt};
  for (const Impl::Batch& batch : log->batches) {
    const auto view = protocol::view_of(batch.bytes);
    if (view.max_timestamp() < timestamp_ms) continue;
    const ReadStatus status = impl_->is_cold(id, batch.base) ? impl_->look(id) : ReadStatus::kReady;
    if (status != ReadStatus::kReady) return {status, std::nullopt};
    return {ReadStatus::kReady, TimeAndOffset{batch.base, view.max_timestamp()}};
  }
  return {ReadStatus::kReady, std::nullopt};
}

TimeFound Store::find_max_time(LogId id) {
  const Impl::Log* log = impl_->find(id);
  if (log == nullptr) return {ReadStatus::kGone, std::nullopt};
  if (log->batches.empty()) return {ReadStatus::kReady, std::nullopt};
  return find_by_time(id, protocol::view_of(log->batches.back().bytes).max_timestamp());
}

EpochEnd Store::end_offset_for(LogId, LeaderEpoch) const { return {LeaderEpoch{-1}, Offset{-1}}; }

LeaderEpoch Store::epoch_at(LogId id, Offset offset) const {
  const Impl::Log* log = impl_->find(id);
  if (log == nullptr) return kNoLeaderEpoch;
  LeaderEpoch epoch = kNoLeaderEpoch;
  for (const Impl::Batch& batch : log->batches)
    if (batch.base <= offset) epoch = protocol::view_of(batch.bytes).partition_leader_epoch();
  return epoch;
}

TrimResult Store::trim(LogId id, Offset to) {
  Impl::Log* log = impl_->find(id);
  if (log == nullptr) return {.status = TrimStatus::kUnknownLog};
  if (impl_->drive.trim_answer != TrimStatus::kTrimmed) return {.status = impl_->drive.trim_answer};
  if (to > log->end() || to < Offset{0}) return {.status = TrimStatus::kOffsetOutOfRange};
  log->start = std::max(log->start, to);
  impl_->appended += 1;
  return {TrimStatus::kTrimmed, log->start, Lsn{impl_->appended}};
}

void Store::submit() {}

size_t Store::poll() {
  Impl& s = *impl_;
  s.advanced.clear();
  s.readable.assign(s.drive.ended.begin(), s.drive.ended.end());
  s.drive.ended.clear();
  if (!s.drive.is_stuck && !s.drive.health.poisoned) {
    s.durable = s.appended;
    s.advanced = std::exchange(s.advancing, {});
    for (auto& [id, log] : s.logs) log.durable = log.end();
  }
  return s.advanced.size() + s.readable.size();
}

Lsn Store::durable() const { return Lsn{impl_->durable}; }
std::span<const LogId> Store::advanced_logs() const { return impl_->advanced; }
std::span<const LogId> Store::readable_logs() const { return impl_->readable; }
uint64_t Store::commit_bytes() const { return 0; }
bool Store::poisoned() const { return impl_->drive.health.poisoned; }
StoreHealth Store::health() const { return impl_->drive.health; }
Nanos Store::next_deadline() const { return std::numeric_limits<Nanos>::max(); }
void Store::begin_stop() { impl_->stopping = true; }
bool Store::stopped() const { return impl_->stopping; }

}  // namespace penstock::storage
