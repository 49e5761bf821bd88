// How penstock consume writes a record: by a format string as kcat's, or as a JSON object a line.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "control/cli/records/consumer.h"

namespace penstock::cli {

class RecordFormat {
 public:
  // %t topic, %p partition, %o offset, %T timestamp in milliseconds, %k key, %K its length (-1: none), %s value, %S its
  // length (-1: null), %h headers as name=value with commas, %% a percent sign, and the escapes of text.h. Throws
  // std::invalid_argument. escape: bytes that a terminal may take for commands are written as \xHH, in keys, values and
  // headers.
  RecordFormat(std::string_view format, std::string topic, bool escape);

  void append(std::string& out, const ConsumedRecord& record) const;

 private:
  struct Piece {
    char what = 0;  // the letter; 0: text
    std::string text;
  };
  void append_bytes(std::string& out, const protocol::BatchBuilder::Bytes& bytes) const;

  std::vector<Piece> pieces_;
  std::string topic_;
  bool escape_;
};

// One JSON object and a line's end: topic, partition, offset, timestamp, timestamp_type, key, value, headers. Bytes
// that are no UTF-8 stand as two hexadecimal digits each, in a member whose name ends in _hex.
void append_json(std::string& out, std::string_view topic, const ConsumedRecord& record);

}  // namespace penstock::cli
