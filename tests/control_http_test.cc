// The operator's HTTP port: what is served, how metrics look, and that it cannot be exhausted by silence.
#include <gtest/gtest.h>
#include <httplib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <regex>
#include <set>

#include "control/http.h"
#include "control/prometheus.h"

namespace penstock::control {
namespace {

class HttpTest : public testing::Test {
 protected:
  httplib::Result get(const char* path) { return httplib::Client("127.0.0.1", server_->port()).Get(path); }
  uint16_t port() const { return server_->port(); }

  Health health_;
  ControlCounters control_;
  std::vector<RingCounters> rings_{2};
  std::vector<dataplane::DataplaneCounters> lcores_{1};

 private:
  std::unique_ptr<HttpServer> server_ = HttpServer::start({.host = "127.0.0.1", .port = 0}, health_, [this] {
                                          return prometheus_text(control_, rings_, lcores_);
                                        }).value();
};

TEST_F(HttpTest, ready_only_while_the_broker_serves) {
  EXPECT_EQ(get("/healthz")->status, 200);
  EXPECT_EQ(get("/healthz")->body, "ok\n");
  EXPECT_EQ(get("/readyz")->status, 503);
  health_.set_ready();
  EXPECT_EQ(get("/readyz")->status, 200);
  health_.set_not_ready("the ring failed");
  EXPECT_EQ(get("/readyz")->status, 503);
  EXPECT_EQ(get("/readyz")->body, "the ring failed\n");
  EXPECT_EQ(get("/")->status, 200);
  EXPECT_EQ(get("/other")->status, 404);
}

TEST_F(HttpTest, what_is_wrong_with_parts_is_told_as_long_as_it_is_so) {
  health_.set_problem("a", "ring-0 is full");
  health_.set_problem("b", "ring-1 failed");
  EXPECT_EQ(get("/healthz")->body, "degraded\nring-0 is full\nring-1 failed\n");
  EXPECT_EQ(get("/healthz")->status, 200);
  health_.set_problem("a", "");
  EXPECT_EQ(get("/healthz")->body, "degraded\nring-1 failed\n");
}

TEST_F(HttpTest, metrics_are_in_prometheus_form) {
  control_.add(Metric::topics_created, 3);
  rings_[1].ring = 3;
  rings_[1].storage.add(storage::Metric::bytes_appended, 77);
  lcores_[0].set(dataplane::Metric::connections_open, 5);
  const std::string text = get("/metrics")->body;
  EXPECT_NE(text.find("\npenstock_topics_created_total 3\n"), std::string::npos);
  EXPECT_NE(text.find("\npenstock_bytes_appended_total{lcore=\"0\",ring=\"3\"} 77\n"), std::string::npos);
  EXPECT_NE(text.find("\npenstock_connections_open{lcore=\"0\"} 5\n"), std::string::npos);
  const std::regex form(R"(# HELP penstock_[a-z0-9_]+ .+|# TYPE penstock_[a-z0-9_]+ (counter|gauge)|)"
                        R"(penstock_[a-z0-9_]+(\{lcore="\d+"(,ring="\d+")?\})? \d+)");
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) EXPECT_TRUE(std::regex_match(line, form)) << line;
}

TEST_F(HttpTest, a_port_in_use_is_refused_by_name) {
  const auto second = HttpServer::start({.host = "127.0.0.1", .port = port()}, health_, [] { return std::string(); });
  ASSERT_FALSE(second.has_value());
  EXPECT_NE(second.error().find(std::to_string(port())), std::string::npos) << second.error();
  EXPECT_NE(second.error().find("--http"), std::string::npos) << second.error();
}

TEST_F(HttpTest, silent_connections_do_not_keep_others_out) {
  std::vector<int> silent;
  for (int i = 0; i < 4; ++i) {
    const int fd = socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in address{.sin_family = AF_INET, .sin_port = htons(port()), .sin_addr = {htonl(INADDR_LOOPBACK)}};
    ASSERT_EQ(connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    silent.push_back(fd);
  }
  httplib::Client client("127.0.0.1", port());
  client.set_read_timeout(60);
  const auto answer = client.Get("/healthz");
  ASSERT_TRUE(answer) << to_string(answer.error());
  EXPECT_EQ(answer->status, 200);
  for (const int fd : silent) close(fd);
}

TEST(Prometheus, names_are_unique_over_all_layers) {
  std::set<std::string> names;
  for (const auto list : {control_metrics(), storage_metrics(), dataplane_metrics()}) {
    for (const MetricInfo& metric : list) EXPECT_TRUE(names.insert(exported_name(metric)).second) << metric.name;
  }
  for (const char* promised : {"penstock_bytes_appended_total", "penstock_bytes_copied_total",
                               "penstock_bytes_staged_total", "penstock_ring_punts_total"}) {
    EXPECT_TRUE(names.contains(promised)) << promised;
  }
}

}  // namespace
}  // namespace penstock::control
