// Connections whose peer is silent: keepalive probes (RFC 9293 §3.8.4) and the user timeout (RFC 5482; TCP_USER_TIMEOUT),
// which says how long what was sent may stay unanswered. Linux: tcp_keepalive_timer, tcp_write_timeout.
#ifndef NETSTACK_TCP_TCP_KEEPALIVE_H_
#define NETSTACK_TCP_TCP_KEEPALIVE_H_

#include <optional>

#include "netstack/tcp/tcp_sock.h"
#include "runtime/base/recycler.h"

namespace weir::netstack {

struct TcpPacer;

// What a connection has for it besides its control block, from the first call that asks for something; and for what else few
// connections need: rare options, pacing, the urgent byte, segments out of place or sent again. At most one each.
struct TcpSilence : runtime::Recycled {
  explicit TcpSilence(TcpSock& sock);

  TcpTimer timer;     // keepalive
  Nanos idle_ns = 0;  // 0: no keepalive
  Nanos interval_ns = 0;
  Nanos sent_ns = 0;           // the last probe
  Nanos user_timeout_ns = 0;   // 0: none
  Nanos unanswered_ns = 0;     // since when what is sent again is under way
  Nanos closed_window_ns = 0;  // since when the peer's window is closed
  uint8_t count = 0;
  uint8_t probes = 0;  // since the peer was heard
  uint8_t fin_timeout_s = 0;   // TCP_LINGER2; 0: tcp_fin_timeout
  uint8_t syn_count = 0;       // TCP_SYNCNT; 0: not set
  uint8_t min_ttl = 0;         // IP_MINTTL, when rcv.guarded
  uint32_t notsent_lowat = 0;  // TCP_NOTSENT_LOWAT; 0: none
  uint32_t window_clamp = 0;   // TCP_WINDOW_CLAMP, when rcv.clamped
  TcpPacer* pacer = nullptr;   // tcp_pacing.h; nullptr: not paced
  // The urgent byte that is still to come: tcp_urgent.h.
  struct {
    Seq seq;
    bool pending = false;
  } urg;
  uint32_t last_oow_ack_ms = 0;  // when a segment that was out of place was answered last; 0: never
  // What was sent again since the connection began, for TcpInfo.
  uint32_t total_retrans = 0;
  uint64_t bytes_retrans = 0;
  uint64_t copied_bytes = 0;  // TcpInfo::copied_bytes
};
TcpSilence& TcpGetSilence(TcpSock& sock);

inline void TcpCountRetransmit(TcpSock& sock, uint32_t bytes) {
  TcpSilence& silence = TcpGetSilence(sock);
  ++silence.total_retrans;
  silence.bytes_retrans += bytes;
}

// At the end of the connection: no more probes; and when its block is freed.
void TcpStopKeepAlive(TcpSock& sock);
void TcpFreeSilence(TcpSock& sock);

// SO_KEEPALIVE with TCP_KEEPIDLE, TCP_KEEPINTVL and TCP_KEEPCNT: after so much silence a probe, then one each interval;
// so many without an answer end the connection. RFC 9293 §3.8.4: off unless the program asks for it. idle_s 0: off.
void TcpSetKeepAlive(TcpSock& sock, uint32_t idle_s, uint32_t interval_s, uint8_t count, Nanos now_ns);
// Nothing: it is off.
std::optional<TcpKeepAlive> TcpGetKeepAlive(const TcpSock& sock);
// TCP_USER_TIMEOUT; 0: none.
void TcpSetUserTimeout(TcpSock& sock, Nanos timeout_ns);

// TCP_LINGER2: how long a closed connection waits for the peer's FIN; 0: tcp_fin_timeout. And how long that is.
inline constexpr uint8_t kTcpMaxFinTimeoutS = 120;  // TCP_FIN_TIMEOUT_MAX
void TcpSetFinTimeout(TcpSock& sock, uint8_t seconds);
Nanos TcpFinTimeout(const TcpSock& sock);

// TCP_NOTSENT_LOWAT: the program gives no more while so much was not sent yet; 0: no bound.
void TcpSetNotSentLowat(TcpSock& sock, uint32_t bytes);
inline uint32_t TcpNotSentLowat(const TcpSock& sock) {
  return sock.silence == nullptr || sock.silence->notsent_lowat == 0 ? UINT32_MAX : sock.silence->notsent_lowat;
}
// Something was sent: who waits for that may go on.
void TcpNotSentWake(TcpSock& sock);

// TCP_SYNCNT: how often a SYN, or a SYN and ACK, goes again.
void TcpSetSynCount(TcpSock& sock, uint8_t count);
// TCP_WINDOW_CLAMP: the window that is advertised is no larger.
inline constexpr uint32_t kTcpMinWindowClamp = 1152;  // SOCK_MIN_RCVBUF / 2
void TcpSetWindowClamp(TcpSock& sock, uint32_t bytes);
// IP_MINTTL, the generalized TTL security mechanism (RFC 5082 §3): what comes with less is dropped; 0: nothing is.
void TcpSetMinTtl(TcpSock& sock, uint8_t ttl);

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
