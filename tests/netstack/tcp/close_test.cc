// How connections end: RFC 9293 §3.6, §3.10.4, §3.10.5, §3.10.7.4; resets RFC 5961.
#include <gtest/gtest.h>

#include <cerrno>

#include "netstack/tcp/tcp_sock_options.h"
#include "netstack/tcp/tcp_user_calls.h"
#include "tests/support/tcp_trace.h"

namespace weir::testing_support {
namespace {

using netstack::DropReason;
using netstack::ReadySock;
using netstack::TcpState;

TEST(Close, WeFirst) {
  TcpTrace t;
  t.Establish();
  t.Close();
  t.Out(0, "FA 1:1 ack 1");
  t.In (1, "A  1:1 ack 2 win 65535");
  t.In (2, "FA 1:1 ack 2 win 65535");
  t.Out(2, "A  2:2 ack 2");
  t.Quiet(60001);
  EXPECT_EQ(1u, t.tcp().time_wait.count());  // TIME-WAIT: 60 s (RFC 9293 §3.10.8)
  t.Quiet(60003);
  t.ExpectGone();
}

TEST(Close, WeFirstFinAndAckTogether) {
  TcpTrace t;
  t.Establish();
  t.Close();
  t.Out(0, "FA 1:1 ack 1");
  t.In (1, "FA 1:1 ack 2 win 65535");
  t.Out(1, "A  2:2 ack 2");
  t.Quiet(60002);
  t.ExpectGone();
}

TEST(Close, ThePeerFirst) {
  TcpTrace t;
  t.Establish();
  t.In (0, "FA 1:1 ack 1 win 65535");
  t.Out(0, "A  1:1 ack 2");
  EXPECT_EQ(ReadySock::kReadable, t.TakeEvents());
  t.Close();
  t.Out(0, "FA 1:1 ack 2");
  t.In (1, "A  2:2 ack 2 win 65535");
  t.ExpectGone();  // LAST-ACK ends at once
  t.In (2, "A  2:2 ack 2 win 65535");
  t.Out(2, "R  2:2");
}

// RFC 9293 §3.6, figure 13.
TEST(Close, BothAtOnce) {
  TcpTrace t;
  t.Establish();
  t.Close();
  t.Out(0, "FA 1:1 ack 1");
  t.In (1, "FA 1:1 ack 1 win 65535");
  t.Out(1, "A  2:2 ack 2");
  t.In (2, "A  2:2 ack 2 win 65535");
  t.Quiet(60003);
  t.ExpectGone();
}

// Our ACK of the peer's FIN was lost, so the peer says FIN again, and with it that it has ours: that must not leave us
// in CLOSING with no timer.
TEST(Close, BothAtOnceAndTheAckIsLost) {
  TcpTrace t;
  t.Establish();
  t.Close();
  t.Out(0,   "FA 1:1 ack 1");
  t.In (1,   "FA 1:1 ack 1 win 65535");
  t.Out(1,   "A  2:2 ack 2");
  t.In (150, "FA 1:1 ack 2 win 65535");
  t.Out(150, "A  2:2 ack 2");
  t.Quiet(60152);
  t.ExpectGone();
}

TEST(HalfClose, WeAndThePeerGoesOn) {
  TcpTrace t;
  t.Establish();
  t.Shutdown();
  t.Out(0,    "FA 1:1     ack 1");
  t.In (1,    "A  1:1     ack 2 win 65535");
  t.In (5000, "PA 1:101   ack 2 win 65535");
  t.Out(5040, "A  2:2     ack 101");
  t.Read(100);
  t.In (90000, "FPA 101:201 ack 2 win 65535");  // FIN-WAIT-2 of a program that still reads has no end
  t.Out(90000, "A   2:2     ack 202");
  t.Read(100);
  t.Close();
  t.Quiet(150002);
  t.ExpectGone();
}

TEST(HalfClose, ThePeerAndWeGoOn) {
  TcpTrace t;
  t.Establish();
  t.In (0,    "FA 1:1    ack 1 win 65535");
  t.Out(0,    "A  1:1    ack 2");
  t.Send(100);
  t.Out(0,    "PA 1:101  ack 2");
  t.In (1,    "A  2:2    ack 101 win 65535");
  t.Send(100);
  t.Out(1,    "PA 101:201 ack 2");
  t.Close();
  t.Out(1,    "FA 201:201 ack 2");
  t.Out(202,  "FPA 101:201 ack 2");  // both are lost, and go as one
  t.In (203,  "A  2:2    ack 202 win 65535");
  t.ExpectGone();
}

TEST(Close, DataThatWaitsIsSentFirst) {
  TcpTrace t;
  t.Establish({.window = 1000});
  t.Send(1500);
  t.Close();
  t.Out(0, "A   1:1001    ack 1");
  t.In (1, "A   1:1 ack 1001 win 1000");
  t.Out(1, "A   1001:1461 ack 1");
  t.Out(1, "FPA 1461:1501 ack 1");
  t.In (2, "FA  1:1 ack 1502 win 1000");
  t.Out(2, "A   1502:1502 ack 2");
}

// RFC 9293 §3.6.1, RFC 2525 §2.17: data left unread, the peer is told by RST.
TEST(Close, WithUnreadData) {
  TcpTrace t;
  t.Establish();
  t.In (0, "PA 1:101 ack 1 win 65535");
  t.Close();
  t.Out(0, "RA 1:1   ack 101");
  t.ExpectGone();
}

TEST(Close, WithUnreadDataInFinWait2) {
  TcpTrace t;
  t.Establish();
  t.Shutdown();
  t.Out(0, "FA 1:1   ack 1");
  t.In (1, "PA 1:101 ack 2 win 65535");
  t.Out(41, "A 2:2 ack 101");
  t.Close();
  t.Out(41, "RA 2:2   ack 101");
  t.ExpectGone();
}

TEST(Close, WithUnreadDataInCloseWait) {
  TcpTrace t;
  t.Establish();
  t.In (0, "FPA 1:101 ack 1 win 65535");
  t.Out(0, "A   1:1   ack 102");
  t.Close();
  t.Out(0, "RA  1:1   ack 102");
  t.ExpectGone();
}

TEST(Close, DataAfterItIsReset) {
  TcpTrace t;
  t.Establish();
  t.Close();
  t.Out(0, "FA 1:1   ack 1");
  t.In (1, "PA 1:101 ack 1 win 65535");
  EXPECT_EQ(DropReason::kTcpAfterClose, t.last());
  t.Out(1, "RA 2:2   ack 1");
  t.ExpectGone();
}

// shutdown(2) in both directions: the program is still there, but reads no more (tcp_rcv_state_process).
TEST(HalfClose, DataAfterBothIsReset) {
  TcpTrace t;
  t.Establish();
  t.sock().recv_shut = true;
  t.In (0, "PA 1:101 ack 1 win 65535");  // by itself it changes nothing for the peer
  t.Drain(50);
  t.Shutdown();
  t.Out(50, "FA 1:1 ack 101");
  t.In (51, "PA 101:201 ack 1 win 65535");
  EXPECT_EQ(DropReason::kTcpAfterClose, t.last());
  t.Out(51, "RA 2:2 ack 101");
  EXPECT_EQ(ECONNRESET, t.sock().error);
  t.Close();
}

// tcp_fin_timeout: nobody waits for the peer's FIN any more.
TEST(Close, FinWait2OfAnOrphanEnds) {
  TcpTrace t;
  t.Establish();
  t.Close();
  t.Out(0, "FA 1:1 ack 1");
  t.In (1, "A  1:1 ack 2 win 65535");
  t.In (30000, "A 1:1 ack 2 win 65535");  // an ACK does not prolong it
  t.Quiet(60000);
  EXPECT_EQ(1u, t.tcp().sockets);
  t.Quiet(60002);
  t.ExpectGone();
  t.In (60010, "FA 1:1 ack 2 win 65535");
  t.Out(60010, "R  2:2");
}

// TCP_LINGER2 instead of tcp_fin_timeout.
TEST(Close, FinWait2OfItsOwnTime) {
  TcpTrace t;
  t.Establish();
  ASSERT_EQ(0, TcpSetOption(t.sock(), netstack::TcpSockOption::kFinTimeout, 5));
  t.Close();
  t.Out(0, "FA 1:1 ack 1");
  t.In (1, "A  1:1 ack 2 win 65535");
  t.Quiet(5000);
  EXPECT_EQ(1u, t.tcp().sockets);
  t.Quiet(5002);
  t.ExpectGone();
}

TEST(Close, FinWait2BecomesAnOrphansLater) {
  TcpTrace t;
  t.Establish();
  t.Shutdown();
  t.Out(0, "FA 1:1 ack 1");
  t.In (1, "A  1:1 ack 2 win 65535");
  t.Quiet(100000);
  t.Close();
  t.Quiet(159999);
  EXPECT_EQ(1u, t.tcp().sockets);
  t.Quiet(160001);
  t.ExpectGone();
}

// tcp_orphan_retries: nobody is told, so fewer tries than for a program that waits.
TEST(Close, TheFinOfAnOrphanIsGivenUp) {
  TcpTrace t;
  t.Establish();
  t.Close();
  double at = 0;
  for (int i = 0; i <= 8; ++i) {
    t.Out(at, "FA 1:1 ack 1");
    at += 200 << i;
  }
  t.Quiet(at + 1);
  t.ExpectGone();
}

TEST(Abort, Resets) {
  TcpTrace t;
  t.Establish();
  t.In (0, "PA 1:101 ack 1 win 65535");
  t.Send(10);
  t.Out(0, "PA 1:11  ack 101");
  t.Abort();
  t.Out(0, "RA 11:11 ack 101");
  EXPECT_EQ(ECONNABORTED, t.sock().error);
  t.Close();
  t.ExpectGone();
}

// RFC 5961 §3.2: exactly the next number resets; another one in the window is questioned; the rest is ignored.
TEST(Reset, ExactInTheWindowAndOutside) {
  TcpTrace t({.host = {.tcp = {.invalid_ratelimit_ms = 0}}});
  t.Establish();
  t.In (0, "R  0:0");
  EXPECT_EQ(DropReason::kTcpOutOfWindow, t.last());
  t.In (0, "R  65536:65536");
  EXPECT_EQ(DropReason::kTcpOutOfWindow, t.last());
  t.In (0, "R  -5:5");  // text does not bring it into the window
  EXPECT_EQ(DropReason::kTcpOutOfWindow, t.last());
  t.In (0, "R  2:2");
  EXPECT_EQ(DropReason::kTcpChallengeAck, t.last());
  t.Out(0, "A  1:1 ack 1");
  t.In (0, "RA 65535:65535 ack 1");
  t.Out(0, "A  1:1 ack 1");
  t.In (0, "R  1:1");
  EXPECT_EQ(DropReason::kTcpReset, t.last());
  EXPECT_EQ(ECONNRESET, t.sock().error);
  EXPECT_NE(0, t.TakeEvents() & ReadySock::kError);
  t.Close();
  t.ExpectGone();
}

// What came before the reset can still be read (tcp_recvmsg).
TEST(Reset, DataBeforeItStays) {
  TcpTrace t;
  t.Establish();
  t.In (0, "PA 1:101   ack 1 win 65535");
  t.In (0, "R  101:101");
  t.Read(100);
  EXPECT_EQ(ECONNRESET, t.sock().error);
}

TEST(Reset, WithAClosedWindow) {
  InetTestHost::Options options;
  options.tcp.receive_buffer = 2000;
  TcpTrace t({.host = options});
  t.Establish();
  t.In (0, "A 1:1461    ack 1 win 65535");
  t.In (0, "A 1461:2001 ack 1 win 65535");
  t.Out(40, "A 1:1      ack 2001 win 0");
  t.In (50, "R 2002:2002");
  t.In (50, "R 2001:2001");
  EXPECT_EQ(ECONNRESET, t.sock().error);
}

TEST(Reset, ByState) {
  struct Case {
    bool peer_fin, shutdown;
    int error;
  };
  const Case cases[] = {{false, false, ECONNRESET}, {true, false, EPIPE}, {false, true, ECONNRESET}, {true, true, 0}};
  for (const Case& c : cases) {
    TcpTrace t;
    t.Establish();
    if (c.peer_fin) {
      t.In (0, "FA 1:1 ack 1 win 65535");
      t.Out(0, "A  1:1 ack 2");
    }
    if (c.shutdown) {
      t.Shutdown();
      t.Drain();
    }
    t.In (1, c.peer_fin ? "R 2:2" : "R 1:1");
    EXPECT_EQ(TcpState::kClosed, t.sock().state);
    EXPECT_EQ(c.error, t.sock().error);
  }
}

// RFC 5961 §4.2: a SYN gets a challenge ACK, whatever its number.
TEST(Established, Syn) {
  TcpTrace t({.host = {.tcp = {.invalid_ratelimit_ms = 0}}});
  t.Establish();
  t.In (0, "S  1:1      win 65535 <mss 1460>");
  EXPECT_EQ(DropReason::kTcpChallengeAck, t.last());
  t.Out(0, "A  1:1 ack 1");
  t.In (0, "S  0:0      win 65535 <mss 1460>");
  t.Out(0, "A  1:1 ack 1");
  t.In (0, "S  900000:900000 win 65535 <mss 1460>");
  t.Out(0, "A  1:1 ack 1");
  t.In (0, "SA 5:5 ack 1 win 65535 <mss 1460>");
  t.Out(0, "A  1:1 ack 1");
  EXPECT_EQ(TcpState::kEstablished, t.sock().state);
}

// A peer that restarted: it answers our ACK by the reset that ends the old connection.
TEST(Established, ThePeerHasRestarted) {
  TcpTrace t;
  t.Establish();
  t.In (0, "S  500:500 win 65535 <mss 1460>");
  t.Out(0, "A  1:1 ack 1");
  t.In (1, "R  1:1");
  EXPECT_EQ(ECONNRESET, t.sock().error);
}

// SO_LINGER with a time: the program is told when its FIN is acknowledged, and what happens until it lets go is as
// after close(2) (__tcp_close, sk_stream_wait_close).
TEST(Linger, UntilTheFinIsAcknowledged) {
  TcpTrace t;
  t.Establish();
  t.Send(100);
  t.Out(0, "PA 1:101 ack 1");
  TcpLinger(t.sock(), t.host().now());
  t.host().Turn();
  t.Out(0, "FA 101:101 ack 1");
  EXPECT_TRUE(TcpLingers(t.sock()));
  t.In (1, "A  1:1 ack 101 win 65535");
  EXPECT_TRUE(TcpLingers(t.sock()));
  t.TakeEvents();
  t.In (2, "A  1:1 ack 102 win 65535");
  EXPECT_FALSE(TcpLingers(t.sock()));
  EXPECT_NE(0, t.TakeEvents());
  t.Close();
  t.In (3, "FA 1:1 ack 102 win 65535");
  t.Out(3, "A  102:102 ack 2");
  t.Quiet(60004);
  t.ExpectGone();
}

TEST(Linger, DataIsAnsweredByAReset) {
  TcpTrace t;
  t.Establish();
  TcpLinger(t.sock(), t.host().now());
  t.host().Turn();
  t.Out(0, "FA 1:1 ack 1");
  t.In (1, "PA 1:11 ack 2 win 65535");
  t.Out(1, "RA 2:2 ack 1");
  EXPECT_FALSE(TcpLingers(t.sock()));
  EXPECT_EQ(ECONNRESET, t.sock().error);
  t.Close();
  t.ExpectGone();
}

TEST(Linger, UnreadData) {
  TcpTrace t;
  t.Establish();
  t.In (0, "PA 1:11 ack 1 win 65535");
  TcpLinger(t.sock(), t.host().now());
  t.host().Turn();
  t.Out(0, "RA 1:1 ack 11");
  EXPECT_FALSE(TcpLingers(t.sock()));
  EXPECT_EQ(ECONNABORTED, t.sock().error);
  t.Close();
  t.ExpectGone();
}

// The peer closes at the same moment (RFC 9293 §3.6, figure 13): TIME-WAIT is reached while the program still waits.
TEST(Linger, BothClose) {
  TcpTrace t;
  t.Establish();
  TcpLinger(t.sock(), t.host().now());
  t.host().Turn();
  t.Out(0, "FA 1:1 ack 1");
  t.In (1, "FA 1:1 ack 1 win 65535");
  t.Out(1, "A  2:2 ack 2");
  EXPECT_TRUE(TcpLingers(t.sock()));  // CLOSING
  t.In (2, "A  2:2 ack 2 win 65535");
  EXPECT_FALSE(TcpLingers(t.sock()));
  EXPECT_EQ(1u, t.tcp().time_wait.count());
  EXPECT_EQ(0u, t.tcp().orphans);
  t.Close();
  EXPECT_EQ(0u, t.tcp().orphans);
  t.Quiet(60003);
  t.ExpectGone();
}

// It counts as one orphan, whether the program waits or not (tcp_max_orphans).
TEST(Linger, IsOneOrphan) {
  TcpTrace t;
  t.Establish();
  TcpLinger(t.sock(), t.host().now());
  t.host().Turn();
  t.Out(0, "FA 1:1 ack 1");
  EXPECT_EQ(1u, t.tcp().orphans);
  t.Close();
  EXPECT_EQ(1u, t.tcp().orphans);
  t.In (1, "FA 1:1 ack 2 win 65535");
  t.Out(1, "A  2:2 ack 2");
  EXPECT_EQ(0u, t.tcp().orphans);
}

}  // namespace
}  // namespace weir::testing_support
