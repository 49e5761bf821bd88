#include "dataplane/kafka/recompressor.h"

#include <poll.h>

#include <utility>

#include "base/assert.h"
#include "base/saturating.h"
#include "protocol/compression/batches.h"

namespace penstock::dataplane {
namespace {

// Heap memory that goes when its Buffer goes.
class OwnedBytes final : public BufferPool {
 public:
  explicit OwnedBytes(std::vector<std::byte> bytes) : bytes_(std::move(bytes)) {}
  std::span<std::byte> all() { return bytes_; }
  void release(std::span<std::byte>) override { delete this; }

 private:
  ~OwnedBytes() = default;
  std::vector<std::byte> bytes_;
};

void refuse(RecompressPart& part, Errc error) {
  const bool too_large = error == Errc::kTooLarge;
  part.error = too_large ? ErrorCode::kMessageTooLarge : ErrorCode::kInvalidRecord;
  part.message = too_large ? "the batch's records are too large to be compressed as its topic asks"
                           : "the batch's records cannot be decompressed";
}

// Storage's look at the records of a batch that will not come to it uncompressed. False: part says what is wrong.
bool look_at_records(RecompressPart& part) {
  const protocol::RecordBatchView batch = protocol::view_of(part.batch);
  std::span<const std::byte> records = std::span(part.batch).subspan(protocol::kBatchHeaderBytes);
  std::vector<std::byte> opened;
  if (batch.compression() != protocol::Compression::kNone) {
    if (const auto done = protocol::append_records(part.batch, part.records_max, opened); !done) {
      refuse(part, done.error().code);
      return false;
    }
    records = opened;
  }
  const protocol::RecordsSummary summary = protocol::walk_records({&records, 1}, batch.records_count());
  const bool keyless = part.wants_keys && summary.any_null_key;
  part.times = {.least = saturating_add(batch.base_timestamp(), summary.min_timestamp_delta),
                .greatest = saturating_add(batch.base_timestamp(), summary.max_timestamp_delta)};
  if (summary.error == ErrorCode::kNone && !keyless) return true;
  part.error = ErrorCode::kInvalidRecord;
  part.message = "the records contradict the batch's header";
  if (summary.error != ErrorCode::kNone) return false;
  part.message = kKeyless;
  part.bad_records = protocol::records_without_key({&records, 1}, batch.records_count(), kBadRecordsMax);
  return false;
}

}  // namespace

Buffer buffer_of(std::vector<std::byte> bytes) {
  const size_t used = bytes.size();
  auto* owner = new OwnedBytes(std::move(bytes));
  return {*owner, owner->all(), used};
}

// The checksum is looked at first: the new batch gets a good one whatever its records are.
void recompress(RecompressPart& part) {
  if (!protocol::batch_crc_ok(part.batch)) {
    part.error = ErrorCode::kCorruptMessage;
    return;
  }
  const protocol::Compression has = protocol::view_of(part.batch).compression();
  if ((part.wants_keys || has == protocol::Compression::kNone) && !look_at_records(part)) return;
  if (has == part.codec) return;
  auto made = protocol::recompressed(part.batch, part.codec, part.level, part.records_max);
  if (!made) return refuse(part, made.error().code);
  part.batch = std::move(*made);
}

void Recompressor::start() {
  CHECK(!thread_.joinable());
  thread_ = std::thread([this] { run(); });
}

void Recompressor::stop() {
  if (!thread_.joinable()) return;
  ParcelPtr end;
  CHECK(asked_.try_push(end));
  work_bell_.ring();
  thread_.join();
}

bool Recompressor::try_send(ParcelPtr& parcel) {
  RecompressPart& part = std::get<RecompressPart>(parcel->part);
  if (out_ > 0 && bytes_ + part.batch.size() > kBytesMax) return false;
  if (out_ == kParcels) return false;
  part.sent_bytes = part.batch.size();
  bytes_ += part.sent_bytes;
  ++out_;
  CHECK(asked_.try_push(parcel));
  work_bell_.ring();
  return true;
}

ParcelPtr Recompressor::next() {
  auto parcel = done_.try_pop();
  if (!parcel) return nullptr;
  bytes_ -= std::get<RecompressPart>((*parcel)->part).sent_bytes;
  --out_;
  return std::move(*parcel);
}

size_t Recompressor::work() {
  size_t did = 0;
  while (auto parcel = asked_.try_pop()) {
    ended_ = *parcel == nullptr;
    if (ended_) break;
    recompress(std::get<RecompressPart>((*parcel)->part));
    CHECK(done_.try_push(*parcel));  // out_ leaves room for all
    done_bell_.ring();
    ++did;
  }
  return did;
}

void Recompressor::run() {
  while (!ended_) {
    if (work() > 0) continue;
    work_bell_.go_to_sleep();
    if (!ended_ && asked_.empty()) {
      pollfd wait{.fd = work_doorbell_.fd(), .events = POLLIN, .revents = 0};
      poll(&wait, 1, -1);
      work_doorbell_.clear();
    }
    work_bell_.wake_up();
  }
}

}  // namespace penstock::dataplane
