// TCP Fast Open, the server: RFC 7413.
#include <gtest/gtest.h>

#include "netstack/tcp/tcp_sock_options.h"
#include "netstack/tcp/tcp_user_calls.h"
#include "tests/netstack/tcp/sender_lines.h"

namespace weir::testing_support {
namespace {

using netstack::TcpState;

constexpr uint32_t kServer = 2, kNoCookie = 0x200, kAll = 0x400;
constexpr double kPeriodMs = 4 * 3600 * 1000;

TcpTrace::Options Settings(uint32_t fastopen) {
  TcpTrace::Options options;
  options.host.tcp.fastopen = fastopen;
  return options;
}

// The cookie in the SYN and ACK that is the next packet, whose rest is `line`; empty: there is none.
std::string TakeCookie(TcpTrace& t, const std::string& line) {
  const std::vector<std::string> lines = t.Drain();
  EXPECT_EQ(1u, lines.size());
  if (lines.empty()) return "";
  EXPECT_NE(std::string::npos, lines[0].find(line)) << lines[0];
  const size_t at = lines[0].find("fo ");
  return at == std::string::npos ? "" : lines[0].substr(at + 3, lines[0].find_first_of(",>", at) - at - 3);
}

// RFC 7413 §4.2.1: asks for a cookie on a connection that is then reset.
std::string AskForCookie(TcpTrace& t, uint16_t port = 39999, double ms = 0) {
  t.From(port);
  t.In(ms, "S 0:0 win 65535 <mss 1460, fo>");
  std::string cookie = TakeCookie(t, "SA 0:0 ack 1 ");
  EXPECT_EQ(2 * netstack::TcpOptions::kMinCookie * 2, cookie.size());
  t.In(ms, "R 1:1");
  t.From(40000);
  return cookie;
}

std::string Syn(int bytes, const std::string& cookie, int mss = 1460) {
  return absl::StrCat("S 0:", bytes, " win 65535 <mss ", mss, ", fo ", cookie, ">");
}

// §4.2.2: with a good cookie the data is there at once, and is acknowledged with the SYN; the answer does not wait for
// the handshake either.
TEST(FastOpenServer, DataBeforeTheHandshakeIsDone) {
  TcpTrace t(Settings(kServer));
  t.Listen(80, 16, 4);
  const std::string cookie = AskForCookie(t);
  t.In (0, Syn(100, cookie));
  t.Out(0, "SA 0:0 ack 101 <mss 1460>");
  t.Accept();
  EXPECT_EQ(TcpState::kSynReceived, t.sock().state);
  EXPECT_TRUE(netstack::TcpGetInfo(t.sock()).syn_data);
  t.Read(100);
  t.Send(2000);
  t.Out(0, "A 1:1461 ack 101");
  t.Out(0, "PA 1461:2001 ack 101");
  EXPECT_EQ(1u, t.listener().fast_open_pending);
  t.In (50, "A 101:101 ack 1461 win 65535");
  EXPECT_EQ(TcpState::kEstablished, t.sock().state);
  EXPECT_EQ(0u, t.listener().fast_open_pending);
  t.In (50, "PA 101:201 ack 2001 win 65535");
  t.Out(50, "A 2001:2001 ack 201");
  t.Read(100);
  EXPECT_EQ(50 * kMillisecond, t.sock().rtt.min_ns);
  EXPECT_EQ(0u, t.tcp().counters.retransmits);
}

// §4.1.2: a cookie is for one client; §4.2.2: with a wrong one the handshake is as ever, and brings a good one.
TEST(FastOpenServer, WrongCookie) {
  TcpTrace t(Settings(kServer));
  t.Listen(80, 16, 4);
  const std::string cookie = AskForCookie(t);
  for (std::string wrong : {std::string("0102030405060708"), cookie.substr(0, 12), cookie + "0000", std::string("01020304")}) {
    t.In (0, Syn(100, wrong));
    EXPECT_EQ(cookie, TakeCookie(t, "SA 0:0 ack 1 "));
    EXPECT_EQ(0u, t.listener().unaccepted);
    t.In (0, "R 1:1");
  }
  EXPECT_EQ(4u, t.tcp().counters.fast_open_cookies_wrong);
  // Such a SYN again is still the connection's own, though its data lies in the window.
  t.In (0, Syn(100, "0102030405060708"));
  EXPECT_EQ(cookie, TakeCookie(t, "SA 0:0 ack 1 "));
  t.In (0, Syn(100, "0102030405060708"));
  EXPECT_EQ(cookie, TakeCookie(t, "SA 0:0 ack 1 "));
  t.In (0, "R 1:1");
  t.In (0, Syn(100, "01020304050607"));  // of seven bytes: not one, and nothing but a SYN is left
  t.Out(0, "SA 0:0 ack 1 <mss 1460>");
  t.In (0, "A 1:101 ack 1 win 65535");
  t.Accept();
  EXPECT_FALSE(netstack::TcpGetInfo(t.sock()).syn_data);
  t.Read(100);
  (void)t.Drain(100);
}

// §4.2.2: a SYN with a cookie and no data opens the connection too.
TEST(FastOpenServer, CookieWithoutData) {
  TcpTrace t(Settings(kServer));
  t.Listen(80, 16, 4);
  const std::string cookie = AskForCookie(t);
  t.In (0, Syn(0, cookie));
  t.Out(0, "SA 0:0 ack 1 <mss 1460>");
  t.Accept();
  t.Send(10);
  t.Out(0, "PA 1:11 ack 1");
  t.In (1, "A 1:1 ack 11 win 65535");
  EXPECT_FALSE(netstack::TcpGetInfo(t.sock()).syn_data);
}

TEST(FastOpenServer, OnlyWhereItIsOn) {
  for (const auto& [settings, queue, on] : {std::tuple{0u, 4, false}, {1u, 4, false}, {kServer, 0, false},
                                            {kServer | kAll, 0, true}, {kServer, 1, true}}) {
    TcpTrace t(Settings(settings));
    t.Listen(80, 16, queue);
    t.In (0, "S 0:0 win 65535 <mss 1460, fo>");
    EXPECT_EQ(on, !TakeCookie(t, "SA 0:0 ack 1 ").empty());
    t.In (0, "R 1:1");
  }
}

// tcp_fastopen, 0x200.
TEST(FastOpenServer, WithoutCookies) {
  TcpTrace t(Settings(kServer | kNoCookie));
  t.Listen(80, 16, 4);
  t.In (0, "S 0:100 win 65535 <mss 1460>");
  t.Out(0, "SA 0:0 ack 101 <mss 1460>");
  t.Accept();
  t.Read(100);
  t.In (1, "A 101:101 ack 1 win 65535");
}

// §4.1.2: keys change. An old cookie is good for one more period, and replaced.
TEST(FastOpenServer, KeysChange) {
  TcpTrace t(Settings(kServer));
  t.Listen(80, 16, 4);
  const std::string first = AskForCookie(t);
  const std::string second = AskForCookie(t, 39998, kPeriodMs);
  EXPECT_NE(first, second);
  t.In (kPeriodMs, Syn(100, first));
  EXPECT_EQ(second, TakeCookie(t, "SA 0:0 ack 101 "));
  t.Accept();
  t.Read(100);
  t.Abort();
  (void)t.Drain();
  t.From(40001);
  t.In (2 * kPeriodMs, Syn(100, first));
  EXPECT_NE("", TakeCookie(t, "SA 0:0 ack 1 "));
  t.In (2 * kPeriodMs, "R 1:1");
}

// §5.1, PendingFastOpenRequests: beyond the bound a handshake is as ever, and says nothing of cookies. Accepted ones count
// until their handshake is done.
TEST(FastOpenServer, PendingRequestsAreBounded) {
  TcpTrace t(Settings(kServer));
  t.Listen(80, 16, 1);
  const std::string cookie = AskForCookie(t);
  t.In (0, Syn(100, cookie));
  t.Out(0, "SA 0:0 ack 101 <mss 1460>");
  t.Accept();
  t.From(40001);
  t.In (0, Syn(100, cookie));
  t.Out(0, "SA 0:0 ack 1 <mss 1460>");
  EXPECT_EQ(1u, t.tcp().counters.fast_open_overflows);
  t.In (0, "R 1:1");
  t.From(40000);
  t.In (0, "A 101:101 ack 1 win 65535");
  t.From(40002);
  t.In (0, Syn(100, cookie));
  t.Out(0, "SA 0:0 ack 101 <mss 1460>");
  t.In (0, "A 101:101 ack 1 win 65535");
  EXPECT_EQ(0u, t.listener().fast_open_pending);
  t.Accept();
}

// §5.1: whoever forges addresses gets resets from their owners, which must not make room for more.
TEST(FastOpenServer, ResetsDoNotMakeRoom) {
  TcpTrace t(Settings(kServer));
  t.Listen(80, 16, 1);
  const std::string cookie = AskForCookie(t);
  t.In (0, Syn(100, cookie));
  t.Out(0, "SA 0:0 ack 101 <mss 1460>");
  t.In (0, "R 101:101");
  EXPECT_EQ(0u, t.listener().fast_open_pending);
  EXPECT_EQ(0u, t.listener().unaccepted);
  t.In (59000, Syn(100, cookie));
  t.Out(59000, "SA 0:0 ack 1 <mss 1460>");
  t.In (59000, "R 1:1");
  t.In (61000, Syn(100, cookie));
  t.Out(61000, "SA 0:0 ack 101 <mss 1460>");
  // One that was accepted: its program hears of it.
  t.Accept();
  t.In (61000, "R 101:101");
  EXPECT_EQ(ECONNRESET, t.sock().error);
  EXPECT_EQ(1u, t.listener().fast_open_resets);
}

// §4.2.2: the SYN and ACK was lost, or the SYN comes again; data that went behind it waits its turn.
TEST(FastOpenServer, Losses) {
  TcpTrace t(Settings(kServer));
  t.Listen(80, 16, 4);
  const std::string cookie = AskForCookie(t);
  t.In (0, Syn(100, cookie));
  t.Out(0, "SA 0:0 ack 101 <mss 1460>");
  t.Accept();
  t.Send(100);
  t.Out(0, "PA 1:101 ack 101");
  t.In (500, "S 0:0 win 65535 <mss 1460>");
  t.Out(500, "SA 0:0 ack 101 <mss 1460>");
  t.Out(1000, "SA 0:0 ack 101 <mss 1460>");
  t.In (1100, Syn(100, cookie));
  t.Out(1100, "SA 0:0 ack 101 <mss 1460>");
  t.In (1700, "S 200:200 win 65535 <mss 1460>");  // in the window, and not the same
  t.Out(1700, "A 101:101 ack 101");
  EXPECT_EQ(netstack::DropReason::kTcpChallengeAck, t.last());
  t.In (1800, "A 101:101 ack 1 win 65535");
  EXPECT_EQ(TcpState::kEstablished, t.sock().state);
  t.Out(4800, "PA 1:101 ack 101");
  t.In (4900, "A 101:101 ack 101 win 65535");
}

TEST(FastOpenServer, NobodyAnswers) {
  TcpTrace t(Settings(kServer));
  t.Listen(80, 16, 4);
  const std::string cookie = AskForCookie(t);
  t.In (0, Syn(100, cookie));
  t.Accept();
  (void)t.Drain(200'000);
  EXPECT_EQ(ETIMEDOUT, t.sock().error);
  EXPECT_EQ(0u, t.listener().fast_open_pending);
}

// The program is done before the handshake is.
TEST(FastOpenServer, ClosedBeforeTheHandshakeIsDone) {
  TcpTrace t(Settings(kServer));
  t.Listen(80, 16, 4);
  const std::string cookie = AskForCookie(t);
  t.In (0, Syn(100, cookie));
  t.Out(0, "SA 0:0 ack 101 <mss 1460>");
  t.Accept();
  t.Read(100);
  t.Send(100);
  t.Out(0, "PA 1:101 ack 101");
  t.Close();
  t.Out(0, "FA 101:101 ack 101");
  t.In (10, "FA 101:101 ack 102 win 65535");
  t.Out(10, "A 102:102 ack 102");
  EXPECT_EQ(0u, t.listener().fast_open_pending);
}

TEST(FastOpenServer, TheListenerGoes) {
  TcpTrace t(Settings(kServer));
  t.Listen(80, 16, 4);
  const std::string cookie = AskForCookie(t);
  t.In (0, Syn(100, cookie));
  t.Out(0, "SA 0:0 ack 101 <mss 1460>");
  t.Accept();
  t.From(40001);
  t.In (0, Syn(100, cookie));
  t.Out(0, "SA 0:0 ack 101 <mss 1460>");
  t.Unlisten();
  t.Out(0, "RA 1:1 ack 101");
  t.From(40000);
  t.Read(100);
  t.In (10, "A 101:101 ack 1 win 65535");
  EXPECT_EQ(TcpState::kEstablished, t.sock().state);
}

// Neither the accept queue's bound nor the SYN's window is got round.
TEST(FastOpenServer, FullAcceptQueue) {
  TcpTrace t(Settings(kServer));
  t.Listen(80, 1, 4);
  const std::string cookie = AskForCookie(t);
  t.In (0, "S 0:100 win 60 <mss 1460, fo " + cookie + ">");
  t.Out(0, "SA 0:0 ack 101 <mss 1460>");
  t.From(40001);
  t.In (0, Syn(100, cookie));
  EXPECT_EQ(netstack::DropReason::kTcpAcceptQueueFull, t.last());
  t.From(40000);
  t.Accept();
  t.Send(50);
  t.Out(0, "PA 1:51 ack 101");
  t.Send(50);
  t.Quiet(500);
  t.In (500, "A 101:101 ack 51 win 65535");
  t.Out(500, "PA 51:101 ack 101");
  t.In (500, "A 101:101 ack 101 win 65535");
}

}  // namespace
}  // namespace weir::testing_support
