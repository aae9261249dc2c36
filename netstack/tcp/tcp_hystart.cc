#include "netstack/tcp/tcp_hystart.h"

#include <algorithm>

namespace weir::netstack {

// A round is what was in flight when it began. True when it was the last one of Conservative Slow Start.
bool TcpHystart::NewRound(Seq nxt) {
  window_end_ = nxt;
  last_min_ns_ = current_min_ns_;
  current_min_ns_ = kNever;
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
  current_min_ns_ = std::min(current_min_ns_, rtt_ns);
  if (samples_ < kRttSamples) ++samples_;
  if (samples_ < kRttSamples) return false;
  if (in_css()) {
    // Shorter again: it was jitter, and slow start goes on.
    if (current_min_ns_ < baseline_ns_) baseline_ns_ = kNever;
  } else if (last_min_ns_ != kNever) {
    const Nanos thresh_ns = std::clamp(last_min_ns_ / kMinRttDivisor, kMinRttThresh, kMaxRttThresh);
    if (current_min_ns_ >= last_min_ns_ + thresh_ns) {
      baseline_ns_ = current_min_ns_;
      css_rounds_ = 0;
    }
  }
  return false;
}

}  // namespace weir::netstack
