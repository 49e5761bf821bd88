#include "protocol/header.h"

#include "protocol/chain_reader.h"

namespace penstock::protocol {

namespace {

// client_id(length) gives that many bytes of text.
template <class AnyReader, class ClientId>
Result<RequestHeader> decode_from(AnyReader& in, ClientId&& client_id) {
  RequestHeader header;
  header.api_key = in.template fixed<int16_t>();
  header.api_version = in.template fixed<int16_t>();
  header.correlation_id = CorrelationId{in.template fixed<int32_t>()};
  TRY_VOID(in.result());
  const Api* api = find_api(header.api_key);
  if (api == nullptr) return fail(Errc::kUnsupported);
  // The client id keeps its classic length in header v2 too, so that v2 can be read as far as this by anyone.
  const int64_t length = in.string_length(/*flexible=*/false);
  if (length != kNullLength) header.client_id = client_id(static_cast<size_t>(length));
  in.skip_tags(request_header_version(*api, header.api_version) == 2);
  TRY_VOID(in.result());
  header.size = in.position();
  return header;
}

}  // namespace

Result<RequestHeader> decode_request_header(std::span<const std::byte> frame) {
  Reader in(frame);
  return decode_from(in, [&](size_t length) { return as_text(in.bytes(length)); });
}

Result<RequestHeader> decode_request_header(const BufferChain& chain, size_t at, size_t n, std::string& scratch) {
  ChainReader in(chain, at, n);
  return decode_from(in, [&](size_t length) { return in.text(length, scratch); });
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
