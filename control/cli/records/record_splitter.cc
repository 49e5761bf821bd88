#include "control/cli/records/record_splitter.h"

#include <fmt/format.h>

#include <algorithm>

#include "control/cli/error.h"

namespace penstock::cli {

void RecordSplitter::add(std::string_view bytes) {
  bytes_.erase(0, begin_);
  scanned_ -= begin_;
  begin_ = 0;
  bytes_ += bytes;
}

std::optional<std::string_view> RecordSplitter::next() {
  const std::string_view all(bytes_);
  size_t end = delimiter_.empty() ? all.npos : all.find(delimiter_, scanned_);
  size_t behind = end + delimiter_.size();
  if (end == all.npos) {
    // The delimiter may have begun in the last bytes.
    const size_t held_back = delimiter_.empty() ? 0 : delimiter_.size() - 1;
    scanned_ = std::max(begin_, all.size() - std::min(held_back, all.size()));
    if (all.size() - begin_ > most_)
      throw CliError(kExitFailed, fmt::format("a record of more than {} bytes; is the delimiter right?", most_));
    if (!ended_ || begin_ == all.size()) return std::nullopt;
    end = behind = all.size();
  }
  const std::string_view record = all.substr(begin_, end - begin_);
  if (record.size() > most_)
    throw CliError(kExitFailed, fmt::format("a record of more than {} bytes; is the delimiter right?", most_));
  begin_ = scanned_ = behind;
  return record;
}

KeyAndValue split_key(std::string_view record, std::string_view delimiter, bool null_if_empty) {
  KeyAndValue out{std::nullopt, record};
  const size_t at = delimiter.empty() ? record.npos : record.find(delimiter);
  if (at != record.npos) out = {record.substr(0, at), record.substr(at + delimiter.size())};
  if (null_if_empty && out.key && out.key->empty()) out.key.reset();
  if (null_if_empty && out.value->empty()) out.value.reset();
  return out;
}

}  // namespace penstock::cli
