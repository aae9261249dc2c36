// Timestamps: RFC 7323 §3 to §5, the room that they take RFC 6691 §2, and TIME-WAIT RFC 6191 §2.
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "tests/support/tcp_trace.h"

namespace weir::testing_support {
namespace {

using netstack::DropReason;
using netstack::TcpState;

constexpr TcpTrace::Handshake kTimestamps{.timestamps = true};

// RFC 7323 §3.2: in the answer when the SYN has them, and then in every segment (TcpTrace looks).
TEST(Timestamps, Negotiated) {
  TcpTrace t;
  t.Listen(80);
  t.In (0,  "S  0:0       win 65535 <mss 1460, sackOK, ts 0 ecr 0, wscale 7>");
  t.Out(0,  "SA 0:0 ack 1 win 65535 <mss 1460, sackOK, ts 0 ecr 0, wscale 7>");
  t.In (10, "A  1:1 ack 1 win 512 <ts 10 ecr 0>");
  t.Accept();
  t.Send(10);
  t.Out(10, "PA 1:11 ack 1 <ts 10 ecr 10>");
  t.In (30, "A  1:1 ack 11 win 512 <ts 31 ecr 10>");
  t.Shutdown();
  t.Out(30, "FA 11:11 ack 1 <ts 30 ecr 31>");
  t.In (40, "FA 1:1 ack 12 win 512");
  t.Out(40, "A  12:12 ack 2 <ts 40 ecr 40>");
}

TEST(Timestamps, OnlyWhenBothWantThem) {
  for (bool ours : {false, true}) {
    for (bool theirs : {false, true}) {
      InetTestHost::Options options;
      options.tcp.timestamps = ours;
      TcpTrace t({.host = options});
      t.Listen(80);
      t.In (0, absl::StrCat("S  0:0       win 65535 <mss 1460", theirs ? ", ts 0 ecr 0>" : ">"));
      t.Out(0, absl::StrCat("SA 0:0 ack 1 win 65535 <mss 1460", ours && theirs ? ", ts 0 ecr 0>" : ">"));
      t.In (0, "A  1:1 ack 1 win 65535");
      t.Accept();
      EXPECT_EQ(ours && theirs ? 1448 : 1460, t.sock().snd.mss);
    }
  }
}

TEST(Timestamps, Connect) {
  TcpTrace t;
  t.Connect(443);
  t.Out(0, "S  0:0       <mss 1460, sackOK, ts 0 ecr 0, wscale 7>");
  t.In (5, "SA 0:0 ack 1 win 65535 <mss 1460, ts 7 ecr 0>");
  t.Out(5, "A  1:1 ack 1 <ts 5 ecr 7>");
  EXPECT_FALSE(t.sock().sack.ok);
  EXPECT_EQ(0, t.sock().rcv.wscale);
  t.Connect(444);
  t.Out(5, "S  0:0       <mss 1460, sackOK, ts, wscale 7>");
  t.In (6, "SA 0:0 ack 1 win 65535 <mss 1460>");
  t.Out(6, "A  1:1 ack 1");
  EXPECT_FALSE(t.sock().ts.ok);
}

TEST(Timestamps, OptionsThatAreOffAreNotOffered) {
  InetTestHost::Options options;
  options.tcp.timestamps = options.tcp.sack = options.tcp.window_scaling = 0;
  TcpTrace t({.host = options});
  t.Connect(443);
  t.Out(0, "S  0:0       <mss 1460>");
  t.In (5, "SA 0:0 ack 1 win 65535 <mss 1460, sackOK, ts 7 ecr 0, wscale 3>");
  t.Out(5, "A  1:1 ack 1");
  EXPECT_FALSE(t.sock().sack.ok);
  EXPECT_EQ(0, t.sock().snd.wscale);
}

// RFC 6691 §2: the MSS option does not count options, so the sender takes them off.
TEST(Timestamps, TakeRoomFromSegments) {
  TcpTrace t;
  t.Establish(kTimestamps);
  t.Send(2000);
  t.Out(0, "A  1:1449    ack 1");
  t.Out(0, "PA 1449:2001 ack 1");
}

// RFC 7323 §5.4: the clock starts at a place that depends on a secret and on the addresses, not on the ports.
TEST(Timestamps, TheClockStartsAtASecretPlace) {
  InetTestHost::Options plain;
  plain.tcp.timestamps = 2;
  TcpTrace a, b({.host = plain});
  for (TcpTrace* t : {&a, &b}) {
    t->Establish(kTimestamps);
    t->From(40001);
    t->Establish(kTimestamps);
  }
  const uint32_t offset = a.sock().ts.offset;
  EXPECT_NE(0u, offset);
  a.From(40000);
  EXPECT_EQ(offset, a.sock().ts.offset);
  EXPECT_EQ(0u, b.sock().ts.offset);
}

// RFC 7323 §4.3: an ACK echoes the earliest segment that it acknowledges; what is out of order does not count, and a
// segment that fills a hole does.
TEST(Timestamps, WhichOneIsEchoed) {
  TcpTrace t;
  t.Establish(kTimestamps);
  t.In (10, "A 1:101    ack 1 win 65535 <ts 10 ecr 0>");
  t.In (20, "A 101:201  ack 1 win 65535 <ts 20 ecr 0>");
  t.Out(50, "A 1:1      ack 201 <ts 50 ecr 10>");
  t.In (60, "A 301:401  ack 1 win 65535 <ts 60 ecr 0>");
  t.Out(60, "A 1:1      ack 201 <ts 60 ecr 10>");
  t.In (70, "A 201:301  ack 1 win 65535 <ts 65 ecr 0>");
  t.Out(70, "A 1:1      ack 401 <ts 70 ecr 65>");
  t.Read(400);
}

// RFC 7323 §5.3, R1: an old timestamp: dropped and acknowledged.
TEST(Paws, OldTimestampsAreRejected) {
  TcpTrace t;
  t.Establish(kTimestamps);
  t.In (10, "A 1:101   ack 1 win 65535 <ts 1000 ecr 0>");
  t.Out(50, "A 1:1     ack 101");
  t.In (60, "A 101:201 ack 1 win 65535 <ts 998 ecr 0>");
  EXPECT_EQ(DropReason::kTcpPaws, t.last());
  t.Out(60, "A 1:1     ack 101 <ts 60 ecr 1000>");
  t.In (61, "A 101:201 ack 1 win 65535 <ts 999 ecr 0>");  // one tick back is borne, and not remembered
  EXPECT_EQ(DropReason::kConsumed, t.last());
  t.Out(101, "A 1:1    ack 201 <ts 101 ecr 1000>");
  t.In (102, "A 201:301 ack 1 win 65535 <ts 1000 ecr 0>");
  t.Out(142, "A 1:1     ack 301 <ts 142 ecr 1000>");
  t.Read(300);
}

// RFC 7323 §5.2: a reset is valid whatever its timestamp.
TEST(Paws, ResetsAreExempt) {
  TcpTrace t;
  t.Establish(kTimestamps);
  t.In(10, "A 1:1 ack 1 win 65535 <ts 1000 ecr 0>");
  t.In(11, "RA 1:1 ack 1 <ts 1 ecr 0>");
  EXPECT_EQ(ECONNRESET, t.sock().error);
}

// The peer's clock wraps within these five seconds (kPeerClock).
TEST(Paws, TheClockMayWrap) {
  TcpTrace t;
  t.Establish(kTimestamps);
  for (int i = 0; i < 10; ++i) {
    t.In (500 * i,      absl::StrCat("A ", 1 + i, ":", 2 + i, " ack 1 win 65535"));
    EXPECT_EQ(DropReason::kConsumed, t.last());
    t.Out(500 * i + (i == 0 ? 40 : 0), absl::StrCat("A 1:1 ack ", 2 + i));
  }
  t.Read(10);
}

// RFC 7323 §5.5: after 24 days of silence a timestamp says nothing any more.
TEST(Paws, OldAgeEndsIt) {
  TcpTrace t;
  t.Establish(kTimestamps);
  t.In (10, "A 1:101   ack 1 win 65535 <ts 1000 ecr 0>");
  t.Out(50, "A 1:1     ack 101");
  constexpr double kDay = 24 * 3600 * 1000.0;
  t.In (23.9 * kDay, "A 101:201 ack 1 win 65535 <ts 10 ecr 0>");
  EXPECT_EQ(DropReason::kTcpPaws, t.last());
  t.Drain();
  t.In (24.1 * kDay, "A 101:201 ack 1 win 65535 <ts 10 ecr 0>");
  EXPECT_EQ(DropReason::kConsumed, t.last());
  t.Out(24.1 * kDay, "A 1:1 ack 201 <ts 2082240000 ecr 10>");
  t.Read(200);
}

// An ACK that was overtaken does no harm and is not answered; two hosts that answered such ACKs would not stop.
TEST(Paws, DisorderedAcks) {
  TcpTrace t;
  t.Establish(kTimestamps);
  t.In (10, "A 1:1 ack 1 win 65535 <ts 1000 ecr 0>");
  t.In (11, "A 1:1 ack 1 win 65535 <ts 950 ecr 0>");
  EXPECT_EQ(DropReason::kConsumed, t.last());
  t.Quiet(100);
  t.In (100, "A 1:1 ack 1 win 65535 <ts 1 ecr 0>");  // longer ago than a retransmission takes
  EXPECT_EQ(DropReason::kTcpPaws, t.last());
  t.Out(100, "A 1:1 ack 1");
}

// RFC 7323 §4.1: the echo tells that the retransmission was answered, which Karn's algorithm cannot know.
TEST(Rttm, MeasuresWhatWasSentTwice) {
  TcpTrace t;
  t.Establish(kTimestamps);
  t.In (0, "A 1:1 ack 1 win 65535");
  const Nanos before = t.sock().rtt.srtt_ns;
  t.Send(100);
  t.Out(0, "PA 1:101 ack 1");
  const std::vector<std::string> sent = t.Drain(500);
  ASSERT_LE(1u, sent.size());
  t.In (560, "A 1:1 ack 101 win 65535 <ts 560 ecr 500>");
  EXPECT_NE(before, t.sock().rtt.srtt_ns);
  EXPECT_GE(60 * kMillisecond, t.sock().rtt.srtt_ns);
}

// RFC 6191 §2: a SYN with a later timestamp opens a connection of the same endpoints, whatever its number.
TEST(TimeWait, ALaterTimestampOpensANewConnection) {
  for (const char* ts : {"ts 20 ecr 0", "ts 5 ecr 0"}) {
    TcpTrace t;
    t.Establish(kTimestamps);
    t.Shutdown();
    t.Out(0,  "FA 1:1 ack 1");
    t.In (10, "FA 1:1 ack 2 win 65535 <ts 10 ecr 0>");
    t.Out(10, "A  2:2 ack 2");
    t.Close();
    const bool later = ts == std::string("ts 20 ecr 0");
    t.In (15, absl::StrCat("S -500000:-500000 win 65535 <mss 1460, ", ts, ">"));
    if (later) {
      const std::vector<std::string> answer = t.Drain();
      ASSERT_EQ(1u, answer.size());
      EXPECT_NE(std::string::npos, answer[0].find("SA 0:0 ack -499999")) << answer[0];
      t.In(16, "R -499999:-499999");
    } else {
      EXPECT_EQ(DropReason::kTcpTimeWait, t.last());
      t.Out(15, "A 2:2 ack 2");
    }
  }
}

// RFC 7323 §5.3: a segment that R2 rejects leaves no timestamp (R3 comes after it). A keepalive is from before the window.
TEST(TsRecent, NotOfAKeepalive) {
  TcpTrace t;
  t.Establish({.timestamps = true});
  t.In (100, "A  1:1 ack 1 win 65535 <ts 100 ecr 0>");
  const uint32_t recent = t.sock().ts.recent;
  t.In (200, "A  0:0 ack 1 win 65535 <ts 200 ecr 0>");
  t.Out(200, "A  1:1 ack 1");
  EXPECT_EQ(recent, t.sock().ts.recent);
}

// RFC 7323 §4.3: the ACK of data that came again, since the first ACK was lost, has the timestamp of the second
// transmission. With that of the first the peer would take its timeout for a round trip.
TEST(TsRecent, OfDataThatCameAgain) {
  TcpTrace t;
  t.Establish({.timestamps = true});
  t.In (100,  "A  1:101   ack 1 win 65535 <ts 100 ecr 0>");
  t.In (100,  "A  101:201 ack 1 win 65535 <ts 100 ecr 0>");
  t.Read(200);
  t.Drain(200);
  const uint32_t recent = t.sock().ts.recent;
  t.In (1100, "A  1:101   ack 1 win 65535 <ts 1100 ecr 0>");
  t.Out(1100, "A  1:1 ack 201");
  EXPECT_EQ(recent + 1000, t.sock().ts.recent);
}

}  // namespace
}  // namespace weir::testing_support
