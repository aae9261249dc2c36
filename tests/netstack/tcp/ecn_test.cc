// Explicit Congestion Notification: RFC 3168 §6.1.
#include <gtest/gtest.h>

#include "tests/netstack/tcp/sender_lines.h"

namespace weir::testing_support {
namespace {

using netstack::TcpCaState;

InetTestHost::Options WithEcn(uint8_t ecn) {
  InetTestHost::Options options = Reno();
  options.tcp.ecn = ecn;
  return options;
}

// A connection with ECN that the peer asked for.
void Establish(TcpTrace& t) {
  t.Listen(80);
  t.In (0,   "SEW 0:0       win 65535 <mss 1460, sackOK>");
  t.Out(0,   "SAE 0:0 ack 1 win 65535 <mss 1460, sackOK>");
  t.In (100, "A   1:1 ack 1 win 65535");
  t.Accept();
  t.sock().quick_acks = 0;
}

// §6.1.1, by tcp_ecn: 0 off, 1 asked for and agreed to, 2 agreed to.
TEST(Ecn, Negotiation) {
  for (uint8_t setting : {0, 1, 2}) {
    TcpTrace t({.host = WithEcn(setting)});
    t.Listen(80);
    t.In (0, "SEW 0:0       win 65535 <mss 1460>");
    t.Out(0, absl::StrCat(setting != 0 ? "SAE" : "SA", " 0:0 ack 1 win 65535 <mss 1460>"));
    t.In (0, "A 1:1 ack 1 win 65535");
    t.Accept();
    EXPECT_EQ(setting != 0, t.sock().ecn.ok);
    t.From(40001);
    t.In (0, "SE 0:0        win 65535 <mss 1460>");  // half a request is none
    t.Out(0, "SA 0:0 ack 1  win 65535 <mss 1460>");
    t.In (0, "A 1:1 ack 1 win 65535");
    t.Accept();
    EXPECT_FALSE(t.sock().ecn.ok);
    t.Connect(443);
    t.Out(0, absl::StrCat(setting == 1 ? "SEW" : "S", " 0:0 <mss 1460, sackOK, ts, wscale 7>"));
    t.In (0, "SAE 0:0 ack 1 win 65535 <mss 1460>");
    t.Out(0, "A 1:1 ack 1");
    EXPECT_EQ(setting == 1, t.sock().ecn.ok);
  }
}

// §6.1.1: a peer that reflects our flags has not agreed.
TEST(Ecn, ReflectedFlags) {
  TcpTrace t({.host = WithEcn(1)});
  t.Connect(443);
  t.Out(0, "SEW  0:0 <mss 1460, sackOK, ts, wscale 7>");
  t.In (0, "SAEW 0:0 ack 1 win 65535 <mss 1460>");
  t.Out(0, "A 1:1 ack 1");
  EXPECT_FALSE(t.sock().ecn.ok);
}

// §6.1.1.1: a SYN that is lost goes again without.
TEST(Ecn, Fallback) {
  TcpTrace t({.host = WithEcn(1)});
  t.Connect(443);
  t.Out(0,    "SEW 0:0 <mss 1460, sackOK, ts, wscale 7>");
  t.Out(1000, "S   0:0 <mss 1460, sackOK, ts, wscale 7>");
  t.In (1001, "SAE 0:0 ack 1 win 65535 <mss 1460>");
  t.Out(1001, "A 1:1 ack 1");
  EXPECT_FALSE(t.sock().ecn.ok);
}

// §6.1.2: an echo halves the window once a round trip, the next new data says so (CWR); §6.1.4, §6.1.5: neither ACKs
// nor what is sent again may be marked.
TEST(Ecn, TheSender) {
  TcpTrace t({.host = WithEcn(2)});
  Establish(t);
  t.Send(12 * kMss);
  for (int n = 0; n < 10; ++n) t.Out(100, absl::StrCat("A ", Segment(n), " ack 1 ecn 2"));
  const auto echo = [](int n) { return absl::StrCat("AE 1:1 ack ", 1 + n * kMss, " win 65535"); };
  t.In (200, echo(1));
  EXPECT_EQ(TcpCaState::kCwr, t.sock().recovery.state);
  EXPECT_LE(4 * kMss, t.sock().congestion.ssthresh());
  EXPECT_GE(5 * kMss, t.sock().congestion.ssthresh());
  const uint32_t ssthresh = t.sock().congestion.ssthresh();
  EXPECT_EQ(0u, t.tcp().counters.retransmits);
  t.Out(200, absl::StrCat("AW ", Segment(10), " ack 1 ecn 2"));
  t.In (200, echo(2));
  t.In (200, echo(3));
  t.In (200, echo(4));
  t.Out(200, absl::StrCat("PA ", Segment(11), " ack 1 ecn 2"));  // every second ACK lets one go
  for (int n = 5; n <= 10; ++n) t.In(201, echo(n));
  EXPECT_EQ(ssthresh, t.sock().congestion.ssthresh()) << "once a round trip";
  t.In (300, AckOf(12));
  EXPECT_EQ(TcpCaState::kOpen, t.sock().recovery.state);
  EXPECT_EQ(ssthresh, t.sock().congestion.cwnd());
  t.In (301, "PA 1:11 ack 17521 win 65535 ecn 2");
  t.Out(341, "A 17521:17521 ack 11");
  t.Send(kMss);
  t.Out(341, absl::StrCat("PA ", Segment(12), " ack 11 ecn 2"));
  const std::vector<std::string> again = t.Drain(1000);
  ASSERT_LE(1u, again.size());
  for (const std::string& line : again) EXPECT_EQ(std::string::npos, line.find("ecn")) << line;
  t.Read(10);
}

// §6.1.3: a mark is echoed with every segment until CWR comes; at once, so that the sender hears soon.
TEST(Ecn, TheReceiver) {
  TcpTrace t({.host = WithEcn(2)});
  Establish(t);
  t.In (100, "A   1:101   ack 1 win 65535 ecn 2");
  t.Out(140, "A   1:1     ack 101");
  t.In (150, "A   101:201 ack 1 win 65535 ecn 3");
  t.Out(150, "AE  1:1     ack 201");
  t.Send(10);
  t.Out(150, "PAE 1:11    ack 201 ecn 2");
  t.In (160, "A   201:301 ack 11 win 65535 ecn 2");
  t.Out(160, "AE  11:11   ack 301");
  t.In (170, "AW  301:401 ack 11 win 65535 ecn 2");
  t.Out(170, "A   11:11   ack 401");
  t.In (180, "AW  401:501 ack 11 win 65535 ecn 3");  // marked anew
  t.Out(180, "AE  11:11   ack 501");
  t.Read(500);
}

// RFC 3168 §6.1.1: a SYN with ECT or CE has been through a box that knows nothing of ECN (tcp_ecn_create_request).
TEST(Ecn, NotAgreedToByAMarkedSyn) {
  for (const char* bits : {"1", "2", "3"}) {
    TcpTrace t({.host = WithEcn(1)});
    t.Listen(80);
    t.In (0, absl::StrCat("SEW 0:0 win 65535 ecn ", bits, " <mss 1460>"));
    t.Out(0, "SA 0:0 ack 1 <mss 1460>");
  }
}

TEST(Ecn, NothingWithoutAgreement) {
  TcpTrace t;
  t.Establish();
  t.In (0,  "A  1:101 ack 1 win 65535 ecn 3");
  t.Out(40, "A  1:1   ack 101");
  t.Send(100);
  t.Out(40, "PA 1:101 ack 101");
  t.In (50, "AE 101:101 ack 101 win 65535");
  EXPECT_EQ(TcpCaState::kOpen, t.sock().recovery.state);
  t.Read(100);
}

}  // namespace
}  // namespace weir::testing_support
