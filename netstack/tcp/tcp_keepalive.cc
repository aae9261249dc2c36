#include "netstack/tcp/tcp_keepalive.h"

#include <algorithm>
#include <cerrno>

#include "netstack/tcp/tcp_context.h"
#include "netstack/tcp/tcp_extra.h"
#include "netstack/tcp/tcp_input.h"
#include "netstack/tcp/tcp_output.h"
#include "netstack/tcp/tcp_timer.h"

namespace weir::netstack {
namespace {

// Whether so many probes, or so long a silence, are enough.
bool Dead(const TcpExtra& extra, Nanos silent_ns) {
  if (extra.user_timeout_ns == 0) return extra.probes >= extra.count;
  return silent_ns >= extra.user_timeout_ns && extra.probes > 0;
}

}  // namespace

void TcpKeepAliveTimer(runtime::Timer& timer, Nanos now_ns) {
  TcpSock& sock = static_cast<TcpTimer&>(timer).sock;
  TcpExtra& extra = *sock.extra;
  runtime::TimerWheel& timers = sock.context.ip.timers;
  // What is under way is asked about by other timers, and so is a SYN.
  const bool busy = sock.snd.nxt != sock.snd.una || TcpHasUnsent(sock) || sock.state == TcpState::kSynSent ||
                    sock.state == TcpState::kSynReceived;
  const Nanos silent_ns = now_ns - sock.heard_ns;
  if (sock.heard_ns >= extra.sent_ns) extra.probes = 0;
  if (busy || silent_ns < extra.idle_ns) {
    const Nanos left_ns = busy ? extra.idle_ns : extra.idle_ns - silent_ns;
    return timers.Arm(timer, now_ns + std::max<Nanos>(left_ns, 1));
  }
  if (Dead(extra, silent_ns)) {
    TcpSendReset(sock, now_ns);
    return TcpDone(sock, sock.soft_error != 0 ? sock.soft_error : ETIMEDOUT);
  }
  ++extra.probes;
  extra.sent_ns = now_ns;
  TcpSendProbe(sock, now_ns);
  timers.Arm(timer, now_ns + extra.interval_ns);
}

void TcpStopKeepAlive(TcpSock& sock) {
  if (sock.extra != nullptr) sock.context.ip.timers.Cancel(sock.extra->timer);
}

void TcpSetKeepAlive(TcpSock& sock, uint32_t idle_s, uint32_t interval_s, uint8_t count, Nanos now_ns) {
  TcpExtra& extra = TcpGetExtra(sock);
  extra.idle_ns = idle_s * kSecond;
  extra.interval_ns = interval_s * kSecond;
  extra.count = count;
  extra.probes = 0;
  TcpStopKeepAlive(sock);
  if (idle_s == 0 || sock.state == TcpState::kClosed) return;
  const Nanos heard_ns = sock.heard_ns != 0 ? sock.heard_ns : now_ns;
  sock.context.ip.timers.Arm(extra.timer, std::max(heard_ns + extra.idle_ns, now_ns + 1));
}

std::optional<TcpKeepAlive> TcpGetKeepAlive(const TcpSock& sock) {
  const TcpExtra* extra = sock.extra;
  if (extra == nullptr || extra->idle_ns == 0) return std::nullopt;
  return TcpKeepAlive{.idle_s = static_cast<int>(extra->idle_ns / kSecond),
                      .interval_s = static_cast<int>(extra->interval_ns / kSecond),
                      .count = extra->count};
}

void TcpSetUserTimeout(TcpSock& sock, Nanos timeout_ns) {
  if (timeout_ns != 0 || sock.extra != nullptr) TcpGetExtra(sock).user_timeout_ns = timeout_ns;
}

bool TcpRetriesOver(TcpSock& sock, uint8_t limit, Nanos now_ns) {
  TcpExtra* extra = sock.extra;
  if (extra == nullptr || extra->user_timeout_ns == 0) return sock.retries >= limit;
  // The timer was set when it was sent, for an RTO.
  if (sock.retries == 0) extra->unanswered_ns = now_ns - TcpBackedOffRto(sock);
  return now_ns - extra->unanswered_ns >= extra->user_timeout_ns;
}

bool TcpProbesOver(TcpSock& sock, Nanos now_ns) {
  TcpExtra* extra = sock.extra;
  if (extra == nullptr) return false;
  if (sock.probes == 0) extra->closed_window_ns = now_ns;
  return extra->user_timeout_ns != 0 && now_ns - extra->closed_window_ns >= extra->user_timeout_ns;
}

Nanos TcpClampToUserTimeout(const TcpSock& sock, Nanos rto_ns, Nanos now_ns) {
  const TcpExtra* extra = sock.extra;
  if (extra == nullptr || extra->user_timeout_ns == 0) return rto_ns;
  return std::clamp<Nanos>(extra->unanswered_ns + extra->user_timeout_ns - now_ns, 1, rto_ns);
}

}  // namespace weir::netstack
