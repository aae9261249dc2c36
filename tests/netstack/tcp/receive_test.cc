// Data that arrives: RFC 9293 §3.10.7.4, first, seventh and eighth; windows §3.8.6; ACKs RFC 5681 §4.2.
#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "absl/strings/str_cat.h"
#include "netstack/tcp/tcp_loss.h"
#include "netstack/tcp/tcp_user_calls.h"
#include "tests/support/random.h"
#include "tests/support/tcp_trace.h"

namespace weir::testing_support {
namespace {

using netstack::DropReason;
using netstack::ReadySock;
using netstack::TcpState;
using testing::Random;

constexpr InetTestHost::Options WithReceiveBuffer(uint32_t bytes) {
  InetTestHost::Options options;
  options.tcp.receive_buffer = bytes;
  return options;
}

TEST(Receive, InOrder) {
  TcpTrace t;
  t.Establish();
  t.In (0,  "PA 1:101 ack 1 win 65535");
  EXPECT_EQ(ReadySock::kReadable, t.TakeEvents());
  t.Out(40, "A  1:1   ack 101");  // delayed by 40 ms (RFC 9293 §3.8.6.3: at most 500)
  t.Read(100);
  t.Quiet(1000);
}

TEST(Receive, AnAnswerCarriesTheAck) {
  TcpTrace t;
  t.Establish();
  t.In (0, "PA 1:101 ack 1 win 65535");
  t.Read(100);
  t.Send(50);
  t.Out(0, "PA 1:51  ack 101");
  t.In (1, "A  101:101 ack 51 win 65535");
  t.Quiet(1000);
}

// RFC 9293 §3.8.6.3, RFC 5681 §4.2: an ACK for at least every second full-sized segment.
TEST(Receive, EverySecondSegmentIsAcknowledgedAtOnce) {
  TcpTrace t;
  t.Establish();
  t.In (0, "A 1:1461    ack 1 win 65535");
  t.In (1, "A 1461:2921 ack 1 win 65535");
  t.Out(1, "A 1:1       ack 2921");
  t.In (2, "A 2921:4381 ack 1 win 65535");
  t.Out(42, "A 1:1      ack 4381");
  t.InBurst(50, {"A 4381:5841 ack 1 win 65535", "A 5841:7301 ack 1 win 65535", "A 7301:8761 ack 1 win 65535"});
  t.Out(50, "A 1:1 ack 8761");
  t.Read(8760);
}

// Full-sized is what the peer sends, not what it could receive (tcp_measure_rcv_mss).
TEST(Receive, EverySecondSegmentOfAPeerWithSmallerOnes) {
  TcpTrace t;
  t.Establish();
  t.In (0, "A 1:1001    ack 1 win 65535");
  t.In (0, "A 1001:2001 ack 1 win 65535");
  t.Out(0, "A 1:1       ack 2001");
  t.Read(2000);
}

TEST(Receive, TheFirstSegmentsAreAcknowledgedAtOnce) {
  TcpTrace t;
  t.Establish({.quick = true});
  for (int i = 0; i < 16; ++i) {
    t.In (i, "A " + std::to_string(1 + i * 10) + ":" + std::to_string(11 + i * 10) + " ack 1 win 65535");
    t.Out(i, "A 1:1 ack " + std::to_string(11 + i * 10));
  }
  t.In (20, "A 161:171 ack 1 win 65535");
  t.Out(60, "A 1:1 ack 171");
}

// Linux's ato: an ACK that waited for nothing makes the next one wait longer, up to a round trip and 200 ms; segments that
// follow each other closely bring it back.
TEST(Receive, TheDelayOfAcksIsLearnt) {
  TcpTrace t;
  t.Establish({.rtt = 500});
  t.In (1000, "A 1:101   ack 1 win 65535");
  t.Out(1040, "A 1:1     ack 101");
  t.In (1100, "A 101:201 ack 1 win 65535");
  t.Out(1180, "A 1:1     ack 201");
  t.In (1300, "A 201:301 ack 1 win 65535");
  t.Out(1460, "A 1:1     ack 301");
  t.In (1700, "A 301:401 ack 1 win 65535");
  t.Out(1900, "A 1:1     ack 401");
  for (int i = 0; i < 8; ++i) {
    t.In(2000 + i, "A " + std::to_string(401 + 10 * i) + ":" + std::to_string(411 + 10 * i) + " ack 1 win 65535");
  }
  t.Out(2200, "A 1:1      ack 481");
  t.Read(480);
}

// Not longer than the round trip: the peer waits for it (RFC 6298 §2.4 lets its timeout be short).
TEST(Receive, TheDelayOfAcksIsARoundTripAtMost) {
  TcpTrace t;
  t.Establish({.rtt = 60});
  t.In (100, "A 1:101   ack 1 win 65535");
  t.Out(140, "A 1:1     ack 101");
  t.In (200, "A 101:201 ack 1 win 65535");
  t.Out(260, "A 1:1     ack 201");
  t.In (300, "A 201:301 ack 1 win 65535");
  t.Out(360, "A 1:1     ack 301");
  t.Read(300);
}

// RFC 5681 §4.1: a peer that was silent for a timeout begins with a small window again, which wants its ACKs soon.
TEST(Receive, AcksAreQuickAfterASilence) {
  TcpTrace t;
  t.Establish();
  t.In (0,    "A 1:101   ack 1 win 65535");
  t.Out(40,   "A 1:1     ack 101");
  t.In (5000, "A 101:201 ack 1 win 65535");
  t.Out(5000, "A 1:1     ack 201");
  t.In (5010, "A 201:301 ack 1 win 65535");
  t.Out(5010, "A 1:1     ack 301");
  t.Read(300);
}

TEST(Receive, OutOfOrder) {
  TcpTrace t;
  t.Establish();
  t.In (0, "A 101:201 ack 1 win 65535");
  t.Out(0, "A 1:1     ack 1");  // a duplicate ACK at once (RFC 5681 §4.2)
  t.In (1, "A 301:401 ack 1 win 65535");
  t.Out(1, "A 1:1     ack 1");
  t.In (2, "A 1:101   ack 1 win 65535");
  t.Out(2, "A 1:1     ack 201");  // at once too: a hole was filled
  t.In (3, "A 201:301 ack 1 win 65535");
  t.Out(3, "A 1:1     ack 401");
  t.Read(400);
  EXPECT_FALSE(netstack::TcpHasOfo(t.sock()));
}

// RFC 5681 §4.2: one for each, though they come in one turn; a peer without SACK counts them.
TEST(Receive, AnAckForEachSegmentOutOfOrder) {
  for (bool sack : {false, true}) {
    TcpTrace t;
    t.Establish({.sack = sack});
    t.InBurst(0, {"A 101:201 ack 1 win 65535", "A 201:301 ack 1 win 65535", "A 301:401 ack 1 win 65535"});
    if (sack) {
      t.Out(0, "A 1:1 ack 1 <sack 101:401>");
    } else {
      for (int i = 0; i < 3; ++i) t.Out(0, "A 1:1 ack 1");
    }
  }
}

TEST(Receive, OverlapsInOrder) {
  TcpTrace t;
  t.Establish();
  t.In (0,  "A 1:101   ack 1 win 65535");
  t.In (0,  "A 51:151  ack 1 win 65535");
  t.Out(40, "A 1:1     ack 151");
  t.Read(150);
}

TEST(Receive, DuplicatesAreAcknowledgedAtOnce) {
  TcpTrace t;
  t.Establish();
  t.In (0, "A 1:101   ack 1 win 65535");
  t.In (1, "A 1:101   ack 1 win 65535");
  EXPECT_EQ(DropReason::kTcpDuplicate, t.last());
  t.Out(1, "A 1:1     ack 101");
  t.In (2, "A 51:101  ack 1 win 65535");
  t.Out(2, "A 1:1     ack 101");
  t.Read(100);
}

struct Cut {
  const char* name;
  std::vector<const char*> lines;  // all out of order, behind byte 1:11
  uint32_t behind;                 // the ACK after 1:11 came
};

TEST(Receive, OverlapsOutOfOrder) {
  const Cut cuts[] = {
      {"the same again", {"A 21:31", "A 21:31"}, 11},
      {"the end of the one before", {"A 11:31", "A 21:41"}, 41},
      {"inside the one before", {"A 11:51", "A 21:31"}, 51},
      {"the front of the one behind", {"A 21:41", "A 11:31"}, 41},
      {"around another", {"A 21:31", "A 11:41"}, 31},  // what lies behind is cut off, and comes again
      {"around two", {"A 21:31", "A 41:51", "A 11:61"}, 31},
      {"between two", {"A 11:21", "A 31:41", "A 15:35"}, 41},
      {"exactly between", {"A 11:21", "A 31:41", "A 21:31"}, 41},
      {"behind all, touching", {"A 11:21", "A 21:31"}, 31},
      {"the same start, longer", {"A 11:21", "A 11:31"}, 31},
      {"the same start, shorter", {"A 11:31", "A 11:21"}, 31},
      {"the same end", {"A 11:31", "A 21:31"}, 31},
  };
  for (const Cut& cut : cuts) {
    SCOPED_TRACE(cut.name);
    TcpTrace t;
    t.Establish();
    for (const char* line : cut.lines) {
      t.In (0, std::string(line) + " ack 1 win 65535");
      t.Out(0, "A 1:1 ack 1");
    }
    t.In (0, "A 1:11 ack 1 win 65535");
    t.Out(0, "A 1:1  ack " + std::to_string(cut.behind));
    t.Read(cut.behind - 1);
  }
}

TEST(Receive, FinOutOfOrder) {
  TcpTrace t;
  t.Establish();
  t.In (0, "FPA 101:201 ack 1 win 65535");
  t.Out(0, "A   1:1     ack 1");
  EXPECT_EQ(TcpState::kEstablished, t.sock().state);
  t.In (1, "A   1:101   ack 1 win 65535");
  t.Out(1, "A   1:1     ack 202");
  EXPECT_EQ(TcpState::kCloseWait, t.sock().state);
  EXPECT_TRUE(t.sock().rcv.fin);
  t.Read(200);
}

TEST(Receive, LoneFinOutOfOrderIsKeptOnce) {
  TcpTrace t;
  t.Establish();
  for (int i = 0; i < 5; ++i) {
    t.In (i, "FA  101:101 ack 1 win 65535");
    t.Out(i, "A   1:1     ack 1");
  }
  EXPECT_EQ(1u, netstack::TcpOfoCount(t.sock()));
  t.In (9, "A   1:101   ack 1 win 65535");
  t.Out(9, "A   1:1     ack 102");
  t.Read(100);
}

TEST(Receive, FinComesAgain) {
  TcpTrace t;
  t.Establish();
  t.In (0, "FA 1:1 ack 1 win 65535");
  t.Out(0, "A  1:1 ack 2");
  t.In (9, "FA 1:1 ack 1 win 65535");
  t.Out(9, "A  1:1 ack 2");
  EXPECT_EQ(TcpState::kCloseWait, t.sock().state);
}

// RFC 9293 §3.10.7.4, first: what lies beyond the window is cut off.
TEST(Receive, BeyondTheWindow) {
  TcpTrace t({.host = WithReceiveBuffer(4000)});
  t.Establish();
  t.In (0, "A  4001:4101 ack 1 win 65535");  // all of it
  EXPECT_EQ(DropReason::kTcpOutOfWindow, t.last());
  t.Out(0, "A  1:1       ack 1 win 4000");
  t.In (0, "A  3001:4461 ack 1 win 65535");  // the end of it, out of order
  t.Out(0, "A  1:1       ack 1 win 4000");
  t.In (0, "A  1:1461    ack 1 win 65535");
  t.Out(0, "A  1:1       ack 1461 win 2540");
  t.In (0, "A  1461:3001 ack 1 win 65535");
  t.Out(0, "A  1:1       ack 4001 win 0");
  t.In (0, "FA 4001:4002 ack 1 win 65535");
  EXPECT_EQ(DropReason::kTcpZeroWindow, t.last());
  t.Out(0, "A  1:1       ack 4001 win 0");
  t.Read(4000);
  t.Out(0, "A  1:1       ack 4001 win 4000");  // the window opens: said at once
}

TEST(Receive, TheEndBeyondTheWindowIsCutInOrder) {
  TcpTrace t({.host = WithReceiveBuffer(4000)});
  t.Establish();
  t.In (0, "A   1:1461    ack 1 win 65535");
  t.In (0, "A   1461:2921 ack 1 win 65535");
  t.Out(0, "A   1:1       ack 2921 win 1080");
  t.In (0, "FPA 2921:4381 ack 1 win 65535");
  t.Out(40, "A  1:1       ack 4001 win 0");
  EXPECT_EQ(TcpState::kEstablished, t.sock().state);  // the FIN was cut off too
  t.Read(4000);
  t.Out(40, "A  1:1       ack 4001 win 4000");
}

// RFC 9293 §3.8.6.1: probes of a closed window are answered with where we are.
TEST(Receive, ProbesOfAClosedWindow) {
  TcpTrace t({.host = WithReceiveBuffer(2000)});
  t.Establish();
  t.In (0, "A 1:1461    ack 1 win 65535");
  t.In (0, "A 1461:2001 ack 1 win 65535");
  t.Out(40, "A 1:1       ack 2001 win 0");
  t.In (100, "A 2001:2002 ack 1 win 65535");  // one byte, as BSD probes
  t.Out(100, "A 1:1       ack 2001 win 0");
  t.In (200, "A 2000:2000 ack 1 win 65535");  // an old number, as Linux probes
  t.Out(200, "A 1:1       ack 2001 win 0");
  t.In (300, "A 2001:2001 ack 1 win 65535");  // acceptable, and nothing to answer
  t.Quiet(400);
  t.Read(2000);
  t.Out(400, "A 1:1       ack 2001 win 2000");
}

// RFC 9293 §3.10.7.4, first: a closed window takes no data, but ACKs all the same. Two hosts that both have no room,
// and both have data in flight, would else never learn what arrived.
TEST(Receive, AcksWithDataIntoAClosedWindow) {
  TcpTrace t({.host = WithReceiveBuffer(2000)});
  t.Establish({.window = 1000});
  t.In (0, "A  1:1461    ack 1 win 1000");
  t.In (0, "A  1461:2001 ack 1 win 1000");
  t.Send(1500);
  t.Out(0, "A  1:1001    ack 2001 win 0");
  t.In (1, "A  2001:3001 ack 1001 win 700");
  EXPECT_EQ(DropReason::kTcpZeroWindow, t.last());
  t.Out(1, "A  1001:1461 ack 2001 win 0");
  t.Out(1, "PA 1461:1501 ack 2001 win 0");
}

// RFC 9293 §3.8.6.2.2: no small openings.
TEST(Receive, SillyWindowAvoidance) {
  TcpTrace t({.host = WithReceiveBuffer(4000)});
  t.Establish();
  t.InBurst(0, {"A 1:1461 ack 1 win 65535", "A 1461:2921 ack 1 win 65535", "A 2921:4001 ack 1 win 65535"});
  t.Out(0, "A 1:1 ack 4001 win 0");
  t.Read(1000);  // less than a segment
  t.Quiet(10);
  t.Read(1000);
  t.Out(10, "A 1:1 ack 4001 win 2000");
  t.Read(100);
  t.Quiet(20);
  t.Read(1900);
  t.Out(20, "A 1:1 ack 4001 win 4000");
}

// The field's unit is 128 bytes with our scale of 7. Whatever is read when, the right edge stays or moves right:
// TcpTrace checks that with every packet.
TEST(Receive, TheRightEdgeNeverMovesLeft) {
  Random random;
  for (int round = 0; round < 50; ++round) {
    TcpTrace t({.host = WithReceiveBuffer(static_cast<uint32_t>(4000 + random.Below(130000)))});
    if (random.OneIn(4)) t.Establish();
    else t.Establish({.wscale = 7});
    uint64_t seq = 1, read = 1;
    for (int i = 0; i < 300; ++i) {
      const uint64_t right = t.sock().rcv.wup.value() + t.sock().rcv.wnd - t.sock().rcv.irs.value();
      const uint64_t n = std::min(1 + random.Below(random.OneIn(2) ? 1460 : 100), right - seq);
      t.In(i, absl::StrCat("A ", seq, ":", seq + n, " ack 1 win 512"));
      seq += n;
      t.Drain();
      if (random.OneIn(5)) t.In(i, "A -1:0 ack 1 win 512");  // an old byte: the host says its window now
      t.Drain();
      if (random.OneIn(3)) {
        const uint64_t some = random.Below(seq - read + 1);
        t.Read(some);
        read += some;
      }
      t.Drain();
    }
    EXPECT_LT(50u, t.window_edges_checked());
    if (HasFailure()) return;
  }
}

// A look ahead at the burst only saves work: a hash that is not the segment's, since a hook gave it other addresses, say,
// does not lose it.
TEST(Receive, AHashThatIsNotTheSegmentsIsWorkedOutAgain) {
  TcpTrace t;
  t.Establish();
  t.From(40001);
  t.Establish();  // so that the first connection was not the last one that was found
  t.From(40000);
  runtime::Frame* next = t.host().pool().Alloc();  // what the next packet will lie in
  runtime::Unref(next);
  auto& burst = t.tcp().burst;
  burst = {};
  burst.segments[burst.count++] = {next, ~t.sock().hash};
  t.In (0, "A 1:101 ack 1 win 65535");
  EXPECT_EQ(DropReason::kConsumed, t.last());
  EXPECT_EQ(1u, burst.next) << "the hash was not taken";
  t.Read(100);
  t.Drain(50);
}

// DESIGN: the bytes go from the frame straight to the memory of a reader that waits.
TEST(Receive, StraightToTheWaitingReader) {
  TcpTrace t;
  t.Establish();
  std::vector<std::byte> first(30), second(50);
  const iovec into[] = {{first.data(), 30}, {nullptr, 0}, {second.data(), 50}};
  netstack::TcpReader reader{.into = into};
  t.sock().reader = &reader;
  t.In (0, "A 1:21   ack 1 win 65535");
  EXPECT_EQ(20u, reader.copied);
  t.In (0, "A 61:201 ack 1 win 65535");
  t.Out(0, "A 1:1    ack 21");
  t.In (0, "A 21:61  ack 1 win 65535");  // fills the hole; what is behind it goes to the reader too
  t.Out(0, "A 1:1    ack 201");
  EXPECT_EQ(80u, reader.copied);
  EXPECT_EQ(80u, t.tcp().counters.direct_copied_bytes);
  EXPECT_EQ(Pattern(0, 30), first);
  EXPECT_EQ(Pattern(30, 50), second);
  EXPECT_EQ(120u, t.sock().rcv.queued);  // and the rest into the queue
  EXPECT_EQ(0u, t.host().inet().ip.copied_bytes);
  t.sock().reader = nullptr;
  runtime::FrameChain rest;
  TcpRecvmsg(t.sock(), rest);
  Bytes bytes(120);
  EXPECT_EQ(120u, rest.CopyTo(bytes));
  EXPECT_EQ(Pattern(80, 120), bytes);
}

// Tiny segments share frames once many are queued; the bytes stay what they are, and the program gets all of them.
TEST(Receive, TinySegmentsShareFrames) {
  TcpTrace t({.host = {.frames = 2048}});
  t.Establish();
  uint32_t seq = 1;
  for (int i = 0; i < 3000; ++i, seq += 3) {
    t.In(0, "A " + std::to_string(seq) + ":" + std::to_string(seq + 3) + " ack 1 win 65535");
    while (t.host().has_sent()) t.Out(0, "A 1:1 ack " + std::to_string(seq + 3));
  }
  EXPECT_GE(768u, t.sock().receive_queue.count());
  t.Read(9000);
}

// With nearly all frames gone, those of the heap too, data that nobody waits for is not kept, and comes again later.
TEST(Receive, FramesRunShort) {
  TcpTrace t({.host = {.frames = 64}});
  t.Establish();
  std::vector<runtime::Frame*> taken;
  while (runtime::Frame* frame = t.tcp().ip.AllocHeapFrame()) taken.push_back(frame);
  while (t.host().pool().free_count() > 3) taken.push_back(t.host().pool().Alloc());
  t.In (0, "A 1:101 ack 1 win 65535");
  EXPECT_EQ(DropReason::kTcpRcvPruned, t.last());
  t.Out(0, "A 1:1   ack 1");
  t.In (0, "A 101:201 ack 1 win 65535");
  EXPECT_EQ(DropReason::kTcpOfoFull, t.last());
  t.Out(0, "A 1:1   ack 1");
  for (runtime::Frame* frame : taken) runtime::Unref(frame);
  t.In (200, "A 1:101 ack 1 win 65535");
  t.Out(240, "A 1:1  ack 101");
  t.Read(100);
}

TEST(Receive, WithoutAckNothingIsTaken) {
  TcpTrace t;
  t.Establish();
  t.In (0, "P 1:101 win 65535");
  EXPECT_EQ(DropReason::kTcpNoAck, t.last());
  t.In (0, "F 1:1   win 65535");
  EXPECT_EQ(DropReason::kTcpNoAck, t.last());
  t.Quiet(100);
}

}  // namespace
}  // namespace weir::testing_support
