// The route table (RFC 1812 §5.2.4.3) and source address selection (RFC 6724 §5).
#include "netstack/ip/route.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "netstack/ip/ip_output.h"
#include "tests/support/inet_test_host.h"
#include "tests/support/random.h"

namespace weir::testing_support {
namespace {

using netstack::Interface;
using netstack::Route;
using netstack::RouteTable;

IpAddress Address(const std::string& text) { return *IpAddress::Parse(text); }
IpPrefix Prefix(const std::string& text) { return *IpPrefix::Parse(text); }

class RouteTest : public ::testing::Test {
 protected:
  RouteTest() { second_ = &host_.inet().ip.AddInterface({.mac = {{2, 0, 0, 0, 0, 9}}}); }
  Interface& first() { return host_.interface(); }
  Interface& second() { return *second_; }

  std::string Gateway(const std::string& destination, const Interface* out = nullptr) {
    const Route* route = table_.Lookup(Address(destination), out);
    return route == nullptr ? "none" : route->gateway.ToString();
  }

  InetTestHost host_;
  Interface* second_;
  RouteTable table_;
};

TEST_F(RouteTest, TheLongestPrefixDecides) {
  EXPECT_EQ("none", Gateway("10.1.2.3"));
  const char* routes[][2] = {{"0.0.0.0/0", "10.0.0.254"},  {"10.0.0.0/8", "10.0.0.8"},   {"10.1.0.0/16", "10.0.0.16"},
                             {"10.1.2.0/24", "10.0.0.24"}, {"10.1.2.3/32", "10.0.0.32"}, {"::/0", "fd00::254"},
                             {"fd00::/16", "fd00::16"},    {"fd00:1::/64", "fd00::64"},  {"fd00:1::5/128", "fd00::128"}};
  for (const auto& route : routes) {
    EXPECT_TRUE(table_.Add({.prefix = Prefix(route[0]), .out = &first(), .gateway = Address(route[1])}));
  }
  const char* lookups[][2] = {{"10.1.2.3", "10.0.0.32"}, {"10.1.2.4", "10.0.0.24"},   {"10.1.3.3", "10.0.0.16"},
                              {"10.2.2.3", "10.0.0.8"},  {"11.1.2.3", "10.0.0.254"},  {"fd00:1::5", "fd00::128"},
                              {"fd00:1::6", "fd00::64"}, {"fd00:2::5", "fd00::16"},   {"2001:db8::1", "fd00::254"}};
  for (const auto& lookup : lookups) EXPECT_EQ(lookup[1], Gateway(lookup[0])) << lookup[0];
  table_.Remove({.prefix = Prefix("10.1.2.3/32"), .out = &first(), .gateway = Address("10.0.0.32")});
  EXPECT_EQ("10.0.0.24", Gateway("10.1.2.3"));
  table_.Remove({.prefix = Prefix("0.0.0.0/0"), .out = &first(), .gateway = Address("10.0.0.254")});
  EXPECT_EQ("none", Gateway("11.1.2.3"));
}

TEST_F(RouteTest, TheLowerMetricAmongEquals) {
  ASSERT_TRUE(table_.Add({.prefix = Prefix("0.0.0.0/0"), .out = &first(), .gateway = Address("10.0.0.1"), .metric = 20}));
  ASSERT_TRUE(table_.Add({.prefix = Prefix("0.0.0.0/0"), .out = &second(), .gateway = Address("10.9.0.1"), .metric = 10}));
  EXPECT_EQ("10.9.0.1", Gateway("8.8.8.8"));
  EXPECT_EQ("10.0.0.1", Gateway("8.8.8.8", &first()));
  // The same route again is there once; with another metric it is another route, as in Linux (fib_table_insert).
  const Route again{.prefix = Prefix("0.0.0.0/0"), .out = &first(), .gateway = Address("10.0.0.1"), .metric = 20};
  ASSERT_TRUE(table_.Add(again));
  EXPECT_EQ(2u, table_.routes().size());
  Route better = again;
  better.metric = 5;
  ASSERT_TRUE(table_.Add(better));
  EXPECT_EQ(3u, table_.routes().size());
  EXPECT_EQ("10.0.0.1", Gateway("8.8.8.8"));
  table_.Remove(better);
  EXPECT_EQ("10.9.0.1", Gateway("8.8.8.8"));
  EXPECT_EQ("10.0.0.1", Gateway("8.8.8.8", &first()));
}

TEST_F(RouteTest, IsBounded) {
  for (uint32_t i = 0; i < RouteTable::kMaxRoutes; ++i) {
    ASSERT_TRUE(table_.Add({.prefix = {IpAddress::V4(0x14000000 + (i << 8)), 24}, .out = &first()}));
  }
  EXPECT_FALSE(table_.Add({.prefix = Prefix("30.0.0.0/24"), .out = &first()}));
  EXPECT_NE(nullptr, table_.Lookup(Address("20.0.0.1")));
}

// Against a list that is searched from end to end.
TEST_F(RouteTest, Random) {
  testing::Random random;
  std::vector<Route> all;
  const auto some_address = [&](bool v4) {
    if (v4) return IpAddress::V4(0x0a000000 | static_cast<uint32_t>(random.Below(1 << 12)) << random.Below(12));
    std::array<uint8_t, 16> bytes{0xfd};
    for (int i = 0; i < 3; ++i) bytes[1 + random.Below(15)] = static_cast<uint8_t>(random.Below(4));
    return IpAddress::V6(bytes);
  };
  for (int round = 0; round < 4000; ++round) {
    const bool v4 = random.Below(2) == 0;
    const IpPrefix drawn{some_address(v4), static_cast<int>(random.Below(v4 ? 33 : 129))};
    const Route route{.prefix = {drawn.network(), drawn.length}, .out = random.Below(2) ? &first() : &second(),
                      .gateway = some_address(v4), .metric = static_cast<uint32_t>(random.Below(3))};
    const auto same = [&](const Route& r) {
      return r.prefix == route.prefix && r.out == route.out && r.gateway == route.gateway && r.metric == route.metric;
    };
    std::erase_if(all, same);
    if (random.Below(3) > 0 && all.size() < 500) {
      ASSERT_TRUE(table_.Add(route));
      all.push_back(route);
    } else {
      table_.Remove(route);
    }
    const IpAddress destination = some_address(random.Below(2) == 0);
    const Route* best = nullptr;
    for (const Route& r : all) {
      if (!r.prefix.Contains(destination)) continue;
      if (best == nullptr || r.prefix.length > best->prefix.length ||
          (r.prefix.length == best->prefix.length && r.metric < best->metric)) {
        best = &r;
      }
    }
    const Route* found = table_.Lookup(destination);
    ASSERT_EQ(best == nullptr, found == nullptr) << destination.ToString();
    if (best == nullptr) continue;
    ASSERT_EQ(best->prefix, found->prefix) << destination.ToString();
    ASSERT_EQ(best->metric, found->metric) << destination.ToString();
  }
}

// RFC 1122 §3.3.4.3 for IPv4; RFC 6724 §5, rules 1, 2, 3 and 8.
TEST_F(RouteTest, SourceAddresses) {
  netstack::IpContext& ip = host_.inet().ip;
  const auto add = [&](const char* text, netstack::AddressState state = netstack::AddressState::kPreferred) {
    ASSERT_TRUE(ip.AddAddress(first(), {Prefix(text), state}));
  };
  add("10.1.0.1/16");
  add("fe80::1/64");
  add("fd00::1/64");
  add("2001:db8::1/64");
  add("2001:db8:1::1/64", netstack::AddressState::kDeprecated);
  ip.routes.Add({.prefix = Prefix("0.0.0.0/0"), .out = &first(), .gateway = Address("10.1.0.254")});
  ip.routes.Add({.prefix = Prefix("::/0"), .out = &first(), .gateway = Address("fe80::254")});
  const char* cases[][2] = {
      {"10.0.0.7", "10.0.0.1"},               // the network it is in
      {"10.1.9.9", "10.1.0.1"},
      {"8.8.8.8", "10.1.0.1"},                // the gateway's network
      {"fd00::9", "fd00::1"},                 // rule 8
      {"2001:db8::9", "2001:db8::1"},
      {"2001:db8:1::9", "2001:db8::1"},       // rule 3: not the deprecated one
      {"2001:db8:1::1", "2001:db8:1::1"},     // rule 1
      {"fe80::9", "fe80::1"},                 // rule 2
      {"2600::1", "2001:db8::1"},             // rule 2: link-local does not reach there
      {"ff02::1", "fe80::1"},                 // rule 2, for a group of the link
  };
  for (const auto& c : cases) {
    IpAddress source;
    ASSERT_TRUE(SelectSource(ip, Address(c[0]), nullptr, &source)) << c[0];
    EXPECT_EQ(c[1], source.ToString()) << "for " << c[0];
  }
}

// Groups and links of RFC 1112 §6.4, RFC 2464 §7.
TEST(MulticastMac, OfGroups) {
  EXPECT_EQ((netstack::MacAddress{{1, 0, 0x5e, 0x7f, 1, 2}}), netstack::MulticastMac(Address("239.255.1.2")));
  EXPECT_EQ((netstack::MacAddress{{1, 0, 0x5e, 0, 0, 1}}), netstack::MulticastMac(Address("224.128.0.1")));
  EXPECT_EQ((netstack::MacAddress{{0x33, 0x33, 0xff, 1, 2, 3}}), netstack::MulticastMac(Address("ff02::1:ff01:203")));
}

}  // namespace
}  // namespace weir::testing_support
