#include "netstack/tcp/tcp_congestion.h"

#include <algorithm>

namespace weir::netstack {

void TcpCongestion::Init(uint16_t mss) {
  cwnd_ = std::min<uint32_t>(10 * mss, std::max<uint32_t>(2 * mss, 14600));
}

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
    cwnd_ += std::min<uint32_t>(acked, 2 * mss);  // RFC 3465 §2.2, L = 2
    return false;
  }
  acked_in_window_ += acked;
  if (acked_in_window_ >= cwnd_) {
    acked_in_window_ -= cwnd_;
    cwnd_ += mss;
  }
  return false;
}

bool TcpCongestion::OnThirdDupAck(Seq una, Seq nxt, uint32_t flight, uint16_t mss) {
  if (in_recovery_ || (has_recover_ && una < recover_)) return false;
  ssthresh_ = std::max<uint32_t>(flight / 2, 2 * mss);
  cwnd_ = ssthresh_ + 3 * mss;
  recover_ = nxt;
  has_recover_ = in_recovery_ = true;
  return true;
}

void TcpCongestion::OnDupAck(uint16_t mss) {
  if (in_recovery_) cwnd_ += mss;
}

void TcpCongestion::OnTimeout(Seq nxt, uint32_t flight, uint16_t mss) {
  ssthresh_ = std::max<uint32_t>(flight / 2, 2 * mss);
  cwnd_ = mss;
  acked_in_window_ = 0;
  in_recovery_ = false;
  recover_ = nxt;  // RFC 6582 §3.2, step 1: no fast retransmit for what was sent before
  has_recover_ = true;
}

}  // namespace weir::netstack
