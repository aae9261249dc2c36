// TcpExtra: what few connections need besides their control block: keepalive and the user timeout, rare options, pacing, the
// urgent byte, and counts of what was out of place or sent again. It is there from the first that asks for it on, at most one
// for each connection. Of an option that is not set nothing is kept.
#ifndef NETSTACK_TCP_TCP_EXTRA_H_
#define NETSTACK_TCP_TCP_EXTRA_H_

#include <cstdint>

#include "netstack/tcp/tcp_sock.h"
#include "runtime/base/recycler.h"

namespace weir::netstack {

struct TcpPacer;

struct TcpExtra : runtime::Recycled {
  explicit TcpExtra(TcpSock& sock);

  // Of a peer that is silent: tcp_keepalive.h.
  TcpTimer timer;
  Nanos idle_ns = 0;  // 0: no keepalive
  Nanos interval_ns = 0;
  Nanos sent_ns = 0;           // the last probe
  Nanos user_timeout_ns = 0;   // 0: none
  Nanos unanswered_ns = 0;     // since when what is sent again is under way
  Nanos closed_window_ns = 0;  // since when the peer's window is closed
  uint8_t count = 0;
  uint8_t probes = 0;  // since the peer was heard
  // Options.
  uint8_t fin_timeout_s = 0;   // TCP_LINGER2; 0: tcp_fin_timeout
  uint8_t syn_count = 0;       // TCP_SYNCNT; 0: not set
  uint8_t min_ttl = 0;         // IP_MINTTL, when rcv.guarded
  uint32_t notsent_lowat = 0;  // TCP_NOTSENT_LOWAT; 0: tcp_notsent_lowat
  uint32_t window_clamp = 0;   // TCP_WINDOW_CLAMP, when rcv.clamped
  TcpPacer* pacer = nullptr;   // tcp_pacing.h; nullptr: not paced
  // The urgent byte that is still to come, or came and was not asked for yet: tcp_urgent.h.
  struct {
    Seq seq;
    bool pending = false;
    bool kept = false;
    std::byte byte{};
  } urg;
  // What was sent last as urgent, until it is acknowledged: tcp_urgent.h.
  struct {
    Seq up;  // behind its last byte
    bool sending = false;
  } urg_out;
  uint32_t last_oow_ack_ms = 0;  // when a segment that was out of place was answered last; 0: never
  // What was sent again since the connection began, for TcpInfo.
  uint32_t total_retrans = 0;
  uint64_t bytes_retrans = 0;
  uint64_t copied_bytes = 0;  // TcpInfo::copied_bytes
};
TcpExtra& TcpGetExtra(TcpSock& sock);
void TcpFreeExtra(TcpSock& sock);

inline void TcpCountRetransmit(TcpSock& sock, uint32_t bytes) {
  TcpExtra& extra = TcpGetExtra(sock);
  ++extra.total_retrans;
  extra.bytes_retrans += bytes;
}

// TCP_LINGER2: how long a closed connection waits for the peer's FIN; 0: tcp_fin_timeout. And how long that is.
inline constexpr uint8_t kTcpMaxFinTimeoutS = 120;  // TCP_FIN_TIMEOUT_MAX
void TcpSetFinTimeout(TcpSock& sock, uint8_t seconds);
Nanos TcpFinTimeout(const TcpSock& sock);

// TCP_NOTSENT_LOWAT: the program gives no more while so much was not sent yet; 0: tcp_notsent_lowat, or no bound when
// the program set the size of the send buffer. And how much that is.
void TcpSetNotSentLowat(TcpSock& sock, uint32_t bytes);
uint32_t TcpNotSentLowat(const TcpSock& sock);
// Something was sent: who waits for that (snd.notsent_full) may go on.
void TcpNotSentWake(TcpSock& sock);

// TCP_SYNCNT: how often a SYN, or a SYN and ACK, goes again.
void TcpSetSynCount(TcpSock& sock, uint8_t count);
// TCP_WINDOW_CLAMP: the window that is advertised is no larger.
inline constexpr uint32_t kTcpMinWindowClamp = 1152;  // SOCK_MIN_RCVBUF / 2
void TcpSetWindowClamp(TcpSock& sock, uint32_t bytes);
// IP_MINTTL, the generalized TTL security mechanism (RFC 5082 §3): what comes with less is dropped; 0: nothing is.
void TcpSetMinTtl(TcpSock& sock, uint8_t ttl);

}  // namespace weir::netstack

#endif  // NETSTACK_TCP_TCP_EXTRA_H_
