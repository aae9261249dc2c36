#include "netstack/tcp/tcp_retransmit.h"

#include "netstack/tcp/tcp_context.h"
#include "netstack/tcp/tcp_loss.h"
#include "netstack/tcp/tcp_mtu_probe.h"
#include "netstack/tcp/tcp_output.h"
#include "netstack/tcp/tcp_pacing.h"
#include "netstack/tcp/tcp_recovery.h"
#include "netstack/tcp/tcp_scoreboard.h"
#include "netstack/tcp/tcp_timer.h"
#include "netstack/tcp/tcp_undo.h"

namespace weir::netstack {

bool TcpRetransmitFrame(TcpSock& sock, runtime::Frame* frame, Nanos now_ns) {
  TcpMtuProbeInconclusive(sock);
  if (!TcpFitToMss(sock, frame)) return false;
  auto& cb = frame->Cb<TcpTxCb>();
  // A peer that took back its window gets nothing beyond it; but what lies at una goes nevertheless, and asks for the
  // window (RFC 9293 §3.8.6: a sender must be prepared for that).
  if (cb.end() > sock.snd.una + sock.snd.wnd && cb.seq != sock.snd.una) return false;
  if (!TcpTransmitFrame(sock, frame, now_ns)) return false;
  TcpMarkRetransmitted(sock, cb);
  TcpNoteRetransmit(sock, cb.size(), now_ns);
  if (TcpInCwndReduction(sock)) sock.loss->prr.OnSent(cb.size());
  return true;
}

void TcpXmitRetransmitQueue(TcpSock& sock, Nanos now_ns) {
  runtime::Frame*& hint = sock.loss->retransmit_hint;
  while (hint != nullptr && hint != sock.send_head) {
    const auto& cb = hint->Cb<TcpTxCb>();
    if (cb.has(TcpTxCb::kLost) && !cb.has(TcpTxCb::kRetrans)) {
      if (!TcpFitToMss(sock, hint)) return;
      const uint32_t in_flight = TcpInFlight(sock);
      if (in_flight != 0 && (in_flight + cb.size() > sock.congestion.cwnd() || !TcpPacketFits(sock))) return;
      if (!TcpPacingAllows(sock, now_ns)) return;
      if (!TcpRetransmitFrame(sock, hint, now_ns)) return;
      // RFC 6298 §5.1: what was sent again has a whole timeout to arrive.
      if (hint == sock.send_queue.head() && sock.timer_kind != TcpTimerKind::kReorder) TcpRearmRetransmit(sock, now_ns);
    }
    hint = hint->next;
  }
  hint = nullptr;
}

}  // namespace weir::netstack
