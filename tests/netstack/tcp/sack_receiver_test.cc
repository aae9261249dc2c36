// What our ACKs tell of data out of order: RFC 2018 §3 and §4, and of duplicates: RFC 2883 §4.
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "tests/support/random.h"
#include "netstack/tcp/tcp_loss.h"
#include "tests/support/tcp_trace.h"

namespace weir::testing_support {
namespace {

using netstack::DropReason;

constexpr TcpTrace::Handshake kSack{.sack = true};

TEST(SackBlocks, NoneUnlessAgreed) {
  TcpTrace t;
  t.Establish();
  t.In (0, "A 101:201 ack 1 win 65535");
  t.Out(0, "A 1:1     ack 1");
}

// RFC 2018 §4: the block that the segment belongs to comes first, then those that were told of before.
TEST(SackBlocks, NewestFirst) {
  TcpTrace t;
  t.Establish(kSack);
  t.In (0, "A 101:201 ack 1 win 65535");
  t.Out(0, "A 1:1     ack 1 <sack 101:201>");
  t.In (1, "A 301:401 ack 1 win 65535");
  t.Out(1, "A 1:1     ack 1 <sack 301:401 101:201>");
  t.In (2, "A 501:601 ack 1 win 65535");
  t.Out(2, "A 1:1     ack 1 <sack 501:601 301:401 101:201>");
  t.In (3, "A 201:251 ack 1 win 65535");
  t.Out(3, "A 1:1     ack 1 <sack 101:251 501:601 301:401>");
  t.In (4, "A 251:301 ack 1 win 65535");  // joins two
  t.Out(4, "A 1:1     ack 1 <sack 101:401 501:601>");
  t.In (5, "A 1:101   ack 1 win 65535");
  t.Out(5, "A 1:1     ack 401 <sack 501:601>");
  t.In (6, "A 401:501 ack 1 win 65535");
  t.Out(6, "A 1:1     ack 601");
  t.Read(600);
}

// RFC 2018 §3: four blocks are told of, three beside timestamps; the oldest is left out.
TEST(SackBlocks, AsManyAsFit) {
  for (bool timestamps : {false, true}) {
    TcpTrace t;
    t.Establish({.timestamps = timestamps, .sack = true});
    for (int i = 0; i < 6; ++i) {
      t.In(i, absl::StrCat("A ", 101 + 200 * i, ":", 201 + 200 * i, " ack 1 win 65535"));
      if (i < 5) t.Drain();
    }
    t.Out(5, timestamps ? "A 1:1 ack 1 <sack 1101:1201 901:1001 701:801>"
                        : "A 1:1 ack 1 <sack 1101:1201 901:1001 701:801 501:601>");
    // One that was forgotten is told of again when it grows.
    t.In (6, "A 201:211 ack 1 win 65535");
    t.Out(6, timestamps ? "A 1:1 ack 1 <sack 201:211 1101:1201 901:1001>"
                        : "A 1:1 ack 1 <sack 201:211 1101:1201 901:1001 701:801>");
  }
}

// A segment with data tells of them too, when they fit; a full one leaves it to an ACK by itself.
TEST(SackBlocks, WithData) {
  TcpTrace t;
  t.Establish(kSack);
  t.In (0, "A 101:201 ack 1 win 65535");
  t.Out(0, "A 1:1     ack 1 <sack 101:201>");
  t.Send(100);
  t.Out(0, "PA 1:101  ack 1 <sack 101:201>");
  t.Send(1460);
  t.Out(0, "PA 101:1561 ack 1");
  t.Quiet(1);
  t.InBurst(1, {"A 301:401 ack 1561 win 65535"});
  t.Out(1, "A 1561:1561 ack 1 <sack 301:401 101:201>");
}

TEST(SackBlocks, TheFinCounts) {
  TcpTrace t;
  t.Establish(kSack);
  t.In (0, "FA 101:201 ack 1 win 65535");
  t.Out(0, "A 1:1      ack 1 <sack 101:202>");
  t.In (1, "A 1:101    ack 1 win 65535");
  t.Out(1, "A 1:1      ack 202");
  t.Read(200);
}

// RFC 2883 §4.1: a segment that was acknowledged already is told of first, once.
TEST(Dsack, OfWhatWasAcknowledged) {
  TcpTrace t;
  t.Establish(kSack);
  t.In (0,  "A 1:101   ack 1 win 65535");
  t.In (1,  "A 1:101   ack 1 win 65535");
  t.Out(1,  "A 1:1     ack 101 <sack 1:101>");
  t.In (2,  "A 201:301 ack 1 win 65535");
  t.Out(2,  "A 1:1     ack 101 <sack 201:301>");
  t.In (3,  "A 51:101  ack 1 win 65535");
  t.Out(3,  "A 1:1     ack 101 <sack 51:101 201:301>");
  t.In (4,  "A 51:151  ack 1 win 65535");  // only its front is old
  t.Out(4,  "A 1:1     ack 151 <sack 51:101 201:301>");
  t.Read(150);
}

// RFC 2883 §4.1.2: a duplicate above the acknowledgment is followed by the block that it is part of.
TEST(Dsack, OfWhatIsOutOfOrder) {
  TcpTrace t;
  t.Establish(kSack);
  t.In (0, "A 101:301 ack 1 win 65535");
  t.Out(0, "A 1:1     ack 1 <sack 101:301>");
  t.In (1, "A 501:601 ack 1 win 65535");
  t.Out(1, "A 1:1     ack 1 <sack 501:601 101:301>");
  t.In (2, "A 151:201 ack 1 win 65535");
  t.Out(2, "A 1:1     ack 1 <sack 151:201 101:301 501:601>");
  t.In (3, "A 251:401 ack 1 win 65535");  // the front is known
  t.Out(3, "A 1:1     ack 1 <sack 251:301 101:401 501:601>");
  t.In (4, "A 451:551 ack 1 win 65535");  // the end is
  t.Out(4, "A 1:1     ack 1 <sack 501:551 451:601 101:401>");
}

TEST(Dsack, CanBeOff) {
  InetTestHost::Options options;
  options.tcp.dsack = false;
  TcpTrace t({.host = options});
  t.Establish(kSack);
  t.In (0, "A 1:101 ack 1 win 65535");
  t.In (1, "A 1:101 ack 1 win 65535");
  t.Out(1, "A 1:1   ack 101");
  t.Read(100);
}

// Whatever comes, in whatever order: the blocks are ranges that arrived, above the acknowledgment, apart from each
// other; the first has the segment that came last.
TEST(SackBlocks, AreTrue) {
  testing::Random random;
  for (int run = 0; run < 300; ++run) {
    TcpTrace t;
    t.Establish({.timestamps = random.OneIn(2), .sack = true});
    std::vector<bool> has(3000);
    for (int i = 0; i < 60; ++i) {
      const uint64_t from = 1 + random.Below(2000), to = from + 1 + random.Below(300);
      t.In(i, absl::StrCat("A ", from, ":", to, " ack 1 win 65535"));
      const bool whole = t.last() == DropReason::kConsumed || t.last() == DropReason::kTcpDuplicate;
      ASSERT_TRUE(whole);
      const auto& sock = t.sock();
      const int64_t nxt = sock.rcv.nxt - sock.rcv.irs;
      for (size_t b = 0; b < sock.sack.count; ++b) {
        const int64_t start = sock.loss->ours[b].start - sock.rcv.irs, end = sock.loss->ours[b].end - sock.rcv.irs;
        ASSERT_LT(nxt, start);
        ASSERT_LT(start, end);
        for (size_t other = 0; other < b; ++other) {
          const auto& block = sock.loss->ours[other];
          ASSERT_TRUE(end < block.start - sock.rcv.irs || start > block.end - sock.rcv.irs);
        }
        int64_t at = start;
        for (runtime::Frame* f = sock.loss == nullptr ? nullptr : sock.loss->ofo_queue.head(); f != nullptr; f = f->next) {
          const int64_t seq = f->Cb<netstack::TcpRxCb>().seq - sock.rcv.irs;
          if (seq <= at) at = std::max<int64_t>(at, seq + f->len);
        }
        ASSERT_LE(end, at) << "a block that is not all there";
      }
      t.Read(sock.rcv.queued);
      t.Drain();
    }
  }
}

}  // namespace
}  // namespace weir::testing_support
