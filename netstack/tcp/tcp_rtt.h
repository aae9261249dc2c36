// Round-trip times and the retransmission timeout: RFC 6298, RFC 7323 appendix G. Linux: tcp_rtt_estimator,
// tcp_set_rto, tcp_update_rtt_min.
#ifndef NETSTACK_TCP_TCP_RTT_H_
#define NETSTACK_TCP_TCP_RTT_H_

#include <cstdint>

#include "runtime/base/time.h"

namespace weir::netstack {

// RFC 6298 §2 says that the RTO should be at least 1 s. Differs from it as Linux does: it is at least this much above
// the smoothed round-trip time, so that a delayed ACK on a steady path is not taken for a loss.
inline constexpr Nanos kTcpMinRto = 200 * kMillisecond;
inline constexpr Nanos kTcpInitialRto = 1 * kSecond;
inline constexpr Nanos kTcpMaxRto = 120 * kSecond;
// tcp_min_rtt_wlen: a path may become longer, so the shortest round trip is forgotten after five minutes.
inline constexpr Nanos kTcpMinRttWindow = 300 * kSecond;

struct TcpRtt {
  Nanos srtt_ns = 0;  // 0: nothing that took any time was measured
  Nanos rttvar_ns = 0;
  Nanos rto_ns = kTcpInitialRto;
  Nanos min_ns = 0;     // shortest of late; 0: none
  Nanos min_at_ns = 0;  // when that was

  // RFC 6298 §2.2, §2.3. `expected`: how many measurements a round trip brings; each counts for so much less (RFC 7323
  // appendix G), else many of them would forget too fast what came before.
  void Sample(Nanos rtt_ns, uint32_t expected);
  // Differs from Linux, which keeps the three best of the window: after it the next measurement is the shortest.
  void SampleMin(Nanos rtt_ns, Nanos now_ns);
};

}  // namespace weir::netstack

#endif  // NETSTACK_TCP_TCP_RTT_H_
