#include "control/cli/client.h"

#include <fmt/format.h>

#include <limits>
#include <utility>

#include "base/units.h"
#include "control/cli/error.h"
#include "control/cli/load/interrupt.h"
#include "protocol/gen/api_versions.h"
#include "protocol/header.h"

namespace penstock::cli {
namespace {

constexpr size_t kAnswerMost = 64 * kMiB;  // metadata of a million partitions
constexpr size_t kSizeBytes = 4;
constexpr Nanos kNever = std::numeric_limits<Nanos>::max() / 2;

using protocol::ApiVersionsRequest;
using protocol::ApiVersionsResponse;

}  // namespace

std::vector<std::byte> request_head(int16_t api_key, int16_t version, CorrelationId correlation_id) {
  std::vector<std::byte> out(kSizeBytes);
  protocol::encode_request_header(*protocol::find_api(api_key), {api_key, version, correlation_id, kClientId}, out);
  return out;
}

std::span<const std::byte> response_body(std::span<const std::byte> frame, int16_t api_key, int16_t version,
                                         CorrelationId correlation_id) {
  const auto header = protocol::decode_response_header(*protocol::find_api(api_key), version, frame);
  if (!header) throw CliError(kExitFailed, "the broker's answer ends inside its header");
  if (header->correlation_id != correlation_id) {
    throw CliError(kExitFailed, fmt::format("the broker answered request {} where {} was due",
                                            header->correlation_id.value(), correlation_id.value()));
  }
  return frame.subspan(header->size);
}

int16_t VersionTable::pick(std::string_view name, int16_t api_key, protocol::VersionRange ours) const {
  const auto found = ranges_.find(api_key);
  if (found == ranges_.end()) {
    throw CliError(kExitFailed, fmt::format("the broker does not serve {}", name));
  }
  const auto [min, max] = found->second;
  const int16_t version = std::min(max, ours.max);
  if (version < min || version < ours.min) {
    throw CliError(kExitFailed, fmt::format("the broker serves {} in versions {} to {}, this client speaks {} to {}",
                                            name, min, max, ours.min, ours.max));
  }
  return version;
}

KafkaClient::KafkaClient(Clock& clock, const Endpoint& endpoint, Nanos timeout, bool ends_at_interrupt,
                         Transport& transport)
    : clock_(clock),
      endpoint_(endpoint),
      timeout_(timeout),
      ends_at_interrupt_(ends_at_interrupt),
      watch_(transport.watch(clock)),
      link_(transport.connect(endpoint, timeout), endpoint.text(), kAnswerMost) {
  watch_->add(link_.wire(), 0);
  negotiate();
}

void KafkaClient::negotiate() {
  ApiVersionsRequest request;
  request.client_software_name = "penstock";
  request.client_software_version = PENSTOCK_VERSION;
  ApiVersionsResponse response;
  // A broker that does not know version 3 answers in version 0 with UNSUPPORTED_VERSION; Kafka's clients begin with
  // their latest and fall back (KIP-511).
  try {
    exchange(ApiVersionsRequest::kApiKey, 3, {ApiVersionsRequest::kInfo, &request},
             {ApiVersionsResponse::kInfo, &response});
  } catch (const CliError& error) {
    if (error.exit_code() != kExitFailed) throw;
    response.error_code = ErrorCode::kUnsupportedVersion;
  }
  if (response.error_code == ErrorCode::kUnsupportedVersion) {
    response = {};
    exchange(ApiVersionsRequest::kApiKey, 0, {ApiVersionsRequest::kInfo, &request},
             {ApiVersionsResponse::kInfo, &response});
  }
  check_error(response.error_code, fmt::format("{}: ApiVersions", endpoint_.text()));
  for (const auto& api : response.api_keys) versions_.set(api.api_key, {api.min_version, api.max_version});
}

void KafkaClient::exchange(int16_t api_key, int16_t version, Out request, In response) {
  const CorrelationId correlation_id{next_correlation_id_++};
  auto frame = request_head(api_key, version, correlation_id);
  if (const auto encoded = protocol::encode_message(request.info, request.message, version, frame); !encoded) {
    throw CliError(kExitFailed,
                   fmt::format("{} cannot be written in version {}, the highest that the broker shares: {}",
                               request.info.name, version, to_string(encoded.error().code)));
  }
  link_.queue(std::move(frame));
  const auto body = response_body(wait_for_frame(request.info.name), api_key, version, correlation_id);
  const auto decoded = protocol::decode_message(response.info, body, version, response.message);
  if (!decoded) {
    throw CliError(kExitFailed, fmt::format("{} of {} makes no sense in version {}: {}", response.info.name,
                                            endpoint_.text(), version, to_string(decoded.error().code)));
  }
}

std::span<const std::byte> KafkaClient::wait_for_frame(std::string_view what) {
  const Nanos deadline = clock_.monotonic() + timeout_;
  if (!link_.flush()) {
    watch_->want_write(link_.wire(), 0, true);
    do wait(deadline, what);
    while (!link_.flush());
    watch_->want_write(link_.wire(), 0, false);
  }
  for (;;) {
    if (const auto frame = link_.next_frame()) return *frame;
    if (!link_.receive()) wait(deadline, what);
  }
}

void KafkaClient::wait(Nanos deadline, std::string_view what) {
  if (clock_.monotonic() >= deadline) {
    throw CliError(kExitUnreachable,
                   fmt::format("{} did not answer {} within {} s", endpoint_.text(), what, timeout_ / kSecond));
  }
  if (ends_at_interrupt_ && Interrupt::requested())
    throw CliError(kExitUnreachable, fmt::format("interrupted while {} was asked", endpoint_.text()));
  watch_->wait({.precise = kNever, .lazy = deadline});
}

void check_error(ErrorCode error, std::string_view what, std::string_view message) {
  if (error == ErrorCode::kNone) return;
  const std::string name = to_string(error) == "UNKNOWN" ? fmt::format("error {}", std::to_underlying(error))
                                                         : std::string(to_string(error));
  throw CliError(kExitFailed,
                 message.empty() ? fmt::format("{}: {}", what, name) : fmt::format("{}: {}: {}", what, name, message));
}

}  // namespace penstock::cli
