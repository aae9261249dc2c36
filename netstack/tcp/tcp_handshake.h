// The steps of opening a connection that both the listener (tcp_listen.cc) and the states after it (tcp_state.cc) take.
#ifndef NETSTACK_TCP_TCP_HANDSHAKE_H_
#define NETSTACK_TCP_TCP_HANDSHAKE_H_

#include "netstack/tcp/tcp_segment.h"
#include "netstack/tcp/tcp_sock.h"

namespace weir::netstack {

// What the peer's SYN says: sequence, window, MSS (RFC 9293 §3.7.1) and what it agrees to.
void TcpTakeSyn(TcpSock& sock, const TcpSegment& segment, Nanos now_ns);

// Half-open, in the listener's SYN queue.
void TcpJoinListener(TcpSock& sock, TcpListenSock& listener);
// Established, from the SYN queue to the accept queue.
void TcpMoveToAcceptQueue(TcpSock& sock);
// TCP_DEFER_ACCEPT: the peer has acknowledged our SYN, and its data is waited for.
inline bool TcpDeferred(const TcpSock& sock) {
  return sock.state == TcpState::kSynReceived && sock.heard_ns != 0 && sock.listener != nullptr;
}
// Accepted, or over: no longer the listener's. Before the state changes.
void TcpLeaveListener(TcpSock& sock);

}  // namespace weir::netstack

#endif  // NETSTACK_TCP_TCP_HANDSHAKE_H_
