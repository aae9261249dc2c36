// TIME-WAIT (RFC 9293 §3.6.1, §3.10.7.4): how connections come into it, what they answer there, and when a new connection
// may have their endpoints. Linux: tcp_minisocks.c, tcp_twsk_unique.
#include "netstack/tcp/tcp_time_wait.h"

#include "netstack/tcp/tcp_challenge_ack.h"
#include "netstack/tcp/tcp_input.h"
#include "netstack/tcp/tcp_keepalive.h"
#include "netstack/tcp/tcp_loss.h"
#include "netstack/tcp/tcp_output.h"
#include "netstack/tcp/tcp_scoreboard.h"
#include "netstack/tcp/tcp_timer.h"
#include "netstack/tcp/tcp_timestamps.h"

namespace weir::netstack {

namespace {

using QueueNode = runtime::ListNode<TcpQueueTag>;

// The quiet time is given up; the peer still hears that its FIN came.
void Overflow(TcpSock& sock, Nanos now_ns) {
  ++sock.context.counters.time_wait_overflows;
  if (sock.ack_now) TcpSendAck(sock, now_ns);
  TcpDone(sock, 0);
}

}  // namespace

DropReason TcpRcvTimeWait(TcpSock& sock, TcpSegment& segment, Nanos now_ns) {
  TcpContext& context = sock.context;
  // RFC 1337 §3, fix 1: a reset does not end TIME-WAIT. Differs from Linux, which wants to be told (a sysctl): here
  // nothing speaks for the hazard.
  if (segment.has(kTcpRst)) return DropReason::kTcpTimeWait;
  // RFC 9293 §3.10.7.4, fourth, and RFC 6191 §2: a SYN beyond the old sequence numbers, or with a later timestamp,
  // opens a new connection.
  const bool paws_reject = TcpPawsReject(sock, segment, now_ns);
  const bool later = sock.ts.ok && segment.options.has_timestamps &&
                     static_cast<int32_t>(segment.options.ts_val - sock.ts.recent) > 0;
  if (segment.has(kTcpSyn) && !segment.has(kTcpAck) && !paws_reject && (segment.seq > sock.rcv.nxt || later)) {
    TcpListenSock* listener = context.demux.FindListener(segment.destination);
    if (listener != nullptr && sock.owner == nullptr) {
      const Seq last = sock.snd.nxt;
      segment.hash = sock.hash;
      TcpDone(sock, 0);
      return TcpRcvListen(*listener, context, segment, now_ns, last);
    }
  }
  // RFC 9293 §3.10.7.4, eighth: the FIN again, so our ACK was lost: answer it and wait anew.
  if (segment.has(kTcpFin) && segment.has(kTcpAck) && !paws_reject) TcpEnterTimeWait(sock, now_ns);
  if (segment.length() > 0 || segment.seq != sock.rcv.nxt) (void)TcpSendDupack(sock, segment, now_ns);
  return DropReason::kTcpTimeWait;
}

void TcpEnterTimeWait(TcpSock& sock, Nanos now_ns) {
  TcpContext& context = sock.context;
  if (sock.state != TcpState::kTimeWait) {
    if (context.in_time_wait >= context.settings.max_tw_buckets) return Overflow(sock, now_ns);
    ++context.in_time_wait;
    context.NoOrphan(sock);
    TcpStopKeepAlive(sock);
  }
  sock.state = TcpState::kTimeWait;
  TcpClearOfo(sock);
  TcpPurgeSendQueue(sock);
  if (!static_cast<QueueNode&>(sock).linked() && sock.owner == nullptr) context.time_wait.PushBack(sock);
  TcpArmTimer(sock, TcpTimerKind::kEnd, now_ns + kTcpTimeWait);
}

bool TcpTimeWaitReusable(const TcpSock& sock, bool by_name, Nanos now_ns) {
  if (sock.state != TcpState::kTimeWait || sock.owner != nullptr || !sock.ts.ok) return false;
  if (by_name) return true;
  const uint8_t reuse = sock.context.settings.tw_reuse;
  // A connection of the host with itself; RFC 1122 §3.2.1.3 keeps 127/8 for those.
  const bool loopback = sock.local.ip == sock.remote.ip || sock.remote.ip.is_loopback();
  return (reuse == 1 || (reuse == 2 && loopback)) && static_cast<uint32_t>(now_ns / kSecond) > sock.ts.recent_s;
}

}  // namespace weir::netstack
