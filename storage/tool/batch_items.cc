#include "storage/tool/batch_items.h"

#include <array>
#include <limits>
#include <string>

#include "base/bytes.h"
#include "base/saturating.h"

namespace penstock::storage {
namespace {

std::string codec_of(const protocol::RecordBatchView& batch) {
  constexpr std::array kNames = {"none", "gzip", "snappy", "lz4", "zstd"};
  const auto codec = static_cast<size_t>(batch.compression());
  return codec < kNames.size() ? kNames[codec] : "unknown";
}

std::string text_of(std::span<const std::byte> bytes) { return std::string(as_text(bytes)); }

}  // namespace

std::optional<Offset> last_offset_of(const protocol::RecordBatchView& batch) {
  const int64_t base = batch.base_offset().value();
  const int32_t delta = batch.last_offset_delta();
  if (base < 0 || delta < 0 || base >= std::numeric_limits<int64_t>::max() - delta) return {};
  return Offset{base + delta};
}

void BatchItems::add_batch_fields(LogItem& item, const protocol::RecordBatchView& batch) {
  auto& fields = item.fields;
  fields.push_back({"offset", batch.base_offset().value()});
  if (const auto last = last_offset_of(batch)) fields.push_back({"last_offset", last->value()});
  fields.push_back({"records", int64_t{batch.records_count()}});
  fields.push_back({"codec", codec_of(batch)});
  fields.push_back({"leader_epoch", int64_t{batch.partition_leader_epoch().value()}});
  fields.push_back({"base_timestamp", ItemTime{batch.base_timestamp()}});
  fields.push_back({"max_timestamp", ItemTime{batch.max_timestamp()}});
  if (batch.has_producer_id()) {
    fields.push_back({"producer", batch.producer_id().value()});
    fields.push_back({"producer_epoch", int64_t{batch.producer_epoch()}});
    fields.push_back({"sequence", int64_t{batch.base_sequence()}});
  }
  if (batch.transactional()) fields.push_back({"transactional", true});
  if (batch.control()) fields.push_back({"control", true});
}

void BatchItems::give_records(std::span<const std::byte> batch, int depth) const {
  const auto header = protocol::view_of(batch);
  if (header.compression() != protocol::Compression::kNone) {
    give_({"records",
           depth,
           {{"count", int64_t{header.records_count()}},
            {"why", "compressed (" + codec_of(header) + "): not shown; a consumer shows them"}}});
    return;
  }
  protocol::RecordReader reader(batch.subspan(protocol::kBatchHeaderBytes));
  for (int32_t i = 0; i < header.records_count() && !reader.at_end(); ++i) {
    const auto record = reader.next();
    if (!record) {
      give_({"records", depth, {{"count", int64_t{i}}, {"why", std::string("what follows is no record")}}});
      return;
    }
    if (!give_record(header, *record, depth)) return;
  }
}

bool BatchItems::give_record(const protocol::RecordBatchView& batch, const protocol::RecordView& record,
                             int depth) const {
  const auto last = last_offset_of(batch);
  if (!last || record.offset_delta < 0 || record.offset_delta > batch.last_offset_delta()) return true;
  const Offset offset = batch.base_offset() + int64_t{record.offset_delta};
  if (offset < options_.from) return true;
  const int64_t ms = wrapping_add(batch.base_timestamp(), record.timestamp_delta);
  LogItem item{"record", depth, {{"offset", offset.value()}, {"timestamp", ItemTime{ms}}}};
  if (record.key) item.fields.push_back({"key", text_of(*record.key)});
  if (record.value) item.fields.push_back({"value", text_of(*record.value)});
  protocol::HeaderReader headers(record);
  while (!headers.at_end()) {
    const auto header = headers.next();
    if (!header) break;
    item.fields.push_back({"header", std::string(header->key) + "=" + (header->value ? text_of(*header->value) : "")});
  }
  return give_(std::move(item));
}

}  // namespace penstock::storage
