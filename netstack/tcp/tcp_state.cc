// Every state but LISTEN (tcp_listen.cc), TIME-WAIT (tcp_time_wait.cc) and the fast path: SYN-SENT (RFC 9293 §3.10.7.3),
// and the common steps of all the others (§3.10.7.4). Linux: tcp_rcv_state_process.
#include <algorithm>
#include <cerrno>
#include <utility>

#include "netstack/tcp/tcp_ecn.h"
#include "netstack/tcp/tcp_extra.h"
#include "netstack/tcp/tcp_fast_open.h"
#include "netstack/tcp/tcp_handshake.h"
#include "netstack/tcp/tcp_initial.h"
#include "netstack/tcp/tcp_input.h"
#include "netstack/tcp/tcp_keepalive.h"
#include "netstack/tcp/tcp_loss.h"
#include "netstack/tcp/tcp_mtu_probe.h"
#include "netstack/tcp/tcp_options.h"
#include "netstack/tcp/tcp_output.h"
#include "netstack/tcp/tcp_pacing.h"
#include "netstack/tcp/tcp_scoreboard.h"
#include "netstack/tcp/tcp_timer.h"
#include "netstack/tcp/tcp_timestamps.h"
#include "netstack/tcp/tcp_urgent.h"

namespace weir::netstack {
namespace {

// RFC 9293 §3.7.1: of a peer that says none.
constexpr uint32_t kDefaultMss4 = 536, kDefaultMss6 = 1220;

using QueueNode = runtime::ListNode<TcpQueueTag>;

void FirstRtt(TcpSock& sock, Nanos rtt_ns, Nanos now_ns) {
  sock.rtt.Sample(rtt_ns, 1);
  sock.rtt.SampleMin(rtt_ns, now_ns);
}

// The handshake is complete: numbers and timers as ESTABLISHED starts with.
void Establish(TcpSock& sock, const TcpSegment& segment, Nanos now_ns) {
  // CLOSE and SEND before this moment were queued (RFC 9293 §3.10.2, §3.10.4).
  sock.state = sock.snd.fin ? TcpState::kFinWait1 : TcpState::kEstablished;
  if (TcpWantsToSend(sock)) sock.context.WantOutput(sock);
  sock.snd.una = sock.snd.iss + 1;
  sock.snd.wnd = uint32_t{segment.header.window} << (segment.has(kTcpSyn) ? 0 : sock.snd.wscale);
  sock.snd.max_wnd = std::max(sock.snd.max_wnd, sock.snd.wnd);
  sock.snd.wl1 = segment.seq;
  sock.snd.wl2 = segment.ack;
  TcpUpdateTsRecent(sock, segment, now_ns);
  const Nanos echoed_ns = TcpTimestampRtt(sock, segment, now_ns);
  const Nanos syn_sent_ns = std::exchange(sock.rack.xmit_ns, 0);
  if (syn_sent_ns == 0) {
    // A SYN cookie: nothing was measured, and the echo is not of the very time.
  } else if (sock.heard_ns != 0) {
    FirstRtt(sock, sock.heard_ns - syn_sent_ns, now_ns);  // the data came when it liked (Defer)
  } else if (sock.retries == 0) {
    FirstRtt(sock, now_ns - syn_sent_ns, now_ns);
  } else if (echoed_ns != 0) {
    FirstRtt(sock, echoed_ns, now_ns);  // tells which SYN this answers
  } else {
    // RFC 6298 §5.7: a SYN that was lost leaves 3 s as the first timeout.
    sock.rtt.rto_ns = 3 * kSecond;
  }
  sock.retries = sock.backoff = 0;
  sock.heard_ns = now_ns;
  TcpCancelTimer(sock);
  TcpInitMtuProbe(sock, now_ns);
  sock.quick_acks = kTcpQuickAcks;
  TcpFastOpenEarlyData(sock, segment, now_ns);
}

// RFC 9293 §3.10.7.3.
DropReason TcpRcvSynSent(TcpSock& sock, TcpSegment& segment, Nanos now_ns) {
  const bool ack = segment.has(kTcpAck);
  // First: the ACK must be of our SYN.
  if (ack && (segment.ack <= sock.snd.iss || segment.ack > sock.snd.nxt)) {
    if (!segment.has(kTcpRst)) TcpSendResetFor(sock.context, segment, now_ns);
    return DropReason::kTcpUnsentAck;
  }
  // Second: RST.
  if (segment.has(kTcpRst)) {
    if (ack) TcpDone(sock, ECONNREFUSED);
    return DropReason::kTcpReset;
  }
  // Fourth: SYN.
  if (!segment.has(kTcpSyn)) return DropReason::kTcpBadFlags;
  TcpTakeSyn(sock, segment, now_ns);
  if (!ack) {  // both opened at once (§3.5, figure 7)
    sock.state = TcpState::kSynReceived;
    TcpSendSyn(sock, now_ns);
    return DropReason::kConsumed;
  }
  TcpFastOpenTakeSynAck(sock, segment, now_ns);
  Establish(sock, segment, now_ns);
  sock.context.WantAck(sock);
  sock.context.ip.Ready(sock, ReadySock::kConnected | ReadySock::kWritable);
  return DropReason::kConsumed;
}

// TCP_DEFER_ACCEPT: an ACK by itself does not end the handshake before its time is over (tcp_check_req). What a cookie
// answers has no time.
bool Defer(TcpSock& sock, const TcpSegment& segment, Nanos now_ns) {
  if (segment.length() != 0 || sock.retries >= sock.listener->defer_accept) return false;
  if (sock.heard_ns == 0) {
    if (sock.rack.xmit_ns == 0) return false;
    sock.heard_ns = now_ns;
    if (sock.retries != 0) sock.rack.xmit_ns = 0;  // of which of them, nobody knows
  }
  return true;
}

// RFC 9293 §3.10.7.4, fifth, SYN-RECEIVED.
DropReason AckOfSyn(TcpSock& sock, const TcpSegment& segment, Nanos now_ns) {
  if (segment.ack <= sock.snd.una || segment.ack > sock.snd.nxt) {
    TcpSendResetFor(sock.context, segment, now_ns);
    return DropReason::kTcpUnsentAck;
  }
  // It stays half-open: our SYN and ACK will go again, and the peer will answer again (tcp_v4_syn_recv_sock).
  const bool half_open = sock.listener != nullptr && !sock.fast_open.pending;
  if (half_open && Defer(sock, segment, now_ns)) return DropReason::kTcpDeferAccept;
  if (half_open && sock.listener->unaccepted >= sock.listener->backlog) {
    return DropReason::kTcpAcceptQueueFull;
  }
  TcpFastOpenSettled(sock);
  Establish(sock, segment, now_ns);
  if (half_open) {
    ++sock.context.counters.accepted;
    TcpMoveToAcceptQueue(sock);
  } else {
    sock.context.ip.Ready(sock, ReadySock::kConnected | ReadySock::kWritable);
  }
  return DropReason::kConsumed;
}

// The SYN and ACK of a peer that opened at the same moment. By its number it comes from before the window, and is good
// nevertheless (RFC 9293 §3.5, figure 7, line 6). Linux: tcp_validate_incoming, the case of TCP_SYN_RECV.
bool IsCrossedSyn(const TcpSock& sock, const TcpSegment& segment) {
  return sock.state == TcpState::kSynReceived && sock.listener == nullptr && segment.has(kTcpSyn) &&
         segment.has(kTcpAck) && segment.seq == sock.rcv.irs && segment.ack == sock.snd.iss + 1;
}

// What the acknowledgment of our FIN means (RFC 9293 §3.10.7.4, fifth). False when the connection is over.
bool AckOfFin(TcpSock& sock, Nanos now_ns) {
  if (!sock.snd.fin || sock.snd.una != sock.snd.write_seq) return true;
  switch (sock.state) {
    case TcpState::kFinWait1:
      sock.state = TcpState::kFinWait2;
      // Nobody will read what the peer may still send, so it gets a bounded time to close.
      if (sock.orphan) TcpArmTimer(sock, TcpTimerKind::kEnd, now_ns + TcpFinTimeout(sock));
      return true;
    case TcpState::kClosing:
      TcpEnterTimeWait(sock, now_ns);
      return false;
    case TcpState::kLastAck:
      TcpDone(sock, 0);
      return false;
    default:
      return true;
  }
}

// The text of a segment from just before the window, or into a closed one, is not taken, but its ACK field is still
// good. With a closed window RFC 9293 §3.10.7.4 asks for that (else two hosts that both wait for room never hear of
// it); and a FIN that is repeated may bring the acknowledgment of ours, without which we would stay in CLOSING.
void AckOfUnacceptable(TcpSock& sock, const TcpSegment& segment, Nanos now_ns) {
  if (sock.state != TcpState::kSynReceived && segment.has(kTcpAck) && !segment.has(kTcpSyn) &&
      TcpAck(sock, segment, now_ns) == DropReason::kConsumed) {
    (void)AckOfFin(sock, now_ns);
  }
}

DropReason SegmentText(TcpSock& sock, TcpSegment& segment, Nanos now_ns) {
  switch (sock.state) {
    case TcpState::kEstablished:
    case TcpState::kFinWait1:
    case TcpState::kFinWait2:
      break;
    default:
      // CLOSE-WAIT, CLOSING, LAST-ACK: after the peer's FIN there is no text.
      return DropReason::kConsumed;
  }
  const bool unread = sock.orphan || (sock.send_shut && sock.recv_shut);
  if (unread && segment.payload > 0 && segment.seq + segment.payload > sock.rcv.nxt) {
    // RFC 9293 §3.6.1, RFC 2525 §2.16: new data that nobody will read resets the connection.
    TcpSendReset(sock, now_ns);
    TcpDone(sock, ECONNRESET);
    return DropReason::kTcpAfterClose;
  }
  if (segment.has(kTcpUrg)) TcpCheckUrg(sock, segment);
  return TcpDataQueue(sock, segment, now_ns);
}

}  // namespace

void TcpTakeSyn(TcpSock& sock, const TcpSegment& segment, Nanos now_ns) {
  const TcpOptions& options = segment.options;
  const uint32_t peer_mss = options.has_mss ? options.mss : sock.remote.ip.is_v4() ? kDefaultMss4 : kDefaultMss6;
  sock.snd.peer_mss = static_cast<uint16_t>(
      std::min<uint32_t>(std::max(peer_mss, sock.context.settings.min_snd_mss), sock.rcv.advmss));
  TcpTakeSynOptions(sock, options, now_ns);
  TcpEcnTakeSyn(sock, segment);
  TcpSyncMss(sock);
  // What the peer sends at once is seen later; it may be less than what it can receive (tcp_initialize_rcv_mss).
  sock.rcv.mss = std::min<uint16_t>(sock.snd.mss, 536);
  sock.rcv.irs = segment.seq;
  sock.rcv.nxt = sock.rcv.wup = segment.seq + 1;
  sock.snd.wnd = sock.snd.max_wnd = segment.header.window;  // never scaled in a SYN
  sock.snd.wl1 = segment.seq;
  sock.congestion.Init(sock.snd.mss);
}

DropReason TcpRcvStateProcess(TcpSock& sock, TcpSegment& segment, Nanos now_ns) {
  if (sock.state == TcpState::kSynSent) return TcpRcvSynSent(sock, segment, now_ns);
  if (IsCrossedSyn(sock, segment)) {
    sock.context.WantAck(sock);  // the peer may not have got ours
    return AckOfSyn(sock, segment, now_ns);
  }
  DropReason reason = TcpValidateIncoming(sock, segment, now_ns);
  if (reason == DropReason::kTcpDuplicate || reason == DropReason::kTcpZeroWindow) {
    AckOfUnacceptable(sock, segment, now_ns);
  }
  if (reason != DropReason::kConsumed) return reason;
  if (sock.state == TcpState::kSynReceived) {
    reason = AckOfSyn(sock, segment, now_ns);
  } else {
    reason = TcpAck(sock, segment, now_ns);
  }
  if (reason != DropReason::kConsumed) return reason;
  if (!AckOfFin(sock, now_ns)) return DropReason::kConsumed;
  return SegmentText(sock, segment, now_ns);
}

void TcpDone(TcpSock& sock, int error) {
  TcpContext& context = sock.context;
  TcpLeaveListener(sock);
  TcpFastOpenSettled(sock);
  sock.listener = nullptr;
  sock.state = TcpState::kClosed;
  sock.error = static_cast<uint8_t>(error);
  context.demux.Remove(sock);
  TcpCancelTimers(sock);
  TcpStopKeepAlive(sock);
  context.NoOrphan(sock);  // nothing is held any more, though a program that lingers has not let go of it yet
  if (TcpPacer* pacer = TcpPacerOf(sock)) context.ip.timers.Cancel(pacer->timer);
  TcpPurgeSendQueue(sock);
  TcpClearOfo(sock);
  if (sock.owner == nullptr) {
    context.Free(sock);
  } else {
    context.ip.Ready(sock, ReadySock::kError | ReadySock::kReadable | ReadySock::kWritable | ReadySock::kConnected);
  }
}

}  // namespace weir::netstack
