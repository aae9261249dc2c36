// RACK: RFC 8985 §6.
#include <gtest/gtest.h>

#include "tests/netstack/tcp/sender_lines.h"

namespace weir::testing_support {
namespace {

using netstack::TcpCaState;

constexpr TcpTrace::Handshake kSack{.rtt = 100, .sack = true};

// RFC 8985 §6.2.5: one segment behind it is enough, when a quarter of the shortest round trip has passed.
TEST(Rack, OneSegmentLater) {
  TcpTrace t;
  t.Establish(kSack);
  t.Send(2 * kMss);
  ExpectLast(t, 100, 0, 2);
  t.In (200, AckOf(0, {{1, 2}}));
  t.Out(225, absl::StrCat("A ", Segment(0), " ack 1"));
  EXPECT_EQ(TcpCaState::kRecovery, t.sock().recovery.state);
  t.In (325, AckOf(2));
  EXPECT_EQ(TcpCaState::kOpen, t.sock().recovery.state);
  EXPECT_EQ(0u, t.tcp().counters.timeouts);
}

// What was only overtaken is not sent again.
TEST(Rack, ReorderingWithinTheWindow) {
  TcpTrace t;
  t.Establish(kSack);
  t.Send(3 * kMss);
  ExpectLast(t, 100, 0, 3);
  t.In (200, AckOf(0, {{1, 3}}));
  t.In (220, AckOf(3));
  EXPECT_EQ(TcpCaState::kOpen, t.sock().recovery.state);
  t.Quiet(2000);
  EXPECT_EQ(0u, t.tcp().counters.retransmits);
}

// RFC 8985 §6.2.4: once reordering was seen three SACKed segments do not mean a loss by themselves.
TEST(Rack, AfterReorderingWasSeen) {
  TcpTrace t;
  t.Establish(kSack);
  t.Send(2 * kMss);
  ExpectLast(t, 100, 0, 2);
  t.In (200, AckOf(0, {{1, 2}}));
  t.In (210, AckOf(2));  // it came late, and was never sent again
  EXPECT_TRUE(t.sock().rack.reord_seen);
  t.Send(6 * kMss);
  ExpectLast(t, 210, 2, 8);
  t.In (310, AckOf(2, {{3, 8}}));
  t.Quiet(334);
  t.Out(335, absl::StrCat("A ", Segment(2), " ack 1"));
  t.In (435, AckOf(8));
}

// RFC 8985 §6.2.5: a retransmission that is lost is recognized like any other segment; nothing waits for the timer.
TEST(Rack, LostRetransmissions) {
  TcpTrace t;
  t.Establish(kSack);
  t.Send(8 * kMss);
  ExpectLast(t, 100, 0, 8);
  t.In (200, AckOf(0, {{1, 4}}));
  t.Out(200, absl::StrCat("A ", Segment(0), " ack 1"));  // lost
  t.Send(4 * kMss);
  t.In (205, AckOf(0, {{1, 8}}));
  const std::vector<std::string> fresh = t.Drain(206);
  ASSERT_LE(2u, fresh.size());
  t.In (305, AckOf(0, {{1, 10}}));  // sent after it
  const std::vector<std::string> again = t.Drain(340);
  ASSERT_LE(1u, again.size());
  EXPECT_NE(std::string::npos, again[0].find(Segment(0))) << again[0];
  EXPECT_EQ(0u, t.tcp().counters.timeouts);
  EXPECT_EQ(2u, t.tcp().counters.retransmits);
}

// RFC 8985 §6.2.4: each round trip with a D-SACK widens the window for reordering.
TEST(Rack, DsacksWidenTheWindow) {
  TcpTrace t;
  t.Establish(kSack);
  t.Send(2 * kMss);
  ExpectLast(t, 100, 0, 2);
  t.In (200, AckOf(0, {{1, 2}}));
  t.Out(225, absl::StrCat("A ", Segment(0), " ack 1"));
  t.In (230, AckOf(2));                // the first one after all
  t.In (330, AckOf(2, {{0, 1}}));      // and the second
  t.Send(2 * kMss);
  ExpectLast(t, 330, 2, 4);
  t.In (430, AckOf(2, {{3, 4}}));
  t.Quiet(479);
  t.Out(480, absl::StrCat("A ", Segment(2), " ack 1"));
  EXPECT_EQ(2, t.sock().rack.reo_wnd_steps);
  t.In (580, AckOf(4));
}

}  // namespace
}  // namespace weir::testing_support
