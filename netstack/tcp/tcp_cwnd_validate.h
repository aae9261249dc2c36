// Congestion window validation (RFC 2861, RFC 7661 §1): a window that is not used says nothing about the path, so it
// does not grow, and in time it is forgotten. Linux: tcp_cwnd_validate, tcp_is_cwnd_limited, tcp_cwnd_restart.
#ifndef NETSTACK_TCP_TCP_CWND_VALIDATE_H_
#define NETSTACK_TCP_TCP_CWND_VALIDATE_H_

#include "netstack/tcp/tcp_sock.h"

namespace weir::netstack {

// Something was sent, or could not be for the congestion window's sake.
void TcpCwndValidate(TcpSock& sock, Nanos now_ns);

// Whether the window may grow. In slow start also when at least half of it was used, so that it doubles for one who
// sends in bursts.
bool TcpIsCwndLimited(const TcpSock& sock);

// Data goes out after nothing was in flight: RFC 5681 §4.1, for each RTO of silence half of the window, down to the
// initial one (tcp_slow_start_after_idle).
void TcpSlowStartAfterIdle(TcpSock& sock, Nanos now_ns);

}  // namespace weir::netstack

#endif  // NETSTACK_TCP_TCP_CWND_VALIDATE_H_
