// Sequence numbers wrap at 2^32 (RFC 9293 §3.4): the same traces with every part of them at the boundary, both ways.
#include <gtest/gtest.h>

#include "netstack/tcp/seq.h"
#include "netstack/tcp/tcp_congestion.h"
#include "tests/support/tcp_trace.h"

namespace weir::testing_support {
namespace {

using netstack::Seq;
using netstack::TcpState;

TEST(Seq, ComparesByDistance) {
  for (uint32_t base : {0u, 1u, 0x7fffffffu, 0x80000000u, 0xffffffffu}) {
    const Seq a(base);
    for (uint32_t ahead : {1u, 2u, 0x40000000u, 0x7fffffffu}) {
      EXPECT_LT(a, a + ahead);
      EXPECT_GT(a + ahead, a);
      EXPECT_LE(a, a + ahead);
      EXPECT_EQ(static_cast<int32_t>(ahead), (a + ahead) - a);
      EXPECT_EQ(-static_cast<int32_t>(ahead), a - (a + ahead));
      EXPECT_EQ(a, a + ahead - ahead);
    }
    EXPECT_LE(a, a);
    EXPECT_GE(a, a);
  }
}

// A conversation with everything in it: data both ways, a hole, an overlap, a duplicate, a reset out of the window, a
// retransmission, both FINs.
void Converse(TcpTrace& t) {
  t.Establish();
  t.In (1,  "PA 1:101   ack 1 win 65535");
  t.Read(100);
  t.Send(3000);
  t.Out(1,  "A  1:1461    ack 101");
  t.Out(1,  "A  1461:2921 ack 101");
  t.Out(1,  "PA 2921:3001 ack 101");
  t.In (2,  "A  201:301 ack 1461 win 65535");
  t.Out(2,  "A  3001:3001 ack 101");
  t.In (3,  "A  151:251 ack 1461 win 65535");
  t.Out(3,  "A  3001:3001 ack 101");
  t.In (4,  "A  101:171 ack 1461 win 65535");
  t.Out(4,  "A  3001:3001 ack 301");
  t.In (5,  "A  101:171 ack 1461 win 65535");
  t.Out(5,  "A  3001:3001 ack 301");
  t.In (6,  "R  300:300");
  t.In (7,  "A  301:301 ack 3002 win 65535");  // never sent
  t.Out(7,  "A  3001:3001 ack 301");
  t.Read(200);
  t.Out(203, "A  1461:2921 ack 301");
  t.In (204, "A  301:301 ack 3001 win 65535");
  t.Shutdown();
  t.Out(204, "FA 3001:3001 ack 301");
  t.In (205, "FPA 301:401 ack 3002 win 65535");
  t.Out(205, "A  3002:3002 ack 402");
  t.Read(100);
  EXPECT_EQ(1u, t.tcp().time_wait.count());
  t.Close();
  t.Quiet(60206);
  t.ExpectGone();
}

TEST(Wrap, ThePeersNumbers) {
  for (uint32_t back = 0; back <= 410; ++back) {
    SCOPED_TRACE(back);
    TcpTrace t({.peer_isn = 0u - back});
    Converse(t);
    if (::testing::Test::HasFailure()) return;
  }
}

TEST(Wrap, OurNumbers) {
  for (uint32_t back : {0, 1, 2, 3, 100, 1000, 1460, 1461, 1462, 2920, 2921, 2922, 3000, 3001, 3002, 3003}) {
    SCOPED_TRACE(back);
    TcpTrace t({.host = {.start_ns = TcpTrace::StartForIss(0u - back)}});
    Converse(t);
    EXPECT_FALSE(::testing::Test::HasFailure());
    if (::testing::Test::HasFailure()) return;
  }
}

TEST(Wrap, StartForIssDoesWhatItSays) {
  TcpTrace t({.host = {.start_ns = TcpTrace::StartForIss(0xfffffffe)}});
  t.Establish();
  EXPECT_EQ(0xfffffffe, t.iss());
}

// Slow start without any loss: the window grows to what RFC 7323 can express, and no further.
TEST(Wrap, TheCongestionWindowDoesNot) {
  netstack::TcpCongestion congestion;
  congestion.Init(1460);
  uint32_t last = 0;
  for (int i = 0; i < 2'000'000; ++i) {
    congestion.OnAck({.now_ns = i, .acked = 2920, .una = Seq(static_cast<uint32_t>(i) * 2920), .nxt = Seq(0),
                      .mss = 1460, .after_timeout = false, .rtt_ns = 0, .srtt_ns = 0});
    ASSERT_LE(last, congestion.cwnd());
    last = congestion.cwnd();
  }
  EXPECT_EQ(65535u << 14, last);
}

}  // namespace
}  // namespace weir::testing_support
