// Explicit Congestion Notification (RFC 3168 §6.1): routers mark what they would else drop, the receiver echoes the
// mark (ECE) until it hears (CWR) that the sender has brought its window down. Linux: the tcp_ecn_ functions.
#ifndef NETSTACK_TCP_TCP_ECN_H_
#define NETSTACK_TCP_TCP_ECN_H_

#include "netstack/tcp/tcp_segment.h"
#include "netstack/tcp/tcp_sock.h"

namespace weir::netstack {

// RFC 3168 §5: the two low bits of the TOS field, or of the traffic class.
inline constexpr uint8_t kEcnMask = 3;
inline constexpr uint8_t kEcnNotEct = 0;
inline constexpr uint8_t kEcnEct0 = 2;
inline constexpr uint8_t kEcnCe = 3;

// Before the SYN: whether we ask for it (tcp_ecn 1).
void TcpEcnOffer(TcpSock& sock);
// What the peer's SYN says, with ours (§6.1.1).
void TcpEcnTakeSyn(TcpSock& sock, const TcpSegment& segment);

// The flags of a SYN or SYN and ACK; and of any other segment, `new_data` when it has data that was never sent. `*ecn`
// is what the IP header says: only new data may be marked (§6.1.4, §6.1.5).
uint8_t TcpEcnSynFlags(TcpSock& sock);
uint8_t TcpEcnSendFlags(TcpSock& sock, bool new_data, uint8_t* ecn);

// Data arrived: its CWR, and its mark.
void TcpEcnReceive(TcpSock& sock, const TcpSegment& segment);

// Whether an ACK tells of congestion.
inline bool TcpEcnEcho(const TcpSock& sock, const TcpSegment& segment) {
  return sock.ecn.ok && segment.has(kTcpEce) && !segment.has(kTcpSyn);
}
// The window came down: the next new data says so; or it did not after all.
inline void TcpEcnQueueCwr(TcpSock& sock) { sock.ecn.queue_cwr = sock.ecn.ok; }
inline void TcpEcnWithdrawCwr(TcpSock& sock) { sock.ecn.queue_cwr = false; }

}  // namespace weir::netstack

#endif  // NETSTACK_TCP_TCP_ECN_H_
