// TIME-WAIT: RFC 9293 §3.6.1, §3.10.7.4; RFC 1337; RFC 6191. What it answers, how it ends, and what may end it.
#include <gtest/gtest.h>

#include <cerrno>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "netstack/tcp/tcp_input.h"
#include "netstack/tcp/tcp_user_calls.h"
#include "tests/support/tcp_trace.h"

namespace weir::testing_support {
namespace {

using netstack::DropReason;
using netstack::TcpSock;
using netstack::TcpState;

// Brings a connection into TIME-WAIT at 2 ms, our numbers at 2 and the peer's at 2.
void ToTimeWait(TcpTrace& t) {
  t.Establish();
  t.Close();
  t.Out(0, "FA 1:1 ack 1");
  t.In (2, "FA 1:1 ack 2 win 65535");
  t.Out(2, "A  2:2 ack 2");
}

TEST(TimeWait, TheFinAgainStartsItAnew) {
  TcpTrace t;
  ToTimeWait(t);
  t.In (50000,  "FA 1:1 ack 2 win 65535");
  EXPECT_EQ(DropReason::kTcpTimeWait, t.last());
  t.Out(50000,  "A  2:2 ack 2");
  t.Quiet(109999);
  EXPECT_EQ(1u, t.tcp().time_wait.count());
  t.Quiet(110001);
  t.ExpectGone();
}

TEST(TimeWait, OtherSegments) {
  TcpTrace t;
  ToTimeWait(t);
  t.In (10, "A  2:2   ack 2 win 65535");
  t.In (10, "PA 2:102 ack 2 win 65535");
  t.Out(10, "A  2:2   ack 2");
  t.In (10, "A  0:0   ack 2 win 65535");
  t.Out(10, "A  2:2   ack 2");
  t.In (20, "R  2:2");  // RFC 1337: assassination is not heeded
  EXPECT_EQ(DropReason::kTcpTimeWait, t.last());
  t.In (20, "S  1:1 win 65535 <mss 1460>");  // an old SYN; answers are rare (RFC 5961 §7)
  t.In (510, "S 1:1 win 65535 <mss 1460>");
  t.Out(510, "A 2:2   ack 2");
  EXPECT_EQ(1u, t.tcp().time_wait.count());
  t.Quiet(60003);
  t.ExpectGone();
}

// RFC 9293 §3.10.7.4, fourth; RFC 6191 §2. Our new number is beyond all of the old connection's (RFC 9293 §3.6.1).
TEST(TimeWait, ANewSynOpensANewConnection) {
  TcpTrace t;
  ToTimeWait(t);
  const uint32_t old = t.iss();
  t.In (3, "S  1000:1000        win 65535 <mss 1460>");
  t.Out(3, "SA 0:0     ack 1001 <mss 1460>");
  EXPECT_LT(2, static_cast<int32_t>(t.iss() - old));
  t.In (3, "A  1001:1001 ack 1 win 65535");
  t.Accept();
  EXPECT_EQ(TcpState::kEstablished, t.sock().state);
  EXPECT_EQ(1u, t.tcp().sockets);
}

TEST(TimeWait, ANewSynAfterManyBytes) {
  TcpTrace t;
  t.Establish();
  uint32_t seq = 1;
  for (int i = 0; i < 300; ++i, seq += 10000) {  // 3 MB in 0.3 s: faster than the clock of initial numbers
    t.Send(10000);
    for (const std::string& line : t.Drain()) EXPECT_NE("", line);
    t.In(i, absl::StrCat("A 1:1 ack ", seq + 10000, " win 65535"));
    t.Drain();
  }
  t.Close();
  t.Drain();
  t.In (300, absl::StrCat("FA 1:1 ack ", seq + 1, " win 65535"));
  t.Drain();
  const uint32_t old = t.iss();
  t.In (301, "S  1000:1000        win 65535 <mss 1460>");
  t.Out(301, "SA 0:0     ack 1001 <mss 1460>");
  EXPECT_LT(static_cast<int32_t>(seq), static_cast<int32_t>(t.iss() - old));
}

// The control block is gone at once, and is not needed for what is answered.
TEST(TimeWait, TakesASmallBlock) {
  TcpTrace t;
  ToTimeWait(t);
  EXPECT_EQ(0u, t.tcp().sockets);
  EXPECT_EQ(1u, t.tcp().connections());
}

// The program may hold the connection still; it reads the end, and does not keep the endpoints.
TEST(TimeWait, WhileTheProgramHoldsTheConnection) {
  TcpTrace t;
  t.Establish();
  t.Shutdown();
  t.Out(0, "FA 1:1 ack 1");
  t.In (1, "FA 1:11 ack 2 win 65535");
  t.Out(1, "A  2:2 ack 12");
  EXPECT_EQ(TcpState::kClosed, t.sock().state);
  EXPECT_EQ(0, t.sock().error);
  EXPECT_TRUE(t.sock().rcv.fin);
  t.Read(10);
  t.In (2, "FA 11:11 ack 2 win 65535");
  t.Out(2, "A  2:2 ack 12");
  t.Close();
  t.Quiet(60001);
  EXPECT_EQ(1u, t.tcp().connections());
  t.Quiet(60003);
  t.ExpectGone();
}

// What it answers is what the connection would have: its timestamps (RFC 7323 §3.2) and its window, scaled. PAWS goes on
// (RFC 1337 §3): an old FIN does not start it anew.
TEST(TimeWait, TimestampsAndWindow) {
  TcpTrace t;
  t.Establish({.wscale = 7, .timestamps = true});
  t.Close();
  t.Out(0, "FA 1:1 ack 1 win 4096");
  t.In (2, "FA 1:1 ack 2 win 512 <ts 1000 ecr 0>");
  t.Out(2, "A  2:2 ack 2 win 4096 <ts 2 ecr 1000>");
  t.In (20000, "FA 1:1 ack 2 win 512 <ts 900 ecr 0>");
  t.Out(20000, "A  2:2 ack 2 win 4096 <ts 20000 ecr 1000>");
  t.Quiet(60003);
  t.ExpectGone();
}

// One timer does for all, whatever became of the one that it was armed for.
TEST(TimeWait, EachEndsInItsTime) {
  TcpTrace t;
  t.Establish();
  for (uint16_t port : {40001, 40002}) {
    t.From(port);
    t.In (0, "S  0:0 win 65535 <mss 1460>");
    t.Out(0, "SA 0:0 ack 1 <mss 1460>");
    t.In (0, "A  1:1 ack 1 win 65535");
    t.Accept();
  }
  double ms = 0;
  for (uint16_t port : {40000, 40001, 40002}) {
    t.From(port);
    t.Close();
    t.Out(ms, "FA 1:1 ack 1");
    t.In (ms, "FA 1:1 ack 2 win 65535");
    t.Out(ms, "A  2:2 ack 2");
    t.Quiet(ms += 10000);
  }
  EXPECT_EQ(3u, t.tcp().time_wait.count());
  t.From(40000);
  t.In (30000, "FA 1:1 ack 2 win 65535");
  t.Out(30000, "A  2:2 ack 2");
  for (const auto& [until, left] : {std::pair{69999, 3u}, {70001, 2u}, {79999, 2u}, {80001, 1u}, {89999, 1u}}) {
    t.Quiet(until);
    EXPECT_EQ(left, t.tcp().time_wait.count()) << until;
  }
  t.Quiet(90001);
  t.ExpectGone();
}

// The bound on control blocks: the oldest TIME-WAIT makes room.
TEST(TimeWait, MakesRoomAtTheBound) {
  TcpTrace t({.host = {.tcp = {.max_sockets = 2}}});
  ToTimeWait(t);
  for (uint16_t port : {40001, 40002}) {
    t.From(port);
    t.In (5, "S  0:0       win 65535 <mss 1460>");
    if (port == 40002) break;
    t.Out(5, "SA 0:0 ack 1 <mss 1460>");
  }
  t.Out(5, "SA 0:0 ack 1 <mss 1460>");
  EXPECT_EQ(1u, t.tcp().counters.time_wait_recycled);
  t.From(40003);
  t.In (6, "S  0:0       win 65535 <mss 1460>");
  EXPECT_EQ(DropReason::kTcpNoMemory, t.last());
}

// tcp_max_tw_buckets: the connection ends at once, but for the ACK of the peer's FIN.
TEST(TimeWait, IsBound) {
  TcpTrace t({.host = {.tcp = {.max_tw_buckets = 1}}});
  ToTimeWait(t);
  t.From(40001);
  t.In (3, "S  0:0 win 65535 <mss 1460>");
  t.Out(3, "SA 0:0 ack 1 <mss 1460>");
  t.In (3, "A  1:1 ack 1 win 65535");
  t.Accept();
  t.Close();
  t.Out(3, "FA 1:1 ack 1");
  t.In (4, "FA 1:1 ack 2 win 65535");
  t.Out(4, "A  2:2 ack 2");
  EXPECT_EQ(1u, t.tcp().time_wait.count());
  EXPECT_EQ(1u, t.tcp().counters.time_wait_overflows);
  t.Quiet(60003);
  t.ExpectGone();
}

// A host whose every port to 10.0.0.2:443 but one is taken by connections that it opened; that one is in TIME-WAIT.
class Reuse : public ::testing::Test {
 protected:
  static constexpr uint16_t kPort = 50000;
  static constexpr netstack::Seq kLast{0x7fff0000};  // far ahead of the clock

  void Begin(uint8_t tw_reuse, uint8_t timestamps = 1) {
    host_.emplace(InetTestHost::Options{.frames = 4096,
                                        .tcp = {.max_sockets = 32768, .timestamps = timestamps, .tw_reuse = tw_reuse}});
    for (uint32_t port = 32768; port < 61000; ++port) {
      TcpSock* sock = tcp().Alloc();
      sock->local = {IpAddress::V4(kHostIp), static_cast<uint16_t>(port)};
      sock->remote = peer_;
      tcp().demux.Insert(*sock, tcp().demux.Hash(sock->local, sock->remote));
      if (port != kPort) continue;
      sock->ts = {.recent = 777, .recent_s = static_cast<uint32_t>(host_->now() / kSecond), .ok = timestamps != 0};
      sock->snd.nxt = kLast;
      TcpEnterTimeWait(*sock, host_->now());
    }
  }
  netstack::TcpContext& tcp() { return host_->inet().tcp; }
  TcpSock* Connect() { return TcpConnect(tcp(), peer_, host_->now(), &error_); }

  std::optional<InetTestHost> host_;
  Endpoint peer_{IpAddress::V4(kPeerIp), 443};
  int error_ = 0;
};

// RFC 6191 §2 from the other side: with timestamps the peer takes the SYN, once its clock has gone on.
TEST_F(Reuse, OfAPortThatIsInTimeWait) {
  Begin(1);
  EXPECT_EQ(nullptr, Connect());  // the same second
  EXPECT_EQ(EADDRNOTAVAIL, error_);
  host_->Advance(kSecond);
  TcpSock* sock = Connect();
  ASSERT_NE(nullptr, sock);
  EXPECT_EQ(kPort, sock->local.port);
  EXPECT_LT(kLast, sock->snd.iss);  // RFC 9293 §3.6.1
  EXPECT_EQ(777u, sock->ts.recent);
  EXPECT_EQ(1u, tcp().counters.time_wait_reused);
  EXPECT_EQ(0u, tcp().time_wait.count());
}

TEST_F(Reuse, NotWhenItIsOff) {
  for (uint8_t tw_reuse : {0, 2}) {  // 2: only with ourselves
    Begin(tw_reuse);
    host_->Advance(kSecond);
    EXPECT_EQ(nullptr, Connect());
    EXPECT_EQ(EADDRNOTAVAIL, error_);
  }
}

TEST_F(Reuse, NotWithoutTimestamps) {
  Begin(1, /*timestamps=*/0);
  host_->Advance(kSecond);
  EXPECT_EQ(nullptr, Connect());
}

}  // namespace
}  // namespace weir::testing_support
