// Segments far below the MSS: the congestion window counts packets then, as Linux's does everywhere. RFC 5681 §3.1 speaks
// of full-sized segments; for others RFC 6928 §2 counts bytes, with which a thousand tiny ones would leave at once.
#include <gtest/gtest.h>

#include "netstack/tcp/tcp_scoreboard.h"
#include "netstack/tcp/tcp_user_calls.h"
#include "runtime/buffer/send_buffer.h"
#include "tests/netstack/tcp/sender_lines.h"
#include "tests/support/scoreboard_check.h"

namespace weir::testing_support {
namespace {

// The program gives `n` buffers of 10 bytes, each a frame.
void SendTiny(TcpTrace& t, int n, uint64_t* at) {
  for (int i = 0; i < n; ++i) {
    SendBuffer buffer = SendBuffer::Allocate(t.host().pool(), 10, 1460);
    const Bytes bytes = Pattern(*at, 10);
    std::copy(bytes.begin(), bytes.end(), static_cast<std::byte*>(buffer.writable().front().iov_base));
    ASSERT_TRUE(TcpSendFrames(t.sock(), buffer));
    *at += 10;
  }
  t.host().Turn();
}

TEST(TinySegments, TheInitialWindowIsTenOfThem) {
  TcpTrace t({.host = Reno()});
  t.Establish({.rtt = 100});
  uint64_t at = 0;
  SendTiny(t, 100, &at);
  EXPECT_EQ(10u, t.Drain(100).size());
  EXPECT_EQ(10u, netstack::TcpPacketsInFlight(t.sock()));
  // Each counts as a full segment, so the window doubles (RFC 5681 §3.1).
  t.In(200, "A 1:1 ack 101 win 65535");
  EXPECT_EQ(20u, t.Drain(200).size());
  EXPECT_EQ(20u * kMss, t.sock().congestion.cwnd());
  t.In(300, "A 1:1 ack 301 win 65535");
  EXPECT_EQ(40u, t.Drain(300).size());
  EXPECT_EQ("", ScoreboardProblem(t.sock()));
  t.In(400, "A 1:1 ack 701 win 65535");
  t.Drain(400);
}

// RFC 5681 §3.1: after a timeout one segment, and not as many tiny ones as would make one.
TEST(TinySegments, OneAfterATimeout) {
  InetTestHost::Options options = Reno();
  options.tcp.retrans_collapse = false;
  TcpTrace t({.host = options});
  t.Establish({.rtt = 100});
  uint64_t at = 0;
  SendTiny(t, 100, &at);
  EXPECT_EQ(10u, t.Drain(100).size());
  EXPECT_EQ(1u, t.Drain(450).size());
  EXPECT_EQ(1u, t.tcp().counters.timeouts);
  EXPECT_EQ(5u * kMss, t.sock().congestion.ssthresh());  // half of the packets that were outstanding
  t.In(500, "A 1:1 ack 11 win 65535");
  EXPECT_EQ(2u, t.Drain(500).size());
  EXPECT_EQ("", ScoreboardProblem(t.sock()));
}

// Full segments: bytes are what counts, and nothing is held back for packets.
TEST(TinySegments, FullOnesCountAsBytes) {
  TcpTrace t({.host = Reno()});
  t.Establish({.rtt = 100});
  t.Send(20 * kMss);
  EXPECT_EQ(10u, t.Drain(100).size());
  EXPECT_FALSE(t.sock().usage.by_packets);
}

}  // namespace
}  // namespace weir::testing_support
