// How a connection's numbers begin. Initial sequence numbers (RFC 6528 §3): a clock of about 4 µs plus a keyed hash of
// the connection, so that they can not be guessed and still grow for the same pair of endpoints.
#ifndef NETSTACK_TCP_TCP_INITIAL_H_
#define NETSTACK_TCP_TCP_INITIAL_H_

#include <optional>

#include "netstack/tcp/seq.h"
#include "netstack/tcp/tcp_context.h"

namespace weir::netstack {

inline Seq TcpIsn(const TcpContext& context, const Endpoint& local, const Endpoint& remote, Nanos now_ns) {
  const auto clock = static_cast<uint32_t>(now_ns >> 12);
  // Its own key: the demux's hash of the same endpoints must not be visible in a sequence number.
  const runtime::SipKey key{~context.ip.secret.k0, context.ip.secret.k1};
  const uint64_t ports = uint64_t{local.port} << 16 | remote.port;
  if (remote.ip.is_v4()) {  // whose numbers are fewer, and so are never those of IPv6
    const uint64_t words[] = {uint64_t{local.ip.v4()} << 32 | remote.ip.v4(), ports};
    return Seq(clock + static_cast<uint32_t>(runtime::SipHash(key, words)));
  }
  const auto a = local.ip.words(), b = remote.ip.words();
  const uint64_t words[] = {a[0], a[1], b[0], b[1], ports};
  return Seq(clock + static_cast<uint32_t>(runtime::SipHash(key, words)));
}

// Linux's TCP_MAX_QUICKACKS: the first segments are acknowledged at once, while the peer is in slow start.
inline constexpr uint8_t kTcpQuickAcks = 16;

inline void TcpStartSend(TcpSock& sock, Seq isn, Nanos now_ns) {
  sock.snd.iss = sock.snd.una = isn;
  sock.snd.nxt = sock.snd.write_seq = sock.snd.iss + 1;
  sock.rack.xmit_ns = now_ns;
}

// The send variables of a connection whose SYN is about to be sent; local and remote are set. After an earlier
// connection in TIME-WAIT the number is beyond that one's (RFC 9293 §3.6.1): it may have sent faster than the clock
// runs. Linux: tcp_timewait_state_process, tcp_tw_isn.
inline void TcpInitSend(TcpSock& sock, Nanos now_ns, std::optional<Seq> isn_after = {}) {
  Seq isn = TcpIsn(sock.context, sock.local, sock.remote, now_ns);
  if (isn_after.has_value() && isn <= *isn_after) isn = *isn_after + 65537;
  TcpStartSend(sock, isn, now_ns);
}

}  // namespace weir::netstack

#endif  // NETSTACK_TCP_TCP_INITIAL_H_
