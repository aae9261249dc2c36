// What a program may set on a TCP connection, and what it may ask about it. The names in comments are Linux's (tcp(7),
// socket(7)). Shared by the public stream (netstack/socket/tcp_stream.h) and both of its backends.
#ifndef NETSTACK_TCP_TCP_SOCK_OPTIONS_H_
#define NETSTACK_TCP_TCP_SOCK_OPTIONS_H_

#include <cstddef>
#include <cstdint>
#include <optional>

#include "netstack/tcp/tcp_congestion.h"
#include "netstack/tcp/tcp_state.h"
#include "runtime/base/ip_address.h"
#include "runtime/base/time.h"

namespace weir::netstack {

struct TcpSettings;
struct TcpSock;

enum class TcpSockOption : uint8_t {
  kNoDelay,        // TCP_NODELAY: 0 or 1
  kCork,           // TCP_CORK: 0 or 1
  kQuickAck,       // TCP_QUICKACK: 0 or 1
  kUserTimeout,    // TCP_USER_TIMEOUT: ms; 0: none
  kResetOnClose,   // SO_LINGER with a time of 0: 0 or 1
  kReceiveBuffer,  // SO_RCVBUF: bytes
  kSendBuffer,     // SO_SNDBUF: bytes
  kMaxPacingRate,  // SO_MAX_PACING_RATE: bytes a second; 0: not paced
  kFinTimeout,     // TCP_LINGER2: s, at most 120; 0: tcp_fin_timeout
  kNotSentLowat,   // TCP_NOTSENT_LOWAT: bytes; 0: tcp_notsent_lowat
  kSynCount,       // TCP_SYNCNT: 1 to 127
  kMaxSegment,     // TCP_MAXSEG: bytes, 88 to 32767; 0: no bound but the path's and the peer's
  kWindowClamp,    // TCP_WINDOW_CLAMP: bytes, from 1152; 0 is refused
  kTos,            // IP_TOS, IPV6_TCLASS: 0 to 255, of which the two bits of ECN are not taken
  kTtl,            // IP_TTL, IPV6_UNICAST_HOPS: 1 to 255; 0: the host's
  kMtuDiscover,    // IP_MTU_DISCOVER, IPV6_MTU_DISCOVER: a TcpMtuDiscover
  kMinTtl,         // IP_MINTTL, IPV6_MINHOPCOUNT: 0 to 255; 0: none
  kDeferAccept,    // TCP_DEFER_ACCEPT: s; 0: off. Of listeners alone
};
inline constexpr size_t kTcpSockOptions = 18;

// Whether routers may cut our IPv4 packets into fragments, by the numbers of Linux (IP_PMTUDISC_…). IPv6 has no such
// bit, and there nothing is different.
enum class TcpMtuDiscover : uint8_t {
  kDont = 0,  // they may: no DF, and an ICMP error about a narrow path is not acted on at once
  kWant = 1,  // they may not, and tell us instead: DF. What Linux and we begin with
  kDo = 2,    // the same: TCP never sends what does not fit. Linux tells them apart for a path below its min_pmtu
};

// How a connection is made.
struct TcpConnectOptions {
  // TCP Fast Open (RFC 7413, TCP_FASTOPEN_CONNECT), where the stack's settings have it on: with a server that gave us a
  // cookie before, connecting ends at once, and what is sent first goes with the SYN. Only for what may arrive twice. That
  // the server refuses or does not answer is then heard from the first call that waits.
  bool fast_open = false;
  // Where it comes from, as bind(2) before connect(2) says it with SO_REUSEADDR set. Without an address: the one that
  // the route gives; without a port (0): a free one, of which many connections may have the same as long as their peers
  // differ (IP_BIND_ADDRESS_NO_PORT). kNotFound (EADDRNOTAVAIL): not an address of this host, or no port is left;
  // kInvalidArgument (EINVAL): of the other version of IP; kAlreadyExists (EADDRINUSE): a listener has the port, or a
  // connection both endpoints (connect(2) of Linux says EADDRNOTAVAIL there). One in TIME-WAIT makes way where it had
  // timestamps.
  Endpoint local;
  // Options that the SYN has to know of, by the names and in the units of TcpOptions (netstack/socket/tcp_options.h).
  // Bad values end the connect with kInvalidArgument (EINVAL).
  std::optional<uint32_t> receive_buffer;
  std::optional<uint32_t> user_timeout_ms;
  std::optional<uint32_t> syn_count;
  std::optional<uint32_t> max_segment;
  std::optional<uint32_t> window_clamp;
  std::optional<uint8_t> tos;
  std::optional<uint8_t> ttl;
  std::optional<TcpMtuDiscover> mtu_discover;
  std::optional<uint8_t> min_ttl;

  // Calls bool set(TcpSockOption, uint64_t) for each of them that is said, until one returns false.
  template <typename Set>
  bool ForEachOption(Set&& set) const {
    const auto one = [&](TcpSockOption option, const auto& value) {
      return !value.has_value() || set(option, static_cast<uint64_t>(*value));
    };
    return one(TcpSockOption::kReceiveBuffer, receive_buffer) && one(TcpSockOption::kUserTimeout, user_timeout_ms) &&
           one(TcpSockOption::kSynCount, syn_count) && one(TcpSockOption::kMaxSegment, max_segment) &&
           one(TcpSockOption::kWindowClamp, window_clamp) && one(TcpSockOption::kTos, tos) &&
           one(TcpSockOption::kTtl, ttl) && one(TcpSockOption::kMtuDiscover, mtu_discover) &&
           one(TcpSockOption::kMinTtl, min_ttl);
  }
};

// How connections are taken.
struct TcpListenOptions {
  // Connections that are established and not yet accepted; beyond it new ones wait in their handshake.
  int backlog = 1024;
  // TCP Fast Open (RFC 7413, TCP_FASTOPEN), likewise: so many connections may be accepted, and have data, before their
  // handshake is done. What they send may arrive twice. 0: none.
  int fast_open = 0;
};

// SO_KEEPALIVE with TCP_KEEPIDLE, TCP_KEEPINTVL and TCP_KEEPCNT, and what Linux has for them. Within the bounds of
// Linux: times from 1 to 32767, the count from 1 to 127.
struct TcpKeepAlive {
  int idle_s = 7200;
  int interval_s = 75;
  int count = 9;

  bool valid() const {
    return idle_s >= 1 && idle_s <= 32767 && interval_s >= 1 && interval_s <= 32767 && count >= 1 && count <= 127;
  }
};

// What a listener hands on to the connections that it takes: what was set, and nothing else.
struct TcpInherited {
  std::optional<uint64_t> options[kTcpSockOptions];
  std::optional<TcpKeepAlive> keepalive;
  std::optional<TcpCongestionControl> congestion;
};

// TCP_INFO: what both stacks know. Times that were not measured are 0.
struct TcpInfo {
  TcpState state = TcpState::kClosed;
  TcpCaState ca_state = TcpCaState::kOpen;
  bool timestamps = false;
  bool sack = false;
  bool window_scaling = false;
  bool syn_data = false;  // data of the SYN was acknowledged, ours or the peer's (TCPI_OPT_SYN_DATA)
  uint8_t snd_wscale = 0;
  uint8_t rcv_wscale = 0;
  uint8_t retransmits = 0;  // of what is unanswered now
  uint8_t probes = 0;       // since the window closed, or the peer fell silent
  uint8_t backoff = 0;
  Nanos rto_ns = 0;
  Nanos rtt_ns = 0;
  Nanos rttvar_ns = 0;
  Nanos min_rtt_ns = 0;
  uint32_t snd_mss = 0;
  uint32_t rcv_mss = 0;
  uint32_t advmss = 0;
  uint32_t snd_cwnd = 0;      // in segments, as the following
  uint32_t snd_ssthresh = 0;  // 0x7fffffff: none yet
  uint32_t unacked = 0;
  uint32_t lost = 0;
  uint32_t snd_wnd = 0;      // bytes, as the following
  uint32_t notsent_bytes = 0;
  uint32_t unread_bytes = 0;   // SIOCINQ
  uint32_t unacked_bytes = 0;  // SIOCOUTQ: not acknowledged, sent or not; a FIN is one
  // Since the connection began.
  uint64_t bytes_sent = 0;  // retransmissions included
  uint64_t bytes_retrans = 0;
  uint64_t bytes_acked = 0;
  uint64_t bytes_received = 0;
  uint32_t segs_out = 0;
  uint32_t segs_in = 0;
  uint32_t total_retrans = 0;  // segments
  // Not of TCP_INFO: bytes of frames that Sendmsg was given and that weir copied all the same, as somebody else held the
  // frame or it did not fit a segment. 0 for a program that forwards what it receives.
  uint64_t copied_bytes = 0;
};

// SO_MEMINFO, as far as both stacks have it: bytes, of what the buffers hold with the memory it lies in.
struct TcpMemInfo {
  uint32_t receive_allocated = 0;  // SK_MEMINFO_RMEM_ALLOC: unread or out of order
  uint32_t receive_buffer = 0;     // SK_MEMINFO_RCVBUF
  uint32_t send_queued = 0;        // SK_MEMINFO_WMEM_QUEUED: unacknowledged or not sent
  uint32_t send_buffer = 0;        // SK_MEMINFO_SNDBUF
};

// Whether it is one of the values above; and what it counts as, as some are brought within bounds (as by Linux).
bool TcpOptionValid(TcpSockOption option, uint64_t value);
uint64_t TcpOptionValue(const TcpSettings& settings, TcpSockOption option, uint64_t value);
// 0, or EINVAL: no such value, or none of a connection.
int TcpSetOption(TcpSock& sock, TcpSockOption option, uint64_t value);
// What is in force now (getsockopt).
uint64_t TcpGetOption(const TcpSock& sock, TcpSockOption option);
// A connection begins with what its listener was told (tcp_create_openreq_child). Before its SYN is answered, for buffers.
void TcpInherit(TcpSock& sock, const TcpInherited& inherited, Nanos now_ns);
// The part of that which a SYN and ACK tells of, for one that is not remembered (tcp_syn_cookie.h).
void TcpInheritForSyn(TcpSock& sock, const TcpInherited& inherited);
TcpInfo TcpGetInfo(const TcpSock& sock);
TcpMemInfo TcpGetMemInfo(const TcpSock& sock);

// TCP_DEFER_ACCEPT is kept as how often the SYN and ACK may go again (secs_to_retrans, retrans_to_secs).
uint8_t TcpSecsToRetrans(uint64_t seconds);
uint32_t TcpRetransToSecs(uint8_t retrans);

}  // namespace weir::netstack

#endif  // NETSTACK_TCP_TCP_SOCK_OPTIONS_H_
