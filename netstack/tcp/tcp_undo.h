// Undoing a reduction of the congestion window that was none of the network's fault: every retransmission was reported
// as a duplicate (D-SACK, RFC 3708), or an ACK came that echoes a timestamp from before the first of them (Eifel,
// RFC 3522 and RFC 4015). Linux: tcp_may_undo and tcp_try_undo_*.
#ifndef NETSTACK_TCP_TCP_UNDO_H_
#define NETSTACK_TCP_TCP_UNDO_H_

#include "netstack/tcp/tcp_ack_state.h"
#include "netstack/tcp/tcp_sock.h"

namespace weir::netstack {

// A reduction begins that may turn out to be wrong: what to go back to (tcp_init_undo).
void TcpInitUndo(TcpSock& sock);

// Something was sent again.
void TcpNoteRetransmit(TcpSock& sock, uint32_t bytes, Nanos now_ns);

// All that was outstanding is acknowledged. True when the state is to be held all the same (tcp_try_undo_recovery).
bool TcpTryUndoRecovery(TcpSock& sock, const TcpAckState& ack);
// Some of it is. True when nothing more is to be done with this ACK (tcp_try_undo_partial).
bool TcpTryUndoPartial(TcpSock& sock, const TcpAckState& ack);
// Duplicates were reported. True when the window was restored (tcp_try_undo_dsack).
bool TcpTryUndoDsack(TcpSock& sock);
// After a timeout; `frto` when F-RTO has shown it to be spurious. True when it was (tcp_try_undo_loss).
bool TcpTryUndoLoss(TcpSock& sock, const TcpAckState& ack, bool frto);

}  // namespace weir::netstack

#endif  // NETSTACK_TCP_TCP_UNDO_H_
