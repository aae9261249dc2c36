// IPv6 input: headers, addresses, extension headers, echo and errors, neighbours, each with the section it is from.
#include <gtest/gtest.h>

#include <set>
#include <string>

#include "netstack/ip/ip_input.h"
#include "netstack/udp/udp_table.h"
#include "tests/support/inet_test_host.h"
#include "tests/support/packets6.h"

namespace weir::testing_support {
namespace {

using netstack::DropReason;

constexpr uint16_t kType6 = 0x86dd;

const char* Name(DropReason reason) { return netstack::kDropReasonNames[static_cast<size_t>(reason)]; }

InetTestHost::Options Dual() { return {.ip6 = *IpPrefix::Parse(std::string(kHostIp6) + "/64")}; }

Bytes Frame6(const Ipv6Spec& spec, View payload) { return Ethernet({.type = kType6}, Ipv6(spec, payload)); }

// A neighbour solicitation of the peer with its MAC, so that answers need not wait for one of ours.
Bytes Solicit(const std::string& target, const std::string& source = kPeerIp6, uint8_t hop_limit = 255) {
  Bytes body(16);
  const Bytes packet = Ipv6({.destination = target}, {});
  std::copy(packet.begin() + 24, packet.begin() + 40, body.begin());
  if (source != "::") Append(body, Text(std::string("\1\1\2\0\0\0\0\2", 8)));
  const std::string group = "ff02::1:ff00:1";
  return Ethernet({.destination = {0x33, 0x33, 0xff, 0, 0, 1}, .type = kType6},
                  Ipv6({.protocol = 58, .source = source, .destination = group, .hop_limit = hop_limit},
                       Icmp6({.type = 135, .source = source, .destination = group}, body)));
}

class Ip6Test : public ::testing::Test {
 protected:
  Ip6Test() : host_(Dual()) {}
  void Learn() {
    host_.Receive(Solicit(kHostIp6));
    ASSERT_STREQ("kConsumed", Name(host_.last()));
    ASSERT_EQ("icmp6 136/0 fd00::1 > fd00::2 hop 255: 24 bytes", Sent());
  }
  std::string Sent() { return host_.has_sent() ? Describe6(host_.TakeSent().frame) : ""; }

  InetTestHost host_;
};

struct HeaderCase {
  const char* name;
  Ipv6Spec spec;
  DropReason reason;
};

TEST_F(Ip6Test, HeaderFields) {
  const HeaderCase cases[] = {
      {"good", {.protocol = 58}, DropReason::kConsumed},
      {"hop limit 1", {.protocol = 58, .hop_limit = 1}, DropReason::kConsumed},
      {"version 4", {.protocol = 58, .version = 4}, DropReason::kIpVersion},
      {"version 7", {.protocol = 58, .version = 7}, DropReason::kIpVersion},
      {"payload beyond the frame", {.protocol = 58, .payload_length = 17}, DropReason::kIpTruncated},
      {"to another host", {.protocol = 58, .destination = "fd00::3"}, DropReason::kIpNotLocal},
      {"to a group we are not in", {.protocol = 58, .destination = "ff02::5"}, DropReason::kIpNotLocal},
      {"from a group (RFC 4291 §2.7)", {.protocol = 58, .source = "ff02::1"}, DropReason::kIpMartianSource},
      {"from loopback (RFC 4291 §2.5.3)", {.protocol = 58, .source = "::1"}, DropReason::kIpMartianSource},
      {"to loopback", {.protocol = 58, .destination = "::1"}, DropReason::kIpMartianSource},
      {"to nobody (RFC 4291 §2.5.2)", {.protocol = 58, .destination = "::"}, DropReason::kIpMartianSource},
      {"IPv4-mapped (RFC 4942 §2.2)", {.protocol = 58, .source = "::ffff:10.0.0.2"}, DropReason::kIpMartianSource},
      {"from ourselves", {.protocol = 58, .source = kHostIp6}, DropReason::kIpMartianSource},
      {"no next header (RFC 8200 §4.7)", {.protocol = 59}, DropReason::kIpProtocol},
      {"unknown protocol", {.protocol = 200}, DropReason::kIpProtocol},
  };
  for (const HeaderCase& c : cases) {
    SCOPED_TRACE(c.name);
    InetTestHost host(Dual());
    host.Receive(Solicit(kHostIp6));
    host.TakeSent();
    host.Receive(Frame6(c.spec, Icmp6({.word = 1, .source = c.spec.source, .destination = c.spec.destination},
                                      Filler(8))));
    EXPECT_STREQ(Name(c.reason), Name(host.last()));
    if (c.reason == DropReason::kConsumed) {
      EXPECT_EQ("icmp6 129/0 fd00::1 > fd00::2 hop 64: 8 bytes", Describe6(host.TakeSent().frame));
    } else if (c.spec.protocol == 200) {
      // RFC 8200 §4: unrecognized Next Header, pointer to the field.
      const Bytes sent = host.TakeSent().frame;
      EXPECT_EQ("icmp6 4/1 fd00::1 > fd00::2 hop 64: 56 bytes", Describe6(sent));
      EXPECT_EQ(6u, Get32(sent, 14 + 40 + 4));
    }
    EXPECT_FALSE(host.has_sent());
  }
}

TEST_F(Ip6Test, EveryTruncation) {
  Learn();
  const Bytes whole = Frame6({.protocol = 58}, Icmp6({}, Filler(8)));
  for (size_t length = 14; length < whole.size(); ++length) {
    host_.Receive(Bytes(whole.begin(), whole.begin() + static_cast<ptrdiff_t>(length)));
    EXPECT_STREQ("kIpTruncated", Name(host_.last())) << length;
  }
  EXPECT_FALSE(host_.has_sent());
}

// RFC 8200 §4.2: what the two highest bits of an option's type say is done; RFC 5095 §3 for the routing header.
TEST_F(Ip6Test, ExtensionHeaders) {
  const auto options = [](uint8_t type) {  // a header of eight bytes with one option of four
    Bytes rest = Text(std::string("\0", 1));
    rest.push_back(std::byte{type});
    Append(rest, Text(std::string("\4\0\0\0\0", 5)));
    return rest;
  };
  const Bytes routing0 = Text(std::string("\2\0\1\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 23));
  const Bytes routing_done = Text(std::string("\0\4\0\0\0\0\0", 7));
  struct Case {
    const char* name;
    std::vector<Extension6> extensions;
    DropReason reason;
    const char* answer;
  };
  const char* echo = "icmp6 129/0 fd00::1 > fd00::2 hop 64: 8 bytes";
  const Case cases[] = {
      {"destination options that may be skipped", {{60, options(0x1e)}}, DropReason::kConsumed, echo},
      {"hop-by-hop, then destination options", {{0, options(0x1e)}, {60, options(0x1e)}}, DropReason::kConsumed, echo},
      {"01: discard", {{60, options(0x5e)}}, DropReason::kIpOptions, ""},
      {"10: discard and tell", {{60, options(0x9e)}}, DropReason::kIpOptions, "icmp6 4/2 fd00::1 > fd00::2 hop 64: 64 bytes"},
      {"11: the same, to a host", {{0, options(0xde)}}, DropReason::kIpOptions,
       "icmp6 4/2 fd00::1 > fd00::2 hop 64: 64 bytes"},
      {"hop-by-hop not first", {{60, options(0x1e)}, {0, options(0x1e)}}, DropReason::kIpOptions,
       "icmp6 4/1 fd00::1 > fd00::2 hop 64: 72 bytes"},
      {"routing header type 0", {{43, routing0}}, DropReason::kIpOptions, "icmp6 4/0 fd00::1 > fd00::2 hop 64: 80 bytes"},
      {"a routing header that is done with", {{43, routing_done}}, DropReason::kConsumed, echo},
  };
  Learn();
  for (const Case& c : cases) {
    SCOPED_TRACE(c.name);
    host_.Receive(Frame6({.protocol = 58, .extensions = c.extensions}, Icmp6({}, Filler(8))));
    EXPECT_STREQ(Name(c.reason), Name(host_.last()));
    EXPECT_EQ(c.answer, Sent());
  }
}

// RFC 4443 §2.4(e): whom nothing is said to.
TEST_F(Ip6Test, NoErrorsAboutErrorsOrToNobody) {
  Learn();
  const std::string nobody = "::";
  const Bytes frames[] = {
      Frame6({.protocol = 200, .source = nobody}, Filler(8)),
      Frame6({.protocol = 200, .destination = "ff02::1"}, Filler(8)),
      Frame6({.protocol = 58}, Icmp6({.type = 1, .code = 4}, Filler(48))),
      Frame6({.protocol = 58}, Icmp6({.type = 100}, Filler(8))),
      Frame6({.protocol = 58}, Icmp6({.type = 201}, Filler(8))),
  };
  for (const Bytes& frame : frames) {
    host_.Receive(frame);
    EXPECT_STRNE("kConsumed", Name(host_.last()));
    EXPECT_EQ("", Sent());
  }
}

TEST_F(Ip6Test, Udp) {
  Learn();
  netstack::UdpSock sock;
  ASSERT_EQ(0, host_.inet().udp.Bind(sock, {{}, 7}));
  host_.Receive(Frame6({}, Udp6(4000, 7, Text("hello"))));
  EXPECT_STREQ("kConsumed", Name(host_.last()));
  EXPECT_EQ(1u, sock.receive_queue.size());
  // RFC 8200 §8.1: without a checksum there is no datagram.
  Bytes naked = Udp6(4000, 7, Text("hello"));
  Put16(naked, 6, 0);
  host_.Receive(Frame6({}, naked));
  EXPECT_STREQ("kUdpChecksum", Name(host_.last()));
  // RFC 4443 §3.1: a port that nobody listens on.
  host_.Receive(Frame6({}, Udp6(4000, 8, Text("hello"))));
  EXPECT_STREQ("kUdpNoSocket", Name(host_.last()));
  EXPECT_EQ("icmp6 1/4 fd00::1 > fd00::2 hop 64: 53 bytes", Sent());
  host_.inet().udp.Unbind(sock);
}

TEST_F(Ip6Test, TcpToAClosedPort) {
  Learn();
  host_.Receive(Frame6({.protocol = 6}, Tcp6({.destination_port = 81, .seq = 100, .flags = 2}, {})));
  EXPECT_STREQ("kTcpNoSocket", Name(host_.last()));
  EXPECT_EQ("tcp6 fd00::1:81 > fd00::2:40000 hop 64: 0 bytes", Sent());
}

// RFC 4443 §4.2: an echo request to a group is answered from a unicast address.
TEST_F(Ip6Test, EchoToAllNodes) {
  Learn();
  host_.Receive(Ethernet({.destination = {0x33, 0x33, 0, 0, 0, 1}, .type = kType6},
                         Ipv6({.protocol = 58, .destination = "ff02::1"}, Icmp6({.destination = "ff02::1"}, Filler(4)))));
  EXPECT_EQ("icmp6 129/0 fd00::1 > fd00::2 hop 64: 4 bytes", Sent());
}

// RFC 4861 §7.1.1: from beyond the link, or for somebody else.
TEST_F(Ip6Test, SolicitationsThatAreNotAnswered) {
  host_.Receive(Solicit(kHostIp6, kPeerIp6, 254));
  EXPECT_STREQ("kNdpMalformed", Name(host_.last()));
  host_.Receive(Solicit("fd00::100:1"));
  EXPECT_STREQ("kNdpNotForUs", Name(host_.last()));
  EXPECT_FALSE(host_.has_sent());
}

// RFC 6437 §3: what this host sends of one flow has one label, of different flows different ones; ICMP has no flows.
TEST_F(Ip6Test, FlowLabels) {
  Learn();
  const auto label = [&](const Bytes& frame) -> uint32_t {
    host_.Receive(frame);
    if (!host_.has_sent()) return ~0u;
    return runtime::LoadBe32(host_.TakeSent().frame.data() + 14) & 0xfffff;
  };
  std::set<uint32_t> labels;
  for (uint16_t port = 4000; port < 4100; ++port) {
    const Bytes syn = Frame6({.protocol = 6}, Tcp6({.source_port = port, .flags = 2}, {}));
    const uint32_t first = label(syn);  // of a reset
    EXPECT_NE(0u, first);
    EXPECT_EQ(first, label(syn));
    labels.insert(first);
  }
  EXPECT_LT(95u, labels.size());
  EXPECT_EQ(0u, label(Frame6({.protocol = 58}, Icmp6({}, Text("1234")))));
  EXPECT_EQ(0u, label(Frame6({}, Udp6(4000, 9, Text("x")))));
}

}  // namespace
}  // namespace weir::testing_support
