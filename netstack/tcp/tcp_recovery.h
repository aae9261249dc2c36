// Loss recovery: the states of the sender and what an ACK that is not plain does in each. Linux: tcp_fastretrans_alert
// and its kin in tcp_input.c.
//
//   Open      nothing is amiss
//   Disorder  duplicate ACKs or SACKs came; perhaps only reordering
//   CWR       the window comes down after congestion was signalled without a loss
//   Recovery  fast recovery: what is lost is sent again (RFC 6675, RFC 6582 without SACK)
//   Loss      the retransmission timer expired (RFC 5681 §3.1), or the path MTU shrank
//
// CWR, Recovery and Loss last until all is acknowledged that was outstanding when they began (high_seq); in CWR and
// Recovery the window follows TcpPrr. That a loss was none is found out later in three ways (tcp_undo.h, and F-RTO
// here), and then the window is as before.
#ifndef NETSTACK_TCP_TCP_RECOVERY_H_
#define NETSTACK_TCP_TCP_RECOVERY_H_

#include "netstack/tcp/tcp_ack_state.h"
#include "netstack/tcp/tcp_sock.h"

namespace weir::netstack {

// An ACK that is a duplicate, has SACK blocks or ECE, or any while the state is not Open.
void TcpFastretransAlert(TcpSock& sock, TcpAckState& ack);

// The retransmission timer expired, for the `retries`th time without progress (tcp_enter_loss; RFC 8985 §6.3).
void TcpEnterLoss(TcpSock& sock, Nanos now_ns);

// The path became narrower: what does not fit is sent again; no sign of congestion (tcp_simple_retransmit).
void TcpSimpleRetransmit(TcpSock& sock);
// What counts as lost is sent again, and the window stays as it is: it was no congestion
// (tcp_non_congestion_loss_retransmit).
void TcpRetransmitLost(TcpSock& sock);

// The window comes down though nothing was lost (tcp_enter_cwr), for a loss that a probe repaired at once, or ECN.
void TcpEnterCwr(TcpSock& sock);
// Begins and ends the reduction (tcp_init_cwnd_reduction, tcp_end_cwnd_reduction).
void TcpInitCwndReduction(TcpSock& sock);
void TcpEndCwndReduction(TcpSock& sock);

// Open, or Disorder when something is SACKed, lost or sent again (tcp_try_keep_open).
void TcpTryKeepOpen(TcpSock& sock);

// The congestion window after an ACK (tcp_cong_control).
void TcpCongControl(TcpSock& sock, const TcpAckState& ack);

// What ssthresh would be if the window were kept in mind: three quarters of it, at least (tcp_current_ssthresh).
uint32_t TcpCurrentSsthresh(const TcpSock& sock);

inline bool TcpInCwndReduction(const TcpSock& sock) {
  return sock.recovery.state == TcpCaState::kCwr || sock.recovery.state == TcpCaState::kRecovery;
}

// Whether something that is outstanding was sent more than once (tcp_any_retrans_done).
bool TcpAnyRetransDone(const TcpSock& sock);

}  // namespace weir::netstack

#endif  // NETSTACK_TCP_TCP_RECOVERY_H_
