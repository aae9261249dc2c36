// Peers that say nothing: keepalive RFC 9293 §3.8.4, user timeout RFC 5482 and TCP_USER_TIMEOUT; and connections that
// their program has closed: SO_LINGER, tcp_max_orphans, tcp_fin_timeout.
#include "netstack/tcp/tcp_keepalive.h"

#include <gtest/gtest.h>

#include <cerrno>

#include "netstack/tcp/tcp_user_calls.h"
#include "tests/support/tcp_trace.h"

namespace weir::testing_support {
namespace {

using netstack::TcpState;

// RFC 9293 §3.8.4: a segment without data, of an old number, which the peer answers; then silence counts anew.
TEST(KeepAlive, AsksAfterSilenceOnly) {
  TcpTrace t;
  t.Establish();
  TcpSetKeepAlive(t.sock(), 10, 2, 3, t.host().now());
  t.In (5000,  "PA 1:101   ack 1 win 65535");
  t.Out(5040,  "A  1:1     ack 101");
  t.Read(100);
  t.Out(15000, "A  0:0     ack 101");
  t.In (15001, "A  101:101 ack 1 win 65535");
  t.Out(25001, "A  0:0     ack 101");
  t.Out(27001, "A  0:0     ack 101");
  t.In (27002, "A  101:101 ack 1 win 65535");
  t.Out(37002, "A  0:0     ack 101");
  t.Out(39002, "A  0:0     ack 101");
  t.Out(41002, "A  0:0     ack 101");
  EXPECT_EQ(0, t.sock().error);
  t.Out(43002, "RA 1:1     ack 101");
  EXPECT_EQ(ETIMEDOUT, t.sock().error);
}

// RFC 9293 §3.8.4: off unless the program asks; and it may change its mind.
TEST(KeepAlive, IsOffUntilAskedFor) {
  TcpTrace t;
  t.Establish();
  t.Quiet(24 * 3600 * 1000.0);
  TcpSetKeepAlive(t.sock(), 1, 1, 1, t.host().now());
  TcpSetKeepAlive(t.sock(), 0, 0, 0, t.host().now());
  t.Quiet(25 * 3600 * 1000.0);
}

// While something is under way its own timers ask.
TEST(KeepAlive, NotBesideRetransmission) {
  TcpTrace t;
  t.Establish();
  TcpSetKeepAlive(t.sock(), 1, 1, 1, t.host().now());
  t.Send(10);
  t.Out(0,    "PA 1:11 ack 1");
  for (double ms : {200, 600, 1400, 3000}) t.Out(ms, "PA 1:11 ack 1");
  t.In (3001, "A  1:1  ack 11 win 65535");
  t.Out(4001, "A  10:10 ack 1");
  t.Out(5001, "RA 11:11 ack 1");
}

TEST(KeepAlive, EndsWithTheConnection) {
  TcpTrace t;
  t.Establish();
  TcpSetKeepAlive(t.sock(), 1, 1, 1, t.host().now());
  t.Close();
  t.Out(0, "FA 1:1 ack 1");
  t.In (1, "FA 1:1 ack 2 win 65535");
  t.Out(1, "A  2:2 ack 2");
  t.Quiet(60002);
  t.ExpectGone();
}

// The user timeout takes the place of the count (tcp_keepalive_timer).
TEST(KeepAlive, UserTimeoutEndsIt) {
  TcpTrace t;
  t.Establish();
  TcpSetKeepAlive(t.sock(), 1, 1, 1, t.host().now());
  TcpSetUserTimeout(t.sock(), 3500 * kMillisecond);
  for (double ms : {1000, 2000, 3000}) t.Out(ms, "A 0:0 ack 1");
  t.Out(4000, "RA 1:1 ack 1");
  EXPECT_EQ(ETIMEDOUT, t.sock().error);
}

// RFC 5482 §1: how long transmitted data may remain unacknowledged; the last retransmission does not wait beyond it.
TEST(UserTimeout, OfData) {
  TcpTrace t;
  t.Establish();
  TcpSetUserTimeout(t.sock(), 1 * kSecond);
  t.Send(10);
  for (double ms : {0, 200, 600}) t.Out(ms, "PA 1:11 ack 1");
  t.Quiet(999);
  EXPECT_EQ(0, t.sock().error);
  t.Quiet(1001);
  EXPECT_EQ(ETIMEDOUT, t.sock().error);
}

// It counts from the oldest byte that is not acknowledged, and may be longer than tcp_retries2 would allow.
TEST(UserTimeout, ProgressBeginsItAnewAndItMayBeLong) {
  TcpTrace t;
  t.Establish();
  TcpSetUserTimeout(t.sock(), 2000 * kSecond);
  t.Send(10);
  t.Out(0,   "PA 1:11 ack 1");
  t.In (100, "A  1:1  ack 11 win 65535");
  t.Send(10);
  while (t.host().now() < 1900 * kSecond) t.Drain(1'900'000);
  EXPECT_EQ(0, t.sock().error);
  t.Drain(2'001'200);
  EXPECT_EQ(ETIMEDOUT, t.sock().error);
}

// A closed window may stay closed for ever (RFC 9293 §3.8.6.1), but not beyond the user timeout.
TEST(UserTimeout, OfAClosedWindow) {
  TcpTrace t;
  t.Establish({.window = 0});
  TcpSetUserTimeout(t.sock(), 1500 * kMillisecond);
  t.Send(10);
  t.Out(200,  "A 0:0 ack 1");
  t.In (201,  "A 1:1 ack 1 win 0");
  t.Out(600,  "A 0:0 ack 1");
  t.In (601,  "A 1:1 ack 1 win 0");
  t.Out(1400, "A 0:0 ack 1");
  t.In (1401, "A 1:1 ack 1 win 0");
  EXPECT_EQ(0, t.sock().error);
  t.Quiet(3100);
  EXPECT_EQ(ETIMEDOUT, t.sock().error);
}

TEST(UserTimeout, OfASyn) {
  TcpTrace t;
  t.Connect(443);
  TcpSetUserTimeout(t.sock(), 2 * kSecond);
  for (double ms : {0, 1000}) t.Out(ms, "S 0:0 <mss 1460, sackOK, ts, wscale 7>");
  t.Quiet(2001);
  EXPECT_EQ(ETIMEDOUT, t.sock().error);
}

// SO_LINGER with a time of 0: closing is an ABORT (RFC 9293 §3.10.5).
TEST(Linger, ZeroResets) {
  TcpTrace t;
  t.Establish();
  t.sock().reset_on_close = true;
  t.Send(10);
  t.Out(0, "PA 1:11 ack 1");
  t.Close();
  t.Out(0, "RA 11:11 ack 1");
  t.ExpectGone();
}

// tcp_need_reset: after both FINs there is nothing left to give up.
TEST(Linger, ZeroDoesNotResetTheLastAck) {
  TcpTrace t;
  t.Establish();
  t.sock().reset_on_close = true;
  t.In (0, "FA 1:1 ack 1 win 65535");
  t.Out(0, "A  1:1 ack 2");
  t.Shutdown();
  t.Out(0, "FA 1:1 ack 2");
  t.Close();
  t.In (1, "A  2:2 ack 2 win 65535");
  t.ExpectGone();
}

TEST(Orphans, AreBound) {
  TcpTrace t({.host = {.tcp = {.max_orphans = 1}}});
  for (uint16_t port : {40000, 40001}) {
    t.From(port);
    t.Establish();
  }
  t.From(40000);
  t.Close();
  t.Out(0, "FA 1:1 ack 1");
  EXPECT_EQ(1u, t.tcp().orphans);
  t.From(40001);
  t.Close();
  t.Out(0, "RA 1:1 ack 1");
  EXPECT_EQ(1u, t.tcp().counters.orphans_reset);
  t.From(40000);
  t.In (1, "FA 1:1 ack 2 win 65535");
  t.Out(1, "A  2:2 ack 2");
  EXPECT_EQ(0u, t.tcp().orphans);  // TIME-WAIT has its own bound
}

TEST(Orphans, FinTimeout) {
  TcpTrace t({.host = {.tcp = {.fin_timeout_s = 5}}});
  t.Establish();
  t.Close();
  t.Out(0, "FA 1:1 ack 1");
  t.In (1, "A  1:1 ack 2 win 65535");
  t.Quiet(5000);
  EXPECT_EQ(1u, t.tcp().sockets);
  t.Quiet(5002);
  t.ExpectGone();
  EXPECT_EQ(0u, t.tcp().orphans);
}

}  // namespace
}  // namespace weir::testing_support
