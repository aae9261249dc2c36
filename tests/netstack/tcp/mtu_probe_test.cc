// Packetization layer path MTU discovery: RFC 4821.
#include <gtest/gtest.h>

#include "netstack/tcp/tcp_mtu_probe.h"
#include "netstack/tcp/tcp_user_calls.h"
#include "tests/netstack/tcp/sender_lines.h"
#include "tests/support/scoreboard_check.h"

namespace weir::testing_support {
namespace {

using netstack::TcpCaState;

constexpr TcpTrace::Handshake kPlain{.rtt = 100};
constexpr TcpTrace::Handshake kSack{.rtt = 100, .sack = true};

TcpTrace::Options Probing(uint8_t mode) {
  TcpTrace::Options options{.host = Reno()};
  options.host.tcp.mtu_probing = mode;
  options.host.tcp.early_retrans = false;
  return options;
}

std::string Bytes(int from, int to, const char* flags = "A") {
  return absl::StrCat(flags, " ", 1 + from, ":", 1 + to, " ack 1");
}
std::string AckBytes(int n) { return absl::StrCat("A 1:1 ack ", 1 + n, " win 65535"); }
std::string AckBytes(int n, int from, int to) {
  return absl::StrCat("A 1:1 ack ", 1 + n, " win 65535 <sack ", 1 + from, ":", 1 + to, ">");
}

// RFC 4821 §7.7: after R1 (RFC 1122 §4.2.3.5), three retransmissions, the segment is taken for too large; then for half
// as large with each further expiry.
TEST(MtuProbe, BlackHole) {
  TcpTrace::Options options = Probing(1);
  options.host.tcp.mtu_probe_floor = 48;
  TcpTrace t(options);
  t.Establish(kPlain);
  t.Send(2 * kMss);
  ExpectLast(t, 100, 0, 2);
  for (double ms : {400, 1000, 2200}) t.Out(ms, absl::StrCat("A ", Segment(0), " ack 1"));
  EXPECT_EQ(kMss, t.sock().snd.mss);
  t.Out(4600, Bytes(0, 1024));
  EXPECT_EQ(1u, t.tcp().counters.mtu_black_holes);
  t.Out(9400, Bytes(0, 512));
  t.Out(19000, Bytes(0, 256));
  EXPECT_EQ(3u, t.tcp().counters.mtu_black_holes);
  EXPECT_EQ(256, t.sock().snd.mss);
  t.In (19100, AckBytes(256));
  t.Out(19100, Bytes(256, 512));
  t.Out(19100, Bytes(512, 768));
  EXPECT_EQ("", ScoreboardProblem(t.sock()));
  t.In (19200, AckBytes(2 * kMss));
}

// tcp_mtu_probe_floor and tcp_min_snd_mss: not below either.
TEST(MtuProbe, Floor) {
  for (const auto& [floor, least, wanted] : {std::tuple{700u, 88u, 700}, {48u, 600u, 600}}) {
    TcpTrace::Options options = Probing(1);
    options.host.tcp.mtu_probe_floor = floor;
    options.host.tcp.min_snd_mss = least;
    TcpTrace t(options);
    t.Establish(kPlain);
    t.Send(kMss);
    for (double ms : {100, 400, 1000, 2200}) t.Out(ms, Bytes(0, kMss, "PA"));
    t.Out(4600, Bytes(0, 1024));
    for (double ms : {9400, 19000, 38200}) t.Out(ms, Bytes(0, wanted));
    t.In(38300, AckBytes(kMss));
  }
}

TEST(MtuProbe, OffMeansOff) {
  TcpTrace t(Probing(0));
  t.Establish(kPlain);
  t.Send(kMss);
  for (double ms : {100, 400, 1000, 2200, 4600, 9400, 19000}) t.Out(ms, Bytes(0, kMss, "PA"));
  EXPECT_EQ(nullptr, t.sock().mtu_probe);
  t.In(19100, AckBytes(kMss));
}

// A segment that would fit all the same is lost for another reason.
TEST(MtuProbe, SmallSegmentsSayNothing) {
  TcpTrace t(Probing(1));
  t.Establish(kPlain);
  t.Send(500);
  for (double ms : {100, 400, 1000, 2200, 4600}) t.Out(ms, Bytes(0, 500, "PA"));
  EXPECT_EQ(nullptr, t.sock().mtu_probe);
  EXPECT_EQ(kMss, t.sock().snd.mss);
  t.In(4700, AckBytes(500));
}

// A round trip in which the window grows beyond eleven segments of `mss`, until 300 ms; `sent` bytes, all acknowledged.
int Warm(TcpTrace& t, int mss) {
  int sent = 0;
  t.Quiet(200);
  t.Send(static_cast<size_t>(8 * mss));
  for (int i = 0; i < 8; ++i, sent += mss) t.Out(200, Bytes(sent, sent + mss, i == 7 ? "PA" : "A"));
  for (int i = 8; i > 0; i -= 2) t.In(300, AckBytes(sent - (i - 2) * mss));
  EXPECT_LE(11u * static_cast<uint32_t>(mss), t.sock().congestion.cwnd());
  return sent;
}

// What follows a probe of `bytes` at `n`, of eight full segments: the frames as they were filled, less what it took.
void ExpectRest(TcpTrace& t, double ms, int n, int bytes) {
  for (int at = n + bytes; at < n + 8 * 1024;) {
    const int end = n + ((at - n) / 1024 + 1) * 1024;
    t.Out(ms, Bytes(at, end, end == n + 8 * 1024 ? "PA" : "A"));
    at = end;
  }
}

// tcp_mtu_probing=2. RFC 4821 §7.2: the first segments are of tcp_base_mss; §7.5: a probe is the next data of the stream,
// in one segment, and others follow; §7.6.1: it arrives, and segments are as large from then on.
TEST(MtuProbe, Success) {
  TcpTrace t(Probing(2));
  t.Establish(kSack);
  const int n = Warm(t, 1024);
  t.Send(8 * 1024);
  t.Out(300, Bytes(n, n + 1460));
  ExpectRest(t, 300, n, 1460);
  EXPECT_EQ("", ScoreboardProblem(t.sock()));
  EXPECT_EQ(1024, t.sock().snd.mss);
  const uint32_t cwnd = t.sock().congestion.cwnd();
  t.In(400, AckBytes(n + 2 * 1024));
  EXPECT_EQ(1460, t.sock().snd.mss);
  EXPECT_LE(cwnd, t.sock().congestion.cwnd());
  EXPECT_EQ(1u, t.tcp().counters.mtu_probes_arrived);
  t.In(400, AckBytes(n + 8 * 1024));
  t.Send(2 * 1460);
  t.Out(400, Bytes(n + 8 * 1024, n + 8 * 1024 + 1460));
  t.Out(400, Bytes(n + 8 * 1024 + 1460, n + 8 * 1024 + 2 * 1460, "PA"));
  t.In(500, AckBytes(n + 8 * 1024 + 2 * 1460));
}

// §7.4: not without enough data behind it, window for it, or while anything is amiss.
TEST(MtuProbe, Preconditions) {
  TcpTrace t(Probing(2));
  t.Establish(kSack);
  const int n = Warm(t, 1024);
  t.Send(5 * 1024);  // 1460 + 4 * 1024 are needed
  for (int i = 0; i < 5; ++i) t.Out(300, Bytes(n + i * 1024, n + (i + 1) * 1024, i == 4 ? "PA" : "A"));
  t.In (400, absl::StrCat("A 1:1 ack ", 1 + n + 5 * 1024, " win 5500"));
  t.Send(5 * 1024 + 500);
  for (int i = 5; i < 10; ++i) t.Out(400, Bytes(n + i * 1024, n + (i + 1) * 1024));
  EXPECT_EQ(0u, t.tcp().counters.mtu_probes);
  t.In (500, AckBytes(n + 10 * 1024));
  t.Out(500, Bytes(n + 10 * 1024, n + 10 * 1024 + 500, "PA"));
  t.In (600, AckBytes(n + 10 * 1024 + 500));
}

// Sends eight segments' worth of which the first is a probe of `bytes`, and tells that it alone did not arrive. Returns
// what was sent in all.
int LoseProbe(TcpTrace& t, double ms, int n, int bytes) {
  t.Send(8 * 1024);
  t.Out(ms, Bytes(n, n + bytes));
  ExpectRest(t, ms, n, bytes);
  const uint32_t cwnd = t.sock().congestion.cwnd(), ssthresh = t.sock().congestion.ssthresh();
  t.In (ms + 100, AckBytes(n, n + bytes, n + 8 * 1024));
  // §7.6.2: sent again at once, in segments that are known to pass, and the window stays as it was.
  t.Out(ms + 100, Bytes(n, n + 1024));
  t.Out(ms + 100, Bytes(n + 1024, n + bytes));
  EXPECT_EQ("", ScoreboardProblem(t.sock()));
  EXPECT_LE(cwnd, t.sock().congestion.cwnd());
  EXPECT_EQ(ssthresh, t.sock().congestion.ssthresh());
  EXPECT_EQ(1024, t.sock().snd.mss);
  t.In (ms + 200, AckBytes(n + 8 * 1024));
  EXPECT_EQ(TcpCaState::kOpen, t.sock().recovery.state);
  return n + 8 * 1024;
}

// §7.6.2, §7.3: the next probe is in the middle of what is left; it ends when that is not worth one, for
// tcp_probe_interval.
TEST(MtuProbe, Failure) {
  TcpTrace::Options options = Probing(2);
  options.host.tcp.probe_threshold = 150;
  options.host.tcp.probe_interval_s = 60;
  TcpTrace t(options);
  t.Establish(kSack);
  int n = Warm(t, 1024);
  n = LoseProbe(t, 300, n, 1460);
  n = LoseProbe(t, 500, n, 1242);  // of 1024 to 1459
  n = LoseProbe(t, 700, n, 1133);  // of 1024 to 1241
  EXPECT_EQ(3u, t.tcp().counters.mtu_probes_lost);
  EXPECT_EQ(0u, t.tcp().counters.fast_recoveries);
  t.Send(8 * 1024);
  for (int i = 0; i < 8; ++i) t.Out(900, Bytes(n + i * 1024, n + (i + 1) * 1024, i == 7 ? "PA" : "A"));
  t.In (1000, AckBytes(n + 8 * 1024));
  n += 8 * 1024;
  // Each idle RTO halves the window, which must grow again.
  t.Quiet(60200);
  for (int round = 0; round < 4; ++round) {
    const double ms = 60200 + round * 100;
    t.Send(4 * 1024);
    for (int i = 0; i < 4; ++i, n += 1024) t.Out(ms, Bytes(n, n + 1024, i == 3 ? "PA" : "A"));
    t.In (ms + 100, AckBytes(n));
  }
  EXPECT_EQ(3u, t.tcp().counters.mtu_probes);
}

// §7.6.4: with another one the probe's loss may be congestion's; the range stays, and the window comes down.
TEST(MtuProbe, Inconclusive) {
  TcpTrace t(Probing(2));
  t.Establish(kSack);
  const int n = Warm(t, 1024);
  t.Send(8 * 1024);
  t.Out(300, Bytes(n, n + 1460));
  const int behind = n + 3 * 1024;
  (void)t.Drain();
  const uint32_t cwnd = t.sock().congestion.cwnd();
  t.In (400, AckBytes(n, behind, n + 8 * 1024));
  (void)t.Drain();
  EXPECT_EQ(TcpCaState::kRecovery, t.sock().recovery.state);
  EXPECT_EQ(0u, t.tcp().counters.mtu_probes_lost);
  EXPECT_EQ(0u, t.sock().mtu_probe->size);
  EXPECT_EQ(1500u, t.sock().mtu_probe->search_high);
  EXPECT_FALSE(t.sock().mtu_probe->narrowed);
  t.In (500, AckBytes(n + 8 * 1024));
  EXPECT_GT(cwnd, t.sock().congestion.cwnd());
}

// §7.6.3: nothing comes back. The timer sends it again as small segments, and that says nothing of the probe.
TEST(MtuProbe, Timeout) {
  TcpTrace t(Probing(2));
  t.Establish(kSack);
  const int n = Warm(t, 1024);
  t.Send(8 * 1024);
  t.Out(300, Bytes(n, n + 1460));
  (void)t.Drain();
  t.Out(600, Bytes(n, n + 1024));
  EXPECT_EQ(0u, t.sock().mtu_probe->size);
  EXPECT_EQ("", ScoreboardProblem(t.sock()));
  t.In (700, AckBytes(n + 8 * 1024));
  EXPECT_EQ(0u, t.tcp().counters.mtu_probes_arrived);
  EXPECT_EQ(1024, t.sock().snd.mss);
}

// An outage looks like a black hole. One probe, of the largest size first, and all is as before.
TEST(MtuProbe, AfterAnOutage) {
  TcpTrace t(Probing(1));
  t.Establish(kSack);
  t.Send(2 * kMss);
  ExpectLast(t, 100, 0, 2);
  for (double ms : {400, 1000, 2200}) t.Out(ms, absl::StrCat("A ", Segment(0), " ack 1"));
  t.Out(4600, Bytes(0, 1024));
  t.In (4700, AckBytes(2 * kMss));
  int n = 2 * kMss;
  double ms = 4700;
  for (; t.tcp().counters.mtu_probes == 0 && ms < 7000; ms += 100) {
    t.Send(10 * kMss);
    while (n < static_cast<int>(t.sock().stats.bytes_acked) || t.sock().snd.nxt != t.sock().snd.write_seq) {
      (void)t.Drain();
      t.In(ms += 100, AckBytes(n = static_cast<int>((t.sock().snd.nxt - t.sock().snd.iss)) - 1));
    }
  }
  (void)t.Drain();
  t.In (ms + 100, AckBytes(static_cast<int>((t.sock().snd.nxt - t.sock().snd.iss)) - 1));
  EXPECT_EQ(1u, t.tcp().counters.mtu_probes);
  EXPECT_EQ(1u, t.tcp().counters.mtu_probes_arrived);
  EXPECT_EQ(kMss, t.sock().snd.mss);
}

// Gives the stream's bytes from `n` on in frames of `size` bytes, as they would be forwarded.
void SendFrames(TcpTrace& t, int n, int frames, int size) {
  runtime::FrameChain chain;
  for (int i = 0; i < frames; ++i) {
    runtime::Frame* frame = t.host().pool().Alloc();
    frame->len = static_cast<uint32_t>(size);
    const testing_support::Bytes bytes = Pattern(static_cast<uint64_t>(n + i * size), static_cast<size_t>(size));
    std::copy(bytes.begin(), bytes.end(), frame->data);
    chain.Append(frame, frame->bytes());
  }
  EXPECT_TRUE(TcpSendFrames(t.sock(), chain));
  EXPECT_TRUE(chain.empty());
}

// Frames that were filled when segments were larger are longer than the probe: it is cut off the first.
TEST(MtuProbe, CutsLargeFrames) {
  TcpTrace t(Probing(2));
  t.Establish(kSack);
  const int n = LoseProbe(t, 300, Warm(t, 1024), 1460);
  t.sock().snd.mss = 1400;
  SendFrames(t, n, 6, 1400);
  t.sock().snd.mss = 1024;
  t.host().Turn();
  t.Out(500, Bytes(n, n + 1242));  // of 1024 to 1459
  t.Out(500, Bytes(n + 1242, n + 1400));
  EXPECT_EQ("", ScoreboardProblem(t.sock()));
  for (const std::string& line : t.Drain()) EXPECT_EQ(line.npos, line.find("wrong")) << line;
  t.In (600, AckBytes(n + 6 * 1400));
  EXPECT_EQ(1u, t.tcp().counters.mtu_probes_arrived);
  EXPECT_EQ(1242, t.sock().snd.mss);
}

// The FIN, and data in many small frames, pass through the joining of frames.
TEST(MtuProbe, JoinsSmallFrames) {
  TcpTrace t(Probing(2));
  t.Establish(kSack);
  const int n = Warm(t, 1024);
  t.sock().cork = true;
  t.Send(1);
  SendFrames(t, n + 1, 40, 200);
  TcpShutdown(t.sock());
  t.host().Turn();
  t.Out(300, Bytes(n, n + 1460));
  EXPECT_EQ("", ScoreboardProblem(t.sock()));
  for (const std::string& line : t.Drain()) EXPECT_EQ(line.npos, line.find("wrong")) << line;
  t.In (400, absl::StrCat("A 1:1 ack ", n + 1 + 40 * 200 + 2, " win 65535"));
  EXPECT_EQ(1u, t.tcp().counters.mtu_probes_arrived);
  t.In (400, absl::StrCat("FA 1:1 ack ", n + 1 + 40 * 200 + 2, " win 65535"));
  t.Out(400, absl::StrCat("A ", n + 40 * 200 + 3, ":", n + 40 * 200 + 3, " ack 2"));
}

}  // namespace
}  // namespace weir::testing_support
