// Small segments that go again go together (tcp_retrans_collapse; RFC 9293 §3.8.1, RFC 1122 §4.2.2.15).
#include <gtest/gtest.h>

#include <initializer_list>
#include <optional>
#include <string>

#include "absl/strings/str_cat.h"
#include "netstack/tcp/tcp_scoreboard.h"
#include "netstack/tcp/tcp_user_calls.h"
#include "runtime/buffer/send_buffer.h"
#include "tests/netstack/tcp/sender_lines.h"
#include "tests/support/scoreboard_check.h"

namespace weir::testing_support {
namespace {

class Collapse : public ::testing::Test {
 protected:
  // The connection is open at 100 ms, with a round trip of as much and so an RTO of 300 ms.
  TcpTrace& Begin(InetTestHost::Options options, bool sack = false) {
    trace_.emplace(TcpTrace::Options{.host = options});
    trace_->Establish({.rtt = 100, .sack = sack});
    return *trace_;
  }
  TcpTrace& Begin() { return Begin(Reno()); }

  // The program gives buffers of so many bytes, each a frame of its own.
  void Give(std::initializer_list<size_t> sizes) {
    for (size_t n : sizes) {
      SendBuffer buffer = SendBuffer::Allocate(trace_->host().pool(), n, kMss);
      const Bytes bytes = Pattern(given_, n);
      std::copy(bytes.begin(), bytes.end(), static_cast<std::byte*>(buffer.writable().front().iov_base));
      ASSERT_TRUE(TcpSendFrames(trace_->sock(), buffer));
      given_ += n;
    }
    trace_->host().Turn();
  }
  void CheckSums(uint32_t packets) {
    EXPECT_EQ("", ScoreboardProblem(trace_->sock()));
    EXPECT_EQ(packets, trace_->sock().usage.packets_out);
  }

  std::optional<TcpTrace> trace_;
  uint64_t given_ = 0;
};

TEST_F(Collapse, AfterATimeoutSmallSegmentsGoAsOne) {
  TcpTrace& t = Begin();
  Give({10, 20, 30, 40, 1});
  EXPECT_EQ(5u, t.Drain(100).size());
  const uint64_t copied = t.host().inet().ip.copied_bytes;
  t.Out(400, "PA 1:102 ack 1");
  EXPECT_EQ(copied + 91, t.host().inet().ip.copied_bytes);
  CheckSums(1);
  t.In (500, "A  1:1 ack 102 win 65535");
  CheckSums(0);
}

TEST_F(Collapse, IsASetting) {
  InetTestHost::Options options = Reno();
  options.tcp.retrans_collapse = false;
  TcpTrace& t = Begin(options);
  Give({10, 20, 30});
  EXPECT_EQ(3u, t.Drain(100).size());
  t.Out(400, "A  1:11 ack 1");
  CheckSums(3);
  t.In (450, "A  1:1 ack 61 win 65535");
}

// Not beyond a full segment, and no frame is cut for it.
TEST_F(Collapse, UpToTheMss) {
  TcpTrace& t = Begin();
  Give({700, 700, 60, 1, 600});
  EXPECT_EQ(5u, t.Drain(100).size());
  t.Out(400, "A  1:1461 ack 1");
  CheckSums(3);
  t.In (500, "A  1:1 ack 1461 win 65535");
  t.Out(500, "PA 1461:2062 ack 1");
  t.In (600, "A  1:1 ack 2062 win 65535");
}

// Frames that were never sent stay what they are.
TEST_F(Collapse, NotWithWhatWasNotSent) {
  TcpTrace& t = Begin();
  for (int i = 0; i < 12; ++i) Give({10});  // the initial window is ten packets
  EXPECT_EQ(10u, t.Drain(100).size());
  t.Out(400, "A  1:101 ack 1");
  CheckSums(1);
  t.In (500, "A  1:1 ack 101 win 65535");
  EXPECT_EQ(2u, t.Drain(500).size());
  t.In (600, "A  1:1 ack 121 win 65535");
}

// RFC 9293 §3.8.6: a peer that took its window back gets what lies at una, and nothing behind its edge with it.
TEST_F(Collapse, WithinThePeersWindow) {
  TcpTrace& t = Begin();
  Give({10, 10, 10, 10});
  EXPECT_EQ(4u, t.Drain(100).size());
  t.In (110, "A  1:1 ack 11 win 25");  // up to 36
  t.Out(438.75, "A  11:31 ack 1");
  CheckSums(2);
  t.In (500, "A  1:1 ack 41 win 65535");
}

TEST_F(Collapse, TheFinGoesAlong) {
  TcpTrace& t = Begin();
  Give({10, 10});
  EXPECT_EQ(2u, t.Drain(100).size());
  t.Shutdown();
  t.Out(100, "FA 21:21 ack 1");
  t.Out(400, "FPA 1:21 ack 1");
  CheckSums(1);
  t.In (500, "A  1:1 ack 22 win 65535");
  EXPECT_EQ(netstack::TcpState::kFinWait2, t.sock().state);
}

// What the peer has need not go: only what lies before it is put together.
TEST_F(Collapse, NotOverWhatIsSacked) {
  InetTestHost::Options options = Reno();
  options.tcp.early_retrans = false;
  TcpTrace& t = Begin(options, /*sack=*/true);
  Give({10, 10, 10, 10, 10});
  EXPECT_EQ(5u, t.Drain(100).size());
  t.In (200, "A  1:1 ack 1 win 65535 <sack 31:41>");
  const double at = t.sock().timer_kind == netstack::TcpTimerKind::kReorder ? 230 : 400;
  const std::vector<std::string> lines = t.Drain(at + 400);
  ASSERT_FALSE(lines.empty());
  EXPECT_NE(std::string::npos, lines.front().find("A 1:31 ack 1")) << lines.front();
  CheckSums(3);
  EXPECT_EQ(10u, t.sock().board.sacked_out);
  t.In (at + 400, "A  1:1 ack 51 win 65535");
}

// Without SACK: in fast retransmit the first one is lost, and those behind it go along whether they are or not. The
// duplicates stand for fewer then (RFC 6582): what they mean and what is lost is never more than is outstanding.
TEST_F(Collapse, InFastRetransmit) {
  TcpTrace& t = Begin();
  Give({10, 10, 10, 10, 10, 10});
  EXPECT_EQ(6u, t.Drain(100).size());
  t.InBurst(200, {"A 1:1 ack 1 win 65535", "A 1:1 ack 1 win 65535", "A 1:1 ack 1 win 65535"});
  EXPECT_EQ(netstack::TcpCaState::kRecovery, t.sock().recovery.state);
  const std::vector<std::string> lines = t.Drain(200);
  ASSERT_EQ(1u, lines.size());
  EXPECT_EQ("", ScoreboardProblem(t.sock()));
  EXPECT_LT(t.sock().usage.packets_out, 6u);
  t.In (300, "A  1:1 ack 61 win 65535");
  CheckSums(0);
}

TEST_F(Collapse, AnAcknowledgmentOfAPart) {
  TcpTrace& t = Begin();
  Give({10, 10, 10});
  EXPECT_EQ(3u, t.Drain(100).size());
  t.Out(400, "PA 1:31 ack 1");
  t.In (420, "A  1:1 ack 11 win 65535");  // the first one arrived after all
  CheckSums(1);
  EXPECT_EQ(20u, t.sock().board.retrans_out);
  t.In (500, "A  1:1 ack 31 win 65535");
  CheckSums(0);
}

// The payload lies at the end of its frame, after most of it was acknowledged: it is moved to the front.
TEST_F(Collapse, RoomInFrontIsUsed) {
  TcpTrace& t = Begin();
  Give({1460, 1400});
  EXPECT_EQ(2u, t.Drain(100).size());
  t.In (200, "A  1:1 ack 1411 win 65535");
  const std::vector<std::string> lines = t.Drain(700);
  ASSERT_EQ(1u, lines.size());
  EXPECT_NE(std::string::npos, lines[0].find("PA 1411:2861 ack 1")) << lines[0];
  CheckSums(1);
  t.In (800, "A  1:1 ack 2861 win 65535");
}

// A frame that somebody else holds is not written to; one that the device still has was not sent yet.
TEST_F(Collapse, FramesThatOthersHold) {
  TcpTrace& t = Begin();
  Give({10, 10, 10, 10});
  EXPECT_EQ(4u, t.Drain(100).size());
  runtime::Frame* first = t.sock().send_queue.head();
  runtime::Frame* third = first->next->next;
  runtime::Ref(first);
  ++third->tx_pending;
  t.Out(400, "A  1:11 ack 1");
  runtime::Unref(first);
  t.Out(1000, "A  1:21 ack 1");
  --third->tx_pending;
  t.Out(2200, "PA 1:41 ack 1");
  CheckSums(1);
  t.In (2300, "A  1:1 ack 41 win 65535");
}

// What is sent again in one piece counts as that (RFC 6298 §3): no round trip is measured by it.
TEST_F(Collapse, KarnsAlgorithm) {
  TcpTrace& t = Begin();
  Give({10, 10, 10});
  EXPECT_EQ(3u, t.Drain(100).size());
  t.Out(400, "PA 1:31 ack 1");
  const Nanos srtt_ns = t.sock().rtt.srtt_ns;
  t.In (950, "A  1:1 ack 31 win 65535");
  EXPECT_EQ(srtt_ns, t.sock().rtt.srtt_ns);
  EXPECT_EQ(1u, t.tcp().counters.retransmits);
}

}  // namespace
}  // namespace weir::testing_support
