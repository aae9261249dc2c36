#include "netstack/tcp/tcp_retransmit.h"

#include <algorithm>

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
namespace {

// What goes again takes the frames behind it along, as far as it may become `room` bytes, a full segment, and not go
// beyond the peer's window: of many small segments that were lost then one has to arrive, and not each of them
// (tcp_retrans_try_collapse; RFC 9293 §3.8.1, RFC 1122 §4.2.2.15). What is SACKed need not go, and what the device still
// has did not even go once. Their order in time is lost: who has seen part of it makes an acknowledgment of part of it.
void TryCollapse(TcpSock& sock, runtime::Frame* frame, uint32_t room) {
  if (!sock.context.settings.retrans_collapse) return;
  const auto& cb = frame->Cb<TcpTxCb>();
  const Seq edge = sock.snd.una + sock.snd.wnd;
  const uint32_t most = std::min<uint32_t>(sock.snd.mss, room);
  while (frame->next != sock.send_head) {
    runtime::Frame* next = frame->next;
    const auto& next_cb = next->Cb<TcpTxCb>();
    const uint32_t length = uint32_t{cb.length} + next_cb.length;
    if (length > most || next_cb.has(TcpTxCb::kSacked) || next_cb.end() > edge || next->tx_pending != 0) return;
    if (!TcpMakeTailroom(sock, frame, length)) return;
    TcpPacketsJoin(sock, frame);
    TcpTakeFromNext(sock, frame, next_cb.length);
  }
}

// Without a frame to cut it with, what lies at una goes in part, as it lies: its acknowledgment gives frames back, and
// nothing else may.
bool FitsOrIsFirst(TcpSock& sock, runtime::Frame* frame) {
  return TcpFitToMss(sock, frame) || frame == sock.send_queue.head();
}

}  // namespace

bool TcpRetransmitFrame(TcpSock& sock, runtime::Frame* frame, Nanos now_ns) {
  TcpMtuProbeInconclusive(sock);
  if (!FitsOrIsFirst(sock, frame)) return false;
  auto& cb = frame->Cb<TcpTxCb>();
  // A peer that took back its window gets nothing beyond it; but what lies at una goes nevertheless, and asks for the
  // window (RFC 9293 §3.8.6: a sender must be prepared for that).
  if (cb.end() > sock.snd.una + sock.snd.wnd && cb.seq != sock.snd.una) return false;
  if (!TcpTransmitFrame(sock, frame, now_ns, sock.snd.mss)) return false;
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
      if (!FitsOrIsFirst(sock, hint)) return;
      const uint32_t in_flight = TcpInFlight(sock);
      if (in_flight != 0 && (in_flight + cb.size() > sock.congestion.cwnd() || !TcpPacketFits(sock))) return;
      if (!TcpPacingAllows(sock, now_ns)) return;
      TryCollapse(sock, hint, in_flight == 0 ? UINT32_MAX : sock.congestion.cwnd() - in_flight);
      if (!TcpRetransmitFrame(sock, hint, now_ns)) return;
      // RFC 6298 §5.1: what was sent again has a whole timeout to arrive.
      if (hint == sock.send_queue.head() && sock.timer_kind != TcpTimerKind::kReorder) TcpRearmRetransmit(sock, now_ns);
    }
    hint = hint->next;
  }
  hint = nullptr;
}

}  // namespace weir::netstack
