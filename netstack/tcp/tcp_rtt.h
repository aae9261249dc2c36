// Round-trip times and the retransmission timeout: RFC 6298, RFC 7323 appendix G. Linux: tcp_rtt_estimator,
// tcp_set_rto, tcp_update_rtt_min.
#ifndef NETSTACK_TCP_TCP_RTT_H_
#define NETSTACK_TCP_TCP_RTT_H_

#include <algorithm>
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

// A duration in 32 bits, of which every connection has some: in steps of 40 ns, so that microseconds are exact, and up
// to 171 s, which is more than any timeout. Rounded up: what took any time is not 0.
class TcpDuration {
 public:
  static constexpr Nanos kStep = 40;
  static constexpr Nanos kMax = kStep * UINT32_MAX;

  constexpr TcpDuration(Nanos ns = 0)  // NOLINT: implicit on purpose
      : steps_(static_cast<uint32_t>((static_cast<uint64_t>(std::clamp<Nanos>(ns, 0, kMax)) + (kStep - 1)) / kStep)) {}
  constexpr operator Nanos() const { return steps_ * kStep; }  // NOLINT: implicit on purpose

 private:
  uint32_t steps_;
};
static_assert(TcpDuration::kMax > kTcpMaxRto);

struct TcpRtt {
  TcpDuration srtt_ns;  // 0: nothing that took any time was measured
  TcpDuration rttvar_ns;
  TcpDuration rto_ns = kTcpInitialRto;
  TcpDuration min_ns;     // shortest of late; 0: none
  uint32_t min_at_s = 0;  // when that was

  // RFC 6298 §2.2, §2.3. `expected`: how many measurements a round trip brings; each counts for so much less (RFC 7323
  // appendix G), else many of them would forget too fast what came before.
  void Sample(Nanos rtt_ns, uint32_t expected);
  // Differs from Linux, which keeps the three best of the window: after it the next measurement is the shortest.
  void SampleMin(Nanos rtt_ns, Nanos now_ns);
};

}  // namespace weir::netstack

#endif  // NETSTACK_TCP_TCP_RTT_H_
