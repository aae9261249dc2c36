// Proportional rate reduction by itself: RFC 6937 §3.
#include <gtest/gtest.h>

#include "netstack/tcp/tcp_prr.h"

namespace weir::netstack {
namespace {

constexpr uint32_t kMss = 1000;

// Ten segments in flight, one of them lost, ssthresh five: RFC 6937 §3.1, a segment for every second that arrives.
TEST(Prr, InProportion) {
  TcpPrr prr;
  prr.Start(10 * kMss);
  uint32_t pipe = 7 * kMss, sent = 0;  // two were SACKed before, and this is the third
  for (int i = 0; i < 7; ++i) {
    const uint32_t cwnd =
        prr.OnAck({.delivered = kMss, .pipe = pipe, .ssthresh = 5 * kMss, .mss = kMss, .good = false});
    while (cwnd >= pipe + kMss) {
      prr.OnSent(kMss);
      pipe += kMss;
      sent += kMss;
    }
    pipe -= kMss;
  }
  EXPECT_EQ(4 * kMss, sent);
  EXPECT_EQ(5 * kMss, pipe + kMss);
}

// More was lost than the reduction asks for: what arrived is replaced (conservative), and with good news a segment more
// an ACK until ssthresh is reached (slow start), but not beyond it.
TEST(Prr, BelowSsthresh) {
  for (bool good : {false, true}) {
    TcpPrr prr;
    prr.Start(20 * kMss);
    prr.OnSent(kMss);
    uint32_t pipe = 4 * kMss;
    EXPECT_EQ(pipe, prr.OnAck({.delivered = kMss, .pipe = pipe, .ssthresh = 10 * kMss, .mss = kMss, .good = false}) -
                        kMss);
    const uint32_t cwnd =
        prr.OnAck({.delivered = kMss, .pipe = pipe, .ssthresh = 10 * kMss, .mss = kMss, .good = good});
    EXPECT_EQ(pipe + (good ? 2u : 1u) * kMss, cwnd);
    pipe = 10 * kMss - 1;
    EXPECT_EQ(10 * kMss, prr.OnAck({.delivered = 5 * kMss, .pipe = pipe, .ssthresh = 10 * kMss, .mss = kMss,
                                    .good = good}));
  }
}

// The first segment is always sent again at once.
TEST(Prr, TheFirstRetransmission) {
  TcpPrr prr;
  prr.Start(10 * kMss);
  EXPECT_EQ(10 * kMss, prr.OnAck({.delivered = 0, .pipe = 9 * kMss, .ssthresh = 5 * kMss, .mss = kMss, .good = false}));
}

// Whatever comes, no more is sent than arrived and a segment an ACK; the window never wraps.
TEST(Prr, Bounded) {
  TcpPrr prr;
  prr.Start(0);
  uint32_t cwnd = prr.OnAck({.delivered = UINT32_MAX / 2, .pipe = 1, .ssthresh = 2 * kMss, .mss = kMss, .good = true});
  EXPECT_EQ(2 * kMss, cwnd);
  prr.OnSent(100 * kMss);
  cwnd = prr.OnAck({.delivered = 1, .pipe = 50 * kMss, .ssthresh = 2 * kMss, .mss = kMss, .good = true});
  EXPECT_LE(50 * kMss, cwnd);
}

}  // namespace
}  // namespace weir::netstack
