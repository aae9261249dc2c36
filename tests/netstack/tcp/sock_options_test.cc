// TCP_SYNCNT, TCP_MAXSEG, TCP_WINDOW_CLAMP and TCP_DEFER_ACCEPT, as Linux has them; and what the options are as they
// are read back.
#include <gtest/gtest.h>

#include <cerrno>

#include "netstack/tcp/tcp_sock_options.h"
#include "netstack/tcp/tcp_user_calls.h"
#include "tests/support/tcp_trace.h"

namespace weir::testing_support {
namespace {

using netstack::DropReason;
using netstack::TcpGetOption;
using netstack::TcpRetransToSecs;
using netstack::TcpSecsToRetrans;
using netstack::TcpSetOption;
using netstack::TcpSockOption;
using netstack::TcpState;
using enum netstack::TcpSockOption;

void SetOnListener(TcpTrace& t, TcpSockOption option, uint64_t value) {
  t.listener().inherited.options[static_cast<size_t>(option)] = value;
}

// RFC 9293 §3.8.3: how long a SYN goes again is the program's to say (R2, TCP_SYNCNT).
TEST(SynCount, OfASyn) {
  TcpTrace t;
  t.Connect(443, {.syn_count = 2});
  EXPECT_EQ(2u, TcpGetOption(t.sock(), kSynCount));
  for (double ms : {0, 1000, 3000}) t.Out(ms, "S 0:0 <mss 1460, sackOK, ts, wscale 7>");
  t.Quiet(7001);
  EXPECT_EQ(ETIMEDOUT, t.sock().error);
}

TEST(SynCount, OfASynAndAck) {
  TcpTrace t;
  t.Listen(80);
  SetOnListener(t, kSynCount, 1);
  t.In (0, "S 0:0 win 65535 <mss 1460>");
  for (double ms : {0, 1000}) t.Out(ms, "SA 0:0 ack 1 <mss 1460>");
  t.Quiet(3001);
  EXPECT_EQ(0u, t.tcp().sockets);
}

// RFC 9293 §3.7.1: what we announce, and what we send.
TEST(MaxSegment, OfAnActiveOpen) {
  TcpTrace t;
  t.Connect(443, {.max_segment = 500});
  t.Out(0, "S  0:0       <mss 500, sackOK, ts, wscale 7>");
  t.In (1, "SA 0:0 ack 1 win 65535 <mss 1460>");
  t.Out(1, "A  1:1 ack 1");
  EXPECT_EQ(500u, TcpGetOption(t.sock(), kMaxSegment));
  EXPECT_EQ(0, TcpSetOption(t.sock(), kMaxSegment, 300));  // too late, but no error (do_tcp_setsockopt)
  EXPECT_EQ(500u, TcpGetOption(t.sock(), kMaxSegment));
  t.Send(800);
  t.Out(1, "A  1:501   ack 1");
  t.Out(1, "PA 501:801 ack 1");
  t.In (2, "A  1:1 ack 801 win 65535");
}

TEST(MaxSegment, IsNoMoreThanThePeers) {
  TcpTrace t;
  t.Connect(443, {.max_segment = 1000});
  t.Out(0, "S  0:0       <mss 1000, sackOK, ts, wscale 7>");
  t.In (1, "SA 0:0 ack 1 win 65535 <mss 700>");
  t.Out(1, "A  1:1 ack 1");
  EXPECT_EQ(700u, TcpGetOption(t.sock(), kMaxSegment));
}

TEST(MaxSegment, OfAListener) {
  TcpTrace t;
  t.Listen(80);
  SetOnListener(t, kMaxSegment, 500);
  t.In (0, "S  0:0       win 65535 <mss 1460>");
  t.Out(0, "SA 0:0 ack 1 <mss 500>");
  t.In (1, "A  1:1 ack 1 win 65535");
  t.Accept();
  t.Send(800);
  t.Out(1, "A  1:501   ack 1");
  t.Out(1, "PA 501:801 ack 1");
}

TEST(MaxSegment, OfASynCookie) {
  TcpTrace t;
  t.Listen(80, 1);
  SetOnListener(t, kMaxSegment, 600);
  t.In (0, "S  0:0       win 65535 <mss 1460>");
  t.Out(0, "SA 0:0 ack 1 <mss 600>");
  t.From(40001);
  t.In (0, "S  0:0       win 65535 <mss 1460>");
  t.Out(0, "SA 0:0 ack 1 <mss 600>");
  EXPECT_EQ(1u, t.tcp().counters.syncookies_sent);
  t.In (1, "A  1:1 ack 1 win 65535");
  t.Accept();
  EXPECT_EQ(536u, t.sock().snd.mss);  // what the cookie's table has for it
  t.From(40000);
  t.In (2, "R  1:1");
  t.From(40001);
}

// RFC 9293 §3.8.6: the window is no larger, whatever the buffer holds.
TEST(WindowClamp, BoundsWhatIsAdvertised) {
  TcpTrace t;
  t.Connect(443, {.window_clamp = 3000});
  EXPECT_EQ(3000u, TcpGetOption(t.sock(), kWindowClamp));
  t.Out(0, "S  0:0       win 2944 <mss 1460, sackOK, ts, wscale 7>");  // in units of the scale
  t.In (1, "SA 0:0 ack 1 win 65535 <mss 1460, wscale 7>");
  t.Out(1, "A  1:1 ack 1 win 23");
  t.In (2, "PA 1:1001 ack 1 win 512");
  t.Out(2, "A  1:1 ack 1001 win 23");  // unread bytes count in the buffer only
  t.Read(1000);
  t.Quiet(3);
}

// The right edge stays where it was promised (RFC 9293 §3.8.6), and then goes on no farther.
TEST(WindowClamp, WhileConnected) {
  TcpTrace t;
  t.Establish({.wscale = 0, .quick = true});
  EXPECT_EQ(0, TcpSetOption(t.sock(), kWindowClamp, 100));
  EXPECT_EQ(1152u, TcpGetOption(t.sock(), kWindowClamp));  // SOCK_MIN_RCVBUF / 2
  t.In (0, "PA 1:1001 ack 1 win 65535");
  const std::vector<std::string> acks = t.Drain();
  EXPECT_EQ(1u, acks.size());
  EXPECT_GT(65536u, t.sock().rcv.wnd);
  EXPECT_LT(1152u, t.sock().rcv.wnd);
  t.Read(1000);
}

TEST(WindowClamp, OfAListener) {
  TcpTrace t;
  t.Listen(80);
  SetOnListener(t, kWindowClamp, 3000);
  t.In (0, "S  0:0       win 65535 <mss 1460>");
  t.Out(0, "SA 0:0 ack 1 win 3000 <mss 1460>");
  t.In (1, "A  1:1 ack 1 win 65535");
  t.Accept();
  EXPECT_EQ(3000u, TcpGetOption(t.sock(), kWindowClamp));
}

TEST(DeferAccept, SecondsAreRetransmissions) {
  const struct {
    uint64_t seconds;
    uint8_t retrans;
    uint32_t back;
  } cases[] = {{0, 0, 0},     {1, 1, 1},     {2, 2, 3},     {3, 2, 3},
               {4, 3, 7},     {100, 7, 127}, {128, 8, 247}, {1u << 30, 255, 29887}};
  for (const auto& c : cases) {
    EXPECT_EQ(c.retrans, TcpSecsToRetrans(c.seconds)) << c.seconds;
    EXPECT_EQ(c.back, TcpRetransToSecs(c.retrans)) << c.seconds;
  }
}

// A listener that waits for data up to 7 s, and a connection whose ACK came at 10 ms.
void Defer(TcpTrace& t) {
  t.Listen(80);
  t.listener().defer_accept = TcpSecsToRetrans(5);
  t.In (0,  "S  0:0       win 65535 <mss 1460>");
  t.Out(0,  "SA 0:0 ack 1 <mss 1460>");
  t.In (10, "A  1:1 ack 1 win 65535");
  EXPECT_EQ(DropReason::kTcpDeferAccept, t.last());
  EXPECT_EQ(nullptr, TcpAccept(t.listener()));
}

// tcp_check_req. The round trip is that of the ACK, not of the program that had to think.
TEST(DeferAccept, UntilDataComes) {
  TcpTrace t;
  Defer(t);
  t.In (6500, "PA 1:101 ack 1 win 65535");
  t.Accept();
  EXPECT_EQ(TcpState::kEstablished, t.sock().state);
  EXPECT_EQ(10 * kMillisecond, t.sock().rtt.srtt_ns);
  t.Out(6500, "A 1:1 ack 101");
  t.Read(100);
}

TEST(DeferAccept, UntilTheEndComes) {
  TcpTrace t;
  Defer(t);
  t.In (20, "FA 1:1 ack 1 win 65535");
  t.Accept();
  EXPECT_EQ(TcpState::kCloseWait, t.sock().state);
  t.Out(20, "A 1:1 ack 2");
}

// syn_ack_recalc: when the time is over the peer is asked once more, and then its ACK is enough.
TEST(DeferAccept, UntilTheTimeIsOver) {
  TcpTrace t;
  Defer(t);
  t.Out(7000, "SA 0:0 ack 1 <mss 1460>");
  t.In (7010, "A  1:1 ack 1 win 65535");
  t.Accept();
  EXPECT_EQ(TcpState::kEstablished, t.sock().state);
  EXPECT_EQ(10 * kMillisecond, t.sock().rtt.srtt_ns);
}

// RFC 6298 §3: what an ACK measures is not known when its SYN and ACK went twice.
TEST(DeferAccept, AfterARetransmission) {
  TcpTrace t;
  t.Listen(80);
  t.listener().defer_accept = 3;
  t.In (0,    "S  0:0       win 65535 <mss 1460>");
  for (double ms : {0, 1000}) t.Out(ms, "SA 0:0 ack 1 <mss 1460>");
  t.In (1500, "A  1:1 ack 1 win 65535");
  t.In (1600, "A  1:1 ack 1 win 65535");
  EXPECT_EQ(DropReason::kTcpDeferAccept, t.last());
  t.In (2000, "PA 1:101 ack 1 win 65535");
  t.Accept();
  EXPECT_EQ(0, t.sock().rtt.srtt_ns);
  t.Out(2000, "A 1:1 ack 101");
  t.Read(100);
}

TEST(DeferAccept, UntilThePeerIsGone) {
  TcpTrace t;
  Defer(t);
  for (double ms : {7000, 15000, 31000}) t.Out(ms, "SA 0:0 ack 1 <mss 1460>");
  t.Quiet(63001);  // tcp_synack_retries
  EXPECT_EQ(0u, t.tcp().sockets);
}

TEST(DeferAccept, LongerThanSynAcksGo) {
  TcpTrace t;
  t.Listen(80);
  t.listener().defer_accept = TcpSecsToRetrans(100);
  t.In (0,      "S  0:0       win 65535 <mss 1460>");
  t.Out(0,      "SA 0:0 ack 1 <mss 1460>");
  t.In (10,     "A  1:1 ack 1 win 65535");
  t.Out(127000, "SA 0:0 ack 1 <mss 1460>");
  EXPECT_EQ(1u, t.tcp().sockets);
  t.Quiet(247001);
  EXPECT_EQ(0u, t.tcp().sockets);
}

// Whom nothing is remembered of nothing is waited for.
TEST(DeferAccept, NotForSynCookies) {
  TcpTrace t;
  t.Listen(80, 1);
  t.listener().defer_accept = 3;
  t.In (0, "S  0:0       win 65535 <mss 1460>");
  t.Out(0, "SA 0:0 ack 1 <mss 1460>");
  t.From(40001);
  t.In (0, "S  0:0       win 65535 <mss 1460>");
  t.Out(0, "SA 0:0 ack 1 <mss 1460>");
  t.In (1, "A  1:1 ack 1 win 65535");
  t.Accept();
  EXPECT_EQ(TcpState::kEstablished, t.sock().state);
  t.From(40000);
  t.In (2, "R  1:1");
  t.From(40001);
}

TEST(SockOptions, BadValues) {
  TcpTrace t;
  t.Establish();
  const struct {
    TcpSockOption option;
    uint64_t value;
  } bad[] = {{kSynCount, 0},     {kSynCount, 128},           {kMaxSegment, 87},  {kMaxSegment, 32768},
             {kWindowClamp, 0},  {kWindowClamp, 1ull << 31}, {kTos, 256},        {kTtl, 256},
             {kMtuDiscover, 3},  {kMinTtl, 256},             {kDeferAccept, 1},
             {kNoDelay, 2},      {kUserTimeout, 1ull << 31},
             {kFinTimeout, 1ull << 31}};
  for (const auto& c : bad) {
    EXPECT_EQ(EINVAL, TcpSetOption(t.sock(), c.option, c.value)) << static_cast<int>(c.option) << " " << c.value;
  }
  int error = 0;
  EXPECT_EQ(nullptr, TcpConnect(t.tcp(), {IpAddress::V4(kPeerIp), 9}, t.host().now(), &error, {.syn_count = 0}));
  EXPECT_EQ(EINVAL, error);
}

// SO_MEMINFO: what is queued, in the memory it lies in.
TEST(SockOptions, MemInfo) {
  TcpTrace t;
  t.Establish({.quick = true});
  const uint32_t frame = t.host().pool().frame_size();
  t.In (0, "PA 1:101 ack 1 win 65535");
  t.Out(0, "A  1:1 ack 101");
  t.In (0, "A  201:301 ack 1 win 65535");
  t.Drain();
  t.Send(3000);
  t.Drain();
  const netstack::TcpMemInfo info = TcpGetMemInfo(t.sock());
  EXPECT_EQ(2 * frame, info.receive_allocated);
  EXPECT_EQ(3 * frame, info.send_queued);
  EXPECT_EQ(t.sock().rcv.buffer, info.receive_buffer);
  EXPECT_EQ(t.sock().snd.buffer, info.send_buffer);
  t.Read(100);
}

}  // namespace
}  // namespace weir::testing_support
