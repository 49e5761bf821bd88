#include "protocol/header.h"

namespace penstock::protocol {

Result<RequestHeader> decode_request_header(std::span<const std::byte> frame) {
  Reader in(frame);
  RequestHeader header;
  header.api_key = in.fixed<int16_t>();
  header.api_version = in.fixed<int16_t>();
  header.correlation_id = CorrelationId{in.fixed<int32_t>()};
  TRY_VOID(in.result());
  const Api* api = find_api(header.api_key);
  if (api == nullptr) return fail(Errc::kUnsupported);
  // The client id keeps its classic length in header v2 too, so that v2 can be read as far as this by anyone.
  header.client_id = in.string(/*flexible=*/false);
  in.skip_tags(request_header_version(*api, header.api_version) == 2);
  TRY_VOID(in.result());
  header.size = in.position();
  return header;
}

void encode_request_header(const Api& api, const RequestHeader& header, std::vector<std::byte>& out) {
  Writer to(out);
  to.fixed(header.api_key);
  to.fixed(header.api_version);
  to.fixed(header.correlation_id.value());
  to.string(header.client_id, /*flexible=*/false);
  to.no_tags(request_header_version(api, header.api_version) == 2);
}

void encode_response_header(const Api& api, int16_t api_version, CorrelationId correlation_id,
                            std::vector<std::byte>& out) {
  Writer to(out);
  to.fixed(correlation_id.value());
  to.no_tags(response_header_version(api, api_version) == 1);
}

Result<ResponseHeader> decode_response_header(const Api& api, int16_t api_version, std::span<const std::byte> frame) {
  Reader in(frame);
  ResponseHeader header;
  header.correlation_id = CorrelationId{in.fixed<int32_t>()};
  in.skip_tags(response_header_version(api, api_version) == 1);
  TRY_VOID(in.result());
  header.size = in.position();
  return header;
}

}  // namespace penstock::protocol
