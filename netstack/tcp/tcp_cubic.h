// CUBIC (RFC 9438): in congestion avoidance the window follows a cubic function of the time since it last came down,
// flat near the size at which that happened; on short paths it is never below what Reno would have. Linux: tcp_cubic.c.
#ifndef NETSTACK_TCP_TCP_CUBIC_H_
#define NETSTACK_TCP_TCP_CUBIC_H_

#include <cstdint>

#include "runtime/base/time.h"

namespace weir::netstack {

class TcpCubic {
 public:
  static constexpr double kC = 0.4;     // RFC 9438 §5.1
  static constexpr double kBeta = 0.7;  // RFC 9438 §4.6

  struct Ack {
    Nanos now_ns;
    uint32_t acked;
    uint32_t cwnd;
    uint16_t mss;
    Nanos srtt_ns;
  };
  // The window after an ACK in congestion avoidance, in bytes.
  uint32_t OnAck(const Ack& ack);
  // ssthresh after a loss of a window of `cwnd` bytes (RFC 9438 §4.6 to §4.8).
  uint32_t OnCongestion(uint32_t cwnd, uint16_t mss, bool timeout);
  // The reduction was needless (RFC 9438 §4.9).
  void Undo();
  // Nothing was sent for a while: that time does not count (RFC 9438 §5.8; CA_EVENT_TX_START).
  void OnIdle(Nanos idle_ns, Nanos now_ns);

 private:
  void StartEpoch(double cwnd, Nanos now_ns);

  // In segments, as the RFC's formulas are. What is summed up in small steps wants more digits than the others.
  double w_est_ = 0;       // what Reno would have
  float w_max_ = 0;
  float prior_w_max_ = 0;  // before the last reduction
  float cwnd_prior_ = 0;   // cwnd before it
  float k_s_ = 0;
  Nanos epoch_start_ns_ = 0;  // 0: none has begun
};

}  // namespace weir::netstack

#endif  // NETSTACK_TCP_TCP_CUBIC_H_
