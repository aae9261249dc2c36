#include "netstack/tcp/tcp_cwnd_validate.h"

#include <algorithm>

#include "netstack/tcp/tcp_context.h"
#include "netstack/tcp/tcp_recovery.h"
#include "netstack/tcp/tcp_scoreboard.h"

namespace weir::netstack {
namespace {

// Times of usage; they wrap after 49 days, and then one that is long past may pass for recent once.
uint32_t Ms(Nanos ns) { return static_cast<uint32_t>(ns / kMillisecond); }
Nanos Since(uint32_t ms, Nanos now_ns) { return (Ms(now_ns) - ms) * kMillisecond; }

// For a whole RTO less than the window was used: it comes half way down to what was (RFC 2861 §3.2;
// tcp_cwnd_application_limited).
void ApplicationLimited(TcpSock& sock, Nanos now_ns) {
  auto& usage = sock.usage;
  TcpCongestion& congestion = sock.congestion;
  if (sock.recovery.state == TcpCaState::kOpen) {
    const uint32_t used = std::max(usage.used, TcpCongestion::InitialWindow(sock.snd.mss));
    if (used < congestion.cwnd()) {
      congestion.set_ssthresh(TcpCurrentSsthresh(sock));
      congestion.set_cwnd((congestion.cwnd() + used) / 2);
    }
    usage.used = 0;
  }
  usage.since_ms = Ms(now_ns);
}

}  // namespace

void TcpCwndValidate(TcpSock& sock, Nanos now_ns) {
  auto& usage = sock.usage;
  const bool by_bytes = TcpInFlight(sock) + sock.snd.mss > sock.congestion.cwnd(), by_packets = !TcpPacketFits(sock);
  const bool limited = by_bytes || by_packets;
  const auto flight = by_packets ? TcpWindowOutstanding(sock) : static_cast<uint32_t>(sock.snd.nxt - sock.snd.una);
  // The strongest sign of a round trip counts: that the window was full, else how much was in flight at most.
  if (sock.snd.una >= usage.seq || limited || (!usage.limited && flight > usage.max_flight)) {
    usage.limited = limited;
    usage.by_packets = by_packets && !by_bytes;
    usage.max_flight = flight;
    usage.seq = sock.snd.nxt;
  }
  if (TcpIsCwndLimited(sock)) {
    usage.used = 0;
    usage.since_ms = Ms(now_ns);
    return;
  }
  usage.used = std::max(usage.used, flight);
  if (sock.context.settings.slow_start_after_idle && Since(usage.since_ms, now_ns) >= sock.rtt.rto_ns) {
    ApplicationLimited(sock, now_ns);
  }
}

bool TcpIsCwndLimited(const TcpSock& sock) {
  if (sock.usage.limited) return true;
  return sock.congestion.in_slow_start() && sock.congestion.cwnd() < 2 * uint64_t{sock.usage.max_flight};
}

void TcpSlowStartAfterIdle(TcpSock& sock, Nanos now_ns) {
  TcpCongestion& congestion = sock.congestion;
  if (sock.snd.nxt == sock.snd.iss + 1) return;  // the first data
  const Nanos idle_ns = Since(sock.usage.last_sent_ms, now_ns);
  congestion.OnIdle(idle_ns, now_ns);
  if (!sock.context.settings.slow_start_after_idle || idle_ns <= sock.rtt.rto_ns) return;
  const uint32_t restart = std::min(TcpCongestion::InitialWindow(sock.snd.mss), congestion.cwnd());
  congestion.set_ssthresh(TcpCurrentSsthresh(sock));
  uint32_t cwnd = congestion.cwnd();
  for (Nanos left_ns = idle_ns - sock.rtt.rto_ns; left_ns > 0 && cwnd > restart; left_ns -= sock.rtt.rto_ns) cwnd /= 2;
  congestion.set_cwnd(std::max(cwnd, restart));
  sock.usage.since_ms = Ms(now_ns);
  sock.usage.used = 0;
}

}  // namespace weir::netstack
