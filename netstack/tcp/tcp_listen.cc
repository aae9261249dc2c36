// LISTEN (RFC 9293 §3.10.7.2), with its two queues and what happens when they are full. Linux: tcp_conn_request,
// cookie_v4_check.
#include <algorithm>
#include <utility>

#include "netstack/tcp/tcp_fast_open.h"
#include "netstack/tcp/tcp_handshake.h"
#include "netstack/tcp/tcp_initial.h"
#include "netstack/tcp/tcp_input.h"
#include "netstack/tcp/tcp_options.h"
#include "netstack/tcp/tcp_output.h"
#include "netstack/tcp/tcp_sock_options.h"
#include "netstack/tcp/tcp_syn_cookie.h"
#include "netstack/tcp/tcp_timer.h"
#include "netstack/tcp/tcp_timestamps.h"

namespace weir::netstack {
namespace {

using QueueNode = runtime::ListNode<TcpQueueTag>;

// Not more half-open connections than could be accepted one day, nor than tcp_max_syn_backlog
// (inet_csk_reqsk_queue_is_full).
bool SynQueueFull(const TcpListenSock& listener, const TcpSettings& settings) {
  return listener.half_open >= std::min(listener.backlog, settings.max_syn_backlog);
}

// The endpoints and offers of a connection that a peer opens.
void BeginPassive(TcpSock& sock, const TcpSegment& segment) {
  sock.local = segment.destination;
  sock.remote = segment.source;
  sock.rcv.advmss = TcpMss(sock);
  sock.state = TcpState::kSynReceived;
  TcpOfferOptions(sock);
  if (segment.options.has_timestamps) TcpInitTimestamps(sock);
}

// Answers a SYN by a cookie. The control block is only for what a SYN and ACK is made of, and is gone afterwards.
DropReason SendCookie(TcpListenSock& listener, TcpContext& context, const TcpSegment& segment, Nanos now_ns) {
  TcpSock sock(context);
  BeginPassive(sock, segment);
  TcpInheritForSyn(sock, listener.inherited);
  TcpSegment syn = segment;
  // What could not be remembered is not agreed to (tcp_conn_request: tcp_clear_options).
  if (!syn.options.has_timestamps || !sock.ts.ok) {
    syn.options = {.has_mss = syn.options.has_mss, .mss = syn.options.mss};
    syn.header.flags = kTcpSyn;
  }
  TcpTakeSyn(sock, syn, now_ns);
  TcpStartSend(sock, TcpSynCookie(sock, now_ns), now_ns);
  if (sock.ts.ok) TcpCookieTimestamp(sock, now_ns);
  listener.last_cookie_ns = now_ns;
  ++context.counters.syncookies_sent;
  TcpSendSyn(sock, now_ns);
  return DropReason::kConsumed;
}

// Without a cookie sent lately every ACK is of something else (tcp_synq_no_recent_overflow).
bool CookiesAreOut(const TcpListenSock& listener, Nanos now_ns) {
  return listener.last_cookie_ns != 0 &&
         now_ns - listener.last_cookie_ns < kTcpSynCookieMaxAge * kTcpSynCookiePeriod;
}

// Makes `sock` what it would be if the SYN had been remembered; false when this ACK answers no cookie of ours.
bool TakeCookie(TcpSock& sock, const TcpSegment& segment, Nanos now_ns) {
  const std::optional<uint16_t> mss = TcpCheckSynCookie(sock, segment, now_ns);
  const std::optional<TcpCookieSyn> agreed = TcpCookieOptions(sock, segment);
  if (!mss.has_value() || !agreed.has_value()) return false;
  TcpSegment syn{
      .header = segment.header, .seq = segment.seq - 1, .frame = segment.frame, .options = agreed->options};
  syn.header.flags = agreed->flags;
  syn.options.has_mss = true;
  syn.options.mss = *mss;
  TcpTakeSyn(sock, syn, now_ns);
  TcpStartSend(sock, segment.ack - 1, now_ns);
  sock.rack.xmit_ns = 0;  // nobody knows any more
  sock.rcv.wnd = std::min<uint32_t>(TcpSelectWindow(sock), 65535);
  return true;
}

// RFC 9293 §3.10.7.2, second: any ACK is bad, unless it answers a cookie.
DropReason AckToListener(TcpListenSock& listener, TcpContext& context, TcpSegment& segment, Nanos now_ns) {
  if (segment.has(kTcpSyn) || context.settings.syncookies == 0 || !CookiesAreOut(listener, now_ns)) {
    return TcpNoSocket(context, segment, now_ns);
  }
  // The peer takes the connection for established; it will say this again when it has something to say.
  if (listener.unaccepted >= listener.backlog) return DropReason::kTcpAcceptQueueFull;
  TcpSock* sock = context.Alloc();
  if (sock == nullptr) return DropReason::kTcpNoMemory;
  BeginPassive(*sock, segment);
  TcpInherit(*sock, listener.inherited, now_ns);
  if (!TakeCookie(*sock, segment, now_ns)) {
    ++context.counters.syncookies_failed;
    context.Free(*sock);
    return TcpNoSocket(context, segment, now_ns);
  }
  ++context.counters.syncookies_received;
  context.demux.Insert(*sock, segment.hash);
  TcpJoinListener(*sock, listener);
  TcpRearmRetransmit(*sock, now_ns);  // a SYN and ACK may go yet, should this segment not do
  ++sock->stats.segs_in;
  return TcpRcvStateProcess(*sock, segment, now_ns);
}

}  // namespace

void TcpJoinListener(TcpSock& sock, TcpListenSock& listener) {
  sock.listener = &listener;
  ++listener.half_open;
  listener.syn_queue.PushBack(sock);
}

void TcpMoveToAcceptQueue(TcpSock& sock) {
  TcpListenSock& listener = *sock.listener;
  --listener.half_open;
  ++listener.unaccepted;
  static_cast<QueueNode&>(sock).Unlink();
  listener.accept_queue.PushBack(sock);
  sock.context.ip.Ready(listener, ReadySock::kReadable);
}

void TcpLeaveListener(TcpSock& sock) {
  TcpListenSock* listener = sock.listener;
  if (listener == nullptr) return;
  if (sock.fast_open.accepted && sock.fast_open.pending) return;  // left the queues before
  const bool half_open = sock.state == TcpState::kSynReceived && !sock.fast_open.pending;
  --(half_open ? listener->half_open : listener->unaccepted);
  if (!sock.fast_open.pending) sock.listener = nullptr;
}

DropReason TcpRcvListen(TcpListenSock& listener, TcpContext& context, TcpSegment& segment, Nanos now_ns,
                        std::optional<Seq> isn_after) {
  if (segment.ttl < listener.inherited.options[static_cast<size_t>(TcpSockOption::kMinTtl)]) {
    return DropReason::kTcpMinTtl;
  }
  // RFC 9293 §3.10.7.2: first RST, second ACK, third SYN.
  if (segment.has(kTcpRst)) return TcpPassOn(context, segment).value_or(DropReason::kTcpReset);
  if (segment.has(kTcpAck)) return AckToListener(listener, context, segment, now_ns);
  // A SYN that ends what it begins is a scanner's (tcp_rcv_state_process).
  if (!segment.has(kTcpSyn) || segment.has(kTcpFin)) return DropReason::kTcpBadFlags;
  if (listener.unaccepted >= listener.backlog) return DropReason::kTcpAcceptQueueFull;
  // A connection in TIME-WAIT gave its block up for this SYN: nothing is added, and the peer is real (tcp_conn_request).
  if (!isn_after.has_value() && SynQueueFull(listener, context.settings)) {
    if (context.settings.syncookies == 0) return DropReason::kTcpSynQueueFull;
    return SendCookie(listener, context, segment, now_ns);
  }
  TcpSock* sock = context.Alloc();
  if (sock == nullptr) return DropReason::kTcpNoMemory;
  BeginPassive(*sock, segment);
  TcpInherit(*sock, listener.inherited, now_ns);
  TcpTakeSyn(*sock, segment, now_ns);
  TcpInitSend(*sock, now_ns, isn_after);
  context.demux.Insert(*sock, segment.hash);
  if (TcpTryFastOpen(listener, *sock, segment, now_ns)) {
    TcpFastOpenChild(listener, *sock, segment, now_ns);
  } else {
    TcpJoinListener(*sock, listener);
  }
  TcpSendSyn(*sock, now_ns);
  TcpRearmRetransmit(*sock, now_ns);
  return DropReason::kConsumed;
}

}  // namespace weir::netstack
