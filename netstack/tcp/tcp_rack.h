// RACK (RFC 8985 §6): a segment is lost when one that was sent sufficiently later has arrived. How much later is
// sufficient follows the reordering that was seen. Needs SACK. Linux: tcp_recovery.c.
#ifndef NETSTACK_TCP_TCP_RACK_H_
#define NETSTACK_TCP_TCP_RACK_H_

#include "netstack/tcp/tcp_ack_state.h"
#include "netstack/tcp/tcp_sock.h"

namespace weir::netstack {

// RFC 8985 §6.2, steps 2 and 3: `cb` was delivered; it may be the last one sent of those that were, and tell of
// reordering (tcp_rack_advance).
void TcpRackAdvance(TcpSock& sock, const TcpTxCb& cb, const TcpAckState& ack);

// Step 4: a duplicate SACK widens the reordering window, recoveries without one narrow it (tcp_rack_update_reo_wnd).
void TcpRackSawDsack(TcpSock& sock);
void TcpRackUpdateReoWnd(TcpSock& sock, Seq una);
void TcpRackRecoveryEnded(TcpSock& sock);

// Step 5: marks what is lost. When something is not lost yet but may be soon, arms the timer for it and returns true
// (tcp_rack_mark_lost).
bool TcpRackMarkLost(TcpSock& sock, TcpAckState& ack);

// How long until `cb` counts as lost; not positive: it does (tcp_rack_skb_timeout).
Nanos TcpRackTimeLeft(const TcpSock& sock, const TcpTxCb& cb, Nanos reo_wnd_ns, Nanos now_ns);
Nanos TcpRackReoWnd(const TcpSock& sock);

}  // namespace weir::netstack

#endif  // NETSTACK_TCP_TCP_RACK_H_
