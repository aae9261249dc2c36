// IP_TOS, IP_TTL and IP_MTU_DISCOVER of connections and listeners: what the IP headers of their segments say.
#include <gtest/gtest.h>

#include <string>

#include "netstack/tcp/tcp_sock_options.h"
#include "tests/support/tcp_trace.h"

namespace weir::testing_support {
namespace {

using netstack::DropReason;
using netstack::TcpGetOption;
using netstack::TcpMtuDiscover;
using netstack::TcpSetOption;
using netstack::TcpSockOption;
using enum netstack::TcpSockOption;

struct Header {
  uint8_t tos, ttl;
  uint16_t id, fragment;
};

// The header of the packet that was sent and not looked at yet.
Header Next(TcpTrace& t) {
  EXPECT_TRUE(t.host().has_sent());
  if (!t.host().has_sent()) return {};
  const Bytes& frame = t.host().next_sent();
  constexpr size_t kIp = 14;
  return {static_cast<uint8_t>(frame[kIp + 1]), static_cast<uint8_t>(frame[kIp + 8]), Get16(frame, kIp + 4),
          Get16(frame, kIp + 6)};
}

constexpr uint16_t kDf = 0x4000;

TEST(IpOptions, OfAnActiveOpen) {
  TcpTrace t;
  t.ExpectTtl(7);
  t.Connect(443, {.tos = 0xbb, .ttl = 7});  // RFC 2474 §3: 0xb8; the two bits of ECN are not the program's
  EXPECT_EQ(0xb8, Next(t).tos);
  EXPECT_EQ(7, Next(t).ttl);
  t.Out(0, "S  0:0       <mss 1460, sackOK, ts, wscale 7>");
  EXPECT_EQ(0xb8u, TcpGetOption(t.sock(), kTos));
  EXPECT_EQ(7u, TcpGetOption(t.sock(), kTtl));
  t.In (1, "SA 0:0 ack 1 win 65535 <mss 1460>");
  EXPECT_EQ(0xb8, Next(t).tos);
  t.Out(1, "A  1:1 ack 1");
}

// What is set is in the very next segment, though the way and its header are known.
TEST(IpOptions, WhileConnected) {
  TcpTrace t;
  t.Establish();
  uint32_t seq = 1;
  const auto send = [&] {
    t.Send(1);
    const Header header = Next(t);
    t.Out(0, "PA " + std::to_string(seq) + ":" + std::to_string(seq + 1) + " ack 1");
    t.In (0, "A 1:1 ack " + std::to_string(++seq) + " win 65535");
    return header;
  };
  EXPECT_EQ(0, send().tos);
  EXPECT_EQ(64, send().ttl);
  EXPECT_EQ(64u, TcpGetOption(t.sock(), kTtl));
  EXPECT_EQ(0, TcpSetOption(t.sock(), kTos, 0x28));
  EXPECT_EQ(0, TcpSetOption(t.sock(), kTtl, 255));
  t.ExpectTtl(255);
  EXPECT_EQ(0x28, send().tos);
  EXPECT_EQ(255, send().ttl);
  EXPECT_EQ(0, TcpSetOption(t.sock(), kTtl, 0));
  t.ExpectTtl(64);
  EXPECT_EQ(64, send().ttl);
}

// RFC 3168 §6.1: data of a connection with ECN is ECT(0), whatever else the field says.
TEST(IpOptions, TosBesidesEcn) {
  TcpTrace t({.host = {.tcp = {.ecn = 1}}});
  t.Listen(80);
  t.In (0, "SEW 0:0       win 65535 <mss 1460>");
  t.Out(0, "SAE 0:0 ack 1 <mss 1460>");
  t.In (1, "A   1:1 ack 1 win 65535");
  t.Accept();
  EXPECT_EQ(0, TcpSetOption(t.sock(), kTos, 0xff));
  EXPECT_EQ(0xfcu, TcpGetOption(t.sock(), kTos));
  t.Send(10);
  EXPECT_EQ(0xfe, Next(t).tos);
  t.Drain();
}

// From the SYN and ACK on, remembered or not (RFC 4987 §3.6).
TEST(IpOptions, OfAListener) {
  TcpTrace t;
  t.Listen(80, 1);
  auto& options = t.listener().inherited.options;
  options[static_cast<size_t>(kTos)] = 0x28;
  options[static_cast<size_t>(kTtl)] = 3;
  t.ExpectTtl(3);
  for (uint16_t port : {40000, 40001}) {
    t.From(port);
    t.In (0, "S  0:0       win 65535 <mss 1460>");
    EXPECT_EQ(0x28, Next(t).tos);
    EXPECT_EQ(3, Next(t).ttl);
    t.Out(0, "SA 0:0 ack 1 <mss 1460>");
  }
  EXPECT_EQ(1u, t.tcp().counters.syncookies_sent);
  t.In (1, "A  1:1 ack 1 win 65535");
  t.Accept();
  t.Send(10);
  EXPECT_EQ(0x28, Next(t).tos);
  EXPECT_EQ(3, Next(t).ttl);
  t.Out(1, "PA 1:11 ack 1");
  t.From(40000);
  t.In (2, "R  1:1");
  t.From(40001);
}

// RFC 6864 §4.1: what may be cut into fragments has an ID of its own.
TEST(IpOptions, MtuDiscover) {
  TcpTrace t;
  t.Establish();
  const auto send = [&] {
    t.Send(1);
    const Header header = Next(t);
    t.Drain();
    return header;
  };
  EXPECT_EQ(kDf, send().fragment);
  EXPECT_EQ(static_cast<uint64_t>(TcpMtuDiscover::kWant), TcpGetOption(t.sock(), kMtuDiscover));
  EXPECT_EQ(0, TcpSetOption(t.sock(), kMtuDiscover, static_cast<uint64_t>(TcpMtuDiscover::kDont)));
  EXPECT_EQ(static_cast<uint64_t>(TcpMtuDiscover::kDont), TcpGetOption(t.sock(), kMtuDiscover));
  EXPECT_EQ(0, send().fragment);
  const uint16_t id = send().id;
  EXPECT_NE(id, send().id);
  EXPECT_EQ(0, TcpSetOption(t.sock(), kMtuDiscover, static_cast<uint64_t>(TcpMtuDiscover::kDo)));
  EXPECT_EQ(kDf, send().fragment);
}

TEST(IpOptions, TosInTimeWait) {
  TcpTrace t;
  t.Establish();
  EXPECT_EQ(0, TcpSetOption(t.sock(), kTos, 0x28));
  t.Close();
  t.Out(0, "FA 1:1 ack 1");
  for (const double ms : {1, 1000}) {
    t.In (ms, "FA 1:1 ack 2 win 65535");
    EXPECT_EQ(0x28, Next(t).tos);
    t.Out(ms, "A  2:2 ack 2");
  }
}

// RFC 5082 §3, IP_MINTTL. The peer's segments have a TTL of 64.
TEST(IpOptions, MinTtl) {
  TcpTrace t;
  t.Establish({.quick = true});
  EXPECT_EQ(0u, TcpGetOption(t.sock(), kMinTtl));
  EXPECT_EQ(0, TcpSetOption(t.sock(), kMinTtl, 65));
  EXPECT_EQ(65u, TcpGetOption(t.sock(), kMinTtl));
  for (const char* line : {"PA 1:11 ack 1 win 65535", "R 1:1"}) {
    t.In(0, line);
    EXPECT_EQ(DropReason::kTcpMinTtl, t.last());
  }
  for (const uint64_t ttl : {64, 0}) {
    EXPECT_EQ(0, TcpSetOption(t.sock(), kMinTtl, ttl));
    t.In (0, ttl == 64 ? "PA 1:11  ack 1 win 65535" : "PA 11:21 ack 1 win 65535");
    t.Out(0, ttl == 64 ? "A  1:1   ack 11" : "A  1:1   ack 21");
    t.Read(10);
  }
}

TEST(IpOptions, MinTtlOfAListener) {
  TcpTrace t;
  t.Listen(80);
  auto& option = t.listener().inherited.options[static_cast<size_t>(kMinTtl)];
  option = 65;
  t.In (0, "S  0:0       win 65535 <mss 1460>");
  EXPECT_EQ(DropReason::kTcpMinTtl, t.last());
  option = 64;
  t.In (0, "S  0:0       win 65535 <mss 1460>");
  t.Out(0, "SA 0:0 ack 1 <mss 1460>");
  t.In (1, "A  1:1 ack 1 win 65535");
  t.Accept();
  EXPECT_EQ(64u, TcpGetOption(t.sock(), kMinTtl));
}

}  // namespace
}  // namespace weir::testing_support
