// DescribeAcls, DescribeClientQuotas, DescribeUserScramCredentials and DescribeDelegationToken: what a broker says that
// has no authorizer, quotas, users or tokens, as this one.
#include <map>

#include "control/slow_path/handlers.h"

namespace penstock::control {

protocol::DescribeAclsResponse answer(const protocol::DescribeAclsRequest&, Call&) {
  protocol::DescribeAclsResponse response;
  response.error_code = ErrorCode::kSecurityDisabled;
  response.error_message = "No Authorizer is configured.";
  return response;
}

protocol::DescribeClientQuotasResponse answer(const protocol::DescribeClientQuotasRequest&, Call&) {
  protocol::DescribeClientQuotasResponse response;
  response.error_message.reset();
  response.entries.emplace();
  return response;
}

protocol::DescribeUserScramCredentialsResponse answer(const protocol::DescribeUserScramCredentialsRequest& request,
                                                      Call&) {
  protocol::DescribeUserScramCredentialsResponse response;
  response.error_message.reset();
  if (!request.users) return response;
  std::map<std::string_view, int> times;
  for (const auto& user : *request.users) ++times[user.name];
  for (const auto& [name, count] : times) {
    auto& result = response.results.emplace_back();
    result.user = name;
    result.error_code = count > 1 ? ErrorCode::kDuplicateResource : ErrorCode::kResourceNotFound;
    result.error_message = count > 1 ? "The user is named twice." : "The user has no credentials.";
  }
  return response;
}

protocol::DescribeDelegationTokenResponse answer(const protocol::DescribeDelegationTokenRequest&, Call&) {
  protocol::DescribeDelegationTokenResponse response;
  response.error_code = ErrorCode::kDelegationTokenAuthDisabled;
  return response;
}

}  // namespace penstock::control
