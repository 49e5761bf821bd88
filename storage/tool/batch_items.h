// A batch's header and its records as items of a dump.
#pragma once

#include <functional>
#include <optional>
#include <span>

#include "protocol/record_batch.h"
#include "storage/api/log_tool.h"

namespace penstock::storage {

// The offset of a batch's last record; none if the header's numbers cannot be.
std::optional<Offset> last_offset_of(const protocol::RecordBatchView& batch);

class BatchItems {
 public:
  using Give = std::function<bool(LogItem)>;
  BatchItems(const DumpOptions& options, Give give) : options_(options), give_(std::move(give)) {}

  static void add_batch_fields(LogItem& item, const protocol::RecordBatchView& batch);
  // batch: whole and good. Those from options.from on; compressed ones are only counted.
  void give_records(std::span<const std::byte> batch, int depth) const;

 private:
  bool give_record(const protocol::RecordBatchView& batch, const protocol::RecordView& record, int depth) const;

  const DumpOptions& options_;
  const Give give_;
};

}  // namespace penstock::storage
