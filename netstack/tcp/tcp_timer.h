// TCP timers: retransmission (RFC 6298), zero-window probes (RFC 9293 §3.8.6.1), delayed ACK, and the end of
// FIN-WAIT-2. Linux: tcp_timer.c.
#ifndef NETSTACK_TCP_TCP_TIMER_H_
#define NETSTACK_TCP_TCP_TIMER_H_

#include "netstack/tcp/tcp_sock.h"

namespace weir::netstack {

inline constexpr Nanos kTcpTimeWait = 60 * kSecond;         // 2 MSL, with Linux's TCP_TIMEWAIT_LEN
inline constexpr uint8_t kTcpSynRetries = 6;                // tcp_syn_retries
inline constexpr uint8_t kTcpSynAckRetries = 5;             // tcp_synack_retries
inline constexpr uint8_t kTcpRetries1 = 3;                  // tcp_retries1
inline constexpr uint8_t kTcpRetries = 15;                  // tcp_retries2
inline constexpr uint8_t kTcpOrphanRetries = 8;             // tcp_orphan_retries

// A connection has two deadlines: of the delayed ACK, and of one of the other things at a time. It is in the wheel
// once, for the earlier of them, and stays there when a deadline is put off or taken away, as nearly every one is: then
// it fires in vain, once, and is armed anew where there is something left to wait for. So requests and answers that
// follow one another do not touch the wheel, whose neighbours in a slot are as far apart in memory as connections are.
void TcpTimerFired(runtime::Timer& timer, Nanos now_ns);

void TcpArmTimer(TcpSock& sock, TcpTimerKind kind, Nanos deadline_ns);
inline void TcpCancelTimer(TcpSock& sock) {
  sock.timer_kind = TcpTimerKind::kNone;
  sock.timer_ns = kNever;
}
void TcpArmDelack(TcpSock& sock, Nanos deadline_ns);
inline void TcpCancelDelack(TcpSock& sock) { sock.delack_ns = kNever; }
// At the end of the connection: it is not in the wheel any more.
void TcpCancelTimers(TcpSock& sock);

// The retransmission timeout, doubled as often as it expired (RFC 6298 §5.5).
Nanos TcpBackedOffRto(const TcpSock& sock);

// Arms the retransmission timer anew while something is in flight, else turns it off (RFC 6298 §5.1 to §5.3). Where the
// timer was that of a loss probe or of reordering, the time that has passed since the last transmission counts
// (tcp_rearm_rto).
void TcpRearmRetransmit(TcpSock& sock, Nanos now_ns);

// Nothing is in flight and the next segment cannot be sent: asks for a closed window, else tries again, after an RTO.
void TcpStartProbing(TcpSock& sock, Nanos now_ns);

// An acceptable ACK came: probes start to count anew, and end when the window is open.
void TcpPeerAnswered(TcpSock& sock);

}  // namespace weir::netstack

#endif  // NETSTACK_TCP_TCP_TIMER_H_
