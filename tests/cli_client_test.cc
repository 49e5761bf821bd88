// The command-line client's connection: addresses, version negotiation, and one clear line for each way to fail.
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <cerrno>
#include <limits>

#include "base/bytes.h"
#include "base/system_clock.h"
#include "control/cli/client.h"
#include "control/cli/cluster.h"
#include "control/cli/error.h"
#include "tests/cli_fake_broker.h"

namespace penstock::cli {
namespace {

// A port of this host where nobody listens.
class DeadPort {
 public:
  DeadPort() : socket_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    EXPECT_EQ(bind(socket_.fd(), reinterpret_cast<sockaddr*>(&address), size), 0);
    EXPECT_EQ(getsockname(socket_.fd(), reinterpret_cast<sockaddr*>(&address), &size), 0);
    port_ = ntohs(address.sin_port);
  }
  uint16_t port() const { return port_; }

 private:
  Socket socket_;
  uint16_t port_;
};

struct Failure {
  int exit_code = 0;
  std::string what;
};

// What listing topics ends with.
Failure list_topics(const FakeBroker& broker, Nanos timeout = 10 * kSecond) {
  SystemClock clock;
  try {
    Cluster cluster(clock, {{"127.0.0.1", broker.port()}, timeout});
    cluster.metadata(nullptr);
  } catch (const CliError& error) {
    return {error.exit_code(), error.what()};
  }
  return {};
}

TEST(Endpoint, Forms) {
  EXPECT_EQ(parse_endpoint("broker.example:1234"), (Endpoint{"broker.example", 1234}));
  EXPECT_EQ(parse_endpoint("10.0.0.1"), (Endpoint{"10.0.0.1", 9092}));
  EXPECT_EQ(parse_endpoint("[::1]:77"), (Endpoint{"::1", 77}));
  EXPECT_EQ(parse_endpoint("[::1]"), (Endpoint{"::1", 9092}));
  EXPECT_EQ(parse_endpoint("fe80::1"), (Endpoint{"fe80::1", 9092}));
  EXPECT_EQ(parse_endpoint("[::1]:77").text(), "[::1]:77");
  for (const char* bad : {"", ":1", "host:", "host:0", "host:65536", "host:12x", "[::1", "[]:1", "[::1]77", "a:1:2"}) {
    EXPECT_THROW(parse_endpoint(bad), std::invalid_argument) << bad;
  }
}

TEST(CliClient, NobodyListens) {
  const DeadPort dead;
  SystemClock clock;
  try {
    KafkaClient client(clock, {"127.0.0.1", dead.port()});
    FAIL();
  } catch (const CliError& error) {
    EXPECT_EQ(error.exit_code(), kExitUnreachable);
    EXPECT_EQ(error.what(), "cannot connect to 127.0.0.1:" + std::to_string(dead.port()) +
                                ": connection refused; is the broker running?");
  }
}

TEST(CliClient, NameThatDoesNotResolve) {
  SystemClock clock;
  try {
    KafkaClient client(clock, {"no-such-host.invalid", 1});
    FAIL();
  } catch (const CliError& error) {
    EXPECT_EQ(error.exit_code(), kExitUnreachable);
    EXPECT_EQ(std::string(error.what()).find("cannot resolve no-such-host.invalid: "), 0u) << error.what();
  }
}

TEST(CliClient, FallsBackToApiVersionsZero) {
  FakeBroker broker({.old_api_versions = true});
  EXPECT_EQ(list_topics(broker).what, "");
}

TEST(CliClient, NoCommonVersionIsSaid) {
  FakeBroker broker;
  broker.serve(3, {99, 101});
  const Failure failure = list_topics(broker);
  EXPECT_EQ(failure.exit_code, kExitFailed);
  EXPECT_EQ(failure.what, "the broker serves MetadataRequest in versions 99 to 101, this client speaks 0 to 13");
  broker.serve(3, {});
  EXPECT_EQ(list_topics(broker).what, "the broker does not serve MetadataRequest");
}

TEST(CliClient, BrokerThatHangsUp) {
  FakeBroker broker({.close_on_api = 3});
  const Failure failure = list_topics(broker);
  EXPECT_EQ(failure.exit_code, kExitUnreachable);
  EXPECT_EQ(failure.what, broker.address() + ": the broker closed the connection; its log may say why");
}

TEST(CliClient, BrokerThatStaysSilent) {
  FakeBroker broker({.mute_on_api = 3});
  const Failure failure = list_topics(broker, kSecond);
  EXPECT_EQ(failure.exit_code, kExitUnreachable);
  EXPECT_EQ(failure.what, broker.address() + " did not answer MetadataRequest within 1 s");
}

TEST(CliClient, AnswerToAnotherRequest) {
  FakeBroker broker({.wrong_correlation_id = true});
  const Failure failure = list_topics(broker);
  EXPECT_EQ(failure.exit_code, kExitFailed);
  EXPECT_EQ(failure.what, "the broker answered request 3 where 2 was due");
}

TEST(CliClient, AnnouncedLengthsDoNotDriveMemory) {
  for (const int32_t size : {std::numeric_limits<int32_t>::max(), -1, std::numeric_limits<int32_t>::min()}) {
    std::vector<std::byte> raw(8);
    store_be(raw.data(), size);
    FakeBroker broker({.raw_answer = raw});
    const Failure failure = list_topics(broker);
    EXPECT_EQ(failure.exit_code, kExitUnreachable);
    EXPECT_NE(failure.what.find("67108864 are the most here"), std::string::npos) << failure.what;
  }
}

TEST(CliClient, AnotherProtocol) {
  const auto http = as_bytes("HTTP/1.1 400 Bad Request\r\n\r\n");
  FakeBroker broker({.raw_answer = {http.begin(), http.end()}});
  EXPECT_NE(list_topics(broker).what.find("is this a Kafka listener"), std::string::npos);
}

}  // namespace
}  // namespace penstock::cli
