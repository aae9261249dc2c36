// The urgent byte (RFC 9293 §3.8.5, RFC 6093), which is no part of the stream (without SO_OOBINLINE; tcp(7)).
#include <gtest/gtest.h>

#include <algorithm>
#include <initializer_list>

#include "absl/strings/str_cat.h"
#include "netstack/tcp/tcp_urgent.h"
#include "netstack/tcp/tcp_user_calls.h"
#include "tests/support/tcp_trace.h"

namespace weir::testing_support {
namespace {

// What the program reads is the pattern of `n` bytes without those at `gone`.
void ReadWithout(TcpTrace& t, size_t n, std::initializer_list<size_t> gone) {
  Bytes expected;
  const Bytes pattern = Pattern(0, n);
  for (size_t i = 0; i < n; ++i) {
    if (std::find(gone.begin(), gone.end(), i) == gone.end()) expected.push_back(pattern[i]);
  }
  Bytes got(n);
  const iovec into{got.data(), n};
  got.resize(TcpRecvmsg(t.sock(), {&into, 1}));
  EXPECT_EQ(expected, got);
  EXPECT_EQ(gone.size(), t.tcp().counters.urgent_bytes);
}

// RFC 6093 §3.1: the pointer names the byte behind the urgent one.
TEST(Urgent, IsTakenOutOfTheStream) {
  for (size_t pointer : {1u, 50u, 100u}) {
    TcpTrace t;
    t.Establish();
    t.In (0,  absl::StrCat("UPA 1:101 ack 1 win 65535 urg ", pointer));
    t.Out(40, "A   1:1   ack 101");
    ReadWithout(t, 100, {pointer - 1});
  }
}

TEST(Urgent, PointerOfZeroIsTheFirstByte) {
  TcpTrace t;
  t.Establish();
  t.In (0,  "UPA 1:101 ack 1 win 65535");
  t.Out(40, "A   1:1   ack 101");
  ReadWithout(t, 100, {0});
}

// The byte alone: nothing is there to read, and it is acknowledged.
TEST(Urgent, NothingElseInTheSegment) {
  TcpTrace t;
  t.Establish();
  t.In (0,  "UPA 1:2 ack 1 win 65535 urg 1");
  t.Out(40, "A   1:1 ack 2");
  EXPECT_TRUE(t.sock().receive_queue.empty());
  t.In (50, "PA  2:12 ack 1 win 65535");
  t.Out(90, "A   1:1 ack 12");
  ReadWithout(t, 11, {0});
}

// RFC 9293 §3.8.5: it may lie ahead of what came so far, in a segment that does not say so again.
TEST(Urgent, LiesAhead) {
  TcpTrace t;
  t.Establish();
  t.In (0,  "UA  1:101   ack 1 win 65535 urg 151");
  t.In (0,  "PA  101:201 ack 1 win 65535");
  t.Out(40, "A   1:1     ack 201");
  ReadWithout(t, 200, {150});
}

// Behind a hole, which is filled later.
TEST(Urgent, OutOfOrder) {
  TcpTrace t;
  t.Establish();
  t.In (0, "UPA 101:201 ack 1 win 65535 urg 30");
  t.Out(0, "A   1:1     ack 1");
  t.In (1, "A   1:101   ack 1 win 65535");
  t.Out(1, "A   1:1     ack 201");
  ReadWithout(t, 200, {129});
}

// A repeated segment names a byte that was taken already; a later pointer replaces one that is still ahead, whose byte
// is then an ordinary one (tcp_check_urg).
TEST(Urgent, OldAndNewPointers) {
  TcpTrace t;
  t.Establish();
  t.In (0,  "UPA 1:101 ack 1 win 65535 urg 10");
  t.In (0,  "UPA 1:101 ack 1 win 65535 urg 10");
  t.Drain();
  t.In (1,  "UA 101:101 ack 1 win 65535 urg 50");
  t.In (1,  "UA 101:101 ack 1 win 65535 urg 20");
  t.In (1,  "UA 101:151 ack 1 win 65535 urg 60");
  t.In (2,  "PA 151:201 ack 1 win 65535");
  t.Drain(50);
  ReadWithout(t, 200, {9, 159});
}

// It waits for a receive with MSG_OOB; a newer one takes its place.
TEST(Urgent, IsKept) {
  TcpTrace t;
  t.Establish();
  t.In (0, "UPA 1:101 ack 1 win 65535 urg 10");
  ASSERT_NE(nullptr, t.sock().extra);
  EXPECT_TRUE(t.sock().extra->urg.kept);
  EXPECT_EQ(Pattern(9, 1)[0], t.sock().extra->urg.byte);
  t.In (1, "UPA 101:111 ack 1 win 65535 urg 10");
  EXPECT_EQ(Pattern(109, 1)[0], t.sock().extra->urg.byte);
  t.Drain(50);
}

// RFC 9293 §3.8.5: what is sent points to the end of what is urgent, until that is acknowledged.
TEST(Urgent, IsSent) {
  const auto pointer = [](TcpTrace& t) { return Get16(t.host().next_sent(), 14 + 20 + 18); };
  TcpTrace t;
  t.Establish();
  t.sock().cork = true;  // three calls, one turn
  t.Send(100);
  TcpMarkUrgent(t.sock());
  t.Send(2000);
  EXPECT_EQ(100u, pointer(t));
  t.Out(0, "UA 1:1461 ack 1");
  t.sock().cork = false;
  t.tcp().WantOutput(t.sock());
  t.host().Turn();
  EXPECT_EQ(0u, pointer(t));
  t.Out(0, "PA 1461:2101 ack 1");
  t.In (1, "A 1:1 ack 2101 win 65535");
  t.Send(10);
  EXPECT_EQ(0u, pointer(t));
  t.Out(1, "PA 2101:2111 ack 1");
  EXPECT_FALSE(t.sock().extra->urg_out.sending);
}

// The reader that waits with its own memory does not get it either.
TEST(Urgent, NotToAWaitingReader) {
  TcpTrace t;
  t.Establish();
  Bytes memory(100);
  const iovec into{memory.data(), memory.size()};
  netstack::TcpReader reader{.into = {&into, 1}};
  t.sock().reader = &reader;
  t.In (0, "UPA 1:11 ack 1 win 65535 urg 5");
  EXPECT_EQ(9u, reader.copied);
  EXPECT_EQ(Pattern(5, 5), Bytes(memory.begin() + 4, memory.begin() + 9));
  t.Drain(40);
}

}  // namespace
}  // namespace weir::testing_support
