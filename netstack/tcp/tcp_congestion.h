// Congestion control of one connection: how the window grows while all is well, and what it comes down to after a loss:
// slow start and congestion avoidance (RFC 5681). When it comes down, and how it moves meanwhile, is tcp_recovery.h.
// Windows are in bytes. Linux: tcp_cong.c, struct tcp_congestion_ops.
#ifndef NETSTACK_TCP_TCP_CONGESTION_H_
#define NETSTACK_TCP_TCP_CONGESTION_H_

#include <cstdint>

#include "netstack/tcp/seq.h"
#include "runtime/base/time.h"

namespace weir::netstack {

class TcpCongestion {
 public:
  // RFC 6928 §2: ten segments, bounded by max(2 * MSS, 14600).
  void Init(uint16_t mss);

  uint32_t cwnd() const { return cwnd_; }
  uint32_t ssthresh() const { return ssthresh_; }
  bool in_slow_start() const { return cwnd_ < ssthresh_; }

  // For recovery, which moves the window itself.
  void set_cwnd(uint32_t cwnd);
  // A reduction was needless: back to what was, or what is when that is more.
  void Undo(uint32_t cwnd, uint32_t ssthresh);

  struct Ack {
    Nanos now_ns;
    uint32_t acked;  // bytes that are known to have arrived by this ACK
    Seq una;         // after it
    Seq nxt;
    uint16_t mss;
    bool after_timeout;  // until all is acknowledged that was outstanding at a timeout
  };
  // New data was acknowledged, and the window limits what is sent.
  void OnAck(const Ack& ack);

  struct Congestion {
    Nanos now_ns;
    uint32_t flight;  // outstanding bytes
    uint16_t mss;
    bool timeout;
  };
  // A loss, or a mark: sets ssthresh (RFC 5681 §3.1, equation 4).
  void OnCongestion(const Congestion& congestion);

 private:
  void Grow(uint32_t bytes);

  uint32_t cwnd_ = 0;
  uint32_t ssthresh_ = UINT32_MAX;
  uint32_t acked_in_window_ = 0;  // RFC 3465 §2.1
};

}  // namespace weir::netstack

#endif  // NETSTACK_TCP_TCP_CONGESTION_H_
