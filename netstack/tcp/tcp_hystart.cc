#include "netstack/tcp/tcp_hystart.h"

#include <algorithm>

namespace weir::netstack {

// A round is what was in flight when it began. True when it was the last one of Conservative Slow Start.
bool TcpHystart::NewRound(Seq nxt) {
  window_end_ = nxt;
  last_min_us_ = current_min_us_;
  current_min_us_ = kNone;
  samples_ = 0;
  return in_css() && ++css_rounds_ >= kCssRounds;
}

bool TcpHystart::OnAck(Seq una, Seq nxt, Nanos rtt_ns) {
  if (!started_ || una >= window_end_) {
    const bool over = started_ && NewRound(nxt);
    if (!started_) window_end_ = nxt;
    started_ = true;
    if (over) return true;
  }
  if (rtt_ns == 0) return false;
  const auto rtt_us = static_cast<uint32_t>(std::min<Nanos>(rtt_ns / kMicrosecond, kNone - 1));
  current_min_us_ = std::min(current_min_us_, rtt_us);
  if (samples_ < kRttSamples) ++samples_;
  if (samples_ < kRttSamples) return false;
  if (in_css()) {
    // Shorter again: it was jitter, and slow start goes on.
    if (current_min_us_ < baseline_us_) baseline_us_ = kNone;
  } else if (last_min_us_ != kNone) {
    const Nanos last_min_ns = last_min_us_ * kMicrosecond;
    const Nanos thresh_ns = std::clamp(last_min_ns / kMinRttDivisor, kMinRttThresh, kMaxRttThresh);
    if (current_min_us_ * kMicrosecond >= last_min_ns + thresh_ns) {
      baseline_us_ = current_min_us_;
      css_rounds_ = 0;
    }
  }
  return false;
}

}  // namespace weir::netstack
