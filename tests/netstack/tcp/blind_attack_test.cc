// Segments of somebody who knows the connection's addresses and ports but not its numbers: RFC 5961. And how often such
// segments are answered (its §7).
#include <gtest/gtest.h>

#include <cerrno>
#include <set>

#include "absl/strings/str_cat.h"
#include "tests/support/tcp_trace.h"

namespace weir::testing_support {
namespace {

using netstack::DropReason;
using netstack::TcpState;

// RFC 5961 §3.2: a reset that is only in the window is questioned; a guess a second later is again, the ones between
// are not (§7).
TEST(BlindReset, IsQuestionedTwiceASecond) {
  TcpTrace t;
  t.Establish();
  t.In (0,   "R  1000:1000");
  EXPECT_EQ(DropReason::kTcpChallengeAck, t.last());
  t.Out(0,   "A  1:1 ack 1");
  for (int i = 1; i < 50; ++i) t.In(i * 10, absl::StrCat("R ", 1000 * i, ":", 1000 * i));
  t.In (500, "R  2:2");
  t.Out(500, "A  1:1 ack 1");
  EXPECT_EQ(2u, t.tcp().counters.challenge_acks);
  EXPECT_EQ(49u, t.tcp().counters.acks_withheld);
  EXPECT_EQ(TcpState::kEstablished, t.sock().state);
}

// The peer that did restart answers the challenge, with the number that we expect.
TEST(BlindReset, ThePeersOwnAnswerResets) {
  TcpTrace t;
  t.Establish();
  t.In (0, "R  500:500");
  t.Out(0, "A  1:1 ack 1");
  t.In (1, "R  1:1");
  EXPECT_EQ(ECONNRESET, t.sock().error);
}

// Behind a hole a peer's reset has the number behind what it sent, of which SACK told it (tcp_validate_incoming).
TEST(BlindReset, BehindTheLastSackBlock) {
  for (const char* reset : {"R 401:401", "R 301:301"}) {
    TcpTrace t;
    t.Establish({.sack = true});
    t.In (0, "A  101:201 ack 1 win 65535");
    t.Out(0, "A  1:1 ack 1 <sack 101:201>");
    t.In (0, "A  301:401 ack 1 win 65535");
    t.Out(0, "A  1:1 ack 1 <sack 301:401 101:201>");
    t.In (1, reset);
    const bool last = absl::string_view(reset) == "R 401:401";
    EXPECT_EQ(last ? DropReason::kTcpReset : DropReason::kTcpChallengeAck, t.last());
    if (!last) t.Out(1, "A 1:1 ack 1 <sack 301:401 101:201>");
  }
}

// RFC 5961 §4.2: a SYN, in the window or not, is questioned.
TEST(BlindSyn, IsQuestionedTwiceASecond) {
  TcpTrace t;
  t.Establish();
  t.In (0,   "S  900000:900000 win 65535 <mss 1460>");
  EXPECT_EQ(DropReason::kTcpChallengeAck, t.last());
  t.Out(0,   "A  1:1 ack 1");
  t.In (100, "S  5:5           win 65535 <mss 1460>");
  EXPECT_EQ(DropReason::kTcpChallengeAck, t.last());
  t.In (499, "SA 1:1     ack 1 win 65535 <mss 1460>");
  t.In (500, "S  0:0           win 65535 <mss 1460>");
  t.Out(500, "A  1:1 ack 1");
  EXPECT_EQ(TcpState::kEstablished, t.sock().state);
}

// RFC 5961 §3.2, §4.2: with other flags beside, which scanners send, RST and SYN are what they are.
TEST(BlindReset, WithOtherFlags) {
  for (const char* flags : {"SR", "SRF", "SRFPA", "RF"}) {
    TcpTrace t;
    t.Establish();
    t.In (0, absl::StrCat(flags, " 1000:1000 ack 1 win 65535"));
    EXPECT_EQ(DropReason::kTcpChallengeAck, t.last()) << flags;
    t.Out(0, "A  1:1 ack 1");
    t.In (1, absl::StrCat(flags, " 1:1 ack 1 win 65535"));
    EXPECT_EQ(ECONNRESET, t.sock().error) << flags;
  }
  TcpTrace t;
  t.Establish();
  t.In (0, "SF 1:1 win 65535");
  t.Out(0, "A  1:1 ack 1");
  EXPECT_EQ(TcpState::kEstablished, t.sock().state);
}

// RFC 5961 §5.2: an ACK from before our first byte is of no segment of ours, however large the window: its FIN is not
// taken (tcp_ack, which counts from bytes_acked).
TEST(BlindData, FromBeforeOurFirstByte) {
  TcpTrace t;
  t.Establish();
  t.In (0, "FA 1:1 ack 0 win 65535");
  EXPECT_EQ(DropReason::kTcpOldAck, t.last());
  t.Out(0, "A  1:1 ack 1");
  EXPECT_EQ(TcpState::kEstablished, t.sock().state);
}

// Linux: no TCP sends a segment without ACK once it has our SYN; it gets no answer, wherever it lies.
TEST(BlindData, WithoutAck) {
  TcpTrace t;
  t.Establish();
  for (const char* segment : {"P 1:4", "F 1:1", "PU 900000:900000", "P -10:-5", "U 1:1"}) {
    t.In (0, segment);
    EXPECT_EQ(DropReason::kTcpNoAck, t.last()) << segment;
  }
}

// RFC 5961 §5.2: data whose acknowledgment is from no part of this conversation.
TEST(BlindData, IsNotTakenAndQuestionedTwiceASecond) {
  TcpTrace t;
  t.Establish({.window = 1000});
  for (int sent = 0; sent < 2000; sent += 1000) {
    t.Send(1000);
    t.Out(0, absl::StrCat("PA ", 1 + sent, ":", 1001 + sent, " ack 1"));
    t.In (0, absl::StrCat("A  1:1 ack ", 1001 + sent, " win 1000"));
  }
  t.In (1,   "PA 1:101 ack 1000 win 1000");  // SND.UNA - MAX.SND.WND is 2001 - 1000: just below
  EXPECT_EQ(DropReason::kTcpOldAck, t.last());
  t.Out(1,   "A  2001:2001 ack 1");
  t.In (10,  "PA 1:101 ack 2002 win 1000");
  EXPECT_EQ(DropReason::kTcpUnsentAck, t.last());
  t.In (600, "PA 1:101 ack 2000000 win 1000");
  t.Out(600, "A  2001:2001 ack 1");
  EXPECT_EQ(0u, t.sock().rcv.queued);
  t.In (700, "PA 1:101 ack 1001 win 1000");
  t.Out(740, "A  2001:2001 ack 101");
  t.Read(100);
}

// Two hosts that disagree answer each other's ACKs; what has data is no such answer (tcp_oow_rate_limited).
TEST(OutOfWindow, AcksAreAnsweredTwiceASecondAndDataAlways) {
  TcpTrace t;
  t.Establish();
  t.In (0,   "A  -5:-5 ack 1 win 65535");
  t.Out(0,   "A  1:1 ack 1");
  t.In (1,   "A  -5:-5 ack 1 win 65535");
  t.In (2,   "A  -5:-2 ack 1 win 65535");
  t.Out(2,   "A  1:1 ack 1");
  t.In (3,   "A  -5:-2 ack 1 win 65535");
  t.Out(3,   "A  1:1 ack 1");
  t.In (502, "A  -5:-5 ack 1 win 65535");
  t.Out(502, "A  1:1 ack 1");
}

// RFC 7323 §5.3 with the same limit (LINUX_MIB_TCPACKSKIPPEDPAWS).
TEST(OutOfWindow, OldTimestamps) {
  TcpTrace t;
  t.Establish({.timestamps = true});
  t.In (5000, "A 1:1 ack 1 win 65535 <ts 5000 ecr 0>");
  t.In (5000, "A 1:1 ack 1 win 65535 <ts 5 ecr 0>");
  t.Out(5000, "A 1:1 ack 1");
  t.In (5499, "A 1:1 ack 1 win 65535 <ts 5 ecr 0>");
  EXPECT_EQ(DropReason::kTcpPaws, t.last());
  t.In (5500, "A 1:1 ack 1 win 65535 <ts 5 ecr 0>");
  t.Out(5500, "A 1:1 ack 1");
}

uint64_t ChallengedInASecond(TcpTrace& t, int ports, double ms) {
  const uint64_t before = t.tcp().counters.challenge_acks;
  for (int i = 0; i < ports; ++i) {
    t.From(static_cast<uint16_t>(40000 + i));
    t.In(ms, "R 2:2");
    EXPECT_EQ(DropReason::kTcpChallengeAck, t.last());
    t.Drain();
  }
  return t.tcp().counters.challenge_acks - before;
}

// RFC 5961 §7, for all connections together. The number is drawn anew for each second, so that it tells nothing.
TEST(ChallengeAck, IsLimitedForTheHost) {
  TcpTrace t({.host = {.tcp = {.challenge_ack_limit = 20}}});
  constexpr int kConnections = 40;
  for (int i = 0; i < kConnections; ++i) {
    t.From(static_cast<uint16_t>(40000 + i));
    t.Establish();
  }
  std::set<uint64_t> counts;
  for (int second = 1; second <= 8; ++second) {
    const uint64_t count = ChallengedInASecond(t, kConnections, second * 1000);
    EXPECT_LE(10u, count);
    EXPECT_GT(30u, count);
    counts.insert(count);
  }
  EXPECT_LT(2u, counts.size());
}

TEST(ChallengeAck, NoneAtAll) {
  TcpTrace t({.host = {.tcp = {.challenge_ack_limit = 0}}});
  t.Establish();
  t.In (0, "R 2:2");
  EXPECT_EQ(DropReason::kTcpChallengeAck, t.last());
  t.In (1, "R 1:1");
  EXPECT_EQ(ECONNRESET, t.sock().error);
}

}  // namespace
}  // namespace weir::testing_support
