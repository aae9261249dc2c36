// Router and prefix discovery (RFC 4861 §6.3), and what RFC 4861 §6.1.2 has discarded.
#include <gtest/gtest.h>

#include <algorithm>
#include <tuple>

#include "netstack/ip/ip_output.h"
#include "tests/support/inet_test_host.h"
#include "tests/support/ndp_packets.h"

namespace weir::testing_support {
namespace {

using netstack::DropReason;
using netstack::Interface;
using netstack::NeighbourState;
using netstack::NeighbourTable;
using netstack::RouterDiscovery;

const IpAddress kRouter = Ip6("fe80::ffff"), kSecond6 = Ip6("fe80::fffe"), kAllNodes = Ip6("ff02::1");
const IpAddress kOurs = Ip6("fe80::1"), kFar = Ip6("2001:db8:99::1");
const IpPrefix kPrefix{Ip6("2001:db8:1::"), 64};
constexpr char kRs[] = "rs from 020000000001, fe80::1 > ff02::2";

struct RouterDiscoveryTest : ::testing::Test {
  InetTestHost host{{.ip6 = IpPrefix{kOurs, 64}}};

  Interface& interface() { return host.interface(); }
  RouterDiscovery& routers() { return host.interface().routers; }
  // Looks for routers; the questions are not looked at.
  void Start() {
    routers().Start(host.now());
    host.Advance(20 * kSecond);
    host.Sent();
  }
  void Advertise(const RouterAdvertSpec& spec, const IpAddress& from = kRouter) {
    host.Receive(Ndp({from, kAllNodes}, RouterAdvert(spec)));
    EXPECT_EQ(DropReason::kConsumed, host.last());
  }
  // The next hop to `destination`; any: there is no route.
  IpAddress Hop(const IpAddress& destination = kFar) { return RouteLookup(host.inet().ip, destination).ip; }
};

TEST_F(RouterDiscoveryTest, ThreeQuestions) {  // RFC 4861 §6.3.7, §10
  const Nanos start = host.now();
  routers().Start(start);
  host.Advance(30 * kSecond);
  std::vector<Departure> questions;
  while (host.has_sent()) {
    Departure sent = host.TakeSent();
    // The others are reports of groups (RFC 3810 §5.2), behind a hop-by-hop header.
    if (sent.frame[14 + 6] == std::byte{58} && sent.frame[14 + 40] == std::byte{133}) questions.push_back(sent);
  }
  ASSERT_EQ(static_cast<size_t>(RouterDiscovery::kMaxRtrSolicitations), questions.size());
  Nanos last = 0;
  for (size_t i = 0; i < questions.size(); ++i) {
    const Departure& question = questions[i];
    if (i == 0) EXPECT_LE(question.at_ns - start, 1010 * kMillisecond) << "MAX_RTR_SOLICITATION_DELAY";
    if (i > 0) EXPECT_NEAR(4.0, static_cast<double>(question.at_ns - last) / 1e9, 0.001);
    last = question.at_ns;
  }
}

TEST_F(RouterDiscoveryTest, WhatAQuestionSays) {  // RFC 4861 §4.1; RFC 4429 §3.2 without a MAC
  for (const bool optimistic : {false, true}) {
    InetTestHost own{{.ip6 = IpPrefix{kOurs, 64}}};
    if (optimistic) own.interface().FindAddress(kOurs)->state = netstack::AddressState::kOptimistic;
    own.interface().routers.Start(own.now());
    own.Advance(1100 * kMillisecond);
    EXPECT_EQ(optimistic ? "rs, fe80::1 > ff02::2" : kRs, SentNdp(own));
  }
}

TEST_F(RouterDiscoveryTest, AnAnswerEndsTheQuestions) {  // RFC 4861 §6.3.7
  routers().Start(host.now());
  host.Advance(1100 * kMillisecond);
  EXPECT_EQ(kRs, SentNdp(host));
  Advertise({.lifetime_s = 0});  // who is no default router does not count
  host.Advance(4 * kSecond);
  EXPECT_EQ(kRs, SentNdp(host));
  Advertise({});
  host.Advance(30 * kSecond);
  EXPECT_EQ("", SentNdp(host));
}

TEST_F(RouterDiscoveryTest, NobodyIsBelievedUnasked) {
  host.Receive(Ndp({kRouter, kAllNodes}, RouterAdvert({.hop_limit = 3, .prefixes = {{kPrefix}}})));
  EXPECT_EQ(DropReason::kNdpRouterIgnored, host.last());
  EXPECT_EQ(64, interface().hop_limit);
  EXPECT_EQ(IpAddress(), Hop());
}

TEST_F(RouterDiscoveryTest, WhatIsDiscarded) {  // RFC 4861 §6.1.2
  Start();
  const Bytes advert = RouterAdvert({.source_mac = kPeerMac});
  const auto with = [&](size_t at, uint8_t value) {
    Bytes message = advert;
    message[at] = std::byte{value};
    return message;
  };
  const std::tuple<const char*, NdpSpec, Bytes> cases[] = {
      {"a global source", {kFar, kAllNodes}, advert},
      {"no source", {IpAddress(), kAllNodes}, advert},
      {"hop limit 254", {kRouter, kAllNodes, 254}, advert},
      {"code 1", {kRouter, kAllNodes}, with(1, 1)},
      {"15 bytes", {kRouter, kAllNodes}, Bytes(advert.begin(), advert.begin() + 15)},
      {"an option of length 0", {kRouter, kAllNodes}, with(17, 0)},
      {"an option beyond the end", {kRouter, kAllNodes}, with(17, 2)},
  };
  for (const auto& [name, packet, message] : cases) {
    SCOPED_TRACE(name);
    host.Receive(Ndp(packet, message));
    EXPECT_EQ(DropReason::kNdpMalformed, host.last());
    EXPECT_TRUE(routers().routers().empty());
  }
}

TEST_F(RouterDiscoveryTest, ADefaultRouteForItsLifetime) {  // RFC 4861 §6.3.4
  Start();
  EXPECT_EQ(IpAddress(), Hop());
  Advertise({.lifetime_s = 100, .source_mac = kPeerMac});
  EXPECT_EQ(kRouter, Hop());
  const netstack::Neighbour* neighbour = interface().neighbours.Find(kRouter);
  ASSERT_NE(nullptr, neighbour);
  EXPECT_EQ(kPeerMac, neighbour->mac.bytes);
  EXPECT_EQ(NeighbourState::kStale, neighbour->state);
  EXPECT_TRUE(neighbour->is_router);
  host.Advance(60 * kSecond);
  Advertise({.lifetime_s = 100});
  host.Advance(99 * kSecond);
  EXPECT_EQ(kRouter, Hop());
  host.Advance(2 * kSecond);
  EXPECT_EQ(IpAddress(), Hop());
}

TEST_F(RouterDiscoveryTest, ALifetimeOfZeroEndsIt) {  // RFC 4861 §6.3.4
  Start();
  Advertise({});
  Advertise({.lifetime_s = 0});
  EXPECT_EQ(IpAddress(), Hop());
  EXPECT_TRUE(routers().routers().empty());
}

TEST_F(RouterDiscoveryTest, WhatTheUserSetComesFirst) {
  Start();
  const netstack::Route mine{.prefix = {IpAddress(), 0}, .out = &interface(), .gateway = kSecond6};
  EXPECT_TRUE(host.inet().ip.routes.Add(mine));
  Advertise({});
  EXPECT_EQ(kSecond6, Hop());
  Advertise({}, kSecond6);  // even when a router says the same, and takes it back
  Advertise({.lifetime_s = 0}, kSecond6);
  EXPECT_EQ(kSecond6, Hop());
  host.inet().ip.routes.Remove(mine);
  EXPECT_EQ(kRouter, Hop());
}

TEST_F(RouterDiscoveryTest, TheNextRouterWhenOneIsSilent) {  // RFC 4861 §6.3.6
  Start();
  Advertise({.source_mac = kPeerMac});
  Advertise({.source_mac = Mac{2, 0, 0, 0, 0, 3}}, kSecond6);
  EXPECT_EQ(kRouter, Hop());
  const auto send = [&] {
    runtime::Frame* frame = host.pool().Alloc();
    frame->len = 8;
    EXPECT_EQ(DropReason::kConsumed,
              IpOutput(host.inet().ip, frame, {.source = kOurs, .destination = kFar, .protocol = 17}, host.now()));
  };
  send();
  host.Advance(9 * kSecond);  // DELAY 5 s, three probes a second apart, nobody answers
  EXPECT_EQ(kSecond6, Hop());
  EXPECT_EQ(2u, routers().routers().size()) << "it may come back";
  send();
  host.Advance(9 * kSecond);
  EXPECT_EQ(kRouter, Hop()) << "round robin";
  host.Sent();
}

TEST_F(RouterDiscoveryTest, ARouterThatIsOneNoMore) {  // RFC 4861 §7.2.5
  Start();
  Advertise({.source_mac = kPeerMac});
  Advertise({}, kSecond6);
  host.Receive(Ndp({kRouter, kAllNodes}, NeighborAdvert("O", kRouter, kPeerMac)));
  EXPECT_EQ(kSecond6, Hop());
  EXPECT_EQ(1u, routers().routers().size());
}

TEST_F(RouterDiscoveryTest, RemovingAnyOfThem) {
  for (size_t gone = 0; gone < 3; ++gone) {
    InetTestHost own{{.ip6 = IpPrefix{kOurs, 64}}};
    own.interface().routers.Start(own.now());
    const IpAddress all[] = {Ip6("fe80::a"), Ip6("fe80::b"), Ip6("fe80::c")};
    for (const IpAddress& ip : all) own.Receive(Ndp({ip, kAllNodes}, RouterAdvert({})));
    own.interface().routers.Unreachable(all[0]);
    EXPECT_EQ(all[1], RouteLookup(own.inet().ip, kFar).ip);
    own.interface().routers.Remove(all[gone]);
    EXPECT_EQ(gone == 1 ? all[2] : all[1], RouteLookup(own.inet().ip, kFar).ip);
    for (const IpAddress& ip : all) own.interface().routers.Remove(ip);
    EXPECT_EQ(IpAddress(), RouteLookup(own.inet().ip, kFar).ip);
  }
}

TEST_F(RouterDiscoveryTest, PrefixesOfTheLink) {  // RFC 4861 §6.3.4, §6.3.5
  Start();
  Advertise({.prefixes = {{kPrefix, "L", 100, 100}}});
  const IpAddress near = Ip6("2001:db8:1::7");
  EXPECT_EQ(near, Hop(near));
  EXPECT_EQ(1u, interface().addresses().size() - 1) << "not autonomous: no address";
  host.Advance(101 * kSecond);
  EXPECT_EQ(kRouter, Hop(near));
  Advertise({.prefixes = {{kPrefix, "L"}}});
  EXPECT_EQ(near, Hop(near));
  Advertise({.prefixes = {{kPrefix, "L", 0, 0}}});
  EXPECT_EQ(kRouter, Hop(near));
  Advertise({.prefixes = {{kPrefix, ""}}});
  EXPECT_EQ(kRouter, Hop(near)) << "without the flag it says nothing";
}

// The network of an address of ours stays on the link whatever routers say, and the other way round.
TEST_F(RouterDiscoveryTest, APrefixThatIsOursAsWell) {
  Start();
  const IpAddress ours = Ip6("2001:db8:1::1"), near = Ip6("2001:db8:1::7");
  EXPECT_TRUE(host.inet().ip.AddAddress(interface(), {{ours, 64}}));
  Advertise({.prefixes = {{kPrefix, "L", 100, 100}}});
  host.Advance(101 * kSecond);
  EXPECT_EQ(near, Hop(near));
  Advertise({.prefixes = {{kPrefix, "L", 100, 100}}});
  host.inet().ip.RemoveAddress(interface(), ours);
  EXPECT_EQ(near, Hop(near));
  host.Advance(101 * kSecond);
  EXPECT_EQ(kRouter, Hop(near));
}

TEST_F(RouterDiscoveryTest, Parameters) {  // RFC 4861 §6.3.4
  Start();
  Advertise({.hop_limit = 17, .reachable_ms = 10000, .retrans_ms = 2000, .mtu = 1400});
  EXPECT_EQ(17, interface().hop_limit);
  EXPECT_EQ(1400u, interface().mtu(false));
  EXPECT_EQ(1500u, interface().mtu(true)) << "IPv6 only";
  EXPECT_EQ(2 * kSecond, interface().retrans_timer(false));
  EXPECT_EQ(kSecond, interface().retrans_timer(true));
  EXPECT_LE(5 * kSecond, interface().reachable_time(false));  // §6.3.2: 0.5 to 1.5 of the base
  EXPECT_GE(15 * kSecond, interface().reachable_time(false));
  const Nanos drawn = interface().reachable_time(false);
  Advertise({.hop_limit = 0, .reachable_ms = 10000});  // 0: not specified
  EXPECT_EQ(17, interface().hop_limit);
  EXPECT_EQ(drawn, interface().reachable_time(false));
  EXPECT_EQ(2 * kSecond, interface().retrans_timer(false));
}

TEST_F(RouterDiscoveryTest, ImpossibleParameters) {
  Start();
  for (const uint32_t mtu : {0u, 1279u, 1501u, 0xffffffffu}) {  // RFC 4861 §6.3.4
    Advertise({.mtu = mtu});
    EXPECT_EQ(1500u, interface().mtu(false)) << mtu;
  }
  Advertise({.mtu = 1280});
  EXPECT_EQ(1280u, interface().mtu(false));
  Advertise({.reachable_ms = 1, .retrans_ms = 1});
  EXPECT_LE(10 * kMillisecond, interface().retrans_timer(false));
  EXPECT_LT(0, interface().reachable_time(false));
  Advertise({.reachable_ms = 0xffffffff, .retrans_ms = 0xffffffff});
  EXPECT_GE(10 * kSecond, interface().retrans_timer(false));
  EXPECT_GE(5400 * kSecond, interface().reachable_time(false));
}

TEST_F(RouterDiscoveryTest, TablesAreBounded) {
  Start();
  for (uint32_t i = 0; i < 300; ++i) {
    std::array<uint8_t, 16> router = kRouter.bytes(), network = kPrefix.ip.bytes();
    router[13] = network[6] = static_cast<uint8_t>(i >> 8);
    router[14] = network[7] = static_cast<uint8_t>(i);
    Advertise({.prefixes = {{{IpAddress::V6(network), 64}, "L"}}}, IpAddress::V6(router));
  }
  EXPECT_EQ(RouterDiscovery::kMaxRouters, routers().routers().size());
  EXPECT_EQ(RouterDiscovery::kMaxPrefixes, routers().prefixes().size());
  EXPECT_GT(40u, host.inet().ip.routes.routes().size());
  EXPECT_EQ(2 * 300 - RouterDiscovery::kMaxRouters - RouterDiscovery::kMaxPrefixes,
            host.counted(DropReason::kAutoconfTableFull));
}

}  // namespace
}  // namespace weir::testing_support
