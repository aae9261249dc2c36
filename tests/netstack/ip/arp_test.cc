// ARP and the neighbour cache: RFC 826, RFC 5227, and the states of RFC 4861 §7.3.2 that Linux uses for ARP too.
#include <gtest/gtest.h>

#include "netstack/ip/arp.h"
#include "netstack/ip/ip_output.h"
#include "tests/support/inet_test_host.h"

namespace weir::testing_support {
namespace {

using netstack::DropReason;
using netstack::IpContext;
using netstack::Neighbour;
using netstack::NeighbourState;
using netstack::NeighbourTable;

constexpr char kAsk[] = "arp who-has 10.0.0.2 tell 10.0.0.1";
constexpr char kDatagram[] = "udp 10.0.0.1:9 > 10.0.0.2:9 8 bytes";
constexpr Mac kOtherMac = {2, 0, 0, 0, 0, 3};

IpContext& Context(InetTestHost& host) { return host.inet().ip; }

Neighbour* Peer(InetTestHost& host) { return host.interface().neighbours.Find(IpAddress::V4(kPeerIp)); }

Bytes Reply(const Mac& mac = kPeerMac, uint32_t ip = kPeerIp) {
  return Ethernet({.source = mac, .type = 0x0806},
                  Arp({.operation = 2, .sender_mac = mac, .sender_ip = ip, .target_mac = kHostMac}));
}

// A datagram of ours to `ip`, as UDP would hand it to IP.
DropReason Send(InetTestHost& host, uint32_t ip = kPeerIp) {
  runtime::Frame* frame = host.pool().Alloc();
  if (frame == nullptr) return DropReason::kTxNoFrame;
  const Bytes udp = Udp(9, 9, Filler(8), {kHostIp, ip});
  std::copy(udp.begin(), udp.end(), frame->data);
  frame->len = static_cast<uint32_t>(udp.size());
  return IpOutput(Context(host), frame,
                  {.source = IpAddress::V4(kHostIp), .destination = IpAddress::V4(ip), .protocol = 17}, host.now());
}

TEST(Arp, RequestsForUsAreAnswered) {
  InetTestHost host;
  host.Receive(Ethernet({.destination = kBroadcast, .type = 0x0806}, Arp({})));
  ASSERT_TRUE(host.has_sent());
  const Bytes expected = Ethernet({.destination = kPeerMac, .source = kHostMac, .type = 0x0806},
                                  Arp({.operation = 2, .sender_mac = kHostMac, .sender_ip = kHostIp,
                                       .target_mac = kPeerMac, .target_ip = kPeerIp}));
  EXPECT_EQ(expected, host.TakeSent().frame);
  ASSERT_NE(nullptr, Peer(host));  // and the asker is remembered, unconfirmed
  EXPECT_EQ(NeighbourState::kStale, Peer(host)->state);
}

// RFC 5227 §2.1.1: a probe has no sender; it is answered, and remembered as nobody.
TEST(Arp, ProbesAreAnsweredAndNotRemembered) {
  InetTestHost host;
  host.Receive(Ethernet({.destination = kBroadcast, .type = 0x0806}, Arp({.sender_ip = 0})));
  EXPECT_EQ("arp 10.0.0.1 is-at 020000000001", host.Sent());
  EXPECT_EQ(nullptr, host.interface().neighbours.Find(IpAddress::V4(0)));
  EXPECT_EQ(nullptr, Peer(host));
}

TEST(Arp, WhatIsNotTaken) {
  struct Case {
    const char* name;
    ArpSpec spec;
    DropReason reason;
  };
  const Case cases[] = {
      {"for another address", {.target_ip = 0x0a000009}, DropReason::kArpNotForUs},
      {"gratuitous request", {.target_ip = kPeerIp}, DropReason::kArpUnsolicited},
      {"gratuitous reply", {.operation = 2, .target_ip = kPeerIp}, DropReason::kArpUnsolicited},
      {"reply nobody asked for", {.operation = 2}, DropReason::kArpUnsolicited},
      {"reply in the name of a stranger", {.operation = 2, .sender_ip = 0x08080808}, DropReason::kArpUnsolicited},
      {"operation 0", {.operation = 0}, DropReason::kArpMalformed},
      {"RARP", {.operation = 3}, DropReason::kArpMalformed},
      {"multicast sender", {.sender_mac = {1, 0, 0x5e, 0, 0, 1}}, DropReason::kArpMalformed},
      {"broadcast sender", {.sender_mac = kBroadcast}, DropReason::kArpMalformed},
      {"no sender", {.sender_mac = {}}, DropReason::kArpMalformed},
      {"from loopback", {.sender_ip = 0x7f000001}, DropReason::kArpMalformed},
      {"from a group", {.sender_ip = 0xe0000001}, DropReason::kArpMalformed},
      {"from everybody", {.sender_ip = 0xffffffff}, DropReason::kArpMalformed},
      {"for 0.0.0.0", {.target_ip = 0}, DropReason::kArpNotForUs},
      {"for everybody", {.target_ip = 0xffffffff}, DropReason::kArpNotForUs},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.name);
    InetTestHost host;
    host.Receive(Ethernet({.destination = kBroadcast, .type = 0x0806}, Arp(c.spec)));
    EXPECT_EQ(c.reason, host.last());
    EXPECT_EQ("", host.Sent());
    EXPECT_EQ(nullptr, Peer(host));
  }
}

TEST(Arp, MalformedAtEveryLengthAndField) {
  InetTestHost host;
  const Bytes arp = Arp({});
  for (size_t length = 0; length < arp.size(); ++length) {
    host.Receive(Ethernet({.type = 0x0806}, View(arp).first(length)));
    EXPECT_EQ(DropReason::kArpTruncated, host.last());
  }
  for (size_t byte = 0; byte < 6; ++byte) {
    Bytes wrong = arp;
    wrong[byte] ^= std::byte{0x40};
    host.Receive(Ethernet({.type = 0x0806}, wrong));
    EXPECT_EQ(DropReason::kArpMalformed, host.last()) << byte;
  }
  Bytes padded = arp;  // to Ethernet's minimum
  padded.resize(46);
  host.Receive(Ethernet({.type = 0x0806}, padded));
  EXPECT_EQ(DropReason::kConsumed, host.last());
  EXPECT_EQ("arp 10.0.0.1 is-at 020000000001", host.Sent());
}

// Strangers are answered (whoever can ask can hear), and not remembered.
TEST(Arp, AskersFromElsewhereAreNotRemembered) {
  InetTestHost host;
  for (uint32_t ip : {0x0a000101u, 0x7f000001u, 0xe0000001u, 0xffffffffu, kHostIp}) {
    host.Receive(Ethernet({.destination = kBroadcast, .type = 0x0806}, Arp({.sender_ip = ip})));
    EXPECT_EQ(nullptr, host.interface().neighbours.Find(IpAddress::V4(ip)));
  }
  host.Sent();
}

TEST(Neighbour, AskedThenSent) {
  InetTestHost host;
  EXPECT_EQ(DropReason::kConsumed, Send(host));
  EXPECT_EQ(DropReason::kConsumed, Send(host));
  host.Turn();
  ASSERT_TRUE(host.has_sent());
  const Bytes ask = host.TakeSent().frame;
  EXPECT_EQ(Ethernet({.destination = kBroadcast, .source = kHostMac, .type = 0x0806},
                     Arp({.sender_mac = kHostMac, .sender_ip = kHostIp, .target_ip = kPeerIp})),
            ask);
  EXPECT_FALSE(host.has_sent());
  host.Receive(Reply());
  EXPECT_EQ(DropReason::kConsumed, host.last());
  const Departure first = host.TakeSent();
  EXPECT_EQ(kDatagram, Describe(Parse(first.frame)));
  EXPECT_TRUE(std::equal(kPeerMac.begin(), kPeerMac.end(), reinterpret_cast<const uint8_t*>(first.frame.data())));
  EXPECT_EQ(kDatagram, host.Sent());
  EXPECT_EQ(NeighbourState::kReachable, Peer(host)->state);
  EXPECT_EQ(0u, host.timers().armed());
  EXPECT_EQ(host.counted_total(), host.counted(DropReason::kConsumed));
}

// A request from the one we ask for brings its address too.
TEST(Neighbour, ARequestAnswersAsWell) {
  InetTestHost host;
  EXPECT_EQ(DropReason::kConsumed, Send(host));
  host.Turn();
  EXPECT_EQ(kAsk, host.Sent());
  host.Receive(Ethernet({.destination = kBroadcast, .type = 0x0806}, Arp({})));
  EXPECT_EQ(std::string(kDatagram) + "; arp 10.0.0.1 is-at 020000000001", host.Sent());
}

TEST(Neighbour, ThreeQuestionsASecondApartThenFailed) {
  InetTestHost host;
  const Nanos start = host.now();
  EXPECT_EQ(DropReason::kConsumed, Send(host));
  EXPECT_EQ(DropReason::kConsumed, Send(host));
  host.Turn();
  host.Advance(10 * kSecond);
  for (int i = 0; i < 3; ++i) {
    ASSERT_TRUE(host.has_sent());
    const Departure ask = host.TakeSent();
    EXPECT_EQ(kAsk, Describe(Parse(ask.frame)));
    EXPECT_NEAR(static_cast<double>(i), static_cast<double>(ask.at_ns - start) / 1e9, 0.001);
  }
  EXPECT_FALSE(host.has_sent());
  EXPECT_EQ(2u, host.counted(DropReason::kNeighbourFailed));
  EXPECT_EQ(nullptr, Peer(host));
  EXPECT_EQ(host.pool().size(), host.pool().free_count());
  EXPECT_EQ(DropReason::kConsumed, Send(host));  // and from the beginning
  host.Turn();
  EXPECT_EQ(kAsk, host.Sent());
}

TEST(Neighbour, AtMostSixteenWait) {
  InetTestHost host;
  for (size_t i = 0; i < Neighbour::kMaxPending; ++i) EXPECT_EQ(DropReason::kConsumed, Send(host));
  EXPECT_EQ(DropReason::kNeighbourQueueFull, Send(host));
  host.Receive(Reply());
  host.Turn();
  size_t sent = 0;
  while (host.has_sent()) sent += Describe(Parse(host.TakeSent().frame)) == kDatagram;
  EXPECT_EQ(Neighbour::kMaxPending, sent);
}

// RFC 4861 §7.3.3: REACHABLE for 30 s; used after that, 5 s of grace; then three questions by unicast.
TEST(Neighbour, ReachableStaleDelayProbeGone) {
  InetTestHost host;
  EXPECT_EQ(DropReason::kConsumed, Send(host));
  host.Receive(Reply());
  host.Sent();
  host.Advance(29 * kSecond);
  EXPECT_EQ(DropReason::kConsumed, Send(host));
  EXPECT_EQ(NeighbourState::kReachable, Peer(host)->state);
  host.Advance(2 * kSecond);
  EXPECT_EQ(0u, host.timers().armed());
  EXPECT_EQ(DropReason::kConsumed, Send(host));
  EXPECT_EQ(NeighbourState::kDelay, Peer(host)->state);
  host.Turn();
  EXPECT_EQ(std::string(kDatagram) + "; " + kDatagram, host.Sent());
  host.Advance(4900 * kMillisecond);
  EXPECT_EQ("", host.Sent());
  host.Advance(200 * kMillisecond);
  EXPECT_EQ(NeighbourState::kProbe, Peer(host)->state);
  const Bytes ask = host.TakeSent().frame;
  EXPECT_EQ(Ethernet({.destination = kPeerMac, .source = kHostMac, .type = 0x0806},
                     Arp({.sender_mac = kHostMac, .sender_ip = kHostIp, .target_ip = kPeerIp})),
            ask);
  EXPECT_EQ(DropReason::kConsumed, Send(host));  // still sent where it was last known to be
  host.Advance(2 * kSecond);
  EXPECT_EQ(std::string(kDatagram) + "; " + kAsk + "; " + kAsk, host.Sent());
  host.Advance(1 * kSecond);
  EXPECT_EQ(nullptr, Peer(host));
  EXPECT_EQ(0u, host.timers().armed());
}

TEST(Neighbour, AnAnswerToAProbeMakesItReachable) {
  InetTestHost host;
  host.Learn();
  EXPECT_EQ(DropReason::kConsumed, Send(host));
  host.Advance(5100 * kMillisecond);
  EXPECT_EQ(std::string(kDatagram) + "; " + kAsk, host.Sent());
  host.Receive(Reply(kOtherMac));
  EXPECT_EQ(NeighbourState::kReachable, Peer(host)->state);
  EXPECT_EQ(kOtherMac, Peer(host)->mac.bytes);
  EXPECT_EQ(0u, host.timers().armed());
}

// RFC 5227 §2.4: whoever else uses our address is told that it is ours, at most once in ten seconds.
TEST(Arp, OurAddressIsDefended) {
  InetTestHost host;
  for (uint16_t operation : {1, 2}) {
    host.Receive(Ethernet({.destination = kBroadcast, .type = 0x0806},
                          Arp({.operation = operation, .sender_ip = kHostIp, .target_ip = kHostIp})));
    EXPECT_EQ(DropReason::kArpConflict, host.last());
  }
  EXPECT_EQ("arp who-has 10.0.0.1 tell 10.0.0.1", host.Sent());
  host.Advance(11 * kSecond);
  host.Receive(Ethernet({.destination = kBroadcast, .type = 0x0806}, Arp({.sender_ip = kHostIp})));
  EXPECT_EQ("arp who-has 10.0.0.1 tell 10.0.0.1", host.Sent());
}

// RFC 5227 §2.1.1: an answer to a probe, or another's probe for the same address, is a conflict.
TEST(Arp, ProbedAddresses) {
  for (bool answer : {false, true}) {
    InetTestHost host;
    host.interface().arp_probe.ip = IpAddress::V4(0x0a000009);
    EXPECT_EQ(DropReason::kConsumed, ArpProbe(host.interface(), IpAddress::V4(0x0a000009)));
    host.Turn();
    EXPECT_EQ("arp who-has 10.0.0.9 tell 0.0.0.0", host.Sent());
    host.Receive(Ethernet({.destination = kBroadcast, .type = 0x0806},
                          answer ? Arp({.operation = 2, .sender_ip = 0x0a000009, .target_ip = 0})
                                 : Arp({.sender_ip = 0, .target_ip = 0x0a000009})));
    EXPECT_TRUE(host.interface().arp_probe.conflict);
    EXPECT_EQ("", host.Sent());
  }
}

// A claim out of the blue makes us ask the neighbour that we know; nobody else's answer counts. Only when it is silent is
// the entry given up, and the link asked anew: a host that took the address over is found within three seconds.
TEST(Neighbour, AContestedAddress) {
  for (bool still_there : {true, false}) {
    InetTestHost host;
    EXPECT_EQ(DropReason::kConsumed, Send(host));
    host.Receive(Reply());
    host.Sent();
    host.Receive(Ethernet({.destination = kBroadcast, .source = kOtherMac, .type = 0x0806},
                          Arp({.sender_mac = kOtherMac, .target_ip = kPeerIp})));
    EXPECT_EQ(NeighbourState::kProbe, Peer(host)->state);
    EXPECT_EQ(kAsk, host.Sent());
    host.Receive(Reply(kOtherMac));
    EXPECT_EQ(kPeerMac, Peer(host)->mac.bytes);
    if (still_there) {
      host.Receive(Reply());
      EXPECT_EQ(NeighbourState::kReachable, Peer(host)->state);
    } else {
      host.Advance(3100 * kMillisecond);
      EXPECT_EQ(nullptr, Peer(host));
    }
  }
}

// Neither a reply out of the blue nor a question changes where a confirmed neighbour is.
TEST(Neighbour, IsNotPoisoned) {
  InetTestHost host;
  EXPECT_EQ(DropReason::kConsumed, Send(host));
  host.Receive(Reply());
  host.Sent();
  host.Receive(Reply(kOtherMac));
  EXPECT_EQ(DropReason::kArpUnsolicited, host.last());
  host.Receive(Ethernet({.source = kOtherMac, .type = 0x0806}, Arp({.sender_mac = kOtherMac})));
  host.Receive(Ethernet({.destination = kBroadcast, .source = kOtherMac, .type = 0x0806},
                        Arp({.operation = 2, .sender_mac = kOtherMac, .target_ip = kPeerIp})));
  EXPECT_EQ(kPeerMac, Peer(host)->mac.bytes);
  EXPECT_EQ(DropReason::kConsumed, Send(host));
  EXPECT_EQ(kPeerMac, Peer(host)->mac.bytes);
  host.Sent();
}

TEST(Neighbour, AFullTableForgetsTheLeastRecentlyUsed) {
  InetTestHost host({.prefix_length = 16, .frames = 4096});
  const uint32_t first = 0x0a000100;
  for (uint32_t i = 0; i < NeighbourTable::kEntries; ++i) host.Learn(first + i);
  EXPECT_EQ(DropReason::kConsumed, Send(host, first));  // the oldest is used again
  host.Turn();
  host.Sent();
  host.Learn(first + NeighbourTable::kEntries);
  EXPECT_NE(nullptr, host.interface().neighbours.Find(IpAddress::V4(first)));
  EXPECT_EQ(nullptr, host.interface().neighbours.Find(IpAddress::V4(first + 1)));
  EXPECT_NE(nullptr, host.interface().neighbours.Find(IpAddress::V4(first + 2)));
  // Many that do not answer: each new one takes a place, and what waited there is counted.
  for (uint32_t i = 0; i < 2 * NeighbourTable::kEntries; ++i) {
    EXPECT_EQ(DropReason::kConsumed, Send(host, 0x0a008000 + i));
    if (i % 64 == 0) host.Turn();
  }
  EXPECT_EQ(NeighbourTable::kEntries, host.counted(DropReason::kNeighbourFailed));
}

TEST(Neighbour, WithoutAFrameToAskWith) {
  InetTestHost host({.frames = 64});
  EXPECT_EQ(DropReason::kConsumed, Send(host));
  host.Turn();
  EXPECT_EQ(kAsk, host.Sent());
  std::vector<runtime::Frame*> taken;
  while (runtime::Frame* frame = host.pool().Alloc()) taken.push_back(frame);
  host.Advance(1100 * kMillisecond);
  EXPECT_EQ("", host.Sent());
  EXPECT_EQ(1u, host.counted(DropReason::kTxNoFrame));
  for (runtime::Frame* frame : taken) runtime::Unref(frame);
  host.Advance(1 * kSecond);
  EXPECT_EQ(kAsk, host.Sent());
}

TEST(Neighbour, Announcement) {
  InetTestHost host;
  EXPECT_EQ(DropReason::kConsumed, ArpAnnounce(host.interface(), IpAddress::V4(kHostIp)));
  host.Turn();
  EXPECT_EQ("arp who-has 10.0.0.1 tell 10.0.0.1", host.Sent());
}

TEST(Route, OnTheLinkElseTheGateway) {
  InetTestHost host({.gateway = 0x0a0000fe});
  EXPECT_EQ(DropReason::kConsumed, Send(host, 0x08080808));
  host.Turn();
  EXPECT_EQ("arp who-has 10.0.0.254 tell 10.0.0.1", host.Sent());
  EXPECT_EQ(DropReason::kConsumed, Send(host));
  host.Turn();
  EXPECT_EQ(kAsk, host.Sent());
  InetTestHost lonely;
  EXPECT_EQ(DropReason::kNoRoute, Send(lonely, 0x08080808));
}

}  // namespace
}  // namespace weir::testing_support
