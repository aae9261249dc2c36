// Congestion control of one connection: slow start, congestion avoidance, fast retransmit and fast recovery
// (RFC 5681, RFC 6582 "NewReno"). Windows are in bytes.
#ifndef NETSTACK_TCP_TCP_CONGESTION_H_
#define NETSTACK_TCP_TCP_CONGESTION_H_

#include <cstdint>

#include "netstack/tcp/seq.h"

namespace weir::netstack {

class TcpCongestion {
 public:
  // RFC 6928 §2: ten segments, bounded by max(2 * MSS, 14600).
  void Init(uint16_t mss);

  uint32_t cwnd() const { return cwnd_; }
  uint32_t ssthresh() const { return ssthresh_; }
  bool in_recovery() const { return in_recovery_; }

  // `acked` new bytes were acknowledged, the oldest unacknowledged is now `una`. True when it was a partial
  // acknowledgment during recovery: then the segment at `una` is lost too (RFC 6582 §3.2, step 3).
  bool OnAck(Seq una, uint32_t acked, uint16_t mss);
  // The third duplicate acknowledgment, with `flight` bytes outstanding; `max` is behind all that was ever sent
  // (RFC 5681 §3.2). False when this loss was answered already.
  bool OnThirdDupAck(Seq una, Seq max, uint32_t flight, uint16_t mss);
  // A further duplicate during recovery: a segment left the network.
  void OnDupAck(uint16_t mss);
  // RFC 5681 §3.1: loss by timeout.
  void OnTimeout(Seq max, uint32_t flight, uint16_t mss);

 private:
  static constexpr uint32_t kMaxWindow = 65535u << 14;

  void Grow(uint32_t bytes);

  uint32_t cwnd_ = 0;
  uint32_t ssthresh_ = UINT32_MAX;
  uint32_t acked_in_window_ = 0;  // RFC 3465 §2.1
  Seq recover_;
  bool has_recover_ = false;
  bool in_recovery_ = false;
};

}  // namespace weir::netstack

#endif  // NETSTACK_TCP_TCP_CONGESTION_H_
