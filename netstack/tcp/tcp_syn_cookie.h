// SYN cookies (RFC 4987 §3.6): with the SYN queue full, what a half-open connection would have to remember goes into the
// number and the timestamp of our SYN and ACK, and comes back with the peer's ACK. Linux: syncookies.c.
//
// The number: 8 bits of time and 24 of a keyed hash, to which the index of the peer's MSS in a table is added, all that
// on top of another hash and the peer's number. The timestamp: its last six bits tell of ECN, SACK and the window scale.
#ifndef NETSTACK_TCP_TCP_SYN_COOKIE_H_
#define NETSTACK_TCP_TCP_SYN_COOKIE_H_

#include <optional>

#include "netstack/tcp/tcp_segment.h"
#include "netstack/tcp/tcp_sock.h"

namespace weir::netstack {

// A cookie says in which of these periods it was made, and is good until the end of the next one. 256 of them, nearly
// five hours, pass before one has the same number.
inline constexpr Nanos kTcpSynCookiePeriod = 64 * kSecond;
inline constexpr uint32_t kTcpSynCookieMaxAge = 2;  // MAX_SYNCOOKIE_AGE

// The initial number for the SYN and ACK of `sock`, whose SYN was taken (__cookie_v4_init_sequence).
Seq TcpSynCookie(const TcpSock& sock, Nanos now_ns);
// The MSS that the cookie in the ACK field has, or nothing when it is none of ours, or too old (__cookie_v4_check).
std::optional<uint16_t> TcpCheckSynCookie(const TcpSock& sock, const TcpSegment& segment, Nanos now_ns);

// Moves the clock of `sock` back by as little as makes its timestamp say what was agreed (cookie_init_timestamp).
void TcpCookieTimestamp(TcpSock& sock, Nanos now_ns);
// The options of the SYN, and its flags, as the echo in the peer's ACK has them. Nothing: some that we would not have
// agreed to (cookie_timestamp_decode).
struct TcpCookieSyn {
  TcpOptions options;
  uint8_t flags = kTcpSyn;
};
std::optional<TcpCookieSyn> TcpCookieOptions(const TcpSock& sock, const TcpSegment& segment);

}  // namespace weir::netstack

#endif  // NETSTACK_TCP_TCP_SYN_COOKIE_H_
