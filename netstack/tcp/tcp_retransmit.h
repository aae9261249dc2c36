// Sending again. Linux: tcp_retransmit_skb, tcp_xmit_retransmit_queue.
#ifndef NETSTACK_TCP_TCP_RETRANSMIT_H_
#define NETSTACK_TCP_TCP_RETRANSMIT_H_

#include "netstack/tcp/tcp_sock.h"

namespace weir::netstack {

// One frame that was sent before, within the peer's window. False when it cannot be: the window is too small, the
// device still has the frame, or there is none to split it with (what lies at una then goes in part).
bool TcpRetransmitFrame(TcpSock& sock, runtime::Frame* frame, Nanos now_ns);

// What is lost, from the lowest number on, as far as the congestion window allows.
void TcpXmitRetransmitQueue(TcpSock& sock, Nanos now_ns);

}  // namespace weir::netstack

#endif  // NETSTACK_TCP_TCP_RETRANSMIT_H_
