// A stream of bytes cut into records at a delimiter, and a record into key and value. What penstock produce reads.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace penstock::cli {

class RecordSplitter {
 public:
  // An empty delimiter makes the whole input one record. most: bytes of a record. Larger ones throw CliError, since a
  // wrong delimiter would else gather the whole input.
  RecordSplitter(std::string delimiter, size_t most) : delimiter_(std::move(delimiter)), most_(most) {}

  void add(std::string_view bytes);
  // Nothing more comes: what is left is a record too, unless it is empty.
  void end() { ended_ = true; }

  // The next whole record, good until the next add(); nullopt: none yet.
  std::optional<std::string_view> next();

 private:
  std::string delimiter_;
  size_t most_;
  std::string bytes_;
  size_t begin_ = 0;    // of the record that comes next
  size_t scanned_ = 0;  // no delimiter begins before this
  bool ended_ = false;
};

struct KeyAndValue {
  std::optional<std::string_view> key;
  std::optional<std::string_view> value;
};

// At the first delimiter; without one in there, or with an empty delimiter, everything is value. null_if_empty: an
// empty key is no key and an empty value a tombstone.
KeyAndValue split_key(std::string_view record, std::string_view delimiter, bool null_if_empty);

}  // namespace penstock::cli
