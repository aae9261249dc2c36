// IPv6 address autoconfiguration (RFC 4862) with optimistic addresses (RFC 4429) and opaque identifiers (RFC 7217).
#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "netstack/ip/interface.h"
#include "tests/support/inet_test_host.h"
#include "tests/support/ndp_packets.h"

namespace weir::testing_support {
namespace {

using netstack::Addrconf;
using netstack::AddressState;
using netstack::DropReason;
using netstack::Interface;
using netstack::InterfaceAddress;

const IpAddress kRouter = Ip6("fe80::ffff"), kAllNodes = Ip6("ff02::1"), kStatic = Ip6("fd00::1");
const IpPrefix kPrefix{Ip6("2001:db8:1::"), 64}, kOtherPrefix{Ip6("2001:db8:2::"), 64};
constexpr runtime::SipKey kSecret{1, 2};
constexpr Nanos kHour = 3600 * kSecond;

// Told of what happens to addresses, as the host is.
struct Listener : netstack::AddressListener {
  void AddressAdded(Interface&, const IpAddress&) override {}
  void AddressRemoved(Interface&, const IpAddress&) override {}
  void AddressDuplicate(Interface&, const IpAddress& ip) override { duplicates.push_back(ip); }
  std::vector<IpAddress> duplicates;
};

struct AddrconfTest : ::testing::Test {
  Listener listener;
  InetTestHost host;

  AddrconfTest() { host.inet().ip.address_listener = &listener; }
  ~AddrconfTest() override { host.inet().ip.address_listener = nullptr; }

  Interface& interface() { return host.interface(); }
  void Start(const runtime::SipKey& secret = kSecret) {
    interface().addrconf.Start(secret, host.now());
    interface().routers.Start(host.now());
    host.Turn();
  }
  // Link-local address there, questions asked.
  void StartAndSettle() {
    Start();
    host.Advance(20 * kSecond);
    host.Sent();
  }
  void Advertise(const AdvertisedPrefix& prefix) {
    host.Receive(Ndp({kRouter, kAllNodes}, RouterAdvert({.prefixes = {prefix}})));
    EXPECT_EQ(DropReason::kConsumed, host.last());
  }
  // Of the prefix; nullptr: none.
  const InterfaceAddress* Of(const IpPrefix& prefix) {
    for (const InterfaceAddress& address : interface().addresses()) {
      if (prefix.Contains(address.prefix.ip)) return &address;
    }
    return nullptr;
  }
  IpAddress LinkLocal() { return interface().LinkLocal()->prefix.ip; }
  Bytes Probe(const IpAddress& ip) {
    return Ndp({IpAddress(), netstack::SolicitedNodeGroup(ip)}, NeighborSolicit(ip));
  }
  Bytes Claim(const IpAddress& ip) { return Ndp({ip, kAllNodes}, NeighborAdvert("O", ip, kPeerMac)); }
};

TEST_F(AddrconfTest, AStaticAddressIsTriedAndUsedMeanwhile) {  // RFC 4862 §5.4, RFC 4429 §3.3
  EXPECT_TRUE(interface().addrconf.Add({kStatic, 64}, host.now()));
  host.Turn();
  EXPECT_EQ("ns fd00::1, :: > ff02::1:ff00:1", SentNdp(host));
  EXPECT_TRUE(interface().groups.Contains(Ip6("ff02::1:ff00:1")));  // RFC 4862 §5.4.2
  EXPECT_EQ(AddressState::kOptimistic, interface().FindAddress(kStatic)->state);
  host.Receive(Ndp({Ip6("fd00::2"), kStatic}, NeighborSolicit(kStatic, kPeerMac)));
  EXPECT_EQ("na S fd00::1 is-at 020000000001, fd00::1 > fd00::2", SentNdp(host));
  host.Advance(1010 * kMillisecond);  // RFC 4862 §5.1: DupAddrDetectTransmits 1, then RetransTimer
  EXPECT_EQ("", SentNdp(host));
  EXPECT_EQ(AddressState::kPreferred, interface().FindAddress(kStatic)->state);
  EXPECT_EQ(0u, host.timers().armed() - 1) << "but for the neighbour's";
  EXPECT_FALSE(interface().addrconf.Add({kStatic, 64}, host.now())) << "twice";
}

// RFC 4862 §5.4.3, §5.4.4; RFC 4429 §3.3: who has it, or wants it as well.
TEST_F(AddrconfTest, AConflictTakesAStaticAddressAway) {
  for (const bool probe : {false, true}) {
    listener.duplicates.clear();
    EXPECT_TRUE(interface().addrconf.Add({kStatic, 64}, host.now()));
    host.Receive(probe ? Probe(kStatic) : Claim(kStatic));
    EXPECT_EQ(DropReason::kNdpConflict, host.last());
    EXPECT_EQ(nullptr, interface().FindAddress(kStatic));
    EXPECT_EQ(std::vector{kStatic}, listener.duplicates);
    EXPECT_FALSE(interface().groups.Contains(Ip6("ff02::1:ff00:1")));
    EXPECT_EQ(nullptr, host.inet().ip.routes.Lookup(Ip6("fd00::7")));
    EXPECT_EQ("ns fd00::1, :: > ff02::1:ff00:1", SentNdp(host)) << "no answer to it";
    host.Advance(5 * kSecond);
    EXPECT_EQ("", SentNdp(host));
  }
}

// RFC 7527 §4: a probe that the link sends back is known by its nonce; one of another host has another, or none.
TEST_F(AddrconfTest, AProbeThatComesBack) {
  std::set<Bytes> nonces;
  for (const std::optional<Bytes>& other : {std::optional<Bytes>(), {Probe(kStatic)},
                                            {Ndp({IpAddress(), netstack::SolicitedNodeGroup(kStatic)},
                                                 NeighborSolicit(kStatic, std::nullopt, /*nonce=*/7))}}) {
    EXPECT_TRUE(interface().addrconf.Add({kStatic, 64}, host.now()));
    host.Turn();
    const Bytes probe = host.TakeSent().frame;
    ASSERT_EQ(14u + 40 + 32, probe.size());
    EXPECT_EQ(0x0e01, Get16(probe, 14 + 40 + 24)) << "RFC 3971 §5.3.2: a nonce of six bytes";
    EXPECT_TRUE(nonces.insert(Bytes(probe.end() - 6, probe.end())).second) << "twice the same";
    for (int i = 0; i < 3; ++i) {
      host.Receive(probe);
      EXPECT_EQ(DropReason::kNdpLoopedBack, host.last());
    }
    EXPECT_NE(nullptr, interface().FindAddress(kStatic));
    if (other.has_value()) {
      host.Receive(*other);
      EXPECT_EQ(DropReason::kNdpConflict, host.last());
      EXPECT_EQ(nullptr, interface().FindAddress(kStatic));
      continue;
    }
    host.Advance(1100 * kMillisecond);
    EXPECT_EQ(AddressState::kPreferred, interface().FindAddress(kStatic)->state);
    EXPECT_TRUE(listener.duplicates.empty());
    host.inet().ip.RemoveAddress(interface(), kStatic);
  }
  EXPECT_EQ("", SentNdp(host));
}

TEST_F(AddrconfTest, AnAddressThatIsOursStays) {  // RFC 4862 §5.4.4: what is assigned is not given up
  EXPECT_TRUE(interface().addrconf.Add({kStatic, 64}, host.now()));
  host.Advance(2 * kSecond);
  host.Sent();
  host.Receive(Claim(kStatic));
  EXPECT_EQ(DropReason::kNdpConflict, host.last());
  host.Receive(Probe(kStatic));
  EXPECT_EQ("na O fd00::1 is-at 020000000001, fd00::1 > ff02::1", SentNdp(host));
  EXPECT_NE(nullptr, interface().FindAddress(kStatic));
  EXPECT_TRUE(listener.duplicates.empty());
}

TEST_F(AddrconfTest, LinkLocal) {  // RFC 4862 §5.3, RFC 7217
  Start();
  const IpAddress first = LinkLocal();
  EXPECT_EQ(Ip6("fe80::"), first.Masked(64));
  EXPECT_NE(Ip6("fe80::ff:fe00:1"), first) << "the kernel's, of the MAC";
  EXPECT_EQ(AddressState::kOptimistic, interface().LinkLocal()->state);
  host.Advance(1100 * kMillisecond);
  EXPECT_EQ(AddressState::kPreferred, interface().LinkLocal()->state);
  // RFC 7217 §4: the same at each start, and another with another secret.
  InetTestHost again, elsewhere;
  again.interface().addrconf.Start(kSecret, again.now());
  elsewhere.interface().addrconf.Start({1, 3}, elsewhere.now());
  EXPECT_EQ(first, again.interface().LinkLocal()->prefix.ip);
  EXPECT_NE(first, elsewhere.interface().LinkLocal()->prefix.ip);
}

TEST_F(AddrconfTest, ALinkLocalAddressOfTheUsersIsEnough) {
  EXPECT_TRUE(interface().addrconf.Add({Ip6("fe80::1"), 64}, host.now()));
  Start();
  EXPECT_EQ(Ip6("fe80::1"), LinkLocal());
  EXPECT_EQ(2u, interface().addresses().size());
}

TEST_F(AddrconfTest, AnIdentifierThatIsTakenIsReplaced) {  // RFC 7217 §6
  Start();
  std::set<IpAddress> tried;
  for (int i = 0; i <= Addrconf::kIdGenRetries; ++i) {
    ASSERT_NE(nullptr, interface().LinkLocal());
    EXPECT_TRUE(tried.insert(LinkLocal()).second);
    host.Receive(Claim(LinkLocal()));
  }
  EXPECT_EQ(nullptr, interface().LinkLocal()) << "given up";
  EXPECT_EQ(size_t{1} + Addrconf::kIdGenRetries, listener.duplicates.size());
}

TEST_F(AddrconfTest, AnAddressForAPrefix) {  // RFC 4862 §5.5.3 (d)
  StartAndSettle();
  Advertise({kPrefix});
  const InterfaceAddress* address = Of(kPrefix);
  ASSERT_NE(nullptr, address);
  EXPECT_EQ(AddressState::kOptimistic, address->state);
  EXPECT_NE(LinkLocal().bytes()[15], address->prefix.ip.bytes()[15]) << "RFC 7217 §4: another in each network";
  const std::string ip = address->prefix.ip.ToString();
  EXPECT_EQ("ns " + ip + ", :: > " + netstack::SolicitedNodeGroup(address->prefix.ip).ToString(), SentNdp(host));
  host.Advance(1100 * kMillisecond);
  EXPECT_EQ(AddressState::kPreferred, Of(kPrefix)->state);
  // RFC 6724 §5 rule 2: it is the source for what is far away, and the link-local one for the link.
  EXPECT_EQ(ip, interface().SelectSource(Ip6("2001:db8:99::1"))->prefix.ip.ToString());
  EXPECT_EQ(LinkLocal(), interface().SelectSource(kRouter)->prefix.ip);
  Advertise({kPrefix});  // again: nothing new
  EXPECT_EQ(3u, interface().addresses().size());
  EXPECT_EQ("", SentNdp(host));
}

// RFC 5942 §4: that a prefix gives addresses does not say that it is on the link.
TEST_F(AddrconfTest, OnLinkIsAnotherFlag) {
  StartAndSettle();
  Advertise({kPrefix, "A"});
  EXPECT_NE(nullptr, Of(kPrefix));
  EXPECT_FALSE(host.inet().ip.routes.Lookup(Ip6("2001:db8:1::7"))->gateway.is_any());
  Advertise({kPrefix, "LA"});
  EXPECT_TRUE(host.inet().ip.routes.Lookup(Ip6("2001:db8:1::7"))->gateway.is_any());
  EXPECT_FALSE(interface().OnLink(Ip6("2001:db8:1::7"))) << "of our addresses' own networks";
}

TEST_F(AddrconfTest, PrefixesThatGiveNoAddress) {  // RFC 4862 §5.5.3
  StartAndSettle();
  const std::pair<const char*, AdvertisedPrefix> cases[] = {
      {"(a) not autonomous", {kPrefix, "L"}},
      {"(b) link-local", {{Ip6("fe80::"), 64}}},
      {"(c) preferred longer than valid", {kPrefix, "LA", 100, 101}},
      {"(d) no lifetime", {kPrefix, "LA", 0, 0}},
      {"(d) 63 bits", {{Ip6("2001:db8:2::"), 63}}},
      {"(d) 65 bits", {{Ip6("2001:db8:2::"), 65}}},
      {"multicast", {{Ip6("ff0e:1::"), 64}}},
      {"IPv4", {{Ip6("::ffff:0:0"), 96}}},
      {"IPv4, of some network", {{Ip6("::ffff:a00:0"), 104}}},
  };
  for (const auto& [name, prefix] : cases) {
    SCOPED_TRACE(name);
    Advertise(prefix);
    EXPECT_EQ(2u, interface().addresses().size());  // 10.0.0.1 and the link-local one
  }
}

TEST_F(AddrconfTest, LifetimesEnd) {  // RFC 4862 §5.5.4
  StartAndSettle();
  Advertise({kPrefix, "LA", 1000, 100});
  host.Advance(99 * kSecond);
  EXPECT_EQ(AddressState::kPreferred, Of(kPrefix)->state);
  host.Advance(2 * kSecond);
  EXPECT_EQ(AddressState::kDeprecated, Of(kPrefix)->state);
  host.Advance(898 * kSecond);
  EXPECT_NE(nullptr, Of(kPrefix));
  host.Advance(2 * kSecond);
  EXPECT_EQ(nullptr, Of(kPrefix));
  EXPECT_TRUE(listener.duplicates.empty());
}

TEST_F(AddrconfTest, InfiniteLifetimes) {  // RFC 4861 §4.6.2
  StartAndSettle();
  Advertise({kPrefix, "LA", 0xffffffff, 0xffffffff});
  host.Receive(Ndp({kRouter, kAllNodes}, RouterAdvert({.lifetime_s = 0})));
  host.Advance(10000 * kHour);
  EXPECT_EQ(AddressState::kPreferred, Of(kPrefix)->state);
}

// RFC 4862 §5.5.3 (e): the two-hour rule.
TEST_F(AddrconfTest, ForgedLifetimesCannotEndAnAddressAtOnce) {
  struct Case {
    const char* name;
    uint32_t remaining_s, advertised_s, valid_s;
  };
  const Case cases[] = {
      {"1: more than two hours", 90000, 8000, 8000},
      {"1: longer than what is left", 1000, 1001, 1001},
      {"2: two hours or less are left: ignored", 7000, 10, 7000},
      {"2: two hours or less are left, 0 advertised", 7000, 0, 7000},
      {"3: two hours", 90000, 10, 7200},
      {"3: two hours, 0 advertised", 90000, 0, 7200},
      {"1: infinity", 1000, 0xffffffff, 0xffffffff},
      {"3: from infinity", 0xffffffff, 10, 7200},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.name);
    InetTestHost own;
    own.interface().addrconf.Start(kSecret, own.now());
    own.interface().routers.Start(own.now());
    const auto advertise = [&](uint32_t valid_s) {
      own.Receive(Ndp({kRouter, kAllNodes}, RouterAdvert({.prefixes = {{kPrefix, "LA", valid_s, 0}}})));
    };
    advertise(c.remaining_s);
    advertise(c.advertised_s);
    const InterfaceAddress& address = own.interface().addresses().back();
    ASSERT_TRUE(kPrefix.Contains(address.prefix.ip));
    EXPECT_EQ(c.valid_s == 0xffffffff ? kNever : own.now() + c.valid_s * kSecond, address.valid_until_ns);
    own.Sent();
  }
}

TEST_F(AddrconfTest, Renumbering) {  // RFC 4862 §4.1, §5.5.3 (e): the old prefix is deprecated, the new one preferred
  StartAndSettle();
  Advertise({kPrefix});
  host.Advance(2 * kSecond);
  const IpAddress old = Of(kPrefix)->prefix.ip;
  EXPECT_EQ(old, interface().SelectSource(Ip6("2001:db8:1::99"))->prefix.ip);
  host.Receive(Ndp({kRouter, kAllNodes}, RouterAdvert({.prefixes = {{kPrefix, "LA", 3600, 0}, {kOtherPrefix}}})));
  host.Advance(2 * kSecond);
  EXPECT_EQ(AddressState::kDeprecated, Of(kPrefix)->state);
  EXPECT_EQ(Of(kOtherPrefix)->prefix.ip, interface().SelectSource(Ip6("2001:db8:1::99"))->prefix.ip);
  EXPECT_NE(nullptr, interface().FindAddress(old)) << "who knows it may go on using it";
  host.Advance(2 * kHour);
  EXPECT_EQ(nullptr, Of(kPrefix));
}

TEST_F(AddrconfTest, ManyPrefixesLeaveRoomForTheUsers) {
  StartAndSettle();
  for (uint32_t i = 0; i < 100; ++i) {
    std::array<uint8_t, 16> network = kPrefix.ip.bytes();
    network[7] = static_cast<uint8_t>(i);
    Advertise({{IpAddress::V6(network), 64}});
  }
  EXPECT_EQ(size_t{1} + Addrconf::kMaxGenerated, interface().addresses().size());
  EXPECT_GT(Interface::kMaxAddresses, interface().addresses().size());
  EXPECT_LT(0u, host.counted(DropReason::kAutoconfTableFull));
  EXPECT_TRUE(interface().addrconf.Add({kStatic, 64}, host.now()));
  host.Sent();
}

// RFC 4429 §3.2: with nothing but optimistic addresses nobody is asked; what is to be sent waits until one is ours.
TEST_F(AddrconfTest, AnOptimisticAddressAsksForNobody) {
  EXPECT_TRUE(interface().addrconf.Add({kStatic, 64}, host.now()));
  host.Turn();
  host.Sent();
  runtime::Frame* frame = host.pool().Alloc();
  frame->len = 8;
  EXPECT_EQ(DropReason::kConsumed, NeighbourOutput(interface(), frame, Ip6("fd00::2"), host.now()));
  host.Turn();
  EXPECT_EQ("", SentNdp(host));
  host.Advance(1100 * kMillisecond);
  EXPECT_EQ("ns fd00::2 from 020000000001, fd00::1 > ff02::1:ff00:2", SentNdp(host));
}

}  // namespace
}  // namespace weir::testing_support
