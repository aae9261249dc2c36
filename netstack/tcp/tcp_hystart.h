// HyStart++ (RFC 9406): the first slow start ends when round trips become longer, before it fills a queue until it
// overflows. It goes on slowly for some rounds (Conservative Slow Start), in case that was only jitter.
#ifndef NETSTACK_TCP_TCP_HYSTART_H_
#define NETSTACK_TCP_TCP_HYSTART_H_

#include <cstdint>

#include "netstack/tcp/seq.h"
#include "runtime/base/time.h"

namespace weir::netstack {

class TcpHystart {
 public:
  // RFC 9406 §4.3.
  static constexpr Nanos kMinRttThresh = 4 * kMillisecond;
  static constexpr Nanos kMaxRttThresh = 16 * kMillisecond;
  static constexpr int kMinRttDivisor = 8;
  static constexpr uint8_t kRttSamples = 8;
  static constexpr uint32_t kCssGrowthDivisor = 4;
  static constexpr uint8_t kCssRounds = 5;

  // An ACK in slow start; `rtt_ns` is what it measured, or 0. True: slow start is over.
  bool OnAck(Seq una, Seq nxt, Nanos rtt_ns);
  bool in_css() const { return baseline_us_ != kNone; }

 private:
  static constexpr uint32_t kNone = UINT32_MAX;

  bool NewRound(Seq nxt);

  // In microseconds: every connection has room for them.
  uint32_t last_min_us_ = kNone;
  uint32_t current_min_us_ = kNone;
  uint32_t baseline_us_ = kNone;  // shortest of the round that was too long; kNone: not in CSS
  Seq window_end_;
  uint8_t samples_ = 0;
  uint8_t css_rounds_ = 0;
  bool started_ = false;
};

}  // namespace weir::netstack

#endif  // NETSTACK_TCP_TCP_HYSTART_H_
