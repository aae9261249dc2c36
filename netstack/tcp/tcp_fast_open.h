// TCP Fast Open (RFC 7413): data goes with the SYN of a client that shows a cookie which it got from the server earlier,
// and is there for the server's program at once. Off unless tcp_fastopen says otherwise, and only for connections and
// listeners whose program asks for it: data in a SYN may arrive twice (RFC 7413 §2.1). Linux: tcp_fastopen.c.
#ifndef NETSTACK_TCP_TCP_FAST_OPEN_H_
#define NETSTACK_TCP_TCP_FAST_OPEN_H_

#include <array>

#include "netstack/tcp/tcp_segment.h"
#include "netstack/tcp/tcp_sock.h"

namespace weir::netstack {

// The bits of tcp_fastopen.
inline constexpr uint32_t kTcpFastOpenClient = 0x1;
inline constexpr uint32_t kTcpFastOpenServer = 0x2;
inline constexpr uint32_t kTcpFastOpenClientNoCookie = 0x4;    // data goes with every SYN, and no option
inline constexpr uint32_t kTcpFastOpenServerNoCookie = 0x200;  // data is taken from every SYN
inline constexpr uint32_t kTcpFastOpenAllListeners = 0x400;    // as many as the backlog, where the program says nothing

// A cookie is good in the period in which it was made and in the next one: that is how keys change (RFC 7413 §4.1.2).
inline constexpr Nanos kTcpFastOpenKeyPeriod = 4 * 3600 * kSecond;
inline constexpr size_t kTcpFastOpenCookieSize = 8;
// RFC 7413 §5.1: a request that was reset counts for so long as if it were pending; whoever forges addresses gets
// resets from their owners. Linux: 60 s.
inline constexpr Nanos kTcpFastOpenResetHold = 60 * kSecond;

// ---- server

// What a listener makes of a SYN, taken into `sock` (tcp_try_fastopen): true when the connection is open at once. A
// cookie goes with our SYN and ACK when one is asked for, or wrong, or soon too old.
bool TcpTryFastOpen(TcpListenSock& listener, TcpSock& sock, const TcpSegment& segment, Nanos now_ns);
// Puts it on the accept queue with what the SYN brought; the handshake goes on (tcp_fastopen_create_child).
void TcpFastOpenChild(TcpListenSock& listener, TcpSock& sock, TcpSegment& segment, Nanos now_ns);
// The handshake of such a one is over: with the peer's acknowledgment, or with the connection.
void TcpFastOpenSettled(TcpSock& sock);
// The peer resets one before that.
void TcpFastOpenReset(TcpSock& sock, Nanos now_ns);

// ---- client

// The program asks for it. True: its first data shall go with the SYN, which waits for that; it may take the connection
// for open (TCP_FASTOPEN_CONNECT). Else the SYN goes at once and asks for a cookie.
bool TcpFastOpenConnect(TcpSock& sock, Nanos now_ns);
// The SYN that waited, with the first frame of the send queue when there is one (tcp_send_syn_data). Differs from Linux: a
// reader or a FIN sends it off too.
void TcpFastOpenSyn(TcpSock& sock, Nanos now_ns);
// The answer to it; before the handshake counts as done (tcp_rcv_fastopen_synack).
void TcpFastOpenTakeSynAck(TcpSock& sock, const TcpSegment& segment, Nanos now_ns);

// ---- both

// The option of a SYN, if any; `room` is for what it points to.
using TcpFastOpenRoom = std::array<std::byte, TcpOptions::kMaxCookie>;
void TcpFastOpenOption(const TcpSock& sock, Nanos now_ns, TcpFastOpenRoom& room, TcpOptions* options);
// The handshake is done by `segment`, and una is behind the SYN: data that went before is acknowledged now, or goes
// again (RFC 7413 §4.2.2).
void TcpFastOpenEarlyData(TcpSock& sock, const TcpSegment& segment, Nanos now_ns);

}  // namespace weir::netstack

#endif  // NETSTACK_TCP_TCP_FAST_OPEN_H_
