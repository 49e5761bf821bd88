// ListTransactions and DescribeTransactions (KIP-664): there are none as long as this broker coordinates none.
#include <algorithm>

#include "control/slow_path/handlers.h"

namespace penstock::control {
namespace {

// org.apache.kafka.coordinator.transaction.TransactionState
constexpr std::string_view kStates[] = {"Ongoing",       "PrepareCommit",     "PrepareAbort", "CompleteCommit",
                                        "CompleteAbort", "PrepareEpochFence", "Empty",        "Dead"};

}  // namespace

protocol::ListTransactionsResponse answer(const protocol::ListTransactionsRequest& request, Call&) {
  protocol::ListTransactionsResponse response;
  for (const std::string& state : request.state_filters) {
    if (std::ranges::find(kStates, state) == std::end(kStates)) response.unknown_state_filters.push_back(state);
  }
  return response;
}

protocol::DescribeTransactionsResponse answer(const protocol::DescribeTransactionsRequest& request, Call&) {
  protocol::DescribeTransactionsResponse response;
  for (const std::string& id : request.transactional_ids) {
    auto& state = response.transaction_states.emplace_back();
    state.transactional_id = id;
    state.error_code = ErrorCode::kTransactionalIdNotFound;
    state.producer_id = kNoProducerId.value();
    state.producer_epoch = -1;
  }
  return response;
}

}  // namespace penstock::control
