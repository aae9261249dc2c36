// TCP Fast Open, the client: RFC 7413.
#include <gtest/gtest.h>

#include "netstack/tcp/tcp_fast_open_cache.h"
#include "netstack/tcp/tcp_sock_options.h"
#include "netstack/tcp/tcp_user_calls.h"
#include "tests/netstack/tcp/sender_lines.h"

namespace weir::testing_support {
namespace {

using netstack::TcpFastOpenCache;
using netstack::TcpState;

constexpr uint16_t kPort = 7;
constexpr uint32_t kClient = 1, kNoCookie = 4;

TcpTrace::Options Settings(uint32_t fastopen) {
  TcpTrace::Options options{.host = Reno()};
  options.host.tcp.fastopen = fastopen;
  options.host.tcp.timestamps = 0;
  options.host.tcp.sack = false;
  options.host.tcp.window_scaling = false;
  return options;
}

// §4.2.1: the first connection asks for a cookie.
void GetCookie(TcpTrace& t, double ms = 0, const char* mss = "mss 1000") {
  t.Quiet(ms);
  t.Connect(kPort, {.fast_open = true});
  EXPECT_FALSE(t.sock().fast_open.deferred);
  t.Out(ms, "S 0:0 <mss 1460, fo>");
  t.In (ms, absl::StrCat("SA 0:0 ack 1 win 65535 <", mss, ", fo 0102030405060708>"));
  t.Out(ms, "A 1:1 ack 1");
  t.Close();
  t.Out(ms, "FA 1:1 ack 1");
  t.In (ms, "R 1:1 ack 2");
}

// §4.2.2: the SYN waits for the first data and takes it along. The server's MSS is remembered (§4.1.3).
TEST(FastOpenClient, DataWithTheSyn) {
  TcpTrace t(Settings(kClient));
  GetCookie(t);
  t.Connect(kPort, {.fast_open = true});
  t.Quiet(10);
  t.Send(100);
  t.Out(10, "S 0:100 <mss 1460, fo 0102030405060708>");
  t.In (20, "SA 0:0 ack 101 win 65535 <mss 1000>");
  t.Out(20, "A 101:101 ack 1");
  EXPECT_TRUE(netstack::TcpGetInfo(t.sock()).syn_data);
  EXPECT_EQ(TcpState::kEstablished, t.sock().state);
  EXPECT_EQ(10 * kMillisecond, t.sock().rtt.min_ns);
  EXPECT_EQ(1u, t.tcp().counters.fast_open_active);
  t.Send(100);
  t.Out(20, "PA 101:201 ack 1");
  t.In (20, "A 1:1 ack 201 win 65535");
}

// No more than fits beside all options that there may be; the rest follows the handshake.
TEST(FastOpenClient, MoreThanASynHolds) {
  TcpTrace t(Settings(kClient));
  GetCookie(t);
  t.Connect(kPort, {.fast_open = true});
  t.Send(2500);
  t.Out(0, "S 0:960 <mss 1460, fo 0102030405060708>");
  t.In (20, "SA 0:0 ack 961 win 65535 <mss 1000>");
  t.Out(20, "A 961:1921 ack 1");
  t.Out(20, "PA 1921:2501 ack 1");
  t.In (20, "A 1:1 ack 2501 win 65535");
}

// §4.2.2: the server acknowledges the SYN alone; the data goes again at once, and that is no sign of congestion. A new
// cookie replaces the old one.
TEST(FastOpenClient, DataIsNotTaken) {
  TcpTrace t(Settings(kClient));
  GetCookie(t);
  t.Connect(kPort, {.fast_open = true});
  t.Send(100);
  t.Out(0, "S 0:100 <mss 1460, fo 0102030405060708>");
  t.In (20, "SA 0:0 ack 1 win 65535 <mss 1460, fo a1a2a3a4>");
  t.Out(20, "PA 1:101 ack 1");
  EXPECT_EQ(14600u, t.sock().congestion.cwnd());
  EXPECT_FALSE(netstack::TcpGetInfo(t.sock()).syn_data);
  EXPECT_EQ(1u, t.tcp().counters.fast_open_active_failed);
  t.In (40, "A 1:1 ack 101 win 65535");
  t.Abort();
  t.Out(40, "RA 101:101 ack 1");
  t.Close();
  t.Connect(kPort, {.fast_open = true});
  t.Send(10);
  t.Out(40, "S 0:10 <mss 1460, fo a1a2a3a4>");
  t.In (40, "RA 0:0 ack 11");
  EXPECT_EQ(ECONNREFUSED, t.sock().error);
}

// A part of it: what is missing goes again.
TEST(FastOpenClient, DataIsTakenInPart) {
  TcpTrace t(Settings(kClient));
  GetCookie(t);
  t.Connect(kPort, {.fast_open = true});
  t.Send(100);
  t.Out(0, "S 0:100 <mss 1460, fo 0102030405060708>");
  t.In (20, "SA 0:0 ack 41 win 65535 <mss 1460>");
  t.Out(20, "PA 41:101 ack 1");
  t.In (40, "A 1:1 ack 101 win 65535");
}

// §4.1.3.1: a SYN that goes again has neither data nor option. When twice in a row only that got through, the next ones
// are plain from the start, for a while.
TEST(FastOpenClient, SynsWithDataAreLost) {
  TcpTrace t(Settings(kClient));
  GetCookie(t);
  for (int i = 0; i < 2; ++i) {
    const double ms = i * 2000;
    t.Quiet(ms);
    t.Connect(kPort, {.fast_open = true});
    t.Send(100);
    t.Out(ms, "S 0:100 <mss 1460, fo 0102030405060708>");
    t.Out(ms + 1000, "S 0:0 <mss 1460>");
    t.In (ms + 1020, "SA 0:0 ack 1 win 65535 <mss 1460>");
    t.Out(ms + 1020, "PA 1:101 ack 1");
    t.In (ms + 1040, "A 1:1 ack 101 win 65535");
    t.Abort();
    t.Out(ms + 1040, "RA 101:101 ack 1");
    t.Close();
  }
  t.Connect(kPort, {.fast_open = true});
  EXPECT_FALSE(t.sock().fast_open.early);
  t.Out(3040, "S 0:0 <mss 1460>");
  t.In (3040, "RA 0:0 ack 1");
  t.Close();
  t.Quiet(300'000);  // 60 s, doubled twice
  t.Connect(kPort, {.fast_open = true});
  t.Send(100);
  t.Out(300'000, "S 0:100 <mss 1460, fo 0102030405060708>");
  t.In (300'000, "SA 0:0 ack 101 win 65535 <mss 1460>");
  t.Out(300'000, "A 101:101 ack 1");
  const TcpFastOpenCache::Entry* entry = t.tcp().fast_open_cache.Find(t.sock().local.ip, t.sock().remote.ip);
  EXPECT_EQ(0u, entry->losses);
}

// Only the answer was lost: the server has the data.
TEST(FastOpenClient, TheAnswerIsLost) {
  TcpTrace t(Settings(kClient));
  GetCookie(t);
  t.Connect(kPort, {.fast_open = true});
  t.Send(100);
  t.Out(0, "S 0:100 <mss 1460, fo 0102030405060708>");
  t.Out(1000, "S 0:0 <mss 1460>");
  t.In (1020, "SA 0:0 ack 101 win 65535 <mss 1460>");
  t.Out(1020, "A 101:101 ack 1");
  EXPECT_EQ(0u, t.tcp().fast_open_cache.Find(t.sock().local.ip, t.sock().remote.ip)->losses);
}

// What was given to a connection that passed for open is delivered, whatever comes of the handshake.
TEST(FastOpenClient, ClosedBeforeTheAnswer) {
  TcpTrace t(Settings(kClient));
  GetCookie(t);
  for (bool taken : {true, false}) {
    t.Connect(kPort, {.fast_open = true});
    t.Send(100);
    t.Out(0, "S 0:100 <mss 1460, fo 0102030405060708>");
    t.Close();
    t.In (0, taken ? "SA 0:0 ack 101 win 65535 <mss 1460>" : "SA 0:0 ack 1 win 65535 <mss 1460>");
    if (!taken) t.Out(0, "PA 1:101 ack 1");
    t.Out(0, "FA 101:101 ack 1");
    t.In (0, "FA 1:1 ack 102 win 65535");
    t.Out(0, "A 102:102 ack 2");
    t.In (0, "R 2:2");
  }
}

// One that nothing was given to leaves no trace.
TEST(FastOpenClient, ClosedBeforeAnything) {
  TcpTrace t(Settings(kClient));
  GetCookie(t);
  t.Connect(kPort, {.fast_open = true});
  t.Close();
  t.Quiet(5000);
}

// And a FIN may be all there is.
TEST(FastOpenClient, NothingButTheEnd) {
  TcpTrace t(Settings(kClient));
  GetCookie(t);
  t.Connect(kPort, {.fast_open = true});
  t.Shutdown();
  t.Out(0, "S 0:0 <mss 1460, fo 0102030405060708>");
  t.In (0, "SA 0:0 ack 1 win 65535 <mss 1460>");
  t.Out(0, "FA 1:1 ack 1");
}

// Both open at once, one of them with data (RFC 9293 §3.5, figure 7).
TEST(FastOpenClient, SimultaneousOpen) {
  TcpTrace t(Settings(kClient));
  GetCookie(t);
  t.Connect(kPort, {.fast_open = true});
  t.Send(100);
  t.Out(0, "S 0:100 <mss 1460, fo 0102030405060708>");
  t.In (10, "S 0:0 win 65535 <mss 1460>");
  t.Out(10, "SA 0:0 ack 1 <mss 1460>");
  t.In (20, "SA 0:0 ack 1 win 65535 <mss 1460>");
  t.Out(20, "PA 1:101 ack 1");
  t.In (30, "A 1:1 ack 101 win 65535");
  EXPECT_EQ(TcpState::kEstablished, t.sock().state);
}

TEST(FastOpenClient, OnlyWhereItIsOn) {
  TcpTrace off(Settings(2));
  off.Connect(kPort, {.fast_open = true});
  off.Out(0, "S 0:0 <mss 1460>");
  off.In (0, "SA 0:0 ack 1 win 65535 <mss 1460, fo 0102030405060708>");
  off.Out(0, "A 1:1 ack 1");
  EXPECT_EQ(nullptr, off.tcp().fast_open_cache.Find(off.sock().local.ip, off.sock().remote.ip));
  TcpTrace unasked(Settings(kClient));
  unasked.Connect(kPort);
  unasked.Out(0, "S 0:0 <mss 1460>");
  unasked.In (0, "SA 0:0 ack 1 win 65535 <mss 1460, fo 0102030405060708>");  // unsolicited: not kept
  unasked.Out(0, "A 1:1 ack 1");
  EXPECT_EQ(nullptr, unasked.tcp().fast_open_cache.Find(unasked.sock().local.ip, unasked.sock().remote.ip));
}

// tcp_fastopen, 0x4: of a server of which nothing is known the default MSS holds (RFC 9293 §3.7.1).
TEST(FastOpenClient, WithoutCookies) {
  TcpTrace t(Settings(kClient | kNoCookie));
  t.Connect(kPort, {.fast_open = true});
  t.Send(1000);
  t.Out(0, "S 0:496 <mss 1460>");
  t.In (20, "SA 0:0 ack 497 win 65535 <mss 1460>");
  t.Out(20, "A 497:993 ack 1");
  t.Out(20, "PA 993:1001 ack 1");
  t.In (20, "A 1:1 ack 1001 win 65535");
}

// §4.1.3: the cache is bounded; what was not used for long makes room.
TEST(FastOpenCache, IsBounded) {
  TcpFastOpenCache cache({1, 2}, true);
  const IpAddress local = IpAddress::V4(1);
  EXPECT_EQ(nullptr, cache.Find(local, IpAddress::V4(2)));
  for (uint32_t i = 0; i < 10'000; ++i) {
    cache.Get(local, IpAddress::V4(i))->mss = static_cast<uint16_t>(i + 1);
    EXPECT_EQ(1, cache.Get(local, IpAddress::V4(0))->mss);  // in use all the time
  }
  size_t kept = 0;
  for (uint32_t i = 0; i < 10'000; ++i) kept += cache.Find(local, IpAddress::V4(i)) != nullptr;
  EXPECT_EQ(TcpFastOpenCache::kSets * TcpFastOpenCache::kWays, kept);
  EXPECT_EQ(nullptr, cache.Find(IpAddress::V4(2), IpAddress::V4(0)));
}

}  // namespace
}  // namespace weir::testing_support
