// Connections from an address and a port that the program names: bind(2) before connect(2), RFC 9293 §3.9.1 OPEN with
// its local endpoint. SO_REUSEADDR, IP_BIND_ADDRESS_NO_PORT and TIME-WAIT as in Linux.
#include <gtest/gtest.h>

#include <cerrno>
#include <set>

#include "netstack/tcp/tcp_input.h"
#include "netstack/tcp/tcp_user_calls.h"
#include "tests/support/tcp_trace.h"

namespace weir::testing_support {
namespace {

using netstack::TcpConnectOptions;
using netstack::TcpListenSock;
using netstack::TcpSock;
using netstack::TcpState;

constexpr uint32_t kSecondIp = kHostIp + 100;

class Bind : public ::testing::Test {
 protected:
  netstack::TcpContext& tcp() { return host_.inet().tcp; }
  TcpSock* Connect(const Endpoint& local, uint16_t peer_port = 443) {
    return TcpConnect(tcp(), {IpAddress::V4(kPeerIp), peer_port}, host_.now(), &error_, {.local = local});
  }
  void EndAll() {
    tcp().demux.ForEach([&](TcpSock& sock) {
      TcpAbort(sock, host_.now());
      TcpClose(sock, host_.now());
    });
    host_.Turn();
  }

  InetTestHost host_;
  int error_ = 0;
};

TEST_F(Bind, AddressAndPort) {
  const IpPrefix prefix{IpAddress::V4(kSecondIp), 24};
  ASSERT_TRUE(host_.inet().ip.AddAddress(host_.interface(), {prefix, netstack::AddressState::kPreferred}));
  const Endpoint first{IpAddress::V4(kHostIp), 40000}, second{IpAddress::V4(kSecondIp), 40000};
  TcpSock* sock = Connect({{}, 40000});  // the route says which address
  ASSERT_NE(nullptr, sock);
  EXPECT_EQ(first, sock->local);
  sock = Connect(second);
  ASSERT_NE(nullptr, sock);
  EXPECT_EQ(second, sock->local);
  sock = Connect({second.ip, 0});  // IP_BIND_ADDRESS_NO_PORT
  ASSERT_NE(nullptr, sock);
  EXPECT_EQ(second.ip, sock->local.ip);
  EXPECT_LE(32768, sock->local.port);
  sock = Connect({IpAddress::V4(0), 40001});
  ASSERT_NE(nullptr, sock);
  EXPECT_EQ(first.ip, sock->local.ip);
  EndAll();
}

// IPV6_V6ONLY: "::" is then for IPv6 alone, and leaves room for a listener of IPv4 beside it.
TEST_F(Bind, ListenersOfOneVersion) {
  TcpListenSock six, both, four;
  six.v6only = true;
  ASSERT_EQ(0, TcpListen(tcp(), six, {{}, 80}, 1));
  EXPECT_EQ(EADDRINUSE, TcpListen(tcp(), both, {{}, 80}, 1));
  EXPECT_EQ(nullptr, tcp().demux.FindListener({IpAddress::V4(kHostIp), 80}));
  ASSERT_EQ(0, TcpListen(tcp(), four, {IpAddress::V4(0), 80}, 1));
  EXPECT_EQ(&four, tcp().demux.FindListener({IpAddress::V4(kHostIp), 80}));
  EXPECT_EQ(&six, tcp().demux.FindListener({IpAddress::Parse("fd00::1").value(), 80}));
  TcpUnlisten(tcp(), six, host_.now());
  TcpUnlisten(tcp(), four, host_.now());
}

TEST_F(Bind, OnePortForManyPeers) {
  for (uint16_t peer_port : {443, 444}) {
    TcpSock* sock = Connect({{}, 40000}, peer_port);
    ASSERT_NE(nullptr, sock);
    EXPECT_EQ(40000, sock->local.port);
  }
  // RFC 9293 §3.10.1: "connection already exists".
  EXPECT_EQ(nullptr, Connect({{}, 40000}));
  EXPECT_EQ(EADDRINUSE, error_);
  EndAll();
}

// ip_local_port_range: every one of them and no other.
TEST_F(Bind, PortsOfTheRange) {
  tcp().settings.local_ports = {1024, 1027};
  std::set<uint16_t> ports;
  for (int i = 0; i < 4; ++i) {
    TcpSock* sock = Connect({});
    ASSERT_NE(nullptr, sock);
    ports.insert(sock->local.port);
  }
  EXPECT_EQ((std::set<uint16_t>{1024, 1025, 1026, 1027}), ports);
  EXPECT_EQ(nullptr, Connect({}));
  EXPECT_EQ(EADDRNOTAVAIL, error_);
  EndAll();
  TcpListenSock listener;
  ASSERT_EQ(0, TcpListen(tcp(), listener, {}, 4));
  EXPECT_EQ(1u, ports.count(listener.local.port));
  TcpUnlisten(tcp(), listener, host_.now());
}

TEST_F(Bind, Refused) {
  EXPECT_EQ(nullptr, Connect({IpAddress::V4(kPeerIp), 0}));
  EXPECT_EQ(EADDRNOTAVAIL, error_);
  EXPECT_EQ(nullptr, Connect({IpAddress::V4(0xe0000001), 0}));
  EXPECT_EQ(EADDRNOTAVAIL, error_);
  EXPECT_EQ(nullptr, Connect({*IpAddress::Parse("fd00::1"), 0}));
  EXPECT_EQ(EINVAL, error_);
  TcpListenSock listener;
  ASSERT_EQ(0, TcpListen(tcp(), listener, {{}, 40000}, 4));
  EXPECT_EQ(nullptr, Connect({{}, 40000}));
  EXPECT_EQ(EADDRINUSE, error_);
  TcpUnlisten(tcp(), listener, host_.now());
  EXPECT_NE(nullptr, Connect({{}, 40000}));
  EndAll();
  EXPECT_EQ(0u, tcp().sockets);
}

// RFC 9293 §3.5, figure 7: each program names both ends.
TEST(BindTrace, SimultaneousOpen) {
  TcpTrace t;
  t.Connect(443, {.local = {{}, 443}});
  t.Out(0, "S  0:0       <mss 1460, sackOK, ts, wscale 7>");
  EXPECT_EQ(443, t.sock().local.port);
  t.In (1, "S  0:0       win 65535 <mss 1460>");
  t.Out(1, "SA 0:0 ack 1 win 65535 <mss 1460>");
  t.In (2, "SA 0:0 ack 1 win 65535 <mss 1460>");
  t.Out(2, "A  1:1 ack 1");
  EXPECT_EQ(TcpState::kEstablished, t.sock().state);
}

// A connection from port 443 to port 443 that ends in TIME-WAIT at 2 ms.
void ToTimeWait(TcpTrace& t, bool timestamps) {
  t.Connect(443, {.local = {{}, 443}});
  t.Out(0, "S  0:0         <mss 1460, sackOK, ts, wscale 7>");
  t.In (1, timestamps ? "SA 0:0 ack 1   win 65535 <mss 1460, ts 1 ecr 0>" : "SA 0:0 ack 1   win 65535 <mss 1460>");
  t.Out(1, "A  1:1 ack 1");
  t.Close();
  t.Out(1, "FA 1:1 ack 1");
  t.In (2, "FA 1:1 ack 2   win 65535");
  t.Out(2, "A  2:2 ack 2");
  ASSERT_EQ(1u, t.tcp().time_wait.count());
}

// Whoever names the port of a connection in TIME-WAIT gets it, where timestamps tell old segments from new ones (RFC
// 6191 §2; tcp_twsk_unique without a twp); tcp_tw_reuse is for ports that the stack chooses.
TEST(BindTrace, APortInTimeWait) {
  TcpTrace t({.host = {.tcp = {.tw_reuse = 0}}});
  ToTimeWait(t, /*timestamps=*/true);
  const uint32_t old = t.iss();
  t.Connect(443, {.local = {{}, 443}});
  t.Out(2, "S  0:0 <mss 1460, sackOK, ts, wscale 7>");
  EXPECT_LT(2, static_cast<int32_t>(t.iss() - old));  // RFC 9293 §3.6.1
  EXPECT_EQ(1u, t.tcp().counters.time_wait_reused);
  EXPECT_EQ(0u, t.tcp().time_wait.count());
}

TEST(BindTrace, APortInTimeWaitWithoutTimestamps) {
  TcpTrace t({.host = {.tcp = {.tw_reuse = 1}}});
  ToTimeWait(t, /*timestamps=*/false);
  int error = 0;
  EXPECT_EQ(nullptr, TcpConnect(t.tcp(), {IpAddress::V4(kPeerIp), 443}, t.host().now(), &error, {.local = {{}, 443}}));
  EXPECT_EQ(EADDRINUSE, error);
  t.Quiet(60003);
  t.ExpectGone();
}

// SO_REUSEADDR: what is over, or under way, is not in a listener's way.
TEST(BindTrace, AListenerBesidesTimeWait) {
  TcpTrace t;
  ToTimeWait(t, /*timestamps=*/true);
  t.Listen(443);
  t.In (10, "FA 1:1 ack 2 win 65535");  // the old connection is still there
  t.Out(10, "A  2:2 ack 2");
}

}  // namespace
}  // namespace weir::testing_support
