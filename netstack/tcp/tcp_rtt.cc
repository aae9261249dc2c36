#include "netstack/tcp/tcp_rtt.h"

#include <algorithm>
#include <cstdlib>

namespace weir::netstack {

void TcpRtt::Sample(Nanos rtt_ns, uint32_t expected) {
  if (srtt_ns == 0) {
    srtt_ns = rtt_ns;
    rttvar_ns = rtt_ns / 2;
  } else if (expected <= 1) [[likely]] {  // the same, without divisions
    rttvar_ns += (std::abs(srtt_ns - rtt_ns) - rttvar_ns) / 4;
    srtt_ns += (rtt_ns - srtt_ns) / 8;
  } else {
    const Nanos weight = expected;
    rttvar_ns += (std::abs(srtt_ns - rtt_ns) - rttvar_ns) / (4 * weight);
    srtt_ns += (rtt_ns - srtt_ns) / (8 * weight);
  }
  rto_ns = std::min(srtt_ns + std::max(4 * rttvar_ns, kTcpMinRto), kTcpMaxRto);
}

void TcpRtt::SampleMin(Nanos rtt_ns, Nanos now_ns) {
  if (min_ns != 0 && rtt_ns > min_ns && now_ns - min_at_ns < kTcpMinRttWindow) return;
  min_ns = std::max<Nanos>(rtt_ns, 1);
  min_at_ns = now_ns;
}

}  // namespace weir::netstack
