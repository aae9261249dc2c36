// Which options the segments of a connection carry, and how much room they leave for data.
#ifndef NETSTACK_TCP_TCP_OPTIONS_H_
#define NETSTACK_TCP_TCP_OPTIONS_H_

#include <cstddef>

#include "netstack/tcp/tcp_segment.h"
#include "netstack/tcp/tcp_sock.h"

namespace weir::netstack {

// What every segment behind the handshake has in front of its data: snd.mss is less by this (RFC 6691 §2).
inline uint16_t TcpFixedOptions(const TcpSock& sock) {
  return sock.ts.ok ? static_cast<uint16_t>(TcpOptions::kTimestampsSize) : uint16_t{0};
}

// What we want, before the peer was heard: every option that the settings allow, and ECN.
void TcpOfferOptions(TcpSock& sock);

// What the peer's SYN agrees to: window scale (RFC 7323 §2.2), timestamps (§3.2) and SACK (RFC 2018 §2), each only when
// we want it too.
void TcpTakeSynOptions(TcpSock& sock, const TcpOptions& options, Nanos now_ns);

// Writes the options of a SYN, or of any other segment of `payload` bytes, to `at`, and returns their size
// (tcp_syn_options, tcp_established_options). SACK blocks go in where there is room for them; `*sack_left` says that
// there was not.
size_t TcpWriteSynOptions(const TcpSock& sock, std::byte* at, Nanos now_ns);
size_t TcpWriteOptions(TcpSock& sock, std::byte* at, uint32_t payload, Nanos now_ns, bool* sack_left);

}  // namespace weir::netstack

#endif  // NETSTACK_TCP_TCP_OPTIONS_H_
