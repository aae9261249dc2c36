#include "netstack/tcp/tcp_timer.h"

#include <algorithm>
#include <cerrno>
#include <utility>

#include "netstack/tcp/tcp_context.h"
#include "netstack/tcp/tcp_delack.h"
#include "netstack/tcp/tcp_extra.h"
#include "netstack/tcp/tcp_handshake.h"
#include "netstack/tcp/tcp_input.h"
#include "netstack/tcp/tcp_keepalive.h"
#include "netstack/tcp/tcp_mtu_probe.h"
#include "netstack/tcp/tcp_nagle.h"
#include "netstack/tcp/tcp_output.h"
#include "netstack/tcp/tcp_recovery.h"
#include "netstack/tcp/tcp_tlp.h"

namespace weir::netstack {
namespace {

uint8_t RetryLimit(const TcpSock& sock) {
  if (sock.state == TcpState::kSynSent || sock.state == TcpState::kSynReceived) {
    uint8_t limit = sock.state == TcpState::kSynSent ? kTcpSynRetries : kTcpSynAckRetries;
    if (sock.extra != nullptr && sock.extra->syn_count != 0) limit = sock.extra->syn_count;
    return TcpDeferred(sock) ? std::max(limit, sock.listener->defer_accept) : limit;
  }
  return sock.orphan ? kTcpOrphanRetries : kTcpRetries;
}

// No answer came; a router may have said why (tcp_write_err).
void GiveUp(TcpSock& sock) { TcpDone(sock, sock.soft_error != 0 ? sock.soft_error : ETIMEDOUT); }

// Counts an attempt that was not answered; false when it was the last one.
bool MayRetry(TcpSock& sock, Nanos now_ns) {
  if (TcpRetriesOver(sock, RetryLimit(sock), now_ns)) {
    GiveUp(sock);
    return false;
  }
  if (sock.retries < 255) ++sock.retries;
  if (sock.backoff < 255) ++sock.backoff;
  return true;
}

void ProbeTimeout(TcpSock& sock, Nanos now_ns) {
  // A peer that answers may keep its window closed for as long as it likes (RFC 9293 §3.8.6.1), but not hold what no
  // program waits for any more (tcp_probe_timer).
  if (sock.orphan && sock.probes >= kTcpOrphanRetries) return GiveUp(sock);
  if (TcpProbesOver(sock, now_ns)) return GiveUp(sock);
  if (!MayRetry(sock, now_ns)) return;
  if (sock.probes < 255) ++sock.probes;
  TcpSendProbe(sock, now_ns);
  TcpArmTimer(sock, TcpTimerKind::kWindowProbe, now_ns + TcpBackedOffRto(sock));
}

// RFC 6298 §5.4 to §5.7.
void RetransmitTimeout(TcpSock& sock, Nanos now_ns) {
  // The peer has answered; it is asked once more when the time is over (syn_ack_recalc).
  const bool deferred = TcpDeferred(sock) && sock.retries + 1 < sock.listener->defer_accept;
  if (!MayRetry(sock, now_ns)) return;
  if (deferred) {
    // Only the time counts.
  } else if (sock.state == TcpState::kSynSent || sock.state == TcpState::kSynReceived) {
    ++sock.context.counters.retransmits;
    TcpSendSyn(sock, now_ns);
  } else {
    ++sock.context.counters.timeouts;
    TcpMtuBlackHole(sock, now_ns);
    TcpEnterLoss(sock, now_ns);
    TcpWriteXmit(sock, now_ns);
  }
  TcpArmTimer(sock, TcpTimerKind::kRetransmit, now_ns + TcpClampToUserTimeout(sock, TcpBackedOffRto(sock), now_ns));
}

// RFC 8985 §6.2.5: what had been sent early enough is lost now (tcp_rack_reo_timeout). Where recovery begins with that, the
// window comes down as by an ACK of one segment: else all that is lost would leave at once (RFC 6937 §3).
void ReorderTimeout(TcpSock& sock, Nanos now_ns) {
  TcpAckState ack{.now_ns = now_ns};
  const bool recovers = sock.recovery.state == TcpCaState::kRecovery;
  sock.rack.advanced = true;
  TcpFastretransAlert(sock, ack);
  if (!recovers && sock.recovery.state == TcpCaState::kRecovery) ack.delivered = sock.snd.mss;
  TcpCongControl(sock, ack);
  if (sock.timer_kind == TcpTimerKind::kNone) TcpRearmRetransmit(sock, now_ns);
  TcpWriteXmit(sock, now_ns);
}

void Expired(TcpSock& sock, TcpTimerKind kind, Nanos now_ns) {
  switch (kind) {
    case TcpTimerKind::kEnd:
      return TcpDone(sock, 0);
    case TcpTimerKind::kWindowProbe:
      return ProbeTimeout(sock, now_ns);
    case TcpTimerKind::kStalled:
      return TcpWriteXmit(sock, now_ns, /*override_timeout=*/true);
    case TcpTimerKind::kLossProbe:
      return TcpSendLossProbe(sock, now_ns);
    case TcpTimerKind::kReorder:
      return ReorderTimeout(sock, now_ns);
    case TcpTimerKind::kRetransmit:
      return RetransmitTimeout(sock, now_ns);
    case TcpTimerKind::kNone:
      break;
  }
}

// In the wheel no later than the earlier deadline.
void Schedule(TcpSock& sock) {
  runtime::Timer& timer = sock;
  const Nanos next_ns = std::min(sock.timer_ns, sock.delack_ns);
  if (next_ns == kNever || (timer.armed() && timer.deadline_ns() <= next_ns)) return;
  sock.context.ip.timers.Arm(timer, next_ns);
}

}  // namespace

void TcpTimerFired(runtime::Timer& timer, Nanos now_ns) {
  auto& sock = static_cast<TcpSock&>(timer);
  if (sock.delack_ns <= now_ns) {
    sock.delack_ns = kNever;
    if (sock.ack_delayed) {
      TcpDelackExpired(sock);
      TcpSendAck(sock, now_ns);
    }
  }
  if (sock.timer_ns <= now_ns) {
    sock.timer_ns = kNever;
    Expired(sock, std::exchange(sock.timer_kind, TcpTimerKind::kNone), now_ns);
  }
  Schedule(sock);
}

void TcpArmTimer(TcpSock& sock, TcpTimerKind kind, Nanos deadline_ns) {
  sock.timer_kind = kind;
  sock.timer_ns = deadline_ns;
  Schedule(sock);
}

void TcpArmDelack(TcpSock& sock, Nanos deadline_ns) {
  sock.delack_ns = deadline_ns;
  Schedule(sock);
}

void TcpCancelTimers(TcpSock& sock) {
  TcpCancelTimer(sock);
  TcpCancelDelack(sock);
  sock.context.ip.timers.Cancel(sock);
}

Nanos TcpBackedOffRto(const TcpSock& sock) {
  // 200 ms doubled ten times is beyond the maximum; more would only overflow.
  return std::min(sock.rtt.rto_ns << std::min<int>(sock.backoff, 10), kTcpMaxRto);
}

void TcpRearmRetransmit(TcpSock& sock, Nanos now_ns) {
  if (sock.snd.nxt == sock.snd.una) return TcpCancelTimer(sock);
  Nanos from_ns = now_ns;
  const bool went_on = sock.timer_kind == TcpTimerKind::kLossProbe || sock.timer_kind == TcpTimerKind::kReorder;
  if (went_on && !sock.send_queue.empty()) from_ns = sock.send_queue.head()->Cb<TcpTxCb>().sent_ns;
  TcpArmTimer(sock, TcpTimerKind::kRetransmit, std::max(from_ns + TcpBackedOffRto(sock), now_ns + 1));
}

void TcpStartProbing(TcpSock& sock, Nanos now_ns) {
  sock.probes = 0;
  if (sock.snd.wnd == 0) return TcpArmTimer(sock, TcpTimerKind::kWindowProbe, now_ns + TcpBackedOffRto(sock));
  TcpArmTimer(sock, TcpTimerKind::kStalled, now_ns + (sock.snd.held ? kTcpCorkLimit : TcpBackedOffRto(sock)));
}

void TcpPeerAnswered(TcpSock& sock) {
  if (sock.timer_kind != TcpTimerKind::kWindowProbe) return;
  sock.retries = 0;
  if (sock.snd.wnd == 0) return;
  sock.backoff = 0;
  TcpCancelTimer(sock);
}

}  // namespace weir::netstack
