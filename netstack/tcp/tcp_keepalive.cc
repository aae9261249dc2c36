#include "netstack/tcp/tcp_keepalive.h"

#include <algorithm>
#include <cerrno>
#include <utility>

#include "netstack/tcp/tcp_context.h"
#include "netstack/tcp/tcp_input.h"
#include "netstack/tcp/tcp_output.h"
#include "netstack/tcp/tcp_timer.h"

namespace weir::netstack {
namespace {

// Whether so many probes, or so long a silence, are enough.
bool Dead(const TcpSilence& silence, Nanos silent_ns) {
  if (silence.user_timeout_ns == 0) return silence.probes >= silence.count;
  return silent_ns >= silence.user_timeout_ns && silence.probes > 0;
}

void Fired(runtime::Timer& timer, Nanos now_ns) {
  TcpSock& sock = static_cast<TcpTimer&>(timer).sock;
  TcpSilence& silence = *sock.silence;
  runtime::TimerWheel& timers = sock.context.ip.timers;
  // What is under way is asked about by other timers, and so is a SYN.
  const bool busy = sock.snd.nxt != sock.snd.una || TcpHasUnsent(sock) || sock.state == TcpState::kSynSent ||
                    sock.state == TcpState::kSynReceived;
  const Nanos silent_ns = now_ns - sock.heard_ns;
  if (sock.heard_ns >= silence.sent_ns) silence.probes = 0;
  if (busy || silent_ns < silence.idle_ns) {
    const Nanos left_ns = busy ? silence.idle_ns : silence.idle_ns - silent_ns;
    return timers.Arm(timer, now_ns + std::max<Nanos>(left_ns, 1));
  }
  if (Dead(silence, silent_ns)) {
    TcpSendReset(sock, now_ns);
    return TcpDone(sock, sock.soft_error != 0 ? sock.soft_error : ETIMEDOUT);
  }
  ++silence.probes;
  silence.sent_ns = now_ns;
  TcpSendProbe(sock, now_ns);
  timers.Arm(timer, now_ns + silence.interval_ns);
}

}  // namespace

TcpSilence::TcpSilence(TcpSock& sock) : timer(&Fired, sock) {}

TcpSilence& TcpGetSilence(TcpSock& sock) {
  if (sock.silence == nullptr) sock.silence = new TcpSilence(sock);
  return *sock.silence;
}

void TcpStopKeepAlive(TcpSock& sock) {
  if (sock.silence != nullptr) sock.context.ip.timers.Cancel(sock.silence->timer);
}

void TcpFreeSilence(TcpSock& sock) {
  if (sock.silence == nullptr) return;
  TcpStopKeepAlive(sock);
  delete std::exchange(sock.silence, nullptr);
}

void TcpSetKeepAlive(TcpSock& sock, uint32_t idle_s, uint32_t interval_s, uint8_t count, Nanos now_ns) {
  TcpSilence& silence = TcpGetSilence(sock);
  silence.idle_ns = idle_s * kSecond;
  silence.interval_ns = interval_s * kSecond;
  silence.count = count;
  silence.probes = 0;
  TcpStopKeepAlive(sock);
  if (idle_s == 0 || sock.state == TcpState::kClosed) return;
  const Nanos heard_ns = sock.heard_ns != 0 ? sock.heard_ns : now_ns;
  sock.context.ip.timers.Arm(silence.timer, std::max(heard_ns + silence.idle_ns, now_ns + 1));
}

std::optional<TcpKeepAlive> TcpGetKeepAlive(const TcpSock& sock) {
  const TcpSilence* silence = sock.silence;
  if (silence == nullptr || silence->idle_ns == 0) return std::nullopt;
  return TcpKeepAlive{.idle_s = static_cast<int>(silence->idle_ns / kSecond),
                      .interval_s = static_cast<int>(silence->interval_ns / kSecond),
                      .count = silence->count};
}

void TcpSetUserTimeout(TcpSock& sock, Nanos timeout_ns) {
  if (timeout_ns != 0 || sock.silence != nullptr) TcpGetSilence(sock).user_timeout_ns = timeout_ns;
}

void TcpSetFinTimeout(TcpSock& sock, uint8_t seconds) {
  if (seconds != 0 || sock.silence != nullptr) TcpGetSilence(sock).fin_timeout_s = seconds;
}

Nanos TcpFinTimeout(const TcpSock& sock) {
  const bool own = sock.silence != nullptr && sock.silence->fin_timeout_s != 0;
  return (own ? sock.silence->fin_timeout_s : sock.context.settings.fin_timeout_s) * kSecond;
}

void TcpSetNotSentLowat(TcpSock& sock, uint32_t bytes) {
  if (bytes != 0 || sock.silence != nullptr) TcpGetSilence(sock).notsent_lowat = bytes;
}

void TcpNotSentWake(TcpSock& sock) {
  const auto unsent = static_cast<uint32_t>(sock.snd.write_seq - sock.snd.nxt);
  if (sock.silence->notsent_lowat > unsent) sock.context.ip.Ready(sock, ReadySock::kWritable);
}

void TcpSetSynCount(TcpSock& sock, uint8_t count) { TcpGetSilence(sock).syn_count = count; }

void TcpSetWindowClamp(TcpSock& sock, uint32_t bytes) {
  TcpGetSilence(sock).window_clamp = bytes;
  sock.rcv.clamped = true;
}

void TcpSetMinTtl(TcpSock& sock, uint8_t ttl) {
  sock.rcv.guarded = ttl != 0;
  if (ttl != 0) TcpGetSilence(sock).min_ttl = ttl;
}

bool TcpRetriesOver(TcpSock& sock, uint8_t limit, Nanos now_ns) {
  TcpSilence* silence = sock.silence;
  if (silence == nullptr || silence->user_timeout_ns == 0) return sock.retries >= limit;
  // The timer was set when it was sent, for an RTO.
  if (sock.retries == 0) silence->unanswered_ns = now_ns - TcpBackedOffRto(sock);
  return now_ns - silence->unanswered_ns >= silence->user_timeout_ns;
}

bool TcpProbesOver(TcpSock& sock, Nanos now_ns) {
  TcpSilence* silence = sock.silence;
  if (silence == nullptr) return false;
  if (sock.probes == 0) silence->closed_window_ns = now_ns;
  return silence->user_timeout_ns != 0 && now_ns - silence->closed_window_ns >= silence->user_timeout_ns;
}

Nanos TcpClampToUserTimeout(const TcpSock& sock, Nanos rto_ns, Nanos now_ns) {
  const TcpSilence* silence = sock.silence;
  if (silence == nullptr || silence->user_timeout_ns == 0) return rto_ns;
  return std::clamp<Nanos>(silence->unanswered_ns + silence->user_timeout_ns - now_ns, 1, rto_ns);
}

}  // namespace weir::netstack
