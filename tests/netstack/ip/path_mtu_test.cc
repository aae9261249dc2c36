// Path MTU discovery: RFC 1191, RFC 8201; against forged errors RFC 5927 §7.
#include "netstack/ip/path_mtu.h"

#include <gtest/gtest.h>

#include <cerrno>

#include "absl/strings/str_cat.h"
#include "netstack/ip/ip_output.h"
#include "netstack/udp/udp_output.h"
#include "tests/netstack/ip/fragment_host.h"
#include "tests/support/random.h"
#include "tests/support/tcp_trace.h"

namespace weir::testing_support {
namespace {

using netstack::PathMtuCache;

constexpr bool kBoth[] = {true, false};

IpAddress Peer(bool v4) { return v4 ? IpAddress::V4(kPeerIp) : IpAddress::Parse(kPeerIp6).value(); }

// "Packet too big" about a packet of the host, of `length` bytes, which is quoted in part.
Bytes TooBig(bool v4, uint32_t mtu, uint8_t protocol, View transport, size_t length) {
  if (v4) {
    Bytes quote = Ipv4({.protocol = protocol,
                        .source = kHostIp,
                        .destination = kPeerIp,
                        .fragment = 0x4000,
                        .total_length = static_cast<uint16_t>(length)},
                       transport.first(8));
    Bytes icmp = IcmpEcho(3, 0, static_cast<uint16_t>(mtu), quote);
    icmp[1] = std::byte{4};
    Put16(icmp, 2, 0);
    Put16(icmp, 2, static_cast<uint16_t>(~NaiveSum(icmp)));
    return Ethernet({}, Ipv4({.protocol = 1}, icmp));
  }
  const Bytes quote = Ipv6({.protocol = protocol,
                            .source = kHostIp6,
                            .destination = kPeerIp6,
                            .payload_length = static_cast<uint16_t>(length - 40)},
                           transport.first(std::min<size_t>(transport.size(), 1000)));
  return Ethernet({.type = 0x86dd}, Ipv6({.protocol = 58}, Icmp6({.type = 2, .word = mtu}, quote)));
}

Bytes UdpTooBig(bool v4, uint32_t mtu, size_t length = 1500) {
  return TooBig(v4, mtu, 17, v4 ? Udp(7, 4000, Filler(1000)) : Udp6(7, 4000, Filler(1000)), length);
}

TEST(PathMtu, WhatIsBelieved) {
  struct {
    bool v4;
    uint32_t mtu, length;
    const char* reason;
    uint32_t after;
    bool cut_by_routers;
  } const cases[] = {
      {true, 1400, 1500, "kConsumed", 1400, false},
      {true, 1500, 1500, "kIcmpIgnored", 1500, false},   // it says that the packet would have fitted
      {true, 2000, 1500, "kIcmpIgnored", 1500, false},
      {true, 1400, 1400, "kIcmpIgnored", 1500, false},
      {true, 1400, 1000, "kIcmpIgnored", 1500, false},
      {true, 1499, 1500, "kConsumed", 1499, false},
      {true, 552, 1500, "kConsumed", 552, false},
      {true, 551, 1500, "kConsumed", 552, true},         // min_pmtu: narrower paths cut our packets themselves
      {true, 68, 1500, "kConsumed", 552, true},
      {true, 1, 1500, "kConsumed", 552, true},
      {true, 0, 1500, "kConsumed", 1492, false},         // RFC 1191 §7.1: the next plateau below the packet
      {true, 0, 1492, "kConsumed", 1006, false},
      {true, 0, 1006, "kConsumed", 552, true},
      {false, 1400, 1500, "kConsumed", 1400, false},
      {false, 1280, 1500, "kConsumed", 1280, false},
      {false, 1279, 1500, "kIcmpIgnored", 1500, false},  // RFC 8201 §4
      {false, 0, 1500, "kIcmpIgnored", 1500, false},
      {false, 1500, 1500, "kIcmpIgnored", 1500, false},
      {false, 0x80000000, 1500, "kIcmpIgnored", 1500, false},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(absl::StrCat(c.v4 ? "IPv4 " : "IPv6 ", c.mtu, " of ", c.length));
    FragmentHost host;
    EXPECT_EQ(c.reason, host.Take(UdpTooBig(c.v4, c.mtu, c.length)));
    EXPECT_EQ(c.after, PathMtu(host.inet().ip, Peer(c.v4)));
    const netstack::PathMtuEntry* entry = host.inet().ip.path_mtu.Find(Peer(c.v4));
    EXPECT_EQ(c.cut_by_routers, entry != nullptr && entry->locked);
    EXPECT_EQ(1500u, PathMtu(host.inet().ip, IpAddress::V4(kPeerIp + 1)));
  }
}

// Nothing happens for sockets that are not there.
TEST(PathMtu, OnlyWithALiveSocket) {
  for (const bool v4 : kBoth) {
    FragmentHost host;
    EXPECT_EQ("kIcmpNoSocket", host.Take(TooBig(v4, 1400, 17, Udp(8, 4000, Filler(20)), 1500)));
    EXPECT_EQ("kIcmpNoSocket", host.Take(TooBig(v4, 1400, 6, Tcp({.source_port = 8}, Filler(20)), 1500)));
    host.sock().remote = {Peer(v4), 4001};
    EXPECT_EQ("kIcmpNoSocket", host.Take(UdpTooBig(v4, 1400)));
    EXPECT_EQ(1500u, PathMtu(host.inet().ip, Peer(v4)));
    // A connected socket is told besides, as on Linux: the datagram was lost.
    host.sock().remote = {Peer(v4), 4000};
    EXPECT_EQ("kConsumed", host.Take(UdpTooBig(v4, 1400)));
    EXPECT_EQ(1400u, PathMtu(host.inet().ip, Peer(v4)));
    EXPECT_EQ(EMSGSIZE, host.sock().receive_queue.error);
  }
}

// It only gets less; ten minutes after it was last lowered the larger packets are tried again (RFC 1191 §6.3).
TEST(PathMtu, AgesOut) {
  for (const bool v4 : kBoth) {
    FragmentHost host;
    EXPECT_EQ("kConsumed", host.Take(UdpTooBig(v4, 1450)));
    host.Advance(300 * kSecond);
    EXPECT_EQ("kConsumed", host.Take(UdpTooBig(v4, 1400)));
    EXPECT_EQ("kIcmpIgnored", host.Take(UdpTooBig(v4, 1450)));
    EXPECT_EQ("kIcmpIgnored", host.Take(UdpTooBig(v4, 1400)));
    host.Advance(599 * kSecond);
    EXPECT_EQ(1400u, PathMtu(host.inet().ip, Peer(v4)));
    host.Advance(2 * kSecond);
    EXPECT_EQ(1500u, PathMtu(host.inet().ip, Peer(v4)));
    while (host.has_sent()) host.TakeSent();
  }
}

TEST(PathMtu, Bounded) {
  runtime::TimerWheel timers(kSecond);
  PathMtuCache cache(timers, {1, 2});
  for (uint32_t i = 0; i < 3 * PathMtuCache::kEntries; ++i) {
    EXPECT_TRUE(cache.Lower(IpAddress::V4(i), 1400, 1500, 1500, kSecond + i));
    ASSERT_GE(PathMtuCache::kEntries, timers.armed());
  }
  EXPECT_EQ(nullptr, cache.Find(IpAddress::V4(0)));  // the oldest made room
  EXPECT_NE(nullptr, cache.Find(IpAddress::V4(3 * PathMtuCache::kEntries - 1)));
  timers.Advance(kSecond + PathMtuCache::kExpiry + kSecond);
  EXPECT_EQ(0u, timers.armed());
  EXPECT_EQ(nullptr, cache.Find(IpAddress::V4(3 * PathMtuCache::kEntries - 1)));
}

// What does not fit the path is cut, what fits goes with DF; where routers are to cut, without.
TEST(PathMtu, Udp) {
  for (const bool v4 : kBoth) {
    FragmentHost host;
    EXPECT_EQ("kConsumed", host.Take(UdpTooBig(v4, 1300)));
    const Endpoint peer{Peer(v4), 4000};
    const size_t fits = UdpMaxPayload(host.inet().udp, peer);
    EXPECT_EQ(v4 ? 1272u : 1252u, fits);
    for (const size_t n : {fits, fits + 1}) {
      const Bytes payload = Filler(n);
      const iovec piece{const_cast<std::byte*>(payload.data()), n};
      EXPECT_EQ(netstack::DropReason::kConsumed,
                UdpSendmsg(host.inet().udp, host.sock(), std::span(&piece, 1), peer, host.now()));
      host.Turn();
      if (n == fits) {
        const Bytes frame = host.TakeSent().frame;
        EXPECT_EQ(1314u, frame.size());
        if (v4) EXPECT_EQ(0x4000, Get16(frame, 20));
        EXPECT_FALSE(host.has_sent());
      } else {
        size_t frames = 0;
        EXPECT_EQ(8 + n, host.Join(&frames).size());
        EXPECT_EQ(2u, frames);
      }
    }
  }
  FragmentHost host;
  EXPECT_EQ("kConsumed", host.Take(UdpTooBig(true, 300)));
  runtime::Frame* frame = host.pool().Alloc();
  frame->len = 100;
  EXPECT_EQ(netstack::DropReason::kConsumed,
            UdpSendmsg(host.inet().udp, host.sock(), frame, {Peer(true), 4000}, host.now()));
  host.Turn();
  EXPECT_EQ(0, Get16(host.TakeSent().frame, 20));
}

// ---- TCP

Bytes TcpTooBig(TcpTrace& t, uint32_t offset, uint32_t mtu, size_t length = 1500) {
  return TooBig(true, mtu, 6, Tcp({.source_port = 80, .destination_port = 40000, .seq = t.iss() + offset}, {}), length);
}

void ExpectStream(TcpTrace& t, double ms, uint32_t from, uint32_t to, uint32_t mss) {
  for (uint32_t at = from; at < to; at += mss) {
    const uint32_t end = std::min(at + mss, to);
    t.Out(ms, absl::StrCat(end == to ? "PA " : "A ", at, ":", end, " ack 1"));
  }
}

// RFC 1191 §6.4, RFC 8201 §5.4: what is outstanding goes again at once, in segments that fit, and what follows too.
TEST(PathMtuTcp, SendsAgainInSmallerSegments) {
  TcpTrace t;
  t.Establish();
  t.Send(4 * 1460);
  for (int i = 0; i < 4; ++i) {
    t.Out(0, absl::StrCat(i == 3 ? "PA " : "A ", 1 + i * 1460, ":", 1 + (i + 1) * 1460, " ack 1"));
  }
  const uint32_t cwnd = t.sock().congestion.cwnd();
  t.Quiet(10);
  t.host().Receive(TcpTooBig(t, 1, 1000));
  EXPECT_EQ(960, t.sock().snd.mss);
  // Frames are cut where they are: 960 and 500 bytes of each.
  for (uint32_t i = 0; i < 4; ++i) {
    const uint32_t at = 1 + i * 1460;
    t.Out(10, absl::StrCat("A ", at, ":", at + 960, " ack 1"));
    t.Out(10, absl::StrCat(i == 3 ? "PA " : "A ", at + 960, ":", at + 1460, " ack 1"));
  }
  EXPECT_EQ(cwnd, t.sock().congestion.cwnd());
  // The router told of each of the four segments: once is enough.
  for (uint32_t i = 1; i < 4; ++i) {
    t.host().Receive(TcpTooBig(t, 1 + i * 1460, 1000));
    EXPECT_EQ(netstack::DropReason::kIcmpIgnored, t.last());
  }
  t.In(20, "A 1:1 ack 5841 win 65535");
  t.Send(2000);
  ExpectStream(t, 20, 5841, 7841, 960);
  t.In(30, "A 1:1 ack 7841 win 65535");
  // Ten minutes later the path may have become wider.
  t.Quiet(601000);
  t.Send(1);
  t.Out(601000, "PA 7841:7842 ack 1");
  t.In(601001, "A 1:1 ack 7842 win 65535");
  t.Send(2000);
  ExpectStream(t, 601001, 7842, 9842, 1460);
  t.In(601002, "A 1:1 ack 9842 win 65535");
}

// IP_MTU_DISCOVER with kDont: what is under way gets there in fragments, and only what follows is smaller
// (tcp_v4_mtu_reduced).
TEST(PathMtuTcp, WhatMayBeCutIsNotSentAgain) {
  TcpTrace t;
  t.Establish();
  EXPECT_EQ(0, TcpSetOption(t.sock(), netstack::TcpSockOption::kMtuDiscover,
                            static_cast<uint64_t>(netstack::TcpMtuDiscover::kDont)));
  t.Send(1460);
  t.Out(0, "PA 1:1461 ack 1");
  t.host().Receive(TcpTooBig(t, 1, 1000));
  EXPECT_EQ(netstack::DropReason::kConsumed, t.last());
  t.Quiet(10);
  t.In(10, "A 1:1 ack 1461 win 65535");
  t.Send(2000);
  ExpectStream(t, 10, 1461, 3461, 960);
}

// Another connection to the same host, and a FIN that is outstanding too.
TEST(PathMtuTcp, OtherConnectionsAndTheFin) {
  TcpTrace t;
  t.Establish();
  t.From(40001);
  t.Establish();
  t.From(40000);
  t.Send(1460);
  t.Out(0, "PA 1:1461 ack 1");
  t.Shutdown();
  t.Out(0, "FA 1461:1461 ack 1");
  t.host().Receive(TcpTooBig(t, 1, 1000));
  t.Out(0, "A 1:961 ack 1");
  t.Out(0, "FPA 961:1461 ack 1");  // the FIN, which had gone by itself, goes with the rest (tcp_retrans_collapse)
  t.From(40001);
  t.Send(1460);
  t.Out(0, "A 1:961 ack 1");
  t.Out(0, "PA 961:1461 ack 1");
  // A new one begins with it; what it tells the peer is what it can receive (RFC 9293 §3.7.1).
  t.From(40002);
  t.Establish();
  EXPECT_EQ(960, t.sock().snd.mss);
  EXPECT_EQ(1460, t.sock().rcv.advmss);
}

// A segment that is on the device cannot be written to yet: it follows.
TEST(PathMtuTcp, WhileTheDeviceReads) {
  TcpTrace::Options options;
  options.host.hold_tx = true;
  TcpTrace t(options);
  t.Establish();
  t.host().CompleteTx();
  t.Send(1460);
  t.Out(0, "PA 1:1461 ack 1");
  t.host().Receive(TcpTooBig(t, 1, 1000));
  EXPECT_EQ(960, t.sock().snd.mss);
  t.Quiet(100);
  t.host().CompleteTx();
  t.Out(200, "A 1:961 ack 1");
  t.host().CompleteTx();
  t.In(201, "A 1:1 ack 961 win 65535");
  t.Out(201, "PA 961:1461 ack 1");
  t.host().CompleteTx();
}

// RFC 5927 §7: forged errors at most make segments small, and never smaller than the floor.
TEST(PathMtuTcp, Floor) {
  TcpTrace t;
  t.Establish();
  t.Send(1460);
  t.Out(0, "PA 1:1461 ack 1");
  testing::Random random;
  for (int i = 0; i < 2000; ++i) {
    const auto offset = static_cast<uint32_t>(1 + random.Below(1460)), mtu = static_cast<uint32_t>(random.Below(1500));
    t.host().Receive(TcpTooBig(t, offset, mtu));
    EXPECT_LE(512, t.sock().snd.mss);
  }
  EXPECT_EQ(512, t.sock().snd.mss);
  t.Drain();
}

}  // namespace
}  // namespace weir::testing_support
