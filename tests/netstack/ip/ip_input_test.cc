// IPv4 input and ICMP: RFC 791 §3.1, RFC 1122 §3.2.1 and §3.2.2, RFC 792; every reason to drop, by table.
#include <gtest/gtest.h>

#include "netstack/ip/ip_input.h"
#include "netstack/udp/udp_table.h"
#include "tests/support/inet_test_host.h"

namespace weir::testing_support {
namespace {

using netstack::DropReason;

const char* Name(DropReason reason) { return netstack::kDropReasonNames[static_cast<size_t>(reason)]; }

struct Case {
  const char* name;
  Ipv4Spec spec;
  DropReason reason;
};

TEST(IpRcv, HeaderFields) {
  const Bytes options4(4, std::byte{1}), options40(40, std::byte{1});
  const Case cases[] = {
      {"good", {.protocol = 1}, DropReason::kConsumed},
      {"with options", {.protocol = 1, .options = options4}, DropReason::kConsumed},
      {"with all options", {.protocol = 1, .options = options40}, DropReason::kConsumed},
      {"DF", {.protocol = 1, .fragment = 0x4000}, DropReason::kConsumed},
      {"the reserved bit", {.protocol = 1, .fragment = 0x8000}, DropReason::kConsumed},
      {"TTL 1", {.protocol = 1, .ttl = 1}, DropReason::kConsumed},
      {"version 0", {.protocol = 1, .version = 0}, DropReason::kIpVersion},
      {"version 5", {.protocol = 1, .version = 5}, DropReason::kIpVersion},
      {"version 6", {.protocol = 1, .version = 6}, DropReason::kIpVersion},
      {"header of 0 bytes", {.protocol = 1, .header_words = 0}, DropReason::kIpHeaderLength},
      {"header of 16 bytes", {.protocol = 1, .header_words = 4}, DropReason::kIpHeaderLength},
      {"header beyond the packet", {.protocol = 1, .header_words = 15}, DropReason::kIpTruncated},
      {"total length 0", {.protocol = 1, .total_length = 0}, DropReason::kIpHeaderLength},
      {"total length 19", {.protocol = 1, .total_length = 19}, DropReason::kIpHeaderLength},
      {"total length inside the options", {.protocol = 1, .options = options4, .total_length = 22},
       DropReason::kIpHeaderLength},
      {"total length beyond the frame", {.protocol = 1, .total_length = 37}, DropReason::kIpTruncated},
      {"total length 65535", {.protocol = 1, .total_length = 65535}, DropReason::kIpTruncated},
      {"wrong checksum", {.protocol = 1, .bad_checksum = true}, DropReason::kIpChecksum},
      {"a fragment beyond 65535 bytes", {.protocol = 1, .fragment = 0x1fff}, DropReason::kIpFragmentMalformed},
      {"to the broadcast address", {.protocol = 1, .destination = 0x0a0000ff}, DropReason::kIcmpBroadcast},
      {"to everybody", {.protocol = 1, .destination = 0xffffffff}, DropReason::kIcmpBroadcast},
      {"to a group", {.protocol = 1, .destination = 0xe0000001}, DropReason::kIcmpBroadcast},
      {"to another host", {.protocol = 1, .destination = 0x0a000003}, DropReason::kIpNotLocal},
      {"to loopback", {.protocol = 1, .destination = 0x7f000001}, DropReason::kIpNotLocal},
      {"from 0.0.0.0", {.protocol = 1, .source = 0}, DropReason::kIpMartianSource},
      {"from 0.1.2.3", {.protocol = 1, .source = 0x00010203}, DropReason::kIpMartianSource},
      {"from loopback", {.protocol = 1, .source = 0x7f000001}, DropReason::kIpMartianSource},
      {"from a group", {.protocol = 1, .source = 0xe0000001}, DropReason::kIpMartianSource},
      {"from class E", {.protocol = 1, .source = 0xf0000001}, DropReason::kIpMartianSource},
      {"from everybody", {.protocol = 1, .source = 0xffffffff}, DropReason::kIpMartianSource},
      {"from ourselves (land)", {.protocol = 1, .source = kHostIp}, DropReason::kIpMartianSource},
      {"from our broadcast address", {.protocol = 1, .source = 0x0a0000ff}, DropReason::kIpMartianSource},
      {"without a route back", {.protocol = 1, .source = 0x08080808}, DropReason::kNoRoute},
      {"unknown protocol", {.protocol = 47}, DropReason::kIpProtocol},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.name);
    InetTestHost host;
    host.Learn();
    host.Receive(Ethernet({}, Ipv4(c.spec, IcmpEcho(8, 1, 2, Filler(8)))));
    EXPECT_STREQ(Name(c.reason), Name(host.last()));
    if (c.reason == DropReason::kConsumed) {
      EXPECT_EQ("icmp echo-reply 10.0.0.1 > 10.0.0.2 id 1 seq 2 8 bytes", host.Sent());
    } else if (c.reason != DropReason::kIpProtocol) {
      EXPECT_EQ("", host.Sent());
    }
  }
}

TEST(IpRcv, NarrowPrefixesHaveNoBroadcastAddress) {  // RFC 3021 §2.1
  InetTestHost host({.ip = 0x0a000002, .prefix_length = 31});
  host.Learn(0x0a000003);
  host.Receive(Ethernet({}, Ipv4({.protocol = 1, .source = 0x0a000003, .destination = 0x0a000002},
                                 IcmpEcho(8, 1, 2, {}))));
  EXPECT_EQ("icmp echo-reply 10.0.0.2 > 10.0.0.3 id 1 seq 2 0 bytes", host.Sent());
}

// A valid packet of each protocol, cut at every length: always a drop, and always a counted one.
TEST(IpRcv, EveryTruncation) {
  InetTestHost host;
  host.Learn();
  netstack::UdpSock sock;
  ASSERT_EQ(0, host.inet().udp.Bind(sock, {{}, 7}));
  const Bytes packets[] = {
      Ipv4({.protocol = 1}, IcmpEcho(8, 1, 2, Filler(9))),
      Ipv4({.protocol = 17}, Udp(9, 7, Filler(9))),
      Ipv4({.protocol = 6}, Tcp({.flags = 2}, Filler(9))),
      Ipv4({.protocol = 17, .options = Bytes(8, std::byte{1})}, Udp(9, 7, Filler(9))),
  };
  for (const Bytes& packet : packets) {
    for (size_t length = 0; length < packet.size(); ++length) {
      host.Receive(Ethernet({}, View(packet).first(length)));
      EXPECT_STREQ("kIpTruncated", Name(host.last())) << length;
    }
    EXPECT_EQ("", host.Sent());
  }
  host.inet().udp.Unbind(sock);
}

// The same with the total length shortened too: now the transport sees it.
TEST(IpRcv, EveryShorterTotalLength) {
  struct {
    Bytes transport;
    uint8_t protocol;
    size_t header;
    const char *truncated, *cut;
  } const cases[] = {
      {IcmpEcho(8, 1, 2, Filler(9)), 1, 8, "kIcmpTruncated", "kIcmpChecksum"},
      {Udp(9, 7, Filler(9)), 17, 8, "kUdpTruncated", "kUdpTruncated"},
      {Tcp({.flags = 2}, Filler(9)), 6, 20, "kTcpTruncated", "kTcpChecksum"},
  };
  for (const auto& c : cases) {
    InetTestHost host;
    host.Learn();
    for (size_t length = 0; length < c.transport.size(); ++length) {
      host.Receive(Ethernet({}, Ipv4({.protocol = c.protocol}, View(c.transport).first(length))));
      EXPECT_STREQ(length < c.header ? c.truncated : c.cut, Name(host.last())) << length;
      EXPECT_EQ("", host.Sent());
    }
  }
}

TEST(IpRcv, EthernetPaddingIsCutOff) {
  InetTestHost host;
  host.Learn();
  Bytes packet = Ipv4({.protocol = 1}, IcmpEcho(8, 1, 2, Filler(3)));
  packet.resize(46, std::byte{0xee});
  host.Receive(Ethernet({}, packet));
  EXPECT_EQ("icmp echo-reply 10.0.0.1 > 10.0.0.2 id 1 seq 2 3 bytes", host.Sent());
}

TEST(Icmp, EchoKeepsThePayload) {
  InetTestHost host;
  host.Learn();
  for (size_t n : {0, 1, 2, 3, 56, 57, 1471, 1472}) {
    host.Receive(Ethernet({}, Ipv4({.protocol = 1, .tos = 0x10}, IcmpEcho(8, 77, 5, Filler(n)))));
    ASSERT_TRUE(host.has_sent());
    const Packet reply = Parse(host.TakeSent().frame);
    EXPECT_TRUE(reply.ok) << reply.problem;
    const View icmp = reply.transport_bytes();
    const Bytes expected = IcmpEcho(0, 77, 5, Filler(n));
    EXPECT_EQ(expected, Bytes(icmp.begin(), icmp.end()));
    EXPECT_EQ(std::byte{0x10}, reply.frame[15]);
  }
  EXPECT_EQ(host.pool().size(), host.pool().free_count());
}

TEST(Icmp, WhatIsNotAnswered) {
  InetTestHost host;
  host.Learn();
  for (int type = 0; type < 256; ++type) {
    if (type == 8 || type == 13) continue;
    host.Receive(Ethernet({}, Ipv4({.protocol = 1}, IcmpEcho(static_cast<uint8_t>(type), 1, 1, Filler(30)))));
    const bool error = type == 3 || type == 11 || type == 12;  // icmp_error_test.cc
    const DropReason other = type == 0   ? DropReason::kIcmpNoSocket  // a reply that nobody waits for
                             : type == 5 ? DropReason::kIcmpRedirect
                                         : DropReason::kIcmpType;
    EXPECT_EQ(error ? DropReason::kIcmpQuote : other, host.last()) << type;
  }
  Bytes wrong = IcmpEcho(8, 1, 1, Filler(5));
  wrong[3] ^= std::byte{1};
  host.Receive(Ethernet({}, Ipv4({.protocol = 1}, wrong)));
  EXPECT_EQ(DropReason::kIcmpChecksum, host.last());
  EXPECT_EQ("", host.Sent());
}

// RFC 1122 §3.2.2.1: protocol unreachable, with the packet that caused it: its header and, here, all of its data.
TEST(Icmp, ProtocolUnreachableQuotes) {
  InetTestHost host;
  host.Learn();
  const Bytes packet = Ipv4({.protocol = 99, .options = Bytes(4, std::byte{1})}, Filler(50));
  host.Receive(Ethernet({}, packet));
  EXPECT_EQ(DropReason::kIpProtocol, host.last());
  const Packet error = Parse(host.TakeSent().frame);
  EXPECT_EQ("icmp protocol-unreachable 10.0.0.1 > 10.0.0.2 quotes 74 bytes", Describe(error));
  const View quote = error.payload_bytes();
  EXPECT_EQ(packet, Bytes(quote.begin(), quote.end()));
}

// RFC 1122 §3.2.2, RFC 1812 §4.3.2.5: the packet's type of service, with the precedence of internetwork control.
TEST(Icmp, TypeOfServiceOfErrors) {
  InetTestHost host;
  host.Learn();
  for (int tos = 0; tos < 256; ++tos) {
    host.Receive(Ethernet({}, Ipv4({.tos = static_cast<uint8_t>(tos)}, Udp(4000, 9, {}))));
    host.Advance(kMillisecond);
    ASSERT_TRUE(host.has_sent());
    EXPECT_EQ((tos & 0x1e) | 0xc0, std::to_integer<int>(host.TakeSent().frame[15])) << tos;
  }
}

TEST(Icmp, PortUnreachableQuotesAtMost576Bytes) {
  InetTestHost host;
  host.Learn();
  for (size_t n : {0, 1, 500, 519, 520, 521, 1472}) {
    const Bytes packet = Ipv4({}, Udp(4000, 9, Filler(n)));
    host.Receive(Ethernet({}, packet));
    EXPECT_EQ(DropReason::kUdpNoSocket, host.last());
    const Packet error = Parse(host.TakeSent().frame);
    const size_t quoted = std::min<size_t>(packet.size(), 576 - 28);
    EXPECT_EQ("icmp port-unreachable 10.0.0.1 > 10.0.0.2 quotes " + std::to_string(quoted) + " bytes", Describe(error));
    const View quote = error.payload_bytes();
    EXPECT_TRUE(std::equal(quote.begin(), quote.end(), packet.begin()));
  }
}

// As Linux: bursts of 50, and 1000 a second.
TEST(Icmp, ErrorsAreRateLimited) {
  InetTestHost host;
  host.Learn();
  size_t sent = 0;
  const auto flood = [&](int n) {
    for (int i = 0; i < n; ++i) host.Receive(Ethernet({}, Ipv4({}, Udp(4000, 9, {}))));
    for (sent = 0; host.has_sent(); ++sent) host.TakeSent();
    return sent;
  };
  EXPECT_EQ(50u, flood(80));
  EXPECT_EQ(30u, host.counted(DropReason::kIcmpRateLimited));
  host.Advance(10 * kMillisecond);
  EXPECT_EQ(10u, flood(80));
  host.Advance(1 * kSecond);
  EXPECT_EQ(50u, flood(80));
}

TEST(Icmp, NoFrameForAnError) {
  InetTestHost host({.frames = 64});
  host.Learn();
  std::vector<runtime::Frame*> taken;
  while (host.pool().free_count() > 1) taken.push_back(host.pool().Alloc());
  host.Receive(Ethernet({}, Ipv4({}, Udp(4000, 9, {}))));
  EXPECT_EQ("", host.Sent());
  EXPECT_EQ(1u, host.counted(DropReason::kTxNoFrame));
  for (runtime::Frame* frame : taken) runtime::Unref(frame);
}

// What came as a link-layer broadcast or multicast gets no ICMP error (RFC 1122 §3.2.2), and no TCP answer (§4.2.3.10).
TEST(IpRcv, LinkLayerMulticastGetsNoErrors) {
  struct {
    Bytes packet;
    DropReason reason;
  } const cases[] = {
      {Ipv4({.protocol = 99}, Filler(8)), DropReason::kIpProtocol},
      {Ipv4({}, Udp(4000, 9, {})), DropReason::kUdpNoSocket},
      {Ipv4({.protocol = 6}, Tcp({.flags = 2}, {})), DropReason::kTcpNotUnicast},
  };
  for (const auto& c : cases) {
    InetTestHost host;
    host.Learn();
    runtime::Frame* frame = host.pool().Alloc();
    std::copy(c.packet.begin(), c.packet.end(), frame->data);
    frame->len = static_cast<uint32_t>(c.packet.size());
    EXPECT_EQ(c.reason, IpRcv(host.inet(), host.interface(), *frame, /*more=*/{}, host.now(), /*link_multicast=*/true));
    runtime::Unref(frame);
    host.Turn();
    EXPECT_EQ("", host.Sent());
  }
}

// Every frame that comes in is counted once, whatever it makes the host send.
TEST(Outcomes, OneForEachFrame) {
  InetTestHost host;
  const Bytes frames[] = {
      Ethernet({}, Ipv4({}, Udp(4000, 9, {}))),              // an error that waits for an address
      Ethernet({.type = 0x0806}, Arp({})),                   // brings it
      Ethernet({}, Ipv4({.protocol = 1}, IcmpEcho(8, 1, 2, {}))),
      Ethernet({}, Ipv4({.protocol = 99}, {})),
      Ethernet({}, Ipv4({.protocol = 6}, Tcp({.flags = 2}, {}))),
      Bytes(3),
  };
  host.Receive(frames);
  host.Advance(5 * kSecond);
  EXPECT_EQ(std::size(frames), host.counted_total());
  EXPECT_EQ(2u, host.counted(DropReason::kConsumed));
  host.Sent();
}

}  // namespace
}  // namespace weir::testing_support
