// Buffers that grow: the receiver's with what the program reads in a round trip (tcp_rcv_space_adjust), the sender's with
// the congestion window (tcp_sndbuf_expand); RFC 9293 §3.8.6.
#include "netstack/tcp/tcp_autotune.h"

#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "netstack/tcp/tcp_sock_options.h"
#include "netstack/tcp/tcp_user_calls.h"
#include "tests/support/tcp_trace.h"

namespace weir::testing_support {
namespace {

using netstack::TcpSettings;
using netstack::TcpSockOption;

// A peer 100 ms away sends what the window allows each round trip; the program reads it all, or nothing.
class Receiver {
 public:
  explicit Receiver(const TcpSettings& settings) : t({.host = {.frames = 4096, .tcp = settings}}) {
    t.Listen(80);
    t.In (0,   "S  0:0       win 65535 <mss 1460, wscale 7>");
    t.Out(0,   "SA 0:0 ack 1 <mss 1460, wscale 7>");
    t.In (100, "A  1:1 ack 1 win 512");
    t.Accept();
  }
  // One round trip. Returns how much was sent.
  uint32_t RoundTrip(bool read) {
    at_ += 100;
    t.Drain(at_);
    const uint32_t window = t.sock().rcv.wup.value() + t.sock().rcv.wnd - t.sock().rcv.nxt.value();
    const uint32_t segments = window / 1460;
    for (uint32_t i = 0; i < segments; ++i, seq_ += 1460) {
      t.In(at_, absl::StrCat("A ", seq_, ":", seq_ + 1460, " ack 1 win 512"));
      t.Drain();
    }
    if (read) t.Read(1460 * segments);
    t.Drain();
    return 1460 * segments;
  }

  TcpTrace t;

 private:
  double at_ = 100;
  uint32_t seq_ = 1;
};

constexpr TcpSettings kSmall{.receive_buffer = 20000, .receive_buffer_max = 200000};

TEST(ReceiveBuffer, GrowsWithWhatIsRead) {
  Receiver r(kSmall);
  uint32_t last = 0;
  for (int i = 0; i < 8; ++i) last = r.RoundTrip(/*read=*/true);
  EXPECT_EQ(200000u, r.t.sock().rcv.buffer);  // tcp_rmem[2]
  EXPECT_LE(190000u, last);
  EXPECT_GE(200000u, last);
}

TEST(ReceiveBuffer, NotForAProgramThatDoesNotRead) {
  Receiver r(kSmall);
  for (int i = 0; i < 4; ++i) r.RoundTrip(/*read=*/false);
  EXPECT_EQ(20000u, r.t.sock().rcv.buffer);
}

TEST(ReceiveBuffer, NotWhenItWasSetOrSettingsSayNo) {
  Receiver set(kSmall);
  EXPECT_EQ(0, TcpSetOption(set.t.sock(), TcpSockOption::kReceiveBuffer, 30000));
  TcpSettings off = kSmall;
  off.moderate_rcvbuf = false;
  Receiver fixed(off);
  for (int i = 0; i < 4; ++i) {
    set.RoundTrip(/*read=*/true);
    fixed.RoundTrip(/*read=*/true);
  }
  EXPECT_EQ(30000u, set.t.sock().rcv.buffer);
  EXPECT_EQ(20000u, fixed.t.sock().rcv.buffer);
}

// Twice the congestion window, up to tcp_wmem[2].
TEST(SendBuffer, GrowsWithTheCongestionWindow) {
  for (bool locked : {false, true}) {
    TcpTrace t({.host = {.tcp = {.send_buffer = 20000, .send_buffer_max = 40000}}});
    t.Establish();
    if (locked) EXPECT_EQ(0, TcpSetOption(t.sock(), TcpSockOption::kSendBuffer, 20000));
    uint32_t acked = 1;
    for (int i = 0; i < 4; ++i) {
      t.Send(14000);
      t.Drain();
      acked += 14000;
      t.In(10 * i, absl::StrCat("A 1:1 ack ", acked, " win 65535"));
    }
    EXPECT_LT(20000u, t.sock().congestion.cwnd());
    EXPECT_EQ(locked ? 20000u : 40000u, t.sock().snd.buffer);
  }
}

}  // namespace
}  // namespace weir::testing_support
