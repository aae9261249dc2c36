#include "netstack/tcp/tcp_congestion.h"

#include <algorithm>

namespace weir::netstack {
namespace {

// No window can be larger (RFC 7323 §2.3), so no congestion window needs to be; without a bound slow start would
// overflow after 2 GiB without loss.
constexpr uint32_t kMaxWindow = 65535u << 14;
// Segments that one ACK adds in slow start at most. RFC 3465 §2.3 says 2, when ACKs came for every second segment;
// RFC 9406 §4.2 says 8 for senders that do not pace, since receivers acknowledge many at once.
constexpr uint32_t kSlowStartLimit = 8;

}  // namespace

void TcpCongestion::Init(uint16_t mss) {
  cwnd_ = std::min<uint32_t>(10 * mss, std::max<uint32_t>(2 * mss, 14600));
}

void TcpCongestion::set_cwnd(uint32_t cwnd) { cwnd_ = std::min(cwnd, kMaxWindow); }

void TcpCongestion::Undo(uint32_t cwnd, uint32_t ssthresh) {
  cwnd_ = std::max(cwnd_, cwnd);
  ssthresh_ = std::max(ssthresh_, ssthresh);
}

void TcpCongestion::Grow(uint32_t bytes) { cwnd_ = std::min(cwnd_ + bytes, kMaxWindow); }

void TcpCongestion::OnAck(const Ack& ack) {
  if (in_slow_start()) {
    // RFC 3465 §2.3: one segment after a timeout, when an ACK may jump over what had arrived before.
    Grow(std::min<uint32_t>(ack.acked, ack.after_timeout ? ack.mss : kSlowStartLimit * ack.mss));
    return;
  }
  acked_in_window_ += ack.acked;
  if (acked_in_window_ >= cwnd_) {
    acked_in_window_ -= cwnd_;
    Grow(ack.mss);
  }
}

void TcpCongestion::OnCongestion(const Congestion& congestion) {
  // Not more than the window: limited transmit (RFC 3042) sends beyond it, which does not count.
  ssthresh_ = std::max<uint32_t>(std::min(congestion.flight, cwnd_) / 2, 2 * congestion.mss);
  acked_in_window_ = 0;
}

}  // namespace weir::netstack
