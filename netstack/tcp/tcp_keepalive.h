// Connections whose peer is silent: keepalive probes (RFC 9293 §3.8.4) and the user timeout (RFC 5482; TCP_USER_TIMEOUT),
// which says how long what was sent may stay unanswered. Linux: tcp_keepalive_timer, tcp_write_timeout.
#ifndef NETSTACK_TCP_TCP_KEEPALIVE_H_
#define NETSTACK_TCP_TCP_KEEPALIVE_H_

#include <optional>

#include "netstack/tcp/tcp_sock.h"

namespace weir::netstack {

// The timer of TcpExtra (tcp_keepalive_timer).
void TcpKeepAliveTimer(runtime::Timer& timer, Nanos now_ns);
// At the end of the connection: no more probes.
void TcpStopKeepAlive(TcpSock& sock);

// SO_KEEPALIVE with TCP_KEEPIDLE, TCP_KEEPINTVL and TCP_KEEPCNT: after so much silence a probe, then one each interval;
// so many without an answer end the connection. RFC 9293 §3.8.4: off unless the program asks for it. idle_s 0: off.
void TcpSetKeepAlive(TcpSock& sock, uint32_t idle_s, uint32_t interval_s, uint8_t count, Nanos now_ns);
// Nothing: it is off.
std::optional<TcpKeepAlive> TcpGetKeepAlive(const TcpSock& sock);
// TCP_USER_TIMEOUT; 0: none.
void TcpSetUserTimeout(TcpSock& sock, Nanos timeout_ns);

// Whether what was sent stayed unanswered for too long: `limit` retransmissions, or the user timeout where there is one.
// Asked when the timer expired, before the retransmission is counted (retransmits_timed_out).
bool TcpRetriesOver(TcpSock& sock, uint8_t limit, Nanos now_ns);
// The same for a window that stays closed: a peer that answers may keep it closed for as long as it likes (RFC 9293
// §3.8.6.1), but no longer than the user timeout (tcp_probe_timer).
bool TcpProbesOver(TcpSock& sock, Nanos now_ns);
// An RTO, but not beyond the user timeout (tcp_clamp_rto_to_user_timeout).
Nanos TcpClampToUserTimeout(const TcpSock& sock, Nanos rto_ns, Nanos now_ns);

}  // namespace weir::netstack

#endif  // NETSTACK_TCP_TCP_KEEPALIVE_H_
