#include "netstack/tcp/tcp_congestion.h"

#include <algorithm>

namespace weir::netstack {

void TcpCongestion::Init(uint16_t mss) {
  cwnd_ = std::min<uint32_t>(10 * mss, std::max<uint32_t>(2 * mss, 14600));
}

// No window can be larger (RFC 7323 §2.3), so no congestion window needs to be; without a bound slow start would
// overflow after 2 GiB without loss.
void TcpCongestion::Grow(uint32_t bytes) { cwnd_ = std::min(cwnd_ + bytes, kMaxWindow); }

bool TcpCongestion::OnAck(Seq una, uint32_t acked, uint16_t mss) {
  if (in_recovery_) {
    if (una >= recover_) {
      in_recovery_ = false;  // full acknowledgment: deflate
      cwnd_ = std::max<uint32_t>(ssthresh_, 2 * mss);
      return false;
    }
    cwnd_ = cwnd_ > acked ? cwnd_ - acked : 0;
    cwnd_ += mss;
    return true;
  }
  if (cwnd_ < ssthresh_) {
    // RFC 3465 §2.2, §2.3: L = 2, but 1 while that is acknowledged which was sent before a timeout.
    Grow(std::min<uint32_t>(acked, has_recover_ && una <= recover_ ? mss : 2 * mss));
  } else {
    acked_in_window_ += acked;
    if (acked_in_window_ >= cwnd_) {
      acked_in_window_ -= cwnd_;
      Grow(mss);
    }
  }
  // Beyond it `recover_` says nothing any more; kept, it would be wrong again 2^31 bytes later.
  if (has_recover_ && una > recover_) has_recover_ = false;
  return false;
}

bool TcpCongestion::OnThirdDupAck(Seq una, Seq max, uint32_t flight, uint16_t mss) {
  // RFC 6582 §3.2, step 2: only when more than `recover_` is acknowledged; duplicates at that very number may be echoes
  // of what was sent again.
  if (in_recovery_ || (has_recover_ && una <= recover_)) return false;
  ssthresh_ = std::max<uint32_t>(flight / 2, 2 * mss);
  cwnd_ = ssthresh_ + 3 * mss;
  recover_ = max;
  has_recover_ = in_recovery_ = true;
  return true;
}

void TcpCongestion::OnDupAck(uint16_t mss) {
  if (in_recovery_) Grow(mss);
}

void TcpCongestion::OnTimeout(Seq max, uint32_t flight, uint16_t mss) {
  ssthresh_ = std::max<uint32_t>(flight / 2, 2 * mss);
  cwnd_ = mss;
  acked_in_window_ = 0;
  in_recovery_ = false;
  recover_ = max;  // RFC 6582 §3.2, step 1: no fast retransmit for what was sent before
  has_recover_ = true;
}

}  // namespace weir::netstack
