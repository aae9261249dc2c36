#include "netstack/tcp/tcp_congestion.h"

#include <algorithm>
#include <new>
#include <type_traits>
#include <utility>

namespace weir::netstack {
namespace {

// No window can be larger (RFC 7323 §2.3), so no congestion window needs to be; without a bound slow start would
// overflow after 2 GiB without loss.
constexpr uint32_t kMaxWindow = 65535u << 14;

// They take turns in one place.
static_assert(std::is_trivially_destructible_v<TcpHystart> && std::is_trivially_destructible_v<TcpCubic>);

}  // namespace

std::optional<TcpCongestionControl> TcpCongestionControlByName(std::string_view name) {
  if (name == "reno") return TcpCongestionControl::kReno;
  if (name == "cubic") return TcpCongestionControl::kCubic;
  return std::nullopt;
}

uint32_t TcpCongestion::InitialWindow(uint16_t mss) {
  return std::min<uint32_t>(10 * mss, std::max<uint32_t>(2 * mss, 14600));
}

void TcpCongestion::Use(TcpCongestionControl control) {
  control_ = control;
  if (has_cubic_) cubic_ = {};
  acked_in_window_ = 0;
}

TcpHystart& TcpCongestion::hystart() {
  if (std::exchange(has_cubic_, false)) new (&hystart_) TcpHystart;
  return hystart_;
}

TcpCubic& TcpCongestion::cubic() {
  if (!std::exchange(has_cubic_, true)) new (&cubic_) TcpCubic;
  return cubic_;
}

void TcpCongestion::set_cwnd(uint32_t cwnd) { cwnd_ = std::min(cwnd, kMaxWindow); }

void TcpCongestion::Undo(uint32_t cwnd, uint32_t ssthresh) {
  cwnd_ = std::max(cwnd_, cwnd);
  ssthresh_ = std::max(ssthresh_, ssthresh);
  if (has_cubic_) cubic_.Undo();
}

void TcpCongestion::SlowStart(const Ack& ack) {
  // RFC 9406 §4.3: only while ssthresh was never set.
  const bool first = ssthresh_ == UINT32_MAX;
  const bool over = first && hystart().OnAck(ack.una, ack.nxt, ack.rtt_ns);
  // All that was acknowledged counts, as in Linux: RFC 3465 §2.3 has a limit of 2 segments, RFC 9406 §4.2 one of 8 for
  // senders that do not pace, but receivers acknowledge a burst of 64 at once, and that is when ACKs are scarce. One
  // segment after a timeout, when an ACK may jump over what had arrived before.
  uint32_t grow = ack.after_timeout ? std::min<uint32_t>(ack.acked, ack.mss) : ack.acked;
  if (first && hystart().in_css()) grow /= TcpHystart::kCssGrowthDivisor;
  // Not far beyond ssthresh: from there on it is congestion avoidance.
  set_cwnd(std::min(cwnd_ + grow, std::max(ssthresh_, cwnd_)));
  if (over) ssthresh_ = cwnd_;
}

void TcpCongestion::RenoAvoidance(const Ack& ack) {
  acked_in_window_ += ack.acked;
  if (acked_in_window_ < cwnd_) return;
  acked_in_window_ -= cwnd_;
  set_cwnd(cwnd_ + ack.mss);
}

void TcpCongestion::OnAck(const Ack& ack) {
  if (in_slow_start()) {
    SlowStart(ack);
  } else if (control_ == TcpCongestionControl::kReno) {
    RenoAvoidance(ack);
  } else {
    set_cwnd(cubic().OnAck(
        {.now_ns = ack.now_ns, .acked = ack.acked, .cwnd = cwnd_, .mss = ack.mss, .srtt_ns = ack.srtt_ns}));
  }
}

void TcpCongestion::OnCongestion(const Congestion& congestion) {
  // Not more than the window: limited transmit (RFC 3042) sends beyond it, which does not count. Not more than what is
  // in flight: RFC 5681 §3.1, equation 4, and RFC 9438 §4.6.
  const uint32_t used = std::min(congestion.flight, cwnd_);
  acked_in_window_ = 0;
  if (control_ == TcpCongestionControl::kReno) {
    ssthresh_ = std::max<uint32_t>(used / 2, 2 * congestion.mss);
  } else {
    ssthresh_ = cubic().OnCongestion(used, congestion.mss, congestion.timeout);
  }
}

}  // namespace weir::netstack
