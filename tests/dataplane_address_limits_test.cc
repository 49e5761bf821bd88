// What max.connections.per.ip.overrides may say, and what is counted by it.
#include <gtest/gtest.h>

#include "dataplane/api/address_limits.h"
#include "dataplane/kafka/address_news.h"

namespace penstock::dataplane {
namespace {

TEST(AddressLimits, OverridesAreAddressesWithCounts) {
  const auto none = AddressLimits::parse_overrides("");
  ASSERT_TRUE(none);
  EXPECT_TRUE(none->empty());
  const auto some = AddressLimits::parse_overrides("10.0.0.7:500,[2001:DB8:0::7]:0,::1:2147483647");
  ASSERT_TRUE(some);
  EXPECT_EQ(*some, (AddressLimits::Overrides{{"10.0.0.7", 500}, {"2001:db8::7", 0}, {"::1", 2147483647}}));
  EXPECT_EQ(AddressLimits::parse_overrides(AddressLimits::to_text(*some)), some);
}

// As Kafka splits them; and an address of IPv4 is one, also in the form of IPv6.
TEST(AddressLimits, OverridesMayHaveSpacesAndAComma) {
  const auto some = AddressLimits::parse_overrides(" 10.0.0.7 : 5 ,\t::ffff:10.0.0.8:6,");
  ASSERT_TRUE(some);
  EXPECT_EQ(*some, (AddressLimits::Overrides{{"10.0.0.7", 5}, {"10.0.0.8", 6}}));
}

// Without brackets "::1:2" could be an address too: it is Kafka's reading that counts, and brackets say the same.
TEST(AddressLimits, TheLastColonIsTheOneBeforeTheCount) {
  for (const char* text : {"::1:2", "[::1]:2", "0:0:0:0:0:0:0:1:2"}) {
    const auto some = AddressLimits::parse_overrides(text);
    ASSERT_TRUE(some) << text;
    EXPECT_EQ(*some, (AddressLimits::Overrides{{"::1", 2}})) << text;
  }
  EXPECT_FALSE(AddressLimits::parse_overrides("[::1:2]")) << "an address without a count";
}

TEST(AddressLimits, AnAddressIsNamedOnce) {
  const auto look_up = [](const std::string& name) { return std::string(name == "here" ? "::1" : ""); };
  for (const char* twice : {"10.0.0.7:5,10.0.0.7:5", "10.0.0.7:5,::ffff:10.0.0.7:6", "[::1]:1,10.0.0.7:1,here:2"})
    EXPECT_FALSE(AddressLimits::parse_overrides(twice, look_up)) << twice;
  EXPECT_EQ(AddressLimits::parse_overrides("10.0.0.7:5,10.0.0.8:1,10.0.0.7:6").error(),
            "\"10.0.0.7:6\": 10.0.0.7 is named twice; say its maximum once");
}

TEST(AddressLimits, NamesAreLookedUp) {
  const auto look_up = [](const std::string& name) {
    return std::string(name == "four" ? "::ffff:10.0.0.7" : name == "six" ? "2001:DB8::7" : "");
  };
  const auto some = AddressLimits::parse_overrides("four:1,six:2,10.0.0.8:3", look_up);
  ASSERT_TRUE(some);
  EXPECT_EQ(*some, (AddressLimits::Overrides{{"10.0.0.7", 1}, {"2001:db8::7", 2}, {"10.0.0.8", 3}}));
  EXPECT_FALSE(AddressLimits::parse_overrides("seven:1", look_up));
}

TEST(AddressLimits, WhatIsNoneIsNamed) {
  for (const char* wrong : {"10.0.0.7", "10.0.0.7:", "10.0.0.7:-1", "10.0.0.7:2147483648", "10.0.0.7:5x", "host:5",
                            "10.0.0.300:5", ":5", " ", "[]:5", "1.1.1.1:5,,2.2.2.2:5"}) {
    const auto parsed = AddressLimits::parse_overrides(wrong);
    ASSERT_FALSE(parsed) << wrong;
    EXPECT_EQ(parsed.error().front(), '"') << parsed.error();
  }
}

TEST(AddressLimits, EachAddressHasItsOwn) {
  AddressLimits limits(2, {{"10.0.0.7", 1}, {"10.0.0.8", 0}});
  EXPECT_TRUE(limits.enter(0, ConnectionId{1}, "10.0.0.1"));
  EXPECT_TRUE(limits.enter(1, ConnectionId{1}, "10.0.0.1"));
  EXPECT_TRUE(limits.is_full("10.0.0.1"));
  EXPECT_FALSE(limits.is_full("10.0.0.2"));
  EXPECT_TRUE(limits.is_full("10.0.0.8"));
  EXPECT_FALSE(limits.enter(0, ConnectionId{2}, "10.0.0.1"));
  limits.leave(0, ConnectionId{2});  // it was not counted
  EXPECT_FALSE(limits.enter(0, ConnectionId{3}, "10.0.0.1"));
  limits.leave(1, ConnectionId{1});
  EXPECT_TRUE(limits.enter(0, ConnectionId{4}, "10.0.0.1"));
  EXPECT_FALSE(limits.enter(0, ConnectionId{5}, "10.0.0.1"));

  EXPECT_TRUE(limits.enter(0, ConnectionId{6}, "10.0.0.7"));
  EXPECT_FALSE(limits.enter(0, ConnectionId{7}, "10.0.0.7"));
  EXPECT_FALSE(limits.enter(0, ConnectionId{8}, "10.0.0.8"));
  limits.leave(0, ConnectionId{6});
  EXPECT_TRUE(limits.enter(0, ConnectionId{9}, "10.0.0.7"));
  EXPECT_EQ(limits.addresses(), 2u);
  limits.leave(0, ConnectionId{9});
  for (const uint64_t id : {1, 4}) limits.leave(0, ConnectionId{id});
  limits.leave(1, ConnectionId{1});
  EXPECT_EQ(limits.addresses(), 0u);  // nobody is remembered
}

// ---- what lcores tell each other of it

TEST(AddressNews, GoersComeFirstAndWhoCameAndWentIsNobody) {
  AddressNews news;
  news.came(ConnectionId{1}, "10.0.0.1");
  news.came(ConnectionId{2}, "10.0.0.2");
  news.came(ConnectionId{3}, "");
  news.left(ConnectionId{1});
  news.left(ConnectionId{9});
  EXPECT_EQ(std::get<AddressLeft>(news.next()).connection, ConnectionId{9});
  const Letter second = news.next();
  const AddressCame& came = *std::get<std::unique_ptr<AddressCame>>(second);
  EXPECT_EQ(came.connection, ConnectionId{2});
  EXPECT_EQ(came.address, "10.0.0.2");
  EXPECT_TRUE(news.empty());
}

// A mesh that takes one letter at a time: nothing is lost, nothing comes twice, and little waits in the mail.
TEST(AddressNews, WhatFindsNoRoomIsToldLater) {
  const auto mesh = std::make_shared<Mesh>(uint16_t{2}, size_t{1});
  const Doorbell doorbell;
  DataplaneCounters counters;
  for (uint16_t i = 0; i < 2; ++i) mesh->set_doorbell(i, doorbell);
  Mail sender(mesh, 1, counters);
  Mail receiver(mesh, 0, counters);
  AddressNews news;
  constexpr uint64_t kMany = 100;
  for (uint64_t i = 0; i < kMany; ++i) news.came(ConnectionId{i}, "10.0.0.1");
  uint64_t told = 0;
  for (uint64_t turn = 0; turn < 2 * kMany && told < kMany; ++turn) {
    news.send(sender, 0);
    EXPECT_EQ(sender.waits(0), told + 1 < kMany);
    EXPECT_EQ(news.empty(), told + 2 >= kMany);
    while (const auto letter = receiver.next(1))
      EXPECT_EQ(std::get<std::unique_ptr<AddressCame>>(*letter)->connection, ConnectionId{told++});
    sender.flush();
  }
  EXPECT_EQ(told, kMany);
  EXPECT_FALSE(sender.retrying());
}

}  // namespace
}  // namespace penstock::dataplane
