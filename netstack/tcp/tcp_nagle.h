// Small segments that wait for more: Nagle's algorithm (RFC 9293 §3.7.4, RFC 896) and TCP_CORK.
#ifndef NETSTACK_TCP_TCP_NAGLE_H_
#define NETSTACK_TCP_TCP_NAGLE_H_

#include "netstack/tcp/tcp_sock.h"

namespace weir::netstack {

// How long TCP_CORK may hold what is there (tcp(7)).
inline constexpr Nanos kTcpCorkLimit = 200 * kMillisecond;

// Whether the next frame to send, the last of the queue and not a full segment, waits: while a small segment is under
// way, or the program says that more comes. A FIN behind it lets it go. Differs from RFC 9293 §3.7.4 as Linux does: full
// segments that are under way hold nothing back (Minshall's variant; tcp_nagle_test).
inline bool TcpNagleHolds(const TcpSock& sock) {
  runtime::Frame* frame = sock.send_head;
  if (frame == nullptr || frame->next != nullptr || sock.snd.fin) return false;
  if (frame->Cb<TcpTxCb>().length >= sock.snd.mss) return false;
  return sock.cork || (!sock.nodelay && sock.snd.sml > sock.snd.una && sock.snd.sml <= sock.snd.nxt);
}

// A segment of `length` bytes, up to `end`, went out (tcp_minshall_update).
inline void TcpNagleSent(TcpSock& sock, uint32_t length, Seq end) {
  if (length < sock.snd.mss) sock.snd.sml = end;
}

}  // namespace weir::netstack

#endif  // NETSTACK_TCP_TCP_NAGLE_H_
