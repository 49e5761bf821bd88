#include "control/cli/records/record_format.h"

#include <fmt/format.h>

#include <stdexcept>
#include <utility>

#include "control/cli/error.h"
#include "control/cli/json.h"
#include "control/cli/text.h"

namespace penstock::cli {
namespace {

using Bytes = protocol::BatchBuilder::Bytes;

std::string_view chars(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

int64_t length(const Bytes& bytes) { return bytes ? static_cast<int64_t>(bytes->size()) : -1; }

template <class Each>
void for_headers(const ConsumedRecord& record, Each each) {
  for (protocol::HeaderReader headers(record.record); !headers.at_end();) {
    const auto header = headers.next();
    if (!header) throw CliError(kExitFailed, fmt::format("the headers of offset {} make no sense", record.offset));
    each(*header);
  }
}

void add_bytes(Json& json, const char* name, const Bytes& bytes) {
  if (!bytes) {
    json[name] = nullptr;
  } else if (is_utf8(chars(*bytes))) {
    json[name] = chars(*bytes);
  } else {
    json[std::string(name) + "_hex"] = hex(chars(*bytes));
  }
}

}  // namespace

RecordFormat::RecordFormat(std::string_view format, std::string topic, bool escape)
    : topic_(std::move(topic)), escape_(escape) {
  constexpr std::string_view kLetters = "tpoTkKsSh";
  const std::string text = unescaped(format);
  std::string plain;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      plain += text[i];
      continue;
    }
    const char letter = ++i < text.size() ? text[i] : '\0';
    if (letter == '%') {
      plain += '%';
    } else if (letter != '\0' && kLetters.find(letter) != kLetters.npos) {
      pieces_.push_back({'\0', std::exchange(plain, {})});
      pieces_.push_back({letter, {}});
    } else {
      throw std::invalid_argument(
          fmt::format("'{}' has a % that means nothing; there are %t %p %o %T %k %K %s %S %h and %%", format));
    }
  }
  pieces_.push_back({'\0', std::move(plain)});
}

void RecordFormat::append_bytes(std::string& out, const Bytes& bytes) const {
  if (!bytes) return;
  if (escape_) {
    out += escaped(chars(*bytes));
  } else {
    out += chars(*bytes);
  }
}

void RecordFormat::append(std::string& out, const ConsumedRecord& record) const {
  for (const Piece& piece : pieces_) {
    switch (piece.what) {
      case 't': out += topic_; break;
      case 'p': out += std::to_string(record.partition); break;
      case 'o': out += std::to_string(record.offset); break;
      case 'T': out += std::to_string(record.timestamp_ms); break;
      case 'k': append_bytes(out, record.record.key); break;
      case 'K': out += std::to_string(length(record.record.key)); break;
      case 's': append_bytes(out, record.record.value); break;
      case 'S': out += std::to_string(length(record.record.value)); break;
      case 'h': {
        bool first = true;
        for_headers(record, [&](const protocol::RecordHeader& header) {
          if (!std::exchange(first, false)) out += ',';
          append_bytes(out, as_bytes(header.key));
          if (header.value) out += '=';
          append_bytes(out, header.value);
        });
        break;
      }
      default: out += piece.text;
    }
  }
}

void append_json(std::string& out, std::string_view topic, const ConsumedRecord& record) {
  Json json{{"topic", topic},
            {"partition", record.partition},
            {"offset", record.offset},
            {"timestamp", record.timestamp_ms},
            {"timestamp_type", record.append_time ? "LogAppendTime" : "CreateTime"}};
  add_bytes(json, "key", record.record.key);
  add_bytes(json, "value", record.record.value);
  Json headers = Json::array();
  for_headers(record, [&](const protocol::RecordHeader& header) {
    Json entry;
    add_bytes(entry, "key", as_bytes(header.key));
    add_bytes(entry, "value", header.value);
    headers.push_back(std::move(entry));
  });
  json["headers"] = std::move(headers);
  out += json.dump();
  out += '\n';
}

}  // namespace penstock::cli
