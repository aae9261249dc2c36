#include "netstack/ip/filter.h"

#include <gtest/gtest.h>

#include "tests/support/malloc_count.h"

namespace weir::netstack {
namespace {

constexpr FilterVerdict kAccept = FilterVerdict::kAccept, kDrop = FilterVerdict::kDrop;

IpAddress Ip(const char* text) { return *IpAddress::Parse(text); }
IpPrefix Prefix(const char* text) { return *IpPrefix::Parse(text); }

// 10.0.0.2:40000 -> 10.0.0.1:22 over TCP, from eth0.
FilterKey Ssh() {
  return {.source = Ip("10.0.0.2"),
          .destination = Ip("10.0.0.1"),
          .protocol = 6,
          .has_ports = true,
          .source_port = 40000,
          .destination_port = 22,
          .in_interface = "eth0"};
}

bool Drops(const FilterRule& rule, const FilterKey& key) {
  Filter filter;
  FilterRule drop = rule;
  drop.verdict = kDrop;
  EXPECT_TRUE(filter.Add(drop));
  return filter.Match(drop.hook, key, 60, kSecond) == kDrop;
}

TEST(Filter, WithoutRulesEverythingPasses) {
  Filter filter;
  for (size_t hook = 0; hook < kHooks; ++hook) {
    EXPECT_EQ(filter.Match(static_cast<Hook>(hook), Ssh(), 60, kSecond), kAccept);
  }
  EXPECT_EQ(filter.ToString(), "");
}

TEST(Filter, ARuleMatchesWhatIsAllOfIt) {
  const struct {
    const char* what;
    FilterRule rule;
    bool drops;
  } cases[] = {
      {"anything", {}, true},
      {"protocol", {.protocol = 6}, true},
      {"other protocol", {.protocol = 17}, false},
      {"source", {.source = Prefix("10.0.0.0/24")}, true},
      {"other source", {.source = Prefix("10.0.1.0/24")}, false},
      {"source of IPv6", {.source = Prefix("::/0")}, false},
      {"destination", {.destination = Prefix("10.0.0.1/32")}, true},
      {"other destination", {.destination = Prefix("10.0.0.2/32")}, false},
      {"source port", {.source_port = {{40000, 40000}}}, true},
      {"below the source ports", {.source_port = {{40001, 65535}}}, false},
      {"destination ports", {.destination_port = {{20, 22}}}, true},
      {"above the destination ports", {.destination_port = {{0, 21}}}, false},
      {"interface", {.in_interface = "eth0"}, true},
      {"other interface", {.in_interface = "eth01"}, false},
      {"all of it",
       {.protocol = 6, .source = Prefix("10.0.0.2/32"), .destination_port = {{22, 22}}, .in_interface = "eth0"},
       true},
      {"all but one", {.protocol = 6, .source = Prefix("10.0.0.3/32"), .destination_port = {{22, 22}}}, false},
  };
  for (const auto& test : cases) EXPECT_EQ(Drops(test.rule, Ssh()), test.drops) << test.what;
}

TEST(Filter, Ipv6) {
  FilterKey key = Ssh();
  key.source = Ip("2001:db8::2");
  key.destination = Ip("2001:db8::1");
  EXPECT_TRUE(Drops({.source = Prefix("2001:db8::/32"), .destination = Prefix("2001:db8::1/128")}, key));
  EXPECT_FALSE(Drops({.source = Prefix("2001:db9::/32")}, key));
  EXPECT_FALSE(Drops({.source = Prefix("0.0.0.0/0")}, key));
}

TEST(Filter, PortsOfAPacketWithoutThemMatchNothing) {
  FilterKey fragment = Ssh();
  fragment.has_ports = false;
  EXPECT_FALSE(Drops({.destination_port = {{0, 65535}}}, fragment));
  EXPECT_FALSE(Drops({.source_port = {{0, 65535}}}, fragment));
}

TEST(Filter, TheFirstMatchDecidesAndIsCounted) {
  Filter filter;
  ASSERT_TRUE(filter.Add({.protocol = 17, .verdict = kDrop, .text = "a"}));
  ASSERT_TRUE(filter.Add({.protocol = 6, .verdict = kAccept, .text = "b"}));
  ASSERT_TRUE(filter.Add({.verdict = kDrop, .text = "c"}));
  EXPECT_EQ(filter.Match(Hook::kLocalIn, Ssh(), 60, kSecond), kAccept);
  EXPECT_EQ(filter.Match(Hook::kLocalIn, Ssh(), 1500, kSecond), kAccept);
  FilterKey icmp = Ssh();
  icmp.protocol = 1;
  EXPECT_EQ(filter.Match(Hook::kLocalIn, icmp, 84, kSecond), kDrop);
  EXPECT_EQ(filter.ToString(), "a  packets 0 bytes 0\nb  packets 2 bytes 1560\nc  packets 1 bytes 84\n");
}

TEST(Filter, HooksAreApartAndHaveTheirPolicies) {
  Filter filter;
  ASSERT_TRUE(filter.Add({.hook = Hook::kLocalIn, .protocol = 6, .verdict = kAccept, .text = "input proto tcp accept"}));
  filter.set_policy(Hook::kLocalIn, kDrop);
  filter.set_policy(Hook::kForward, kDrop);
  FilterKey udp = Ssh();
  udp.protocol = 17;
  EXPECT_EQ(filter.Match(Hook::kLocalIn, Ssh(), 60, kSecond), kAccept);
  EXPECT_EQ(filter.Match(Hook::kLocalIn, udp, 60, kSecond), kDrop);
  EXPECT_EQ(filter.Match(Hook::kForward, Ssh(), 60, kSecond), kDrop);
  EXPECT_EQ(filter.Match(Hook::kLocalOut, udp, 60, kSecond), kAccept);
  EXPECT_EQ(filter.ToString(),
            "input proto tcp accept  packets 1 bytes 60\npolicy input drop\npolicy forward drop\n");
}

// nftables: a packet beyond the limit does not match, and the next rule decides.
TEST(Filter, BeyondItsLimitARuleDoesNotMatch) {
  Filter filter;
  ASSERT_TRUE(filter.Add({.protocol = 6, .limit = FilterLimit(/*rate=*/10, /*burst=*/3), .verdict = kAccept}));
  ASSERT_TRUE(filter.Add({.verdict = kDrop}));
  const auto passed = [&](Nanos now_ns, int packets) {
    int count = 0;
    for (int i = 0; i < packets; ++i) count += filter.Match(Hook::kLocalIn, Ssh(), 60, now_ns) == kAccept;
    return count;
  };
  FilterKey udp = Ssh();
  udp.protocol = 17;
  const Nanos start = 5 * kSecond;
  EXPECT_EQ(filter.Match(Hook::kLocalIn, udp, 60, start), kDrop);  // and takes nothing from the limit
  EXPECT_EQ(passed(start, 5), 3) << "the burst";
  EXPECT_EQ(passed(start + 99 * kMillisecond, 1), 0);
  EXPECT_EQ(passed(start + 100 * kMillisecond, 2), 1) << "one each tenth of a second";
  EXPECT_EQ(passed(start + 300 * kMillisecond, 5), 2) << "what was not used is saved";
  EXPECT_EQ(passed(start + 3600 * kSecond, 9), 3) << "but not beyond the burst";
  EXPECT_EQ(filter.rules(Hook::kLocalIn)[0].packets, 9u);
  EXPECT_EQ(filter.rules(Hook::kLocalIn)[1].packets, 1 + 2 + 1 + 1 + 3 + 6u);
}

TEST(Filter, ALimitLetsItsRateThrough) {
  for (const int64_t rate : {int64_t{1}, int64_t{3}, int64_t{997}, FilterLimit::kMaxRate}) {
    FilterLimit limit(rate, /*burst=*/2);
    const Nanos step_ns = kSecond / (4 * rate);  // four packets where one may pass
    int64_t taken = 0;
    for (int64_t i = 0; i < 4 * 1000; ++i) taken += limit.Take(kSecond + i * step_ns);
    EXPECT_NEAR(static_cast<double>(taken), 1000, 3) << rate;
  }
}

TEST(Filter, TheNumberOfRulesIsBounded) {
  Filter filter;
  for (size_t i = 0; i < Filter::kMaxRules; ++i) {
    ASSERT_TRUE(filter.Add({.hook = static_cast<Hook>(i % kHooks), .protocol = 17, .verdict = kDrop}));
  }
  EXPECT_FALSE(filter.Add({}));
}

TEST(Filter, MatchingAllocatesNothing) {
  if (!testing::MallocCounted()) GTEST_SKIP() << "a sanitizer's build has a malloc of its own";
  Filter filter;
  const uint64_t empty = testing::MallocCount();
  for (size_t i = 0; i < Filter::kMaxRules; ++i) {
    ASSERT_TRUE(filter.Add({.protocol = 6,
                            .source = Prefix("10.0.0.0/8"),
                            .destination_port = {{80, 80}},
                            .in_interface = "an-interface-15",
                            .limit = FilterLimit(100, 5),
                            .verdict = kDrop,
                            .text = "a text that is longer than a string keeps in place"}));
  }
  const FilterKey key = Ssh();
  const uint64_t before = testing::MallocCount();
  ASSERT_GT(before, empty) << "the count counts nothing";
  EXPECT_EQ(filter.Match(Hook::kLocalIn, key, 60, kSecond), kAccept);
  EXPECT_EQ(testing::MallocCount(), before);
}

}  // namespace
}  // namespace weir::netstack
