// Encodes and decodes every message of protocol/schema by its table: the slow path, the tests, our own clients.
// Produce and Fetch have views of their own (produce.h, fetch.h). No I/O, no global state, safe on any thread.
//
// Decoding is total: any bytes give a message or an error. What it allocates is bounded before it is allocated: counts
// and lengths by the bytes that remain, and the heap as a whole by DecodeLimits::memory. The depth is the schema's.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "base/result.h"
#include "protocol/descriptor.h"

namespace penstock::protocol {

struct DecodeLimits {
  // Bytes that the message may take from the heap; 0 means default_memory() of the input. An element in memory is
  // larger than its shortest form on the wire (an empty string: 32 bytes against one), hence the factor.
  size_t memory = 0;
  // Bytes behind the body are an error (kInvalid): they would hide a wrong version. Set this for what may have them:
  // values in internal topics, where a newer writer may have appended, and requests (decode_request).
  bool allow_trailing = false;

  static constexpr size_t default_memory(size_t input) { return 64 * 1024 + 32 * input; }
};

// message points to a default-constructed message of info. Errors: kTruncated (ends early), kInvalid (not this format),
// kTooLarge (over limits.memory), kUnsupported (version out of range). On error message holds what was read so far.
Result<void> decode_message(const MessageInfo& info, std::span<const std::byte> bytes, int16_t version, void* message,
                            DecodeLimits limits = {});

// Appends to out. Errors: kUnsupported (version out of range, or a set field that this version lacks and that is not
// ignorable), kInvalid (null where the version has no null), kTooLarge (a length that its prefix cannot hold).
// On error out is as it was.
Result<void> encode_message(const MessageInfo& info, const void* message, int16_t version, std::vector<std::byte>& out);

template <class Message>
Result<void> decode(std::span<const std::byte> bytes, int16_t version, Message& message, DecodeLimits limits = {}) {
  message = Message{};
  return decode_message(Message::kInfo, bytes, version, &message, limits);
}

// What a client asks. Kafka looks at no byte behind those that it needs (AbstractRequest.parseRequest), and clients
// rely on it: librdkafka leaves three when it asks for all topics (its issue 5049).
template <class Request>
Result<void> decode_request(std::span<const std::byte> body, int16_t version, Request& request, size_t memory = 0) {
  return decode(body, version, request, {.memory = memory, .allow_trailing = true});
}

template <class Message>
Result<void> encode(const Message& message, int16_t version, std::vector<std::byte>& out) {
  return encode_message(Message::kInfo, &message, version, out);
}

}  // namespace penstock::protocol
