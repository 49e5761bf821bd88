// A client's end of a TCP connection over loopback, for tests: plain blocking system calls.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "tests/kafka_wire.h"

namespace penstock::testing {

class WireClient {
 public:
  explicit WireClient(uint16_t port);
  ~WireClient();
  WireClient(const WireClient&) = delete;
  WireClient& operator=(const WireClient&) = delete;

  // False if the peer has closed.
  bool send(std::span<const std::byte> bytes);
  // As much of bytes as fits now; returns how much.
  size_t send_some(std::span<const std::byte> bytes);
  bool read_exactly(std::span<std::byte> out);
  // The next answer without its length; nullopt if the connection ended.
  std::optional<Bytes> receive();
  // Whether the peer closes without sending more.
  bool sees_end();
  void half_close();
  void reset();
  int fd() const { return fd_; }

  template <class Answer, class Ask>
  std::optional<Decoded<Answer>> call(const Ask& message, int16_t version, int32_t correlation = 7) {
    if (!send(frame_of(message, version, correlation))) return std::nullopt;
    const auto frame = receive();
    if (!frame) return std::nullopt;
    return decode_answer<Answer>(*frame, version);
  }

 private:
  int fd_;
};

}  // namespace penstock::testing
