// Small segments: Nagle's algorithm (RFC 9293 §3.7.4, RFC 896) as Linux has it, TCP_NODELAY, TCP_CORK, TCP_QUICKACK; and
// what a connection tells of itself (TCP_INFO).
#include <gtest/gtest.h>

#include <cerrno>

#include "netstack/tcp/tcp_sock_options.h"
#include "netstack/tcp/tcp_user_calls.h"
#include "runtime/buffer/frame_chain.h"
#include "tests/support/tcp_trace.h"

namespace weir::testing_support {
namespace {

using netstack::TcpInfo;
using netstack::TcpSockOption;
using netstack::TcpState;

class Nagle : public ::testing::Test {
 protected:
  Nagle() {
    t.Establish();
    EXPECT_EQ(0, Set(TcpSockOption::kNoDelay, 0));
  }
  int Set(TcpSockOption option, uint32_t value) {
    const int error = TcpSetOption(t.sock(), option, value);
    t.host().Turn();
    return error;
  }

  TcpTrace t;
};

// RFC 9293 §3.7.4: while unacknowledged data is under way small writes gather, and leave together.
TEST_F(Nagle, SmallWritesGatherWhileOneIsUnderWay) {
  t.Send(10);
  t.Out(0,  "PA 1:11  ack 1");
  t.Send(10);
  t.Send(20);
  t.Quiet(29);
  t.In (30, "A  1:1   ack 11 win 65535");
  t.Out(30, "PA 11:41 ack 1");
  t.In (31, "A  1:1   ack 41 win 65535");
  t.Send(1);
  t.Out(31, "PA 41:42 ack 1");
}

TEST_F(Nagle, AFullSegmentDoesNotWait) {
  t.Send(10);
  t.Out(0, "PA 1:11 ack 1");
  t.Send(1500);
  t.Out(0, "A  11:1471 ack 1");
  t.In (1, "A  1:1  ack 11 win 65535");
  t.Out(1, "PA 1471:1511 ack 1");
}

// Minshall's variant: full segments under way do not hold back the end of a write.
TEST_F(Nagle, TheEndOfALongWriteGoesAtOnce) {
  t.Send(2000);
  t.Out(0, "A  1:1461    ack 1");
  t.Out(0, "PA 1461:2001 ack 1");
  t.Send(10);
  t.In (1, "A  1:1 ack 1461 win 65535");
  t.Quiet(2);
  t.In (2, "A  1:1 ack 2001 win 65535");
  t.Out(2, "PA 2001:2011 ack 1");
}

TEST_F(Nagle, AFinLetsItGo) {
  t.Send(10);
  t.Out(0, "PA 1:11 ack 1");
  t.Send(10);
  t.Shutdown();
  t.Out(0, "FPA 11:21 ack 1");
}

TEST_F(Nagle, NoDelayLetsItGo) {
  t.Send(10);
  t.Out(0, "PA 1:11 ack 1");
  t.Send(10);
  t.Quiet(1);
  EXPECT_EQ(0, Set(TcpSockOption::kNoDelay, 1));
  t.Out(1, "PA 11:21 ack 1");
  t.Send(10);
  t.Out(1, "PA 21:31 ack 1");
}

// Frames that the program made are gathered by copy: one that waits is no reason for two small segments.
TEST_F(Nagle, FramesGatherToo) {
  t.Send(10);
  t.Out(0, "PA 1:11 ack 1");
  for (int i = 0; i < 3; ++i) {
    const Bytes bytes = Pattern(10 + 5 * static_cast<uint64_t>(i), 5);
    runtime::Frame* frame = t.host().pool().Alloc();
    std::copy(bytes.begin(), bytes.end(), frame->data);
    runtime::FrameChain chain;
    chain.Append(frame, std::span(frame->data, 5));
    EXPECT_TRUE(TcpSendFrames(t.sock(), chain));
    t.host().Turn();
  }
  t.In (1, "A  1:1 ack 11 win 65535");
  t.Out(1, "PA 11:26 ack 1");
}

// TCP_CORK: full segments only, until it is taken away.
TEST_F(Nagle, Cork) {
  EXPECT_EQ(0, Set(TcpSockOption::kCork, 1));
  t.Send(10);
  t.Send(1500);
  t.Out(0, "A  1:1461 ack 1");
  t.In (1, "A  1:1 ack 1461 win 65535");
  t.Quiet(2);
  EXPECT_EQ(0, Set(TcpSockOption::kCork, 0));
  t.Out(2, "PA 1461:1511 ack 1");
}

// tcp(7): not for longer than 200 ms.
TEST_F(Nagle, CorkHasALimit) {
  EXPECT_EQ(0, Set(TcpSockOption::kCork, 1));
  t.Send(10);
  t.Quiet(199);
  t.Out(200, "PA 1:11 ack 1");
  t.In (201, "A  1:1 ack 11 win 65535");
}

TEST(QuickAck, AtOnceAndLater) {
  TcpTrace t;
  t.Establish();
  t.In (0,   "PA 1:101   ack 1 win 65535");
  EXPECT_EQ(0, TcpSetOption(t.sock(), TcpSockOption::kQuickAck, 1));
  t.host().Turn();
  t.Out(0,   "A  1:1     ack 101");
  t.In (1,   "PA 101:201 ack 1 win 65535");
  t.Out(1,   "A  1:1     ack 201");
  EXPECT_EQ(0, TcpSetOption(t.sock(), TcpSockOption::kQuickAck, 0));
  t.In (2,   "PA 201:301 ack 1 win 65535");
  t.Out(42,  "A  1:1     ack 301");
  t.Read(300);
}

TEST(Options, BadValues) {
  TcpTrace t;
  t.Establish();
  for (TcpSockOption option : {TcpSockOption::kNoDelay, TcpSockOption::kCork, TcpSockOption::kQuickAck,
                               TcpSockOption::kResetOnClose}) {
    EXPECT_EQ(EINVAL, TcpSetOption(t.sock(), option, 2));
  }
  EXPECT_EQ(EINVAL, TcpSetOption(t.sock(), TcpSockOption::kUserTimeout, 1u << 31));
}

// Buffers of this connection alone; what is too small is brought to the least (socket(7)).
TEST(Options, Buffers) {
  TcpTrace t;
  t.Establish({.window = 60000});
  EXPECT_EQ(0, TcpSetOption(t.sock(), TcpSockOption::kSendBuffer, 1));
  const Bytes bytes = Pattern(0, 5000);
  const iovec from{const_cast<std::byte*>(bytes.data()), bytes.size()};
  size_t sent = 0;
  EXPECT_FALSE(TcpSendmsg(t.sock(), {&from, 1}, &sent));
  EXPECT_EQ(2304u, sent);
  t.host().Turn();
  t.Drain();
  EXPECT_EQ(0, TcpSetOption(t.sock(), TcpSockOption::kReceiveBuffer, 3000));
  const uint32_t right = t.sock().rcv.wup.value() + t.sock().rcv.wnd;
  t.In (1, "PA 1:1001 ack 2305 win 60000");
  t.Drain(100);
  EXPECT_EQ(right, t.sock().rcv.wup.value() + t.sock().rcv.wnd);  // RFC 9293 §3.8.6: what was promised stays
}

TEST(Info, SaysWhatHappened) {
  TcpTrace t;
  t.Establish({.wscale = 3, .timestamps = true, .sack = true});
  t.Send(3000);
  t.Drain();
  TcpInfo info = TcpGetInfo(t.sock());
  EXPECT_EQ(TcpState::kEstablished, info.state);
  EXPECT_TRUE(info.timestamps && info.sack && info.window_scaling);
  EXPECT_EQ(3, info.snd_wscale);
  EXPECT_EQ(1448u, info.snd_mss);
  EXPECT_EQ(10u, info.snd_cwnd);
  EXPECT_EQ(3u, info.unacked);
  EXPECT_EQ(3000u, info.bytes_sent);
  EXPECT_EQ(0u, info.bytes_acked);
  t.In (20, "PA 1:101 ack 3001 win 5000");
  t.Drain(100);
  info = TcpGetInfo(t.sock());
  EXPECT_EQ(0u, info.unacked);
  EXPECT_EQ(3000u, info.bytes_acked);
  EXPECT_EQ(100u, info.bytes_received);
  EXPECT_EQ(40000u, info.snd_wnd);
  EXPECT_EQ(0u, info.total_retrans);
  EXPECT_LT(0, info.min_rtt_ns);
  EXPECT_EQ(2u, info.segs_in);   // the ACK of the handshake, and one
  EXPECT_EQ(5u, info.segs_out);  // SYN and ACK, three of data, an ACK
  t.Send(10);
  t.Drain(3000);
  info = TcpGetInfo(t.sock());
  EXPECT_LE(1u, info.total_retrans);
  EXPECT_EQ(10u * info.total_retrans, info.bytes_retrans);
  EXPECT_LE(1, info.backoff);
}

}  // namespace
}  // namespace weir::testing_support
