#include "netstack/tcp/tcp_rtt.h"

#include <algorithm>
#include <cstdlib>

namespace weir::netstack {

void TcpRtt::Sample(Nanos rtt_ns, uint32_t expected) {
  Nanos smoothed_ns = srtt_ns, deviation_ns = rttvar_ns;
  if (smoothed_ns == 0) {
    smoothed_ns = rtt_ns;
    deviation_ns = rtt_ns / 2;
  } else if (expected <= 1) [[likely]] {  // the same, without divisions
    deviation_ns += (std::abs(smoothed_ns - rtt_ns) - deviation_ns) / 4;
    smoothed_ns += (rtt_ns - smoothed_ns) / 8;
  } else {
    const Nanos weight = expected;
    deviation_ns += (std::abs(smoothed_ns - rtt_ns) - deviation_ns) / (4 * weight);
    smoothed_ns += (rtt_ns - smoothed_ns) / (8 * weight);
  }
  srtt_ns = smoothed_ns;
  rttvar_ns = deviation_ns;
  rto_ns = std::min(smoothed_ns + std::max(4 * deviation_ns, kTcpMinRto), kTcpMaxRto);
}

void TcpRtt::SampleMin(Nanos rtt_ns, Nanos now_ns) {
  if (min_ns != 0 && rtt_ns > min_ns && now_ns / kSecond - min_at_s < kTcpMinRttWindow / kSecond) return;
  min_ns = std::max<Nanos>(rtt_ns, 1);
  min_at_s = static_cast<uint32_t>(now_ns / kSecond);
}

}  // namespace weir::netstack
