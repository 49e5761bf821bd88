// Settings: what is taken, from where, and what is said about the rest (control/options.h, control/listeners.h).
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <set>

#include "base/units.h"
#include "control/listeners.h"
#include "control/options.h"
#include "control/ring_options.h"
#include "control/startup_checks.h"
#include "storage/api/ring_size.h"

namespace penstock::control {
namespace {

std::string refusal(Settings& settings, std::string_view assignment) {
  const auto done = set_option(settings, assignment);
  return done ? "" : done.error();
}

bool says(const std::string& text, std::string_view part) { return text.find(part) != std::string::npos; }

class ConfigFile {
 public:
  explicit ConfigFile(std::string_view text) {
    const int fd = mkstemp(path_.data());
    EXPECT_GE(fd, 0);
    EXPECT_EQ(write(fd, text.data(), text.size()), static_cast<ssize_t>(text.size()));
    close(fd);
  }
  ~ConfigFile() { std::filesystem::remove(path_); }
  const std::string& path() const { return path_; }

 private:
  std::string path_ = (std::filesystem::temp_directory_path() / "penstock-config-XXXXXX").string();
};

TEST(Options, names_are_unique_and_defaults_are_within_their_bounds) {
  std::set<std::string_view> names;
  Settings settings;
  for (const OptionInfo& info : option_list()) {
    EXPECT_TRUE(names.insert(info.name).second) << info.name;
    EXPECT_FALSE(info.help.empty());
    const std::string value = option_value(settings, info.name);
    EXPECT_TRUE(set_option(settings, info.name, value).has_value()) << info.name << '=' << value;
  }
  EXPECT_TRUE(check_settings(settings).has_value());
}

TEST(Options, a_value_reaches_its_member) {
  Settings settings;
  EXPECT_EQ(refusal(settings, "num.partitions=7"), "");
  EXPECT_EQ(refusal(settings, "auto.create.topics.enable=false"), "");
  EXPECT_EQ(refusal(settings, "penstock.idle.strategy=spin"), "");
  EXPECT_EQ(refusal(settings, "penstock.ring.seal.ms=5"), "");
  EXPECT_EQ(refusal(settings, "broker.rack=a=b c"), "");
  EXPECT_EQ(settings.broker.num_partitions, 7);
  EXPECT_FALSE(settings.broker.auto_create_topics);
  EXPECT_EQ(settings.dataplane.idle_strategy, "spin");
  EXPECT_EQ(settings.storage.ring_seal_ms, 5);
  EXPECT_EQ(settings.broker.broker_rack, "a=b c");
  EXPECT_EQ(option_value(settings, "num.partitions"), "7");
}

TEST(Options, what_topics_get_from_the_broker_is_checked_at_start) {
  Settings settings;
  for (const char* name : {"log.retention.ms", "log.retention.minutes", "log.retention.hours"}) {
    EXPECT_EQ(refusal(settings, std::string(name) + "=0"), "");
    EXPECT_TRUE(check_settings(settings).error().starts_with(std::string(name) + ": 0 ")) << name;
    EXPECT_EQ(refusal(settings, std::string(name) + "=-1"), "");
    EXPECT_TRUE(check_settings(settings).has_value()) << name;
  }
  for (const char* policy : {"delete", "compact", "compact,delete", "delete, compact", ""}) {
    EXPECT_EQ(refusal(settings, std::string("log.cleanup.policy=") + policy), "");
    EXPECT_TRUE(check_settings(settings).has_value()) << policy;
  }
  EXPECT_EQ(refusal(settings, "log.cleanup.policy=destroy"), "");
  EXPECT_TRUE(says(check_settings(settings).error(), "log.cleanup.policy"));
}

TEST(Options, sizes_may_have_a_unit_and_other_numbers_not) {
  Settings settings;
  EXPECT_EQ(refusal(settings, "penstock.ring.bytes=64MiB"), "");
  EXPECT_EQ(settings.storage.ring_bytes, 64 << 20);
  EXPECT_EQ(refusal(settings, "penstock.ring.bytes=1GiB"), "");
  EXPECT_EQ(settings.storage.ring_bytes, 1 << 30);
  EXPECT_TRUE(says(refusal(settings, "penstock.ring.bytes=64MB"), "penstock.ring.bytes"));
  EXPECT_TRUE(says(refusal(settings, "penstock.ring.bytes=9223372036854775807GiB"), "from 4194304"));
  EXPECT_TRUE(says(refusal(settings, "num.partitions=1KiB"), "num.partitions"));
  EXPECT_TRUE(says(refusal(settings, "num.partitions=1 "), "num.partitions"));
  EXPECT_TRUE(says(refusal(settings, "penstock.ring.seal.ms=1KiB"), "(ms)"));
  EXPECT_TRUE(says(refusal(settings, "penstock.ring.bytes=1PiB"), "(bytes, or with KiB, MiB, GiB, TiB)"));
  EXPECT_TRUE(says(refusal(settings, "penstock.ring.bytes=8388608TiB"), "from 4194304")) << "beyond 64 bits";
  EXPECT_EQ(refusal(settings, "penstock.ring.bytes=1TiB"), "");
  EXPECT_EQ(settings.storage.ring_bytes, 1LL << 40);
}

// scripts/gen_docs.py makes the page of the same lists.
TEST(Options, the_bounds_that_the_page_of_settings_prints_are_taken) {
  Settings settings;
  for (const char* printed : {"penstock.disk.reserve.bytes=1024 TiB", "penstock.disk.reserve.bytes=0 bytes",
                              "penstock.ring.bytes=4 TiB", "penstock.ring.bytes=4 MiB", "log.retention.hours=168 hours",
                              "offset.metadata.max.bytes=4 KiB", "penstock.ring.seal.ms=5 ms"}) {
    EXPECT_EQ(refusal(settings, printed), "");
  }
  EXPECT_EQ(settings.storage.disk_reserve_bytes, 0);
  EXPECT_EQ(settings.storage.ring_bytes, 4 << 20);
  EXPECT_EQ(settings.storage.ring_seal_ms, 5);
}

TEST(Options, what_is_wrong_is_named_with_what_is_allowed) {
  Settings settings;
  EXPECT_TRUE(says(refusal(settings, "num.partitions=0"), "num.partitions: '0' is not a whole number from 1 to 10000"));
  EXPECT_TRUE(says(refusal(settings, "num.partitions="), "num.partitions"));
  EXPECT_TRUE(says(refusal(settings, "num.partitions=3x"), "'3x'"));
  EXPECT_TRUE(says(refusal(settings, "num.partitions=99999999999999999999"), "10000"));
  EXPECT_TRUE(says(refusal(settings, "delete.topic.enable=yes"), "true or false"));
  EXPECT_TRUE(says(refusal(settings, "penstock.idle.strategy=sleep"), "adaptive spin"));
  EXPECT_TRUE(says(refusal(settings, "penstock.idle.strategy=adaptive spin"), "one of"));
  EXPECT_TRUE(says(refusal(settings, "penstock.idle.strategy="), "one of"));
  EXPECT_TRUE(says(refusal(settings, "no.such=1"), "no.such: there is no such setting"));
  EXPECT_TRUE(says(refusal(settings, "partitions=1"), "did you mean num.partitions?"));
  EXPECT_TRUE(says(refusal(settings, "num.partitions"), "NAME=VALUE"));
}

TEST(Options, a_file_may_write_names_in_every_way_of_toml) {
  const ConfigFile file(R"(
num.partitions = 3
"max.connections" = 17
listeners = ["PLAINTEXT://127.0.0.1:1", "INSIDE://127.0.0.1:2"]
[penstock.ring]
bytes = "8MiB"
seal.ms = 7
[auto.create.topics]
enable = false
)");
  Settings settings;
  const auto done = read_config_file(settings, file.path());
  ASSERT_TRUE(done.has_value()) << done.error();
  EXPECT_EQ(settings.broker.num_partitions, 3);
  EXPECT_EQ(settings.dataplane.connections_max, 17);
  EXPECT_EQ(settings.broker.listeners, "PLAINTEXT://127.0.0.1:1,INSIDE://127.0.0.1:2");
  EXPECT_EQ(settings.storage.ring_bytes, 8 << 20);
  EXPECT_EQ(settings.storage.ring_seal_ms, 7);
  EXPECT_FALSE(settings.broker.auto_create_topics);
}

TEST(Options, a_wrong_file_is_refused_with_its_line) {
  const auto error = [](std::string_view text) {
    const ConfigFile file(text);
    Settings settings;
    const auto done = read_config_file(settings, file.path());
    return done ? std::string() : done.error();
  };
  EXPECT_TRUE(
      says(error("num.partitions = 3\nnum.partition = 4\n"), "line 2: num.partition: there is no such setting"));
  EXPECT_TRUE(says(error("\n\nnum.partitions = 0\n"), "line 3: num.partitions: '0'"));
  EXPECT_TRUE(says(error("num.partitions = \n"), "line 1"));
  EXPECT_TRUE(says(error("num.partitions = 1979-05-27\n"), "num.partitions"));
  EXPECT_TRUE(says(error("listeners = [[\"a\"]]\n"), "line 1: listeners"));
  EXPECT_TRUE(says(error("node.id = 1.5\n"), "line 1: node.id: a whole number is expected, written without a point"));
  EXPECT_TRUE(says(error("min.insync.replicas = 2e0\n"), "min.insync.replicas: a whole number"));
  EXPECT_TRUE(says(error("broker.rack = 1.5\n"), "broker.rack: a whole number, a text, true"));
  EXPECT_EQ(error("log.cleaner.min.cleanable.ratio = 0.25\n"), "") << "a fraction by its nature";
  EXPECT_TRUE(says(error("log.cleaner.min.cleanable.ratio = 1.25\n"), "line 1: log.cleaner.min.cleanable.ratio"));
}

TEST(Options, a_list_is_only_for_texts) {
  const auto error = [](std::string_view text) {
    const ConfigFile file(text);
    Settings settings;
    const auto done = read_config_file(settings, file.path());
    return done ? std::string() : done.error();
  };
  EXPECT_TRUE(says(error("\nnode.id = [1]\n"), "line 2: node.id: one value is expected, not a list"));
  EXPECT_TRUE(says(error("delete.topic.enable = [true]\n"), "delete.topic.enable: one value"));
  EXPECT_TRUE(says(error("min.insync.replicas = [1]\n"), "min.insync.replicas: one value"));
  EXPECT_TRUE(says(error("no.such = [1]\n"), "no.such: there is no such setting"));
  EXPECT_EQ(error("log.dirs = [\"a\", \"b\"]\nlog.cleanup.policy = [\"compact\", \"delete\"]\n"), "");
}

TEST(Options, what_is_no_file_is_refused_for_that) {
  Settings settings;
  const auto absent = read_config_file(settings, "/nonexistent.toml");
  ASSERT_FALSE(absent.has_value());
  EXPECT_EQ(absent.error(), "/nonexistent.toml: cannot be read: No such file or directory");
  const auto folder = read_config_file(settings, "/tmp");
  ASSERT_FALSE(folder.has_value());
  EXPECT_EQ(folder.error(), "/tmp: is not a file; --config takes a TOML file");
  const auto device = read_config_file(settings, "/dev/null");
  ASSERT_FALSE(device.has_value());
  EXPECT_TRUE(says(device.error(), "/dev/null: is not a file"));
  EXPECT_TRUE(settings.given.empty());
}

TEST(Options, rules_between_settings) {
  Settings settings;
  settings.dataplane.receive_pool_bytes = settings.dataplane.request_max_bytes;
  EXPECT_TRUE(says(check_settings(settings).error(), "penstock.receive.pool.bytes"));
  settings = {};
  for (const char* wrong : {"", "/a,,/b", ",", "/a, /b,/c/../a"}) {
    settings.broker.log_dirs = wrong;
    ASSERT_FALSE(check_settings(settings).has_value()) << wrong;
    EXPECT_TRUE(says(check_settings(settings).error(), "log.dirs"));
  }
  for (const char* twice : {"d,d/", "d,./d", "d/,e/../d//", "/nonexistent/d/,/nonexistent/d"}) {
    settings.broker.log_dirs = twice;
    ASSERT_FALSE(check_settings(settings).has_value()) << twice;
    EXPECT_TRUE(says(check_settings(settings).error(), " are the same folder")) << twice;
  }
  settings.broker.log_dirs = std::filesystem::current_path().string() + "/d,d";
  ASSERT_FALSE(check_settings(settings).has_value());
  EXPECT_TRUE(says(check_settings(settings).error(), " are the same folder"));
  settings.broker.log_dirs = "d,de,d/sub";
  EXPECT_TRUE(says(check_settings(settings).error(), "log.dirs: d/sub lies in d;"));
  settings.broker.log_dirs = "d/e/f,d/";
  EXPECT_TRUE(says(check_settings(settings).error(), "log.dirs: d/e/f lies in d/;"));
  settings.broker.log_dirs = "/a, /b";
  EXPECT_TRUE(check_settings(settings).has_value());
}

// Kafka's rule (GroupCoordinatorConfig): who is to speak no more often than it may be silent is taken for dead.
TEST(Options, a_heartbeat_comes_before_the_session_ends) {
  Settings settings;
  const auto said = [&](const char* heartbeat, const char* session) {
    EXPECT_EQ(refusal(settings, std::string("group.consumer.heartbeat.interval.ms=") + heartbeat), "");
    EXPECT_EQ(refusal(settings, std::string("group.consumer.session.timeout.ms=") + session), "");
    const auto done = check_settings(settings);
    return done ? std::string() : done.error();
  };
  EXPECT_EQ(said("5000", "5001"), "");
  const std::string wrong =
      "group.consumer.heartbeat.interval.ms (5000) must be less than group.consumer.session.timeout.ms (5000), or "
      "members are taken for dead between two heartbeats";
  EXPECT_EQ(said("5000", "5000"), wrong);
  EXPECT_NE(said("60000", "45000"), "");
}

TEST(Listeners, host_and_port) {
  EXPECT_EQ(parse_host_port("127.0.0.1:9092")->host, "127.0.0.1");
  EXPECT_EQ(parse_host_port("[::1]:80")->host, "::1");
  EXPECT_EQ(parse_host_port("[::1]:80")->port, 80);
  EXPECT_EQ(parse_host_port(":0")->host, "");
  EXPECT_FALSE(parse_host_port("::1:80").has_value());
  EXPECT_FALSE(parse_host_port("host").has_value());
  EXPECT_FALSE(parse_host_port("host:").has_value());
  EXPECT_FALSE(parse_host_port("host:65536").has_value());
  EXPECT_FALSE(parse_host_port("host:-1").has_value());
}

std::expected<std::vector<Listener>, std::string> listeners_of(std::string text) {
  BrokerOptions options;
  options.listeners = std::move(text);
  return parse_listeners(options);
}

TEST(Listeners, a_list_with_names_or_without) {
  const auto both = listeners_of("127.0.0.1:1, INSIDE://[::1]:2");
  ASSERT_TRUE(both.has_value()) << both.error();
  EXPECT_EQ((*both)[0].name, "PLAINTEXT");
  EXPECT_EQ((*both)[1].name, "INSIDE");
  EXPECT_EQ((*both)[1].bind.host, "::1");
  EXPECT_FALSE(listeners_of("").has_value());
  EXPECT_FALSE(listeners_of("127.0.0.1:1,127.0.0.1:2").has_value()) << "two of one name";
  EXPECT_TRUE(says(listeners_of("SSL://h:1").error(), "no TLS"));
  EXPECT_TRUE(says(listeners_of("SASL_PLAINTEXT://h:1").error(), "no TLS and no login"));
  EXPECT_TRUE(says(listeners_of("small://h:1").error(), "capitals"));
}

TEST(Listeners, devices_stand_among_sockets_of_the_kernel) {
  const auto all = listeners_of(
      "127.0.0.1:1, WIRE://dpdk:net_af_packet,iface=w0,address=10.9.0.2/24,address=fd00::2/64,gateway=10.9.0.1,"
      "vlan=7,mtu=9000,qpairs=2, NEXT://dpdk:net_af_packet,iface=w0,qpairs=2,port=9093, CARD://dpdk:0000:03:00.0,"
      "address=192.0.2.1/24, LAST://[::1]:2");
  ASSERT_TRUE(all.has_value()) << all.error();
  ASSERT_EQ(all->size(), 5u);
  EXPECT_FALSE((*all)[0].device.has_value());
  EXPECT_EQ((*all)[1].device, 0);
  EXPECT_EQ((*all)[2].device, 0);
  EXPECT_EQ((*all)[3].device, 1);
  EXPECT_FALSE((*all)[4].device.has_value());
  EXPECT_EQ((*all)[1].bind.host, "10.9.0.2");
  EXPECT_EQ((*all)[1].bind.port, 9092);
  EXPECT_EQ((*all)[2].bind.host, "10.9.0.2");
  EXPECT_EQ((*all)[2].bind.port, 9093);
  const auto devices = devices_of(*all);
  ASSERT_EQ(devices.size(), 2u);
  EXPECT_EQ(devices[0].device, "net_af_packet,iface=w0,qpairs=2");
  EXPECT_EQ(devices[0].addresses, (std::vector<std::string>{"10.9.0.2/24", "fd00::2/64"}));
  EXPECT_EQ(devices[0].gateways, (std::vector<std::string>{"10.9.0.1"}));
  EXPECT_EQ(devices[0].vlan, 7);
  EXPECT_EQ(devices[0].mtu, 9000);
  EXPECT_EQ(devices[1].device, "0000:03:00.0");
  const auto address = resolve((*all)[2]);
  ASSERT_TRUE(address.has_value());
  EXPECT_EQ(address->device, 0);
  EXPECT_EQ(address->port, 9093);
}

TEST(Listeners, what_is_wrong_with_a_device_is_said) {
  const auto said = [](const char* text) {
    const auto listeners = listeners_of(text);
    return listeners ? std::string() : listeners.error();
  };
  EXPECT_TRUE(says(said("dpdk:"), "the device is missing"));
  EXPECT_TRUE(says(said("dpdk:net_tap,port=0"), "port=0"));
  EXPECT_TRUE(says(said("dpdk:net_tap,vlan=x"), "vlan=x"));
  EXPECT_TRUE(says(said("A://dpdk:net_tap,B://dpdk:net_tap"), "9092 is A's already"));
  EXPECT_TRUE(says(said("A://dpdk:net_tap,mtu=1400,B://dpdk:net_tap,mtu=1500,port=1"), "say them once"));
  EXPECT_TRUE(says(said("A://dpdk:net_af_packet,iface=w0,B://dpdk:net_af_packet1,iface=w0"), "w0 is A's already"));
  EXPECT_TRUE(says(said("A://dpdk:net_tap,tso=no"), "tso is on or off"));
  BrokerOptions options;
  options.listeners = "A://dpdk:net_tap,address=10.0.0.1/8";
  options.advertised_listeners = options.listeners;
  EXPECT_TRUE(says(advertise(options, parse_listeners(options).value(), {1}).error(), "HOST:PORT"));
}

TEST(Listeners, clients_are_told_where_to_connect) {
  BrokerOptions options;
  const auto told = [&](std::string listeners, std::string advertised) {
    options.listeners = std::move(listeners);
    options.advertised_listeners = std::move(advertised);
    const auto parsed = parse_listeners(options).value();
    return advertise(options, parsed, std::vector<uint16_t>(parsed.size(), 1234));
  };
  EXPECT_EQ(told("127.0.0.1:0", "")->at(0).host, "127.0.0.1");
  EXPECT_EQ(told("127.0.0.1:0", "")->at(0).port, 1234);
  EXPECT_EQ(told("[::1]:0", "")->at(0).host, "::1") << "without brackets";
  const auto two = told("127.0.0.1:0,OUT://0.0.0.0:0", "OUT://kafka.example.com:9999");
  ASSERT_TRUE(two.has_value()) << two.error();
  EXPECT_EQ(two->at(0).host, "127.0.0.1");
  EXPECT_EQ(two->at(1).host, "kafka.example.com");
  EXPECT_EQ(two->at(1).port, 9999);
  EXPECT_EQ(told("0.0.0.0:0", "example.com:0")->at(0).port, 1234) << "port 0: the one that was bound";
  EXPECT_TRUE(says(told("0.0.0.0:0", "0.0.0.0:9092").error(), "clients cannot connect to '0.0.0.0'"));
  EXPECT_TRUE(says(told("0.0.0.0:0", "[::]:9092").error(), "clients cannot connect to '::'"));
  EXPECT_TRUE(says(told("0.0.0.0:0", "OTHER://h:1").error(), "no listener named OTHER"));
  const auto unnamed = told("0.0.0.0:0", "");  // this machine's name, or a request for the setting
  if (unnamed)
    EXPECT_FALSE(unnamed->at(0).host.empty() || unnamed->at(0).host == "0.0.0.0");
  else
    EXPECT_TRUE(says(unnamed.error(), "--set advertised.listeners=PLAINTEXT://HOST:1234")) << unnamed.error();
}

TEST(Listeners, a_port_is_wanted_once) {
  const auto wrong = [](std::string listeners, const std::string& http) {
    const auto done = check_ports(listeners_of(std::move(listeners)).value(), http);
    return done ? std::string() : done.error();
  };
  EXPECT_EQ(wrong("127.0.0.1:9092", "127.0.0.1:9644"), "");
  EXPECT_EQ(wrong("127.0.0.1:0,B://127.0.0.1:0", "127.0.0.1:0"), "");
  EXPECT_EQ(wrong("127.0.0.1:9092,B://127.0.0.2:9092", ""), "");
  EXPECT_EQ(wrong("dpdk:net_tap,address=10.0.0.1/8", "127.0.0.1:9092"), "") << "a device's ports are its own";
  EXPECT_EQ(wrong("127.0.0.1:9092", "[::1]:9092"), "");
  EXPECT_TRUE(says(wrong("127.0.0.1:9092", "127.0.0.1:9092"),
                   "penstock.http.listener: port 9092 is that of listeners: PLAINTEXT already"));
  EXPECT_TRUE(says(wrong("127.0.0.1:9092", ":9092"), "penstock.http.listener: port 9092"));
  EXPECT_TRUE(says(wrong("0.0.0.0:1,B://127.0.0.1:1", ""), "listeners: B: port 1 is that of listeners: PLAINTEXT"));
  EXPECT_TRUE(says(wrong("127.0.0.1:1", "127.0.0.1"), "penstock.http.listener: HOST:PORT is expected"));
}

TEST(Listeners, names_are_looked_up) {
  const auto local = resolve({.name = "PLAINTEXT", .bind = {.host = "localhost", .port = 5}});
  ASSERT_TRUE(local.has_value()) << local.error();
  EXPECT_TRUE(local->host == "127.0.0.1" || local->host == "::1") << local->host;
  EXPECT_EQ(resolve({.name = "PLAINTEXT", .bind = {.host = "", .port = 5}})->host, "0.0.0.0");
  EXPECT_TRUE(says(resolve({.name = "PLAINTEXT", .bind = {.host = "no-such-host.invalid", .port = 5}}).error(),
                   "no-such-host.invalid"));
}

TEST(StartupChecks, kernels) {
  EXPECT_TRUE(check_kernel("6.1.0-13-amd64").has_value());
  EXPECT_TRUE(check_kernel("6.18.44").has_value());
  EXPECT_TRUE(check_kernel("10.0").has_value());
  EXPECT_TRUE(says(check_kernel("6.0.19").error(), "6.0.19"));
  EXPECT_FALSE(check_kernel("5.15.0").has_value());
  EXPECT_FALSE(check_kernel("strange").has_value());
}

TEST(StartupChecks, what_stands_in_the_place_of_a_data_folder) {
  const ConfigFile file("not a folder");
  const std::string link = file.path() + "-link";
  const auto said = [](const std::string& path) {
    const auto done = check_folder(path);
    return done ? std::string() : done.error();
  };
  EXPECT_EQ(said(file.path()), file.path() + " is not a folder; choose another --data");
  EXPECT_EQ(said(file.path() + "/"), file.path() + "/ is not a folder; choose another --data");
  EXPECT_EQ(said(file.path() + "/below/it"), file.path() + " is not a folder; choose another --data");
  EXPECT_EQ(said("/dev/null"), "/dev/null is not a folder; choose another --data");
  std::filesystem::create_symlink(file.path() + "-none", link);
  EXPECT_TRUE(says(said(link), link + " is a link to " + file.path() + "-none, which is not there"));
  EXPECT_TRUE(says(said(link + "/"), "which is not there"));
  std::filesystem::remove(link);
  std::filesystem::create_symlink(std::filesystem::temp_directory_path(), link);
  EXPECT_EQ(said(link), "");
  std::filesystem::remove(link);
  EXPECT_EQ(said("/tmp/no/such/folder/yet"), "");
  EXPECT_EQ(said("/"), "");
  EXPECT_EQ(said("."), "");
}

TEST(Options, data_folders_are_said_in_one_place) {
  const auto said = [](Settings settings, const std::vector<std::string>& data) {
    const auto done = set_data_folders(settings, data);
    if (done) {
      EXPECT_TRUE(settings.given.contains("log.dirs"));
    }
    return done ? settings.broker.log_dirs : "refused: " + done.error();
  };
  Settings settings;
  EXPECT_EQ(said(settings, {"a", "b"}), "a,b") << "nobody else has said it";
  EXPECT_EQ(refusal(settings, "log.dirs=/x/a,/x/b"), "");
  EXPECT_EQ(said(settings, {"/x/a/", "/x/./b"}), "/x/a/,/x/./b");
  EXPECT_EQ(said(settings, {"/x/a,/x/b"}), "/x/a,/x/b");
  EXPECT_EQ(said(settings, {"/y"}),
            "refused: log.dirs: --data says /y, --set or the settings file says /x/a,/x/b; say it in one place");
  for (const std::vector<std::string>& other :
       {std::vector<std::string>{"/x/a"}, {"/x/b", "/x/a"}, {"/x/a", "/x/b", "/c"}})
    EXPECT_TRUE(said(settings, other).starts_with("refused: ")) << other[0];
  Settings of_file;
  ASSERT_TRUE(read_config_file(of_file, ConfigFile("log.dirs = [\"/x\"]\n").path()).has_value());
  EXPECT_TRUE(said(of_file, {"/y"}).starts_with("refused: "));
}

TEST(StartupChecks, a_disk_that_is_too_small_says_how_small_the_ring_may_be) {
  EXPECT_TRUE(check_space("/tmp/no/such/folder/yet", 0, 1ull << 60).has_value());
  const auto full = check_space("/tmp/no/such/folder/yet", 2, 1ull << 59);
  ASSERT_FALSE(full.has_value());
  EXPECT_FALSE(says(full.error(), std::to_string((1ull << 59) / kMiB / 2) + "MiB")) << "that has no room either";
  EXPECT_TRUE(check_space("/tmp/no/such/folder/yet", 1, 0).has_value());
}

TEST(StartupChecks, an_advised_ring_fits_drive_and_memory) {
  EXPECT_EQ(storage::ring_that_fits(66 * kGiB, 24 * kGiB, 1), 8 * kGiB);
  EXPECT_EQ(storage::ring_that_fits(66 * kGiB, 24 * kGiB, 2), 4 * kGiB);
  EXPECT_EQ(storage::ring_that_fits(1 * kGiB, 24 * kGiB, 1), 512 * kMiB);
  EXPECT_EQ(storage::ring_that_fits(8 * kMiB, 24 * kGiB, 1), 4 * kMiB);
  EXPECT_EQ(storage::ring_that_fits(8 * kMiB - 1, 24 * kGiB, 1), std::nullopt);
  EXPECT_EQ(storage::ring_that_fits(UINT64_MAX, UINT64_MAX, 1), storage::ring_bounds().most);
  EXPECT_EQ(storage::ring_bounds().least, 4 * kMiB);
}

TEST(StartupChecks, descriptors_are_shared_out_and_the_brokers_own_needs_come_first) {
  const DescriptorUse one{.segments_max = 512, .connections_max = 100'000, .http_max = 256};
  const DescriptorUse many{
      .lcores = 4, .folders = 2, .listeners = 3, .segments_max = 512, .connections_max = 20, .http_max = 256};
  for (const DescriptorUse& use : {one, many}) {
    const uint64_t rings = std::max(use.lcores, use.folders);
    uint64_t least = 1;
    while (!share_descriptors(use, least)) ++least;
    // Whatever it holds beside its clients and segments.
    const uint64_t own = least - 32 * rings - 2 * 4;
    DescriptorShare before = *share_descriptors(use, least);
    EXPECT_EQ(before, (DescriptorShare{.segments_max = 32, .connections_max = 4, .http_max = 4}));
    for (uint64_t files = least; files < 300'000; files += files / 8 + 1) {
      const auto share = share_descriptors(use, files);
      ASSERT_TRUE(share.has_value()) << files;
      EXPECT_LE(own + share->segments_max * rings + share->connections_max + share->http_max, files);
      EXPECT_GE(share->segments_max, before.segments_max) << files;
      EXPECT_GE(share->connections_max, before.connections_max) << files;
      EXPECT_GE(share->http_max, before.http_max) << files;
      before = *share;
    }
    EXPECT_EQ(before,
              (DescriptorShare{
                  .segments_max = use.segments_max, .connections_max = use.connections_max, .http_max = use.http_max}));
  }
  // Neither segments nor clients take all that is left.
  const auto share = share_descriptors(one, 1024);
  EXPECT_GT(share->connections_max, 300u);
  EXPECT_GT(share->segments_max, 300u);
}

TEST(StartupChecks, cpu_lists) {
  EXPECT_TRUE(parse_cpus("", 1)->empty());
  EXPECT_EQ(*parse_cpus("0", 1), std::vector{0});
  EXPECT_FALSE(parse_cpus("0,0", 1).has_value());
  EXPECT_FALSE(parse_cpus("x", 1).has_value());
  EXPECT_FALSE(parse_cpus("-1", 1).has_value());
  EXPECT_FALSE(parse_cpus("100000", 1).has_value());
}

TEST(Options, rings_share_the_drive_of_their_folder_and_the_rate_of_the_scrubber) {
  storage::StorageOptions broker;
  broker.ring_bytes = 100;
  broker.disk_reserve_bytes = 7;
  broker.scrub_bytes_per_second = 3'000;
  EXPECT_EQ(options_of_ring(broker, 1, 1).disk_reserve_bytes, 7);
  EXPECT_EQ(options_of_ring(broker, 6, 4).disk_reserve_bytes, 307);
  EXPECT_EQ(options_of_ring(broker, 1, 1).scrub_bytes_per_second, 3'000);
  EXPECT_EQ(options_of_ring(broker, 6, 2).scrub_bytes_per_second, 500);
  broker.scrub_bytes_per_second = 1;
  EXPECT_EQ(options_of_ring(broker, 6, 2).scrub_bytes_per_second, 1) << "0 would be never";
  broker.scrub_bytes_per_second = 0;
  EXPECT_EQ(options_of_ring(broker, 6, 2).scrub_bytes_per_second, 0);
}

}  // namespace
}  // namespace penstock::control
