// The urgent pointer (RFC 9293 §3.8.5, RFC 6093) as every socket without SO_OOBINLINE has it: the pointer names the byte
// behind the urgent one, which is taken out of the stream. Linux: tcp_check_urg, tcp_urg, without tcp_stdurg.
#ifndef NETSTACK_TCP_TCP_URGENT_H_
#define NETSTACK_TCP_TCP_URGENT_H_

#include "netstack/tcp/tcp_extra.h"
#include "netstack/tcp/tcp_segment.h"
#include "netstack/tcp/tcp_sock.h"

namespace weir::netstack {

// RFC 9293 §3.10.7.4, sixth: notes where the urgent byte is or will be. One that is older than another, or than what was
// received, is ignored.
void TcpCheckUrg(TcpSock& sock, const TcpSegment& segment);

// Whether the urgent byte lies in `frame`, which begins at rcv.nxt.
inline bool TcpHasUrg(const TcpSock& sock, const runtime::Frame& frame) {
  if (sock.extra == nullptr || !sock.extra->urg.pending) return false;
  const Seq seq = sock.extra->urg.seq;
  return seq >= sock.rcv.nxt && seq < sock.rcv.nxt + frame.len;
}
// Takes it out and keeps it, in the place of an older one, for a receive with MSG_OOB; the frame is one byte shorter.
// Differs from Linux: a receive does not end where the byte was.
void TcpTakeUrg(TcpSock& sock, runtime::Frame& frame);

// SND.UP: what was given to be sent so far is urgent, its last byte by the pointer (tcp_mark_urg).
void TcpMarkUrgent(TcpSock& sock);
// Of a segment that begins at `seq`: the pointer, as long as it is not acknowledged (tcp_transmit_skb).
void TcpPointToUrg(TcpSock& sock, Seq seq, TcpHeader* header);

}  // namespace weir::netstack

#endif  // NETSTACK_TCP_TCP_URGENT_H_
