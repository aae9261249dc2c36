#include "netstack/tcp/tcp_undo.h"

#include <algorithm>
#include <utility>

#include "netstack/tcp/tcp_context.h"
#include "netstack/tcp/tcp_ecn.h"
#include "netstack/tcp/tcp_loss.h"
#include "netstack/tcp/tcp_rack.h"
#include "netstack/tcp/tcp_recovery.h"
#include "netstack/tcp/tcp_scoreboard.h"
#include "netstack/tcp/tcp_timestamps.h"

namespace weir::netstack {
namespace {

// undo_retrans before the first retransmission: not yet all of them were duplicates.
constexpr int32_t kNoneYet = -1;

// Whether what is acknowledged arrived by its first transmission: the ACK echoes a timestamp from before the first
// retransmission; or nothing was sent again yet, since the ACK came in the same turn (tcp_packet_delayed).
bool PacketDelayed(const TcpSock& sock, const TcpAckState& ack) {
  const auto& recovery = sock.recovery;
  if (!recovery.has_retrans_stamp) return sock.loss->undo_retrans == kNoneYet;
  return ack.has_echo && static_cast<int32_t>(ack.ts_ecr - sock.loss->retrans_stamp) < 0;
}

bool MayUndo(const TcpSock& sock, const TcpAckState& ack) {
  return sock.recovery.has_undo && (sock.loss->undo_retrans == 0 || PacketDelayed(sock, ack));
}

void UndoCwndReduction(TcpSock& sock, bool unmark_lost) {
  auto& recovery = sock.recovery;
  if (unmark_lost) TcpUnmarkLost(sock);
  if (sock.loss->prior_ssthresh != 0) {
    sock.congestion.Undo(sock.loss->prior_cwnd, sock.loss->prior_ssthresh);
    TcpEcnWithdrawCwr(sock);
    ++sock.context.counters.undone_reductions;
  }
  recovery.has_undo = false;
  sock.rack.advanced = true;  // looks again, with the wider window for reordering
}

// RFC 6582 §3.2: without SACK duplicates at high_seq itself may be echoes of what was sent again; the state is held
// until more is acknowledged (tcp_is_non_sack_preventing_reopen).
bool HoldsAtHighSeq(TcpSock& sock) {
  if (sock.snd.una != sock.recovery.high_seq || sock.sack.ok) return false;
  if (!TcpAnyRetransDone(sock)) sock.recovery.has_retrans_stamp = false;
  return true;
}

void Reopen(TcpSock& sock) {
  sock.recovery.state = TcpCaState::kOpen;
  sock.recovery.send_new = false;
  TcpRackRecoveryEnded(sock);
}

}  // namespace

void TcpInitUndo(TcpSock& sock) {
  TcpLoss& loss = TcpGetLoss(sock);
  sock.recovery.has_undo = true;
  loss.undo_marker = sock.snd.una;
  loss.undo_retrans = sock.board.retrans_out != 0 ? static_cast<int32_t>(sock.board.retrans_out) : kNoneYet;
}

void TcpNoteRetransmit(TcpSock& sock, uint32_t bytes, Nanos now_ns) {
  TcpLoss& loss = TcpGetLoss(sock);
  if (!sock.recovery.has_retrans_stamp) loss.retrans_stamp = TcpTimestamp(sock, now_ns);
  sock.recovery.has_retrans_stamp = true;
  loss.undo_retrans = std::max(loss.undo_retrans, 0) + static_cast<int32_t>(bytes);
}

bool TcpTryUndoRecovery(TcpSock& sock, const TcpAckState& ack) {
  if (MayUndo(sock, ack)) UndoCwndReduction(sock, /*unmark_lost=*/false);
  if (HoldsAtHighSeq(sock)) return true;
  Reopen(sock);
  return false;
}

bool TcpTryUndoPartial(TcpSock& sock, const TcpAckState& ack) {
  if (!sock.recovery.has_undo || !PacketDelayed(sock, ack)) return false;
  // While a retransmission is under way its own ACK could be taken for another one's.
  if (sock.board.retrans_out != 0) return true;
  if (!TcpAnyRetransDone(sock)) sock.recovery.has_retrans_stamp = false;
  UndoCwndReduction(sock, /*unmark_lost=*/true);
  TcpTryKeepOpen(sock);
  return false;
}

bool TcpTryUndoDsack(TcpSock& sock) {
  if (!sock.recovery.has_undo || sock.loss->undo_retrans != 0) return false;
  UndoCwndReduction(sock, /*unmark_lost=*/false);
  return true;
}

bool TcpTryUndoLoss(TcpSock& sock, const TcpAckState& ack, bool frto) {
  if (!frto && !MayUndo(sock, ack)) return false;
  UndoCwndReduction(sock, /*unmark_lost=*/true);
  if (frto) ++sock.context.counters.spurious_timeouts;
  sock.retries = 0;
  if (HoldsAtHighSeq(sock)) return true;
  if (frto || sock.sack.ok) Reopen(sock);
  return true;
}

}  // namespace weir::netstack
