// The operator's HTTP port: what is served, how metrics look, and that it cannot be exhausted by silence.
#include <gtest/gtest.h>
#include <httplib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <future>
#include <memory>
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

// A connection with nothing around it.
class Peer {
 public:
  Peer(uint16_t port, std::string_view says) : fd_(socket(AF_INET, SOCK_STREAM, 0)) {
    const timeval minute{.tv_sec = 60, .tv_usec = 0};
    setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &minute, sizeof minute);
    const sockaddr_in address{.sin_family = AF_INET, .sin_port = htons(port), .sin_addr = {htonl(INADDR_LOOPBACK)}};
    EXPECT_EQ(connect(fd_, reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
    say(says);
  }
  ~Peer() { close(fd_); }
  Peer(const Peer&) = delete;
  Peer& operator=(const Peer&) = delete;

  void say(std::string_view text) const {
    EXPECT_EQ(send(fd_, text.data(), text.size(), MSG_NOSIGNAL), static_cast<ssize_t>(text.size()));
  }
  // Whether the server has said nothing and not closed it.
  bool is_open() const {
    char byte;
    return recv(fd_, &byte, 1, MSG_DONTWAIT) < 0 && errno == EAGAIN;
  }
  // All that comes until the server closes it.
  std::string hear() const {
    std::string heard;
    char bytes[4096];
    ssize_t n;
    while ((n = recv(fd_, bytes, sizeof bytes, 0)) > 0) heard.append(bytes, static_cast<size_t>(n));
    EXPECT_EQ(n, 0) << strerror(errno);
    return heard;
  }

 private:
  int fd_;
};

constexpr const char* kRequest = "GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n";

TEST_F(HttpTest, a_request_may_name_the_whole_address) {
  const auto ask = [&](const std::string& target) {
    return Peer(port(), "GET " + target + " HTTP/1.1\r\nHost: a\r\n\r\n").hear();
  };
  for (const char* target :
       {"http://127.0.0.1:9644/healthz", "HTTP://some.host/healthz?x=1", "http://[::1]:80/healthz"}) {
    EXPECT_TRUE(ask(target).ends_with("\r\n\r\nok\n")) << target;
  }
  for (const char* target : {"http://host", "http://host/", "http://host?x=/healthz"}) {
    EXPECT_NE(ask(target).find("<title>penstock"), std::string::npos) << target;
  }
  for (const char* target : {"http://host/other", "ftp://host/healthz", "/http://host/healthz", "http:/healthz"}) {
    EXPECT_TRUE(ask(target).starts_with("HTTP/1.1 404 ")) << target;
  }
}

// All descriptors that this process may have, until the end of the block.
class NoDescriptors {
 public:
  NoDescriptors() {
    getrlimit(RLIMIT_NOFILE, &before_);
    const rlimit few{.rlim_cur = 200, .rlim_max = before_.rlim_max};
    EXPECT_EQ(setrlimit(RLIMIT_NOFILE, &few), 0);
    for (int fd = dup(0); fd >= 0; fd = dup(0)) taken_.push_back(fd);
    EXPECT_EQ(errno, EMFILE);
  }
  ~NoDescriptors() {
    for (const int fd : taken_) close(fd);
    setrlimit(RLIMIT_NOFILE, &before_);
  }
  NoDescriptors(const NoDescriptors&) = delete;
  NoDescriptors& operator=(const NoDescriptors&) = delete;
  void give_back_one() {
    close(taken_.back());
    taken_.pop_back();
  }

 private:
  rlimit before_{};
  std::vector<int> taken_;
};

TEST_F(HttpTest, it_answers_though_others_have_taken_all_descriptors) {
  NoDescriptors none;
  none.give_back_one();  // the client's own
  for (int i = 0; i < 20; ++i) {
    EXPECT_TRUE(Peer(port(), kRequest).hear().ends_with("\r\n\r\nok\n")) << i;
  }
}

constexpr size_t kLongAnswer = 32 << 20;  // more than sockets hold, and than may wait

// What holds for one set of limits: so that no test waits for a real time to pass, or for it not to.
class HttpLimitsTest : public testing::Test {
 protected:
  void start(const HttpLimits& limits, HttpRefresh refresh = {}) {
    server_ = HttpServer::start(
                  {.host = "127.0.0.1", .port = 0}, health_, [] { return std::string(kLongAnswer, 'm'); }, limits,
                  std::move(refresh))
                  .value();
  }
  void wake() { server_->wake(); }
  std::unique_ptr<Peer> peer(std::string_view says = "") { return std::make_unique<Peer>(server_->port(), says); }
  void expect_answer() {
    const std::string heard = peer(kRequest)->hear();
    EXPECT_TRUE(heard.starts_with("HTTP/1.1 200 OK\r\n") && heard.ends_with("\r\n\r\nok\n")) << heard;
  }

 private:
  Health health_;
  std::unique_ptr<HttpServer> server_;
};

TEST_F(HttpLimitsTest, others_are_answered_while_two_hundred_say_nothing) {
  start({.lifetime = 3600 * kSecond});
  std::vector<std::unique_ptr<Peer>> silent;
  for (int i = 0; i < 200; ++i) silent.push_back(peer(i % 2 == 0 ? "" : "GET /metr"));
  for (int i = 0; i < 20; ++i) expect_answer();
  for (const auto& one : silent) EXPECT_TRUE(one->is_open());
  silent[1]->say("x HTTP/1.1\r\n\r\n");  // and it is never too late
  EXPECT_TRUE(silent[1]->hear().starts_with("HTTP/1.1 404 "));
}

TEST_F(HttpLimitsTest, at_the_bound_the_oldest_goes) {
  start({.connections_max = 4, .lifetime = 3600 * kSecond});
  std::vector<std::unique_ptr<Peer>> silent;
  for (int i = 0; i < 10; ++i) silent.push_back(peer());
  expect_answer();
  for (int i = 0; i < 7; ++i) EXPECT_EQ(silent[static_cast<size_t>(i)]->hear(), "");
  for (int i = 7; i < 10; ++i) EXPECT_TRUE(silent[static_cast<size_t>(i)]->is_open());
}

TEST_F(HttpLimitsTest, a_connection_ends_with_its_time) {
  start({.lifetime = kMillisecond});
  EXPECT_EQ(peer("GET /")->hear(), "");
}

TEST_F(HttpLimitsTest, answers_that_nobody_takes_do_not_pile_up) {
  start({.lifetime = 3600 * kSecond});
  const std::string request = "GET /metrics HTTP/1.1\r\n\r\n";
  const auto first = peer(request);
  EXPECT_GT(peer(request)->hear().size(), kLongAnswer);
  EXPECT_LT(first->hear().size(), kLongAnswer);
  expect_answer();
}

// Two scrapers that wait for the same thing: each gets all of its answer.
TEST_F(HttpLimitsTest, long_answers_to_several_who_waited_come_one_after_the_other) {
  std::atomic<bool> is_there = false;
  start({.lifetime = 3600 * kSecond}, {.ask = [] { return uint64_t{1}; },
                                       .is_there = [&](uint64_t) { return is_there.load(); },
                                       .patience = 3600 * kSecond});
  std::vector<std::unique_ptr<Peer>> peers;
  std::vector<std::future<size_t>> heard;
  for (int i = 0; i < 3; ++i) {
    peers.push_back(peer("GET /metrics HTTP/1.1\r\n\r\n"));
    heard.push_back(std::async(std::launch::async, [&one = *peers.back()] { return one.hear().size(); }));
  }
  for (int i = 0; i < 20; ++i) expect_answer();  // all three have asked by then
  for (const auto& one : heard) EXPECT_EQ(one.wait_for(std::chrono::seconds(0)), std::future_status::timeout);
  is_there = true;
  wake();
  for (auto& one : heard) EXPECT_GT(one.get(), kLongAnswer);
}

TEST_F(HttpLimitsTest, who_does_not_take_an_answer_holds_up_others_for_their_patience_alone) {
  start({.lifetime = 3600 * kSecond},
        {.ask = [] { return uint64_t{1}; }, .is_there = [](uint64_t) { return true; }, .patience = kMillisecond});
  const auto first = peer("GET /metrics HTTP/1.1\r\n\r\n");
  EXPECT_GT(peer("GET /metrics HTTP/1.1\r\n\r\n")->hear().size(), kLongAnswer);
}

TEST_F(HttpLimitsTest, what_is_no_request_is_told_so) {
  start({.lifetime = 3600 * kSecond});
  EXPECT_TRUE(peer("hello\r\n\r\n")->hear().starts_with("HTTP/1.1 400 "));
  EXPECT_TRUE(peer("POST /metrics HTTP/1.1\r\nContent-Length: 100\r\n\r\n")->hear().starts_with("HTTP/1.1 404 "));
  // More than is taken: the rest is read all the same, so that the answer arrives.
  EXPECT_TRUE(peer("GET /" + std::string(64 << 10, 'a'))->hear().starts_with("HTTP/1.1 431 "));
}

TEST(Prometheus, names_are_unique_over_all_layers) {
  std::set<std::string> names;
  for (const auto list : {control_metrics(), storage_metrics(), dataplane_metrics(), group_metrics()}) {
    for (const MetricInfo& metric : list) EXPECT_TRUE(names.insert(exported_name(metric)).second) << metric.name;
  }
  for (const char* promised : {"penstock_bytes_appended_total", "penstock_bytes_copied_total",
                               "penstock_bytes_staged_total", "penstock_ring_punts_total"}) {
    EXPECT_TRUE(names.contains(promised)) << promised;
  }
}

}  // namespace
}  // namespace penstock::control
