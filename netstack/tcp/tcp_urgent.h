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
// Takes it out; the frame is one byte shorter. Differs from Linux, which keeps the byte for a recv with MSG_OOB: RFC 6093
// §5 tells programs not to use it, so there is no such call.
void TcpTakeUrg(TcpSock& sock, runtime::Frame& frame);

}  // namespace weir::netstack

#endif  // NETSTACK_TCP_TCP_URGENT_H_
