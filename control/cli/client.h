// KafkaClient: asks one broker one thing at a time over a Transport, with the codec of protocol/. It negotiates
// versions (ApiVersions) when it connects, and every wait ends at its timeout. Errors are CliErrors with one line for
// the user; what an answer says inside (error codes) is the caller's to read.
#pragma once

#include <algorithm>
#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "control/cli/link.h"
#include "control/cli/socket.h"
#include "control/cli/transport.h"
#include "protocol/codec.h"
#include "protocol/error_code.h"
#include "protocol/types.h"

namespace penstock::cli {

inline constexpr Nanos kDefaultTimeout = 10 * kSecond;

// The client.id of all our requests: quotas and logs see it.
inline constexpr std::string_view kClientId = "penstock-cli";

// A frame's beginning: room for its size (Link fills it in), then the request header.
std::vector<std::byte> request_head(int16_t api_key, int16_t version, CorrelationId correlation_id);

// Takes the response header off an answer and gives its body. Throws CliError if it is another request's answer.
std::span<const std::byte> response_body(std::span<const std::byte> frame, int16_t api_key, int16_t version,
                                         CorrelationId correlation_id);

// What a broker said it serves.
class VersionTable {
 public:
  void set(int16_t api_key, protocol::VersionRange range) { ranges_[api_key] = range; }
  bool serves(int16_t api_key) const { return ranges_.contains(api_key); }
  // The highest version that both sides know. Throws CliError if there is none.
  int16_t pick(std::string_view name, int16_t api_key, protocol::VersionRange ours) const;
  template <class Request>
  int16_t pick(int16_t most = Request::kMaxVersion) const {
    return pick(Request::kInfo.name, Request::kApiKey, {Request::kMinVersion, std::min(most, Request::kMaxVersion)});
  }

 private:
  std::map<int16_t, protocol::VersionRange> ranges_;
};

class KafkaClient {
 public:
  KafkaClient(Clock& clock, const Endpoint& endpoint, Nanos timeout = kDefaultTimeout, bool ends_at_interrupt = false,
              Transport& transport = kernel_transport());

  const Endpoint& endpoint() const { return endpoint_; }
  const VersionTable& versions() const { return versions_; }

  // Sends request in the highest common version (not above most) and waits for its answer.
  template <class Response, class Request>
  Response call(const Request& request, int16_t most = Request::kMaxVersion) {
    static_assert(Request::kApiKey == Response::kApiKey);
    const int16_t version = versions_.pick<Request>(most);
    Response response;
    exchange(Request::kApiKey, version, {Request::kInfo, &request}, {Response::kInfo, &response});
    return response;
  }

 private:
  struct Out {
    const protocol::MessageInfo& info;
    const void* message;
  };
  struct In {
    const protocol::MessageInfo& info;
    void* message;
  };

  void exchange(int16_t api_key, int16_t version, Out request, In response);
  std::span<const std::byte> wait_for_frame(std::string_view what);
  void wait(Nanos deadline, std::string_view what);
  void negotiate();

  Clock& clock_;
  Endpoint endpoint_;
  Nanos timeout_;
  bool ends_at_interrupt_;
  std::unique_ptr<Watch> watch_;
  Link link_;
  VersionTable versions_;
  int32_t next_correlation_id_ = 1;
};

// Throws CliError "what: KAFKA_NAME: message" unless error is kNone.
void check_error(ErrorCode error, std::string_view what, std::string_view message = {});

}  // namespace penstock::cli
