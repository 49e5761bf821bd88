#include "storage/compact/batch_cleaner.h"

#include <algorithm>
#include <optional>

#include "base/assert.h"
#include "base/saturating.h"
#include "protocol/compression/batches.h"
#include "protocol/compression/codec.h"
#include "protocol/wire.h"

namespace penstock::storage {
namespace {

using protocol::BatchLayout;
using protocol::Compression;
using protocol::kBatchHeaderBytes;
using protocol::RecordBatchView;
using protocol::RecordReader;
using protocol::RecordView;

// A record and the bytes that it takes, its length in front.
struct Found {
  RecordView view;
  std::span<const std::byte> bytes;
};

// The bytes of a batch's records, in scratch where they had to be decompressed. They are walked as often as they are
// looked at: a list of them would take many times their own size, which may be 7 bytes each.
Result<std::span<const std::byte>> records_of(std::span<const std::byte> batch, std::vector<std::byte>& scratch) {
  if (protocol::view_of(batch).compression() == Compression::kNone) return batch.subspan(kBatchHeaderBytes);
  TRY_VOID(protocol::append_records(batch, kRecordsBytesMax, scratch));
  return std::span<const std::byte>(scratch);
}

// Calls look with each, until it returns false.
template <class Look>
Result<void> walk(std::span<const std::byte> records, Look&& look) {
  RecordReader reader(records);
  size_t at = 0;
  while (!reader.at_end()) {
    const RecordView view = TRY(reader.next());
    const size_t end = records.size() - reader.remaining();
    if (!look(Found{view, records.subspan(at, end - at)})) break;
    at = end;
  }
  return {};
}

// What is to become of a batch's records.
struct Fates {
  std::vector<bool> stays;
  size_t kept = 0;
  bool keeps_tombstone = false;
};

std::optional<int64_t> delete_horizon(const RecordBatchView& batch) {
  if ((batch.attributes() & protocol::kDeleteHorizonBit) == 0) return std::nullopt;
  return batch.base_timestamp();
}

bool stays(const CleaningRules& rules, const RecordBatchView& batch, const RecordView& record) {
  const Offset offset = batch.base_offset() + record.offset_delta;
  if (offset >= rules.covered) return true;
  if (!record.key) return false;
  if (const auto last = rules.map.find(*record.key); last && offset < *last) return false;
  const auto horizon = delete_horizon(batch);
  return record.value.has_value() || !horizon || rules.now_ms < *horizon;
}

bool header_stays(const CleaningRules& rules, const RecordBatchView& batch) {
  if (batch.last_offset() + 1 == rules.round_end) return true;
  if (!batch.has_producer_id()) return false;
  const auto producer = rules.producers.find(batch.producer_id());
  return producer != rules.producers.end() && producer->second == batch.last_offset();
}

// The record with its time against another base.
void put_record(const Found& record, int64_t base_shift, std::vector<std::byte>& out) {
  if (base_shift == 0) {
    out.insert(out.end(), record.bytes.begin(), record.bytes.end());
    return;
  }
  protocol::Reader old(record.bytes);
  old.varint();  // length
  const auto attributes = old.fixed<int8_t>();
  const int64_t delta = wrapping_add(old.varlong(), base_shift);
  const auto rest = record.bytes.last(old.remaining());
  protocol::Writer writer(out);
  writer.varint(static_cast<int32_t>(1 + protocol::varlong_size(delta) + rest.size()));
  writer.fixed<int8_t>(attributes);
  writer.varlong(delta);
  writer.raw(rest);
}

Result<Fates> judge(const CleaningRules& rules, const RecordBatchView& batch, std::span<const std::byte> records) {
  Fates fates;
  TRY_VOID(walk(records, [&](const Found& record) {
    const bool kept = stays(rules, batch, record.view);
    fates.stays.push_back(kept);
    fates.kept += kept ? 1 : 0;
    fates.keeps_tombstone = fates.keeps_tombstone || (kept && !record.view.value);
    return true;
  }));
  return fates;
}

// The batch with the records that stay; a new horizon becomes its base timestamp. False: the codec refuses.
bool rebuild(std::span<const std::byte> batch, std::span<const std::byte> old_records, const Fates& fates,
             std::optional<int64_t> new_horizon, std::vector<std::byte>& out) {
  const RecordBatchView view = protocol::view_of(batch);
  const int64_t old_base = view.base_timestamp();
  const int64_t shift = new_horizon ? wrapping_subtract(old_base, *new_horizon) : 0;
  std::vector<std::byte> records;
  int64_t max_timestamp = protocol::kNoTimestamp;
  size_t number = 0;
  const auto put = walk(old_records, [&](const Found& record) {
    if (!fates.stays[number++]) return true;
    put_record(record, shift, records);
    max_timestamp = std::max(max_timestamp, wrapping_add(old_base, record.view.timestamp_delta));
    return true;
  });
  CHECK(put.has_value());  // as when they were judged
  out.assign(batch.begin(), batch.begin() + kBatchHeaderBytes);
  if (!protocol::compress(view.compression(), protocol::levels_of(view.compression()).usual, records, out))
    return false;
  std::byte* at = out.data();
  if (new_horizon) {
    store_be(at + BatchLayout::kAttributes, static_cast<int16_t>(view.attributes() | protocol::kDeleteHorizonBit));
    store_be(at + BatchLayout::kBaseTimestamp, *new_horizon);
  }
  if (!view.log_append_time()) store_be(at + BatchLayout::kMaxTimestamp, max_timestamp);
  store_be(at + BatchLayout::kRecordsCount, static_cast<int32_t>(fates.kept));
  protocol::seal_batch(out);
  return true;
}

// DefaultRecordBatch.writeEmptyHeader: no codec, no horizon, both timestamps the batch's greatest.
void make_header(std::span<const std::byte> batch, std::vector<std::byte>& out) {
  const RecordBatchView view = protocol::view_of(batch);
  out.assign(batch.begin(), batch.begin() + kBatchHeaderBytes);
  std::byte* at = out.data();
  store_be(at + BatchLayout::kAttributes,
           static_cast<int16_t>(view.attributes() & ~(protocol::kCompressionMask | protocol::kDeleteHorizonBit)));
  store_be(at + BatchLayout::kBaseTimestamp, view.max_timestamp());
  store_be(at + BatchLayout::kRecordsCount, int32_t{0});
  protocol::seal_batch(out);
}

}  // namespace

Result<Offset> add_keys(OffsetMap& map, std::span<const std::byte> batch, Offset from, Offset below) {
  const RecordBatchView view = protocol::view_of(batch);
  const Offset end = std::min(view.last_offset() + 1, below);
  if (view.control() || end <= from) return end;
  std::vector<std::byte> scratch;
  const auto records = TRY(records_of(batch, scratch));
  TRY_VOID(walk(records, [](const Found&) { return true; }));  // all or none of them can be read
  Offset covered = end;
  TRY_VOID(walk(records, [&](const Found& record) {
    const Offset offset = view.base_offset() + record.view.offset_delta;
    if (offset < from || offset >= end || !record.view.key || map.put(*record.view.key, offset)) return true;
    covered = offset;
    return false;
  }));
  return covered;
}

CleanedBatch clean_batch(const CleaningRules& rules, std::span<const std::byte> batch, std::vector<std::byte>& out) {
  const RecordBatchView view = protocol::view_of(batch);
  if (view.control() || view.base_offset() >= rules.covered) return {};
  std::vector<std::byte> scratch;
  const auto records = records_of(batch, scratch);
  if (!records) return {};
  const auto fates = judge(rules, view, *records);
  if (!fates) return {};
  CleanedBatch result{.records_gone = static_cast<uint32_t>(fates->stays.size() - fates->kept)};
  if (fates->kept == 0) {
    if (!header_stays(rules, view)) {
      result.what = Cleaned::kGone;
    } else if (!fates->stays.empty()) {
      make_header(batch, out);
      result.what = Cleaned::kHeaderOnly;
    }
    return result;
  }
  std::optional<int64_t> new_horizon;
  if (fates->keeps_tombstone && !delete_horizon(view))
    new_horizon = saturating_add(rules.now_ms, rules.delete_retention_ms);
  if (result.records_gone == 0 && !new_horizon) return {};
  if (!rebuild(batch, *records, *fates, new_horizon, out)) return {};
  result.what = Cleaned::kRewritten;
  return result;
}

}  // namespace penstock::storage
