#include "netstack/tcp/tcp_keepalive.h"

#include <algorithm>
#include <cerrno>

#include "netstack/tcp/tcp_context.h"
#include "netstack/tcp/tcp_input.h"
#include "netstack/tcp/tcp_output.h"
#include "netstack/tcp/tcp_timer.h"

namespace weir::netstack {
namespace {

// Whether so many probes, or so long a silence, are enough.
bool Dead(const TcpSock& sock, Nanos silence_ns) {
  const auto& keepalive = sock.keepalive;
  if (sock.user_timeout_ns == 0) return keepalive.probes >= keepalive.count;
  return silence_ns >= sock.user_timeout_ns && keepalive.probes > 0;
}

}  // namespace

void TcpSetKeepAlive(TcpSock& sock, uint32_t idle_s, uint32_t interval_s, uint8_t count, Nanos now_ns) {
  sock.keepalive.idle_ns = idle_s * kSecond;
  sock.keepalive.interval_ns = interval_s * kSecond;
  sock.keepalive.count = count;
  sock.keepalive.probes = 0;
  runtime::TimerWheel& timers = sock.context.ip.timers;
  timers.Cancel(sock.keepalive_timer);
  if (idle_s == 0 || sock.state == TcpState::kClosed || sock.state == TcpState::kTimeWait) return;
  const Nanos heard_ns = sock.heard_ns != 0 ? sock.heard_ns : now_ns;
  timers.Arm(sock.keepalive_timer, std::max(heard_ns + sock.keepalive.idle_ns, now_ns + 1));
}

void TcpKeepaliveFired(runtime::Timer& timer, Nanos now_ns) {
  TcpSock& sock = static_cast<TcpTimer&>(timer).sock;
  auto& keepalive = sock.keepalive;
  runtime::TimerWheel& timers = sock.context.ip.timers;
  // What is under way is asked about by other timers, and so is a SYN.
  const bool busy = sock.snd.nxt != sock.snd.una || TcpHasUnsent(sock) || sock.state == TcpState::kSynSent;
  const Nanos silence_ns = now_ns - sock.heard_ns;
  if (sock.heard_ns >= keepalive.sent_ns) keepalive.probes = 0;
  if (busy || silence_ns < keepalive.idle_ns) {
    const Nanos left_ns = busy ? keepalive.idle_ns : keepalive.idle_ns - silence_ns;
    return timers.Arm(timer, now_ns + std::max<Nanos>(left_ns, 1));
  }
  if (Dead(sock, silence_ns)) {
    TcpSendReset(sock, now_ns);
    return TcpDone(sock, sock.soft_error != 0 ? sock.soft_error : ETIMEDOUT);
  }
  ++keepalive.probes;
  keepalive.sent_ns = now_ns;
  TcpSendProbe(sock, now_ns);
  timers.Arm(timer, now_ns + keepalive.interval_ns);
}

bool TcpRetriesOver(TcpSock& sock, uint8_t limit, Nanos now_ns) {
  if (sock.user_timeout_ns == 0) return sock.retries >= limit;
  // The timer was set when it was sent, for an RTO.
  if (sock.retries == 0) sock.unanswered_ns = now_ns - TcpBackedOffRto(sock);
  return now_ns - sock.unanswered_ns >= sock.user_timeout_ns;
}

bool TcpProbesOver(TcpSock& sock, Nanos now_ns) {
  if (sock.probes == 0) sock.closed_window_ns = now_ns;
  return sock.user_timeout_ns != 0 && now_ns - sock.closed_window_ns >= sock.user_timeout_ns;
}

Nanos TcpClampToUserTimeout(const TcpSock& sock, Nanos rto_ns, Nanos now_ns) {
  if (sock.user_timeout_ns == 0) return rto_ns;
  return std::clamp<Nanos>(sock.unanswered_ns + sock.user_timeout_ns - now_ns, 1, rto_ns);
}

}  // namespace weir::netstack
