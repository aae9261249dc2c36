// Timestamps (RFC 7323 §3 to §5): our clock, the peer's last one (TS.Recent), protection against wrapped sequence
// numbers (PAWS), and round trips measured by what the peer echoes.
#ifndef NETSTACK_TCP_TCP_TIMESTAMPS_H_
#define NETSTACK_TCP_TCP_TIMESTAMPS_H_

#include "netstack/tcp/tcp_segment.h"
#include "netstack/tcp/tcp_sock.h"

namespace weir::netstack {

// RFC 7323 §5.4 wants a clock of 1 ms to 1 s a tick: 1 ms, as Linux. It starts at a secret place for each pair of
// addresses, so that it tells neither how long we have been up nor which connections are of one host; by addresses and
// not by ports, so that it goes on from one connection to the next (RFC 6191 §2; secure_tcp_ts_off).
// Wanted once the peer uses timestamps, or may.
void TcpInitTimestamps(TcpSock& sock);
inline uint32_t TcpTimestamp(const TcpSock& sock, Nanos now_ns) {
  return static_cast<uint32_t>(now_ns / kMillisecond) + sock.ts.offset;
}

// Takes TSval of the peer's SYN, and from then on of segments that begin at or before what was last acknowledged: the
// ACK that a delayed or a hole-filling segment gets must echo the earliest (RFC 7323 §4.3; tcp_replace_ts_recent).
void TcpSetTsRecent(TcpSock& sock, uint32_t ts_val, Nanos now_ns);
void TcpUpdateTsRecent(TcpSock& sock, const TcpSegment& segment, Nanos now_ns);

// Whether a timestamp is from before `recent`, which came in the second `recent_s` (tcp_paws_check).
bool TcpTimestampIsOld(uint32_t recent, uint32_t recent_s, uint32_t ts_val, Nanos now_ns);
// RFC 7323 §5.3, R1: whether a segment is from an earlier turn of the sequence numbers (tcp_paws_discard).
bool TcpPawsReject(const TcpSock& sock, const TcpSegment& segment, Nanos now_ns);

// The round trip that TSecr tells of, to the millisecond; 0 when it tells of none (RFC 7323 §4.1; tcp_rtt_tsopt_us).
Nanos TcpTimestampRtt(const TcpSock& sock, const TcpSegment& segment, Nanos now_ns);

}  // namespace weir::netstack

#endif  // NETSTACK_TCP_TCP_TIMESTAMPS_H_
