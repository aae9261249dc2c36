// ACKs in answer to segments that are out of place, and how many of them there may be (RFC 5961 §7). Without a bound two
// hosts that disagree about their numbers would answer each other for ever, and anybody could have us flood a peer.
#ifndef NETSTACK_TCP_TCP_CHALLENGE_ACK_H_
#define NETSTACK_TCP_TCP_CHALLENGE_ACK_H_

#include "netstack/tcp/tcp_segment.h"
#include "netstack/tcp/tcp_sock.h"

namespace weir::netstack {

// Asks whether the peer, that somebody spoke for, means it (RFC 5961 §3.2, §4.2, §5.2): at most once in
// tcp_invalid_ratelimit for a connection, and tcp_challenge_ack_limit times a second for the shard
// (tcp_send_challenge_ack).
void TcpSendChallengeAck(TcpSock& sock, Nanos now_ns);

// Whether the connection has said enough lately to segments that are out of place: one answer in tcp_invalid_ratelimit
// (__tcp_oow_rate_limited). False counts as an answer.
[[nodiscard]] bool TcpOowRateLimited(TcpSock& sock, Nanos now_ns);
// The same, for one whose last answer was at `last_ms`; 0: never.
[[nodiscard]] bool TcpOowRateLimited(TcpContext& context, uint32_t& last_ms, Nanos now_ns);

// Answers a segment that was not accepted with where we are: at once when it brings data, which no ACK does, so it is
// no answer to one of ours; else at most once in tcp_invalid_ratelimit. False: not answered (tcp_oow_rate_limited).
bool TcpSendDupack(TcpSock& sock, const TcpSegment& segment, Nanos now_ns);

}  // namespace weir::netstack

#endif  // NETSTACK_TCP_TCP_CHALLENGE_ACK_H_
