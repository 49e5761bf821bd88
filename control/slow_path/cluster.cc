// DescribeCluster and InitProducerId: what a client asks about the cluster as a whole.
#include "base/log.h"
#include "control/controller/uuid_text.h"
#include "control/slow_path/handlers.h"

namespace penstock::control {
namespace {

constexpr int8_t kBrokers = 1;  // DescribeCluster's endpoint types (KIP-919)
constexpr int8_t kControllers = 2;

}  // namespace

protocol::DescribeClusterResponse answer(const protocol::DescribeClusterRequest& request, Call& call) {
  const Controller& controller = call.controller;
  protocol::DescribeClusterResponse response;
  response.endpoint_type = request.endpoint_type;
  if (request.endpoint_type != kBrokers) {
    response.error_code = request.endpoint_type == kControllers ? ErrorCode::kMismatchedEndpointType
                                                                : ErrorCode::kUnsupportedEndpointType;
    response.error_message = "This is a broker's listener: ask for endpoint type 1.";
    return response;
  }
  response.cluster_id = to_text(controller.cluster_id());
  response.controller_id = controller.node().value();
  auto& broker = response.brokers.emplace_back();
  broker.broker_id = controller.node().value();
  broker.host = call.address.host;
  broker.port = call.address.port;
  if (!controller.options().broker_rack.empty()) broker.rack = controller.options().broker_rack;
  if (request.include_cluster_authorized_operations) response.cluster_authorized_operations = kAllClusterOperations;
  return response;
}

protocol::InitProducerIdResponse answer(const protocol::InitProducerIdRequest& request, Call& call) {
  protocol::InitProducerIdResponse response;
  response.producer_epoch = -1;
  if (request.transactional_id) {
    response.error_code =
        request.transactional_id->empty() ? ErrorCode::kInvalidRequest : ErrorCode::kCoordinatorNotAvailable;
    return response;
  }
  // KIP-360: both or neither. Without a transactional id Kafka gives a new producer id either way.
  if ((request.producer_id == kNoProducerId.value()) != (request.producer_epoch == -1)) {
    response.error_code = ErrorCode::kInvalidRequest;
    return response;
  }
  const auto id = call.controller.next_producer_id();
  if (!id) {
    call.counters.add(Metric::metadata_failures);
    LOG_ERROR("no producer id: the metadata store failed: %s", to_string(id.error().code).data());
    response.error_code = ErrorCode::kCoordinatorNotAvailable;  // retriable
    return response;
  }
  response.producer_id = id->value();
  response.producer_epoch = 0;
  return response;
}

}  // namespace penstock::control
