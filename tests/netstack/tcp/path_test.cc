// What a connection knows of the way its segments take, and what it tells of it: RFC 4861 §7.3.1.
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "tests/support/tcp_trace.h"

namespace weir::testing_support {
namespace {

using netstack::Neighbour;
using netstack::NeighbourState;

Neighbour* Peer(TcpTrace& t) { return t.host().interface().neighbours.Find(IpAddress::V4(kPeerIp)); }

// RFC 4861 §7.3.1: as long as the peer acknowledges new data, its neighbour entry is confirmed by that, and not by a
// question (which the trace would answer). Here for five times as long as an entry stays REACHABLE by itself.
TEST(ForwardProgress, KeepsTheNeighbourReachable) {
  TcpTrace t;
  t.Establish();
  for (int i = 0; i < 30; ++i) {
    const double ms = 5000.0 * (i + 1);
    t.Quiet(ms);
    t.Send(10);
    t.Out(ms, absl::StrCat("PA ", 1 + 10 * i, ":", 11 + 10 * i, " ack 1"));
    t.In (ms, absl::StrCat("A 1:1 ack ", 11 + 10 * i, " win 65535"));
    ASSERT_NE(nullptr, Peer(t));
    EXPECT_EQ(NeighbourState::kReachable, Peer(t)->state) << ms;
    EXPECT_EQ(t.host().now(), Peer(t)->confirmed_ns) << ms;
  }
}

// Without acknowledgments of something new it goes STALE, and is asked.
TEST(ForwardProgress, IsNoneWithoutNews) {
  TcpTrace t;
  t.Establish();
  t.Quiet(60000);
  t.In (60000, "PA 1:11 ack 1 win 65535");
  t.In (60000, "PA 11:21 ack 1 win 65535");
  t.Drain(60100);
  EXPECT_EQ(NeighbourState::kDelay, Peer(t)->state);
  t.Read(20);
}

}  // namespace
}  // namespace weir::testing_support
