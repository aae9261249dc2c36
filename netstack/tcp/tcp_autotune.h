// Buffers that grow with what a connection can use, from the second to the third number of tcp_rmem and tcp_wmem, unless
// the program has set them. Linux: tcp_rcv_space_adjust, tcp_sndbuf_expand.
#ifndef NETSTACK_TCP_TCP_AUTOTUNE_H_
#define NETSTACK_TCP_TCP_AUTOTUNE_H_

#include "netstack/tcp/tcp_sock.h"

namespace weir::netstack {

// In-order data came: once a round trip, what the program has read in the last one says how large the receive buffer
// should be (dynamic right-sizing; RFC 9293 §3.8.6.2.2 leaves the size of the window to the receiver).
void TcpRcvSpaceAdjust(TcpSock& sock, Nanos now_ns);

// New data was acknowledged: the send buffer holds two congestion windows, so that recovery has new data to send.
void TcpSndbufExpand(TcpSock& sock);

}  // namespace weir::netstack

#endif  // NETSTACK_TCP_TCP_AUTOTUNE_H_
