// An interface under DHCP, in virtual time: what goes over the link, what the interface has, and for how long.
#include "netstack/udp/dhcp_interface.h"

#include <gtest/gtest.h>

#include "netstack/ip/ip_output.h"
#include "tests/netstack/udp/dhcp_trace.h"
#include "tests/support/inet_test_host.h"

namespace weir::testing_support {
namespace {

using netstack::AddressListener;
using netstack::DhcpInterface;
using netstack::DhcpState;
using netstack::DropReason;
using netstack::Interface;

const IpAddress kLeased = IpAddress::V4(kOurs), kServerIp = IpAddress::V4(kServer), kFar = IpAddress::V4(0x08080808);
constexpr char kToAll[] = "udp 0.0.0.0:68 > 255.255.255.255:67";

struct DhcpInterfaceTest : ::testing::Test, AddressListener {
  InetTestHost host;
  std::optional<DhcpInterface> dhcp;
  std::vector<IpAddress> duplicates;
  uint32_t xid = 0;  // of the last message

  DhcpInterfaceTest() {
    host.inet().ip.RemoveAddress(interface(), IpAddress::V4(kHostIp));
    host.inet().ip.address_listener = this;
    dhcp.emplace(interface(), "weir");
  }
  ~DhcpInterfaceTest() override {
    dhcp.reset();
    host.inet().ip.address_listener = nullptr;
  }
  void AddressAdded(Interface&, const IpAddress&) override {}
  void AddressRemoved(Interface&, const IpAddress&) override {}
  void AddressDuplicate(Interface&, const IpAddress& ip) override { duplicates.push_back(ip); }

  Interface& interface() { return host.interface(); }
  bool Has(const IpAddress& ip) { return interface().FindAddress(ip) != nullptr; }
  // What was sent, a line each, sizes left out; remembers the transaction.
  std::string Sent() {
    std::string all;
    while (host.has_sent()) {
      const Packet packet = Parse(host.TakeSent().frame);
      if (packet.protocol == 17) xid = Get32(packet.payload_bytes(), 4);
      const std::string text = Describe(packet);
      absl::StrAppend(&all, text.substr(0, packet.protocol == 17 ? text.rfind(' ', text.rfind(' ') - 1) : text.size()),
                      "\n");
    }
    return all;
  }
  void Answers(const Answer& answer) {
    dhcp->OnMessage(MakeAnswer(answer, xid), host.now());
    host.Turn();
  }
  // Up to where the address is probed.
  void Acknowledged(const Answer& ack = {.type = kAck}) {
    dhcp->Start(host.now());
    host.Turn();
    Sent();
    Answers({});
    Sent();
    Answers(ack);
  }
  void Bind(const Answer& ack = {.type = kAck}) {
    Acknowledged(ack);
    host.Advance(10 * kSecond);
    ASSERT_EQ(DhcpState::kBound, dhcp->client().state());
    Sent();
  }
  // Half of the lease is over, and the server, whose MAC is known, was asked to renew it (RFC 2131 §4.4.5).
  void Renewing() {
    host.Receive(Ethernet({.type = 0x0806}, Arp({.sender_ip = kServer, .target_ip = kOurs})));
    Sent();
    host.Advance(1792 * kSecond);
    EXPECT_EQ("udp 10.0.0.100:68 > 10.0.0.1:67\n", Sent());
    EXPECT_EQ(DhcpState::kRenewing, dhcp->client().state());
  }
};

TEST_F(DhcpInterfaceTest, FromNothingToAnAddress) {
  dhcp->Start(host.now());
  host.Turn();
  EXPECT_EQ(std::string(kToAll) + "\n", Sent());  // RFC 2131 §4.1: from 0.0.0.0, to all
  Answers({});
  EXPECT_EQ(std::string(kToAll) + "\n", Sent());
  Answers({.type = kAck, .options = {{3, Be32(kServer)}}});
  EXPECT_FALSE(Has(kLeased)) << "not before it was probed";
  const Nanos acknowledged = host.now();
  host.Advance(10 * kSecond);
  // RFC 5227 §2.1.1, §2.3: PROBE_NUM 3, then ANNOUNCE_NUM 2.
  const std::string probe = "arp who-has 10.0.0.100 tell 0.0.0.0\n";
  const std::string announce = "arp who-has 10.0.0.100 tell 10.0.0.100\n";
  std::vector<Nanos> times;
  for (const std::string& expected : {probe, probe, probe, announce, announce}) {
    ASSERT_TRUE(host.has_sent());
    const Departure sent = host.TakeSent();
    EXPECT_EQ(expected, Describe(Parse(sent.frame)) + "\n");
    times.push_back(sent.at_ns);
  }
  EXPECT_FALSE(host.has_sent());
  EXPECT_GE(1010 * kMillisecond, times[0] - acknowledged);  // PROBE_WAIT
  for (int i : {1, 2}) {                                    // PROBE_MIN, PROBE_MAX
    EXPECT_LE(kSecond, times[i] - times[i - 1]);
    EXPECT_GE(2010 * kMillisecond, times[i] - times[i - 1]);
  }
  EXPECT_NEAR(2.0, static_cast<double>(times[3] - times[2]) / kSecond, 0.01);  // ANNOUNCE_WAIT
  EXPECT_NEAR(2.0, static_cast<double>(times[4] - times[3]) / kSecond, 0.01);  // ANNOUNCE_INTERVAL
  ASSERT_TRUE(Has(kLeased));
  EXPECT_EQ(24, interface().FindAddress(kLeased)->prefix.length);
  EXPECT_EQ(kServerIp, RouteLookup(host.inet().ip, kFar).ip);
}

// RFC 2131 §4.1: what a server broadcasts reaches port 68 before there is an address.
TEST_F(DhcpInterfaceTest, BroadcastsAreTakenWithoutAnAddress) {
  netstack::UdpSock sock;
  ASSERT_EQ(0, host.inet().udp.Bind(sock, {IpAddress::V4(0), 68}));
  const Flow flow{kServer, 0xffffffff};
  host.Receive(Ethernet({.destination = kBroadcast},
                        Ipv4({.source = flow.source, .destination = flow.destination}, Udp(67, 68, Bytes(300), flow))));
  EXPECT_EQ(DropReason::kConsumed, host.last());
  host.inet().udp.Unbind(sock);
}

TEST_F(DhcpInterfaceTest, AnotherHostHasIt) {  // RFC 2131 §3.1.5, RFC 5227 §2.1.1
  const std::pair<const char*, ArpSpec> cases[] = {
      {"it answers", {.operation = 2, .sender_ip = kOurs, .target_mac = kHostMac, .target_ip = 0}},
      {"it probes as well", {.sender_ip = 0, .target_ip = kOurs}},
      {"it announces", {.sender_ip = kOurs, .target_ip = kOurs}},
  };
  Acknowledged();
  for (const auto& [name, arp] : cases) {
    SCOPED_TRACE(name);
    duplicates.clear();
    host.Advance(1100 * kMillisecond);
    host.Receive(Ethernet({.destination = kBroadcast, .type = 0x0806}, Arp(arp)));
    EXPECT_EQ(DropReason::kArpConflict, host.last());
    Sent();
    host.Advance(2100 * kMillisecond);
    EXPECT_EQ(std::string(kToAll) + "\n", Sent()) << "DHCPDECLINE";
    EXPECT_FALSE(Has(kLeased));
    EXPECT_EQ(std::vector{kLeased}, duplicates);
    EXPECT_EQ(DhcpState::kInit, dhcp->client().state());
    host.Advance(11 * kSecond);
    EXPECT_EQ(DhcpState::kSelecting, dhcp->client().state());
    Sent();
    Answers({});
    Sent();
    Answers({.type = kAck});
  }
  host.Advance(10 * kSecond);
  EXPECT_TRUE(Has(kLeased));
}

TEST_F(DhcpInterfaceTest, RenewedByUnicast) {  // RFC 2131 §4.4.5
  Bind({.type = kAck, .options = {{3, Be32(kServer)}}});
  Renewing();
  Answers({.type = kAck, .options = {{3, Be32(kServer)}}});
  EXPECT_EQ(DhcpState::kBound, dhcp->client().state());
  host.Advance(1000 * kSecond);
  EXPECT_TRUE(Has(kLeased));
  Sent();
}

TEST_F(DhcpInterfaceTest, WhatChangesWithARenewal) {
  Bind({.type = kAck, .options = {{3, Be32(kServer)}, {26, Hex("0514")}}});
  EXPECT_EQ(1300u, interface().mtu(true));
  EXPECT_EQ(1500u, interface().mtu(false));
  Renewing();
  Answers({.type = kAck, .mask = 0xffff0000, .options = {{3, Be32(kOtherServer)}}});
  EXPECT_EQ(1500u, interface().mtu(true));
  EXPECT_EQ(16, interface().FindAddress(kLeased)->prefix.length);
  EXPECT_EQ(IpAddress::V4(kOtherServer), RouteLookup(host.inet().ip, kFar).ip);
  EXPECT_EQ(IpAddress::V4(0x0a000505), RouteLookup(host.inet().ip, IpAddress::V4(0x0a000505)).ip);
  EXPECT_EQ(2u, host.inet().ip.routes.routes().size());
  Sent();
}

TEST_F(DhcpInterfaceTest, ClasslessRoutes) {  // RFC 3442
  const auto next_hop = [&](uint32_t ip) { return RouteLookup(host.inet().ip, IpAddress::V4(ip)); };
  const auto ack = [](const char* routes) {
    return Answer{.type = kAck, .options = {{3, Be32(kServer)}, {121, Hex(routes)}}};
  };
  Bind(ack("10ac10 0a000009 10ac11 00000000"));
  EXPECT_EQ(IpAddress::V4(kOtherServer), next_hop(0xac100001).ip);
  EXPECT_EQ(IpAddress::V4(0xac110001), next_hop(0xac110001).ip) << "on the link";
  EXPECT_EQ(nullptr, RouteLookup(host.inet().ip, kFar).out) << "the router option is ignored";
  EXPECT_EQ(3u, host.inet().ip.routes.routes().size());
  Renewing();
  Answers(ack("10ac10 0a000008 00 0a000009"));
  EXPECT_EQ(IpAddress::V4(0x0a000008), next_hop(0xac100001).ip);
  EXPECT_EQ(IpAddress::V4(kOtherServer), next_hop(0xac110001).ip);
  EXPECT_EQ(3u, host.inet().ip.routes.routes().size());
  EXPECT_EQ(0u, host.counted(DropReason::kAutoconfTableFull));
  Sent();
  host.Advance(3700 * kSecond);
  EXPECT_TRUE(host.inet().ip.routes.routes().empty());
  Sent();
}

TEST_F(DhcpInterfaceTest, MoreRoutesThanAreTaken) {
  std::string routes;
  for (int i = 0; i < 40; ++i) routes += "00 0a000001";
  Bind({.type = kAck, .options = {{121, Hex(routes)}}});
  EXPECT_EQ(1u, host.counted(DropReason::kAutoconfTableFull));
  Sent();
}

TEST_F(DhcpInterfaceTest, TheEndOfALease) {  // RFC 2131 §4.4.5: it must not be used any more
  Bind({.type = kAck, .options = {{3, Be32(kServer)}, {26, Hex("0514")}}});
  host.Advance(3700 * kSecond);
  EXPECT_FALSE(Has(kLeased));
  EXPECT_TRUE(host.inet().ip.routes.routes().empty());
  EXPECT_EQ(1500u, interface().mtu(true));
  EXPECT_EQ(DhcpState::kSelecting, dhcp->client().state());
  Sent();
}

TEST_F(DhcpInterfaceTest, RefusedByTheServer) {  // RFC 2131 §4.4.5: DHCPNAK
  Bind();
  Renewing();
  Answers({.type = kNak});
  EXPECT_FALSE(Has(kLeased));
  Sent();
}

// RFC 2131 §4.4.6: the message goes from the address that it gives back, after the server's MAC was asked for.
TEST_F(DhcpInterfaceTest, GivenBack) {
  Bind();
  dhcp->Release(host.now());
  host.Turn();
  EXPECT_EQ("arp who-has 10.0.0.1 tell 10.0.0.100\n", Sent());
  host.Receive(Ethernet({.type = 0x0806}, Arp({.operation = 2, .sender_ip = kServer, .target_mac = kHostMac,
                                               .target_ip = kOurs})));
  EXPECT_EQ("udp 10.0.0.100:68 > 10.0.0.1:67\n", Sent());
  EXPECT_EQ(DhcpState::kStopped, dhcp->client().state());
}

TEST_F(DhcpInterfaceTest, AGatewayOutsideOfThePrefix) {  // as clouds lease a /32
  Bind({.type = kAck, .mask = 0xffffffff, .options = {{3, Be32(kOtherServer)}}});
  runtime::Frame* frame = host.pool().Alloc();
  frame->len = 8;
  EXPECT_EQ(DropReason::kConsumed, IpOutput(host.inet().ip, frame,
                                            {.source = kLeased, .destination = kFar, .protocol = 17}, host.now()));
  host.Turn();
  EXPECT_EQ("arp who-has 10.0.0.9 tell 10.0.0.100\n", Sent());
  host.Receive(Ethernet({.type = 0x0806}, Arp({.operation = 2, .sender_ip = kOtherServer, .target_mac = kHostMac,
                                               .target_ip = kOurs})));
  EXPECT_EQ(DropReason::kConsumed, host.last());
  EXPECT_TRUE(host.has_sent());
  Sent();
}

TEST_F(DhcpInterfaceTest, NoRoomForTheAddress) {
  for (uint32_t i = 0; i < Interface::kMaxAddresses; ++i) {
    EXPECT_TRUE(host.inet().ip.AddAddress(interface(), {{IpAddress::V4(0x0a010001 + (i << 8)), 24}}));
  }
  Bind();
  EXPECT_FALSE(Has(kLeased));
  EXPECT_EQ(1u, host.counted(DropReason::kAutoconfTableFull));
  host.Advance(3700 * kSecond);
  EXPECT_EQ(Interface::kMaxAddresses, interface().addresses().size());
  Sent();
}

}  // namespace
}  // namespace weir::testing_support
