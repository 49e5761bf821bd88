// What control and an lcore say to each other, through two bounded SPSC rings and their doorbells.
// Command: control -> lcore. Event: lcore -> control. A full ring is back-pressure: a connection whose slow-path
// request finds the event ring full parks and tries again; control keeps commands it could not push and tries again.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <variant>
#include <vector>

#include "base/units.h"
#include "dataplane/api/routing.h"
#include "dataplane/api/types.h"
#include "storage/api/store.h"

namespace penstock::dataplane {

// ---- commands
struct OpenLog {  // before the image that names it
  storage::LogId log;
  uint16_t ring = 0;  // one that this lcore hosts
  storage::LogConfig config{};
};
struct ConfigureLog {  // its topic's settings have changed
  storage::LogId log;
  storage::LogConfig config;
};
struct DropLog {  // after the image that no longer names it
  storage::LogId log;
};
// Deletes the beginning of a log, below offset to. Answered by LogTrimmed.
struct TrimLog {
  static constexpr Offset kHighWatermark{-1};  // as to: all that is there
  storage::LogId log;
  Offset to;
  uint64_t token = 0;  // control's
};
// Asks for what there is of a log; answered by LogTold.
struct AskLog {
  storage::LogId log;
  bool producers = false;  // them too
  uint64_t token = 0;      // control's
};
// Asks where logs end for consumers (the high watermark); answered by EndsTold with the same logs, in their order. Some
// hundred at once, so that connections do not wait for it.
struct AskEnds {
  struct LogEnd {
    storage::LogId log;
    Offset durable{-1};  // -1: it is not here
  };
  std::vector<LogEnd> logs;
  uint64_t token = 0;  // control's
};
// A batch of control's own for an internal topic, checked and complete. Answered by RecordsAppended when it is durable.
// A store that is behind or full is tried for patience.
struct AppendRecords {
  storage::LogId log;
  LeaderEpoch leader_epoch;
  std::vector<std::byte> batch;
  Nanos patience = 0;
  uint64_t token = 0;  // control's
};
// Whole batches of a log from offset from on, and perhaps the beginning of one; answered by LogRead.
struct ReadLog {
  storage::LogId log;
  Offset from;
  uint64_t max_bytes = 0;  // but one batch at least
  uint64_t token = 0;      // control's
};
struct PublishImage {
  std::shared_ptr<const RoutingImage> image;
};
// Answer to a SlowRequest: the whole response after the 4-byte length, header included. Empty: close the connection.
struct Answer {
  ConnectionId connection;
  std::vector<std::byte> response;
};
// Control has all it needs of this connection's request and answers it when others have come: it holds its bytes no
// longer.
struct Parked {
  ConnectionId connection;
};
struct Stop {};  // close listeners and connections, write and seal what was taken, then say Stopped
using Command = std::variant<std::monostate, OpenLog, ConfigureLog, DropLog, TrimLog, AskLog, AskEnds, AppendRecords,
                             ReadLog, PublishImage, Answer, Parked, Stop>;

// ---- events
// A request that control answers. The connection is parked until its Answer; it has at most one.
struct SlowRequest {
  ConnectionId connection;
  uint16_t listener = 0;  // index of the listener the client used: its advertised address is the answer's
  int16_t api_key = 0;
  int16_t api_version = 0;
  std::vector<std::byte> frame;  // the whole request, header included, without the 4-byte length
  std::string client_host{};     // as Kafka writes it, with requests that join a group: a slash and the address
};
struct RetiredImage {  // freed by control, not by the lcore
  std::shared_ptr<const RoutingImage> image;
};
struct LogTrimmed {
  uint64_t token = 0;
  storage::TrimStatus status;
  Offset log_start_offset;  // with kTrimmed: durable
};
struct LogTold {  // of a log that is not here: nothing
  uint64_t token = 0;
  uint64_t bytes = 0;
  std::vector<storage::ProducerFacts> producers;  // by id
};
struct EndsTold {
  uint64_t token = 0;
  std::vector<AskEnds::LogEnd> logs;
};
struct RecordsAppended {
  uint64_t token = 0;
  storage::AppendStatus status;
  Offset base_offset;  // of kAppended: durable
};
// kReady without bytes: nothing is there yet.
struct LogRead {
  uint64_t token = 0;
  storage::ReadStatus status;
  std::vector<std::byte> bytes;
  storage::LogOffsets offsets;
};
struct RingHealth {  // it has changed
  uint16_t ring = 0;
  storage::StoreHealth health;
};
struct DeviceLink {  // a device has lost its link, or has one again; said by lcore 0
  uint16_t device = 0;
  bool up = false;
};
struct Stopped {};
using Event = std::variant<std::monostate, SlowRequest, RetiredImage, LogTrimmed, LogTold, EndsTold, RecordsAppended,
                           LogRead, RingHealth, DeviceLink, Stopped>;

}  // namespace penstock::dataplane
